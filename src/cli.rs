//! The command line: one file for each subcommand, and how it ends.
//!
//! Reads arguments, calls one room below and prints what it returns. Must never hold logic. Exit codes: 0 done, 1 failed,
//! 2 wrong usage (clap's own); 3 is `allowlist plan --exit-code` with something to apply.

mod agent;
mod allowlist;
mod ask;
mod audit;
mod block;
mod completion;
mod config;
mod configure;
mod console;
mod creds;
#[cfg(feature = "demo")]
mod demo;
mod exec;
mod explain;
mod grant;
mod login;
mod logout;
mod migrate;
mod place;
mod remote;
mod roles;
mod serve;
mod table;
mod template;
mod token;
mod when;
mod whoami;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::CompleteEnv;
use std::{
    io::{self, IsTerminal, Write},
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

/// Short-lived AWS credentials for the people and tools that an allowlist names.
///
/// Hallpass knows a caller by a token of your identity provider, looks into the allowlist, assumes the role on the
/// caller's behalf and keeps a record of every issuance and every refusal.
#[derive(Debug, Parser)]
#[command(name = "hallpass", version, arg_required_else_help = true, subcommand_required = true, after_help = EXAMPLES)]
struct Hallpass {
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "The configuration file [default: what HALLPASS_CONFIG names]"
    )]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hallpass login --server https://hallpass.example.com
  hallpass roles
  hallpass exec prod/ReadOnly -- aws s3 ls
  hallpass console prod/ReadOnly
  hallpass configure
  hallpass config check --config /etc/hallpass/hallpass.toml
  hallpass serve --migrate --config /etc/hallpass/hallpass.toml
  hallpass allowlist plan allowlist.toml --config /etc/hallpass/hallpass.toml
  hallpass grant add user:alice@example.com prod/Deploy --expires 8h \\
    --reason INC-42 --server https://hallpass.example.com
  hallpass audit verify --config /etc/hallpass/hallpass.toml
  hallpass template trust prod --config /etc/hallpass/hallpass.toml >prod.yaml
  HALLPASS_CONFIG=hallpass.toml HALLPASS_AWS__REGION=eu-west-1 \\
    hallpass config check

Each key of the file outside [[issuers]] is also a variable,
HALLPASS_<SECTION>__<KEY>; the variable wins.
Exit codes: 0 done, 1 failed, 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    Login(login::Args),
    Logout(logout::Args),
    Whoami(whoami::Args),
    Roles(roles::Args),
    Creds(creds::Args),
    Exec(exec::Args),
    Console(console::Args),
    Configure(configure::Args),
    Agent(agent::Args),
    #[cfg(feature = "demo")]
    Demo(demo::Args),
    Serve(serve::Args),
    Migrate(migrate::Args),
    Config(config::Args),
    Allowlist(allowlist::Args),
    Explain(Box<explain::Args>),
    Grant(grant::Args),
    Block(block::Args),
    Token(token::Args),
    Audit(audit::Args),
    Template(template::Args),
    Completion(completion::Args),
}

impl Command {
    /// A service has all cores to itself; whoever waits for a command wants it to begin.
    fn runtime(&self) -> io::Result<Runtime> {
        match self {
            #[cfg(feature = "demo")]
            Self::Demo(_) => many_threads(),
            Self::Serve(_) => many_threads(),
            _ => Builder::new_current_thread().enable_all().build(),
        }
    }

    async fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let done = match self {
            Self::Allowlist(args) => return args.run(config).await,
            #[cfg(feature = "demo")]
            Self::Demo(args) => args.run().await,
            Self::Serve(args) => args.run(config).await,
            Self::Migrate(args) => args.run(config).await,
            Self::Config(args) => args.run(config).await,
            Self::Explain(args) => args.run(config).await,
            Self::Grant(args) => args.run(config).await,
            Self::Block(args) => args.run(config).await,
            Self::Token(args) => args.run(config).await,
            Self::Audit(args) => args.run(config).await,
            Self::Template(args) => args.run(config).await,
            Self::Login(args) => args.run().await,
            Self::Logout(args) => args.run().await,
            Self::Whoami(args) => args.run().await,
            Self::Roles(args) => args.run().await,
            Self::Creds(args) => args.run().await,
            Self::Exec(args) => args.run().await,
            Self::Console(args) => args.run().await,
            Self::Configure(args) => args.run().await,
            Self::Agent(args) => args.run().await,
            Self::Completion(args) => args.run(),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// Half of the cores answer requests. The others are the database's thread's and the kernel's: with more workers the
/// runtime wakes one for what another has at hand, and an issuance costs a tenth more.
fn many_threads() -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread().worker_threads(cores.div_ceil(2)).enable_all().build()
}

/// Reads the arguments of this process, does what they say, and reports a failure on stderr. Where a shell asks for
/// completions, prints these.
pub fn run() -> ExitCode {
    CompleteEnv::with_factory(Hallpass::command).var(completion::VARIABLE).complete();
    let Hallpass { config, command } = Hallpass::parse();
    let done = match command.runtime() {
        Ok(runtime) => runtime.block_on(command.run(config.as_deref())),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(code) => code,
        // As with `head`: who reads has enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "where a command line tool reports")]
fn report(error: &anyhow::Error) {
    eprintln!("{}", said(error));
}

/// Says beside the output what to look at twice.
#[expect(clippy::print_stderr, reason = "what is piped on must stay clean")]
fn warn(warning: &str) {
    eprintln!("warning: {warning}");
}

/// Tells a person something beside the output.
#[expect(clippy::print_stderr, reason = "what is piped on must stay clean")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(broken)
}

/// An error with its causes, each said once: an error that takes its cause's words into its own has said them.
fn said(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said {
        said if said.is_empty() => cause,
        said if said.contains(&cause) => said,
        said => format!("{said}: {cause}"),
    })
}

/// Logs to stderr, as JSON where that is no terminal; `RUST_LOG` sets what is logged. The first call counts.
fn start_log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let _ = if io::stderr().is_terminal() { log.try_init() } else { log.json().flatten_event(true).try_init() };
}

/// Ends at SIGTERM or SIGINT; neither ends the process by itself from now on.
fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Who works at this machine, for the record.
fn os_user() -> String {
    ::whoami::username().unwrap_or_else(|_| "unknown".to_owned())
}

/// What others say, on one line and without what a terminal would obey.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Prints to stdout. Not `println!`, which panics where the reader of a pipe has gone.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    #[test]
    fn the_arguments_are_consistent() {
        Hallpass::command().debug_assert();
    }

    fn all_commands(command: &clap::Command) -> Vec<clap::Command> {
        let below = command.get_subcommands().filter(|below| below.get_name() != "help").flat_map(all_commands);
        [command.clone()].into_iter().chain(below).collect()
    }

    #[test]
    fn help_fits_a_narrow_terminal_and_its_examples_are_commands() {
        let mut root = Hallpass::command();
        root.build();
        let mut examples = 0;
        for command in all_commands(&root) {
            let name = command.get_bin_name().unwrap_or("hallpass").to_owned();
            let written = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let shown = command.term_width(80).render_long_help().to_string();
            let too_long = shown.lines().find(|line| line.chars().count() > 80);
            assert_eq!(too_long, None, "{name}");
            for line in written.lines() {
                assert!(line.chars().count() <= 78, "{name}: {line}");
                assert!(shown.lines().any(|shown| shown == line), "{name}, wrapped: {line}");
            }
            let joined = written.replace("\\\n", " ");
            for line in joined.lines().filter(|line| line.starts_with("  hallpass ")) {
                let words = line.split_whitespace().take_while(|word| !word.starts_with(['>', '|']));
                Hallpass::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
                examples += 1;
            }
        }
        assert!(examples > 20, "{examples}");
    }

    #[cfg(feature = "demo")]
    #[test]
    fn the_demo_is_not_offered_the_file_that_it_refuses() {
        let mut root = Hallpass::command();
        root.build();
        let demo = root.find_subcommand_mut("demo").unwrap();
        assert!(!demo.render_long_help().to_string().contains("--config FILE"));
        for line in ["hallpass --config a.toml demo", "hallpass demo --config a.toml"] {
            let Command::Demo(args) = Hallpass::try_parse_from(line.split(' ')).unwrap().command else {
                panic!("{line}")
            };
            assert!(format!("{args:?}").contains("a.toml"), "{line}: {args:?}");
        }
    }

    #[test]
    fn wrong_usage_is_2_and_help_is_0() {
        for (line, kind, code) in [
            ("hallpass", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, 2),
            ("hallpass config", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, 2),
            ("hallpass nonsense", ErrorKind::InvalidSubcommand, 2),
            ("hallpass config check --config", ErrorKind::InvalidValue, 2),
            ("hallpass --help", ErrorKind::DisplayHelp, 0),
        ] {
            let error = Hallpass::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, code), "{line}");
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file").context("a.toml: no such file").context("cannot go on");
        assert_eq!(said(&error), "cannot go on: a.toml: no such file");
    }

    #[test]
    fn the_file_may_be_named_before_or_behind_the_command() {
        for line in ["hallpass --config a.toml config check", "hallpass config check --config a.toml"] {
            assert_eq!(Hallpass::try_parse_from(line.split(' ')).unwrap().config, Some("a.toml".into()), "{line}");
        }
    }
}
