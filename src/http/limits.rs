//! How much is done for whom: requests of one caller, failed authentication of one address, and requests under way in
//! all. What is beyond is answered at once, writes no row, and is logged as a number.
//!
//! The state is bounded: callers are keys only until their bucket is full again, addresses share a fixed number of buckets,
//! which no one outside can choose.

use super::address::network;
use crate::{
    clock::Clock,
    metrics::{Full, Limited, Metrics},
    model::Principal,
};
use governor::{Quota, RateLimiter, middleware::NoOpMiddleware, state::keyed::DefaultKeyedStateStore};
use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often it is tidied up and told how many were turned away.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// The numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Requests of one caller a second, in the long run.
    pub requests_per_second: NonZeroU32,
    /// Requests of one caller at once, after a while of rest.
    pub requests_burst: NonZeroU32,
    /// Failed authentications of one address a minute, in the long run.
    pub failures_per_minute: NonZeroU32,
    /// Failed authentications of one address at once.
    pub failures_burst: NonZeroU32,
    /// Sign-ins to the portal from one address a minute: each asks the identity provider.
    pub sign_ins_per_minute: NonZeroU32,
    /// Requests under way: half of what may wait for the audit's writer, so that none is refused there.
    pub under_way: usize,
    /// Allowlist files being read, planned and applied: each can be 16 MiB and take half a minute to come.
    pub files: usize,
    /// How long an answer may take. The calls within have shorter limits of their own, which come first.
    pub answer: Duration,
    /// How long a JSON body may take to arrive.
    pub body: Duration,
    /// How long an allowlist file may take to arrive, and again to be written.
    pub file: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            requests_per_second: number(20),
            requests_burst: number(100),
            failures_per_minute: number(60),
            failures_burst: number(60),
            sign_ins_per_minute: number(120),
            under_way: 512,
            files: 2,
            answer: Duration::from_secs(19),
            body: Duration::from_secs(5),
            file: Duration::from_secs(30),
        }
    }
}

impl Bounds {
    /// For one operator's own requests: nobody else is kept waiting.
    #[must_use]
    pub fn of_one() -> Self {
        const LONG: Duration = Duration::from_hours(24);
        let (many, usual) = (NonZeroU32::MAX, Self::default());
        Self { requests_per_second: many, requests_burst: many, answer: LONG, body: LONG, file: LONG, ..usual }
    }
}

type Limiter = RateLimiter<u64, DefaultKeyedStateStore<u64>, Clock, NoOpMiddleware<Duration>>;

/// The state. Cheap to clone: all clones count together.
#[derive(Clone, Debug)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Bounds,
    clock: Clock,
    metrics: Metrics,
    callers: Limiter,
    failures: Limiter,
    sign_ins: Limiter,
    seed: RandomState,
    under_way: AtomicUsize,
    files: Arc<Semaphore>,
    limited: AtomicU64,
    shed: AtomicU64,
    tidied: AtomicU64,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Limits);

/// Seconds after which it is worth to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ComeAgain(pub(super) u32);

impl Limits {
    /// With nothing counted yet.
    #[must_use]
    pub fn new(bounds: Bounds, clock: Clock, metrics: Metrics) -> Self {
        let requests = Quota::per_second(bounds.requests_per_second).allow_burst(bounds.requests_burst);
        let failures = Quota::per_minute(bounds.failures_per_minute).allow_burst(bounds.failures_burst);
        let sign_ins = Quota::per_minute(bounds.sign_ins_per_minute).allow_burst(bounds.sign_ins_per_minute);
        let limiter = |quota| RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone());
        Self(Arc::new(Inner {
            files: Arc::new(Semaphore::new(bounds.files)),
            bounds,
            callers: limiter(requests),
            failures: limiter(failures),
            sign_ins: limiter(sign_ins),
            seed: RandomState::new(),
            under_way: AtomicUsize::new(0),
            limited: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            tidied: AtomicU64::new(0),
            clock,
            metrics,
        }))
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.0.bounds
    }

    /// Counts a request of this caller.
    pub(super) fn of_caller(&self, caller: &Principal) -> Result<(), ComeAgain> {
        self.check(Limited::Caller, self.0.seed.hash_one(caller))
    }

    /// Counts a failed authentication from this address. Only failures count, and only failures are turned away: a caller
    /// who shares the address of whoever guesses is served, at the price of a signature checked for each guess.
    pub(super) fn of_failure(&self, address: Option<IpAddr>) -> Result<(), ComeAgain> {
        // 65,536 buckets: two addresses may share one, and nobody can tell which.
        self.check(Limited::Address, self.bucket(address))
    }

    /// Counts a sign-in that comes back from the provider, before the provider is asked about it.
    pub(super) fn of_sign_in(&self, address: Option<IpAddr>) -> Result<(), ComeAgain> {
        self.check(Limited::SignIn, self.bucket(address))
    }

    fn bucket(&self, address: Option<IpAddr>) -> u64 {
        self.0.seed.hash_one(address.map(network)) & 0xffff
    }

    fn check(&self, what: Limited, key: u64) -> Result<(), ComeAgain> {
        self.tidy();
        let limiter = match what {
            Limited::Caller => &self.0.callers,
            Limited::Address => &self.0.failures,
            Limited::SignIn => &self.0.sign_ins,
        };
        limiter.check_key(&key).map_err(|until| {
            self.0.limited.fetch_add(1, Ordering::Relaxed);
            self.0.metrics.rate_limited(what);
            let wait = until.wait_time_from(self.0.clock.monotonic()).as_millis().div_ceil(1000);
            ComeAgain(u32::try_from(wait).unwrap_or(u32::MAX).max(1))
        })
    }

    /// A place among the requests under way, where there is one.
    pub(super) fn enter(&self) -> Option<UnderWay> {
        if self.0.under_way.fetch_add(1, Ordering::Relaxed) < self.0.bounds.under_way {
            return Some(UnderWay(self.clone()));
        }
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.turn_away();
        None
    }

    /// A place for an allowlist file, where there is one.
    pub(super) fn enter_file(&self) -> Option<OwnedSemaphorePermit> {
        let place = self.0.files.clone().try_acquire_owned().ok();
        if place.is_none() {
            self.turn_away();
        }
        place
    }

    fn turn_away(&self) {
        self.0.shed.fetch_add(1, Ordering::Relaxed);
        self.0.metrics.shed(Full::Requests);
        self.tidy();
    }

    /// Forgets whose bucket is full again. One request in ten seconds does it for all.
    fn tidy(&self) {
        let inner = &self.0;
        let now = inner.clock.monotonic().as_secs();
        let last = inner.tidied.load(Ordering::Relaxed);
        if now < last + TIDY_EVERY.as_secs()
            || inner.tidied.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        inner.callers.retain_recent();
        inner.failures.retain_recent();
        inner.sign_ins.retain_recent();
        let (limited, shed) = (inner.limited.swap(0, Ordering::Relaxed), inner.shed.swap(0, Ordering::Relaxed));
        if limited + shed > 0 {
            tracing::warn!(
                limited,
                shed,
                "requests were turned away: over a rate limit, and over what can be under way"
            );
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    fn limits(bounds: Bounds) -> (Limits, Clock) {
        let clock = Clock::settable(Time::parse("2026-01-02T03:04:05Z").unwrap());
        (Limits::new(bounds, clock.clone(), Metrics::new(&clock, [])), clock)
    }

    #[test]
    fn each_caller_has_a_burst_and_then_a_rate() {
        let (limits, clock) = limits(Bounds::default());
        let [alice, bob] = ["user:alice", "user:bob"].map(|name| Principal::parse(name).unwrap());
        assert!((0..100).all(|_| limits.of_caller(&alice).is_ok()));
        assert_eq!(limits.of_caller(&alice), Err(ComeAgain(1)));
        assert_eq!(limits.of_caller(&bob), Ok(()));
        clock.advance(Duration::from_secs(1));
        assert_eq!((0..30).filter(|_| limits.of_caller(&alice).is_ok()).count(), 20);
        clock.advance(Duration::from_mins(1));
        assert_eq!(limits.of_caller(&bob), Ok(()));
        assert_eq!(limits.0.callers.len(), 1, "who rests is forgotten");
    }

    #[test]
    fn addresses_are_counted_by_network_and_in_bounded_memory() {
        let (limits, _) = limits(Bounds { failures_burst: NonZeroU32::MIN, ..Bounds::default() });
        let fails = |address: &str| limits.of_failure(Some(address.parse().unwrap()));
        assert_eq!(fails("2001:db8::1"), Ok(()));
        assert_eq!(fails("2001:db8::ffff:2"), Err(ComeAgain(1)));
        assert_eq!(fails("192.0.2.1"), Ok(()));
        assert_eq!(fails("::ffff:192.0.2.1"), Err(ComeAgain(1)));
        assert_eq!(fails("192.0.2.2"), Ok(()));
        assert_eq!(limits.of_failure(None), Ok(()));
        for number in 0..200_000_u32 {
            let _ = limits.of_failure(Some(IpAddr::from(number.to_be_bytes())));
        }
        assert!(limits.0.failures.len() <= 1 << 16);
    }

    #[test]
    fn a_place_is_free_again_when_its_request_has_gone() {
        let (limits, _) = limits(Bounds { under_way: 2, ..Bounds::default() });
        let first = limits.enter();
        let second = limits.enter();
        assert!(first.is_some() && second.is_some());
        assert!(limits.enter().is_none());
        drop(first);
        assert!(limits.enter().is_some());
    }
}
