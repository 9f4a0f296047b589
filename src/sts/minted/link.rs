use super::{Facts, Minted, WrongReceipt};
use crate::{
    clock::Clock,
    model::{IssuanceId, SessionDuration, Time},
    recorder::Receipt,
    secret::Secret,
    sts::signin::{ConsoleError, ConsoleSignIn, Destination},
};
use serde::Serialize;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a link opens the console.
pub const LINK_LASTS: Duration = Duration::from_mins(15);

/// A console link that exists but is not released: whoever has it is the session. There is no way to read it but
/// [`MintedLink::release`].
///
/// ```compile_fail
/// fn leak(minted: hallpass::sts::MintedLink) -> String {
///     minted.address.expose().to_owned()
/// }
/// ```
#[derive(Debug)]
pub struct MintedLink {
    issuance: IssuanceId,
    facts: Facts,
    address: Secret,
    address_ends: Time,
    session_ends: Time,
}

/// A console link whose row is on disk: the only one that becomes an answer.
#[derive(Debug)]
pub struct ReleasedLink(MintedLink);

/// The form in which the sign-in service takes credentials.
#[derive(Serialize)]
struct Session<'a> {
    #[serde(rename = "sessionId")]
    id: &'a str,
    #[serde(rename = "sessionKey")]
    key: &'a str,
    #[serde(rename = "sessionToken")]
    token: &'a str,
}

impl Minted {
    /// Turns the credentials in for a link. `granted`: how long the console session is to last, where AWS takes a length
    /// at all; for chained credentials it takes none, and the session ends with them.
    pub(in crate::sts) async fn link(
        self,
        service: &ConsoleSignIn,
        granted: Option<SessionDuration>,
        destination: &Destination,
        patience: Duration,
        clock: &Clock,
    ) -> Result<MintedLink, ConsoleError> {
        let session = Session {
            id: &self.0.facts.access_key_id,
            key: self.0.secret_access_key.expose(),
            token: self.0.session_token.expose(),
        };
        let session = Zeroizing::new(serde_json::to_string(&session).unwrap_or_default());
        let token = service.token(&session, granted, patience).await?;
        let (issuance, facts) = (self.0.issuance, self.0.facts.clone());
        let address = service.link(destination, &token);
        let address_ends = clock.now().plus(LINK_LASTS);
        let session_ends = granted.map_or(facts.expires_at, |granted| address_ends.plus(granted.as_duration()));
        Ok(MintedLink { issuance, facts, address, address_ends, session_ends })
    }
}

impl MintedLink {
    /// What the audit may know of the session behind it.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The latest end of a console session that is begun with it.
    #[must_use]
    pub fn expires_at(&self) -> Time {
        self.session_ends
    }

    /// Lets the link go, against proof that this issuance's row is on disk.
    #[expect(clippy::needless_pass_by_value, reason = "a receipt is used up: it releases once")]
    pub fn release(self, receipt: Receipt) -> Result<ReleasedLink, WrongReceipt> {
        if receipt.issuance() == self.issuance { Ok(ReleasedLink(self)) } else { Err(WrongReceipt) }
    }
}

impl ReleasedLink {
    /// Whose it is.
    #[must_use]
    pub fn issuance(&self) -> IssuanceId {
        self.0.issuance
    }

    /// The link itself, for the answer's body.
    #[must_use]
    pub fn address(&self) -> &Secret {
        &self.0.address
    }

    /// Until when it opens the console.
    #[must_use]
    pub fn address_expires_at(&self) -> Time {
        self.0.address_ends
    }

    /// The latest end of a console session that is begun with it.
    #[must_use]
    pub fn expires_at(&self) -> Time {
        self.0.session_ends
    }
}
