//! Who can have which role, and what one state of the allowlist reaches that another does not.

use super::{Plan, entry::Labels};
use crate::model::{AccountId, Grant, GrantTarget, Principal, Role, RoleName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A principal and a role it can have, where a request meets the conditions of the grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reached {
    /// Who: for a group, all its members.
    pub principal: Principal,
    /// `<alias or account id>/<role name>`.
    pub role: String,
}

type Roles<'a> = BTreeMap<&'a AccountId, BTreeSet<&'a RoleName>>;

/// The roles there are, and what the grants give of them.
pub(super) struct Reach<'a> {
    roles: Roles<'a>,
    held: BTreeMap<&'a Principal, BTreeMap<&'a AccountId, Held<'a>>>,
}

/// What one principal holds in one account. `<account>/*` is not written out: a thousand groups with a thousand roles
/// would be a million entries, of which none need change.
#[derive(Default)]
struct Held<'a> {
    all: bool,
    roles: BTreeSet<&'a RoleName>,
}

impl<'a> Reach<'a> {
    pub(super) fn of(roles: &'a [Role], grants: impl Iterator<Item = &'a Grant>) -> Self {
        let mut reach = Self { roles: Roles::new(), held: BTreeMap::new() };
        for role in roles {
            reach.roles.entry(&role.account_id).or_default().insert(&role.name);
        }
        for grant in grants {
            let held = reach.held.entry(&grant.principal).or_default();
            match &grant.target {
                GrantTarget::Account(account) => held.entry(account).or_default().all = true,
                GrantTarget::Role(account, name) => {
                    held.entry(account).or_default().roles.insert(name);
                }
            }
        }
        reach
    }

    /// What this state reaches and `other` does not, by principal, account and role, at most [`Plan::MAX_REACHED`].
    pub(super) fn beyond(&self, other: &Self, labels: &Labels<'_>) -> Vec<Reached> {
        let none = BTreeSet::new();
        let new: Roles<'a> = self
            .roles
            .iter()
            .map(|(account, roles)| {
                let theirs = other.roles.get(account).unwrap_or(&none);
                (*account, roles.difference(theirs).copied().collect())
            })
            .collect();
        let mut beyond = Vec::new();
        for (principal, accounts) in &self.held {
            for (account, held) in accounts {
                let (Some(there), Some(new)) = (self.roles.get(account), new.get(account)) else { continue };
                let theirs = other.held.get(principal).and_then(|held| held.get(account));
                // Whoever held all before gains only what is new: the others need not be looked at.
                let candidates = match (held.all, theirs.is_some_and(|theirs| theirs.all)) {
                    (true, true) => new,
                    (true, false) => there,
                    (false, _) => &held.roles,
                };
                let reached = candidates.iter().filter(|role| there.contains(*role)).filter(|role| {
                    new.contains(*role) || !theirs.is_some_and(|theirs| theirs.all || theirs.roles.contains(*role))
                });
                let room = Plan::MAX_REACHED - beyond.len();
                beyond.extend(reached.take(room).map(|role| Reached {
                    principal: (*principal).clone(),
                    role: format!("{}/{role}", labels.account(account)),
                }));
                if beyond.len() == Plan::MAX_REACHED {
                    return beyond;
                }
            }
        }
        beyond
    }
}
