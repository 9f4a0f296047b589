//! The tests of the whole: the real binary, real databases, an emulated AWS and a fake issuer.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod aws;
mod changes;
mod cli_agent;
mod cli_aws;
mod cli_configure;
mod cli_console;
mod cli_creds;
mod cli_exec;
mod cli_operate;
mod cli_pick;
mod client;
mod clients;
mod console;
mod container;
mod crash;
mod credentials;
#[cfg(feature = "demo")]
mod demo;
mod events;
mod ground;
mod layers;
mod limits;
mod login;
mod metrics;
mod openapi;
mod outage;
mod portal;
mod portal_access;
mod portal_allowlist;
mod portal_audit;
mod protocol;
mod reading;
mod recorder;
mod replicas;
mod schema;
mod secrets;
mod shells;
#[cfg(feature = "demo")]
mod simulated_aws;
mod stop;
mod sts_faults;
mod support;
mod surface;
mod tamper;
mod tls;
mod token_attacks;
mod tokens;
mod upgrade;
