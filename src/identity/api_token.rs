use super::{AuthError, AuthFault, Caller};
use crate::{
    clock::Clock,
    model::{ApiToken, Time, TokenId, with_causes},
    secret::OpaqueToken,
    store::Store,
};
use quick_cache::sync::Cache;
use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::task::TaskTracker;

/// Of how many tokens it is remembered when their use was last noted here.
const REMEMBERED: usize = 10_000;

/// Makes callers of API tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiTokens {
    store: Store,
    clock: Clock,
    tracker: TaskTracker,
    uses: Arc<Uses>,
}

/// The uses that are to be noted. All that come while one write is under way share the next: whoever waits for the database's
/// one writer waits behind one of them at most.
#[derive(Debug)]
struct Uses {
    noted: Cache<TokenId, Time>,
    waiting: Mutex<HashSet<TokenId>>,
    turn: tokio::sync::Mutex<()>,
}

impl ApiTokens {
    /// Looks them up in this store. `tracker` is what a graceful stop waits for.
    #[must_use]
    pub fn new(store: Store, clock: Clock, tracker: TaskTracker) -> Self {
        let (noted, waiting, turn) = (Cache::new(REMEMBERED), Mutex::default(), tokio::sync::Mutex::default());
        Self { store, clock, tracker, uses: Arc::new(Uses { noted, waiting, turn }) }
    }

    /// Asks the database each time: a revocation through any replica counts at the next request.
    pub(super) async fn find_caller(&self, text: &str) -> Result<Arc<Caller>, AuthError> {
        let invalid = |problem, id| AuthFault::Invalid(problem).of_api_token(id);
        let token = OpaqueToken::parse(text)
            .ok_or_else(|| invalid("it begins like an API token, and its checksum says that it is none", None))?;
        let found = self.store.find_token(&token.hash()).await.map_err(|error| {
            tracing::error!(error = %with_causes(&error), "an API token cannot be looked up");
            AuthFault::StoreUnavailable.of_api_token(None)
        })?;
        let token = found.ok_or_else(|| invalid("there is no such API token", None))?;
        let now = self.clock.now();
        if token.revoked_at().is_some() {
            return Err(invalid("the API token has been revoked", Some(token.id)));
        }
        if token.expires_at <= now {
            return Err(AuthFault::ApiTokenExpired.of_api_token(Some(token.id)));
        }
        self.note_use(&token, now);
        Ok(Arc::new(Caller::by_token(token)))
    }

    /// Beside the request, which does not wait for it. A use that cannot be noted is no reason to refuse anybody.
    fn note_use(&self, token: &ApiToken, now: Time) {
        let lately = self.uses.noted.get(&token.id).is_some_and(|at| now < at.plus(ApiToken::USE_KEPT_TO));
        if lately || !token.is_use_due(now) {
            return;
        }
        self.uses.noted.insert(token.id, now);
        self.uses.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(token.id);
        let (uses, store, clock) = (self.uses.clone(), self.store.clone(), self.clock.clone());
        self.tracker.spawn(async move { uses.write(&store, &clock).await });
    }
}

impl Uses {
    async fn write(&self, store: &Store, clock: &Clock) {
        let _turn = self.turn.lock().await;
        let waiting = mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_empty() {
            return;
        }
        let ids = Vec::from_iter(waiting);
        if let Err(error) = store.note_token_uses(&ids, clock.now()).await {
            tracing::warn!(?ids, error = %with_causes(&error), "the last use of API tokens cannot be noted");
        }
    }
}
