//! The whole surface: who gets which answer from which route.

use crate::support::{
    app::{ALLOWLIST, Persona, Reply, Request, TestApp},
    database::{TestDb, on_both},
    shown::snap,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

on_both!(every_persona_on_every_route, nothing_is_told_without_credentials, a_refused_token_is_told_why);

/// A part of the page.
const FILE: &str = "page.js";
const PLAIN: &str = "444455556666/Plain";
pub(crate) const NOBODYS: &str = "019b7ca9-8c88-7000-8000-ffffffffffff";

pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: String,
    body: Option<Value>,
}

/// Every route that `http::router` has, with a request that lacks nothing but perhaps the right.
pub(crate) fn routes(test: &TestApp) -> Vec<Route> {
    let expires = test.moment(Duration::from_hours(1));
    let grant = json!({"to": "user:bob@example.com", "role": "prod/Deploy", "expires": expires, "reason": "INC-1"});
    let routes = [
        (Method::GET, "/healthz", None),
        (Method::GET, "/readyz", None),
        (Method::GET, "/openapi.json", None),
        (Method::GET, "/docs", None),
        (Method::GET, &format!("/docs/{FILE}"), None),
        (Method::GET, "/v1/login", None),
        (Method::GET, "/v1/whoami", None),
        (Method::GET, "/v1/roles", None),
        (Method::POST, "/v1/credentials", Some(json!({"role": "444455556666/Plain"}))),
        (Method::POST, "/v1/console", Some(json!({"role": "444455556666/Plain"}))),
        (Method::GET, &format!("/v1/container/{PLAIN}"), None),
        (Method::POST, "/v1/explain", Some(json!({"role": "444455556666/Plain"}))),
        (Method::POST, "/v1/explain", Some(json!({"role": "prod/Deploy", "principal": "user:bob@example.com"}))),
        (Method::GET, "/v1/allowlist", None),
        (Method::PUT, "/v1/allowlist?dry_run=true", Some(json!(ALLOWLIST))),
        (Method::PUT, "/v1/allowlist", Some(json!(ALLOWLIST))),
        (Method::GET, "/v1/grants", None),
        (Method::POST, "/v1/grants", Some(grant)),
        (Method::DELETE, &format!("/v1/grants/{NOBODYS}"), None),
        (Method::GET, "/v1/blocks", None),
        (Method::POST, "/v1/blocks", Some(json!({"principal": "user:bob@example.com", "reason": "left"}))),
        (Method::DELETE, &format!("/v1/blocks/{NOBODYS}"), None),
        (Method::GET, "/v1/tokens", None),
        (Method::POST, "/v1/tokens", Some(json!({"name": "laptop"}))),
        (Method::DELETE, &format!("/v1/tokens/{NOBODYS}"), None),
        (Method::GET, "/v1/audit/events", None),
        (Method::GET, "/v1/audit/events?principal=user:bob@example.com", None),
        (Method::GET, "/v1/audit/export", None),
        (Method::GET, "/v1/audit/heads", None),
    ];
    routes.into_iter().map(|(method, path, body)| Route { method, path: path.to_owned(), body }).collect()
}

/// The methods and paths as the router's patterns have them, each once.
fn asked(routes: &[Route]) -> BTreeSet<String> {
    let pattern = |route: &Route| {
        let path = route.path.split('?').next().unwrap();
        path.replace(NOBODYS, "{id}").replace(FILE, "{file}").replace(PLAIN, "{account}/{role}")
    };
    routes.iter().map(|route| format!("{} {}", route.method, pattern(route))).collect()
}

/// The operations that the service describes, and the routes that it has beside them.
async fn in_the_router(test: &TestApp) -> BTreeSet<String> {
    let document = test.get("/openapi.json", Persona::Anonymous).await.body();
    let paths = document["paths"].as_object().unwrap().iter();
    let described = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    let beside = include_str!("../../src/http.rs").split(".route(\"").skip(1);
    let beside = beside.map(|route| format!("GET {}", route.split_once('"').unwrap().0));
    described.chain(beside).collect()
}

pub(crate) async fn ask(test: &TestApp, route: &Route, who: Persona) -> Reply {
    ask_by(test.request(route.method.clone(), &route.path, who), route).await
}

/// With a token that is no persona's.
pub(crate) async fn ask_with(test: &TestApp, route: &Route, token: &str) -> Reply {
    ask_by(test.request_with(route.method.clone(), &route.path, token), route).await
}

async fn ask_by(request: Request, route: &Route) -> Reply {
    let request = match &route.body {
        Some(Value::String(file)) => request.toml(file).header("if-match", "\"1\""),
        Some(body) => request.json(body),
        None => request,
    };
    request.send().await
}

async fn every_persona_on_every_route(db: &TestDb) {
    let test = TestApp::start(db).await;
    assert_eq!(asked(&routes(&test)), in_the_router(&test).await);
    let mut matrix =
        vec![format!("{:<55}{}", "", Persona::ALL.map(|who| format!("{:>10}", format!("{who:?}"))).concat())];
    for route in routes(&test) {
        let mut line = format!("{:<55}", format!("{} {}", route.method, route.path.replace(NOBODYS, "{id}")));
        for who in Persona::ALL {
            let reply = ask(&test, &route, who).await;
            line.extend([format!("{:>10}", reply.status)]);
        }
        matrix.push(line);
    }
    insta::allow_duplicates! {
        insta::assert_snapshot!(matrix.join("\n"), @"
                                                                Anonymous   Mallory     Alice   Auditor   Applier     Admin
        GET /healthz                                                  200       200       200       200       200       200
        GET /readyz                                                   200       200       200       200       200       200
        GET /openapi.json                                             200       200       200       200       200       200
        GET /docs                                                     200       200       200       200       200       200
        GET /docs/page.js                                             200       200       200       200       200       200
        GET /v1/login                                                 200       200       200       200       200       200
        GET /v1/whoami                                                401       200       200       200       200       200
        GET /v1/roles                                                 401       200       200       200       200       200
        POST /v1/credentials                                          401       403       200       403       200       403
        POST /v1/console                                              401       403       200       403       200       403
        GET /v1/container/444455556666/Plain                          401       403       200       403       200       403
        POST /v1/explain                                              401       200       200       200       200       200
        POST /v1/explain                                              401       403       403       200       403       200
        GET /v1/allowlist                                             401       403       403       200       200       200
        PUT /v1/allowlist?dry_run=true                                401       403       403       403       200       200
        PUT /v1/allowlist                                             401       403       403       403       200       200
        GET /v1/grants                                                401       403       403       200       403       200
        POST /v1/grants                                               401       403       403       403       403       201
        DELETE /v1/grants/{id}                                        401       403       403       403       403       404
        GET /v1/blocks                                                401       403       403       200       403       200
        POST /v1/blocks                                               401       403       403       403       403       201
        DELETE /v1/blocks/{id}                                        401       403       403       403       403       404
        GET /v1/tokens                                                401       200       200       200       200       200
        POST /v1/tokens                                               401       403       201       403       403       201
        DELETE /v1/tokens/{id}                                        401       404       404       404       404       404
        GET /v1/audit/events                                          401       200       200       200       200       200
        GET /v1/audit/events?principal=user:bob@example.com           401       403       403       200       403       200
        GET /v1/audit/export                                          401       403       403       200       403       200
        GET /v1/audit/heads                                           401       403       403       200       403       200
        ");
    }
    test.close().await;
}

async fn nothing_is_told_without_credentials(db: &TestDb) {
    let test = TestApp::start(db).await;
    for route in routes(&test) {
        let open = !route.path.starts_with("/v1/") || route.path == "/v1/login";
        let anonymous = ask(&test, &route, Persona::Anonymous).await;
        if open {
            assert_eq!(anonymous.status, 200, "{}", route.path);
            continue;
        }
        assert_eq!((anonymous.status, anonymous.code().as_str()), (401, "unauthenticated"), "{}", route.path);
        assert_eq!(anonymous.header("www-authenticate"), "Bearer realm=\"hallpass\"", "{}", route.path);
        assert_eq!(anonymous.header("cache-control"), "no-store", "{}", route.path);
        // Whatever else is wrong, who is asked first.
        let request = test.request(route.method.clone(), &format!("{}?nonsense=1", route.path), Persona::Anonymous);
        let faulty = request.body("text/plain", "x".repeat(1000)).send().await;
        assert_eq!(faulty.status, 401, "{}", route.path);
    }
    test.close().await;
}

async fn a_refused_token_is_told_why(db: &TestDb) {
    let test = TestApp::start(db).await;
    let (good, other) = (test.token(Persona::Alice), test.token(Persona::Mallory));
    let ask = async |lines: &[&str]| {
        let mut request = test.request(Method::GET, "/v1/whoami", Persona::Anonymous);
        for line in lines {
            request = request.header("authorization", line);
        }
        request.send().await
    };
    let bearer = format!("Bearer {good}");
    for (lines, code) in [
        (&[&*bearer][..], ""),
        (&[&*bearer.replace("Bearer", "bEARER")], ""),
        (&[], "unauthenticated"),
        (&["Basic YWxpY2U6"], "unauthenticated"),
        (&[&*good], "unauthenticated"),
        (&["Bearer"], "token_invalid"),
        (&["Bearer x"], "token_invalid"),
        (&[&*format!("{bearer}x")], "token_invalid"),
        (&[&*format!("{bearer}, Bearer {other}")], "token_invalid"),
        (&[&*bearer, &*bearer], "token_invalid"),
        (&[&*bearer, &*format!("Bearer {other}")], "token_invalid"),
    ] {
        let reply = ask(lines).await;
        assert_eq!(reply.code(), code, "{lines:?}: {reply:?}");
        assert_eq!(reply.status, if code.is_empty() { 200 } else { 401 }, "{lines:?}");
        assert_eq!(reply.header("www-authenticate").is_empty(), code.is_empty(), "{lines:?}");
    }
    snap!(ask(&["Bearer x"]).await.whole(), @r#"
    401
    content-type: application/problem+json
    cache-control: no-store
    www-authenticate: Bearer realm="hallpass", error="invalid_token", error_description="the token is refused: it is not a signed JWT of three parts"
    {
      "code": "token_invalid",
      "detail": "The token is refused: it is not a signed JWT of three parts.",
      "request_id": "<id>",
      "status": 401,
      "title": "Unauthorized",
      "type": "urn:hallpass:problem:token_invalid"
    }
    "#);
    // A minute of leeway, and no more.
    test.clock.advance(Duration::from_secs(3659));
    assert_eq!(ask(&[&bearer]).await.status, 200);
    test.clock.advance(Duration::from_secs(1));
    snap!(ask(&[&bearer]).await.whole(), @r#"
    401
    content-type: application/problem+json
    cache-control: no-store
    www-authenticate: Bearer realm="hallpass", error="invalid_token", error_description="the token has expired; ask its issuer for a new one"
    {
      "code": "token_expired",
      "detail": "The token has expired; ask its issuer for a new one.",
      "request_id": "<id>",
      "status": 401,
      "title": "Unauthorized",
      "type": "urn:hallpass:problem:token_expired"
    }
    "#);
    test.close().await;
}
