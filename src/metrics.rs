//! What is counted and measured: every metric with its name, its help and its labels, and their text for Prometheus.
//!
//! The rooms above say what happened, in the words of [`Metrics`]; which metric that is stands here alone. A label's value
//! is one of a closed enum, or the name of a configured issuer: no person, account, role, path or token can become one.
//! Must never wait, lock or allocate where something is measured.

mod label;
mod measure;

pub use label::{AuthCode, Class, ConsoleFault, Full, IssueCode, Limited, Outcome, Route, StsFault};
pub use measure::Held;

use crate::{
    clock::Clock,
    model::{IssuerName, Time},
};
use measure::{Each, Histogram, KeysAge};
use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::{Registry, Unit},
};
use std::{sync::Arc, time::Duration};

/// The media type of [`Metrics::encode`]'s text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every metric of one running service. Cheap to clone: all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    all: Arc<All>,
    registry: Arc<Registry>,
}

#[derive(Debug)]
struct All {
    requests: Each<(Route, Class), Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    limited: Each<Limited, Counter>,
    shed: Each<Full, Counter>,
    refused_callers: Each<AuthCode, Counter>,
    issuances: Each<Outcome, Counter>,
    issuance_errors: Each<IssueCode, Counter>,
    reads: Histogram,
    sts_calls: Histogram,
    sts_errors: Each<StsFault, Counter>,
    sign_ins: Histogram,
    sign_in_errors: Each<ConsoleFault, Counter>,
    commits: Histogram,
    commit_errors: Counter,
    rows: Histogram,
    queue: Gauge,
    keys: KeysAge,
}

impl Metrics {
    /// All of them at nothing, for these issuers.
    #[must_use]
    pub fn new<'a>(clock: &Clock, issuers: impl IntoIterator<Item = &'a IssuerName>) -> Self {
        let all = All {
            requests: Each::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            limited: Each::default(),
            shed: Each::default(),
            refused_callers: Each::default(),
            issuances: Each::default(),
            issuance_errors: Each::default(),
            reads: Histogram::default(),
            sts_calls: Histogram::default(),
            sts_errors: Each::default(),
            sign_ins: Histogram::default(),
            sign_in_errors: Each::default(),
            commits: Histogram::default(),
            commit_errors: Counter::default(),
            rows: Histogram::of_rows(),
            queue: Gauge::default(),
            keys: KeysAge::new(clock.clone(), issuers),
        };
        let registry = Arc::new(all.register(clock.now()));
        Self { all: Arc::new(all), registry }
    }

    /// The text that Prometheus reads, in the form of `OpenMetrics`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        #[expect(clippy::expect_used, reason = "a String takes every text")]
        text::encode(&mut out, &self.registry).expect("an encoding into memory");
        out
    }

    /// A request has come; it is under way until this is dropped.
    pub fn request_began(&self) -> Held {
        Held::on(&self.all.in_flight)
    }

    /// It was answered.
    pub fn request_answered(&self, route: Route, status: u16, took: Duration) {
        self.all.requests.at((route, Class::of(status))).took(took);
    }

    /// A connection was taken; it is open until this is dropped.
    pub fn connection_opened(&self) -> Held {
        Held::on(&self.all.connections)
    }

    /// A request was refused because somebody asks too often.
    pub fn rate_limited(&self, by: Limited) {
        self.all.limited.at(by).inc();
    }

    /// A request or a whole connection was turned away because there is too much to do.
    pub fn shed(&self, full: Full) {
        self.all.shed.at(full).inc();
    }

    /// Nobody could be made out behind a request.
    pub fn authentication_failed(&self, code: AuthCode) {
        self.all.refused_callers.at(code).inc();
    }

    /// A request for credentials has ended well.
    pub fn issued(&self) {
        self.all.issuances.at(Outcome::Issued).inc();
    }

    /// A request for credentials was answered with those of an issuance before.
    pub fn shared(&self) {
        self.all.issuances.at(Outcome::Shared).inc();
    }

    /// A request for credentials has ended without any.
    pub fn not_issued(&self, outcome: Outcome, code: IssueCode) {
        self.all.issuances.at(outcome).inc();
        self.all.issuance_errors.at(code).inc();
    }

    /// So many intents were given up.
    pub fn given_up(&self, intents: usize) {
        measure::add(self.all.issuances.at(Outcome::Unknown), intents);
    }

    /// What a decision rests on was read from the database, or could not be.
    pub fn decision_read(&self, took: Duration) {
        self.all.reads.took(took);
    }

    /// AssumeRole was called, with all its attempts.
    pub fn sts_called(&self, took: Duration, fault: Option<StsFault>) {
        self.all.sts_calls.took(took);
        if let Some(fault) = fault {
            self.all.sts_errors.at(fault).inc();
        }
    }

    /// The sign-in service was asked for a console token.
    pub fn sign_in_called(&self, took: Duration, fault: Option<ConsoleFault>) {
        self.all.sign_ins.took(took);
        if let Some(fault) = fault {
            self.all.sign_in_errors.at(fault).inc();
        }
    }

    /// A commit to the audit, for those who wait for it, has ended well or badly.
    pub fn committed(&self, took: Duration) {
        self.all.commits.took(took);
    }

    /// A commit to the audit went badly.
    pub fn commit_failed(&self) {
        self.all.commit_errors.inc();
    }

    /// So many rows of the audit were in one commit.
    pub fn rows_kept(&self, rows: usize) {
        self.all.rows.observe(rows as u64);
    }

    /// So many events wait to be written.
    pub fn waiting(&self, events: usize) {
        self.all.queue.set(i64::try_from(events).unwrap_or(i64::MAX));
    }

    /// A usable set of this issuer's keys has come.
    pub fn keys_came(&self, issuer: &IssuerName, at: Time) {
        self.all.keys.came(issuer, at);
    }
}

impl All {
    /// Every name and help. The library puts `hallpass_` before, the unit and `_total` behind, and a full stop after.
    fn register(&self, now: Time) -> Registry {
        let mut registry = Registry::with_prefix("hallpass");
        let mut time = |name: &str, help: &str, metric: &Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
        };
        time(
            "store_read_duration",
            "Time to read from the database what a decision rests on; what is kept in memory is not read",
            &self.reads,
        );
        time("sts_call_duration", "Time of an AssumeRole call, with all its attempts", &self.sts_calls);
        time("signin_call_duration", "Time of a call to the sign-in service for a console token", &self.sign_ins);
        time("audit_commit_duration", "Time of a commit to the audit, from its first statement on", &self.commits);
        registry.register_with_unit(
            "http_request_duration",
            "Time to the head of an answer, by route and status",
            Unit::Seconds,
            self.requests.clone(),
        );
        registry.register_with_unit(
            "jwks_age",
            "Time since an issuer's usable keys last came; infinite where none ever did",
            Unit::Seconds,
            self.keys.clone(),
        );
        registry.register("http_requests_in_flight", "Requests being answered", self.in_flight.clone());
        registry.register("http_connections", "Open connections", self.connections.clone());
        registry.register(
            "rate_limited_requests",
            "Requests refused because somebody asks too often",
            self.limited.clone(),
        );
        registry.register(
            "shed_requests",
            "Requests and whole connections turned away because there is too much to do",
            self.shed.clone(),
        );
        registry.register(
            "authentication_failures",
            "Requests behind which nobody could be made out, by code",
            self.refused_callers.clone(),
        );
        registry.register("issuances", "Requests for credentials that ended, by outcome", self.issuances.clone());
        registry.register(
            "issuance_errors",
            "Requests for credentials that brought none, by code",
            self.issuance_errors.clone(),
        );
        registry.register("sts_errors", "AssumeRole calls without credentials, by kind", self.sts_errors.clone());
        registry.register(
            "signin_errors",
            "Calls to the sign-in service without a token, by kind",
            self.sign_in_errors.clone(),
        );
        registry.register("audit_commit_errors", "Commits to the audit that failed", self.commit_errors.clone());
        registry.register("audit_commit_rows", "Rows in one commit to the audit", self.rows.clone());
        registry.register("audit_queue_depth", "Events that wait for a commit", self.queue.clone());
        registry.register("build", "The program that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let started = Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or_default()).as_secs_f64();
        registry.register_with_unit(
            "process_start_time",
            "When the process started, since 1970",
            Unit::Seconds,
            ConstGauge::new(started),
        );
        registry
    }
}
