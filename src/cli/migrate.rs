use crate::{
    app::open_store,
    config::{self, Config, DatabaseUrl},
};
use anyhow::Context;
use std::path::Path;

/// Bring the database up to date: make its tables, or change them to what this version needs.
///
/// With PostgreSQL and `database.migrate_url`, the tables belong to that role, and the service's own role is given no more
/// on the audit than INSERT and SELECT. Safe to run again, and while an older service runs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<()> {
        let config = config::load(file, config::environment())?;
        super::print(&migrate(&config).await?)
    }
}

/// Runs what is pending, and says what that was.
pub(super) async fn migrate(config: &Config) -> anyhow::Result<String> {
    let store = open_store(config)?;
    let owner = match &config.database.migrate_url {
        Some(DatabaseUrl::Postgres(url)) => Some(url.expose()),
        _ => None,
    };
    let migrated = store.migrate(owner).await.context("nothing was changed beyond the last whole migration")?;
    store.close().await;
    Ok(match migrated.0.as_slice() {
        [] => "The database is up to date.".to_owned(),
        versions => format!("Ran migrations {versions:?}: the database is up to date."),
    })
}
