use super::{AccountId, Invalid, Name, Principal, RoleName, Time, id_newtype, parsed_from_text};
use std::{fmt, time::Duration};
use uuid::Uuid;

/// Names one API token: a UUIDv7. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(Uuid);

id_newtype!(TokenId, "the id of an API token: a UUID in lower case");

/// A role that an API token is bound to: `<account id>/<role name>`, as the allowlist has them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoundRole {
    /// The trusting account.
    pub account: AccountId,
    /// The role in it.
    pub role: RoleName,
}

impl BoundRole {
    /// Reads `<account id>/<role name>`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (account, role) = text.split_once('/').ok_or(Invalid::new("<account id>/<role name>"))?;
        Ok(Self { account: AccountId::parse(account)?, role: RoleName::parse(role)? })
    }
}

impl fmt::Display for BoundRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.role)
    }
}

parsed_from_text!(BoundRole);

/// What alone an API token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, deserr::Deserr, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[deserr(rename_all = lowercase)]
pub enum TokenUse {
    /// `GET /v1/container/{account}/{role}`.
    Container,
}

impl TokenUse {
    /// As rows and JSON have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
        }
    }
}

/// How long an API token lives: 15 minutes to 90 days, in whole seconds. No session is shorter than the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLifetime(u32);

impl TokenLifetime {
    /// 15 minutes.
    pub const MIN: Self = Self(900);
    /// 30 days: where nothing was asked.
    pub const USUAL: Self = Self(30 * 86_400);
    /// 90 days.
    pub const MAX: Self = Self(90 * 86_400);

    /// From whole seconds.
    pub fn from_seconds(seconds: u64) -> Result<Self, Invalid> {
        let seconds = u32::try_from(seconds).ok().filter(|seconds| (Self::MIN.0..=Self::MAX.0).contains(seconds));
        seconds.map(Self).ok_or(Invalid::new("between 900 and 7776000 seconds (15 minutes to 90 days)"))
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

/// An API token as it is kept: all but its text, of which there is only a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: TokenId,
    /// What its owner calls it.
    pub name: Name,
    /// Who made it.
    pub owner: Principal,
    /// As whom it asks: its owner, or `workload:token/<name>`.
    pub principal: Principal,
    /// The only roles it can ask for; any where absent.
    pub roles: Option<Vec<BoundRole>>,
    /// The only door it opens; every one where absent.
    pub usage: Option<TokenUse>,
    /// When it was made.
    pub created_at: Time,
    /// From when on it is no longer good.
    pub expires_at: Time,
    /// Since when its name is free: it was revoked, or expired and had to give way.
    pub ended_at: Option<Time>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Time>,
}

impl ApiToken {
    /// The last use is kept no more exactly than this, so that a busy token costs one write a minute.
    pub const USE_KEPT_TO: Duration = Duration::from_mins(1);

    /// Whether a use at this moment is worth keeping.
    #[must_use]
    pub fn is_use_due(&self, now: Time) -> bool {
        self.last_used_at.is_none_or(|at| at <= now.minus(Self::USE_KEPT_TO))
    }

    /// When it was revoked. One that expired was not.
    #[must_use]
    pub fn revoked_at(&self) -> Option<Time> {
        self.ended_at.filter(|at| *at < self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_for_a_quarter_of_an_hour_to_ninety_days() {
        for (seconds, ok) in [(0, false), (899, false), (900, true), (7_776_000, true), (7_776_001, false)] {
            assert_eq!(TokenLifetime::from_seconds(seconds).is_ok(), ok, "{seconds}");
        }
        assert!(TokenLifetime::from_seconds(u64::MAX).is_err());
    }

    #[test]
    fn a_bound_role_reads_as_it_shows() {
        assert_eq!(BoundRole::parse("111122223333/Read").unwrap().to_string(), "111122223333/Read");
        for text in ["", "prod/Read", "111122223333/", "111122223333", "111122223333/*", "111122223333/a/b"] {
            assert!(BoundRole::parse(text).is_err(), "{text:?}");
        }
    }
}
