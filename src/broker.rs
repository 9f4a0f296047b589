//! The use case, from top to bottom: decide → wait for a turn → record the intent → AssumeRole → record the outcome → release.
//! In `share`, many who ask for the same have one issuance: decide → find it, or wait for it → record the hand-out → release.
//!
//! Nothing else issues credentials, and nothing here can release any without a receipt. Must never hold a database
//! transaction open while AWS is awaited.

mod console;
mod error;
mod events;
mod share;
mod shelf;

pub use error::IssueError;

use crate::{
    allowlist::{Ask, Asker, Candidates, Explanation, Permit, Refusal, decide, explain},
    audit::{Actor, Event, Purpose},
    clock::Clock,
    identity::Caller,
    metrics::{Metrics, Outcome},
    model::{IssuanceId, Principal, RoleArn, RoleRef, SessionName, SourceIdentity},
    recorder::{Intent, RecordError, Recorder},
    store::{Store, StoreError},
    sts::{AssumeRole, Minted, Released, Sts},
};
use events::Issuance;
use quick_cache::sync::Cache;
use shelf::Shelf;
use std::{sync::Arc, time::Instant};
use tokio_util::task::TaskTracker;

/// How many answers of the allowlist are kept in memory. Each is good only while the revision stands.
const KEPT_CANDIDATES: usize = 5_000;
/// How often a decision is made anew because the allowlist changes under it.
const DECISIONS: u32 = 5;

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The role, as they named it.
    pub role: RoleRef,
    /// The rest of what a decision looks at.
    pub ask: Ask,
    /// By which door they came.
    pub purpose: Purpose,
}

/// Credentials on their way out, with what the decision said about them.
#[derive(Debug)]
pub struct Issued {
    /// The credentials, released.
    pub credentials: Released,
    /// The role.
    pub role: RoleArn,
    /// What people call its account: the alias, else the id.
    pub account: String,
    /// The source identity that was sent.
    pub source_identity: Option<SourceIdentity>,
    /// What was permitted.
    pub permit: Permit,
}

/// Issues credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    recorder: Recorder,
    sts: Sts,
    clock: Clock,
    tracker: TaskTracker,
    metrics: Metrics,
    kept: Cache<(Principal, RoleRef), Arc<Kept>>,
    shelf: Arc<Shelf>,
}

/// Credentials that are minted and locked up, and what is needed to put their outcome on record.
#[derive(Debug)]
struct Obtained {
    requested: Event,
    intent: Intent,
    minted: Minted,
    role: RoleArn,
    account: String,
    source_identity: Option<SourceIdentity>,
    permit: Permit,
}

/// What the allowlist said about one principal in these groups, and one role.
#[derive(Debug)]
struct Kept {
    groups: Vec<Principal>,
    candidates: Candidates,
}

impl Broker {
    /// Puts the parts together. `tracker` is what a graceful stop waits for.
    #[must_use]
    pub fn new(
        store: Store,
        recorder: Recorder,
        sts: Sts,
        clock: Clock,
        tracker: TaskTracker,
        metrics: Metrics,
    ) -> Self {
        let kept = Cache::new(KEPT_CANDIDATES);
        let shelf = Arc::new(Shelf::new(clock.clone()));
        Self(Arc::new(Inner { store, recorder, sts, clock, tracker, metrics, kept, shelf }))
    }

    /// Issues credentials for one role, or says why not; either is on record before this returns.
    ///
    /// Runs in a task of its own: a client that hangs up takes its answer away, not the issuance.
    pub async fn issue(&self, caller: Arc<Caller>, actor: Actor, request: Request) -> Result<Issued, IssueError> {
        let inner = self.0.clone();
        self.run(async move { inner.issue(&caller, &actor, &request).await }).await
    }

    /// Goes through with it whoever still waits, and counts how it ends.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, IssueError>> + Send + 'static,
    ) -> Result<T, IssueError> {
        let inner = self.0.clone();
        let issuing = self.0.tracker.spawn(async move {
            let ended = work.await;
            inner.count(ended.as_ref().map(|_| ()));
            ended
        });
        issuing.await.unwrap_or_else(|_| {
            self.0.count(Err(&IssueError::Broken));
            Err(IssueError::Broken)
        })
    }

    /// Hands out credentials for one role that all get who ask for the same, made where there are none that are good for
    /// long enough; or says why not. Either is on record before this returns.
    ///
    /// A client that hangs up ends nothing: what is being made is made in a task of its own, for whoever asks next.
    pub async fn share(&self, caller: &Caller, actor: &Actor, request: &Request) -> Result<Issued, Arc<IssueError>> {
        self.0.share(caller, actor, request).await
    }

    /// Whether the same request would be permitted now, and if not, every condition that fails. Changes nothing. Before AWS
    /// has told who the broker is, its sessions count as long as the allowlist has them.
    pub async fn explain(&self, asker: &Asker, role: &RoleRef, ask: &Ask) -> Result<Explanation, IssueError> {
        let candidates = self.0.find_candidates(asker, role).await?;
        Ok(explain(&candidates, asker, ask, self.0.chained().unwrap_or_default(), self.0.clock.now()))
    }
}

impl Inner {
    fn count(&self, ended: Result<(), &IssueError>) {
        match ended {
            Ok(()) => self.metrics.issued(),
            Err(error @ IssueError::Refused(_)) => self.metrics.not_issued(Outcome::Denied, error.label()),
            Err(error) => self.metrics.not_issued(Outcome::Failed, error.label()),
        }
    }

    async fn issue(&self, caller: &Caller, actor: &Actor, request: &Request) -> Result<Issued, IssueError> {
        let obtained = self.obtain(caller, actor, request, self.chained()?).await?;
        self.release(obtained).await
    }

    /// Puts on record that the credentials go out, and lets them.
    async fn release(&self, obtained: Obtained) -> Result<Issued, IssueError> {
        let Obtained { requested, intent, minted, role, account, source_identity, permit } = obtained;
        let event = events::issued(&self.clock, requested, minted.facts());
        let receipt = self.recorder.conclude(event, intent).await?;
        let credentials = minted.release(receipt).map_err(|_| IssueError::Broken)?;
        Ok(Issued { credentials, role, account, source_identity, permit })
    }

    /// As far as the credentials that nobody has yet.
    async fn obtain(
        &self,
        caller: &Caller,
        actor: &Actor,
        request: &Request,
        chained: bool,
    ) -> Result<Obtained, IssueError> {
        let id = IssuanceId::new(self.clock.new_id());
        let asker = asker(caller, actor);
        let mut revision = None;
        for _ in 0..DECISIONS {
            let (grounds, outcome) = self.decide(&asker, request, chained, revision).await?;
            let permit = match outcome {
                Ok(permit) => permit,
                Err(refusal) => return Err(self.refuse(actor, request, &grounds, refusal).await),
            };
            match self.go_through(id, actor, request, &grounds.candidates, permit).await {
                Err(IssueError::Stale(now)) => revision = Some(now),
                done => return done,
            }
        }
        Err(IssueError::Busy)
    }

    /// Decides on what is kept, where it is of this revision, or else on what the store says. Only a permit may rest on what
    /// is kept: its row confirms the revision. A refusal is asked anew and leaves nothing behind, so that a forbidden role
    /// and an unknown one take the same work.
    async fn decide(
        &self,
        asker: &Asker,
        request: &Request,
        chained: bool,
        revision: Option<u64>,
    ) -> Result<(Arc<Kept>, Result<Permit, Refusal>), IssueError> {
        let decide = |kept: &Kept| decide(&kept.candidates, asker, &request.ask, chained, self.clock.now());
        let current = |kept: &Arc<Kept>| revision.is_none_or(|revision| kept.candidates.revision == revision);
        if let Some(kept) = self.find_kept(asker, &request.role).filter(current)
            && let Ok(permit) = decide(&kept)
        {
            return Ok((kept, Ok(permit)));
        }
        let grounds = self.load(asker, &request.role).await?;
        let outcome = decide(&grounds);
        if outcome.is_ok() {
            self.kept.insert((asker.principal.clone(), request.role.clone()), grounds.clone());
        }
        Ok((grounds, outcome))
    }

    async fn refuse(&self, actor: &Actor, request: &Request, grounds: &Kept, refusal: Refusal) -> IssueError {
        let event = events::denied(&self.clock, actor, request, &grounds.candidates, &refusal, self.sts.partition());
        match self.recorder.record(event).await {
            Ok(()) => IssueError::Refused(refusal),
            Err(error) => IssueError::from(error),
        }
    }

    /// From the intent to the call, for a permit that still stands when the intent is written.
    async fn go_through(
        &self,
        id: IssuanceId,
        actor: &Actor,
        request: &Request,
        candidates: &Candidates,
        permit: Permit,
    ) -> Result<Obtained, IssueError> {
        let Some((account, role)) = &candidates.role else { return Err(IssueError::Broken) };
        let principal = &actor.principal;
        let issuance = Issuance {
            id,
            role: role.arn(self.sts.partition()),
            session_name: SessionName::derive(principal, id),
            source_identity: role.source_identity.then(|| SourceIdentity::derive(principal)),
            session_tags: &role.session_tags,
            revision: candidates.revision,
            permit,
        };
        let requested = events::requested(&self.clock, actor, request, &issuance);
        let turn = match self.sts.turn(&account.id).await {
            Ok(turn) => turn,
            Err(reason) => {
                // No intent, no session, but a failure on record, folded where it is one of many.
                self.recorder.record(events::held_back(&self.clock, requested, reason)).await?;
                return Err(IssueError::NoTurn(reason));
            }
        };
        let intent = self.recorder.intend(requested.clone(), id, candidates.revision).await?;
        let call = AssumeRole {
            role: &issuance.role,
            session_name: &issuance.session_name,
            source_identity: issuance.source_identity.as_ref(),
            external_id: account.external_id.as_ref(),
            duration: issuance.permit.duration,
            session_policy: issuance.permit.session_policy.as_ref(),
            session_tags: issuance.session_tags,
        };
        let minted: Minted = match self.sts.assume_role(&intent, turn, call).await {
            Ok(minted) => minted,
            Err(error) => {
                let failure = IssueError::of_sts(error, request.ask.session_policy.is_some());
                let event = events::failed(&self.clock, requested, &failure);
                self.recorder.abandon(event, intent).await?;
                return Err(failure);
            }
        };
        let Issuance { role, source_identity, permit, .. } = issuance;
        let account = account.label().to_owned();
        Ok(Obtained { requested, intent, minted, role, account, source_identity, permit })
    }

    fn find_kept(&self, asker: &Asker, role: &RoleRef) -> Option<Arc<Kept>> {
        self.kept.get(&(asker.principal.clone(), role.clone())).filter(|kept| kept.groups == asker.groups)
    }

    async fn load(&self, asker: &Asker, role: &RoleRef) -> Result<Arc<Kept>, IssueError> {
        let candidates = self.find_candidates(asker, role).await?;
        Ok(Arc::new(Kept { groups: asker.groups.clone(), candidates }))
    }

    async fn find_candidates(&self, asker: &Asker, role: &RoleRef) -> Result<Candidates, StoreError> {
        let principals: Vec<&Principal> = asker.principals().collect();
        let began = Instant::now();
        let found = self.store.find_candidates(&principals, role).await;
        self.metrics.decision_read(began.elapsed());
        let mut candidates = found?;
        // A role in another partition than the broker's own is no role of the allowlist.
        if matches!(role, RoleRef::Arn(arn) if arn.partition != *self.sts.partition()) {
            (candidates.role, candidates.grants) = (None, Vec::new());
        }
        Ok(candidates)
    }

    /// Whether AWS caps the broker's sessions at an hour; unknown until AWS has told who the broker is.
    fn chained(&self) -> Result<bool, IssueError> {
        self.sts.identity().map(|identity| identity.chained).ok_or(IssueError::NoIdentity)
    }
}

/// Who asks, as the decision sees them.
pub fn asker(caller: &Caller, actor: &Actor) -> Asker {
    Asker {
        principal: caller.principal().clone(),
        groups: caller.groups().to_vec(),
        address: actor.client.as_ref().and_then(|client| client.ip),
        session_ends: caller.session_ends(),
        bound_to: caller.token().and_then(|token| token.roles.clone()),
    }
}

impl From<RecordError> for IssueError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Stale(revision) => Self::Stale(revision),
            RecordError::Unavailable | RecordError::Late | RecordError::Change(_) => Self::AuditUnavailable,
        }
    }
}
