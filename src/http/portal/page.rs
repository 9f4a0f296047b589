//! The frame that every page hangs in, and the page that an error becomes.

use super::{assets, extract::Visit, guard::secure};
use crate::{
    app::App,
    http::error::{Error, Problem, Told},
    model::Time,
};
use askama::Template;
use axum::{
    http::header,
    response::{Html, IntoResponse, Response},
};
use serde_json::Value;

/// Whose navigation leads there.
enum Seen {
    All,
    Auditors,
}

/// What the navigation leads to, and who may see it.
const PAGES: [(&str, &str, Seen); 5] = [
    ("/access", "My access", Seen::All),
    ("/activity", "My activity", Seen::All),
    ("/allowlist", "Allowlist", Seen::Auditors),
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

/// Why something was not done, for people.
pub(super) struct Refused {
    pub(super) code: &'static str,
    pub(super) detail: String,
    /// What fails, a sentence each.
    pub(super) reasons: Vec<String>,
    /// What is wrong with which field, by the pointer that the API has for it.
    pub(super) fields: Vec<Fault>,
}

/// What is wrong with a field, or with a line of a file.
pub(super) struct Fault {
    pub(super) pointer: String,
    pub(super) problem: String,
    /// In an allowlist file.
    pub(super) line: Option<u64>,
}

impl Refused {
    /// What the API would say, and its answer, for [`show_told`] to put a page into.
    pub(super) fn of(error: Error) -> (Option<Self>, Response) {
        let mut answer = error.into_response();
        let problem = answer.extensions_mut().remove::<Problem>();
        if let Some(problem) = &problem {
            answer.extensions_mut().insert(Told(problem.code));
        }
        (problem.map(Self::read), answer)
    }

    fn read(problem: Problem) -> Self {
        // What the API says names the API's own ways on.
        let detail = match problem.code {
            "not_allowed" => "No grant of yours allows this role now, or there is no such role.".to_owned(),
            "invalid_request" if problem.errors.is_some() => "Mend what is marked.".to_owned(),
            _ => problem.detail,
        };
        let list = |list: Option<Value>| list.and_then(|list| list.as_array().cloned()).unwrap_or_default();
        let text = |value: &Value, member: &str| value[member].as_str().unwrap_or_default().to_owned();
        Self {
            code: problem.code,
            detail,
            reasons: list(problem.reasons).iter().map(|reason| text(reason, "detail")).collect(),
            fields: list(problem.errors)
                .iter()
                .map(|error| Fault {
                    pointer: text(error, "pointer"),
                    problem: text(error, "problem"),
                    line: error["line"].as_u64(),
                })
                .collect(),
        }
    }

    /// What is wrong with this field.
    pub(super) fn fault(&self, pointer: &str) -> Option<&str> {
        self.fields.iter().find(|fault| fault.pointer == pointer).map(|fault| fault.problem.as_str())
    }

    /// What is wrong with no field of the form's.
    pub(super) fn others<'a>(&'a self, fields: &'a [&str]) -> impl Iterator<Item = &'a Fault> {
        let shown = |fault: &&Fault| fields.iter().any(|field| fault.pointer.starts_with(field));
        self.fields.iter().filter(move |fault| !shown(fault))
    }
}

/// A page that says what went wrong, with the status and the headers that the API's answer has.
pub(super) fn show_told(page: &impl Template, mut answer: Response) -> Response {
    let page = show(page);
    answer.headers_mut().extend(page.headers().clone());
    *answer.body_mut() = page.into_body();
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    answer
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
    told: Refused,
}

/// The same facts as the API's, for people.
pub(in crate::http) fn error_page(app: &App, problem: Problem, mut answer: Response) -> Response {
    let told = Refused::read(problem.clone());
    let page = ErrorPage { frame: Frame::bare("Something is in the way"), problem: &problem, told };
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
