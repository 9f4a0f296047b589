//! The audit's commits: one trip to the database to begin and one to end. On SQLite each trip wakes a thread and waits
//! for it, on PostgreSQL each crosses the network, and both stand between a caller and their credentials.

use super::{SqliteTx, Store, StoreError, Tx, audit::signed, begin_postgres, limited, rows::corrupt};
use crate::{
    audit::{Index, Row, StreamId},
    model::{IssuanceId, Time},
};
use data_encoding::HEXLOWER;
use serde::Serialize;
use sqlx::FromRow;
use std::collections::HashSet;

/// An intent without an outcome.
#[derive(Clone, Debug, Serialize)]
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

/// SQLite takes several statements in one text, and a list as JSON. IMMEDIATE takes the write lock up front; a deferred
/// transaction that reads first fails with `SQLITE_BUSY` when it upgrades.
const BEGIN_SQLITE: &str = "
    BEGIN IMMEDIATE;
    SELECT revision, NULL AS issuance_id FROM allowlist;
    DELETE FROM pending WHERE issuance_id IN (SELECT value FROM json_each($1)) RETURNING 0 AS revision, issuance_id";

const BEGIN_POSTGRES: &str = "
    WITH gone AS (DELETE FROM pending WHERE issuance_id = ANY($1) RETURNING issuance_id)
    SELECT revision, NULL AS issuance_id FROM allowlist UNION ALL SELECT 0, issuance_id FROM gone";

const END_SQLITE: &str = "
    INSERT INTO audit_events (stream, seq, record, hash, signature, id, at, kind, principal, account_id, role_arn,
                              issuance_id)
    SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), unhex(value ->> 4), value ->> 5, value ->> 6,
           value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11
    FROM json_each($1);
    INSERT INTO pending (issuance_id, at, stream, seq)
    SELECT value ->> 'issuance', value ->> 'at', value ->> 'stream', value ->> 'seq' FROM json_each($2);
    COMMIT";

const END_POSTGRES: &str = "
    WITH noted AS (
        INSERT INTO pending (issuance_id, at, stream, seq)
        SELECT * FROM unnest($13::text[], $14::bigint[], $15::text[], $16::bigint[]))
    INSERT INTO audit_events (stream, seq, record, hash, signature, id, at, kind, principal, account_id, role_arn,
                              issuance_id)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::bigint[],
                         $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])";

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
}

impl Tx {
    /// Adds audit rows and the intents among them, and keeps the work. After an error it is not known whether it was
    /// kept, as with [`Tx::commit`].
    pub async fn end_commit(self, rows: &[(Row, Index)], intents: &[PendingIntent]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => {
                let end = sqlx::query(END_SQLITE).bind(json(&column(rows, sqlite_row))).bind(json(intents));
                limited(tx.commit_with(end)).await
            }
            Self::Postgres(mut tx) => {
                let add = sqlx::query(END_POSTGRES)
                    .bind(column(rows, |(row, _)| row.stream.to_string()))
                    .bind(column(rows, |(row, _)| signed(row.seq)))
                    .bind(column(rows, |(row, _)| row.record.as_str()))
                    .bind(column(rows, |(row, _)| row.hash.as_bytes().as_slice()))
                    .bind(column(rows, |(row, _)| row.signature.as_ref().map(|s| s.as_bytes().as_slice())))
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
                    .bind(column(intents, |intent| signed(intent.seq)));
                limited(add.execute(&mut *tx)).await?;
                limited(tx.commit()).await
            }
        }
    }
}

fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// In the order of [`END_SQLITE`].
fn sqlite_row<'a>((row, index): &'a (Row, Index)) -> impl Serialize + use<'a> {
    let Index { id, at, kind, principal, account_id, role_arn, issuance_id } = index;
    let signature = row.signature.as_ref().map(|signature| HEXLOWER.encode(signature.as_bytes()));
    let hash = HEXLOWER.encode(row.hash.as_bytes());
    (row.stream, row.seq, &row.record, hash, signature, id, at, kind, principal, account_id, role_arn, issuance_id)
}

#[expect(clippy::expect_used, reason = "texts and numbers")]
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("what rows are made of can be written as JSON")
}
