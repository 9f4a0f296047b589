use super::{Invalid, IssuerName, Principal, Time, UserAgent, parsed_from_text};
use std::{fmt, net::IpAddr};
use uuid::Uuid;

/// Names one session of the portal: a UUIDv7. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortalSessionId(Uuid);

impl PortalSessionId {
    /// Wraps an id that the clock made.
    #[must_use]
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The hyphenated form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Uuid::try_parse(text)
            .ok()
            .filter(|id| id.hyphenated().to_string() == text)
            .map(Self)
            .ok_or(Invalid::new("the id of a session: a UUID in lower case"))
    }
}

impl fmt::Display for PortalSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

parsed_from_text!(PortalSessionId);

/// A session of the portal as it is kept: all but what the browser holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalSession {
    /// Its id.
    pub id: PortalSessionId,
    /// Who signed in.
    pub principal: Principal,
    /// `group:` principals, as the provider gave them last.
    pub groups: Vec<Principal>,
    /// Whose word that is.
    pub issuer: IssuerName,
    /// What the provider calls the person.
    pub subject: Option<String>,
    /// When the person proved to the provider who they are.
    pub authenticated_at: Time,
    /// When it began.
    pub created_at: Time,
    /// When it was last used, to the minute.
    pub last_used_at: Time,
    /// When it ends at the latest.
    pub ends_at: Time,
    /// When the provider last gave the groups.
    pub groups_at: Time,
    /// From where it began.
    pub address: Option<IpAddr>,
    /// With which browser it began.
    pub user_agent: Option<UserAgent>,
}
