use crate::{metrics::AuthCode, model::IssuerName};

/// Why nobody could be made out behind a request, and whose token it claimed to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct AuthError {
    fault: AuthFault,
    issuer: Option<IssuerName>,
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
    /// No usable key of the issuer is held, so nothing can be said about its tokens.
    #[error("the issuer's keys cannot be had at the moment; try again")]
    KeysUnavailable,
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
        self.issuer.as_ref()
    }
}

impl AuthFault {
    /// The stable code that the answer, the audit row and the metrics share (contract §4).
    #[must_use]
    pub fn code(self) -> AuthCode {
        match self {
            Self::Unauthenticated => AuthCode::Unauthenticated,
            Self::Expired => AuthCode::TokenExpired,
            Self::Invalid(_) => AuthCode::TokenInvalid,
            Self::KeysUnavailable => AuthCode::KeysUnavailable,
        }
    }

    pub(super) fn of(self, issuer: &IssuerName) -> AuthError {
        AuthError { fault: self, issuer: Some(issuer.clone()) }
    }
}

impl From<AuthFault> for AuthError {
    fn from(fault: AuthFault) -> Self {
        Self { fault, issuer: None }
    }
}
