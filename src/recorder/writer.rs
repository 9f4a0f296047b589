//! The task that writes: takes all who wait, commits once, answers each.

use super::{
    Basis, Entry, RecordError, Run, TURN_LIMIT, Work,
    batch::{Batch, Stream},
};
use crate::{
    audit::{Event, Folder, Index, Kind, SigningKey},
    clock::Clock,
    metrics::Metrics,
    model::{IssuanceId, Time, with_causes},
    store::{ChangeError, Changed, Ground, PendingIntent, Store, StoreError, Tx},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

/// How many are written in one commit.
const AT_ONCE: usize = 256;
/// A commit that takes longer is given up: whether it was kept is found out before the next one.
const COMMIT_LIMIT: Duration = Duration::from_secs(5);
/// A large allowlist file is written at once: it may take this long, and whoever waits behind it is refused meanwhile.
const CHANGE_LIMIT: Duration = Duration::from_secs(30);
/// How often folded floods, heads and orphans are looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// After so many rows SQLite's log is brought into the database. Each writes up to ten of its pages.
const CHECKPOINT_EVERY: usize = 500;
/// How many commits whose end was not seen are kept in mind: each took seconds, so these are minutes.
const DOUBTS: usize = 64;
/// Heads are repeated after this long, where something happened.
const HEADS_EVERY: Duration = Duration::from_mins(1);
/// An intent without an outcome for this long is called unknown.
const ORPHANED_AFTER: Duration = Duration::from_mins(2);
/// How many orphans are taken in one commit.
const ORPHANS_AT_ONCE: u32 = 100;
/// How much of what is owed is written in one commit, so that it ends in time.
const OWED_AT_ONCE: usize = 1000;
/// While so much is owed, counts stay where they are counted, which has an end of its own: a long outage fills no memory.
const MOST_OWED: usize = 10_000;

pub(super) struct Writer {
    store: Store,
    key: Arc<SigningKey>,
    clock: Clock,
    run: Run,
    folder: Arc<Mutex<Folder>>,
    healthy: Arc<AtomicBool>,
    metrics: Metrics,
    stream: Option<Stream>,
    /// Oldest first; over as soon as a later commit has taken their places.
    doubts: Vec<Doubt>,
    /// The allowlist's revision when it was last looked at.
    revision: Option<u64>,
    /// What the next housekeeping writes: counts of folded floods, and corrections.
    owed: Vec<Event>,
    last_list: Option<Time>,
    rows_since_list: usize,
    rows_since_checkpoint: usize,
}

/// A commit whose end was not seen: either the stream stands where it stood, or where the commit left it.
struct Doubt {
    attempted: Stream,
    /// Outcomes whose credentials were dropped, though their rows may have been kept.
    dropped: Vec<Event>,
    /// How much of what was owed was among its rows.
    paid: usize,
}

/// A commit on its way.
struct Attempt {
    stream: Stream,
    /// Outcomes that came too late: their own rows are not among its.
    late: Vec<IssuanceId>,
}

/// What became of each entry, by its place in the batch.
enum Verdict {
    Written(Option<Box<Changed>>),
    Refused(RecordError),
}

impl Writer {
    pub(super) fn new(
        store: Store,
        key: Arc<SigningKey>,
        clock: Clock,
        run: Run,
        folder: Arc<Mutex<Folder>>,
        healthy: Arc<AtomicBool>,
        metrics: Metrics,
    ) -> Self {
        let (stream, doubts, revision, owed, last_list, rows_since_list) =
            (None, Vec::new(), None, Vec::new(), None, 0);
        Self {
            store,
            key,
            clock,
            run,
            folder,
            healthy,
            metrics,
            stream,
            doubts,
            revision,
            owed,
            last_list,
            rows_since_list,
            rows_since_checkpoint: 0,
        }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        let mut tick = interval(HOUSEKEEPING);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let mut work = Vec::with_capacity(AT_ONCE);
        loop {
            tokio::select! {
                taken = queue.recv_many(&mut work, AT_ONCE) => if taken == 0 { return },
                _ = tick.tick() => self.housekeep().await,
            }
            let mut entries = Vec::with_capacity(work.len());
            let mut housekeepers = Vec::new();
            let mut closers = Vec::new();
            for work in work.drain(..) {
                match work {
                    Work::Write(entry) => entries.push(*entry),
                    Work::Open(reply) => {
                        let opened = self.commit(&[]).await;
                        let _ = reply.send(opened.map(|_| ()).map_err(|_| RecordError::Unavailable));
                    }
                    Work::Housekeep(reply) => housekeepers.push(reply),
                    Work::Close(reply) => closers.push(reply),
                }
            }
            self.write(entries).await;
            for reply in housekeepers {
                self.housekeep().await;
                let _ = reply.send(());
            }
            if !closers.is_empty() {
                self.close().await;
                for reply in closers {
                    let _ = reply.send(());
                }
                return;
            }
        }
    }

    /// Writes all entries: those without a change in one commit, each change in one of its own.
    async fn write(&mut self, entries: Vec<Entry>) {
        let (mut plain, mut changes) = (Vec::new(), Vec::new());
        for entry in entries {
            // An outcome never loses its turn: its session exists.
            if entry.since.elapsed() > TURN_LIMIT && !matches!(entry.basis, Basis::Intent(_)) {
                let _ = entry.reply.send(Err(RecordError::Unavailable));
            } else if matches!(entry.basis, Basis::Change(_)) {
                changes.push(entry);
            } else {
                plain.push(entry);
            }
        }
        self.write_together(plain).await;
        for change in changes {
            self.write_together(vec![change]).await;
        }
    }

    async fn write_together(&mut self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        match self.commit(&entries).await {
            Ok(verdicts) => {
                for (entry, verdict) in entries.into_iter().zip(verdicts) {
                    let _ = entry.reply.send(match verdict {
                        Verdict::Written(changed) => Ok(changed.map(|changed| *changed)),
                        Verdict::Refused(error) => Err(error),
                    });
                }
            }
            // One event that the database refuses must not take the others with it.
            Err(StoreError::Refused(_)) if entries.len() > 1 => {
                for entry in entries {
                    Box::pin(self.write_together(vec![entry])).await;
                }
            }
            Err(error) => {
                tracing::error!(error = %with_causes(&error), events = entries.len(), "the audit cannot be written");
                for entry in entries {
                    let _ = entry.reply.send(Err(RecordError::Unavailable));
                }
            }
        }
    }

    /// One transaction for all entries. An error means that none was told to be written.
    async fn commit(&mut self, entries: &[Entry]) -> Result<Vec<Verdict>, StoreError> {
        let mut attempted = None;
        let changes = entries.iter().any(|entry| matches!(entry.basis, Basis::Change(_)));
        let limit = if changes { CHANGE_LIMIT } else { COMMIT_LIMIT };
        let began = Instant::now();
        let work = timeout(limit, self.commit_within(entries, &mut attempted)).await;
        let result = work.unwrap_or(Err(StoreError::Silent));
        self.metrics.committed(began.elapsed());
        if result.is_err() {
            self.metrics.commit_failed();
        }
        // One of many events that is refused says nothing about the audit; a single one may.
        let fine = result.is_ok() || matches!(result, Err(StoreError::Refused(_)) if entries.len() > 1);
        self.healthy.store(fine, Ordering::Relaxed);
        if let (Err(_), Some(Attempt { stream, late })) = (&result, attempted) {
            let in_time = |entry: &&Entry| !matches!(entry.basis, Basis::Intent(issuance) if late.contains(&issuance));
            let released = entries.iter().filter(|entry| entry.event.kind.releases()).filter(in_time);
            let dropped = released.map(|entry| entry.event.clone()).collect();
            self.doubt(Doubt { attempted: stream, dropped, paid: 0 });
        }
        result
    }

    async fn commit_within(
        &mut self,
        entries: &[Entry],
        attempted: &mut Option<Attempt>,
    ) -> Result<Vec<Verdict>, StoreError> {
        if let Some(verdicts) = self.commit_at_once(entries, attempted).await? {
            return Ok(verdicts);
        }
        let (mut tx, ground) = self.store.begin_commit(&concluded(entries)).await?;
        self.revision = Some(ground.revision);
        let mut batch = self.begin_batch(&mut tx).await?;
        let mut intents = Vec::new();
        let verdicts = match entries {
            [Entry { basis: Basis::Change(change), event, .. }] => match tx.apply(change).await {
                Ok(changed) => {
                    let mut event = event.clone();
                    event.allowlist_revision = Some(changed.revision);
                    self.revision = Some(changed.revision);
                    batch.push(&event);
                    vec![Verdict::Written(Some(Box::new(changed)))]
                }
                Err(ChangeError::Store(error)) => return Err(error),
                // Rolled back whole by dropping the transaction.
                Err(error) => return Ok(vec![Verdict::Refused(error.into())]),
            },
            _ => push_entries(&ground, &mut batch, &mut intents, entries, &self.clock),
        };
        self.keep(tx, batch, &intents, late(entries, &verdicts), attempted).await?;
        Ok(verdicts)
    }

    /// The usual commit, in one trip to the database: everything is as it was at the last one. `None` where it is not,
    /// or where there is more to do; nothing was done then.
    async fn commit_at_once(
        &mut self,
        entries: &[Entry],
        attempted: &mut Option<Attempt>,
    ) -> Result<Option<Vec<Verdict>>, StoreError> {
        let (Some(revision), Some(stream), true) = (self.revision, &self.stream, self.doubts.is_empty()) else {
            return Ok(None);
        };
        let usual = |entry: &Entry| match entry.basis {
            Basis::Alone | Basis::Intent(_) => true,
            Basis::Decision { revision: decided_on, .. } => decided_on == revision,
            Basis::Change(_) => false,
        };
        let (true, Some(mut batch)) = (entries.iter().all(usual), Batch::go_on(stream, &self.clock)) else {
            return Ok(None);
        };
        let ground = Ground { revision, awaited: concluded(entries).into_iter().collect() };
        let mut intents = Vec::new();
        let verdicts = push_entries(&ground, &mut batch, &mut intents, entries, &self.clock);
        batch.sign(&self.key);
        *attempted = Some(Attempt { stream: batch.stream.clone(), late: late(entries, &verdicts) });
        let foreseen = self.store.commit_at_once(revision, &concluded(entries), &batch.rows, &intents).await?;
        *attempted = None;
        if !foreseen {
            return Ok(None);
        }
        self.go_on(batch);
        Ok(Some(verdicts))
    }

    async fn begin_batch(&mut self, tx: &mut Tx) -> Result<Batch, StoreError> {
        self.settle_doubts(tx).await?;
        let (stream, last_list) = (self.stream.as_ref(), self.last_list);
        Batch::begin(tx, stream, last_list, &self.run, &self.key, &self.clock).await
    }

    /// Signs, appends and commits; only then does the stream in memory go on.
    async fn keep(
        &mut self,
        tx: Tx,
        mut batch: Batch,
        intents: &[PendingIntent],
        late: Vec<IssuanceId>,
        attempted: &mut Option<Attempt>,
    ) -> Result<(), StoreError> {
        batch.sign(&self.key);
        *attempted = Some(Attempt { stream: batch.stream.clone(), late });
        tx.end_commit(&batch.rows, intents).await?;
        *attempted = None;
        self.go_on(batch);
        Ok(())
    }

    fn go_on(&mut self, batch: Batch) {
        self.rows_since_checkpoint += batch.rows.len();
        if self.rows_since_checkpoint >= CHECKPOINT_EVERY {
            self.rows_since_checkpoint = 0;
            self.store.checkpoint();
        }
        self.metrics.rows_kept(batch.rows.len());
        self.rows_since_list += batch.rows.len();
        if let Some(at) = batch.listed_heads {
            (self.last_list, self.rows_since_list) = (Some(at), 0);
        }
        self.stream = Some(batch.stream);
        self.doubts.clear();
    }

    fn doubt(&mut self, doubt: Doubt) {
        if self.doubts.len() >= DOUBTS {
            let oldest = self.doubts.remove(0);
            tracing::error!(events = ?oldest.dropped, "whether these were kept will not be found out: they stand here alone");
        }
        self.doubts.push(doubt);
    }

    /// Finds out which of the commits whose end was not seen was kept. All of them wanted the same places in the stream, so
    /// one at most can be; while none is, each still can, for the server may have stalled in the middle of it. What is
    /// attempted in those places next waits for it or fails.
    async fn settle_doubts(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        if self.doubts.is_empty() {
            return Ok(());
        }
        for place in 0..self.doubts.len() {
            let head = self.doubts[place].attempted.head;
            if tx.find_head(head.stream).await? == Some(head) {
                let kept = self.doubts.swap_remove(place);
                self.doubts.clear();
                self.adopt(kept);
                return Ok(());
            }
        }
        if let Some(stream) = &self.stream
            && tx.find_head(stream.head.stream).await? != Some(stream.head)
        {
            tracing::error!(stream = %stream.head.stream, seq = stream.head.seq, "rows follow that are not known here: the stream is left");
            self.stream = None;
            self.doubts.clear();
        }
        Ok(())
    }

    /// Goes on from a commit that turned out to have been kept.
    fn adopt(&mut self, Doubt { attempted, dropped, paid }: Doubt) {
        self.owed.drain(..paid.min(self.owed.len()));
        // Outcomes on disk whose credentials were dropped: the record is set straight.
        let now = self.clock.now();
        let correction = |event: &Event| {
            let mut correction = failed(event.clone(), "audit_unavailable");
            (correction.id, correction.at) = (self.clock.new_id(), now);
            correction.detail.insert("corrects".to_owned(), event.id.to_string().into());
            correction
        };
        self.owed.extend(dropped.iter().map(correction));
        self.stream = Some(attempted);
    }

    async fn housekeep(&mut self) {
        let now = self.clock.now();
        if self.owed.len() < MOST_OWED {
            self.owed.extend(self.folder.lock().unwrap_or_else(PoisonError::into_inner).due(now));
        }
        self.write_aside(false).await;
    }

    async fn close(&mut self) {
        self.owed.extend(self.folder.lock().unwrap_or_else(PoisonError::into_inner).drain());
        while self.owed.len() > OWED_AT_ONCE && self.write_aside(false).await {}
        self.write_aside(true).await;
    }

    /// A commit that nobody waits for; whether it was made.
    async fn write_aside(&mut self, last: bool) -> bool {
        let mut attempted = None;
        let work = timeout(COMMIT_LIMIT, self.write_aside_within(last, &mut attempted)).await;
        let result = work.unwrap_or(Err(StoreError::Silent));
        self.healthy.store(!matches!(result, Err(StoreError::Unavailable(_) | StoreError::Silent)), Ordering::Relaxed);
        let Err(error) = result else { return true };
        self.metrics.commit_failed();
        tracing::warn!(error = %with_causes(&error), "the audit's housekeeping has to wait");
        let tried = self.owed.len().min(OWED_AT_ONCE);
        // A commit in doubt may have paid some of them.
        if matches!(error, StoreError::Refused(_)) && self.doubts.is_empty() {
            // What the database refuses once it refuses for ever, and would hold up heads and orphans.
            let refused: Vec<Event> = self.owed.drain(..tried).collect();
            tracing::error!(events = ?refused, "the database refuses these events: they stand here alone");
        } else if let Some(Attempt { stream, .. }) = attempted {
            self.doubt(Doubt { attempted: stream, dropped: Vec::new(), paid: tried });
        }
        false
    }

    async fn write_aside_within(&mut self, last: bool, attempted: &mut Option<Attempt>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let list_since = self.last_list.filter(|at| self.rows_since_list > 0 && at.plus(HEADS_EVERY) <= now);
        let mut tx = self.store.begin().await?;
        let orphans = tx.take_orphans(now.minus(ORPHANED_AFTER), ORPHANS_AT_ONCE).await?;
        let closes = last && (self.stream.is_some() || !self.doubts.is_empty());
        if self.owed.is_empty() && orphans.is_empty() && list_since.is_none() && !closes {
            return tx.commit().await;
        }
        let mut batch = self.begin_batch(&mut tx).await?;
        let paid = self.owed.len().min(OWED_AT_ONCE);
        for event in &self.owed[..paid] {
            batch.push(event);
        }
        for record in &orphans {
            let (record, index) = unknown(record, self.clock.new_id(), now)?;
            batch.push_record(record, index);
        }
        if let Some(since) = list_since {
            batch.push_heads(&mut tx, since, &self.clock).await?;
        }
        if last {
            batch.close(&mut tx, &self.key, &self.clock).await?;
        }
        self.keep(tx, batch, &[], Vec::new(), attempted).await?;
        self.metrics.given_up(orphans.len());
        self.owed.drain(..paid);
        Ok(())
    }
}

/// The issuances whose outcomes are among the entries.
fn concluded(entries: &[Entry]) -> Vec<IssuanceId> {
    let concluded = entries.iter().filter_map(|entry| match entry.basis {
        Basis::Intent(issuance) => Some(issuance),
        _ => None,
    });
    concluded.collect()
}

/// Those whose outcomes came too late.
fn late(entries: &[Entry], verdicts: &[Verdict]) -> Vec<IssuanceId> {
    let late = entries.iter().zip(verdicts).filter_map(|(entry, verdict)| match (&entry.basis, verdict) {
        (Basis::Intent(issuance), Verdict::Refused(_)) => Some(*issuance),
        _ => None,
    });
    late.collect()
}

/// Adds the entries that may be written, and notes the intents among them; the others are refused without touching the
/// rest.
fn push_entries(
    ground: &Ground,
    batch: &mut Batch,
    intents: &mut Vec<PendingIntent>,
    entries: &[Entry],
    clock: &Clock,
) -> Vec<Verdict> {
    entries
        .iter()
        .map(|Entry { event, basis, .. }| match basis {
            Basis::Decision { revision: decided_on, .. } if *decided_on != ground.revision => {
                Verdict::Refused(RecordError::Stale(ground.revision))
            }
            Basis::Decision { intent: Some(issuance), .. } => {
                let (stream, seq) = batch.push(event);
                intents.push(PendingIntent { issuance: *issuance, at: event.at, stream, seq });
                Verdict::Written(None)
            }
            Basis::Intent(issuance) if !ground.awaited.contains(issuance) => {
                let mut late = failed(event.clone(), "audit_unavailable");
                late.id = clock.new_id();
                late.detail.insert("late".to_owned(), true.into());
                batch.push(&late);
                Verdict::Refused(RecordError::Late)
            }
            _ => {
                batch.push(event);
                Verdict::Written(None)
            }
        })
        .collect()
}

/// The same event as a `credentials.failed`: nothing was released.
fn failed(mut event: Event, code: &'static str) -> Event {
    if event.kind.releases() {
        event.code = Some(code);
    }
    event.kind = Kind::CredentialsFailed;
    event
}

/// An intent's record as the `credentials.unknown` that ends the waiting: all that is known of the session.
fn unknown(requested: &str, id: uuid::Uuid, at: Time) -> Result<(String, Index), StoreError> {
    let corrupt = |problem: String| StoreError::Corrupt { table: "audit_events", problem };
    let mut record: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(requested).map_err(|error| corrupt(error.to_string()))?;
    record.insert("kind".to_owned(), Kind::CredentialsUnknown.as_str().into());
    record.insert("id".to_owned(), id.to_string().into());
    record.insert("at".to_owned(), at.to_string().into());
    let record = serde_json_canonicalizer::to_string(&record).map_err(|error| corrupt(error.to_string()))?;
    let index = Index::read(&record).map_err(|error| corrupt(error.to_string()))?;
    Ok((record, index))
}
