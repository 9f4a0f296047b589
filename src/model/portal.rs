use super::{IssuerName, Principal, Time, UserAgent, id_newtype};
use std::net::IpAddr;
use uuid::Uuid;

/// Names one session of the portal: a UUIDv7. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortalSessionId(Uuid);

id_newtype!(PortalSessionId, "the id of a session: a UUID in lower case");

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
    /// When the person proved to the provider who they are, where it says so: its own session may be much older than this one.
    pub authenticated_at: Option<Time>,
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
