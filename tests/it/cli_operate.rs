//! What operators and auditors do: the same at a server as at its database, with the same words.

use crate::support::{
    app::{
        Persona::{self, Admin, Alice, Applier, Auditor, Mallory},
        TestApp, records_of,
    },
    database::{TestDb, on_both},
    person::Person,
};
use serde_json::{Value, json};
use std::fs;

on_both!(
    a_plan_is_the_same_at_a_server_as_at_the_database,
    a_file_is_applied_as_it_was_planned,
    what_a_file_gets_wrong_is_said_with_its_line,
    grants_are_made_listed_and_ended,
    blocks_are_made_listed_and_lifted,
    tokens_are_made_listed_and_revoked,
    an_explanation_is_for_people,
    the_audit_is_searched_by_pages_and_exported_whole,
    each_change_is_on_record_with_who_made_it,
);

/// Somebody at the server.
fn person(test: &TestApp, who: Persona) -> Person {
    Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(who))
}

/// Somebody at the database.
fn operator(test: &TestApp) -> Person {
    Person::new().with("HALLPASS_CONFIG", &test.config_file())
}

/// An admin at each.
fn both(test: &TestApp) -> [Person; 2] {
    [person(test, Admin), operator(test)]
}

fn file(person: &Person, text: &str) -> String {
    let path = person.home().join("allowlist.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

/// The first word of the second line: the id of the one row.
fn id_of(table: &str) -> String {
    let row = table.lines().nth(1).unwrap_or_else(|| panic!("{table}"));
    row.split_whitespace().next().unwrap().to_owned()
}

const FILE: &str = r#"
[[account]]
id = "111122223333"
alias = "prod"
  [[account.role]]
  name = "ReadOnly"
  max_duration = "2h"

[[grant]]
to = ["user:alice@example.com"]
roles = ["prod/ReadOnly"]
"#;

async fn a_plan_is_the_same_at_a_server_as_at_the_database(db: &TestDb) {
    let test = TestApp::start_today(db).await;
    let mut plans = Vec::new();
    for person in [person(&test, Applier)].into_iter().chain(both(&test)) {
        let file = file(&person, FILE);
        let plan = ["allowlist", "plan", &file];
        let shown = person.see(&plan).await;
        let ended = person.run(&[&plan[..], &["--exit-code"]].concat()).await;
        assert_eq!((ended.code, &ended.out), (Some(3), &shown));
        let json = parsed(&person.see(&[&plan[..], &["--json"]].concat()).await);
        assert!(shown.ends_with(&format!(
            "{} to add, {} to change, {} to remove.",
            json["add"], json["change"], json["remove"]
        )));
        plans.push(shown);
    }
    assert!(plans[0].contains("max_duration_seconds: 14400 → 7200"), "{}", plans[0]);
    assert!(plans[0].contains("description: \"Look, don't touch\" → none"), "a null is a value: {}", plans[0]);
    assert!(plans[0].contains("  - group:developers → prod/Deploy"), "{}", plans[0]);
    assert!(plans.iter().all(|plan| *plan == plans[0]), "{plans:#?}");
    assert_eq!(test.app.access.find_document().await.unwrap().revision, 1, "nothing was applied");
}

async fn a_file_is_applied_as_it_was_planned(db: &TestDb) {
    let service = TestApp::start_today(db).await;
    for (i, admin) in both(&service).iter().enumerate() {
        let text = format!("{FILE}# {i}");
        let path = file(admin, &text);
        let (before, after) = (i + 1, i + 2);
        assert!(
            admin.see(&["allowlist", "apply", &path]).await.ends_with(&format!("at revision {after}.")),
            "{before}"
        );
        let again = admin.see(&["allowlist", "apply", &path]).await;
        assert_eq!(again, format!("No changes.\nNothing to apply: the allowlist is at revision {after}."));
        let ended = admin.run(&["allowlist", "plan", &path, "--exit-code"]).await;
        assert_eq!((ended.code, &*ended.out), (Some(0), "No changes."));
        assert_eq!(admin.see(&["allowlist", "show"]).await, text);
        let shown = parsed(&admin.see(&["allowlist", "show", "--json"]).await);
        assert_eq!(shown, json!({"file": text, "revision": after}));
    }
    assert_eq!(
        person(&service, Alice).fail(&["allowlist", "show"]).await,
        "Only an auditor, an applier or an admin may do this"
    );
}

async fn what_a_file_gets_wrong_is_said_with_its_line(db: &TestDb) {
    let test = TestApp::start_today(db).await;
    for admin in both(&test) {
        let path = file(&admin, "[[grant]]\nto = [\"alice\"]\nroles = [\"prod/ReadOnly\"]\n");
        for command in ["plan", "apply"] {
            let said = admin.fail(&["allowlist", command, &path]).await;
            assert!(
                said.starts_with(&format!("{path}: The allowlist file has faults, and nothing was changed\n")),
                "{said}"
            );
            assert!(said.contains("\n  - line 2: /grant/0/to/0: "), "{said}");
        }
        let said = admin.fail(&["allowlist", "plan", "nowhere.toml"]).await;
        assert!(said.starts_with("cannot read nowhere.toml: No such file"), "{said}");
    }
}

async fn grants_are_made_listed_and_ended(db: &TestDb) {
    let test = TestApp::start_today(db).await;
    for admin in both(&test) {
        let none = admin.run(&["grant", "list"]).await;
        assert!(none.err.starts_with("There is no single grant"), "{none:?}");
        let policy = admin.home().join("policy.json");
        fs::write(
            &policy,
            r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#,
        )
        .unwrap();
        let add = ["grant", "add", "user:mallory@example.com", "prod/Deploy", "--expires", "8h", "--reason", "INC-42"];
        let more = ["--max-duration", "45m", "--require-reason", "--source-ip", "127.0.0.0/8", "--session-policy"];
        let made = admin.see(&[&add[..], &more, &[policy.to_str().unwrap(), "--json"]].concat()).await;
        let made = parsed(&made);
        assert_eq!(
            [&made["to"], &made["role"], &made["max_duration_seconds"], &made["require_reason"], &made["source_ips"]],
            [
                &json!("user:mallory@example.com"),
                &json!("111122223333/Deploy"),
                &json!(2700),
                &json!(true),
                &json!(["127.0.0.0/8"])
            ]
        );
        assert_eq!(made["session_policy"]["Version"], "2012-10-17");
        let id = made["id"].as_str().unwrap();
        let list = admin.see(&["grant", "list"]).await;
        assert_eq!(id_of(&list), id);
        assert!(list.contains("at most 45m, with a reason"), "{list}");
        assert_eq!(parsed(&admin.see(&["grant", "list", "--json"]).await), json!([made]));
        let ask = json!({"role": "prod/Deploy", "reason": "INC-42"});
        assert_eq!(test.credentials(Mallory, &ask).await.status, 200);
        assert_eq!(admin.see(&["grant", "remove", id, "--reason", "& done"]).await, "The grant has ended.");
        let found = admin.see(&["audit", "search", "--kind", "grant.removed", "--limit", "1", "--json"]).await;
        assert_eq!(parsed(&found)["record"]["detail"]["end_reason"], "& done", "{found}");
        assert_eq!(test.credentials(Mallory, &ask).await.status, 403);
        assert_eq!(admin.fail(&["grant", "remove", id]).await, "There is nothing here by that name");
        let mut unlisted = add;
        unlisted[3] = "prod/Nope";
        assert_eq!(
            admin.fail(&unlisted).await,
            "The allowlist lists no such role\n  - /role: expected a role that the allowlist lists"
        );
        let mut endless = add;
        endless[5] = "91d";
        let said = admin.fail(&endless).await;
        assert!(said.contains("/expires: expected a time in the future, at most 90 days ahead"), "{said}");
    }
    assert_eq!(person(&test, Alice).fail(&["grant", "list"]).await, "Only an auditor or an admin may do this");
}

async fn blocks_are_made_listed_and_lifted(db: &TestDb) {
    let test = TestApp::start_today(db).await;
    for admin in both(&test) {
        assert_eq!(admin.run(&["block", "list"]).await.err, "Nobody is blocked, and no role.");
        for (what, shown) in
            [("user:alice@example.com", "user:alice@example.com"), ("prod/ReadOnly", "111122223333/ReadOnly")]
        {
            let made = admin.see(&["block", "add", what, "--reason", "INC-42", "--until", "1h"]).await;
            assert!(made.contains(shown), "{made}");
            let id = id_of(&made);
            assert_eq!(admin.see(&["block", "list"]).await, made);
            assert_eq!(parsed(&admin.see(&["block", "list", "--json"]).await)[0]["id"], id);
            assert_eq!(test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await.status, 403);
            assert_eq!(admin.see(&["block", "remove", &id]).await, "The block is lifted.");
            assert_eq!(test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await.status, 200);
        }
        let said = admin.run(&["block", "add", "alice", "--reason", "INC-42"]).await;
        assert_eq!(said.code, Some(2));
        assert!(said.err.contains("expected a principal such as user:alice@example.com"), "{said:?}");
    }
}

async fn tokens_are_made_listed_and_revoked(db: &TestDb) {
    let test = TestApp::start_today(db).await;
    let machine =
        ["token", "create", "nightly", "--machine", "--role", "prod/ReadOnly", "--lifetime", "1d", "--container"];
    for admin in both(&test) {
        let made = admin.run(&machine).await;
        assert!(made.out.starts_with("hp_") && made.out.lines().count() == 1, "{made:?}");
        assert!(made.err.starts_with("It asks as workload:token/nightly until "), "{made:?}");
        let list = admin.see(&["token", "list"]).await;
        assert!(list.contains("111122223333/ReadOnly, container only"), "{list}");
        let listed = parsed(&admin.see(&["token", "list", "--json"]).await);
        assert_eq!(listed[0]["principal"], "workload:token/nightly");
        assert!(!listed.to_string().contains(&made.out), "its text is shown once");
        assert_eq!(admin.see(&["token", "revoke", listed[0]["id"].as_str().unwrap()]).await, "The token is revoked.");
        assert!(admin.see(&["token", "list"]).await.contains("revoked "));
    }
    let own = operator(&test).fail(&["token", "create", "mine"]).await;
    assert_eq!(own, "The request has faults\n  - /machine: expected true: no grant names who works at the database");
    let alice = person(&test, Alice);
    let whole = parsed(&alice.see(&["token", "create", "laptop", "--json"]).await);
    let token = whole["token"].as_str().unwrap();
    let asking = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", token);
    assert_eq!(parsed(&asking.see(&["whoami", "--json"]).await)["principal"], "user:alice@example.com");
    assert_eq!(parsed(&alice.see(&["token", "list", "--json"]).await).as_array().unwrap().len(), 1, "her own alone");
}

async fn an_explanation_is_for_people(db: &TestDb) {
    let test = TestApp::start_today(db).await;
    let developer = ["--for", "user:zoe@example.com", "--group", "group:developers"];
    for asker in [person(&test, Auditor), operator(&test)] {
        let refused = asker.see(&[&["explain", "prod/Deploy"], &developer[..]].concat()).await;
        assert!(refused.starts_with("Not allowed:\n  - grant "), "{refused}");
        assert!(refused.ends_with(": the grant requires a reason, and none was given"), "{refused}");
        let given = [&["explain", "prod/Deploy", "--reason", "INC-42", "--duration", "30m"], &developer[..]].concat();
        let allowed = asker.see(&given).await;
        assert!(
            allowed.starts_with("Allowed, for 30m, by grant ") && allowed.ends_with(" to group:developers."),
            "{allowed}"
        );
        assert_eq!(parsed(&asker.see(&[&given[..], &["--json"]].concat()).await)["allowed"], true);
        let stranger = asker.see(&["explain", "prod/Deploy", "--for", "user:zoe@example.com"]).await;
        assert!(stranger.starts_with("Not allowed: no grant gives this role"), "{stranger}");
    }
    let own = person(&test, Alice).see(&["explain", "prod/ReadOnly"]).await;
    assert!(own.starts_with("Allowed, for 1h, by grant "), "{own}");
    let others = person(&test, Alice).fail(&["explain", "prod/ReadOnly", "--for", "user:zoe@example.com"]).await;
    assert_eq!(others, "Only an auditor or an admin, who explains for others, may do this");
    let nobody = operator(&test).fail(&["explain", "prod/ReadOnly"]).await;
    assert_eq!(nobody, "at the database, say for whom: --for user:NAME");
}

async fn the_audit_is_searched_by_pages_and_exported_whole(db: &TestDb) {
    let test = TestApp::start_today(db).await;
    for reason in 0..3 {
        let ask = json!({"role": "prod/ReadOnly", "reason": format!("INC-{reason}\u{e9}")});
        assert_eq!(test.credentials(Alice, &ask).await.status, 200);
    }
    for reader in [person(&test, Auditor), operator(&test)] {
        let issued = ["--kind", "credentials.issued", "--principal", "user:alice@example.com"];
        let search = [&["audit", "search"], &issued[..]].concat();
        let lines = reader.see(&search).await;
        assert_eq!(lines.lines().count(), 3, "{lines}");
        assert!(lines.lines().next().unwrap().ends_with("role/teams/ReadOnly  INC-2é"), "{lines}");
        let one = reader.see(&[&search[..], &["--limit", "1", "--json"]].concat()).await;
        assert_eq!(parsed(&one)["record"]["reason"], "INC-2é");
        assert_eq!(reader.see(&[&search[..], &["--text", "inc-1"]].concat()).await.lines().count(), 1);
        let none = reader.see(&[&search[..], &["--until", "2020-01-01T00:00:00Z"]].concat()).await;
        assert_eq!(none, "");
        let csv = reader.see(&[&["audit", "export", "--format", "csv"], &issued[..]].concat()).await;
        assert_eq!(csv.lines().count(), 4, "{csv}");
        let whole = reader.see(&["audit", "export"]).await;
        let exported = reader.home().join("audit.jsonl");
        fs::write(&exported, format!("{whole}\n")).unwrap();
        let verified = operator(&test).see(&["audit", "verify", exported.to_str().unwrap()]).await;
        assert!(!verified.is_empty());
        let said = reader.fail(&["audit", "search", "--kind", "nonsense"]).await;
        assert!(said.contains("/kind: expected"), "{said}");
    }
    let own = person(&test, Alice).see(&["audit", "search", "--limit", "500"]).await;
    assert!(own.lines().all(|line| line.contains("user:alice@example.com")), "{own}");
}

async fn each_change_is_on_record_with_who_made_it(db: &TestDb) {
    let test = TestApp::start_today(db).await;
    let at = |person: &Person| file(person, FILE);
    let (admin, operator) = (person(&test, Admin), operator(&test));
    admin.see(&["allowlist", "apply", &at(&admin)]).await;
    operator.see(&["grant", "add", "user:zoe", "prod/ReadOnly", "--expires", "1h", "--reason", "INC-42"]).await;
    operator.see(&["audit", "search"]).await;
    let last = async |kind: &str| records_of(db, kind).await.pop().unwrap();
    let applied = last("allowlist.applied").await;
    assert_eq!([&applied["principal"], &applied["auth"]["method"]], ["user:admin@example.com", "jwt"]);
    for kind in ["grant.added", "audit.read"] {
        let event = last(kind).await;
        let principal = event["principal"].as_str().unwrap();
        assert!(principal.starts_with("local:"), "{event}");
        assert_eq!((&event["auth"]["method"], &event["client"]), (&json!("local"), &Value::Null), "{event}");
    }
}
