//! STS on this machine, for the demo: nothing is read from the environment.

use super::{Sts, retries, time_outs};
use crate::{clock::Clock, secret::Secret};
use aws_config::{BehaviorVersion, Region, stalled_stream_protection::StalledStreamProtectionConfig};
use aws_sdk_sts::config::Credentials;
use aws_smithy_async::time::TimeSource;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// By which requests are signed.
impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(Self::now(self).as_micros().unsigned_abs())
    }
}

impl Sts {
    /// At this endpoint with these keys, otherwise as by [`Sts::connect`]. No proxy stands in between, whatever the
    /// environment says: the SDK's own HTTP client would take one from there.
    #[must_use]
    pub fn local(endpoint: &str, access_key_id: &str, secret: &Secret, region: &str, clock: Clock) -> Self {
        let direct = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .http_client(direct)
            .time_source(clock.clone())
            .credentials_provider(Credentials::new(access_key_id, secret.expose(), None, None, "local"))
            .timeout_config(time_outs())
            .retry_config(retries())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self::new(aws_sdk_sts::Client::from_conf(config), region, clock)
    }
}
