//! What is kept to be handed out more than once: the sessions of each caller, the calls that are under way for one, and,
//! for seconds, refusals and failures. Everything is bounded; what falls out is zeroed, and made again when somebody asks.
//!
//! A session lies here locked up: it takes the receipt of each hand-out to have it. Must never decide who may have it, nor
//! give one caller's to another.

use super::{IssueError, Kept};
use crate::{
    allowlist::{Ask, Asker, Candidates, Permit, Refusal, still_has},
    audit::{Auth, AuthMethod},
    clock::Clock,
    identity::Caller,
    model::{
        ExternalId, GrantId, IssuanceId, Principal, RoleArn, RoleRef, SessionName, SessionPolicy, SourceIdentity, Tags,
        Time, sha256,
    },
    sts::{Locked, StsProblem},
};
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// How many sessions are kept, each of about two kilobytes.
const SESSIONS: usize = 5_000;
/// And of one caller: the next takes the place of the oldest.
const SESSIONS_OF_A_CALLER: usize = 64;
/// Few shards, so that each has room for several callers with all of theirs.
const SHARDS: usize = 8;
const REFUSALS: usize = 1_000;
const FAILURES: usize = 1_000;

/// How long a refusal is told again: as long as an SDK repeats its question (the JavaScript SDK asks 4 times in 4 s).
const REFUSAL_KEPT: Duration = Duration::from_secs(5);
/// How long AWS is not asked again after it gave no usable answer: the six tries of the Java SDK come within 0.3 s, the last
/// of most others after more than this. No longer than `retry-after` says.
const FAILURE_KEPT: Duration = Duration::from_secs(2);

/// With less left than this, botocore asks again at each call (at 15 minutes), other SDKs soon after.
const LEAST_LEFT: Duration = Duration::from_mins(20);
/// How much earlier a session is renewed while the old one is still handed out; at random half of it or more, so that
/// sessions that began together do not end together.
const EARLY: Duration = Duration::from_mins(5);
/// Durations are whole seconds, rounded down: today's can end so much sooner than that of yesterday.
const ROUNDING: Duration = Duration::from_secs(1);

/// Who asks, as far as they may be given what they were given before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Who {
    principal: Principal,
    method: AuthMethod,
    issuer: Option<String>,
    subject: Option<String>,
    /// Of API tokens, each is somebody of its own. Of a JWT the next one is the same caller's.
    token: Option<String>,
    /// A session that may not outlive its token is that token's.
    ends: Option<Time>,
}

impl Who {
    pub(super) fn of(caller: &Caller) -> Self {
        Self::of_auth(caller.principal().clone(), caller.auth(), caller.session_ends())
    }

    fn of_auth(principal: Principal, auth: &Auth, ends: Option<Time>) -> Self {
        Self {
            principal,
            method: auth.method,
            issuer: auth.issuer.clone(),
            subject: auth.subject.clone(),
            token: auth.token_id.clone().filter(|_| auth.method != AuthMethod::Jwt),
            ends,
        }
    }
}

/// What sessions are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) who: Who,
    pub(super) role: RoleArn,
    pub(super) grant: GrantId,
    pub(super) ask: Ask,
}

/// What a session is made under, beside its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) external_id: Option<ExternalId>,
    pub(super) source_identity: Option<SourceIdentity>,
    pub(super) session_policy: Option<SessionPolicy>,
    pub(super) session_tags: Tags,
}

/// What somebody may have at this moment.
#[derive(Clone, Debug)]
pub(super) struct Entitled {
    pub(super) key: Key,
    pub(super) terms: Terms,
    pub(super) permit: Permit,
    pub(super) at: Time,
    pub(super) revision: u64,
}

/// A session that was issued, to be shared.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) credentials: Locked,
    pub(super) name: SessionName,
    /// What its first asker was entitled to.
    pub(super) of: Entitled,
    /// How they named the role.
    asked: RoleRef,
    /// How much before the least that must be left it is renewed.
    early: Duration,
}

/// What is to be done about a session that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitness {
    /// Hand it out.
    Good,
    /// Hand it out, and have the next one made meanwhile.
    Due,
    /// Its time is over.
    Over,
    /// It was made under other terms, or outlives what is permitted now.
    Void,
}

impl Session {
    pub(super) fn new(credentials: Locked, of: Entitled, asked: RoleRef) -> Self {
        let name = SessionName::derive(&of.key.who.principal, credentials.issuance());
        let early = early(of.permit.duration.as_duration(), credentials.issuance());
        Self { credentials, name, of, asked, early }
    }

    /// Whether it is what this asker would get, were it made now; `fresh`: it was made for them, and what is left of it is
    /// what there is.
    pub(super) fn fitness(&self, entitled: &Entitled, fresh: bool) -> Fitness {
        let (of, permitted) = (&self.of, entitled.permit.duration.as_duration());
        let (until, now_until) = (of.at.plus(of.permit.duration.as_duration()), entitled.at.plus(permitted));
        if of.key != entitled.key || of.terms != entitled.terms || until > now_until.plus(ROUNDING) {
            return Fitness::Void;
        }
        // Towards the end of a grant or of a token the next one would last no longer.
        if fresh || now_until <= until.plus(ROUNDING) {
            return Fitness::Good;
        }
        let ends = self.credentials.facts().expires_at;
        let (least, early) = if permitted > LEAST_LEFT {
            (LEAST_LEFT, self.early)
        } else {
            (of.permit.duration.as_duration() / 3, Duration::ZERO)
        };
        match entitled.at {
            at if at.plus(least) > ends => Fitness::Over,
            at if at.plus(least + early) > ends => Fitness::Due,
            _ => Fitness::Good,
        }
    }
}

/// By how much a session of this length is renewed before it has to be: nothing where it is shared to its last third.
fn early(length: Duration, issuance: IssuanceId) -> Duration {
    let most = EARLY.min(length.saturating_sub(LEAST_LEFT) / 2);
    // Any random number does, as long as it stays the same: one made of the id can be repeated in a test.
    most / 2 + most / 2 * u32::from(sha256(&[issuance.to_string().as_bytes()])[0]) / 255
}

/// A question that was refused, with all that the answer hung on but the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    who: Who,
    groups: Vec<Principal>,
    address: Option<IpAddr>,
    role: RoleRef,
    ask: Ask,
}

impl Asked {
    pub(super) fn new(who: Who, asker: &Asker, role: RoleRef, ask: Ask) -> Self {
        Self { who, groups: asker.groups.clone(), address: asker.address, role, ask }
    }
}

/// A refusal, with what it rests on.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) grounds: Arc<Kept>,
    pub(super) refusal: Refusal,
    until: Time,
}

/// A call that brought nothing.
#[derive(Debug)]
struct Failure {
    error: Arc<IssueError>,
    terms: Terms,
    until: Time,
}

/// How a flight ended; `None` while it is under way.
type Landed = Option<Result<Arc<Session>, Arc<IssueError>>>;

/// What there is for somebody who finds no session.
#[derive(Debug)]
pub(super) enum Boarding {
    /// There is one after all.
    Found(Arc<Session>),
    /// One is being made: wait for it.
    Joins(Flight),
    /// AWS failed a moment ago, and is not asked.
    Failed(Arc<IssueError>),
    /// They are the one to have it made.
    Leads(Box<Departure>),
}

/// A session that is being made.
#[derive(Debug)]
pub(super) struct Flight(watch::Receiver<Landed>);

/// The other end of [`Flight`]. Dropped before it has landed, as by a panic, it wakes all who wait with an error.
#[derive(Debug)]
pub(super) struct Departure {
    shelf: Arc<Shelf>,
    key: Key,
    terms: Terms,
    landing: Option<watch::Sender<Landed>>,
}

/// The sessions of one caller, oldest first.
type Held = Arc<[Arc<Session>]>;

#[derive(Clone, Debug)]
struct Sessions;

impl Weighter<Who, Held> for Sessions {
    fn weight(&self, _: &Who, held: &Held) -> u64 {
        held.len() as u64
    }
}

#[derive(Debug)]
pub(super) struct Shelf {
    clock: Clock,
    /// Written under the lock of `flights` alone.
    sessions: Cache<Who, Held, Sessions>,
    refusals: Cache<Asked, Arc<Refused>>,
    failures: Cache<Key, Arc<Failure>>,
    flights: Mutex<HashMap<Key, watch::Receiver<Landed>>>,
}

impl Shelf {
    pub(super) fn new(clock: Clock) -> Self {
        Self::with_room(clock, SESSIONS)
    }

    fn with_room(clock: Clock, sessions: usize) -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(sessions)
            .weight_capacity(sessions as u64)
            .build();
        #[expect(clippy::expect_used, reason = "all that has to be set is set")]
        let options = options.expect("options of a cache");
        Self {
            clock,
            sessions: Cache::with_options(
                options,
                Sessions,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            refusals: Cache::new(REFUSALS),
            failures: Cache::new(FAILURES),
            flights: Mutex::default(),
        }
    }

    /// The session that this asker can have, and whether the next one is due.
    pub(super) fn find(&self, entitled: &Entitled) -> Option<(Arc<Session>, bool)> {
        let session = self.session(&entitled.key)?;
        match session.fitness(entitled, false) {
            Fitness::Good => Some((session, false)),
            Fitness::Due => Some((session, true)),
            // Who decided on an older allowlist than the session rests on finds that out when they write.
            Fitness::Void if entitled.revision >= session.of.revision => {
                self.keep_only(&entitled.key.who, |other| !Arc::ptr_eq(other, &session));
                None
            }
            Fitness::Void | Fitness::Over => None,
        }
    }

    /// Drops the sessions of this caller for this role whose grants are gone, are over, or are blocked.
    pub(super) fn drop_void(&self, who: &Who, asker: &Asker, role: &RoleRef, candidates: &Candidates) {
        let Some(held) = self.sessions.get(who) else { return };
        let named = candidates.role.as_ref().map(|(account, role)| (&account.id, &role.name));
        let now = self.clock.now();
        let stands = |session: &Arc<Session>| {
            let of = &session.of;
            let concerned = session.asked == *role || named == Some((&of.key.role.account, &of.key.role.name));
            !concerned || of.revision > candidates.revision || still_has(candidates, asker, &of.key.grant, now)
        };
        if !held.iter().all(stands) {
            self.keep_only(who, stands);
        }
    }

    /// What somebody does who has found no session.
    pub(super) fn board(self: &Arc<Self>, entitled: &Entitled) -> Boarding {
        let mut flights = self.flights();
        // One that landed in between.
        let session = self.session(&entitled.key);
        if let Some(session) = session.filter(|session| session.fitness(entitled, false) == Fitness::Good) {
            return Boarding::Found(session);
        }
        match flights.entry(entitled.key.clone()) {
            Entry::Occupied(flight) => Boarding::Joins(Flight(flight.get().clone())),
            Entry::Vacant(place) => {
                if let Some(failure) = self.failures.get(&entitled.key) {
                    if failure.terms == entitled.terms && entitled.at < failure.until {
                        return Boarding::Failed(failure.error.clone());
                    }
                    self.failures.remove(&entitled.key);
                }
                let (landing, flight) = watch::channel(None);
                place.insert(flight);
                let (key, terms) = (entitled.key.clone(), entitled.terms.clone());
                let departure = Departure { shelf: self.clone(), key, terms, landing: Some(landing) };
                Boarding::Leads(Box::new(departure))
            }
        }
    }

    /// The refusal that answered this question a moment ago.
    pub(super) fn find_refusal(&self, asked: &Asked) -> Option<Arc<Refused>> {
        let refused = self.refusals.get(asked)?;
        if self.clock.now() < refused.until {
            return Some(refused);
        }
        self.refusals.remove(asked);
        None
    }

    pub(super) fn keep_refusal(&self, asked: Asked, grounds: Arc<Kept>, refusal: Refusal) {
        let until = self.clock.now().plus(REFUSAL_KEPT);
        self.refusals.insert(asked, Arc::new(Refused { grounds, refusal, until }));
    }

    fn session(&self, key: &Key) -> Option<Arc<Session>> {
        self.sessions.get(&key.who)?.iter().find(|session| session.of.key == *key).cloned()
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Landed>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_only(&self, who: &Who, keep: impl Fn(&Arc<Session>) -> bool) {
        let _lock = self.flights();
        if let Some(held) = self.sessions.get(who) {
            self.replace(who, held.iter().filter(|session| keep(session)).cloned().collect());
        }
    }

    fn replace(&self, who: &Who, sessions: Vec<Arc<Session>>) {
        if sessions.is_empty() {
            self.sessions.remove(who);
        } else {
            self.sessions.insert(who.clone(), sessions.into());
        }
    }

    /// In the place of the one before, and of what is over.
    fn keep(&self, session: &Arc<Session>) {
        let key = &session.of.key;
        let held = self.sessions.get(&key.who);
        let lasts = |other: &&Arc<Session>| other.credentials.facts().expires_at > session.of.at;
        let others = held.iter().flat_map(|held| held.iter()).filter(|other| other.of.key != *key).filter(lasts);
        let mut sessions: Vec<_> = others.cloned().collect();
        sessions.drain(..(sessions.len() + 1).saturating_sub(SESSIONS_OF_A_CALLER));
        sessions.push(session.clone());
        self.replace(&key.who, sessions);
    }
}

impl Flight {
    /// Waits until it has ended.
    pub(super) async fn landed(mut self) -> Result<Arc<Session>, Arc<IssueError>> {
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(landed)) => landed.clone(),
            _ => Err(Arc::new(IssueError::Broken)),
        }
    }
}

impl Departure {
    /// Tells how it ended to all who wait and, for as long as it is good for, to those who come.
    pub(super) fn land(mut self, landed: Result<Session, Arc<IssueError>>) {
        self.end(landed.map(Arc::new));
    }

    fn end(&mut self, landed: Result<Arc<Session>, Arc<IssueError>>) {
        let Some(landing) = self.landing.take() else { return };
        let mut flights = self.shelf.flights();
        match &landed {
            Ok(session) => self.shelf.keep(session),
            Err(error) => {
                if let Some(kept) = kept_for(error) {
                    let until = self.shelf.clock.now().plus(kept);
                    let failure = Failure { error: error.clone(), terms: self.terms.clone(), until };
                    self.shelf.failures.insert(self.key.clone(), Arc::new(failure));
                }
            }
        }
        flights.remove(&self.key);
        drop(flights);
        landing.send_replace(Some(landed));
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.end(Err(Arc::new(IssueError::Broken)));
    }
}

/// How long AWS is not asked again after this: not at all where it was not asked.
fn kept_for(error: &IssueError) -> Option<Duration> {
    match (error, error.sts().map(|error| &error.problem)) {
        (_, Some(StsProblem::Throttled | StsProblem::Unavailable(_)))
        | (IssueError::NoTurn(_) | IssueError::Broken, _) => Some(FAILURE_KEPT),
        (_, Some(_)) => Some(REFUSAL_KEPT),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
