//! What the parts of the file say of each other: names that stand twice, references that lead nowhere, and the grants
//! that a `[[grant]]` stands for.

use super::{
    AllowlistFile,
    shape::{ConditionsShape, ReadAccount, ReadGrant, ReadRole, RolesRef},
};
use crate::{
    input::{Faults, Lines},
    model::{
        Account, AccountId, AccountRef, Alias, Conditions, Grant, GrantId, GrantTarget, Origin, Partition, Principal,
        Role, RoleName, RolePath, RoleRef, Time, sha256,
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    hash::Hash,
};

/// Takes the parts one after the other, all accounts first, and collects what is wrong.
pub(super) struct Resolver<'a> {
    pub(super) partition: &'a Partition,
    pub(super) lines: &'a Lines,
    pub(super) faults: Faults,
    /// Whether each account could be read: only then is one that is not there a fault.
    pub(super) complete: bool,
    pub(super) found: Found,
}

/// What was read so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) accounts: Vec<Account>,
    pub(super) roles: Vec<Role>,
    pub(super) grants: Vec<Grant>,
    by_id: HashMap<AccountId, Known>,
    by_alias: HashMap<Alias, (AccountId, String)>,
    /// By id of each grant, which of `tables` it came from.
    by_grant: HashMap<GrantId, usize>,
    /// The pointer of each `[[grant]]`.
    tables: Vec<String>,
}

/// An account's pointer, and by their name in lower case, as IAM compares them, its roles: name, path where it could be
/// read, and the name's pointer.
#[derive(Default)]
struct Known {
    pointer: String,
    roles: HashMap<String, (RoleName, Option<RolePath>, String)>,
    complete: bool,
}

impl Resolver<'_> {
    pub(super) fn add_account(&mut self, read: ReadAccount) {
        let ReadAccount { pointer, id, alias, named, account, roles, complete } = read;
        self.complete &= named;
        if let (Some(id), Some(alias)) = (&id, alias) {
            match self.found.by_alias.entry(alias) {
                Entry::Vacant(free) => {
                    free.insert((id.clone(), format!("{pointer}/alias")));
                }
                Entry::Occupied(first) => {
                    let first = first.get().1.clone();
                    self.twice(format!("{pointer}/alias"), "this alias is", &first);
                }
            }
        }
        let mut known = match id.as_ref().and_then(|id| self.found.by_id.remove(id)) {
            None => Known { pointer, complete, ..Known::default() },
            Some(first) => {
                self.twice(format!("{pointer}/id"), "this account is", &format!("{}/id", first.pointer));
                Known { complete: first.complete && complete, ..first }
            }
        };
        for ReadRole { pointer, name, role } in roles {
            match name {
                Some(name) => self.note_role(&mut known, &pointer, name, role.as_ref().map(|role| role.path.clone())),
                None => known.complete = false,
            }
            if let (Some(account_id), Some(role)) = (id.clone(), role) {
                self.found.roles.push(Role {
                    account_id,
                    name: role.name,
                    path: role.path,
                    description: role.description,
                    max_duration: role.max_duration.0,
                    source_identity: role.source_identity,
                    session_tags: role.session_tags.0,
                });
            }
        }
        if let Some(id) = id {
            self.found.by_id.insert(id, known);
        }
        if let Some(account) = account {
            self.found.accounts.push(Account {
                id: account.id,
                alias: account.alias,
                name: account.name,
                external_id: account.external_id,
                tags: account.tags.0,
            });
        }
    }

    fn note_role(&mut self, known: &mut Known, place: &str, name: RoleName, path: Option<RolePath>) {
        match known.roles.entry(name.as_str().to_ascii_lowercase()) {
            Entry::Vacant(free) => {
                free.insert((name, path, format!("{place}/name")));
            }
            Entry::Occupied(first) => {
                let first = first.get().2.clone();
                self.twice(format!("{place}/name"), "a role of this name (IAM ignores its case and path) is", &first);
            }
        }
    }

    pub(super) fn add_grant(&mut self, read: ReadGrant, by: &Principal, at: Time) {
        let ReadGrant { pointer, to, roles, conditions } = read;
        let principals = self.principals(to);
        let targets = self.targets(roles);
        let Some(conditions) = conditions.map(|conditions| self.conditions(&pointer, conditions)) else { return };
        let table = self.found.tables.len();
        let count = principals.len().saturating_mul(targets.len());
        if self.found.grants.len().saturating_add(count) > AllowlistFile::MAX_GRANTS {
            let most = AllowlistFile::MAX_GRANTS;
            let problem = format!("more than {most} grants, counted by principal and role: grant to groups instead");
            self.faults.push(pointer, problem);
            return;
        }
        let terms = canonical(&conditions);
        let mut clashes = BTreeMap::<usize, usize>::new();
        for principal in &principals {
            for target in &targets {
                let id = grant_id(principal, target, &terms);
                match self.found.by_grant.entry(id.clone()) {
                    Entry::Vacant(free) => free.insert(table),
                    Entry::Occupied(first) => {
                        *clashes.entry(*first.get()).or_default() += 1;
                        continue;
                    }
                };
                self.found.grants.push(Grant {
                    id,
                    origin: Origin::File,
                    principal: principal.clone(),
                    target: target.clone(),
                    conditions: conditions.clone(),
                    reason: None,
                    created_by: by.clone(),
                    created_at: at,
                });
            }
        }
        for (first, times) in clashes {
            let what = format!("a grant of the same principal, role and conditions ({times} of {count} here) is");
            let first = self.found.tables[first].clone();
            self.twice(pointer.clone(), &what, &first);
        }
        self.found.tables.push(pointer);
    }

    fn principals(&mut self, to: Vec<(String, Principal)>) -> Vec<Principal> {
        for (place, _) in to.iter().filter(|(_, principal)| !principal.can_be_granted()) {
            let problem = "expected a user, a group or a workload: an operator at the database asks for no credentials";
            self.faults.push(place, problem);
        }
        self.distinct(to)
    }

    fn targets(&mut self, roles: Vec<(String, RolesRef)>) -> Vec<GrantTarget> {
        let mut targets = Vec::with_capacity(roles.len());
        for (place, role) in roles {
            match self.target(&role) {
                Ok(Some(target)) => targets.push((place, target)),
                Ok(None) => {}
                Err(problem) => self.faults.push(place, problem),
            }
        }
        self.distinct(targets)
    }

    /// What an entry of `roles` reaches; `None` where that cannot be told, for it may be a part that could not be read.
    fn target(&self, role: &RolesRef) -> Result<Option<GrantTarget>, String> {
        if let RolesRef::One(RoleRef::Arn(arn)) = role
            && arn.partition != *self.partition
        {
            return Err(format!("expected an ARN of the broker's own partition, arn:{}:…", self.partition));
        }
        let account = match role {
            RolesRef::One(role) => role.account(),
            RolesRef::All(account) => account.clone(),
        };
        let id = match account {
            AccountRef::Id(id) => Some(id),
            AccountRef::Alias(alias) => self.found.by_alias.get(&alias).map(|(id, _)| id.clone()),
        };
        let Some((id, known)) = id.and_then(|id| self.found.by_id.get(&id).map(|known| (id, known))) else {
            let problem = "expected a role of an account in this file: no [[account]] has this id or alias";
            return if self.complete { Err(problem.to_owned()) } else { Ok(None) };
        };
        let RolesRef::One(role) = role else {
            return Ok(Some(GrantTarget::Account(id)));
        };
        match known.roles.get(&role.name().as_str().to_ascii_lowercase()) {
            None if known.complete => {
                Err("expected a role of this file: no [[account.role]] of the account has this name".to_owned())
            }
            None => Ok(None),
            Some((name, ..)) if name != role.name() => {
                Err(format!("expected the role's name as it is listed, letter for letter: {name}"))
            }
            Some((name, path, _)) => match (role, path) {
                (RoleRef::Arn(arn), Some(path)) if arn.path != *path => {
                    Err(format!("expected the role's path as it is listed: {path}"))
                }
                _ => Ok(Some(GrantTarget::Role(id, name.clone()))),
            },
        }
    }

    fn conditions(&mut self, pointer: &str, grant: ConditionsShape) -> Conditions {
        let most = AllowlistFile::MAX_SOURCE_IPS;
        let mut source_ips = grant.source_ips.map_or_else(Vec::new, |ranges| {
            if !(1..=most).contains(&ranges.len()) {
                let problem = format!("expected 1 to {most} ranges; leave the key out where any address will do");
                self.faults.push(format!("{pointer}/source_ips"), problem);
            }
            let place = |(i, range)| (format!("{pointer}/source_ips/{i}"), range);
            self.distinct(ranges.into_iter().enumerate().take(most).map(place).collect())
        });
        // Their order says nothing, so it must not make another grant.
        source_ips.sort_unstable();
        Conditions {
            max_duration: grant.max_duration.map(|duration| duration.0),
            require_reason: grant.require_reason,
            expires: grant.expires,
            source_ips,
            session_policy: grant.session_policy,
        }
    }

    /// The items of a list without those that stand there twice, which are faults.
    fn distinct<T: Clone + Eq + Hash>(&mut self, items: Vec<(String, T)>) -> Vec<T> {
        let mut seen = HashSet::with_capacity(items.len());
        let mut distinct = Vec::with_capacity(items.len());
        for (place, item) in items {
            if seen.insert(item.clone()) {
                distinct.push(item);
            } else {
                self.faults.push(place, "a duplicate: this stands in the list already");
            }
        }
        distinct
    }

    fn twice(&mut self, pointer: String, what: &str, first: &str) {
        let line = self.lines.of(first).map_or_else(|| first.to_owned(), |line| format!("on line {line}"));
        self.faults.push(pointer, format!("a duplicate: {what} {line} already"));
    }
}

/// The conditions as text, the same for the same content: what an id is made from, so never to be changed.
fn canonical(conditions: &Conditions) -> String {
    let Conditions { max_duration, require_reason, expires, source_ips, session_policy } = conditions;
    let ranges: Vec<String> = source_ips.iter().map(ToString::to_string).collect();
    format!(
        "max_duration={}\nrequire_reason={require_reason}\nexpires={}\nsource_ips={}\nsession_policy={}\n",
        max_duration.map_or_else(String::new, |duration| duration.seconds().to_string()),
        expires.map_or_else(String::new, |expires| expires.to_string()),
        ranges.join(","),
        session_policy.as_ref().map_or("", |policy| policy.as_str()),
    )
}

/// The id of a grant of the file. Nothing before the conditions can hold a line break, so no two contents meet.
fn grant_id(principal: &Principal, target: &GrantTarget, terms: &str) -> GrantId {
    let target = match target {
        GrantTarget::Role(account, name) => format!("{account}/{name}"),
        GrantTarget::Account(account) => format!("{account}/*"),
    };
    let head = format!("hallpass grant v1\nfile\n{principal}\n{target}\n");
    GrantId::of_content(&sha256(&[head.as_bytes(), terms.as_bytes()]))
}
