use super::migrate::migrate;
use crate::{
    app::App,
    clock::Clock,
    config,
    http::{self, Listener},
    sts::Sts,
};
use anyhow::Context;
use std::path::Path;

/// Run the service.
///
/// Answers requests on `server.listen` until it is told to stop. Refuses to start on a database that needs migrations,
/// unless --migrate is given. Asks AWS and the issuers in the background: GET /readyz says when it can issue. Logs one line a request to stderr,
/// as JSON where stderr is no terminal; `RUST_LOG` sets what is logged, `info` by default. Stops on SIGTERM and SIGINT: it
/// takes no new connections, answers what it has and closes the audit stream, all within 25 seconds.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bring the database up to date first.
    #[arg(long)]
    migrate: bool,
}

impl Args {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<()> {
        let config = config::load(file, config::environment())?;
        super::start_log("info");
        for hint in config.hints() {
            tracing::warn!(hint, "the configuration is allowed, but hardly meant");
        }
        if self.migrate {
            migrate(&config).await?;
        }
        let clock = Clock::system();
        let sts = Sts::connect(&config.aws.region, clock.clone()).await;
        let (app, writing) = App::build(&config, sts, clock).await?;
        let listen = config.server.listen;
        let listener = Listener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.address()?;
        tracing::info!(%address, public_url = config.server.public_url, database = app.store.kind(), "listening");
        let told = super::told_to_stop()?;
        let stop = async move {
            told.await;
            tracing::info!("stopping: no new connections, finishing what was begun");
        };
        http::serve(listener, http::router(app.clone()), stop).await;
        app.close(writing).await;
        tracing::info!("stopped");
        Ok(())
    }
}
