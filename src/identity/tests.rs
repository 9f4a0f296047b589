//! What the room promises, against a provider on loopback.

mod callers;
mod refusals;
mod rotation;

use super::{AuthError, AuthFault, Caller};
use std::sync::Arc;

/// Why a token was refused; panics where it was not.
fn fault(outcome: Result<Arc<Caller>, AuthError>) -> AuthFault {
    outcome.expect_err("a refusal").fault()
}

/// The reason of an `Invalid`; panics for anything else.
fn reason(outcome: Result<Arc<Caller>, AuthError>) -> &'static str {
    match fault(outcome) {
        AuthFault::Invalid(reason) => reason,
        other => panic!("{other:?}"),
    }
}
