//! Processes: this program in another part, the service, and what /proc says of either.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// A process that ends with the measurement.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// One that tells where it listens on its first line.
    pub(crate) fn announced(command: &mut Command) -> (Self, String) {
        let mut process = Self::start(command.stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (process, line.trim().to_owned())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Ends it as Ctrl-C does, and waits.
    pub(crate) fn interrupt(&mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-INT", &self.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.0.wait().unwrap()
    }

    /// A figure of /proc/<pid>/status, in bytes: `VmRSS` now, `VmHWM` at its highest.
    pub(crate) fn memory(&self, figure: &str) -> u64 {
        memory_of(self.id(), figure)
    }
}

/// As [`Process::memory`], for whoever does not hold the process.
pub(crate) fn memory_of(process: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
    let kibibytes: u64 = line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").parse().unwrap();
    kibibytes * 1024
}

/// This program again, in another part.
pub(crate) fn myself(part: &[&str], sts: &str) -> Command {
    with_aws(Command::new(std::env::current_exe().unwrap()), sts, part)
}

/// `hallpass`, as it was built beside this program.
pub(crate) fn hallpass(sts: &str, arguments: &[&str]) -> Command {
    with_aws(Command::new(std::env::current_exe().unwrap().with_file_name("hallpass")), sts, arguments)
}

/// Nothing of this machine's AWS configuration, and this STS.
fn with_aws(mut command: Command, sts: &str, arguments: &[&str]) -> Command {
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.envs([
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_ENDPOINT_URL_STS", sts),
    ]);
    command
}

/// What some processes, a database server and the whole machine use from now on.
pub(crate) struct Meter<'a> {
    processes: Vec<&'a Process>,
    server: Option<u32>,
    before: Reading,
    began: Instant,
}

struct Reading {
    processes: Duration,
    server: Duration,
    own: Duration,
    machine: [u64; 2],
}

/// What was used between two readings.
pub(crate) struct Used {
    pub(crate) wall: Duration,
    pub(crate) processes: Duration,
    pub(crate) server: Duration,
    pub(crate) own: Duration,
    /// The share of the machine's cores that worked, for us or for others.
    pub(crate) busy: f64,
}

impl<'a> Meter<'a> {
    /// `server`: the postmaster of the database server, where there is one.
    pub(crate) fn start(processes: Vec<&'a Process>, server: Option<u32>) -> Self {
        let before = Reading::take(&processes, server);
        Self { processes, server, before, began: Instant::now() }
    }

    pub(crate) fn read(&self) -> Used {
        let wall = self.began.elapsed();
        let (before, after) = (&self.before, Reading::take(&self.processes, self.server));
        let [idle, all] = [0, 1].map(|which| after.machine[which].saturating_sub(before.machine[which]));
        Used {
            wall,
            processes: after.processes.saturating_sub(before.processes),
            server: after.server.saturating_sub(before.server),
            own: after.own.saturating_sub(before.own),
            busy: 1.0 - ratio(Duration::from_millis(idle), Duration::from_millis(all.max(1))),
        }
    }
}

impl Reading {
    fn take(processes: &[&Process], server: Option<u32>) -> Self {
        Self {
            processes: processes.iter().map(|process| cpu_of(&process.id().to_string())).sum(),
            server: server.map_or(Duration::ZERO, cpu_of_family),
            own: cpu_of("self"),
            machine: machine(),
        }
    }
}

/// User and system time of a process so far, in ticks of 10 ms (proc(5), fields 14 and 15 of `stat`).
fn cpu_of(process: &str) -> Duration {
    let [user, system, ..] = times(process).unwrap();
    ticks(user + system)
}

/// As [`cpu_of`] for a process and its children, those that have ended included: the children first, so that one that
/// ends in between is found with its parent.
fn cpu_of_family(parent: u32) -> Duration {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let children = children.split_whitespace().filter_map(times).map(|[user, system, ..]| user + system);
    let children: u64 = children.sum();
    ticks(children + times(&parent.to_string()).unwrap().iter().sum::<u64>())
}

/// Fields 14 to 17: its own user and system time, and those of children it has waited for. `None` where it has ended.
fn times(process: &str) -> Option<[u64; 4]> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let mut fields = fields.split_whitespace().skip(11).map(|ticks| ticks.parse().unwrap());
    Some(std::array::from_fn(|_| fields.next().unwrap()))
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 10)
}

/// Ticks that all cores have spent idle, and in all.
fn machine() -> [u64; 2] {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let line = stat.lines().next().unwrap();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(|ticks| ticks.parse().unwrap()).collect();
    [ticks[3] + ticks[4], ticks.iter().sum()]
}

pub(crate) fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
