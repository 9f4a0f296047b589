//! What a plan points out: lawful, and yet worth a second look.

use super::{diff::Diff, entry::Labels};
use crate::{
    allowlist::AllowlistFile,
    model::{AccountId, Grant, GrantTarget, RoleName, Time},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be said of the file by itself.
pub(super) fn of_file(file: &AllowlistFile, labels: &Labels<'_>, now: Time) -> Vec<String> {
    let mut warnings = Vec::new();

    let mut by_external_id = BTreeMap::<&str, Vec<&str>>::new();
    for account in &file.accounts {
        if let Some(id) = &account.external_id {
            by_external_id.entry(id.expose()).or_default().push(account.label());
        }
    }
    for accounts in by_external_id.values().filter(|accounts| accounts.len() > 1) {
        warnings.push(format!(
            "{} share one external ID: whoever may use it for one of them may for the others; give each its own",
            accounts.join(", ")
        ));
    }

    for role in file.roles.iter().filter(|role| !role.source_identity) {
        warnings.push(format!(
            "{}/{} is assumed without a source identity: behind a second role, CloudTrail cannot name the person",
            labels.account(&role.account_id),
            role.name
        ));
    }

    let expired = file.grants.iter().filter(|grant| grant.conditions.expires.is_some_and(|expires| expires <= now));
    match expired.count() {
        0 => {}
        1 => warnings.push("1 grant of the file has expired and gives nothing".to_owned()),
        n => warnings.push(format!("{n} grants of the file have expired and give nothing")),
    }

    let with_roles: BTreeSet<&AccountId> = file.roles.iter().map(|role| &role.account_id).collect();
    let whole = file.grants.iter().filter_map(|grant| match &grant.target {
        GrantTarget::Account(account) => Some(account),
        GrantTarget::Role(..) => None,
    });
    let empty: BTreeSet<&AccountId> = whole.filter(|account| !with_roles.contains(account)).collect();
    for account in empty {
        warnings.push(format!("{0}/* is granted, and {0} lists no role yet", labels.account(account)));
    }
    warnings
}

/// What is to be said of grants made one by one, which stay whatever the file says: those whose role goes.
pub(super) fn of_api_grants<'a>(
    diff: &Diff<'a>,
    api_grants: impl Iterator<Item = &'a Grant>,
    labels: &Labels<'_>,
) -> Vec<String> {
    let roles: BTreeSet<(&AccountId, &RoleName)> =
        diff.roles.removed.iter().map(|role| (&role.account_id, &role.name)).collect();
    let accounts: BTreeSet<&AccountId> = diff.accounts.removed.iter().map(|account| &account.id).collect();
    let mut left = BTreeMap::<&GrantTarget, usize>::new();
    for grant in api_grants {
        let gone = match &grant.target {
            GrantTarget::Role(account, name) => roles.contains(&(account, name)),
            GrantTarget::Account(account) => accounts.contains(account),
        };
        if gone {
            *left.entry(&grant.target).or_default() += 1;
        }
    }
    left.into_iter()
        .map(|(target, count)| {
            format!(
                "{} goes, and grants made one by one still name it ({count}): they stay, and give nothing until it is back",
                labels.target(target)
            )
        })
        .collect()
}
