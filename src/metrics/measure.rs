//! Counters, gauges and histograms by closed labels. Measuring is one or two relaxed additions at a known place: nothing
//! is locked, hashed or allocated.

use super::label::Labels;
use crate::{
    clock::Clock,
    model::{IssuerName, Time},
};
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric, counter::Counter, gauge::Gauge},
};
use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// One `M` for each value of the labels, all made at the start.
#[derive(Debug)]
pub(super) struct Each<L, M> {
    cells: Arc<[M]>,
    labels: PhantomData<L>,
}

/// What [`Each`] holds.
pub(super) trait Cell: EncodeMetric + TypedMetric + Default + fmt::Debug + Send + Sync + 'static {
    /// Whether to show it. A counter is shown from the start, so that its first step is seen as one.
    fn is_shown(&self) -> bool {
        true
    }
}

impl Cell for Counter {}

impl Cell for Histogram {
    // There are many, and most never see anything.
    fn is_shown(&self) -> bool {
        self.0.counts.iter().any(|count| count.load(Relaxed) > 0)
    }
}

impl<L: Labels, M: Cell> Default for Each<L, M> {
    fn default() -> Self {
        Self { cells: L::all().iter().map(|_| M::default()).collect(), labels: PhantomData }
    }
}

impl<L, M> Clone for Each<L, M> {
    fn clone(&self) -> Self {
        Self { cells: self.cells.clone(), labels: PhantomData }
    }
}

impl<L: Labels, M> Each<L, M> {
    pub(super) fn at(&self, labels: L) -> &M {
        &self.cells[labels.place()]
    }
}

impl<L: Labels, M: Cell> EncodeMetric for Each<L, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for labels in L::all() {
            let cell = self.at(labels);
            if cell.is_shown() {
                cell.encode(encoder.encode_family(&labels.pairs())?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

/// A histogram over whole units: nanoseconds, shown as seconds, or things, shown as they are.
///
/// That of `prometheus_client` has a lock in it.
#[derive(Clone, Debug)]
pub(super) struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    /// The upper ends, in units.
    bounds: &'static [u64],
    /// One more than there are bounds.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// How many units make one of what is shown.
    scale: u64,
}

const NANOS: u64 = 1_000_000_000;

/// From half a millisecond, a commit to a quick disk, to the 20 s by which every answer comes.
const DURATIONS: [u64; 15] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
];

/// One row to as many as one commit takes.
const ROWS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

impl Default for Histogram {
    fn default() -> Self {
        Self::new(&DURATIONS, NANOS)
    }
}

impl Histogram {
    fn new(bounds: &'static [u64], scale: u64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Self(Arc::new(Buckets { bounds, counts, sum: AtomicU64::default(), scale }))
    }

    pub(super) fn of_rows() -> Self {
        Self::new(&ROWS, 1)
    }

    pub(super) fn took(&self, duration: Duration) {
        self.observe(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn observe(&self, units: u64) {
        let place = self.0.bounds.partition_point(|bound| *bound < units);
        self.0.counts[place].fetch_add(1, Relaxed);
        self.0.sum.fetch_add(units, Relaxed);
    }
}

impl Buckets {
    #[expect(clippy::cast_precision_loss, reason = "an f64 is what the format has")]
    fn shown(&self, units: u64) -> f64 {
        units as f64 / self.scale as f64
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let buckets = &self.0;
        let bounds = buckets.bounds.iter().map(|bound| buckets.shown(*bound)).chain([f64::INFINITY]);
        let counts: Vec<_> = bounds.zip(buckets.counts.iter().map(|count| count.load(Relaxed))).collect();
        // Counted from the buckets, so that the two agree whatever is measured meanwhile.
        let count = counts.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(buckets.shown(buckets.sum.load(Relaxed)), count, &counts, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// One more on a gauge, until dropped.
#[derive(Debug)]
#[must_use = "counted until it is dropped"]
pub struct Held(Gauge);

impl Held {
    pub(super) fn on(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How long ago each issuer's keys last came, told when asked.
///
/// The one label that is no closed enum: its values are the issuers' names in the configuration, fixed at the start.
#[derive(Clone, Debug)]
pub(super) struct KeysAge(Arc<Ages>);

#[derive(Debug)]
struct Ages {
    clock: Clock,
    issuers: Vec<(IssuerName, AtomicI64)>,
}

const NEVER: i64 = i64::MIN;

impl KeysAge {
    pub(super) fn new<'a>(clock: Clock, issuers: impl IntoIterator<Item = &'a IssuerName>) -> Self {
        let issuers = issuers.into_iter().map(|name| (name.clone(), AtomicI64::new(NEVER))).collect();
        Self(Arc::new(Ages { clock, issuers }))
    }

    pub(super) fn came(&self, issuer: &IssuerName, at: Time) {
        if let Some((_, came)) = self.0.issuers.iter().find(|(name, _)| name == issuer) {
            came.store(at.as_micros(), Relaxed);
        }
    }
}

impl EncodeMetric for KeysAge {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let now = self.0.clock.now().as_micros();
        for (name, came) in &self.0.issuers {
            let age = match came.load(Relaxed) {
                // So that an alert on a great age sees it.
                NEVER => f64::INFINITY,
                came => Duration::from_micros(u64::try_from(now - came).unwrap_or_default()).as_secs_f64(),
            };
            encoder.encode_family(&[("issuer", name.as_str())])?.encode_gauge(&age)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.0.issuers.is_empty()
    }
}

/// Steps of a counter at once.
pub(super) fn add(counter: &Counter, steps: usize) {
    counter.inc_by(steps as u64);
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Metrics, Outcome, Route},
        *,
    };

    fn lines(metrics: &Metrics, name: &str) -> String {
        let text = metrics.encode();
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.strip_prefix(name).unwrap().to_owned() + "\n").collect()
    }

    #[test]
    fn a_bucket_ends_with_its_bound() {
        let metrics = Metrics::new(&Clock::system(), []);
        for rows in [1, 2, 3, 256, 257] {
            metrics.rows_kept(rows);
        }
        insta::assert_snapshot!(lines(&metrics, "hallpass_audit_commit_rows_"), @r#"
        sum 519.0
        count 5
        bucket{le="1.0"} 1
        bucket{le="2.0"} 2
        bucket{le="4.0"} 3
        bucket{le="8.0"} 3
        bucket{le="16.0"} 3
        bucket{le="32.0"} 3
        bucket{le="64.0"} 3
        bucket{le="128.0"} 3
        bucket{le="256.0"} 4
        bucket{le="+Inf"} 5
        "#);
        for micros in [0, 500, 501, 20_000_000, 20_000_001] {
            metrics.request_answered(Route::Credentials, 204, Duration::from_micros(micros));
        }
        insta::assert_snapshot!(lines(&metrics, "hallpass_http_request_duration_seconds_"), @r#"
        sum{route="credentials",status="2xx"} 40.001002
        count{route="credentials",status="2xx"} 5
        bucket{le="0.0005",route="credentials",status="2xx"} 2
        bucket{le="0.001",route="credentials",status="2xx"} 3
        bucket{le="0.0025",route="credentials",status="2xx"} 3
        bucket{le="0.005",route="credentials",status="2xx"} 3
        bucket{le="0.01",route="credentials",status="2xx"} 3
        bucket{le="0.025",route="credentials",status="2xx"} 3
        bucket{le="0.05",route="credentials",status="2xx"} 3
        bucket{le="0.1",route="credentials",status="2xx"} 3
        bucket{le="0.25",route="credentials",status="2xx"} 3
        bucket{le="0.5",route="credentials",status="2xx"} 3
        bucket{le="1.0",route="credentials",status="2xx"} 3
        bucket{le="2.5",route="credentials",status="2xx"} 3
        bucket{le="5.0",route="credentials",status="2xx"} 3
        bucket{le="10.0",route="credentials",status="2xx"} 3
        bucket{le="20.0",route="credentials",status="2xx"} 4
        bucket{le="+Inf",route="credentials",status="2xx"} 5
        "#);
    }

    #[test]
    fn the_age_of_keys_is_told_when_asked() {
        let clock = Clock::settable(Time::from_seconds(1_000_000).unwrap());
        let [corp, dead, other] = ["corp", "dead", "other"].map(|name| IssuerName::parse(name).unwrap());
        let metrics = Metrics::new(&clock, [&corp, &dead]);
        metrics.keys_came(&corp, clock.now());
        metrics.keys_came(&other, clock.now());
        clock.advance(Duration::from_millis(2500));
        insta::assert_snapshot!(lines(&metrics, "hallpass_jwks_age_seconds"), @r#"
        {issuer="corp"} 2.5
        {issuer="dead"} inf
        "#);
    }

    #[test]
    fn what_is_held_is_given_back_and_clones_count_together() {
        let metrics = Metrics::new(&Clock::system(), []);
        let (one, two) = (metrics.connection_opened(), metrics.clone().connection_opened());
        assert_eq!(lines(&metrics, "hallpass_http_connections"), " 2\n");
        drop((one, two));
        assert_eq!(lines(&metrics, "hallpass_http_connections"), " 0\n");
        metrics.given_up(3);
        assert_eq!(metrics.all.issuances.at(Outcome::Unknown).get(), 3);
    }
}
