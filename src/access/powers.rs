use crate::{
    audit::AuthMethod,
    identity::Caller,
    model::{Principal, PrincipalKind},
    store::TokenScope,
};

/// Who may do more than ask for credentials, as configured.
#[derive(Clone, Debug, Default)]
pub struct Powers {
    /// Change the allowlist, block, read everything.
    pub admins: Vec<Principal>,
    /// Read everything, change nothing.
    pub auditors: Vec<Principal>,
    /// Read, plan and apply the allowlist file, nothing else.
    pub appliers: Vec<Principal>,
    /// Make API tokens for themselves.
    pub token_creators: Vec<Principal>,
}

impl Powers {
    /// Whether the caller may change everything. Never a workload, whatever groups its claims give it; always who is at the
    /// database itself, where nobody could be kept from anything.
    #[must_use]
    pub fn is_admin(&self, caller: &Caller) -> bool {
        let able = caller.principal().kind() != PrincipalKind::Workload;
        caller.is_at_the_database() || (able && names(&self.admins, caller))
    }

    /// Whether the caller may read everything: auditors and admins.
    #[must_use]
    pub fn is_auditor(&self, caller: &Caller) -> bool {
        self.is_admin(caller) || names(&self.auditors, caller)
    }

    /// Whether the caller may apply the allowlist file: appliers and admins.
    #[must_use]
    pub fn is_applier(&self, caller: &Caller) -> bool {
        self.is_admin(caller) || names(&self.appliers, caller)
    }

    /// Whether the caller may make API tokens: people among the token creators, and admins. Never a workload.
    #[must_use]
    pub fn is_token_creator(&self, caller: &Caller) -> bool {
        let person = caller.principal().kind() == PrincipalKind::User;
        self.is_admin(caller) || (person && names(&self.token_creators, caller))
    }

    /// Which API tokens the caller may see and revoke: an admin all of them, others their own, and an API token itself.
    #[must_use]
    pub fn token_scope(&self, caller: &Caller) -> TokenScope {
        match caller.token() {
            Some(token) => TokenScope::One(token.id),
            None if self.is_admin(caller) => TokenScope::All,
            None => TokenScope::Owner(caller.principal().clone()),
        }
    }
}

/// The one way to any power. An API token has none, whomever it belongs to.
fn names(list: &[Principal], caller: &Caller) -> bool {
    let named = |principal: &Principal| principal == caller.principal() || caller.groups().contains(principal);
    caller.auth().method != AuthMethod::ApiToken && list.iter().any(named)
}
