use super::{NO_STORE, flag};
use crate::{
    allowlist::Plan,
    app::App,
    http::{
        error::Error,
        extract::{Applier, FileReader, FileText, Params},
    },
    input::Faults,
    model::Invalid,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::IntoResponse,
};
use deserr::Deserr;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// The file as last applied; the revision is its `ETag`.
#[utoipa::path(
    get, path = "/v1/allowlist", operation_id = "showAllowlist", tag = "allowlist",
    responses((
        status = 200, description = "The file", body = String, content_type = "application/toml",
        headers(("etag" = String, description = "The revision, as `if-match` takes it.")),
    )),
)]
pub(in crate::http) async fn show(State(app): State<App>, _: FileReader) -> Result<impl IntoResponse, Error> {
    let document = app.access.find_document().await?;
    let headers = [(header::CONTENT_TYPE, "application/toml".to_owned()), (header::ETAG, etag(document.revision))];
    Ok((NO_STORE, headers, document.text))
}

#[derive(Debug, Deserr, IntoParams)]
#[into_params(parameter_in = Query)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http) struct ApplyQuery {
    #[deserr(default, try_from(String) = flag -> Invalid)]
    /// Only plans; `if-match` is then not needed.
    #[param(required = false, default = false)]
    dry_run: bool,
}

/// What applying the file changes, or has changed.
#[derive(Serialize, ToSchema)]
#[schema(as = Applied)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Answer {
    /// False where it was only planned.
    applied: bool,
    plan: Plan,
    /// The allowlist's revision now.
    revision: u64,
}

/// What the file changes; with `dry_run` only that, else it is applied if nobody was faster.
#[utoipa::path(
    put, path = "/v1/allowlist", operation_id = "applyAllowlist", tag = "allowlist",
    params(ApplyQuery, ("if-match" = Option<String>, Header, description = "The `etag` of the file that was looked at.")),
    request_body(content = String, content_type = "application/toml", description = "The allowlist file, at most 16 MiB."),
    responses((
        status = 200, description = "The plan", body = Answer,
        headers(("etag" = String, description = "The revision now.")),
    )),
)]
pub(in crate::http) async fn apply(
    State(app): State<App>,
    Applier(who): Applier,
    Params(query): Params<ApplyQuery>,
    headers: HeaderMap,
    FileText(text, _place): FileText,
) -> Result<impl IntoResponse, Error> {
    let expected = headers.get(header::IF_MATCH).map(|tag| tag.to_str().unwrap_or_default());
    if expected.is_none() && !query.dry_run {
        return Err(Error::PreconditionRequired);
    }
    let planned = app.access.plan(text, &who.actor.principal).await?;
    // A list, a weak tag or `*` would overwrite what nobody looked at: they match nothing.
    if expected.is_some_and(|expected| expected != etag(planned.revision)) {
        return Err(crate::access::AccessError::Stale(planned.revision).into());
    }
    let (plan, mut revision) = (planned.plan.clone(), planned.revision);
    if !query.dry_run {
        revision = app.access.apply(planned, &who.actor, who.caller.groups()).await?;
    }
    Ok((NO_STORE, [(header::ETAG, etag(revision))], Json(Answer { applied: !query.dry_run, plan, revision })))
}

fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}
