//! Who is calling: a bearer JWT or an API token becomes a [`Caller`], or an [`AuthError`] that says which check failed.
//!
//! Owns the issuers' keys (fetched, refreshed, and dropped when they leave the published set), the verification of
//! tokens and the names they give. The unverified `iss` only chooses whose keys are tried; whatever else a token says
//! counts once its signature is good. Must never decide what a caller may do, believe an address or a key that a token
//! brings, hold a request up whose key is at hand, or let any of a token into an error or a log.
//!
//! A token's way: size → cache by its SHA-256 → `jwt` (read strictly, choose the issuer, check the header) → `keys`
//! (the key it names) → signature → `claims` (audience, times, names). A verified token is remembered for as long as
//! its key is published; its times are checked at each use.
//!
//! The portal's way is `portal`: people sign in by the code flow, whose ID token goes through the same checks and gives the same
//! names, and are known by a session from then on, looked up by hash at each request.
//!
//! An API token's way is shorter: `hp_` → checksum → its row, looked up by hash at each request, and never remembered.

mod algorithm;
mod api_token;
mod caller;
mod claims;
mod error;
mod fetch;
mod issuer;
mod jwk;
mod jwt;
mod keys;
mod portal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use api_token::ApiTokens;
pub use caller::{Caller, Door};
pub use error::{AuthError, AuthFault};
pub use issuer::{ClaimRule, IssuerConfig, IssuerKind, Names, People, RequiredClaims, default_prefix};
pub use keys::IssuerStatus;
pub use portal::{Attempt, LocalPath, Portal, PortalConfig, SignInError, SignedIn, Visitor};

use crate::{clock::Clock, metrics::Metrics, model::sha256, outward::NoClient, secret::OpaqueToken};
use claims::Times;
use fetch::Fetcher;
use futures_util::future::join_all;
use jwt::UnverifiedJwt;
use keys::IssuerKeys;
use quick_cache::sync::Cache;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A longer token is refused unread, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// How many verified tokens are remembered.
const REMEMBERED: usize = 10_000;

/// Makes callers of bearer tokens. Cheap to clone: all clones share the keys and the cache.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    issuers: Vec<Arc<Issuer>>,
    api_tokens: ApiTokens,
    clock: Clock,
    verified: Cache<[u8; 32], Arc<Verified>>,
}

struct Issuer {
    config: IssuerConfig,
    names: Names,
    keys: Arc<IssuerKeys>,
}

struct Verified {
    caller: Arc<Caller>,
    times: Times,
    issuer: Arc<Issuer>,
    key: [u8; 32],
}

/// The HTTP client cannot be made: most likely the machine's trusted certificates cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the HTTP client that fetches the issuers' keys")]
pub struct IdentityError(#[from] NoClient);

impl Identity {
    /// Fetches nothing yet: the first request of an issuer does, or [`Identity::spawn_refresh`].
    ///
    /// That the issuers differ in name, `iss` and prefix is for the configuration to see. Two that share a prefix give
    /// no names of people and groups at all; of two that share an `iss`, the first is meant.
    pub fn new(
        issuers: Vec<IssuerConfig>,
        api_tokens: ApiTokens,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<Self, IdentityError> {
        let fetcher = Fetcher::new()?;
        let names = Names::of(&issuers);
        let issuers = issuers.into_iter().zip(names).map(|(config, names)| {
            let keys = Arc::new(IssuerKeys::new(&config, fetcher.clone(), clock.clone(), metrics.clone()));
            Arc::new(Issuer { config, names, keys })
        });
        let verified = Cache::new(REMEMBERED);
        Ok(Self(Arc::new(Inner { issuers: issuers.collect(), api_tokens, clock, verified })))
    }

    /// Fetches every issuer's keys now and again every 5 to 15 minutes (30 to 60 s while that fails), until `shutdown`.
    /// Needs a Tokio runtime.
    pub fn spawn_refresh(&self, shutdown: CancellationToken) -> JoinHandle<()> {
        let fresh = join_all(self.0.issuers.iter().map(|issuer| Arc::clone(&issuer.keys).keep_fresh()));
        tokio::spawn(async move {
            shutdown.run_until_cancelled_owned(fresh).await;
        })
    }

    /// Who bears this token. A JWT waits only where its key is not held, and at most 3 s; an API token for the database.
    pub async fn caller_from_bearer(&self, token: &str) -> Result<Arc<Caller>, AuthError> {
        if token.starts_with(OpaqueToken::PREFIX) {
            return self.0.api_tokens.find_caller(token).await;
        }
        if token.len() > MAX_TOKEN {
            return Err(AuthFault::Invalid("it is over 16 KiB").into());
        }
        let digest = sha256(&[token.as_bytes()]);
        if let Some(known) = self.0.verified.get(&digest) {
            if known.issuer.keys.holds(&known.key) {
                return known.caller(&self.0.clock).inspect_err(|_| drop(self.0.verified.remove(&digest)));
            }
            self.0.verified.remove(&digest);
        }
        let verified = Arc::new(self.verify(token).await?);
        let caller = verified.caller(&self.0.clock)?;
        self.0.verified.insert(digest, verified);
        Ok(caller)
    }

    /// How each issuer's keys stand.
    #[must_use]
    pub fn issuers(&self) -> Vec<IssuerStatus> {
        self.0.issuers.iter().map(|issuer| issuer.keys.status()).collect()
    }

    async fn verify(&self, token: &str) -> Result<Verified, AuthError> {
        let jwt = UnverifiedJwt::read(token)?;
        let issuer = self
            .0
            .issuers
            .iter()
            .find(|issuer| jwt.issuer() == Some(&issuer.config.issuer))
            .ok_or(AuthFault::Invalid("its iss is not an issuer that is accepted here"))?;
        issuer.verify(jwt).await.map_err(|fault| fault.of(&issuer.config.name))
    }
}

impl Issuer {
    async fn verify(self: &Arc<Self>, jwt: UnverifiedJwt<'_>) -> Result<Verified, AuthFault> {
        let (algorithm, kid) = jwt.check_header(&self.config)?;
        let key = self.keys.find(kid, algorithm).await?;
        let claims = jwt.verify(&key, algorithm)?;
        claims.check_audience(&self.config)?;
        let times = claims.times()?;
        let caller = claims.caller(&self.config, &self.names, &times)?;
        Ok(Verified { caller: Arc::new(caller), times, issuer: Arc::clone(self), key: *key.thumbprint() })
    }
}

impl Issuer {
    /// Whom an ID token speaks of that the provider itself handed out.
    async fn verify_id_token(&self, token: &str, client_id: &str, nonce: Option<&str>) -> Result<Signed, AuthFault> {
        if token.len() > MAX_TOKEN {
            return Err(AuthFault::Invalid("it is over 16 KiB"));
        }
        let jwt = UnverifiedJwt::read(token)?;
        if jwt.issuer() != Some(&self.config.issuer) {
            return Err(AuthFault::Invalid("its iss is not the portal's issuer"));
        }
        let (algorithm, kid) = jwt.check_header(&self.config)?;
        let key = self.keys.find(kid, algorithm).await?;
        let claims = jwt.verify(&key, algorithm)?;
        claims.check_client(client_id, nonce)?;
        let times = claims.times()?;
        Ok(Signed { caller: claims.caller(&self.config, &self.names, &times)?, times })
    }
}

/// What a good ID token says.
struct Signed {
    caller: Caller,
    times: Times,
}

impl Verified {
    fn caller(&self, clock: &Clock) -> Result<Arc<Caller>, AuthError> {
        self.times.check(clock.now()).map_err(|fault| fault.of(&self.issuer.config.name))?;
        Ok(Arc::clone(&self.caller))
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750, §2.1), out of all `Authorization` headers of a request.
///
/// No header, or another scheme: [`AuthFault::Unauthenticated`]. More than one header, or anything beside one token:
/// [`AuthFault::Invalid`], since a proxy in front may have looked at another one.
pub fn bearer_token<'h>(authorization: impl IntoIterator<Item = &'h [u8]>) -> Result<&'h str, AuthError> {
    let text = one_header(authorization)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthFault::Unauthenticated.into());
    }
    one_token(token)
}

/// The token of an `Authorization` header that is nothing but the token, as the container-credentials protocol has it; one
/// with `Bearer ` before it does as well. Otherwise as [`bearer_token`].
pub fn verbatim_token<'h>(authorization: impl IntoIterator<Item = &'h [u8]>) -> Result<&'h str, AuthError> {
    let text = one_header(authorization)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => one_token(token),
        Some(_) => Err(AuthFault::Unauthenticated.into()),
        None if text.eq_ignore_ascii_case("bearer") => one_token(""),
        None => one_token(text),
    }
}

fn one_header<'h>(authorization: impl IntoIterator<Item = &'h [u8]>) -> Result<&'h str, AuthError> {
    let mut headers = authorization.into_iter();
    let header = headers.next().ok_or(AuthFault::Unauthenticated)?;
    if headers.next().is_some() {
        return Err(AuthFault::Invalid("there is more than one Authorization header").into());
    }
    std::str::from_utf8(header).map_err(|_| AuthFault::Invalid("the Authorization header is not text").into())
}

fn one_token(text: &str) -> Result<&str, AuthError> {
    let token = text.trim_matches(' ');
    let token_char = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || !token.bytes().all(token_char) {
        return Err(AuthFault::Invalid("the Authorization header does not hold one bearer token").into());
    }
    Ok(token)
}
