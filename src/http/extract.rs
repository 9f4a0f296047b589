//! What a handler's signature can ask for: who is calling and with which power, a body, a query. Each is checked before
//! the handler runs; who comes first.

use super::{arrival::Arrival, cookie::session_cookie, error::Error};
use crate::{
    allowlist::Asker,
    app::App,
    audit::{Actor, AuthMethod, Kind},
    broker,
    identity::{AuthError, AuthFault, Caller, Door, Portal, bearer_token, verbatim_token},
    input::{Faults, parse_json, read},
    model::{AccountRef, Invalid, RoleName, RoleRef, with_causes},
};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
};
use deserr::Deserr;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};
use std::{str::FromStr, sync::Arc, time::Duration};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

/// The largest JSON body.
const JSON_LIMIT: usize = 64 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";
/// The largest allowlist file, and the largest form that one is in.
const FILE_LIMIT: usize = 16 * 1024 * 1024;

/// Any caller who could be made out, by something that is good for the API.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) caller: Arc<Caller>,
    pub(super) actor: Actor,
}

impl Authenticated {
    /// Who asks, as a decision sees them.
    pub(super) fn asker(&self) -> Asker {
        broker::asker(&self.caller, &self.actor)
    }
}

impl FromRequestParts<App> for Authenticated {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let Known(who) = Known::from_request_parts(parts, app).await?;
        if who.caller.opens(Door::Api) { Ok(who) } else { Err(Error::ContainerOnly) }
    }
}

/// Whose every request is: set by [`desk`](super::desk), which is inside this process, and by nothing that comes from outside.
#[derive(Clone, Debug)]
pub(super) struct Operator(pub(super) Arc<Caller>);

/// Any caller who could be made out, whatever door what they call with is good for.
#[derive(Debug)]
pub(super) struct Known(pub(super) Authenticated);

impl FromRequestParts<App> for Known {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let found = match parts.extensions.get::<Operator>() {
            Some(Operator(caller)) => Ok(caller.clone()),
            None => find_caller(app, &parts.method, &parts.headers).await,
        };
        authenticate(parts, app, found).await.map(Self)
    }
}

/// Any caller who could be made out, by a header that may hold the token and nothing else: what the container-credentials
/// protocol sends, and no other request may.
#[derive(Debug)]
pub(super) struct Verbatim(pub(super) Authenticated);

impl FromRequestParts<App> for Verbatim {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        // Where GET hands something out, HEAD would have it made and thrown away.
        if parts.method == Method::HEAD {
            return Err(Error::MethodNotAllowed);
        }
        let found = find_by_token(app, verbatim_token(authorization(&parts.headers))).await;
        authenticate(parts, app, found).await.map(Self)
    }
}

fn authorization(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes)
}

async fn find_by_token(app: &App, token: Result<&str, AuthError>) -> Result<Arc<Caller>, AuthError> {
    app.identity.caller_from_bearer(token?).await
}

/// Counts whoever has been made out, and puts a failure on record.
async fn authenticate(parts: &Parts, app: &App, found: Result<Arc<Caller>, AuthError>) -> Result<Authenticated, Error> {
    let arrival = parts.extensions.get::<Arrival>().ok_or(Error::Panic)?;
    match found {
        Ok(caller) => recognised(caller, arrival),
        Err(error) => {
            app.metrics.authentication_failed(error.fault().code());
            // Nothing can be recorded in a database that is away.
            if error.fault() != AuthFault::StoreUnavailable {
                record_failure(app, arrival, &error).await?;
            }
            // What cannot be looked at is nobody's guess.
            if !error.fault().is_ours() {
                arrival.limits.of_failure(arrival.client.ip).map_err(Error::AddressLimited)?;
            }
            Err(error.into())
        }
    }
}

/// A caller who has been made out, noted for the log and counted.
pub(super) fn recognised(caller: Arc<Caller>, arrival: &Arrival) -> Result<Authenticated, Error> {
    let _ = arrival.caller.set(caller.clone());
    arrival.limits.of_caller(caller.principal()).map_err(Error::CallerLimited)?;
    let actor = Actor {
        principal: caller.principal().clone(),
        auth: caller.auth().clone(),
        client: Some(arrival.client.clone()).filter(|_| !caller.is_at_the_database()),
        request_id: Some(arrival.request_id.clone()),
    };
    Ok(Authenticated { caller, actor })
}

/// Where there is an `Authorization` header it alone counts, good or bad: a request is never somebody else's than it says.
async fn find_caller(app: &App, method: &Method, headers: &HeaderMap) -> Result<Arc<Caller>, AuthError> {
    if !headers.contains_key(header::AUTHORIZATION)
        && let Some(portal) = &app.portal
        && let Some(cookie) = session_cookie(headers)
    {
        return find_session(portal, cookie, method, headers).await;
    }
    find_by_token(app, bearer_token(authorization(headers))).await
}

/// A browser sends the cookie whatever page makes it ask. So it counts only where the browser says that it is one of this
/// origin's, which a page cannot forge, and for a change only with what such a page alone can read.
async fn find_session(
    portal: &Portal,
    cookie: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Arc<Caller>, AuthError> {
    let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if told("sec-fetch-site") != Some("same-origin") {
        return Err(AuthFault::Unauthenticated.into());
    }
    let found = portal.find(cookie).await.map_err(|error| {
        tracing::error!(error = %with_causes(&error), "a session cannot be looked up");
        AuthFault::StoreUnavailable
    })?;
    let session = found.ok_or(AuthFault::Unauthenticated)?;
    let safe = matches!(*method, Method::GET | Method::HEAD);
    if safe || told("x-csrf-token").is_some_and(|token| session.is_csrf_token(token)) {
        Ok(session.caller().clone())
    } else {
        Err(AuthFault::Unauthenticated.into())
    }
}

/// Folded by the recorder: nobody fills the disk from outside.
async fn record_failure(app: &App, arrival: &Arrival, error: &AuthError) -> Result<(), Error> {
    let mut event = crate::audit::Event::new(Kind::AuthenticationFailed, app.clock.new_id(), app.clock.now());
    event.client = Some(arrival.client.clone());
    event.request_id = Some(arrival.request_id.clone());
    event.code = Some(error.fault().code().as_str());
    // What the token claims, and all that is known of it: failures of one issuer do not hide those of another.
    event.auth = error.auth();
    event.detail.insert("problem".to_owned(), error.to_string().into());
    Ok(app.recorder.record(event).await?)
}

/// Who changes something through the portal signed in within the last 15 minutes: a browser that was left open is not enough.
fn check_sign_in(app: &App, method: &Method, caller: &Caller) -> Result<(), Error> {
    let by_session = caller.auth().method == AuthMethod::Session && !matches!(*method, Method::GET | Method::HEAD);
    let fresh = app.portal.as_ref().is_some_and(|portal| portal.is_fresh(caller));
    if by_session && !fresh { Err(Error::SignInOld) } else { Ok(()) }
}

macro_rules! power {
    ($(#[$doc:meta])* $name:ident $(($authenticated:ty))?, $who:literal, |$app:ident, $caller:ident| $holds:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name$((pub(super) $authenticated))?;

        impl FromRequestParts<App> for $name {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
                let authenticated = Authenticated::from_request_parts(parts, app).await?;
                let ($app, $caller) = (app, &authenticated.caller);
                if !$holds {
                    return Err(Error::Forbidden($who));
                }
                check_sign_in(app, &parts.method, $caller)?;
                Ok(power!(@made authenticated, $name $(($authenticated))?))
            }
        }
    };
    (@made $value:ident, $name:ident ($authenticated:ty)) => { $name($value) };
    (@made $value:ident, $name:ident) => { $name };
}

power!(
    /// May change everything.
    Admin(Authenticated), "an admin", |app, caller| app.powers.is_admin(caller)
);
power!(
    /// May read everything.
    Auditor(Authenticated), "an auditor or an admin", |app, caller| app.powers.is_auditor(caller)
);
power!(
    /// May plan and apply the allowlist file.
    Applier(Authenticated), "an applier or an admin", |app, caller| app.powers.is_applier(caller)
);
power!(
    /// May make API tokens.
    TokenCreator(Authenticated), "a person among the token creators, or an admin, signed in without an API token,",
    |app, caller| app.powers.is_token_creator(caller)
);
power!(
    /// May read the allowlist file.
    FileReader, "an auditor, an applier or an admin",
    |app, caller| app.powers.is_auditor(caller) || app.powers.is_applier(caller)
);

/// A JSON body read into `T`: every fault with its pointer.
#[derive(Debug)]
pub(super) struct Input<T>(pub(super) T);

impl<T: Deserr<Faults>> FromRequest<App> for Input<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &App) -> Result<Self, Error> {
        expect_type(request.headers(), "application/json")?;
        let arrival = request.extensions().get::<Arrival>().ok_or(Error::Panic)?;
        let patience = arrival.limits.bounds().body;
        let body = limited(request, JSON_LIMIT, patience).await?;
        let value = parse_json(&body).map_err(|fault| Error::NotJson(fault.to_string()))?;
        Ok(Self(read(value)?))
    }
}

/// The fields of a form, each once.
pub(super) async fn form(request: Request) -> Result<Map<String, Value>, Error> {
    expect_type(request.headers(), FORM)?;
    let arrival = request.extensions().get::<Arrival>().ok_or(Error::Panic)?;
    let patience = arrival.limits.bounds().body;
    pairs(&limited(request, JSON_LIMIT, patience).await?)
}

/// Likewise of a form that brings an allowlist file, with its place among the few that are dealt with at once.
pub(super) async fn file_form(request: Request) -> Result<(Map<String, Value>, OwnedSemaphorePermit), Error> {
    expect_type(request.headers(), FORM)?;
    let arrival = request.extensions().get::<Arrival>().ok_or(Error::Panic)?;
    let place = arrival.limits.enter_file().ok_or(Error::Overloaded)?;
    let patience = arrival.limits.bounds().file;
    Ok((pairs(&limited(request, FILE_LIMIT, patience).await?)?, place))
}

/// An allowlist file as a body, and its place among the few that are dealt with at once, taken before it is read.
#[derive(Debug)]
pub(super) struct FileText(pub(super) String, pub(super) OwnedSemaphorePermit);

impl FromRequest<App> for FileText {
    type Rejection = Error;

    async fn from_request(request: Request, _: &App) -> Result<Self, Error> {
        expect_type(request.headers(), "application/toml")?;
        let arrival = request.extensions().get::<Arrival>().ok_or(Error::Panic)?;
        let place = arrival.limits.enter_file().ok_or(Error::Overloaded)?;
        let patience = arrival.limits.bounds().file;
        let body = limited(request, FILE_LIMIT, patience).await?;
        String::from_utf8(body.into()).map(|text| Self(text, place)).map_err(|_| Error::NotUtf8)
    }
}

/// A query read into `T`: an unknown or repeated parameter is a fault.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: Deserr<Faults>> FromRequestParts<App> for Params<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(read(Value::Object(pairs(query.as_bytes())?))?))
    }
}

fn pairs(encoded: &[u8]) -> Result<Map<String, Value>, Error> {
    let mut values = Map::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        if values.insert(name.clone().into_owned(), Value::String(value.into_owned())).is_some() {
            let mut pointer = String::new();
            crate::input::push_segment(&mut pointer, &name);
            return Err(Faults::at(pointer, "given twice").into());
        }
    }
    Ok(values)
}

/// The one name in a path, where it has the right form; anything else is not there.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) T);

impl<T: FromStr<Err = Invalid>> FromRequestParts<App> for Named<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let Path(name): Path<String> = Path::from_request_parts(parts, app).await.map_err(|_| Error::NotFound)?;
        name.parse().map(Self).map_err(|_| Error::NotFound)
    }
}

/// A role as two segments of a path name it, decoded: its account by alias or number, and its name.
#[derive(Debug)]
pub(super) struct RoleInPath(pub(super) RoleRef);

impl FromRequestParts<App> for RoleInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let Path((account, role)): Path<(String, String)> =
            Path::from_request_parts(parts, app).await.map_err(|_| Error::NotFound)?;
        let mut faults = Faults::default();
        let mut note = |place: &str, fault: Invalid| faults.push(place, format!("expected {fault}"));
        let account = AccountRef::parse(&account).map_err(|fault| note("/account", fault));
        let role = RoleName::parse(&role).map_err(|fault| note("/role", fault));
        match (account, role) {
            (Ok(account), Ok(role)) => Ok(Self(RoleRef::Named(account, role))),
            _ => Err(faults.into()),
        }
    }
}

fn expect_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Error> {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(expected) { Ok(()) } else { Err(Error::UnsupportedMediaType(expected)) }
}

async fn limited(request: Request, limit: usize, patience: Duration) -> Result<Bytes, Error> {
    let body = Limited::new(request.into_body(), limit).collect();
    match timeout(patience, body).await.map_err(|_| Error::BodyTooSlow(patience))? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::TooLarge(limit)),
        Err(_) => Err(Error::NotJson("it broke off".to_owned())),
    }
}
