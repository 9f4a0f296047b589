use crate::{app::App, store::Pending};
use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Word {
    Ok,
    Degraded,
    Pending,
    Unavailable,
    Unknown,
}

/// That it answers.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Alive {
    status: Word,
}

/// The process lives.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "service", security(()),
    responses((status = 200, description = "It lives", body = Alive)),
)]
pub(in crate::http) async fn healthz() -> Json<Alive> {
    Json(Alive { status: Word::Ok })
}

/// A word for each part; its members stand in the order of their names, as in every answer.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Readiness {
    aws_identity: Word,
    database: Word,
    /// By the issuer's name in the configuration.
    issuer: BTreeMap<String, Word>,
    /// All of them together.
    issuers: Word,
    migrations: Word,
    status: Word,
}

/// Whether it can issue.
///
/// 503 only where nothing can be issued: one dead provider among several is `degraded`.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "service", security(()),
    responses(
        (status = 200, description = "It can issue", body = Readiness),
        (status = 503, description = "It cannot issue, or `overloaded`", body = Readiness),
    ),
)]
pub(in crate::http) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let (database, migrations) = match app.probe.look().await {
        Some(Pending::Nothing) => (Word::Ok, Word::Ok),
        Some(Pending::Migrations(_) | Pending::TooNew { .. }) => (Word::Ok, Word::Pending),
        None => (Word::Unavailable, Word::Unknown),
    };
    let aws_identity = if app.sts.identity().is_some() { Word::Ok } else { Word::Unknown };
    let of_issuers = app.identity.issuers();
    let usable = of_issuers.iter().filter(|issuer| issuer.usable).count();
    let issuers = match usable {
        0 => Word::Unavailable,
        _ if usable < of_issuers.len() => Word::Degraded,
        _ => Word::Ok,
    };
    let ready = migrations == Word::Ok && aws_identity == Word::Ok && usable > 0;
    let status = match (ready, issuers, app.recorder.is_healthy()) {
        (false, ..) => Word::Unavailable,
        (true, Word::Ok, true) => Word::Ok,
        _ => Word::Degraded,
    };
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |usable| if usable { Word::Ok } else { Word::Unavailable };
    let issuer = of_issuers.iter().map(|issuer| (issuer.name.to_string(), word(issuer.usable))).collect();
    (code, Json(Readiness { aws_identity, database, issuer, issuers, migrations, status }))
}
