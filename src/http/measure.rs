//! What is measured of every request, and where it is read.

use crate::{
    app::App,
    metrics::{Held, MEDIA_TYPE, Metrics, Route},
};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use std::time::Instant;

/// A request under way; dropped without an answer where the client hangs up.
pub(super) struct Measured {
    began: Instant,
    route: Route,
    _under_way: Held,
}

impl Measured {
    /// `pattern`: the router's, where it knows the path.
    pub(super) fn begin(metrics: &Metrics, pattern: Option<&str>) -> Self {
        Self { began: Instant::now(), route: route(pattern), _under_way: metrics.request_began() }
    }

    pub(super) fn answered(self, metrics: &Metrics, status: StatusCode) {
        metrics.request_answered(self.route, status.as_u16(), self.began.elapsed());
    }
}

/// Every pattern of [`super::router`] has a name here; `tests/it/metrics.rs` asks each.
fn route(pattern: Option<&str>) -> Route {
    match pattern {
        Some("/v1/credentials") => Route::Credentials,
        Some("/v1/console") => Route::Console,
        Some("/v1/container/{account}/{role}") => Route::Container,
        Some("/v1/whoami") => Route::Whoami,
        Some("/v1/roles") => Route::Roles,
        Some("/v1/explain") => Route::Explain,
        Some("/v1/allowlist") => Route::Allowlist,
        Some("/v1/grants" | "/v1/grants/{id}") => Route::Grants,
        Some("/v1/blocks" | "/v1/blocks/{id}") => Route::Blocks,
        Some("/v1/tokens" | "/v1/tokens/{id}") => Route::Tokens,
        Some("/v1/audit/events") => Route::AuditEvents,
        Some("/v1/audit/export") => Route::AuditExport,
        Some("/v1/audit/heads") => Route::AuditHeads,
        Some("/v1/login") => Route::Login,
        Some("/healthz") => Route::Healthz,
        Some("/readyz") => Route::Readyz,
        Some("/openapi.json") => Route::Openapi,
        Some("/docs" | "/docs/{file}") => Route::Docs,
        Some(
            "/"
            | "/login"
            | "/login/callback"
            | "/logout"
            | "/access"
            | "/access/{account}/{role}"
            | "/activity"
            | "/sessions"
            | "/assets/{file}"
            | "/allowlist"
            | "/allowlist/grants"
            | "/allowlist/grants/new"
            | "/allowlist/grants/{id}"
            | "/allowlist/blocks"
            | "/allowlist/blocks/new"
            | "/allowlist/blocks/{id}"
            | "/allowlist/reach"
            | "/allowlist/explain"
            | "/allowlist/file"
            | "/allowlist/file/change"
            | "/allowlist/file/allowlist.toml"
            | "/allowlist/history"
            | "/audit"
            | "/audit/export"
            | "/audit/streams"
            | "/audit/charts"
            | "/audit/{stream}/{seq}",
        ) => Route::Portal,
        _ => Route::Other,
    }
}

/// What `server.metrics_listen` serves: `GET /metrics`, and nothing else.
pub fn metrics_router(app: App) -> Router {
    Router::new().route("/metrics", get(show)).with_state(app)
}

async fn show(State(app): State<App>) -> impl IntoResponse {
    app.metrics.waiting(app.recorder.waiting());
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], app.metrics.encode())
}
