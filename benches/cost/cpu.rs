//! The CPU of an issuance ÷ that of the bare call, and how many there are in a second.

use crate::{
    Scale, asks, floor,
    ground::Ground,
    http::{Answering, Requests},
    load::{Load, Run},
    process::{Process, ratio},
    report::{Table, Verdicts, middle, middle_of, ms, rounds, us},
    service::{Service, Site},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

const SEEN: &str = "seen before";
const NEW: &str = "never seen";
const AT_ONCE: [usize; 4] = [1, 8, 64, 256];
/// Where callers are asked for whom no cache knows.
const NEW_CALLERS_AT_ONCE: usize = 64;
const MOST: f64 = 2.5;
/// A core this busy is full.
const FULL: f64 = 0.9;
/// What comes and goes between rounds of the same.
const LEVEL: f64 = 0.9;

/// One way of asking; in each list a run for each round.
struct Case {
    callers: &'static str,
    at_once: usize,
    bare: Vec<Run>,
    constant: Vec<Run>,
    /// For each site.
    issued: Vec<Vec<Run>>,
}

pub(crate) async fn measure(ground: &Ground, scale: &Scale, verdicts: &mut Verdicts) {
    let mut sites = Site::on_each(ground, "cpu").await;
    let services: Vec<Service> = sites.iter().map(Site::serve).collect();
    let usual = asks::usual(&ground.issuer);
    for (site, service) in sites.iter_mut().zip(&services) {
        site.issue(&[service], &usual, Load::AtOnce(64), asks::WARM_UP).await;
    }
    let constant = floor::start_constant();
    let mut cases = Vec::new();
    for (callers, at_once) in AT_ONCE.map(|at_once| (SEEN, at_once)).into_iter().chain([(NEW, NEW_CALLERS_AT_ONCE)]) {
        let load = Load::AtOnce(at_once);
        let calls = if at_once == 1 { scale.calls / 2 } else { scale.calls };
        let mut case = Case { callers, at_once, bare: vec![], constant: vec![], issued: vec![vec![]; sites.len()] };
        for round in 0..scale.rounds {
            let requests = match callers {
                NEW => asks::never_seen(&ground.issuer, &format!("new-{round}"), calls),
                _ => usual.clone(),
            };
            case.constant.push(ask_constant(&constant, &requests, load, calls * floor::MORE).await);
            case.bare.push(floor::bare(&ground.sts, load, calls * floor::MORE));
            for ((site, service), runs) in sites.iter_mut().zip(&services).zip(&mut case.issued) {
                runs.push(site.issue(&[service], &requests, load, calls).await);
            }
        }
        cases.push(case);
    }
    show_floors(&cases);
    show_cpu(&cases, &sites, verdicts);
    show_rates(&cases, &sites, verdicts);
    for (site, service) in sites.into_iter().zip(services) {
        site.verify(vec![service]).await;
    }
}

async fn ask_constant(
    (process, address): &(Process, SocketAddr),
    requests: &Arc<Requests>,
    load: Load,
    calls: usize,
) -> Run {
    let answering = Answering { addresses: vec![*address], processes: vec![process], postmaster: None };
    answering.ask(requests, load, calls).await.0
}

fn show_floors(cases: &[Case]) {
    let mut table = Table::new(
        0,
        &["at once", "AssumeRole, CPU", "a second", "axum's constant, CPU", "a second", "the asker's CPU"],
    );
    for case in cases.iter().filter(|case| case.callers == SEEN) {
        let rate = |runs| format!("{:.0}", 1.0 / middle(runs, |run| run.apart).as_secs_f64());
        table.row([
            case.at_once.to_string(),
            us(middle(&case.bare, |run| run.cpu)),
            rate(&case.bare),
            us(middle(&case.constant, |run| run.cpu)),
            rate(&case.constant),
            us(middle(&case.constant, |run| run.own)),
        ]);
    }
    table.show("the floors: a bare AssumeRole, and axum answering a constant");
}

fn show_cpu(cases: &[Case], sites: &[Site], verdicts: &mut Verdicts) {
    let head = ["database", "callers", "at once", "bare", "Hallpass", "server", "ratio (each round)", "goal", ""];
    let mut table = Table::new(2, &head);
    for (which, site) in sites.iter().enumerate() {
        for case in cases {
            let runs = &case.issued[which];
            let ratios: Vec<f64> = runs.iter().zip(&case.bare).map(|(run, bare)| ratio(run.cpu, bare.cpu)).collect();
            table.row([
                site.database.kind().to_owned(),
                case.callers.to_owned(),
                case.at_once.to_string(),
                us(middle(&case.bare, |run| run.cpu)),
                us(middle(runs, |run| run.cpu)),
                us(middle(runs, |run| run.server)),
                rounds(&ratios, 2),
                format!("≤ {MOST}"),
                verdicts.on(middle_of(&ratios) <= MOST),
            ]);
        }
    }
    table.show("CPU of an issuance ÷ that of a bare AssumeRole");
}

fn show_rates(cases: &[Case], sites: &[Site], verdicts: &mut Verdicts) {
    let head = [
        "database",
        "at once",
        "a second (each round)",
        "median",
        "99th",
        "cores: Hallpass",
        "server",
        "askers",
        "machine",
        "goal",
        "",
    ];
    let mut table = Table::new(1, &head);
    for (which, site) in sites.iter().enumerate() {
        let (mut best, mut full) = (None, false);
        for case in cases.iter().filter(|case| case.callers == SEEN) {
            let runs = &case.issued[which];
            let rates: Vec<f64> = runs.iter().map(|run| 1.0 / run.apart.as_secs_f64()).collect();
            let rate = middle_of(&rates);
            let cores = |used: fn(&Run) -> Duration| {
                middle_of(&runs.iter().map(|run| ratio(used(run), run.apart)).collect::<Vec<_>>())
            };
            let busy = middle_of(&runs.iter().map(|run| run.busy).collect::<Vec<_>>());
            let (goal, verdict) = match best {
                None => Default::default(),
                Some(best) if full => (format!("≥ {:.0}, level", LEVEL * best), verdicts.on(rate >= LEVEL * best)),
                Some(best) => (format!("> {best:.0}, rises"), verdicts.on(rate > best)),
            };
            table.row([
                site.database.kind().to_owned(),
                case.at_once.to_string(),
                rounds(&rates, 0),
                ms(middle(runs, |run| run.median)),
                ms(middle(runs, |run| run.late)),
                format!("{:.2}", cores(|run| run.cpu)),
                format!("{:.2}", cores(|run| run.server)),
                format!("{:.2}", cores(|run| run.own)),
                format!("{:.0} % busy", busy * 100.0),
                goal,
                verdict,
            ]);
            best = Some(rate.max(best.unwrap_or_default()));
            full |= cores(|run| run.cpu) >= FULL || busy >= FULL;
        }
    }
    table.show("issuances a second: they rise until a core is full, or the machine is, then stay level");
}
