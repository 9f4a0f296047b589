//! The portal as the people use it who want a role: found by typing, got in two ways, refused with the reasons; and what
//! they see of it afterwards.

use crate::{
    portal::{Browser, Got, encoded},
    support::{
        app::{
            ALLOWLIST,
            Persona::{Alice, Mallory},
            TestApp, records_of, rows,
        },
        database::{TestDb, on_both},
        log,
    },
};
use reqwest::Method;
use serde_json::json;
use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

on_both!(
    roles_are_found_by_typing,
    a_list_says_what_each_role_needs,
    credentials_are_those_that_sts_made,
    the_console_opens_signed_in,
    a_refusal_says_what_the_server_says,
    reasons_and_durations_are_checked,
    a_reason_is_asked_for_where_it_opens_more,
    what_strangers_write_stays_text,
    who_has_no_role_is_told_whom_to_ask,
    five_thousand_roles_are_a_page_at_a_time,
    what_cannot_be_had_takes_no_page,
    favourites_and_what_was_last_used_come_first,
    a_star_needs_the_portals_own_form,
    nobody_sees_what_others_did,
    activity_leads_there_and_back,
    what_was_last_used_is_found_by_an_index,
);

const EVIL: &str = "<script>alert(1)</script>";

async fn alice(test: &TestApp) -> Browser<'_> {
    let mut browser = Browser::new(test);
    browser.sign_in("alice@example.com", &["developers"]).await;
    browser
}

/// The roles that a page of the list shows, in its order.
fn listed(got: &Got) -> Vec<String> {
    assert_eq!(got.status, 200, "{}", got.text);
    let links = got.text.split(r#"<div class="role"><a href="/access/"#).skip(1);
    links.map(|link| link.split('"').next().unwrap().to_owned()).collect()
}

/// The headings of a page's groups.
fn headings(got: &Got) -> Vec<&str> {
    let headings = got.text.split("<h2>").skip(1);
    headings.map(|heading| heading.split(['<', '\n']).next().unwrap().trim()).collect()
}

async fn submit(browser: &mut Browser<'_>, path: &str, fields: &[(&str, &str)]) -> Got {
    let csrf = browser.csrf().await;
    browser.post(path, &[fields, &[("csrf", &csrf)]].concat()).await
}

/// The address behind a link that says this.
fn way(got: &Got, text: &str) -> Option<String> {
    let link = got.text.split("<a ").find(|link| link.contains(&format!(">{text}</a>")))?;
    let to = link.split_once("href=\"")?.1.split('"').next()?;
    Some(to.replace("&#38;", "&").replace("&amp;", "&"))
}

async fn roles_are_found_by_typing(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut alice = alice(&test).await;
    assert_eq!(listed(&alice.get("/access").await), ["prod/Deploy", "prod/ReadOnly", "444455556666/Plain"]);
    for (typed, found) in [
        ("deploy", &["prod/Deploy"][..]),
        ("prod", &["prod/Deploy", "prod/ReadOnly"]),
        ("PROD/read", &["prod/ReadOnly"]),
        ("touch production", &["prod/ReadOnly"]),
        ("4444 plain", &["444455556666/Plain"]),
        ("  ", &["prod/Deploy", "prod/ReadOnly", "444455556666/Plain"]),
        ("forbidden", &[]),
        ("%", &[]),
        ("_", &[]),
        ("'; DROP TABLE roles; --", &[]),
        ("prod\0", &["prod/Deploy", "prod/ReadOnly"]),
    ] {
        let got = alice.get(&format!("/access?{}", encoded(&[("q", typed)]))).await;
        assert_eq!(listed(&got), found, "{typed}");
    }
    let none = alice.get(&format!("/access?{}", encoded(&[("q", EVIL)]))).await.text;
    assert!(none.contains("No role that you may have now matches") && !none.contains(EVIL), "{none}");
    assert_eq!(alice.get("/access?q=a&x=1").await.status, 422);
    assert_eq!(alice.get("/access?after=nonsense").await.status, 422);
    test.close().await;
}

async fn a_list_says_what_each_role_needs(db: &TestDb) {
    let test = TestApp::start_empty(db).await;
    let narrowed = r#"
[[grant]]
to = ["user:alice@example.com"]
roles = ["prod/Forbidden"]
expires = 2026-02-01T00:00:00Z
session_policy = { Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:Get*", Resource = "*" }] }
"#;
    test.apply(&format!("{ALLOWLIST}{narrowed}")).await;
    let mut alice = alice(&test).await;
    let page = alice.get("/access").await;
    assert_eq!(headings(&page), ["prod", "444455556666"]);
    let terms = page.text.split(r#"<p class="terms">"#).skip(1).map(|terms| terms.split("</p>").next().unwrap());
    insta::allow_duplicates!(insta::assert_snapshot!(terms.collect::<Vec<_>>().join("\n"), @r#"
    <span>up to 1 h</span><span class="badge">reason</span>
    <span>up to 1 h</span><span class="badge">narrowed</span><span class="badge warn">until <time datetime="2026-02-01T00:00:00Z">2026-02-01 00:00 UTC</time></span>
    <span>up to 2 h</span>
    <span>up to 12 h</span>
    "#));
    let role = |path| format!("/access/{path}");
    let deploy = alice.get(&role("prod/Deploy")).await.text;
    assert!(deploy.contains(r#"name="reason""#) && deploy.contains(" required>"), "{deploy}");
    assert!(!deploy.contains(r#"name="duration""#), "an hour is all there is");
    let plain = alice.get(&role("444455556666/Plain")).await.text;
    assert!(!plain.contains(r#"name="reason""#), "{plain}");
    let lengths: Vec<&str> = plain.split("<option value=\"").skip(1).map(|o| o.split('"').next().unwrap()).collect();
    assert_eq!(lengths, ["900", "1800", "3600", "7200", "14400", "28800", "43200"]);
    assert!(plain.contains(r#"<option value="3600" selected>1 h"#), "{plain}");
    test.close().await;
}

async fn credentials_are_those_that_sts_made(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut alice = alice(&test).await;
    let path = "/access/prod/ReadOnly";
    let got = submit(&mut alice, path, &[("want", "credentials"), ("duration", "7200")]).await;
    assert_eq!((got.status, got.header("cache-control"), got.location.as_str()), (200, "no-store", ""), "{}", got.text);
    let minted = test.sts.minted().remove(0);
    let (id, secret, token) = (minted.access_key_id, minted.secret_access_key, minted.session_token);
    let unescaped = got.text.replace("&#39;", "'").replace("&#34;", "\"").replace("&amp;", "&").replace("&#38;", "&");
    for line in [
        format!("export AWS_SECRET_ACCESS_KEY='{secret}'\n"),
        format!("set -gx AWS_SESSION_TOKEN '{token}'\n"),
        format!("$env:AWS_ACCESS_KEY_ID = '{id}'\n"),
        format!("set \"AWS_SECRET_ACCESS_KEY={secret}\"\r\n"),
        format!("[prod-ReadOnly]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
        "[profile prod-ReadOnly]\ncredential_process = hallpass creds prod/ReadOnly --format process\n".to_owned(),
        format!(">{token}</pre>"),
        "2026-01-02T05:04:05Z".to_owned(),
    ] {
        assert!(unescaped.contains(&line), "{line} in {unescaped}");
    }
    let issued = records_of(db, "credentials.issued").await.remove(0);
    assert_eq!((&issued["access_key_id"], &issued["duration_seconds"]), (&json!(id), &json!(7200)));
    assert_eq!(
        (&issued["principal"], &issued["auth"]["method"]),
        (&json!("user:alice@example.com"), &json!("session"))
    );
    assert!(got.text.contains(issued["issuance_id"].as_str().unwrap()));
    // On that one page, and nowhere else.
    let mut connection = db.connect().await;
    let mut elsewhere = log::text();
    for table in ["audit_events", "sessions", "pending"] {
        elsewhere += &rows(&mut connection, db, table).await.join("\n");
    }
    for page in [path, "/access", "/activity"] {
        elsewhere += &alice.get(page).await.text;
    }
    assert!(!elsewhere.contains(&secret) && !elsewhere.contains(&token));
    test.close().await;
}

async fn the_console_opens_signed_in(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut alice = alice(&test).await;
    let got = submit(&mut alice, "/access/prod/Deploy", &[("want", "console"), ("reason", "INC-42")]).await;
    assert_eq!(got.status, 303, "{}", got.text);
    assert!(got.location.starts_with(&format!("{}/federation?Action=login", test.signin.url)), "{}", got.location);
    assert_eq!((got.header("referrer-policy"), got.header("cache-control")), ("no-referrer", "no-store"));
    let issued = records_of(db, "console.issued").await.remove(0);
    assert_eq!((&issued["reason"], &issued["purpose"]), (&json!("INC-42"), &json!("console")));
    let token = got.location.split("SigninToken=").nth(1).unwrap().split('&').next().unwrap();
    let elsewhere = log::text() + &rows(&mut db.connect().await, db, "audit_events").await.join("\n");
    assert!(!token.is_empty() && !elsewhere.contains(token));
    // Refused, it is the role's page that says so.
    let refused = submit(&mut alice, "/access/prod/Deploy", &[("want", "console")]).await;
    assert!(refused.status == 422 && refused.text.contains("reason_required"), "{}", refused.text);
    test.close().await;
}

async fn a_refusal_says_what_the_server_says(db: &TestDb) {
    let test = TestApp::start_empty(db).await;
    let over =
        "\n[[grant]]\nto = [\"group:developers\"]\nroles = [\"prod/Forbidden\"]\nexpires = 2025-01-31T18:00:00Z\n";
    test.apply(&format!("{ALLOWLIST}{over}")).await;
    let mut alice = alice(&test).await;
    let sentence = "No grant of yours allows this role now, or there is no such role.";
    for (role, reason) in [("prod/Forbidden", "the grant expired at 2025-01-31T18:00:00Z"), ("prod/NoSuch", "")] {
        let path = format!("/access/{role}");
        let looked = alice.get(&path).await;
        assert_eq!((looked.status, looked.text.contains(sentence), looked.text.contains(reason)), (200, true, true));
        assert!(looked.text.contains("user:alice@example.com") && looked.text.contains("group:developers"));
        assert!(!looked.text.contains(r#"name="want""#), "nothing to press");
        let got = submit(&mut alice, &path, &[]).await;
        assert_eq!(got.status, 403, "{}", got.text);
        assert!(got.text.contains(sentence) && got.text.contains(reason) && got.text.contains("not_allowed"));
    }
    assert_eq!(records_of(db, "credentials.denied").await.len(), 2);
    // A role that is there and not granted is as one that is not there.
    let [there, not_there] = ["prod/Unknown", "nowhere/Unknown"].map(|role| format!("/access/{role}"));
    let (there, not_there) = (alice.get(&there).await, alice.get(&not_there).await);
    assert_eq!(there.text.replace("prod/Unknown", "X"), not_there.text.replace("nowhere/Unknown", "X"));
    for path in ["/access/prod/%3Cscript%3E", "/access/-/ReadOnly"] {
        assert_eq!(alice.get(path).await.status, 422, "{path}");
    }
    assert!(test.sts.minted().is_empty());
    // AWS's own refusal, and what to look at.
    test.sts.behave("ReadOnly", crate::support::sts::Behaviour::ACCESS_DENIED);
    let failed = submit(&mut alice, "/access/prod/ReadOnly", &[]).await;
    assert_eq!(failed.status, 502);
    assert!(failed.text.contains("sts_refused") && failed.text.contains("sts:TagSession"), "{}", failed.text);
    assert!(failed.text.contains(r#"name="want""#), "to be tried again");
    assert!(log::text().contains(r#""code":"sts_refused""#));
    test.close().await;
}

async fn reasons_and_durations_are_checked(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut alice = alice(&test).await;
    let long = "x".repeat(513);
    let deploy = "/access/prod/Deploy";
    for (path, fields, fault) in [
        (deploy, &[("reason", "  ")][..], "required by the grant"),
        (deploy, &[("reason", &*long)], "expected at most 512 characters"),
        (deploy, &[("reason", "a\u{202e}b")], "without control or format characters"),
        (deploy, &[("reason", "INC-42"), ("duration", "an hour")], "expected a whole number of seconds"),
        (deploy, &[("reason", "INC-42"), ("duration", "60")], "expected between 900 and 43200 seconds"),
        (deploy, &[("reason", "INC-42"), ("duration", "7200")], "the role allows at most 3600 seconds"),
        ("/access/prod/ReadOnly", &[("duration", "43200")], "the grant allows at most 7200 seconds"),
    ] {
        let got = submit(&mut alice, path, fields).await;
        assert_eq!(got.status, 422, "{fields:?}: {}", got.text);
        assert!(got.text.contains(fault) && got.text.contains(r#"role="alert""#), "{fault}: {}", got.text);
    }
    assert!(test.sts.minted().is_empty());
    for fields in [&[("want", "money")][..], &[("colour", "red")]] {
        assert_eq!(submit(&mut alice, deploy, fields).await.status, 422);
    }
    let kept = submit(&mut alice, deploy, &[("reason", "INC-42"), ("duration", "60")]).await.text;
    assert!(kept.contains(r#"value="INC-42""#), "what was typed is still there");
    let given = submit(&mut alice, deploy, &[("reason", " INC-42 ")]).await;
    assert!(given.status == 200 && given.text.contains("process --reason=&#34;INC-42&#34;"), "{}", given.text);
    assert_eq!(records_of(db, "credentials.issued").await[0]["reason"], "INC-42");
    test.close().await;
}

async fn a_reason_is_asked_for_where_it_opens_more(db: &TestDb) {
    let test = TestApp::start_empty(db).await;
    let grant =
        |rest: &str| format!("\n[[grant]]\nto = [\"user:alice@example.com\"]\nroles = [\"prod/Forbidden\"]\n{rest}\n");
    let policy = r#"session_policy = { Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:Get*", Resource = "*" }] }"#;
    let asking = "require_reason = true\nmax_duration = \"1h\"";
    for (free, asks) in [("max_duration = \"30m\"", true), ("max_duration = \"1h\"", false), (policy, true)] {
        test.apply(&format!("{ALLOWLIST}{}{}", grant(free), grant(asking))).await;
        let page = alice(&test).await.get("/access/prod/Forbidden").await.text;
        assert_eq!(page.contains(r#"name="reason""#), asks, "{free}: {page}");
        assert!(!page.contains(" required>"), "{free}");
    }
    test.close().await;
}

async fn what_strangers_write_stays_text(db: &TestDb) {
    let test = TestApp::start_empty(db).await;
    let evil = ALLOWLIST
        .replace("Look, don't touch", &format!("{EVIL} \\\"{{{{ 7 * 7 }}}}"))
        .replace(r#"name = "Production""#, &format!("name = \"{EVIL}\""));
    test.apply(&evil).await;
    let mut alice = alice(&test).await;
    let headers = [("sec-fetch-site", "same-origin"), ("user-agent", EVIL)];
    let csrf = alice.csrf().await;
    let fields = encoded(&[("csrf", &csrf), ("reason", EVIL)]);
    let given = alice.ask(Method::POST, "/access/prod/ReadOnly", &headers, Some(fields.clone())).await;
    let refused = alice.ask(Method::POST, "/access/prod/Deploy", &headers, Some(fields + "&duration=1")).await;
    let pages = [given, refused, alice.get("/access").await, alice.get("/activity").await];
    for page in pages {
        assert!(!page.text.contains("<script>alert") && page.text.contains("&#60;script&#62;"), "{}", page.text);
    }
    test.close().await;
}

async fn who_has_no_role_is_told_whom_to_ask(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut mallory = Browser::new(&test);
    mallory.sign_in("mallory@example.com", &["strangers"]).await;
    let page = mallory.get("/access").await;
    assert_eq!(listed(&page), Vec::<String>::new());
    assert_eq!(headings(&page), ["There is no role for you yet"]);
    for told in ["Ask an administrator", "<code>user:mallory@example.com</code>", "<code>group:strangers</code>"] {
        assert!(page.text.contains(told), "{}", page.text);
    }
    assert!(!page.text.contains("ReadOnly"));
    // As the configuration says it, wherever a role may be missing.
    let help = "Ask &#60;b&#62;ops&#60;/b&#62; in #aws, or at <a href=\"https://tickets.example.com/new?a=1&#38;b=2\">\
        https://tickets.example.com/new?a=1&#38;b=2.</a> Not javascript:alert(1)</p>";
    for page in [page, mallory.get("/access/prod/ReadOnly").await, alice(&test).await.get("/access").await] {
        assert!(page.text.contains(help), "{}", page.text);
    }
    let activity = mallory.get("/activity").await.text;
    assert!(activity.contains("Signed in"), "{activity}");
    test.close().await;
}

/// So many accounts with twenty roles each, all of the developers', in rows of the longest texts there may be.
async fn add_roles(db: &TestDb, accounts: u32) {
    let (mut rows, name) = (String::new(), "An account with a name that is as long as names of accounts tend to be");
    for account in 0..accounts {
        let id = 200_000_000_000_u64 + u64::from(account);
        let _ = writeln!(
            rows,
            "INSERT INTO accounts (id, alias, name, tags) VALUES ('{id}', 'team-{account}-production-with-a-long-alias', '{name}', '{{}}');"
        );
        for role in 0..20 {
            let description = "What this role is for, told in more words than a list has place for. ".repeat(3);
            let _ = writeln!(
                rows,
                "INSERT INTO roles (account_id, name, path, description, max_duration_seconds, source_identity, session_tags) VALUES ('{id}', 'A-role-with-a-name-as-long-as-IAM-takes-them-{role:03}', '/', '{description}', 43200, {}, '{{}}');",
                if db.is_postgres() { "TRUE" } else { "1" }
            );
        }
        let _ = writeln!(
            rows,
            "INSERT INTO grants (id, origin, principal, account_id, source_ips, require_reason, created_by, created_at) VALUES ('0198f2a1-0000-7000-8000-{account:012x}', 'file', 'group:developers', '{id}', '[]', {}, 'user:admin@example.com', 0);",
            if db.is_postgres() { "TRUE" } else { "1" }
        );
    }
    db.connect().await.execute(&format!("BEGIN; {rows} COMMIT;")).await;
}

async fn five_thousand_roles_are_a_page_at_a_time(db: &TestDb) {
    let test = TestApp::start(db).await;
    add_roles(db, 250).await;
    let mut alice = alice(&test).await;
    let first = alice.get("/access").await;
    let asset = |start: &str| {
        let name = first.text.split_once(start).unwrap().1.split('"').next().unwrap().to_owned();
        format!("/assets/{name}")
    };
    let mut sent = first.text.len();
    for start in [r#"stylesheet" href="/assets/"#, r#"script src="/assets/"#, r#"svg+xml" href="/assets/"#] {
        sent += alice.get(&asset(start)).await.text.len();
    }
    assert!(sent < 60 * 1024, "{sent} bytes, {} of the page", first.text.len());

    let (mut seen, mut pages, mut got) = (Vec::new(), 0, first);
    loop {
        seen.extend(listed(&got));
        pages += 1;
        match way(&got, "More roles") {
            Some(next) => got = alice.get(&next).await,
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (5003, 126));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 5003, "each once");
    let found = alice.get("/access?q=team-249-+them-007").await;
    assert_eq!(listed(&found).len(), 1, "{}", found.text);
    let found = alice.get("/access?q=-them-007").await;
    let next = way(&found, "More roles").unwrap();
    assert!(next.contains("q=-them-007") && listed(&alice.get(&next).await).len() == 40, "{next}");
    test.close().await;
}

async fn what_cannot_be_had_takes_no_page(db: &TestDb) {
    let test = TestApp::start(db).await;
    add_roles(db, 30).await;
    let mut alice = alice(&test).await;
    // Over: 600 roles are as if they were not there.
    db.connect().await.execute("UPDATE grants SET expires_at = 1 WHERE id LIKE '0198f2a1-0000-7000-8000-%'").await;
    let got = alice.get("/access").await;
    assert_eq!(listed(&got), ["prod/Deploy", "prod/ReadOnly", "444455556666/Plain"]);
    assert_eq!(way(&got, "More roles"), None);
    // For other addresses: no page is empty without a way on, and a word why.
    let elsewhere = r#"UPDATE grants SET expires_at = NULL, source_ips = '["192.0.2.0/24"]' WHERE id LIKE '0198f2a1-0000-7000-8000-%'"#;
    db.connect().await.execute(elsewhere).await;
    let mut got = alice.get("/access?after=111122223333/ReadOnly").await;
    let mut pages = 1;
    while let Some(next) = way(&got, "More roles") {
        assert!(listed(&got).is_empty() && got.text.contains("for other addresses"), "{}", got.text);
        (got, pages) = (alice.get(&next).await, pages + 1);
    }
    assert_eq!((listed(&got), pages), (vec!["444455556666/Plain".to_owned()], 4));
    test.close().await;
}

async fn favourites_and_what_was_last_used_come_first(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut alice = alice(&test).await;
    for (role, reason) in [("prod/ReadOnly", ""), ("prod/Deploy", "INC-1"), ("prod/ReadOnly", "")] {
        test.clock.advance(Duration::from_mins(1));
        assert_eq!(submit(&mut alice, &format!("/access/{role}"), &[("reason", reason)]).await.status, 200);
    }
    // Neither what was refused nor what others used.
    submit(&mut alice, "/access/prod/Forbidden", &[]).await;
    let page = alice.get("/access").await;
    assert_eq!(headings(&page), ["Last used", "prod", "444455556666"]);
    assert_eq!(listed(&page)[..3], ["prod/ReadOnly", "prod/Deploy", "prod/Deploy"]);

    let here = "/access?q=";
    let starred = submit(&mut alice, here, &[("keep", "444455556666/Plain")]).await;
    assert_eq!((starred.status, starred.location.as_str()), (303, here));
    submit(&mut alice, "/access", &[("keep", "111122223333/Deploy")]).await;
    // One that is nobody's, and one that is not for her.
    for role in ["111122223333/Forbidden", "999999999999/None"] {
        assert_eq!(submit(&mut alice, "/access", &[("keep", role)]).await.status, 303);
    }
    let page = alice.get("/access").await;
    assert_eq!(headings(&page), ["Favourites", "Last used", "prod", "444455556666"]);
    assert_eq!(listed(&page)[..4], ["prod/Deploy", "444455556666/Plain", "prod/ReadOnly", "prod/Deploy"]);
    assert!(
        page.text.contains(r#"name="drop" value="111122223333/Deploy" aria-label="Drop prod/Deploy as a favourite""#)
    );
    submit(&mut alice, "/access", &[("drop", "111122223333/Deploy")]).await;
    assert_eq!(listed(&alice.get("/access").await)[..3], ["444455556666/Plain", "prod/ReadOnly", "prod/Deploy"]);
    // A grant that has ended takes its role off the top as well.
    test.apply(&ALLOWLIST.replace(r#"roles = ["prod/ReadOnly"]"#, r#"roles = ["prod/Forbidden"]"#)).await;
    assert_eq!(listed(&alice.get("/access").await)[..2], ["prod/Forbidden", "444455556666/Plain"]);
    test.close().await;
}

async fn a_star_needs_the_portals_own_form(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut alice = alice(&test).await;
    let kept = [("keep", "111122223333/Deploy")];
    assert_eq!(alice.post("/access", &kept).await.status, 403);
    let csrf = alice.csrf().await;
    let fields = Some(encoded(&[kept[0], ("csrf", &csrf)]));
    let headers = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example.com")];
    assert_eq!(alice.ask(Method::POST, "/access", &headers, fields.clone()).await.status, 403);
    assert_eq!(alice.ask(Method::POST, "/access/prod/ReadOnly", &headers, fields).await.status, 403);
    for got in [alice.post("/access/prod/ReadOnly", &[]).await, submit(&mut alice, "/access", &[("keep", "x")]).await] {
        assert!([403, 422].contains(&got.status), "{}", got.status);
    }
    assert!(!alice.cookies.contains_key("__Host-hallpass-favourites"));
    assert!(test.sts.minted().is_empty());
    // Whatever somebody put into the cookie, the page is there.
    for cookie in ["x~y~z", "%00", &"111122223333%2FDeploy~".repeat(90)] {
        alice.cookies.insert("__Host-hallpass-favourites".to_owned(), cookie.to_owned());
        assert_eq!(alice.get("/access").await.status, 200, "{cookie}");
    }
    test.close().await;
}

async fn nobody_sees_what_others_did(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.credentials(Mallory, &json!({"role": "prod/ReadOnly", "reason": "mallory was here"})).await;
    test.credentials(Alice, &json!({"role": "prod/ReadOnly", "reason": "alice was here"})).await;
    test.credentials(Alice, &json!({"role": "prod/Forbidden"})).await;
    let mut alice = alice(&test).await;
    let own = alice.get("/activity").await.text;
    for shown in
        ["alice was here", "Refused", "not_allowed", "2026-01-02 04:04 UTC", "test/1", "127.0.0.1", "Signed in"]
    {
        assert!(own.contains(shown), "{shown}: {own}");
    }
    assert!(!own.contains("mallory"), "{own}");
    assert_eq!(own.matches("credentials.requested").count() + own.matches(">Credentials<").count(), 1, "{own}");
    for query in ["principal=user:mallory@example.com", "q=mallory", "older=x", "older=1_1&newer=1_1"] {
        assert_eq!(alice.get(&format!("/activity?{query}")).await.status, 422, "{query}");
    }
    // From any place in time, still her own.
    let id = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    for way in ["older", "newer"] {
        for micros in [0_u64, 1_767_323_045_000_001, 99_999_999_999_999_999] {
            let page = alice.get(&format!("/activity?{way}={micros}_{id}")).await;
            assert!(page.status == 200 && !page.text.contains("mallory was here"), "{}", page.text);
        }
    }
    test.close().await;
}

async fn activity_leads_there_and_back(db: &TestDb) {
    let test = TestApp::start(db).await;
    for i in 0..100 {
        test.clock.advance(Duration::from_secs(1));
        test.credentials(Alice, &json!({"role": "prod/ReadOnly", "reason": format!("INC-{i:03}")})).await;
    }
    let mut alice = alice(&test).await;
    let reasons = |got: &Got| -> Vec<String> {
        got.text.split(r#"class="reason">"#).skip(1).map(|row| row[..7].to_owned()).collect()
    };
    let mut got = alice.get("/activity").await;
    let (first, mut seen) = (reasons(&got), reasons(&got));
    while let Some(older) = way(&got, "Older") {
        got = alice.get(&older).await;
        seen.extend(reasons(&got));
    }
    let expected: Vec<String> = (0..100).rev().map(|i| format!("INC-{i:03}")).collect();
    assert_eq!(seen, expected);
    while let Some(newer) = way(&got, "Newer") {
        got = alice.get(&newer).await;
    }
    assert_eq!(reasons(&got), first);
    test.close().await;
}

async fn what_was_last_used_is_found_by_an_index(db: &TestDb) {
    let test = TestApp::start(db).await;
    let source = include_str!("../../src/store/own.rs");
    let sql = source.split_once("const SQL: &str = \"").unwrap().1.split_once("\";").unwrap().0;
    let sql = sql.replace("$1", "'user:alice@example.com'").replace("$2", "200").replace("$3", "6");
    let mut connection = db.connect().await;
    let plan = if db.is_postgres() {
        // A table this small is read whole where that is allowed.
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off").await;
        connection.texts(&format!("EXPLAIN {sql}")).await
    } else {
        connection.lines(&format!("EXPLAIN QUERY PLAN {sql}")).await
    };
    let plan = plan.join("\n");
    assert!(plan.contains("audit_events_by_principal"), "{plan}");
    assert!(!plan.contains("SCAN audit_events") && !plan.contains("Seq Scan"), "{plan}");
    test.close().await;
}
