use super::{
    algorithm::Algorithm,
    error::AuthFault,
    fetch::{FetchError, Fetcher},
    issuer::IssuerConfig,
    jwk::Key,
};
use crate::{
    clock::{Clock, fill_random},
    metrics::Metrics,
    model::{IssuerName, Time},
    outward::Url,
};
use arc_swap::ArcSwap;
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, watch};

/// The least time between two fetches of one issuer's keys: no flood of made-up key ids becomes one at the provider.
const FETCH_EVERY: Duration = Duration::from_secs(30);

/// How long a request whose key is not held waits for the fetch that may bring it.
const WAIT: Duration = Duration::from_secs(3);

/// How many requests wait for one issuer's fetch: made-up key ids must not take every place there is.
const WAITERS: usize = 128;

/// One issuer's usable keys: fetched whole, swapped whole, kept until a newer set is there.
///
/// A set that the provider sends is taken as it is, even without one usable key: a key that was withdrawn must not be
/// believed any longer. What is no set (no answer, an error, nonsense) changes nothing.
pub(super) struct IssuerKeys {
    name: IssuerName,
    issuer: String,
    jwks_url: Option<Url>,
    fetcher: Fetcher,
    clock: Clock,
    metrics: Metrics,
    set: ArcSwap<Vec<Arc<Key>>>,
    state: Mutex<State>,
    waiters: Semaphore,
}

struct State {
    /// When the last fetch began.
    attempted_at: Option<Time>,
    /// When a set last came.
    fetched_at: Option<Time>,
    /// What is wrong with the last fetch.
    error: Option<String>,
    /// The fetch on its way: closed as soon as there is none.
    flight: watch::Receiver<()>,
}

/// How an issuer's keys stand, for readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerStatus {
    /// The issuer's configured name.
    pub name: IssuerName,
    /// Whether at least one usable key is held.
    pub usable: bool,
    /// How long ago the provider last sent a set of keys.
    pub age: Option<Duration>,
    /// What went wrong at the last fetch; `None` where it went well.
    pub last_error: Option<String>,
}

impl IssuerKeys {
    pub(super) fn new(config: &IssuerConfig, fetcher: Fetcher, clock: Clock, metrics: Metrics) -> Self {
        let (_, landed) = watch::channel(());
        Self {
            name: config.name.clone(),
            issuer: config.issuer.clone(),
            jwks_url: config.jwks_url.clone(),
            fetcher,
            clock,
            metrics,
            set: ArcSwap::default(),
            state: Mutex::new(State { attempted_at: None, fetched_at: None, error: None, flight: landed }),
            waiters: Semaphore::new(WAITERS),
        }
    }

    /// Whether the current set still has this key.
    pub(super) fn holds(&self, thumbprint: &[u8; 32]) -> bool {
        self.set.load().iter().any(|key| key.thumbprint() == thumbprint)
    }

    /// The key a token names. A key that is held is given at once; for one that is not, the provider is asked (at most
    /// once in 30 s, by one fetch for all that wait) and waited for (at most 3 s, by so many at once).
    pub(super) async fn find(self: &Arc<Self>, kid: Option<&str>, signed: Algorithm) -> Result<Arc<Key>, AuthFault> {
        if let Some(found) = self.find_held(kid, signed) {
            return found;
        }
        if let Some(mut flight) = self.join_fetch() {
            // One beyond them is not told that its key is unknown: nobody knows yet.
            let _waiting = self.waiters.try_acquire().map_err(|_| AuthFault::KeysUnavailable)?;
            // Both a landed fetch and the end of patience end here: what counts is the set there is now.
            let _ = tokio::time::timeout(WAIT, flight.changed()).await;
        }
        self.find_held(kid, signed).unwrap_or_else(|| {
            Err(if self.set.load().is_empty() {
                AuthFault::KeysUnavailable
            } else {
                AuthFault::Invalid("its kid is not one its issuer publishes")
            })
        })
    }

    /// `None` where a newer set may know better. Keys of different kinds may share a `kid` (RFC 7517, §4.5).
    fn find_held(&self, kid: Option<&str>, signed: Algorithm) -> Option<Result<Arc<Key>, AuthFault>> {
        let set = self.set.load();
        if kid.is_none() && set.len() > 1 {
            return Some(Err(AuthFault::Invalid("it has no kid, and its issuer publishes several keys")));
        }
        let mut named = set.iter().filter(|key| kid.is_none() || key.kid() == kid).peekable();
        named.peek()?;
        let fitting = named.find(|key| key.fits(signed)).cloned();
        Some(fitting.ok_or(AuthFault::Invalid("its alg does not fit the key it names")))
    }

    /// The fetch on its way, or a new one; `None` where the last one began under 30 s ago.
    fn join_fetch(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let mut state = self.state();
        if state.flight.has_changed().is_ok() {
            return Some(state.flight.clone());
        }
        let now = self.clock.now();
        // A clock that was set back must not stop the fetching until it has caught up.
        if state.attempted_at.is_some_and(|last| last <= now && now < last.plus(FETCH_EVERY)) {
            return None;
        }
        let (under_way, flight) = watch::channel(());
        state.attempted_at = Some(now);
        state.flight = flight.clone();
        drop(state);
        let keys = Arc::clone(self);
        // A task of its own: the caller who began it may hang up, the others still wait.
        tokio::spawn(async move {
            keys.fetch().await;
            drop(under_way);
        });
        Some(flight)
    }

    async fn fetch(&self) {
        let outcome = self.fetcher.key_set(&self.issuer, self.jwks_url.as_ref()).await.and_then(|published| {
            let set: Vec<_> = published.iter().filter_map(|jwk| self.read(jwk)).map(Arc::new).collect();
            let empty = set.is_empty();
            self.set.store(Arc::new(set));
            let now = self.clock.now();
            self.state().fetched_at = Some(now);
            if empty {
                return Err(FetchError::NoUsableKey);
            }
            self.metrics.keys_came(&self.name, now);
            Ok(())
        });
        let error = outcome.err().map(|error| error.to_string());
        if let Some(error) = &error {
            tracing::warn!(issuer = %self.name, error, "an issuer's keys could not be fetched");
        }
        self.state().error = error;
    }

    fn read(&self, jwk: &Value) -> Option<Key> {
        Key::read(jwk)
            .inspect_err(|reason| {
                let kid = jwk.get("kid").and_then(Value::as_str);
                tracing::debug!(issuer = %self.name, kid, reason, "skipping a key");
            })
            .ok()
    }

    /// Fetches now and for ever after: every 5 to 15 minutes, every 30 to 60 s while it goes wrong. The spread keeps
    /// replicas that were started together from asking together.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        loop {
            if let Some(mut flight) = self.join_fetch() {
                let _ = flight.changed().await;
            }
            let well = self.state().error.is_none();
            tokio::time::sleep(if well { between(300, 900) } else { between(30, 60) }).await;
        }
    }

    pub(super) fn status(&self) -> IssuerStatus {
        let now = self.clock.now();
        let usable = !self.set.load().is_empty();
        let state = self.state();
        let age = |fetched: Time| Duration::from_secs(fetched.seconds_until(now).try_into().unwrap_or_default());
        IssuerStatus {
            name: self.name.clone(),
            usable,
            age: state.fetched_at.map(age),
            last_error: state.error.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn between(least: u64, most: u64) -> Duration {
    let mut random = [0; 8];
    fill_random(&mut random);
    Duration::from_secs(least + u64::from_be_bytes(random) % (most - least))
}
