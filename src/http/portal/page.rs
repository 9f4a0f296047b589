//! The frame that every page hangs in, and the page that an error becomes.

use super::{assets, extract::Visit, secure};
use crate::model::Time;
use crate::{
    app::App,
    http::error::{Error, Problem},
};
use askama::Template;
use axum::response::{Html, IntoResponse, Response};

/// Whose navigation leads there.
enum Seen {
    All,
    Auditors,
}

/// What the navigation leads to, and who may see it.
const PAGES: [(&str, &str, Seen); 4] = [
    ("/access", "My access", Seen::All),
    ("/activity", "My activity", Seen::All),
    ("/audit", "Audit", Seen::Auditors),
    ("/sessions", "Sessions", Seen::All),
];

/// Around a page's own content.
pub(super) struct Frame {
    pub(super) title: &'static str,
    pub(super) person: Option<Person>,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) icon: &'static str,
}

/// Who is signed in.
pub(super) struct Person {
    pub(super) name: String,
    /// What they may do beside asking for credentials; empty for most.
    pub(super) power: &'static str,
    pub(super) csrf: String,
    pub(super) links: Vec<Link>,
}

/// One way in the navigation.
pub(super) struct Link {
    pub(super) to: &'static str,
    pub(super) text: &'static str,
    pub(super) here: bool,
}

impl Frame {
    /// Of a page that nobody is signed in on.
    pub(super) fn bare(title: &'static str) -> Self {
        Self { title, person: None, style: assets::style(), script: assets::script(), icon: assets::icon() }
    }

    /// Of somebody's page.
    pub(super) fn of(app: &App, visit: &Visit, title: &'static str) -> Self {
        let caller = &visit.who.caller;
        let power = match (app.powers.is_admin(caller), app.powers.is_auditor(caller)) {
            (true, _) => "admin",
            (false, true) => "auditor",
            (false, false) => "",
        };
        let sees = |seen: &Seen| match seen {
            Seen::All => true,
            Seen::Auditors => app.powers.is_auditor(caller),
        };
        let links = PAGES.into_iter().filter(|(_, _, seen)| sees(seen));
        let links = links.map(|(to, text, _)| Link { to, text, here: text == title }).collect();
        let person = Person { name: caller.principal().name(), power, csrf: visit.session.csrf_token(), links };
        Self { person: Some(person), ..Self::bare(title) }
    }
}

/// A time for people, to the minute: `2026-01-02 03:04 UTC`. The exact one stands in the element's `datetime`.
pub(super) fn minute(time: &Time) -> String {
    let text = time.to_string();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

/// A page, or that it could not be made.
pub(super) fn show(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(_) => Error::Panic.into_response(),
    }
}

#[derive(Template)]
#[template(path = "error.html", config = "src/http/portal/askama.toml")]
struct ErrorPage<'a> {
    frame: Frame,
    problem: &'a Problem,
}

/// The same facts as the API's, for people.
pub(in crate::http) fn error_page(app: &App, problem: Problem, mut answer: Response) -> Response {
    let page = ErrorPage { frame: Frame::bare("Something is in the way"), problem: &problem };
    let Ok(html) = page.render() else { return problem.into_response() };
    let (told, body) = (problem.into_response(), Html(html).into_response());
    let tls = app.portal.as_ref().is_some_and(|portal| portal.public_url().starts_with("https:"));
    let headers = answer.headers_mut();
    headers.extend(body.headers().clone());
    for (name, value) in
        told.headers().iter().filter(|(name, _)| ["retry-after", "cache-control"].contains(&name.as_str()))
    {
        headers.insert(name, value.clone());
    }
    headers.remove("content-length");
    secure(headers, tls);
    *answer.status_mut() = told.status();
    *answer.body_mut() = body.into_body();
    answer
}
