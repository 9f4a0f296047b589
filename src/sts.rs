//! AWS STS: AssumeRole, who the broker itself is, console sign-in, and what must not leave without a receipt.
//!
//! Wraps `aws_sdk_sts::Client`. Must never decide who may do what: it is told the role, and asks for proof
//! ([`Intent`]) that the audit knows of it.

mod error;
mod gate;
#[cfg(feature = "demo")]
mod local;
mod minted;
mod signin;
mod web_identity;

pub use error::{Missing, StsError, StsProblem};
pub use gate::{NoTurn, Pace, Turn};
pub use minted::{Facts, LINK_LASTS, Locked, Minted, MintedLink, Released, ReleasedLink, WrongReceipt};
pub use signin::{ConsoleError, ConsoleProblem, ConsoleSignIn, Destination};
pub use web_identity::web_identity_token;

use crate::{
    clock::Clock,
    metrics::{Full, Metrics},
    model::{
        AccountId, ExternalId, Partition, RoleArn, SessionDuration, SessionName, SessionPolicy, SourceIdentity, Tags,
    },
    recorder::Intent,
};
use arc_swap::ArcSwapOption;
use aws_config::{
    BehaviorVersion, Region, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_sts::types::Tag;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextRef, dyn_dispatch_hint},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use gate::Gate;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// For one call with all its attempts: an answer must come within 20 s with STS silent, both rows included.
const CALL_LIMIT: Duration = Duration::from_secs(12);
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// A throttled or broken answer is tried again this often in all. A silent STS is not: the call's limit ends it. An
/// attempt too many does no harm that the intent does not cover: all carry the one session name.
const ATTEMPTS: u32 = 3;

/// Who the broker is at AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerIdentity {
    /// Its ARN.
    pub arn: String,
    /// The trusted account.
    pub account: AccountId,
    /// Whether it is itself an assumed role: AWS then makes no session longer than an hour (role chaining).
    pub chained: bool,
}

/// One AssumeRole call.
#[derive(Clone, Copy, Debug)]
pub struct AssumeRole<'a> {
    /// The role.
    pub role: &'a RoleArn,
    /// The derived session name.
    pub session_name: &'a SessionName,
    /// The derived source identity, unless the role says none.
    pub source_identity: Option<&'a SourceIdentity>,
    /// The trusting account's.
    pub external_id: Option<&'a ExternalId>,
    /// How long.
    pub duration: SessionDuration,
    /// The grant's or the caller's.
    pub session_policy: Option<&'a SessionPolicy>,
    /// The role's.
    pub session_tags: &'a Tags,
}

/// STS at the regional endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sts {
    client: aws_sdk_sts::Client,
    partition: Partition,
    identity: Arc<ArcSwapOption<BrokerIdentity>>,
    gate: Arc<Gate>,
    sign_in: Option<ConsoleSignIn>,
    clock: Clock,
    metrics: Metrics,
}

impl Sts {
    /// Reads the standard `AWS_*` variables, profiles and `AWS_ENDPOINT_URL_STS`; calls nothing yet.
    pub async fn connect(region: &str, clock: Clock) -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .timeout_config(time_outs())
            .retry_config(retries())
            // It watches downloads; these answers are two kilobytes.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .load()
            .await;
        Self::new(aws_sdk_sts::Client::new(&config), region, clock)
    }

    /// Over a client that is set up already: what does not come from the environment.
    #[must_use]
    pub fn new(client: aws_sdk_sts::Client, region: &str, clock: Clock) -> Self {
        let gate = Arc::new(Gate::new(Pace::default(), clock.clone()));
        let metrics = Metrics::new(&clock, []);
        let partition = Partition::of_region(region);
        Self { client, partition, identity: Arc::default(), gate, sign_in: None, clock, metrics }
    }

    /// One that only knows where it would be asked: no credentials are looked for, and no call of it succeeds. For who works
    /// at the database.
    #[must_use]
    pub fn unasked(region: &str, clock: Clock) -> Self {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .build();
        Self::new(aws_sdk_sts::Client::from_conf(config), region, clock)
    }

    /// The same, with its calls measured there.
    #[must_use]
    pub fn measured_by(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// With this sign-in service beside it.
    #[must_use]
    pub fn signing_in_at(self, sign_in: Option<ConsoleSignIn>) -> Self {
        Self { sign_in, ..self }
    }

    /// Asks no more than this.
    #[must_use]
    pub fn with_pace(self, pace: Pace) -> Self {
        Self { gate: Arc::new(Gate::new(pace, self.clock.clone())), ..self }
    }

    /// The broker's own partition: that of every role it can assume.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Who the broker is, once [`Sts::identify`] has found out.
    #[must_use]
    pub fn identity(&self) -> Option<Arc<BrokerIdentity>> {
        self.identity.load_full()
    }

    /// Asks AWS who the broker is, and keeps it.
    pub async fn identify(&self) -> Result<Arc<BrokerIdentity>, StsError> {
        let answer = self.client.get_caller_identity().send().await.map_err(|error| StsError::of(&error, 1))?;
        let nonsense = || StsError::nonsense("an identity that makes no sense", None, 1);
        let arn = answer.arn().ok_or_else(nonsense)?.to_owned();
        let account = answer.account().and_then(|id| AccountId::parse(id).ok()).ok_or_else(nonsense)?;
        let mut parts = arn.split(':');
        let (partition, service) = (parts.nth(1).unwrap_or_default(), parts.next().unwrap_or_default());
        if partition != self.partition.as_str() {
            return Err(StsError::nonsense("an identity in another partition than the configured region", None, 1));
        }
        let chained = service == "sts" && arn.contains(":assumed-role/");
        let identity = Arc::new(BrokerIdentity { arn, account, chained });
        self.identity.store(Some(identity.clone()));
        Ok(identity)
    }

    /// Waits for a turn to call AssumeRole for a role of this trusting account, for a few seconds at most. To be asked
    /// before the intent is written: what is not let through leaves none.
    pub async fn turn(&self, account: &AccountId) -> Result<Turn, NoTurn> {
        let turn = self.gate.turn(account).await;
        if let Err(reason) = &turn {
            self.metrics.shed(match reason {
                NoTurn::Budget => Full::StsRate,
                NoTurn::Account => Full::StsAccount,
            });
        }
        turn
    }

    /// Calls AssumeRole. What comes back stays locked up until a receipt for this issuance releases it.
    pub async fn assume_role(&self, intent: &Intent, _turn: Turn, call: AssumeRole<'_>) -> Result<Minted, StsError> {
        let attempts = Attempts::new(self.gate.clone());
        let tags = call.session_tags.iter().map(|(key, value)| {
            #[expect(clippy::expect_used, reason = "both members are set")]
            Tag::builder().key(key).value(value).build().expect("a tag with key and value")
        });
        let tags: Vec<Tag> = tags.collect();
        let seconds = i32::try_from(call.duration.seconds()).unwrap_or(i32::MAX);
        let began = Instant::now();
        let answer = self
            .client
            .assume_role()
            .role_arn(call.role.to_string())
            .role_session_name(call.session_name.as_str())
            .set_source_identity(call.source_identity.map(|identity| identity.as_str().to_owned()))
            .set_external_id(call.external_id.map(|id| id.expose().to_owned()))
            .duration_seconds(seconds)
            .set_policy(call.session_policy.map(|policy| policy.as_str().to_owned()))
            .set_tags((!tags.is_empty()).then_some(tags))
            .customize()
            .interceptor(attempts.clone())
            .send()
            .await;
        let took = began.elapsed();
        let minted = match answer {
            Ok(answer) => Minted::read(answer, intent.issuance(), &call, self.clock.now(), attempts.count()),
            Err(error) => Err(StsError::of(&error, attempts.count()).about(&call)),
        };
        self.metrics.sts_called(took, minted.as_ref().err().map(|error| error.problem.kind()));
        minted
    }

    /// The sign-in service, where one is known.
    pub fn sign_in(&self) -> Result<&ConsoleSignIn, ConsoleError> {
        self.sign_in.as_ref().ok_or_else(|| ConsoleProblem::Unknown.into())
    }

    /// Turns credentials in for a console link, which stays locked up until a receipt for the same issuance releases it.
    pub async fn link(
        &self,
        minted: Minted,
        granted: Option<SessionDuration>,
        destination: &Destination,
        patience: Duration,
    ) -> Result<MintedLink, ConsoleError> {
        let began = Instant::now();
        let link = minted.link(self.sign_in()?, granted, destination, patience, &self.clock).await;
        self.metrics.sign_in_called(began.elapsed(), link.as_ref().err().map(|error| error.problem.kind()));
        link
    }
}

fn time_outs() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).operation_timeout(CALL_LIMIT).build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

/// Counts the attempts of one call, and has those after the first charged.
#[derive(Clone, Debug)]
struct Attempts {
    count: Arc<AtomicU32>,
    gate: Arc<Gate>,
}

impl Attempts {
    fn new(gate: Arc<Gate>) -> Self {
        Self { count: Arc::default(), gate }
    }

    fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }
}

#[dyn_dispatch_hint]
impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.count.fetch_add(1, Ordering::Relaxed) > 0 {
            self.gate.charge();
        }
        Ok(())
    }
}
