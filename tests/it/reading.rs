//! Every way of reading the audit: by time, by stream, one's own, and all of it to take away.

use crate::support::{
    app::{
        Persona::{Alice, Auditor, Mallory},
        Reply, TestApp, records_of,
    },
    database::{TestDb, on_both},
    shown::snap,
};
use hallpass::audit::{self, SigningKey};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

on_both!(readers_page_by_time_and_by_stream, callers_read_their_own, the_audit_is_exported_as_it_is);

/// A few events of two callers, each a second after the one before.
async fn a_little_history(test: &TestApp) {
    for i in 0..5 {
        test.clock.advance(Duration::from_secs(1));
        test.credentials(Alice, &json!({"role": "prod/ReadOnly", "reason": format!("INC-{i} 50%_off!")})).await;
        test.credentials(Mallory, &json!({"role": format!("prod/No{i}")})).await;
    }
}

fn ids(reply: &Reply) -> Vec<String> {
    let events = reply.body()["events"].as_array().unwrap_or_else(|| panic!("{reply:?}")).clone();
    events.iter().map(|event| event["record"]["id"].as_str().unwrap().to_owned()).collect()
}

async fn readers_page_by_time_and_by_stream(db: &TestDb) {
    let test = TestApp::start(db).await;
    a_little_history(&test).await;
    let count = db.records().await.len();
    // Reading is an event too: a later moment than those that are read.
    let until = test.moment(Duration::from_micros(1));
    test.clock.advance(Duration::from_mins(1));
    let list = async |query: &str| test.get(&format!("/v1/audit/events?until={until}{query}"), Auditor).await;
    let all = ids(&list("&limit=1000").await);
    assert_eq!(all.len(), count);
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = list(&format!("&limit=4{cursor}")).await;
        paged.extend(ids(&page));
        match page.body()["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all, "each once, newest first");

    let stream = test.get("/v1/audit/heads", Auditor).await.body()["heads"][0]["stream"].as_str().unwrap().to_owned();
    let mut followed = Vec::new();
    loop {
        let seq = followed.len();
        let page = list(&format!("&limit=3&stream={stream}&after_seq={seq}")).await;
        let places: Vec<u64> =
            page.body()["events"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
        assert!(places.iter().zip(seq as u64 + 1..).all(|(place, expected)| *place == expected), "{places:?}");
        if places.is_empty() {
            break;
        }
        followed.extend(ids(&page));
    }
    assert_eq!(followed.iter().collect::<BTreeSet<_>>(), all.iter().collect::<BTreeSet<_>>());

    let issuance = records_of(db, "credentials.issued").await[2]["issuance_id"].as_str().unwrap().to_owned();
    let since = "2026-01-02T03:04:08Z";
    for (query, count) in [
        ("&kind=credentials.issued".to_owned(), 5),
        ("&kind=credentials.issued&principal=user:mallory@example.com".to_owned(), 0),
        ("&kind=credentials.denied&principal=user:mallory@example.com".to_owned(), 5),
        ("&account=111122223333".to_owned(), 10),
        ("&role=arn:aws:iam::111122223333:role/teams/ReadOnly".to_owned(), 10),
        ("&role=arn:aws:iam::111122223333:role/ReadOnly".to_owned(), 0),
        (format!("&issuance={issuance}"), 2),
        (format!("&kind=credentials.issued&since={since}"), 3),
        (format!("&kind=credentials.issued&since={since}&q=inc-4"), 1),
        ("&kind=credentials.issued&q=50%25_OFF!".to_owned(), 5),
        ("&kind=credentials.issued&q=50%25%25off".to_owned(), 0),
        ("&kind=credentials.issued&q=5__".to_owned(), 0),
        ("&q=prod/No3".to_owned(), 1),
    ] {
        let page = list(&format!("&limit=1000{query}")).await;
        assert_eq!(ids(&page).len(), count, "{query}: {page:?}");
    }
    test.close().await;
}

async fn callers_read_their_own(db: &TestDb) {
    let test = TestApp::start(db).await;
    a_little_history(&test).await;
    let before = db.records().await.len();
    for query in ["", "?principal=user:mallory@example.com", "?q=o", "?kind=credentials.denied"] {
        let page = test.get(&format!("/v1/audit/events{query}"), Mallory).await;
        let events = page.body()["events"].as_array().unwrap().clone();
        assert_eq!(events.len(), 5, "{query}: {page:?}");
        assert!(events.iter().all(|event| event["record"]["principal"] == "user:mallory@example.com"), "{page:?}");
    }
    let issuance = records_of(db, "credentials.issued").await[0]["issuance_id"].as_str().unwrap().to_owned();
    let of_alice = test.get(&format!("/v1/audit/events?issuance={issuance}"), Mallory).await;
    assert!(ids(&of_alice).is_empty(), "{of_alice:?}");
    assert_eq!(db.records().await.len(), before, "one's own is read without a record");
    assert_eq!(test.get("/v1/audit/events?principal=group:developers", Alice).await.code(), "forbidden");
    test.close().await;
}

async fn the_audit_is_exported_as_it_is(db: &TestDb) {
    let test = TestApp::start(db).await;
    a_little_history(&test).await;
    let jsonl = test.get("/v1/audit/export?format=jsonl", Auditor).await;
    assert_eq!(jsonl.header("content-type"), "application/jsonl");
    assert_eq!(jsonl.header("content-disposition"), "attachment; filename=\"audit.jsonl\"");
    let rows: Vec<_> = jsonl.text.lines().map(|line| audit::parse_jsonl_line(line).unwrap()).collect();
    let stored = db.connect().await.texts("SELECT record FROM audit_events ORDER BY at, id").await;
    assert_eq!(rows.iter().map(|row| row.record.as_str()).collect::<Vec<_>>(), stored, "byte for byte");
    let mut verifier = audit::Verifier::new(vec![SigningKey::from_pem(&test.key_file()).unwrap().public()], &[]);
    let mut in_order = rows;
    in_order.sort_by_key(|row| (row.stream.to_string(), row.seq));
    for row in &in_order {
        verifier.row(row, None);
    }
    assert!(verifier.finish().is_clean());

    let csv = test.get("/v1/audit/export?format=csv&kind=credentials.denied", Auditor).await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let (head, lines) = csv.text.split_once("\r\n").unwrap();
    snap!(head.replace(',', " "), @"at kind principal account_id role_arn issuance_id code reason via grant_id session_name source_identity duration_seconds expires_at access_key_id assumed_role_id sts_request_id client_ip user_agent auth_method auth_issuer request_id id stream seq hash signature record");
    assert_eq!(lines.matches("\r\n").count(), 5, "{csv:?}");
    assert!(lines.starts_with("2026-01-02T03:04:06Z,credentials.denied,user:mallory@example.com,"), "{lines}");

    let heads = test.get("/v1/audit/heads", Auditor).await;
    snap!(heads.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "heads": [{"at":"2026-01-02T03:04:10Z","hash":"<hash>","seq":19,"signature":"<signature>","stream":"<id>"}]
    }
    "#);
    test.close().await;
}
