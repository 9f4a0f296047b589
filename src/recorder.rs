//! The only writer of audit events: this run's stream, its head in memory, one commit and one signature for all who
//! wait, and the receipts that prove a row is on disk.
//!
//! An intent ([`Recorder::intend`]) is durable before AssumeRole is called, an outcome ([`Recorder::conclude`]) before
//! credentials are released. Must never lock a row that another replica needs to issue.

mod batch;
mod writer;

use crate::{
    audit::{Admit, Event, Folder, Hash, SigningKey},
    clock::Clock,
    metrics::Metrics,
    model::IssuanceId,
    store::{Change, ChangeError, Changed, Store},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// How many may wait for the disk; the next one is refused at once.
const QUEUE: usize = 1024;
/// Who has waited longer for a turn is refused: an answer must come while somebody still waits for it.
const TURN_LIMIT: Duration = Duration::from_secs(2);

/// What a run says of itself in `stream.opened`.
#[derive(Clone, Debug)]
pub struct Run {
    /// The program's version.
    pub version: &'static str,
    /// A digest of who may change and read everything.
    pub admins_sha256: Hash,
    /// A digest of whose tokens are accepted.
    pub issuers_sha256: Hash,
}

/// Hands events to the writer and waits until they are on disk. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Work>,
    folder: Arc<Mutex<Folder>>,
    healthy: Arc<AtomicBool>,
    clock: Clock,
}

/// Proof that `credentials.requested` is on disk: without it nothing calls AssumeRole.
#[derive(Debug)]
#[must_use = "an intent without an outcome is called unknown after two minutes"]
pub struct Intent {
    issuance: IssuanceId,
}

impl Intent {
    /// Whose intent it is.
    #[must_use]
    pub fn issuance(&self) -> IssuanceId {
        self.issuance
    }
}

/// Proof that the `credentials.issued` row of one issuance is on disk: it alone releases that issuance's credentials.
///
/// Only this room can make one:
///
/// ```compile_fail
/// let id: hallpass::model::IssuanceId = "019b7ca9-8c88-7000-8000-000000000002".parse().unwrap();
/// let forged = hallpass::recorder::Receipt { issuance: id };
/// ```
#[derive(Debug)]
pub struct Receipt {
    issuance: IssuanceId,
}

impl Receipt {
    /// Whose row is on disk.
    #[must_use]
    pub fn issuance(&self) -> IssuanceId {
        self.issuance
    }
}

/// Proof that a `credentials.shared` row of one issuance is on disk: it releases that issuance's credentials once more, where
/// a [`Receipt`] has released them before. One for each time.
///
/// Only this room can make one:
///
/// ```compile_fail
/// let id: hallpass::model::IssuanceId = "019b7ca9-8c88-7000-8000-000000000002".parse().unwrap();
/// let forged = hallpass::recorder::SharedReceipt { issuance: id };
/// ```
#[derive(Debug)]
pub struct SharedReceipt {
    issuance: IssuanceId,
}

impl SharedReceipt {
    /// Whose row is on disk.
    #[must_use]
    pub fn issuance(&self) -> IssuanceId {
        self.issuance
    }
}

/// Why something was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The queue is full, the disk is full, the database is away or locked. Nothing was written, or nobody can tell.
    #[error("the audit cannot be written now")]
    Unavailable,
    /// The allowlist has changed since the decision: decide again.
    #[error("the allowlist is at revision {0}, which is not the one decided on")]
    Stale(u64),
    /// Somebody has called this issuance unknown already: nothing may be released.
    #[error("the intent was given up before its outcome came")]
    Late,
    /// The change itself could not be made.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// What an event rests on, within its transaction.
#[derive(Debug)]
enum Basis {
    /// Nothing.
    Alone,
    /// A permit: the allowlist must still be at the revision decided on. With the issuance whose intent it is, if any.
    Decision { revision: u64, intent: Option<IssuanceId> },
    /// An outcome: its intent must still be awaited.
    Intent(IssuanceId),
    /// A change, made in the same transaction.
    Change(Box<Change>),
}

#[derive(Debug)]
struct Entry {
    event: Event,
    basis: Basis,
    since: Instant,
    reply: oneshot::Sender<Result<Option<Changed>, RecordError>>,
}

#[derive(Debug)]
enum Work {
    Write(Box<Entry>),
    Open(oneshot::Sender<Result<(), RecordError>>),
    Housekeep(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

impl Recorder {
    /// Starts the writer, which needs a Tokio runtime. The stream is opened with the first event; the task ends after [`Recorder::close`].
    #[must_use]
    pub fn start(
        store: Store,
        key: Arc<SigningKey>,
        clock: Clock,
        run: Run,
        metrics: Metrics,
    ) -> (Self, JoinHandle<()>) {
        let (queue, work) = mpsc::channel(QUEUE);
        let folder = Arc::new(Mutex::new(Folder::default()));
        let healthy = Arc::new(AtomicBool::new(true));
        let writer = writer::Writer::new(store, key, clock.clone(), run, folder.clone(), healthy.clone(), metrics);
        let task = tokio::spawn(writer.run(work));
        (Self { queue, folder, healthy, clock }, task)
    }

    /// Begins the stream now, rather than with the first event.
    pub async fn open(&self) -> Result<(), RecordError> {
        let (reply, opened) = oneshot::channel();
        self.queue.try_send(Work::Open(reply)).map_err(|_| RecordError::Unavailable)?;
        opened.await.map_err(|_| RecordError::Unavailable)?
    }

    /// Records one event. Floods of one refusal are folded: what is counted now is written within the minute.
    pub async fn record(&self, event: Event) -> Result<(), RecordError> {
        // While the audit cannot be written, nothing is merely counted: a refusal is then a 503 like the rest.
        if self.healthy.load(Ordering::Relaxed) {
            let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
            if folder.admit(&event, self.clock.now()) == Admit::Folded {
                return Ok(());
            }
        }
        self.write(event, Basis::Alone).await.map(|_| ())
    }

    /// Records the intent to call AssumeRole, decided on at this revision of the allowlist.
    pub async fn intend(&self, event: Event, issuance: IssuanceId, revision: u64) -> Result<Intent, RecordError> {
        self.write(event, Basis::Decision { revision, intent: Some(issuance) }).await.map(|_| Intent { issuance })
    }

    /// Records that credentials of an issuance before go out once more, decided on at this revision of the allowlist. The
    /// receipt does that.
    pub async fn share(&self, event: Event, issuance: IssuanceId, revision: u64) -> Result<SharedReceipt, RecordError> {
        self.write(event, Basis::Decision { revision, intent: None }).await.map(|_| SharedReceipt { issuance })
    }

    /// Records that the credentials of this intent are released. The receipt does that.
    pub async fn conclude(&self, event: Event, intent: Intent) -> Result<Receipt, RecordError> {
        let issuance = intent.issuance;
        self.write(event, Basis::Intent(issuance)).await.map(|_| Receipt { issuance })
    }

    /// Records that this intent ended without a release.
    pub async fn abandon(&self, event: Event, intent: Intent) -> Result<(), RecordError> {
        self.write(event, Basis::Intent(intent.issuance)).await.map(|_| ())
    }

    /// Makes a change and records it, in one transaction; the event is given the revision it made.
    pub async fn change(&self, change: Change, event: Event) -> Result<Changed, RecordError> {
        match self.write(event, Basis::Change(Box::new(change))).await? {
            Some(changed) => Ok(changed),
            None => Err(RecordError::Unavailable),
        }
    }

    /// Whether the last commit went well.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// How many wait to be taken into a commit.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Does now what is otherwise done every few seconds: writes what was folded, the heads, and gives up intents
    /// whose outcome never came.
    pub async fn housekeep(&self) {
        let (reply, done) = oneshot::channel();
        if self.queue.send(Work::Housekeep(reply)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Writes what waits, closes the stream and ends the writer.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.queue.send(Work::Close(reply)).await.is_ok() {
            let _ = done.await;
        }
    }

    async fn write(&self, event: Event, basis: Basis) -> Result<Option<Changed>, RecordError> {
        let (reply, answer) = oneshot::channel();
        let waits = matches!(basis, Basis::Intent(_));
        let work = Work::Write(Box::new(Entry { event, basis, since: Instant::now(), reply }));
        if waits {
            // An outcome waits its turn even in a full queue: its session exists already.
            self.queue.send(work).await.map_err(|_| RecordError::Unavailable)?;
        } else {
            self.queue.try_send(work).map_err(|_| RecordError::Unavailable)?;
        }
        answer.await.map_err(|_| RecordError::Unavailable)?
    }
}
