//! Reading the audit: pages, exports, signed heads, and the verification of all of it.
//!
//! Whoever reads what is not their own is on record before they read. Must never write anything else.

use crate::{
    audit::{Actor, Head, Heads, Kind, PublicKey, Report, Row, SignedHead, StreamId, Verifier},
    clock::Clock,
    recorder::Recorder,
    store::{EventFilter, Listed, Page, Store, StoreError, Unreadable},
};
use futures_util::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use serde_json::{Map, Value};

/// How many rows are read at once where all are wanted: memory stays flat.
const ROWS_AT_ONCE: u32 = 500;

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
                let rows = store.read().await?.list_events(&filter, &page, ROWS_AT_ONCE).await?;
                let full = rows.len() == ROWS_AT_ONCE as usize;
                let next = rows.last().filter(|_| full).map(|last| Page::Oldest(Some(last.place.clone())));
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
