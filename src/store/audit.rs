//! The audit's tables: rows are only ever added and read; `pending` alone is taken from.

use super::{
    StoreError, Tx, on,
    rows::{corrupt, time},
};
use crate::{
    audit::{Hash, Head, Index, Row, Signature, SignedHead, StreamId},
    model::{AccountId, IssuanceId, Principal, RoleArn, Time},
};
use serde_json::{Map, Value, json};
use sqlx::{Database, Encode, FromRow, QueryBuilder, Type};
use std::time::Duration;

/// Which events are wanted; all that is set must hold, each exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// An event's kind, such as `credentials.issued`.
    pub kind: Option<String>,
    /// Whose events.
    pub principal: Option<Principal>,
    /// A trusting account.
    pub account: Option<AccountId>,
    /// A role.
    pub role: Option<RoleArn>,
    /// One issuance.
    pub issuance: Option<IssuanceId>,
    /// From this moment on.
    pub since: Option<Time>,
    /// Before this moment.
    pub until: Option<Time>,
    /// Text that the record holds, ignoring case.
    pub text: Option<String>,
}

impl EventFilter {
    /// Whether it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is about to be read, filtered how: for the record of reading it.
    #[must_use]
    pub fn describe(&self, what: &str) -> Map<String, Value> {
        let members = [
            ("read", Some(json!(what))),
            ("kind", self.kind.as_ref().map(|kind| json!(kind))),
            ("principal", self.principal.as_ref().map(|principal| json!(principal))),
            ("account", self.account.as_ref().map(|account| json!(account))),
            ("role", self.role.as_ref().map(|role| json!(role))),
            ("issuance", self.issuance.as_ref().map(|issuance| json!(issuance))),
            ("since", self.since.map(|since| json!(since))),
            ("until", self.until.map(|until| json!(until))),
            ("q", self.text.as_ref().map(|text| json!(text))),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// An event's time and id: where a page by time ends, and the next one goes on.
pub type Place = (Time, String);

/// Where a page begins, and in which order it goes.
#[derive(Clone, Debug)]
pub enum Page {
    /// Newest first, by time and id; after this one where it is set.
    Newest(Option<Place>),
    /// Oldest first, by time and id; after this one where it is set.
    Oldest(Option<Place>),
    /// One stream in its own order, after this `seq`: misses nothing.
    Stream(StreamId, u64),
}

/// An event's row with its place in time, to go on from.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The row.
    pub row: Row,
    /// Where the next page goes on.
    pub place: Place,
}

#[derive(FromRow)]
struct EventRow {
    stream: String,
    seq: i64,
    record: String,
    hash: Vec<u8>,
    signature: Option<Vec<u8>>,
    id: String,
    at: i64,
    kind: String,
    principal: Option<String>,
    account_id: Option<String>,
    role_arn: Option<String>,
    issuance_id: Option<String>,
}

impl EventRow {
    const COLUMNS: &'static str = "e.stream, e.seq, e.record, e.hash, e.signature, e.id, e.at, e.kind, e.principal, \
         e.account_id, e.role_arn, e.issuance_id";

    fn read(self) -> Result<(Row, Index), Unreadable> {
        let unreadable = |what: &str| Unreadable { stream: self.stream.clone(), seq: self.seq, what: what.to_owned() };
        let stream = StreamId::parse(&self.stream).map_err(|_| unreadable("a stream that is no UUID"))?;
        let seq = u64::try_from(self.seq).map_err(|_| unreadable("a negative place"))?;
        let hash = Hash::from_slice(&self.hash).map_err(|_| unreadable("a hash that is not 32 bytes"))?;
        let signature = self.signature.as_deref().map(Signature::from_slice).transpose();
        let signature = signature.map_err(|_| unreadable("a signature that is not 64 bytes"))?;
        let Self { record, id, at, kind, principal, account_id, role_arn, issuance_id, .. } = self;
        let index = Index { id, at, kind, principal, account_id, role_arn, issuance_id };
        Ok((Row { stream, seq, record, hash, signature }, index))
    }
}

impl EventRow {
    fn listed(self) -> Result<Listed, StoreError> {
        let place = (time("audit_events", self.at)?, self.id.clone());
        Ok(Listed { row: self.read()?.0, place })
    }
}

/// A row whose columns hold what this program never writes.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}, in stream {stream} at {seq}")]
pub struct Unreadable {
    /// The stream's column, as it is.
    pub stream: String,
    /// The place's column, as it is.
    pub seq: i64,
    /// What is wrong.
    pub what: String,
}

impl From<Unreadable> for StoreError {
    fn from(row: Unreadable) -> Self {
        corrupt("audit_events")(row)
    }
}

#[derive(FromRow)]
pub(super) struct HeadRow {
    stream: String,
    seq: i64,
    hash: Vec<u8>,
    signature: Option<Vec<u8>>,
    at: i64,
}

impl HeadRow {
    fn head(&self) -> Result<Head, StoreError> {
        let corrupt = corrupt("audit_events");
        let (stream, hash) = (StreamId::parse(&self.stream), Hash::from_slice(&self.hash));
        Ok(Head { stream: stream.map_err(&corrupt)?, seq: self.seq.unsigned_abs(), hash: hash.map_err(&corrupt)? })
    }

    pub(super) fn signed(&self) -> Result<SignedHead, StoreError> {
        let signature = self.signature.as_deref().map(Signature::from_slice);
        let signature = signature.ok_or_else(|| corrupt("audit_events")("a last row without a signature"))?;
        let (signature, at) = (signature.map_err(corrupt("audit_events"))?, time("audit_events", self.at)?);
        Ok(SignedHead { head: self.head()?, signature, at: Some(at) })
    }
}

/// How far lists of heads reach back behind one another.
const OVERLAP: Duration = Duration::from_mins(1);

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Tx {
    /// Notes that a stream begins.
    pub async fn open_stream(&mut self, stream: StreamId, at: Time) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO audit_streams (stream, opened_at) VALUES ($1, $2)";
        on!(self, |conn| {
            sqlx::query(SQL).bind(stream.to_string()).bind(at.as_micros()).execute(conn).await?;
        })
    }

    /// Notes that a stream is over.
    pub async fn close_stream(&mut self, stream: StreamId, at: Time) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE audit_streams SET closed_at = $2 WHERE stream = $1";
        on!(self, |conn| {
            sqlx::query(SQL).bind(stream.to_string()).bind(at.as_micros()).execute(conn).await?;
        })
    }

    /// The last row of a stream, signed or not; `None` where it has none.
    pub async fn find_head(&mut self, stream: StreamId) -> Result<Option<Head>, StoreError> {
        const SQL: &str = "
            SELECT stream, seq, hash, signature, at FROM audit_events WHERE stream = $1 ORDER BY seq DESC LIMIT 1";
        let row: Option<HeadRow> =
            on!(self, |conn| sqlx::query_as(SQL).bind(stream.to_string()).fetch_optional(conn).await?)?;
        row.as_ref().map(HeadRow::head).transpose()
    }

    /// The hash at one place; `None` where there is no such row.
    pub async fn find_hash(&mut self, stream: StreamId, seq: u64) -> Result<Option<Hash>, StoreError> {
        const SQL: &str = "SELECT hash FROM audit_events WHERE stream = $1 AND seq = $2";
        let hash: Option<Vec<u8>> = on!(self, |conn| {
            sqlx::query_scalar(SQL).bind(stream.to_string()).bind(signed(seq)).fetch_optional(conn).await?
        })?;
        Ok(hash.and_then(|hash| Hash::from_slice(&hash).ok()))
    }

    /// The newest signed head of every open stream, and of those closed at or after `closed_since`; of every stream
    /// where it is `None`.
    pub async fn list_heads(&mut self, closed_since: Option<Time>) -> Result<Vec<SignedHead>, StoreError> {
        const SQL: &str = "
            SELECT e.stream, e.seq, e.hash, e.signature, e.at FROM audit_streams s
            JOIN audit_events e ON e.stream = s.stream
                AND e.seq = (SELECT max(newest.seq) FROM audit_events newest WHERE newest.stream = s.stream)
            WHERE s.closed_at IS NULL OR s.closed_at >= $1
            ORDER BY e.stream";
        // Clocks differ, and a closing takes a moment to be seen: rather listed twice than never.
        let since = closed_since.map_or(i64::MIN, |since| since.minus(OVERLAP).as_micros());
        let rows: Vec<HeadRow> = on!(self, |conn| sqlx::query_as(SQL).bind(since).fetch_all(conn).await?)?;
        rows.iter().map(HeadRow::signed).collect()
    }

    /// When the newest list of heads was written, by whichever run.
    pub async fn find_last_list_of_heads(&mut self) -> Result<Option<Time>, StoreError> {
        const SQL: &str = "
            SELECT max(newest.at) FROM (
                SELECT max(at) AS at FROM audit_events WHERE kind = 'stream.opened'
                UNION ALL SELECT max(at) FROM audit_events WHERE kind = 'stream.heads') AS newest";
        let at: Option<i64> = on!(self, |conn| sqlx::query_scalar(SQL).fetch_one(conn).await?)?;
        at.map(|at| time("audit_events", at)).transpose()
    }

    /// Takes intents from before `before`, at most `limit`, oldest first, each with its `credentials.requested`
    /// record. Two replicas never take the same one.
    pub async fn take_orphans(&mut self, before: Time, limit: u32) -> Result<Vec<String>, StoreError> {
        // A dialect arm: SKIP LOCKED, so that a replica frozen in the middle of a commit holds nobody up; SQLite has
        // one writer, and no such words.
        let mut sql = "DELETE FROM pending WHERE issuance_id IN (SELECT issuance_id FROM pending WHERE at < $1 \
                       ORDER BY at, issuance_id LIMIT $2) RETURNING stream, seq";
        if let Self::Postgres(_) = self {
            sql = "DELETE FROM pending WHERE issuance_id IN (SELECT issuance_id FROM pending WHERE at < $1 \
                   ORDER BY at, issuance_id LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING stream, seq";
        }
        let places: Vec<(String, i64)> = on!(&mut *self, |conn| {
            sqlx::query_as(sql).bind(before.as_micros()).bind(i64::from(limit)).fetch_all(conn).await?
        })?;
        let mut records = Vec::with_capacity(places.len());
        for (stream, seq) in places {
            const SQL: &str = "SELECT record FROM audit_events WHERE stream = $1 AND seq = $2";
            let record: Option<String> =
                on!(&mut *self, |conn| sqlx::query_scalar(SQL).bind(&stream).bind(seq).fetch_optional(conn).await?)?;
            records.push(record.ok_or_else(|| corrupt("pending")("an intent without its event"))?);
        }
        Ok(records)
    }

    /// At most `limit` events that the filter lets through.
    pub async fn list_events(
        &mut self,
        filter: &EventFilter,
        page: &Page,
        limit: u32,
    ) -> Result<Vec<Listed>, StoreError> {
        let like = self.like();
        let rows: Vec<EventRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            push_window(q.push(EventRow::COLUMNS), filter, page);
            push_text(&mut q, filter, like);
            push_order(&mut q, page);
            q.push(" LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(EventRow::listed).collect()
    }

    /// As [`Tx::list_events`], but its text is looked for in no more than `reach` of the events that the rest of the filter
    /// lets through: so it costs the same however many there are. And the place of the last that was looked at, where
    /// there are more behind it and the page is not full.
    pub async fn search_events(
        &mut self,
        filter: &EventFilter,
        page: &Page,
        limit: u32,
        reach: u32,
    ) -> Result<(Vec<Listed>, Option<Place>), StoreError> {
        if filter.text.is_none() {
            return Ok((self.list_events(filter, page, limit).await?, None));
        }
        let like = self.like();
        let rows: Vec<EventRow> = on!(&mut *self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(EventRow::COLUMNS).push(" FROM (SELECT ");
            push_window(q.push(EventRow::COLUMNS), filter, page);
            push_order(&mut q, page);
            q.push(" LIMIT ").push_bind(i64::from(reach)).push(") e WHERE 1 = 1");
            push_text(&mut q, filter, like);
            push_order(&mut q, page);
            q.push(" LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        if rows.len() == limit as usize {
            return Ok((rows.into_iter().map(EventRow::listed).collect::<Result<_, _>>()?, None));
        }
        let last: Option<(i64, String)> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT e.at, e.id");
            push_window(&mut q, filter, page);
            push_order(&mut q, page);
            // At most `reach` entries of an index.
            q.push(" LIMIT 1 OFFSET ").push_bind(i64::from(reach.saturating_sub(1)));
            q.build_query_as().fetch_optional(conn).await?
        })?;
        let last = last.map(|(at, id)| Ok::<_, StoreError>((time("audit_events", at)?, id))).transpose()?;
        Ok((rows.into_iter().map(EventRow::listed).collect::<Result<_, _>>()?, last))
    }

    /// A dialect arm: LIKE ignores case in SQLite only.
    pub(super) fn like(&self) -> &'static str {
        if matches!(self, Self::Postgres(_)) { " ILIKE " } else { " LIKE " }
    }

    /// At most `limit` rows of the whole audit by stream and `seq`, after `after`, with their index columns: what
    /// `verify` reads.
    pub async fn list_rows(
        &mut self,
        after: Option<(&str, i64)>,
        limit: u32,
    ) -> Result<Vec<Result<(Row, Index), Unreadable>>, StoreError> {
        let rows: Vec<EventRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(EventRow::COLUMNS).push(" FROM audit_events e");
            if let Some((stream, seq)) = after {
                q.push(" WHERE (e.stream, e.seq) > (").push_bind(stream);
                q.push(", ").push_bind(seq).push(")");
            }
            q.push(" ORDER BY e.stream, e.seq LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        Ok(rows.into_iter().map(EventRow::read).collect())
    }
}

/// The events of the page and all behind it, whatever their text.
fn push_window<DB: Database>(q: &mut QueryBuilder<DB>, filter: &EventFilter, page: &Page)
where
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
{
    q.push(" FROM audit_events e WHERE 1 = 1");
    let equal = [
        ("e.kind", filter.kind.clone()),
        ("e.principal", filter.principal.as_ref().map(ToString::to_string)),
        ("e.account_id", filter.account.as_ref().map(ToString::to_string)),
        ("e.role_arn", filter.role.as_ref().map(ToString::to_string)),
        ("e.issuance_id", filter.issuance.as_ref().map(ToString::to_string)),
    ];
    for (column, value) in equal {
        if let Some(value) = value {
            q.push(" AND ").push(column).push(" = ").push_bind(value);
        }
    }
    if let Some(since) = filter.since {
        q.push(" AND e.at >= ").push_bind(since.as_micros());
    }
    if let Some(until) = filter.until {
        q.push(" AND e.at < ").push_bind(until.as_micros());
    }
    match page {
        Page::Newest(Some((at, id))) => {
            q.push(" AND (e.at, e.id) < (").push_bind(at.as_micros());
            q.push(", ").push_bind(id.clone()).push(")");
        }
        Page::Oldest(Some((at, id))) => {
            q.push(" AND (e.at, e.id) > (").push_bind(at.as_micros());
            q.push(", ").push_bind(id.clone()).push(")");
        }
        Page::Stream(stream, after) => {
            q.push(" AND e.stream = ").push_bind(stream.to_string());
            q.push(" AND e.seq > ").push_bind(signed(*after));
        }
        Page::Newest(None) | Page::Oldest(None) => {}
    }
}

fn push_text<DB: Database>(q: &mut QueryBuilder<DB>, filter: &EventFilter, like: &'static str)
where
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    if let Some(text) = &filter.text {
        q.push(" AND e.record").push(like).push_bind(containing(text)).push(" ESCAPE '!'");
    }
}

fn push_order<DB: Database>(q: &mut QueryBuilder<DB>, page: &Page) {
    q.push(match page {
        Page::Newest(_) => " ORDER BY e.at DESC, e.id DESC",
        Page::Oldest(_) => " ORDER BY e.at, e.id",
        Page::Stream(..) => " ORDER BY e.seq",
    });
}

/// A LIKE pattern for any text around `text`, whose own wildcards are escaped by `!`.
pub(super) fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        // PostgreSQL takes no NUL; no text in either database has one, nor this.
        let c = if c == '\0' { char::REPLACEMENT_CHARACTER } else { c };
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
