//! The portal's audit, as an auditor reads it: filtered, there and back, one event whole, taken away, at a glance.

use crate::{
    portal::{Browser, Got, encoded},
    support::{
        app::{
            Persona::{Admin, Alice, Auditor, Mallory},
            TestApp, records_of,
        },
        database::{TestDb, on_both},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

on_both!(
    every_filter_is_in_the_address,
    accounts_are_called_by_their_aliases,
    pages_lead_there_and_back,
    text_is_looked_for_a_part_at_a_time,
    an_event_is_shown_whole_among_its_neighbours,
    what_is_filtered_is_taken_away_as_the_api_gives_it,
    what_strangers_write_stays_text,
    others_see_none_of_it,
    streams_say_whether_they_are_open,
    a_chart_has_its_table,
);

const EVIL: &str = "=HYPERLINK(\"http://x\") <script>alert(1)</script>";

/// A few events of two callers, each a second after the one before.
async fn a_little_history(test: &TestApp) {
    for i in 0..5 {
        test.clock.advance(Duration::from_secs(1));
        test.credentials(Alice, &json!({"role": "prod/ReadOnly", "reason": format!("INC-{i} 50%_off!")})).await;
        test.credentials(Mallory, &json!({"role": format!("prod/No{i}")})).await;
    }
    test.clock.advance(Duration::from_secs(1));
}

async fn auditor(test: &TestApp) -> Browser<'_> {
    let mut browser = Browser::new(test);
    browser.sign_in("auditor@example.com", &[]).await;
    browser
}

/// Where the events of a list lead to, in their order.
fn listed(got: &Got) -> Vec<String> {
    let rows = got.text.split(r#"<td data-name="Time (UTC)"><a href=""#).skip(1);
    rows.map(|row| row.split('"').next().unwrap().to_owned()).collect()
}

/// The address of the link that says this.
fn way(got: &Got, text: &str) -> Option<String> {
    let link = got.text.split("<a ").find(|link| link.contains(&format!(">{text}</a>")))?;
    let to = link.split_once("href=\"")?.1.split('"').next()?;
    Some(to.replace("&#38;", "&").replace("&amp;", "&"))
}

async fn accounts_are_called_by_their_aliases(db: &TestDb) {
    let test = TestApp::start(db).await;
    a_little_history(&test).await;
    test.credentials(Alice, &json!({"role": "444455556666/Plain"})).await;
    let wish = json!({"to": "user:mallory@example.com", "role": "111122223333/ReadOnly", "reason": "x", "expires": "2026-01-03T00:00:00Z"});
    assert_eq!(test.post("/v1/grants", Admin, &wish).await.status, 201);
    let mut auditor = auditor(&test).await;
    let mut alice = Browser::new(&test);
    alice.sign_in("alice@example.com", &["developers"]).await;
    let mut pages = String::new();
    for path in ["/audit", "/audit/charts", "/allowlist/history"] {
        pages.push_str(&auditor.get(path).await.text);
    }
    pages.push_str(&alice.get("/activity").await.text);
    for name in [
        ">prod/<wbr>ReadOnly</a>",
        ">444455556666/<wbr>Plain</a>",
        "first is prod/ReadOnly",
        "group:developers · prod/Deploy",
        "user:mallory@example.com → prod/ReadOnly",
        ">prod/</span><wbr>ReadOnly</a>",
        ">444455556666/</span><wbr>Plain</a>",
    ] {
        assert!(pages.replace("&#38;", "&").contains(name), "{name} {pages}");
    }
    assert!(!pages.contains("111122223333/<") && !pages.contains(">111122223333/"), "{pages}");
    test.close().await;
}

async fn every_filter_is_in_the_address(db: &TestDb) {
    let test = TestApp::start(db).await;
    a_little_history(&test).await;
    let mut browser = auditor(&test).await;
    let issuance = records_of(db, "credentials.issued").await[2]["issuance_id"].as_str().unwrap().to_owned();
    let kind = ("kind", "credentials.issued");
    for (fields, count) in [
        (&[kind][..], 5),
        (&[kind, ("principal", "")], 5),
        (&[kind, ("principal", "alice@example.com")], 5),
        (&[kind, ("principal", "user:mallory@example.com")], 0),
        (&[("kind", "credentials.denied"), ("principal", "mallory@example.com")], 5),
        (&[("account", "111122223333")], 10),
        (&[("account", "prod")], 10),
        (&[("role", "prod/ReadOnly")], 10),
        (&[("role", "arn:aws:iam::111122223333:role/teams/ReadOnly")], 10),
        (&[("role", "arn:aws:iam::111122223333:role/ReadOnly")], 0),
        (&[("issuance", &issuance)], 2),
        (&[kind, ("since", "2026-01-02T03:04:08Z")], 3),
        (&[kind, ("since", "2026-01-02T03:04:08")], 3),
        (&[kind, ("since", "2026-01-02T03:04:08"), ("until", "2026-01-02T03:04:09")], 1),
        (&[kind, ("q", "inc-4")], 1),
        (&[kind, ("q", "50%_OFF!")], 5),
        (&[kind, ("q", "50%off")], 0),
    ] {
        let got = browser.get(&format!("/audit?{}", encoded(fields))).await;
        assert_eq!((got.status, listed(&got).len()), (200, count), "{fields:?} {}", got.text);
        // What was asked stands in the form, and what is taken away is as filtered.
        assert!(fields.iter().all(|(_, value)| got.text.contains(value.trim_end_matches('Z'))), "{fields:?}");
        assert!(count > 0 || got.text.contains("No event matches"), "{fields:?}");
    }
    let got = browser.get("/audit?account=nowhere&since=yesterday").await;
    assert_eq!((got.status, listed(&got).len()), (422, 0));
    assert!(
        got.text.contains("<strong>Account</strong>: expected") && got.text.contains("<strong>From</strong>: expected")
    );
    let read = records_of(db, "audit.read").await;
    assert_eq!(read[0]["principal"], "user:auditor@example.com");
    assert_eq!(
        read[2]["detail"],
        json!({"read": "events", "kind": "credentials.issued", "principal": "user:alice@example.com"})
    );
    test.close().await;
}

async fn pages_lead_there_and_back(db: &TestDb) {
    let test = TestApp::start(db).await;
    for _ in 0..65 {
        test.clock.advance(Duration::from_millis(1));
        test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await;
    }
    let mut browser = auditor(&test).await;
    let mut got = browser.get("/audit?role=prod/ReadOnly").await;
    let (mut there, mut back) = (vec![listed(&got)], Vec::new());
    assert_eq!(way(&got, "Newer"), None);
    while let Some(older) = way(&got, "Older") {
        assert!(older.contains("role=arn"), "the filter goes along: {older}");
        got = browser.get(&older).await;
        there.push(listed(&got));
    }
    assert_eq!(there.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 30]);
    while let Some(newer) = way(&got, "Newer") {
        got = browser.get(&newer).await;
        back.push(listed(&got));
    }
    assert_eq!(back, [there[1].clone(), there[0].clone()]);
    let mut all = there.concat();
    all.dedup();
    assert_eq!(all.len(), 130, "each once");
    for bad in ["older=x", "older=1_x", "newer=&older=1_", "frobnicate=1"] {
        assert_eq!(browser.get(&format!("/audit?{bad}")).await.status, 422, "{bad}");
    }
    test.close().await;
}

async fn text_is_looked_for_a_part_at_a_time(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.credentials(Alice, &json!({"role": "prod/ReadOnly", "reason": "needle"})).await;
    // What no service would write, so that it need not write thousands.
    let numbers = if db.is_postgres() {
        "SELECT n FROM generate_series(1, 12000) AS numbers (n)"
    } else {
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 12000) SELECT n FROM numbers"
    };
    let hash = if db.is_postgres() { "decode(repeat('00', 32), 'hex')" } else { "zeroblob(32)" };
    db.connect()
        .await
        .execute(&format!(
            "INSERT INTO audit_events (stream, seq, record, hash, id, at, kind) SELECT \
             '00000000-0000-7000-8000-000000000009', n, '{{}}', {hash}, '00000000-0000-7000-8000-000000000009', \
             {} + n, 'audit.read' FROM ({numbers}) AS made",
            test.clock.now().as_micros()
        ))
        .await;
    test.clock.advance(Duration::from_mins(1));
    let mut browser = auditor(&test).await;
    let until = encoded(&[("until", &test.clock.now().to_string()), ("q", "NEEDLE")]);
    let mut got = browser.get(&format!("/audit?{until}")).await;
    let mut steps = 0;
    while listed(&got).is_empty() {
        assert!(got.text.contains("Nothing found yet"), "{}", got.text);
        got = browser.get(&way(&got, "Go on from there").expect("a way on")).await;
        steps += 1;
    }
    assert_eq!((steps, listed(&got).len()), (2, 2));
    // All of it in one file nevertheless, and back again.
    assert_eq!(browser.get(&format!("/audit/export?format=jsonl&{until}")).await.text.lines().count(), 2);
    let newer = browser.get(&way(&got, "Newer").expect("a way back")).await;
    assert!(newer.text.contains("looked for up to") && listed(&newer).is_empty(), "{}", newer.text);
    test.close().await;
}

async fn an_event_is_shown_whole_among_its_neighbours(db: &TestDb) {
    let test = TestApp::start(db).await;
    a_little_history(&test).await;
    let mut browser = auditor(&test).await;
    let to = listed(&browser.get("/audit?kind=credentials.issued").await)[2].clone();
    let got = browser.get(&to).await;
    let seq: u64 = to.rsplit('/').next().unwrap().parse().unwrap();
    let stream = to.split('/').nth(2).unwrap();
    let api = test.get(&format!("/v1/audit/events?stream={stream}&after_seq={}&limit=1", seq - 1), Auditor).await;
    let record = api.body()["events"][0]["record"].clone();
    let raw = api.text.split_once("\"record\":").unwrap().1.split_once("}],\"next_cursor\"").unwrap().0;
    let raw = &raw[..raw.rfind('}').map_or(raw.len(), |end| end + 1)];
    let unescaped = got.text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#38;", "&");
    assert!(unescaped.contains(raw), "the stored text: {raw}");
    for (name, value) in record.as_object().unwrap() {
        let members: Vec<(String, Value)> = match (name.as_str(), value) {
            ("auth" | "client", Value::Object(members)) => {
                members.iter().map(|(member, value)| (format!("{name}.{member}"), value.clone())).collect()
            }
            _ => vec![(name.clone(), value.clone())],
        };
        for (name, value) in members {
            let shown = got.text.split_once(&format!("<dt>{name}</dt><dd>")).unwrap_or_else(|| panic!("no {name}")).1;
            let shown = shown.split("</dd>").next().unwrap();
            assert!(value.as_str().is_none_or(|text| shown == text), "{name}: {shown}");
        }
    }
    for near in seq - 3..=seq + 3 {
        assert!(near == seq || got.text.contains(&format!("href=\"/audit/{stream}/{near}\"")), "{near}");
    }
    let issuance = browser.get(&way(&got, "Every event of this issuance").unwrap()).await;
    assert_eq!(listed(&issuance).len(), 2);
    assert!(listed(&issuance).contains(&to));
    let first = browser.get(&format!("/audit/{stream}/1")).await;
    assert!(first.status == 200 && first.text.contains("stream.opened"), "{}", first.text);
    for nowhere in [
        format!("/audit/{stream}/999999"),
        format!("/audit/{stream}/x"),
        "/audit/x/1".to_owned(),
        format!("/audit/{stream}/0"),
    ] {
        assert_eq!(browser.get(&nowhere).await.status, 404, "{nowhere}");
    }
    test.close().await;
}

async fn what_is_filtered_is_taken_away_as_the_api_gives_it(db: &TestDb) {
    let test = TestApp::start(db).await;
    a_little_history(&test).await;
    test.credentials(Alice, &json!({"role": "prod/ReadOnly", "reason": EVIL})).await;
    let mut browser = auditor(&test).await;
    let got = browser.get("/audit?kind=credentials.issued&account=prod&q=e").await;
    for (name, media_type) in [("CSV", "text/csv"), ("JSONL", "application/jsonl")] {
        let to = way(&got, name).unwrap();
        let file = browser.get(&to).await;
        assert_eq!((file.status, file.header("content-type").contains(media_type)), (200, true), "{to}");
        assert!(
            file.header("content-disposition").starts_with("attachment") && file.header("cache-control") == "no-store"
        );
        let api = test.get(&to.replace("/audit/export", "/v1/audit/export"), Auditor).await;
        assert_eq!(file.text, api.text, "byte for byte");
        assert_eq!(file.text.lines().count(), listed(&got).len() + usize::from(name == "CSV"));
        if name == "CSV" {
            assert!(file.text.contains("\"'=HYPERLINK("), "{}", file.text);
            assert!(!file.text.contains(",\"=HYPERLINK") && !file.text.contains(",=HYPERLINK"));
        }
    }
    assert_eq!(browser.get("/audit/export?format=xlsx").await.status, 422);
    // No power that the API lacks: text within at most 31 days.
    let far = "/audit/export?q=e&since=2025-01-01&until=2026-01-01";
    assert_eq!(browser.get(far).await.status, 422);
    assert_eq!(browser.get("/audit?q=%00").await.status, 200);
    assert_eq!(test.get("/v1/audit/events?q=%00", Auditor).await.status, 200);
    let taken = records_of(db, "audit.exported").await;
    assert_eq!(taken[0]["detail"]["account"], "111122223333");
    test.close().await;
}

async fn what_strangers_write_stays_text(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.request(Method::POST, "/v1/credentials", Alice)
        .header("user-agent", EVIL)
        .json(&json!({"role": "prod/ReadOnly", "reason": EVIL}))
        .send()
        .await;
    test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await;
    let mut browser = auditor(&test).await;
    let list = browser.get("/audit?kind=credentials.issued").await;
    let event = listed(&list).pop().unwrap();
    for path in [
        "/audit?kind=credentials.issued".to_owned(),
        event,
        format!("/audit?{}", encoded(&[("q", EVIL), ("principal", EVIL), ("account", EVIL), ("since", EVIL)])),
        "/audit/charts".to_owned(),
        "/audit/streams".to_owned(),
    ] {
        let html = browser.get(&path).await.text;
        assert!(!html.contains("<script>") && !html.contains(" style=") && !html.contains(" onclick"), "{path} {html}");
    }
    assert!(list.text.contains("&#60;script&#62;alert(1)"), "{}", list.text);
    test.close().await;
}

async fn others_see_none_of_it(db: &TestDb) {
    let test = TestApp::start(db).await;
    let heads = test.get("/v1/audit/heads", Admin).await;
    let stream = heads.body()["heads"][0]["stream"].as_str().unwrap().to_owned();
    let pages =
        ["/audit", "/audit/charts", "/audit/streams", "/audit/export?format=csv", &format!("/audit/{stream}/1")];
    let mut alice = Browser::new(&test);
    alice.sign_in("alice@example.com", &["developers"]).await;
    for path in pages {
        let got = alice.get(path).await;
        assert!(got.status == 403 && got.text.contains("forbidden") && !got.text.contains("stream.opened"), "{path}");
    }
    assert!(!alice.get("/access").await.text.contains("href=\"/audit\""));
    assert!(records_of(db, "audit.read").await.is_empty() && records_of(db, "audit.exported").await.is_empty());
    for (email, groups) in [("auditor@example.com", &[][..]), ("admin@example.com", &["cloud-platform"])] {
        let mut reader = Browser::new(&test);
        reader.sign_in(email, groups).await;
        for path in pages {
            assert_eq!(reader.get(path).await.status, 200, "{email} {path}");
        }
        assert!(reader.get("/access").await.text.contains("href=\"/audit\""));
    }
    test.close().await;
}

async fn streams_say_whether_they_are_open(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.clock.advance(Duration::from_secs(1));
    test.start_another(db).await.close().await;
    let mut browser = auditor(&test).await;
    let got = browser.get("/audit/streams").await;
    let heads = test.get("/v1/audit/heads", Auditor).await.body()["heads"].as_array().unwrap().clone();
    let rows: Vec<&str> = got.text.split("<tr>").skip(2).collect();
    assert_eq!((rows.len(), heads.len()), (2, 2));
    assert!(rows[0].contains(">closed</span>") && rows[1].contains(">open</span>"), "{}", got.text);
    for head in heads {
        let (stream, seq) = (head["stream"].as_str().unwrap(), &head["seq"]);
        assert!(got.text.contains(&format!("/audit/{stream}/{seq}")), "{stream} {seq}");
        assert!(got.text.contains(head["hash"].as_str().unwrap()) && got.text.contains(head["at"].as_str().unwrap()));
    }
    test.close().await;
}

async fn a_chart_has_its_table(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = auditor(&test).await;
    let empty = browser.get("/audit/charts").await;
    assert!(empty.text.contains("Nothing was issued or refused in these days."), "{}", empty.text);
    test.clock.advance(Duration::from_hours(40 * 24));
    a_little_history(&test).await;
    test.credentials(Alice, &json!({"role": "prod/Deploy", "reason": "INC-9"})).await;
    test.clock.advance(Duration::from_hours(48));
    let mut browser = auditor(&test).await;
    let got = browser.get("/audit/charts").await;
    for title in
        ["Issuances and refusals a day", "Busiest roles", "Busiest people", "Time since last use of each grant"]
    {
        let section =
            got.text.split_once(&format!("<h2>{title}</h2>")).expect(title).1.split("</section>").next().unwrap();
        assert!(
            section.contains("<svg ") && section.contains("<table>") && section.contains("role=\"img\" aria-label=\""),
            "{section}"
        );
    }
    let html = got.text.replace("&#38;", "&");
    assert!(html.contains("6 issuances and 5 refusals in 30 days"), "{html}");
    assert!(
        html.contains("kind=credentials.issued&since=2026-02-11T00%3A00%3A00Z&until=2026-02-12T00%3A00%3A00Z\">6</a>"),
        "{html}"
    );
    assert!(
        html.contains("first is prod/ReadOnly, with 5 issuances")
            && html.contains("first is alice@example.com, with 6")
    );
    // Two of the three that are alice's and the developers', and none of the others.
    assert!(
        html.contains("2 of 4 grants were not used") && html.contains("2 d ago") && html.contains("none known"),
        "{html}"
    );

    test.close().await;
}
