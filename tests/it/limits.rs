//! Every limit from outside: what is beyond it is answered or ended in time, and who stays within is served.

use crate::support::{
    app::{Persona::*, Reply, Setting, TestApp, records_of},
    database::{TestDb, on_both, on_sqlite},
    shown::snap,
    sts::Behaviour,
    until,
};
use futures_util::future::join_all;
use hallpass::{
    http::{Bounds, Connections, Patience},
    sts::Pace,
};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

on_both!(
    one_caller_is_limited_and_no_other,
    failed_authentication_is_limited_by_address,
    a_full_budget_of_sts_is_told_and_leaves_no_intent,
    a_slow_account_leaves_room_for_the_others,
    what_is_too_much_is_shed_at_once,
);

const LIMIT: Duration = Duration::from_secs(10);
const PLAIN: &str = r#"{"role": "444455556666/Plain"}"#;

fn plain() -> serde_json::Value {
    serde_json::from_str(PLAIN).unwrap()
}

async fn one_caller_is_limited_and_no_other(db: &TestDb) {
    let bounds = Bounds { requests_burst: 20.try_into().unwrap(), ..Setting::default().bounds };
    let bounds = Bounds { requests_per_second: 10.try_into().unwrap(), ..bounds };
    let test = TestApp::start_with(db, Setting { bounds, ..Setting::default() }).await;
    let rows = db.records().await.len();
    for _ in 0..20 {
        assert_eq!(test.get("/v1/whoami", Alice).await.status, 200);
    }
    for _ in 0..5 {
        assert_eq!(test.credentials(Alice, &plain()).await.code(), "rate_limited");
    }
    snap!(test.get("/v1/whoami", Alice).await.whole(), @r#"
    429
    content-type: application/problem+json
    cache-control: no-store
    retry-after: 1
    {
      "code": "rate_limited",
      "detail": "You ask more often than one caller may; credentials are good for longer than one request.",
      "request_id": "<id>",
      "status": 429,
      "title": "Too Many Requests",
      "type": "urn:hallpass:problem:rate_limited"
    }
    "#);
    assert_eq!(test.get("/v1/whoami", Mallory).await.status, 200, "another caller at the same address");
    assert_eq!(db.records().await.len(), rows, "no row for what is turned away");
    test.clock.advance(Duration::from_secs(1));
    let again = join_all((0..15).map(|_| test.get("/v1/whoami", Alice))).await;
    assert_eq!(again.iter().filter(|reply| reply.status == 200).count(), 10);
    test.close().await;
}

async fn failed_authentication_is_limited_by_address(db: &TestDb) {
    let bounds = Bounds { failures_burst: 10.try_into().unwrap(), ..Setting::default().bounds };
    let bounds = Bounds { failures_per_minute: 60.try_into().unwrap(), ..bounds };
    let test = TestApp::start_with(db, Setting { bounds, ..Setting::default() }).await;
    let fail = async |from: &str| {
        let request = test.request(Method::GET, "/v1/whoami", Anonymous).header("x-forwarded-for", from);
        request.header("authorization", "Bearer x").send().await
    };
    for _ in 0..10 {
        assert_eq!(fail("2001:db8::1").await.code(), "token_invalid");
    }
    snap!(fail("2001:db8::1").await.whole(), @r#"
    429
    content-type: application/problem+json
    cache-control: no-store
    retry-after: 1
    {
      "code": "rate_limited",
      "detail": "Authentication has failed too often from this address.",
      "request_id": "<id>",
      "status": 429,
      "title": "Too Many Requests",
      "type": "urn:hallpass:problem:rate_limited"
    }
    "#);
    assert_eq!(fail("2001:db8::ffff:0:0:2").await.status, 429, "the same network");
    assert_eq!(fail("2001:db8:0:1::1").await.status, 401, "another network");
    assert_eq!(fail("192.0.2.1").await.status, 401);
    let good = test.request(Method::GET, "/v1/whoami", Alice).header("x-forwarded-for", "2001:db8::1");
    assert_eq!(good.send().await.status, 200, "who has a good token is served");
    assert_eq!(test.get("/healthz", Anonymous).await.status, 200);
    test.clock.advance(Duration::from_secs(1));
    assert_eq!(fail("2001:db8::1").await.status, 401);
    let rows = records_of(db, "authentication.failed").await.len();
    assert_eq!(rows, 3, "one for each network");
    test.clock.advance(Duration::from_mins(1));
    test.app.recorder.housekeep().await;
    let counts =
        records_of(db, "authentication.failed").await.into_iter().map(|record| record["detail"]["count"].as_u64());
    assert_eq!(counts.flatten().sum::<u64>(), 12, "whoever is turned away is counted");
    test.close().await;
}

async fn a_full_budget_of_sts_is_told_and_leaves_no_intent(db: &TestDb) {
    let pace = Pace { per_second: 1.try_into().unwrap(), burst: 3, patience: Duration::ZERO, ..Pace::default() };
    let test = TestApp::start_with(db, Setting { pace, ..Setting::default() }).await;
    for _ in 0..3 {
        assert_eq!(test.credentials(Alice, &plain()).await.status, 200);
    }
    snap!(test.credentials(Alice, &plain()).await.whole(), @r#"
    503
    content-type: application/problem+json
    cache-control: no-store
    retry-after: 2
    {
      "code": "sts_throttled",
      "detail": "AWS was not asked: as many calls as AWS takes are waiting already. Nothing was released.",
      "request_id": "<id>",
      "status": 503,
      "title": "Service Unavailable",
      "type": "urn:hallpass:problem:sts_throttled"
    }
    "#);
    for _ in 0..9 {
        assert_eq!(test.credentials(Alice, &plain()).await.code(), "sts_throttled");
    }
    assert_eq!(test.sts.requests().len(), 3);
    assert_eq!(records_of(db, "credentials.requested").await.len(), 3, "no intent without a call");
    let failed = records_of(db, "credentials.failed").await;
    snap!(crate::support::shown::shown(&failed[0]), @r#"
    {
      "access_key_id": null,
      "account_id": "444455556666",
      "allowlist_revision": 1,
      "assumed_role_id": null,
      "at": "2026-01-02T03:04:05Z",
      "attempts": 0,
      "auth": {"issuer":"corp","method":"jwt","subject":"alice@example.com","token_id":null},
      "clamped_by": null,
      "client": {"ip":"127.0.0.1","peer":"127.0.0.1","user_agent":"test/1"},
      "code": "sts_throttled",
      "detail": {"problem":"as many calls as AWS takes are waiting already"},
      "duration_seconds": 3600,
      "expires_at": null,
      "grant_id": "6d1daaa6-d5b1-883e-992c-b750c48e541d",
      "id": "<id>",
      "issuance_id": null,
      "kind": "credentials.failed",
      "principal": "user:alice@example.com",
      "purpose": "api",
      "reason": null,
      "reasons": [],
      "request_id": "<id>",
      "role_arn": "arn:aws:iam::444455556666:role/Plain",
      "session_name": null,
      "session_policy_sha256": null,
      "session_tags": {},
      "shared_from": null,
      "source_identity": null,
      "sts_request_id": null,
      "v": 1,
      "via": "user:alice@example.com"
    }
    "#);
    assert_eq!(failed.len(), 1, "many are counted");
    test.clock.advance(Duration::from_mins(1));
    assert_eq!(test.credentials(Alice, &plain()).await.status, 200);
    // Attempts count too: two that were throttled by AWS use up what the next would have had.
    test.clock.advance(Duration::from_mins(1));
    test.sts.behave("Plain", Behaviour::THROTTLE);
    let reply = test.credentials(Alice, &plain()).await;
    assert_eq!((reply.code().as_str(), reply.status), ("sts_throttled", 503));
    test.sts.behave("Plain", Behaviour::Normal);
    assert_eq!(test.credentials(Alice, &plain()).await.code(), "sts_throttled", "the three are used up");
    test.app.recorder.housekeep().await;
    let failed = records_of(db, "credentials.failed").await;
    let counted: u64 = failed.iter().map(|record| record["detail"]["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!(counted, 12, "each is on record: {failed:?}");
    test.close().await;
}

async fn a_slow_account_leaves_room_for_the_others(db: &TestDb) {
    let pace = Pace { at_once: 2, waiting: 1, patience: LIMIT, ..Setting::default().pace };
    let test = TestApp::start_with(db, Setting { pace, ..Setting::default() }).await;
    test.sts.behave("ReadOnly", Behaviour::Held);
    let held = json!({"role": "prod/ReadOnly"});
    let asking = join_all((0..3).map(|_| test.credentials(Alice, &held)));
    let beside = async {
        until("two calls", LIMIT, async || (test.sts.requests().len() == 2).then_some(())).await;
        // The third waits for its turn; who comes now does not.
        let refused = until("a full account", LIMIT, async || {
            let reply = test.credentials(Alice, &held).await;
            (reply.status == 503).then_some(reply)
        });
        assert_eq!(refused.await.code(), "sts_throttled");
        assert_eq!(test.sts.requests().len(), 2);
        for _ in 0..5 {
            assert_eq!(test.credentials(Alice, &plain()).await.status, 200, "another account");
        }
        (0..3).for_each(|_| test.sts.let_go());
    };
    let (replies, ()) = tokio::join!(asking, beside);
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200; 3]);
    assert_eq!(records_of(db, "credentials.requested").await.len(), 8);
    test.close().await;
}

async fn what_is_too_much_is_shed_at_once(db: &TestDb) {
    let bounds = Bounds { under_way: 2, ..Setting::default().bounds };
    let test = TestApp::start_with(db, Setting { bounds, ..Setting::default() }).await;
    test.sts.behave("Plain", Behaviour::Held);
    let body = plain();
    let asking = join_all((0..2).map(|_| test.credentials(Alice, &body)));
    let beside = async {
        until("two calls", LIMIT, async || (test.sts.requests().len() == 2).then_some(())).await;
        snap!(test.get("/v1/whoami", Mallory).await.whole(), @r#"
        503
        content-type: application/problem+json
        cache-control: no-store
        retry-after: 2
        {
          "code": "overloaded",
          "detail": "More is asked at the moment than can be done; nothing was done.",
          "request_id": "<id>",
          "status": 503,
          "title": "Service Unavailable",
          "type": "urn:hallpass:problem:overloaded"
        }
        "#);
        for path in ["/healthz", "/readyz"] {
            assert_eq!(test.get(path, Anonymous).await.status, 200, "{path}");
        }
        (0..2).for_each(|_| test.sts.let_go());
    };
    let (replies, ()) = tokio::join!(asking, beside);
    assert!(replies.iter().all(|reply: &Reply| reply.status == 200), "{replies:?}");
    assert_eq!(test.get("/v1/whoami", Mallory).await.status, 200);
    test.close().await;
}

/// What the service says on a raw connection until it ends it, and after how long.
async fn until_the_end(mut stream: TcpStream) -> (String, Duration) {
    let (began, mut said) = (Instant::now(), Vec::new());
    // A connection that is reset has ended as well.
    let ended = timeout(LIMIT, stream.read_to_end(&mut said)).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ended.is_ok(), "no end after {said}");
    (said, began.elapsed())
}

async fn connect(test: &TestApp) -> TcpStream {
    TcpStream::connect(test.url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Sends this, then a byte now and then, until the service has enough.
async fn dribble(test: &TestApp, start: &str) -> (String, Duration) {
    let (mut read, mut write) = connect(test).await.into_split();
    write.write_all(start.as_bytes()).await.unwrap();
    let dribbling = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let (began, mut said) = (Instant::now(), Vec::new());
    let _ = timeout(LIMIT, read.read_to_end(&mut said)).await.expect("an end");
    dribbling.abort();
    (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
}

fn impatient() -> Setting {
    let soon = Duration::from_millis(200);
    let setting = Setting::default();
    let patience = Patience { head: soon, idle: soon * 3, taking: soon };
    Setting { patience, bounds: Bounds { body: soon, ..setting.bounds }, ..setting }
}

#[test]
fn who_dribbles_is_cut_off() {
    on_sqlite(async |db| {
        let test = TestApp::start_with(db, impatient()).await;
        for start in ["", "G", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: "] {
            let (said, took) = dribble(&test, start).await;
            assert_eq!(said, "", "{start:?}");
            assert!(took < Duration::from_secs(2), "{start:?}: {took:?}");
        }
        let head = format!(
            "POST /v1/credentials HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 10000\r\n\r\n",
            test.token(Alice)
        );
        let (said, took) = dribble(&test, &head).await;
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("\"request_timeout\""), "{said}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        test.close().await;
    });
}

/// Two files that do not come to their end, and a third.
#[test]
fn files_have_few_places() {
    on_sqlite(async |db| {
        let test = TestApp::start_with(db, Setting::default()).await;
        let head = format!(
            "PUT /v1/allowlist?dry_run=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/toml\r\ncontent-length: 10000\r\n\r\n",
            test.token(Admin)
        );
        let mut slow = Vec::new();
        let plan = async || {
            test.request(Method::PUT, "/v1/allowlist?dry_run=true", Admin)
                .toml(crate::support::app::ALLOWLIST)
                .send()
                .await
        };
        // One that comes while a plan is made is turned away itself, and another takes its turn.
        let refused = until("a third that is turned away", LIMIT, async || {
            let mut stream = connect(&test).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            slow.push(stream);
            let reply = plan().await;
            (reply.status == 503).then_some(reply)
        });
        let refused = refused.await;
        assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("overloaded", "2"));
        assert_eq!(test.get("/v1/allowlist", Admin).await.status, 200, "everything else goes on");
        drop(slow);
        until("a free place", LIMIT, async || (plan().await.status == 200).then_some(())).await;
        test.close().await;
    });
}

#[test]
fn a_connection_may_rest_between_requests_but_not_for_ever() {
    on_sqlite(async |db| {
        let test = TestApp::start_with(db, impatient()).await;
        let mut stream = connect(&test).await;
        for _ in 0..2 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(br#"{"status":"ok"}"#) {
                answer.push(stream.read_u8().await.unwrap());
            }
            // Longer than the head of a request may take.
            tokio::time::sleep(Duration::from_millis(350)).await;
        }
        let (_, took) = until_the_end(stream).await;
        assert!(took < Duration::from_secs(2), "{took:?}");
        test.close().await;
    });
}

#[test]
fn who_does_not_take_what_was_asked_for_is_cut_off() {
    on_sqlite(async |db| {
        let test = TestApp::start_with(db, impatient()).await;
        // Unread answers fill every buffer on the way; what is read slowly is sent to the end.
        let request =
            format!("GET /v1/roles HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", test.token(Alice));
        let (mut read, mut write) = connect(&test).await.into_split();
        let writing = tokio::spawn(async move { while write.write_all(request.as_bytes()).await.is_ok() {} });
        timeout(LIMIT, writing).await.expect("an end").unwrap();
        let mut rest = Vec::new();
        let _ = timeout(LIMIT, read.read_to_end(&mut rest)).await.expect("an end");
        test.close().await;
    });
}

#[test]
fn a_head_has_a_largest_size() {
    on_sqlite(async |db| {
        let test = TestApp::start_with(db, Setting::default()).await;
        let long = "x".repeat(15 * 1024);
        assert_eq!(test.request(Method::GET, "/healthz", Anonymous).header("x-a", &long).send().await.status, 200);
        for headers in [6, 200] {
            let mut stream = connect(&test).await;
            let each = if headers == 6 { &long } else { "x" };
            let headers: String = format!("x-a: {each}\r\n").repeat(headers);
            let _ = stream.write_all(format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).await;
            let (said, _) = until_the_end(stream).await;
            assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
        }
        test.close().await;
    });
}

#[test]
fn one_peer_cannot_take_every_connection() {
    on_sqlite(async |db| {
        let connections = Connections { all: 12, each: 4 };
        let setting = Setting { connections, proxied: false, ..Setting::default() };
        let test = TestApp::start_with(db, setting).await;
        let mut idle = Vec::new();
        for _ in 0..20 {
            idle.push(connect(&test).await);
        }
        let open = until("closed doors", LIMIT, async || {
            let mut open = 0;
            for stream in &idle {
                open += usize::from(!matches!(stream.try_read(&mut [0]), Ok(0)));
            }
            (open <= 4).then_some(open)
        });
        assert!(open.await > 0);
        let other = reqwest::Client::builder().no_proxy().local_address(Some("127.0.0.2".parse().unwrap()));
        let answer = other.build().unwrap().get(format!("{}/readyz", test.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "another peer");
        drop(idle);
        until("an open door", LIMIT, async || {
            let mut stream = connect(&test).await;
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.ok()?;
            let (said, _) = until_the_end(stream).await;
            said.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
        test.close().await;
    });
}

#[test]
fn an_answer_comes_even_where_nothing_else_ends_the_waiting() {
    on_sqlite(async |db| {
        let bounds = Bounds { answer: Duration::from_millis(300), ..Setting::default().bounds };
        let test = TestApp::start_with(db, Setting { bounds, ..Setting::default() }).await;
        test.sts.behave("Plain", Behaviour::Held);
        let id = "an-answer-in-time";
        let asking = test.request(Method::POST, "/v1/credentials", Alice).header("x-request-id", id);
        let reply = asking.json(&plain()).send().await;
        assert_eq!((reply.status, reply.code().as_str(), reply.header("retry-after")), (503, "overloaded", "5"));
        let log = crate::support::log::text();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(id) && line.contains("\"request\"")).collect();
        assert!(matches!(lines[..], [line] if line.contains("INFO")), "its line, like any other's: {lines:?}");
        // What was begun goes on, and is on record.
        test.sts.let_go();
        until("the row", LIMIT, async || records_of(db, "credentials.issued").await.pop()).await;
        test.close().await;
    });
}
