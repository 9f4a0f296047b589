//! HTTP: every route and the middleware on one screen, and the listener.
//!
//! Handlers take what they need through extractors, make one call into a lower room and say how the answer looks. Must
//! hold no SQL and no rules.

mod address;
mod api;
mod arrival;
mod cookie;
mod docs;
mod document;
mod error;
mod extract;
mod limits;
mod log;
mod measure;
mod portal;
mod server;

pub use limits::{Bounds, Limits};
pub use measure::metrics_router;
pub use server::{Connections, Listener, Patience, serve};

use crate::app::{App, Desk};
use axum::{Extension, Router, middleware, routing::get};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Every route with its description.
fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(document::frame())
        .routes(routes!(api::credentials::issue))
        .routes(routes!(api::console::sign_in))
        .routes(routes!(api::container::hand_out))
        .routes(routes!(api::explain::explain))
        .routes(routes!(api::me::roles))
        .routes(routes!(api::me::whoami))
        .routes(routes!(api::allowlist::show, api::allowlist::apply))
        .routes(routes!(api::grants::list, api::grants::add))
        .routes(routes!(api::grants::remove))
        .routes(routes!(api::blocks::list, api::blocks::add))
        .routes(routes!(api::blocks::remove))
        .routes(routes!(api::tokens::list, api::tokens::add))
        .routes(routes!(api::tokens::revoke))
        .routes(routes!(api::audit::events))
        .routes(routes!(api::audit::export))
        .routes(routes!(api::audit::heads))
        .routes(routes!(api::login::login))
        .routes(routes!(api::health::healthz))
        .routes(routes!(api::health::readyz))
        .routes(routes!(document::show))
        .routes(routes!(docs::page))
}

/// What answers. Outermost first: the request's id and log line with the form of errors, and how many are under way for
/// how long; what a panic becomes.
pub fn router(app: App, limits: Limits) -> Router {
    let (routes, _) = described().split_for_parts();
    let portal = if app.portal.is_some() { portal::routes(&app) } else { Router::new() };
    routes
        .route("/docs/{file}", get(docs::asset))
        .merge(portal)
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state((app.clone(), limits), log::requests))
        .with_state(app)
}

/// The same as [`router`] for who works at the database, within their own process: every request is theirs.
pub fn desk(desk: &Desk) -> Router {
    let app = desk.app.clone();
    let limits = Limits::new(Bounds::of_one(), app.clock.clone(), app.metrics.clone());
    router(app, limits).layer(Extension(extract::Operator(desk.operator.clone())))
}
