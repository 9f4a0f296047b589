//! What holds of any two allowlists.

use super::*;
use proptest::{collection::vec, prelude::*};
use std::{collections::BTreeSet, fmt::Write};

/// A lawful file over a few names, so that two of them meet.
fn any_file() -> impl Strategy<Value = String> {
    let account = (0..4, any::<bool>(), 0..3, vec((0..4, 1..4, any::<bool>()), 0..4));
    let grant = (0..4, 0..5, 1..4, any::<bool>(), 0..3);
    (vec(account, 0..4), vec(grant, 0..8)).prop_map(|(accounts, grants)| {
        let mut text = String::new();
        let mut roles = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for (id, alias, external_id, listed) in accounts {
            if !ids.insert(id) {
                continue;
            }
            writeln!(text, "[[account]]\nid = '11112222333{id}'\nexternal_id = 'hp-{external_id}'").unwrap();
            if alias {
                writeln!(text, "alias = 'a{id}'").unwrap();
            }
            for (name, hours, source_identity) in listed {
                if roles.insert((id, name)) {
                    writeln!(
                        text,
                        "[[account.role]]\nname = 'R{name}'\nmax_duration = '{hours}h'\nsource_identity = {source_identity}"
                    )
                    .unwrap();
                }
            }
        }
        let mut seen = BTreeSet::new();
        for (id, name, hours, require_reason, who) in grants {
            let role = match name {
                4 if ids.contains(&id) => format!("11112222333{id}/*"),
                _ if roles.contains(&(id, name)) => format!("11112222333{id}/R{name}"),
                _ => continue,
            };
            let end = if hours == 3 { "expires = 2026-07-01T12:00:00Z\n" } else { "" };
            let grant = format!(
                "[[grant]]\nto = ['user:{who}']\nroles = ['{role}']\nmax_duration = '{hours}h'\nrequire_reason = {require_reason}\n{end}"
            );
            if seen.insert(grant.clone()) {
                text.push_str(&grant);
            }
        }
        text
    })
}

/// Who can have what, written out the slow way.
fn reach(roles: &[crate::model::Role], grants: &[Grant]) -> BTreeSet<(Principal, AccountId, RoleName)> {
    let mut reach = BTreeSet::new();
    for grant in grants.iter().filter(|grant| grant.conditions.expires.is_none_or(|expires| now() < expires)) {
        for role in roles {
            let reaches = match &grant.target {
                GrantTarget::Account(account) => *account == role.account_id,
                GrantTarget::Role(account, name) => *account == role.account_id && *name == role.name,
            };
            if reaches {
                reach.insert((grant.principal.clone(), role.account_id.clone(), role.name.clone()));
            }
        }
    }
    reach
}

proptest! {
    #[test]
    fn what_was_applied_is_planned_no_more(before in any_file(), after in any_file()) {
        let mut current = applied(&before);
        current.grants.push(by_api(1, "user:0", "111122223330", Some("R0"), "2026-08-01T00:00:00Z"));
        let file = read(&after);
        let planned = plan(&current, &file, now());
        let changes = Changes::between(&current, &file);
        prop_assert_eq!(planned.is_empty(), changes.is_empty());
        let written = apply(current.clone(), changes);
        let again = plan(&written, &file, now());
        prop_assert!(again.is_empty(), "{}", again);
        prop_assert!(Changes::between(&written, &file).is_empty());
        prop_assert!(again.gains.is_empty() && again.loses.is_empty());

        let (had, has) = (reach(&current.roles, &current.grants), reach(&written.roles, &written.grants));
        prop_assert_eq!(planned.gains.len(), has.difference(&had).count());
        prop_assert_eq!(planned.loses.len(), had.difference(&has).count());
        for (reached, (principal, _, role)) in planned.gains.iter().zip(has.difference(&had)) {
            prop_assert_eq!(&reached.principal, principal);
            prop_assert_eq!(reached.role.rsplit('/').next(), Some(role.as_str()));
        }
        prop_assert!(!planned.to_string().contains("hp-"));
    }
}
