//! The description of the API, and the page to read it on.

use crate::support::{
    app::{Persona::Anonymous, TestApp},
    database::{TestDb, on_both},
    issuer::{Alg, Issuer},
    service::Plan,
    signin::FakeSignIn,
    skip,
    sts::FakeSts,
    variable,
    world::{ACCOUNT, allowlist},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

on_both!(
    the_description_in_docs_is_the_one_that_is_served,
    every_answer_is_described,
    the_page_asks_nobody_else,
    what_is_answered_is_what_is_described
);

/// `HALLPASS_TEST_WRITE=1 tests/run openapi` writes it anew.
async fn the_description_in_docs_is_the_one_that_is_served(db: &TestDb) {
    let test = TestApp::start(db).await;
    let served = test.get("/openapi.json", Anonymous).await;
    assert_eq!((served.status, served.header("content-type")), (200, "application/json"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let pretty = serde_json::to_string_pretty(&served.body()).unwrap() + "\n";
    if variable("HALLPASS_TEST_WRITE").is_some() {
        fs::write(&path, &pretty).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == pretty, "docs/openapi.json is stale: HALLPASS_TEST_WRITE=1 tests/run openapi");
    test.close().await;
}

/// Each operation by its own name, with a code for each error; who must not be known says so.
async fn every_answer_is_described(db: &TestDb) {
    let test = TestApp::start(db).await;
    let document = test.get("/openapi.json", Anonymous).await.body();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            names.push(operation["operationId"].as_str().unwrap().to_owned());
            let open = operation["security"] == serde_json::json!([{}]);
            assert_eq!(open, !path.starts_with("/v1/") || path == "/v1/login", "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            // The listener answers 431, before there is a request to speak of.
            for (status, response) in responses.iter().filter(|(status, _)| *status != "431") {
                let place = format!("{method} {path} {status}");
                assert_ne!(response["headers"]["x-request-id"], Value::Null, "{place}");
                let media_type = if path.starts_with("/v1/container/") { "json" } else { "problem+json" };
                let problem =
                    &response["content"][format!("application/{media_type}")]["schema"]["allOf"][1]["properties"];
                let codes = problem["code"]["enum"].as_array().map_or(0, Vec::len);
                assert_eq!(codes > 0, status.as_str() >= "400", "{place}");
            }
        }
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
    let whole = document.to_string();
    for rest in whole.split("\"$ref\":\"#").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} is not there");
    }
    assert!(!whole.contains("[`"), "links between items of the code lead nowhere here");
    // The page for people and the description name the same codes.
    let page = include_str!("../../docs/api.md").split("## Errors").nth(1).unwrap();
    for code in page.split('`').filter(|word| word.contains('_') && !word.contains(' ')) {
        assert!(whole.contains(&format!("\"{code}\"")) || code == "method_not_allowed", "{code}");
    }
    test.close().await;
}

async fn the_page_asks_nobody_else(db: &TestDb) {
    let test = TestApp::start(db).await;
    let page = test.get("/docs", Anonymous).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'self';") && !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    let links = page.text.split([' ', '>']).filter_map(|word| word.split_once("=\""));
    let links: Vec<_> = links.filter(|(name, _)| ["src", "href"].contains(name)).collect();
    assert!(links.len() >= 6, "{links:?}");
    for (_, link) in links {
        let file = test.get(link.trim_end_matches('"'), Anonymous).await;
        assert_eq!(file.status, 200, "{link}");
        assert_ne!(file.header("content-type"), "", "{link}");
    }
    for path in ["/docs/index.html", "/docs/swagger-initializer.js", "/docs/..%2f..%2fCargo.toml"] {
        assert_eq!(test.get(path, Anonymous).await.status, 404, "{path}");
    }
    test.close().await;
}

/// A stranger to the code reads the description and asks what it says can be asked, and what it says cannot.
async fn what_is_answered_is_what_is_described(db: &TestDb) {
    let Some(tools) = variable("HALLPASS_TEST_MOTO").map(PathBuf::from) else { return skip("schemathesis") };
    let (sts, issuer) = (FakeSts::start().await, Issuer::start(Alg::Es256).await);
    let (alice, admin) = (issuer.person("alice@example.com", &[]), issuer.person("admin@example.com", &[]));
    let signin = FakeSignIn::start().await;
    let plan = Plan::new(db, &issuer.url, &sts.url).with("HALLPASS_SERVER__TRUSTED_PROXIES", r#"["127.0.0.1/32"]"#);
    let plan = plan.with("HALLPASS_AWS__SIGNIN_URL", &signin.url);
    let service = plan.start().await;
    // Every duration that a request may name is one to be had.
    let allowlist = allowlist(ACCOUNT, &["ReadOnly"]).replace("\n[[grant]]", "\nmax_duration = \"12h\"\n[[grant]]");
    service.api.apply(&allowlist, &admin).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis");
    let mut findings = Vec::new();
    for (who, token) in [("nobody", ""), ("alice", &alice), ("admin", &admin)] {
        let mut command = Command::new(tools.join("schemathesis"));
        command.args(["--config-file", "schemathesis.toml", "run"]);
        command.arg(format!("{}/openapi.json", service.api.url())).current_dir(&folder).stdin(Stdio::null());
        command.envs([
            ("HALLPASS_TOKEN", token),
            ("NO_COLOR", "1"),
            ("COLUMNS", "120"),
            ("NO_PROXY", "*"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ]);
        let output = command.output().unwrap();
        if !output.status.success() {
            let [said, errors] =
                [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
            findings.push(format!("as {who}:\n{said}\n{errors}"));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert_eq!(service.log().matches("panic").count(), 0, "{}", service.log());
}
