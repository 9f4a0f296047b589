//! What Prometheus reads: what happened, by labels that can name nobody, from a listener that serves nothing else.

use crate::{
    support::{
        app::{
            Persona::{self, Alice, Anonymous, Mallory},
            TestApp,
        },
        database::{TestDb, on_both},
        exposition::{self, Family},
        free_port,
        issuer::{Alg, Issuer},
        run,
        service::Plan,
        shown::snap,
        skip,
        sts::{Behaviour, FakeSts},
        until, variable,
    },
    surface,
};
use reqwest::Method;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    net::TcpListener,
    process::Command,
    time::Duration,
};

on_both!(
    each_end_of_a_request_is_counted,
    an_intent_that_is_given_up_is_counted,
    an_audit_that_cannot_be_written_is_counted,
    no_label_names_anybody,
    the_page_has_every_metric,
    the_listener_serves_nothing_else,
    serve_shows_them_while_it_runs,
);

async fn read(test: &TestApp) -> BTreeMap<String, Family> {
    let reply = test.ask_metrics(Method::GET, "/metrics").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    strictly(&reply.text);
    exposition::parse(&reply.text)
}

/// Holds a text against the parser of Prometheus's own client, which nobody here wrote.
fn strictly(text: &str) {
    let parse = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
                 assert len(list(parse(open(sys.argv[1]).read()))) > 10";
    python(parse, text);
}

/// Runs a program over a file of this text.
fn python(program: &str, text: &str) {
    let Some(programs) = variable("HALLPASS_TEST_MOTO") else { return skip("Python with what tests/run installs") };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text");
    fs::write(&file, text).unwrap();
    run(Command::new(format!("{programs}/python")).args(["-c", program]).arg(file));
}

/// The value of one series.
fn value(families: &BTreeMap<String, Family>, series: &str) -> f64 {
    let mut samples = families.values().flat_map(|family| &family.samples);
    samples.find(|sample| sample.series == series).unwrap_or_else(|| panic!("no {series}")).value
}

/// Every series but buckets, with the numbers that each run has alike; readiness is asked until it is there.
fn told(families: &BTreeMap<String, Family>) -> String {
    let mut told = String::new();
    for sample in families.values().flat_map(|family| &family.samples) {
        let steady = ["_total", "_in_flight", "duration_seconds_count", "queue_depth", "jwks_age_seconds"];
        let ready = sample.labels.get("route").is_some_and(|route| route == "readyz");
        if sample.name.ends_with("_bucket") || sample.name.ends_with("_sum") || ready {
            continue;
        }
        if steady.iter().any(|end| sample.name.ends_with(end)) && !sample.name.contains("commit_duration") {
            writeln!(told, "{} {}", sample.series, sample.value).unwrap();
        } else {
            writeln!(told, "{} #", sample.series.replace(env!("CARGO_PKG_VERSION"), "<version>")).unwrap();
        }
    }
    told
}

async fn each_end_of_a_request_is_counted(db: &TestDb) {
    let test = TestApp::start(db).await;
    let plain = json!({"role": "444455556666/Plain"});
    let issued = test.credentials(Alice, &plain).await;
    assert_eq!(issued.status, 200, "{issued:?}");
    assert_eq!(test.credentials(Mallory, &plain).await.status, 403);
    test.sts.behave("ReadOnly", Behaviour::THROTTLE);
    assert_eq!(test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await.code(), "sts_throttled");
    let refused = test.request(Method::GET, "/v1/whoami", Anonymous).header("authorization", "Bearer x").send().await;
    assert_eq!(refused.code(), "token_invalid");
    test.clock.advance(Duration::from_millis(1500));
    let families = read(&test).await;
    snap!(told(&families), @r#"
    hallpass_audit_commit_duration_seconds_count #
    hallpass_audit_commit_errors_total 0
    hallpass_audit_commit_rows_count #
    hallpass_audit_queue_depth 0
    hallpass_authentication_failures_total{code="unauthenticated"} 0
    hallpass_authentication_failures_total{code="token_expired"} 0
    hallpass_authentication_failures_total{code="token_invalid"} 1
    hallpass_authentication_failures_total{code="keys_unavailable"} 0
    hallpass_authentication_failures_total{code="store_unavailable"} 0
    hallpass_build_info{version="<version>"} #
    hallpass_http_connections #
    hallpass_http_request_duration_seconds_count{route="whoami",status="4xx"} 1
    hallpass_http_request_duration_seconds_count{route="credentials",status="2xx"} 1
    hallpass_http_request_duration_seconds_count{route="credentials",status="4xx"} 1
    hallpass_http_request_duration_seconds_count{route="credentials",status="5xx"} 1
    hallpass_http_request_duration_seconds_count{route="allowlist",status="2xx"} 2
    hallpass_http_requests_in_flight 0
    hallpass_issuance_errors_total{code="not_allowed"} 1
    hallpass_issuance_errors_total{code="duration_too_long"} 0
    hallpass_issuance_errors_total{code="reason_required"} 0
    hallpass_issuance_errors_total{code="session_policy_fixed"} 0
    hallpass_issuance_errors_total{code="invalid_request"} 0
    hallpass_issuance_errors_total{code="session_policy_too_large"} 0
    hallpass_issuance_errors_total{code="sts_refused"} 0
    hallpass_issuance_errors_total{code="sts_throttled"} 1
    hallpass_issuance_errors_total{code="sts_unavailable"} 0
    hallpass_issuance_errors_total{code="audit_unavailable"} 0
    hallpass_issuance_errors_total{code="store_unavailable"} 0
    hallpass_issuances_total{outcome="issued"} 1
    hallpass_issuances_total{outcome="shared"} 0
    hallpass_issuances_total{outcome="denied"} 1
    hallpass_issuances_total{outcome="failed"} 1
    hallpass_issuances_total{outcome="unknown"} 0
    hallpass_jwks_age_seconds{issuer="corp"} 1.5
    hallpass_jwks_age_seconds{issuer="ci"} 1.5
    hallpass_process_start_time_seconds #
    hallpass_rate_limited_requests_total{by="caller"} 0
    hallpass_rate_limited_requests_total{by="address"} 0
    hallpass_rate_limited_requests_total{by="sign_in"} 0
    hallpass_shed_requests_total{full="connections"} 0
    hallpass_shed_requests_total{full="requests"} 0
    hallpass_shed_requests_total{full="sts_rate"} 0
    hallpass_shed_requests_total{full="sts_account"} 0
    hallpass_signin_call_duration_seconds_count 0
    hallpass_signin_errors_total{kind="refused"} 0
    hallpass_signin_errors_total{kind="throttled"} 0
    hallpass_signin_errors_total{kind="unavailable"} 0
    hallpass_store_read_duration_seconds_count 3
    hallpass_sts_call_duration_seconds_count 2
    hallpass_sts_errors_total{kind="refused"} 0
    hallpass_sts_errors_total{kind="policy_malformed"} 0
    hallpass_sts_errors_total{kind="policy_too_large"} 0
    hallpass_sts_errors_total{kind="throttled"} 1
    hallpass_sts_errors_total{kind="unavailable"} 0
    "#);
    let took = |series: &str| value(&families, series);
    assert!(took("hallpass_sts_call_duration_seconds_sum") > took("hallpass_store_read_duration_seconds_sum"));
    assert!(took("hallpass_audit_commit_duration_seconds_sum") > 0.0);
    let started = test.clock.now().as_micros() / 1_000_000 - 1;
    assert_eq!(took("hallpass_process_start_time_seconds").to_string(), started.to_string());
    test.close().await;
}

async fn an_intent_that_is_given_up_is_counted(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.sts.behave("Plain", Behaviour::Held);
    let ask = json!({"role": "444455556666/Plain"});
    let (late, ()) = tokio::join!(test.credentials(Alice, &ask), async {
        until("call to STS", Duration::from_secs(5), async || test.sts.requests().pop()).await;
        assert_eq!(value(&read(&test).await, "hallpass_http_requests_in_flight").to_string(), "1");
        test.clock.advance(Duration::from_secs(121));
        test.app.recorder.housekeep().await;
        test.sts.let_go();
    });
    assert_eq!(late.code(), "audit_unavailable", "{late:?}");
    let families = read(&test).await;
    for (series, expected) in [
        ("hallpass_issuances_total{outcome=\"unknown\"}", "1"),
        ("hallpass_issuances_total{outcome=\"failed\"}", "1"),
        ("hallpass_issuances_total{outcome=\"issued\"}", "0"),
        ("hallpass_issuance_errors_total{code=\"audit_unavailable\"}", "1"),
        ("hallpass_http_requests_in_flight", "0"),
    ] {
        assert_eq!(value(&families, series).to_string(), expected, "{series}");
    }
    test.close().await;
}

async fn an_audit_that_cannot_be_written_is_counted(db: &TestDb) {
    let test = TestApp::start(db).await;
    let errors = "hallpass_audit_commit_errors_total";
    assert_eq!(value(&read(&test).await, errors).to_string(), "0");
    db.connect().await.execute("ALTER TABLE audit_events RENAME TO gone").await;
    let reply = test.credentials(Mallory, &json!({"role": "prod/Deploy"})).await;
    assert_eq!(reply.code(), "audit_unavailable", "{reply:?}");
    let families = read(&test).await;
    assert!(value(&families, errors) > 0.5);
    assert_eq!(value(&families, "hallpass_issuance_errors_total{code=\"audit_unavailable\"}").to_string(), "1");
    db.connect().await.execute("ALTER TABLE gone RENAME TO audit_events").await;
    test.close().await;
}

async fn no_label_names_anybody(db: &TestDb) {
    let test = TestApp::start(db).await;
    for route in surface::routes(&test) {
        for who in Persona::ALL {
            surface::ask(&test, &route, who).await;
        }
    }
    let families = read(&test).await;
    let routes = &families["hallpass_http_request_duration_seconds"].samples;
    assert!(!routes.iter().any(|sample| sample.labels["route"] == "other"), "a route of the router has no name");

    let token = test.token(Alice);
    for path in ["/v1/alice@example.com", "/v1/grants/alice@example.com", &format!("/{token}"), "/v1/roles/prod/Deploy"]
    {
        test.get(path, Alice).await;
    }
    let families = read(&test).await;
    let routes = &families["hallpass_http_request_duration_seconds"].samples;
    assert!(routes.iter().any(|sample| sample.labels["route"] == "other"));
    let version = env!("CARGO_PKG_VERSION");
    let mut values = 0;
    for sample in families.values().flat_map(|family| &family.samples) {
        for (label, value) in &sample.labels {
            // What nobody can have put there: a word of the program's own, a number, or a configured issuer.
            let fits = match label.as_str() {
                "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
                "version" => value == version,
                "issuer" => ["corp", "ci"].contains(&value.as_str()),
                _ => value.len() < 30 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            };
            assert!(fits, "{}", sample.series);
            for name in ["alice", "mallory", "auditor", "admin", "apply", "developers", "prod", "Production"] {
                assert_ne!(value, name, "{}", sample.series);
            }
            for text in ["1111", "4444", "9999", "Deploy", "Plain", "ReadOnly", "example", "INC", "/", "@", ":"] {
                assert!(label == "le" || !value.contains(text), "{}", sample.series);
            }
            values += 1;
        }
    }
    assert!(values > 100, "{values}");
    test.close().await;
}

/// `docs/metrics.md` and what is served say the same.
async fn the_page_has_every_metric(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.credentials(Mallory, &json!({"role": "prod/Deploy"})).await;
    let families = read(&test).await;
    let page = include_str!("../../docs/metrics.md");
    let served = families.iter().map(|(name, family)| {
        let name = match family.kind.as_str() {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.clone(),
        };
        let kind = if family.kind == "info" { "gauge" } else { &family.kind };
        let labels: Vec<_> = family.labels().iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        format!("| `{name}` | {kind} | {labels} | {} |", family.help.trim_end_matches('.'))
    });
    let mut served: Vec<_> = served.collect();
    let mut told: Vec<_> = page.lines().filter(|line| line.starts_with("| `hallpass_")).map(str::to_owned).collect();
    served.sort();
    told.sort();
    assert_eq!(told.join("\n"), served.join("\n"), "mend the table of docs/metrics.md");

    // So do the values of the labels; a status may be told that nothing has been answered with.
    let told = |label: &str| -> BTreeSet<&str> {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{label}` |"))).unwrap();
        row.split('`').skip(3).step_by(2).filter(|word| !word.contains(' ')).collect()
    };
    let samples = || families.values().flat_map(|family| &family.samples);
    let served =
        |label: &str| -> BTreeSet<&str> { samples().filter_map(|s| Some(s.labels.get(label)?.as_str())).collect() };
    for label in ["outcome", "by", "full", "kind"] {
        assert_eq!(told(label), served(label), "{label}");
    }
    assert!(served("status").is_subset(&told("status")));

    // What the alerts ask for, and each value of a label that they name, is there.
    let names: Vec<_> = samples().map(|sample| &sample.name).collect();
    let values = samples().flat_map(|sample| sample.labels.values()).map(String::as_str);
    let values: BTreeSet<_> = values.chain(told("status")).chain(["hallpass"]).collect(); // the last is the job
    let alerts = page.rsplit("```yaml").next().unwrap().split("```").next().unwrap();
    python("import sys, yaml\nassert len(yaml.safe_load(open(sys.argv[1]))['groups'][0]['rules']) == 11", alerts);
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let asked: Vec<_> = alerts.split(word).filter(|word| word.starts_with("hallpass_")).collect();
    assert!(asked.len() >= 5, "{asked:?}");
    for name in asked {
        assert!(names.iter().any(|known| *known == name), "no metric {name}");
    }
    for value in alerts.split("=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(values.contains(value), "no label has {value}");
    }
    test.close().await;
}

async fn the_listener_serves_nothing_else(db: &TestDb) {
    let test = TestApp::start(db).await;
    for route in surface::routes(&test) {
        assert_eq!(test.ask_metrics(route.method, &route.path).await.status, 404, "{}", route.path);
    }
    for (method, path, status) in [
        (Method::GET, "/", 404),
        (Method::GET, "/metrics/", 404),
        (Method::POST, "/metrics", 405),
        (Method::DELETE, "/metrics", 405),
    ] {
        let reply = test.ask_metrics(method, path).await;
        assert_eq!((reply.status, reply.text.as_str()), (status, ""), "{path}");
    }
    // And nobody else serves them.
    assert_eq!(test.get("/metrics", Persona::Admin).await.status, 404);
    test.close().await;
}

async fn serve_shows_them_while_it_runs(db: &TestDb) {
    const LISTEN: &str = "HALLPASS_SERVER__METRICS_LISTEN";
    let sts = FakeSts::start().await;
    let issuer = Issuer::start(Alg::Es256).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = Plan::new(db, &issuer.url, &sts.url).with(LISTEN, &address).fail_to_start();
    let said = said.lines().last().unwrap().replace(&address, "<address>");
    snap!(said, @"cannot listen on <address>, which is server.metrics_listen: Address already in use (os error 98)");

    let address = format!("127.0.0.1:{}", free_port());
    let plan = Plan::new(db, &issuer.url, &sts.url).with(LISTEN, &address);
    let mut service = plan.start().await;
    let get = async || {
        reqwest::Client::builder().no_proxy().build().unwrap().get(format!("http://{address}/metrics")).send().await
    };
    let families = exposition::parse(&get().await.unwrap().text().await.unwrap());
    assert!(value(&families, "hallpass_jwks_age_seconds{issuer=\"corp\"}") < 60.0);
    service.process.signal("TERM");
    assert!(service.process.0.wait().unwrap().success());
    assert!(get().await.is_err(), "it ends with the service");
    assert_eq!(service.log().matches("panic").count(), 0, "{}", service.log());
}
