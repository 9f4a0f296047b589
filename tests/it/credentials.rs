//! Who gets credentials and who does not: what is told of roles that one may not have, how long sessions last, and from
//! when on a change holds.

use crate::support::{
    app::{
        ALLOWLIST,
        Persona::{self, Admin, Alice, Applier, Mallory},
        Reply, TestApp, records_of,
    },
    database::{TestDb, on_both},
    sts::Behaviour,
};
use serde_json::{Value, json};
use std::time::Duration;

on_both!(
    a_forbidden_role_is_no_more_than_an_unknown_one,
    a_session_is_as_long_as_the_shortest_limit,
    no_session_outlives_what_it_rests_on,
    a_broker_on_a_role_gives_an_hour,
    a_request_falls_short_of_its_grant,
    a_change_holds_at_the_next_request,
    a_grant_is_over_at_its_very_end,
    addresses_are_those_that_proxies_tell,
    what_sts_is_asked_is_derived_here,
    sts_tells_what_may_be_missing,
);

const HOUR: Duration = Duration::from_hours(1);

fn policy(size: usize) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Sid": "x".repeat(size), "Effect": "Allow", "Action": "*", "Resource": "*"}]})
}

async fn a_forbidden_role_is_no_more_than_an_unknown_one(db: &TestDb) {
    let test = TestApp::start(db).await;
    let durations = [Value::Null, json!(900), json!(43_200), json!(0), json!(1.5)];
    let policies = [Value::Null, policy(1), policy(3000), json!({"Statement": []})];
    let reasons = [Value::Null, json!("INC-1"), json!("a\u{0}b")];
    let grants = [Value::Null, json!("019b7ca9-8c88-7000-8000-ffffffffffff"), json!("nonsense")];
    // Each names a listed role and one that is not, of one length: an answer differs in nothing but its id.
    let pairs = [
        ("prod/Forbidden", "prod/Forbidding"),
        ("111122223333/Forbidden", "999922223333/Forbidden"),
        ("arn:aws:iam::111122223333:role/Forbidden", "arn:aws:iam::111122223333:role/x/Forbidden"),
        ("prod/ReadOnly", "prod/readonly"),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (i, (listed, unlisted)) in pairs.into_iter().enumerate() {
        for (j, duration) in durations.iter().enumerate() {
            for (k, policy) in policies.iter().enumerate() {
                // Every pair of values, without every one of the 720 combinations.
                let (reason, grant) = (&reasons[(i + j + k) % 3], &grants[(i + j + 2 * k) % 3]);
                let mut answers = Vec::new();
                for role in [listed, unlisted] {
                    let body = json!({"role": role, "duration_seconds": duration, "session_policy": policy,
                                      "reason": reason, "grant_id": grant});
                    let reply = test.credentials(Mallory, &body).await;
                    let explained = test.post("/v1/explain", Mallory, &body).await;
                    assert!([403, 422].contains(&reply.status), "{body}: {reply:?}");
                    seen.insert(reply.code());
                    answers.push((without_id(&reply), without_id(&explained)));
                }
                assert_eq!(answers[0], answers[1], "{listed} {duration} {policy} {reason} {grant}");
            }
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["invalid_request", "not_allowed", "session_policy_too_large"]);
    assert_eq!(test.sts.requests().len(), 0);

    // Nor do their own events tell.
    test.app.recorder.housekeep().await;
    let mut told: Vec<Value> = Vec::new();
    for mut record in records_of(db, "credentials.denied").await {
        assert_eq!(record["principal"], "user:mallory@example.com");
        let asked = record["detail"]["role"].take();
        assert_eq!(record["account_id"].is_null(), asked.as_str().unwrap().starts_with("prod/"), "{record}");
        assert_eq!(record["role_arn"].is_null(), !asked.as_str().unwrap().starts_with("arn:"), "{record}");
        for member in [
            "id",
            "at",
            "request_id",
            "account_id",
            "role_arn",
            "duration_seconds",
            "session_policy_sha256",
            "reason",
            "grant_id",
        ] {
            record[member].take();
        }
        record["detail"].take();
        told.push(record);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:#?}");
    let events = test.get("/v1/audit/events?kind=credentials.denied&limit=1000", Mallory).await;
    assert!(events.text.contains("prod/Forbidding") && !events.text.contains("teams"), "{events:?}");
    test.close().await;
}

fn without_id(reply: &Reply) -> String {
    let id = reply.header("x-request-id");
    assert!(!id.is_empty());
    reply.bytes().replace(id, "")
}

/// Whoever asks for this role so long: the answer's status, then what it got and why, or what is too long and by what.
async fn assert_length(
    test: &TestApp,
    who: Persona,
    role: &str,
    asked: Option<u64>,
    expected: (u16, u64, Option<&str>),
) {
    let reply = test.credentials(who, &json!({"role": role, "duration_seconds": asked, "reason": "x"})).await;
    let body = reply.body();
    let got = match reply.status {
        200 => (200, body["duration_seconds"].as_u64(), body["clamped_by"].as_str()),
        status => {
            assert_eq!(reply.code(), "duration_too_long", "{role} {asked:?}: {reply:?}");
            (status, body["errors"][0]["limit_seconds"].as_u64(), body["errors"][0]["limit"].as_str())
        }
    };
    assert_eq!(got, (expected.0, Some(expected.1), expected.2), "{who:?} {role} {asked:?}: {reply:?}");
    if reply.status == 200 {
        let asked_of_sts = test.sts.requests().pop().unwrap();
        assert_eq!(asked_of_sts["DurationSeconds"], expected.1.to_string());
    }
}

async fn a_session_is_as_long_as_the_shortest_limit(db: &TestDb) {
    let test = TestApp::start(db).await;
    let short = ALLOWLIST.replace("name = \"Deploy\"", "name = \"Deploy\"\nmax_duration = \"20m\"");
    test.apply(&short).await;
    for (role, asked, expected) in [
        ("prod/ReadOnly", None, (200, 3600, None)),
        ("prod/ReadOnly", Some(900), (200, 900, None)),
        ("prod/ReadOnly", Some(7200), (200, 7200, None)),
        ("prod/ReadOnly", Some(7201), (422, 7200, Some("grant"))),
        ("prod/Deploy", None, (200, 1200, Some("role"))),
        ("prod/Deploy", Some(1200), (200, 1200, None)),
        ("prod/Deploy", Some(1201), (422, 1200, Some("role"))),
        ("444455556666/Plain", None, (200, 3600, None)),
        ("444455556666/Plain", Some(43_200), (200, 43_200, None)),
    ] {
        assert_length(&test, Alice, role, asked, expected).await;
    }
    for outside in [0, 1, 899, 43_201, u64::MAX] {
        let reply = test.credentials(Alice, &json!({"role": "prod/ReadOnly", "duration_seconds": outside})).await;
        assert_eq!((reply.status, reply.code().as_str()), (422, "invalid_request"), "{outside}");
    }
    test.close().await;
}

async fn no_session_outlives_what_it_rests_on(db: &TestDb) {
    let test = TestApp::start(db).await;
    let expires = test.moment(Duration::from_mins(40));
    let grant = json!({"to": "user:mallory@example.com", "role": "prod/Deploy", "expires": expires, "reason": "x"});
    assert_eq!(test.post("/v1/grants", Admin, &grant).await.status, 201);
    let plain = "444455556666/Plain";
    assert_length(&test, Mallory, "prod/Deploy", None, (200, 2400, Some("grant_expiry"))).await;
    assert_length(&test, Mallory, "prod/Deploy", Some(3600), (422, 2400, Some("grant_expiry"))).await;
    assert_length(&test, Applier, plain, Some(3600), (200, 3600, None)).await;
    assert_length(&test, Applier, plain, Some(3601), (422, 3600, Some("token"))).await;

    // The same token again, later: personas take a new one each time.
    let token = test.token(Applier);
    test.clock.advance(Duration::from_mins(40));
    for (ahead, status, duration) in [(0, 200, Some(1200)), (300, 200, Some(900)), (301, 422, None)] {
        let reply = {
            test.clock.advance(Duration::from_secs(if ahead == 301 { 1 } else { ahead }));
            let request = test.request(reqwest::Method::POST, "/v1/credentials", Persona::Anonymous);
            request.header("authorization", &format!("Bearer {token}")).json(&json!({"role": plain})).send().await
        };
        let body = reply.body();
        assert_eq!((reply.status, body["duration_seconds"].as_u64()), (status, duration), "{ahead}: {reply:?}");
        let by = if status == 200 { &body["clamped_by"] } else { &body["errors"][0]["limit"] };
        assert_eq!(by, "token", "{ahead}: {reply:?}");
    }
    test.close().await;
}

async fn a_broker_on_a_role_gives_an_hour(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.sts.set_identity("arn:aws:sts::999988887777:assumed-role/hallpass/i-1");
    assert!(test.app.sts.identify().await.unwrap().chained);
    let plain = "444455556666/Plain";
    assert_length(&test, Alice, plain, None, (200, 3600, None)).await;
    assert_length(&test, Alice, plain, Some(3600), (200, 3600, None)).await;
    assert_length(&test, Alice, plain, Some(3601), (422, 3600, Some("role_chaining"))).await;
    test.close().await;
}

async fn a_request_falls_short_of_its_grant(db: &TestDb) {
    let test = TestApp::start(db).await;
    let fixed = format!(
        "{ALLOWLIST}\n[[grant]]\nto = [\"user:mallory@example.com\"]\nroles = [\"prod/Deploy\"]\nrequire_reason = true\n\
         session_policy = {{ Version = \"2012-10-17\", Statement = [{{ Effect = \"Allow\", Action = \"s3:*\", Resource = \"*\" }}] }}\n"
    );
    test.apply(&fixed).await;
    let longest = 2048 - policy(0).to_string().len();
    for (who, body, code) in [
        (Mallory, json!({"reason": "x"}), ""),
        (Mallory, json!({"reason": "x", "session_policy": policy(1)}), "session_policy_fixed"),
        (Mallory, json!({"reason": "", "session_policy": policy(1)}), "reason_required"),
        (Mallory, json!({}), "reason_required"),
        (Alice, json!({"reason": "x", "session_policy": policy(1)}), ""),
        (Alice, json!({"reason": "x", "session_policy": policy(longest)}), ""),
        (Alice, json!({"reason": "x", "session_policy": policy(longest + 1)}), "session_policy_too_large"),
        (Alice, json!({"reason": "x", "session_policy": "{}"}), "invalid_request"),
        (Alice, json!({"reason": "x".repeat(512)}), ""),
        (Alice, json!({"reason": "x".repeat(513)}), "invalid_request"),
        (Alice, json!({"reason": "x", "region": "cn-north-1"}), ""),
        (Alice, json!({"reason": "x", "region": "x".repeat(33)}), "invalid_request"),
        (Alice, json!({"reason": "x", "region": "eu_west_1"}), "invalid_request"),
        (Alice, json!({"reason": "x", "region": "x.evil.com/#"}), "invalid_request"),
        (Alice, json!({"reason": "x", "region": ""}), "invalid_request"),
    ] {
        let mut body = body;
        body["role"] = json!("prod/Deploy");
        let reply = test.credentials(who, &body).await;
        assert_eq!(reply.code(), code, "{who:?} {body:.200}: {reply:?}");
        assert_eq!(reply.status, if code.is_empty() { 200 } else { 422 }, "{body:.200}");
    }
    let sent: Vec<_> = test.sts.requests().iter().map(|asked| asked.get("Policy").map_or(0, String::len)).collect();
    assert!(test.sts.requests()[0]["Policy"].contains("s3:*"), "the grant's own");
    assert_eq!(sent[1..3], [policy(1).to_string().len(), 2048]);
    test.close().await;
}

async fn a_change_holds_at_the_next_request(db: &TestDb) {
    let test = TestApp::start(db).await;
    let ask = json!({"role": "prod/ReadOnly"});
    let status = async || test.credentials(Alice, &ask).await.status;
    for (target, value) in [
        ("principal", "user:alice@example.com"),
        ("principal", "group:developers"),
        ("role", "arn:aws:iam::111122223333:role/teams/ReadOnly"),
    ] {
        assert_eq!((status().await, status().await), (200, 200), "what is kept in memory is used");
        let block = test.post("/v1/blocks", Admin, &json!({target: value, "reason": "x"})).await;
        let refused = test.credentials(Alice, &ask).await;
        assert_eq!((refused.status, &refused.body()["reasons"][0]["condition"]), (403, &json!("blocked")), "{value}");
        assert!(!test.get("/v1/roles", Alice).await.text.contains("/teams/ReadOnly"), "{value}");
        assert_eq!(test.delete(&format!("/v1/blocks/{}", block.member("id")), Admin).await.status, 204);
    }
    // A block that ends by itself does so on the moment.
    let until = test.moment(HOUR);
    test.post("/v1/blocks", Admin, &json!({"principal": "user:alice@example.com", "reason": "x", "until": until}))
        .await;
    test.clock.advance(HOUR.saturating_sub(Duration::from_micros(1)));
    assert_eq!(status().await, 403);
    test.clock.advance(Duration::from_micros(1));
    assert_eq!(status().await, 200);

    let expires = test.moment(HOUR);
    let grant = json!({"to": "user:mallory@example.com", "role": "prod/ReadOnly", "expires": expires, "reason": "x"});
    let grant = test.post("/v1/grants", Admin, &grant).await.member("id");
    assert_eq!(test.credentials(Mallory, &ask).await.status, 200);
    test.delete(&format!("/v1/grants/{grant}"), Admin).await;
    assert_eq!(test.credentials(Mallory, &ask).await.status, 403);

    test.apply(
        &ALLOWLIST.replace("user:alice@example.com\"]\nroles = [\"prod", "user:bob@example.com\"]\nroles = [\"prod"),
    )
    .await;
    assert_eq!(status().await, 403);
    test.apply(ALLOWLIST).await;
    assert_eq!(status().await, 200);
    test.close().await;
}

async fn a_grant_is_over_at_its_very_end(db: &TestDb) {
    let test = TestApp::start(db).await;
    let expires = test.moment(HOUR);
    let grant = json!({"to": "user:mallory@example.com", "role": "prod/Deploy", "expires": expires, "reason": "x"});
    test.post("/v1/grants", Admin, &grant).await;
    let ask = json!({"role": "prod/Deploy"});
    for (ahead, status, code) in [
        (Duration::from_mins(45), 200, ""),
        // Under a quarter of an hour is left: AWS makes no session that short.
        (Duration::from_micros(1), 422, "duration_too_long"),
        (Duration::from_mins(15).saturating_sub(Duration::from_micros(2)), 422, "duration_too_long"),
        (Duration::from_micros(1), 403, "not_allowed"),
    ] {
        test.clock.advance(ahead);
        let reply = test.credentials(Mallory, &ask).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{} {reply:?}", test.clock.now());
    }
    let refused = test.credentials(Mallory, &ask).await;
    assert_eq!(refused.body()["reasons"][0]["condition"], "expired", "{refused:?}");
    test.close().await;
}

async fn addresses_are_those_that_proxies_tell(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.apply(&ALLOWLIST.replace("max_duration = \"2h\"", "source_ips = [\"10.0.0.0/8\", \"2001:db8::/32\"]")).await;
    for (forwarded, status) in [
        ("10.1.2.3", 200),
        ("192.0.2.1, 10.1.2.3", 200),
        ("10.1.2.3, 192.0.2.1", 403),
        ("10.1.2.3, 127.0.0.9", 200),
        ("::ffff:10.1.2.3", 200),
        ("[2001:db8::1]:443", 200),
        ("10.1.2.3, nonsense", 403),
        ("", 403),
    ] {
        let request =
            test.request(reqwest::Method::POST, "/v1/credentials", Alice).header("x-forwarded-for", forwarded);
        let reply = request.json(&json!({"role": "prod/ReadOnly"})).send().await;
        assert_eq!(reply.status, status, "{forwarded}: {reply:?}");
    }
    test.close().await;
}

async fn what_sts_is_asked_is_derived_here(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.credentials(Alice, &json!({"role": "prod/ReadOnly", "reason": "INC-42"})).await;
    test.credentials(Applier, &json!({"role": "444455556666/Plain"})).await;
    let asked = test.sts.requests();
    let of = |i: usize, name: &str| asked[i].get(name).cloned().unwrap_or_default();
    let records = records_of(db, "credentials.issued").await;
    for (i, record) in records.iter().enumerate() {
        assert_eq!(record["session_name"], of(i, "RoleSessionName"));
        assert_eq!(record["source_identity"].as_str().unwrap_or_default(), of(i, "SourceIdentity"));
        assert_eq!(record["role_arn"], of(i, "RoleArn"));
    }
    let names = ["ExternalId", "SourceIdentity", "Tags.member.1.Key", "Tags.member.1.Value"];
    assert_eq!(names.map(|name| of(0, name)), ["hp-external-id-of-prod", "alice@example.com", "team", "shop"]);
    assert_eq!(names.map(|name| of(1, name)), ["", "", "", ""]);
    test.close().await;
}

async fn sts_tells_what_may_be_missing(db: &TestDb) {
    let test = TestApp::start(db).await;
    let not = "is not authorized to perform:";
    let tag = format!("User: x {not} sts:TagSession on resource: y").leak();
    let identity = format!("User: x {not} sts:SetSourceIdentity on resource: y").leak();
    for (behaviour, status, code, hint) in [
        (Behaviour::ACCESS_DENIED, 502, "sts_refused", "trust policy may not name the broker as principal"),
        (Behaviour::ACCESS_DENIED, 502, "sts_refused", "another external ID"),
        (Behaviour::Error(403, "AccessDenied", tag), 502, "sts_refused", "may lack sts:TagSession"),
        (Behaviour::Error(403, "AccessDenied", identity), 502, "sts_refused", "may lack sts:SetSourceIdentity"),
        (Behaviour::VALIDATION, 502, "sts_refused", "maximum session duration in IAM is shorter"),
        (Behaviour::REGION_DISABLED, 502, "sts_refused", "not activated for the account"),
        (Behaviour::MALFORMED_POLICY, 502, "sts_refused", "whoever keeps the allowlist"),
        (Behaviour::PACKED_POLICY, 502, "sts_refused", "whoever keeps the allowlist"),
        (Behaviour::THROTTLE, 503, "sts_throttled", "throttles"),
        (Behaviour::Body(200, "<html>"), 503, "sts_unavailable", "no usable answer"),
    ] {
        test.sts.behave("ReadOnly", behaviour.clone());
        let reply = test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await;
        let detail = reply.member("detail");
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{behaviour:?}: {reply:?}");
        assert!(detail.contains(hint), "{behaviour:?}: {detail}");
        assert_eq!(reply.header("retry-after").is_empty(), status == 502, "{behaviour:?}");
        assert!(detail.contains("STS request id: 00000000-0000-4000-8000-"), "{behaviour:?}: {detail}");
        assert!(!reply.text.contains("user/hallpass") && !reply.text.contains("117%"), "AWS's own words: {reply:?}");
        let failed = records_of(db, "credentials.failed").await.pop().unwrap();
        assert_eq!((&failed["code"], failed["attempts"].is_u64()), (&json!(code), true), "{failed}");
    }
    test.close().await;
}
