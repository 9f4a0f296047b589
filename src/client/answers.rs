use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who the caller is to a server: the answer of `GET /v1/whoami`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whoami {
    /// May change the allowlist, block, read everything.
    pub admin: bool,
    /// May read, plan and apply the allowlist file.
    pub applier: bool,
    /// May read everything.
    pub auditor: bool,
    /// How the caller was made out.
    pub auth: Value,
    /// When that ends.
    pub expires_at: String,
    /// As the allowlist names them.
    pub groups: Vec<String>,
    /// What the caller is: `user` or `workload`.
    pub kind: String,
    /// As the allowlist names it.
    pub principal: String,
}

/// A page of `GET /v1/roles`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RolesPage {
    pub(super) next_cursor: Option<String>,
    pub(super) roles: Vec<Role>,
}

/// A role that the caller may assume now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// The trusting account.
    pub account: Account,
    /// What the allowlist says of it.
    pub description: Option<String>,
    /// The caller's grants that allow it; at least one.
    pub grants: Vec<Offer>,
    /// The role's name.
    pub name: String,
    /// As a request names it: `prod/ReadOnly`.
    pub role: String,
    /// Its ARN.
    pub role_arn: String,
}

/// A trusting account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Its alias.
    pub alias: Option<String>,
    /// Its 12 digits.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its tags.
    pub tags: Value,
}

/// A grant that allows a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Until when.
    pub expires: Option<String>,
    /// Its id, which a request can name.
    pub grant_id: String,
    /// What keeps sessions from being longer.
    pub limited_by: String,
    /// The longest session.
    pub max_duration_seconds: u32,
    /// Whether a request needs a reason.
    pub require_reason: bool,
    /// Whether the grant has a session policy of its own.
    pub session_policy_fixed: bool,
    /// The principal of the grant.
    pub via: String,
}
