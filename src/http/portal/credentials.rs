//! One role: what it needs, and the two ways into it, the console and credentials. Asks the broker as the API does.
//!
//! What was issued stands on the page that answers the form, and nowhere else: no address leads back to it, nothing keeps
//! it. Must never put a secret anywhere but into such a page, or the address of the sign-in service.

use super::{
    access::{
        Names,
        offered::{Offered, span},
    },
    extract::{Halt, Posted, Visit},
    page::{Frame, show},
    sign_in::go,
};
use crate::{
    allowlist::{Ask, Limit, explain},
    app::App,
    audit::Purpose,
    broker::{IssueError, Issued, Request},
    format::{Credentials, Format},
    http::{
        api::credentials::written,
        error::{Error, Problem, Told},
        extract::{Authenticated, RoleInPath},
    },
    input::Faults,
    model::{Invalid, Principal, Reason, RoleRef, SessionDuration, Time},
};
use askama::Template;
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use deserr::Deserr;
use serde_json::Value;

#[derive(Template)]
#[template(path = "role.html", config = "src/http/portal/askama.toml")]
struct RolePage {
    frame: Frame,
    csrf: String,
    here: String,
    role: RoleRef,
    /// `None` where no grant stands, or there is no such role: the two look the same.
    offered: Option<Offered>,
    /// What fails in the visitor's own grants, where none stands.
    failing: Vec<String>,
    names: Names,
    /// The console can be opened.
    console: bool,
    wish: Wish,
    refused: Option<Refused>,
    given: Option<Given>,
}

/// What was typed.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(super) struct Wish {
    #[deserr(default)]
    want: Want,
    #[deserr(default)]
    reason: String,
    /// In seconds.
    #[deserr(default)]
    duration: String,
}

#[derive(Clone, Copy, Debug, Default, Deserr)]
#[deserr(rename_all = lowercase)]
pub(super) enum Want {
    #[default]
    Credentials,
    Console,
}

/// Why there is nothing, for people.
struct Refused {
    code: &'static str,
    detail: String,
    reasons: Vec<String>,
    /// What is wrong with which field, by the pointer that the API has for it.
    fields: Vec<(String, String)>,
}

/// What was issued.
struct Given {
    issuance: String,
    session: String,
    expires_at: Time,
    lasts: String,
    /// What made it shorter than usual.
    limit: Option<&'static str>,
    forms: Vec<Form>,
    values: [(&'static str, String); 4],
}

/// Credentials as one reader wants them.
struct Form {
    id: &'static str,
    title: &'static str,
    hint: String,
    /// `None` where this reader has no way to write them.
    text: Option<String>,
}

impl RolePage {
    async fn find(app: &App, visit: &Visit, role: RoleRef) -> Result<Self, Error> {
        let asker = visit.who.asker();
        let principals: Vec<&Principal> = asker.principals().collect();
        let candidates = app.store.find_candidates(&principals, &role).await?;
        let chained = app.sts.identity().is_some_and(|identity| identity.chained);
        let now = app.clock.now();
        let offered = Offered::of(&candidates, &asker, chained, now);
        let explained = offered.is_none().then(|| explain(&candidates, &asker, &Ask::default(), chained, now));
        let failing = explained.into_iter().flat_map(|explained| explained.reasons);
        Ok(Self {
            frame: Frame::of(app, visit, "My access"),
            csrf: visit.session.csrf_token(),
            here: visit.at().to_owned(),
            failing: failing.map(|failing| failing.detail).collect(),
            names: Names::of(visit),
            console: app.sts.sign_in().is_ok(),
            wish: Wish::default(),
            refused: None,
            given: None,
            role,
            offered,
        })
    }

    /// With the status of what went wrong, where something did.
    fn answer(mut self, error: Option<Error>) -> Response {
        let Some(error) = error else { return show(&self) };
        let mut response = error.into_response();
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            response.extensions_mut().insert(Told(problem.code));
            self.refused = Some(Refused::of(&problem));
        }
        let page = show(&self);
        response.headers_mut().extend(page.headers().clone());
        *response.body_mut() = page.into_body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
    }

    /// What is wrong with a field.
    fn fault(&self, pointer: &str) -> Option<&str> {
        let fields = self.refused.iter().flat_map(|refused| &refused.fields);
        fields.clone().find(|(at, _)| at == pointer).map(|(_, problem)| problem.as_str())
    }

    /// The length that stands in the form: what was chosen, else what there is without a choice.
    fn is_chosen(&self, offered: &Offered, seconds: u32) -> bool {
        let usual = offered.longest.min(SessionDuration::HOUR).seconds();
        self.wish.duration.parse().unwrap_or(usual) == seconds
    }
}

impl Wish {
    fn ask(&self) -> Result<Ask, Faults> {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut faults = Faults::default();
        let mut note = |pointer: &str, fault: Invalid| faults.push(pointer, format!("expected {fault}"));
        let seconds = |text: String| {
            let seconds = text.parse().map_err(|_| Invalid::new("a whole number of seconds"))?;
            SessionDuration::from_seconds(seconds)
        };
        let duration = given(&self.duration).map(seconds).transpose();
        let reason = given(&self.reason).map(|text| Reason::parse(&text)).transpose();
        let duration = duration.map_err(|fault| note("/duration_seconds", fault));
        let reason = reason.map_err(|fault| note("/reason", fault));
        match (duration, reason) {
            (Ok(duration), Ok(reason)) => Ok(Ask { duration, reason, ..Ask::default() }),
            _ => Err(faults),
        }
    }
}

impl Refused {
    fn of(problem: &Problem) -> Self {
        // What the API says names the API's own ways on.
        let detail = match problem.code {
            "not_allowed" => "No grant of yours allows this role now, or there is no such role.",
            "invalid_request" => "Mend what is marked.",
            _ => &problem.detail,
        };
        let list = |list: &Option<Value>| list.iter().filter_map(|list| list.as_array().cloned()).flatten().collect();
        let text = |value: &Value, member: &str| value[member].as_str().unwrap_or_default().to_owned();
        let (reasons, errors): (Vec<Value>, Vec<Value>) = (list(&problem.reasons), list(&problem.errors));
        Self {
            code: problem.code,
            detail: detail.to_owned(),
            reasons: reasons.iter().map(|reason| text(reason, "detail")).collect(),
            fields: errors.iter().map(|error| (text(error, "pointer"), text(error, "problem"))).collect(),
        }
    }
}

impl Given {
    fn of(issued: &Issued, region: &str) -> Self {
        written(issued, None, region, |credentials| Self {
            issuance: credentials.issuance_id.to_owned(),
            session: credentials.assumed_role_arn.to_owned(),
            expires_at: issued.credentials.facts().expires_at,
            lasts: span(credentials.duration_seconds),
            limit: issued.permit.clamped_by.map(limit_words),
            forms: forms(credentials),
            values: [
                ("Access key ID", credentials.access_key_id.to_owned()),
                ("Secret access key", credentials.secret_access_key.to_owned()),
                ("Session token", credentials.session_token.to_owned()),
                ("Expires", credentials.expires_at.to_owned()),
            ],
        })
    }
}

fn forms(credentials: &Credentials<'_>) -> Vec<Form> {
    let profile = credentials.profile;
    let form = |id, title, format: Format, hint: String| Form { id, title, hint, text: format.write(credentials).ok() };
    let paste = |shell: &str| format!("Paste this into {shell}: it has the role then, and so has what it starts.");
    let file =
        |file: &str| format!("Put this into {file}, in place of a section of this name, then say --profile {profile}.");
    let mut config = form("config", "Config profile", Format::Ini, file("~/.aws/config"));
    config.text = config.text.map(|text| text.replacen('[', "[profile ", 1));
    vec![
        form("env", "bash, zsh", Format::Env, paste("the shell")),
        form("fish", "fish", Format::Fish, paste("fish")),
        form("powershell", "PowerShell", Format::PowerShell, paste("PowerShell")),
        form("cmd", "cmd", Format::Cmd, paste("the command prompt")),
        form("ini", "Credentials file", Format::Ini, file("~/.aws/credentials")),
        config,
    ]
}

/// What keeps a session from being longer.
const fn limit_words(limit: Limit) -> &'static str {
    match limit {
        Limit::Grant => "the grant allows no more",
        Limit::GrantExpiry => "the grant ends then",
        Limit::Role => "the role allows no more",
        Limit::Token => "your sign-in ends then",
        Limit::RoleChaining => "the broker itself runs on a role, and AWS then allows an hour",
    }
}

/// The role's page, with nothing issued.
pub(super) async fn page(State(app): State<App>, visit: Visit, RoleInPath(role): RoleInPath) -> Result<Response, Halt> {
    Ok(RolePage::find(&app, &visit, role).await?.answer(None))
}

/// Issues what was asked for: credentials onto the page, or the console, where the browser goes on to.
pub(super) async fn give(
    State(app): State<App>,
    RoleInPath(role): RoleInPath,
    form: Posted<Wish>,
) -> Result<Response, Halt> {
    let Posted { visit, input: wish } = form;
    let mut page = RolePage::find(&app, &visit, role.clone()).await?;
    let done = match wish.want {
        Want::Console => match open_console(&app, visit.who, role, &wish).await {
            Ok(response) => return Ok(response),
            Err(error) => Err(error),
        },
        Want::Credentials => issue(&app, visit.who, role, &wish).await,
    };
    page.wish = wish;
    Ok(match done {
        Ok(given) => {
            page.given = Some(given);
            page.answer(None)
        }
        Err(error) => page.answer(Some(error)),
    })
}

async fn issue(app: &App, who: Authenticated, role: RoleRef, wish: &Wish) -> Result<Given, Error> {
    let request = Request { role, ask: wish.ask()?, purpose: Purpose::Api };
    let issued = app.broker.issue(who.caller, who.actor, request).await?;
    Ok(Given::of(&issued, &app.region))
}

async fn open_console(app: &App, who: Authenticated, role: RoleRef, wish: &Wish) -> Result<Response, Error> {
    let home = app.sts.sign_in().map_err(IssueError::from)?.destination(None);
    let home = home.map_err(|expected| Faults::at("/destination", format!("expected {expected}")))?;
    let request = Request { role, ask: wish.ask()?, purpose: Purpose::Console };
    let link = app.broker.sign_in(who.caller, who.actor, request, home).await?;
    Ok(go(link.address().expose()))
}
