//! Why, or why not: the API's own explanation, for anybody and any role.

use super::{body, frame, given, groups, number, principal};
use crate::{
    allowlist::Explanation,
    app::App,
    http::{
        api,
        error::Error,
        extract::Params,
        portal::{
            access::offered::span,
            audit::Reader,
            extract::{Halt, Visit},
            page::{Frame, Refused, show, show_told},
        },
    },
    input::{Faults, read},
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
    person: String,
    #[deserr(default)]
    groups: String,
    #[deserr(default)]
    role: String,
    #[deserr(default)]
    reason: String,
    /// In seconds.
    #[deserr(default)]
    duration: String,
    #[deserr(default)]
    source_ip: String,
}

impl Asked {
    fn is_empty(&self) -> bool {
        given(&self.person).is_none() && given(&self.role).is_none()
    }

    fn read(&self) -> Result<api::explain::Body, Faults> {
        let text = |text: &str| given(text).map(|text| Value::from(text.to_owned()));
        let Some(person) = given(&self.person) else {
            return Err(Faults::at("/principal", "expected somebody, such as alice@example.com"));
        };
        read(body([
            ("principal", Some(principal(person).into())),
            ("groups", Some(groups(&self.groups).into())),
            ("role", text(&self.role)),
            ("reason", text(&self.reason)),
            ("duration_seconds", given(&self.duration).map(number)),
            ("source_ip", text(&self.source_ip)),
        ]))
    }
}

#[derive(Template)]
#[template(path = "allowlist_explain.html", config = "src/http/portal/askama.toml")]
struct Page {
    frame: Frame,
    asked: Asked,
    explained: Option<Explanation>,
    refused: Option<Refused>,
}

impl Page {
    const FIELDS: [&'static str; 5] = ["/principal", "/groups", "/role", "/reason", "/source_ip"];
    /// What there is to choose from.
    const DURATIONS: [u32; 7] = [900, 1800, 3600, 7200, 14_400, 28_800, 43_200];

    fn fault(&self, pointer: &str) -> Option<&str> {
        self.refused.as_ref()?.fault(pointer)
    }
}

/// The form, and the answer.
pub(in crate::http::portal) async fn page(
    State(app): State<App>,
    Reader(visit): Reader,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let mut page = Page { frame: frame(&app, &visit, "Explain"), explained: None, refused: None, asked };
    if page.asked.is_empty() {
        return Ok(show(&page));
    }
    match explain(&app, &visit, &page.asked).await {
        Ok(explained) => {
            page.explained = Some(explained);
            Ok(show(&page))
        }
        Err(error) => {
            let (refused, told) = Refused::of(error);
            page.refused = refused;
            Ok(show_told(&page, told))
        }
    }
}

async fn explain(app: &App, visit: &Visit, asked: &Asked) -> Result<Explanation, Error> {
    asked.read()?.explain(app, &visit.who).await
}
