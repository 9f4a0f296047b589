use super::{AuthError, AuthFault, Caller};
use crate::{
    clock::Clock,
    model::{ApiToken, Time, TokenId, with_causes},
    secret::OpaqueToken,
    store::Store,
};
use quick_cache::sync::Cache;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Of how many tokens it is remembered when their use was last noted here.
const REMEMBERED: usize = 10_000;

/// Makes callers of API tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiTokens {
    store: Store,
    clock: Clock,
    tracker: TaskTracker,
    noted: Arc<Cache<TokenId, Time>>,
}

impl ApiTokens {
    /// Looks them up in this store. `tracker` is what a graceful stop waits for.
    #[must_use]
    pub fn new(store: Store, clock: Clock, tracker: TaskTracker) -> Self {
        Self { store, clock, tracker, noted: Arc::new(Cache::new(REMEMBERED)) }
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
        let id = token.id;
        let lately = self.noted.get(&id).is_some_and(|at| now < at.plus(ApiToken::USE_KEPT_TO));
        if lately || !token.is_use_due(now) {
            return;
        }
        self.noted.insert(id, now);
        let store = self.store.clone();
        self.tracker.spawn(async move {
            if let Err(error) = store.note_token_use(id, now).await {
                tracing::warn!(%id, error = %with_causes(&error), "the last use of an API token cannot be noted");
            }
        });
    }
}
