use super::{BuildError, Writing, check_schema, open_store, start_recorder};
use crate::{
    access::Access,
    audit::{Actor, Auth, AuthMethod},
    clock::Clock,
    config::Config,
    evidence::Evidence,
    metrics::Metrics,
    model::{Name, Partition, Principal},
    recorder::Recorder,
    store::Store,
};

/// What an operator with the database at hand works with: the same rooms as the service, and their own name on record,
/// as `local:<os user>`.
#[derive(Debug)]
pub struct Desk {
    /// The database.
    pub store: Store,
    /// What changes the allowlist.
    pub access: Access,
    /// What reads the audit.
    pub evidence: Evidence,
    /// The operator.
    pub actor: Actor,
    recorder: Recorder,
    writing: Writing,
}

impl Desk {
    /// Opens the database; what is done is written to an audit stream of its own.
    pub async fn open(config: &Config, os_user: &str) -> Result<Self, BuildError> {
        let clock = Clock::system();
        let store = open_store(config)?;
        check_schema(&store).await?;
        let (recorder, writing) = start_recorder(config, &store, &clock, &Metrics::new(&clock, []))?;
        let partition = Partition::of_region(&config.aws.region);
        let access = Access::new(store.clone(), recorder.clone(), partition, clock.clone());
        let evidence = Evidence::new(store.clone(), recorder.clone(), clock);
        // A name that is no name at all is still somebody's work.
        let name = Name::parse(os_user).or_else(|_| Name::parse("unknown"));
        let name = name.map_err(|fault| BuildError::NoName(fault.to_string()))?;
        let auth = Auth { method: AuthMethod::Local, issuer: None, subject: None, token_id: None };
        let actor = Actor { principal: Principal::Local(name), auth, client: None, request_id: None };
        Ok(Self { store, access, evidence, actor, recorder, writing })
    }

    /// Closes the audit stream, if anything was written.
    pub async fn close(self) {
        self.recorder.close().await;
        self.writing.finished().await;
        self.store.close().await;
    }
}
