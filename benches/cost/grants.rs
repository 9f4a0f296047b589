//! A decision and a listing, with few grants and with many: what others may do must cost an asker nothing.

use crate::{
    Scale, asks,
    ground::{Database, Ground, Sql},
    http::{Requests, get, post},
    load::{Load, Run},
    process::ratio,
    report::{Table, Verdicts, middle, middle_of, rounds, us},
    service::{Service, Site},
};
use hallpass::clock::Clock;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// The asker's own, in every size: four roles, and an account through a group.
const OWN: i64 = 5;
const GRANTS: &str = "
[[grant]]
to = [\"user:asker@example.com\"]
roles = [\"a1/role-1\", \"a2/role-2\", \"a3/role-3\", \"a4/role-4\"]
[[grant]]
to = [\"group:team-0\"]
roles = [\"a0/*\"]
";
const LISTED: usize = 4 + asks::ROLES;
const MOST: f64 = 1.5;
const DAY: i64 = 24 * 3600 * 1_000_000;

/// Single grants in the form that the service writes, ten to a person. $1: how many, $2: now.
const ADD_SQLITE: &str = "
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $1)
INSERT INTO grants (id, origin, principal, account_id, role_name, max_duration_seconds, require_reason, expires_at,
                    source_ips, session_policy, reason, created_by, created_at)
SELECT '0198f2a1-0000-7000-8000-' || printf('%012x', n), 'api', 'user:person-' || (n / 10) || '@example.com',
       printf('%012d', 111122223300 + n % 20), 'role-' || (n / 20 % 10), 3600, 0, $2 + 80 * 86400000000, '[]', NULL,
       'INC-4711', 'user:admin@example.com', $2
FROM numbers WHERE $1 > 0";
const ADD_POSTGRES: &str = "
INSERT INTO grants (id, origin, principal, account_id, role_name, max_duration_seconds, require_reason, expires_at,
                    source_ips, session_policy, reason, created_by, created_at)
SELECT '0198f2a1-0000-7000-8000-' || lpad(to_hex(n), 12, '0'), 'api', 'user:person-' || (n / 10) || '@example.com',
       lpad((111122223300 + n % 20)::text, 12, '0'), 'role-' || (n / 20 % 10), 3600, false, $2 + 80 * 86400000000, '[]',
       NULL, 'INC-4711', 'user:admin@example.com', $2
FROM generate_series(0, $1 - 1) AS numbers (n)";

/// One size of one database.
struct Stand {
    site: Site,
    service: Service,
    grants: i64,
    decided: Vec<Run>,
    listed: Vec<Run>,
}

pub(crate) async fn measure(ground: &Ground, scale: &Scale, verdicts: &mut Verdicts) {
    let token = ground.issuer.person("asker@example.com", &["team-0"]);
    let decide = Arc::new(vec![post("/v1/explain", &token, json!({"role": "a1/role-1"}).to_string())]);
    let list = Arc::new(vec![get("/v1/roles", &token)]);
    let mut stands = Vec::new();
    for grants in [10, 10_000, scale.grants] {
        for database in ground.databases(&format!("grants_{grants}")).await {
            stands.push(Stand::prepare(ground, database, grants).await);
        }
    }
    for stand in &stands {
        stand.ask(&decide, scale.calls / 20).await.1.iter().for_each(assert_allowed);
        stand.ask(&list, scale.calls / 20).await.1.iter().for_each(assert_listed);
    }
    for _ in 0..scale.rounds {
        for stand in &mut stands {
            let decided = stand.ask(&decide, scale.calls).await.0;
            let listed = stand.ask(&list, scale.calls).await.0;
            stand.decided.push(decided);
            stand.listed.push(listed);
        }
    }
    stands.sort_by_key(|stand| stand.site.database.kind() == "PostgreSQL"); // stable: the sizes stay in order
    let head = [
        "database",
        "what",
        "grants",
        "median",
        "÷ fewest (each round)",
        "CPU",
        "server",
        "÷ fewest (each round)",
        "goal",
        "",
    ];
    let mut table = Table::new(2, &head);
    for ends in stands.chunk_by(|a, b| a.site.database.kind() == b.site.database.kind()) {
        show(&mut table, verdicts, ends, "decision", |stand| &stand.decided);
        show(&mut table, verdicts, ends, "listing", |stand| &stand.listed);
    }
    table.show("a decision and a listing, one after the other");
}

impl Stand {
    async fn prepare(ground: &Ground, database: Database, grants: i64) -> Self {
        let site = Site::prepare(ground, database, &(asks::accounts() + GRANTS));
        let numbers = [grants - OWN, Clock::system().now().as_micros() - DAY];
        let mut sql = Sql::connect(&site.database).await;
        match sql {
            Sql::Sqlite(_) => sql.run_with(ADD_SQLITE, &numbers).await,
            Sql::Postgres(_) => {
                sql.run_with(ADD_POSTGRES, &numbers).await;
                // What autovacuum does within its minute.
                sql.run("VACUUM ANALYZE grants").await;
            }
        }
        sql.run_with("UPDATE allowlist SET revision = revision + $1", &numbers[..1]).await;
        let service = site.serve();
        Self { site, service, grants, decided: Vec::new(), listed: Vec::new() }
    }

    async fn ask(&self, requests: &Arc<Requests>, calls: usize) -> (Run, Vec<Bytes>) {
        self.site.ask(&[&self.service], requests, Load::AtOnce(1), calls).await
    }
}

fn assert_allowed(answer: &Bytes) {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    assert_eq!(answer["allowed"], true, "{answer}");
}

fn assert_listed(answer: &Bytes) {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    assert_eq!(answer["roles"].as_array().unwrap().len(), LISTED, "{answer}");
}

fn show(table: &mut Table, verdicts: &mut Verdicts, ends: &[Stand], what: &str, runs: fn(&Stand) -> &Vec<Run>) {
    let fewest = runs(&ends[0]);
    for (which, stand) in ends.iter().enumerate() {
        let of = |figure: fn(&Run) -> Duration| -> Vec<f64> {
            runs(stand).iter().zip(fewest).map(|(run, fewest)| ratio(figure(run), figure(fewest))).collect()
        };
        let (medians, cpus) = (of(|run| run.median), of(|run| run.cpu + run.server));
        let last = which == ends.len() - 1;
        let met = middle_of(&medians) <= MOST && middle_of(&cpus) <= MOST;
        table.row([
            stand.site.database.kind().to_owned(),
            what.to_owned(),
            stand.grants.to_string(),
            us(middle(runs(stand), |run| run.median)),
            rounds(&medians, 2),
            us(middle(runs(stand), |run| run.cpu)),
            us(middle(runs(stand), |run| run.server)),
            rounds(&cpus, 2),
            if last { format!("≤ {MOST}") } else { String::new() },
            if last { verdicts.on(met) } else { String::new() },
        ]);
    }
}
