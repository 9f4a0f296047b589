//! Sessions of the portal: looked up by their hash at each request, so that one that has ended anywhere is over everywhere.

use super::{
    Store, StoreError, limited, on,
    rows::{corrupt, time},
};
use crate::model::{IssuerName, PortalSession, PortalSessionId, Principal, Time, UserAgent};
use sqlx::FromRow;
use std::time::Duration;

/// How long a row outlives its session: longer than a sign-in may take, so that none can be used for a second one.
const KEPT: Duration = Duration::from_hours(1);
/// How many rows are swept in one statement.
const SWEPT: i64 = 1000;
/// Nobody has more sessions than a page shows.
const LISTED: i64 = 200;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, principal, group_names, issuer, subject, authenticated_at, created_at, last_used_at, ends_at, \
             groups_at, asked_at, sealed, address, user_agent FROM sessions WHERE ended_at IS NULL AND ",
            $rest
        )
    };
}

/// A session that begins.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// What is shown of it.
    pub session: &'a PortalSession,
    /// Of what the browser holds.
    pub hash: [u8; 32],
    /// Of the sign-in that it comes from.
    pub sign_in: [u8; 32],
    /// The refresh token, where there is one.
    pub sealed: Option<Vec<u8>>,
}

/// A session as it is kept.
#[derive(Clone, Debug)]
pub struct KeptSession {
    /// What is shown of it.
    pub session: PortalSession,
    /// When the provider was last asked for the groups.
    pub asked_at: Time,
    /// The refresh token, where there is one.
    pub sealed: Option<Vec<u8>>,
}

#[derive(FromRow)]
struct SessionRow {
    id: String,
    principal: String,
    group_names: String,
    issuer: String,
    subject: Option<String>,
    authenticated_at: Option<i64>,
    created_at: i64,
    last_used_at: i64,
    ends_at: i64,
    groups_at: i64,
    asked_at: i64,
    sealed: Option<Vec<u8>>,
    address: Option<String>,
    user_agent: Option<String>,
}

impl SessionRow {
    fn read(self) -> Result<KeptSession, StoreError> {
        let corrupt = corrupt("sessions");
        let time = |micros| time("sessions", micros);
        let groups: Vec<String> = serde_json::from_str(&self.group_names).map_err(self::corrupt("sessions"))?;
        let session = PortalSession {
            id: PortalSessionId::parse(&self.id).map_err(&corrupt)?,
            principal: Principal::parse(&self.principal).map_err(&corrupt)?,
            groups: groups.iter().map(|group| Principal::parse(group)).collect::<Result<_, _>>().map_err(&corrupt)?,
            issuer: IssuerName::parse(&self.issuer).map_err(&corrupt)?,
            subject: self.subject,
            authenticated_at: self.authenticated_at.map(time).transpose()?,
            created_at: time(self.created_at)?,
            last_used_at: time(self.last_used_at)?,
            ends_at: time(self.ends_at)?,
            groups_at: time(self.groups_at)?,
            address: self.address.map(|address| address.parse()).transpose().map_err(self::corrupt("sessions"))?,
            user_agent: self.user_agent.as_deref().map(UserAgent::cleaned),
        };
        Ok(KeptSession { session, asked_at: time(self.asked_at)?, sealed: self.sealed })
    }
}

/// Groups as a row has them.
fn names(groups: &[Principal]) -> String {
    serde_json::json!(groups).to_string()
}

impl Store {
    /// The session of this hash that has not been ended; whether its time is over is for the asker to see. Every request of
    /// the portal asks: one statement, and one trip.
    pub async fn find_session(&self, hash: &[u8; 32]) -> Result<Option<KeptSession>, StoreError> {
        const SQL: &str = select!("hash = $1");
        let hash = hash.as_slice();
        let row: Option<SessionRow> = match self {
            Self::Sqlite { read, .. } => limited(sqlx::query_as(SQL).bind(hash).fetch_optional(read)).await?,
            Self::Postgres { read, .. } => limited(sqlx::query_as(SQL).bind(hash).fetch_optional(read)).await?,
        };
        row.map(SessionRow::read).transpose()
    }

    /// Begins a session; `false` where its sign-in has been used already.
    pub async fn add_session(&self, new: NewSession<'_>) -> Result<bool, StoreError> {
        const SQL: &str = "
            INSERT INTO sessions (id, hash, sign_in, principal, group_names, issuer, subject, authenticated_at, created_at,
                                  last_used_at, ends_at, groups_at, asked_at, sealed, address, user_agent)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $9, $9, $11, $12, $13)
            ON CONFLICT (sign_in) DO NOTHING";
        let NewSession { session, hash, sign_in, sealed } = new;
        let mut tx = self.begin().await?;
        let added = on!(&mut tx, |conn| {
            sqlx::query(SQL)
                .bind(session.id.to_string())
                .bind(hash.as_slice())
                .bind(sign_in.as_slice())
                .bind(session.principal.to_string())
                .bind(names(&session.groups))
                .bind(session.issuer.as_str())
                .bind(session.subject.as_deref())
                .bind(session.authenticated_at.map(Time::as_micros))
                .bind(session.created_at.as_micros())
                .bind(session.ends_at.as_micros())
                .bind(sealed.as_deref())
                .bind(session.address.map(|address| address.to_string()))
                .bind(session.user_agent.as_ref().map(UserAgent::as_str))
                .execute(conn)
                .await?
                .rows_affected()
        })?;
        tx.commit().await?;
        Ok(added > 0)
    }

    /// Notes that a session was used now, unless that was noted after `before` by whichever replica.
    pub async fn note_session_use(&self, id: PortalSessionId, now: Time, before: Time) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE sessions SET last_used_at = $2 WHERE id = $1 AND last_used_at <= $3";
        let mut tx = self.begin().await?;
        on!(&mut tx, |conn| {
            let update = sqlx::query(SQL).bind(id.to_string()).bind(now.as_micros()).bind(before.as_micros());
            update.execute(conn).await?;
        })?;
        tx.commit().await
    }

    /// Takes it upon the caller to ask for a session's groups; `false` where somebody has since `last`. A refresh token may
    /// be good only once, so no two may use it.
    pub async fn claim_refresh(&self, id: PortalSessionId, last: Time, now: Time) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE sessions SET asked_at = $3 WHERE id = $1 AND asked_at = $2 AND ended_at IS NULL";
        let mut tx = self.begin().await?;
        let claimed = on!(&mut tx, |conn| {
            let update = sqlx::query(SQL).bind(id.to_string()).bind(last.as_micros()).bind(now.as_micros());
            update.execute(conn).await?.rows_affected()
        })?;
        tx.commit().await?;
        Ok(claimed > 0)
    }

    /// Keeps what the provider answered: its groups, as of then, and the refresh token.
    pub async fn refresh_session(
        &self,
        id: PortalSessionId,
        groups: &[Principal],
        groups_at: Time,
        sealed: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE sessions SET group_names = $2, groups_at = $3, sealed = $4 WHERE id = $1 AND ended_at IS NULL";
        let mut tx = self.begin().await?;
        on!(&mut tx, |conn| {
            let update =
                sqlx::query(SQL).bind(id.to_string()).bind(names(groups)).bind(groups_at.as_micros()).bind(sealed);
            update.execute(conn).await?;
        })?;
        tx.commit().await
    }

    /// Ends a session of this principal; whether there was one.
    pub async fn end_session(&self, id: PortalSessionId, principal: &Principal, now: Time) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE sessions SET ended_at = $3, sealed = NULL \
                           WHERE id = $1 AND principal = $2 AND ended_at IS NULL";
        let mut tx = self.begin().await?;
        let ended = on!(&mut tx, |conn| {
            let update = sqlx::query(SQL).bind(id.to_string()).bind(principal.to_string()).bind(now.as_micros());
            update.execute(conn).await?.rows_affected()
        })?;
        tx.commit().await?;
        Ok(ended > 0)
    }

    /// The sessions of a principal that go on, newest first: not ended, not over, and used since `used_after`.
    pub async fn list_sessions(
        &self,
        principal: &Principal,
        now: Time,
        used_after: Time,
    ) -> Result<Vec<PortalSession>, StoreError> {
        const SQL: &str = select!("principal = $1 AND ends_at > $2 AND last_used_at > $3 ORDER BY id DESC LIMIT $4");
        let mut tx = self.read().await?;
        let rows: Vec<SessionRow> = on!(&mut tx, |conn| {
            let query = sqlx::query_as(SQL).bind(principal.to_string()).bind(now.as_micros());
            query.bind(used_after.as_micros()).bind(LISTED).fetch_all(conn).await?
        })?;
        rows.into_iter().map(|row| Ok(row.read()?.session)).collect()
    }

    /// Removes what ended an hour ago, some at a time; how many. `used_before`: who rested since is over.
    pub async fn sweep_sessions(&self, now: Time, used_before: Time) -> Result<u64, StoreError> {
        const SQL: &str = "
            DELETE FROM sessions WHERE id IN
            (SELECT id FROM sessions WHERE ended_at <= $1 OR ends_at <= $1 OR last_used_at <= $2 LIMIT $3)";
        let mut tx = self.begin().await?;
        let swept = on!(&mut tx, |conn| {
            let delete = sqlx::query(SQL).bind(now.minus(KEPT).as_micros()).bind(used_before.minus(KEPT).as_micros());
            delete.bind(SWEPT).execute(conn).await?.rows_affected()
        })?;
        tx.commit().await?;
        Ok(swept)
    }
}
