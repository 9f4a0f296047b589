//! Who changed the allowlist, out of the audit, with those marked by which the one who made them gained.

use super::{ON_A_PAGE, address, frame};
use crate::{
    app::App,
    audit::{Kind, Row},
    evidence::Reading,
    http::{
        api::audit::{cursor, read_cursor},
        error::Error,
        extract::Params,
        portal::{
            aliases::Aliases,
            audit::Reader,
            extract::Halt,
            page::{Frame, show},
        },
    },
    input::Faults,
    model::{AccountId, Time},
};
use askama::Template;
use axum::{extract::State, response::Response};
use deserr::Deserr;
use serde_json::{Value, json};

/// What the address asks for.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http::portal) struct Asked {
    #[deserr(default)]
    older: String,
}

#[derive(Template)]
#[template(path = "allowlist_history.html", config = "src/http/portal/askama.toml")]
struct Page {
    frame: Frame,
    lines: Vec<Line>,
    older: Option<String>,
    further: bool,
}

/// A change.
struct Line {
    /// Where its event is.
    to: String,
    at: Option<Time>,
    what: &'static str,
    who: String,
    about: String,
    reason: String,
    /// Whoever made it can do more by it.
    gained: bool,
}

impl Line {
    fn of(row: &Row, record: &Value, aliases: &Aliases) -> Self {
        let detail = &record["detail"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let count = |name: &str| detail[name].as_u64().unwrap_or_default();
        let kind = record["kind"].as_str().unwrap_or_default();
        let what = match Kind::ALL.into_iter().find(|known| known.as_str() == kind) {
            Some(Kind::AllowlistApplied) => "File applied",
            Some(Kind::GrantAdded) => "Grant made",
            Some(Kind::GrantRemoved) => "Grant ended",
            Some(Kind::BlockAdded) => "Block made",
            _ => "Block lifted",
        };
        let about = match (detail["to"].as_str(), detail["principal"].as_str(), detail["role"].as_str()) {
            (Some(to), _, Some(role)) => format!("{to} → {}", called(role, aliases)),
            (_, Some(principal), _) => principal.to_owned(),
            (_, _, Some(role)) => called(role, aliases),
            _ => format!("{} to add, {} to change, {} to remove", count("added"), count("changed"), count("removed")),
        };
        Self {
            to: format!("/audit/{}/{}", row.stream, row.seq),
            at: record["at"].as_str().and_then(|at| Time::parse(at).ok()),
            what,
            who: text(&record["principal"]),
            about,
            // Of what ended, why it did, where that was said.
            reason: text(detail.get("end_reason").unwrap_or(&record["reason"])),
            gained: detail["gained"] == true,
        }
    }
}

/// The account of `111122223333/Role`, and the rest.
fn account_of(role: &str) -> Option<(AccountId, &str)> {
    let (account, name) = role.split_once('/')?;
    Some((AccountId::parse(account).ok()?, name))
}

fn called(role: &str, aliases: &Aliases) -> String {
    account_of(role).map_or_else(|| role.to_owned(), |(account, name)| format!("{}/{name}", aliases.of(&account)))
}

/// The list, newest first. That it was read is on record.
pub(in crate::http::portal) async fn page(
    State(app): State<App>,
    Reader(visit): Reader,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let after = read_cursor(&asked.older);
    let detail = [("read".to_owned(), json!("history"))].into_iter().collect();
    app.evidence.note(Reading { kind: Kind::AuditRead, detail }, &visit.who.actor).await.map_err(Error::from)?;
    let mut changes = app.evidence.list_changes(after.as_ref(), ON_A_PAGE + 1).await.map_err(Error::from)?;
    let more = changes.len() > ON_A_PAGE as usize;
    changes.truncate(ON_A_PAGE as usize);
    let last = changes.last().filter(|_| more).map(|last| cursor(&last.place));
    let records = changes.iter().map(|listed| serde_json::from_str(&listed.row.record).unwrap_or_default());
    let records: Vec<Value> = records.collect();
    let accounts = records.iter().filter_map(|record| Some(account_of(record["detail"]["role"].as_str()?)?.0));
    let aliases = Aliases::find(&app, accounts).await?;
    let lines = changes.iter().zip(&records).map(|(listed, record)| Line::of(&listed.row, record, &aliases));
    Ok(show(&Page {
        frame: frame(&app, &visit, "History"),
        lines: lines.collect(),
        older: last.map(|last| address("/allowlist/history", &[("older", &last)])),
        further: after.is_some(),
    }))
}
