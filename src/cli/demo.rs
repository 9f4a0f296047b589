use super::migrate::migrate;
use crate::{
    app::App,
    clock::Clock,
    config,
    demo::{Demo, Folder, History, check_loopback, people},
    http::{self, Bounds, Limits, Listener},
};
use anyhow::ensure;
use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};
use tokio::signal::unix::{SignalKind, signal};

/// Try Hallpass on this machine: nothing to install, nothing to configure.
///
/// Runs the real service on a database of its own, with a simulated AWS and a simulated identity provider around it, and
/// prints commands to paste. The credentials it hands out work nowhere else. Nothing of it can be reached from other
/// machines.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Args {
    /// Where the service listens, on loopback; port 0 takes any that is free. The identity provider and AWS take the
    /// next two ports, or any.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    listen: SocketAddr,
    /// Keep everything in this folder, and go on with what is there. Without it, a temporary folder that is removed at
    /// the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Of the other commands; here it is refused, so it is not shown.
    #[arg(long, value_name = "FILE", hide = true)]
    config: Option<PathBuf>,
}

const MORE: &str = "\
People:
  alice  developer   user:alice@example.com, group:developers
  bob    admin       user:bob@example.com,   group:platform
  carol  auditor     user:carol@example.com, group:security
A token, good for an hour; with the default address:
  curl -s http://127.0.0.1:8081/token/alice
Or sign in as one of them, and use any command of the client:
  hallpass login --server http://127.0.0.1:8080
  hallpass exec prod/ReadOnly --reason INC-42 -- env

The simulated AWS checks signatures, trust policies, external IDs and limits
as AWS does. It can be told to misbehave; with the default address:
  curl -X PUT http://127.0.0.1:8082/behaviour -d MOOD
  throttle   `Rate exceeded`
  fail       an error of AWS's own
  'slow 5s'  each answer takes so long
  normal     as before
The allowlist has a role that AWS refuses, dev/Unfinished: ask for it as
alice.

A link to the console opens a page that says where it would lead, and as whom:
POST /v1/console, with the body of /v1/credentials.

With --data DIR, the other commands work on the same files, while it runs and
afterwards. The simulated AWS has the roles that DIR/allowlist.toml lists as
soon as it is saved; Hallpass, once it is applied:
  hallpass allowlist apply DIR/allowlist.toml --config DIR/hallpass.toml
  hallpass audit search --config DIR/hallpass.toml

Logs go to stderr, warnings only; RUST_LOG=info shows each request.";

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.config.is_none(), "the demo brings its own configuration: leave --config away");
        super::start_log("warn");
        let (told, mut hangup) = (super::told_to_stop()?, signal(SignalKind::hangup())?);
        // A terminal that is closed must not leave the folder behind.
        let stop = async move {
            tokio::select! {
                () = told => {}
                _ = hangup.recv() => {}
            }
        };
        // Not every shell finds it as `hallpass`: after `cargo run` it is `target/…`.
        let program = std::env::args().next().unwrap_or_else(|| "hallpass".to_owned());
        check_loopback(self.listen)?;
        let listener = listen(self.listen).await?;
        let folder = Folder::open(self.data)?;
        if folder.is_new() {
            live_through(&folder)?;
        }
        let clock = Clock::system();
        let demo = Demo::start(listener.address()?, &folder, &clock).await?;
        folder.write(&demo.configuration())?;
        let config = config::load(Some(&folder.configuration()), std::iter::empty())?;
        migrate(&config).await?;
        let sts = demo.sts(clock.clone());
        sts.identify().await?;
        let (app, writing) = App::build(&config, sts, clock.clone()).await?;
        // So that the first command finds a service that knows the issuer's keys.
        app.identity.caller_from_bearer(&demo.provider.token(&people::ALICE)?).await?;
        print(&demo.welcome(&folder, &program))?;
        let router = http::router(app.clone(), Limits::new(Bounds::default(), clock, app.metrics.clone()));
        http::serve(listener, router, stop).await;
        app.close(writing).await;
        print(&Demo::farewell(&folder, &program))
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:8080")
}

async fn listen(address: SocketAddr) -> anyhow::Result<Listener> {
    Listener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{address} is in use: stop what listens there, or give another address, such as --listen {}:0 for any free \
             port",
            address.ip()
        ),
        _ => {
            anyhow::Error::new(error).context(format!("cannot listen on {address}: give another address with --listen"))
        }
    })
}

/// Gives a new folder a past. In a runtime of its own, so that nothing of the past stays: neither its AWS nor its identity
/// provider.
fn live_through(folder: &Folder) -> anyhow::Result<()> {
    let live = || tokio::runtime::Runtime::new()?.block_on(make_past(folder));
    std::thread::scope(|scope| scope.spawn(live).join()).map_err(|_| anyhow::anyhow!("the demo's past broke off"))?
}

async fn make_past(folder: &Folder) -> anyhow::Result<()> {
    let past = History::until(Clock::system().now());
    let clock = past.clock.clone();
    let demo = Demo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), folder, &clock).await?;
    folder.write(&demo.configuration())?;
    let config = config::load(Some(&folder.configuration()), std::iter::empty())?;
    migrate(&config).await?;
    let sts = demo.sts(clock.clone());
    sts.identify().await?;
    let (app, writing) = App::build(&config, sts, clock).await?;
    let done = past.play(&app, &demo, &super::os_user()).await;
    app.close(writing).await;
    Ok(done?)
}

/// With colours, where a terminal takes them.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}
