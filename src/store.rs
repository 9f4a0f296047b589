//! Everything on disk: every SQL statement, the migrations, and what can go wrong with them.
//!
//! One SQL text for two databases: [`Tx`] is a unit of work over either, its methods are written once in
//! `store/<table>.rs`. Must never see HTTP or AWS. Times come in as arguments, never from SQL.

mod access;
mod audit;
mod blocks;
mod candidates;
mod commit;
mod grants;
mod listing;
mod migrations;
mod own;
mod probe;
mod reach;
mod rows;
mod sessions;
mod sqlite;
mod tokens;
mod uses;

pub use access::{Change, ChangeError, Changed, Document};
pub use audit::{EventFilter, Listed, Page, Place, Unreadable};
pub use commit::{Ground, PendingIntent};
pub use listing::GrantPlace;
pub use migrations::{Migrated, Pending};
pub use probe::Probe;
pub use reach::{Reach, Wanted};
pub use sessions::{KeptSession, NewSession};
pub use sqlite::{SqliteTx, SqliteWriter};
pub use tokens::TokenScope;
pub use uses::{DayCount, StreamState, Use, Uses};

use sqlx::{
    ConnectOptions, Connection, PgPool, Postgres, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::Path, str::FromStr, time::Duration};

/// No statement is waited for longer: a frozen server must not freeze its callers.
const STATEMENT_LIMIT: Duration = Duration::from_secs(4);
/// How long to wait for a connection, and for SQLite's one write lock.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// A connection to PostgreSQL that was not used for longer may have died.
const RESTED: Duration = Duration::from_millis(100);
/// How many may read at once.
const READERS: u32 = 8;

/// The database: SQLite or PostgreSQL.
///
/// Reading and writing have connections of their own, so that no read waits behind a commit. Only `recorder` writes, one
/// transaction at a time; on PostgreSQL a second connection stands in while a lost one is being noticed.
#[derive(Clone, Debug)]
pub enum Store {
    /// One file.
    Sqlite {
        /// For [`Store::read`].
        read: SqlitePool,
        /// For [`Store::begin`].
        write: SqliteWriter,
    },
    /// A server, shared by replicas.
    Postgres {
        /// For [`Store::read`].
        read: PgPool,
        /// For [`Store::begin`].
        write: PgPool,
    },
}

/// A unit of work. Dropping it rolls back; [`Tx::commit`] keeps it.
#[must_use = "a transaction that is not committed is rolled back"]
#[derive(Debug)]
pub enum Tx {
    /// Over SQLite.
    Sqlite(SqliteTx),
    /// Over PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

/// What can go wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Away, out of space, locked by somebody else, or out of connections.
    #[error("the database cannot be used now")]
    Unavailable(#[source] sqlx::Error),
    /// No answer within the limit for a statement.
    #[error("the database did not answer within {} s", STATEMENT_LIMIT.as_secs())]
    Silent,
    /// The database itself refuses this content: a constraint or a trigger.
    #[error("the database refuses this content")]
    Refused(#[source] sqlx::Error),
    /// A row that this program would not have written.
    #[error("a row of {table} cannot be read: {problem}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong with it, without its content.
        problem: String,
    },
    /// The address is none of a database.
    #[error("the database's address cannot be read")]
    Address(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database could not be migrated")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let refused = error.as_database_error().is_some_and(|e| {
            // SQLSTATE 22 data exception, 23 constraint, P0001 raised by a trigger; SQLite: 19 constraint and RAISE,
            // in the low byte of the extended code.
            match e.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                Some(_) => e.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 19),
                None => e.code().is_some_and(|c| c.starts_with("22") || c.starts_with("23") || c == "P0001"),
            }
        });
        if refused { Self::Refused(error) } else { Self::Unavailable(error) }
    }
}

/// Compiles `$body` once for each backend, with `$conn` bound to its connection, and gives it the statement's limit.
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        $crate::store::limited(async {
            Ok(match $tx {
                $crate::store::Tx::Sqlite(tx) => {
                    let $conn = &mut **tx;
                    $body
                }
                $crate::store::Tx::Postgres(tx) => {
                    let $conn = &mut **tx;
                    $body
                }
            })
        })
        .await
    };
}
use on;

async fn limited<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(STATEMENT_LIMIT, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StoreError::Silent),
    }
}

impl Store {
    /// Prepares the pools over one file, which is created where there is none. No connection is made yet.
    #[must_use]
    pub fn sqlite(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(ACQUIRE_LIMIT)
            // What a statement of many rows would undo on an error is kept in memory, not in a file for each batch.
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_LIMIT).test_before_acquire(false);
        let read = pool.max_connections(READERS).connect_lazy_with(options.clone());
        // The ends of all the indexes stay at hand, in KiB. And the log is brought into the database by `checkpoint`, unless
        // that has not come to it for so many pages.
        let options = options.pragma("cache_size", "-8192").pragma("wal_autocheckpoint", "16000");
        Self::Sqlite { read, write: SqliteWriter::new(options) }
    }

    /// Prepares the pools for a server, `postgres://…`. No connection is made yet.
    pub fn postgres(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(StoreError::Address)?
            .application_name("hallpass")
            .disable_statement_logging();
        let pool = || {
            // A connection that rested is tried first: it may have died meanwhile, and a commit must not be what finds out.
            let tried = PgPoolOptions::new().test_before_acquire(false).before_acquire(|connection, used| {
                Box::pin(async move { Ok(used.idle_for < RESTED || connection.ping().await.is_ok()) })
            });
            tried.acquire_timeout(ACQUIRE_LIMIT).after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(
                        "SET statement_timeout = '4s'; SET lock_timeout = '2s'; \
                         SET idle_in_transaction_session_timeout = '10s'; SET synchronous_commit = on",
                    )
                    .execute(connection)
                    .await
                    .map(|_| ())
                })
            })
        };
        let read = pool().max_connections(READERS).connect_lazy_with(options.clone());
        let write = pool().max_connections(2).connect_lazy_with(options);
        Ok(Self::Postgres { read, write })
    }

    /// The same database, read on one connection of its own.
    fn apart(&self) -> Self {
        match self {
            Self::Sqlite { read, write } => {
                let pool = read.options().clone().max_connections(1);
                let read = pool.connect_lazy_with(read.connect_options().as_ref().clone());
                Self::Sqlite { read, write: write.clone() }
            }
            Self::Postgres { read, write } => {
                let pool = read.options().clone().max_connections(1);
                let read = pool.connect_lazy_with(read.connect_options().as_ref().clone());
                Self::Postgres { read, write: write.clone() }
            }
        }
    }

    /// Starts a unit of work that only reads.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { read, .. } => Tx::Sqlite(SqliteTx::Reading(limited(read.begin()).await?)),
            Self::Postgres { read, .. } => {
                Tx::Postgres(limited(read.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")).await?)
            }
        })
    }

    /// Starts a unit of work that may write.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { write, .. } => Tx::Sqlite(SqliteTx::Writing(limited(write.begin()).await?)),
            Self::Postgres { write, .. } => Tx::Postgres(begin_postgres(write).await?),
        })
    }

    /// Brings the log's pages into the database on the side, where that is SQLite: at the end of a commit, where SQLite would
    /// do it by itself, it holds up all who wait for that commit.
    pub fn checkpoint(&self) {
        if let Self::Sqlite { read, .. } = self {
            let read = read.clone();
            tokio::spawn(async move {
                if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&read).await {
                    tracing::debug!(%error, "the log's pages stay where they are for now");
                }
            });
        }
    }

    /// What backs it, for people: `SQLite` or `PostgreSQL`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "SQLite",
            Self::Postgres { .. } => "PostgreSQL",
        }
    }

    /// Closes every connection, waiting for what is under way.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres { read, write } => {
                read.close().await;
                write.close().await;
            }
        }
    }
}

async fn begin_postgres(write: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    match limited(write.begin()).await {
        // A connection that died while idle shows it here, before anything was sent in earnest.
        Err(StoreError::Unavailable(_)) => limited(write.begin()).await,
        begun => begun,
    }
}

impl Tx {
    /// Keeps the work. After an error it is not known whether it was kept: the connection may have died in between.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => limited(tx.commit()).await,
            Self::Postgres(tx) => limited(tx.commit()).await,
        }
    }
}
