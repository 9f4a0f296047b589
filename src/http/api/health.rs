use crate::{app::App, store::Pending};
use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

/// The process lives.
pub(in crate::http) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// A word for each part. 503 only where nothing can be issued: one dead provider among several is `degraded`.
pub(in crate::http) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let (database, migrations) = match app.probe.look().await {
        Some(Pending::Nothing) => ("ok", "ok"),
        Some(Pending::Migrations(_) | Pending::TooNew { .. }) => ("ok", "pending"),
        None => ("unavailable", "unknown"),
    };
    let identity = if app.sts.identity().is_some() { "ok" } else { "unknown" };
    let issuers = app.identity.issuers();
    let usable = issuers.iter().filter(|issuer| issuer.usable).count();
    let keys = match usable {
        0 => "unavailable",
        _ if usable < issuers.len() => "degraded",
        _ => "ok",
    };
    let ready = migrations == "ok" && identity == "ok" && usable > 0;
    let status = match (ready, keys, app.recorder.is_healthy()) {
        (false, ..) => "unavailable",
        (true, "ok", true) => "ok",
        _ => "degraded",
    };
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let by_issuer: Value = issuers
        .iter()
        .map(|issuer| (issuer.name.to_string(), json!(if issuer.usable { "ok" } else { "unavailable" })))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let body = json!({
        "status": status, "database": database, "migrations": migrations, "aws_identity": identity,
        "issuers": keys, "issuer": by_issuer,
    });
    (code, Json(body))
}
