use super::Invalid;
use jiff::{SignedDuration, Timestamp};
use std::{fmt, time::Duration};

/// A point in time, in whole microseconds since 1970 UTC: what both databases keep exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

impl Time {
    /// Microseconds since 1970 UTC; `None` outside the years −9999 to 9999.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        Timestamp::from_microsecond(micros).ok().map(Self)
    }

    /// Whole seconds since 1970 UTC.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Timestamp::from_second(seconds).ok().map(Self)
    }

    /// Microseconds since 1970 UTC.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// RFC 3339 with `Z` or an offset; finer than microseconds is cut off.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse::<Timestamp>()
            .ok()
            .and_then(|t| Self::from_micros(t.as_microsecond()))
            .ok_or(Invalid::new("a time such as 2027-01-01T00:00:00Z"))
    }

    /// This much later, or the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let span = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Self(self.0.saturating_add(span).unwrap_or(Timestamp::MAX))
    }

    /// This much earlier, or the beginning of time.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let span = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Self(self.0.saturating_sub(span).unwrap_or(Timestamp::MIN))
    }

    /// Whole seconds from `self` until `later`, rounded down; negative when `later` is earlier.
    #[must_use]
    pub fn seconds_until(self, later: Self) -> i64 {
        (later.as_micros() - self.as_micros()).div_euclid(1_000_000)
    }

    /// The number of the UTC day since 1970.
    #[must_use]
    pub fn day(self) -> i64 {
        self.as_micros().div_euclid(86_400_000_000)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

super::parsed_from_text!(Time);

/// A length of time as files and the command line write it: `45m`, `1h30m`, `12h`, `3600s`, or bare seconds.
pub fn parse_duration(text: &str) -> Result<Duration, Invalid> {
    const EXPECTED: Invalid = Invalid::new("a duration such as 45m, 1h or 12h");
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map(Duration::from_secs).map_err(|_| EXPECTED);
    }
    let compact = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'd' | b'h' | b'm' | b's'));
    let span: SignedDuration = compact.then(|| text.parse().ok()).flatten().ok_or(EXPECTED)?;
    Duration::try_from(span).map_err(|_| EXPECTED)
}

/// How long a session may last: 900 to 43,200 whole seconds, as AWS takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u64")]
pub struct SessionDuration(u32);

impl TryFrom<u64> for SessionDuration {
    type Error = Invalid;

    fn try_from(seconds: u64) -> Result<Self, Invalid> {
        Self::from_seconds(seconds)
    }
}

impl SessionDuration {
    /// The shortest session AWS makes, 15 minutes.
    pub const MIN: Self = Self(900);
    /// One hour: what is given where nothing was asked, and AWS's limit for a chained role.
    pub const HOUR: Self = Self(3600);
    /// The longest session AWS makes, 12 hours.
    pub const MAX: Self = Self(43_200);

    /// From whole seconds; refuses what AWS would refuse.
    pub fn from_seconds(seconds: u64) -> Result<Self, Invalid> {
        u32::try_from(seconds)
            .ok()
            .filter(|s| (Self::MIN.0..=Self::MAX.0).contains(s))
            .map(Self)
            .ok_or(Invalid::new("between 900 and 43200 seconds (15m to 12h)"))
    }

    /// From `45m`, `1h`, `12h` or bare seconds.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::from_seconds(parse_duration(text)?.as_secs())
    }

    /// Whole seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl fmt::Display for SessionDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_microseconds_in_utc() {
        for (text, shown) in [
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2027-01-01T02:00:00+02:00", "2027-01-01T00:00:00Z"),
            ("2027-01-01T00:00:00.1234567Z", "2027-01-01T00:00:00.123456Z"),
        ] {
            assert_eq!(Time::parse(text).map(|t| t.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for text in ["", "2027-01-01", "2027-01-01T00:00:00", "tomorrow"] {
            assert!(Time::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in
            [("3600", 3600), ("45m", 2700), ("1h", 3600), ("1h30m", 5400), ("90s", 90), ("12h", 43_200)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "-1h", "1.5h", "1 hour", "1h ago", "١h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_session_lasts_what_aws_allows() {
        for (seconds, ok) in [(899, false), (900, true), (43_200, true), (43_201, false), (u64::MAX, false)] {
            assert_eq!(SessionDuration::from_seconds(seconds).is_ok(), ok, "{seconds}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let now = Time::from_seconds(1_000).unwrap();
        assert_eq!(now.plus(Duration::from_secs(61)).seconds_until(now), -61);
        assert_eq!(now.plus(Duration::MAX).as_micros(), Timestamp::MAX.as_microsecond());
        assert_eq!(Time::from_micros(-1).unwrap().day(), -1);
    }
}
