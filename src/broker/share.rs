//! One session for all who ask for the same: found, or made once while they wait, and handed to each by a decision and a
//! row of their own.

use super::{
    DECISIONS, Inner, IssueError, Issued, Kept, Request, asker, events,
    shelf::{Asked, Boarding, Departure, Entitled, Fitness, Key, Session, Terms, Who},
};
use crate::{
    allowlist::{Asker, Permit, Refusal},
    audit::Actor,
    identity::Caller,
    model::{IssuanceId, SourceIdentity},
    recorder::RecordError,
};
use std::sync::Arc;
use tokio::sync::oneshot;

/// An error that several may have in common.
type Common = Arc<IssueError>;

/// One who asks, with what stays the same however often it is decided.
struct Visit<'a> {
    inner: &'a Arc<Inner>,
    actor: &'a Actor,
    request: &'a Request,
    asker: Asker,
    who: Who,
    chained: bool,
}

/// What one decision led to.
enum Step {
    /// Credentials of an issuance before.
    Shared(Issued),
    /// The end of the issuance that this visit began, which counts itself.
    Led(Result<Issued, Common>),
    /// Decide again: a session has come that was waited for.
    Landed(Arc<Session>),
    /// Decide again: the allowlist is at this revision.
    Changed(u64),
}

impl Inner {
    pub(super) async fn share(
        self: &Arc<Self>,
        caller: &Caller,
        actor: &Actor,
        request: &Request,
    ) -> Result<Issued, Common> {
        let visited = async {
            let (asker, who, chained) = (asker(caller, actor), Who::of(caller), self.chained()?);
            Visit { inner: self, actor, request, asker, who, chained }.run().await
        };
        match visited.await {
            Ok(Step::Led(ended)) => ended,
            Ok(Step::Shared(issued)) => {
                self.metrics.shared();
                Ok(issued)
            }
            Ok(Step::Landed(_) | Step::Changed(_)) => {
                self.count(Err(&IssueError::Busy));
                Err(IssueError::Busy.into())
            }
            Err(error) => {
                self.count(Err(&error));
                Err(error)
            }
        }
    }

    /// Has a session made, in a task of its own: no asker's hanging up ends it, and a stop waits for it.
    fn depart(
        self: &Arc<Self>,
        departure: Box<Departure>,
        (actor, request): (&Actor, &Request),
        grounds: Arc<Kept>,
        entitled: Entitled,
    ) -> oneshot::Receiver<Result<Issued, Common>> {
        let (inner, actor, request) = (self.clone(), actor.clone(), request.clone());
        let (answer, made) = oneshot::channel();
        self.tracker.spawn(async move {
            let id = IssuanceId::new(inner.clock.new_id());
            let permit = entitled.permit.clone();
            let ended = match inner.go_through(id, &actor, &request, &grounds.candidates, permit).await {
                Ok(obtained) => inner.release(obtained).await,
                Err(error) => Err(error),
            };
            if !matches!(ended, Err(IssueError::Stale(_))) {
                inner.count(ended.as_ref().map(|_| ()));
            }
            let ended = ended.map_err(Arc::new);
            departure.land(match &ended {
                Ok(issued) => Ok(Session::new(issued.credentials.lock(), entitled, request.role)),
                Err(error) => Err(error.clone()),
            });
            let _ = answer.send(ended); // whoever began this may have gone
        });
        made
    }
}

impl Visit<'_> {
    /// Until there is something for this asker, or nothing; each round decides anew.
    async fn run(&self) -> Result<Step, Common> {
        let Self { inner, request, asker, who, .. } = self;
        let asked = Asked::new(who.clone(), asker, request.role.clone(), request.ask.clone());
        if let Some(refused) = inner.shelf.find_refusal(&asked) {
            return Err(inner.refuse(self.actor, request, &refused.grounds, refused.refusal.clone()).await.into());
        }
        let (mut landed, mut revision) = (None, None);
        for _ in 0..DECISIONS {
            let (grounds, outcome) = inner.decide(asker, request, self.chained, revision).await?;
            let permit = match outcome {
                Ok(permit) => permit,
                Err(refusal) => return Err(self.refuse(asked, &grounds, refusal).await.into()),
            };
            let entitled = self.entitled(&grounds, permit)?;
            let step = match self.find(&grounds, &entitled, landed.as_ref()) {
                Some(session) => {
                    let step = self.hand_out(&grounds, &entitled, &session).await?;
                    landed = Some(session);
                    step
                }
                None => self.board(grounds, entitled).await?,
            };
            match step {
                Step::Landed(session) => landed = Some(session),
                Step::Changed(now) => revision = Some(now),
                Step::Shared(_) | Step::Led(_) => return Ok(step),
            }
        }
        Err(IssueError::Busy.into())
    }

    async fn refuse(&self, asked: Asked, grounds: &Arc<Kept>, refusal: Refusal) -> IssueError {
        let Self { inner, actor, request, .. } = self;
        if matches!(refusal, Refusal::NotAllowed(_)) {
            inner.shelf.drop_void(&self.who, &self.asker, &request.role, &grounds.candidates);
        }
        inner.shelf.keep_refusal(asked, grounds.clone(), refusal.clone());
        inner.refuse(actor, request, grounds, refusal).await
    }

    fn entitled(&self, grounds: &Kept, permit: Permit) -> Result<Entitled, IssueError> {
        let Self { inner, request, who, .. } = self;
        let Some((account, role)) = &grounds.candidates.role else { return Err(IssueError::Broken) };
        let key = Key {
            who: who.clone(),
            role: role.arn(inner.sts.partition()),
            grant: permit.grant_id.clone(),
            ask: request.ask.clone(),
        };
        let terms = Terms {
            external_id: account.external_id.clone(),
            source_identity: role.source_identity.then(|| SourceIdentity::derive(&self.asker.principal)),
            session_policy: permit.session_policy.clone(),
            session_tags: role.session_tags.clone(),
        };
        Ok(Entitled { key, terms, permit, at: inner.clock.now(), revision: grounds.candidates.revision })
    }

    /// The session that was waited for, or one that is kept; where the next one is due, somebody begins to make it.
    fn find(&self, grounds: &Arc<Kept>, entitled: &Entitled, landed: Option<&Arc<Session>>) -> Option<Arc<Session>> {
        if let Some(session) = landed.filter(|session| session.fitness(entitled, true) == Fitness::Good) {
            return Some(session.clone());
        }
        let (session, next_is_due) = self.inner.shelf.find(entitled)?;
        if next_is_due && let Boarding::Leads(departure) = self.inner.shelf.board(entitled) {
            drop(self.inner.depart(departure, (self.actor, self.request), grounds.clone(), entitled.clone()));
        }
        Some(session)
    }

    /// Waits for the session that is being made, or has it made.
    async fn board(&self, grounds: Arc<Kept>, entitled: Entitled) -> Result<Step, Common> {
        match self.inner.shelf.board(&entitled) {
            Boarding::Found(session) => Ok(Step::Landed(session)),
            Boarding::Failed(error) => Err(self.fail_along(&entitled, error).await),
            Boarding::Joins(flight) => match flight.landed().await {
                Ok(session) => Ok(Step::Landed(session)),
                Err(error) => match *error {
                    IssueError::Stale(now) => Ok(Step::Changed(now)),
                    _ => Err(self.fail_along(&entitled, error).await),
                },
            },
            Boarding::Leads(departure) => {
                // What another grant gave this caller, which is gone now.
                let role = &self.request.role;
                self.inner.shelf.drop_void(&self.who, &self.asker, role, &grounds.candidates);
                match self.inner.depart(departure, (self.actor, self.request), grounds, entitled).await {
                    Ok(Err(error)) if let IssueError::Stale(now) = *error => Ok(Step::Changed(now)),
                    Ok(ended) => Ok(Step::Led(ended)),
                    Err(_) => Err(IssueError::Broken.into()),
                }
            }
        }
    }

    /// Lets a session go to this asker, once that is on record and the allowlist is still the one decided on.
    async fn hand_out(&self, grounds: &Kept, entitled: &Entitled, session: &Session) -> Result<Step, Common> {
        let inner = self.inner;
        let event = events::shared(&inner.clock, self.actor, self.request, entitled, session);
        let receipt = match inner.recorder.share(event, session.credentials.issuance(), entitled.revision).await {
            Ok(receipt) => receipt,
            Err(RecordError::Stale(now)) => return Ok(Step::Changed(now)),
            Err(error) => return Err(IssueError::from(error).into()),
        };
        let credentials = session.credentials.release(receipt).map_err(|_| IssueError::Broken)?;
        let Some((account, _)) = &grounds.candidates.role else { return Err(IssueError::Broken.into()) };
        Ok(Step::Shared(Issued {
            credentials,
            account: account.label().to_owned(),
            role: entitled.key.role.clone(),
            source_identity: entitled.terms.source_identity.clone(),
            permit: entitled.permit.clone(),
        }))
    }

    /// Fails with another's call. Where that is AWS's doing, it is on record as a request for which AWS was not asked.
    async fn fail_along(&self, entitled: &Entitled, error: Common) -> Common {
        let Self { inner, actor, request, .. } = self;
        if error.sts().is_none() && !matches!(*error, IssueError::NoTurn(_)) {
            return error;
        }
        let event = events::failed_along(&inner.clock, actor, request, entitled, &error);
        match inner.recorder.record(event).await {
            Ok(()) => error,
            Err(failure) => IssueError::from(failure).into(),
        }
    }
}
