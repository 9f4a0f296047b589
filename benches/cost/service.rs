//! `hallpass serve`, as an operator would run it, and what must be true of it afterwards.

use crate::{
    asks,
    ground::{Database, Ground, Sql},
    http::{Answering, Requests},
    load::{Load, Run},
    process::{Process, hallpass},
    report::say,
};
use hyper::body::Bytes;
use serde::Deserialize;
use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const READY_LIMIT: Duration = Duration::from_secs(30);
/// How often a service that starts is asked whether it is ready.
const POLL: Duration = Duration::from_micros(250);

/// A database that is up to date, with an allowlist and a key: all that services need.
pub(crate) struct Site {
    pub(crate) database: Database,
    sts: String,
    /// The issuances that somebody had an answer for.
    answered: HashSet<String>,
    access_keys: HashSet<String>,
}

/// A running replica. It is killed when dropped.
pub(crate) struct Service {
    pub(crate) process: Process,
    address: SocketAddr,
    /// From its start to the first 200 of `/readyz`.
    pub(crate) ready_after: Duration,
}

#[derive(Deserialize)]
struct Answer {
    issuance_id: String,
    access_key_id: String,
}

impl Site {
    pub(crate) fn prepare(ground: &Ground, database: Database, allowlist: &str) -> Self {
        let folder = database.folder.display();
        let config = format!(
            "[database]\nurl = \"{0}\"\n[aws]\nregion = \"eu-west-1\"\n\
             [access]\nadmins = [\"user:admin@example.com\"]\n\
             [[issuers]]\nname = \"corp\"\nissuer = \"{1}\"\naudiences = [\"hallpass\"]\nkind = \"people\"\n\
             principal_claim = \"email\"\ngroups_claim = \"groups\"\nprefix = \"\"\n\
             [audit]\nsigning_key_file = \"{folder}/audit.key\"\n\
             [limits]\nrequests_per_second = 1000000\nrequests_burst = 1000000\nsts_per_second = 1000000\n",
            database.url, ground.issuer.url,
        );
        fs::write(database.folder.join("hallpass.toml"), config).unwrap();
        let file = database.folder.join("allowlist.toml");
        fs::write(&file, allowlist).unwrap();
        let site = Self { database, sts: ground.sts.clone(), answered: HashSet::new(), access_keys: HashSet::new() };
        site.run(&["audit", "keygen"]);
        site.run(&["migrate"]);
        site.run(&["allowlist", "apply", file.to_str().unwrap()]);
        site
    }

    /// A new database of each kind, each with the usual allowlist.
    pub(crate) async fn on_each(ground: &Ground, name: &str) -> Vec<Self> {
        let databases = ground.databases(name).await.into_iter();
        databases.map(|database| Self::prepare(ground, database, &asks::allowlist())).collect()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.database.folder.join("hallpass.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hallpass(&self.sts, arguments);
        command.arg("--config").arg(self.config());
        command
    }

    /// What a command prints; it must succeed.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let [said, complained] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(output.status.success(), "hallpass {}: {said}{complained}", arguments.join(" "));
        said
    }

    /// Starts a replica and waits until it can issue. Its log goes to a file.
    pub(crate) fn serve(&self) -> Service {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let log = self.database.folder.join(format!("{}.log", address.port()));
        let mut command = self.command(&["serve"]);
        command.envs([
            ("HALLPASS_SERVER__LISTEN", address.to_string()),
            ("HALLPASS_SERVER__PUBLIC_URL", format!("http://{address}")),
        ]);
        command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let began = Instant::now();
        let mut process = Process::start(&mut command);
        while !is_ready(address).unwrap_or(false) {
            let said = || fs::read_to_string(&log).unwrap();
            assert!(!process.has_ended() && began.elapsed() < READY_LIMIT, "no service: {}", said());
            thread::sleep(POLL);
        }
        Service { process, address, ready_after: began.elapsed() }
    }

    /// Makes these requests of these replicas in turn; each must be answered with 200.
    pub(crate) async fn ask(
        &self,
        services: &[&Service],
        requests: &Arc<Requests>,
        load: Load,
        calls: usize,
    ) -> (Run, Vec<Bytes>) {
        let answering = Answering {
            addresses: services.iter().map(|service| service.address).collect(),
            processes: services.iter().map(|service| &service.process).collect(),
            postmaster: self.database.postmaster(),
        };
        answering.ask(requests, load, calls).await
    }

    /// As [`Site::ask`], for credentials: every answer must be such that no other answer was.
    pub(crate) async fn issue(
        &mut self,
        services: &[&Service],
        requests: &Arc<Requests>,
        load: Load,
        calls: usize,
    ) -> Run {
        let (run, answers) = self.ask(services, requests, load, calls).await;
        for answer in answers {
            let Answer { issuance_id, access_key_id } = serde_json::from_slice(&answer).unwrap();
            assert!(self.answered.insert(issuance_id), "the same issuance twice");
            assert!(self.access_keys.insert(access_key_id), "the same credentials twice");
        }
        run
    }

    /// Kills the replicas with SIGKILL. Every issuance that was answered must be on record, and the whole audit true.
    pub(crate) async fn verify(self, services: Vec<Service>) {
        drop(services);
        let recorded = Sql::connect(&self.database).await.issuances().await;
        let lost: Vec<_> = self.answered.difference(&recorded).collect();
        assert!(lost.is_empty(), "{} issuances are lost, such as {}", lost.len(), lost[0]);
        assert_eq!(recorded.len(), self.answered.len(), "issuances on record, and those that were answered");
        self.say_verified(&format!("{} issuances", recorded.len()));
    }

    /// Likewise, for a replica whose every answer was a hand-out, of which the first for its session was an issuance.
    pub(crate) async fn verify_hand_outs(self, service: Service, answers: usize) {
        drop(service);
        let mut sql = Sql::connect(&self.database).await;
        let (issued, shared) = (sql.issuances().await.len(), sql.hand_outs().await);
        assert!(issued + shared >= answers, "{answers} answers, {issued} issued and {shared} shared on record");
        self.say_verified(&format!("{issued} issuances and {shared} hand-outs"));
    }

    fn say_verified(&self, what: &str) {
        let said = self.run(&["audit", "verify"]);
        let said = said.lines().next().unwrap_or_default();
        say(&format!("{}, after kill -9: {what}, each on record; audit verify: {said}", self.database.kind()));
    }
}

fn is_ready(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: hallpass\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}

/// Below the ports that the kernel gives to outgoing connections.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 90).unwrap() * 100;
    loop {
        let port = 10_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 9_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
