//! The sign-in service: takes a session's credentials for a token, and shows what the console would be opened as.

use super::{Aws, Behaviour, logins::Login, parameters::Parameters};
use crate::{clock::fill_random, model::Time};
use axum::{
    Json,
    body::Bytes,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use data_encoding::BASE64URL_NOPAD;
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How many tokens are remembered.
const REMEMBERED: usize = 1_000;
const TOKEN_LASTS: Duration = Duration::from_mins(15);

/// The tokens that are out.
pub(super) struct SignIns(Cache<String, Arc<SignIn>>);

struct SignIn {
    login: Arc<Login>,
    ends: Time,
    /// How long the console session lasts; otherwise it ends with the credentials.
    lasts: Option<Duration>,
}

/// Credentials, in this service's form.
#[derive(Deserialize)]
struct Session {
    #[serde(rename = "sessionId")]
    id: String,
    #[serde(rename = "sessionKey")]
    key: String,
    #[serde(rename = "sessionToken")]
    token: String,
}

impl SignIns {
    pub(super) fn new() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

/// `Action=getSigninToken`.
pub(super) async fn token(State(aws): State<Arc<Aws>>, body: Bytes) -> Response {
    let behaviour = **aws.behaviour.load();
    if behaviour.take_effect().await.is_err() {
        let throttled = behaviour == Behaviour::Throttle;
        return if throttled { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::INTERNAL_SERVER_ERROR }
            .into_response();
    }
    match aws.sign_in(&Parameters::read(&body)) {
        Ok(token) => Json(json!({"SigninToken": token})).into_response(),
        Err(refusal) => (StatusCode::BAD_REQUEST, refusal).into_response(),
    }
}

/// `Action=login`: what a browser is sent to. Says where the console would open, and as whom.
pub(super) async fn login(State(aws): State<Arc<Aws>>, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::read(query.unwrap_or_default().as_bytes());
    let parameter = |name| parameters.find(name).unwrap_or_default();
    let now = aws.clock.now();
    let sign_in = aws.sign_ins.0.get(parameter("SigninToken")).filter(|sign_in| sign_in.ends > now);
    match sign_in.filter(|_| parameter("Action") == "login") {
        Some(sign_in) => format!(
            "The AWS console would open here; AWS is simulated.\n\nas     {}\nuntil  {}\nat     {}\n",
            sign_in.login.arn,
            sign_in.lasts.map(|lasts| now.plus(lasts)).or(sign_in.login.ends).unwrap_or(now),
            parameter("Destination")
        )
        .into_response(),
        None => (StatusCode::BAD_REQUEST, "This link is unknown, or older than 15 minutes.\n").into_response(),
    }
}

impl Aws {
    /// A token for whoever shows the credentials of a session that lasts.
    fn sign_in(&self, parameters: &Parameters) -> Result<String, &'static str> {
        if parameters.find("Action") != Some("getSigninToken") {
            return Err("The action is unknown here.\n");
        }
        let lasts = match parameters.find("SessionDuration").map(str::parse) {
            None => None,
            Some(Ok(seconds @ 900..=43_200)) => Some(Duration::from_secs(seconds)),
            Some(_) => return Err("SessionDuration is not 900 to 43200.\n"),
        };
        let session = parameters.find("Session").and_then(|text| serde_json::from_str::<Session>(text).ok());
        let Session { id, key, token } = session.ok_or("Session is malformed.\n")?;
        let login = self.logins.find(&id, Some(token.as_bytes()));
        let now = self.clock.now();
        let goes_on = |login: &Arc<Login>| login.ends.is_some_and(|ends| ends > now);
        let login = login.ok().filter(|login| goes_on(login) && login.keys.secret_access_key.expose() == key);
        let login = login.ok_or("The credentials are no session's.\n")?;
        let mut bytes = [0; 96];
        fill_random(&mut bytes);
        let token = BASE64URL_NOPAD.encode(&bytes);
        let sign_in = SignIn { login, ends: now.plus(TOKEN_LASTS), lasts };
        self.sign_ins.0.insert(token.clone(), Arc::new(sign_in));
        Ok(token)
    }
}
