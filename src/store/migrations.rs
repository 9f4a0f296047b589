use super::{Store, StoreError, Tx, limited, on};
use sqlx::{Connection, Executor, PgConnection, migrate::Migrator, postgres::PgConnectOptions};
use std::{collections::BTreeSet, str::FromStr};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Where the database's schema stands, seen from this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// As this program knows it, or newer in a way that it can work with.
    Nothing,
    /// These migrations have not run: `hallpass migrate`.
    Migrations(Vec<i64>),
    /// Newer, and no longer for this program, which knows up to `known`.
    TooNew {
        /// The oldest version that the database still works with.
        oldest: i64,
        /// The newest version that this program knows.
        known: i64,
    },
}

/// What `migrate` did: the versions that it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated(pub Vec<i64>);

impl Store {
    fn migrator(&self) -> &'static Migrator {
        match self {
            Self::Sqlite { .. } => &SQLITE,
            Self::Postgres { .. } => &POSTGRES,
        }
    }

    /// Whether the schema is what this program needs.
    pub async fn find_pending(&self) -> Result<Pending, StoreError> {
        const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success";
        const OLDEST: &str = "SELECT oldest_version FROM schema_compatibility";
        let versions: BTreeSet<i64> = self.migrator().iter().map(|migration| migration.version).collect();
        if let Self::Sqlite { write, .. } = self {
            write.make_file()?;
        }
        let mut tx = self.read().await?;
        if !tx.has_table("_sqlx_migrations").await? {
            return Ok(Pending::Migrations(versions.into_iter().collect()));
        }
        let applied: Vec<i64> = on!(&mut tx, |conn| sqlx::query_scalar(APPLIED).fetch_all(conn).await?)?;
        let missing: Vec<i64> = versions.iter().copied().filter(|version| !applied.contains(version)).collect();
        if !missing.is_empty() {
            return Ok(Pending::Migrations(missing));
        }
        let oldest: i64 = on!(&mut tx, |conn| sqlx::query_scalar(OLDEST).fetch_one(conn).await?)?;
        let known = versions.last().copied().unwrap_or_default();
        Ok(if oldest > known { Pending::TooNew { oldest, known } } else { Pending::Nothing })
    }

    /// Brings the schema up to date. On PostgreSQL `owner_url`, where given, owns the tables, and the service's own
    /// role is then given no more on the audit than INSERT and SELECT.
    pub async fn migrate(&self, owner_url: Option<&str>) -> Result<Migrated, StoreError> {
        let pending = match (self, owner_url) {
            // The service's own role may read nothing before its first grants, which an earlier run may have died before.
            (Self::Postgres { .. }, Some(url)) => {
                let owner = Self::postgres(url)?;
                let pending = owner.find_pending().await;
                owner.close().await;
                pending?
            }
            _ => self.find_pending().await?,
        };
        let pending = match pending {
            Pending::Migrations(versions) => versions,
            Pending::Nothing | Pending::TooNew { .. } => Vec::new(),
        };
        // A newer database that is compatible has migrations this program does not know.
        let mut migrator = Migrator::with_migrations(self.migrator().iter().cloned().collect());
        migrator.set_ignore_missing(true);
        match (self, owner_url) {
            (Self::Sqlite { write, .. }, _) => migrator.run(&mut limited(write.connect()).await?).await?,
            // A connection of its own: a change of a large table takes longer than a statement of the service may.
            (Self::Postgres { write, .. }, owner_url) => {
                let service = write.connect_options();
                let options = owner_url.map(PgConnectOptions::from_str).transpose().map_err(StoreError::Address)?;
                let options = options.unwrap_or_else(|| service.as_ref().clone());
                let mut owner = limited(PgConnection::connect_with(&options)).await?;
                migrator.run(&mut owner).await?;
                if service.get_username() != options.get_username() {
                    limited(grant_to_service(&mut owner, service.get_username())).await?;
                }
                limited(owner.close()).await?;
            }
        }
        Ok(Migrated(pending))
    }
}

/// What the service's role may do: everything the service does, and no more on the audit.
async fn grant_to_service(owner: &mut PgConnection, service: &str) -> Result<(), sqlx::Error> {
    // GRANT takes no parameters; format() with %I quotes the name on the server.
    const SQL: &str = "
        SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON allowlist, accounts, roles, grants, blocks, pending, sessions TO %1$I;
                       GRANT SELECT, INSERT, UPDATE ON audit_streams, api_tokens TO %1$I;
                       GRANT SELECT, INSERT ON audit_events TO %1$I;
                       GRANT SELECT ON schema_compatibility, _sqlx_migrations TO %1$I', $1)";
    let mut tx = owner.begin().await?;
    // One at a time: of two that grant at once the server refuses one, "tuple concurrently updated". Readers go on.
    tx.execute("LOCK TABLE schema_compatibility IN SHARE ROW EXCLUSIVE MODE").await?;
    let grants: String = sqlx::query_scalar(SQL).bind(service).fetch_one(&mut *tx).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "made by the server's own format() from a constant and a quoted name"
    )]
    tx.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(grants))).await?;
    tx.commit().await
}

impl Tx {
    async fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        // A dialect arm: the catalogues have nothing in common.
        let sql = match self {
            Self::Sqlite(_) => "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = $1",
            Self::Postgres(_) => {
                "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1"
            }
        };
        let count: i64 = on!(self, |conn| sqlx::query_scalar(sql).bind(name).fetch_one(conn).await?)?;
        Ok(count > 0)
    }
}
