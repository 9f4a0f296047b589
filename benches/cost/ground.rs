//! What a measurement stands on: the outside world, and fresh databases.

use crate::{
    issuer::{Alg, Issuer},
    process::{Process, myself},
};
use sqlx::{
    Connection as _, PgConnection, QueryBuilder, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// The outside world, and where databases may be made.
pub(crate) struct Ground {
    /// For what is kept on disk.
    folder: PathBuf,
    sqlite: bool,
    cluster: Option<Cluster>,
    pub(crate) issuer: Issuer,
    /// Where the simulated STS listens.
    pub(crate) sts: String,
    _sts: Process,
}

/// A PostgreSQL server.
#[derive(Clone)]
struct Cluster {
    /// Of its `postgres` database.
    url: String,
    postmaster: u32,
}

/// A database that nobody has used yet.
#[derive(Clone)]
pub(crate) struct Database {
    /// For what belongs to it: the configuration, the key, the log.
    pub(crate) folder: PathBuf,
    /// As `[database] url` takes it.
    pub(crate) url: String,
    postmaster: Option<u32>,
}

impl Ground {
    /// `postgres`: a cluster's address and its folder.
    pub(crate) async fn prepare(folder: &Path, sqlite: bool, postgres: Option<(&str, &Path)>) -> Self {
        let cluster = postgres.map(|(url, folder)| {
            let pid = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
            Cluster { url: url.to_owned(), postmaster: pid.lines().next().unwrap().parse().unwrap() }
        });
        let (process, sts) = Process::announced(&mut myself(&["sts"], ""));
        let issuer = Issuer::start(Alg::Es256).await;
        Self { folder: folder.to_owned(), sqlite, cluster, issuer, sts, _sts: process }
    }

    /// A new database of each kind that is measured.
    pub(crate) async fn databases(&self, name: &str) -> Vec<Database> {
        let sqlite = self.sqlite.then(|| self.sqlite_database(name));
        sqlite.into_iter().chain(self.postgres_database(name).await).collect()
    }

    fn sqlite_database(&self, name: &str) -> Database {
        let folder = self.folder_of(name, "sqlite");
        Database { url: format!("sqlite:{}/hallpass.db", folder.display()), folder, postmaster: None }
    }

    /// `None` where PostgreSQL is not measured.
    pub(crate) async fn postgres_database(&self, name: &str) -> Option<Database> {
        let Cluster { url, postmaster } = self.cluster.as_ref()?;
        let mut connection = PgConnection::connect(url).await.unwrap();
        for setting in ["SHOW fsync", "SHOW synchronous_commit", "SHOW full_page_writes"] {
            let value: String = sqlx::query_scalar(setting).fetch_one(&mut connection).await.unwrap();
            assert_eq!(value, "on", "{setting}: nothing is durable otherwise");
        }
        QueryBuilder::new("CREATE DATABASE ").push(name).build().execute(&mut connection).await.unwrap();
        let url = format!("{}/{name}", url.rsplit_once('/').unwrap().0);
        Some(Database { folder: self.folder_of(name, "postgres"), url, postmaster: Some(*postmaster) })
    }

    fn folder_of(&self, name: &str, kind: &str) -> PathBuf {
        let folder = self.folder.join(format!("{name}-{kind}"));
        fs::create_dir(&folder).unwrap();
        folder
    }
}

impl Database {
    pub(crate) fn kind(&self) -> &'static str {
        if self.postmaster.is_some() { "PostgreSQL" } else { "SQLite" }
    }

    /// The server's first process, where there is a server.
    pub(crate) fn postmaster(&self) -> Option<u32> {
        self.postmaster
    }
}

/// A connection of our own, set as the service sets its own.
pub(crate) enum Sql {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Sql {
    pub(crate) async fn connect(database: &Database) -> Self {
        if database.postmaster.is_some() {
            let mut connection = PgConnection::connect(&database.url).await.unwrap();
            sqlx::raw_sql("SET synchronous_commit = on").execute(&mut connection).await.unwrap();
            return Self::Postgres(connection);
        }
        let options: SqliteConnectOptions = database.url.parse().unwrap();
        let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let options = options.synchronous(SqliteSynchronous::Full);
        Self::Sqlite(SqliteConnection::connect_with(&options).await.unwrap())
    }

    pub(crate) async fn run(&mut self, statements: &'static str) {
        match self {
            Self::Sqlite(connection) => _ = sqlx::raw_sql(statements).execute(connection).await.unwrap(),
            Self::Postgres(connection) => _ = sqlx::raw_sql(statements).execute(connection).await.unwrap(),
        }
    }

    /// A statement with numbers for `$1`, `$2` …
    pub(crate) async fn run_with(&mut self, statement: &'static str, numbers: &[i64]) {
        match self {
            Self::Sqlite(connection) => {
                let bound = numbers.iter().fold(sqlx::query(statement), |query, number| query.bind(*number));
                bound.execute(connection).await.unwrap();
            }
            Self::Postgres(connection) => {
                let bound = numbers.iter().fold(sqlx::query(statement), |query, number| query.bind(*number));
                bound.execute(connection).await.unwrap();
            }
        }
    }

    pub(crate) async fn add_line(&mut self, line: &str) {
        const ADD: &str = "INSERT INTO lines VALUES ($1)";
        match self {
            Self::Sqlite(connection) => _ = sqlx::query(ADD).bind(line).execute(connection).await.unwrap(),
            Self::Postgres(connection) => _ = sqlx::query(ADD).bind(line).execute(connection).await.unwrap(),
        }
    }

    /// The issuances on record.
    pub(crate) async fn issuances(&mut self) -> HashSet<String> {
        const LIST: &str = "SELECT issuance_id FROM audit_events WHERE kind = 'credentials.issued'";
        let ids: Vec<String> = match self {
            Self::Sqlite(connection) => sqlx::query_scalar(LIST).fetch_all(connection).await.unwrap(),
            Self::Postgres(connection) => sqlx::query_scalar(LIST).fetch_all(connection).await.unwrap(),
        };
        let (rows, ids) = (ids.len(), HashSet::from_iter(ids));
        assert_eq!(rows, HashSet::<String>::len(&ids), "an issuance is on record twice");
        ids
    }

    /// How many hand-outs are on record.
    pub(crate) async fn hand_outs(&mut self) -> usize {
        const COUNT: &str = "SELECT COUNT(*) FROM audit_events WHERE kind = 'credentials.shared'";
        let count: i64 = match self {
            Self::Sqlite(connection) => sqlx::query_scalar(COUNT).fetch_one(connection).await.unwrap(),
            Self::Postgres(connection) => sqlx::query_scalar(COUNT).fetch_one(connection).await.unwrap(),
        };
        usize::try_from(count).unwrap()
    }
}
