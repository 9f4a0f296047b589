//! What Hallpass adds to the time of the bare call, at a pace that leaves the machine room.

use crate::{
    Scale, asks, floor,
    ground::Ground,
    load::{Load, Run},
    process::ratio,
    report::{Table, Verdicts, middle, ms, rounds, us},
    service::{Service, Site},
};
use std::time::Duration;

const PACE: Load = Load::PerSecond(200);
const COMMITS: usize = 1000;
/// An issuance waits for two commits.
const TIMES: u32 = 3;
const ALLOWANCE: Duration = Duration::from_millis(1);

pub(crate) async fn measure(ground: &Ground, scale: &Scale, verdicts: &mut Verdicts) {
    let calls = scale.calls / 2;
    let mut sites = Site::on_each(ground, "latency").await;
    let services: Vec<Service> = sites.iter().map(Site::serve).collect();
    let disks = ground.databases("commits").await;
    let usual = asks::usual(&ground.issuer);
    for (site, service) in sites.iter_mut().zip(&services) {
        site.issue(&[service], &usual, Load::AtOnce(64), asks::WARM_UP).await;
    }
    let mut bare = Vec::new();
    let (mut commits, mut issued) = (vec![vec![]; sites.len()], vec![vec![]; sites.len()]);
    for _ in 0..scale.rounds {
        bare.push(floor::bare(&ground.sts, PACE, calls));
        for (which, (site, service)) in sites.iter_mut().zip(&services).enumerate() {
            commits[which].push(floor::commit_rows(&disks[which], COMMITS).await);
            issued[which].push(site.issue(&[service], &usual, PACE, calls).await);
        }
    }
    let mut floors = Table::new(1, &["database", "commits a second", "median", "99th", "server's CPU"]);
    for (site, commits) in sites.iter().zip(&commits) {
        floors.row([
            site.database.kind().to_owned(),
            format!("{:.0}", 1.0 / middle(commits, |run| run.apart).as_secs_f64()),
            ms(middle(commits, |run| run.median)),
            ms(middle(commits, |run| run.late)),
            us(middle(commits, |run| run.server)),
        ]);
    }
    floors.show("the floor: one row a commit, one after the other");
    let head = ["database", "figure", "bare", "Hallpass", "counts", "÷ the commit's (each round)", "goal", ""];
    let mut table = Table::new(2, &head);
    for ((site, commits), issued) in sites.iter().zip(&commits).zip(&issued) {
        let added: Vec<Duration> =
            issued.iter().zip(&bare).map(|(run, bare)| run.median.saturating_sub(bare.median)).collect();
        let commit = middle(commits, |run| run.median);
        row(
            &mut table,
            verdicts,
            site,
            &bare,
            issued,
            &Figure {
                name: "added median",
                of: |run| run.median,
                counted: &added,
                commits: &commits.iter().map(|run| run.median).collect::<Vec<_>>(),
                goal: commit * TIMES + ALLOWANCE,
            },
        );
        let commit = middle(commits, |run| run.late);
        row(
            &mut table,
            verdicts,
            site,
            &bare,
            issued,
            &Figure {
                name: "99th percentile",
                of: |run| run.late,
                counted: &issued.iter().map(|run| run.late).collect::<Vec<_>>(),
                commits: &commits.iter().map(|run| run.late).collect::<Vec<_>>(),
                goal: commit * TIMES,
            },
        );
    }
    table.show("latency at 200 a second, counted from when a call was due");
    for (site, service) in sites.into_iter().zip(services) {
        site.verify(vec![service]).await;
    }
}

struct Figure<'a> {
    name: &'a str,
    of: fn(&Run) -> Duration,
    /// What is held against the goal, in each round.
    counted: &'a [Duration],
    commits: &'a [Duration],
    goal: Duration,
}

fn row(table: &mut Table, verdicts: &mut Verdicts, site: &Site, bare: &[Run], issued: &[Run], figure: &Figure) {
    let mut counted = figure.counted.to_vec();
    counted.sort();
    let counted = counted[counted.len() / 2];
    let ratios: Vec<f64> =
        figure.counted.iter().zip(figure.commits).map(|(counted, commit)| ratio(*counted, *commit)).collect();
    table.row([
        site.database.kind().to_owned(),
        figure.name.to_owned(),
        ms(middle(bare, figure.of)),
        ms(middle(issued, figure.of)),
        ms(counted),
        rounds(&ratios, 2),
        format!("≤ {}", ms(figure.goal)),
        verdicts.on(counted <= figure.goal),
    ]);
}
