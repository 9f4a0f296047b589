//! The AWS CLI and the SDKs as people use them, against a service that speaks TLS, with an AWS behind it that nobody here
//! wrote: each finds its credentials by itself, is who the audit says, and comes again when they come to their end.

use crate::{
    support::{
        brief,
        database::{TestDb, on_both},
        issuer::{Alg, Issuer},
        moto::{Moto, isolated},
        run,
        service::{Plan, Service},
        skip, variable,
        world::{ACCOUNT, allowlist},
    },
    tls::Authority,
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

on_both!(
    the_aws_cli_and_boto3_share_a_session,
    pythons_and_javascripts_sdks_come_again,
    sdks_that_are_compiled_come_again,
);

/// How a client is told where its credentials are.
#[derive(Clone, Copy)]
enum Way {
    Variable,
    /// As [`Way::Variable`], after `Bearer `.
    Bearer,
    File,
    /// `credential_process`, and `curl`.
    Process,
}

/// An SDK with a program that uses it.
struct Sdk {
    name: &'static str,
    command: fn(&Site) -> Option<Command>,
    /// It asks again when less than this is left.
    asks_again: Duration,
}

const PYTHON: Sdk = Sdk { name: "Python", command: python, asks_again: Duration::from_mins(15) };
const OLD_PYTHON: Sdk = Sdk { name: "botocore-1.42.4", command: old_python, ..PYTHON };
const JAVASCRIPT: Sdk = Sdk { name: "JavaScript", command: javascript, asks_again: Duration::from_mins(5) };
const GO: Sdk = Sdk { name: "Go", command: go, asks_again: Duration::from_mins(5) };
/// What a process has told it, it keeps to the end.
const GO_BY_PROCESS: Sdk = Sdk { asks_again: Duration::ZERO, ..GO };
const RUST: Sdk = Sdk { name: "Rust", command: rust, asks_again: Duration::from_secs(10) };
/// From nine minutes on it asks at random, and under one always.
const JAVA: Sdk = Sdk { name: "Java", command: java, asks_again: Duration::from_mins(1) };
const JAVA_BY_PROCESS: Sdk = Sdk { asks_again: Duration::from_secs(15), ..JAVA };

/// A service behind TLS, with the emulator behind it, and what its clients need to trust it.
struct Site {
    moto: Moto,
    service: Service,
    plan: Plan,
    issuer: Issuer,
    token: String,
    folder: TempDir,
}

impl Site {
    /// With a role for each of these, whose sessions last a moment longer than the SDK is content with. `None` where the
    /// emulator is missing, and that may be.
    async fn start(db: &TestDb, roles: &[(String, Duration)]) -> Option<Self> {
        let moto = Moto::start().await?;
        let issuer = Issuer::start(Alg::Rs256).await;
        let aws = brief::in_front_of(&moto.url, roles.iter().cloned().collect()).await;
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let (certificate, key) = authority.issue("hallpass.example.com", 2999);
        let [ca, certificate_file, key_file, token_file] =
            ["ca.pem", "tls.crt", "tls.key", "token"].map(|name| folder.path().join(name));
        let token = issuer.person("alice@example.com", &[]);
        let header = format!("authorization: Bearer {token}\n");
        for (file, text) in [
            (&ca, &authority.pem()),
            (&certificate_file, &certificate),
            (&key_file, &key),
            (&token_file, &token),
            (&folder.path().join("header"), &header),
        ] {
            fs::write(file, text).unwrap();
        }
        let plan = Plan::new(db, &issuer.url, &aws).with_tls(&certificate_file, &key_file);
        let service = plan.start().await;
        let names: Vec<_> = roles.iter().map(|(name, _)| name.as_str()).chain(["ReadOnly"]).collect();
        service.api.apply(&allowlist(ACCOUNT, &names), &issuer.person("admin@example.com", &[])).await;
        Some(Self { moto, service, plan, issuer, token, folder })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `certifi` for Python as somebody has it who added the authority to the file that `python -m certifi` names: a copy,
    /// before the one that all tests use.
    fn certifi(&self) -> PathBuf {
        let (there, copy) =
            (run(self.moto.python().args(["-c", "import certifi; print(certifi.__path__[0])"])), self.file("python"));
        if copy.exists() {
            return copy;
        }
        fs::create_dir(&copy).unwrap();
        run(Command::new("cp").args(["-r", &there]).arg(&copy));
        let trusted = copy.join("certifi/cacert.pem");
        fs::write(&trusted, fs::read_to_string(&trusted).unwrap() + &self.authority()).unwrap();
        copy
    }

    fn authority(&self) -> String {
        fs::read_to_string(self.file("ca.pem")).unwrap()
    }

    /// The variables by which an SDK finds what there is for this role.
    fn variables(&self, role: &str, way: Way) -> Vec<(&'static str, String)> {
        let url = self.service.api.url();
        let container = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{url}/v1/container/prod/{role}"));
        let shown = |name: &str| self.file(name).display().to_string();
        match way {
            Way::Variable => vec![container, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", self.token.clone())],
            Way::Bearer => vec![container, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", format!("Bearer {}", self.token))],
            Way::File => vec![container, ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", shown("token"))],
            Way::Process => {
                let config = format!("config-{role}");
                let curl = format!(
                    "curl -fsS -H @{} --json '{{\"role\": \"prod/{role}\"}}' '{url}/v1/credentials?format=process'",
                    shown("header")
                );
                fs::write(self.file(&config), format!("[profile hallpass]\ncredential_process = {curl}\n")).unwrap();
                vec![
                    ("AWS_CONFIG_FILE", shown(&config)),
                    ("AWS_PROFILE", "hallpass".to_owned()),
                    ("CURL_CA_BUNDLE", shown("ca.pem")),
                ]
            }
        }
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[expect(clippy::unnecessary_wraps, reason = "of the form of those that can be missing")]
fn python(site: &Site) -> Option<Command> {
    let mut command = site.moto.python();
    command.env("PYTHONPATH", site.certifi()).arg(source("client.py"));
    Some(command)
}

fn old_botocore() -> Option<PathBuf> {
    let folder = variable("HALLPASS_TEST_OLD_BOTOCORE");
    if folder.is_none() {
        skip("botocore 1.42.4");
    }
    Some(Path::new(&folder?).join("python"))
}

fn old_python(site: &Site) -> Option<Command> {
    let mut command = site.moto.program(&old_botocore()?);
    command.arg(source("client.py"));
    Some(command)
}

fn javascript(site: &Site) -> Option<Command> {
    let Some(folder) = variable("HALLPASS_TEST_JAVASCRIPT") else {
        skip("the AWS SDK for JavaScript");
        return None;
    };
    let mut command = site.moto.program(Path::new("node"));
    // It reads this name of the region alone.
    command.env("AWS_REGION", "eu-west-1").env("NODE_EXTRA_CA_CERTS", site.file("ca.pem"));
    command.arg(Path::new(&folder).join("client.js"));
    Some(command)
}

/// What `tests/clients/run` has built.
fn compiled(site: &Site, name: &str) -> Option<Command> {
    let program = Path::new(&variable("HALLPASS_TEST_CLIENTS")?).join(name);
    let mut command = program.exists().then(|| site.moto.program(&program))?;
    command.env("AWS_REGION", "eu-west-1").env("SSL_CERT_FILE", site.file("ca.pem"));
    Some(command)
}

fn go(site: &Site) -> Option<Command> {
    compiled(site, "go")
}

fn rust(site: &Site) -> Option<Command> {
    compiled(site, "rust")
}

/// It looks at no variable for authorities: they are in a store of its own.
fn java(site: &Site) -> Option<Command> {
    let mut command = compiled(site, "java")?;
    let store = site.file("trusted.p12");
    if !store.exists() {
        let mut keytool = Command::new("keytool");
        keytool.args(["-importcert", "-noprompt", "-storetype", "PKCS12", "-storepass", "changeit", "-alias", "ca"]);
        run(keytool.arg("-file").arg(site.file("ca.pem")).arg("-keystore").arg(&store));
    }
    let options = format!("-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStorePassword=changeit", store.display());
    command.env("JAVA_TOOL_OPTIONS", options);
    Some(command)
}

async fn the_aws_cli_and_boto3_share_a_session(db: &TestDb) {
    let Some(site) = Site::start(db, &[]).await else { return };
    let certifi = site.certifi().display().to_string();
    let with = |mut variables: Vec<(&'static str, String)>| {
        variables.push(("PYTHONPATH", certifi.clone()));
        variables
    };
    let cli = |way| {
        let variables = with(site.variables("ReadOnly", way));
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        site.moto.aws(&variables, &["sts", "get-caller-identity", "--query", "Arn", "--output", "text"])
    };
    let boto = |way| {
        let program = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])";
        run(site.moto.python().envs(with(site.variables("ReadOnly", way))).args(["-c", program]))
    };
    let told = [cli(Way::Variable), cli(Way::File), boto(Way::Bearer)];
    let arn = &sessions(db, "ReadOnly", "container").await[0];
    assert!(arn.contains(":assumed-role/ReadOnly/alice@example.com="), "{arn}");
    assert_eq!(told.each_ref(), [arn, arn, arn], "three processes, one session");
    let records: Vec<_> = db.records().await.into_iter().filter(|record| record["purpose"] == "container").collect();
    let kinds: Vec<_> = records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    let shared = "credentials.shared";
    assert_eq!(kinds, ["credentials.requested", "credentials.issued", shared, shared]);

    // By `credential_process` each process has a session of its own.
    let told = [cli(Way::Process), boto(Way::Process)];
    assert_eq!(sessions(db, "ReadOnly", "api").await, told);

    // What a refused caller sees of it.
    let mut refused = with(site.variables("ReadOnly", Way::Variable));
    refused[1].1 = site.issuer.person("mallory@example.com", &[]);
    let refused: Vec<_> = refused.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let said = site.moto.failing_aws(&refused, &["sts", "get-caller-identity"]);
    assert!(
        said.contains("Received non 200 response 403") && said.contains("No grant of yours allows this role"),
        "{said}"
    );
    site.plan.assert_verifies();
}

/// The ARNs of the sessions that were issued for a role at this door.
async fn sessions(db: &TestDb, role: &str, purpose: &str) -> Vec<String> {
    let records = db.records().await.into_iter();
    let issued = records.filter(|record| record["kind"] == "credentials.issued" && record["purpose"] == purpose);
    let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}");
    let issued = issued.filter(|record: &Value| record["role_arn"] == format!("arn:aws:iam::{ACCOUNT}:role/{role}"));
    issued.map(|record| format!("{arn}/{}", record["session_name"].as_str().unwrap())).collect()
}

async fn pythons_and_javascripts_sdks_come_again(db: &TestDb) {
    come_again(
        db,
        &[
            (PYTHON, Way::Bearer),
            (PYTHON, Way::File),
            (PYTHON, Way::Process),
            (OLD_PYTHON, Way::Process),
            (JAVASCRIPT, Way::Variable),
            (JAVASCRIPT, Way::File),
            (JAVASCRIPT, Way::Process),
        ],
    )
    .await;
}

/// Where `tests/clients/run` has built them.
async fn sdks_that_are_compiled_come_again(db: &TestDb) {
    if variable("HALLPASS_TEST_CLIENTS").is_none() {
        return; // They want toolchains that are not asked of everybody.
    }
    let all = [
        (GO, Way::Variable),
        (GO, Way::File),
        (GO_BY_PROCESS, Way::Process),
        (JAVA, Way::Bearer),
        (JAVA, Way::File),
        (JAVA_BY_PROCESS, Way::Process),
        (RUST, Way::Variable),
        (RUST, Way::File),
        (RUST, Way::Process),
    ];
    come_again(db, &all).await;
}

/// Each uses AWS with credentials that come to their end, until it has others; both are on record.
async fn come_again(db: &TestDb, clients: &[(Sdk, Way)]) {
    const BEYOND: Duration = Duration::from_secs(4);
    let role = |sdk: &Sdk, number: usize| format!("{}-{number}", sdk.name);
    let roles: Vec<_> =
        clients.iter().enumerate().map(|(number, (sdk, _))| (role(sdk, number), sdk.asks_again + BEYOND)).collect();
    let Some(site) = Site::start(db, &roles).await else { return };
    let running = clients.iter().zip(&roles).filter_map(|((sdk, way), (role, _))| {
        let mut command = (sdk.command)(&site)?;
        command.envs(site.variables(role, *way)).stdout(Stdio::piped()).stderr(Stdio::piped());
        Some((role, *way, command.spawn().unwrap()))
    });
    for (role, way, client) in running.collect::<Vec<_>>() {
        let output = client.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{role}: {said}");
        let seen: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(seen.len(), 2, "{role} did not come again: {seen:?} {said}");
        let purpose = if matches!(way, Way::Process) { "api" } else { "container" };
        let issued = sessions(db, role, purpose).await;
        for arn in &seen {
            assert_eq!(issued.iter().filter(|&one| one == arn).count(), 1, "{role}: {arn} in {issued:?}");
        }
    }
    site.plan.assert_verifies();
}

/// Who has it uses `credential_process`. What it says of the other way:
#[test]
fn an_old_botocore_takes_no_remote_address() {
    let Some(python) = old_botocore() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut command = isolated(&python, home.path());
    command.arg(source("client.py")).env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "x");
    command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://hallpass.example.com/v1/container/prod/ReadOnly");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Unsupported host 'hallpass.example.com'"), "{said}");
}
