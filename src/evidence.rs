//! Reading the audit: pages, exports, signed heads, and the verification of all of it.
//!
//! Whoever reads what is not their own is on record before they read. Must never write anything else.

use crate::{
    audit::{Actor, Head, Heads, Kind, PublicKey, Report, Row, SignedHead, StreamId, Verifier},
    clock::Clock,
    model::{Account, AccountId, Alias, Grant, GrantId, Role, RoleRef, Time},
    recorder::Recorder,
    store::{DayCount, EventFilter, Listed, Page, Place, Store, StoreError, StreamState, Unreadable, Uses},
};
use futures_util::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// How many rows are read at once where all are wanted: memory stays flat.
const ROWS_AT_ONCE: u32 = 500;

/// In how many events text is looked for at once: no index serves it.
const REACH: u32 = 5000;

/// Out of how many issuances uses are told: their records are read for it.
const ISSUANCES_TALLIED: u32 = 20_000;

/// Before and behind all ids of one moment.
const FIRST_ID: &str = "00000000-0000-0000-0000-000000000000";
const LAST_ID: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/// Which page by time.
#[derive(Clone, Debug)]
pub enum Turn {
    /// The newest of all.
    First,
    /// What is older than this.
    Older(Place),
    /// What is newer than this, and nearest to it.
    Newer(Place),
}

/// A page by time.
#[derive(Clone, Debug)]
pub struct Browsed {
    /// Newest first.
    pub events: Vec<Listed>,
    /// For [`Turn::Newer`]; `None` on the first page.
    pub newer: Option<Place>,
    /// For [`Turn::Older`]; `None` at the end.
    pub older: Option<Place>,
    /// Text was looked for as far as this moment, and there is more behind it; `None` where all of it was.
    pub searched_to: Option<Time>,
}

/// Why the audit cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// That it was read could not be put on record, so it was not read.
    #[error("the audit cannot be written, so it is not read either")]
    AuditUnavailable,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What somebody is about to read, for the record.
#[derive(Clone, Debug)]
pub struct Reading {
    /// `audit.read` or `audit.exported`.
    pub kind: Kind,
    /// What, and filtered how.
    pub detail: Map<String, Value>,
}

/// The audit as something that is read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Evidence {
    store: Store,
    recorder: Recorder,
    clock: Clock,
}

impl Evidence {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Store, recorder: Recorder, clock: Clock) -> Self {
        Self { store, recorder, clock }
    }

    /// Puts on record that somebody reads what is not their own.
    pub async fn note(&self, reading: Reading, actor: &Actor) -> Result<(), EvidenceError> {
        let mut event = actor.event(reading.kind, self.clock.new_id(), self.clock.now());
        event.detail = reading.detail;
        self.recorder.record(event).await.map_err(|_| EvidenceError::AuditUnavailable)
    }

    /// One page of events.
    pub async fn list_events(
        &self,
        filter: &EventFilter,
        page: &Page,
        limit: u32,
    ) -> Result<Vec<Listed>, EvidenceError> {
        Ok(self.store.read().await?.list_events(filter, page, limit).await?)
    }

    /// One page by time, newest first, and the ways on from it. Costs the same on every page, however many events there are.
    pub async fn browse(&self, filter: &EventFilter, turn: Turn, limit: u32) -> Result<Browsed, EvidenceError> {
        let from = match turn {
            Turn::First => None,
            Turn::Older(from) => Some(from),
            // What is newest of all is on the first page, so that it is full.
            Turn::Newer(from) => match self.browse_newer(filter, from, limit).await? {
                Some(browsed) => return Ok(browsed),
                None => None,
            },
        };
        let page = Page::Newest(from.clone());
        let (mut events, searched) = self.store.read().await?.search_events(filter, &page, limit + 1, REACH).await?;
        let full = events.len() > limit as usize;
        events.truncate(limit as usize);
        let older = if full { events.last().map(|event| event.place.clone()) } else { searched.clone() };
        let newer = from.map(|(at, _)| events.first().map_or((at, FIRST_ID.to_owned()), |event| event.place.clone()));
        Ok(Browsed { events, newer, older, searched_to: searched.map(|place| place.0) })
    }

    /// `None` where there is no full page, and nothing left to look at.
    async fn browse_newer(
        &self,
        filter: &EventFilter,
        from: Place,
        limit: u32,
    ) -> Result<Option<Browsed>, EvidenceError> {
        let page = Page::Oldest(Some(from.clone()));
        let (mut events, searched) = self.store.read().await?.search_events(filter, &page, limit + 1, REACH).await?;
        let full = events.len() > limit as usize;
        if !full && searched.is_none() {
            return Ok(None);
        }
        events.truncate(limit as usize);
        events.reverse();
        let newer = if full { events.first().map(|event| event.place.clone()) } else { searched.clone() };
        let older = events.last().map_or((from.0, LAST_ID.to_owned()), |event| event.place.clone());
        Ok(Some(Browsed { events, newer, older: Some(older), searched_to: searched.map(|place| place.0) }))
    }

    /// The changes of who may do what, newest first, at most `limit` behind `after`: each kind by its own index.
    pub async fn list_changes(&self, after: Option<&Place>, limit: u32) -> Result<Vec<Listed>, EvidenceError> {
        const CHANGES: [Kind; 5] =
            [Kind::AllowlistApplied, Kind::GrantAdded, Kind::GrantRemoved, Kind::BlockAdded, Kind::BlockRemoved];
        let mut tx = self.store.read().await?;
        let mut changes = Vec::new();
        for kind in CHANGES {
            let filter = EventFilter { kind: Some(kind.as_str().to_owned()), ..EventFilter::default() };
            changes.extend(tx.list_events(&filter, &Page::Newest(after.cloned()), limit).await?);
        }
        changes.sort_by(|one, other| other.place.cmp(&one.place));
        changes.truncate(limit as usize);
        Ok(changes)
    }

    /// An event by its place in a stream, with up to `around` of its neighbours on each side, in the stream's order.
    pub async fn find_among(&self, stream: StreamId, seq: u64, around: u32) -> Result<Vec<Row>, EvidenceError> {
        let page = Page::Stream(stream, seq.saturating_sub(u64::from(around) + 1));
        let listed = self.store.read().await?.list_events(&EventFilter::default(), &page, 2 * around + 1).await?;
        let rows: Vec<Row> = listed.into_iter().map(|listed| listed.row).collect();
        Ok(if rows.iter().any(|row| row.seq == seq) { rows } else { Vec::new() })
    }

    /// The streams, newest first, at most `limit` behind `after`.
    pub async fn list_streams(&self, after: Option<StreamId>, limit: u32) -> Result<Vec<StreamState>, EvidenceError> {
        Ok(self.store.read().await?.list_streams(after, limit).await?)
    }

    /// Issuances and refusals of each day from `since` on.
    pub async fn count_days(&self, since: Time) -> Result<Vec<DayCount>, EvidenceError> {
        Ok(self.store.read().await?.count_days(since).await?)
    }

    /// Who used what from `since` on, out of the newest issuances.
    pub async fn tally_uses(&self, since: Time) -> Result<Uses, EvidenceError> {
        Ok(self.store.read().await?.tally_uses(since, ISSUANCES_TALLIED).await?)
    }

    /// Grants of any origin by id, at most `limit` after `after`.
    pub async fn list_grants(&self, after: Option<&GrantId>, limit: u32) -> Result<Vec<Grant>, EvidenceError> {
        Ok(self.store.read().await?.list_grants_of_any_origin(after, limit).await?)
    }

    /// The aliases of those of these accounts that have one, as the allowlist has them now.
    pub async fn find_aliases(
        &self,
        accounts: &BTreeSet<AccountId>,
    ) -> Result<HashMap<AccountId, Alias>, EvidenceError> {
        Ok(self.store.read().await?.find_aliases(accounts).await?)
    }

    /// The account with this alias, as the allowlist has it now.
    pub async fn find_account(&self, alias: &Alias) -> Result<Option<AccountId>, EvidenceError> {
        Ok(self.store.read().await?.find_account_id(alias).await?)
    }

    /// A role by name, as the allowlist has it now.
    pub async fn find_role(&self, role: &RoleRef) -> Result<Option<(Account, Role)>, EvidenceError> {
        Ok(self.store.read().await?.find_role(role).await?)
    }

    /// All events that the filter lets through, read as they are asked for: memory stays flat. Without a filter stream
    /// by stream, up to where each stands now, so that it can be verified; with one oldest first.
    #[must_use]
    pub fn export(&self, filter: EventFilter) -> BoxStream<'static, Result<Row, StoreError>> {
        if filter.is_empty() { self.export_streams().boxed() } else { self.export_by_time(filter).boxed() }
    }

    /// A row lists only heads that stood before it did: up to the heads of one moment the log is whole.
    fn export_streams(&self) -> impl Stream<Item = Result<Row, StoreError>> + Send + use<> {
        let store = self.store.clone();
        let heads = async move {
            let heads = store.read().await?.list_heads(None).await?;
            let streams =
                heads.into_iter().map(move |signed| Ok::<_, StoreError>(rows_up_to(store.clone(), signed.head)));
            Ok::<_, StoreError>(stream::iter(streams).try_flatten())
        };
        stream::once(heads).try_flatten()
    }

    fn export_by_time(&self, filter: EventFilter) -> impl Stream<Item = Result<Row, StoreError>> + Send + use<> {
        let store = self.store.clone();
        let pages = stream::try_unfold(Some(Page::Oldest(None)), move |page| {
            let (store, filter) = (store.clone(), filter.clone());
            async move {
                let Some(page) = page else { return Ok::<_, StoreError>(None) };
                let (rows, searched) = store.read().await?.search_events(&filter, &page, ROWS_AT_ONCE, REACH).await?;
                let full = rows.len() == ROWS_AT_ONCE as usize;
                let next = rows.last().filter(|_| full).map(|last| last.place.clone()).or(searched);
                let next = next.map(|place| Page::Oldest(Some(place)));
                Ok(Some((stream::iter(rows.into_iter().map(|listed| Ok(listed.row))), next)))
            }
        });
        pages.try_flatten()
    }

    /// Every stream's newest signed head.
    pub async fn list_heads(&self) -> Result<Heads, EvidenceError> {
        Ok(Heads { heads: self.store.read().await?.list_heads(None).await? })
    }
}

fn rows_up_to(store: Store, head: Head) -> impl Stream<Item = Result<Row, StoreError>> + Send + use<> {
    let pages = stream::try_unfold(0, move |after| {
        let store = store.clone();
        async move {
            if after >= head.seq {
                return Ok::<_, StoreError>(None);
            }
            let page = Page::Stream(head.stream, after);
            let rows = store.read().await?.list_events(&EventFilter::default(), &page, ROWS_AT_ONCE).await?;
            let last = rows.last().map_or(head.seq, |last| last.row.seq);
            let rows = rows.into_iter().map(|listed| listed.row).filter(move |row| row.seq <= head.seq);
            Ok(Some((stream::iter(rows.map(Ok)), last)))
        }
    });
    pages.try_flatten()
}

/// Walks every row of the database. `progress` is told the number of rows from time to time.
pub async fn verify(
    store: &Store,
    keys: Vec<PublicKey>,
    kept: &[SignedHead],
    mut progress: impl FnMut(u64),
) -> Result<Report, StoreError> {
    let mut verifier = Verifier::new(keys, kept);
    let mut after: Option<(String, i64)> = None;
    let mut rows = 0;
    loop {
        let place = after.as_ref().map(|(stream, seq)| (stream.as_str(), *seq));
        let read = store.read().await?.list_rows(place, ROWS_AT_ONCE).await?;
        for row in &read {
            match row {
                Ok((row, index)) => {
                    verifier.row(row, Some(index));
                    after = Some((row.stream.to_string(), i64::try_from(row.seq).unwrap_or(i64::MAX)));
                }
                Err(Unreadable { stream, seq, what }) => {
                    if let Ok(stream) = StreamId::parse(stream) {
                        verifier.unreadable(stream, seq.unsigned_abs(), what);
                    }
                    after = Some((stream.clone(), *seq));
                }
            }
        }
        rows += read.len() as u64;
        progress(rows);
        if read.len() < ROWS_AT_ONCE as usize {
            break;
        }
    }
    for (stream, seq) in verifier.asked() {
        let hash = store.read().await?.find_hash(stream, seq).await?;
        verifier.answer(stream, seq, hash);
    }
    Ok(verifier.finish())
}
