//! What a file may say, and every way in which it may not.

use super::*;
use crate::model::{GrantId, GrantTarget, SessionDuration};
use proptest::prelude::*;
use serde_json::{Value, json};

const SAMPLE: &str = include_str!("../../../docs/allowlist.toml");

const ACCOUNTS: &str = r#"[[account]]
id = "111122223333"
alias = "prod"
name = "Production"
external_id = "hp-7f3c"
tags = { env = "prod" }
[[account.role]]
name = "ReadOnly"
description = "Look, don't touch"
max_duration = "4h"
session_tags = { team = "shop" }
[[account.role]]
name = "Deploy"
path = "/teams/"
source_identity = false
[[account]]
id = "444455556666"
name = "Development"
tags = {}
# The texts of the tests begin on line 21.
"#;

fn parse_in(partition: &str, text: &str) -> Result<AllowlistFile, FileFaults> {
    let by = Principal::parse("user:root").unwrap();
    AllowlistFile::parse(text, &Partition::parse(partition).unwrap(), &by, Time::parse("2026-07-01T12:00:00Z").unwrap())
}

fn parse(text: &str) -> Result<AllowlistFile, FileFaults> {
    parse_in("aws", text)
}

/// The faults, one a line, without the pointers.
fn faults(text: &str) -> Vec<String> {
    let faults = parse(text).expect_err(text);
    faults.0.iter().map(|fault| format!("{}: {}", fault.line.unwrap_or(0), fault.problem)).collect()
}

fn grants(text: &str) -> Vec<Grant> {
    parse(&format!("{ACCOUNTS}{text}")).unwrap().grants
}

#[test]
fn a_file_says_what_the_contract_shows() {
    let file = parse(&format!(
        "{ACCOUNTS}{}",
        r#"
[[grant]]
to = ["group:developers", "user:alice@example.com"]
roles = ["prod/ReadOnly", "444455556666/*", "arn:aws:iam::111122223333:role/teams/Deploy"]
max_duration = "1h"
require_reason = true
expires = 2027-01-01T00:00:00Z
source_ips = ["10.0.0.0/8", "192.0.2.7"]
session_policy = { Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:*", Resource = "*" }] }
"#
    ))
    .unwrap();
    let shown: Vec<String> =
        file.grants.iter().map(|grant| format!("{} {:?}", grant.principal, grant.target)).collect();
    assert_eq!(shown.len(), 6);
    assert_eq!(file.grants[1].target, GrantTarget::Account(file.accounts[1].id.clone()));
    assert!(shown[2].contains("Deploy") && shown[3].starts_with("user:alice"), "{shown:?}");
    let conditions = &file.grants[0].conditions;
    assert_eq!(conditions.max_duration, Some(SessionDuration::HOUR));
    assert!(conditions.require_reason && conditions.source_ips.len() == 2);
    assert_eq!(conditions.expires, Time::parse("2027-01-01T00:00:00Z").ok());
    assert_eq!(
        conditions.session_policy.as_ref().unwrap().as_str(),
        r#"{"Statement":[{"Action":"s3:*","Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"}"#
    );
    let [read_only, deploy] = file.roles.as_slice() else { panic!("two roles") };
    assert_eq!(read_only.max_duration.seconds(), 14_400);
    assert!(read_only.source_identity && !deploy.source_identity);
    assert_eq!((deploy.path.as_str(), deploy.max_duration), ("/teams/", SessionDuration::HOUR));
    assert_eq!(file.accounts[0].external_id.as_ref().unwrap().expose(), "hp-7f3c");
    assert_eq!(file.accounts[1].label(), "444455556666");
    assert!(file.text.contains("Look, don't touch"));
    assert!(parse("").unwrap().accounts.is_empty());
}

#[test]
fn the_sample_is_valid_and_says_what_the_defaults_are() {
    let sample = parse(SAMPLE).unwrap();
    let [said, unsaid] = sample.roles.as_slice() else { panic!("two roles") };
    assert_eq!((&said.path, said.max_duration), (&unsaid.path, unsaid.max_duration));
    assert_eq!(said.source_identity, unsaid.source_identity);
}

/// The reader names the keys it knows when it meets one that it does not.
#[test]
fn the_sample_has_every_key() {
    let (sample, _) = parse_toml(SAMPLE).unwrap();
    let mut document = sample.clone();
    for place in ["", "/account/0", "/account/0/role/0", "/grant/1"] {
        document.pointer_mut(place).and_then(Value::as_object_mut).unwrap().insert("x".to_owned(), json!(1));
    }
    let mut faults = Faults::default();
    shape::split(document, &mut faults);
    assert_eq!(faults.0.len(), 4, "{faults:?}");
    for fault in faults.0 {
        let place = fault.pointer.strip_suffix("/x").unwrap();
        let known = fault.problem.strip_prefix("unknown key; known here: ").unwrap();
        for key in known.split(", ") {
            assert!(sample.pointer(&format!("{place}/{key}")).is_some(), "{place}/{key}");
        }
    }
}

#[test]
fn durations_are_seconds_or_words() {
    for (written, seconds) in
        [("900", 900), ("\"45m\"", 2700), ("\"3600\"", 3600), ("\"12h\"", 43_200), ("43200", 43_200)]
    {
        let grants = grants(&format!("[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\nmax_duration = {written}"));
        assert_eq!(grants[0].conditions.max_duration.unwrap().seconds(), seconds, "{written}");
    }
    for written in ["899", "\"14m\"", "43201", "\"13h\"", "-1", "1.5", "true", "\"\"", "\"1 hour\"", "0"] {
        let text = format!("{ACCOUNTS}[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\nmax_duration = {written}");
        assert_eq!(faults(&text).len(), 1, "{written}");
    }
}

#[test]
fn an_expiry_in_the_past_is_no_fault() {
    assert_eq!(grants("[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\nexpires = 1999-01-01T00:00:00Z").len(), 1);
}

#[test]
fn every_fault_has_its_line() {
    for (text, expected) in [
        ("[oops]", &["21: unknown key; known here: account, grant"][..]),
        ("[[accounts]]", &["21: unknown key; known here: account, grant"]),
        ("[[account]]\nid = '12'", &["22: expected an account id of 12 digits"]),
        ("[[account]]", &["21: required, but not there"]),
        (
            "[[account]]\nid = '777788889999'\nregion = 'x'",
            &["23: unknown key; known here: id, alias, name, external_id, tags, role"],
        ),
        ("[[account]]\nid = '111122223333'", &["22: a duplicate: this account is on line 2 already"]),
        ("[[account]]\nid = '777788889999'\nalias = 'prod'", &["23: a duplicate: this alias is on line 3 already"]),
        (
            "[[account]]\nid = '777788889999'\nalias = '444455556666'",
            &["23: expected an alias: lower-case letters, digits and hyphens, at most 63, not 12 digits"],
        ),
        (
            "[[account]]\nid = '777788889999'\nname = ''",
            &[
                "23: expected a name of 1 to 256 characters in Unicode NFC, without control or format characters and without spaces around it",
            ],
        ),
        (
            "[[account]]\nid = '777788889999'\nexternal_id = 'a secret'",
            &["23: expected an external ID: 2 to 1224 of letters, digits and _+=,.@:/-"],
        ),
        (
            "[[account]]\nid = '777788889999'\ntags = { Env = 'a', env = 'b' }",
            &["23: expected tag keys that differ by more than case"],
        ),
        ("[[account]]\nid = '777788889999'\ntags = { env = 5 }", &["23: expected a string"]),
        ("[[account]]\nid = '777788889999'\ntags = 'x'", &["23: expected a table of keys"]),
        ("[[account.role]]\nname = 'a/b'", &["22: expected a role name: 1 to 64 of letters, digits and _+=,.@-"]),
        (
            "[[account.role]]\nname = 'A'\npath = 'teams'",
            &["23: expected a path such as /teams/, beginning and ending with a slash"],
        ),
        (
            "[[account.role]]\nname = 'A'\nmax_duration = '13h'",
            &["23: expected between 900 and 43200 seconds (15m to 12h)"],
        ),
        ("[[account.role]]\nname = 'A'\nsource_identity = 'no'", &["23: expected true or false"]),
        (
            "[[account.role]]\nname = 'A'\nsession_tags = { 'aws:x' = 'a' }",
            &["23: expected tag keys that do not begin with aws:"],
        ),
        (
            "[[account.role]]\nname = 'A'\n[[account.role]]\nname = 'a'\npath = '/x/'",
            &["24: a duplicate: a role of this name (IAM ignores its case and path) is on line 22 already"],
        ),
        ("[account.role]\nname = 'A'", &["21: expected a list of tables, in double brackets: [[…]]"]),
        ("[grant]\nto = ['user:a']", &["21: expected a list of tables, in double brackets: [[…]]"]),
        ("[[grant]]\nroles = ['prod/Deploy']", &["21: required, but not there"]),
        ("[[grant]]\nto = []\nroles = []", &["22: expected at least one", "23: expected at least one"]),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\nsource_ips = []",
            &["24: expected 1 to 256 ranges; leave the key out where any address will do"],
        ),
        (
            "[[grant]]\nto = ['alice', 'user:b']\nroles = ['prod/Deploy']",
            &["22: expected a principal: user:<name>, group:<name> or workload:<issuer>/<subject>"],
        ),
        (
            "[[grant]]\nto = ['local:root']\nroles = ['prod/Deploy']",
            &["22: expected a user, a group or a workload: an operator at the database asks for no credentials"],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = [\n 'prod/Deploy',\n 'prod/Deplo']",
            &["25: expected a role of this file: no [[account.role]] of the account has this name"],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['prod/deploy']",
            &["23: expected the role's name as it is listed, letter for letter: Deploy"],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['test/Deploy']",
            &["23: expected a role of an account in this file: no [[account]] has this id or alias"],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['test/*']",
            &["23: expected a role of an account in this file: no [[account]] has this id or alias"],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['prod/Dep*', '*']",
            &["23: expected a role: <alias or account id>/<role name>, a full role ARN, or <alias or account id>/* for every role listed there";
                2],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['arn:aws:iam::111122223333:role/*']",
            &[
                "23: expected a role: <alias or account id>/<role name>, a full role ARN, or <alias or account id>/* for every role listed there",
            ],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['arn:aws-cn:iam::111122223333:role/ReadOnly']",
            &["23: expected an ARN of the broker's own partition, arn:aws:…"],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['arn:aws:iam::111122223333:role/Deploy']",
            &["23: expected the role's path as it is listed: /teams/"],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\nexpires = 2027-01-01",
            &["24: expected a time such as 2027-01-01T00:00:00Z"],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\nsource_ips = ['10.0.0.1/8']",
            &["24: expected a range that begins at its network address: 10.0.0.0/8"],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\nsession_policy = { Version = '2012-10-17' }",
            &["24: expected an IAM policy document: a JSON object with a Statement"],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\nsession_policy = 'x'",
            &["24: expected an IAM policy document: a JSON object with a Statement"],
        ),
        ("[[grant]]\nto = 'user:a'\nroles = ['prod/Deploy']", &["22: expected a list"]),
        ("oops", &["21: line 21, column 5: key with no value, expected `=`"]),
    ] {
        assert_eq!(faults(&format!("{ACCOUNTS}{text}\n")), expected, "{text}");
    }
}

#[test]
fn one_slip_hides_no_other_and_makes_no_other() {
    let text = r#"
[[account]]
id = "11112222333"
alias = "prod"
[[account.role]]
name = "A"
[[account.role]]
name = "a"
[[account]]
id = "444455556666"
alias = "dev"
[[account.role]]
name = "B"
path = "x"
[[account.role]]
name = "C"
oops = true
[[grant]]
to = ["user:a", "nobody"]
roles = ["prod/A"]
[[grant]]
to = ["user:a"]
roles = ["prod/A", "dev/B", "dev/C", "qa/D", "arn:aws-cn:iam::444455556666:role/C"]
max_duration = 1
[[grant]]
to = ["user:a", "local:x"]
roles = ["prod/A", "dev/B", "dev/*"]
"#;
    insta::assert_snapshot!(parse(text).unwrap_err(), @r"
    line 3: /account/0/id: expected an account id of 12 digits
    line 8: /account/0/role/1/name: a duplicate: a role of this name (IAM ignores its case and path) is on line 6 already
    line 14: /account/1/role/0/path: expected a path such as /teams/, beginning and ending with a slash
    line 17: /account/1/role/1/oops: unknown key; known here: name, path, description, max_duration, source_identity, session_tags
    line 19: /grant/0/to/1: expected a principal: user:<name>, group:<name> or workload:<issuer>/<subject>
    line 23: /grant/1/roles/4: expected an ARN of the broker's own partition, arn:aws:…
    line 24: /grant/1/max_duration: expected between 900 and 43200 seconds (15m to 12h)
    line 26: /grant/2/to/1: expected a user, a group or a workload: an operator at the database asks for no credentials
    ");
    // What an account is called is known even where something else about it is wrong.
    let text = "[[account]]\nid = '111122223333'\nalias = 'prod'\nname = ''\n[[account.role]]\nname = 'A'\npath = 'x'\n[[grant]]\nto = ['user:a']\nroles = ['prod/A', 'prod/B', 'dev/A']";
    assert_eq!(
        faults(text),
        [
            "4: expected a name of 1 to 256 characters in Unicode NFC, without control or format characters and without spaces around it",
            "7: expected a path such as /teams/, beginning and ending with a slash",
            "10: expected a role of this file: no [[account.role]] of the account has this name",
            "10: expected a role of an account in this file: no [[account]] has this id or alias",
        ]
    );
}

#[test]
fn what_could_not_be_read_is_not_called_missing() {
    for (text, expected) in [
        ("[[account.role]]\nname = 'a b'\n[[grant]]\nto = ['user:a']\nroles = ['444455556666/A']", 22),
        ("[[account]]\nid = 5\n[[grant]]\nto = ['user:a']\nroles = ['new/A']", 22),
        ("[[account]]\nid = '777788889999'\nalias = 'A b'\n[[grant]]\nto = ['user:a']\nroles = ['new/A']", 23),
        ("[[accounts]]\nalias = 'new'\n[[grant]]\nto = ['user:a']\nroles = ['new/A']", 21),
    ] {
        let faults = parse(&format!("{ACCOUNTS}{text}\n")).unwrap_err().0;
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [Some(expected)], "{text}");
    }
}

#[test]
fn what_stands_twice_is_a_fault_of_both_lines() {
    for (text, expected) in [
        (
            "[[grant]]\nto = ['user:a', 'user:a']\nroles = ['prod/Deploy']",
            &["22: a duplicate: this stands in the list already"][..],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy', '111122223333/Deploy', 'prod/*']",
            &["23: a duplicate: this stands in the list already"],
        ),
        (
            "[[grant]]\nto = ['user:a', 'user:b']\nroles = ['prod/Deploy']\n[[grant]]\nto = ['user:b', 'user:c']\nroles = ['prod/Deploy']",
            &[
                "24: a duplicate: a grant of the same principal, role and conditions (1 of 2 here) is on line 21 already",
            ],
        ),
        (
            "[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\nsource_ips = ['10.0.0.0/8', '10.0.0.0/8']",
            &["24: a duplicate: this stands in the list already"],
        ),
    ] {
        assert_eq!(faults(&format!("{ACCOUNTS}{text}\n")), expected, "{text}");
    }
    let other = "[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\n[[grant]]\nto = ['user:a']\nroles = ['prod/Deploy']\nrequire_reason = true";
    assert_eq!(grants(other).len(), 2, "other conditions make another grant");
}

#[test]
fn a_grant_keeps_its_id_as_long_as_it_says_the_same() {
    let id = |text: &str| grants(&format!("[[grant]]\n{text}"))[0].id.clone();
    let first = id(
        "to = ['user:a']\nroles = ['prod/ReadOnly']\nsource_ips = ['10.0.0.0/8', '192.0.2.0/24']\nmax_duration = '1h'",
    );
    // Never to change: every grant of every file would go and come again.
    assert_eq!(first.as_str(), "8f656a86-632e-8b63-a752-eb4c838eb490");
    assert_eq!(
        id(
            "max_duration = 3600\nroles = ['arn:aws:iam::111122223333:role/ReadOnly']\nto = ['user:a']\nsource_ips = ['192.0.2.0/24', '10.0.0.0/8']\nrequire_reason = false"
        ),
        first
    );
    let base = "to = ['user:a']\nroles = ['prod/ReadOnly']\n";
    let ids: std::collections::BTreeSet<GrantId> = [
        base.to_owned(),
        "to = ['user:b']\nroles = ['prod/ReadOnly']".to_owned(),
        "to = ['group:a']\nroles = ['prod/ReadOnly']".to_owned(),
        "to = ['user:a']\nroles = ['prod/Deploy']".to_owned(),
        "to = ['user:a']\nroles = ['prod/*']".to_owned(),
        format!("{base}max_duration = 900"),
        format!("{base}require_reason = true"),
        format!("{base}expires = 2027-01-01T00:00:00Z"),
        format!("{base}expires = 2027-01-01T00:00:00.000001Z"),
        format!("{base}source_ips = ['10.0.0.0/8']"),
        format!("{base}session_policy = {{ Statement = {{}} }}"),
    ]
    .iter()
    .map(|text| id(text))
    .collect();
    assert_eq!(ids.len(), 11);
}

#[test]
fn a_small_file_cannot_stand_for_no_end_of_grants() {
    use std::fmt::Write;
    let mut text = "[[account]]\nid = '111122223333'\n".to_owned();
    let (mut to, mut roles) = (String::new(), String::new());
    for n in 0..600 {
        writeln!(text, "[[account.role]]\nname = 'R{n}'").unwrap();
        write!(to, "'user:{n}',").unwrap();
        write!(roles, "'111122223333/R{n}',").unwrap();
    }
    writeln!(text, "[[grant]]\nto = [{to}]\nroles = [{roles}]").unwrap();
    assert_eq!(
        faults(&text),
        ["1203: more than 300000 grants, counted by principal and role: grant to groups instead"]
    );
}

#[test]
fn no_end_of_faults_is_cut() {
    let faults = parse(&"[[account]]\n".repeat(FileFaults::MAX + 5)).unwrap_err();
    assert_eq!(faults.0.len(), FileFaults::MAX + 1);
    assert_eq!(faults.0.last().unwrap().problem, "5 more faults");
}

#[test]
fn neither_a_fault_nor_debug_shows_an_external_id() {
    assert!(!format!("{:?}", parse(ACCOUNTS)).contains("hp-7f3c"));
    for text in ["[[account]]\nid = '1'\nexternal_id = 'hunter 2'", "[[account]]\nid = '1'\nexternal_id = 'hunter 2"] {
        assert!(!parse(text).unwrap_err().to_string().contains("hunter"), "{text}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn parsing_pieces_of_a_file_never_panics(
        lines in proptest::collection::vec((0_usize..17, prop_oneof![
            Just("[[grant]]"), Just("to = ['user:a', 'group:b', 'x']"), Just("roles = ['prod/*', 'prod/Deploy', 'a/b']"),
            Just("[[account]]"), Just("[[account.role]]"), Just("id = 5"), Just("role = 5"), Just("[account.tags]"),
            Just("max_duration = 99999999999"), Just("session_policy = { a.b.c = 1e5 }"), Just("tags = {}"), Just("=")
        ]), 0..20)
    ) {
        let given: Vec<&str> = ACCOUNTS.lines().collect();
        let text: Vec<&str> = lines.iter().flat_map(|(at, line)| [given[*at], *line]).collect();
        if let Err(faults) = parse(&text.join("\n")) {
            prop_assert!(!faults.0.is_empty());
        }
    }
}
