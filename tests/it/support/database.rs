//! A fresh database for each test: a SQLite file, or a database in a PostgreSQL cluster.

use super::{run, skip, variable};
use serde_json::Value;
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::{fs, path::Path, process::Command, time::Duration};
use tempfile::TempDir;

/// Emits each named `async fn(db: &TestDb)` as a test on SQLite and one on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { $crate::support::database::on_sqlite(super::$name); })+
        }
        mod postgres {
            $(#[test] fn $name() { $crate::support::database::on_postgres(super::$name); })+
        }
    };
}
pub(crate) use on_both;

/// Runs a test on a new SQLite file.
pub(crate) fn on_sqlite(case: impl AsyncFnOnce(&TestDb)) {
    block_on(async { case(&TestDb::sqlite()).await });
}

/// Runs a test on a new database of the cluster that `tests/run` started.
pub(crate) fn on_postgres(case: impl AsyncFnOnce(&TestDb)) {
    let Some(cluster) = variable("HALLPASS_TEST_POSTGRES") else { return skip("PostgreSQL") };
    block_on(async {
        let db = TestDb::postgres(&cluster).await;
        case(&db).await;
        db.remove(&cluster).await; // a failed test leaves its own behind, to be looked at
    });
}

/// Runs a test that needs no database of the cluster's.
pub(crate) fn block_on(case: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(case);
}

/// A database for one test.
pub(crate) struct TestDb {
    /// As `[database] url` takes it.
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

/// A connection of the test's own, beside the service's.
pub(crate) enum Sql {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl TestDb {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = Self::sqlite_in(folder.path()).url;
        Self { url, _folder: Some(folder) }
    }

    /// One that is there already, or as somebody else.
    pub(crate) fn at(url: &str) -> Self {
        Self { url: url.to_owned(), _folder: None }
    }

    /// A SQLite file in a folder that outlives the test's use of it.
    pub(crate) fn sqlite_in(folder: &Path) -> Self {
        Self { url: format!("sqlite:{}", folder.join("hallpass.db").display()), _folder: None }
    }

    /// A new database in a cluster, and nothing in it.
    pub(crate) async fn postgres(cluster: &str) -> Self {
        let name = format!("t{}", hallpass::clock::Clock::system().new_id().simple());
        Sql::connect(cluster).await.execute(&format!("CREATE DATABASE {name}")).await;
        Self { url: in_cluster(cluster, &name), _folder: None }
    }

    async fn remove(&self, cluster: &str) {
        let name = self.url.rsplit('/').next().unwrap();
        Sql::connect(cluster).await.execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    pub(crate) async fn connect(&self) -> Sql {
        Sql::connect(&self.url).await
    }

    /// Every audit record, in the order of the streams.
    pub(crate) async fn records(&self) -> Vec<Value> {
        let rows = self.connect().await.texts("SELECT record FROM audit_events ORDER BY stream, seq").await;
        rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
    }
}

fn in_cluster(cluster: &str, name: &str) -> String {
    format!("{}/{name}", cluster.rsplit_once('/').unwrap().0)
}

impl Sql {
    pub(crate) async fn connect(url: &str) -> Self {
        if url.starts_with("postgres") {
            return Self::Postgres(PgConnection::connect(url).await.unwrap());
        }
        let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
        let patient = options.create_if_missing(true).busy_timeout(Duration::from_secs(30));
        Self::Sqlite(SqliteConnection::connect_with(&patient).await.unwrap())
    }

    /// Runs statements without parameters, and tells how many rows they changed.
    pub(crate) async fn execute(&mut self, statements: &str) -> u64 {
        self.try_execute(statements).await.unwrap_or_else(|e| panic!("{statements}: {e}"))
    }

    /// As [`Sql::execute`], for what the database may refuse.
    pub(crate) async fn try_execute(&mut self, statements: &str) -> Result<u64, sqlx::Error> {
        let sql = raw(statements);
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(|r| r.rows_affected()),
            Self::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(|r| r.rows_affected()),
        }
    }

    /// Every row of a query as one text, whatever its columns are.
    pub(crate) async fn lines(&mut self, query: &str) -> Vec<String> {
        use sqlx::{Row as _, ValueRef as _};
        let sql = raw(query);
        match self {
            Self::Postgres(_) => self.texts(query).await,
            Self::Sqlite(connection) => {
                let rows = sqlx::query(sql).fetch_all(connection).await.unwrap();
                let cell = |row: &sqlx::sqlite::SqliteRow, column| {
                    let value = row.try_get_raw(column).unwrap();
                    if value.is_null() {
                        return String::new();
                    }
                    String::from_utf8_lossy(row.get_unchecked::<&[u8], _>(column)).into_owned()
                };
                rows.iter().map(|row| (0..row.len()).map(|column| cell(row, column) + " ").collect()).collect()
            }
        }
    }

    /// A query's one column, as text.
    pub(crate) async fn texts(&mut self, query: &str) -> Vec<String> {
        let sql = raw(query);
        let rows = match self {
            Self::Sqlite(connection) => sqlx::query_scalar(sql).fetch_all(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(sql).fetch_all(connection).await,
        };
        rows.unwrap_or_else(|e| panic!("{query}: {e}"))
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests' own statements, some with names that they made")]
fn raw(sql: &str) -> sqlx::AssertSqlSafe<&str> {
    sqlx::AssertSqlSafe(sql)
}

/// A PostgreSQL cluster of a test's own, to be stopped, filled or frozen.
pub(crate) struct Cluster {
    folder: TempDir,
    /// Where its `postgres` database is; the same after a restart.
    pub(crate) url: String,
}

impl Cluster {
    /// `None` where PostgreSQL is missing, and that may be.
    pub(crate) fn start() -> Option<Self> {
        if variable("HALLPASS_TEST_POSTGRES").is_none() {
            skip("PostgreSQL");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        run(Command::new("chmod").arg("755").arg(folder.path()));
        let mut cluster = Self { folder, url: String::new() };
        cluster.url = cluster.control(&["start"]);
        Some(cluster)
    }

    pub(crate) fn start_again(&self) {
        self.control(&["start"]);
    }

    /// As a crash does: no checkpoint, and every connection cut.
    pub(crate) fn stop(&self) {
        self.control(&["stop", "immediate"]);
    }

    /// Sends a signal to every process of the cluster: `STOP` leaves its connections open, and silent.
    pub(crate) fn signal(&self, name: &str) {
        let pid = fs::read_to_string(self.folder.path().join("cluster/data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        run(Command::new("sh").args(["-c", &format!("kill -{name} {pid} {children}")]));
    }

    /// A folder that the cluster may write to.
    pub(crate) fn add_folder(path: &Path) {
        fs::create_dir(path).unwrap();
        // Refused, and not needed, where the tests are not root's: then the cluster runs as the same user.
        let _ = Command::new("chown").arg("postgres").arg(path).output();
    }

    fn control(&self, words: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres");
        run(Command::new(script).arg(words[0]).arg(self.folder.path().join("cluster")).args(&words[1..]))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres");
        let folder = self.folder.path().join("cluster");
        let _ = Command::new(script).arg("stop").arg(folder).arg("immediate").output();
    }
}
