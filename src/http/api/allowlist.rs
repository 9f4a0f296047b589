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

/// The file as last applied; the revision is its ETag.
pub(in crate::http) async fn show(State(app): State<App>, _: FileReader) -> Result<impl IntoResponse, Error> {
    let document = app.access.find_document().await?;
    let headers =
        [(header::CONTENT_TYPE, "application/toml".to_owned()), (header::ETAG, format!("\"{}\"", document.revision))];
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
    let expected = expected_revision(&headers)?;
    if expected.is_none() && !query.dry_run {
        return Err(Error::PreconditionRequired);
    }
    let planned = app.access.plan(&text, &who.actor.principal).await?;
    if expected.is_some_and(|expected| expected != Some(planned.revision)) {
        return Err(crate::access::AccessError::Stale(planned.revision).into());
    }
    let mut body = json!({"applied": !query.dry_run, "revision": planned.revision, "plan": planned.plan});
    if !query.dry_run {
        body["revision"] = app.access.apply(planned, &who.actor).await?.into();
    }
    let etag = [(header::ETAG, format!("\"{}\"", body["revision"]))];
    Ok((NO_STORE, etag, Json(body)))
}

/// The revision that `If-Match` names: `None` without the header, `Some(None)` for one that is no revision, which
/// matches nothing. A list or `*` would overwrite what nobody looked at, and matches nothing either.
fn expected_revision(headers: &HeaderMap) -> Result<Option<Option<u64>>, Error> {
    let mut lines = headers.get_all(header::IF_MATCH).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Faults::at("", "If-Match is given twice").into()),
        (Some(line), None) => {
            let tag = line.to_str().unwrap_or_default().trim();
            Ok(Some(tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok())))
        }
    }
}
