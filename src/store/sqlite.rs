//! SQLite's one writer.

use super::commit::AT_ONCE_SQLITE;
use sqlx::{
    ConnectOptions, Connection, Error, FromRow, Sqlite, SqliteConnection, Transaction,
    query::{Query, QueryAs},
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow},
};
use std::{
    fs::OpenOptions,
    io,
    ops::{Deref, DerefMut},
    os::unix::fs::OpenOptionsExt,
    sync::Arc,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The one connection that writes: two would only wait for one another. Made when it is first needed, and kept.
///
/// Neither a pool's nor in transactions of sqlx's own: a pool asks a connection how it is each time it comes back, and
/// sqlx waits for the connection's thread twice at BEGIN and at COMMIT. Here a usual commit has it waited for once.
#[derive(Clone, Debug)]
pub struct SqliteWriter {
    options: Arc<SqliteConnectOptions>,
    home: Arc<Mutex<Option<SqliteConnection>>>,
}

/// A unit of work over SQLite.
#[must_use = "a transaction that is not committed is rolled back"]
#[derive(Debug)]
pub enum SqliteTx {
    /// Only reads.
    Reading(Transaction<'static, Sqlite>),
    /// May write.
    Writing(Writing),
}

/// The writer's connection on its way. It comes home with COMMIT; dropped anywhere else it is closed, which rolls back.
#[derive(Debug)]
pub struct Writing {
    connection: SqliteConnection,
    home: OwnedMutexGuard<Option<SqliteConnection>>,
}

impl SqliteWriter {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self { options: Arc::new(options), home: Arc::default() }
    }

    /// Makes the file where there is none, before anything opens it: a new one is for its owner alone, since external IDs and
    /// who may do what are nobody else's business. SQLite gives its other files the same mode.
    pub(super) fn make_file(&self) -> Result<(), Error> {
        let mut owners = OpenOptions::new();
        match owners.write(true).create_new(true).mode(0o600).open(self.options.get_filename()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::Io(error)),
            _ => Ok(()),
        }
    }

    /// A connection beside the writer's own, for migrations.
    pub(super) async fn connect(&self) -> Result<SqliteConnection, Error> {
        self.options.connect().await
    }

    /// IMMEDIATE takes the write lock up front; a deferred transaction that reads first fails with `SQLITE_BUSY` when it
    /// upgrades.
    pub(super) async fn begin(&self) -> Result<Writing, Error> {
        let mut writing = self.take().await?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut writing.connection).await?;
        Ok(writing)
    }

    /// Begins with statements of which BEGIN is only the first, and gives the rows of all.
    pub(super) async fn begin_with<'q, R>(
        &self,
        statements: QueryAs<'q, Sqlite, R, SqliteArguments>,
    ) -> Result<(Writing, Vec<R>), Error>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin + 'q,
    {
        let mut writing = self.take().await?;
        let rows = statements.fetch_all(&mut writing.connection).await?;
        Ok((writing, rows))
    }

    /// A unit of work that is one statement.
    pub(super) async fn at_once(&self, statement: Query<'_, Sqlite, SqliteArguments>) -> Result<(), Error> {
        let mut writing = self.take().await?;
        statement.execute(&mut writing.connection).await?;
        writing.keep();
        Ok(())
    }

    async fn take(&self) -> Result<Writing, Error> {
        let mut home = self.home.clone().lock_owned().await;
        if let Some(connection) = home.take() {
            return Ok(Writing { connection, home });
        }
        let mut connection = self.connect().await?;
        sqlx::raw_sql(AT_ONCE_SQLITE).execute(&mut connection).await?;
        Ok(Writing { connection, home })
    }

    pub(super) async fn close(&self) {
        if let Some(connection) = self.home.lock().await.take() {
            let _ = connection.close().await;
        }
    }
}

impl SqliteTx {
    pub(super) async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Reading(tx) => tx.commit().await,
            writing @ Self::Writing(_) => writing.commit_with(sqlx::query("COMMIT")).await,
        }
    }

    /// Ends with statements of which COMMIT is the last.
    pub(super) async fn commit_with(mut self, statements: Query<'_, Sqlite, SqliteArguments>) -> Result<(), Error> {
        statements.execute(&mut *self).await?;
        if let Self::Writing(writing) = self {
            writing.keep();
        }
        Ok(())
    }
}

impl Writing {
    /// For the next unit of work: this one is over.
    fn keep(self) {
        let Self { connection, mut home } = self;
        *home = Some(connection);
    }
}

impl Deref for SqliteTx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match self {
            Self::Reading(tx) => tx,
            Self::Writing(writing) => &writing.connection,
        }
    }
}

impl DerefMut for SqliteTx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Reading(tx) => tx,
            Self::Writing(writing) => &mut writing.connection,
        }
    }
}
