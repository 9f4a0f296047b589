use crate::{
    identity::Caller,
    model::{Principal, PrincipalKind},
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
}

impl Powers {
    /// Whether the caller may change everything. Never a workload, whatever groups its claims give it.
    #[must_use]
    pub fn is_admin(&self, caller: &Caller) -> bool {
        caller.principal().kind() != PrincipalKind::Workload && names(&self.admins, caller)
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
}

fn names(list: &[Principal], caller: &Caller) -> bool {
    list.iter().any(|principal| principal == caller.principal() || caller.groups().contains(principal))
}
