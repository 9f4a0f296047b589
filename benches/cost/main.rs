//! What Hallpass costs, held against the floors it stands on. `benches/measure` runs it; `docs/cost.md` says what each
//! figure means.
//!
//! Every part that is measured is a process of its own: the service, the bare client, axum with a constant, and outside
//! the count a simulated STS. This one asks, and is the issuer. Nothing here fails because it was slow; it fails where
//! an answer is wrong, an issuance is lost, or the audit is not true.

#![expect(clippy::unwrap_used, reason = "a measurement that breaks off is none")]

mod asks;
mod cpu;
mod floor;
mod grants;
mod ground;
mod http;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/support/issuer.rs"]
mod issuer;
mod latency;
mod load;
mod memory;
mod process;
mod profile;
mod replicas;
mod report;
mod service;
mod shared;
mod start;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/support/sts.rs"]
mod sts;

use clap::{Parser, ValueEnum};
use ground::Ground;
use load::Load;
use report::{Verdicts, say};
use std::{path::PathBuf, thread};
use tokio::runtime::Builder;

#[derive(Parser)]
enum Role {
    /// Measures.
    Measure(Box<Measure>),
    /// The simulated STS.
    Sts,
    /// axum answering a constant.
    Constant,
    /// axum answering this behind the check of the caller: the service's configuration, and the answer.
    Verified { config: PathBuf, answer: String },
    /// The SDK alone: how, and how many calls.
    Bare { load: Load, calls: usize },
}

#[derive(clap::Args)]
#[command(args_override_self = true)]
struct Measure {
    /// What to measure; all of it where nothing is named.
    parts: Vec<Part>,
    #[command(flatten)]
    scale: Scale,
    /// On one database only.
    #[arg(long)]
    on: Option<Kind>,
    /// Where databases go.
    #[arg(long)]
    folder: PathBuf,
    /// The PostgreSQL server.
    #[arg(long, requires = "cluster")]
    postgres: Option<String>,
    /// Its folder.
    #[arg(long)]
    cluster: Option<PathBuf>,
    /// Profile callers whom no cache knows.
    #[arg(long)]
    never_seen: bool,
    /// Where a profile goes.
    #[arg(long, default_value = ".")]
    data: PathBuf,
}

/// How much is measured.
#[derive(clap::Args)]
struct Scale {
    /// Calls in a round.
    #[arg(long, default_value_t = 4000, value_parser = at_least_a_hundred)]
    calls: usize,
    /// Rounds; the figure shown is the one in the middle.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// The most grants.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(10..))]
    grants: i64,
}

fn at_least_a_hundred(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&calls| calls >= 100).ok_or_else(|| "a number from 100 on".to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Cpu,
    Latency,
    Shared,
    Replicas,
    Grants,
    Memory,
    Start,
    Profile,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

fn main() {
    report::say_first_panic();
    let role = Role::parse();
    let cores = thread::available_parallelism().unwrap().get();
    let workers = match role {
        // Those who ask shall leave the machine to what they measure.
        Role::Measure(_) => 1,
        // As many as the service has: more would cost more.
        _ => cores.div_ceil(2),
    };
    let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
    runtime.block_on(async {
        match role {
            Role::Measure(measure) => measure.run().await,
            Role::Sts => announce(&floor::simulate_sts().await).await,
            Role::Constant => announce(&floor::answer_a_constant().await).await,
            Role::Verified { config, answer } => announce(&shared::answer_the_verified(&config, answer).await).await,
            Role::Bare { load, calls } => say(&serde_json::to_string(&floor::call_barely(load, calls).await).unwrap()),
        }
    });
}

/// Says where it listens, and stays.
async fn announce(address: &str) {
    say(address);
    std::future::pending::<()>().await;
}

impl Measure {
    async fn run(self) {
        let Self { parts, scale, on, folder, postgres, cluster, never_seen, data } = self;
        let postgres = postgres.as_deref().zip(cluster.as_deref()).filter(|_| on != Some(Kind::Sqlite));
        let ground = Ground::prepare(&folder, on != Some(Kind::Postgres), postgres).await;
        let wanted = |part| parts.contains(&part) || (parts.is_empty() && part != Part::Profile);
        say(&format!("the middle of {} rounds of {} calls, every issuance another one", scale.rounds, scale.calls));
        let mut verdicts = Verdicts::default();
        if wanted(Part::Cpu) {
            cpu::measure(&ground, &scale, &mut verdicts).await;
        }
        if wanted(Part::Latency) {
            latency::measure(&ground, &scale, &mut verdicts).await;
        }
        if wanted(Part::Shared) {
            shared::measure(&ground, &scale, &mut verdicts).await;
        }
        if wanted(Part::Replicas) {
            replicas::measure(&ground, &scale, &mut verdicts).await;
        }
        if wanted(Part::Grants) {
            grants::measure(&ground, &scale, &mut verdicts).await;
        }
        if wanted(Part::Memory) {
            memory::measure(&ground, &scale, &mut verdicts).await;
        }
        if wanted(Part::Start) {
            start::measure(&ground, &scale, &mut verdicts).await;
        }
        if wanted(Part::Profile) {
            profile::measure(&ground, &scale, never_seen, &data).await;
        }
        verdicts.close();
    }
}
