//! The portal, as a browser and as its attackers use it: in and out, whose session counts where, and for how long.

use crate::support::{
    app::{Persona, TestApp, records_of, rows},
    database::{TestDb, on_both},
};
use data_encoding::BASE64URL_NOPAD as BASE64URL;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

on_both!(
    who_signs_in_lands_where_they_wanted_to_go,
    a_sign_in_counts_once_in_its_own_browser_and_in_time,
    only_an_id_token_for_this_sign_in_is_taken,
    nobody_is_led_away_by_the_return_address,
    a_session_of_before_is_worth_nothing_after,
    a_session_ends_by_rest_by_age_and_by_hand_on_every_replica,
    nobody_ends_another_persons_session,
    a_form_of_another_origin_changes_nothing,
    the_api_takes_the_cookie_from_the_portals_own_pages_alone,
    groups_are_asked_for_again_after_an_hour,
    a_change_needs_a_sign_in_of_the_last_15_minutes,
    without_a_session_every_page_leads_to_sign_in,
    a_fault_is_a_page,
);

/// The portal's origin, as the test's configuration has it.
const ORIGIN: &str = "http://127.0.0.1:1";
const PAGES: [&str; 22] = [
    "/access",
    "/access/{account}/{role}",
    "/activity",
    "/allowlist",
    "/allowlist/blocks",
    "/allowlist/blocks/new",
    "/allowlist/blocks/{id}",
    "/allowlist/explain",
    "/allowlist/file",
    "/allowlist/file/allowlist.toml",
    "/allowlist/file/change",
    "/allowlist/grants",
    "/allowlist/grants/new",
    "/allowlist/grants/{id}",
    "/allowlist/history",
    "/allowlist/reach",
    "/audit",
    "/audit/charts",
    "/audit/export",
    "/audit/streams",
    "/audit/{stream}/{seq}",
    "/sessions",
];

/// Keeps cookies and follows nothing.
pub(crate) struct Browser<'a> {
    test: &'a TestApp,
    client: reqwest::Client,
    pub(crate) cookies: BTreeMap<String, String>,
}

pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) location: String,
    headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl<'a> Browser<'a> {
    pub(crate) fn new(test: &'a TestApp) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { test, client: client.user_agent("browser/1").build().unwrap(), cookies: BTreeMap::new() }
    }

    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Got {
        let path = path.strip_prefix(ORIGIN).unwrap_or(path);
        let mut request = self.client.request(method, format!("{}{path}", self.test.url));
        if !self.cookies.is_empty() {
            let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        for line in headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            assert!(line.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{line}");
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{line}");
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = headers.get("location").map_or("", |to| to.to_str().unwrap()).to_owned();
        Got { status, location, headers, text: response.text().await.unwrap() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Got {
        self.ask(Method::GET, path, &[], None).await
    }

    /// As a form of the portal's own is sent.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Got {
        self.ask(Method::POST, path, &[("sec-fetch-site", "same-origin"), ("origin", "null")], Some(encoded(fields)))
            .await
    }

    /// Begins, and gives what the provider was told.
    async fn begin(&mut self, query: &str) -> BTreeMap<String, String> {
        let got = self.get(&format!("/login{query}")).await;
        assert_eq!(got.status, 303, "{}", got.text);
        let url = Url::parse(&got.location).unwrap();
        assert!(got.location.starts_with(&format!("{}/authorize?", self.test.corp.url)), "{}", got.location);
        url.query_pairs().into_owned().collect()
    }

    /// The provider's way back.
    async fn come_back(&mut self, told: &BTreeMap<String, String>) -> Got {
        self.get(&format!("/login/callback?code=c0de&state={}", told["state"])).await
    }

    /// All of it, as somebody.
    pub(crate) async fn sign_in(&mut self, email: &str, groups: &[&str]) -> Got {
        let told = self.begin("").await;
        self.test.corp.give_tokens(200, tokens(self.test, &claims(self.test, email, groups, &told["nonce"])));
        let got = self.come_back(&told).await;
        assert_eq!((got.status, got.location.as_str()), (303, &*format!("{ORIGIN}/access")), "{}", got.text);
        got
    }

    pub(crate) async fn csrf(&mut self) -> String {
        let page = self.get("/sessions").await.text;
        page.split_once(r#"name="csrf" content=""#).expect("a token").1.split('"').next().unwrap().to_owned()
    }

    fn session(&self) -> String {
        self.cookies["__Host-hallpass"].clone()
    }

    async fn is_in(&mut self) -> bool {
        self.get("/access").await.status == 200
    }
}

pub(crate) fn encoded(fields: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://x").unwrap();
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

fn claims(test: &TestApp, email: &str, groups: &[&str], nonce: &str) -> Value {
    let mut claims = test.corp.claims(email);
    let now = claims["iat"].clone();
    for (name, value) in [
        ("aud", json!("hallpass-portal")),
        ("email", json!(email)),
        ("email_verified", json!(true)),
        ("groups", json!(groups)),
        ("nonce", json!(nonce)),
        ("auth_time", now),
    ] {
        claims[name] = value;
    }
    claims
}

fn tokens(test: &TestApp, claims: &Value) -> Value {
    json!({"access_token": "a", "token_type": "Bearer", "id_token": test.corp.token(claims)})
}

async fn who_signs_in_lands_where_they_wanted_to_go(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = Browser::new(&test);
    let turned = browser.get("/sessions?x=1&y=%3Cscript%3E").await;
    assert_eq!(
        (turned.status, turned.location.as_str()),
        (303, "/login?to=%2Fsessions%3Fx%3D1%26y%3D%253Cscript%253E")
    );
    let told = browser.begin(turned.location.strip_prefix("/login").unwrap()).await;
    assert_eq!(told["scope"], "openid email groups");
    assert_eq!((told["client_id"].as_str(), told["response_type"].as_str()), ("hallpass-portal", "code"));
    assert_eq!(told["redirect_uri"], format!("{ORIGIN}/login/callback"));
    let claims = claims(&test, "alice@example.com", &["developers"], &told["nonce"]);
    test.corp.give_tokens(200, tokens(&test, &claims));
    let back = browser.come_back(&told).await;
    assert_eq!((back.status, back.location), (303, format!("{ORIGIN}/sessions?x=1&y=%3Cscript%3E")), "{}", back.text);
    let asked = &test.corp.exchanges()[0];
    let challenge = BASE64URL.encode(&hallpass::model::sha256(&[asked["code_verifier"].as_bytes()]));
    assert_eq!((challenge.as_str(), told["code_challenge_method"].as_str()), (told["code_challenge"].as_str(), "S256"));
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["__Host-hallpass"]);
    let page = browser.get("/access").await;
    assert!(page.text.contains("alice@example.com") && page.text.contains("/access/prod/Deploy"), "{}", page.text);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe") && page.header("cache-control") == "no-store");
    let style = page.text.split_once(r#"stylesheet" href="/assets/"#).unwrap().1.split('"').next().unwrap();
    let style = browser.get(&format!("/assets/{style}")).await;
    assert!(style.header("cache-control").contains("immutable") && style.header("content-type").contains("text/css"));

    let records = records_of(db, "login.succeeded").await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (&records[0]["principal"], &records[0]["auth"]["method"]),
        (&json!("user:alice@example.com"), &json!("session"))
    );
    // Nothing that opens a session is in the database.
    let kept = rows(&mut db.connect().await, db, "sessions").await.join("\n");
    assert!(!kept.contains(&browser.session()) && kept.contains("alice@example.com"));
    test.close().await;
}

async fn a_sign_in_counts_once_in_its_own_browser_and_in_time(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = Browser::new(&test);
    let told = browser.begin("").await;
    let before = browser.cookies.clone();
    test.corp.give_tokens(200, tokens(&test, &claims(&test, "alice@example.com", &[], &told["nonce"])));
    // Another browser, which an attacker leads to the victim's answer or the other way round.
    let mut other = Browser::new(&test);
    assert_eq!(other.come_back(&told).await.status, 400);
    other.begin("").await;
    assert_eq!(other.come_back(&told).await.status, 400);
    assert_eq!(browser.get("/login/callback?code=c0de").await.status, 400);
    assert_eq!(browser.get("/login/callback?error=access_denied&state=x").await.status, 400);
    assert!(test.corp.exchanges().is_empty(), "the provider is not asked about what is not ours");
    assert_eq!(browser.come_back(&told).await.status, 303);
    // Replayed, with the cookie that was thrown away: while the session goes on, and after it.
    for ended in [false, true] {
        if ended {
            let csrf = browser.csrf().await;
            assert_eq!(browser.post("/logout", &[("csrf", &csrf)]).await.status, 303);
        }
        let mut replay = Browser { cookies: before.clone(), ..Browser::new(&test) };
        let got = replay.come_back(&told).await;
        assert!(got.status == 400 && !replay.cookies.contains_key("__Host-hallpass"), "{}", got.text);
    }
    let told = browser.begin("").await;
    test.clock.advance(Duration::from_mins(10));
    assert_eq!(browser.come_back(&told).await.status, 400);
    test.app.recorder.housekeep().await;
    let failed = records_of(db, "login.failed").await;
    assert_eq!(failed[0]["code"], "sign_in_stale");
    test.close().await;
}

async fn only_an_id_token_for_this_sign_in_is_taken(db: &TestDb) {
    let test = TestApp::start(db).await;
    for (claim, value, code) in [
        ("sub", json!("alice"), ""),
        ("aud", json!("another-client"), "token_invalid"),
        ("aud", json!("hallpass"), "token_invalid"),
        ("aud", json!(["hallpass-portal", "another-client"]), "token_invalid"),
        ("azp", json!("another-client"), "token_invalid"),
        ("nonce", json!("another"), "token_invalid"),
        ("email_verified", json!(false), "token_invalid"),
        ("exp", json!(1), "token_expired"),
    ] {
        let mut browser = Browser::new(&test);
        let told = browser.begin("").await;
        let mut claims = claims(&test, "alice@example.com", &[], &told["nonce"]);
        claims[claim] = value;
        test.corp.give_tokens(200, tokens(&test, &claims));
        let got = browser.come_back(&told).await;
        assert_eq!(got.status, if code.is_empty() { 303 } else { 401 }, "{claims} {}", got.text);
        assert!(got.text.contains(code), "{claims} {}", got.text);
        assert_eq!(browser.cookies.contains_key("__Host-hallpass"), code.is_empty());
    }
    for (status, answer, expected) in [
        (400, json!({"error": "invalid_grant"}), 403),
        (401, json!({"error": "invalid_client"}), 503),
        (500, json!("nonsense"), 503),
        (200, json!({"access_token": "a", "token_type": "Bearer"}), 503),
    ] {
        let mut browser = Browser::new(&test);
        let told = browser.begin("").await;
        test.corp.give_tokens(status, answer);
        assert_eq!(browser.come_back(&told).await.status, expected, "{status}");
    }
    // And the API takes none that is the portal's alone.
    let token = test.corp.token(&claims(&test, "alice@example.com", &[], "n"));
    let request = test.request(Method::GET, "/v1/whoami", Persona::Anonymous);
    assert_eq!(request.header("authorization", &format!("Bearer {token}")).send().await.status, 401);
    test.close().await;
}

async fn nobody_is_led_away_by_the_return_address(db: &TestDb) {
    let test = TestApp::start(db).await;
    for to in
        ["//evil.example.com", "/\\evil.example.com", "https://evil.example.com", "/%0a/evil", "javascript:1", "/login"]
    {
        let mut browser = Browser::new(&test);
        let told = browser.begin(&format!("?{}", encoded(&[("to", &to.replace("%0a", "\n"))]))).await;
        test.corp.give_tokens(200, tokens(&test, &claims(&test, "alice@example.com", &[], &told["nonce"])));
        assert_eq!(browser.come_back(&told).await.location, format!("{ORIGIN}/access"), "{to}");
    }
    test.close().await;
}

async fn a_session_of_before_is_worth_nothing_after(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut attacker = Browser::new(&test);
    attacker.sign_in("mallory@example.com", &[]).await;
    // The victim's browser was given the attacker's session, or one made up.
    for fixed in [attacker.session(), "A".repeat(43)] {
        let mut victim = Browser::new(&test);
        victim.cookies.insert("__Host-hallpass".to_owned(), fixed.clone());
        victim.sign_in("alice@example.com", &[]).await;
        assert_ne!(victim.session(), fixed);
        let mut old = Browser::new(&test);
        old.cookies.insert("__Host-hallpass".to_owned(), fixed);
        assert!(!old.is_in().await);
    }
    test.close().await;
}

async fn a_session_ends_by_rest_by_age_and_by_hand_on_every_replica(db: &TestDb) {
    let test = TestApp::start(db).await;
    let other = test.start_another(db).await;
    let mut browser = Browser::new(&test);
    browser.sign_in("alice@example.com", &[]).await;
    let mut elsewhere = Browser { test: &other, cookies: browser.cookies.clone(), ..Browser::new(&other) };
    assert!(elsewhere.is_in().await);
    // Used every 20 minutes it goes on until ten hours are over.
    for _ in 0..29 {
        test.clock.advance(Duration::from_mins(20));
        assert!(browser.is_in().await);
        crate::support::until("noted use", Duration::from_secs(5), async || {
            let now = test.clock.now().as_micros().to_string();
            let kept = rows(&mut db.connect().await, db, "sessions").await.join("\n");
            kept.contains(&now).then_some(())
        })
        .await;
    }
    test.clock.advance(Duration::from_mins(20));
    assert!(!browser.is_in().await && !elsewhere.is_in().await);
    // At rest, half an hour.
    browser.sign_in("alice@example.com", &[]).await;
    test.clock.advance(Duration::from_secs(30 * 60 - 1));
    let kept = browser.cookies.clone();
    test.clock.advance(Duration::from_secs(1));
    assert!(!browser.is_in().await);
    // Who signs out of a session that is over is signed out at the provider, too.
    let late = browser.post("/logout", &[("csrf", "of-before")]).await;
    assert!(late.status == 303 && late.location.starts_with(&format!("{}/logout", test.corp.url)), "{}", late.location);
    assert!(browser.get("/").await.text.contains("signed out"));
    // By hand, here and everywhere.
    browser.sign_in("alice@example.com", &[]).await;
    let mut elsewhere = Browser { cookies: browser.cookies.clone(), ..Browser::new(&other) };
    let csrf = browser.csrf().await;
    let out = browser.post("/logout", &[("csrf", &csrf)]).await;
    let away = Url::parse(&out.location).unwrap();
    let told: BTreeMap<_, _> = away.query_pairs().into_owned().collect();
    assert_eq!(out.location.split('?').next().unwrap(), format!("{}/logout", test.corp.url));
    assert_eq!(
        (told["client_id"].as_str(), told["post_logout_redirect_uri"].as_str()),
        ("hallpass-portal", "http://127.0.0.1:1/")
    );
    assert!(!elsewhere.is_in().await);
    let front = browser.get("/").await;
    assert!(front.status == 200 && front.text.contains("signed out"), "{}", front.text);
    assert_eq!(browser.get("/").await.status, 303);
    // What is over is swept.
    test.clock.advance(Duration::from_hours(12));
    drop(kept);
    assert!(test.app.portal.as_ref().unwrap().sweep().await.unwrap() >= 3);
    assert!(rows(&mut db.connect().await, db, "sessions").await.is_empty());
    other.close().await;
    test.close().await;
}

async fn nobody_ends_another_persons_session(db: &TestDb) {
    let test = TestApp::start(db).await;
    let (mut alice, mut mallory) = (Browser::new(&test), Browser::new(&test));
    alice.sign_in("alice@example.com", &[]).await;
    mallory.sign_in("mallory@example.com", &[]).await;
    let page = alice.get("/sessions").await.text;
    let id = page.split_once(r#"name="id" value=""#).unwrap().1.split('"').next().unwrap().to_owned();
    let theirs = mallory.get("/sessions").await.text;
    assert!(!theirs.contains(&id) && !theirs.contains("alice"));
    let csrf = mallory.csrf().await;
    assert_eq!(mallory.post("/sessions", &[("csrf", &csrf), ("id", &id)]).await.status, 404);
    assert!(alice.is_in().await);
    let csrf = alice.csrf().await;
    assert_eq!(alice.post("/sessions", &[("csrf", &csrf), ("id", &id)]).await.status, 303);
    assert!(!alice.is_in().await && mallory.is_in().await);
    test.close().await;
}

async fn a_form_of_another_origin_changes_nothing(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut alice = Browser::new(&test);
    alice.sign_in("alice@example.com", &[]).await;
    let csrf = alice.csrf().await;
    let mut mallory = Browser::new(&test);
    mallory.sign_in("mallory@example.com", &[]).await;
    let foreign = mallory.csrf().await;
    let own = &[("sec-fetch-site", "same-origin")][..];
    for (headers, token) in [
        (own, ""),
        (own, "x"),
        (own, &*foreign),
        (&[("origin", "https://evil.example.com")], &*csrf),
        (&[("sec-fetch-site", "cross-site"), ("origin", ORIGIN)], &csrf),
        (&[("sec-fetch-site", "same-site")], &csrf),
        (&[], &csrf),
    ] {
        let got = alice.ask(Method::POST, "/logout", headers, Some(encoded(&[("csrf", token)]))).await;
        assert_eq!(got.status, 403, "{headers:?} {token}");
        assert!(alice.is_in().await, "{headers:?} {token}");
    }
    let framed = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    assert_eq!(alice.ask(Method::GET, "/access", &framed, None).await.status, 403);
    assert_eq!(alice.ask(Method::POST, "/logout", own, Some(encoded(&[("csrf", &csrf)]))).await.status, 303);
    test.close().await;
}

async fn the_api_takes_the_cookie_from_the_portals_own_pages_alone(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut alice = Browser::new(&test);
    alice.sign_in("alice@example.com", &["developers"]).await;
    let csrf = alice.csrf().await;
    let own = ("sec-fetch-site", "same-origin");
    for (headers, status) in [
        (&[own][..], 200),
        (&[], 401),
        (&[("sec-fetch-site", "cross-site")], 401),
        (&[("sec-fetch-site", "same-site")], 401),
        (&[("sec-fetch-site", "none")], 401),
        // A bearer alone counts, good or bad.
        (&[own, ("authorization", "Bearer x")], 401),
        (&[own, ("authorization", "Basic x")], 401),
    ] {
        assert_eq!(alice.ask(Method::GET, "/v1/whoami", headers, None).await.status, status, "{headers:?}");
    }
    let mallory = format!("Bearer {}", test.token(Persona::Mallory));
    let both = alice.ask(Method::GET, "/v1/whoami", &[own, ("authorization", &mallory)], None).await;
    assert!(both.text.contains("mallory@example.com"), "{}", both.text);
    // 415 is what the body has; who asks comes first.
    for (headers, status) in [
        (&[own, ("x-csrf-token", &*csrf)][..], 415),
        (&[own], 401),
        (&[own, ("x-csrf-token", "x")], 401),
        (&[("x-csrf-token", &*csrf)], 401),
    ] {
        let got = alice.ask(Method::POST, "/v1/credentials", headers, Some(String::new())).await;
        assert_eq!(got.status, status, "{headers:?}");
    }
    let who: Value = serde_json::from_str(&alice.ask(Method::GET, "/v1/whoami", &[own], None).await.text).unwrap();
    assert_eq!((&who["auth"]["method"], &who["groups"]), (&json!("session"), &json!(["group:developers"])));
    test.close().await;
}

async fn groups_are_asked_for_again_after_an_hour(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut alice = Browser::new(&test);
    let told = alice.begin("").await;
    let with_refresh = |claims: &Value, refresh: &str| {
        let mut tokens = tokens(&test, claims);
        tokens["refresh_token"] = json!(refresh);
        tokens
    };
    test.corp
        .give_tokens(200, with_refresh(&claims(&test, "alice@example.com", &["developers"], &told["nonce"]), "first"));
    assert_eq!(alice.come_back(&told).await.status, 303);
    let kept = rows(&mut db.connect().await, db, "sessions").await.join("\n");
    assert!(!kept.contains("first"), "the refresh token is sealed");
    let hour = async |alice: &mut Browser<'_>| {
        for _ in 0..3 {
            test.clock.advance(Duration::from_mins(20));
            db.connect()
                .await
                .execute(&format!("UPDATE sessions SET last_used_at = {}", test.clock.now().as_micros()))
                .await;
        }
        alice.get("/access").await
    };
    test.corp.give_tokens(200, with_refresh(&claims(&test, "alice@example.com", &["auditing"], ""), "second"));
    let before = test.corp.exchanges().len();
    let page = hour(&mut alice).await;
    assert!(page.status == 200 && !page.text.contains("/access/prod/Deploy"), "{}", page.text);
    assert_eq!(test.corp.exchanges()[before]["refresh_token"], "first");
    alice.get("/access").await;
    assert_eq!(test.corp.exchanges().len(), before + 1, "asked once");
    // Away: it goes on, and the provider is asked no more than once a minute.
    test.corp.give_tokens(500, json!("away"));
    assert_eq!(hour(&mut alice).await.status, 200);
    alice.get("/access").await;
    assert_eq!(test.corp.exchanges().len(), before + 2);
    // Somebody else, or no longer anybody.
    test.corp.give_tokens(400, json!({"error": "invalid_grant"}));
    test.clock.advance(Duration::from_mins(1));
    assert_eq!(alice.get("/access").await.status, 303);
    assert_eq!(test.corp.exchanges().last().unwrap()["refresh_token"], "second");
    test.close().await;
}

async fn a_change_needs_a_sign_in_of_the_last_15_minutes(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut admin = Browser::new(&test);
    admin.sign_in("admin@example.com", &["cloud-platform"]).await;
    let csrf = admin.csrf().await;
    let headers = [("sec-fetch-site", "same-origin"), ("x-csrf-token", &*csrf), ("content-type", "application/json")];
    // 404: the power is there, the block is not.
    let path = "/v1/blocks/019b7ca9-8c88-7000-8000-ffffffffffff";
    assert_eq!(admin.ask(Method::DELETE, path, &headers, None).await.status, 404);
    test.clock.advance(Duration::from_mins(15));
    let late = admin.ask(Method::DELETE, path, &headers, None).await;
    assert!(late.status == 403 && late.text.contains("sign in again"), "{}", late.text);
    assert_eq!(admin.ask(Method::GET, "/v1/blocks", &headers, None).await.status, 200);
    // The provider is to ask again, and to say when it did.
    let told = admin.begin("?fresh=true&to=/sessions").await;
    assert_eq!((told["prompt"].as_str(), told["max_age"].as_str()), ("login", "0"));
    let mut claims = claims(&test, "admin@example.com", &["cloud-platform"], &told["nonce"]);
    claims["auth_time"] = json!(claims["iat"].as_i64().unwrap() - 900);
    test.corp.give_tokens(200, tokens(&test, &claims));
    let stale = admin.come_back(&told).await;
    assert!(stale.status == 403 && stale.text.contains("sign_in_not_fresh"), "{}", stale.text);
    test.clock.advance(Duration::from_mins(1));
    // A token that was made just now says nothing of when the person was asked.
    for (begin, status) in [("?fresh=true", 403), ("", 303)] {
        let told = admin.begin(begin).await;
        let mut claims = self::claims(&test, "admin@example.com", &["cloud-platform"], &told["nonce"]);
        claims.as_object_mut().unwrap().remove("auth_time");
        test.corp.give_tokens(200, tokens(&test, &claims));
        assert_eq!(admin.come_back(&told).await.status, status);
    }
    let csrf = admin.csrf().await;
    let headers = [("sec-fetch-site", "same-origin"), ("x-csrf-token", &*csrf)];
    assert_eq!(admin.ask(Method::DELETE, path, &headers, None).await.status, 403);
    admin.sign_in("admin@example.com", &["cloud-platform"]).await;
    let csrf = admin.csrf().await;
    let headers = [("sec-fetch-site", "same-origin"), ("x-csrf-token", &*csrf)];
    assert_eq!(admin.ask(Method::DELETE, path, &headers, None).await.status, 404);
    test.close().await;
}

async fn without_a_session_every_page_leads_to_sign_in(db: &TestDb) {
    let test = TestApp::start(db).await;
    let patterns = include_str!("../../src/http/portal.rs").split(".route(\"").skip(1);
    let patterns: Vec<&str> = patterns.map(|route| route.split_once('"').unwrap().0).collect();
    let open = ["/login", "/login/callback", "/logout", "/assets/{file}"];
    let closed: Vec<&str> = patterns.iter().copied().filter(|route| !open.contains(route)).collect();
    assert!(PAGES.iter().all(|page| closed.contains(page)), "{closed:?}");
    for path in closed {
        let mut nobody = Browser::new(&test);
        let got = nobody.ask(Method::GET, path, &[("sec-fetch-site", "same-origin")], None).await;
        assert_eq!((got.status, got.location.starts_with("/login?")), (303, true), "{path} {}", got.location);
    }
    test.close().await;
}

async fn a_fault_is_a_page(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut browser = Browser::new(&test);
    let html = [("accept", "text/html")];
    let got = browser.ask(Method::GET, "/nowhere/%3Cscript%3Ealert(1)", &html, None).await;
    assert_eq!(got.status, 404);
    assert!(got.text.contains("404 not_found") && !got.text.contains("<script>alert"), "{}", got.text);
    assert!(got.text.contains(got.header("x-request-id")) && got.header("content-type").contains("text/html"));
    assert!(got.header("content-security-policy").contains("default-src 'none'"));
    // Elsewhere, and for others, as ever.
    for (path, headers) in [("/v1/whoami", &html[..]), ("/nowhere", &[])] {
        let got = browser.ask(Method::GET, path, headers, None).await;
        assert_eq!(got.header("content-type"), "application/problem+json", "{path}");
    }
    assert_eq!(browser.ask(Method::DELETE, "/sessions", &[("sec-fetch-site", "same-origin")], None).await.status, 405);
    test.close().await;
}
