//! The floors: what an issuance is made of, each by itself.

use crate::{
    asks,
    ground::{Database, Sql},
    load::{self, Call, Load, Run},
    process::{Meter, Process, myself},
    sts::FakeSts,
};
use axum::{Router, body::Bytes, routing::post};
use serde_json::json;
use std::{process::Stdio, time::Instant};

/// As cheap as these are, it takes so many more calls to see their CPU through ticks of 10 ms.
pub(crate) const MORE: usize = 4;
/// Calls before those that count: every connection is open then.
const WARM_UP: usize = 1000;
/// The simulated STS, in a process of its own.
pub(crate) async fn simulate_sts() -> String {
    let sts = FakeSts::start_forgetful().await;
    sts.url
}

/// axum answering a constant, in a process of its own.
pub(crate) async fn answer_a_constant() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Bytes::from(an_answer());
    let constant = async move |_: Bytes| ([("content-type", "application/json")], answer.clone());
    let router = Router::new().route("/v1/credentials", post(constant));
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    address
}

/// As long as an issuance's.
fn an_answer() -> String {
    let answer = json!({
        "issuance_id": "0198f2a1-0000-7000-8000-000000000000", "role_arn": "arn:aws:iam::111122223300:role/role-0",
        "assumed_role_arn": "arn:aws:sts::111122223300:assumed-role/role-0/caller-0@example.com=06EQS9T8V5ZQK8N00000000000",
        "source_identity": "caller-0@example.com", "access_key_id": "ASIAFAKE000000000000",
        "secret_access_key": "x".repeat(40), "session_token": "x".repeat(431), "expires_at": "2026-01-01T00:00:00Z",
        "duration_seconds": 3600, "clamped_by": null, "region": "eu-west-1",
    });
    answer.to_string()
}

/// AssumeRole by the SDK, in a process that does nothing else.
pub(crate) fn bare(sts: &str, load: Load, calls: usize) -> Run {
    let mut command = myself(&["bare", &load.to_argument(), &calls.to_string()], sts);
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the bare calls failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The other side of [`bare`].
pub(crate) async fn call_barely(load: Load, calls: usize) -> Run {
    let region = aws_config::Region::new("eu-west-1");
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).region(region).load().await;
    let client = aws_sdk_sts::Client::new(&config);
    let callers = vec![Bare(client); load.callers()];
    let (_, callers) = load::run(Load::AtOnce(load.callers()), callers, WARM_UP).await;
    let meter = Meter::start(Vec::new(), None);
    let (took, _) = load::run(load, callers, calls).await;
    let run = Run::of(&meter.read(), took);
    Run { cpu: run.own, ..run }
}

/// The SDK as it comes, with the parameters that Hallpass sends.
#[derive(Clone)]
struct Bare(aws_sdk_sts::Client);

impl Call for Bare {
    async fn call(&mut self, number: usize) {
        let (account, role) = (asks::account(number % asks::ACCOUNTS), number % asks::ROLES);
        let caller = number % asks::CALLERS;
        let answer = self
            .0
            .assume_role()
            .role_arn(format!("arn:aws:iam::{account}:role/role-{role}"))
            .role_session_name(format!("caller-{caller}@example.com=06EQS9T8V5ZQK8N{number:011}"))
            .source_identity(format!("caller-{caller}@example.com"))
            .external_id(asks::EXTERNAL_ID)
            .duration_seconds(3600);
        assert!(answer.send().await.unwrap().credentials.is_some());
    }
}

/// Starts the process that answers a constant.
pub(crate) fn start_constant() -> (Process, std::net::SocketAddr) {
    let (process, address) = Process::announced(&mut myself(&["constant"], ""));
    (process, address.parse().unwrap())
}

/// One row after the other, each a commit as durable as the service's.
pub(crate) async fn commit_rows(database: &Database, commits: usize) -> Run {
    let mut sql = Sql::connect(database).await;
    sql.run("CREATE TABLE IF NOT EXISTS lines (line TEXT)").await;
    let line = "x".repeat(500);
    let meter = Meter::start(Vec::new(), database.postmaster());
    let mut took = Vec::with_capacity(commits);
    for _ in 0..commits {
        let began = Instant::now();
        sql.add_line(&line).await;
        took.push(began.elapsed());
    }
    Run::of(&meter.read(), took)
}
