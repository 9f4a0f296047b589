//! `GET /v1/container/{account}/{role}`: what AWS's SDKs read by themselves, one session for all who ask for the same, and
//! each hand-out on record and decided anew.

use crate::support::{
    app::{
        ALLOWLIST,
        Persona::{self, Admin, Alice, Anonymous, Applier, Mallory},
        Reply, Setting, TestApp, records_of,
    },
    database::{TestDb, on_both},
    sts::Behaviour,
    until,
};
use futures_util::future::join_all;
use hallpass::{http::Bounds, sts::Pace};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

on_both!(
    a_thousand_at_once_have_one_issuance,
    nobody_is_given_what_is_anothers,
    who_hangs_up_ends_nothing,
    a_session_is_renewed_while_twenty_minutes_are_left,
    a_short_session_is_shared_to_its_last_third,
    what_outlives_a_shorter_permit_is_not_handed_out,
    what_is_taken_away_is_not_handed_out_again,
    other_terms_are_another_session,
    a_refusal_is_decided_once_and_recorded_each_time,
    a_failure_of_aws_is_not_asked_for_again_at_once,
    a_failure_wakes_all_who_wait,
    a_failed_renewal_leaves_what_there_is,
    nothing_is_handed_out_without_its_row,
    a_change_in_the_middle_is_decided_on,
    a_stop_waits_for_what_is_being_made,
);

const LIMIT: Duration = Duration::from_secs(20);
const READ_ONLY: &str = "/v1/container/prod/ReadOnly";
const PLAIN: &str = "/v1/container/444455556666/Plain";
const DEPLOY: &str = "/v1/container/prod/Deploy?reason=INC-42";

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

impl TestApp {
    async fn contained(&self, path: &str, who: Persona) -> Reply {
        self.get(path, who).await
    }

    /// The access key that somebody is handed.
    async fn key(&self, path: &str, who: Persona) -> String {
        let reply = self.contained(path, who).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.member("AccessKeyId")
    }

    async fn call_under_way(&self, calls: usize) {
        until("call to STS", LIMIT, async || (self.sts.requests().len() >= calls).then_some(())).await;
    }
}

async fn count(db: &TestDb, kind: &str) -> usize {
    records_of(db, kind).await.len()
}

/// How many rows there are of each kind: requested, issued, shared, failed.
async fn counts(db: &TestDb) -> [usize; 4] {
    let records = db.records().await;
    ["requested", "issued", "shared", "failed"]
        .map(|kind| records.iter().filter(|record| record["kind"] == format!("credentials.{kind}")).count())
}

async fn a_thousand_at_once_have_one_issuance(db: &TestDb) {
    const ASKERS: usize = 1000;
    let bounds = Bounds { under_way: 2 * ASKERS, ..Setting::default().bounds };
    let test = TestApp::start_with(db, Setting { bounds, ..Setting::default() }).await;
    test.sts.behave("ReadOnly", Behaviour::Held);
    let bearer = format!("Bearer {}", test.token(Alice));
    let ask = async |_| test.request(Method::GET, READ_ONLY, Anonymous).header("authorization", &bearer).send().await;
    let (replies, ()) = tokio::join!(join_all((0..ASKERS).map(ask)), async {
        until("thousand askers", minutes(1), async || {
            let shown = test.ask_metrics(Method::GET, "/metrics").await.text;
            shown.contains(&format!("\nhallpass_http_requests_in_flight {ASKERS}\n")).then_some(())
        })
        .await;
        test.sts.let_go();
    });
    let [(minted, _)] = &*test.sts.minted().into_iter().zip(test.sts.requests()).collect::<Vec<_>>() else {
        panic!("one call to STS: {}", test.sts.requests().len())
    };
    for reply in &replies {
        assert_eq!((reply.status, reply.member("AccessKeyId")), (200, minted.access_key_id.clone()), "{reply:?}");
        assert_eq!(reply.member("Token"), minted.session_token);
    }
    assert_eq!(counts(db).await, [1, 1, ASKERS - 1, 0]);
    let issued = records_of(db, "credentials.issued").await.remove(0);
    let mut requests = BTreeSet::from([issued["request_id"].to_string()]);
    for mut shared in records_of(db, "credentials.shared").await {
        assert_eq!(shared["shared_from"], issued["issuance_id"]);
        requests.insert(shared["request_id"].to_string());
        let mut issued = issued.clone();
        for member in ["id", "at", "kind", "request_id", "shared_from", "attempts"] {
            (shared[member], issued[member]) = (Value::Null, Value::Null);
        }
        assert_eq!(shared, issued, "all that is known of the session, and of this asker's own decision");
    }
    assert_eq!(requests.len(), ASKERS, "each by the id of their own request");
    let shown = test.ask_metrics(Method::GET, "/metrics").await.text;
    for (outcome, number) in [("issued", 1), ("shared", ASKERS - 1), ("failed", 0)] {
        let line = format!("\nhallpass_issuances_total{{outcome=\"{outcome}\"}} {number}\n");
        assert!(shown.contains(&line), "{line}");
    }
    test.close().await;
}

async fn nobody_is_given_what_is_anothers(db: &TestDb) {
    let test = TestApp::start(db).await;
    let bob = test.corp.person("bob@example.com", &["developers"]);
    let ask = async |path: &str, token: &str| {
        let request = test.request(Method::GET, path, Anonymous).header("authorization", token);
        let reply = request.send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.member("AccessKeyId")
    };
    let alice = test.token(Alice);
    let mut keys = BTreeSet::new();
    // One grant for both: to the group.
    for (path, token) in [
        (DEPLOY, &alice),
        (DEPLOY, &bob),
        ("/v1/container/prod/Deploy?reason=INC-43", &alice),
        ("/v1/container/prod/Deploy?reason=INC-42&duration_seconds=900", &alice),
        (READ_ONLY, &alice),
        (PLAIN, &alice),
        (PLAIN, &test.token(Applier)),
    ] {
        let key = ask(path, token).await;
        assert_eq!(ask(path, token).await, key, "{path}");
        assert!(keys.insert(key), "{path}");
    }
    // The next token of the same person, the role by another of its names: the same session.
    test.clock.advance(Duration::from_secs(5));
    for path in [READ_ONLY, "/v1/container/111122223333/ReadOnly", "/v1/container/%70rod/Read%4Fnly"] {
        assert!(!keys.insert(test.key(path, Alice).await), "{path}");
    }
    // The same name, said by another subject.
    let mut claims = test.corp.claims("another-subject");
    (claims["email"], claims["email_verified"]) = (json!("alice@example.com"), json!(true));
    assert!(keys.insert(ask(READ_ONLY, &test.corp.token(&claims)).await));
    // A session that may not outlive its token is that token's.
    assert!(keys.insert(ask(PLAIN, &test.token(Applier)).await));
    // What `POST /v1/credentials` makes is new each time, and is not shared.
    let posted = test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await.member("access_key_id");
    assert!(keys.insert(posted));
    assert_eq!(test.sts.requests().len(), keys.len());
    test.close().await;
}

async fn who_hangs_up_ends_nothing(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.sts.behave("ReadOnly", Behaviour::Held);
    for given_up in 1..=3 {
        let ask = test.contained(READ_ONLY, Alice);
        // As the Java SDK does: it waits for a second, and comes again at once.
        assert!(tokio::time::timeout(Duration::from_millis(300), ask).await.is_err());
        test.call_under_way(1).await;
        assert_eq!((test.sts.requests().len(), counts(db).await), (1, [1, 0, 0, 0]), "{given_up}");
    }
    let (joined, ()) = tokio::join!(test.contained(READ_ONLY, Alice), async {
        tokio::time::sleep(Duration::from_millis(50)).await; // it may as well come too late, and find the result
        test.sts.let_go();
    });
    assert_eq!((joined.status, counts(db).await), (200, [1, 1, 1, 0]));
    // Nobody is there when it lands.
    test.sts.behave("Plain", Behaviour::Held);
    assert!(tokio::time::timeout(Duration::from_millis(300), test.contained(PLAIN, Alice)).await.is_err());
    test.call_under_way(2).await;
    test.sts.let_go();
    until("issuance without its asker", LIMIT, async || (count(db, "credentials.issued").await == 2).then_some(()))
        .await;
    assert_eq!(test.key(PLAIN, Alice).await, test.sts.minted()[1].access_key_id);
    assert_eq!((test.sts.requests().len(), counts(db).await), (2, [2, 2, 2, 0]));
    test.close().await;
}

async fn a_session_is_renewed_while_twenty_minutes_are_left(db: &TestDb) {
    let test = TestApp::start(db).await;
    let first = test.key(READ_ONLY, Alice).await;
    test.clock.advance(minutes(35));
    assert_eq!(
        (test.key(READ_ONLY, Alice).await, test.sts.requests().len()),
        (first.clone(), 1),
        "25 minutes are left"
    );
    // Between 25 and 22½ minutes the next one is begun, and who asks does not wait for it.
    test.sts.behave("ReadOnly", Behaviour::Held);
    test.clock.advance(minutes(5));
    assert_eq!(test.key(READ_ONLY, Alice).await, first, "20 minutes are left");
    test.call_under_way(2).await;
    assert_eq!(test.key(READ_ONLY, Alice).await, first);
    test.clock.advance(Duration::from_micros(1));
    let (second, ()) = tokio::join!(test.key(READ_ONLY, Alice), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        test.sts.let_go();
    });
    assert_ne!(second, first, "less than 20 minutes are left of the first");
    assert_eq!((test.sts.requests().len(), counts(db).await), (2, [2, 2, 4, 0]));

    // Nobody asks for days: nothing is made.
    test.sts.behave("ReadOnly", Behaviour::Normal);
    test.clock.advance(minutes(3 * 24 * 60));
    test.app.recorder.housekeep().await;
    assert_eq!(test.sts.requests().len(), 2);
    let third = test.contained(READ_ONLY, Alice).await;
    assert_eq!(third.member("Expiration"), "2026-01-05T04:44:05Z");
    assert_eq!(test.sts.requests().len(), 3);
    test.close().await;
}

async fn a_short_session_is_shared_to_its_last_third(db: &TestDb) {
    let test = TestApp::start(db).await;
    let short = format!("{READ_ONLY}?duration_seconds=900");
    for (path, shared_for) in [(&*short, 10), (&*short.replace("900", "1200"), 0), (&*short.replace("900", "1260"), 1)]
    {
        let shared_for = if shared_for == 0 { Duration::from_secs(800) } else { minutes(shared_for) };
        let first = test.key(path, Alice).await;
        test.clock.advance(shared_for);
        assert_eq!(test.key(path, Alice).await, first, "{path}");
        test.clock.advance(Duration::from_secs(1));
        let second = test.key(path, Alice).await;
        assert_ne!(second, first, "{path}");
        assert_eq!(test.key(path, Alice).await, second, "{path}");
    }
    // Near the end of a grant there is no longer session to be had, and none is made for less.
    let expires = test.moment(minutes(40));
    let grant = json!({"to": "user:mallory@example.com", "role": "prod/Deploy", "expires": expires, "reason": "x"});
    test.post("/v1/grants", Admin, &grant).await;
    let first = test.key("/v1/container/prod/Deploy", Mallory).await;
    let calls = test.sts.requests().len();
    for _ in 0..5 {
        test.clock.advance(Duration::from_secs(4 * 60 + 59));
        assert_eq!(test.key("/v1/container/prod/Deploy", Mallory).await, first);
    }
    assert_eq!(test.sts.requests().len(), calls, "15 minutes are left of the grant and of its session");
    test.clock.advance(Duration::from_secs(6));
    let over = test.contained("/v1/container/prod/Deploy", Mallory).await;
    assert_eq!((over.status, over.code().as_str()), (422, "duration_too_long"));
    test.close().await;
}

async fn what_outlives_a_shorter_permit_is_not_handed_out(db: &TestDb) {
    let test = TestApp::start(db).await;
    let first = test.key(READ_ONLY, Alice).await;
    test.clock.advance(minutes(10));
    let shorter = |role: &str, grant: &str| {
        let file = ALLOWLIST.replace("max_duration = \"4h\"", &format!("max_duration = \"{role}\""));
        file.replace("max_duration = \"2h\"", &format!("max_duration = \"{grant}\""))
    };
    test.apply(&shorter("50m", "2h")).await;
    assert_eq!(test.key(READ_ONLY, Alice).await, first, "it ends within the fifty minutes that are permitted now");
    for (role, grant, permitted) in [("45m", "2h", 45), ("45m", "40m", 40)] {
        test.apply(&shorter(role, grant)).await;
        let next = test.contained(READ_ONLY, Alice).await;
        assert_eq!(next.member("Expiration"), test.clock.now().plus(minutes(permitted)).to_string());
    }
    // Longer again, for the role: what there is does.
    test.apply(&shorter("4h", "40m")).await;
    assert_eq!(test.key(READ_ONLY, Alice).await, test.sts.minted()[2].access_key_id);
    assert_eq!(test.sts.requests().len(), 3);
    test.close().await;
}

async fn what_is_taken_away_is_not_handed_out_again(db: &TestDb) {
    let test = TestApp::start(db).await;
    let other = test.start_another(db).await;
    let replicas = [&test, &other];
    let arn = "arn:aws:iam::111122223333:role/teams/ReadOnly";
    for (target, value) in [("principal", "user:alice@example.com"), ("principal", "group:developers"), ("role", arn)] {
        let keys = join_all(replicas.map(|replica| replica.key(READ_ONLY, Alice))).await;
        let block = test.post("/v1/blocks", Admin, &json!({target: value, "reason": "x"})).await.member("id");
        for replica in replicas {
            let refused = replica.contained(READ_ONLY, Alice).await;
            assert_eq!((refused.status, refused.code().as_str()), (403, "not_allowed"), "{value}: {refused:?}");
        }
        test.delete(&format!("/v1/blocks/{block}"), Admin).await;
        test.clock.advance(Duration::from_secs(5));
        for (replica, key) in replicas.into_iter().zip(keys) {
            assert_ne!(
                replica.key(READ_ONLY, Alice).await,
                key,
                "{value}: it was dropped, and is not there when the block is gone"
            );
        }
    }
    // A grant that ends, that is removed, and a role that goes.
    let expires = test.moment(minutes(60));
    let grant = json!({"to": "user:mallory@example.com", "role": "prod/ReadOnly", "expires": expires, "reason": "x"});
    let id = test.post("/v1/grants", Admin, &grant).await.member("id");
    let key = other.key(READ_ONLY, Mallory).await;
    test.delete(&format!("/v1/grants/{id}"), Admin).await;
    assert_eq!(other.contained(READ_ONLY, Mallory).await.status, 403);
    let id = test.post("/v1/grants", Admin, &grant).await.member("id");
    test.clock.advance(Duration::from_secs(5));
    assert_ne!(other.key(READ_ONLY, Mallory).await, key, "another grant, though it says the same");
    test.clock.advance(minutes(60));
    assert_eq!(other.contained(READ_ONLY, Mallory).await.status, 403, "{id} is over");

    let gone = ALLOWLIST.replace("name = \"ReadOnly\"", "name = \"Other\"").replace("prod/ReadOnly", "prod/Other");
    let keys = join_all(replicas.map(|replica| replica.key(READ_ONLY, Alice))).await;
    test.apply(&gone).await;
    for replica in replicas {
        assert_eq!(replica.contained(READ_ONLY, Alice).await.status, 403);
    }
    test.apply(ALLOWLIST).await;
    test.clock.advance(Duration::from_secs(5));
    for (replica, key) in replicas.into_iter().zip(keys) {
        assert_ne!(replica.key(READ_ONLY, Alice).await, key);
    }
    other.close().await;
    test.close().await;
}

async fn other_terms_are_another_session(db: &TestDb) {
    let test = TestApp::start(db).await;
    let other = test.start_another(db).await;
    let policy = "max_duration = \"2h\"\nsession_policy = { Statement = [{ Effect = \"Allow\", Action = \"s3:*\", Resource = \"*\" }] }";
    let mut keys = BTreeSet::new();
    for (from, to) in [
        ("", ""),
        ("hp-external-id-of-prod", "hp-another-external-id"),
        ("team = \"shop\"", "team = \"warehouse\""),
        ("max_duration = \"4h\"", "max_duration = \"4h\"\nsource_identity = false"),
        ("path = \"/teams/\"", "path = \"/staff/\""),
        ("max_duration = \"2h\"", policy),
    ] {
        test.apply(&ALLOWLIST.replace(from, to)).await;
        for replica in [&test, &other] {
            let key = replica.key(READ_ONLY, Alice).await;
            assert_eq!(replica.key(READ_ONLY, Alice).await, key, "{to}");
            assert!(keys.insert((std::ptr::from_ref(replica), key)), "{to}");
        }
    }
    assert_eq!([test.sts.requests().len(), other.sts.requests().len()], [6, 6]);
    // What it is not made of leaves it alone.
    test.apply(&ALLOWLIST.replace("Look, don't touch", "Only look").replace("max_duration = \"2h\"", policy)).await;
    test.key(READ_ONLY, Alice).await;
    assert_eq!(test.sts.requests().len(), 6);
    other.close().await;
    test.close().await;
}

async fn a_refusal_is_decided_once_and_recorded_each_time(db: &TestDb) {
    let test = TestApp::start(db).await;
    let reads = async || {
        let shown = test.ask_metrics(Method::GET, "/metrics").await.text;
        let line = shown.lines().find_map(|line| line.strip_prefix("hallpass_store_read_duration_seconds_count "));
        line.unwrap().parse::<usize>().unwrap()
    };
    for (path, who, status) in [
        (READ_ONLY, Mallory, 403),
        ("/v1/container/prod/Unknown", Mallory, 403),
        ("/v1/container/prod/Deploy", Alice, 422),
    ] {
        let (before, recorded) = (reads().await, count(db, "credentials.denied").await);
        let replies = [(); 4].map(|()| test.contained(path, who));
        for reply in replies {
            let reply = reply.await;
            assert_eq!(reply.status, status, "{reply:?}");
        }
        assert_eq!((reads().await - before, count(db, "credentials.denied").await - recorded), (1, 4), "{path}");
        test.clock.advance(Duration::from_micros(4_999_999));
        test.contained(path, who).await;
        assert_eq!(reads().await - before, 1, "{path}");
        test.clock.advance(Duration::from_micros(1));
        test.contained(path, who).await;
        assert_eq!(reads().await - before, 2, "{path}");
    }
    // From elsewhere, with other groups or for something else, it is another question.
    let before = reads().await;
    let token = test.corp.person("mallory@example.com", &["others"]);
    let request = test.request(Method::GET, READ_ONLY, Anonymous).header("authorization", &token);
    assert_eq!(request.send().await.status, 403);
    let request = test.request(Method::GET, READ_ONLY, Mallory).header("x-forwarded-for", "192.0.2.7");
    assert_eq!(request.send().await.status, 403);
    test.contained(&format!("{READ_ONLY}?reason=x"), Mallory).await;
    assert_eq!(reads().await - before, 3);
    // The first ten in a minute have a row each; the rest are counted.
    let recorded = count(db, "credentials.denied").await;
    for _ in 0..20 {
        test.contained("/v1/container/prod/Forbidden", Mallory).await;
    }
    assert_eq!(count(db, "credentials.denied").await - recorded, 10);
    test.clock.advance(minutes(1));
    test.app.recorder.housekeep().await;
    assert_eq!(records_of(db, "credentials.denied").await.last().unwrap()["detail"]["count"], 10);

    // A permit is never remembered, and ends no refusal of another.
    let expires = test.moment(minutes(60));
    let grant = json!({"to": "user:mallory@example.com", "role": "prod/ReadOnly", "expires": expires, "reason": "x"});
    test.contained(READ_ONLY, Mallory).await;
    test.post("/v1/grants", Admin, &grant).await;
    assert_eq!(test.contained(READ_ONLY, Mallory).await.status, 403);
    test.clock.advance(Duration::from_secs(5));
    assert_eq!(test.contained(READ_ONLY, Mallory).await.status, 200);
    test.close().await;
}

async fn a_failure_of_aws_is_not_asked_for_again_at_once(db: &TestDb) {
    let setting = Setting {
        pace: Pace { at_once: 1, waiting: 0, patience: Duration::ZERO, ..Setting::default().pace },
        ..Setting::default()
    };
    let test = TestApp::start_with(db, setting).await;
    let ask = async || test.contained(READ_ONLY, Alice).await;
    for (behaviour, code, kept) in [
        (Behaviour::Body(404, "nonsense"), "sts_unavailable", 2),
        (Behaviour::ACCESS_DENIED, "sts_refused", 5),
        (Behaviour::REGION_DISABLED, "sts_refused", 5),
    ] {
        test.sts.behave("ReadOnly", behaviour);
        let calls = test.sts.requests().len();
        for _ in 0..6 {
            let reply = ask().await;
            assert_eq!(reply.code(), code, "{reply:?}");
        }
        test.clock.advance(Duration::from_secs(kept).saturating_sub(Duration::from_micros(1)));
        assert_eq!((ask().await.code().as_str(), test.sts.requests().len()), (code, calls + 1));
        test.clock.advance(Duration::from_micros(1));
        assert_eq!((ask().await.code().as_str(), test.sts.requests().len()), (code, calls + 2));
        test.clock.advance(minutes(1));
    }
    // Those for whom AWS was not asked are on record as such: one row a minute, and a count.
    test.app.recorder.housekeep().await;
    let records = records_of(db, "credentials.failed").await;
    let (called, not): (Vec<_>, Vec<_>) = records.iter().partition(|record| record["issuance_id"].is_string());
    assert_eq!(called.len(), 6);
    let told: Vec<_> = not.iter().map(|r| json!([r["code"], r["attempts"], r["detail"]["count"]])).collect();
    let [unavailable, refused] = ["sts_unavailable", "sts_refused"];
    assert_eq!(json!(told), json!([[unavailable, 0, null], [unavailable, 0, 5], [refused, 0, null], [refused, 0, 11]]));
    assert!(not.iter().all(|record| record["principal"] == "user:alice@example.com" && record["grant_id"].is_string()));

    // A turn that is not to be had is a failure like another.
    test.sts.behave("ReadOnly", Behaviour::Normal);
    test.sts.behave("Deploy", Behaviour::Held);
    let (_, ()) = tokio::join!(test.contained(DEPLOY, Alice), async {
        test.call_under_way(7).await;
        assert_eq!([ask().await.code(), ask().await.code()], ["sts_throttled", "sts_throttled"]);
        test.sts.let_go();
    });
    assert_eq!(ask().await.code(), "sts_throttled");
    test.clock.advance(Duration::from_secs(2));
    assert_eq!(ask().await.status, 200);
    test.close().await;
}

async fn a_failure_wakes_all_who_wait(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.sts.behave("ReadOnly", Behaviour::Slow(Duration::from_millis(200)));
    db.connect().await.execute("ALTER TABLE pending RENAME TO gone").await;
    let replies = join_all((0..20).map(|_| test.contained(READ_ONLY, Alice))).await;
    for reply in replies {
        assert_eq!((reply.status, reply.code().as_str()), (503, "audit_unavailable"), "{reply:?}");
        assert!(!reply.text.contains("ASIA") && !reply.header("retry-after").is_empty(), "{reply:?}");
    }
    db.connect().await.execute("ALTER TABLE gone RENAME TO pending").await;
    assert_eq!(test.contained(READ_ONLY, Alice).await.status, 200, "what the audit cannot write is not remembered");
    // The session is made, and its row cannot be written.
    test.sts.behave("Plain", Behaviour::Held);
    let (replies, ()) = tokio::join!(join_all((0..20).map(|_| test.contained(PLAIN, Alice))), async {
        test.call_under_way(2).await;
        db.connect().await.execute("ALTER TABLE audit_events RENAME TO gone").await;
        test.sts.let_go();
    });
    db.connect().await.execute("ALTER TABLE gone RENAME TO audit_events").await;
    for reply in replies {
        assert_eq!((reply.status, reply.code().as_str()), (503, "audit_unavailable"), "{reply:?}");
        assert!(!reply.text.contains("fake"), "{reply:?}");
    }
    test.sts.behave("Plain", Behaviour::Normal);
    let key = test.key(PLAIN, Alice).await;
    assert_ne!(key, test.sts.minted()[1].access_key_id, "what was withheld is not kept either");
    test.close().await;
}

async fn a_failed_renewal_leaves_what_there_is(db: &TestDb) {
    let test = TestApp::start(db).await;
    let first = test.key(READ_ONLY, Alice).await;
    test.sts.behave("ReadOnly", Behaviour::ACCESS_DENIED);
    test.clock.advance(minutes(39));
    for _ in 0..3 {
        assert_eq!(test.key(READ_ONLY, Alice).await, first);
        until("failure", LIMIT, async || (counts(db).await[3] == 1).then_some(())).await;
    }
    assert_eq!(test.sts.requests().len(), 2, "and is not tried at each ask");
    test.clock.advance(minutes(2));
    assert_eq!(test.contained(READ_ONLY, Alice).await.code(), "sts_refused", "19 minutes are left");
    test.close().await;
}

async fn nothing_is_handed_out_without_its_row(db: &TestDb) {
    let test = TestApp::start(db).await;
    let key = test.key(READ_ONLY, Alice).await;
    db.connect().await.execute("ALTER TABLE audit_events RENAME TO gone").await;
    let reply = test.contained(READ_ONLY, Alice).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "audit_unavailable"), "{reply:?}");
    assert!(!reply.text.contains("ASIA") && !reply.text.contains("fake"), "{reply:?}");
    assert_eq!(reply.header("retry-after"), "5");
    assert_eq!(test.contained(READ_ONLY, Mallory).await.code(), "audit_unavailable", "nor refused");
    db.connect().await.execute("ALTER TABLE gone RENAME TO audit_events").await;
    assert_eq!(test.key(READ_ONLY, Alice).await, key, "and all is well when the database is");
    assert_eq!((test.sts.requests().len(), counts(db).await), (1, [1, 1, 1, 0]));
    test.close().await;
}

async fn a_change_in_the_middle_is_decided_on(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.sts.behave("ReadOnly", Behaviour::Held);
    // Blocked while the session is made: who began it had their permit, who waits is refused.
    let asking = join_all((0..10).map(|_| test.contained(READ_ONLY, Alice)));
    let (replies, block) = tokio::join!(asking, async {
        test.call_under_way(1).await;
        until("ten askers", LIMIT, async || {
            let shown = test.ask_metrics(Method::GET, "/metrics").await.text;
            shown.contains("\nhallpass_http_requests_in_flight 10\n").then_some(())
        })
        .await;
        let block =
            test.post("/v1/blocks", Admin, &json!({"principal": "user:alice@example.com", "reason": "x"})).await;
        test.sts.let_go();
        block
    });
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!([200, 403].map(|status| statuses.iter().filter(|s| **s == status).count()), [1, 9]);
    test.delete(&format!("/v1/blocks/{}", block.member("id")), Admin).await;
    test.clock.advance(Duration::from_secs(5));
    test.sts.behave("ReadOnly", Behaviour::Normal);
    assert_eq!(test.contained(READ_ONLY, Alice).await.status, 200);
    assert_eq!(test.sts.requests().len(), 2, "what was made before the block is gone");
    test.close().await;
}

async fn a_stop_waits_for_what_is_being_made(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.sts.behave("Plain", Behaviour::Slow(Duration::from_millis(500)));
    assert!(tokio::time::timeout(Duration::from_millis(100), test.contained(PLAIN, Alice)).await.is_err());
    test.call_under_way(1).await;
    test.close().await;
    assert_eq!(counts(db).await, [1, 1, 0, 0]);
}
