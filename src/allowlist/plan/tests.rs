//! What a plan says of two allowlists, and that applying it leads from one to the other.

mod properties;

use super::*;
use crate::model::{AccountId, GrantId, GrantTarget, Partition, Principal, RoleName};

pub(super) fn now() -> Time {
    Time::parse("2026-07-01T12:00:00Z").unwrap()
}

fn read(text: &str) -> AllowlistFile {
    let by = Principal::parse("user:root").unwrap();
    AllowlistFile::parse(text, &Partition::parse("aws").unwrap(), &by, now()).unwrap()
}

/// The allowlist after this file was applied to an empty one, at some other time.
fn applied(text: &str) -> Snapshot {
    let by = Principal::parse("user:someone-else").unwrap();
    let file = AllowlistFile::parse(text, &Partition::parse("aws").unwrap(), &by, Time::from_seconds(0).unwrap());
    let AllowlistFile { accounts, roles, grants, .. } = file.unwrap();
    Snapshot { accounts, roles, grants }
}

fn by_api(n: u32, who: &str, account: &str, role: Option<&str>, expires: &str) -> Grant {
    let account = AccountId::parse(account).unwrap();
    Grant {
        id: GrantId::parse(&format!("00000000-0000-7000-8000-{n:012}")).unwrap(),
        origin: Origin::Api,
        principal: Principal::parse(who).unwrap(),
        target: match role {
            Some(role) => GrantTarget::Role(account, RoleName::parse(role).unwrap()),
            None => GrantTarget::Account(account),
        },
        conditions: crate::model::Conditions { expires: Time::parse(expires).ok(), ..Default::default() },
        reason: None,
        created_by: Principal::parse("user:root").unwrap(),
        created_at: now(),
    }
}

/// Writes the changes as the store does, in their order.
pub(super) fn apply(mut to: Snapshot, changes: Changes) -> Snapshot {
    to.grants.retain(|grant| !changes.grants_removed.contains(&grant.id));
    to.roles.retain(|role| !changes.roles_removed.contains(&(role.account_id.clone(), role.name.clone())));
    to.accounts.retain(|account| !changes.accounts_removed.contains(&account.id));
    for account in changes.accounts_set {
        to.accounts.retain(|old| old.id != account.id);
        to.accounts.push(account);
    }
    for role in changes.roles_set {
        to.roles.retain(|old| (&old.account_id, &old.name) != (&role.account_id, &role.name));
        to.roles.push(role);
    }
    to.grants.extend(changes.grants_added);
    to
}

const BEFORE: &str = r#"
[[account]]
id = "111122223333"
alias = "prod"
external_id = "secret-1"
[[account.role]]
name = "ReadOnly"
[[account.role]]
name = "Old"
[[account]]
id = "444455556666"
alias = "dev"
[[account.role]]
name = "A"
[[account]]
id = "777788889999"
[[account.role]]
name = "Gone"

[[grant]]
to = ["group:developers"]
roles = ["prod/ReadOnly", "dev/*"]
[[grant]]
to = ["user:alice"]
roles = ["prod/Old", "777788889999/Gone"]
[[grant]]
to = ["user:late"]
roles = ["prod/ReadOnly"]
expires = 2026-07-01T12:00:00Z
"#;

const AFTER: &str = r#"
[[account]]
id = "111122223333"
alias = "production"
external_id = "secret-2"
[[account.role]]
name = "ReadOnly"
description = "Look, don't touch"
max_duration = "4h"
source_identity = false
[[account]]
id = "444455556666"
alias = "dev"
external_id = "secret-2"
[[account.role]]
name = "A"
[[account.role]]
name = "B"
[[account]]
id = "000000000001"
alias = "empty"

[[grant]]
to = ["group:developers"]
roles = ["production/ReadOnly"]
max_duration = "1h"
require_reason = true
source_ips = ["10.0.0.0/8", "192.0.2.0/24"]
session_policy = { Statement = [{ Effect = "Allow", Action = "*", Resource = "*" }] }
[[grant]]
to = ["group:developers"]
roles = ["dev/*"]
[[grant]]
to = ["user:bob"]
roles = ["dev/A", "empty/*"]
[[grant]]
to = ["user:late"]
roles = ["production/ReadOnly"]
expires = 2026-07-01T12:00:00Z
"#;

fn current() -> Snapshot {
    let mut current = applied(BEFORE);
    current.grants.extend([
        by_api(1, "user:carol", "111122223333", Some("Old"), "2026-08-01T00:00:00Z"),
        by_api(2, "user:bob", "444455556666", None, "2026-08-01T00:00:00Z"),
        by_api(3, "user:eve", "444455556666", None, "2026-07-01T12:00:00Z"),
    ]);
    current
}

#[test]
fn a_plan_reads_like_one() {
    insta::assert_snapshot!(plan(&current(), &read(AFTER), now()), @r#"
    Accounts
      + empty (000000000001)
      ~ production (111122223333)
          alias: "prod" → "production"
          external_id changed
      ~ dev (444455556666)
          external_id changed
      - 777788889999

    Roles
      + dev/B, at most 1h
      ~ production/ReadOnly, at most 4h
          description: none → "Look, don't touch"
          max_duration_seconds: 3600 → 14400
          source_identity: true → false
      - production/Old, at most 1h
      - 777788889999/Gone, at most 1h

    Grants
      + user:bob → dev/A
      + user:bob → empty/*
      ~ group:developers → production/ReadOnly, at most 1h, with a reason, from 10.0.0.0/8 and 1 more, under a session policy
          max_duration_seconds: none → 3600
          require_reason: false → true
          source_ips: [] → ["10.0.0.0/8","192.0.2.0/24"]
          session_policy changed
      - user:alice → production/Old
      - user:alice → 777788889999/Gone

    Who gains
      + user:bob → dev/B
      + group:developers → dev/B

    Who loses
      - user:alice → production/Old
      - user:alice → 777788889999/Gone
      - user:carol → production/Old

    Warning: production, dev share one external ID: whoever may use it for one of them may for the others; give each its own.
    Warning: production/ReadOnly is assumed without a source identity: behind a second role, CloudTrail cannot name the person.
    Warning: 1 grant of the file has expired and gives nothing.
    Warning: empty/* is granted, and empty lists no role yet.
    Warning: production/Old goes, and grants made one by one still name it (1): they stay, and give nothing until it is back.
    2 grants made one by one stay as they are.
    4 to add, 4 to change, 5 to remove.
    "#);
}

#[test]
fn a_plan_never_shows_an_external_id() {
    let whole = serde_json::to_string(&plan(&current(), &read(AFTER), now())).unwrap();
    assert!(!whole.contains("secret"), "{whole}");
}

fn file(external_id: &str, who: &str, hours: u32) -> String {
    format!(
        "[[account]]\nid = '111122223333'\nexternal_id = '{external_id}'\n[[account.role]]\nname = 'A'\n\
         [[grant]]\nto = ['{who}']\nroles = ['111122223333/A']\n\
         [[grant]]\nto = ['user:b']\nroles = ['111122223333/A']\nmax_duration = '{hours}h'\n"
    )
}

#[test]
fn a_plan_is_json() {
    let small = plan(&applied(&file("hp-1", "user:a", 1)), &read(&file("hp-2", "user:c", 2)), now());
    insta::assert_json_snapshot!(small, @r#"
    {
      "add": 1,
      "change": 2,
      "remove": 1,
      "accounts": {
        "added": [],
        "changed": [
          {
            "id": "111122223333",
            "alias": null,
            "name": null,
            "has_external_id": true,
            "tags": {},
            "fields": [
              {
                "field": "external_id"
              }
            ]
          }
        ],
        "removed": []
      },
      "roles": {
        "added": [],
        "changed": [],
        "removed": []
      },
      "grants": {
        "added": [
          {
            "id": "df83bae0-c369-812c-9b45-5d1082949c52",
            "to": "user:c",
            "role": "111122223333/A",
            "max_duration_seconds": null,
            "require_reason": false,
            "expires": null,
            "source_ips": [],
            "session_policy_sha256": null
          }
        ],
        "changed": [
          {
            "id": "b7cac307-991c-85fa-9e98-9b912bc92864",
            "to": "user:b",
            "role": "111122223333/A",
            "max_duration_seconds": 7200,
            "require_reason": false,
            "expires": null,
            "source_ips": [],
            "session_policy_sha256": null,
            "fields": [
              {
                "field": "id",
                "from": "409cddc0-e5c9-8593-9336-dffca7e7bc35",
                "to": "b7cac307-991c-85fa-9e98-9b912bc92864"
              },
              {
                "field": "max_duration_seconds",
                "from": 3600,
                "to": 7200
              }
            ]
          }
        ],
        "removed": [
          {
            "id": "4480ce69-753d-8e4a-8d45-3706604c21df",
            "to": "user:a",
            "role": "111122223333/A",
            "max_duration_seconds": null,
            "require_reason": false,
            "expires": null,
            "source_ips": [],
            "session_policy_sha256": null
          }
        ]
      },
      "gains": [
        {
          "principal": "user:c",
          "role": "111122223333/A"
        }
      ],
      "loses": [
        {
          "principal": "user:a",
          "role": "111122223333/A"
        }
      ],
      "api_grants": 0,
      "warnings": []
    }
    "#);
}

#[test]
fn the_same_file_changes_nothing() {
    let plan = plan(&applied(BEFORE), &read(BEFORE), now());
    assert!(plan.is_empty() && plan.gains.is_empty() && plan.loses.is_empty());
    assert!(Changes::between(&applied(BEFORE), &read(BEFORE)).is_empty());
    assert_eq!(plan.to_string().lines().last(), Some("No changes."));
}

#[test]
fn what_is_applied_is_what_was_planned() {
    let (current, file) = (current(), read(AFTER));
    let changes = Changes::between(&current, &file);
    let written = [changes.accounts_set.len(), changes.roles_set.len(), changes.grants_added.len()];
    assert_eq!(written, [3, 2, 3], "only what differs");
    let after = apply(current, changes);
    let plan = plan(&after, &file, now());
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.api_grants, 2);
    assert_eq!(after.grants.iter().filter(|grant| grant.origin == Origin::Api).count(), 3, "an expired one stays too");
}

#[test]
fn a_row_changed_by_hand_is_set_right() {
    let file = read(BEFORE);
    let mut current = applied(BEFORE);
    current.grants[0].conditions.require_reason = true;
    let mut nowhere = current.grants[1].clone();
    nowhere.id = GrantId::parse("00000000-0000-7000-8000-000000000009").unwrap();
    nowhere.target = GrantTarget::Role(current.accounts[0].id.clone(), RoleName::parse("Nowhere").unwrap());
    current.grants.push(nowhere);
    let planned = plan(&current, &file, now());
    assert_eq!((planned.add, planned.change, planned.remove), (0, 1, 1));
    assert_eq!(planned.loses, [], "a grant of what is not there gives nothing");
    let changes = Changes::between(&current, &file);
    assert!(plan(&apply(current, changes), &file, now()).is_empty());
}

#[test]
fn a_role_that_goes_and_comes_in_another_case_is_two_changes() {
    let text = |role: &str| format!("[[account]]\nid = '111122223333'\n[[account.role]]\nname = '{role}'\n");
    let (current, file) = (applied(&text("admin")), read(&text("Admin")));
    let plan = plan(&current, &file, now());
    assert_eq!((plan.add, plan.change, plan.remove), (1, 0, 1));
}

#[test]
fn reach_counts_what_is_live_and_there_once() {
    let accounts = "[[account]]\nid = '111122223333'\nalias = 'prod'\n[[account.role]]\nname = 'A'\n[[account.role]]\nname = 'B'\n";
    let file = |grants: &str| read(&format!("{accounts}{grants}"));
    let to = |who: &str, role: &str| format!("[[grant]]\nto = ['{who}']\nroles = ['prod/{role}']\n");
    let expired = to("user:a", "A") + "expires = 2026-07-01T12:00:00Z\n";
    let shown = |reached: &[Reached]| -> Vec<String> {
        reached.iter().map(|reached| format!("{} {}", reached.principal, reached.role)).collect()
    };
    for (name, before, api, after, gains, loses) in [
        ("from nothing", String::new(), vec![], to("user:a", "*"), &["user:a prod/A", "user:a prod/B"][..], &[][..]),
        ("one of all", to("user:a", "*"), vec![], to("user:a", "A"), &[], &["user:a prod/B"]),
        ("all instead of one", to("user:a", "A"), vec![], to("user:a", "*"), &["user:a prod/B"], &[]),
        ("all and one", to("user:a", "*"), vec![], to("user:a", "*") + &to("user:a", "A"), &[], &[]),
        ("another condition", to("user:a", "A"), vec![], to("user:a", "A") + "require_reason = true\n", &[], &[]),
        ("expired is nothing", to("user:a", "A"), vec![], expired.clone(), &[], &["user:a prod/A"]),
        ("nor was it", expired, vec![], to("user:a", "A"), &["user:a prod/A"], &[]),
        (
            "kept by a single grant",
            to("user:a", "A"),
            vec![by_api(1, "user:a", "111122223333", Some("A"), "2026-08-01T00:00:00Z")],
            String::new(),
            &[],
            &[],
        ),
        (
            "not by one that is over",
            to("user:a", "A"),
            vec![by_api(1, "user:a", "111122223333", Some("A"), "2026-06-01T00:00:00Z")],
            String::new(),
            &[],
            &["user:a prod/A"],
        ),
    ] {
        let mut current = applied(&format!("{accounts}{before}"));
        current.grants.extend(api);
        let plan = plan(&current, &file(&after), now());
        assert_eq!(shown(&plan.gains), gains, "{name}: gains");
        assert_eq!(shown(&plan.loses), loses, "{name}: loses");
    }
}

#[test]
fn a_plan_of_everybody_with_everything_is_cut_and_says_so() {
    use std::fmt::Write;
    let mut text = "[[account]]\nid = '111122223333'\n".to_owned();
    for n in 0..1000 {
        writeln!(text, "[[account.role]]\nname = 'R{n}'").unwrap();
    }
    let to: Vec<String> = (0..1000).map(|n| format!("'user:{n}'")).collect();
    writeln!(text, "[[grant]]\nto = [{}]\nroles = ['111122223333/*']", to.join(",")).unwrap();
    let plan = plan(&Snapshot::default(), &read(&text), now());
    assert_eq!(plan.gains.len(), Plan::MAX_REACHED);
    assert!(plan.warnings.iter().any(|warning| warning.contains("no further")), "{:?}", plan.warnings);
    assert_eq!(plan.add, 1 + 1000 + 1000);
}
