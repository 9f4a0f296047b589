//! The grants, and the single ones' beginning and end.

use super::{ON_A_PAGE, address, body, for_change, frame, given, moment, number, principal};
use crate::{
    app::App,
    http::{
        api::{self, grants::Ending},
        error::Error,
        extract::{Named, Params},
        portal::{
            access::offered::span,
            aliases::Aliases,
            audit::Reader,
            extract::{Halt, Posted, Visit},
            page::{Frame, Refused, show, show_told},
            sign_in::go,
        },
    },
    input::{Faults, read},
    model::{Conditions, Grant, GrantId, GrantTarget, Origin, Principal, SessionPolicy},
};
use askama::Template;
use axum::{extract::State, response::Response};
use deserr::Deserr;
use serde_json::Value;

/// What the address asks for.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http::portal) struct Asked {
    #[deserr(default)]
    principal: String,
    #[deserr(default)]
    of: Of,
    #[deserr(default)]
    after: Option<GrantId>,
}

/// Whose grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserr)]
#[deserr(rename_all = lowercase)]
enum Of {
    #[default]
    Single,
    File,
}

#[derive(Template)]
#[template(path = "allowlist_grants.html", config = "src/http/portal/askama.toml")]
struct Grants {
    frame: Frame,
    /// The visitor may change them.
    admin: bool,
    single: bool,
    principal: String,
    fault: Option<String>,
    lines: Vec<Line>,
    further: bool,
    next: Option<String>,
}

/// A grant in a list.
pub(super) struct Line {
    pub(super) grant: Grant,
    pub(super) account: String,
    /// The role's; `*` for all of the account.
    pub(super) name: String,
    pub(super) terms: Vec<String>,
    /// It is over.
    pub(super) over: bool,
    /// It is of no use to them now, since they are blocked.
    pub(super) blocked: bool,
}

impl Line {
    pub(super) fn of(app: &App, grant: Grant, aliases: &Aliases) -> Self {
        let account = aliases.of(grant.target.account()).to_owned();
        let name = match &grant.target {
            GrantTarget::Role(_, role) => role.to_string(),
            GrantTarget::Account(_) => "*".to_owned(),
        };
        let over = grant.conditions.expires.is_some_and(|end| end <= app.clock.now());
        Self { account, name, terms: terms(&grant.conditions), over, blocked: false, grant }
    }

    /// Where who can reach its role is told; for the roles of a whole account nowhere at once.
    pub(super) fn reach(&self) -> Option<String> {
        let one = matches!(self.grant.target, GrantTarget::Role(..));
        one.then(|| address("/allowlist/reach", &[("role", &format!("{}/{}", self.account, self.name))]))
    }

    pub(super) fn reach_of(&self) -> String {
        super::reach_of(&self.grant.principal)
    }

    /// Whether it was made by itself, and can be ended by itself.
    pub(super) fn is_single(&self) -> bool {
        self.grant.origin == Origin::Api
    }
}

/// What must hold, but for its end.
fn terms(conditions: &Conditions) -> Vec<String> {
    let longest = conditions.max_duration.map(|longest| format!("up to {}", span(longest.seconds())));
    let reason = conditions.require_reason.then(|| "reason".to_owned());
    let policy = conditions.session_policy.as_ref().map(|_| "narrowed".to_owned());
    let from = conditions.source_ips.iter().map(|net| format!("from {net}"));
    longest.into_iter().chain(reason).chain(policy).chain(from).collect()
}

/// The list.
pub(in crate::http::portal) async fn page(
    State(app): State<App>,
    Reader(visit): Reader,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let who = given(&asked.principal).map(|text| Principal::parse(&principal(text))).transpose();
    let fault = who.as_ref().err().map(|expected| format!("expected {expected}"));
    let (grants, next) = match who {
        Ok(who) => find(&app, &asked, who).await?,
        Err(_) => (Vec::new(), None),
    };
    let aliases = Aliases::find(&app, grants.iter().map(|grant| grant.target.account().clone())).await?;
    Ok(show(&Grants {
        frame: frame(&app, &visit, "Grants"),
        admin: app.powers.is_admin(&visit.who.caller),
        single: asked.of == Of::Single,
        principal: asked.principal,
        fault,
        lines: grants.into_iter().map(|grant| Line::of(&app, grant, &aliases)).collect(),
        further: asked.after.is_some(),
        next,
    }))
}

/// A page of somebody's grants, or everybody's, and where the next one is.
async fn find(app: &App, asked: &Asked, who: Option<Principal>) -> Result<(Vec<Grant>, Option<String>), Error> {
    let (origin, of) = if asked.of == Of::Single { (Origin::Api, "") } else { (Origin::File, "file") };
    let who: Vec<Principal> = who.into_iter().collect();
    let mut grants = app.access.browse_grants(origin, &who, asked.after.as_ref(), ON_A_PAGE + 1).await?;
    let more = grants.len() > ON_A_PAGE as usize;
    grants.truncate(ON_A_PAGE as usize);
    let next = grants.last().filter(|_| more).map(|last| {
        address("/allowlist/grants", &[("principal", &asked.principal), ("of", of), ("after", last.id.as_str())])
    });
    Ok((grants, next))
}

/// What was typed.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http::portal) struct Wish {
    #[deserr(default)]
    to: String,
    #[deserr(default)]
    role: String,
    #[deserr(default)]
    expires: String,
    #[deserr(default)]
    reason: String,
    /// In seconds.
    #[deserr(default)]
    max_duration: String,
    #[deserr(default)]
    require_reason: String,
    #[deserr(default)]
    source_ips: String,
    #[deserr(default)]
    session_policy: String,
}

impl Wish {
    fn read(&self) -> Result<api::grants::Body, Faults> {
        let text = |text: &str| given(text).map(|text| Value::from(text.to_owned()));
        let networks: Vec<&str> = self.source_ips.split([',', '\n', ' ']).filter_map(given).collect();
        let policy = given(&self.session_policy).map(serde_json::from_str).transpose();
        let policy = policy.map_err(|_| Faults::at("/session_policy", "expected JSON"))?;
        read(body([
            ("to", given(&self.to).map(|text| principal(text).into())),
            ("role", text(&self.role)),
            ("expires", given(&self.expires).map(|text| moment(text).into())),
            ("reason", text(&self.reason)),
            ("max_duration_seconds", given(&self.max_duration).map(number)),
            ("require_reason", Some((!self.require_reason.is_empty()).into())),
            ("source_ips", (!networks.is_empty()).then(|| networks.into())),
            ("session_policy", policy),
        ]))
    }
}

#[derive(Template)]
#[template(path = "allowlist_grant_new.html", config = "src/http/portal/askama.toml")]
struct New {
    frame: Frame,
    csrf: String,
    wish: Wish,
    refused: Option<Refused>,
}

impl New {
    const FIELDS: [&'static str; 6] = ["/to", "/role", "/expires", "/reason", "/source_ips", "/session_policy"];
    /// What there is to choose from for the longest session.
    const LONGEST: [u32; 6] = [900, 1800, 3600, 7200, 14_400, 28_800];

    fn of(app: &App, visit: &Visit, wish: Wish) -> Self {
        Self { frame: frame(app, visit, "New grant"), csrf: visit.session.csrf_token(), wish, refused: None }
    }

    fn fault(&self, pointer: &str) -> Option<&str> {
        let fields = self.refused.iter().flat_map(|refused| &refused.fields);
        // What is wrong with one of several stands with the field of all.
        fields.clone().find(|fault| fault.pointer.starts_with(pointer)).map(|fault| fault.problem.as_str())
    }
}

/// The form, filled in as the address says.
pub(in crate::http::portal) async fn form(
    State(app): State<App>,
    visit: Visit,
    Params(wish): Params<Wish>,
) -> Result<Response, Halt> {
    for_change(&app, &visit)?;
    Ok(show(&New::of(&app, &visit, wish)))
}

/// Makes it.
pub(in crate::http::portal) async fn add(State(app): State<App>, form: Posted<Wish>) -> Result<Response, Halt> {
    let Posted { visit, input: wish } = form;
    for_change(&app, &visit)?;
    match make(&app, &visit, &wish).await {
        Ok(()) => Ok(go("/allowlist/grants")),
        Err(error) => {
            let (refused, told) = Refused::of(error);
            Ok(show_told(&New { refused, ..New::of(&app, &visit, wish) }, told))
        }
    }
}

async fn make(app: &App, visit: &Visit, wish: &Wish) -> Result<(), Error> {
    let new = wish.read()?.grant()?;
    app.access.add_grant(new, &visit.who.actor, visit.who.caller.groups()).await?;
    Ok(())
}

#[derive(Template)]
#[template(path = "allowlist_grant.html", config = "src/http/portal/askama.toml")]
struct One {
    frame: Frame,
    csrf: String,
    admin: bool,
    line: Line,
}

/// One single grant, and the way to end it.
pub(in crate::http::portal) async fn one(
    State(app): State<App>,
    Reader(visit): Reader,
    Named(id): Named<GrantId>,
) -> Result<Response, Halt> {
    let grant = app.access.find_grant(&id).await.map_err(Error::from)?;
    let admin = app.powers.is_admin(&visit.who.caller);
    if admin {
        for_change(&app, &visit)?;
    }
    let aliases = Aliases::find(&app, [grant.target.account().clone()]).await?;
    let (frame, csrf) = (frame(&app, &visit, "Grant"), visit.session.csrf_token());
    Ok(show(&One { frame, csrf, admin, line: Line::of(&app, grant, &aliases) }))
}

/// Ends it.
pub(in crate::http::portal) async fn end(
    State(app): State<App>,
    Named(id): Named<GrantId>,
    form: Posted<Ending>,
) -> Result<Response, Halt> {
    let Posted { visit, input: Ending { reason } } = form;
    for_change(&app, &visit)?;
    app.access.remove_grant(&id, reason, &visit.who.actor).await.map_err(Error::from)?;
    Ok(go("/allowlist/grants"))
}

/// A session policy for people.
fn pretty(policy: &SessionPolicy) -> String {
    let read = serde_json::from_str::<Value>(policy.as_str()).and_then(|value| serde_json::to_string_pretty(&value));
    read.unwrap_or_else(|_| policy.as_str().to_owned())
}
