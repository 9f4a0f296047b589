//! What is put on record: the record of each event, floods, orphans, streams.

#![expect(clippy::too_many_lines, reason = "most lines are whole answers and records")]

use crate::support::{
    app::{
        Persona::{Admin, Alice, Anonymous, Auditor, Mallory},
        TestApp, records_of,
    },
    database::{TestDb, on_both},
    shown::{shown, snap},
    sts::Behaviour,
    until,
};
use hallpass::{audit::SigningKey, evidence};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

on_both!(
    the_record_of_each_event,
    floods_are_folded,
    an_orphaned_intent_is_called_unknown_and_its_outcome_not_released,
    a_stream_ends_at_midnight,
    heads_are_repeated_where_something_happens,
);

const MINUTE: Duration = Duration::from_mins(1);

/// A record without what is not known.
fn facts(record: &Value) -> String {
    let empty = |value: &Value| value.is_null() || *value == json!({}) || *value == json!([]);
    let known = record.as_object().unwrap().iter().filter(|(_, value)| !empty(value));
    shown(&known.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// The newest record of a kind.
async fn newest(db: &TestDb, kind: &str) -> String {
    facts(records_of(db, kind).await.last().unwrap_or_else(|| panic!("no {kind}")))
}

async fn assert_verifies(test: &TestApp) {
    let keys = vec![SigningKey::from_pem(&test.key_file()).unwrap().public()];
    let report = evidence::verify(&test.app.store, keys, &[], |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}

async fn the_record_of_each_event(db: &TestDb) {
    let test = TestApp::start(db).await;
    snap!(newest(db, "stream.opened").await, @r#"
    {
      "at": "2026-01-02T03:04:05Z",
      "detail": {
        "admins_sha256": "7a3d63c89b2a30c37ddc461780e20b86f511512a648c7e86a0643c32b1dd5449",
        "heads": [],
        "issuers_sha256": "<hash>",
        "signing_key_sha256": "<hash>",
        "version": "<version>"
      },
      "id": "<id>",
      "kind": "stream.opened",
      "v": 1
    }
    "#);
    snap!(newest(db, "allowlist.applied").await, @r#"
    {
      "allowlist_revision": 1,
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"admin@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "detail": {
        "added": 10,
        "changed": 0,
        "file_sha256": "f41c7c9a6733f587b22ae1d0138ba9af1f7b16ee9ddd14ab0059eec412343381",
        "removed": 0
      },
      "id": "<id>",
      "kind": "allowlist.applied",
      "principal": "user:admin@example.com",
      "request_id": "<id>",
      "v": 1
    }
    "#);

    let ask = json!({"role": "prod/ReadOnly", "reason": "INC-42",
                     "session_policy": {"Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}});
    let request =
        test.request(Method::POST, "/v1/credentials", Alice).header("x-forwarded-for", "203.0.113.9, 10.0.0.9");
    let issued = request.header("x-request-id", "req-1").json(&ask).send().await;
    assert_eq!(issued.status, 200, "{issued:?}");
    snap!(newest(db, "credentials.requested").await, @r#"
    {
      "account_id": "111122223333",
      "allowlist_revision": 1,
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"alice@example.com","token_id":null},
      "client": {"ip":"10.0.0.9","peer":"127.0.0.1","user_agent":"test/1"},
      "duration_seconds": 3600,
      "grant_id": "89438418-71dd-8c6a-a181-75f8fb626dc1",
      "id": "<id>",
      "issuance_id": "<id>",
      "kind": "credentials.requested",
      "principal": "user:alice@example.com",
      "purpose": "api",
      "reason": "INC-42",
      "request_id": "req-1",
      "role_arn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
      "session_name": "alice@example.com=<issuance>",
      "session_policy_sha256": "1b7ecc8d490ddd821e6ca9a899e84eb05aad5fd864d6a9ee00e2b902854c5d46",
      "session_tags": {"team":"shop"},
      "source_identity": "alice@example.com",
      "v": 1,
      "via": "user:alice@example.com"
    }
    "#);
    snap!(newest(db, "credentials.issued").await, @r#"
    {
      "access_key_id": "ASIAFAKE000000000001",
      "account_id": "111122223333",
      "allowlist_revision": 1,
      "assumed_role_id": "AROAFAKE111122223333:alice@example.com=<issuance>",
      "at": "2026-01-02T03:04:05Z",
      "attempts": 1,
      "auth": {"issuer":"corp","method":"jwt","subject":"alice@example.com","token_id":null},
      "client": {"ip":"10.0.0.9","peer":"127.0.0.1","user_agent":"test/1"},
      "duration_seconds": 3600,
      "expires_at": "2026-01-02T04:04:05Z",
      "grant_id": "89438418-71dd-8c6a-a181-75f8fb626dc1",
      "id": "<id>",
      "issuance_id": "<id>",
      "kind": "credentials.issued",
      "principal": "user:alice@example.com",
      "purpose": "api",
      "reason": "INC-42",
      "request_id": "req-1",
      "role_arn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
      "session_name": "alice@example.com=<issuance>",
      "session_policy_sha256": "1b7ecc8d490ddd821e6ca9a899e84eb05aad5fd864d6a9ee00e2b902854c5d46",
      "session_tags": {"team":"shop"},
      "source_identity": "alice@example.com",
      "sts_request_id": "00000000-0000-4000-8000-000000000001",
      "v": 1,
      "via": "user:alice@example.com"
    }
    "#);
    test.sts.behave("ReadOnly", Behaviour::ACCESS_DENIED);
    test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await;
    snap!(newest(db, "credentials.failed").await, @r#"
    {
      "account_id": "111122223333",
      "allowlist_revision": 1,
      "at": "2026-01-02T03:04:05Z",
      "attempts": 1,
      "auth": {"issuer":"corp","method":"jwt","subject":"alice@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "code": "sts_refused",
      "detail": {"problem":"refused"},
      "duration_seconds": 3600,
      "grant_id": "89438418-71dd-8c6a-a181-75f8fb626dc1",
      "id": "<id>",
      "issuance_id": "<id>",
      "kind": "credentials.failed",
      "principal": "user:alice@example.com",
      "purpose": "api",
      "request_id": "<id>",
      "role_arn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
      "session_name": "alice@example.com=<issuance>",
      "session_tags": {"team":"shop"},
      "source_identity": "alice@example.com",
      "sts_request_id": "00000000-0000-4000-8000-000000000002",
      "v": 1,
      "via": "user:alice@example.com"
    }
    "#);
    test.credentials(Mallory, &json!({"role": "prod/ReadOnly", "duration_seconds": 900})).await;
    snap!(newest(db, "credentials.denied").await, @r#"
    {
      "allowlist_revision": 1,
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"mallory@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "code": "not_allowed",
      "detail": {"role":"prod/ReadOnly"},
      "duration_seconds": 900,
      "id": "<id>",
      "kind": "credentials.denied",
      "principal": "user:mallory@example.com",
      "purpose": "api",
      "request_id": "<id>",
      "v": 1
    }
    "#);
    test.credentials(Alice, &json!({"role": "prod/ReadOnly", "duration_seconds": 43200})).await;
    snap!(newest(db, "credentials.denied").await, @r#"
    {
      "account_id": "111122223333",
      "allowlist_revision": 1,
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"alice@example.com","token_id":null},
      "clamped_by": "grant",
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "code": "duration_too_long",
      "detail": {"role":"prod/ReadOnly"},
      "duration_seconds": 43200,
      "id": "<id>",
      "kind": "credentials.denied",
      "principal": "user:alice@example.com",
      "purpose": "api",
      "request_id": "<id>",
      "role_arn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
      "v": 1
    }
    "#);

    let nobody = test.request(Method::GET, "/v1/whoami", Anonymous);
    nobody.header("authorization", &format!("Bearer {}x", test.token(Alice))).send().await;
    snap!(newest(db, "authentication.failed").await, @r#"
    {
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":null,"token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "code": "token_invalid",
      "detail": {"problem":"the token is refused: its signature is not its issuer's"},
      "id": "<id>",
      "kind": "authentication.failed",
      "request_id": "<id>",
      "v": 1
    }
    "#);

    let expires = test.moment(MINUTE * 60);
    let grant = json!({"to": "group:strangers", "role": "prod/Deploy", "expires": expires, "reason": "INC-1",
                       "max_duration_seconds": 1800, "source_ips": ["10.0.0.0/8"]});
    let id = test.post("/v1/grants", Admin, &grant).await.member("id");
    test.delete(&format!("/v1/grants/{id}?reason=INC-2"), Admin).await;
    snap!(newest(db, "grant.added").await, @r#"
    {
      "account_id": "111122223333",
      "allowlist_revision": 2,
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"admin@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "detail": {"require_reason":false,"role":"111122223333/Deploy","source_ips":["10.0.0.0/8"],"to":"group:strangers"},
      "duration_seconds": 1800,
      "expires_at": "2026-01-02T04:04:05Z",
      "grant_id": "<id>",
      "id": "<id>",
      "kind": "grant.added",
      "principal": "user:admin@example.com",
      "reason": "INC-1",
      "request_id": "<id>",
      "role_arn": "arn:aws:iam::111122223333:role/Deploy",
      "v": 1
    }
    "#);
    snap!(newest(db, "grant.removed").await, @r#"
    {
      "account_id": "111122223333",
      "allowlist_revision": 3,
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"admin@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "detail": {
        "end_reason": "INC-2",
        "require_reason": false,
        "role": "111122223333/Deploy",
        "source_ips": ["10.0.0.0/8"],
        "to": "group:strangers"
      },
      "duration_seconds": 1800,
      "expires_at": "2026-01-02T04:04:05Z",
      "grant_id": "<id>",
      "id": "<id>",
      "kind": "grant.removed",
      "principal": "user:admin@example.com",
      "reason": "INC-1",
      "request_id": "<id>",
      "role_arn": "arn:aws:iam::111122223333:role/Deploy",
      "v": 1
    }
    "#);
    let block = json!({"role": "prod/ReadOnly", "reason": "leaked", "until": expires});
    let id = test.post("/v1/blocks", Admin, &block).await.member("id");
    test.delete(&format!("/v1/blocks/{id}?reason=found+again"), Admin).await;
    snap!(newest(db, "block.added").await, @r#"
    {
      "account_id": "111122223333",
      "allowlist_revision": 4,
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"admin@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "detail": {"block_id":"<id>","role":"111122223333/ReadOnly"},
      "expires_at": "2026-01-02T04:04:05Z",
      "id": "<id>",
      "kind": "block.added",
      "principal": "user:admin@example.com",
      "reason": "leaked",
      "request_id": "<id>",
      "role_arn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
      "v": 1
    }
    "#);
    snap!(newest(db, "block.removed").await, @r#"
    {
      "account_id": "111122223333",
      "allowlist_revision": 5,
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"admin@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "detail": {"block_id":"<id>","end_reason":"found again","role":"111122223333/ReadOnly"},
      "expires_at": "2026-01-02T04:04:05Z",
      "id": "<id>",
      "kind": "block.removed",
      "principal": "user:admin@example.com",
      "reason": "leaked",
      "request_id": "<id>",
      "role_arn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
      "v": 1
    }
    "#);

    test.get("/v1/audit/events?principal=user:alice@example.com&kind=credentials.issued&limit=5", Auditor).await;
    snap!(newest(db, "audit.read").await, @r#"
    {
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"auditor@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "detail": {"kind":"credentials.issued","principal":"user:alice@example.com","read":"events"},
      "id": "<id>",
      "kind": "audit.read",
      "principal": "user:auditor@example.com",
      "request_id": "<id>",
      "v": 1
    }
    "#);
    test.get("/v1/audit/export?format=csv&q=INC-42", Auditor).await;
    snap!(newest(db, "audit.exported").await, @r#"
    {
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"auditor@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "detail": {"q":"INC-42","read":"export","since":"2025-12-02T03:04:05Z"},
      "id": "<id>",
      "kind": "audit.exported",
      "principal": "user:auditor@example.com",
      "request_id": "<id>",
      "v": 1
    }
    "#);
    assert_verifies(&test).await;
    test.close().await;
    snap!(newest(db, "stream.closed").await, @r#"
    {
      "at": "2026-01-02T03:04:05Z",
      "id": "<id>",
      "kind": "stream.closed",
      "v": 1
    }
    "#);

    // Every member always there, whatever the kind: the contract's and no other.
    let members = "v id at kind principal auth client request_id purpose account_id role_arn issuance_id session_name \
        source_identity grant_id via allowlist_revision reason duration_seconds session_policy_sha256 expires_at \
        access_key_id assumed_role_id sts_request_id session_tags clamped_by attempts shared_from code reasons detail";
    let members: BTreeSet<&str> = members.split_whitespace().collect();
    for record in db.records().await {
        let own: BTreeSet<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(own, members, "{record}");
    }
}

async fn floods_are_folded(db: &TestDb) {
    let test = TestApp::start(db).await;
    let bad = format!("Bearer {}x", test.token(Alice));
    let other = format!("Bearer {}x", test.token(crate::support::app::Persona::Applier));
    let fail = async |authorization: &str, address: &str| {
        let request = test.request(Method::GET, "/v1/whoami", Anonymous).header("x-forwarded-for", address);
        assert_eq!(request.header("authorization", authorization).send().await.status, 401);
    };
    for i in 0..6 {
        fail(&bad, &format!("203.0.113.{i}")).await;
        fail(&other, "203.0.113.9").await;
    }
    fail(&bad, "198.51.100.1").await;
    for i in 0..13 {
        test.credentials(Mallory, &json!({"role": "prod/Forbidden", "reason": format!("try {i}")})).await;
    }
    test.credentials(Mallory, &json!({"role": "prod/Other"})).await;
    let counts = async |kind: &str| -> Vec<Option<u64>> {
        records_of(db, kind).await.iter().map(|record| record["detail"]["count"].as_u64()).collect()
    };
    assert_eq!(counts("authentication.failed").await, [None; 3], "one of each issuer and network");
    assert_eq!(counts("credentials.denied").await, [None; 11], "ten alike, and another");
    test.clock.advance(MINUTE.saturating_sub(Duration::from_micros(1)));
    test.app.recorder.housekeep().await;
    assert_eq!(counts("authentication.failed").await.len(), 3);
    test.clock.advance(Duration::from_micros(1));
    test.app.recorder.housekeep().await;
    let mut failed = counts("authentication.failed").await;
    failed.sort();
    assert_eq!(failed, [None, None, None, Some(5), Some(5)]);
    let denied = records_of(db, "credentials.denied").await;
    let folded: Vec<_> = denied.iter().filter(|record| record["detail"]["count"] == 3).collect();
    assert_eq!((denied.len(), folded.len()), (12, 1));
    snap!(facts(folded[0]), @r#"
    {
      "allowlist_revision": 1,
      "at": "2026-01-02T03:04:05Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"mallory@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "code": "not_allowed",
      "detail": {"count":3,"role":"prod/Forbidden","since":"2026-01-02T03:04:05Z"},
      "id": "<id>",
      "kind": "credentials.denied",
      "principal": "user:mallory@example.com",
      "purpose": "api",
      "reason": "try 12",
      "request_id": "<id>",
      "v": 1
    }
    "#);
    // What is still counted is written before the end.
    fail(&bad, "203.0.113.1").await;
    fail(&bad, "203.0.113.1").await;
    assert_verifies(&test).await;
    test.close().await;
    let told: u64 = counts("authentication.failed").await.iter().map(|count| count.unwrap_or(1)).sum();
    assert_eq!(told, 15);
}

async fn an_orphaned_intent_is_called_unknown_and_its_outcome_not_released(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.sts.behave("ReadOnly", Behaviour::Held);
    let ask = json!({"role": "prod/ReadOnly", "reason": "INC-42"});
    let (late, ()) = tokio::join!(test.credentials(Alice, &ask), async {
        until("call to STS", Duration::from_secs(5), async || test.sts.requests().pop()).await;
        test.clock.advance(2 * MINUTE);
        test.app.recorder.housekeep().await;
        assert!(records_of(db, "credentials.unknown").await.is_empty(), "not before two minutes are over");
        test.clock.advance(Duration::from_micros(1));
        test.app.recorder.housekeep().await;
        assert_eq!(records_of(db, "credentials.unknown").await.len(), 1);
        test.sts.let_go();
    });
    assert_eq!((late.status, late.code().as_str()), (503, "audit_unavailable"), "{late:?}");
    assert!(!late.text.contains("fake-secret"));
    snap!(newest(db, "credentials.unknown").await, @r#"
    {
      "account_id": "111122223333",
      "allowlist_revision": 1,
      "at": "2026-01-02T03:06:05.000001Z",
      "auth": {"issuer":"corp","method":"jwt","subject":"alice@example.com","token_id":null},
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "duration_seconds": 3600,
      "grant_id": "89438418-71dd-8c6a-a181-75f8fb626dc1",
      "id": "<id>",
      "issuance_id": "<id>",
      "kind": "credentials.unknown",
      "principal": "user:alice@example.com",
      "purpose": "api",
      "reason": "INC-42",
      "request_id": "<id>",
      "role_arn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
      "session_name": "alice@example.com=<issuance>",
      "session_tags": {"team":"shop"},
      "source_identity": "alice@example.com",
      "v": 1,
      "via": "user:alice@example.com"
    }
    "#);
    let failed = records_of(db, "credentials.failed").await.pop().unwrap();
    assert_eq!((&failed["detail"]["late"], &failed["code"]), (&json!(true), &json!("audit_unavailable")));
    assert!(failed["access_key_id"].is_string(), "what a revocation needs: {failed}");
    assert!(records_of(db, "credentials.issued").await.is_empty());
    assert!(db.connect().await.texts("SELECT issuance_id FROM pending").await.is_empty());

    test.sts.behave("ReadOnly", Behaviour::Normal);
    assert_eq!(test.credentials(Alice, &ask).await.status, 200);
    test.clock.advance(10 * MINUTE);
    test.app.recorder.housekeep().await;
    assert_eq!(records_of(db, "credentials.unknown").await.len(), 1, "nothing that ended is an orphan");
    assert_verifies(&test).await;
    test.close().await;
}

async fn a_stream_ends_at_midnight(db: &TestDb) {
    let test = TestApp::start(db).await;
    let to_midnight = Duration::from_secs(24 * 3600 - (3 * 3600 + 4 * 60 + 5));
    test.clock.advance(to_midnight.saturating_sub(Duration::from_micros(1)));
    test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await;
    assert_eq!(records_of(db, "stream.opened").await.len(), 1);
    test.clock.advance(Duration::from_micros(1));
    assert_eq!(test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await.status, 200);
    let opened = records_of(db, "stream.opened").await;
    assert_eq!((opened.len(), &opened[1]["at"]), (2, &json!("2026-01-03T00:00:00Z")));
    assert_eq!(records_of(db, "stream.closed").await.len(), 1);
    let kinds = "SELECT kind FROM audit_events WHERE seq = (SELECT max(n.seq) FROM audit_events n \
                 WHERE n.stream = audit_events.stream) ORDER BY stream";
    assert_eq!(db.connect().await.texts(kinds).await, ["stream.closed", "credentials.issued"]);
    let heads = opened[1]["detail"]["heads"].as_array().unwrap();
    let (last, first) = (heads.last().unwrap(), "SELECT stream FROM audit_streams WHERE closed_at IS NOT NULL");
    assert_eq!(last["stream"], db.connect().await.texts(first).await[0]);
    assert_verifies(&test).await;
    test.close().await;
}

async fn heads_are_repeated_where_something_happens(db: &TestDb) {
    let test = TestApp::start(db).await;
    let other = test.start_another(db).await;
    let stream = async |kind: &str| records_of(db, kind).await.len();
    test.clock.advance(MINUTE);
    test.app.recorder.housekeep().await;
    let after_start = stream("stream.heads").await;
    test.clock.advance(10 * MINUTE);
    test.app.recorder.housekeep().await;
    assert_eq!(stream("stream.heads").await, after_start, "nothing happens, nothing is repeated");
    test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await;
    test.app.recorder.housekeep().await;
    assert_eq!(stream("stream.heads").await, after_start + 1);
    test.app.recorder.housekeep().await;
    assert_eq!(stream("stream.heads").await, after_start + 1, "once a minute");
    snap!(newest(db, "stream.heads").await, @r#"
    {
      "at": "2026-01-02T03:15:05Z",
      "detail": {"heads":[{"hash":"<hash>","seq":1,"stream":"<id>"}]},
      "id": "<id>",
      "kind": "stream.heads",
      "v": 1
    }
    "#);
    other.close().await;
    test.close().await;
}
