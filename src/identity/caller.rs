use crate::{
    audit::Auth,
    model::{Principal, Time},
};

/// Who is calling, as a verified token says. Only this room makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(super) principal: Principal,
    pub(super) groups: Vec<Principal>,
    pub(super) auth: Auth,
    pub(super) expires_at: Time,
    pub(super) session_ends: Option<Time>,
    pub(super) authenticated_at: Option<Time>,
}

impl Caller {
    /// The person or the machine.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// `group:` principals, as the allowlist names them: with the issuer's prefix, sorted, each once.
    #[must_use]
    pub fn groups(&self) -> &[Principal] {
        &self.groups
    }

    /// By what the caller was made out; goes into every event about them.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The token's `exp`. The token itself is taken for 60 s longer.
    #[must_use]
    pub fn expires_at(&self) -> Time {
        self.expires_at
    }

    /// No session may last longer than this: the token's `exp`, where its issuer says `cap_to_token`.
    #[must_use]
    pub fn session_ends(&self) -> Option<Time> {
        self.session_ends
    }

    /// When the person signed in: the token's `auth_time`, else its `iat`, where it has one.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Time> {
        self.authenticated_at
    }
}
