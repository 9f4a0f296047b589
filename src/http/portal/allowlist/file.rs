//! The allowlist file: as it was last applied, and another in its place, planned before it is applied.

use super::frame;
use crate::{
    access::AccessError,
    allowlist::Plan,
    app::App,
    http::{
        error::Error,
        portal::{
            extract::{Halt, Posted, PostedFile, Visit},
            page::{Frame, Refused, show, show_told},
            sign_in::go,
        },
    },
    input::Faults,
    model::{Principal, Time},
};
use askama::Template;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use deserr::Deserr;

/// A plan shows no more of who gains and loses.
const REACHED: usize = 200;

#[derive(Template)]
#[template(path = "allowlist_file.html", config = "src/http/portal/askama.toml")]
struct Shown {
    frame: Frame,
    /// The visitor may apply another.
    applier: bool,
    revision: u64,
    latest: Option<(Principal, Time)>,
    text: String,
}

/// As it was last applied.
pub(in crate::http::portal) async fn page(State(app): State<App>, visit: Visit) -> Result<Response, Halt> {
    for_reading(&app, &visit)?;
    let applier = app.powers.is_applier(&visit.who.caller);
    let document = app.access.find_document().await.map_err(Error::from)?;
    let frame = frame(&app, &visit, "File");
    let (revision, latest, text) = (document.revision, document.applied, document.text);
    Ok(show(&Shown { frame, applier, revision, latest, text }))
}

/// As the API has it: auditors, appliers and admins.
fn for_reading(app: &App, visit: &Visit) -> Result<(), Error> {
    let caller = &visit.who.caller;
    let may = app.powers.is_applier(caller) || app.powers.is_auditor(caller);
    if may { Ok(()) } else { Err(Error::Forbidden("an auditor, an applier or an admin")) }
}

/// Likewise, to take away.
pub(in crate::http::portal) async fn download(State(app): State<App>, visit: Visit) -> Result<Response, Halt> {
    for_reading(&app, &visit)?;
    let text = app.access.find_document().await.map_err(Error::from)?.text;
    let headers = [
        (header::CONTENT_TYPE, "application/toml"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"allowlist.toml\""),
    ];
    Ok((headers, text).into_response())
}

/// A file, and what is to be done with it.
#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http::portal) struct Wish {
    #[deserr(default)]
    file: String,
    /// The revision that the plan was made at which is to be applied; nothing where there is only to be planned.
    #[deserr(default)]
    revision: String,
}

#[derive(Template)]
#[template(path = "allowlist_change.html", config = "src/http/portal/askama.toml")]
struct Change {
    frame: Frame,
    csrf: String,
    file: String,
    planned: Option<Shape>,
    /// Somebody was faster than the apply.
    overtaken: bool,
    refused: Option<Refused>,
}

/// A plan, as the page shows it.
struct Shape {
    revision: u64,
    plan: Plan,
}

impl Shape {
    /// As on the command line, without who gains and loses.
    fn text(&self) -> String {
        let few = Plan { gains: Vec::new(), loses: Vec::new(), warnings: Vec::new(), ..self.plan.clone() };
        few.to_string()
    }
}

impl Change {
    /// Every fault is the file's, and told of above it.
    const FIELDS: [&'static str; 0] = [];

    fn of(app: &App, visit: &Visit, file: String) -> Self {
        let (frame, csrf) = (frame(app, visit, "Another file"), visit.session.csrf_token());
        Self { frame, csrf, file, planned: None, overtaken: false, refused: None }
    }
}

fn for_applying(app: &App, visit: &Visit) -> Result<(), Halt> {
    if !app.powers.is_applier(&visit.who.caller) {
        return Err(Error::Forbidden("an applier or an admin").into());
    }
    visit.fresh(app)
}

/// The form, with the file as it is.
pub(in crate::http::portal) async fn form(State(app): State<App>, visit: Visit) -> Result<Response, Halt> {
    for_applying(&app, &visit)?;
    let file = app.access.find_document().await.map_err(Error::from)?.text;
    Ok(show(&Change::of(&app, &visit, file)))
}

/// Plans the file; applies it where this very plan has been seen.
pub(in crate::http::portal) async fn change(State(app): State<App>, form: PostedFile<Wish>) -> Result<Response, Halt> {
    let PostedFile(Posted { visit, input: Wish { file, revision } }, _place) = form;
    for_applying(&app, &visit)?;
    // A browser's text area has its own ends of lines.
    let file = file.replace("\r\n", "\n");
    let mut page = Change::of(&app, &visit, String::new());
    let planned = app.access.plan(file.clone(), visit.who.caller.principal()).await;
    let planned = match planned {
        Ok(planned) if revision == planned.revision.to_string() => {
            match app.access.apply(planned, &visit.who.actor, visit.who.caller.groups()).await {
                Ok(_) => return Ok(go("/allowlist/file")),
                Err(AccessError::Stale(_)) => app.access.plan(file.clone(), visit.who.caller.principal()).await,
                Err(error) => Err(error),
            }
        }
        planned => planned,
    };
    page.file = file;
    match planned {
        Ok(planned) => {
            page.overtaken = !revision.is_empty();
            page.planned = Some(Shape { revision: planned.revision, plan: planned.plan });
            let status = if page.overtaken { StatusCode::PRECONDITION_FAILED } else { StatusCode::OK };
            Ok((status, show(&page)).into_response())
        }
        Err(error) => {
            let (refused, told) = Refused::of(error.into());
            page.refused = refused;
            Ok(show_told(&page, told))
        }
    }
}
