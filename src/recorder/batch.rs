//! What one commit writes: the rows of a stream in order, chained, the last one signed.

use super::Run;
use crate::{
    audit::{self, Event, Head, Index, Kind, Opening, Row, SigningKey, StreamId},
    clock::Clock,
    model::Time,
    store::{StoreError, Tx},
};

/// A run closes its stream and opens the next after this many rows.
const ROWS_IN_A_STREAM: u64 = 1_000_000;

/// The stream being written: its head, and the day it was opened on.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) head: Head,
    day: i64,
}

/// The rows of one commit.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: Vec<(Row, Index)>,
    pub(super) stream: Stream,
    /// When this batch wrote a list of heads.
    pub(super) listed_heads: Option<Time>,
}

impl Batch {
    /// Goes on with the stream, where it is of today and not full.
    pub(super) fn go_on(stream: &Stream, clock: &Clock) -> Option<Self> {
        let goes_on = stream.day == clock.now().day() && stream.head.seq < ROWS_IN_A_STREAM;
        goes_on.then(|| Self { rows: Vec::new(), stream: stream.clone(), listed_heads: None })
    }

    /// Goes on with the stream, or closes it and opens the next where it is full or of yesterday.
    pub(super) async fn begin(
        tx: &mut Tx,
        current: Option<&Stream>,
        last_list: Option<Time>,
        run: &Run,
        key: &SigningKey,
        clock: &Clock,
    ) -> Result<Self, StoreError> {
        if let Some(batch) = current.and_then(|stream| Self::go_on(stream, clock)) {
            return Ok(batch);
        }
        let now = clock.now();
        let mut rows = Vec::new();
        let mut last_list = last_list;
        if let Some(stream) = current {
            let mut ending = Self { rows, stream: stream.clone(), listed_heads: None };
            ending.close(tx, key, clock).await?;
            rows = ending.rows;
        } else {
            last_list = tx.find_last_list_of_heads().await?;
        }
        let id = StreamId::new(clock.new_id());
        let heads = tx.list_heads(Some(last_list.unwrap_or(now))).await?;
        tx.open_stream(id, now).await?;
        let mut batch =
            Self { rows, stream: Stream { head: Head::start(id), day: now.day() }, listed_heads: Some(now) };
        let mut opened = Event::new(Kind::StreamOpened, clock.new_id(), now);
        let opening = Opening {
            version: run.version.to_owned(),
            admins_sha256: run.admins_sha256,
            issuers_sha256: run.issuers_sha256,
            signing_key_sha256: key.public().digest(),
            heads: heads.into_iter().map(|signed| signed.head).collect(),
        };
        opened.detail = opening.detail();
        batch.push(&opened);
        Ok(batch)
    }

    /// Adds an event; returns its place.
    pub(super) fn push(&mut self, event: &Event) -> (StreamId, u64) {
        self.push_record(audit::canonical(event), Index::of(event))
    }

    /// Adds a record that is canonical already.
    pub(super) fn push_record(&mut self, record: String, index: Index) -> (StreamId, u64) {
        let head = self.stream.head.append(&record);
        let row = Row { stream: head.stream, seq: head.seq, record, hash: head.hash, signature: None };
        self.rows.push((row, index));
        self.stream.head = head;
        (self.stream.head.stream, self.stream.head.seq)
    }

    /// Adds the heads of all streams that this run sees.
    pub(super) async fn push_heads(&mut self, tx: &mut Tx, since: Time, clock: &Clock) -> Result<(), StoreError> {
        let now = clock.now();
        let seen = tx.list_heads(Some(since)).await?;
        let own = self.stream.head.stream;
        let others: Vec<Head> = seen.into_iter().map(|signed| signed.head).filter(|head| head.stream != own).collect();
        let mut event = Event::new(Kind::StreamHeads, clock.new_id(), now);
        event.detail = audit::heads_detail(&others);
        self.push(&event);
        self.listed_heads = Some(now);
        Ok(())
    }

    /// Ends the stream; its last row is signed, whatever follows in the same commit.
    pub(super) async fn close(&mut self, tx: &mut Tx, key: &SigningKey, clock: &Clock) -> Result<(), StoreError> {
        let now = clock.now();
        self.push(&Event::new(Kind::StreamClosed, clock.new_id(), now));
        self.sign(key);
        tx.close_stream(self.stream.head.stream, now).await
    }

    /// Signs the last row: nothing can be written without the key.
    pub(super) fn sign(&mut self, key: &SigningKey) {
        if let Some((row, _)) = self.rows.last_mut() {
            row.signature = Some(key.sign(&self.stream.head));
        }
    }
}
