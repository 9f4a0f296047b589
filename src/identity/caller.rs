use crate::{
    audit::{Auth, AuthMethod},
    model::{ApiToken, Name, Principal, Time, TokenUse},
};
use std::{sync::Arc, time::Duration};

/// Where a caller stands: an API token may be good for one of these alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The whole API but for the other one.
    Api,
    /// `GET /v1/container/{account}/{role}`.
    Container,
}

/// Who is calling, as a verified token says. Only this room makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(super) principal: Principal,
    pub(super) groups: Vec<Principal>,
    pub(super) auth: Auth,
    pub(super) expires_at: Time,
    pub(super) session_ends: Option<Time>,
    pub(super) authenticated_at: Option<Time>,
    pub(super) token: Option<Arc<ApiToken>>,
}

impl Caller {
    /// A caller by API token: no group's rights, no power, and no session that outlives the token.
    pub(super) fn by_token(token: ApiToken) -> Self {
        let id = token.id.to_string();
        Self {
            principal: token.principal.clone(),
            groups: Vec::new(),
            auth: Auth { method: AuthMethod::ApiToken, issuer: None, subject: None, token_id: Some(id) },
            expires_at: token.expires_at,
            session_ends: Some(token.expires_at),
            authenticated_at: None,
            token: Some(Arc::new(token)),
        }
    }

    /// Who works at the database itself, as the operating system knows them: they have let themselves in just now, and the
    /// configuration is theirs.
    #[must_use]
    pub fn at_the_database(name: Name, now: Time) -> Self {
        Self {
            principal: Principal::Local(name),
            groups: Vec::new(),
            auth: Auth { method: AuthMethod::Local, issuer: None, subject: None, token_id: None },
            expires_at: now,
            session_ends: None,
            authenticated_at: Some(now),
            token: None,
        }
    }

    /// Whether it is [`Caller::at_the_database`].
    #[must_use]
    pub fn is_at_the_database(&self) -> bool {
        self.auth.method == AuthMethod::Local
    }

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

    /// The token's `exp`, or the end of an API token. A JWT is taken for 60 s longer.
    #[must_use]
    pub fn expires_at(&self) -> Time {
        self.expires_at
    }

    /// No session may last longer than this: an API token's end, or a JWT's `exp` where its issuer says `cap_to_token`.
    #[must_use]
    pub fn session_ends(&self) -> Option<Time> {
        self.session_ends
    }

    /// When the person signed in: the token's `auth_time`, else its `iat`, where it has one. Nobody signs in with an API
    /// token.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Time> {
        self.authenticated_at
    }

    /// The API token they call with, where it is one.
    #[must_use]
    pub fn token(&self) -> Option<&ApiToken> {
        self.token.as_deref()
    }

    /// Whether what they call with is good for this door.
    #[must_use]
    pub fn opens(&self, door: Door) -> bool {
        match self.token().and_then(|token| token.usage) {
            None => true,
            Some(TokenUse::Container) => door == Door::Container,
        }
    }

    /// Whether they signed in no longer ago than this. Somebody of whom that is not known did not.
    #[must_use]
    pub fn signed_in_within(&self, span: Duration, now: Time) -> bool {
        self.authenticated_at.is_some_and(|at| now < at.plus(span))
    }
}
