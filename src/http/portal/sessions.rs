//! One's own sessions.

use super::{
    extract::{Halt, Posted, Visit, portal},
    page::{Frame, show},
    sign_in::go,
};
use crate::{
    app::App,
    http::error::Error,
    input::Faults,
    model::{PortalSession, PortalSessionId},
};
use askama::Template;
use axum::{extract::State, response::Response};
use deserr::Deserr;

#[derive(Template)]
#[template(path = "sessions.html", config = "src/http/portal/askama.toml")]
struct Sessions {
    frame: Frame,
    csrf: String,
    own: PortalSessionId,
    all: Vec<PortalSession>,
}

/// The list.
pub(super) async fn page(State(app): State<App>, visit: Visit) -> Result<Response, Halt> {
    let all = portal(&app)?.list(visit.who.caller.principal()).await?;
    let (frame, csrf) = (Frame::of(&app, &visit, "Sessions"), visit.session.csrf_token());
    Ok(show(&Sessions { frame, csrf, own: visit.session.id(), all }))
}

#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(super) struct End {
    id: PortalSessionId,
}

/// Ends one of one's own; another person's is like none.
pub(super) async fn end(State(app): State<App>, form: Posted<End>) -> Result<Response, Halt> {
    let ended = portal(&app)?.end(form.input.id, form.visit.who.caller.principal()).await?;
    if ended { Ok(go("/sessions")) } else { Err(Error::NotFound.into()) }
}
