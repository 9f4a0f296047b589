//! HTTP: every route and the middleware on one screen, and the listener.
//!
//! Handlers take what they need through extractors, make one call into a lower room and say how the answer looks. Must
//! hold no SQL and no rules.

mod address;
mod api;
mod error;
mod extract;
mod limits;
mod log;
mod measure;
mod server;

pub use limits::{Bounds, Limits};
pub use measure::metrics_router;
pub use server::{Connections, Listener, Patience, serve};

use crate::app::App;
use axum::{
    Router, middleware,
    routing::{delete, get, post},
};

/// Every route. Outermost first: the request's id and log line with the form of errors, and how many are under way for
/// how long; what a panic becomes.
pub fn router(app: App, limits: Limits) -> Router {
    Router::new()
        .route("/healthz", get(api::health::healthz))
        .route("/readyz", get(api::health::readyz))
        .route("/v1/whoami", get(api::me::whoami))
        .route("/v1/roles", get(api::me::roles))
        .route("/v1/credentials", post(api::credentials::issue))
        .route("/v1/explain", post(api::explain::explain))
        .route("/v1/allowlist", get(api::allowlist::show).put(api::allowlist::apply))
        .route("/v1/grants", get(api::grants::list).post(api::grants::add))
        .route("/v1/grants/{id}", delete(api::grants::remove))
        .route("/v1/blocks", get(api::blocks::list).post(api::blocks::add))
        .route("/v1/blocks/{id}", delete(api::blocks::remove))
        .route("/v1/audit/events", get(api::audit::events))
        .route("/v1/audit/export", get(api::audit::export))
        .route("/v1/audit/heads", get(api::audit::heads))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state((app.clone(), limits), log::requests))
        .with_state(app)
}
