//! The container-credentials protocol as AWS's SDKs speak it: the token as it comes, two options, and an answer in its own
//! form whatever happens.

use crate::support::{
    app::{
        Persona::{self, Alice, Anonymous, Mallory},
        Reply, Setting, TestApp,
    },
    database::{TestDb, on_both},
    shown::{shown, snap},
    sts::Behaviour,
};
use hallpass::http::Bounds;
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;

on_both!(
    the_answer_is_the_protocols,
    every_error_has_its_form,
    the_token_is_taken_as_it_comes,
    there_are_two_options,
    nothing_leads_elsewhere,
    who_asks_too_often_is_told_in_its_form,
);

const READ_ONLY: &str = "/v1/container/prod/ReadOnly";

async fn the_answer_is_the_protocols(db: &TestDb) {
    let test = TestApp::start(db).await;
    let reply = test.get(READ_ONLY, Alice).await;
    snap!(reply.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "AccessKeyId": "ASIAFAKE000000000001",
      "AccountId": "111122223333",
      "Expiration": "2026-01-02T04:04:05Z",
      "RoleArn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
      "SecretAccessKey": "fake-secret/0000000000000000000000000001",
      "Token": "fake-session-token/x…000000000001"
    }
    "#);
    let members: Vec<_> = reply.body().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members.len(), 6, "{members:?}");
    test.close().await;
}

/// Status, code and message, in all the places where they must be; nothing else is said.
fn told(reply: &Reply) -> String {
    let body = reply.body();
    let (code, message) = (reply.member("code"), reply.member("message"));
    assert_eq!(body, json!({"code": code, "message": message, "Code": code, "Message": message}), "{reply:?}");
    assert_eq!(reply.header("content-type"), "application/json", "{reply:?}");
    assert_eq!(reply.header("cache-control"), "no-store", "{reply:?}");
    assert!(!reply.header("x-request-id").is_empty(), "{reply:?}");
    assert!(message.ends_with('.') && message.len() < 320 && !message.contains('\n'), "{message}");
    format!("{} {code}: {message}", reply.status)
}

async fn every_error_has_its_form(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.sts.behave("Plain", Behaviour::ACCESS_DENIED);
    let mut said = String::new();
    let mut ask = async |path: &str, who: Persona| {
        let reply = test.get(path, who).await;
        writeln!(said, "{who:?} {path}\n  {}", told(&reply)).unwrap();
        reply
    };
    let unauthenticated = ask(READ_ONLY, Anonymous).await;
    assert_eq!(unauthenticated.header("www-authenticate"), "Bearer realm=\"hallpass\"");
    ask("/v1/container/prod/Unknown?nonsense=1", Anonymous).await;
    ask(READ_ONLY, Mallory).await;
    ask("/v1/container/prod/Unknown", Mallory).await;
    ask("/v1/container/prod/Deploy", Alice).await;
    ask(&format!("{READ_ONLY}?duration_seconds=10000"), Alice).await;
    ask(&format!("{READ_ONLY}?duration_seconds=1h&reason=a%00b"), Alice).await;
    ask("/v1/container/PROD/Read%20Only", Alice).await;
    ask("/v1/container/444455556666/Plain", Alice).await;
    test.sts.behave("Plain", Behaviour::Body(404, "nonsense"));
    test.clock.advance(std::time::Duration::from_secs(5));
    ask("/v1/container/444455556666/Plain", Alice).await;
    db.connect().await.execute("ALTER TABLE grants RENAME TO gone").await;
    ask("/v1/container/prod/Deploy?reason=x", Alice).await;
    db.connect().await.execute("ALTER TABLE gone RENAME TO grants; ALTER TABLE audit_events RENAME TO gone").await;
    let silent = ask(READ_ONLY, Alice).await;
    assert_eq!(silent.header("retry-after"), "5");
    db.connect().await.execute("ALTER TABLE gone RENAME TO audit_events").await;
    let refused = test.request(Method::GET, READ_ONLY, Anonymous).header("authorization", "nonsense").send().await;
    writeln!(said, "nonsense\n  {}", told(&refused)).unwrap();
    snap!(said, @r#"
    Anonymous /v1/container/prod/ReadOnly
      401 unauthenticated: No bearer token was sent.
    Anonymous /v1/container/prod/Unknown?nonsense=1
      401 unauthenticated: No bearer token was sent.
    Mallory /v1/container/prod/ReadOnly
      403 not_allowed: No grant of yours allows this role now, or there is no such role; POST /v1/explain says what fails.
    Mallory /v1/container/prod/Unknown
      403 not_allowed: No grant of yours allows this role now, or there is no such role; POST /v1/explain says what fails.
    Alice /v1/container/prod/Deploy
      422 reason_required: The grant requires a reason, and none was given.
    Alice /v1/container/prod/ReadOnly?duration_seconds=10000
      422 duration_too_long: The grant allows at most 7200 seconds.
    Alice /v1/container/prod/ReadOnly?duration_seconds=1h&reason=a%00b
      422 invalid_request: The request has faults: /duration_seconds: expected between 900 and 43200 seconds (15m to 12h); /reason: expected text in Unicode NFC without control or format characters.
    Alice /v1/container/PROD/Read%20Only
      422 invalid_request: The request has faults: /account: expected an account: 12 digits or an alias; /role: expected a role name: 1 to 64 of letters, digits and _+=,.@-.
    Alice /v1/container/444455556666/Plain
      502 sts_refused: AWS refused to let the broker assume the role; look at whether the role exists and its trust policy names the broker, the external ID. STS request id: 00000000-0000-4000-8000-000000000001.
    Alice /v1/container/444455556666/Plain
      503 sts_unavailable: STS gave no usable answer (an error of its own); nothing was released. STS request id: 00000000-0000-4000-8000-000000000002.
    Alice /v1/container/prod/Deploy?reason=x
      503 store_unavailable: The database cannot be used at the moment; nothing was released or changed.
    Alice /v1/container/prod/ReadOnly
      503 audit_unavailable: The audit cannot be written at the moment; nothing was released or changed.
    nonsense
      401 token_invalid: The token is refused: it is not a signed JWT of three parts.
    "#);
    snap!(shown(&unauthenticated.body()), @r#"
    {
      "Code": "unauthenticated",
      "Message": "No bearer token was sent.",
      "code": "unauthenticated",
      "message": "No bearer token was sent."
    }
    "#);
    let long = told(&test.get(&format!("{READ_ONLY}?{}", "%C3%A9%0A".repeat(200)), Alice).await);
    assert!(
        long.starts_with("422 invalid_request: The request has faults: /é\u{fffd}é")
            && long.ends_with("….")
            && long.len() < 330
    );
    // The neighbours' form is as it was.
    let reply = test.get("/v1/containers/prod/ReadOnly", Alice).await;
    assert_eq!((reply.status, reply.header("content-type")), (404, "application/problem+json"));
    test.close().await;
}

async fn the_token_is_taken_as_it_comes(db: &TestDb) {
    let test = TestApp::start(db).await;
    let (good, other) = (test.token(Alice), test.token(Mallory));
    let ask = async |path: &str, lines: &[&str]| {
        let mut request = test.request(Method::GET, path, Anonymous).header("cookie", &format!("session={good}"));
        for line in lines {
            request = request.header("authorization", line);
        }
        request.send().await
    };
    let bearer = format!("Bearer {good}");
    for (lines, code) in [
        (&[&*good][..], ""),
        (&[&*bearer], ""),
        (&[&*bearer.replace("Bearer", "bEARER")], ""),
        (&[&*format!("Bearer   {good}")], ""),
        (&[], "unauthenticated"),
        (&["Basic YWxpY2U6"], "unauthenticated"),
        (&[&*format!("Token {good}")], "unauthenticated"),
        (&["Bearer"], "token_invalid"),
        (&["bearer"], "token_invalid"),
        (&["x"], "token_invalid"),
        (&[&*format!("{good}x")], "token_invalid"),
        (&[&*format!("{good},{other}")], "token_invalid"),
        (&[&*format!("Bearer {good} {other}")], "token_invalid"),
        (&[&*good, &*good], "token_invalid"),
        (&[&*good, &*bearer], "token_invalid"),
        (&[&*format!("Bearer {}", "x".repeat(16 * 1024 + 1))], "token_invalid"),
    ] {
        let reply = ask(READ_ONLY, lines).await;
        assert_eq!(reply.code(), code, "{lines:?}: {reply:?}");
        assert_eq!(reply.status, if code.is_empty() { 200 } else { 401 }, "{lines:?}");
        assert_eq!(reply.header("www-authenticate").is_empty(), code.is_empty(), "{lines:?}");
    }
    // Nowhere else.
    assert_eq!(ask("/v1/whoami", &[&good]).await.code(), "unauthenticated");
    assert_eq!(test.sts.requests().len(), 1, "one session for all of them");
    test.close().await;
}

async fn there_are_two_options(db: &TestDb) {
    let test = TestApp::start(db).await;
    for (query, status, code) in [
        ("", 200, ""),
        ("?", 200, ""),
        ("?duration_seconds=900", 200, ""),
        ("?duration_seconds=7200&reason=INC-42%20%E2%80%93%20x", 200, ""),
        ("?reason=", 200, ""),
        ("?reason=+&duration_seconds=900", 200, ""),
        ("?duration_seconds=7201", 422, "duration_too_long"),
        ("?duration_seconds=899", 422, "invalid_request"),
        ("?duration_seconds=43201", 422, "invalid_request"),
        ("?duration_seconds=", 422, "invalid_request"),
        ("?duration_seconds=9e2", 422, "invalid_request"),
        ("?duration_seconds=-900", 422, "invalid_request"),
        ("?duration_seconds=900&duration_seconds=900", 422, "invalid_request"),
        ("?grant_id=019b7ca9-8c88-7000-8000-ffffffffffff", 422, "invalid_request"),
        ("?session_policy={}", 422, "invalid_request"),
        ("?token=x", 422, "invalid_request"),
        ("?Duration_Seconds=900", 422, "invalid_request"),
    ] {
        let reply = test.get(&format!("{READ_ONLY}{query}"), Alice).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{query}: {reply:?}");
    }
    let asked: Vec<_> = test.sts.requests().iter().map(|asked| asked["DurationSeconds"].clone()).collect();
    assert_eq!(asked, ["3600", "900", "7200"], "no reason and a blank one are the same");
    let mut records = crate::support::app::records_of(db, "credentials.issued").await;
    let told: Vec<Value> = records.iter_mut().map(|record| record["reason"].take()).collect();
    assert_eq!(told, [Value::Null, Value::Null, json!("INC-42 – x")]);
    assert!(records.iter().all(|record| record["purpose"] == "container"));
    test.close().await;
}

async fn nothing_leads_elsewhere(db: &TestDb) {
    let test = TestApp::start(db).await;
    for path in [
        "/v1/container",
        "/v1/container/",
        "/v1/container/prod",
        "/v1/container/prod/",
        "/v1/container/prod/ReadOnly/",
        "/v1/container/prod//ReadOnly",
        "/v1/container/prod/ReadOnly/x",
    ] {
        assert!(told(&test.get(path, Alice).await).starts_with("404 not_found: "), "{path}");
    }
    for path in [
        "/v1/container//ReadOnly",
        "/v1/container/prod%2FReadOnly/x",
        "/v1/container/prod/..%2FReadOnly",
        "/v1/container/prod/*",
    ] {
        assert!(told(&test.get(path, Alice).await).starts_with("422 invalid_request: "), "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let reply = test.request(method.clone(), READ_ONLY, Alice).send().await;
        assert!(told(&reply).starts_with("405 method_not_allowed: "), "{method}");
    }
    // What GET has made, HEAD would throw away.
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let head = client.head(format!("{}{READ_ONLY}", test.url)).bearer_auth(test.token(Alice)).send().await.unwrap();
    assert_eq!(head.status().as_u16(), 405);
    assert_eq!(test.sts.requests().len(), 0);
    test.close().await;
}

async fn who_asks_too_often_is_told_in_its_form(db: &TestDb) {
    let bounds = Bounds { requests_per_second: 1.try_into().unwrap(), ..Setting::default().bounds };
    let bounds = Bounds { requests_burst: 3.try_into().unwrap(), ..bounds };
    let test = TestApp::start_with(db, Setting { bounds, ..Setting::default() }).await;
    for _ in 0..3 {
        assert_eq!(test.get(READ_ONLY, Alice).await.status, 200);
    }
    let limited = test.get(READ_ONLY, Alice).await;
    assert_eq!(limited.header("retry-after"), "1");
    snap!(told(&limited), @"429 rate_limited: You ask more often than one caller may; credentials are good for longer than one request.");
    test.close().await;
}
