//! Floods folded into counts, so that nobody fills the disk: `authentication.failed` is written once a minute for each
//! issuer or API token, code and network (/24 or /64), identical `credentials.denied` ten times a minute, and `credentials.failed` where
//! AWS was not even asked once a minute for each principal and role; what is beyond is counted, and the count is written
//! when the minute is over.
//!
//! Must never drop an event without counting it, nor grow beyond a fixed number of keys.

use super::{Event, Kind};
use crate::model::{Time, sha256};
use serde::Serialize;
use serde_json::json;
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    time::Duration,
};

/// How long one count runs.
const WINDOW: Duration = Duration::from_mins(1);
/// At most so many different things are counted apart; each holds one event of a few kilobytes at most.
const MAX_KEYS: usize = 10_000;

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Write it.
    Write,
    /// It is counted: [`Folder::due`] gives it back within the minute, with a count.
    Folded,
}

/// Counts what floods. Knows no clock: the time comes in.
#[derive(Debug, Default)]
pub struct Folder {
    buckets: HashMap<Key, Bucket>,
}

/// What makes two events the same: a SHA-256 over it, so that every key has one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Same([u8; 32]),
    /// All that found no place among the keys.
    Overflow(Kind),
}

#[derive(Debug)]
struct Bucket {
    began: Time,
    written: u32,
    folded: Option<Folded>,
}

#[derive(Debug)]
struct Folded {
    count: u64,
    since: Time,
    last: Event,
}

impl Folder {
    /// Decides whether the event is written now. Only `authentication.failed`, `credentials.denied` and a
    /// `credentials.failed` without an issuance are ever folded.
    pub fn admit(&mut self, event: &Event, now: Time) -> Admit {
        let Some((key, allowed)) = key_and_allowance(event) else { return Admit::Write };
        let full = self.buckets.len() >= MAX_KEYS && !self.buckets.contains_key(&key);
        let key = if full { Key::Overflow(event.kind) } else { key };
        let bucket = match self.buckets.entry(key) {
            Entry::Vacant(entry) => entry.insert(Bucket::new(now)),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        if bucket.folded.is_none() && bucket.is_over(now) {
            *bucket = Bucket::new(now);
        }
        if bucket.written < allowed {
            bucket.written += 1;
            return Admit::Write;
        }
        let (count, since) = bucket.folded.as_ref().map_or((0, event.at), |folded| (folded.count, folded.since));
        bucket.folded = Some(Folded { count: count + 1, since, last: event.clone() });
        Admit::Folded
    }

    /// The counts whose minute is over, to be written: each is the last of the events it stands for, with
    /// `detail.count`, how many were not written, and `detail.since`, when the first of them was. Where different
    /// things had to share a count, `detail.mixed` is true. To be asked about once a second.
    pub fn due(&mut self, now: Time) -> Vec<Event> {
        let mut events = Vec::new();
        self.buckets.retain(|key, bucket| {
            if !bucket.is_over(now) {
                return true;
            }
            let Some(folded) = bucket.folded.take() else { return false };
            events.push(folded.into_event(*key));
            // The count is the next minute's first row: a steady flood gives one row a minute, not two.
            *bucket = Bucket { began: now, written: 1, folded: None };
            true
        });
        in_order(events)
    }

    /// Every count, its minute over or not: to be written before the process ends.
    pub fn drain(&mut self) -> Vec<Event> {
        let buckets = self.buckets.drain();
        in_order(buckets.filter_map(|(key, bucket)| Some(bucket.folded?.into_event(key))).collect())
    }
}

fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| (event.at, event.id));
    events
}

impl Bucket {
    fn new(began: Time) -> Self {
        Self { began, written: 0, folded: None }
    }

    fn is_over(&self, now: Time) -> bool {
        // A clock set back would otherwise hold the count until it has caught up.
        now >= self.began.plus(WINDOW) || now < self.began
    }
}

impl Folded {
    fn into_event(self, key: Key) -> Event {
        let mut event = self.last;
        event.detail.insert("count".to_owned(), json!(self.count));
        event.detail.insert("since".to_owned(), json!(self.since));
        if matches!(key, Key::Overflow(_)) {
            event.detail.insert("mixed".to_owned(), json!(true));
        }
        event
    }
}

/// What the event is counted with, and how many of it are written a minute.
fn key_and_allowance(event: &Event) -> Option<(Key, u32)> {
    match event.kind {
        Kind::AuthenticationFailed | Kind::LoginFailed => {
            // An API token's id is one that there is or was, never a guess.
            let auth = event.auth.as_ref().map(|auth| (auth.method, &auth.issuer, &auth.token_id));
            let network = event.client.as_ref().and_then(|client| client.ip.or(client.peer)).map(network);
            Some((same(&(event.kind, auth, event.code, network)), 1))
        }
        Kind::CredentialsDenied => {
            let role = (&event.account_id, &event.role_arn, event.requested_role());
            Some((same(&(event.kind, &event.principal, role, event.code, &event.reasons)), 10))
        }
        Kind::CredentialsFailed if event.issuance_id.is_none() => {
            Some((same(&(event.kind, &event.principal, &event.role_arn, event.code)), 1))
        }
        _ => None,
    }
}

fn same<T: Serialize>(identity: &T) -> Key {
    #[expect(clippy::expect_used, reason = "a tuple of texts")]
    let text = serde_json::to_vec(identity).expect("texts can be written as JSON");
    Key::Same(sha256(&[&text]))
}

/// The /24 of an IPv4 address, the /64 of an IPv6 one: who has one address there mostly has all.
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets()[..3].to_vec(),
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{Auth, AuthMethod, Client},
        clock::Clock,
        model::{Principal, RoleArn, RoleRef},
    };

    struct Scene {
        clock: Clock,
        folder: Folder,
    }

    impl Scene {
        fn new() -> Self {
            let clock = Clock::settable(Time::parse("2026-01-02T03:04:05Z").unwrap());
            Self { clock, folder: Folder::default() }
        }

        fn event(&self, kind: Kind) -> Event {
            Event::new(kind, self.clock.new_id(), self.clock.now())
        }

        fn failed(&self, issuer: &str, code: &'static str, ip: &str) -> Event {
            let mut event = self.event(Kind::AuthenticationFailed);
            event.auth =
                Some(Auth { issuer: Some(issuer.to_owned()), method: AuthMethod::Jwt, subject: None, token_id: None });
            event.client = Some(Client { ip: Some(ip.parse().unwrap()), ..Client::default() });
            event.code = Some(code);
            event
        }

        fn denied(&self, who: &str, role: &str, reason: &str) -> Event {
            let mut event = self.event(Kind::CredentialsDenied);
            event.principal = Some(Principal::parse(who).unwrap());
            event.set_requested_role(&RoleRef::parse(role).unwrap());
            event.code = Some("no_grant");
            event.reasons = vec![json!({"condition": reason})];
            event
        }

        fn admit(&mut self, event: &Event) -> Admit {
            self.folder.admit(event, self.clock.now())
        }

        fn after(&mut self, seconds: u64) -> Vec<Event> {
            self.clock.advance(Duration::from_secs(seconds));
            self.folder.due(self.clock.now())
        }
    }

    fn counts(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.detail["count"].as_u64().unwrap()).collect()
    }

    #[test]
    fn failures_are_one_row_a_minute_for_each_issuer_code_and_network() {
        let mut scene = Scene::new();
        assert_eq!(scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1")), Admit::Write);
        for (issuer, code, ip, admit) in [
            ("corp", "token_invalid", "10.0.0.200", Admit::Folded),
            ("corp", "token_invalid", "::ffff:10.0.0.7", Admit::Folded),
            ("corp", "token_invalid", "10.0.1.1", Admit::Write),
            ("corp", "token_expired", "10.0.0.1", Admit::Write),
            ("other", "token_invalid", "10.0.0.1", Admit::Write),
            ("corp", "token_invalid", "2001:db8::1", Admit::Write),
            ("corp", "token_invalid", "2001:db8::ffff:0:0:2", Admit::Folded),
            ("corp", "token_invalid", "2001:db8:0:1::1", Admit::Write),
        ] {
            assert_eq!(scene.admit(&scene.failed(issuer, code, ip)), admit, "{issuer} {code} {ip}");
        }
        assert!(scene.after(59).is_empty());
        assert_eq!(counts(&scene.after(1)), [2, 1]);
    }

    #[test]
    fn failures_without_an_issuance_are_one_row_a_minute_for_each_principal_and_role() {
        let mut scene = Scene::new();
        let failed = |scene: &Scene, who: &str, issuance| {
            let mut event = scene.event(Kind::CredentialsFailed);
            event.principal = Some(Principal::parse(who).unwrap());
            event.issuance_id = issuance;
            event
        };
        let id = Some("019b7ca9-8c88-7000-8000-000000000002".parse().unwrap());
        for (who, issuance, admit) in [
            ("user:alice", None, Admit::Write),
            ("user:alice", None, Admit::Folded),
            ("user:bob", None, Admit::Write),
            ("user:alice", id, Admit::Write),
            ("user:alice", id, Admit::Write),
        ] {
            let event = failed(&scene, who, issuance);
            assert_eq!(scene.admit(&event), admit, "{who}");
        }
        assert_eq!(counts(&scene.after(60)), [1]);
    }

    #[test]
    fn a_count_is_the_last_event_with_its_number_and_beginning() {
        let mut scene = Scene::new();
        scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1"));
        scene.clock.advance(Duration::from_secs(1));
        scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.2"));
        scene.clock.advance(Duration::from_secs(1));
        let last = scene.failed("corp", "token_invalid", "10.0.0.3");
        scene.admit(&last);
        let due = scene.after(58);
        assert_eq!((due.len(), due[0].id, due[0].at), (1, last.id, last.at));
        assert_eq!(json!(due[0].detail), json!({"count": 2, "since": "2026-01-02T03:04:06Z"}));
        assert!(scene.after(60).is_empty(), "given back once");
    }

    #[test]
    fn a_steady_flood_gives_one_row_a_minute() {
        let mut scene = Scene::new();
        let (mut asked, mut written, mut counted) = (0, 0, 0);
        for _ in 0..300 {
            asked += 1;
            written += u64::from(scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1")) == Admit::Write);
            let due = scene.after(1);
            written += due.len() as u64;
            counted += counts(&due).iter().sum::<u64>();
        }
        assert_eq!(written, 6, "one at the start, then one at the end of each minute");
        assert_eq!(counted + 1, asked, "none is lost");
    }

    #[test]
    fn identical_denials_fold_after_ten() {
        let mut scene = Scene::new();
        for n in 1..=15 {
            let admit = scene.admit(&scene.denied("user:alice", "prod/Admin", "principal"));
            assert_eq!(admit, if n <= 10 { Admit::Write } else { Admit::Folded }, "{n}");
        }
        for (who, role, reason) in [
            ("user:bob", "prod/Admin", "principal"),
            ("user:alice", "prod/Other", "principal"),
            ("user:alice", "prod/Admin", "source_ips"),
        ] {
            assert_eq!(scene.admit(&scene.denied(who, role, reason)), Admit::Write, "{who} {role} {reason}");
        }
        let mut known = scene.denied("user:alice", "prod/Admin", "principal");
        known.role_arn = Some(RoleArn::parse("arn:aws:iam::111122223333:role/Admin").unwrap());
        assert_eq!(scene.admit(&known), Admit::Write);
        let due = scene.after(60);
        assert_eq!(counts(&due), [5]);
        assert_eq!(due[0].requested_role(), Some("prod/Admin"));
    }

    #[test]
    fn quiet_ends_a_count() {
        let mut scene = Scene::new();
        assert_eq!(scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1")), Admit::Write);
        scene.clock.advance(WINDOW);
        assert_eq!(
            scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1")),
            Admit::Write,
            "not yet cleared away"
        );
        assert!(scene.after(60).is_empty());
        assert!(scene.folder.buckets.is_empty());
    }

    #[test]
    fn what_no_one_collects_in_time_is_still_counted() {
        let mut scene = Scene::new();
        for _ in 0..3 {
            scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1"));
            scene.clock.advance(Duration::from_secs(61));
        }
        assert_eq!(scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1")), Admit::Write);
        assert_eq!(scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1")), Admit::Folded);
        scene.clock.advance(Duration::from_secs(61));
        assert_eq!(scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1")), Admit::Folded);
        assert_eq!(counts(&scene.after(0)), [2]);
    }

    #[test]
    fn other_kinds_are_always_written() {
        let mut scene = Scene::new();
        for kind in Kind::ALL {
            if !matches!(kind, Kind::AuthenticationFailed | Kind::LoginFailed | Kind::CredentialsDenied) {
                let mut event = scene.event(kind);
                event.issuance_id = "019b7ca9-8c88-7000-8000-000000000002".parse().ok();
                assert!((0..50).all(|_| scene.admit(&event) == Admit::Write), "{kind:?}");
            }
        }
        assert!(scene.folder.buckets.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost() {
        let mut scene = Scene::new();
        let total = MAX_KEYS as u64 + 500;
        let mut written = 0;
        for n in 0..total {
            let ip = format!("10.{}.{}.1", n / 256, n % 256);
            written += u64::from(scene.admit(&scene.failed("corp", "token_invalid", &ip)) == Admit::Write);
        }
        assert_eq!(scene.folder.buckets.len(), MAX_KEYS + 1);
        assert_eq!(written, MAX_KEYS as u64 + 1);
        let due = scene.after(60);
        assert_eq!(counts(&due), [499]);
        assert_eq!(due[0].detail["mixed"], true);
        assert_eq!(scene.folder.buckets.len(), 1);
    }

    #[test]
    fn the_end_gives_everything_back() {
        let mut scene = Scene::new();
        for ip in ["10.0.0.1", "10.0.0.1", "10.0.1.1", "10.0.1.1", "10.0.1.1"] {
            scene.admit(&scene.failed("corp", "token_invalid", ip));
        }
        assert_eq!(counts(&scene.folder.drain()), [1, 2]);
        assert!(scene.folder.drain().is_empty());
    }

    #[test]
    fn a_clock_set_back_holds_nothing_up() {
        let mut scene = Scene::new();
        scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1"));
        scene.admit(&scene.failed("corp", "token_invalid", "10.0.0.1"));
        let earlier = scene.clock.now().minus(Duration::from_hours(1));
        assert_eq!(counts(&scene.folder.due(earlier)), [1]);
    }
}
