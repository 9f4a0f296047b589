//! The comparison itself: what comes, what changes and what goes.

use crate::{
    allowlist::AllowlistFile,
    model::{Account, AccountId, Grant, GrantId, GrantTarget, Origin, Principal, Role, RoleName},
};
use std::collections::BTreeMap;

/// The allowlist as it is: what the store loads to plan or apply a file.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The accounts.
    pub accounts: Vec<Account>,
    /// Their roles.
    pub roles: Vec<Role>,
    /// All grants, the file's and those made one by one, expired ones too.
    pub grants: Vec<Grant>,
}

/// What the store has to write so that the allowlist is the file's: only differences, and nothing of grants made one by
/// one. To be written in the order of the fields: an alias, a role's name in another case or a grant's id may go and
/// come again, and an alias may move from one account to another.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The file's grants that go.
    pub grants_removed: Vec<GrantId>,
    /// The roles that go. Grants made one by one may still point to them; they reach nothing then.
    pub roles_removed: Vec<(AccountId, RoleName)>,
    /// The accounts that go; their roles are among `roles_removed`.
    pub accounts_removed: Vec<AccountId>,
    /// The accounts that come or change, as they shall be.
    pub accounts_set: Vec<Account>,
    /// The roles that come or change, as they shall be.
    pub roles_set: Vec<Role>,
    /// The file's grants that come.
    pub grants_added: Vec<Grant>,
}

impl Changes {
    /// What leads from `current` to `file`.
    #[must_use]
    pub fn between(current: &Snapshot, file: &AllowlistFile) -> Self {
        let Diff { accounts, roles, grants } = Diff::between(current, file);
        Self {
            grants_removed: grants.gone().map(|grant| grant.id.clone()).collect(),
            roles_removed: roles.removed.iter().map(|role| (role.account_id.clone(), role.name.clone())).collect(),
            accounts_removed: accounts.removed.iter().map(|account| account.id.clone()).collect(),
            accounts_set: accounts.coming().cloned().collect(),
            roles_set: roles.coming().cloned().collect(),
            grants_added: grants.coming().cloned().collect(),
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.grants_removed.is_empty()
            && self.roles_removed.is_empty()
            && self.accounts_removed.is_empty()
            && self.accounts_set.is_empty()
            && self.roles_set.is_empty()
            && self.grants_added.is_empty()
    }
}

/// The differences of one kind, each in the order of its key.
pub(super) struct Delta<'a, T> {
    pub(super) added: Vec<&'a T>,
    /// Before and after.
    pub(super) changed: Vec<(&'a T, &'a T)>,
    pub(super) removed: Vec<&'a T>,
}

impl<'a, T> Delta<'a, T> {
    fn between<K: Ord>(
        before: impl Iterator<Item = &'a T>,
        after: impl Iterator<Item = &'a T>,
        key: impl Fn(&'a T) -> K,
        same: impl Fn(&T, &T) -> bool,
    ) -> Self {
        let mut by_key = BTreeMap::<K, (Option<&'a T>, Option<&'a T>)>::new();
        for item in before {
            by_key.entry(key(item)).or_default().0 = Some(item);
        }
        for item in after {
            by_key.entry(key(item)).or_default().1 = Some(item);
        }
        let mut delta = Self { added: Vec::new(), changed: Vec::new(), removed: Vec::new() };
        for pair in by_key.into_values() {
            match pair {
                (None, Some(new)) => delta.added.push(new),
                (Some(old), None) => delta.removed.push(old),
                (Some(old), Some(new)) if !same(old, new) => delta.changed.push((old, new)),
                _ => {}
            }
        }
        delta
    }

    /// What there shall be that is not there so.
    fn coming(&self) -> impl Iterator<Item = &'a T> {
        self.added.iter().copied().chain(self.changed.iter().map(|(_, new)| *new))
    }

    /// What is there and shall not be so.
    fn gone(&self) -> impl Iterator<Item = &'a T> {
        self.removed.iter().copied().chain(self.changed.iter().map(|(old, _)| *old))
    }
}

/// All differences between what there is and a file.
pub(super) struct Diff<'a> {
    pub(super) accounts: Delta<'a, Account>,
    pub(super) roles: Delta<'a, Role>,
    pub(super) grants: Delta<'a, Grant>,
}

impl<'a> Diff<'a> {
    pub(super) fn between(current: &'a Snapshot, file: &'a AllowlistFile) -> Self {
        let of_file = current.grants.iter().filter(|grant| grant.origin == Origin::File);
        Self {
            accounts: Delta::between(
                current.accounts.iter(),
                file.accounts.iter(),
                |account| &account.id,
                PartialEq::eq,
            ),
            roles: Delta::between(
                current.roles.iter(),
                file.roles.iter(),
                |role| (&role.account_id, &role.name),
                PartialEq::eq,
            ),
            grants: paired(&Delta::between(of_file, file.grants.iter(), |grant| &grant.id, says_the_same)),
        }
    }
}

/// Who applied a grant, and when, is no part of what it says.
fn says_the_same(one: &Grant, other: &Grant) -> bool {
    one.principal == other.principal && one.target == other.target && one.conditions == other.conditions
}

/// A grant's id is made from its content, so that one with another condition goes and comes: told as a change where
/// principal and target are the same.
fn paired<'a>(delta: &Delta<'a, Grant>) -> Delta<'a, Grant> {
    let mut pairs = BTreeMap::<(&Principal, &GrantTarget), (Vec<&Grant>, Vec<&Grant>)>::new();
    for old in delta.gone() {
        pairs.entry((&old.principal, &old.target)).or_default().0.push(old);
    }
    for new in delta.coming() {
        pairs.entry((&new.principal, &new.target)).or_default().1.push(new);
    }
    let mut paired = Delta { added: Vec::new(), changed: Vec::new(), removed: Vec::new() };
    for (old, new) in pairs.into_values() {
        let both = old.len().min(new.len());
        paired.changed.extend(old.iter().copied().zip(new.iter().copied()));
        paired.removed.extend(&old[both..]);
        paired.added.extend(&new[both..]);
    }
    paired
}
