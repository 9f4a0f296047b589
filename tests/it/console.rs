//! Console links: what is asked of the sign-in service and what comes of it, where a link may lead, and that nobody has
//! one whose row is not on disk.

use crate::support::{
    app::{
        Persona::{Admin, Alice, Auditor, Mallory},
        TestApp, records_of, rows,
    },
    database::{TestDb, on_both},
    issuer::{Alg, Issuer},
    log,
    service::Plan,
    shown::{shown, snap},
    signin::{ANSWER_LIMIT, FakeSignIn, Mood},
    sts::{Behaviour, FakeSts},
    until,
    world::{ACCOUNT, allowlist},
};
use hallpass::{
    audit::{Event, Kind},
    model::{IssuanceId, RoleArn, SessionDuration, SessionName, Tags},
    recorder::Receipt,
    sts::{AssumeRole, MintedLink},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

on_both!(
    a_link_is_issued_and_recorded,
    chained_credentials_bring_no_length,
    no_console_session_outlives_its_grant,
    a_link_leads_to_the_console_alone,
    whoever_may_not_gets_no_link,
    each_fault_of_the_sign_in_service_is_told_and_recorded,
    a_link_whose_row_is_missing_is_nobodys,
    a_link_is_in_no_log_and_no_row,
    a_receipt_opens_its_own_link_alone,
    a_partition_without_a_known_service_has_no_links,
);

/// The parameters of a link.
fn parameters(link: &str) -> HashMap<String, String> {
    reqwest::Url::parse(link).unwrap().query_pairs().into_owned().collect()
}

async fn a_link_is_issued_and_recorded(db: &TestDb) {
    let test = TestApp::start(db).await;
    let body = json!({"role": "prod/ReadOnly", "duration_seconds": 5400, "reason": "INC-42",
                      "destination": "https://eu-west-1.console.aws.amazon.com/s3/home?region=eu-west-1#a"});
    let reply = test.post("/v1/console", Alice, &body).await;
    let link = reply.member("url");
    assert!(link.starts_with(&format!("{}/federation?Action=login&", test.signin.url)), "{link}");
    let shown_link = reply.whole().replace(&test.signin.url, "http://<signin>");
    snap!(shown_link, @r#"
    200
    content-type: application/json
    cache-control: no-store
    referrer-policy: no-referrer
    {
      "expires_at": "2026-01-02T04:49:05Z",
      "issuance_id": "<id>",
      "url": "http://<signin>/federation?Action=login&Issuer=http%3A%2F%2F127.0.0.1%3A1&Destination=https%3A%2F%2Feu-west-1.console.aws.amazon.com%2Fs3%2Fhome%3Fregion%3Deu-west-1%23a&SigninToken=fake-signin-token%2B%2F%3D000001",
      "url_expires_at": "2026-01-02T03:19:05Z"
    }
    "#);
    let parameters = parameters(&link);
    assert_eq!(parameters["Destination"], body["destination"].as_str().unwrap());
    assert_eq!(parameters["SigninToken"], "fake-signin-token+/=000001");

    let [asked] = &test.signin.asked()[..] else { panic!("{:?}", test.signin.asked()) };
    assert_eq!((asked.method.as_str(), asked.address.as_str()), ("POST", "/federation"), "no secret in an address");
    let minted = test.sts.minted().pop().unwrap();
    let session: Value = serde_json::from_str(&asked.form["Session"]).unwrap();
    let expected = json!({"sessionId": minted.access_key_id, "sessionKey": minted.secret_access_key,
                          "sessionToken": minted.session_token});
    assert_eq!(session, expected);
    assert_eq!((asked.form["Action"].as_str(), asked.form["SessionDuration"].as_str()), ("getSigninToken", "5400"));
    assert_eq!(asked.form.len(), 3);
    assert!(!asked.headers.contains(&minted.session_token), "{}", asked.headers);

    assert_eq!(records_of(db, "credentials.issued").await.len(), 0);
    let requested = &records_of(db, "credentials.requested").await[0];
    assert_eq!((&requested["purpose"], &requested["expires_at"]), (&json!("console"), &Value::Null));
    snap!(shown(&records_of(db, "console.issued").await[0]), @r#"
    {
      "access_key_id": "ASIAFAKE000000000001",
      "account_id": "111122223333",
      "allowlist_revision": 1,
      "assumed_role_id": "AROAFAKE111122223333:alice@example.com=<issuance>",
      "at": "2026-01-02T03:04:05Z",
      "attempts": 1,
      "auth": {"issuer":"corp","method":"jwt","subject":"alice@example.com","token_id":null},
      "clamped_by": null,
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "code": null,
      "detail": {},
      "duration_seconds": 5400,
      "expires_at": "2026-01-02T04:49:05Z",
      "grant_id": "89438418-71dd-8c6a-a181-75f8fb626dc1",
      "id": "<id>",
      "issuance_id": "<id>",
      "kind": "console.issued",
      "principal": "user:alice@example.com",
      "purpose": "console",
      "reason": "INC-42",
      "reasons": [],
      "request_id": "<id>",
      "role_arn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
      "session_name": "alice@example.com=<issuance>",
      "session_policy_sha256": null,
      "session_tags": {"team":"shop"},
      "shared_from": null,
      "source_identity": "alice@example.com",
      "sts_request_id": "00000000-0000-4000-8000-000000000001",
      "v": 1,
      "via": "user:alice@example.com"
    }
    "#);

    // Where nothing is asked: the console's home, and an hour.
    let reply = test.post("/v1/console", Alice, &json!({"role": "444455556666/Plain"})).await;
    let home = "https://console.aws.amazon.com/console/home?region=eu-west-1";
    assert_eq!(self::parameters(&reply.member("url"))["Destination"], home);
    assert_eq!(reply.member("expires_at"), "2026-01-02T04:19:05Z");
    assert_eq!(test.signin.asked()[1].form["SessionDuration"], "3600");
    test.close().await;
}

async fn chained_credentials_bring_no_length(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.sts.set_identity("arn:aws:sts::999988887777:assumed-role/hallpass/i-1");
    assert!(test.app.sts.identify().await.unwrap().chained);
    let body = json!({"role": "444455556666/Plain", "duration_seconds": 1800});
    let reply = test.post("/v1/console", Alice, &body).await;
    let asked = test.signin.asked().pop().unwrap();
    assert!(!asked.form.contains_key("SessionDuration"), "{:?}", asked.form.keys());
    // The credentials' own end, which the console session does not outlive.
    let row = records_of(db, "console.issued").await.pop().unwrap();
    assert_eq!(reply.member("expires_at"), "2026-01-02T03:34:05Z");
    assert_eq!((&row["expires_at"], &row["duration_seconds"]), (&json!("2026-01-02T03:34:05Z"), &json!(1800)));
    assert_eq!(reply.member("url_expires_at"), "2026-01-02T03:19:05Z");
    test.close().await;
}

/// The whole table is in `src/sts/signin/destination.rs`.
/// A link is good for 15 minutes, and the session that it opens at last must not outlive the grant.
async fn no_console_session_outlives_its_grant(db: &TestDb) {
    let test = TestApp::start(db).await;
    for (minutes, status, ends) in [(40, 200, Some(40)), (31, 200, Some(31)), (29, 422, None), (200, 200, Some(75))] {
        let expires = test.moment(Duration::from_mins(minutes));
        let wish =
            json!({"to": "user:mallory@example.com", "role": "prod/Deploy", "expires": expires, "reason": "INC-1"});
        let made = test.post("/v1/grants", Admin, &wish).await;
        let got = test.post("/v1/console", Mallory, &json!({"role": "prod/Deploy"})).await;
        assert_eq!(got.status, status, "{minutes}: {}", got.text);
        if let Some(ends) = ends {
            assert_eq!(got.member("expires_at"), test.moment(Duration::from_mins(ends)), "{minutes}: {}", got.text);
        } else {
            assert_eq!(got.code(), "duration_too_long", "{}", got.text);
        }
        assert_eq!(test.delete(&format!("/v1/grants/{}", made.member("id")), Admin).await.status, 204);
    }
    test.close().await;
}

async fn a_link_leads_to_the_console_alone(db: &TestDb) {
    let test = TestApp::start(db).await;
    for (destination, pointer) in [
        (json!("//evil.example.com"), "/destination"),
        (json!("https://evil.example.com/"), "/destination"),
        (json!("https://console.aws.amazon.com@evil.example.com/"), "/destination"),
        (json!("https://console.aws.amazon.com.evil.example.com/"), "/destination"),
        (json!("https://console.aws.amazon.com:8443/"), "/destination"),
        (json!("https://console.aws.amazon.com\\@evil.example.com/"), "/destination"),
        (json!("https://console.aws.amazon.com/console/home?region=x.evil.com/#"), "/destination"),
        (json!("https://console.amazonaws.cn/"), "/destination"),
        (json!("javascript:alert(1)"), "/destination"),
        (json!(""), "/destination"),
        (json!(1), "/destination"),
    ] {
        let reply =
            test.post("/v1/console", Alice, &json!({"role": "prod/ReadOnly", "destination": destination})).await;
        assert_eq!((reply.status, reply.code().as_str()), (422, "invalid_request"), "{destination}: {reply:?}");
        assert_eq!(reply.body()["errors"][0]["pointer"], pointer, "{destination}: {reply:?}");
        assert!(!reply.text.contains("evil"), "{reply:?}");
    }
    for extra in [
        json!({"region": "x.evil.com/#"}),
        json!({"session_policy": {}}),
        json!({"issuer": "https://evil.example.com"}),
        json!({"session": {"sessionId": "ASIA", "sessionKey": "x", "sessionToken": "x"}}),
        json!({"access_key_id": "ASIA", "secret_access_key": "x", "session_token": "x"}),
    ] {
        let mut body = extra;
        body["role"] = json!("prod/ReadOnly");
        let reply = test.post("/v1/console", Alice, &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (422, "invalid_request"), "{body}: {reply:?}");
    }
    assert_eq!((test.sts.requests().len(), test.signin.asked().len()), (0, 0));
    test.close().await;
}

async fn whoever_may_not_gets_no_link(db: &TestDb) {
    let test = TestApp::start(db).await;
    for (who, body, status, code) in [
        (Mallory, json!({"role": "prod/ReadOnly"}), 403, "not_allowed"),
        (Alice, json!({"role": "prod/Forbidden"}), 403, "not_allowed"),
        (Alice, json!({"role": "prod/Deploy"}), 422, "reason_required"),
        (Alice, json!({"role": "prod/ReadOnly", "duration_seconds": 7201}), 422, "duration_too_long"),
    ] {
        let reply = test.post("/v1/console", who, &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{body}: {reply:?}");
        let row = records_of(db, "credentials.denied").await.pop().unwrap();
        assert_eq!((&row["code"], &row["purpose"]), (&json!(code), &json!("console")));
    }
    test.sts.behave("ReadOnly", Behaviour::ACCESS_DENIED);
    let reply = test.post("/v1/console", Alice, &json!({"role": "prod/ReadOnly"})).await;
    assert_eq!((reply.status, reply.code().as_str()), (502, "sts_refused"), "{reply:?}");
    assert_eq!((test.sts.requests().len(), test.signin.asked().len()), (1, 0));
    test.close().await;
}

async fn each_fault_of_the_sign_in_service_is_told_and_recorded(db: &TestDb) {
    let test = TestApp::start(db).await;
    let trap = FakeSignIn::start().await;
    let elsewhere = |path: &str| format!("{}{path}", trap.url);
    let says = |status, body: &str| Mood::Says(status, body.to_owned());
    let away = "503 sts_unavailable";
    for (mood, told, problem) in [
        (Mood::Sends(307, elsewhere("/federation")), away, "a redirect"),
        (Mood::Sends(308, elsewhere("/federation")), away, "a redirect"),
        (Mood::Sends(302, elsewhere("/x")), away, "a redirect"),
        (Mood::Sends(307, "/elsewhere".to_owned()), away, "a redirect"),
        (says(400, "<html>Bad request: the session is fake-secret</html>"), "502 sts_refused", "refused (400)"),
        (says(403, ""), "502 sts_refused", "refused (403)"),
        (says(429, ""), "503 sts_throttled", "throttled"),
        (says(500, "Internal error"), away, "an error of its own"),
        (says(204, ""), away, "an error of its own"),
        (says(200, ""), away, "makes no sense"),
        (says(200, "<html>Down for maintenance</html>"), away, "makes no sense"),
        (says(200, "{}"), away, "makes no sense"),
        (says(200, r#"{"SigninToken": null}"#), away, "makes no sense"),
        (says(200, r#"{"SigninToken": ""}"#), away, "makes no sense"),
        (says(200, r#"{"SigninToken": "a b"}"#), away, "makes no sense"),
        (says(200, &format!(r#"{{"SigninToken": "{}"}}"#, "x".repeat(20_000))), away, "makes no sense"),
        (Mood::Huge, away, "over 1 MiB"),
        (Mood::Silent, away, "no answer in time"),
        (Mood::Stalls, away, "no answer in time"),
    ] {
        test.signin.set_mood(mood.clone());
        let began = Instant::now();
        let reply = test.post("/v1/console", Alice, &json!({"role": "prod/ReadOnly"})).await;
        assert!(began.elapsed() < ANSWER_LIMIT, "{mood:.100?}");
        assert_eq!(format!("{} {}", reply.status, reply.code()), told, "{mood:.100?}: {reply:?}");
        assert!(reply.member("detail").contains("sign-in service"), "{reply:?}");
        assert_eq!(reply.header("retry-after").is_empty(), reply.status == 502, "{reply:?}");
        let row = records_of(db, "credentials.failed").await.pop().unwrap();
        let minted = test.sts.minted().pop().unwrap();
        // The session lives, so what a revocation goes by is on record.
        assert_eq!((&row["code"], &row["purpose"]), (&json!(reply.code()), &json!("console")));
        assert_eq!(row["access_key_id"], minted.access_key_id, "{row}");
        assert!(row["assumed_role_id"].as_str().unwrap().ends_with(&minted.session_name), "{row}");
        assert!(row["detail"]["problem"].as_str().unwrap().contains(problem), "{mood:.100?}: {row}");
    }
    let measured = test.ask_metrics(reqwest::Method::GET, "/metrics").await.text;
    for series in [
        r#"hallpass_signin_errors_total{kind="refused"} 2"#,
        r#"hallpass_signin_errors_total{kind="throttled"} 1"#,
        r#"hallpass_signin_errors_total{kind="unavailable"} 16"#,
        "hallpass_signin_call_duration_seconds_count 19",
        r#"hallpass_issuances_total{outcome="failed"} 19"#,
    ] {
        assert!(measured.contains(series), "{series}: {measured}");
    }
    assert_eq!(trap.asked().len(), 0, "nothing is sent on");
    assert!(test.signin.asked().iter().all(|asked| asked.address == "/federation"));
    assert_eq!(records_of(db, "console.issued").await.len(), 0);
    test.signin.set_mood(Mood::Normal);
    assert_eq!(test.post("/v1/console", Alice, &json!({"role": "prod/ReadOnly"})).await.status, 200);
    test.close().await;
}

async fn a_link_whose_row_is_missing_is_nobodys(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.sts.behave("Plain", Behaviour::Held);
    let ask = json!({"role": "444455556666/Plain"});
    // The intent is given up while AWS is awaited: the link that comes of it has nowhere to go.
    let (late, ()) = tokio::join!(test.post("/v1/console", Alice, &ask), async {
        until("call to STS", Duration::from_secs(5), async || test.sts.requests().pop()).await;
        test.clock.advance(Duration::from_secs(121));
        test.app.recorder.housekeep().await;
        test.sts.let_go();
    });
    assert_eq!((late.status, late.code().as_str()), (503, "audit_unavailable"), "{late:?}");
    assert_eq!(test.signin.asked().len(), 1);
    assert_eq!(records_of(db, "console.issued").await.len(), 0);
    let failed = records_of(db, "credentials.failed").await.pop().unwrap();
    assert_eq!((&failed["code"], &failed["detail"]["late"]), (&json!("audit_unavailable"), &json!(true)), "{failed}");
    test.close().await;
}

async fn a_link_is_in_no_log_and_no_row(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut secrets = Vec::new();
    for role in ["prod/ReadOnly", "444455556666/Plain"] {
        let reply = test.post("/v1/console", Alice, &json!({"role": role})).await;
        let token = parameters(&reply.member("url"))["SigninToken"].clone();
        secrets.extend([token.clone(), token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")]);
    }
    test.signin.set_mood(Mood::Says(400, "no".to_owned()));
    let mut texts = vec![test.post("/v1/console", Alice, &json!({"role": "prod/ReadOnly"})).await.bytes()];
    let minted = test.sts.minted();
    secrets.extend(minted.iter().flat_map(|minted| [minted.secret_access_key.clone(), minted.session_token.clone()]));
    for path in ["/v1/audit/export", "/v1/audit/export?format=csv"] {
        texts.push(test.get(path, Auditor).await.bytes());
    }
    assert!(texts[1].contains("console.issued"));
    let mut sql = db.connect().await;
    for table in ["audit_events", "pending"] {
        texts.extend(rows(&mut sql, db, table).await);
    }
    test.close().await;
    texts.push(log::text());
    // As other tests write there too, with numbers of their own, whole tokens are looked for.
    for text in &texts {
        assert!(!text.contains("SigninToken") && !text.contains("/federation"), "{text:.300}");
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret}");
        }
    }
}

/// A link that is locked up, and the receipt for it.
async fn minted_link(test: &TestApp) -> (MintedLink, Receipt) {
    let (app, clock) = (&test.app, &test.clock);
    let event = |kind| Event::new(kind, clock.new_id(), clock.now());
    let id = IssuanceId::new(clock.new_id());
    let intent = app.recorder.intend(event(Kind::CredentialsRequested), id, 1).await.unwrap();
    let role = RoleArn::parse("arn:aws:iam::444455556666:role/Plain").unwrap();
    let call = AssumeRole {
        role: &role,
        session_name: &SessionName::parse("alice=1").unwrap(),
        source_identity: None,
        external_id: None,
        duration: SessionDuration::from_seconds(900).unwrap(),
        session_policy: None,
        session_tags: &Tags::default(),
    };
    let turn = app.sts.turn(&role.account).await.unwrap();
    let minted = app.sts.assume_role(&intent, turn, call).await.unwrap();
    let home = app.sts.sign_in().unwrap().destination(None).unwrap();
    let link = app.sts.link(minted, Some(call.duration), &home, Duration::from_secs(5)).await.unwrap();
    (link, app.recorder.conclude(event(Kind::ConsoleIssued), intent).await.unwrap())
}

async fn a_receipt_opens_its_own_link_alone(db: &TestDb) {
    let test = TestApp::start(db).await;
    let ((one, of_one), (other, of_other)) = (minted_link(&test).await, minted_link(&test).await);
    let shown = format!("{one:?}");
    assert!(shown.contains("[redacted]") && !shown.contains("Token") && !shown.contains("federation"), "{shown}");
    assert!(other.release(of_one).is_err());
    assert!(one.release(of_other).is_err());
    let (link, receipt) = minted_link(&test).await;
    let link = link.release(receipt).unwrap();
    assert!(link.address().expose().contains("SigninToken=fake-signin-token"), "{link:?}");
    assert!(!format!("{link:?}").contains("Token"), "{link:?}");
    test.close().await;
}

/// A service of its own, in a partition whose hosts nobody here knows.
async fn a_partition_without_a_known_service_has_no_links(db: &TestDb) {
    let (sts, issuer) = (FakeSts::start().await, Issuer::start(Alg::Es256).await);
    sts.set_identity("arn:aws-iso:iam::999988887777:user/hallpass");
    let plan = Plan::new(db, &issuer.url, &sts.url).with("HALLPASS_AWS__REGION", "us-iso-east-1");
    let service = plan.with("HALLPASS_AWS__SIGNIN_URL", "https://login.example.gov").start().await;
    let (alice, admin) = (issuer.person("alice@example.com", &[]), issuer.person("admin@example.com", &[]));
    service.api.apply(&allowlist(ACCOUNT, &["ReadOnly"]), &admin).await;
    let answer = service.api.post("/v1/console", &alice, &json!({"role": "prod/ReadOnly"})).await;
    assert_eq!((answer.status, answer.code()), (503, "sts_unavailable"), "{answer:?}");
    assert!(answer.text("detail").contains("set [aws] signin_url"), "{answer:?}");
    assert_eq!(sts.requests().len(), 0);
}
