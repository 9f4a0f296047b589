//! In and out.

use super::{
    extract::{Halt, Posted, find, portal},
    page::{Frame, show},
};
use crate::{
    app::App,
    http::{arrival::Arrival, cookie, error::Error, extract::Params},
    identity::{Attempt, LocalPath, SignInError, SignedIn, Visitor},
    input::Faults,
};
use askama::Template;
use axum::{
    Extension,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use deserr::Deserr;

/// Where people begin.
const HOME: &str = "/access";

#[derive(Template)]
#[template(path = "signed_out.html", config = "src/http/portal/askama.toml")]
struct SignedOut {
    frame: Frame,
}

/// To one's own page; to the provider where nobody is signed in, but not just after a sign-out.
pub(super) async fn front(State(app): State<App>, headers: HeaderMap) -> Result<Response, Halt> {
    if find(&app, &headers).await?.is_some() {
        return Ok(go(HOME));
    }
    if !cookie::is_signed_out(&headers) {
        return Err(Halt::SignIn { to: HOME.to_owned(), fresh: false });
    }
    let mut response = show(&SignedOut { frame: Frame::bare("Signed out") });
    cookie::clear_signed_out(response.headers_mut());
    Ok(response)
}

#[derive(Debug, Deserr)]
#[deserr(error = Faults)]
pub(super) struct Begin {
    #[deserr(default)]
    to: Option<String>,
    #[deserr(default)]
    fresh: Option<String>,
}

/// To the provider.
pub(super) async fn begin(
    State(app): State<App>,
    headers: HeaderMap,
    Params(query): Params<Begin>,
) -> Result<Response, Halt> {
    let to = query.to.as_deref().and_then(LocalPath::parse);
    let attempt = Attempt::begin(query.fresh.is_some(), to, app.clock.now());
    let provider = portal(&app)?.begin(&attempt).await?;
    let mut response = go(provider.as_str());
    cookie::set_attempt(response.headers_mut(), &headers, &attempt);
    Ok(response)
}

/// What the provider sends a browser back with (RFC 6749, §4.1.2); what else it adds is not looked at.
#[derive(Debug, Deserr)]
#[deserr(error = Faults)]
pub(super) struct Answer {
    #[deserr(default)]
    code: Option<String>,
    #[deserr(default)]
    state: Option<String>,
}

/// Back from the provider: a new session, whatever the browser had before.
pub(super) async fn callback(
    State(app): State<App>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
    Params(answer): Params<Answer>,
) -> Result<Response, Halt> {
    arrival.limits.of_sign_in(arrival.client.ip).map_err(Error::SignInLimited)?;
    let visitor = Visitor { client: arrival.client.clone(), request_id: arrival.request_id.clone() };
    let state = answer.state.unwrap_or_default();
    let attempt = cookie::attempt(&headers, &state);
    let signed_in = finish(&app, attempt.as_ref(), &state, answer.code.as_deref(), &visitor).await;
    let mut response = match signed_in {
        Ok(session) => {
            let _ = arrival.caller.set(session.caller().clone());
            if let Some(old) = find(&app, &headers).await? {
                portal(&app)?.end(old.id(), old.caller().principal()).await?;
            }
            let to = attempt.as_ref().and_then(|attempt| attempt.to()).map_or(HOME, LocalPath::as_str);
            let mut response = go(&format!("{}{to}", portal(&app)?.public_url()));
            cookie::set_session(response.headers_mut(), &session.cookie());
            response
        }
        Err(error) => {
            portal(&app)?.record_failure(&error, &visitor).await?;
            Error::from(error).into_response()
        }
    };
    cookie::clear_attempt(response.headers_mut(), &state);
    Ok(response)
}

async fn finish(
    app: &App,
    attempt: Option<&Attempt>,
    state: &str,
    code: Option<&str>,
    visitor: &Visitor,
) -> Result<SignedIn, SignInError> {
    let (Some(portal), Some(attempt)) = (&app.portal, attempt) else { return Err(SignInError::Stale) };
    portal.finish(attempt, state, code.ok_or(SignInError::Refused)?, visitor).await
}

/// A form with nothing in it.
#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
struct Nothing {}

/// Ends the session, here and at the provider. One that is over already is no reason to stay signed in there.
pub(super) async fn end(State(app): State<App>, request: Request) -> Result<Response, Halt> {
    if find(&app, request.headers()).await?.is_some() {
        let Posted { visit, input: Nothing {} } = Posted::from_request(request, &app).await?;
        portal(&app)?.end(visit.session.id(), visit.session.caller().principal()).await?;
    }
    let provider = portal(&app)?.end_session().await;
    let mut response = go(provider.as_ref().map_or("/", |url| url.as_str()));
    cookie::clear_session(response.headers_mut());
    Ok(response)
}

/// Elsewhere, by GET.
pub(super) fn go(to: &str) -> Response {
    let location = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}
