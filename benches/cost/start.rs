//! From the start of the process until it can issue, beyond what its slowest dependency takes to answer.

use crate::{
    Scale, asks,
    ground::{Database, Ground, Sql},
    http::{Connection, get},
    report::{Table, Verdicts, ms},
    service::Site,
};
use http_body_util::Full;
use hyper::{Request, StatusCode};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const STARTS: u8 = 5;
const MOST: Duration = Duration::from_millis(100);

pub(crate) async fn measure(ground: &Ground, scale: &Scale, verdicts: &mut Verdicts) {
    let head = ["database", "ready after", "database", "STS", "issuer", "beyond the slowest", "goal", ""];
    let starts = STARTS.saturating_mul(scale.rounds);
    let mut table = Table::new(1, &head);
    for database in ground.databases("start").await {
        let site = Site::prepare(ground, database, &asks::allowlist());
        let mut took: [Vec<Duration>; 4] = Default::default();
        for _ in 0..starts {
            took[0].push(site.serve().ready_after);
            took[1].push(ask_database(&site.database).await);
            took[2].push(ask_sts(&ground.sts).await);
            took[3].push(ask_issuer(&ground.issuer.url).await);
        }
        let [ready, database, sts, issuer] = took.map(|mut took| {
            took.sort();
            took[took.len() / 2]
        });
        let beyond = ready.saturating_sub(database.max(sts).max(issuer));
        let figures = [ready, database, sts, issuer, beyond].map(ms);
        let kind = site.database.kind().to_owned();
        table.row([kind].into_iter().chain(figures).chain([format!("≤ {}", ms(MOST)), verdicts.on(beyond <= MOST)]));
    }
    table.show(&format!("start, until /readyz says 200: the median of {starts}"));
}

/// A new connection and one statement.
async fn ask_database(database: &Database) -> Duration {
    let began = Instant::now();
    Sql::connect(database).await.run("SELECT 1").await;
    began.elapsed()
}

async fn ask_sts(url: &str) -> Duration {
    let request = Request::post("/").header("host", "sts").body(Full::from("Action=GetCallerIdentity")).unwrap();
    let began = Instant::now();
    let (status, _) = Connection::open(address(url)).await.ask(request).await;
    assert_eq!(status, StatusCode::OK);
    began.elapsed()
}

/// Discovery, then the keys.
async fn ask_issuer(url: &str) -> Duration {
    let began = Instant::now();
    let mut connection = Connection::open(address(url)).await;
    for path in ["/.well-known/openid-configuration", "/keys"] {
        assert_eq!(connection.ask(get(path, "")).await.0, StatusCode::OK);
    }
    began.elapsed()
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}
