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
    page::{Frame, Refused, show, show_told},
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
        error::Error,
        extract::{Authenticated, RoleInPath},
    },
    input::Faults,
    model::{Invalid, Principal, Reason, RoleRef, SessionDuration, Time},
};
use askama::Template;
use axum::{extract::State, response::Response};
use deserr::Deserr;

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
    /// Not to be seen by whoever looks over a shoulder.
    secret: bool,
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
            names: Names::of(app, visit),
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
        let (refused, told) = Refused::of(error);
        self.refused = refused;
        show_told(&self, told)
    }

    /// What is wrong with a field.
    fn fault(&self, pointer: &str) -> Option<&str> {
        self.refused.as_ref()?.fault(pointer)
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

impl Given {
    fn of(issued: &Issued, region: &str, role: &RoleRef, reason: &str) -> Self {
        written(issued, None, region, |credentials| Self {
            issuance: credentials.issuance_id.to_owned(),
            session: credentials.assumed_role_arn.to_owned(),
            expires_at: issued.credentials.facts().expires_at,
            lasts: span(credentials.duration_seconds),
            limit: issued.permit.clamped_by.map(limit_words),
            forms: forms(credentials, role, reason),
            values: [
                ("Access key ID", credentials.access_key_id.to_owned()),
                ("Secret access key", credentials.secret_access_key.to_owned()),
                ("Session token", credentials.session_token.to_owned()),
                ("Expires", credentials.expires_at.to_owned()),
            ],
        })
    }
}

fn forms(credentials: &Credentials<'_>, role: &RoleRef, reason: &str) -> Vec<Form> {
    let form = |id, title, format: Format, hint: String| {
        let text = format.write(credentials).ok();
        Form { id, title, hint, secret: true, text }
    };
    let paste = |shell: &str| format!("Paste this into {shell}: it has the role then, and so has what it starts.");
    let profile = credentials.profile;
    let file =
        format!("Put this into ~/.aws/credentials, in place of a section of this name; then say --profile {profile}.");
    vec![
        form("env", "bash, zsh", Format::Env, paste("the shell")),
        form("fish", "fish", Format::Fish, paste("fish")),
        form("powershell", "PowerShell", Format::PowerShell, paste("PowerShell")),
        form("cmd", "cmd", Format::Cmd, paste("the command prompt")),
        form("ini", "Credentials file", Format::Ini, file),
        Form {
            id: "config",
            title: "Config profile",
            hint: format!(
                "Put this into ~/.aws/config, sign in with hallpass login, then say --profile {profile}. It holds no secret: \
                 the hallpass command fetches new credentials whenever some end."
            ),
            secret: false,
            text: Some(config_profile(profile, role, reason)),
        },
    ]
}

/// A profile that asks for new credentials by itself. AWS's tools and each system's shell quote in ways of their own: only a
/// reason that needs next to none goes in.
fn config_profile(profile: &str, role: &RoleRef, reason: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._:/-".contains(c);
    let reason = Some(reason.trim()).filter(|reason| !reason.is_empty() && reason.chars().all(plain));
    let reason = reason.map(|reason| format!(" --reason=\"{reason}\"")).unwrap_or_default();
    format!("[profile {profile}]\ncredential_process = hallpass creds {role} --format process{reason}\n")
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
    let request = Request { role: role.clone(), ask: wish.ask()?, purpose: Purpose::Api };
    let issued = app.broker.issue(who.caller, who.actor, request).await?;
    Ok(Given::of(&issued, &app.region, &role, &wish.reason))
}

async fn open_console(app: &App, who: Authenticated, role: RoleRef, wish: &Wish) -> Result<Response, Error> {
    let home = app.sts.sign_in().map_err(IssueError::from)?.destination(None);
    let home = home.map_err(|expected| Faults::at("/destination", format!("expected {expected}")))?;
    let request = Request { role, ask: wish.ask()?, purpose: Purpose::Console };
    let link = app.broker.sign_in(who.caller, who.actor, request, home).await?;
    Ok(go(link.address().expose()))
}
