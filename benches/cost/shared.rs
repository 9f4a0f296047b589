//! Warm hand-outs of `/v1/container`, each with its row on disk, held against axum with the same bytes behind the same
//! check of the caller.

use crate::{
    Scale, asks, floor,
    ground::Ground,
    http::{Answering, Requests},
    load::{Load, Run},
    process::{Process, myself, ratio},
    report::{Table, Verdicts, middle, middle_of, ms, rounds, us},
    service::{Service, Site},
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header},
    response::IntoResponse as _,
    routing::get,
};
use hallpass::{
    app::open_store,
    clock::Clock,
    config,
    identity::{ApiTokens, Identity, verbatim_token},
    metrics::Metrics,
};
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio_util::task::TaskTracker;

const AT_ONCE: [usize; 2] = [64, 256];
const LEAST: f64 = 0.5;
const COMMITS: usize = 1000;
/// A hand-out waits for one commit, which may have begun just before it came.
const TIMES: u32 = 3;
const ALLOWANCE: std::time::Duration = std::time::Duration::from_millis(1);

pub(crate) async fn measure(ground: &Ground, scale: &Scale, verdicts: &mut Verdicts) {
    let sites = Site::on_each(ground, "shared").await;
    let services: Vec<Service> = sites.iter().map(Site::serve).collect();
    let disks = ground.databases("lines").await;
    let usual = asks::container(&ground.issuer);
    let mut handed_out = vec![0; sites.len()];
    let mut answer = Bytes::new();
    for ((site, service), count) in sites.iter().zip(&services).zip(&mut handed_out) {
        let (_, answers) = site.ask(&[service], &usual, Load::AtOnce(64), asks::WARM_UP).await;
        *count += answers.len();
        answer = answers[0].clone();
    }
    let floor = start_verified(&sites[0], &answer);
    ask_floor(&floor, &usual, Load::AtOnce(64), asks::WARM_UP).await;
    let mut rates = Table::new(
        1,
        &[
            "database",
            "at once",
            "axum's CPU",
            "Hallpass's",
            "server's",
            "axum, a second",
            "Hallpass",
            "÷ (each round)",
            "goal",
            "",
        ],
    );
    let mut halves =
        Table::new(1, &["database", "a second", "commit", "median", "99th", "÷ the commit's (each round)", "goal", ""]);
    for ((site, service), (disk, count)) in sites.iter().zip(&services).zip(disks.iter().zip(&mut handed_out)) {
        let calls = scale.calls * floor::MORE;
        let mut a_second = 0;
        for at_once in AT_ONCE {
            let (mut bare, mut shared) = (Vec::new(), Vec::new());
            for _ in 0..scale.rounds {
                bare.push(ask_floor(&floor, &usual, Load::AtOnce(at_once), calls).await);
                let (run, answers) = site.ask(&[service], &usual, Load::AtOnce(at_once), calls).await;
                *count += answers.len();
                shared.push(run);
            }
            let each: Vec<f64> = bare.iter().zip(&shared).map(|(bare, run)| ratio(bare.apart, run.apart)).collect();
            rates.row([
                site.database.kind().to_owned(),
                at_once.to_string(),
                us(middle(&bare, |run| run.cpu)),
                us(middle(&shared, |run| run.cpu)),
                us(middle(&shared, |run| run.server)),
                per_second(&bare).to_string(),
                per_second(&shared).to_string(),
                rounds(&each, 2),
                format!("≥ {LEAST}"),
                verdicts.on(middle_of(&each) >= LEAST),
            ]);
            a_second = a_second.max(per_second(&shared));
        }
        let pace = Load::PerSecond(a_second / 2);
        let (mut commits, mut shared) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds {
            commits.push(floor::commit_rows(disk, COMMITS).await);
            let (run, answers) = site.ask(&[service], &usual, pace, calls).await;
            *count += answers.len();
            shared.push(run);
        }
        let commit = middle(&commits, |run| run.median);
        let median = middle(&shared, |run| run.median);
        let each: Vec<f64> =
            shared.iter().zip(&commits).map(|(run, commit)| ratio(run.median, commit.median)).collect();
        let goal = commit * TIMES + ALLOWANCE;
        halves.row([
            site.database.kind().to_owned(),
            (a_second / 2).to_string(),
            ms(commit),
            ms(median),
            ms(middle(&shared, |run| run.late)),
            rounds(&each, 2),
            format!("≤ {}", ms(goal)),
            verdicts.on(median <= goal),
        ]);
    }
    rates.show(
        "hand-outs of what is cached, each durable, and axum with the same bytes behind the same check of the caller",
    );
    halves.show("hand-outs at half of that, counted from when a call was due");
    for ((site, service), count) in sites.into_iter().zip(services).zip(handed_out) {
        site.verify_hand_outs(service, count).await;
    }
}

fn per_second(runs: &[Run]) -> u32 {
    let apart = middle(runs, |run| run.apart).as_nanos().max(1);
    u32::try_from(1_000_000_000 / apart).unwrap_or(u32::MAX)
}

/// Starts the process that checks the caller as Hallpass does, and answers this.
fn start_verified(site: &Site, answer: &Bytes) -> (Process, SocketAddr) {
    let (config, text) = (site.config(), String::from_utf8_lossy(answer));
    let (process, address) = Process::announced(&mut myself(&["verified", &config.to_string_lossy(), &text], ""));
    (process, address.parse().unwrap())
}

async fn ask_floor(
    (process, address): &(Process, SocketAddr),
    requests: &Arc<Requests>,
    load: Load,
    calls: usize,
) -> Run {
    let answering = Answering { addresses: vec![*address], processes: vec![process], postmaster: None };
    answering.ask(requests, load, calls).await.0
}

/// The other side of [`start_verified`].
pub(crate) async fn answer_the_verified(config: &Path, answer: String) -> String {
    let config = config::load(Some(config), std::iter::empty()).unwrap();
    let clock = Clock::system();
    let metrics = Metrics::new(&clock, config.issuers.iter().map(|issuer| &issuer.name));
    let api_tokens = ApiTokens::new(open_store(&config).unwrap(), clock.clone(), TaskTracker::new());
    let identity = Identity::new(config.issuers, api_tokens, clock, &metrics).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Bytes::from(answer);
    let verified = async move |State(identity): State<Identity>, headers: HeaderMap| {
        let token =
            verbatim_token(headers.get_all(header::AUTHORIZATION).iter().map(header::HeaderValue::as_bytes)).unwrap();
        identity.caller_from_bearer(token).await.unwrap();
        ([("content-type", "application/json")], answer.clone()).into_response()
    };
    let router = Router::new().route("/v1/container/{account}/{role}", get(verified)).with_state(identity);
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    address
}
