//! The tests of the whole: the real binary, real databases, an emulated AWS and a fake issuer.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod aws;
mod crash;
mod ground;
mod layers;
mod outage;
mod recorder;
mod replicas;
mod stop;
mod sts_faults;
mod support;
mod tamper;
