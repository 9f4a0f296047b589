//! Load: so many at once, or so many a second whether the answers come or not.

use crate::process::Used;
use serde::{Deserialize, Serialize};
use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Who makes the calls of a load that has a schedule: enough that none is late because its caller still waits.
const CALLERS_ON_SCHEDULE: usize = 64;

/// How calls are made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Each caller calls again as soon as it has its answer.
    AtOnce(usize),
    /// Calls come by a schedule, and how long one takes is counted from when it was due.
    PerSecond(u32),
}

impl Load {
    pub(crate) const fn callers(self) -> usize {
        match self {
            Self::AtOnce(callers) => callers,
            Self::PerSecond(_) => CALLERS_ON_SCHEDULE,
        }
    }

    /// As [`Load::from_str`] reads it.
    pub(crate) fn to_argument(self) -> String {
        match self {
            Self::AtOnce(callers) => format!("at-once={callers}"),
            Self::PerSecond(calls) => format!("per-second={calls}"),
        }
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (way, number) = text.split_once('=').ok_or("at-once=N or per-second=N")?;
        match way {
            "at-once" => number.parse().map(Self::AtOnce),
            _ => number.parse().map(Self::PerSecond),
        }
        .map_err(|error| error.to_string())
    }
}

/// One who calls.
pub(crate) trait Call: Send + 'static {
    fn call(&mut self, number: usize) -> impl Future<Output = ()> + Send;
}

/// What a number of calls cost and how long they took: each figure for one of them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    /// CPU of the process that is measured.
    pub(crate) cpu: Duration,
    /// CPU of the database server.
    pub(crate) server: Duration,
    /// CPU of those who ask.
    pub(crate) own: Duration,
    /// Wall time ÷ calls.
    pub(crate) apart: Duration,
    pub(crate) median: Duration,
    /// The 99th percentile.
    pub(crate) late: Duration,
    /// The share of the machine that worked meanwhile.
    pub(crate) busy: f64,
}

impl Run {
    pub(crate) fn of(used: &Used, mut took: Vec<Duration>) -> Self {
        took.sort();
        let calls = u32::try_from(took.len()).unwrap();
        Self {
            cpu: used.processes / calls,
            server: used.server / calls,
            own: used.own / calls,
            apart: used.wall / calls,
            median: took[took.len() / 2],
            late: took[took.len() * 99 / 100],
            busy: used.busy,
        }
    }
}

/// Makes calls with the numbers 0, 1, 2 … up to `calls`; returns how long each took, and the callers.
pub(crate) async fn run<C: Call>(load: Load, callers: Vec<C>, calls: usize) -> (Vec<Duration>, Vec<C>) {
    match load {
        Load::AtOnce(_) => at_once(callers, calls).await,
        Load::PerSecond(per_second) => on_schedule(callers, per_second, calls).await,
    }
}

async fn at_once<C: Call>(callers: Vec<C>, calls: usize) -> (Vec<Duration>, Vec<C>) {
    let next = Arc::new(AtomicUsize::new(0));
    let work = callers.into_iter().map(|mut caller| {
        let next = next.clone();
        async move {
            let mut took = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    return (took, caller);
                }
                let began = Instant::now();
                caller.call(number).await;
                took.push(began.elapsed());
            }
        }
    });
    all(work.collect()).await
}

async fn on_schedule<C: Call>(callers: Vec<C>, per_second: u32, calls: usize) -> (Vec<Duration>, Vec<C>) {
    let (senders, work): (Vec<_>, Vec<_>) = callers
        .into_iter()
        .map(|mut caller| {
            let (sender, mut due) = unbounded_channel::<(usize, Instant)>();
            let work = async move {
                let mut took = Vec::new();
                while let Some((number, due)) = due.recv().await {
                    caller.call(number).await;
                    took.push(due.elapsed());
                }
                (took, caller)
            };
            (sender, work)
        })
        .unzip();
    // A thread of its own: the runtime's timer is a millisecond coarse.
    let schedule = thread::spawn(move || keep_schedule(&senders, per_second, calls));
    let done = all(work).await;
    schedule.join().unwrap();
    done
}

fn keep_schedule(callers: &[UnboundedSender<(usize, Instant)>], per_second: u32, calls: usize) {
    let began = Instant::now();
    for number in 0..calls {
        let due = began + Duration::from_secs(number as u64) / per_second;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let _ = callers[number % callers.len()].send((number, due)); // one that failed is found when it is joined
    }
}

async fn all<C: Send + 'static>(
    work: Vec<impl Future<Output = (Vec<Duration>, C)> + Send + 'static>,
) -> (Vec<Duration>, Vec<C>) {
    let tasks: Vec<_> = work.into_iter().map(tokio::spawn).collect();
    let (mut took, mut callers) = (Vec::new(), Vec::new());
    for task in tasks {
        let (some, caller) = task.await.unwrap();
        took.extend(some);
        callers.push(caller);
    }
    (took, callers)
}
