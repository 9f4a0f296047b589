//! The JSON API, by resource.

pub(super) mod allowlist;
pub(super) mod audit;
pub(super) mod blocks;
pub(super) mod console;
pub(super) mod container;
pub(super) mod credentials;
pub(super) mod explain;
pub(super) mod grants;
pub(super) mod health;
pub(super) mod login;
pub(super) mod me;
pub(super) mod tokens;

use super::error::Error;
use crate::model::{Invalid, PolicyError, Reason, SessionDuration, SessionPolicy};
use axum::http::{HeaderName, HeaderValue, header};
use serde_json::Value;

/// For answers that carry secrets, or that the next request may contradict.
const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// A page holds no more than this, whatever is asked for.
const LONGEST_PAGE: u64 = 1000;
const USUAL_PAGE: u32 = 100;

/// A session's length: whole seconds, as JSON has it.
fn session_duration(seconds: Option<u64>) -> Result<Option<SessionDuration>, Invalid> {
    seconds.map(SessionDuration::from_seconds).transpose()
}

/// A blank reason is none.
#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn optional_reason(text: Option<String>) -> Result<Option<Reason>, Invalid> {
    text.as_deref().filter(|text| !text.trim().is_empty()).map(Reason::parse).transpose()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn page_size(text: String) -> Result<u32, Invalid> {
    let size = text.parse().ok().filter(|size| (1..=LONGEST_PAGE).contains(size));
    size.and_then(|size| u32::try_from(size).ok()).ok_or(Invalid::new("a number from 1 to 1000"))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn flag(text: String) -> Result<bool, Invalid> {
    text.parse().map_err(|_| Invalid::new("true or false"))
}

/// A session policy in a body. Its size has a code of its own, and is no fault among others.
#[derive(Debug)]
pub(super) enum GivenPolicy {
    Fits(SessionPolicy),
    TooLarge,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn parse_policy(document: Option<Value>) -> Result<Option<GivenPolicy>, Invalid> {
    let read = |document| match SessionPolicy::from_json(document) {
        Ok(policy) => Ok(GivenPolicy::Fits(policy)),
        Err(PolicyError::TooLarge) => Ok(GivenPolicy::TooLarge),
        Err(error @ PolicyError::Malformed) => Err(Invalid(error.to_string().into())),
    };
    document.as_ref().map(read).transpose()
}

/// The policy where it can be sent.
fn sendable(given: Option<GivenPolicy>) -> Result<Option<SessionPolicy>, Error> {
    match given {
        None => Ok(None),
        Some(GivenPolicy::Fits(policy)) => Ok(Some(policy)),
        Some(GivenPolicy::TooLarge) => Err(Error::PolicyTooLarge),
    }
}
