use super::{NO_STORE, USUAL_PAGE, page_size};
use crate::{
    app::App,
    audit::{Event, Hash, Heads, Kind, Signature, StreamId, csv_header, csv_line, jsonl_line},
    evidence::Reading,
    http::{
        error::Error,
        extract::{Auditor, Authenticated, Params},
    },
    input::Faults,
    model::{AccountId, Invalid, IssuanceId, Principal, RoleArn, Time},
    store::{EventFilter, Listed, Page, Place},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use deserr::Deserr;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Text is looked for within this much time: no index serves it.
const LONGEST_TEXT_SEARCH: Duration = Duration::from_hours(31 * 24);

/// Every filter is exact; `q` is text within at most 31 days.
#[derive(Debug, Deserr, IntoParams)]
#[deserr(error = Faults, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct EventsQuery {
    #[deserr(default, try_from(Option<String>) = parse_kind -> Invalid)]
    kind: Option<Kind>,
    #[deserr(default)]
    principal: Option<Principal>,
    #[deserr(default)]
    account: Option<AccountId>,
    #[deserr(default)]
    role: Option<RoleArn>,
    #[deserr(default)]
    issuance: Option<IssuanceId>,
    #[deserr(default)]
    since: Option<Time>,
    #[deserr(default)]
    until: Option<Time>,
    #[deserr(default)]
    /// Text somewhere in the event; within at most 31 days.
    q: Option<String>,
    #[deserr(default = USUAL_PAGE, try_from(String) = page_size -> Invalid)]
    /// The longest page.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
    #[deserr(default, try_from(Option<String>) = parse_cursor -> Invalid)]
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>, pattern = "^-?[0-9]{1,17}_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
    cursor: Option<Place>,
    #[deserr(default)]
    /// Pages one stream in its own order instead of all by time.
    stream: Option<StreamId>,
    #[deserr(default, try_from(Option<String>) = parse_place -> Invalid)]
    /// Beside `stream`: only what comes after.
    after_seq: Option<u64>,
}

#[derive(Debug, Deserr, IntoParams)]
#[deserr(error = Faults, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ExportQuery {
    #[deserr(default = Format::Jsonl, try_from(String) = parse_format -> Invalid)]
    /// One JSON object a line (the default), or CSV.
    #[param(required = false, inline)]
    format: Format,
    #[deserr(default, try_from(Option<String>) = parse_kind -> Invalid)]
    kind: Option<Kind>,
    #[deserr(default)]
    principal: Option<Principal>,
    #[deserr(default)]
    account: Option<AccountId>,
    #[deserr(default)]
    role: Option<RoleArn>,
    #[deserr(default)]
    issuance: Option<IssuanceId>,
    #[deserr(default)]
    since: Option<Time>,
    #[deserr(default)]
    until: Option<Time>,
    #[deserr(default)]
    /// Text somewhere in the event; within at most 31 days.
    q: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Format {
    Jsonl,
    Csv,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
pub(in crate::http) fn parse_format(text: String) -> Result<Format, Invalid> {
    match text.as_str() {
        "jsonl" => Ok(Format::Jsonl),
        "csv" => Ok(Format::Csv),
        _ => Err(Invalid::new("jsonl or csv")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
pub(in crate::http) fn parse_kind(text: Option<String>) -> Result<Option<Kind>, Invalid> {
    let known = |text: &str| Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
    let unknown = || Invalid(format!("one of {}", Kind::ALL.map(Kind::as_str).join(", ")).into());
    text.as_deref().map(|text| known(text).ok_or_else(unknown)).transpose()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn parse_place(text: Option<String>) -> Result<Option<u64>, Invalid> {
    text.as_deref().map(|text| text.parse().map_err(|_| Invalid::new("a whole number"))).transpose()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn parse_cursor(text: Option<String>) -> Result<Option<Place>, Invalid> {
    let read = |text| read_cursor(text).ok_or(Invalid::new("the next_cursor of the page before"));
    text.as_deref().map(read).transpose()
}

/// `<microseconds>_<event id>`: where the page before ended.
pub(in crate::http) fn read_cursor(text: &str) -> Option<Place> {
    let (micros, id) = text.split_once('_')?;
    let id = uuid::Uuid::try_parse(id).ok()?;
    Some((Time::from_micros(micros.parse().ok()?)?, id.to_string()))
}

/// As [`read_cursor`] reads it.
pub(in crate::http) fn cursor((at, id): &Place) -> String {
    format!("{}_{id}", at.as_micros())
}

/// One page of events.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Events {
    #[schema(value_type = Vec<EventRow>)]
    events: Vec<Box<RawValue>>,
    /// Null at the end, and where a stream is paged.
    next_cursor: Option<String>,
}

/// A row of the audit.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described: `audit::jsonl_line` writes it")]
pub(in crate::http) struct EventRow {
    /// Of this row and all before it.
    hash: Hash,
    record: Event,
    seq: u64,
    /// On the last row of every commit.
    signature: Option<Signature>,
    stream: StreamId,
}

/// One page of events: newest first, or one stream in its own order.
#[utoipa::path(
    get, path = "/v1/audit/events", operation_id = "listEvents", tag = "audit", params(EventsQuery),
    responses((status = 200, description = "One page of events", body = Events)),
)]
pub(in crate::http) async fn events(
    State(app): State<App>,
    who: Authenticated,
    Params(query): Params<EventsQuery>,
) -> Result<impl IntoResponse, Error> {
    let EventsQuery { kind, principal, account, role, issuance, since, until, q, limit, cursor, stream, after_seq } =
        query;
    let page = match (stream, after_seq, cursor) {
        (Some(stream), after, None) => Page::Stream(stream, after.unwrap_or(0)),
        (None, None, cursor) => Page::Newest(cursor),
        (None, Some(_), _) => return Err(Faults::at("/stream", "required beside after_seq").into()),
        (Some(_), _, Some(_)) => return Err(Faults::at("/cursor", "a stream is paged by after_seq").into()),
    };
    let kind = kind.map(|kind| kind.as_str().to_owned());
    let mut filter = EventFilter { kind, principal, account, role, issuance, since, until, text: q };
    limit_text_search(&mut filter, app.clock.now())?;
    let own = who.caller.principal();
    if filter.principal.as_ref() != Some(own) && !app.powers.is_auditor(&who.caller) {
        if filter.principal.is_some() {
            return Err(Error::Forbidden("an auditor or an admin, who reads events of others,"));
        }
        filter.principal = Some(own.clone());
    }
    note_reading(&app, &who, &filter).await?;
    let listed = app.evidence.list_events(&filter, &page, limit).await?;
    Ok((NO_STORE, Json(show(&listed, &page, limit)?)))
}

/// Puts on record who reads events that are not theirs alone.
pub(in crate::http) async fn note_reading(app: &App, who: &Authenticated, filter: &EventFilter) -> Result<(), Error> {
    if filter.principal.as_ref() == Some(who.caller.principal()) {
        return Ok(());
    }
    let reading = Reading { kind: Kind::AuditRead, detail: filter.describe("events") };
    Ok(app.evidence.note(reading, &who.actor).await?)
}

fn show(listed: &[Listed], page: &Page, limit: u32) -> Result<Events, Error> {
    let full = listed.len() == limit as usize;
    let next_cursor = match (page, listed.last()) {
        (Page::Newest(_), Some(last)) if full => Some(self::cursor(&last.place)),
        _ => None,
    };
    // A record stands in the answer byte for byte as it is stored.
    let events =
        listed.iter().map(|listed| RawValue::from_string(jsonl_line(&listed.row))).collect::<Result<Vec<_>, _>>();
    let events = events.map_err(|_| Error::Panic)?;
    Ok(Events { events, next_cursor })
}

/// Everything that the filter lets through, sent as it is read: without a filter so that it can be verified.
#[utoipa::path(
    get, path = "/v1/audit/export", operation_id = "exportEvents", tag = "audit", params(ExportQuery),
    responses((
        status = 200, description = "The events: as JSONL, each line is an `EventRow`; as CSV, the first line has the names",
        content((String = "application/jsonl"), (String = "text/csv")),
        headers(("content-disposition" = String, description = "A name for the file.")),
    )),
)]
pub(in crate::http) async fn export(
    State(app): State<App>,
    Auditor(who): Auditor,
    Params(query): Params<ExportQuery>,
) -> Result<Response, Error> {
    let ExportQuery { format, kind, principal, account, role, issuance, since, until, q } = query;
    let kind = kind.map(|kind| kind.as_str().to_owned());
    let mut filter = EventFilter { kind, principal, account, role, issuance, since, until, text: q };
    limit_text_search(&mut filter, app.clock.now())?;
    take_away(&app, &who, filter, format).await
}

/// What the filter lets through as a file, with its taking on record.
pub(in crate::http) async fn take_away(
    app: &App,
    who: &Authenticated,
    filter: EventFilter,
    format: Format,
) -> Result<Response, Error> {
    let reading = Reading { kind: Kind::AuditExported, detail: filter.describe("export") };
    app.evidence.note(reading, &who.actor).await?;
    let rows = app.evidence.export(filter);
    let (media_type, name, lines) = match format {
        Format::Jsonl => {
            let lines = rows.map_ok(|row| jsonl_line(&row) + "\n").boxed();
            ("application/jsonl", "audit.jsonl", lines)
        }
        Format::Csv => {
            let header = stream::once(async { Ok(csv_header()) });
            ("text/csv; charset=utf-8", "audit.csv", header.chain(rows.map_ok(|row| csv_line(&row))).boxed())
        }
    };
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((NO_STORE, headers, Body::from_stream(lines)).into_response())
}

/// Every stream's newest signed head, to be kept elsewhere.
#[utoipa::path(
    get, path = "/v1/audit/heads", operation_id = "listHeads", tag = "audit",
    responses((status = 200, description = "The heads", body = Heads)),
)]
pub(in crate::http) async fn heads(State(app): State<App>, _: Auditor) -> Result<impl IntoResponse, Error> {
    Ok((NO_STORE, Json(app.evidence.list_heads().await?)))
}

/// Text is looked for in the last 31 days, or in as many that are named.
pub(in crate::http) fn limit_text_search(filter: &mut EventFilter, now: Time) -> Result<(), Error> {
    if filter.text.as_deref().is_some_and(str::is_empty) {
        filter.text = None;
    }
    if filter.text.is_some() {
        let until = filter.until.unwrap_or(now);
        let since = *filter.since.get_or_insert(until.minus(LONGEST_TEXT_SEARCH));
        if since.plus(LONGEST_TEXT_SEARCH) < until {
            return Err(Faults::at("/q", "text is looked for within at most 31 days: name since and until").into());
        }
    }
    Ok(())
}
