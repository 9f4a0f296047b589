//! The portal's allowlist: what auditors see of it, and what admins change.

use crate::{
    portal::{Browser, Got, encoded},
    support::{
        app::{
            ALLOWLIST,
            Persona::{Admin, Alice, Mallory},
            TestApp, records_of,
        },
        database::{TestDb, on_both},
    },
};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

on_both!(
    auditors_see_all_of_it_and_change_nothing,
    others_see_none_of_it,
    a_change_needs_a_new_sign_in_and_the_forms_own_token,
    a_grant_is_made_and_ended,
    what_is_wrong_with_a_grant_stands_at_its_field,
    a_block_is_made_and_lifted,
    a_file_is_planned_and_then_applied,
    a_file_that_was_overtaken_is_planned_anew,
    roles_are_found_and_paged,
    who_can_reach_what_is_told_by_person_and_by_role,
    why_and_why_not_is_explained,
    the_history_marks_what_somebody_did_for_themselves,
    what_others_wrote_stays_text,
);

const EVIL: &str = "<script>alert(1)</script>";
const PAGES: [&str; 7] = [
    "/allowlist",
    "/allowlist/grants",
    "/allowlist/blocks",
    "/allowlist/reach",
    "/allowlist/explain",
    "/allowlist/file",
    "/allowlist/history",
];
const CHANGES: [&str; 3] = ["/allowlist/grants/new", "/allowlist/blocks/new", "/allowlist/file/change"];

async fn admin(test: &TestApp) -> Browser<'_> {
    let mut browser = Browser::new(test);
    browser.sign_in("admin@example.com", &["cloud-platform"]).await;
    browser
}

async fn auditor(test: &TestApp) -> Browser<'_> {
    let mut browser = Browser::new(test);
    browser.sign_in("auditor@example.com", &[]).await;
    browser
}

/// A form of the page's own.
async fn send(browser: &mut Browser<'_>, path: &str, fields: &[(&str, &str)]) -> Got {
    let csrf = browser.csrf().await;
    browser.post(path, &[&[("csrf", csrf.as_str())], fields].concat()).await
}

fn grant<'a>(to: &'a str, until: &'a str) -> [(&'a str, &'a str); 4] {
    [("to", to), ("role", "prod/Deploy"), ("expires", until), ("reason", "INC-42")]
}

/// As a browser's field has a moment of the next day.
const TOMORROW: &str = "2026-01-03T03:04";

async fn auditors_see_all_of_it_and_change_nothing(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = auditor(&test).await;
    for (path, shown) in PAGES.into_iter().zip([
        "Look, don&#39;t touch",
        "single grant",
        "Nobody is blocked",
        "role",
        "Explain",
        "hp-external",
        "File applied",
    ]) {
        let got = browser.get(path).await;
        assert_eq!((got.status, got.text.contains(shown)), (200, true), "{path} {shown} {}", got.text);
        assert!(!got.text.contains("/new\"") && !got.text.contains("/change\""), "no way to change: {path}");
    }
    for path in CHANGES {
        assert_eq!(browser.get(path).await.status, 403, "{path}");
        assert_eq!(send(&mut browser, path, &[]).await.status, 403, "{path}");
    }
    let file = browser.get("/allowlist/file/allowlist.toml").await;
    assert_eq!(
        (file.text.as_str(), file.header("content-disposition")),
        (ALLOWLIST, "attachment; filename=\"allowlist.toml\"")
    );
    test.close().await;
}

async fn others_see_none_of_it(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = Browser::new(&test);
    browser.sign_in("alice@example.com", &["developers"]).await;
    for path in PAGES.into_iter().chain(CHANGES) {
        let got = browser.get(path).await;
        assert_eq!(got.status, 403, "{path}");
        assert!(!got.text.contains("111122223333"), "{path}");
    }
    assert!(!browser.get("/access").await.text.contains("href=\"/allowlist\""));
    test.close().await;
}

async fn a_change_needs_a_new_sign_in_and_the_forms_own_token(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = admin(&test).await;
    let wish = grant("user:mallory@example.com", TOMORROW);
    assert_eq!(browser.post("/allowlist/grants/new", &wish).await.status, 403, "no token");
    let csrf = browser.csrf().await;
    let body = encoded(&[&[("csrf", csrf.as_str())], &wish[..]].concat());
    for headers in [
        [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example.com")],
        [("sec-fetch-site", "same-site"), ("origin", "null")],
    ] {
        let got = browser.ask(Method::POST, "/allowlist/grants/new", &headers, Some(body.clone())).await;
        assert_eq!(got.status, 403, "{headers:?}");
    }
    test.clock.advance(Duration::from_mins(16));
    for path in CHANGES {
        let got = browser.get(path).await;
        let expected = format!("/login?{}", encoded(&[("fresh", "true"), ("to", path)]));
        assert_eq!((got.status, got.location), (303, expected));
        assert_eq!(send(&mut browser, path, &[]).await.status, 303, "{path}");
    }
    assert_eq!(browser.get("/allowlist/grants").await.status, 200, "to look needs no new one");
    assert!(records_of(db, "grant.added").await.is_empty());
    test.close().await;
}

async fn a_grant_is_made_and_ended(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = admin(&test).await;
    let more = [("max_duration", "1800"), ("require_reason", "true"), ("source_ips", "127.0.0.0/8, ::1/128")];
    let wish = [&grant("mallory@example.com", TOMORROW)[..], &more].concat();
    let got = send(&mut browser, "/allowlist/grants/new", &wish).await;
    assert_eq!((got.status, got.location.as_str()), (303, "/allowlist/grants"), "{}", got.text);
    let made = records_of(db, "grant.added").await.remove(0);
    assert_eq!(
        [&made["principal"], &made["detail"]["to"], &made["reason"], &made["expires_at"], &made["duration_seconds"]],
        [
            &json!("user:admin@example.com"),
            &json!("user:mallory@example.com"),
            &json!("INC-42"),
            &json!("2026-01-03T03:04:00Z"),
            &json!(1800)
        ]
    );
    let list = browser.get("/allowlist/grants").await;
    assert!(list.text.contains("up to 30 min") && list.text.contains("from 127.0.0.0/8"), "{}", list.text);
    let ask = json!({"role": "prod/Deploy", "reason": "INC-42"});
    assert_eq!(test.credentials(Mallory, &ask).await.status, 200);
    let page = format!("/allowlist/grants/{}", made["grant_id"].as_str().unwrap());
    assert!(list.text.contains(&page) && browser.get(&page).await.text.contains("End this grant"));
    assert!(!auditor(&test).await.get(&page).await.text.contains("End this grant"));
    assert_eq!(send(&mut auditor(&test).await, &page, &[]).await.status, 403);
    let long = send(&mut browser, &page, &[("reason", &"x".repeat(513))]).await;
    assert!(long.status == 422 && long.text.contains("/reason"), "{}", long.text);
    let ended = send(&mut browser, &page, &[("reason", "back from leave")]).await;
    assert_eq!((ended.status, ended.location.as_str()), (303, "/allowlist/grants"));
    assert_eq!(test.credentials(Mallory, &ask).await.status, 403);
    assert_eq!(browser.get(&page).await.status, 404);
    let record = records_of(db, "grant.removed").await.remove(0);
    assert_eq!(
        (&record["principal"], &record["detail"]["end_reason"]),
        (&json!("user:admin@example.com"), &json!("back from leave"))
    );
    let history = browser.get("/allowlist/history").await;
    assert!(history.text.contains("back from leave") && history.text.contains("INC-42"), "{}", history.text);
    test.close().await;
}

async fn what_is_wrong_with_a_grant_stands_at_its_field(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = admin(&test).await;
    for (name, value, fault) in [
        ("to", "nobody:x", "expected a principal"),
        ("role", "prod/Nope", "expected a role that the allowlist lists"),
        ("role", "prod", "expected a role"),
        ("expires", "2025-01-01T00:00", "expected a time in the future"),
        ("expires", "", "required, but not there"),
        ("reason", "", "required, but not there"),
        ("source_ips", "here", "expected an address range"),
        ("session_policy", "{", "expected JSON"),
        ("session_policy", "{}", "expected an IAM policy document"),
    ] {
        let mut wish: Vec<_> =
            grant("mallory@example.com", TOMORROW).into_iter().filter(|field| field.0 != name).collect();
        wish.push((name, value));
        let got = send(&mut browser, "/allowlist/grants/new", &wish).await;
        assert_eq!(got.status, 422, "{name} {value}");
        let at = format!("id=\"{name}-fault\">{fault}");
        assert!(got.text.contains(&at), "{name} {value}: {}", got.text);
        assert!(got.text.contains("value=\"mallory@example.com\"") || name == "to", "what was typed is kept");
    }
    assert!(records_of(db, "grant.added").await.is_empty());
    test.close().await;
}

async fn a_block_is_made_and_lifted(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = admin(&test).await;
    for (field, value) in [("principal", "alice@example.com"), ("role", "prod/ReadOnly")] {
        let got = send(&mut browser, "/allowlist/blocks/new", &[(field, value), ("reason", "laptop lost")]).await;
        assert_eq!((got.status, got.location.as_str()), (303, "/allowlist/blocks"), "{}", got.text);
        assert_eq!(test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await.status, 403);
        let made = records_of(db, "block.added").await.pop().unwrap();
        let page = format!("/allowlist/blocks/{}", made["detail"]["block_id"].as_str().unwrap());
        assert!(browser.get("/allowlist/blocks").await.text.contains(&page));
        assert!(browser.get(&page).await.text.contains("laptop lost"));
        assert_eq!(send(&mut browser, &page, &[("reason", "found again")]).await.status, 303);
        assert_eq!(records_of(db, "block.removed").await.pop().unwrap()["detail"]["end_reason"], "found again");
        assert_eq!(test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await.status, 200);
        assert_eq!(browser.get(&page).await.status, 404);
    }
    for wish in [&[("reason", "x")][..], &[("principal", "a"), ("role", "prod/ReadOnly"), ("reason", "x")]] {
        let got = send(&mut browser, "/allowlist/blocks/new", wish).await;
        assert!(got.status == 422 && got.text.contains("expected either a principal or a role"), "{}", got.text);
    }
    test.close().await;
}

const SMALL: &str = "[[account]]\nid = \"111122223333\"\nalias = \"prod\"\n  [[account.role]]\n  name = \"ReadOnly\"\n\n\
    [[grant]]\nto = [\"user:mallory@example.com\"]\nroles = [\"prod/ReadOnly\"]\n";

async fn a_file_is_planned_and_then_applied(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = admin(&test).await;
    assert!(browser.get("/allowlist/file/change").await.text.contains("hp-external-id-of-prod"), "the file as it is");
    let windows = SMALL.replace('\n', "\r\n");
    let planned = send(&mut browser, "/allowlist/file/change", &[("file", &windows)]).await;
    assert_eq!(planned.status, 200, "{}", planned.text);
    for shown in [
        "Who gains",
        "user:mallory@example.com → prod/ReadOnly",
        "Who loses",
        "Apply it",
        "name=\"revision\" value=\"1\"",
    ] {
        assert!(planned.text.contains(shown), "{shown}: {}", planned.text);
    }
    assert_eq!(test.app.access.find_document().await.unwrap().revision, 1, "nothing was applied");
    let applied = send(&mut browser, "/allowlist/file/change", &[("file", &windows), ("revision", "1")]).await;
    assert_eq!((applied.status, applied.location.as_str()), (303, "/allowlist/file"), "{}", applied.text);
    let document = test.app.access.find_document().await.unwrap();
    assert_eq!((document.revision, document.text.as_str()), (2, SMALL));
    assert_eq!(records_of(db, "allowlist.applied").await[1]["principal"], "user:admin@example.com");
    assert_eq!(test.credentials(Mallory, &json!({"role": "prod/ReadOnly"})).await.status, 200);
    let wrong = send(&mut browser, "/allowlist/file/change", &[("file", "[[grant]]\nto = 1\n")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("Line 2: <code>/grant/0/to</code> expected"), "{}", wrong.text);
    assert!(!wrong.text.contains("Apply it"));
    test.close().await;
}

async fn a_file_that_was_overtaken_is_planned_anew(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = admin(&test).await;
    test.apply(&format!("{ALLOWLIST}\n# another")).await;
    let late = send(&mut browser, "/allowlist/file/change", &[("file", SMALL), ("revision", "1")]).await;
    assert_eq!(late.status, 412, "{}", late.text);
    assert!(late.text.contains("Somebody changed the allowlist in between") && late.text.contains("value=\"2\""));
    assert_eq!(test.app.access.find_document().await.unwrap().revision, 2);
    test.close().await;
}

async fn roles_are_found_and_paged(db: &TestDb) {
    let test = TestApp::start_empty(db).await;
    let roles: Vec<String> = (0..120).map(|i| format!("  [[account.role]]\n  name = \"Role{i:03}\"\n")).collect();
    test.apply(&format!("[[account]]\nid = \"111122223333\"\nalias = \"prod\"\n{}", roles.concat())).await;
    let mut browser = auditor(&test).await;
    let (mut path, mut pages) = ("/allowlist".to_owned(), Vec::new());
    loop {
        let got = browser.get(&path).await;
        pages.push(got.text.matches("<li><div class=\"role\">").count());
        let Some((_, rest)) = got.text.split_once("rel=\"next\" href=\"") else { break };
        path = rest.split('"').next().unwrap().replace("&#38;", "&");
    }
    assert_eq!(pages, [50, 50, 20]);
    for (query, count) in [("role07", 10), ("prod ROLE119", 1), ("%", 0), ("_ole", 0), ("\u{0}role00\u{7}", 10)] {
        let got = browser.get(&format!("/allowlist?{}", encoded(&[("q", query)]))).await;
        assert_eq!((got.status, got.text.matches("<li><div class=\"role\">").count()), (200, count), "{query:?}");
    }
    test.close().await;
}

async fn who_can_reach_what_is_told_by_person_and_by_role(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = admin(&test).await;
    send(&mut browser, "/allowlist/grants/new", &grant("mallory@example.com", TOMORROW)).await;
    send(&mut browser, "/allowlist/blocks/new", &[("role", "prod/Deploy"), ("reason", "frozen")]).await;
    for (fields, shown, hidden) in [
        (
            &[("person", "mallory@example.com")][..],
            &["prod/Deploy", "blocked: frozen", "single grant"][..],
            &["ReadOnly"][..],
        ),
        (&[("person", "alice@example.com")], &["prod/ReadOnly", "444455556666/Plain"], &["blocked: frozen"]),
        (&[("person", "x"), ("groups", "developers")], &["prod/Deploy", "group:developers"], &["Plain"]),
        (&[("person", "x")], &["No grant that is not over reaches them"], &[]),
        (
            &[("role", "prod/Deploy")],
            &["group:developers", "user:mallory@example.com", "The role is blocked"],
            &["Plain"],
        ),
        (&[("role", "444455556666/Plain")], &["workload:ci/apply", "444455556666/<wbr>*"], &["Deploy"]),
        (&[("role", "prod/Forbidden")], &["Nobody has a grant for it"], &[]),
    ] {
        let got = browser.get(&format!("/allowlist/reach?{}", encoded(fields))).await;
        assert_eq!(got.status, 200, "{fields:?}");
        let main = got.text.split_once("</form></div>").unwrap().1;
        assert!(shown.iter().all(|text| main.contains(text)), "{fields:?} {main}");
        assert!(!hidden.iter().any(|text| main.contains(text)), "{fields:?} {main}");
    }
    for (blocked, marks) in [("user:nobody@example.com", 0), ("user:mallory@example.com", 1), ("group:developers", 2)] {
        send(&mut browser, "/allowlist/blocks/new", &[("principal", blocked), ("reason", "away")]).await;
        let page = browser.get("/allowlist/reach?role=prod/Deploy").await.text;
        assert_eq!(page.matches(">blocked<").count(), marks, "{blocked} {page}");
    }
    for (fields, id) in
        [(("role", "prod/Nope"), "role"), (("person", "nobody:x"), "person"), (("groups", "user:x:"), "groups")]
    {
        let got = browser.get(&format!("/allowlist/reach?{}", encoded(&[fields]))).await;
        let told = got.text.contains(&format!("id=\"{id}-fault\">expected"));
        assert!((got.status, told) == (422, true) || id == "groups", "{fields:?} {}", got.text);
    }
    test.clock.advance(Duration::from_hours(48));
    browser.sign_in("admin@example.com", &["cloud-platform"]).await;
    let over = browser.get("/allowlist/reach?person=mallory@example.com").await;
    assert!(over.text.contains("No grant that is not over reaches them"), "{}", over.text);
    assert!(browser.get("/allowlist/reach?role=prod/Deploy").await.text.contains(">over<"));
    let read = records_of(db, "audit.read").await;
    assert_eq!(read[0]["detail"], json!({"read": "reach", "principals": ["user:mallory@example.com"]}));
    test.close().await;
}

async fn why_and_why_not_is_explained(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = auditor(&test).await;
    let developer = [("person", "zoe@example.com"), ("groups", "developers"), ("role", "prod/Deploy")];
    for (more, status, shown) in [
        (&[][..], 200, &["not allowed", "the grant requires a reason, and none was given"][..]),
        (&[("reason", "INC-42"), ("duration", "1800")], 200, &[">allowed<", "For 30 min", "to group:developers"]),
        (&[("source_ip", "nowhere")], 422, &["source_ip-fault\">expected an address"]),
        (&[("duration", "7")], 422, &["between 900 and 43200"]),
    ] {
        let fields = [&developer[..], more].concat();
        let got = browser.get(&format!("/allowlist/explain?{}", encoded(&fields))).await;
        assert_eq!(got.status, status, "{fields:?}");
        assert!(shown.iter().all(|text| got.text.contains(text)), "{fields:?} {}", got.text);
    }
    let stranger = browser.get("/allowlist/explain?person=zoe@example.com&role=prod/Deploy").await;
    assert!(stranger.text.contains("No grant gives this role to them"), "{}", stranger.text);
    let nobody = browser.get("/allowlist/explain?role=prod/Deploy").await;
    assert!(nobody.status == 422 && nobody.text.contains("person-fault\">expected somebody"), "{}", nobody.text);
    assert_eq!(records_of(db, "audit.read").await[0]["detail"]["read"], "explain");
    test.close().await;
}

async fn the_history_marks_what_somebody_did_for_themselves(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = admin(&test).await;
    let marks = async |browser: &mut Browser<'_>| {
        let page = browser.get("/allowlist/history").await.text;
        page.split("<tr>").skip(2).map(|row| row.contains("for themselves")).collect::<Vec<bool>>()
    };
    let mut expected = vec![false];
    for (to, gains) in [
        ("mallory@example.com", false),
        ("admin@example.com", true),
        ("group:cloud-platform", true),
        ("group:developers", false),
    ] {
        test.clock.advance(Duration::from_secs(1));
        assert_eq!(send(&mut browser, "/allowlist/grants/new", &grant(to, TOMORROW)).await.status, 303);
        expected.insert(0, gains);
    }
    let files = [(SMALL.replace("user:mallory@example.com", "group:cloud-platform"), true), (SMALL.to_owned(), false)];
    for (file, gains) in &files {
        test.clock.advance(Duration::from_secs(1));
        let revision = test.app.access.find_document().await.unwrap().revision.to_string();
        let got = send(&mut browser, "/allowlist/file/change", &[("file", file), ("revision", &revision)]).await;
        assert_eq!(got.status, 303, "{}", got.text);
        expected.insert(0, *gains);
    }
    let block_and_lift = async |on: &str, its: &str| {
        test.clock.advance(Duration::from_secs(1));
        let made = test.post("/v1/blocks", Admin, &json!({on: its, "reason": "x"})).await;
        test.clock.advance(Duration::from_secs(1));
        assert_eq!(test.delete(&format!("/v1/blocks/{}", made.member("id")), Admin).await.status, 204);
    };
    for (on, its, gains) in [
        ("principal", "group:cloud-platform", true),
        ("principal", "user:mallory@example.com", false),
        ("role", "prod/ReadOnly", false),
    ] {
        block_and_lift(on, its).await;
        expected.splice(0..0, [gains, false]);
    }
    test.clock.advance(Duration::from_secs(1));
    let wish = json!({"to": "user:admin@example.com", "role": "prod/ReadOnly", "reason": "x", "expires": "2026-01-03T00:00:00Z"});
    assert_eq!(test.post("/v1/grants", Admin, &wish).await.status, 201);
    block_and_lift("role", "prod/ReadOnly").await;
    expected.splice(0..0, [true, false, true]);
    assert_eq!(marks(&mut browser).await, expected);
    let applied = records_of(db, "allowlist.applied").await;
    assert_eq!((&applied[1]["detail"]["gained"], &applied[1]["detail"]["gained_count"]), (&json!(true), &json!(1)));
    assert_eq!(applied[2]["detail"]["gained"], json!(null));
    // Page by page, each change once.
    for i in 0..60 {
        test.clock.advance(Duration::from_millis(1));
        let wish = json!({"principal": format!("user:x{i}"), "reason": "x"});
        assert_eq!(test.post("/v1/blocks", Admin, &wish).await.status, 201);
    }
    let first = browser.get("/allowlist/history").await.text;
    let next = first.split_once("rel=\"next\" href=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let second = browser.get(&next).await.text;
    assert_eq!((first.matches("<tr>").count(), second.matches("<tr>").count()), (51, 61 + expected.len() - 50));
    test.close().await;
}

async fn what_others_wrote_stays_text(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = admin(&test).await;
    let wish = [("to", "user:<b>bold</b>"), ("role", "prod/Deploy"), ("expires", TOMORROW), ("reason", EVIL)];
    assert_eq!(send(&mut browser, "/allowlist/grants/new", &wish).await.status, 303);
    send(&mut browser, "/allowlist/blocks/new", &[("principal", "user:<b>bold</b>"), ("reason", EVIL)]).await;
    let query = encoded(&[("person", EVIL), ("role", EVIL), ("groups", EVIL)]);
    for path in PAGES.into_iter().map(str::to_owned).chain([
        format!("/allowlist?{}", encoded(&[("q", EVIL)])),
        format!("/allowlist/reach?{query}"),
        format!("/allowlist/reach?{}", encoded(&[("person", "user:<b>bold</b>")])),
        format!("/allowlist/explain?{query}"),
        format!("/allowlist/grants?{}", encoded(&[("principal", EVIL)])),
        format!("/allowlist/grants/new?{}", encoded(&[("to", EVIL), ("session_policy", "</textarea><script>")])),
    ]) {
        let got = browser.get(&path).await;
        assert!(!got.text.contains("<script>") && !got.text.contains("<b>bold"), "{path}: {}", got.text);
    }
    let got = send(&mut browser, "/allowlist/file/change", &[("file", &format!("# </textarea>{EVIL}\n{SMALL}"))]).await;
    assert!(got.status == 200 && !got.text.contains("<script>"), "{}", got.text);
    test.close().await;
}
