//! The wiring: `App::build` puts every room below together, for `serve`, for the commands at the database and for the
//! tests alike. The only place that does.

mod desk;
mod key;

pub use desk::Desk;
pub use key::{KeyFileError, keygen, load_key};

use crate::{
    access::{Access, Powers},
    audit::Hash,
    broker::Broker,
    clock::Clock,
    config::{Aws, Config, DatabaseUrl},
    evidence::Evidence,
    identity::{ApiTokens, Identity, IdentityError, IssuerConfig, Portal, PortalConfig},
    metrics::Metrics,
    model::{IpNet, LoginClient, sha256},
    outward::NoClient,
    recorder::{Recorder, Run},
    secret::Secret,
    store::{Pending, Probe, Store, StoreError},
    sts::{ConsoleSignIn, Sts},
};
use serde_json::json;
use std::{fs, io, ops::Deref, path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often AWS is asked who the broker is, until it says.
const IDENTIFY_EVERY: Duration = Duration::from_secs(5);

/// How long a stop waits for issuances whose clients have gone, after connections have been given their time.
const ISSUANCE_LIMIT: Duration = Duration::from_secs(3);

/// Why the service cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The database.
    #[error("{0}; check database.url, and that the database runs")]
    Store(#[from] StoreError),
    /// The schema is behind.
    #[error("the database needs migrations {0:?}: run `hallpass migrate`, or `hallpass serve --migrate`")]
    Pending(Vec<i64>),
    /// The schema is ahead.
    #[error(
        "the database has moved on and works with schema version {oldest} and newer; this program knows {known}: run a newer hallpass"
    )]
    TooNew {
        /// What the database asks for.
        oldest: i64,
        /// What this program knows.
        known: i64,
    },
    /// The audit key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The audit stream could not be begun.
    #[error("the audit cannot be written; the log has the cause")]
    Audit,
    /// The operator has no name.
    #[error("the operator's name cannot be used: {0}")]
    NoName(String),
    /// The portal's secret.
    #[error("portal.client_secret_file: {0}: {1}")]
    PortalSecret(PathBuf, io::Error),
    /// The issuers.
    #[error("the issuers cannot be asked: {0}")]
    Identity(#[from] IdentityError),
    /// The sign-in service.
    #[error("the sign-in service cannot be asked: {0}")]
    SignIn(#[from] NoClient),
}

/// The rooms of one running service. One pointer: each request clones it several times.
#[derive(Clone)]
pub struct App(Arc<Rooms>);

/// What an [`App`] holds.
pub struct Rooms {
    /// The database.
    pub store: Store,
    /// Whether the database can be used.
    pub probe: Probe,
    /// The audit's writer.
    pub recorder: Recorder,
    /// Who is calling.
    pub identity: Identity,
    /// AWS.
    pub sts: Sts,
    /// What issues.
    pub broker: Broker,
    /// What changes the allowlist.
    pub access: Access,
    /// What reads the audit.
    pub evidence: Evidence,
    /// The portal, where one is configured.
    pub portal: Option<Portal>,
    /// Who may do more.
    pub powers: Powers,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The configured region, what an answer names where the caller names none.
    pub region: String,
    /// Where and as which client people sign in on the command line.
    pub login_client: Option<LoginClient>,
    /// Whom to ask for a role, as the portal says it.
    pub help: Option<String>,
    /// The time.
    pub clock: Clock,
    /// What is measured.
    pub metrics: Metrics,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

/// How people and machines come in.
struct People {
    issuers: Vec<IssuerConfig>,
    portal: Option<PortalConfig>,
}

/// The recorder's task, to wait for at the end.
#[derive(Debug)]
pub struct Writing(JoinHandle<()>);

impl Deref for App {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.0
    }
}

impl App {
    /// Puts everything together around AWS as the caller reaches it, and begins the audit stream. AWS and the issuers
    /// are asked in the background: `/readyz` tells when they have answered.
    pub async fn build(config: &Config, sts: Sts, clock: Clock) -> Result<(Self, Writing), BuildError> {
        let Aws { region, signin_url } = &config.aws;
        let sign_in = ConsoleSignIn::new(signin_url.as_deref(), region, &config.server.public_url)?;
        let people = People { issuers: config.issuers.clone(), portal: portal_config(config)? };
        let (app, writing) = Self::furnish(config, people, sts.signing_in_at(sign_in), clock).await?;
        app.recorder.open().await.map_err(|_| BuildError::Audit)?;
        app.identity.spawn_refresh(app.shutdown.clone());
        if let Some(portal) = app.portal.clone() {
            tokio::spawn(portal.keep_swept(app.shutdown.clone()));
        }
        tokio::spawn(identify(app.sts.clone(), app.shutdown.clone()));
        Ok((app, writing))
    }

    /// The rooms at this database, open to these people. Nothing is written, and nobody is asked.
    async fn furnish(config: &Config, people: People, sts: Sts, clock: Clock) -> Result<(Self, Writing), BuildError> {
        let store = open_store(config)?;
        check_schema(&store).await?;
        let metrics = Metrics::new(&clock, people.issuers.iter().map(|issuer| &issuer.name));
        let sts = sts.measured_by(metrics.clone());
        let (recorder, writing) = start_recorder(config, &store, &clock, &metrics)?;
        let tracker = TaskTracker::new();
        let api_tokens = ApiTokens::new(store.clone(), clock.clone(), tracker.clone());
        let identity = Identity::new(people.issuers, api_tokens, clock.clone(), &metrics)?;
        let broker =
            Broker::new(store.clone(), recorder.clone(), sts.clone(), clock.clone(), tracker.clone(), metrics.clone());
        let access = Access::new(store.clone(), recorder.clone(), sts.partition().clone(), clock.clone());
        let evidence = Evidence::new(store.clone(), recorder.clone(), clock.clone());
        let powers = Powers {
            admins: config.access.admins.clone(),
            auditors: config.access.auditors.clone(),
            appliers: config.access.appliers.clone(),
            token_creators: config.access.token_creators.clone(),
        };
        let portal = match people.portal {
            Some(portal) => {
                let tracker = tracker.clone();
                Portal::new(portal, &identity, store.clone(), recorder.clone(), tracker).map_err(IdentityError::from)?
            }
            None => None,
        };
        let app = Self(Arc::new(Rooms {
            probe: Probe::new(&store),
            store,
            recorder,
            identity,
            sts,
            broker,
            access,
            evidence,
            portal,
            powers,
            trusted_proxies: config.server.trusted_proxies.clone(),
            region: config.aws.region.clone(),
            login_client: config.login_client(),
            help: config.portal.as_ref().and_then(|portal| portal.help.clone()),
            clock,
            metrics,
            tracker,
            shutdown: CancellationToken::new(),
        }));
        Ok((app, writing))
    }

    /// Ends the background work, waits for issuances under way, and closes the audit stream.
    pub async fn close(self, writing: Writing) {
        self.shutdown.cancel();
        self.tracker.close();
        if tokio::time::timeout(ISSUANCE_LIMIT, self.tracker.wait()).await.is_err() {
            tracing::warn!("issuances are cut off that did not end in time; their intents will be called unknown");
        }
        self.recorder.close().await;
        writing.finished().await;
        self.probe.close().await;
        self.store.close().await;
    }
}

/// `[portal]` with the secret of its file.
fn portal_config(config: &Config) -> Result<Option<PortalConfig>, BuildError> {
    let Some(portal) = &config.portal else { return Ok(None) };
    let read = |file: &PathBuf| match fs::read_to_string(file) {
        Ok(text) => Ok(Secret::new(text.trim().to_owned())),
        Err(error) => Err(BuildError::PortalSecret(file.clone(), error)),
    };
    Ok(Some(PortalConfig {
        issuer: portal.issuer.clone(),
        client_id: portal.client_id.clone(),
        client_secret: portal.client_secret_file.as_ref().map(read).transpose()?,
        public_url: config.server.public_url.clone(),
        idle: portal.session_idle,
        longest: portal.session_max,
    }))
}

/// The database that the configuration names.
pub fn open_store(config: &Config) -> Result<Store, StoreError> {
    match &config.database.url {
        DatabaseUrl::Sqlite(file) => Ok(Store::sqlite(file)),
        DatabaseUrl::Postgres(url) => Store::postgres(url.expose()),
    }
}

/// Fails unless the schema is one that this program can work with.
pub async fn check_schema(store: &Store) -> Result<(), BuildError> {
    match store.find_pending().await? {
        Pending::Nothing => Ok(()),
        Pending::Migrations(versions) => Err(BuildError::Pending(versions)),
        Pending::TooNew { oldest, known } => Err(BuildError::TooNew { oldest, known }),
    }
}

/// Starts the audit's writer with the configured key, which is made now where the database is SQLite and there is none.
pub fn start_recorder(
    config: &Config,
    store: &Store,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<(Recorder, Writing), KeyFileError> {
    let file = &config.audit.signing_key_file;
    let key = match store {
        Store::Sqlite { .. } if !file.exists() => keygen(file)?,
        _ => load_key(file)?,
    };
    // Over JSON without white space: the list of the principals as they are written, and of the issuers.
    let digest = |value: serde_json::Value| Hash::from(sha256(&[value.to_string().as_bytes()]));
    let run = Run {
        version: env!("CARGO_PKG_VERSION"),
        admins_sha256: digest(json!(config.access.admins)),
        issuers_sha256: digest(config.issuers.iter().map(IssuerConfig::describe).collect()),
    };
    let (recorder, task) = Recorder::start(store.clone(), Arc::new(key), clock.clone(), run, metrics.clone());
    Ok((recorder, Writing(task)))
}

impl Writing {
    /// Waits until the recorder, which has been closed, has written everything.
    pub async fn finished(self) {
        if self.0.await.is_err() {
            tracing::error!("the audit's writer broke off");
        }
    }
}

/// Asks AWS who the broker is until it says, so that a service which starts before its network is ready soon.
async fn identify(sts: Sts, shutdown: CancellationToken) {
    loop {
        match sts.identify().await {
            Ok(identity) => {
                tracing::info!(arn = identity.arn, chained = identity.chained, "AWS knows the broker");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, aws = error.aws_words, "AWS does not tell who the broker is; asking again");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(IDENTIFY_EVERY) => {}
        }
    }
}
