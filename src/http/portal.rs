//! The portal: pages for people, made on the server, of this binary alone.
//!
//! A page is a handler that takes a [`Visit`](extract::Visit) and gives a template; a form is one that takes a
//! [`Posted`](extract::Posted), which alone can be asked for where something changes, and posts to the address of the page that
//! it stands on. Whoever is not signed in is led to the provider and back to where they wanted to go. Must have no power that
//! the API lacks: pages ask the same rooms as it does.

mod access;
mod activity;
mod aliases;
mod allowlist;
mod assets;
mod audit;
mod chart;
mod credentials;
mod extract;
mod guard;
mod page;
mod sessions;
mod sign_in;

pub(super) use page::error_page;

use crate::app::App;
use axum::{
    Router,
    extract::Request,
    http::header,
    middleware,
    routing::{get, post},
};

/// Every address of the portal. What is here is no part of the API's description.
pub(super) fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/", get(sign_in::front))
        .route("/login", get(sign_in::begin))
        .route("/login/callback", get(sign_in::callback))
        .route("/logout", post(sign_in::end))
        .route("/access", get(access::page).post(access::mark))
        .route("/access/{account}/{role}", get(credentials::page).post(credentials::give))
        .route("/activity", get(activity::page))
        .route("/allowlist", get(allowlist::page))
        .route("/allowlist/grants", get(allowlist::grants::page))
        .route("/allowlist/grants/new", get(allowlist::grants::form).post(allowlist::grants::add))
        .route("/allowlist/grants/{id}", get(allowlist::grants::one).post(allowlist::grants::end))
        .route("/allowlist/blocks", get(allowlist::blocks::page))
        .route("/allowlist/blocks/new", get(allowlist::blocks::form).post(allowlist::blocks::add))
        .route("/allowlist/blocks/{id}", get(allowlist::blocks::one).post(allowlist::blocks::lift))
        .route("/allowlist/reach", get(allowlist::reach::page))
        .route("/allowlist/explain", get(allowlist::explain::page))
        .route("/allowlist/file", get(allowlist::file::page))
        .route("/allowlist/file/change", get(allowlist::file::form).post(allowlist::file::change))
        .route("/allowlist/file/allowlist.toml", get(allowlist::file::download))
        .route("/allowlist/history", get(allowlist::history::page))
        .route("/audit", get(audit::page))
        .route("/audit/export", get(audit::export))
        .route("/audit/streams", get(audit::streams::page))
        .route("/audit/charts", get(audit::charts::page))
        .route("/audit/{stream}/{seq}", get(audit::event::page))
        .route("/sessions", get(sessions::page).post(sessions::end))
        .route("/assets/{file}", get(assets::file))
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
}

/// Whether what goes wrong is told as a page: on the portal's own addresses, and on none at all where a browser asks.
pub(super) fn tells_by_page(app: &App, pattern: Option<&str>, request: &Request) -> bool {
    let asks_for_page = || {
        let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
        accept.is_some_and(|accept| accept.contains("text/html")) && !request.uri().path().starts_with("/v1")
    };
    let own = |pattern: &str| {
        const BESIDE: [&str; 5] = ["/healthz", "/readyz", "/openapi.json", "/docs", "/docs/{file}"];
        !pattern.starts_with("/v1") && !BESIDE.contains(&pattern)
    };
    app.portal.is_some() && pattern.map_or_else(asks_for_page, own)
}
