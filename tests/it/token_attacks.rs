//! API tokens in the wrong hands, or asked for more than they are good for.

use crate::{
    support::{
        app::{
            ALLOWLIST,
            Persona::{self, Admin, Alice, Auditor},
            Reply, TestApp, records_of,
        },
        database::{TestDb, on_both},
        shown::snap,
    },
    surface::{NOBODYS, ask_with, routes},
    tokens::{ask, credentials, make, revoke},
};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

on_both!(
    what_each_token_opens,
    a_token_has_no_power_whomever_it_belongs_to,
    a_stolen_token_reaches_no_other,
    made_only_shortly_after_signing_in,
    look_alikes_cost_no_look_up,
    a_token_is_not_refused_while_the_database_is_away,
);

/// Every power that a person can have.
const POWERFUL: &str = "admin@example.com";

async fn what_each_token_opens(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.apply(&format!("{ALLOWLIST}[[grant]]\nto = [\"workload:token/m\"]\nroles = [\"444455556666/Plain\"]\n")).await;
    let tokens = [
        ("Alice", make(&test, Alice, &json!({"name": "a"})).await.0),
        ("Admin", make(&test, Admin, &json!({"name": "a"})).await.0),
        ("Machine", make(&test, Admin, &json!({"name": "m", "machine": true})).await.0),
        ("Bound", make(&test, Alice, &json!({"name": "b", "roles": ["prod/ReadOnly"]})).await.0),
        ("Container", make(&test, Alice, &json!({"name": "c", "use": "container"})).await.0),
    ];
    let mut matrix = vec![format!("{:<55}{}", "", tokens.each_ref().map(|(name, _)| format!("{name:>10}")).concat())];
    for route in routes(&test).iter().filter(|route| route.path.starts_with("/v1/")) {
        let mut line = format!("{:<55}", format!("{} {}", route.method, route.path.replace(NOBODYS, "{id}")));
        for (_, token) in &tokens {
            line.extend([format!("{:>10}", ask_with(&test, route, token).await.status)]);
        }
        matrix.push(line);
    }
    insta::allow_duplicates! { insta::assert_snapshot!(matrix.join("\n"), @"
                                                                Alice     Admin   Machine     Bound Container
    GET /v1/login                                                 200       200       200       200       200
    GET /v1/whoami                                                200       200       200       200       200
    GET /v1/roles                                                 200       200       200       200       403
    POST /v1/credentials                                          200       403       200       403       403
    POST /v1/console                                              200       403       200       403       403
    GET /v1/container/444455556666/Plain                          200       403       200       403       200
    POST /v1/explain                                              200       200       200       200       403
    POST /v1/explain                                              403       403       403       403       403
    GET /v1/allowlist                                             403       403       403       403       403
    PUT /v1/allowlist?dry_run=true                                403       403       403       403       403
    PUT /v1/allowlist                                             403       403       403       403       403
    GET /v1/grants                                                403       403       403       403       403
    POST /v1/grants                                               403       403       403       403       403
    DELETE /v1/grants/{id}                                        403       403       403       403       403
    GET /v1/blocks                                                403       403       403       403       403
    POST /v1/blocks                                               403       403       403       403       403
    DELETE /v1/blocks/{id}                                        403       403       403       403       403
    GET /v1/tokens                                                200       200       200       200       403
    POST /v1/tokens                                               403       403       403       403       403
    DELETE /v1/tokens/{id}                                        404       404       404       404       403
    GET /v1/audit/events                                          200       200       200       200       403
    GET /v1/audit/events?principal=user:bob@example.com           403       403       403       403       403
    GET /v1/audit/export                                          403       403       403       403       403
    GET /v1/audit/heads                                           403       403       403       403       403
    ") }
    snap!(ask(&test, &tokens[4].1, Method::GET, "/v1/roles", None).await.whole(), @r#"
    403
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "forbidden",
      "detail": "This API token is good for /v1/container/{account}/{role} alone.",
      "request_id": "<id>",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:hallpass:problem:forbidden"
    }
    "#);
    test.close().await;
}

async fn a_token_has_no_power_whomever_it_belongs_to(db: &TestDb) {
    let test = TestApp::start(db).await;
    // Named by name: a group's powers a token lacks as it lacks the group.
    let mut powers = hallpass::access::Powers::default();
    let named = |list: &mut Vec<hallpass::model::Principal>| list.push(format!("user:{POWERFUL}").parse().unwrap());
    for list in [&mut powers.admins, &mut powers.auditors, &mut powers.appliers, &mut powers.token_creators] {
        named(list);
    }
    let (token, _) = make(&test, Admin, &json!({"name": "a"})).await;
    let by_token = test.app.identity.caller_from_bearer(&token).await.unwrap();
    let by_jwt = test.app.identity.caller_from_bearer(&test.token(Admin)).await.unwrap();
    assert_eq!(by_token.principal(), by_jwt.principal());
    for (what, power) in [
        ("admin", hallpass::access::Powers::is_admin as fn(&_, &_) -> bool),
        ("auditor", hallpass::access::Powers::is_auditor),
        ("applier", hallpass::access::Powers::is_applier),
        ("token creator", hallpass::access::Powers::is_token_creator),
    ] {
        assert!(power(&powers, &by_jwt) && !power(&powers, &by_token), "{what}");
    }

    let whoami = ask(&test, &token, Method::GET, "/v1/whoami", None).await.body();
    for power in ["admin", "auditor", "applier"] {
        assert_eq!(whoami[power], false, "{power}");
    }
    let another = ask(&test, &token, Method::POST, "/v1/tokens", Some(&json!({"name": "b"}))).await;
    snap!(another.whole(), @r#"
    403
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "forbidden",
      "detail": "Only a person among the token creators, or an admin, signed in without an API token, may do this.",
      "request_id": "<id>",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:hallpass:problem:forbidden"
    }
    "#);
    let others = ask(&test, &token, Method::GET, "/v1/audit/events?principal=user:alice@example.com", None).await;
    assert_eq!(others.code(), "forbidden");
    let own = ask(&test, &token, Method::GET, "/v1/audit/events?limit=1000", None).await.body();
    let own = own["events"].as_array().unwrap();
    assert!(own.iter().all(|event| event["record"]["principal"] == format!("user:{POWERFUL}")), "{own:?}");
    assert_eq!(records_of(db, "token.created").await.len(), 1);
    test.close().await;
}

async fn a_stolen_token_reaches_no_other(db: &TestDb) {
    let test = TestApp::start(db).await;
    let (stolen, stolen_id) = make(&test, Alice, &json!({"name": "stolen"})).await;
    let (_, kept) = make(&test, Alice, &json!({"name": "kept"})).await;
    let (_, admins) = make(&test, Admin, &json!({"name": "a"})).await;
    let delete = async |id: &str| ask(&test, &stolen, Method::DELETE, &format!("/v1/tokens/{id}"), None).await.status;
    assert_eq!((delete(&kept).await, delete(&admins).await), (404, 404));
    for (who, id) in [(Alice, &admins), (Persona::Mallory, &kept), (Auditor, &kept)] {
        assert_eq!(revoke(&test, who, id).await, 404, "{who:?}: what is another's is not there");
    }
    assert_eq!(delete("nonsense").await, 404);
    // Itself it can end, as whoever finds it should.
    assert_eq!(delete(&stolen_id).await, 204);
    assert_eq!(credentials(&test, &stolen, &json!({"role": "prod/ReadOnly"})).await.code(), "token_invalid");
    let revoked = records_of(db, "token.revoked").await.pop().unwrap();
    assert_eq!((&revoked["auth"]["token_id"], &revoked["detail"]["token_id"]), (&json!(stolen_id), &json!(stolen_id)));
    test.close().await;
}

async fn made_only_shortly_after_signing_in(db: &TestDb) {
    let test = TestApp::start(db).await;
    let jwt = test.token(Alice);
    let make = async |jwt: &str, name: &str| -> Reply {
        ask(&test, jwt, Method::POST, "/v1/tokens", Some(&json!({"name": name}))).await
    };
    test.clock.advance(Duration::from_mins(15));
    assert_eq!(make(&jwt, "within").await.status, 201);
    test.clock.advance(Duration::from_micros(1));
    snap!(make(&jwt, "after").await.whole(), @r#"
    403
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "forbidden",
      "detail": "Sign in again: an API token is made within 15 minutes of signing in, and never with another API token.",
      "request_id": "<id>",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:hallpass:problem:forbidden"
    }
    "#);
    // A fresh token of an old sign-in is an old sign-in; one that does not say when is none.
    let with = |changes: &dyn Fn(&mut serde_json::Value)| {
        let mut claims = test.corp.claims("alice");
        claims["email"] = json!("alice@example.com");
        claims["email_verified"] = json!(true);
        claims["groups"] = json!(["developers"]);
        changes(&mut claims);
        test.corp.token(&claims)
    };
    let now = test.clock.now().as_micros() / 1_000_000;
    assert_eq!(make(&with(&|_| ()), "good").await.status, 201);
    assert_eq!(make(&with(&|claims| claims["auth_time"] = json!(now - 901)), "old").await.code(), "forbidden");
    assert_eq!(make(&with(&|claims| claims["auth_time"] = json!(now - 899)), "new").await.status, 201);
    let undated = with(&|claims| drop(claims.as_object_mut().unwrap().remove("iat")));
    assert_eq!(make(&undated, "undated").await.code(), "forbidden");
    test.close().await;
}

/// What is like a token, and none; the true one is not among them.
fn look_alikes(token: &str) -> Vec<String> {
    let other = |at: usize| if &token[at..=at] == "A" { "B" } else { "A" };
    let mut texts: Vec<String> =
        [3, 30, 66].iter().map(|&at| format!("{}{}{}", &token[..at], other(at), &token[at + 1..])).collect();
    texts.extend([
        "hp_".to_owned(),
        "hp_garbage".to_owned(),
        format!("hp_{}", "A".repeat(64)),
        token[..66].to_owned(),
        format!("{token}A"),
        format!("{token}="),
        format!("hp_{token}"),
        token.to_lowercase(),
        format!("hp_{}", "A".repeat(15_000)),
        format!("hp_{}", test_jwt()),
        // Not even like one: none of these is looked up either, but read as a JWT.
        token.replace("hp_", ""),
        token.replace("hp_", "HP_"),
        token.replace("hp_", "ghp_"),
    ]);
    texts
}

fn test_jwt() -> &'static str {
    "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0."
}

async fn look_alikes_cost_no_look_up(db: &TestDb) {
    let test = TestApp::start(db).await;
    let (token, _) = make(&test, Alice, &json!({"name": "a"})).await;
    let unknown = hallpass::secret::OpaqueToken::generate();
    let reply = ask(&test, unknown.expose(), Method::GET, "/v1/whoami", None).await;
    assert_eq!((reply.status, reply.code().as_str()), (401, "token_invalid"), "{reply:?}");
    // With the table away, whatever is looked up is a 503.
    db.connect().await.execute("ALTER TABLE api_tokens RENAME TO elsewhere").await;
    assert_eq!(ask(&test, unknown.expose(), Method::GET, "/v1/whoami", None).await.status, 503);
    for text in look_alikes(&token) {
        let reply = ask(&test, &text, Method::GET, "/v1/whoami", None).await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "token_invalid"), "{text:.80}: {reply:?}");
        assert!(!reply.text.contains(&text), "{reply:?}");
    }
    let failed = records_of(db, "authentication.failed").await;
    assert_eq!(
        (failed.len(), &failed[0]["auth"]["method"]),
        (2, &json!("api_token")),
        "the rest is folded: {failed:?}"
    );
    test.close().await;
}

async fn a_token_is_not_refused_while_the_database_is_away(db: &TestDb) {
    let test = TestApp::start(db).await;
    let (token, _) = make(&test, Alice, &json!({"name": "a"})).await;
    db.connect().await.execute("ALTER TABLE api_tokens RENAME TO elsewhere").await;
    let away = ask(&test, &token, Method::GET, "/v1/whoami", None).await;
    snap!(away.whole(), @r#"
    503
    content-type: application/problem+json
    cache-control: no-store
    retry-after: 5
    {
      "code": "store_unavailable",
      "detail": "The database cannot be used at the moment; nothing was released or changed.",
      "request_id": "<id>",
      "status": 503,
      "title": "Service Unavailable",
      "type": "urn:hallpass:problem:store_unavailable"
    }
    "#);
    assert_eq!(test.get("/v1/whoami", Alice).await.status, 200, "a JWT needs no look-up");
    db.connect().await.execute("ALTER TABLE elsewhere RENAME TO api_tokens").await;
    assert_eq!(ask(&test, &token, Method::GET, "/v1/whoami", None).await.status, 200);
    test.close().await;
}
