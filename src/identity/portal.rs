//! The portal's people: sign-in by the OpenID Connect code flow (with PKCE, state and nonce), and the sessions that come
//! of it.
//!
//! A session is looked up in the database at each request, so that one ended anywhere is over everywhere. The browser holds
//! its token, the database a hash of it, and the provider's refresh token only sealed by the browser's: who steals the
//! database can neither enter by it nor ask the provider.

mod attempt;
mod error;
mod provider;

pub use attempt::{Attempt, LocalPath};
pub use error::SignInError;

use super::{AuthFault, Caller, Identity, Signed};
use crate::{
    audit::{Actor, Auth, AuthMethod, Client, Event, Kind},
    clock::Clock,
    model::{IssuerName, PortalSession, PortalSessionId, Principal, Time, with_causes},
    outward::{NoClient, Url},
    recorder::Recorder,
    secret::{Secret, SessionToken},
    store::{KeptSession, NewSession, Store, StoreError},
};
use provider::{Given, Provider, Refreshed};
use quick_cache::sync::Cache;
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How exactly it is known when a session was last used.
const USE_KEPT_TO: Duration = Duration::from_mins(1);
/// Groups are asked for again when they are older.
const GROUPS_LAST: Duration = Duration::from_hours(1);
/// How soon a provider that did not answer is asked again for the same session.
const ASK_AGAIN: Duration = Duration::from_mins(1);
/// How often what has ended is swept.
const SWEEP_EVERY: Duration = Duration::from_mins(5);
/// A change needs a sign-in that is no older.
const FRESH: Duration = Duration::from_mins(15);
/// Of how many sessions it is remembered when their use was last noted here.
const REMEMBERED: usize = 10_000;

/// `[portal]`, with the secret that its file holds.
#[derive(Clone, Debug)]
pub struct PortalConfig {
    /// Who signs people in: one of the issuers of people.
    pub issuer: IssuerName,
    /// As whom the portal asks the provider.
    pub client_id: String,
    /// The client's secret; `None` for a client that has none and rests on PKCE.
    pub client_secret: Option<Secret>,
    /// The portal's origin.
    pub public_url: String,
    /// A session that rests for so long is over.
    pub idle: Duration,
    /// No session lasts longer.
    pub longest: Duration,
}

/// Where a request came from, for the audit.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Address and browser.
    pub client: Client,
    /// The request's id.
    pub request_id: String,
}

/// Somebody with a session.
#[derive(Clone, Debug)]
pub struct SignedIn {
    caller: Arc<Caller>,
    id: PortalSessionId,
    token: SessionToken,
}

impl SignedIn {
    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Which of their sessions.
    #[must_use]
    pub fn id(&self) -> PortalSessionId {
        self.id
    }

    /// For the cookie.
    #[must_use]
    pub fn cookie(&self) -> String {
        self.token.expose()
    }

    /// What each form and each changing request of this session brings: a page of another origin cannot read it.
    #[must_use]
    pub fn csrf_token(&self) -> String {
        self.token.derive("csrf")
    }

    /// Whether this is the session's own.
    #[must_use]
    pub fn is_csrf_token(&self, text: &str) -> bool {
        self.token.is_derived("csrf", text)
    }
}

/// Signs people in and knows their sessions. Cheap to clone.
#[derive(Clone)]
pub struct Portal(Arc<Inner>);

struct Inner {
    provider: Provider,
    config: PortalConfig,
    store: Store,
    recorder: Recorder,
    clock: Clock,
    tracker: TaskTracker,
    noted: Cache<PortalSessionId, Time>,
}

impl Portal {
    /// Asks nobody yet. `None` where `identity` has no such issuer. `tracker` is what a graceful stop waits for.
    pub fn new(
        config: PortalConfig,
        identity: &Identity,
        store: Store,
        recorder: Recorder,
        tracker: TaskTracker,
    ) -> Result<Option<Self>, NoClient> {
        let clock = identity.0.clock.clone();
        let Some(issuer) = identity.0.issuers.iter().find(|issuer| issuer.config.name == config.issuer) else {
            return Ok(None);
        };
        let provider = Provider::new(config.clone(), issuer.clone(), clock.clone())?;
        let noted = Cache::new(REMEMBERED);
        Ok(Some(Self(Arc::new(Inner { provider, config, store, recorder, clock, tracker, noted }))))
    }

    /// The portal's origin.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.0.config.public_url
    }

    /// How long a session lasts at most.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.0.config.longest
    }

    /// Whether the caller signed in within the last 15 minutes, as a change wants it.
    #[must_use]
    pub fn is_fresh(&self, caller: &Caller) -> bool {
        caller.signed_in_within(FRESH, self.0.clock.now())
    }

    /// Where the browser is sent to sign in.
    pub async fn begin(&self, attempt: &Attempt) -> Result<Url, SignInError> {
        self.0.provider.begin(attempt).await
    }

    /// Where the browser is sent to sign out at the provider too, where that can be.
    pub async fn end_session(&self) -> Option<Url> {
        self.0.provider.end_session().await
    }

    /// Makes a new session of a sign-in that the provider sent the browser back from, and puts it on record.
    pub async fn finish(
        &self,
        attempt: &Attempt,
        state: &str,
        code: &str,
        visitor: &Visitor,
    ) -> Result<SignedIn, SignInError> {
        let now = self.0.clock.now();
        if !attempt.is_answered_by(state, now) {
            return Err(SignInError::Stale);
        }
        let given = self.0.provider.exchange(attempt, code).await?;
        let signed = self.0.verify(&given, Some(&attempt.nonce())).await?.ok_or_else(no_id_token)?;
        let now = self.0.clock.now();
        signed.times.check(now).map_err(SignInError::Token)?;
        // When the token was made says nothing of when the person was asked.
        let authenticated_at = signed.times.signed_in_at;
        if attempt.is_fresh() && authenticated_at.is_none_or(|at| now >= at.plus(FRESH)) {
            return Err(SignInError::NotFresh);
        }
        self.0.open(&signed, attempt, given.refresh_token, visitor, now).await
    }

    /// Puts on record that nobody was signed in. Folded by the recorder: nobody fills the disk from outside.
    pub async fn record_failure(&self, error: &SignInError, visitor: &Visitor) -> Result<(), SignInError> {
        let mut event = Event::new(Kind::LoginFailed, self.0.clock.new_id(), self.0.clock.now());
        let issuer = Some(self.0.config.issuer.to_string());
        event.auth = Some(Auth { method: AuthMethod::Session, issuer, subject: None, token_id: None });
        event.client = Some(visitor.client.clone());
        event.request_id = Some(visitor.request_id.clone());
        event.code = Some(error.code());
        event.detail.insert("problem".to_owned(), error.to_string().into());
        self.0.recorder.record(event).await.map_err(|_| SignInError::Audit)
    }

    /// Whose session this is, as its cookie says; `None` where there is none or it is over. Asks the database each time: a
    /// session ended through any replica is over at the next request.
    pub async fn find(&self, cookie: &str) -> Result<Option<SignedIn>, StoreError> {
        let Some(token) = SessionToken::parse(cookie) else { return Ok(None) };
        let Some(mut kept) = self.0.store.find_session(&token.hash()).await? else { return Ok(None) };
        let now = self.0.clock.now();
        if !self.0.goes_on(&kept.session, now) {
            return Ok(None);
        }
        if is_refresh_due(&kept, now) {
            let (inner, token) = (self.0.clone(), token.clone());
            // A task of its own: a refresh token that was used and whose successor was not kept is the end of the session.
            let refreshing = self.0.tracker.spawn(async move { inner.refresh(kept, &token, now).await });
            match refreshing.await {
                Ok(refreshed) => match refreshed? {
                    Some(still) => kept = still,
                    None => return Ok(None),
                },
                Err(_) => return Ok(None),
            }
        }
        self.0.note_use(&kept.session, now);
        let caller = Arc::new(self.0.caller(&kept.session));
        Ok(Some(SignedIn { caller, id: kept.session.id, token }))
    }

    /// The person's sessions that go on, newest first.
    pub async fn list(&self, principal: &Principal) -> Result<Vec<PortalSession>, StoreError> {
        let now = self.0.clock.now();
        self.0.store.list_sessions(principal, now, now.minus(self.0.config.idle)).await
    }

    /// Ends a session of this person; `false` where they have none of that id.
    pub async fn end(&self, id: PortalSessionId, principal: &Principal) -> Result<bool, StoreError> {
        self.0.store.end_session(id, principal, self.0.clock.now()).await
    }

    /// Removes what has ended; how many.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let now = self.0.clock.now();
        self.0.store.sweep_sessions(now, now.minus(self.0.config.idle)).await
    }

    /// Sweeps now and again, until `shutdown`.
    pub async fn keep_swept(self, shutdown: CancellationToken) {
        let sweeping = async {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                if let Err(error) = self.sweep().await {
                    tracing::warn!(error = %with_causes(&error), "ended sessions stay where they are for now");
                }
            }
        };
        shutdown.run_until_cancelled(Box::pin(sweeping)).await;
    }
}

impl Inner {
    /// `None` where there is no ID token, as in the answer to a refresh token.
    async fn verify(&self, given: &Given, nonce: Option<&str>) -> Result<Option<Signed>, SignInError> {
        let Some(token) = &given.id_token else { return Ok(None) };
        let issuer = self.provider.issuer();
        let signed = issuer.verify_id_token(token.expose(), &self.config.client_id, nonce).await;
        signed.map(Some).map_err(SignInError::Token)
    }

    /// A new token for every sign-in: one that somebody put into the browser before is worth nothing.
    async fn open(
        &self,
        Signed { caller, times }: &Signed,
        attempt: &Attempt,
        refresh_token: Option<Secret>,
        visitor: &Visitor,
        now: Time,
    ) -> Result<SignedIn, SignInError> {
        let token = SessionToken::generate();
        let session = PortalSession {
            id: PortalSessionId::new(self.clock.new_id()),
            principal: caller.principal().clone(),
            groups: caller.groups().to_vec(),
            issuer: self.config.issuer.clone(),
            subject: caller.auth().subject.clone(),
            authenticated_at: times.signed_in_at,
            created_at: now,
            last_used_at: now,
            ends_at: now.plus(self.config.longest),
            groups_at: now,
            address: visitor.client.ip,
            user_agent: visitor.client.user_agent.clone(),
        };
        let sealed = refresh_token.and_then(|secret| token.seal(&secret));
        let (hash, sign_in) = (token.hash(), attempt.mark());
        let caller = Arc::new(self.caller(&session));
        // On record first: there is no session without its event.
        self.record(&session, &caller, visitor).await?;
        if !self.store.add_session(NewSession { session: &session, hash, sign_in, sealed }).await? {
            return Err(SignInError::Stale);
        }
        Ok(SignedIn { caller, id: session.id, token })
    }

    async fn record(&self, session: &PortalSession, caller: &Caller, visitor: &Visitor) -> Result<(), SignInError> {
        let actor = Actor {
            principal: session.principal.clone(),
            auth: caller.auth().clone(),
            client: Some(visitor.client.clone()),
            request_id: Some(visitor.request_id.clone()),
        };
        let mut event = actor.event(Kind::LoginSucceeded, self.clock.new_id(), session.created_at);
        event.expires_at = Some(session.ends_at);
        event.detail.insert("groups".to_owned(), serde_json::json!(session.groups));
        self.recorder.record(event).await.map_err(|_| SignInError::Audit)
    }

    fn goes_on(&self, session: &PortalSession, now: Time) -> bool {
        // The portal's issuer may have become another since.
        now < session.ends_at
            && now < session.last_used_at.plus(self.config.idle)
            && session.issuer == self.config.issuer
    }

    fn caller(&self, session: &PortalSession) -> Caller {
        let id = session.id.to_string();
        let issuer = Some(session.issuer.to_string());
        let subject = session.subject.clone();
        Caller {
            principal: session.principal.clone(),
            groups: session.groups.clone(),
            auth: Auth { method: AuthMethod::Session, issuer, subject, token_id: Some(id) },
            expires_at: session.ends_at,
            session_ends: self.provider.issuer().config.cap_to_token.then_some(session.ends_at),
            authenticated_at: session.authenticated_at,
            token: None,
        }
    }

    /// Asks the provider for the groups; `None` where it says that the session is over. While it is away, and while another
    /// request asks, what was known goes on.
    async fn refresh(
        &self,
        mut kept: KeptSession,
        token: &SessionToken,
        now: Time,
    ) -> Result<Option<KeptSession>, StoreError> {
        let id = kept.session.id;
        let Some(secret) = kept.sealed.as_deref().and_then(|sealed| token.open(sealed)) else { return Ok(Some(kept)) };
        if !self.store.claim_refresh(id, kept.asked_at, now).await? {
            return Ok(Some(kept));
        }
        let given = match self.provider.refresh(&secret).await {
            Refreshed::Given(given) => given,
            Refreshed::Over => return self.give_up(&kept.session, now, "the provider says that it is over").await,
            Refreshed::Unknown(problem) => {
                tracing::warn!(session = %id, problem, "a session's groups cannot be asked for; it goes on as it was");
                return Ok(Some(kept));
            }
        };
        // Most providers give a new refresh token each time, and take the old one no more.
        let rotated = given.refresh_token.as_ref().and_then(|secret| token.seal(secret));
        kept.sealed = rotated.or(kept.sealed);
        match self.verify(&given, None).await {
            Ok(Some(Signed { caller, .. })) if caller.principal != kept.session.principal => {
                return self.give_up(&kept.session, now, "the provider speaks of somebody else").await;
            }
            Ok(Some(Signed { caller, .. })) => kept.session.groups = caller.groups,
            // OpenID Connect Core 1.0, §12.2: there need be none. The provider stands by the person, at least.
            Ok(None) => {}
            // Asked again in a while, with what was given.
            Err(SignInError::Token(AuthFault::KeysUnavailable)) => {
                let KeptSession { session, sealed, .. } = &kept;
                self.store.refresh_session(id, &session.groups, session.groups_at, sealed.as_deref()).await?;
                return Ok(Some(kept));
            }
            Err(_) => return self.give_up(&kept.session, now, "the provider's ID token is not taken").await,
        }
        kept.session.groups_at = now;
        self.store.refresh_session(id, &kept.session.groups, now, kept.sealed.as_deref()).await?;
        Ok(Some(kept))
    }

    async fn give_up(&self, session: &PortalSession, now: Time, why: &str) -> Result<Option<KeptSession>, StoreError> {
        tracing::info!(session = %session.id, why, "a session of the portal ends");
        self.store.end_session(session.id, &session.principal, now).await?;
        Ok(None)
    }

    /// Beside the request, which does not wait for it.
    fn note_use(&self, session: &PortalSession, now: Time) {
        let id = session.id;
        let due = now >= session.last_used_at.plus(USE_KEPT_TO);
        let lately = self.noted.get(&id).is_some_and(|at| at <= now && now < at.plus(USE_KEPT_TO));
        if !due || lately {
            return;
        }
        self.noted.insert(id, now);
        let store = self.store.clone();
        self.tracker.spawn(async move {
            if let Err(error) = store.note_session_use(id, now, now.minus(USE_KEPT_TO)).await {
                tracing::warn!(%id, error = %with_causes(&error), "the last use of a session cannot be noted");
            }
        });
    }
}

fn is_refresh_due(kept: &KeptSession, now: Time) -> bool {
    kept.sealed.is_some() && now >= kept.session.groups_at.plus(GROUPS_LAST) && now >= kept.asked_at.plus(ASK_AGAIN)
}

fn no_id_token() -> SignInError {
    SignInError::Provider("the token endpoint gave no ID token".to_owned())
}
