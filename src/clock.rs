//! The one source of time and of ids: real in the service, settable and seeded in the tests.
//!
//! Nothing else reads the system's clock, and time never comes from SQL.

use crate::model::Time;
use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Tells the time in whole microseconds, and makes `UUIDv7` ids from it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Settable(Arc<Settable>),
}

#[derive(Debug)]
struct Settable {
    micros: AtomicI64,
    ids: AtomicU64,
}

impl Clock {
    /// The machine's clock and the operating system's randomness.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until told, whose ids count up from 1.
    #[must_use]
    pub fn settable(start: Time) -> Self {
        let settable = Settable { micros: AtomicI64::new(start.as_micros()), ids: AtomicU64::new(0) };
        Self(Source::Settable(Arc::new(settable)))
    }

    /// Moves a settable clock forward; the machine's clock goes by itself.
    pub fn advance(&self, by: Duration) {
        if let Source::Settable(clock) = &self.0 {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            clock.micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::System => system_time(),
            #[expect(clippy::expect_used, reason = "made from a Time, and only moved by tests")]
            Source::Settable(clock) => {
                Time::from_micros(clock.micros.load(Ordering::Relaxed)).expect("a settable clock within range")
            }
        }
    }

    /// Time that only goes forward, whatever is done to the machine's clock: since some moment before the first call.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Source::System => BEGINNING.elapsed(),
            Source::Settable(_) => Duration::from_micros(u64::try_from(self.now().as_micros()).unwrap_or_default()),
        }
    }

    /// A new `UUIDv7`: its first 48 bits are the time in milliseconds, the rest is random (seeded: a counter).
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        let mut random = [0; 10];
        match &self.0 {
            Source::System => fill_random(&mut random),
            Source::Settable(clock) => {
                let count = clock.ids.fetch_add(1, Ordering::Relaxed) + 1;
                random[2..].copy_from_slice(&count.to_be_bytes());
            }
        }
        let millis = u64::try_from(self.now().as_micros() / 1000).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

/// Rate limits count by it.
impl governor::clock::Clock for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.monotonic()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one lawful place")]
fn system_time() -> Time {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since_1970.as_micros()).unwrap_or_default();
    #[expect(clippy::expect_used, reason = "a machine's clock past the year 9999 is not one to go on with")]
    Time::from_micros(micros).expect("a clock before the year 9999")
}

/// Fills with the operating system's randomness, through the cryptographic library.
pub fn fill_random(bytes: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "no safe way on without randomness")]
    aws_lc_rs::rand::fill(bytes).expect("the operating system's randomness");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settable_clock_stands_still_and_counts_its_ids() {
        let clock = Clock::settable(Time::parse("2026-01-02T03:04:05Z").unwrap());
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_micros(5));
        assert_eq!(clock.now().to_string(), "2026-01-02T03:04:05.000005Z");
        let (first, second) = (clock.new_id(), clock.new_id());
        assert_eq!(first.get_version_num(), 7);
        assert!(first < second);
        assert_eq!(second.to_string(), "019b7ca9-8c88-7000-8000-000000000002");
    }

    #[test]
    fn system_ids_differ() {
        let clock = Clock::system();
        assert_ne!(clock.new_id(), clock.new_id());
    }
}
