//! A simulated identity provider: OpenID discovery, keys, a page to sign in on, and a token for whoever asks.
//!
//! Real ES256 signatures by a key that is made at the start and kept nowhere. It hands a token for anybody to anybody,
//! so it must never be reached from another machine.

mod sign_in;

pub use sign_in::{LOGIN_CLIENT, PORTAL_CLIENT};

use super::{
    DemoError,
    people::{self, Person},
};
use crate::{clock::Clock, model::Time};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;

/// What the tokens are for: Hallpass.
pub const AUDIENCE: &str = "hallpass";

/// How long a token is good, in seconds.
const LIFETIME: i64 = 3600;

/// The running provider. Cheap to clone.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    issuer: String,
    key: EncodingKey,
    header: Header,
    public: Jwk,
    clock: Clock,
    handed: sign_in::Handed,
}

impl Provider {
    /// Makes a key and answers until the runtime ends.
    pub fn spawn(listener: TcpListener, clock: Clock) -> Result<Self, DemoError> {
        let issuer = format!("http://{}", listener.local_addr().map_err(DemoError::Listen)?);
        let key = make_key().ok_or(DemoError::Key)?;
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|_| DemoError::Key)?;
        let kid = public.thumbprint(ThumbprintHash::SHA256).map_err(|_| DemoError::Key)?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let header = Header { kid: Some(kid), ..Header::new(Algorithm::ES256) };
        let provider = Self(Arc::new(Inner { issuer, key, header, public, clock, handed: sign_in::Handed::default() }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/authorize", get(sign_in::authorize))
            .route("/token", post(sign_in::token))
            .route("/revoke", post(sign_in::revoke))
            .route("/token/{name}", get(token))
            .with_state(provider.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        Ok(provider)
    }

    /// Its identifier, which is also its address.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// A token for one of the people, good for an hour.
    pub fn token(&self, person: &Person) -> Result<String, DemoError> {
        self.sign(&self.claims(person, self.0.clock.now()))
    }

    fn sign(&self, claims: &Value) -> Result<String, DemoError> {
        jsonwebtoken::encode(&self.0.header, claims, &self.0.key).map_err(|_| DemoError::Key)
    }

    fn claims(&self, person: &Person, now: Time) -> Value {
        let seconds = now.as_micros() / 1_000_000;
        json!({
            "iss": self.0.issuer, "aud": AUDIENCE, "sub": person.name, "jti": self.0.clock.new_id(),
            "iat": seconds, "auth_time": seconds, "exp": seconds + LIFETIME,
            "email": person.email(), "email_verified": true, "name": person.full_name, "groups": [person.group],
        })
    }
}

fn make_key() -> Option<EncodingKey> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    Some(EncodingKey::from_ec_der(pair.to_pkcs8v1().ok()?.as_ref()))
}

async fn discovery(State(provider): State<Provider>) -> Json<Value> {
    let issuer = provider.issuer();
    Json(json!({
        "issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"], "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"), "revocation_endpoint": format!("{issuer}/revoke"), "token_endpoint_auth_methods_supported": ["none"],
        "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
        "claims_supported": ["sub", "email", "email_verified", "name", "groups", "auth_time"],
    }))
}

async fn keys(State(provider): State<Provider>) -> Json<Value> {
    Json(json!({"keys": [provider.0.public]}))
}

/// The token and nothing else, so that a command line can take it as it comes.
async fn token(State(provider): State<Provider>, Path(name): Path<String>) -> Result<String, (StatusCode, String)> {
    let person = people::find(&name).ok_or_else(|| {
        let names = people::ALL.map(|person| person.name).join(", ");
        (StatusCode::NOT_FOUND, format!("Nobody here has that name. There are: {names}.\n"))
    })?;
    let token = provider.token(person).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))?;
    Ok(format!("{token}\n"))
}
