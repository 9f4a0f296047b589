mod link;

pub use link::{LINK_LASTS, MintedLink, ReleasedLink};

use super::{AssumeRole, StsError};
use crate::{
    model::{IssuanceId, Time},
    recorder::{Receipt, SharedReceipt},
    secret::Secret,
};
use aws_sdk_sts::{
    operation::{RequestId, assume_role::AssumeRoleOutput},
    types::Credentials,
};
use std::{sync::Arc, time::Duration};

/// How much longer than asked a session may last before the answer makes no sense: two clocks and a slow call.
const SLACK: Duration = Duration::from_mins(5);

/// What the audit may know of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The public half of the credentials.
    pub access_key_id: String,
    /// When they end.
    pub expires_at: Time,
    /// `AROA…:<session name>`: what CloudTrail and a revocation go by.
    pub assumed_role_id: String,
    /// `arn:…:sts::…:assumed-role/…`.
    pub assumed_role_arn: String,
    /// AWS's name for the call.
    pub request_id: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
}

/// Credentials that exist but are not released. Dropping them zeroes the secrets; there is no way to read these but
/// [`Minted::release`].
///
/// ```compile_fail
/// fn leak(minted: hallpass::sts::Minted) -> String {
///     minted.secret_access_key.expose().to_owned()
/// }
/// ```
#[derive(Debug)]
pub struct Minted(Arc<Keys>);

/// Credentials whose row is on disk: the only thing that becomes an answer.
#[derive(Debug)]
pub struct Released(Arc<Keys>);

/// Credentials that were released once, and are locked up again: each further release takes a receipt of its own. The
/// secrets are zeroed when the last of all that hold them is dropped; there is one copy of them.
///
/// ```compile_fail
/// fn leak(locked: &hallpass::sts::Locked) -> &hallpass::secret::Secret {
///     locked.session_token()
/// }
/// ```
#[derive(Debug)]
pub struct Locked(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    issuance: IssuanceId,
    facts: Facts,
    secret_access_key: Secret,
    session_token: Secret,
}

/// A receipt for another issuance.
#[derive(Debug, thiserror::Error)]
#[error("the receipt is another issuance's")]
pub struct WrongReceipt;

impl Minted {
    /// Checks that the answer is the one to this call, and locks the secrets up.
    pub(super) fn read(
        answer: AssumeRoleOutput,
        issuance: IssuanceId,
        call: &AssumeRole<'_>,
        now: Time,
        attempts: u32,
    ) -> Result<Self, StsError> {
        let request_id = answer.request_id().map(str::to_owned);
        let nonsense = |what| StsError::nonsense(what, request_id.clone(), attempts);
        let Some(Credentials { access_key_id, secret_access_key, session_token, expiration, .. }) = answer.credentials
        else {
            return Err(nonsense("an answer without credentials"));
        };
        let (secret_access_key, session_token) = (Secret::new(secret_access_key), Secret::new(session_token));
        if access_key_id.len() < 16 || secret_access_key.expose().is_empty() || session_token.expose().is_empty() {
            return Err(nonsense("an answer with half of the credentials"));
        }
        let expires_at = Time::from_seconds(expiration.secs()).ok_or_else(|| nonsense("an end out of time"))?;
        if expires_at <= now || expires_at > now.plus(call.duration.as_duration() + SLACK) {
            return Err(nonsense("credentials with an end that was not asked for"));
        }
        let user = answer.assumed_role_user.ok_or_else(|| nonsense("an answer that does not say who"))?;
        let role = call.role;
        let expected =
            format!("arn:{}:sts::{}:assumed-role/{}/{}", role.partition, role.account, role.name, call.session_name);
        if user.arn != expected {
            return Err(nonsense("credentials for another session than asked for"));
        }
        let facts = Facts {
            access_key_id,
            expires_at,
            assumed_role_id: user.assumed_role_id,
            assumed_role_arn: user.arn,
            request_id,
            attempts,
        };
        Ok(Self(Arc::new(Keys { issuance, facts, secret_access_key, session_token })))
    }

    /// What the audit may know.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// Lets the credentials go, against proof that this issuance's row is on disk.
    #[expect(clippy::needless_pass_by_value, reason = "a receipt is used up: it releases once")]
    pub fn release(self, receipt: Receipt) -> Result<Released, WrongReceipt> {
        if receipt.issuance() == self.0.issuance { Ok(Released(self.0)) } else { Err(WrongReceipt) }
    }
}

impl Released {
    /// Whose credentials they are.
    #[must_use]
    pub fn issuance(&self) -> IssuanceId {
        self.0.issuance
    }

    /// What the audit knows.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// The secret half, for the answer's body.
    #[must_use]
    pub fn secret_access_key(&self) -> &Secret {
        &self.0.secret_access_key
    }

    /// The session token, for the answer's body.
    #[must_use]
    pub fn session_token(&self) -> &Secret {
        &self.0.session_token
    }

    /// The same credentials, to be kept for the next who asks.
    #[must_use]
    pub fn lock(&self) -> Locked {
        Locked(self.0.clone())
    }
}

impl Locked {
    /// Whose credentials they are.
    #[must_use]
    pub fn issuance(&self) -> IssuanceId {
        self.0.issuance
    }

    /// What the audit knows.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// Lets them go once more, against proof that this hand-out's row is on disk.
    #[expect(clippy::needless_pass_by_value, reason = "a receipt is used up: it releases once")]
    pub fn release(&self, receipt: SharedReceipt) -> Result<Released, WrongReceipt> {
        if receipt.issuance() == self.0.issuance { Ok(Released(self.0.clone())) } else { Err(WrongReceipt) }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    impl Minted {
        /// Nobody's credentials, that end then.
        pub(crate) fn nobodys(issuance: IssuanceId, expires_at: Time) -> Self {
            let facts = Facts {
                access_key_id: format!("ASIA{issuance}"),
                expires_at,
                assumed_role_id: String::new(),
                assumed_role_arn: String::new(),
                request_id: None,
                attempts: 1,
            };
            let secret = || Secret::new("nobody's".to_owned());
            Self(Arc::new(Keys { issuance, facts, secret_access_key: secret(), session_token: secret() }))
        }

        /// Without a receipt, which is the tests' to do alone.
        pub(crate) fn locked(self) -> Locked {
            Locked(self.0)
        }
    }
}
