use super::{
    AccountId, Invalid, IpNet, Principal, Reason, RoleName, SessionDuration, SessionPolicy, Time, text_newtype,
};
use uuid::Uuid;

/// Names one grant or block: a UUID. A grant of the file has one made from its content, so that applying the same
/// file again keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(String);

text_newtype!(GrantId);

impl GrantId {
    /// Wraps an id that the clock made.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self(id.to_string())
    }

    /// A version 8 UUID from the first 16 bytes of a digest.
    #[must_use]
    pub fn of_content(digest: &[u8; 32]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The hyphenated form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match Uuid::try_parse(text) {
            Ok(id) if id.hyphenated().to_string() == text => Ok(Self(text.to_owned())),
            _ => Err(Invalid::new("an id: a UUID in lower case")),
        }
    }
}

/// Where a grant came from: applying the file replaces only the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The allowlist file.
    File,
    /// Made one by one, by API or portal; always expires.
    Api,
}

impl Origin {
    /// As the row keeps it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
        }
    }
}

/// What a grant or a block reaches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantTarget {
    /// One role.
    Role(AccountId, RoleName),
    /// Every role listed under the account, now and later: `<account>/*` in the file.
    Account(AccountId),
}

impl GrantTarget {
    /// Where the role is, or the roles are.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        let (Self::Role(account, _) | Self::Account(account)) = self;
        account
    }
}

/// What must hold, beside principal and role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// No session through this grant lasts longer.
    pub max_duration: Option<SessionDuration>,
    /// Whether a request must bring a reason.
    pub require_reason: bool,
    /// Over at this moment; no session outlives it.
    pub expires: Option<Time>,
    /// The caller's address must lie in one of these, where there is any.
    pub source_ips: Vec<IpNet>,
    /// Always applied; a caller's own policy is then refused.
    pub session_policy: Option<SessionPolicy>,
}

/// One principal, one target, one set of conditions. A permit rests on exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Where it came from.
    pub origin: Origin,
    /// Who it is for.
    pub principal: Principal,
    /// What it reaches.
    pub target: GrantTarget,
    /// What must hold.
    pub conditions: Conditions,
    /// Why it was made; single grants always say.
    pub reason: Option<Reason>,
    /// Who made or applied it.
    pub created_by: Principal,
    /// When.
    pub created_at: Time,
}

/// What a block refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockTarget {
    /// Everything asked by this principal, or by a member of this group.
    Principal(Principal),
    /// This role, to everybody.
    Role(AccountId, RoleName),
}

/// Refuses whatever any grant says, from the next request on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its id.
    pub id: GrantId,
    /// What it refuses.
    pub target: BlockTarget,
    /// Why.
    pub reason: Reason,
    /// Until when; for ever where absent.
    pub until: Option<Time>,
    /// Who made it.
    pub created_by: Principal,
    /// When.
    pub created_at: Time,
}
