//! The allowlist: what it holds, who can reach what and why, and, for admins, its changes. Auditors see all of it.
//!
//! What a form asks for goes through the API's own bodies, so that both take and refuse the same.

pub(super) mod blocks;
pub(super) mod explain;
pub(super) mod file;
pub(super) mod grants;
pub(super) mod history;
pub(super) mod reach;

use super::{
    audit::Reader,
    extract::{Halt, Visit},
    page::{Frame, show},
};
use crate::{
    app::App,
    http::{api::me::parse_cursor, error::Error, extract::Params},
    input::Faults,
    model::{Account, AccountId, Invalid, Principal, Role, RoleName},
    store::Wanted,
};
use askama::Template;
use axum::{extract::State, response::Response};
use deserr::Deserr;
use serde_json::{Map, Value};

/// How many lines a page shows.
const ON_A_PAGE: u32 = 50;
/// What is typed beyond this is not looked for.
const LONGEST_SEARCH: usize = 200;

/// The ways between these pages: where to, what it is called, and the titles of the pages that belong there.
fn tabs() -> [(&'static str, &'static str, &'static [&'static str]); 7] {
    [
        ("/allowlist", "Roles", &["Allowlist"]),
        ("/allowlist/grants", "Grants", &["Grants", "Grant", "New grant"]),
        ("/allowlist/blocks", "Blocks", &["Blocks", "Block", "New block"]),
        ("/allowlist/reach", "Reach", &["Reach"]),
        ("/allowlist/explain", "Explain", &["Explain"]),
        ("/allowlist/file", "File", &["File", "Another file"]),
        ("/allowlist/history", "History", &["History"]),
    ]
}

/// The frame of one page of these.
fn frame(app: &App, visit: &Visit, title: &'static str) -> Frame {
    Frame { title, ..Frame::of(app, visit, "Allowlist") }
}

/// Goes on for an admin who signed in within the last 15 minutes. To be asked where the page is shown and where its form is
/// posted.
fn for_change(app: &App, visit: &Visit) -> Result<(), Halt> {
    if !app.powers.is_admin(&visit.who.caller) {
        return Err(Error::Forbidden("an admin").into());
    }
    visit.fresh(app)
}

/// A path with these parameters; empty ones are left out.
fn address(path: &str, fields: &[(&str, &str)]) -> String {
    super::audit::address(path, fields.iter().copied())
}

/// What was typed into a field, if anything was.
fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// What people type for a person: most are users.
fn principal(text: &str) -> String {
    if text.contains(':') { text.to_owned() } else { format!("user:{text}") }
}

/// Each on a line, or between commas: `developers` is `group:developers`.
fn groups(text: &str) -> Vec<String> {
    let names = text.split([',', '\n']).filter_map(given);
    names.map(|name| if name.contains(':') { name.to_owned() } else { format!("group:{name}") }).collect()
}

/// A moment as a browser's field has it, in UTC.
fn moment(text: &str) -> String {
    match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

/// The body that the API would be sent: what was left empty is left out.
fn body(fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// A number, or the text for the API to refuse.
fn number(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| text.into(), Into::into)
}

/// What the address asks for.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(super) struct Asked {
    #[deserr(default)]
    q: String,
    #[deserr(default, try_from(Option<String>) = parse_cursor -> Invalid)]
    after: Option<(AccountId, RoleName)>,
}

#[derive(Template)]
#[template(path = "allowlist.html", config = "src/http/portal/askama.toml")]
struct Roles {
    frame: Frame,
    text: String,
    accounts: Vec<InAccount>,
    further: bool,
    next: Option<String>,
}

/// Roles of one account.
struct InAccount {
    account: Account,
    roles: Vec<Role>,
}

impl InAccount {
    fn reach(&self, role: &Role) -> String {
        address("/allowlist/reach", &[("role", &format!("{}/{}", self.account.label(), role.name))])
    }
}

/// The accounts with their roles.
pub(super) async fn page(
    State(app): State<App>,
    Reader(visit): Reader,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let clean = asked.q.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_SEARCH);
    let text = clean.collect::<String>().trim().to_owned();
    let wanted = Wanted { after: asked.after.as_ref(), text: Some(&text), among: None };
    let mut listed = app.access.list_roles(wanted, ON_A_PAGE + 1).await.map_err(Error::from)?;
    let more = listed.len() > ON_A_PAGE as usize;
    listed.truncate(ON_A_PAGE as usize);
    let last = listed.last().filter(|_| more).map(|(account, role)| format!("{}/{}", account.id, role.name));
    let mut accounts: Vec<InAccount> = Vec::new();
    for (account, role) in listed {
        match accounts.last_mut().filter(|last| last.account.id == account.id) {
            Some(last) => last.roles.push(role),
            None => accounts.push(InAccount { account, roles: vec![role] }),
        }
    }
    Ok(show(&Roles {
        frame: frame(&app, &visit, "Allowlist"),
        next: last.map(|last| address("/allowlist", &[("q", &text), ("after", &last)])),
        further: asked.after.is_some(),
        text,
        accounts,
    }))
}

/// As the list of everybody's reach is asked for one.
fn reach_of(principal: &Principal) -> String {
    match principal {
        Principal::Group(_) => address("/allowlist/reach", &[("groups", &principal.to_string())]),
        principal => address("/allowlist/reach", &[("person", &principal.to_string())]),
    }
}
