//! What the portal's charts and lists of the audit are made of: each statement reads a bounded part of an index.

use super::{
    StoreError, Tx,
    access::push_list,
    on,
    rows::{GrantRow, corrupt, time},
};
use crate::{
    audit::{Kind, SignedHead, StreamId},
    model::{AccountId, Alias, Grant, GrantId, Invalid, Time},
};
use sqlx::{FromRow, QueryBuilder};
use std::collections::{BTreeSet, HashMap};

/// A stream and how far it is.
#[derive(Clone, Debug)]
pub struct StreamState {
    /// When its run began it.
    pub opened_at: Time,
    /// When its run ended it; `None` where it is open, or its run was cut off.
    pub closed_at: Option<Time>,
    /// Its newest row, which is always signed.
    pub head: SignedHead,
}

/// How many events there were of one kind on one day.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct DayCount {
    /// The number of the UTC day since 1970.
    pub day: i64,
    /// [`Kind::CredentialsIssued`] or [`Kind::CredentialsDenied`].
    pub kind: String,
    /// How many.
    pub events: i64,
}

/// What one person used by one grant.
#[derive(Clone, Debug, FromRow)]
pub struct Use {
    /// Who.
    pub principal: Option<String>,
    /// The role's ARN.
    pub role_arn: Option<String>,
    /// By which grant.
    pub grant_id: Option<String>,
    /// How often.
    pub issuances: i64,
    /// When last, in microseconds since 1970 UTC.
    pub last_at: i64,
}

/// Who used what.
#[derive(Clone, Debug)]
pub struct Uses {
    /// In no order.
    pub uses: Vec<Use>,
    /// There are more issuances than are told of, of this moment and before.
    pub cut_at: Option<Time>,
}

#[derive(FromRow)]
struct StreamRow {
    opened_at: i64,
    closed_at: Option<i64>,
    #[sqlx(flatten)]
    head: super::audit::HeadRow,
}

impl StreamRow {
    fn read(self) -> Result<StreamState, StoreError> {
        let corrupt = corrupt("audit_streams");
        let time = |micros| Time::from_micros(micros).ok_or_else(|| corrupt("a time out of range"));
        let closed_at = self.closed_at.map(time).transpose()?;
        Ok(StreamState { opened_at: time(self.opened_at)?, closed_at, head: self.head.signed()? })
    }
}

impl Tx {
    /// The streams, newest first, at most `limit` behind `after`.
    pub async fn list_streams(&mut self, after: Option<StreamId>, limit: u32) -> Result<Vec<StreamState>, StoreError> {
        let rows: Vec<StreamRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new(
                "SELECT s.opened_at, s.closed_at, e.stream, e.seq, e.hash, e.signature, e.at FROM audit_streams s \
                 JOIN audit_events e ON e.stream = s.stream \
                 AND e.seq = (SELECT max(newest.seq) FROM audit_events newest WHERE newest.stream = s.stream)",
            );
            if let Some(after) = after {
                q.push(" WHERE s.stream < ").push_bind(after.to_string());
            }
            q.push(" ORDER BY s.stream DESC LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(StreamRow::read).collect()
    }

    /// Issuances and refusals of each day from `since` on: entries of the index by kind, and no row.
    pub async fn count_days(&mut self, since: Time) -> Result<Vec<DayCount>, StoreError> {
        const SQL: &str = "
            SELECT at / 86400000000 AS day, kind, count(*) AS events FROM audit_events
            WHERE kind IN ($1, $2) AND at >= $3 GROUP BY 1, 2 ORDER BY 1, 2";
        let kinds = [Kind::CredentialsIssued, Kind::CredentialsDenied].map(Kind::as_str);
        on!(self, |conn| {
            sqlx::query_as(SQL).bind(kinds[0]).bind(kinds[1]).bind(since.as_micros()).fetch_all(conn).await?
        })
    }

    /// Who used what by which grant from `since` on, for credentials and for the console, out of the newest `most` issuances of
    /// each: an issuance's row is read for the grant, which no index has.
    pub async fn tally_uses(&mut self, since: Time, most: u32) -> Result<Uses, StoreError> {
        const USES: [Kind; 2] = [Kind::CredentialsIssued, Kind::ConsoleIssued];
        // Reads no more than `most` entries of the index by kind.
        const CUT: &str = "SELECT at FROM audit_events WHERE kind = $1 AND at >= $2 ORDER BY at DESC LIMIT 1 OFFSET $3";
        // A dialect arm: a cast to JSON, which SQLite would take for a number's.
        let grant = if matches!(self, Self::Postgres(_)) { "CAST(record AS json)" } else { "record" };
        let (mut uses, mut cut_at) = (Vec::new(), None);
        for kind in USES.map(Kind::as_str) {
            let some: Vec<Use> = on!(&mut *self, |conn| {
                let mut q = QueryBuilder::new("SELECT principal, role_arn, ");
                q.push(grant).push(" ->> 'grant_id' AS grant_id, count(*) AS issuances, max(at) AS last_at FROM (");
                q.push("SELECT principal, role_arn, record, at FROM audit_events WHERE kind = ");
                q.push_bind(kind).push(" AND at >= ").push_bind(since.as_micros());
                q.push(" ORDER BY at DESC LIMIT ").push_bind(i64::from(most)).push(") newest GROUP BY 1, 2, 3");
                q.build_query_as().fetch_all(conn).await?
            })?;
            uses.extend(some);
            let cut: Option<i64> = on!(&mut *self, |conn| {
                let cut = sqlx::query_scalar(CUT).bind(kind).bind(since.as_micros());
                cut.bind(i64::from(most)).fetch_optional(conn).await?
            })?;
            cut_at = cut_at.max(cut);
        }
        Ok(Uses { uses, cut_at: cut_at.map(|micros| time("audit_events", micros)).transpose()? })
    }

    /// Grants of the file and single ones by id, at most `limit` after `after`.
    pub async fn list_grants_of_any_origin(
        &mut self,
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<Grant>, StoreError> {
        let rows: Vec<GrantRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(GrantRow::COLUMNS).push(" FROM grants g");
            if let Some(after) = after {
                q.push(" WHERE g.id > ").push_bind(after.as_str());
            }
            q.push(" ORDER BY g.id LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(GrantRow::read).collect()
    }

    /// The aliases of those of these accounts that have one.
    pub async fn find_aliases(
        &mut self,
        accounts: &BTreeSet<AccountId>,
    ) -> Result<HashMap<AccountId, Alias>, StoreError> {
        if accounts.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        let rows: Vec<(String, String)> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT id, alias FROM accounts WHERE alias IS NOT NULL AND id IN (");
            push_list(&mut q, &ids);
            q.push(")").build_query_as().fetch_all(conn).await?
        })?;
        let read = |(id, alias): (String, String)| Ok((AccountId::parse(&id)?, Alias::parse(&alias)?));
        let read: Result<_, Invalid> = rows.into_iter().map(read).collect();
        read.map_err(corrupt("accounts"))
    }

    /// The account with this alias.
    pub async fn find_account_id(&mut self, alias: &Alias) -> Result<Option<AccountId>, StoreError> {
        const SQL: &str = "SELECT id FROM accounts WHERE alias = $1";
        let id: Option<String> =
            on!(self, |conn| sqlx::query_scalar(SQL).bind(alias.as_str()).fetch_optional(conn).await?)?;
        id.as_deref().map(AccountId::parse).transpose().map_err(corrupt("accounts"))
    }
}
