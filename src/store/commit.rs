//! The audit's commits. On SQLite each trip to the database wakes a thread and waits for it, on PostgreSQL each crosses
//! the network, and all of them stand between a caller and their credentials: so a commit takes one trip where everything is
//! as the recorder foresees it, and two where it must look first.

use super::{SqliteTx, Store, StoreError, Tx, audit::signed, begin_postgres, limited, rows::corrupt};
use crate::{
    audit::{Index, Row, StreamId},
    model::{IssuanceId, Time},
};
use data_encoding::HEXLOWER;
use serde::Serialize;
use sqlx::{FromRow, Postgres, error::DatabaseError, postgres::PgArguments, query::Query};
use std::collections::HashSet;

/// An intent without an outcome.
#[derive(Clone, Debug)]
pub struct PendingIntent {
    /// Whose outcome is awaited.
    pub issuance: IssuanceId,
    /// When it was recorded.
    pub at: Time,
    /// Where its `credentials.requested` stands.
    pub stream: StreamId,
    /// And at which place.
    pub seq: u64,
}

/// What a commit finds as it begins.
#[derive(Debug, Default)]
pub struct Ground {
    /// The allowlist's revision.
    pub revision: u64,
    /// Those of the concluded issuances that were still awaited. From now on they are not, if this commit is kept.
    pub awaited: HashSet<IssuanceId>,
}

#[derive(FromRow)]
struct GroundRow {
    revision: i64,
    issuance_id: Option<String>,
}

impl Ground {
    fn read(rows: Vec<GroundRow>) -> Result<Self, StoreError> {
        let mut ground = Self::default();
        for row in rows {
            match row.issuance_id {
                Some(id) => _ = ground.awaited.insert(IssuanceId::parse(&id).map_err(corrupt("pending"))?),
                None => ground.revision = row.revision.unsigned_abs(),
            }
        }
        Ok(ground)
    }
}

macro_rules! add_rows_sqlite {
    ($rows:literal) => {
        concat!(
            "INSERT INTO audit_events (stream, seq, record, hash, signature, id, at, kind, principal, account_id,
                                       role_arn, issuance_id)
             SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), unhex(value ->> 4), value ->> 5,
                    value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11
             FROM json_each(",
            $rows,
            ")"
        )
    };
}

macro_rules! add_pending_sqlite {
    ($intents:literal) => {
        concat!(
            "INSERT INTO pending (issuance_id, at, stream, seq)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(",
            $intents,
            ")"
        )
    };
}

macro_rules! add_pending_postgres {
    () => {
        "noted AS (INSERT INTO pending (issuance_id, at, stream, seq)
                   SELECT * FROM unnest($13::text[], $14::bigint[], $15::text[], $16::bigint[])) "
    };
}

macro_rules! add_rows_postgres {
    () => {
        "INSERT INTO audit_events (stream, seq, record, hash, signature, id, at, kind, principal, account_id, role_arn,
                                   issuance_id)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::bigint[],
                              $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])"
    };
}

/// SQLite takes several statements in one text, and a list as JSON. IMMEDIATE takes the write lock up front; a deferred
/// transaction that reads first fails with `SQLITE_BUSY` when it upgrades.
const BEGIN_SQLITE: &str = "
    BEGIN IMMEDIATE;
    SELECT revision, NULL AS issuance_id FROM allowlist;
    DELETE FROM pending WHERE issuance_id IN (SELECT value FROM json_each($1)) RETURNING 0 AS revision, issuance_id";

const BEGIN_POSTGRES: &str = "
    WITH gone AS (DELETE FROM pending WHERE issuance_id = ANY($1) RETURNING issuance_id)
    SELECT revision, NULL AS issuance_id FROM allowlist UNION ALL SELECT 0, issuance_id FROM gone";

const END_SQLITE: &str = concat!(add_rows_sqlite!("$1"), ";", add_pending_sqlite!("$2"), "; COMMIT");

/// A commit as one statement over SQLite: a row inserted into this view is a commit, or nothing where the revision and
/// the pending intents are not as foreseen. Each connection that writes makes it for itself.
pub(super) const AT_ONCE_SQLITE: &str = concat!(
    "CREATE TEMP VIEW audit_commits AS SELECT NULL AS events, NULL AS intents, NULL AS concluded, NULL AS revision;
     CREATE TEMP TRIGGER audit_commit INSTEAD OF INSERT ON audit_commits BEGIN
        DELETE FROM pending WHERE issuance_id IN (SELECT value FROM json_each(NEW.concluded));
        SELECT RAISE(ABORT, 'not as foreseen') WHERE changes() <> json_array_length(NEW.concluded)
            OR NEW.revision <> (SELECT revision FROM allowlist);",
    add_rows_sqlite!("NEW.events"),
    ";",
    add_pending_sqlite!("NEW.intents"),
    "; END"
);

const WHOLE_SQLITE: &str = "INSERT INTO audit_commits (events, intents, concluded, revision) VALUES ($1, $2, $3, $4)";

const END_POSTGRES: &str = concat!("WITH ", add_pending_postgres!(), add_rows_postgres!());

/// A division by zero unless the revision and the pending intents are as foreseen. Counting what was deleted, not what
/// was there before: another replica may be taking an orphan at this moment.
const WHOLE_POSTGRES: &str = concat!(
    "WITH gone AS (DELETE FROM pending WHERE issuance_id = ANY($17::text[]) RETURNING issuance_id), ",
    add_pending_postgres!(),
    add_rows_postgres!(),
    " WHERE 1 / ((SELECT revision FROM allowlist) = $18 AND (SELECT count(*) FROM gone) = cardinality($17::text[]))::int = 1"
);

impl Store {
    /// Starts a unit of work that writes audit rows, and ends the waiting for these issuances.
    pub async fn begin_commit(&self, concluded: &[IssuanceId]) -> Result<(Tx, Ground), StoreError> {
        let ids: Vec<String> = concluded.iter().map(ToString::to_string).collect();
        let (tx, rows) = match self {
            Self::Sqlite { write, .. } => {
                let (tx, rows) = limited(write.begin_with(sqlx::query_as(BEGIN_SQLITE).bind(json(&ids)))).await?;
                (Tx::Sqlite(SqliteTx::Writing(tx)), rows)
            }
            Self::Postgres { write, .. } => {
                let mut tx = begin_postgres(write).await?;
                let rows = limited(sqlx::query_as(BEGIN_POSTGRES).bind(ids).fetch_all(&mut *tx)).await?;
                (Tx::Postgres(tx), rows)
            }
        };
        Ok((tx, Ground::read(rows)?))
    }

    /// The whole of a commit at once, where the allowlist's revision and the pending intents are as foreseen: `false`
    /// where they are not, and then nothing was done. After an error it is not known whether it was kept. Has no limit of
    /// its own: its caller has one for the whole commit.
    pub async fn commit_at_once(
        &self,
        revision: u64,
        concluded: &[IssuanceId],
        rows: &[(Row, Index)],
        intents: &[PendingIntent],
    ) -> Result<bool, StoreError> {
        let concluded = column(concluded, ToString::to_string);
        match self {
            Self::Sqlite { write, .. } => {
                let whole = sqlx::query(WHOLE_SQLITE).bind(sqlite_rows(rows)).bind(sqlite_intents(intents));
                as_foreseen(write.at_once(whole.bind(json(&concluded)).bind(signed(revision))).await)
            }
            Self::Postgres { write, .. } => {
                let whole = bind_postgres(sqlx::query(WHOLE_POSTGRES), rows, intents);
                as_foreseen(whole.bind(concluded).bind(signed(revision)).execute(write).await.map(|_| ()))
            }
        }
    }
}

impl Tx {
    /// Adds audit rows and the intents among them, and keeps the work. After an error it is not known whether it was
    /// kept, as with [`Tx::commit`].
    pub async fn end_commit(self, rows: &[(Row, Index)], intents: &[PendingIntent]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => {
                let end = sqlx::query(END_SQLITE).bind(sqlite_rows(rows)).bind(sqlite_intents(intents));
                limited(tx.commit_with(end)).await
            }
            Self::Postgres(mut tx) => {
                limited(bind_postgres(sqlx::query(END_POSTGRES), rows, intents).execute(&mut *tx)).await?;
                limited(tx.commit()).await
            }
        }
    }
}

/// In the order of `add_rows_postgres` and `add_pending_postgres`.
fn bind_postgres<'q>(
    query: Query<'q, Postgres, PgArguments>,
    rows: &'q [(Row, Index)],
    intents: &'q [PendingIntent],
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(column(rows, |(row, _)| row.stream.to_string()))
        .bind(column(rows, |(row, _)| signed(row.seq)))
        .bind(column(rows, |(row, _)| row.record.as_str()))
        .bind(column(rows, |(row, _)| row.hash.as_bytes().as_slice()))
        .bind(column(rows, |(row, _)| row.signature.as_ref().map(|signature| signature.as_bytes().as_slice())))
        .bind(column(rows, |(_, index)| index.id.as_str()))
        .bind(column(rows, |(_, index)| index.at))
        .bind(column(rows, |(_, index)| index.kind.as_str()))
        .bind(column(rows, |(_, index)| index.principal.as_deref()))
        .bind(column(rows, |(_, index)| index.account_id.as_deref()))
        .bind(column(rows, |(_, index)| index.role_arn.as_deref()))
        .bind(column(rows, |(_, index)| index.issuance_id.as_deref()))
        .bind(column(intents, |intent| intent.issuance.to_string()))
        .bind(column(intents, |intent| intent.at.as_micros()))
        .bind(column(intents, |intent| intent.stream.to_string()))
        .bind(column(intents, |intent| signed(intent.seq)))
}

/// Of a commit at once: the trigger's own words on SQLite, the division by zero on PostgreSQL (SQLSTATE 22012).
fn as_foreseen(done: Result<(), sqlx::Error>) -> Result<bool, StoreError> {
    let otherwise = |error: &dyn DatabaseError| {
        error.message() == "not as foreseen" || error.code().is_some_and(|code| code == "22012")
    };
    match done {
        Err(sqlx::Error::Database(error)) if otherwise(&*error) => Ok(false),
        done => Ok(done.map(|()| true)?),
    }
}

fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// In the order of `add_rows_sqlite`.
fn sqlite_row((row, index): &(Row, Index)) -> impl Serialize + use<'_> {
    let Index { id, at, kind, principal, account_id, role_arn, issuance_id } = index;
    let signature = row.signature.as_ref().map(|signature| HEXLOWER.encode(signature.as_bytes()));
    let hash = HEXLOWER.encode(row.hash.as_bytes());
    (row.stream, row.seq, &row.record, hash, signature, id, at, kind, principal, account_id, role_arn, issuance_id)
}

fn sqlite_rows(rows: &[(Row, Index)]) -> String {
    json(&column(rows, sqlite_row))
}

fn sqlite_intents(intents: &[PendingIntent]) -> String {
    json(&column(intents, |intent| (intent.issuance, intent.at.as_micros(), intent.stream, intent.seq)))
}

#[expect(clippy::expect_used, reason = "texts and numbers")]
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("what rows are made of can be written as JSON")
}
