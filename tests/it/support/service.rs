//! The real `hallpass` binary as a process of its own, and a client that asks it as any other would.

use super::{Killed, database::TestDb, free_port, run, until, variable};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(30);

/// What `serve` is started with; replicas share all of it but the port.
pub(crate) struct Plan {
    folder: TempDir,
    database: String,
    issuer: String,
    environment: Vec<(String, String)>,
    scheme: &'static str,
}

impl Plan {
    /// A service on this database that believes this issuer and asks this STS.
    pub(crate) fn new(db: &TestDb, issuer: &str, sts: &str) -> Self {
        let environment = [
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_ENDPOINT_URL_STS", sts),
            // Nothing that is signed in to leaves the machine.
            ("HALLPASS_AWS__SIGNIN_URL", sts),
            ("RUST_LOG", "info"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let folder = tempfile::tempdir().unwrap();
        let plan = Self { folder, database: db.url.clone(), issuer: issuer.to_owned(), environment, scheme: "http" };
        if db.is_postgres() {
            // With SQLite the first start makes it.
            plan.command(&["audit", "keygen"], &plan.write_config(1));
        }
        plan
    }

    /// Speaks TLS with this pair, which the environment names.
    pub(crate) fn with_tls(mut self, certificate: &Path, key: &Path) -> Self {
        for (name, file) in [("CERTIFICATE", certificate), ("KEY", key)] {
            self.environment.push((format!("HALLPASS_SERVER__TLS__{name}"), file.display().to_string()));
        }
        self.scheme = "https";
        self
    }

    /// What `config check` says.
    pub(crate) fn check(&self) -> Output {
        self.hallpass(&["config", "check"], &self.write_config(1)).output().unwrap()
    }

    fn write_config(&self, port: u16) -> PathBuf {
        let path = self.folder.path().join(format!("hallpass-{port}.toml"));
        let text = format!(
            r#"
            [server]
            listen = "127.0.0.1:{port}"
            public_url = "{}://127.0.0.1:{port}"
            [database]
            url = "{}"
            [aws]
            region = "eu-west-1"
            [access]
            admins = ["user:admin@example.com"]
            auditors = ["user:auditor@example.com"]
            appliers = ["user:applier@example.com"]
            [[issuers]]
            name = "corp"
            issuer = "{}"
            audiences = ["hallpass"]
            kind = "people"
            principal_claim = "email"
            groups_claim = "groups"
            prefix = ""
            [audit]
            signing_key_file = "{}"
            [limits]
            requests_per_second = 1000000
            requests_burst = 1000000
            sts_per_second = 1000000
            "#,
            self.scheme,
            self.database,
            self.issuer,
            self.folder.path().join("audit.key").display(),
        );
        fs::write(&path, text).unwrap();
        path
    }

    fn hallpass(&self, arguments: &[&str], config: &PathBuf) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        command.env_clear().env("PATH", variable("PATH").unwrap_or_default()).env("HOME", self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments).arg("--config").arg(config).stdin(Stdio::null());
        command
    }

    fn command(&self, arguments: &[&str], config: &PathBuf) -> String {
        run(&mut self.hallpass(arguments, config))
    }

    /// What a command says that has to fail.
    pub(crate) fn fail(&self, arguments: &[&str]) -> String {
        let output = self.hallpass(arguments, &self.write_config(1)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        said
    }

    /// What `audit verify` says, whether it finds faults or not.
    pub(crate) fn verify(&self) -> Output {
        self.hallpass(&["audit", "verify"], &self.write_config(1)).output().unwrap()
    }

    /// The same, with one more variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What `serve` says where it cannot start.
    pub(crate) fn fail_to_start(&self) -> String {
        let output = self.hallpass(&["serve", "--migrate"], &self.write_config(free_port())).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Fails when `audit verify` finds a fault.
    pub(crate) fn assert_verifies(&self) {
        self.command(&["audit", "verify"], &self.write_config(1));
    }

    /// Starts a replica on a port of its own, and waits until it is ready.
    pub(crate) async fn start(&self) -> Service {
        let port = free_port();
        let mut command = self.hallpass(&["serve", "--migrate"], &self.write_config(port));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take().unwrap(), &log);
        keep(child.stderr.take().unwrap(), &log);
        let url = format!("{}://127.0.0.1:{port}", self.scheme);
        let mut service = Service { api: Api::new(&url), process: Killed(child), log };
        until("ready service", START_LIMIT, || {
            let exited = service.process.0.try_wait().unwrap();
            assert!(exited.is_none(), "the service ended with {exited:?}:\n{}", service.log());
            let api = service.api.clone();
            async move { api.try_call(Method::GET, "/readyz", "", None).await.filter(|answer| answer.status == 200) }
        })
        .await;
        service
    }
}

/// Keeps what a process prints, line by line, so that its pipe never fills.
pub(crate) fn keep(output: impl Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) {
    let log = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    });
}

/// A running replica. It is killed when dropped.
pub(crate) struct Service {
    pub(crate) api: Api,
    pub(crate) process: Killed,
    log: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// All it has printed so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

/// Asks a service over HTTP.
#[derive(Clone)]
pub(crate) struct Api {
    url: String,
    client: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    /// The body as JSON, or as a JSON string where it is none.
    pub(crate) body: Value,
    pub(crate) took: Duration,
}

impl Answer {
    /// The stable error code.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// A member of the body that must be a text.
    pub(crate) fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_else(|| panic!("no `{member}` in {self:?}"))
    }
}

impl Api {
    pub(crate) fn new(url: &str) -> Self {
        // Whether a certificate is any good is for tls.rs to try.
        let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
        let client = client.timeout(Duration::from_secs(40)).build().unwrap();
        Self { url: url.to_owned(), client }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `None` when no whole answer came.
    pub(crate) async fn try_call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(token);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        Self::answer(request).await
    }

    async fn answer(request: reqwest::RequestBuilder) -> Option<Answer> {
        let began = Instant::now();
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let etag = response.headers().get("etag").map(|value| value.to_str().unwrap().to_owned());
        let text = response.text().await.ok()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Some(Answer { status, etag, body, took: began.elapsed() })
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.try_call(Method::GET, path, token, None).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.try_call(Method::POST, path, token, Some(body)).await.expect("an answer")
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Answer {
        self.try_call(Method::DELETE, path, token, None).await.expect("an answer")
    }

    /// Asks for credentials; `None` when no whole answer came.
    pub(crate) async fn try_credentials(&self, role: &str, token: &str) -> Option<Answer> {
        self.try_call(Method::POST, "/v1/credentials", token, Some(&json!({"role": role}))).await
    }

    pub(crate) async fn credentials(&self, role: &str, token: &str) -> Answer {
        self.try_credentials(role, token).await.expect("an answer")
    }

    /// Makes this text the allowlist, whatever it was.
    pub(crate) async fn apply(&self, allowlist: &str, token: &str) {
        let revision = self.get("/v1/allowlist", token).await.etag.expect("an ETag");
        let request = self.client.put(format!("{}/v1/allowlist", self.url)).bearer_auth(token);
        let request = request.header("content-type", "application/toml").header("if-match", revision);
        let answer = Self::answer(request.body(allowlist.to_owned())).await.expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
