//! What is let through to STS: not more calls a second than AWS takes, nor more at once into one trusting account than
//! leave room for the others.

use crate::{clock::Clock, model::AccountId};
use quick_cache::sync::Cache;
use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

/// How many accounts are told apart; each takes about a hundred bytes. One that falls out while it is called begins anew.
const ACCOUNTS: usize = 10_000;

/// How much is asked of STS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Calls a second in the long run.
    pub per_second: NonZeroU32,
    /// Calls at once after a while of rest. With those of a second this stays within AWS's 600.
    pub burst: u32,
    /// Calls under way into one trusting account: at the usual 100 ms each, more than AWS takes from all.
    pub at_once: usize,
    /// How many more may wait for that account.
    pub waiting: usize,
    /// How long each wait may be.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let per_second = const { NonZeroU32::new(500).unwrap() };
        Self { per_second, burst: 100, at_once: 64, waiting: 64, patience: Duration::from_secs(2) }
    }
}

/// Why STS is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTurn {
    /// The broker's own account would be throttled.
    #[error("as many calls as AWS takes are waiting already")]
    Budget,
    /// The trusting account answers too slowly for what is asked of it.
    #[error("too many calls into this account are under way")]
    Account,
}

/// The right to call STS once; the account's next in line has it when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _waiting: OwnedSemaphorePermit,
    _calling: OwnedSemaphorePermit,
}

/// Lets calls through.
#[derive(Debug)]
pub(super) struct Gate {
    pace: Pace,
    budget: Budget,
    accounts: Cache<AccountId, Arc<Account>>,
}

/// Who is calling into one trusting account, and who waits for that.
#[derive(Debug)]
struct Account {
    inside: Arc<Semaphore>,
    calling: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(pace: Pace, clock: Clock) -> Self {
        Self { pace, budget: Budget::new(pace, clock), accounts: Cache::new(ACCOUNTS) }
    }

    /// Waits for a turn, each wait bounded.
    pub(super) async fn turn(&self, account: &AccountId) -> Result<Turn, NoTurn> {
        let account = self.account(account);
        let waiting = account.inside.clone().try_acquire_owned().map_err(|_| NoTurn::Account)?;
        let calling = match account.calling.clone().try_acquire_owned() {
            Ok(free) => free,
            Err(_) => match timeout(self.pace.patience, account.calling.clone().acquire_owned()).await {
                Ok(Ok(free)) => free,
                _ => return Err(NoTurn::Account),
            },
        };
        let wait = self.budget.reserve(self.pace.patience).ok_or(NoTurn::Budget)?;
        if !wait.is_zero() {
            sleep(wait).await;
        }
        Ok(Turn { _waiting: waiting, _calling: calling })
    }

    /// A further attempt of a call that had its turn: it is not held up, the next turns come later by it.
    pub(super) fn charge(&self) {
        let _ = self.budget.reserve(Duration::MAX);
    }

    fn account(&self, id: &AccountId) -> Arc<Account> {
        let new = || Account {
            inside: Arc::new(Semaphore::new(self.pace.at_once + self.pace.waiting)),
            calling: Arc::new(Semaphore::new(self.pace.at_once)),
        };
        let Ok(account) = self.accounts.get_or_insert_with(id, || Ok::<_, std::convert::Infallible>(Arc::new(new())));
        account
    }
}

/// A token bucket (GCRA) that gives out the tokens of the next seconds as well, in order: `governor` can only say no, and
/// everybody who was told so would come again at the same moment.
#[derive(Debug)]
struct Budget {
    clock: Clock,
    /// When the bucket will be full again, in nanoseconds of the clock.
    full_at: AtomicU64,
    each: u64,
    burst: u64,
}

impl Budget {
    fn new(pace: Pace, clock: Clock) -> Self {
        let each = 1_000_000_000 / u64::from(pace.per_second.get());
        Self { clock, full_at: AtomicU64::new(0), each, burst: each * u64::from(pace.burst) }
    }

    /// How long to wait for one token, which is taken; nothing is where that is over `patience`.
    fn reserve(&self, patience: Duration) -> Option<Duration> {
        let now = nanoseconds(self.clock.monotonic());
        let patience = nanoseconds(patience);
        let wait = |full_at: u64| full_at.max(now).saturating_add(self.each).saturating_sub(now + self.burst);
        let take = |full_at: u64| (wait(full_at) <= patience).then(|| full_at.max(now).saturating_add(self.each));
        let before = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Duration::from_nanos(wait(before)))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    #[test]
    fn tokens_come_at_their_rate_in_order_and_not_too_far_ahead() {
        let clock = Clock::settable(Time::parse("2026-01-02T03:04:05Z").unwrap());
        let pace = Pace { per_second: 10.try_into().unwrap(), burst: 3, ..Pace::default() };
        let budget = Budget::new(pace, clock.clone());
        let reserve = || budget.reserve(Duration::from_millis(250)).map(|wait| wait.as_millis());
        assert_eq!([(); 3].map(|()| reserve()), [Some(0); 3], "the burst");
        assert_eq!([(); 3].map(|()| reserve()), [Some(100), Some(200), None], "then one after the other");
        clock.advance(Duration::from_millis(100));
        assert_eq!([(); 2].map(|()| reserve()), [Some(200), None]);
        budget.reserve(Duration::MAX).unwrap();
        clock.advance(Duration::from_millis(100));
        assert_eq!(reserve(), None, "what was charged comes first");
        clock.advance(Duration::from_mins(1));
        assert_eq!([(); 4].map(|()| reserve()), [Some(0), Some(0), Some(0), Some(100)], "full, and no fuller");
    }
}
