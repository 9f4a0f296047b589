//! The service under load, watched by perf. `benches/profile` shows what it saw.

use crate::{Scale, asks, ground::Ground, load::Load, process::Process, service::Site};
use std::{
    path::Path,
    process::{Command, Stdio},
};

const AT_ONCE: usize = 64;

pub(crate) async fn measure(ground: &Ground, scale: &Scale, never_seen: bool, data: &Path) {
    let usual = asks::usual(&ground.issuer);
    let new = |database: &str| asks::never_seen(&ground.issuer, &format!("profile-{database}"), scale.calls);
    for mut site in Site::on_each(ground, "profile").await {
        let service = site.serve();
        site.issue(&[&service], &usual, Load::AtOnce(AT_ONCE), asks::WARM_UP).await;
        let asked = if never_seen { new(site.database.kind()) } else { usual.clone() };
        let file = data.join(format!("perf-{}.data", site.database.kind()));
        let mut command = Command::new("perf");
        command.args(["record", "--quiet", "--freq", "1999", "--pid", &service.process.id().to_string(), "--output"]);
        let mut perf = Process::start(command.arg(file).stdin(Stdio::null()));
        site.issue(&[&service], &asked, Load::AtOnce(AT_ONCE), scale.calls).await;
        perf.interrupt();
        site.verify(vec![service]).await;
    }
}
