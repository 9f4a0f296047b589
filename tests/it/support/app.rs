//! The whole service within the test's own process, on a clock that the test sets: the same wiring and the same routes
//! as `serve`, with the fakes behind it, and the personas who ask.

use super::{
    database::{Sql, TestDb},
    described::assert_described,
    issuer::{Alg, Issuer},
    log,
    shown::shown,
    signin::FakeSignIn,
    sts::FakeSts,
    until,
};
use aws_sdk_sts::config::{BehaviorVersion, Credentials, Region};
use hallpass::{
    app::{self, App, Writing},
    clock::Clock,
    config,
    http::{self, Bounds, Connections, Limits, Listener, Patience},
    model::Time,
    store::Store,
    sts::{Pace, Sts},
    tls::Certificates,
};
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use std::{fs, iter, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// When every test begins.
pub(crate) const START: &str = "2026-01-02T03:04:05Z";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persona {
    /// Sends no token.
    Anonymous,
    /// Has grants, by name and as one of the developers.
    Alice,
    /// Has none.
    Mallory,
    Auditor,
    Admin,
    /// A workload, whose sessions end with its token.
    Applier,
}
use Persona::{Admin, Alice, Anonymous, Applier, Auditor, Mallory};

impl Persona {
    pub(crate) const ALL: [Self; 6] = [Anonymous, Mallory, Alice, Auditor, Applier, Admin];
}

/// An allowlist with a role for each rule.
pub(crate) const ALLOWLIST: &str = r#"
[[account]]
id = "111122223333"
alias = "prod"
name = "Production"
external_id = "hp-external-id-of-prod"
tags = { env = "prod" }
  [[account.role]]
  name = "ReadOnly"
  path = "/teams/"
  description = "Look, don't touch"
  max_duration = "4h"
  session_tags = { team = "shop" }
  [[account.role]]
  name = "Deploy"
  [[account.role]]
  name = "Forbidden"

[[account]]
id = "444455556666"
  [[account.role]]
  name = "Plain"
  source_identity = false
  max_duration = "12h"

[[grant]]
to = ["user:alice@example.com"]
roles = ["prod/ReadOnly"]
max_duration = "2h"

[[grant]]
to = ["group:developers"]
roles = ["prod/Deploy"]
require_reason = true

[[grant]]
to = ["user:alice@example.com", "workload:ci/apply"]
roles = ["444455556666/*"]
"#;

/// How much a service does and for how long; by default for one caller as much as a test asks for.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) bounds: Bounds,
    pub(crate) pace: Pace,
    pub(crate) connections: Connections,
    pub(crate) patience: Patience,
    pub(crate) tls: Option<Arc<Certificates>>,
    /// The test's own address is that of a proxy.
    pub(crate) proxied: bool,
}

impl Default for Setting {
    fn default() -> Self {
        let plenty = 1_000_000.try_into().unwrap();
        let bounds = Bounds {
            requests_per_second: plenty,
            requests_burst: plenty,
            failures_per_minute: plenty,
            failures_burst: plenty,
            ..Bounds::default()
        };
        let pace = Pace { per_second: plenty, ..Pace::default() };
        let (connections, patience) = (Connections::default(), Patience::default());
        Self { bounds, pace, connections, patience, tls: None, proxied: true }
    }
}

/// One running service.
pub(crate) struct TestApp {
    pub(crate) clock: Clock,
    pub(crate) corp: Issuer,
    pub(crate) sts: FakeSts,
    pub(crate) signin: FakeSignIn,
    pub(crate) app: App,
    ci: Issuer,
    pub(crate) url: String,
    metrics_url: String,
    client: reqwest::Client,
    writing: Writing,
    stop: CancellationToken,
    folder: TempDir,
}

impl TestApp {
    /// A service on a migrated database, ready, with [`ALLOWLIST`] applied by the admin.
    pub(crate) async fn start(db: &TestDb) -> Self {
        let test = Self::start_empty(db).await;
        test.apply(ALLOWLIST).await;
        test
    }

    /// Likewise, with nothing in its allowlist.
    pub(crate) async fn start_empty(db: &TestDb) -> Self {
        migrate(db).await;
        Self::start_migrated(db).await
    }

    /// On what is there already.
    pub(crate) async fn start_migrated(db: &TestDb) -> Self {
        Self::start_at(db, Clock::settable(Time::parse(START).unwrap()), Setting::default()).await
    }

    /// With [`ALLOWLIST`], and with limits of the test's own.
    pub(crate) async fn start_with(db: &TestDb, setting: Setting) -> Self {
        migrate(db).await;
        let test = Self::start_at(db, Clock::settable(Time::parse(START).unwrap()), setting).await;
        test.apply(ALLOWLIST).await;
        test
    }

    /// With [`ALLOWLIST`], at the time that it is: for programs that have no other clock.
    pub(crate) async fn start_today(db: &TestDb) -> Self {
        migrate(db).await;
        let test = Self::start_at(db, Clock::settable(Clock::system().now()), Setting::default()).await;
        test.apply(ALLOWLIST).await;
        test
    }

    /// Another replica on the same database and clock.
    pub(crate) async fn start_another(&self, db: &TestDb) -> Self {
        Self::start_at(db, self.clock.clone(), Setting::default()).await
    }

    async fn start_at(db: &TestDb, clock: Clock, setting: Setting) -> Self {
        log::keep();
        let sts = FakeSts::start_at(clock.clone()).await;
        let signin = FakeSignIn::start().await;
        let corp = Issuer::start_at(Alg::Es256, clock.clone()).await;
        let ci = Issuer::start_at(Alg::EdDsa, clock.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let config = write_config(folder.path(), db, &corp.url, &ci.url, &signin.url);
        let mut config = config::load(Some(&config), std::iter::empty()).unwrap();
        if !setting.proxied {
            config.server.trusted_proxies.clear();
        }
        if db.is_postgres() {
            app::keygen(&config.audit.signing_key_file).unwrap();
        }
        let aws = Sts::new(client_of(&sts), &config.aws.region, clock.clone()).with_pace(setting.pace);
        let (app, writing) = App::build(&config, aws, clock.clone()).await.unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let listener = listener.with_patience(setting.patience).with_metrics(app.metrics.clone());
        let mut listener = listener.with_connections(setting.connections, Some(app.trusted_proxies.clone()));
        let scheme = if setting.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.address().unwrap());
        if let Some(certificates) = setting.tls {
            listener = listener.with_tls(certificates);
        }
        let measures = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let metrics_url = format!("http://{}", measures.address().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(http::serve(measures, http::metrics_router(app.clone()), stop.clone().cancelled_owned()));
        let router = http::router(app.clone(), Limits::new(setting.bounds, clock.clone(), app.metrics.clone()));
        tokio::spawn(http::serve(listener, router, stop.clone().cancelled_owned()));
        // Whether a certificate is any good is for tls.rs to try.
        let client = reqwest::Client::builder().no_proxy().user_agent("test/1").tls_danger_accept_invalid_certs(true);
        let client = client.build().unwrap();
        let test = Self { clock, corp, sts, signin, app, ci, url, metrics_url, client, writing, stop, folder };
        until("ready service", Duration::from_secs(20), async || {
            (test.get("/readyz", Anonymous).await.status == 200).then_some(())
        })
        .await;
        test
    }

    /// Ends it as `serve` does.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.app.close(self.writing).await;
    }

    /// A token of this persona, good for an hour from now.
    pub(crate) fn token(&self, who: Persona) -> String {
        match who {
            Anonymous => String::new(),
            Alice => self.corp.person("alice@example.com", &["developers"]),
            Mallory => self.corp.person("mallory@example.com", &["strangers"]),
            Auditor => self.corp.person("auditor@example.com", &[]),
            Admin => self.corp.person("admin@example.com", &["cloud-platform"]),
            Applier => self.ci.token(&self.ci.claims("apply")),
        }
    }

    /// A request with this persona's token.
    pub(crate) fn request(&self, method: Method, path: &str, who: Persona) -> Request {
        let request = self.client.request(method, format!("{}{path}", self.url));
        if who == Anonymous { Request(request) } else { Request(request.bearer_auth(self.token(who))) }
    }

    /// A request with a token of the test's own.
    pub(crate) fn request_with(&self, method: Method, path: &str, token: &str) -> Request {
        Request(self.client.request(method, format!("{}{path}", self.url)).bearer_auth(token))
    }

    /// A request to the listener of the metrics.
    pub(crate) async fn ask_metrics(&self, method: Method, path: &str) -> Reply {
        Request(self.client.request(method, format!("{}{path}", self.metrics_url))).send_undescribed().await
    }

    pub(crate) async fn get(&self, path: &str, who: Persona) -> Reply {
        self.request(Method::GET, path, who).send().await
    }

    pub(crate) async fn post(&self, path: &str, who: Persona, body: &Value) -> Reply {
        self.request(Method::POST, path, who).json(body).send().await
    }

    pub(crate) async fn delete(&self, path: &str, who: Persona) -> Reply {
        self.request(Method::DELETE, path, who).send().await
    }

    /// Asks for credentials.
    pub(crate) async fn credentials(&self, who: Persona, body: &Value) -> Reply {
        self.post("/v1/credentials", who, body).await
    }

    /// Makes this text the allowlist.
    pub(crate) async fn apply(&self, file: &str) -> Reply {
        let etag = self.get("/v1/allowlist", Admin).await.header("etag").to_owned();
        let request = self.request(Method::PUT, "/v1/allowlist", Admin).toml(file).header("if-match", &etag);
        let reply = request.send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply
    }

    /// A moment that is so far from now, as a request has it.
    pub(crate) fn moment(&self, ahead: Duration) -> String {
        self.clock.now().plus(ahead).to_string()
    }

    /// The configuration that the service was started with.
    pub(crate) fn config_file(&self) -> String {
        self.folder.path().join("hallpass.toml").to_str().unwrap().to_owned()
    }

    /// The audit key's file.
    pub(crate) fn key_file(&self) -> String {
        fs::read_to_string(self.folder.path().join("audit.key")).unwrap()
    }
}

/// Brings a database up to date.
pub(crate) async fn migrate(db: &TestDb) {
    let store = match db.url.strip_prefix("sqlite:") {
        Some(file) => Store::sqlite(file.as_ref()),
        None => Store::postgres(&db.url).unwrap(),
    };
    store.migrate(None).await.unwrap();
    store.close().await;
}

/// The records of one kind, oldest first.
pub(crate) async fn records_of(db: &TestDb, kind: &str) -> Vec<Value> {
    let mut records = db.records().await;
    records.retain(|record| record["kind"] == kind);
    records.sort_by_key(|record| (record["at"].to_string(), record["id"].to_string()));
    records
}

/// A table's rows, each as one text.
pub(crate) async fn rows(sql: &mut Sql, db: &TestDb, table: &str) -> Vec<String> {
    let text =
        if db.is_postgres() { format!("SELECT t::text FROM {table} t") } else { format!("SELECT * FROM {table}") };
    sql.lines(&text).await
}

fn write_config(folder: &Path, db: &TestDb, corp: &str, ci: &str, signin: &str) -> std::path::PathBuf {
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:1"
        trusted_proxies = ["127.0.0.0/8"]
        [database]
        url = "{}"
        [aws]
        region = "eu-west-1"
        signin_url = "{signin}"
        [access]
        admins = ["group:cloud-platform"]
        auditors = ["user:auditor@example.com"]
        appliers = ["workload:ci/apply"]
        token_creators = ["group:developers"]
        [[issuers]]
        name = "corp"
        issuer = "{corp}"
        audiences = ["hallpass"]
        kind = "people"
        principal_claim = "email"
        groups_claim = "groups"
        prefix = ""
        [login]
        issuer = "corp"
        client_id = "hallpass-cli"
        [[issuers]]
        name = "ci"
        issuer = "{ci}"
        audiences = ["hallpass"]
        kind = "workload"
        cap_to_token = true
        [portal]
        issuer = "corp"
        client_id = "hallpass-portal"
        help = "Ask <b>ops</b> in #aws, or at https://tickets.example.com/new?a=1&b=2. Not javascript:alert(1)"
        "#,
        db.url
    );
    let path = folder.join("hallpass.toml");
    fs::write(&path, text).unwrap();
    path
}

fn client_of(sts: &FakeSts) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(&sts.url)
        .credentials_provider(Credentials::new("AKIAIOSFODNN7EXAMPLE", "broker-secret-access-key", None, None, "test"));
    aws_sdk_sts::Client::from_conf(config.build())
}

/// A request on its way.
pub(crate) struct Request(reqwest::RequestBuilder);

impl Request {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn toml(self, file: &str) -> Self {
        self.body("application/toml", file.to_owned())
    }

    pub(crate) fn body(self, media_type: &str, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("content-type", media_type).body(body))
    }

    /// Whatever comes back is held against the API's description.
    pub(crate) async fn send(self) -> Reply {
        let asked = self.0.try_clone().unwrap().build().unwrap();
        let reply = self.send_undescribed().await;
        assert_described(asked.method().as_str(), asked.url().path(), &reply);
        reply
    }

    async fn send_undescribed(self) -> Reply {
        let response = self.0.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// The body as JSON, or as a JSON text where it is none.
    pub(crate) fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| Value::String(self.text.clone()))
    }

    /// The stable error code, or nothing.
    pub(crate) fn code(&self) -> String {
        self.body()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A member of the body that must be a text.
    pub(crate) fn member(&self, name: &str) -> String {
        self.body()[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {self:?}")).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The whole answer for a snapshot: status, what Hallpass says of the body, the body.
    pub(crate) fn whole(&self) -> String {
        format!(
            "{}{}",
            self.head(&["date", "content-length", "transfer-encoding", "x-request-id"]),
            shown(&self.body())
        )
    }

    /// The whole answer, byte for byte, but for the time of day.
    pub(crate) fn bytes(&self) -> String {
        format!("{}{}", self.head(&["date"]), self.text)
    }

    fn head(&self, leave_out: &[&str]) -> String {
        let told = self.headers.iter().filter(|(name, _)| !leave_out.contains(&name.as_str()));
        let lines = told.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
        iter::once(format!("{}\n", self.status)).chain(lines).collect()
    }
}
