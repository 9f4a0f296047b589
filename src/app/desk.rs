use super::{App, BuildError, People, Writing};
use crate::{clock::Clock, config::Config, identity::Caller, model::Name, sts::Sts};
use std::sync::Arc;

/// What an operator with the database at hand works at: the same rooms as the service, closed to everybody else, and their
/// own name on record, as `local:<os user>`.
pub struct Desk {
    /// The rooms. AWS is not asked, and no issuer.
    pub app: App,
    /// The operator.
    pub operator: Arc<Caller>,
    writing: Writing,
}

impl Desk {
    /// Opens the database; what is done is written to an audit stream of its own.
    pub async fn open(config: &Config, os_user: &str) -> Result<Self, BuildError> {
        let clock = Clock::system();
        // A name that is no name at all is still somebody's work.
        let name = Name::parse(os_user).or_else(|_| Name::parse("unknown"));
        let name = name.map_err(|fault| BuildError::NoName(fault.to_string()))?;
        let operator = Arc::new(Caller::at_the_database(name, clock.now()));
        let (nobody, sts) =
            (People { issuers: Vec::new(), portal: None }, Sts::unasked(&config.aws.region, clock.clone()));
        let (app, writing) = App::furnish(config, nobody, sts, clock).await?;
        Ok(Self { app, operator, writing })
    }

    /// Closes the audit stream, if anything was written.
    pub async fn close(self) {
        self.app.close(self.writing).await;
    }
}
