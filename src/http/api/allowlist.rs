use super::{NO_STORE, flag};
use crate::{
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
use serde_json::json;

/// The file as last applied; the revision is its `ETag`.
pub(in crate::http) async fn show(State(app): State<App>, _: FileReader) -> Result<impl IntoResponse, Error> {
    let document = app.access.find_document().await?;
    let headers = [(header::CONTENT_TYPE, "application/toml".to_owned()), (header::ETAG, etag(document.revision))];
    Ok((NO_STORE, headers, document.text))
}

#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http) struct ApplyQuery {
    #[deserr(default, try_from(String) = flag -> Invalid)]
    dry_run: bool,
}

/// What the file changes; with `dry_run` only that, else it is applied if nobody was faster.
pub(in crate::http) async fn apply(
    State(app): State<App>,
    Applier(who): Applier,
    Params(query): Params<ApplyQuery>,
    headers: HeaderMap,
    FileText(text): FileText,
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
    let mut body = json!({"applied": !query.dry_run, "revision": planned.revision, "plan": planned.plan});
    if !query.dry_run {
        body["revision"] = app.access.apply(planned, &who.actor).await?.into();
    }
    let etag = etag(body["revision"].as_u64().unwrap_or_default());
    Ok((NO_STORE, [(header::ETAG, etag)], Json(body)))
}

fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}
