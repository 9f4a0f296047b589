use crate::{
    audit::{Auth, AuthMethod},
    metrics::AuthCode,
    model::{IssuerName, TokenId},
};

/// Why nobody could be made out behind a request, and whose token it claimed to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct AuthError {
    fault: AuthFault,
    claim: Claim,
}

/// What is known of a token that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Claim {
    Nothing,
    /// Unverified.
    Issuer(IssuerName),
    /// An API token: this one, where there is or was one of that text.
    ApiToken(Option<TokenId>),
}

/// What was wrong. The texts name the check that failed and never hold any of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFault {
    /// No bearer token was sent.
    #[error("no bearer token was sent")]
    Unauthenticated,
    /// The token was good once: its `exp` is over, by more than the leeway.
    #[error("the token has expired; ask its issuer for a new one")]
    Expired,
    /// A check failed: this one.
    #[error("the token is refused: {0}")]
    Invalid(&'static str),
    /// The API token was good once: its time is over.
    #[error("the API token has expired; make a new one")]
    ApiTokenExpired,
    /// No usable key of the issuer is held, so nothing can be said about its tokens.
    #[error("the issuer's keys cannot be had at the moment; try again")]
    KeysUnavailable,
    /// The database is away, so nothing can be said about an API token.
    #[error("API tokens cannot be looked up at the moment; try again")]
    StoreUnavailable,
}

impl AuthError {
    /// What was wrong.
    #[must_use]
    pub fn fault(&self) -> AuthFault {
        self.fault
    }

    /// The configured name of the issuer the token claims, where there is such an issuer. Unverified: for the audit,
    /// not for a decision.
    #[must_use]
    pub fn issuer(&self) -> Option<&IssuerName> {
        match &self.claim {
            Claim::Issuer(issuer) => Some(issuer),
            Claim::Nothing | Claim::ApiToken(_) => None,
        }
    }

    /// All that is known of the token, for the audit.
    #[must_use]
    pub fn auth(&self) -> Option<Auth> {
        let none = |method| Auth { method, issuer: None, subject: None, token_id: None };
        match &self.claim {
            Claim::Nothing => None,
            Claim::Issuer(issuer) => Some(Auth { issuer: Some(issuer.to_string()), ..none(AuthMethod::Jwt) }),
            Claim::ApiToken(id) => Some(Auth { token_id: id.map(|id| id.to_string()), ..none(AuthMethod::ApiToken) }),
        }
    }
}

impl AuthFault {
    /// The stable code that the answer, the audit row and the metrics share (contract §4).
    #[must_use]
    pub fn code(self) -> AuthCode {
        match self {
            Self::Unauthenticated => AuthCode::Unauthenticated,
            Self::Expired | Self::ApiTokenExpired => AuthCode::TokenExpired,
            Self::Invalid(_) => AuthCode::TokenInvalid,
            Self::KeysUnavailable => AuthCode::KeysUnavailable,
            Self::StoreUnavailable => AuthCode::StoreUnavailable,
        }
    }

    /// Whether nothing is wrong with the token, as far as can be told at the moment.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::KeysUnavailable | Self::StoreUnavailable)
    }

    pub(super) fn of(self, issuer: &IssuerName) -> AuthError {
        AuthError { fault: self, claim: Claim::Issuer(issuer.clone()) }
    }

    pub(super) fn of_api_token(self, id: Option<TokenId>) -> AuthError {
        AuthError { fault: self, claim: Claim::ApiToken(id) }
    }
}

impl From<AuthFault> for AuthError {
    fn from(fault: AuthFault) -> Self {
        Self { fault, claim: Claim::Nothing }
    }
}
