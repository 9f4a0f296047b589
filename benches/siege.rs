//! What `hallpass serve` does under abuse; `benches/siege` runs it and says what is done.
//!
//! Three processes: a simulated STS, the service, and this one, which is the issuer, the besiegers and the honest. Each
//! part has an address of loopback of its own, as if it were another machine. Nothing here fails because it was slow.

#![expect(clippy::unwrap_used, reason = "a measurement that breaks off is none")]
#![expect(clippy::print_stdout, reason = "the figures")]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/support/issuer.rs"]
mod issuer;
#[expect(dead_code, reason = "the measures of cost use the rest")]
#[path = "cost/process.rs"]
mod process;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/support/sts.rs"]
mod sts;

use issuer::{Alg, Issuer};
use process::{Process, hallpass, memory_of, myself};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use sts::FakeSts;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, sleep_until},
};

const ADMIN: &str = "admin@example.com";
const ACCOUNTS: usize = 20;
/// Callers of the overload: enough that each stays below the limit of one caller.
const CALLERS: usize = 3000;
/// Who floods, each far beyond it.
const FLOODERS: usize = 16;
const HONEST: usize = 10;
/// Connections that ask, of one address; what one may have is 1,024.
const ASKERS_OF_AN_ADDRESS: u32 = 256;
const ADDRESSES: u8 = 8;
const LORISES: usize = 500;
/// How many requests the service has under way, and so how long its queue is at most.
const QUEUE: f64 = 512.0;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["lay", folder, seconds, idle] => lay(Path::new(folder), seconds.parse().unwrap(), idle.parse().unwrap()).await,
        ["sts"] => {
            let sts = FakeSts::start_forgetful().await;
            println!("{}", sts.url);
            std::future::pending::<()>().await;
        }
        _ => println!("use benches/siege"),
    }
}

async fn lay(folder: &Path, seconds: u64, idle: usize) {
    let (overload, short) = (Duration::from_secs(seconds), Duration::from_secs((seconds / 4).clamp(2, 30)));
    let (_sts, sts) = start_sts();
    let issuer = Issuer::start(Alg::Es256).await;
    let mut service = Service::start(folder, &issuer, &sts).await;
    let pid = service.process.id();
    let crowd = Arc::new(callers(&issuer, "caller", CALLERS));
    let honest = Arc::new(callers(&issuer, "honest", HONEST));
    let flooders = Arc::new(callers(&issuer, "flooder", FLOODERS));

    let tally = Arc::new(Tally::default());
    let idle_rss = rss(pid);
    ask(&service, &crowd, &tally, 64, f64::INFINITY, short / 2).await;
    let held = Tally::default();
    let held = Arc::new(held);
    ask(&service, &crowd, &held, 64, f64::INFINITY, short).await;
    tally.take_ids(&held);
    let capacity = f64::from(held.count(200)) / short.as_secs_f64();
    println!("it holds {capacity:.0} issuances a second with 64 askers: {}", held.show());
    let alone = attend(&service, &honest, short).await;
    tally.take_ids(&alone.asked);
    println!("honest callers alone:       {}", alone.show());

    let memory = Arc::new(AtomicU64::new(rss(pid)));
    let watching = tokio::spawn(watch(pid, memory.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut besiegers = JoinSet::new();
    let mut seen = Vec::new();
    for (what, count) in [("dribbling", LORISES), ("resting", idle), ("giant heads", 4)] {
        let counts = Arc::new(Besieged::default());
        for number in 0..count {
            let (to, stop, counts) = (service.address, stop.clone(), counts.clone());
            match what {
                "dribbling" => besiegers.spawn(dribble(to, stop, counts)),
                "resting" => besiegers.spawn(rest(to, stop, counts)),
                _ => besiegers.spawn(shout(to, stop, counts)),
            };
            if number % 64 == 63 {
                sleep(Duration::from_millis(5)).await;
            }
        }
        seen.push((what, counts));
    }
    let calm = attend(&service, &honest, short).await;
    tally.take_ids(&calm.asked);
    println!("beside idle and slow ones:  {}; {} MiB", calm.show(), rss(pid));

    let flood = Arc::new(Tally::default());
    let ((), beside) = tokio::join!(
        ask(&service, &flooders, &flood, ASKERS_OF_AN_ADDRESS * 2, capacity * 3.0, short),
        attend(&service, &honest, short)
    );
    tally.take_ids(&flood);
    tally.take_ids(&beside.asked);
    println!("{FLOODERS} callers flood for {} s:  {}", short.as_secs(), flood.show());
    println!("  honest beside them:       {}; {} MiB", beside.show(), rss(pid));

    let load = Arc::new(Tally::default());
    let everybody = ASKERS_OF_AN_ADDRESS * u32::from(ADDRESSES);
    let ((), beside) = tokio::join!(
        ask(&service, &crowd, &load, everybody, capacity * 3.0, overload),
        attend(&service, &honest, overload)
    );
    let ended = Instant::now();
    tally.take_ids(&load);
    tally.take_ids(&beside.asked);
    println!("three times that for {} s:  {}", overload.as_secs(), load.show());
    println!("  honest beside them:       {}", beside.show());
    let normal = normal_again(&service, &honest, &alone, &tally).await;
    let drain = QUEUE / capacity;
    println!(
        "normal again after {:.2} s: {:.1} times the {drain:.2} s in which {QUEUE} are drained",
        (normal - ended).as_secs_f64(),
        (normal - ended).as_secs_f64() / drain
    );
    stop.store(true, Ordering::Relaxed);
    for (what, counts) in seen {
        println!("{what:<12} {}", counts.show());
    }
    besiegers.shutdown().await;
    sleep(short / 2).await;
    watching.abort();
    println!("memory: {} MiB idle, {} at its peak, {} after", idle_rss, memory.load(Ordering::Relaxed), rss(pid));
    println!("{}", service.stop_and_verify(folder, &tally).await);
}

/// What was answered.
#[derive(Default)]
struct Tally {
    statuses: Mutex<BTreeMap<u16, Vec<Duration>>>,
    ids: Mutex<HashSet<String>>,
}

impl Tally {
    fn note(&self, status: u16, took: Duration) {
        self.statuses.lock().unwrap().entry(status).or_default().push(took);
    }

    fn count(&self, status: u16) -> u32 {
        self.statuses.lock().unwrap().get(&status).map_or(0, |took| u32::try_from(took.len()).unwrap())
    }

    fn take_ids(&self, other: &Self) {
        self.ids.lock().unwrap().extend(other.ids.lock().unwrap().drain());
    }

    /// Each status with its number, median and 99th percentile; 0 is no answer at all.
    fn show(&self) -> String {
        let mut statuses = self.statuses.lock().unwrap();
        let each = statuses.iter_mut().map(|(status, took)| format!("{} x {status} ({})", took.len(), quantiles(took)));
        each.collect::<Vec<_>>().join(", ")
    }
}

fn quantiles(took: &mut [Duration]) -> String {
    took.sort();
    let at = |percent: usize| took.get(took.len() * percent / 100).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    let longest = took.last().map_or(0.0, |took| took.as_secs_f64() * 1e3);
    format!("{:.0} ms, 99th {:.0}, longest {longest:.0}", at(50), at(99))
}

/// A client with an address of its own.
fn client(last: u8) -> reqwest::Client {
    let address = IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
    let client = reqwest::Client::builder().no_proxy().local_address(address).timeout(Duration::from_secs(30));
    client.build().unwrap()
}

/// Tokens and what each asks for.
fn callers(issuer: &Issuer, name: &str, count: usize) -> Vec<(String, String)> {
    let one = |number: usize| {
        let team = format!("team-{}", number % ACCOUNTS);
        let token = issuer.person(&format!("{name}-{number}@example.com"), &[&team]);
        (token, json!({"role": format!("a{}/role", number % ACCOUNTS), "reason": "INC-4711"}).to_string())
    };
    (0..count).map(one).collect()
}

/// Asks once; returns the status and after how long to come again.
async fn ask_once(client: &reqwest::Client, url: &str, who: &(String, String), tally: &Tally) -> (u16, u64) {
    let request = client.post(format!("{url}/v1/credentials")).bearer_auth(&who.0);
    let request = request.header("content-type", "application/json").body(who.1.clone());
    let began = Instant::now();
    let Ok(answer) = request.send().await else {
        tally.note(0, began.elapsed());
        return (0, 1);
    };
    let status = answer.status().as_u16();
    let again = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(1);
    let body = answer.bytes().await.unwrap_or_default();
    tally.note(status, began.elapsed());
    if status == 200 {
        let body: Value = serde_json::from_slice(&body).unwrap();
        tally.ids.lock().unwrap().insert(body["issuance_id"].as_str().unwrap().to_owned());
    }
    (status, again)
}

/// So many askers, so many requests a second in all as far as answers come, for so long.
async fn ask(
    service: &Service,
    who: &Arc<Vec<(String, String)>>,
    tally: &Arc<Tally>,
    askers: u32,
    rate: f64,
    time: Duration,
) {
    let clients: Vec<_> = (0..ADDRESSES).map(|number| client(10 + number)).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let apart = if rate.is_finite() { Duration::from_secs_f64(f64::from(askers) / rate) } else { Duration::ZERO };
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for asker in 0..askers {
        let client = clients[asker as usize % clients.len()].clone();
        let (url, who, tally, next) = (service.url(), who.clone(), tally.clone(), next.clone());
        let mut turn = began + apart * asker / askers;
        asking.spawn(async move {
            while began.elapsed() < time {
                sleep_until(turn.into()).await;
                // What could not be sent in time is not made up for.
                turn = (turn + apart).max(Instant::now());
                let number = next.fetch_add(1, Ordering::Relaxed);
                ask_once(&client, &url, &who[number % who.len()], &tally).await;
            }
        });
    }
    while asking.join_next().await.is_some() {}
}

/// How the honest fared.
struct Fared {
    asked: Arc<Tally>,
    served: Mutex<Vec<Duration>>,
    given_up: AtomicUsize,
    readyz: Arc<Tally>,
}

impl Fared {
    fn show(&self) -> String {
        let mut served = self.served.lock().unwrap();
        format!(
            "{} served ({}), {} given up; /readyz {}",
            served.len(),
            quantiles(&mut served),
            self.given_up.load(Ordering::Relaxed),
            self.readyz.show()
        )
    }
}

/// Honest callers, who ask twice a second and come again when they are told to, and a probe of `/readyz`.
async fn attend(service: &Service, honest: &Arc<Vec<(String, String)>>, time: Duration) -> Arc<Fared> {
    let fared = Arc::new(Fared {
        asked: Arc::default(),
        served: Mutex::default(),
        given_up: AtomicUsize::new(0),
        readyz: Arc::default(),
    });
    let began = Instant::now();
    let client = client(2);
    let mut attending = JoinSet::new();
    for number in 0..honest.len() {
        let (client, url, fared, who) = (client.clone(), service.url(), fared.clone(), honest[number].clone());
        attending.spawn(async move {
            while began.elapsed() < time {
                let asked = Instant::now();
                let mut tries = 0;
                loop {
                    let (status, again) = ask_once(&client, &url, &who, &fared.asked).await;
                    tries += 1;
                    if status == 200 {
                        fared.served.lock().unwrap().push(asked.elapsed());
                        break;
                    } else if tries == 10 {
                        fared.given_up.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    sleep(Duration::from_secs(again)).await;
                }
                sleep(Duration::from_millis(500)).await;
            }
        });
    }
    let (url, probed) = (format!("{}/readyz", service.url()), fared.clone());
    attending.spawn(async move {
        while began.elapsed() < time {
            let asked = Instant::now();
            let status = client.get(&url).send().await.map_or(0, |answer| answer.status().as_u16());
            probed.readyz.note(status, asked.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
    });
    while attending.join_next().await.is_some() {}
    fared
}

/// When five in a row were served as fast as three times the median of before.
async fn normal_again(service: &Service, honest: &[(String, String)], before: &Fared, tally: &Tally) -> Instant {
    let usual = {
        let mut served = before.served.lock().unwrap();
        served.sort();
        served[served.len() / 2] * 3
    };
    let (client, mut in_a_row, mut since) = (client(2), 0, Instant::now());
    let began = Instant::now();
    for who in honest.iter().cycle() {
        let asked = Instant::now();
        let (status, _) = ask_once(&client, &service.url(), who, tally).await;
        if status == 200 && asked.elapsed() <= usual {
            in_a_row += 1;
        } else {
            (in_a_row, since) = (0, Instant::now());
        }
        if in_a_row == 5 || began.elapsed() > Duration::from_mins(1) {
            break;
        }
    }
    since
}

/// What the besiegers saw.
#[derive(Default)]
struct Besieged {
    opened: AtomicUsize,
    open: AtomicUsize,
    ended: AtomicUsize,
}

impl Besieged {
    fn show(&self) -> String {
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        format!(
            "{} connections, {} open at the end, {} ended by the service",
            of(&self.opened),
            of(&self.open),
            of(&self.ended)
        )
    }
}

async fn connect(to: SocketAddr, last: u8, counts: &Besieged) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).ok()?;
    let stream = socket.connect(to).await.ok()?;
    counts.opened.fetch_add(1, Ordering::Relaxed);
    counts.open.fetch_add(1, Ordering::Relaxed);
    Some(stream)
}

fn ended(counts: &Besieged) {
    counts.open.fetch_sub(1, Ordering::Relaxed);
    counts.ended.fetch_add(1, Ordering::Relaxed);
}

/// Slow-loris: a byte of a head a second, and again.
async fn dribble(to: SocketAddr, stop: Arc<AtomicBool>, counts: Arc<Besieged>) {
    while !stop.load(Ordering::Relaxed) {
        if let Some(mut stream) = connect(to, 3, &counts).await {
            let _ = stream.write_all(b"GET /v1/whoami HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
            while stream.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
            ended(&counts);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// A connection that asks for nothing.
async fn rest(to: SocketAddr, stop: Arc<AtomicBool>, counts: Arc<Besieged>) {
    while !stop.load(Ordering::Relaxed) {
        if let Some(mut stream) = connect(to, 4, &counts).await {
            let _ = stream.read(&mut [0]).await;
            ended(&counts);
        }
        sleep(Duration::from_secs(5)).await;
    }
}

/// Heads of a megabyte.
async fn shout(to: SocketAddr, stop: Arc<AtomicBool>, counts: Arc<Besieged>) {
    let head = format!("GET /v1/whoami HTTP/1.1\r\nhost: x\r\nx-giant: {}\r\n\r\n", "x".repeat(1 << 20));
    while !stop.load(Ordering::Relaxed) {
        if let Some(mut stream) = connect(to, 5, &counts).await {
            let _ = stream.write_all(head.as_bytes()).await;
            ended(&counts);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Resident memory in MiB.
fn rss(pid: u32) -> u64 {
    memory_of(pid, "VmRSS") >> 20
}

async fn watch(pid: u32, peak: Arc<AtomicU64>) {
    loop {
        peak.fetch_max(rss(pid), Ordering::Relaxed);
        sleep(Duration::from_millis(100)).await;
    }
}

fn start_sts() -> (Process, String) {
    Process::announced(&mut myself(&["sts"], ""))
}

fn allowlist() -> String {
    let one = |number: usize| {
        format!(
            "[[account]]\nid = \"{:012}\"\nalias = \"a{number}\"\n[[account.role]]\nname = \"role\"\n\
             [[grant]]\nto = [\"group:team-{number}\"]\nroles = [\"a{number}/*\"]\n",
            111_122_223_300 + number
        )
    };
    (0..ACCOUNTS).map(one).collect()
}

struct Service {
    process: Process,
    address: SocketAddr,
}

impl Service {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn start(folder: &Path, issuer: &Issuer, sts: &str) -> Self {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "[server]\nlisten = \"{address}\"\n[database]\nurl = \"sqlite:hallpass.db\"\n[aws]\nregion = \"eu-west-1\"\n\
             [access]\nadmins = [\"user:{ADMIN}\"]\n[limits]\nsts_per_second = 1000000\n\
             [[issuers]]\nname = \"corp\"\nissuer = \"{}\"\naudiences = [\"hallpass\"]\nkind = \"people\"\n\
             principal_claim = \"email\"\ngroups_claim = \"groups\"\nprefix = \"\"\n",
            issuer.url,
        );
        fs::write(folder.join("hallpass.toml"), config).unwrap();
        let log = File::create(folder.join("hallpass.log")).unwrap();
        let mut command = hallpass(sts, &["serve", "--migrate", "--config"]);
        let process = Process::start(command.arg(folder.join("hallpass.toml")).stdout(Stdio::null()).stderr(log));
        let service = Self { process, address };
        let client = client(2);
        let ready = format!("{}/readyz", service.url());
        while !client.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200) {
            sleep(Duration::from_millis(50)).await;
        }
        let apply = client.put(format!("{}/v1/allowlist", service.url())).bearer_auth(issuer.person(ADMIN, &[]));
        let apply = apply.header("content-type", "application/toml").header("if-match", "\"0\"").body(allowlist());
        assert_eq!(apply.send().await.unwrap().status(), 200);
        service
    }

    /// Every answered issuance must have its row, nothing be left pending, and the whole audit be true.
    async fn stop_and_verify(&mut self, folder: &Path, answered: &Tally) -> String {
        assert!(self.process.interrupt().success());
        let mut db = SqliteConnection::connect(&format!("sqlite:{}/hallpass.db", folder.display())).await.unwrap();
        let rows = "SELECT issuance_id FROM audit_events WHERE kind = 'credentials.issued'";
        let rows: HashSet<String> = sqlx::query_scalar(rows).fetch_all(&mut db).await.unwrap().into_iter().collect();
        let pending: i64 = sqlx::query_scalar("SELECT count(*) FROM pending").fetch_one(&mut db).await.unwrap();
        let answered = answered.ids.lock().unwrap();
        let lost = answered.iter().filter(|id| !rows.contains(*id)).count();
        let mut verify = hallpass("", &["audit", "verify", "--config"]);
        let verify = verify.arg(folder.join("hallpass.toml")).output().unwrap();
        let said = String::from_utf8_lossy(&verify.stdout).into_owned();
        assert!(lost == 0 && pending == 0 && verify.status.success(), "{lost} lost, {pending} pending, {said}");
        let said = said.lines().next().unwrap_or_default();
        format!(
            "{} answered issuances, {} rows, none lost, none pending; audit verify: {said}",
            answered.len(),
            rows.len()
        )
    }
}
