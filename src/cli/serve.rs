use super::migrate::migrate;
use crate::{
    app::App,
    clock::Clock,
    config::{self, Server},
    http::{self, Bounds, Connections, Limits, Listener},
    sts::{Pace, Sts},
    tls::Certificates,
};
use anyhow::Context;
use std::{future::pending, net::SocketAddr, path::Path};

/// Connections to the metrics: they have no part in what the open files allow.
const SCRAPERS: Connections = Connections { all: 64, each: 64 };

/// Run the service.
///
/// Answers requests on `server.listen`, and shows metrics on `server.metrics_listen` where that is set, until it is told to
/// stop. Refuses to start on a database that needs migrations, unless --migrate is given. Asks AWS and the issuers in the
/// background: GET /readyz says when it can issue. Logs one line a request to stderr, as JSON where stderr is no terminal;
/// `RUST_LOG` sets what is logged, `warn,hallpass=info` by default. Stops on SIGTERM and SIGINT: it takes no new
/// connections, answers what it has and closes the audit stream, all within 25 seconds.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bring the database up to date first.
    #[arg(long)]
    migrate: bool,
}

impl Args {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<()> {
        let config = config::load_to_serve(file, config::environment())?;
        super::start_log("warn,hallpass=info");
        for hint in config.hints() {
            tracing::warn!(hint, "the configuration is valid, but probably not what is meant");
        }
        if self.migrate {
            migrate(&config).await?;
        }
        let clock = Clock::system();
        let pace = Pace { per_second: config.limits.sts_per_second, ..Pace::default() };
        let sts = Sts::connect(&config.aws.region, clock.clone()).await.with_pace(pace);
        let (app, writing) = App::build(&config, sts, clock.clone()).await?;
        let listener = listen(&config.server, &clock).await?.with_metrics(app.metrics.clone());
        let measures = match config.server.metrics_listen {
            Some(address) => Some(bind("server.metrics_listen", address).await?.with_connections(SCRAPERS, None)),
            None => None,
        };
        let address = listener.address()?;
        tracing::info!(%address, public_url = config.server.public_url, database = app.store.kind(), tls = config.server.tls.is_some(), "listening");
        let told = super::told_to_stop()?;
        let stop = async move {
            told.await;
            tracing::info!("stopping: no new connections, finishing what was begun");
        };
        let bounds = Bounds {
            requests_per_second: config.limits.requests_per_second,
            requests_burst: config.limits.requests_burst,
            ..Bounds::default()
        };
        let router = http::router(app.clone(), Limits::new(bounds, clock, app.metrics.clone()));
        tokio::select! {
            () = http::serve(listener, router, stop) => {}
            () = show_metrics(measures, &app) => {}
        }
        app.close(writing).await;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn bind(key: &str, address: SocketAddr) -> anyhow::Result<Listener> {
    Listener::bind(address).await.with_context(|| format!("cannot listen on {address}, which is {key}"))
}

/// Until it is dropped.
async fn show_metrics(listener: Option<Listener>, app: &App) {
    match listener {
        Some(listener) => http::serve(listener, http::metrics_router(app.clone()), pending()).await,
        None => pending().await,
    }
}

/// Takes what connections the open files allow. Where everybody comes by a proxy whose address is not named, no peer has a
/// limit of its own.
async fn listen(server: &Server, clock: &Clock) -> anyhow::Result<Listener> {
    let listener = bind("server.listen", server.listen).await?;
    let proxies = (!server.behind_proxy || !server.trusted_proxies.is_empty()).then(|| server.trusted_proxies.clone());
    let listener = listener.with_connections(Connections::for_this_process(), proxies);
    let Some(tls) = &server.tls else { return Ok(listener) };
    let certificates = Certificates::load(tls.files(), clock.clone()).context("server.tls")?;
    tokio::spawn(certificates.clone().keep_fresh());
    Ok(listener.with_tls(certificates))
}
