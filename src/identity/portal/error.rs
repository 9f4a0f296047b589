use crate::{identity::AuthFault, store::StoreError};

/// Why nobody was signed in. The texts hold nothing that the provider or the browser sent.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The answer is none to a sign-in of this browser.
    #[error(
        "this sign-in was not begun in this browser, was begun more than ten minutes ago, or has been used already; sign in again"
    )]
    Stale,
    /// The provider said no.
    #[error("the identity provider did not sign you in; try again, or ask whoever keeps it")]
    Refused,
    /// The provider was to ask again who it is, and did not.
    #[error("the identity provider did not ask you again who you are, and this needs a sign-in of the last 15 minutes")]
    NotFresh,
    /// The provider's ID token is not to be believed.
    #[error("the identity provider's answer is not taken: {0}")]
    Token(AuthFault),
    /// The provider is away, or answers what makes no sense: for operators.
    #[error("the identity provider cannot be asked at the moment; try again")]
    Provider(String),
    /// The audit.
    #[error("the audit cannot be written, so nobody was signed in; try again")]
    Audit,
    /// The database.
    #[error("the database cannot be used now, so nobody was signed in; try again")]
    Store(#[from] StoreError),
}

impl SignInError {
    /// The stable code, shared by the page and the audit row.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stale => "sign_in_stale",
            Self::Refused => "sign_in_refused",
            Self::NotFresh => "sign_in_not_fresh",
            Self::Token(fault) => fault.code().as_str(),
            Self::Provider(_) => "provider_unavailable",
            Self::Audit => "audit_unavailable",
            Self::Store(_) => "store_unavailable",
        }
    }

    /// Whether it may be that nothing is wrong with the sign-in itself.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Token(fault) => fault.is_ours(),
            Self::Provider(_) | Self::Audit | Self::Store(_) => true,
            Self::Stale | Self::Refused | Self::NotFresh => false,
        }
    }
}
