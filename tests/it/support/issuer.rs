//! A fake OpenID issuer: discovery, keys, and tokens with any header and claims, true or forged. It can die, hang and
//! change its keys. A real provider does none of that when asked.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use axum::{
    Form, Json, Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use data_encoding::BASE64URL_NOPAD as BASE64URL;
use hallpass::clock::Clock;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// The algorithms that a token can be signed with here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alg {
    Rs256,
    Ps256,
    Es256,
    Es384,
    EdDsa,
}

impl Alg {
    const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A signing key, known to the world or not.
pub(crate) struct Key {
    alg: Alg,
    kid: String,
    pair: Pair,
}

impl Key {
    pub(crate) fn generate(alg: Alg, kid: &str) -> Self {
        let pair = match alg {
            Alg::Rs256 | Alg::Ps256 => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            Alg::Es256 => Pair::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            Alg::Es384 => Pair::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            Alg::EdDsa => Pair::Ed(Ed25519KeyPair::generate().unwrap()),
        };
        Self { alg, kid: kid.to_owned(), pair }
    }

    /// The public half, as an issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let encode = |number: &[u8]| BASE64URL.encode(number);
                json!({"kty": "RSA", "n": encode(public.modulus().big_endian_without_leading_zero()),
                       "e": encode(public.exponent().big_endian_without_leading_zero())})
            }
            Pair::Ec(pair) => {
                // 0x04, then both coordinates in full length: SEC 1, 2.3.3.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if self.alg == Alg::Es256 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": BASE64URL.encode(x), "y": BASE64URL.encode(y)})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64URL.encode(pair.public_key().as_ref())})
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg.name());
        jwk["use"] = json!("sig");
        jwk
    }

    /// The header of an honest token.
    pub(crate) fn header(&self) -> Value {
        json!({"alg": self.alg.name(), "kid": self.kid, "typ": "JWT"})
    }

    /// Signs whatever is given as header and claims; texts, so that a member can stand there twice.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64URL.encode(header.as_bytes()), BASE64URL.encode(claims.as_bytes()));
        let (random, message) = (SystemRandom::new(), signed.as_bytes());
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match self.alg {
                    Alg::Ps256 => &signature::RSA_PSS_SHA256,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64URL.encode(&signature))
    }

    /// The old trick: HMAC with what everybody knows, the public key, as its secret.
    pub(crate) fn sign_as_hmac(&self, claims: &Value) -> String {
        let public = serde_json::to_vec(&self.jwk()).unwrap();
        let header = json!({"alg": "HS256", "kid": self.kid, "typ": "JWT"}).to_string();
        let signed =
            format!("{}.{}", BASE64URL.encode(header.as_bytes()), BASE64URL.encode(claims.to_string().as_bytes()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), signed.as_bytes());
        format!("{signed}.{}", BASE64URL.encode(tag.as_ref()))
    }
}

/// How the issuer's server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Answers 500.
    Broken,
    /// Takes the request and never answers.
    Hanging,
    /// Answers 200 with something else.
    Nonsense,
}

/// How often the two documents were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fetches {
    pub(crate) discovery: u32,
    pub(crate) keys: u32,
}

struct Shared {
    url: String,
    mood: Mood,
    published: Vec<Value>,
    tokens: Option<(StatusCode, Value)>,
    exchanges: Vec<HashMap<String, String>>,
    fetches: Fetches,
}

/// A running issuer with one key.
pub(crate) struct Issuer {
    /// Its `iss`, and where discovery starts.
    pub(crate) url: String,
    /// What its tokens are signed with.
    pub(crate) key: Key,
    clock: Clock,
    shared: Arc<Mutex<Shared>>,
}

impl Issuer {
    /// An issuer on a port of its own. Must be called within a runtime, and ends with it.
    pub(crate) async fn start(alg: Alg) -> Self {
        Self::start_at(alg, Clock::system()).await
    }

    /// One whose tokens are dated by this clock.
    pub(crate) async fn start_at(alg: Alg, clock: Clock) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = Key::generate(alg, "first");
        let shared = Shared {
            url: url.clone(),
            mood: Mood::Well,
            published: vec![key.jwk()],
            tokens: None,
            exchanges: Vec::new(),
            fetches: Fetches::default(),
        };
        let shared = Arc::new(Mutex::new(shared));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(shared.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, key, clock, shared }
    }

    /// Publishes exactly these keys from now on.
    pub(crate) fn publish(&self, keys: &[Value]) {
        self.shared.lock().unwrap().published = keys.to_vec();
    }

    /// Signs with a new key from now on, and publishes only that.
    pub(crate) fn rotate(&mut self, alg: Alg, kid: &str) {
        self.key = Key::generate(alg, kid);
        self.publish(&[self.key.jwk()]);
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.shared.lock().unwrap().mood = mood;
    }

    /// What its token endpoint answers from now on; 503 until told.
    pub(crate) fn give_tokens(&self, status: u16, answer: Value) {
        self.shared.lock().unwrap().tokens = Some((StatusCode::from_u16(status).unwrap(), answer));
    }

    /// What its token endpoint was sent, all of it.
    pub(crate) fn exchanges(&self) -> Vec<HashMap<String, String>> {
        self.shared.lock().unwrap().exchanges.clone()
    }

    pub(crate) fn fetches(&self) -> Fetches {
        self.shared.lock().unwrap().fetches
    }

    /// The claims that each token needs; good for an hour.
    pub(crate) fn claims(&self, subject: &str) -> Value {
        let now = self.clock.now().as_micros() / 1_000_000;
        json!({"iss": self.url, "aud": "hallpass", "sub": subject, "iat": now, "exp": now + 3600})
    }

    /// An honest token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.key.sign(&self.key.header().to_string(), &claims.to_string())
    }

    /// The token of a person with a verified e-mail address.
    pub(crate) fn person(&self, email: &str, groups: &[&str]) -> String {
        let mut claims = self.claims(email);
        claims["email"] = json!(email);
        claims["email_verified"] = json!(true);
        claims["groups"] = json!(groups);
        self.token(&claims)
    }
}

async fn discovery(State(shared): State<Arc<Mutex<Shared>>>) -> axum::response::Response {
    let (mood, url) = {
        let mut shared = shared.lock().unwrap();
        shared.fetches.discovery += 1;
        (shared.mood, shared.url.clone())
    };
    let endpoint = |path: &str| format!("{url}/{path}");
    let document = json!({
        "issuer": url, "jwks_uri": endpoint("keys"), "authorization_endpoint": endpoint("authorize"),
        "token_endpoint": endpoint("token"), "end_session_endpoint": endpoint("logout"),
        "scopes_supported": ["openid", "email", "groups"],
    });
    answer(mood, document).await
}

async fn token(
    State(shared): State<Arc<Mutex<Shared>>>,
    Form(asked): Form<HashMap<String, String>>,
) -> axum::response::Response {
    let mut shared = shared.lock().unwrap();
    shared.exchanges.push(asked);
    match &shared.tokens {
        Some((status, answer)) => (*status, Json(answer.clone())).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn keys(State(shared): State<Arc<Mutex<Shared>>>) -> axum::response::Response {
    let (mood, keys) = {
        let mut shared = shared.lock().unwrap();
        shared.fetches.keys += 1;
        (shared.mood, shared.published.clone())
    };
    answer(mood, json!({"keys": keys})).await
}

async fn answer(mood: Mood, body: Value) -> axum::response::Response {
    match mood {
        Mood::Well => Json(body).into_response(),
        Mood::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Hanging => std::future::pending().await,
        Mood::Nonsense => "<html>maintenance</html>".into_response(),
    }
}
