//! Memory: idle, and at its highest under full load with every cache filled.

use crate::{
    Scale, asks,
    ground::Ground,
    load::Load,
    report::{Table, Verdicts, mib},
    service::Site,
};
use std::time::Duration;

const AT_ONCE: usize = 256;
const NEW_AT_ONCE: usize = 64;
/// The service keeps what it knows of 10,000 callers and roles.
const NEW_CALLERS: usize = 12_000;
/// Ready, and what starting left behind done with.
const SETTLED: Duration = Duration::from_secs(2);

const IDLE: u64 = 40 * 1024 * 1024;
const LOADED: u64 = 120 * 1024 * 1024;

pub(crate) async fn measure(ground: &Ground, scale: &Scale, verdicts: &mut Verdicts) {
    let callers = NEW_CALLERS.min(scale.calls * 3);
    let usual = asks::usual(&ground.issuer);
    let mut table = Table::new(2, &["database", "when", "resident", "goal", ""]);
    let mut done = Vec::new();
    for (round, mut site) in Site::on_each(ground, "memory").await.into_iter().enumerate() {
        let service = site.serve();
        tokio::time::sleep(SETTLED).await;
        let idle = service.process.memory("VmRSS");
        site.issue(&[&service], &usual, Load::AtOnce(AT_ONCE), asks::WARM_UP + scale.calls).await;
        let loaded = service.process.memory("VmHWM");
        let new = asks::never_seen(&ground.issuer, &format!("memory-{round}"), callers);
        // So many at once that a slow machine still answers: each is a decision from the database.
        site.issue(&[&service], &new, Load::AtOnce(NEW_AT_ONCE), callers).await;
        site.issue(&[&service], &new, Load::AtOnce(AT_ONCE), scale.calls).await;
        let filled = service.process.memory("VmHWM");
        tokio::time::sleep(SETTLED).await;
        let after = service.process.memory("VmRSS");
        for (when, bytes, most) in [
            ("idle", idle, Some(IDLE)),
            ("highest, 256 at once", loaded, Some(LOADED)),
            ("highest, caches filled", filled, Some(LOADED)),
            ("idle again", after, None),
        ] {
            table.row([
                site.database.kind().to_owned(),
                when.to_owned(),
                mib(bytes),
                most.map(|most| format!("≤ {}", mib(most))).unwrap_or_default(),
                most.map(|most| verdicts.on(bytes <= most)).unwrap_or_default(),
            ]);
        }
        done.push((site, service));
    }
    table.show(&format!("memory: {} callers, then {callers} new ones", asks::CALLERS));
    for (site, service) in done {
        site.verify(vec![service]).await;
    }
}
