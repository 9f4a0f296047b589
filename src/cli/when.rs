//! Times as people give them: a moment, or so long from now.

use crate::{
    clock::Clock,
    model::{Invalid, Time, parse_duration},
};
use std::time::Duration;

/// A moment to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    At(Time),
    In(Duration),
}

impl When {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let moment = Time::parse(text).map(Self::At);
        moment.or_else(|_| parse_span(text).map(Self::In)).map_err(|_| EXPECTED.to_owned())
    }

    pub(super) fn time(self) -> Time {
        match self {
            Self::At(time) => time,
            Self::In(span) => {
                // To the second: nobody means microseconds.
                let end = Clock::system().now().plus(span);
                let parts = end.as_micros().rem_euclid(1_000_000).unsigned_abs();
                end.minus(Duration::from_micros(parts))
            }
        }
    }
}

const EXPECTED: &str = "expected a time such as 2026-03-01T12:00:00Z, or how long from now, such as 8h or 30d";

/// As [`parse_duration`] reads it, and `30d`.
pub(super) fn parse_span(text: &str) -> Result<Duration, Invalid> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    match days {
        Some(days) => Ok(Duration::from_hours(24 * u64::from(days))),
        None => parse_duration(text),
    }
}

/// As `--duration` takes it.
pub(super) fn span(seconds: u32) -> String {
    match seconds {
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_said_or_how_far_it_is() {
        let at = |text| Ok(When::At(Time::parse(text).unwrap()));
        for (text, expected) in [
            ("2026-03-01T12:00:00Z", at("2026-03-01T12:00:00Z")),
            ("8h", Ok(When::In(Duration::from_hours(8)))),
            ("30d", Ok(When::In(Duration::from_hours(720)))),
            ("1h30m", Ok(When::In(Duration::from_mins(90)))),
            ("tomorrow", Err(EXPECTED.to_owned())),
            ("-1d", Err(EXPECTED.to_owned())),
            ("d", Err(EXPECTED.to_owned())),
        ] {
            assert_eq!(When::parse(text), expected, "{text}");
        }
    }
}
