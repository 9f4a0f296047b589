//! What an issuance costs: the CPU of `hallpass serve` for each one, held against the CPU of a bare AssumeRole by the
//! same SDK with the same parameters. `benches/cost` runs it.
//!
//! Four processes: a simulated STS, the bare client, the service, and this one, which asks for credentials and is the
//! issuer too. Only the client's and the service's CPU is counted. Nothing here fails because it was slow.

#![expect(clippy::unwrap_used, reason = "a measurement that breaks off is none")]
#![expect(clippy::print_stdout, reason = "the figures")]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/support/issuer.rs"]
mod issuer;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/support/sts.rs"]
mod sts;

use issuer::{Alg, Issuer};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use sts::FakeSts;

const CONCURRENCIES: [usize; 3] = [1, 8, 64];
const ACCOUNTS: usize = 20;
const ROLES: usize = 10;
const CALLERS: usize = 500;
/// How many roles each caller uses.
const ROLES_OF_A_CALLER: usize = 4;
/// Every caller with each of their roles once, so that the caches hold what they would after an hour of work.
const WARM_UP: usize = CALLERS * ROLES_OF_A_CALLER;
const ADMIN: &str = "admin@example.com";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["measure", folder, calls, rounds] => {
            measure(Path::new(folder), calls.parse().unwrap(), rounds.parse().unwrap()).await;
        }
        ["sts"] => simulate_sts().await,
        ["bare", concurrency, calls] => call_barely(concurrency.parse().unwrap(), calls.parse().unwrap()).await,
        _ => println!("use benches/cost"),
    }
}

async fn measure(folder: &Path, calls: usize, rounds: usize) {
    let commits = commit_rows(folder, 500).await;
    println!("disk: a commit of one row takes {} (median), {} (99th percentile)", ms(commits.0), ms(commits.1));
    let (_sts, sts) = start_sts();
    let issuer = Issuer::start(Alg::Es256).await;
    let service = Service::start(folder, &issuer, &sts).await;
    let usual = Arc::new(Asks::usual(&issuer));
    service.ask(&usual, 64, WARM_UP).await;
    println!("each figure: the median of {rounds} rounds of {calls} calls, every issuance another one");
    println!(
        "callers, roles   at once   bare, CPU   Hallpass, CPU   ratio (each round)        per second   median   99th"
    );
    for concurrency in CONCURRENCIES {
        let mut rows = Vec::new();
        for _ in 0..rounds {
            let bare = run_bare(&sts, concurrency, calls);
            rows.push((bare, service.ask(&usual, concurrency, calls).await));
        }
        show("seen before", concurrency, &rows);
    }
    let mut rows = Vec::new();
    for round in 0..rounds {
        let new = Arc::new(Asks::new(&issuer, round, calls));
        let bare = run_bare(&sts, 64, calls);
        rows.push((bare, service.ask(&new, 64, calls).await));
    }
    show("never seen", 64, &rows);
    let asked = calls * rounds * (CONCURRENCIES.len() + 1) + WARM_UP;
    println!("{}", service.stop_and_verify(asked).await);
}

fn show(what: &str, concurrency: usize, rows: &[(Duration, Run)]) {
    let median = |mut all: Vec<Duration>| {
        all.sort();
        all[all.len() / 2]
    };
    let of = |figure: fn(&(Duration, Run)) -> Duration| median(rows.iter().map(figure).collect());
    let (bare, hallpass) = (of(|row| row.0), of(|row| row.1.cpu));
    let each = rows.iter().map(|(bare, run)| format!("{:.2}", run.cpu.as_secs_f64() / bare.as_secs_f64()));
    let each = each.collect::<Vec<_>>().join(" ");
    println!(
        "{what:<16} {concurrency:>7} {:>8} µs {:>12} µs   {:>5.2} ({each:<16}) {:>10.0} {:>10} {:>8}",
        bare.as_micros(),
        hallpass.as_micros(),
        hallpass.as_secs_f64() / bare.as_secs_f64(),
        1.0 / of(|row| row.1.apart).as_secs_f64(),
        ms(of(|row| row.1.median)),
        ms(of(|row| row.1.late)),
    );
}

fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// User and system time of a process so far, in ticks of 10 ms (proc(5), fields 14 and 15 of `stat`).
fn cpu_of(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn divided(total: Duration, by: usize) -> Duration {
    total / u32::try_from(by).unwrap()
}

/// What the disk itself costs: one row, one commit, as durable as the service's. Median and 99th percentile.
async fn commit_rows(folder: &Path, commits: usize) -> (Duration, Duration) {
    let url = format!("sqlite:{}?mode=rwc", folder.join("disk.db").display());
    let mut db = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE lines (line TEXT)")
        .execute(&mut db)
        .await
        .unwrap();
    let mut took = Vec::with_capacity(commits);
    for _ in 0..commits {
        let began = Instant::now();
        sqlx::query("INSERT INTO lines VALUES ($1)").bind("x".repeat(500)).execute(&mut db).await.unwrap();
        took.push(began.elapsed());
    }
    took.sort();
    (took[commits / 2], took[commits * 99 / 100])
}

/// Ends with the measurement.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This program again, in another part, with nothing of this machine's AWS configuration.
fn myself(part: &[&str], sts: &str) -> Command {
    with_aws(Command::new(std::env::current_exe().unwrap()), sts, part)
}

fn with_aws(mut command: Command, sts: &str, arguments: &[&str]) -> Command {
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.envs([
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_ENDPOINT_URL_STS", sts),
    ]);
    command
}

async fn simulate_sts() {
    let sts = FakeSts::start_forgetful().await;
    println!("{}", sts.url);
    std::future::pending::<()>().await;
}

fn start_sts() -> (Killed, String) {
    let mut process = Killed(myself(&["sts"], "").stdout(Stdio::piped()).spawn().unwrap());
    let mut url = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
    (process, url.trim().to_owned())
}

/// The floor: the CPU of one AssumeRole in a process that does nothing else.
fn run_bare(sts: &str, concurrency: usize, calls: usize) -> Duration {
    let (concurrency, calls) = (concurrency.to_string(), calls.to_string());
    let output = myself(&["bare", &concurrency, &calls], sts).stderr(Stdio::inherit()).output().unwrap();
    Duration::from_nanos(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
}

/// The SDK as it comes, with the parameters that Hallpass sends.
async fn call_barely(concurrency: usize, calls: usize) {
    let region = aws_config::Region::new("eu-west-1");
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).region(region).load().await;
    let client = aws_sdk_sts::Client::new(&config);
    let call = move |number: usize| {
        let client = client.clone();
        async move {
            let answer = client
                .assume_role()
                .role_arn(format!("arn:aws:iam::{}:role/role-{}", account(number % ACCOUNTS), number % ROLES))
                .role_session_name(format!("caller-{}@example.com=06EQS9T8V5ZQK8N{number:011}", number % CALLERS))
                .source_identity(format!("caller-{}@example.com", number % CALLERS))
                .external_id("hp-7f3c5a91")
                .duration_seconds(3600);
            assert!(answer.send().await.unwrap().credentials.is_some());
        }
    };
    at_once(concurrency, WARM_UP, call.clone()).await;
    let before = cpu_of("self");
    at_once(concurrency, calls, call).await;
    println!("{}", divided(cpu_of("self").saturating_sub(before), calls).as_nanos());
}

/// Calls with 0, 1, 2 … up to `calls`, so many at a time; returns how long each took.
async fn at_once<F>(
    concurrency: usize,
    calls: usize,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Vec<Duration>
where
    F: Future<Output = ()> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..concurrency)
        .map(|_| {
            let (next, call) = (next.clone(), call.clone());
            tokio::spawn(async move {
                let mut took = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        return took;
                    }
                    let began = Instant::now();
                    call(number).await;
                    took.push(began.elapsed());
                }
            })
        })
        .collect();
    let mut took = Vec::with_capacity(calls);
    for worker in workers {
        took.extend(worker.await.unwrap());
    }
    took
}

fn account(number: usize) -> String {
    format!("{:012}", 111_122_223_300 + number)
}

/// Twenty accounts of ten roles; each account's are granted to a group of its own.
fn allowlist() -> String {
    let role = |r| format!("[[account.role]]\nname = \"role-{r}\"\nmax_duration = \"4h\"\n");
    let roles: String = (0..ROLES).map(role).collect();
    let accounts = (0..ACCOUNTS).map(|a| {
        let id = account(a);
        format!(
            "[[account]]\nid = \"{id}\"\nalias = \"a{a}\"\nexternal_id = \"hp-7f3c5a91\"\n{roles}\
             [[grant]]\nto = [\"group:team-{a}\"]\nroles = [\"a{a}/*\"]\nmax_duration = \"2h\"\n"
        )
    });
    accounts.collect()
}

/// What is asked for: a token and a body.
struct Asks(Vec<(String, String)>);

impl Asks {
    /// Callers who come again, each with a few roles.
    fn usual(issuer: &Issuer) -> Self {
        let tokens: Vec<_> = (0..CALLERS).map(|c| Self::token(issuer, &format!("caller-{c}"), c)).collect();
        let asks = (0..WARM_UP).map(|n| (tokens[n % CALLERS].clone(), Self::body(n % CALLERS, n / CALLERS)));
        Self(asks.collect())
    }

    /// Callers whom no cache knows.
    fn new(issuer: &Issuer, round: usize, calls: usize) -> Self {
        let asks = (0..calls).map(|c| (Self::token(issuer, &format!("new-{round}-{c}"), c), Self::body(c, c)));
        Self(asks.collect())
    }

    fn token(issuer: &Issuer, name: &str, caller: usize) -> String {
        let teams: Vec<_> = (0..ROLES_OF_A_CALLER).map(|t| format!("team-{}", (caller + t) % ACCOUNTS)).collect();
        issuer.person(&format!("{name}@example.com"), &teams.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn body(caller: usize, role: usize) -> String {
        let account = (caller + role % ROLES_OF_A_CALLER) % ACCOUNTS;
        let role = format!("a{account}/role-{}", (caller + role) % ROLES);
        json!({"role": role, "reason": "INC-4711: the shop is down"}).to_string()
    }
}

/// What a number of issuances cost and how long they took: each figure for one of them.
struct Run {
    cpu: Duration,
    apart: Duration,
    median: Duration,
    late: Duration,
}

struct Service {
    process: Killed,
    url: String,
    client: reqwest::Client,
    folder: PathBuf,
}

impl Service {
    /// On SQLite in this folder, with the log in a file.
    async fn start(folder: &Path, issuer: &Issuer, sts: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"{url}\"\n\
             [database]\nurl = \"sqlite:{0}/hallpass.db\"\n[aws]\nregion = \"eu-west-1\"\n\
             [access]\nadmins = [\"user:{ADMIN}\"]\n\
             [[issuers]]\nname = \"corp\"\nissuer = \"{1}\"\naudiences = [\"hallpass\"]\nkind = \"people\"\n\
             principal_claim = \"email\"\ngroups_claim = \"groups\"\nprefix = \"\"\n\
             [audit]\nsigning_key_file = \"{0}/audit.key\"\n\
             [limits]\nrequests_per_second = 1000000\nrequests_burst = 1000000\nsts_per_second = 1000000\n",
            folder.display(),
            issuer.url,
        );
        fs::write(folder.join("hallpass.toml"), config).unwrap();
        let log = File::create(folder.join("hallpass.log")).unwrap();
        let mut command = Self::hallpass(folder, sts, &["serve", "--migrate"]);
        let process = Killed(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let service = Self { process, url, client, folder: folder.to_owned() };
        let ready = format!("{}/readyz", service.url);
        while !service.client.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let apply = service.client.put(format!("{}/v1/allowlist", service.url)).bearer_auth(issuer.person(ADMIN, &[]));
        let apply = apply.header("content-type", "application/toml").header("if-match", "\"0\"").body(allowlist());
        let answer = apply.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        service
    }

    fn hallpass(folder: &Path, sts: &str, arguments: &[&str]) -> Command {
        let mut command =
            with_aws(Command::new(std::env::current_exe().unwrap().with_file_name("hallpass")), sts, arguments);
        command.arg("--config").arg(folder.join("hallpass.toml"));
        command
    }

    /// Issues `calls` times; every answer must be credentials that no other answer had.
    async fn ask(&self, asks: &Arc<Asks>, concurrency: usize, calls: usize) -> Run {
        let (keys, seen) = std::sync::mpsc::channel();
        let (client, url, asks) = (self.client.clone(), format!("{}/v1/credentials", self.url), asks.clone());
        let call = move |number: usize| {
            let (token, body) = &asks.0[number % asks.0.len()];
            let request = client.post(&url).bearer_auth(token).header("content-type", "application/json");
            let (request, keys) = (request.body(body.clone()), keys.clone());
            async move {
                let answer = request.send().await.unwrap();
                let (status, body) = (answer.status(), answer.bytes().await.unwrap());
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
                keys.send(body).unwrap();
            }
        };
        let process = self.process.0.id().to_string();
        let (before, began) = (cpu_of(&process), Instant::now());
        let mut took = at_once(concurrency, calls, call).await;
        let cpu = divided(cpu_of(&process).saturating_sub(before), calls);
        let apart = divided(began.elapsed(), calls);
        let keys: HashSet<_> = seen.iter().map(|body| access_key(&body)).collect();
        assert_eq!(keys.len(), calls, "the same credentials twice");
        took.sort();
        Run { cpu, apart, median: took[calls / 2], late: took[calls * 99 / 100] }
    }

    /// Every row must be there, and the whole audit true.
    async fn stop_and_verify(mut self, issued: usize) -> String {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
        let mut db = SqliteConnection::connect(&format!("sqlite:{}/hallpass.db", self.folder.display())).await.unwrap();
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events WHERE kind = 'credentials.issued'")
            .fetch_one(&mut db)
            .await
            .unwrap();
        assert_eq!(usize::try_from(rows).unwrap(), issued, "rows of issuances");
        let verify = Self::hallpass(&self.folder, "", &["audit", "verify"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut verify = Killed(verify);
        let mut said = String::new();
        verify.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(verify.0.wait().unwrap().success(), "{said}");
        let said = said.lines().next().unwrap_or_default();
        format!("after kill -9: {issued} issuances, each with its row; audit verify: {said}")
    }
}

fn access_key(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap();
    answer["access_key_id"].as_str().unwrap().to_owned()
}
