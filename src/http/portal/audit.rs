//! The audit as auditors and admins see it: filtered, event by event, and to take away.

pub(super) mod charts;
pub(super) mod event;
mod filter;
pub(super) mod streams;

use super::{
    aliases::Aliases,
    extract::{Halt, Visit},
    page::{Frame, show},
};
use crate::{
    app::App,
    audit::{Kind, Row},
    evidence::{Browsed, Turn},
    http::{
        api::audit::{Format, cursor, limit_text_search, note_reading, parse_format, take_away},
        error::Error,
        extract::Params,
    },
    model::{RoleArn, Time},
};
use askama::Template;
use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
pub(super) use filter::address;
use filter::{Asked, Filter};
use serde_json::Value;

/// How many events a page shows.
const ON_A_PAGE: u32 = 50;

/// A visitor who may read everything.
pub(super) struct Reader(pub(super) Visit);

impl FromRequestParts<App> for Reader {
    type Rejection = Halt;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Halt> {
        let visit = Visit::from_request_parts(parts, app).await?;
        if app.powers.is_auditor(&visit.who.caller) {
            Ok(Self(visit))
        } else {
            Err(Error::Forbidden("an auditor or an admin").into())
        }
    }
}

#[derive(Template)]
#[template(path = "audit.html", config = "src/http/portal/askama.toml")]
struct Audit<'a> {
    frame: Frame,
    /// As it was asked for, so that it can be mended.
    asked: &'a Asked,
    filter: &'a Filter,
    kinds: [&'static str; Kind::ALL.len()],
    lines: Vec<Line>,
    aliases: Aliases,
    newer: Option<String>,
    older: Option<String>,
    searched_to: Option<Time>,
    /// It was looked for towards now.
    forward: bool,
}

/// One event in a list.
pub(super) struct Line {
    seq: u64,
    /// Where its own page is.
    to: String,
    at: String,
    kind: String,
    tone: &'static str,
    principal: String,
    role: Option<RoleArn>,
    /// Where there is no ARN: the role as it was asked for, or the account.
    about: String,
    code: String,
    outcome: String,
}

/// The list.
pub(super) async fn page(
    State(app): State<App>,
    Reader(visit): Reader,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let filter = Filter::read(&app, &asked).await?;
    let forward = matches!(filter.turn, Turn::Newer(_));
    let browsed = browse(&app, &visit, &filter).await?;
    let lines: Vec<Line> = browsed.events.iter().map(|listed| Line::of(&listed.row)).collect();
    let accounts = lines.iter().filter_map(|line| line.role.as_ref()).map(|role| role.account.clone());
    let aliases = Aliases::find(&app, accounts).await?;
    let way = |name, place: Option<_>| place.map(|place| filter.address("/audit", &[(name, &cursor(&place))]));
    let page = Audit {
        frame: Frame::of(&app, &visit, "Audit"),
        kinds: Kind::ALL.map(Kind::as_str),
        lines,
        aliases,
        newer: way("newer", browsed.newer),
        older: way("older", browsed.older),
        searched_to: browsed.searched_to,
        forward,
        asked: &asked,
        filter: &filter,
    };
    let status = if filter.faults.0.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, show(&page)).into_response())
}

/// Nothing where the filter is wrong; otherwise that it was read is on record.
async fn browse(app: &App, visit: &Visit, filter: &Filter) -> Result<Browsed, Error> {
    if !filter.faults.0.is_empty() {
        return Ok(Browsed { events: Vec::new(), newer: None, older: None, searched_to: None });
    }
    note_reading(app, &visit.who, &filter.events).await?;
    Ok(app.evidence.browse(&filter.events, filter.turn.clone(), ON_A_PAGE).await?)
}

/// What the filter lets through, as a file: the API's own export.
pub(super) async fn export(
    State(app): State<App>,
    Reader(visit): Reader,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let Filter { mut events, faults, .. } = Filter::read(&app, &asked).await?;
    faults.into_result(())?;
    limit_text_search(&mut events, app.clock.now())?;
    let format = asked.format.map_or(Ok(Format::Jsonl), parse_format);
    let format = format.map_err(|expected| crate::input::Faults::at("/format", format!("expected {expected}")))?;
    Ok(take_away(&app, &visit.who, events, format).await?)
}

impl Line {
    pub(super) fn of(row: &Row) -> Self {
        let record: Value = serde_json::from_str(&row.record).unwrap_or_default();
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = text("/kind");
        Self {
            seq: row.seq,
            to: format!("/audit/{}/{}", row.stream, row.seq),
            at: second(&text("/at")),
            tone: tone(&kind),
            kind,
            principal: text("/principal"),
            role: RoleArn::parse(&text("/role_arn")).ok(),
            about: [text("/detail/role"), text("/account_id")]
                .into_iter()
                .find(|text| !text.is_empty())
                .unwrap_or_default(),
            code: text("/code"),
            outcome: outcome(&record),
        }
    }
}

/// `2026-01-02 03:04:05`, of a time as a record has it.
fn second(at: &str) -> String {
    at.get(..19).unwrap_or(at).replace('T', " ")
}

/// Whether something was given, or refused or went wrong.
fn tone(kind: &str) -> &'static str {
    match kind.rsplit_once('.').map_or("", |(_, what)| what) {
        "issued" | "succeeded" | "shared" => "good",
        "denied" | "failed" | "unknown" => "bad",
        _ => "",
    }
}

/// What was said of it, in a line: the reason that was given, what was missing, or what it was about.
fn outcome(record: &Value) -> String {
    if let Some(reason) = record["reason"].as_str() {
        return reason.to_owned();
    }
    let words = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let detail = record["detail"].as_object().into_iter().flatten();
    let about = detail
        .filter(|(name, _)| !name.ends_with("_sha256"))
        .filter_map(|(name, value)| Some(format!("{name}: {}", words(value)?)));
    let reasons = record["reasons"].as_array().into_iter().flatten();
    let reasons = reasons.filter_map(|reason| words(reason).or_else(|| words(&reason["condition"])));
    reasons.chain(about).take(4).collect::<Vec<_>>().join(", ")
}
