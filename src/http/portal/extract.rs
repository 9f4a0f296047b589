//! What a page's signature can ask for. Who has no session is led to sign in and back.

use crate::{
    app::App,
    http::{
        arrival::Arrival,
        cookie,
        error::Error,
        extract::{Authenticated, file_form, form, recognised},
    },
    identity::{LocalPath, Portal, SignedIn},
    input::{Faults, read},
};
use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use deserr::Deserr;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

/// Why there is no page: something is wrong, or the way leads elsewhere first.
pub(in crate::http) enum Halt {
    Error(Error),
    /// To sign in, and back to there. `fresh`: to say again who it is.
    SignIn {
        to: String,
        fresh: bool,
    },
}

impl<E: Into<Error>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl IntoResponse for Halt {
    fn into_response(self) -> Response {
        match self {
            Self::Error(error) => error.into_response(),
            Self::SignIn { to, fresh } => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                if fresh {
                    query.append_pair("fresh", "true");
                }
                if LocalPath::parse(&to).is_some() {
                    query.append_pair("to", &to);
                }
                (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/login?{}", query.finish()))]).into_response()
            }
        }
    }
}

/// The portal, on an address that is only there with one.
pub(super) fn portal(app: &App) -> Result<&Portal, Error> {
    app.portal.as_ref().ok_or(Error::NotFound)
}

/// Whoever is signed in, if anybody is.
pub(super) async fn find(app: &App, headers: &HeaderMap) -> Result<Option<SignedIn>, Error> {
    match cookie::session_cookie(headers) {
        Some(cookie) => Ok(portal(app)?.find(cookie).await?),
        None => Ok(None),
    }
}

/// Somebody who looks at a page. Not for a form: that is [`Posted`].
pub(in crate::http) struct Visit {
    pub(in crate::http) who: Authenticated,
    pub(in crate::http) session: SignedIn,
    /// This page's address, as it was asked for.
    at: String,
}

impl Visit {
    async fn of(parts: &Parts, app: &App) -> Result<Self, Halt> {
        let at = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let Some(session) = find(app, &parts.headers).await? else {
            return Err(Halt::SignIn { to: at, fresh: false });
        };
        let arrival = parts.extensions.get::<Arrival>().ok_or(Error::Panic)?;
        let who = recognised(session.caller().clone(), arrival)?;
        Ok(Self { who, session, at })
    }

    /// This page's address, with its query.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// For a page with a form that changes something: goes on where the person signed in within the last 15 minutes, and
    /// else leads through a new sign-in and back. To be asked where the page is shown and where its form is posted.
    pub(in crate::http) fn fresh(&self, app: &App) -> Result<(), Halt> {
        if portal(app)?.is_fresh(&self.who.caller) {
            Ok(())
        } else {
            Err(Halt::SignIn { to: self.at.clone(), fresh: true })
        }
    }
}

impl FromRequestParts<App> for Visit {
    type Rejection = Halt;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Halt> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Error::MethodNotAllowed.into());
        }
        Self::of(parts, app).await
    }
}

/// A form that somebody sent from one of their own pages: its `csrf` field (or the header `x-csrf-token`) is the session's.
pub(in crate::http) struct Posted<T> {
    pub(in crate::http) visit: Visit,
    pub(in crate::http) input: T,
}

impl<T: Deserr<Faults>> FromRequest<App> for Posted<T> {
    type Rejection = Halt;

    async fn from_request(request: Request, app: &App) -> Result<Self, Halt> {
        let (visit, sent, request) = arrive(request, app).await?;
        let fields = form(request).await?;
        Self::read(visit, sent.as_deref(), fields)
    }
}

/// Likewise with an allowlist file in it, and its place among the few that are dealt with at once.
pub(in crate::http) struct PostedFile<T>(pub(in crate::http) Posted<T>, pub(in crate::http) OwnedSemaphorePermit);

impl<T: Deserr<Faults>> FromRequest<App> for PostedFile<T> {
    type Rejection = Halt;

    async fn from_request(request: Request, app: &App) -> Result<Self, Halt> {
        let (visit, sent, request) = arrive(request, app).await?;
        // Who may not change it sends no large form.
        if !app.powers.is_applier(&visit.who.caller) {
            return Err(Error::Forbidden("an applier or an admin").into());
        }
        let (fields, place) = file_form(request).await?;
        Ok(Self(Posted::read(visit, sent.as_deref(), fields)?, place))
    }
}

/// Who sends a form, what they send in its header, and the form, still unread.
async fn arrive(request: Request, app: &App) -> Result<(Visit, Option<String>, Request), Halt> {
    let (parts, body) = request.into_parts();
    let visit = Visit::of(&parts, app).await?;
    let sent = parts.headers.get("x-csrf-token").and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok((visit, sent, Request::from_parts(parts, body)))
}

impl<T: Deserr<Faults>> Posted<T> {
    fn read(visit: Visit, sent: Option<&str>, mut fields: Map<String, Value>) -> Result<Self, Halt> {
        let field = fields.remove("csrf");
        let field = field.as_ref().and_then(Value::as_str);
        if !sent.or(field).is_some_and(|token| visit.session.is_csrf_token(token)) {
            return Err(Error::Forged.into());
        }
        Ok(Self { visit, input: read(Value::Object(fields)).map_err(Error::from)? })
    }
}
