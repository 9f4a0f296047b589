//! API tokens, for those whose they are: made, shown once, used, narrowed, ended.

use crate::support::{
    app::{
        ALLOWLIST,
        Persona::{self, Admin, Alice, Applier, Mallory},
        Reply, TestApp, records_of, rows,
    },
    database::{TestDb, on_both},
    log,
    shown::{shown, snap},
    until,
};
use futures_util::future::join_all;
use hallpass::{
    model::{TokenId, sha256},
    store::Store,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

on_both!(
    a_token_is_shown_once_and_kept_as_a_hash,
    its_rights_are_its_owners_by_name,
    a_bound_token_asks_for_its_roles_alone,
    no_session_outlives_it,
    it_lives_until_its_end,
    a_revocation_counts_at_the_next_request_on_every_replica,
    names_are_taken_once,
    a_machine_has_a_name_of_its_own,
    its_last_use_is_kept_to_the_minute,
    what_is_no_token_is_not_made,
    everybody_sees_their_own,
);

const DAY: u64 = 86_400;

/// Asks with an API token.
pub(crate) async fn ask(test: &TestApp, token: &str, method: Method, path: &str, body: Option<&Value>) -> Reply {
    let request = test.request_with(method, path, token);
    match body {
        Some(body) => request.json(body).send().await,
        None => request.send().await,
    }
}

pub(crate) async fn credentials(test: &TestApp, token: &str, body: &Value) -> Reply {
    ask(test, token, Method::POST, "/v1/credentials", Some(body)).await
}

/// Makes a token: its text and its id.
pub(crate) async fn make(test: &TestApp, who: Persona, body: &Value) -> (String, String) {
    let made = test.post("/v1/tokens", who, body).await;
    assert_eq!(made.status, 201, "{made:?}");
    (made.member("token"), made.member("id"))
}

pub(crate) async fn revoke(test: &TestApp, who: Persona, id: &str) -> u16 {
    test.delete(&format!("/v1/tokens/{id}"), who).await.status
}

/// An answer without the token that it shows.
fn without(reply: &Reply, token: &str) -> String {
    reply.whole().replace(token, "<token>")
}

async fn a_token_is_shown_once_and_kept_as_a_hash(db: &TestDb) {
    let test = TestApp::start(db).await;
    let etag = test.get("/v1/allowlist", Admin).await.header("etag").to_owned();
    let body = json!({"name": "laptop", "duration_seconds": 3600, "roles": ["prod/ReadOnly"], "use": "container"});
    let made = test.post("/v1/tokens", Alice, &body).await;
    let token = made.member("token");
    snap!(without(&made, &token), @r#"
    201
    content-type: application/json
    cache-control: no-store
    {
      "expires_at": "2026-01-02T04:04:05Z",
      "id": "<id>",
      "name": "laptop",
      "principal": "user:alice@example.com",
      "roles": ["111122223333/ReadOnly"],
      "token": "<token>",
      "use": "container"
    }
    "#);
    assert_eq!(ask(&test, &token, Method::GET, "/v1/whoami", None).await.status, 200);
    assert_eq!(revoke(&test, Alice, &made.member("id")).await, 204);
    assert_eq!(test.get("/v1/allowlist", Admin).await.header("etag"), etag, "no change of the allowlist");

    for kind in ["token.created", "token.revoked"] {
        let records = records_of(db, kind).await;
        assert_eq!(records.len(), 1);
        snap!(shown(&json!({"created": records[0]["detail"], "expires_at": records[0]["expires_at"]})), @r#"
        {
          "created": {
            "name": "laptop",
            "owner": "user:alice@example.com",
            "principal": "user:alice@example.com",
            "roles": ["111122223333/ReadOnly"],
            "token_id": "<id>",
            "use": "container"
          },
          "expires_at": "2026-01-02T04:04:05Z"
        }
        "#);
    }
    let listed = test.get("/v1/tokens", Alice).await;
    assert!(!listed.text.contains(&token) && listed.text.contains("laptop"), "{listed:?}");
    let mut sql = db.connect().await;
    let hash = if db.is_postgres() { "encode(hash, 'hex')" } else { "lower(hex(hash))" };
    let kept = sql.texts(&format!("SELECT {hash} FROM api_tokens")).await;
    assert_eq!(kept, [data_encoding::HEXLOWER.encode(&sha256(&[token.as_bytes()]))]);
    test.close().await;
    for table in ["api_tokens", "audit_events"] {
        let rows = rows(&mut sql, db, table).await.join("\n");
        assert!(rows.contains("laptop") && !rows.contains(&token[3..]), "{table}");
    }
    assert!(!log::text().contains(&token[3..]));
}

async fn its_rights_are_its_owners_by_name(db: &TestDb) {
    let test = TestApp::start(db).await;
    let (token, id) = make(&test, Alice, &json!({"name": "laptop"})).await;
    snap!(ask(&test, &token, Method::GET, "/v1/whoami", None).await.whole().replace(&id, "<id>"), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "admin": false,
      "applier": false,
      "auditor": false,
      "auth": {"issuer":null,"method":"api_token","subject":null,"token_id":"<id>"},
      "expires_at": "2026-02-01T03:04:05Z",
      "groups": [],
      "kind": "user",
      "principal": "user:alice@example.com",
      "token": {"id":"<id>","name":"laptop","roles":null,"use":null}
    }
    "#);

    // By name she may; what she may as one of the developers, the token may not.
    let (mine, ours) = (json!({"role": "prod/ReadOnly"}), json!({"role": "prod/Deploy", "reason": "INC-42"}));
    assert_eq!(credentials(&test, &token, &mine).await.status, 200);
    assert_eq!(test.credentials(Alice, &ours).await.status, 200);
    let refused = credentials(&test, &token, &ours).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "not_allowed"), "{refused:?}");
    let explained = ask(&test, &token, Method::POST, "/v1/explain", Some(&ours)).await.body();
    assert_eq!((&explained["allowed"], &explained["reasons"]), (&json!(false), &json!([])), "{explained}");
    let roles = ask(&test, &token, Method::GET, "/v1/roles", None).await.body();
    let roles: Vec<&Value> = roles["roles"].as_array().unwrap().iter().map(|role| &role["role"]).collect();
    assert_eq!(roles, ["prod/ReadOnly", "444455556666/Plain"]);

    let issued = records_of(db, "credentials.issued").await;
    let by_token = json!({"issuer": null, "method": "api_token", "subject": null, "token_id": id});
    assert_eq!((&issued[0]["auth"], &issued[0]["via"]), (&by_token, &json!("user:alice@example.com")));
    assert_eq!(issued[0]["principal"], "user:alice@example.com");
    assert_eq!(issued[1]["auth"]["method"], "jwt");

    // Whatever is taken from her is taken from it, at the next request.
    let block = test.post("/v1/blocks", Admin, &json!({"principal": "user:alice@example.com", "reason": "left"})).await;
    let refused = credentials(&test, &token, &mine).await;
    assert_eq!((refused.status, &refused.body()["reasons"][0]["condition"]), (403, &json!("blocked")));
    assert_eq!(test.delete(&format!("/v1/blocks/{}", block.member("id")), Admin).await.status, 204);
    assert_eq!(credentials(&test, &token, &mine).await.status, 200);
    test.apply(&ALLOWLIST.replace("user:alice@example.com", "user:bob@example.com")).await;
    assert_eq!(credentials(&test, &token, &mine).await.status, 403);
    test.close().await;
}

async fn a_bound_token_asks_for_its_roles_alone(db: &TestDb) {
    let test = TestApp::start(db).await;
    let twice = json!({"name": "ci", "roles": ["prod/ReadOnly", "arn:aws:iam::111122223333:role/teams/ReadOnly"]});
    let made = test.post("/v1/tokens", Alice, &twice).await;
    assert_eq!(made.body()["roles"], json!(["111122223333/ReadOnly"]), "{made:?}");
    let token = made.member("token");
    assert_eq!(credentials(&test, &token, &json!({"role": "prod/ReadOnly"})).await.status, 200);
    let others = ["444455556666/Plain", "prod/Deploy", "prod/Forbidden", "prod/Unknown", "nowhere/ReadOnly"];
    let refused = join_all(others.map(async |role| credentials(&test, &token, &json!({"role": role})).await)).await;
    snap!(refused[0].whole(), @r#"
    403
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "not_allowed",
      "detail": "The API token is bound to other roles than this; reasons names them.",
      "reasons": [
        {
          "condition": "token_roles",
          "detail": "the API token is good for 111122223333/ReadOnly alone",
          "grant_id": null
        }
      ],
      "request_id": "<id>",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:hallpass:problem:not_allowed"
    }
    "#);
    for (role, reply) in others.iter().zip(&refused) {
        assert_eq!(reply.whole(), refused[0].whole(), "{role}: whether there is such a role is not told");
        let explained = ask(&test, &token, Method::POST, "/v1/explain", Some(&json!({"role": role}))).await.body();
        assert_eq!(explained["allowed"], false, "{role}");
        assert_eq!(explained["reasons"][0]["condition"], "token_roles", "{role}");
    }
    let roles = ask(&test, &token, Method::GET, "/v1/roles", None).await.body();
    assert_eq!(roles["roles"].as_array().unwrap().len(), 1, "{roles}");
    assert_eq!(roles["roles"][0]["role"], "prod/ReadOnly");
    // The owner is bound by nothing.
    assert_eq!(test.credentials(Alice, &json!({"role": "444455556666/Plain"})).await.status, 200);
    // The file may drop the role, and bring it back.
    test.apply("").await;
    assert_eq!(credentials(&test, &token, &json!({"role": "prod/ReadOnly"})).await.status, 403);
    test.apply(ALLOWLIST).await;
    assert_eq!(credentials(&test, &token, &json!({"role": "prod/ReadOnly"})).await.status, 200);

    // Bound to what she has by name; nothing tells a role that she has not from one that there is not.
    let body =
        json!({"name": "x", "roles": ["prod/ReadOnly", "prod/Deploy", "prod/Forbidden", "prod/Unknown", "no/No"]});
    snap!(test.post("/v1/tokens", Alice, &body).await.whole(), @r#"
    422
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "invalid_request",
      "detail": "The request has faults; errors names each.",
      "errors": [
        {
          "pointer": "/roles/1",
          "problem": "expected a role that a grant to your user name reaches; the grants of your groups do not count for a token"
        },
        {
          "pointer": "/roles/2",
          "problem": "expected a role that a grant to your user name reaches; the grants of your groups do not count for a token"
        },
        {
          "pointer": "/roles/3",
          "problem": "expected a role that a grant to your user name reaches; the grants of your groups do not count for a token"
        },
        {
          "pointer": "/roles/4",
          "problem": "expected a role that a grant to your user name reaches; the grants of your groups do not count for a token"
        }
      ],
      "request_id": "<id>",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:hallpass:problem:invalid_request"
    }
    "#);
    test.close().await;
}

async fn no_session_outlives_it(db: &TestDb) {
    let test = TestApp::start(db).await;
    let (token, _) = make(&test, Alice, &json!({"name": "short", "duration_seconds": 1800})).await;
    let plain = json!({"role": "444455556666/Plain"});
    let issued = credentials(&test, &token, &plain).await.body();
    assert_eq!((&issued["duration_seconds"], &issued["clamped_by"]), (&json!(1800), &json!("token")));
    let asked = credentials(&test, &token, &json!({"role": "444455556666/Plain", "duration_seconds": 3600})).await;
    assert_eq!((asked.status, asked.code().as_str()), (422, "duration_too_long"));
    assert_eq!(asked.body()["errors"][0]["limit"], "token");
    test.clock.advance(Duration::from_secs(901));
    let late = credentials(&test, &token, &plain).await;
    assert_eq!((late.status, &late.body()["errors"][0]["limit_seconds"]), (422, &json!(899)), "{late:?}");
    test.close().await;
}

async fn it_lives_until_its_end(db: &TestDb) {
    let test = TestApp::start(db).await;
    for (seconds, status) in [(899, 422), (900, 201), (90 * DAY, 201), (90 * DAY + 1, 422), (u64::MAX, 422)] {
        let body = json!({"name": format!("t{seconds}"), "duration_seconds": seconds});
        let made = test.post("/v1/tokens", Alice, &body).await;
        assert_eq!(made.status, status, "{made:?}");
        if status == 422 {
            assert_eq!(made.body()["errors"][0]["pointer"], "/duration_seconds");
        }
    }
    let made = test.post("/v1/tokens", Alice, &json!({"name": "usual"})).await;
    assert_eq!(made.member("expires_at"), test.moment(Duration::from_secs(30 * DAY)), "30 days where nothing is said");
    assert_eq!((&made.body()["roles"], &made.body()["use"]), (&Value::Null, &Value::Null));

    let (token, id) = make(&test, Alice, &json!({"name": "short", "duration_seconds": 900})).await;
    test.clock.advance(Duration::from_micros(899_999_999));
    assert_eq!(ask(&test, &token, Method::GET, "/v1/whoami", None).await.status, 200);
    test.clock.advance(Duration::from_micros(1));
    let over = ask(&test, &token, Method::GET, "/v1/whoami", None).await;
    snap!(over.whole(), @r#"
    401
    content-type: application/problem+json
    cache-control: no-store
    www-authenticate: Bearer realm="hallpass", error="invalid_token", error_description="the API token has expired; make a new one"
    {
      "code": "token_expired",
      "detail": "The API token has expired; make a new one.",
      "request_id": "<id>",
      "status": 401,
      "title": "Unauthorized",
      "type": "urn:hallpass:problem:token_expired"
    }
    "#);
    let failed = records_of(db, "authentication.failed").await;
    assert_eq!((&failed[0]["auth"]["method"], &failed[0]["auth"]["token_id"]), (&json!("api_token"), &json!(id)));
    // What is over cannot be revoked, and its name is free.
    assert_eq!(revoke(&test, Alice, &id).await, 404);
    let (again, _) = make(&test, Alice, &json!({"name": "short"})).await;
    assert_eq!(ask(&test, &again, Method::GET, "/v1/whoami", None).await.status, 200);
    assert_eq!(ask(&test, &token, Method::GET, "/v1/whoami", None).await.code(), "token_expired");
    let listed = test.get("/v1/tokens", Alice).await.body();
    let old = listed["tokens"].as_array().unwrap().iter().find(|token| token["id"] == id.as_str()).unwrap();
    assert_eq!(old["revoked_at"], Value::Null, "it was not revoked");
    test.close().await;
}

async fn a_revocation_counts_at_the_next_request_on_every_replica(db: &TestDb) {
    let test = TestApp::start(db).await;
    let other = test.start_another(db).await;
    let (token, id) = make(&test, Alice, &json!({"name": "laptop"})).await;
    let plain = json!({"role": "444455556666/Plain"});
    for replica in [&test, &other] {
        assert_eq!(credentials(replica, &token, &plain).await.status, 200);
    }
    assert_eq!(revoke(&test, Alice, &id).await, 204);
    for replica in [&other, &test] {
        let refused = credentials(replica, &token, &plain).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "token_invalid"), "{refused:?}");
        assert!(refused.body()["detail"].as_str().unwrap().contains("revoked"), "{refused:?}");
    }
    assert_eq!(revoke(&test, Alice, &id).await, 404, "once is enough");
    let failed = records_of(db, "authentication.failed").await;
    assert!(failed.iter().all(|failed| failed["auth"]["token_id"] == id.as_str()) && !failed.is_empty(), "{failed:?}");
    other.close().await;
    test.close().await;
}

async fn names_are_taken_once(db: &TestDb) {
    let test = TestApp::start(db).await;
    let other = test.start_another(db).await;
    let body = json!({"name": "laptop"});
    let making = (0..10).map(|n| if n % 2 == 0 { &test } else { &other });
    let made = join_all(making.map(|replica| replica.post("/v1/tokens", Alice, &body))).await;
    let (first, others): (Vec<_>, Vec<_>) = made.into_iter().partition(|reply| reply.status == 201);
    assert_eq!(first.len(), 1, "{first:?}");
    let id = first[0].member("id");
    for reply in &others {
        assert_eq!((reply.status, reply.code().as_str()), (409, "conflict"), "{reply:?}");
        assert!(reply.body()["detail"].as_str().unwrap().contains(&id), "{reply:?}");
    }
    assert_eq!(records_of(db, "token.created").await.len(), 1);
    // Another's is another's, and a revoked one's is free.
    make(&test, Admin, &body).await;
    assert_eq!(revoke(&test, Alice, &id).await, 204);
    make(&test, Alice, &body).await;
    other.close().await;
    test.close().await;
}

async fn a_machine_has_a_name_of_its_own(db: &TestDb) {
    let test = TestApp::start(db).await;
    let body = json!({"name": "nightly", "machine": true, "roles": ["prod/Deploy"]});
    assert_eq!(test.post("/v1/tokens", Alice, &body).await.code(), "forbidden", "an admin makes it");
    let unknown = json!({"name": "nightly", "machine": true, "roles": ["prod/Deploy", "prod/Unknown"]});
    let refused = test.post("/v1/tokens", Admin, &unknown).await;
    assert_eq!((refused.status, &refused.body()["errors"][0]["pointer"]), (422, &json!("/roles/1")), "{refused:?}");
    let (token, _) = make(&test, Admin, &body).await;
    assert_eq!(test.post("/v1/tokens", Admin, &body).await.code(), "conflict");
    make(&test, Admin, &json!({"name": "nightly"})).await;

    let whoami = ask(&test, &token, Method::GET, "/v1/whoami", None).await.body();
    let expected = (&json!("workload:token/nightly"), &json!("workload"), &json!(false));
    assert_eq!((&whoami["principal"], &whoami["kind"], &whoami["admin"]), expected);
    // Its rights are what the reviewed file says, and nothing of the admin's.
    let deploy = json!({"role": "prod/Deploy"});
    assert_eq!(credentials(&test, &token, &deploy).await.code(), "not_allowed");
    let grant = "[[grant]]\nto = [\"workload:token/nightly\"]\nroles = [\"prod/*\"]\n";
    test.apply(&format!("{ALLOWLIST}{grant}")).await;
    assert_eq!(credentials(&test, &token, &deploy).await.status, 200);
    assert_eq!(credentials(&test, &token, &json!({"role": "prod/ReadOnly"})).await.code(), "not_allowed");
    let issued = records_of(db, "credentials.issued").await.pop().unwrap();
    assert_eq!(issued["principal"], "workload:token/nightly");
    assert!(issued["session_name"].as_str().unwrap().starts_with("token_nightly="), "{issued}");
    let block = json!({"principal": "workload:token/nightly", "reason": "INC-1"});
    assert_eq!(test.post("/v1/blocks", Admin, &block).await.status, 201);
    assert_eq!(credentials(&test, &token, &deploy).await.code(), "not_allowed");
    test.close().await;
}

async fn its_last_use_is_kept_to_the_minute(db: &TestDb) {
    let test = TestApp::start(db).await;
    let (token, id) = make(&test, Alice, &json!({"name": "laptop"})).await;
    let used = async || test.get("/v1/tokens", Alice).await.body()["tokens"][0]["last_used_at"].clone();
    assert_eq!(used().await, Value::Null);
    let use_until = async |at: String| {
        assert_eq!(ask(&test, &token, Method::GET, "/v1/whoami", None).await.status, 200);
        until("noted use", Duration::from_secs(10), async || (used().await == at.as_str()).then_some(())).await;
    };
    use_until(test.moment(Duration::ZERO)).await;
    let first = test.moment(Duration::ZERO);
    test.clock.advance(Duration::from_secs(59));
    use_until(first).await;
    test.clock.advance(Duration::from_secs(1));
    use_until(test.moment(Duration::ZERO)).await;

    // However many replicas see it used at once, one writes.
    let store = || match db.url.strip_prefix("sqlite:") {
        Some(file) => Store::sqlite(file.as_ref()),
        None => Store::postgres(&db.url).unwrap(),
    };
    let (id, stores) = ([TokenId::parse(&id).unwrap()], [store(), store(), store()]);
    for (seconds, writes) in [(0, 0), (59, 0), (60, 1), (60, 0), (61, 0), (120, 1)] {
        let at = test.clock.now().plus(Duration::from_secs(seconds));
        let noting = stores.iter().cycle().take(9).map(|store| store.note_token_uses(&id, at));
        let noted = join_all(noting).await.into_iter().map(Result::unwrap).sum::<u64>();
        assert_eq!(noted, writes, "{seconds}");
    }
    join_all(stores.iter().map(Store::close)).await;
    test.close().await;
}

async fn what_is_no_token_is_not_made(db: &TestDb) {
    let test = TestApp::start(db).await;
    let many = vec!["prod/ReadOnly"; 21];
    for (body, pointer) in [
        (json!({}), "/name"),
        (json!({"name": ""}), "/name"),
        (json!({"name": " laptop"}), "/name"),
        (json!({"name": "a\u{200b}b"}), "/name"),
        (json!({"name": "x".repeat(257)}), "/name"),
        (json!({"name": "x", "use": "api"}), "/use"),
        (json!({"name": "x", "roles": []}), "/roles"),
        (json!({"name": "x", "roles": many}), "/roles"),
        (json!({"name": "x", "roles": ["prod/*"]}), "/roles/0"),
        (json!({"name": "x", "roles": "prod/ReadOnly"}), "/roles"),
        (json!({"name": "x", "machine": "yes"}), "/machine"),
        (json!({"name": "x", "principal": "user:bob@example.com"}), "/principal"),
        (json!({"name": "x", "owner": "user:bob@example.com"}), "/owner"),
        (json!({"name": "x", "groups": ["group:cloud-platform"]}), "/groups"),
    ] {
        let refused = test.post("/v1/tokens", Alice, &body).await;
        assert_eq!((refused.status, &refused.body()["errors"][0]["pointer"]), (422, &json!(pointer)), "{refused:?}");
    }
    assert_eq!(test.get("/v1/tokens", Alice).await.body()["tokens"], json!([]));
    test.close().await;
}

async fn everybody_sees_their_own(db: &TestDb) {
    let test = TestApp::start(db).await;
    let names = |reply: &Reply| -> Vec<String> {
        let body = reply.body();
        body["tokens"].as_array().unwrap().iter().map(|token| token["name"].as_str().unwrap().to_owned()).collect()
    };
    let (_, first) = make(&test, Alice, &json!({"name": "first", "roles": ["prod/ReadOnly"]})).await;
    let (second, _) = make(&test, Alice, &json!({"name": "second"})).await;
    make(&test, Admin, &json!({"name": "nightly", "machine": true, "use": "container"})).await;
    assert_eq!(revoke(&test, Admin, &first).await, 204, "an admin revokes anybody's");
    for (who, seen) in [
        (Alice, &["second", "first"][..]),
        (Mallory, &[]),
        (Applier, &[]),
        (Persona::Auditor, &[]),
        (Admin, &["nightly", "second", "first"]),
    ] {
        assert_eq!(names(&test.get("/v1/tokens", who).await), seen, "{who:?}");
    }
    let own = ask(&test, &second, Method::GET, "/v1/tokens", None).await;
    assert_eq!(names(&own), ["second"], "an API token sees itself");
    let page = test.get("/v1/tokens?limit=2", Admin).await;
    assert_eq!(names(&page), ["nightly", "second"]);
    let rest = test.get(&format!("/v1/tokens?limit=2&cursor={}", page.member("next_cursor")), Admin).await;
    assert_eq!((names(&rest), &rest.body()["next_cursor"]), (vec!["first".to_owned()], &Value::Null));
    snap!(rest.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "next_cursor": null,
      "tokens": [
        {
          "created_at": "2026-01-02T03:04:05Z",
          "expires_at": "2026-02-01T03:04:05Z",
          "id": "<id>",
          "last_used_at": null,
          "name": "first",
          "owner": "user:alice@example.com",
          "principal": "user:alice@example.com",
          "revoked_at": "2026-01-02T03:04:05Z",
          "roles": ["111122223333/ReadOnly"],
          "use": null
        }
      ]
    }
    "#);
    test.close().await;
}
