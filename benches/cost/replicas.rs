//! Several replicas on one PostgreSQL server: in all no fewer issuances than by one.

use crate::{
    Scale, asks,
    ground::Ground,
    load::{Load, Run},
    process::ratio,
    report::{Table, Verdicts, middle_of, rounds, say},
    service::{Service, Site},
};

const REPLICAS: [usize; 3] = [1, 3, 6];
const AT_ONCE: [usize; 2] = [64, 256];

pub(crate) async fn measure(ground: &Ground, scale: &Scale, verdicts: &mut Verdicts) {
    let Some(database) = ground.postgres_database("replicas").await else {
        return say("\n== replicas: not without PostgreSQL");
    };
    let mut site = Site::prepare(ground, database, &asks::allowlist());
    let services: Vec<Service> = (0..6).map(|_| site.serve()).collect();
    let services_of = |replicas| services.iter().take(replicas).collect::<Vec<_>>();
    let usual = asks::usual(&ground.issuer);
    for service in &services {
        site.issue(&[service], &usual, Load::AtOnce(64), asks::WARM_UP).await;
    }
    let head = [
        "replicas",
        "at once, in all",
        "a second (each round)",
        "÷ one's",
        "cores: Hallpass",
        "server",
        "askers",
        "machine",
        "goal",
        "",
    ];
    let mut table = Table::new(0, &head);
    for at_once in AT_ONCE {
        let mut runs: [Vec<Run>; 3] = Default::default();
        for _ in 0..scale.rounds {
            for (replicas, runs) in REPLICAS.into_iter().zip(&mut runs) {
                runs.push(site.issue(&services_of(replicas), &usual, Load::AtOnce(at_once), scale.calls).await);
            }
        }
        let rates = |runs: &[Run]| runs.iter().map(|run| 1.0 / run.apart.as_secs_f64()).collect::<Vec<_>>();
        let one = rates(&runs[0]);
        for (replicas, runs) in REPLICAS.into_iter().zip(&runs) {
            let of = |figure: fn(&Run) -> f64| middle_of(&runs.iter().map(figure).collect::<Vec<_>>());
            let shares: Vec<f64> = rates(runs).iter().zip(&one).map(|(rate, one)| rate / one).collect();
            let (share, goal, verdict) = match replicas {
                1 => Default::default(),
                _ => (rounds(&shares, 2), "≥ 1".to_owned(), verdicts.on(middle_of(&shares) >= 1.0)),
            };
            table.row([
                replicas.to_string(),
                at_once.to_string(),
                rounds(&rates(runs), 0),
                share,
                format!("{:.2}", of(|run| ratio(run.cpu, run.apart))),
                format!("{:.2}", of(|run| ratio(run.server, run.apart))),
                format!("{:.2}", of(|run| ratio(run.own, run.apart))),
                format!("{:.0} % busy", of(|run| run.busy) * 100.0),
                goal,
                verdict,
            ]);
        }
    }
    table.show("replicas on one PostgreSQL server: issuances a second in all");
    site.verify(services).await;
}
