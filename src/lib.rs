//! Hallpass: short-lived AWS credentials for the people and tools that an allowlist names.

pub mod access;
pub mod allowlist;
pub mod app;
pub mod audit;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod evidence;
pub mod http;
pub mod identity;
pub mod input;
pub mod model;
pub mod recorder;
pub mod secret;
pub mod store;
pub mod sts;
