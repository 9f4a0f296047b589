//! The blocks, their beginning and their end.

use super::{ON_A_PAGE, address, body, for_change, frame, given, moment, principal};
use crate::{
    app::App,
    http::{
        api::{self, grants::Ending},
        error::Error,
        extract::{Authenticated, Named, Params},
        portal::{
            aliases::Aliases,
            audit::Reader,
            extract::{Halt, Posted, Visit},
            page::{Frame, Refused, show, show_told},
            sign_in::go,
        },
    },
    input::{Faults, read},
    model::{AccountId, Block, BlockTarget, GrantId},
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
    after: Option<GrantId>,
}

#[derive(Template)]
#[template(path = "allowlist_blocks.html", config = "src/http/portal/askama.toml")]
struct Blocks {
    frame: Frame,
    admin: bool,
    lines: Vec<Line>,
    further: bool,
    next: Option<String>,
}

/// A block in a list.
pub(super) struct Line {
    pub(super) block: Block,
    /// Who or what is blocked.
    pub(super) what: String,
    /// Its time is over.
    pub(super) over: bool,
}

impl Line {
    pub(super) fn of(app: &App, block: Block, aliases: &Aliases) -> Self {
        let what = match &block.target {
            BlockTarget::Principal(principal) => principal.to_string(),
            BlockTarget::Role(account, role) => format!("{}/{role}", aliases.of(account)),
        };
        Self { what, over: block.until.is_some_and(|until| until <= app.clock.now()), block }
    }

    pub(super) fn is_of_role(&self) -> bool {
        matches!(self.block.target, BlockTarget::Role(..))
    }

    pub(super) fn reach(&self) -> String {
        match &self.block.target {
            BlockTarget::Principal(principal) => super::reach_of(principal),
            BlockTarget::Role(..) => address("/allowlist/reach", &[("role", &self.what)]),
        }
    }
}

/// The list.
pub(in crate::http::portal) async fn page(
    State(app): State<App>,
    Reader(visit): Reader,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let mut blocks = app.access.list_blocks(asked.after.as_ref(), ON_A_PAGE + 1).await.map_err(Error::from)?;
    let more = blocks.len() > ON_A_PAGE as usize;
    blocks.truncate(ON_A_PAGE as usize);
    let aliases = Aliases::find(&app, blocks.iter().filter_map(account)).await?;
    let last = blocks.last().filter(|_| more);
    Ok(show(&Blocks {
        frame: frame(&app, &visit, "Blocks"),
        admin: app.powers.is_admin(&visit.who.caller),
        next: last.map(|last| address("/allowlist/blocks", &[("after", last.id.as_str())])),
        lines: blocks.into_iter().map(|block| Line::of(&app, block, &aliases)).collect(),
        further: asked.after.is_some(),
    }))
}

fn account(block: &Block) -> Option<AccountId> {
    match &block.target {
        BlockTarget::Principal(_) => None,
        BlockTarget::Role(account, _) => Some(account.clone()),
    }
}

/// What was typed.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http::portal) struct Wish {
    /// Somebody,
    #[deserr(default)]
    principal: String,
    /// or a role.
    #[deserr(default)]
    role: String,
    #[deserr(default)]
    reason: String,
    #[deserr(default)]
    until: String,
}

impl Wish {
    fn read(&self) -> Result<api::blocks::Body, Faults> {
        let text = |text: &str| given(text).map(|text| Value::from(text.to_owned()));
        read(body([
            ("principal", given(&self.principal).map(|text| principal(text).into())),
            ("role", text(&self.role)),
            ("reason", text(&self.reason)),
            ("until", given(&self.until).map(|text| moment(text).into())),
        ]))
    }
}

#[derive(Template)]
#[template(path = "allowlist_block_new.html", config = "src/http/portal/askama.toml")]
struct New {
    frame: Frame,
    csrf: String,
    wish: Wish,
    refused: Option<Refused>,
}

impl New {
    const FIELDS: [&'static str; 4] = ["/principal", "/role", "/reason", "/until"];

    fn of(app: &App, visit: &Visit, wish: Wish) -> Self {
        Self { frame: frame(app, visit, "New block"), csrf: visit.session.csrf_token(), wish, refused: None }
    }

    fn fault(&self, pointer: &str) -> Option<&str> {
        self.refused.as_ref()?.fault(pointer)
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
        Ok(()) => Ok(go("/allowlist/blocks")),
        Err(error) => {
            let (refused, told) = Refused::of(error);
            Ok(show_told(&New { refused, ..New::of(&app, &visit, wish) }, told))
        }
    }
}

async fn make(app: &App, visit: &Visit, wish: &Wish) -> Result<(), Error> {
    wish.read()?.make(app, &visit.who).await.map(drop)
}

#[derive(Template)]
#[template(path = "allowlist_block.html", config = "src/http/portal/askama.toml")]
struct One {
    frame: Frame,
    csrf: String,
    admin: bool,
    line: Line,
}

/// One block, and the way to lift it.
pub(in crate::http::portal) async fn one(
    State(app): State<App>,
    Reader(visit): Reader,
    Named(id): Named<GrantId>,
) -> Result<Response, Halt> {
    let block = app.access.find_block(&id).await.map_err(Error::from)?;
    let admin = app.powers.is_admin(&visit.who.caller);
    if admin {
        for_change(&app, &visit)?;
    }
    let aliases = Aliases::find(&app, account(&block)).await?;
    let (frame, csrf) = (frame(&app, &visit, "Block"), visit.session.csrf_token());
    Ok(show(&One { frame, csrf, admin, line: Line::of(&app, block, &aliases) }))
}

/// Lifts it.
pub(in crate::http::portal) async fn lift(
    State(app): State<App>,
    Named(id): Named<GrantId>,
    form: Posted<Ending>,
) -> Result<Response, Halt> {
    let Posted { visit, input: Ending { reason } } = form;
    for_change(&app, &visit)?;
    let Authenticated { caller, actor } = &visit.who;
    app.access.remove_block(&id, reason, actor, caller.groups()).await.map_err(Error::from)?;
    Ok(go("/allowlist/blocks"))
}
