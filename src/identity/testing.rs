//! A fake issuer on loopback and keys to sign with, for this room's tests.

use super::{Algorithm, ApiTokens, AuthError, Caller, Identity, IssuerConfig, IssuerKind, People};
use crate::{
    clock::Clock,
    metrics::Metrics,
    model::{IssuerName, Time},
    store::Store,
};
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaEncoding, RsaKeyPair,
    },
};
use axum::{Router, http::StatusCode, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// 2026-01-01T00:00:00Z, where every test's clock starts.
pub(super) const NOW: i64 = 1_767_225_600;

/// The same, for times with a fraction.
pub(super) const NOW_F: f64 = 1_767_225_600.0;

/// A key that signs, whatever it is told to.
pub(super) enum TestKey {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

pub(super) static RSA: LazyLock<TestKey> =
    LazyLock::new(|| TestKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
pub(super) static P256: LazyLock<TestKey> = LazyLock::new(TestKey::p256);
pub(super) static P384: LazyLock<TestKey> =
    LazyLock::new(|| TestKey::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()));
pub(super) static ED25519: LazyLock<TestKey> = LazyLock::new(|| TestKey::Ed(Ed25519KeyPair::generate().unwrap()));

impl TestKey {
    pub(super) fn p256() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// The public half, as an issuer publishes it.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                let public = key.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let bytes = |n: aws_lc_rs::io::Positive<'_>| n.big_endian_without_leading_zero().to_vec();
                json!({"kty": "RSA", "kid": kid, "n": b64(bytes(n)), "e": b64(bytes(e))})
            }
            Self::Ec(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "kid": kid, "x": b64(x), "y": b64(y)})
            }
            Self::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(key.public_key())}),
        }
    }

    /// A token with this very header and these very claims.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let algorithm = header["alg"].as_str().unwrap_or_default();
        self.sign_text(algorithm, header.to_string(), claims.to_string())
    }

    pub(super) fn sign_text(&self, algorithm: &str, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let signed = format!("{}.{}", b64(header), b64(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(key) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ec(key) => key.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", b64(signature))
    }
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What the provider does with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Answer,
    Hang,
    /// Two seconds later.
    Slow,
    Fail,
    Redirect,
}

/// An OpenID provider on loopback: discovery and keys, which it counts.
pub(super) struct FakeIssuer {
    pub(super) url: String,
    state: Arc<Provider>,
}

struct Provider {
    discovery: Mutex<String>,
    keys: Mutex<String>,
    mode: watch::Sender<Mode>,
    asked: watch::Sender<usize>,
    fetched: AtomicUsize,
}

impl FakeIssuer {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        let state = Arc::new(Provider {
            discovery: Mutex::new(discovery.to_string()),
            keys: Mutex::new(String::new()),
            mode: watch::Sender::new(Mode::Answer),
            asked: watch::Sender::new(0),
            fetched: AtomicUsize::new(0),
        });
        let (discovery, keys) = (Arc::clone(&state), Arc::clone(&state));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(async move || discovery.answer(&discovery.discovery).await))
            .route(
                "/keys",
                get(async move || {
                    keys.fetched.fetch_add(1, Ordering::SeqCst);
                    keys.answer(&keys.keys).await
                }),
            )
            .route("/elsewhere", get(async || StatusCode::IM_A_TEAPOT));
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, state }
    }

    pub(super) fn publish(&self, keys: &[Value]) {
        self.publish_text(json!({ "keys": keys }).to_string());
    }

    pub(super) fn publish_text(&self, text: impl Into<String>) {
        *self.state.keys.lock().unwrap() = text.into();
    }

    pub(super) fn set_discovery(&self, document: &Value) {
        *self.state.discovery.lock().unwrap() = document.to_string();
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        self.state.mode.send_replace(mode);
    }

    /// How often the keys were fetched.
    pub(super) fn fetched(&self) -> usize {
        self.state.fetched.load(Ordering::SeqCst)
    }

    /// Ends when the provider has been asked this many times, for whatever.
    pub(super) async fn asked(&self, times: usize) {
        self.state.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }
}

impl Provider {
    async fn answer(&self, text: &Mutex<String>) -> (StatusCode, [(&'static str, &'static str); 1], String) {
        self.asked.send_modify(|asked| *asked += 1);
        let mode = *self.mode.subscribe().wait_for(|mode| *mode != Mode::Hang).await.unwrap();
        if mode == Mode::Slow {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let status = match mode {
            Mode::Fail => StatusCode::INTERNAL_SERVER_ERROR,
            Mode::Redirect => StatusCode::FOUND,
            Mode::Answer | Mode::Hang | Mode::Slow => StatusCode::OK,
        };
        (status, [("location", "/elsewhere")], text.lock().unwrap().clone())
    }
}

/// An issuer of people, that takes the default algorithms.
pub(super) fn people(name: &str, issuer: &str, prefix: &str) -> IssuerConfig {
    let people = People {
        principal_claim: "sub".to_owned(),
        groups_claim: Some("groups".to_owned()),
        prefix: prefix.to_owned(),
        trust_unverified_email: false,
    };
    IssuerConfig { kind: IssuerKind::People(people), ..workload(name, issuer) }
}

/// An issuer of workloads, likewise.
pub(super) fn workload(name: &str, issuer: &str) -> IssuerConfig {
    IssuerConfig {
        name: IssuerName::parse(name).unwrap(),
        issuer: issuer.to_owned(),
        audiences: vec!["hallpass".to_owned()],
        kind: IssuerKind::Workload,
        rules: Vec::new(),
        algorithms: Algorithm::DEFAULT.to_vec(),
        token_types: vec!["JWT".to_owned(), "at+jwt".to_owned()],
        authorized_parties: Vec::new(),
        jwks_url: None,
        cap_to_token: false,
    }
}

/// What only an issuer of people has; panics for another.
pub(super) fn of_people(issuer: &mut IssuerConfig) -> &mut People {
    match &mut issuer.kind {
        IssuerKind::People(people) => people,
        IssuerKind::Workload => panic!("no issuer of people"),
    }
}

/// API tokens out of a database that cannot be had.
pub(super) fn no_api_tokens(clock: &Clock) -> ApiTokens {
    ApiTokens::new(Store::sqlite("/nowhere/hallpass.db".as_ref()), clock.clone(), TaskTracker::new())
}

/// A provider, and an identity that knows it as `corp`: people, without a prefix.
pub(super) struct Bench {
    pub(super) provider: FakeIssuer,
    pub(super) identity: Identity,
    pub(super) clock: Clock,
}

impl Bench {
    /// Publishes [`P256`] as `main`.
    pub(super) async fn new(adjust: impl FnOnce(&mut IssuerConfig)) -> Self {
        Self::beside(Vec::new(), adjust).await
    }

    pub(super) async fn beside(others: Vec<IssuerConfig>, adjust: impl FnOnce(&mut IssuerConfig)) -> Self {
        let provider = FakeIssuer::start().await;
        provider.publish(&[P256.jwk("main")]);
        let mut corp = people("corp", &provider.url, "");
        adjust(&mut corp);
        let clock = Clock::settable(Time::from_seconds(NOW).unwrap());
        let issuers = [vec![corp], others].concat();
        let metrics = Metrics::new(&clock, []);
        let identity = Identity::new(issuers, no_api_tokens(&clock), clock.clone(), &metrics).unwrap();
        Self { provider, identity, clock }
    }

    /// Good claims, with these changes; null takes a claim away.
    pub(super) fn claims(&self, changes: Value) -> Value {
        let good = json!({"iss": self.provider.url, "aud": "hallpass", "sub": "alice", "iat": NOW, "exp": NOW + 600});
        changed(good, changes)
    }

    /// A good token of [`P256`], but for these changes.
    pub(super) fn token(&self, header: Value, claims: Value) -> String {
        P256.sign(&changed(json!({"alg": "ES256", "kid": "main"}), header), &self.claims(claims))
    }

    pub(super) async fn ask(&self, token: &str) -> Result<Arc<Caller>, AuthError> {
        self.identity.caller_from_bearer(token).await
    }

    /// The caller of a token that differs from a good one in its claims.
    pub(super) async fn caller(&self, claims: Value) -> Result<Arc<Caller>, AuthError> {
        self.ask(&self.token(json!({}), claims)).await
    }
}

fn changed(mut base: Value, changes: Value) -> Value {
    let (Value::Object(members), Value::Object(changes)) = (&mut base, changes) else { panic!("not objects") };
    for (name, value) in changes {
        if value.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    base
}
