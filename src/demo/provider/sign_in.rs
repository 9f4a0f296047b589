//! The code flow of the simulated provider: a page with everybody on it, and a token endpoint that checks what it is sent.

use super::{AUDIENCE, Provider};
use crate::{
    demo::people::{self, Person},
    model::{Time, sha256},
};
use axum::{
    Form, Json,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// As whom Hallpass's portal asks.
pub const PORTAL_CLIENT: &str = "hallpass-portal";

/// As whom `hallpass login` asks: its ID tokens are what Hallpass takes from people.
pub const LOGIN_CLIENT: &str = AUDIENCE;

const CODE_LASTS: Duration = Duration::from_mins(1);

/// What has been handed out, by its text.
#[derive(Default)]
pub(super) struct Handed(Mutex<HashMap<String, Grant>>);

/// Good once.
struct Grant {
    client: &'static str,
    person: &'static Person,
    signed_in_at: Time,
    /// Of a code; a refresh token has none.
    code: Option<Code>,
}

struct Code {
    nonce: Option<String>,
    challenge: String,
    redirect_uri: String,
    ends_at: Time,
}

impl Handed {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Grant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, grant: Grant) -> String {
        let text = crate::secret::SessionToken::generate().expose();
        self.all().insert(text.clone(), grant);
        text
    }
}

/// RFC 6749, §4.1.1, and which of the people was chosen.
#[derive(Deserialize)]
pub(super) struct Asked {
    client_id: String,
    redirect_uri: String,
    state: String,
    nonce: Option<String>,
    code_challenge: String,
    code_challenge_method: String,
    person: Option<String>,
}

/// Shows everybody; sends the browser back once somebody is chosen. Only to loopback: this provider knows no passwords.
pub(super) async fn authorize(State(provider): State<Provider>, Query(asked): Query<Asked>) -> Response {
    let client = client_of(&asked.client_id).filter(|_| asked.code_challenge_method == "S256");
    let back = crate::model::parse_address(&asked.redirect_uri).ok().filter(|url| url.scheme() == "http");
    let (Some(client), Some(mut back)) = (client, back) else {
        return (StatusCode::BAD_REQUEST, "This provider signs people in to the demo's Hallpass alone.\n")
            .into_response();
    };
    let Some(person) = asked.person.as_deref().and_then(people::find) else {
        return Html(choose(&asked)).into_response();
    };
    let now = provider.0.clock.now();
    let code = Code {
        nonce: asked.nonce,
        challenge: asked.code_challenge,
        redirect_uri: asked.redirect_uri,
        ends_at: now.plus(CODE_LASTS),
    };
    let code = provider.0.handed.keep(Grant { client, person, signed_in_at: now, code: Some(code) });
    back.query_pairs_mut().append_pair("code", &code).append_pair("state", &asked.state);
    (StatusCode::SEE_OTHER, [(header::LOCATION, String::from(back))]).into_response()
}

fn client_of(id: &str) -> Option<&'static str> {
    [PORTAL_CLIENT, LOGIN_CLIENT].into_iter().find(|own| *own == id)
}

/// Links, so that it works with scripts off.
fn choose(asked: &Asked) -> String {
    let link = |person: &Person| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("client_id", &asked.client_id),
            ("redirect_uri", &asked.redirect_uri),
            ("state", &asked.state),
            ("code_challenge", &asked.code_challenge),
            ("code_challenge_method", &asked.code_challenge_method),
        ] {
            query.append_pair(name, value);
        }
        if let Some(nonce) = &asked.nonce {
            query.append_pair("nonce", nonce);
        }
        let query = query.append_pair("person", person.name).finish().replace('&', "&amp;");
        format!(r#"<li><a href="/authorize?{query}"><b>{}</b> {}</a></li>"#, person.full_name, person.role)
    };
    include_str!("choose.html").replace("{people}", &people::ALL.iter().map(link).collect::<String>())
}

/// RFC 6749, §4.1.3 and §6.
#[derive(Deserialize)]
pub(super) struct Exchange {
    grant_type: String,
    client_id: Option<String>,
    code: Option<String>,
    code_verifier: Option<String>,
    redirect_uri: Option<String>,
    refresh_token: Option<String>,
}

/// Tokens for a code or a refresh token, each good once.
pub(super) async fn token(State(provider): State<Provider>, Form(asked): Form<Exchange>) -> Response {
    let Some(client) = asked.client_id.as_deref().and_then(client_of) else {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    };
    match exchange(&provider, client, &asked) {
        Some(tokens) => ([(header::CACHE_CONTROL, "no-store")], Json(tokens)).into_response(),
        None => (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response(),
    }
}

/// RFC 7009, §2.1.
#[derive(Deserialize)]
pub(super) struct Revoked {
    token: String,
}

/// Takes a token back; one that is unknown is no error there.
pub(super) async fn revoke(State(provider): State<Provider>, Form(asked): Form<Revoked>) -> StatusCode {
    provider.0.handed.all().remove(&asked.token);
    StatusCode::OK
}

fn exchange(provider: &Provider, client: &str, asked: &Exchange) -> Option<Value> {
    let now = provider.0.clock.now();
    let text = match asked.grant_type.as_str() {
        "authorization_code" => asked.code.as_ref()?,
        "refresh_token" => asked.refresh_token.as_ref()?,
        _ => return None,
    };
    let grant = provider.0.handed.all().remove(text)?;
    if grant.client != client || grant.code.is_some() != (asked.grant_type == "authorization_code") {
        return None;
    }
    let mut claims = provider.claims(grant.person, now);
    claims["aud"] = json!(client);
    claims["auth_time"] = json!(grant.signed_in_at.as_micros() / 1_000_000);
    if let Some(code) = grant.code {
        // RFC 7636, §4.6.
        let challenge = URL_SAFE_NO_PAD.encode(sha256(&[asked.code_verifier.as_ref()?.as_bytes()]));
        if now >= code.ends_at || challenge != code.challenge || asked.redirect_uri.as_ref() != Some(&code.redirect_uri)
        {
            return None;
        }
        if let Some(nonce) = code.nonce {
            claims["nonce"] = json!(nonce);
        }
    }
    let refresh_token = provider.0.handed.keep(Grant { code: None, ..grant });
    let id_token = provider.sign(&claims).ok()?;
    Some(json!({
        "access_token": "of-no-use", "token_type": "Bearer", "expires_in": 3600, "id_token": id_token,
        "refresh_token": refresh_token,
    }))
}
