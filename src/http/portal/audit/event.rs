//! One event: all of its record, what stands beside it in its stream, and the ways to what belongs to it.

use super::{Line, Reader, filter};
use crate::{
    app::App,
    audit::{Kind, Row, StreamId},
    evidence::Reading,
    http::{
        error::Error,
        portal::{
            extract::Halt,
            page::{Frame, show},
        },
    },
};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::{Map, Value, json};

/// How many neighbours are shown on each side.
const AROUND: u32 = 3;

/// Every member of a record, under what people look for it by. One that is not here stands under the last.
const SECTIONS: [(&str, &[&str]); 6] = [
    ("What happened", &["kind", "at", "code", "reasons", "reason", "detail"]),
    ("Who", &["principal", "via", "auth.method", "auth.issuer", "auth.subject", "auth.token_id"]),
    ("From where", &["client.ip", "client.peer", "client.user_agent", "request_id"]),
    (
        "For what",
        &[
            "account_id",
            "role_arn",
            "purpose",
            "grant_id",
            "allowlist_revision",
            "duration_seconds",
            "clamped_by",
            "session_policy_sha256",
            "session_tags",
        ],
    ),
    (
        "At AWS",
        &[
            "issuance_id",
            "session_name",
            "source_identity",
            "access_key_id",
            "assumed_role_id",
            "expires_at",
            "sts_request_id",
            "attempts",
            "shared_from",
        ],
    ),
    ("The record", &["id", "v"]),
];

#[derive(Template)]
#[template(path = "audit_event.html", config = "src/http/portal/askama.toml")]
struct EventPage {
    frame: Frame,
    row: Row,
    line: Line,
    ways: Vec<(String, &'static str)>,
    sections: Vec<(&'static str, Vec<Field>)>,
    neighbours: Vec<Line>,
}

/// A member of the record.
struct Field {
    name: String,
    /// Empty where it is null.
    value: String,
    /// JSON of several lines.
    long: bool,
}

/// The page.
pub(in crate::http::portal) async fn page(
    State(app): State<App>,
    Reader(visit): Reader,
    Path((stream, seq)): Path<(String, String)>,
) -> Result<Response, Halt> {
    let place = StreamId::parse(&stream).ok().zip(seq.parse::<u64>().ok());
    let (stream, seq) = place.ok_or(Error::NotFound)?;
    let detail = json!({"read": "event", "stream": stream, "seq": seq}).as_object().cloned().unwrap_or_default();
    app.evidence.note(Reading { kind: Kind::AuditRead, detail }, &visit.who.actor).await?;
    let rows = app.evidence.find_among(stream, seq, AROUND).await?;
    let row = rows.iter().find(|row| row.seq == seq).cloned().ok_or(Error::NotFound)?;
    let record: Value = serde_json::from_str(&row.record).unwrap_or_default();
    let mut frame = Frame::of(&app, &visit, "Audit");
    frame.title = "Audit event";
    Ok(show(&EventPage {
        frame,
        line: Line::of(&row),
        ways: ways(&record),
        sections: sections(&record),
        neighbours: rows.iter().map(Line::of).collect(),
        row,
    }))
}

/// To all events that share something with this one.
fn ways(record: &Value) -> Vec<(String, &'static str)> {
    let known = [
        ("issuance", "issuance_id", "Every event of this issuance"),
        ("principal", "principal", "Every event of this principal"),
        ("role", "role_arn", "Every event of this role"),
        ("account", "account_id", "Every event of this account"),
        ("q", "request_id", "Every event of this request"),
    ];
    let way = |(name, member, text)| Some((filter::only(name, &record[member].as_str()?), text));
    known.into_iter().filter_map(way).collect()
}

fn sections(record: &Value) -> Vec<(&'static str, Vec<Field>)> {
    let mut left = Map::new();
    for (name, value) in record.as_object().into_iter().flatten() {
        match value {
            Value::Object(members) if ["auth", "client"].contains(&name.as_str()) => {
                left.extend(members.iter().map(|(member, value)| (format!("{name}.{member}"), value.clone())));
            }
            value => _ = left.insert(name.clone(), value.clone()),
        }
    }
    let mut sections: Vec<_> = SECTIONS
        .iter()
        .map(|(title, names)| {
            let mut take = |name: &&str| left.remove(*name).unwrap_or_default();
            let fields: Vec<Field> = names.iter().map(|name| (name, take(name))).map(Field::of).collect();
            (*title, fields)
        })
        .collect();
    if let Some((_, last)) = sections.last_mut() {
        // Where nobody was made out, these are null as wholes.
        let others =
            left.iter().filter(|(name, value)| !value.is_null() || !["auth", "client"].contains(&name.as_str()));
        last.extend(others.map(|(name, value)| Field::of((name, value.clone()))));
    }
    sections
}

impl Field {
    fn of((name, value): (impl ToString, Value)) -> Self {
        let name = name.to_string();
        let (value, long) = match value {
            Value::Null => (String::new(), false),
            Value::String(text) => (text, false),
            Value::Array(items) if items.is_empty() => ("none".to_owned(), false),
            Value::Object(members) if members.is_empty() => ("none".to_owned(), false),
            value @ (Value::Array(_) | Value::Object(_)) => {
                (serde_json::to_string_pretty(&value).unwrap_or_default(), true)
            }
            value => (value.to_string(), false),
        };
        Self { name, value, long }
    }
}
