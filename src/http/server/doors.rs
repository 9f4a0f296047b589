//! How many connections there may be, and how many of one peer.

use crate::{http::address::network, model::IpNet};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// More are not needed: who asks for credentials is gone in a moment.
const MOST: usize = 4096;
/// How often it is logged that connections are turned away.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How many connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// In all.
    pub all: usize,
    /// Of one IPv4 address, or one IPv6 network of 64 bits.
    pub each: usize,
}

impl Connections {
    /// As many as the open files allow, which are first raised to what the system lets this process have. Half of them
    /// are left for what requests need themselves: the database, AWS, the issuers.
    #[must_use]
    pub fn for_this_process() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
        Self::for_files(if raised { maximum } else { current })
    }

    fn for_files(files: Option<u64>) -> Self {
        let half = files.map_or(MOST, |files| usize::try_from(files / 2).unwrap_or(MOST));
        let all = half.clamp(1, MOST);
        Self { all, each: (all / 4).max(1) }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self::for_files(None)
    }
}

/// Who is in. Locked when a connection comes and when it goes, never for a request.
#[derive(Clone, Debug)]
pub(super) struct Doors(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Connections,
    proxies: Option<Vec<IpNet>>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    each: HashMap<u64, usize>,
    turned_away: u64,
    told: Option<Instant>,
}

/// A connection's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    doors: Doors,
    peer: Option<u64>,
}

impl Doors {
    pub(super) fn new(limits: Connections, proxies: Option<Vec<IpNet>>) -> Self {
        Self(Arc::new(Inner { limits, proxies, inside: Mutex::default() }))
    }

    /// A place, where there is one.
    pub(super) fn enter(&self, peer: IpAddr) -> Option<Place> {
        let proxies = self.0.proxies.as_ref();
        let single = proxies.is_some_and(|proxies| !proxies.iter().any(|range| range.contains(peer)));
        let peer = single.then(|| network(peer));
        let mut inside = self.lock();
        let of_peer = peer.map_or(0, |peer| inside.each.get(&peer).copied().unwrap_or_default());
        if inside.all >= self.0.limits.all || of_peer >= self.0.limits.each {
            inside.turn_away();
            return None;
        }
        inside.all += 1;
        if let Some(peer) = peer {
            inside.each.insert(peer, of_peer + 1);
        }
        Some(Place { doors: self.clone(), peer })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn turn_away(&mut self) {
        self.turned_away += 1;
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            tracing::warn!(count = self.turned_away, open = self.all, "too many connections: some are turned away");
            (self.turned_away, self.told) = (0, Some(Instant::now()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.doors.lock();
        inside.all -= 1;
        if let Some(peer) = self.peer
            && let Some(count) = inside.each.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                inside.each.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_cannot_take_every_place() {
        let proxies = Some(vec![IpNet::parse("10.0.0.0/8").unwrap()]);
        let doors = Doors::new(Connections { all: 5, each: 2 }, proxies);
        let enter = |peer: &str| doors.enter(peer.parse().unwrap());
        let mut inside: Vec<_> = ["192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2"].map(enter).into();
        assert!(inside.iter().all(Option::is_some));
        for full in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::3"] {
            assert!(enter(full).is_none(), "{full}");
        }
        inside.push(enter("192.0.2.2"));
        assert!(inside[4].is_some());
        assert!(enter("192.0.2.3").is_none(), "in all");
        inside.clear();
        inside.extend([(); 5].map(|()| enter("10.0.0.1")));
        assert!(inside.iter().all(Option::is_some), "behind a proxy are many");
        drop(inside);
        let inside = doors.lock();
        assert_eq!((inside.all, inside.each.len()), (0, 0), "nothing is left of them");
    }

    #[test]
    fn half_of_the_files_are_for_connections() {
        for (files, all, each) in
            [(Some(1024), 512, 128), (Some(1 << 20), 4096, 1024), (None, 4096, 1024), (Some(1), 1, 1)]
        {
            assert_eq!(Connections::for_files(files), Connections { all, each });
        }
    }
}
