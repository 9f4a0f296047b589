//! "My activity": what somebody was issued, from where, when and until when, and what was refused them and why. Their own
//! events and nobody else's: the principal is never one that the address names.

use super::{
    aliases::Aliases,
    extract::{Halt, Visit},
    page::{Frame, show},
};
use crate::{
    app::App,
    audit::Kind,
    evidence::Turn,
    http::{
        api::audit::{cursor, read_cursor},
        extract::Params,
    },
    input::Faults,
    model::{AccountId, RoleArn, RoleName, Time},
    store::EventFilter,
};
use askama::Template;
use axum::{extract::State, response::Response};
use deserr::Deserr;
use serde::Deserialize;
use serde_json::{Map, Value};

/// How many events a page looks at. An intent is among them and not shown: its outcome says all of it.
const ON_A_PAGE: u32 = 60;

/// Where another page ended.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(super) struct Asked {
    #[deserr(default)]
    older: Option<String>,
    #[deserr(default)]
    newer: Option<String>,
}

#[derive(Template)]
#[template(path = "activity.html", config = "src/http/portal/askama.toml")]
struct Activity {
    frame: Frame,
    lines: Vec<Line>,
    aliases: Aliases,
    newer: Option<String>,
    older: Option<String>,
}

/// One event, as the one who did it sees it.
struct Line {
    at: Time,
    what: &'static str,
    tone: &'static str,
    role: Option<(AccountId, RoleName)>,
    reason: String,
    /// What was said against it, or of it.
    details: Vec<String>,
    until: Option<Time>,
    address: String,
    agent: String,
}

/// What is read of a record.
#[derive(Deserialize)]
struct Record {
    at: String,
    kind: String,
    #[serde(default)]
    role_arn: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    reasons: Vec<Value>,
    #[serde(default)]
    detail: Map<String, Value>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    client: Option<Client>,
}

#[derive(Deserialize)]
struct Client {
    ip: Option<String>,
    user_agent: Option<String>,
}

/// The list.
pub(super) async fn page(State(app): State<App>, visit: Visit, Params(asked): Params<Asked>) -> Result<Response, Halt> {
    let turn = match (asked.older.as_deref(), asked.newer.as_deref()) {
        (None, None) => Some(Turn::First),
        (Some(older), None) => read_cursor(older).map(Turn::Older),
        (None, Some(newer)) => read_cursor(newer).map(Turn::Newer),
        (Some(_), Some(_)) => None,
    };
    let turn = turn.ok_or_else(|| Faults::at("/older", "expected where another page ended"))?;
    let own = EventFilter { principal: Some(visit.who.caller.principal().clone()), ..EventFilter::default() };
    let browsed = app.evidence.browse(&own, turn, ON_A_PAGE).await?;
    let way = |name: &str, place: Option<_>| {
        let query = |place| form_urlencoded::Serializer::new(String::new()).append_pair(name, &cursor(&place)).finish();
        place.map(|place| format!("/activity?{}", query(place)))
    };
    let lines: Vec<Line> = browsed.events.iter().filter_map(|listed| Line::of(&listed.row.record)).collect();
    let accounts = lines.iter().filter_map(|line| line.role.as_ref()).map(|(account, _)| account.clone());
    let aliases = Aliases::find(&app, accounts).await?;
    Ok(show(&Activity {
        frame: Frame::of(&app, &visit, "My activity"),
        lines,
        aliases,
        newer: way("newer", browsed.newer),
        older: way("older", browsed.older),
    }))
}

impl Line {
    fn of(record: &str) -> Option<Self> {
        let record: Record = serde_json::from_str(record).ok()?;
        if record.kind == Kind::CredentialsRequested.as_str() {
            return None;
        }
        let (what, tone) = words(&record.kind);
        let client = record.client.unwrap_or(Client { ip: None, user_agent: None });
        let role = record.role_arn.as_deref().and_then(|arn| RoleArn::parse(arn).ok());
        Some(Self {
            at: Time::parse(&record.at).ok()?,
            what,
            tone,
            role: role.map(|arn| (arn.account, arn.name)),
            reason: record.reason.unwrap_or_default(),
            details: details(record.code, &record.reasons, &record.detail),
            until: record.expires_at.and_then(|until| Time::parse(&until).ok()),
            address: client.ip.unwrap_or_default(),
            agent: client.user_agent.unwrap_or_default(),
        })
    }
}

/// What a kind is to the one who did it.
fn words(kind: &str) -> (&'static str, &'static str) {
    let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    match known {
        Some(Kind::CredentialsIssued) => ("Credentials", "good"),
        Some(Kind::CredentialsShared) => ("Credentials, once more", "good"),
        Some(Kind::ConsoleIssued) => ("Console", "good"),
        Some(Kind::CredentialsDenied) => ("Refused", "bad"),
        Some(Kind::CredentialsFailed) => ("Failed", "bad"),
        Some(Kind::CredentialsUnknown) => ("Broke off", "bad"),
        Some(Kind::LoginSucceeded) => ("Signed in", ""),
        Some(known) => (known.as_str(), ""),
        None => ("Other", ""),
    }
}

/// The code first, then each reason in a sentence, then what else is told of it in plain values.
fn details(code: Option<String>, reasons: &[Value], detail: &Map<String, Value>) -> Vec<String> {
    let sentence = |reason: &Value| reason["detail"].as_str().or(reason.as_str()).map(str::to_owned);
    let plain = |(name, value): (&String, &Value)| match value {
        // It stands beside.
        _ if name == "role" => None,
        Value::String(text) => Some(format!("{name}: {text}")),
        Value::Number(number) => Some(format!("{name}: {number}")),
        _ => None,
    };
    code.into_iter().chain(reasons.iter().filter_map(sentence)).chain(detail.iter().filter_map(plain)).collect()
}
