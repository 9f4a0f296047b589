//! What the tests stand on: databases, an issuer, AWS twice over (a fake that can misbehave, and moto), and the service
//! as a process of its own. Nothing here knows the service's inside.

pub(crate) mod app;
pub(crate) mod brief;
pub(crate) mod database;
pub(crate) mod described;
pub(crate) mod exposition;
pub(crate) mod issuer;
pub(crate) mod log;
pub(crate) mod moto;
pub(crate) mod oidc;
pub(crate) mod person;
pub(crate) mod service;
pub(crate) mod shown;
pub(crate) mod signin;
pub(crate) mod sts;
pub(crate) mod world;

use std::{
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};
use tempfile::TempDir;

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    hallpass::clock::Clock::system().now().as_micros() / 1_000_000
}

/// A port of 127.0.0.1 that nobody listens on, below those that the kernel gives to outgoing connections: a restarted
/// service finds it free.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 90).unwrap() * 100;
    loop {
        let port = 10_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 9_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Every argument of every process, as `ps` shows them to everybody.
pub(crate) fn arguments_of_all() -> String {
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    processes
        .filter_map(|file| std::fs::read(file).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect()
}

/// Asks until the answer is some, for at most `limit`. Only for what happens in another process.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| panic!("no {what} within {limit:?}"))
}

/// Whether a test may go on without something: under `CI=true` nothing may be missing. Said past the harness, which
/// hides what passing tests print.
pub(crate) fn skip(what: &str) {
    assert_ne!(variable("CI").as_deref(), Some("true"), "{what} is missing, and CI skips nothing: use tests/run");
    let _ = std::io::stderr().write_all(format!("skipped: {what} is missing; tests/run starts it\n").as_bytes());
}

#[expect(clippy::disallowed_methods, reason = "what tests/run says to the tests")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs to the end; fails with what it printed when it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output.stderr));
    text(&output.stdout)
}

/// A process that ends with the test.
pub(crate) struct Killed(pub(crate) Child);

impl Killed {
    /// Sends a signal by name: `STOP`, `CONT`, `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        run(Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]));
    }

    /// `kill -9`, and no zombie.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A small disk of its own, so that it can be filled; unmounted at the end. Only root may mount.
pub(crate) struct Mount(TempDir);

impl Mount {
    /// `None` where mounting is not possible, and that may be.
    pub(crate) fn small() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        run(Command::new("chmod").arg("755").arg(folder.path()));
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(folder.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        skip("the right to mount a small disk");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: whoever still holds it is about to end.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}
