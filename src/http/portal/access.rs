//! One's own page.

use super::{
    extract::{Halt, Visit},
    page::{Frame, show},
};
use crate::app::App;
use askama::Template;
use axum::{extract::State, response::Response};

#[derive(Template)]
#[template(path = "access.html", config = "src/http/portal/askama.toml")]
struct Access {
    frame: Frame,
    groups: Vec<String>,
}

/// Who one is to the allowlist.
pub(super) async fn page(State(app): State<App>, visit: Visit) -> Result<Response, Halt> {
    let groups = visit.who.caller.groups().iter().map(ToString::to_string).collect();
    Ok(show(&Access { frame: Frame::of(&app, &visit, "My access"), groups }))
}
