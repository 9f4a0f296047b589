//! The streams: which are open, and how far each is.

use super::{Reader, filter::address};
use crate::{
    app::App,
    audit::StreamId,
    http::{
        extract::Params,
        portal::{
            extract::Halt,
            page::{Frame, show},
        },
    },
    input::Faults,
    store::StreamState,
};
use askama::Template;
use axum::{extract::State, response::Response};
use deserr::Deserr;

/// How many a page shows.
const ON_A_PAGE: u32 = 25;

#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http::portal) struct Asked {
    #[deserr(default)]
    after: Option<StreamId>,
}

#[derive(Template)]
#[template(path = "audit_streams.html", config = "src/http/portal/askama.toml")]
struct Streams {
    frame: Frame,
    states: Vec<StreamState>,
    older: Option<String>,
}

/// Newest first.
pub(in crate::http::portal) async fn page(
    State(app): State<App>,
    Reader(visit): Reader,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let mut streams = app.evidence.list_streams(asked.after, ON_A_PAGE + 1).await?;
    let more = streams.len() > ON_A_PAGE as usize;
    streams.truncate(ON_A_PAGE as usize);
    let last = streams.last().filter(|_| more).map(|last| last.head.head.stream.to_string());
    let older = last.map(|last| address("/audit/streams", [("after", last.as_str())]));
    let mut frame = Frame::of(&app, &visit, "Audit");
    frame.title = "Audit streams";
    Ok(show(&Streams { frame, states: streams, older }))
}
