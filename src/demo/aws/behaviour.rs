//! What the simulated AWS does instead of answering at once.

use super::answer::Fault;
use crate::model::{Invalid, parse_duration};
use std::{fmt, time::Duration};

/// How each call is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As AWS would on a good day.
    Normal,
    /// The same, but only after this long.
    Slow(Duration),
    /// `Throttling: Rate exceeded`.
    Throttle,
    /// An error of AWS's own.
    Fail,
}

impl Behaviour {
    /// `normal`, `throttle`, `fail`, or `slow` and a duration.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const EXPECTED: Invalid = Invalid::new("normal, throttle, fail, or slow and a duration, such as slow 5s");
        match text.trim() {
            "normal" => Ok(Self::Normal),
            "throttle" => Ok(Self::Throttle),
            "fail" => Ok(Self::Fail),
            other => {
                let duration = other.strip_prefix("slow ").ok_or(EXPECTED)?;
                parse_duration(duration.trim()).map(Self::Slow).map_err(|_| EXPECTED)
            }
        }
    }

    pub(super) async fn take_effect(self) -> Result<(), Fault> {
        match self {
            Self::Normal => Ok(()),
            Self::Slow(delay) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Self::Throttle => Err(Fault::bad("Throttling", "Rate exceeded")),
            Self::Fail => Err(Fault::internal()),
        }
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Slow(delay) => write!(f, "slow {}s", delay.as_secs()),
            Self::Throttle => f.write_str("throttle"),
            Self::Fail => f.write_str("fail"),
        }
    }
}
