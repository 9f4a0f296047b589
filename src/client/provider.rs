//! The identity provider: found by OpenID discovery, asked by OAuth 2.
//!
//! Checks state, nonce and PKCE. The signature of a token is not checked here: it came from the provider itself over TLS
//! (OpenID Connect Core 1.0, §3.1.3.7), and the server checks it before it believes a word.

use super::{ClientError, error::plain, keep::Tokens, outward::Outward};
use crate::{
    clock::Clock,
    model::{LoginClient, LoginToken, parse_address},
    secret::Secret,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2::{
    AccessToken, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, DeviceAuthorizationUrl,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, ErrorResponse, ErrorResponseType, ExtraTokenFields, HttpRequest,
    HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    StandardDeviceAuthorizationResponse, StandardErrorResponse, StandardRevocableToken, StandardTokenResponse,
    TokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
        BasicTokenType,
    },
};
use reqwest::header;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use url::{Url, form_urlencoded};

/// Where nobody says how long an access token is good.
const UNSAID_LIFETIME: Duration = Duration::from_mins(5);

/// OpenID Connect Discovery 1.0, §3, as far as it is needed.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
}

/// What an answer has beside OAuth's own. The type keeps the token out of `Debug`.
#[derive(Debug, Serialize, Deserialize)]
struct IdToken {
    id_token: Option<AccessToken>,
}

impl ExtraTokenFields for IdToken {}

type Answer = StandardTokenResponse<IdToken, BasicTokenType>;
type OAuth = oauth2::Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointMaybeSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// A provider, and the client that people are to it.
pub(super) struct Provider {
    pub(super) sign_in: LoginClient,
    oauth: OAuth,
    revocation: Option<Url>,
    outward: Outward,
    clock: Clock,
}

/// An authorization request under way: what its answer has to fit.
pub(super) struct Asked {
    pub(super) url: Url,
    pub(super) state: CsrfToken,
    redirect: RedirectUrl,
    verifier: PkceCodeVerifier,
    nonce: String,
}

/// Why there are no tokens.
pub(super) enum Refusal {
    /// RFC 6749, §5.2: what was given for them has expired or was revoked.
    Ended(String),
    Other(ClientError),
}

impl Provider {
    /// Reads the discovery document, which has to be that of the issuer asked for.
    pub(super) async fn discover(sign_in: LoginClient, outward: Outward, clock: Clock) -> Result<Self, ClientError> {
        let nonsense = |what: &str| ClientError::Nonsense { url: sign_in.issuer.clone(), what: what.to_owned() };
        let address = format!("{}/.well-known/openid-configuration", sign_in.issuer.trim_end_matches('/'));
        let url = parse_address(&address).map_err(|expected| nonsense(&format!("expected {expected}")))?;
        let answer = outward.send(&url, outward.client(&url)?.get(url.clone())).await?;
        let document = serde_json::from_slice::<Discovery>(&answer.body).ok().filter(|_| answer.status == 200);
        let document = document.ok_or_else(|| {
            nonsense(&format!(
                "it answers {} and no discovery document: is [login] right on the server?",
                answer.status
            ))
        })?;
        if document.issuer != sign_in.issuer {
            return Err(nonsense("its discovery document is that of another issuer"));
        }
        let insecure = || nonsense("an address in its discovery document is not https");
        let revocation = document.revocation_endpoint.as_deref().map(parse_address).transpose();
        let revocation = revocation.map_err(|_| insecure())?;
        let oauth = client(&sign_in, &document).ok_or_else(insecure)?;
        Ok(Self { sign_in, oauth, revocation, outward, clock })
    }

    /// Whether there is a device flow.
    pub(super) fn has_device_flow(&self) -> bool {
        self.oauth.device_authorization_url().is_some()
    }

    /// RFC 6749, §4.1.1, with PKCE (RFC 7636) and a nonce.
    pub(super) fn ask(&self, redirect: &str) -> Result<Asked, ClientError> {
        let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|error| ClientError::Http(error.to_string()))?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random().into_secret();
        let mut request = self.oauth.authorize_url(CsrfToken::new_random);
        request = request.set_redirect_uri(std::borrow::Cow::Borrowed(&redirect)).set_pkce_challenge(challenge);
        request = request.add_scopes(self.scopes()).add_extra_param("nonce", nonce.clone());
        let extra = [("prompt", &self.sign_in.prompt), ("resource", &self.sign_in.resource)];
        for (name, value) in extra.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            request = request.add_extra_param(name, value.clone());
        }
        let (url, state) = request.url();
        Ok(Asked { url, state, redirect, verifier, nonce })
    }

    /// Tokens for the code that came back.
    pub(super) async fn redeem(&self, asked: Asked, code: String) -> Result<Tokens, ClientError> {
        let mut request = self.oauth.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(asked.verifier);
        request = request.set_redirect_uri(std::borrow::Cow::Owned(asked.redirect));
        if let Some(resource) = &self.sign_in.resource {
            request = request.add_extra_param("resource", resource.clone());
        }
        let answer = request.request_async(&self.carrier()).await;
        let answer = answer.map_err(|error| self.refusal(error)).map_err(|refusal| self.said_no(refusal))?;
        self.tokens(&answer, Some(&asked.nonce), None)
    }

    /// RFC 8628, §3.1: an address and a code for the person.
    pub(super) async fn begin_device(&self) -> Result<StandardDeviceAuthorizationResponse, ClientError> {
        let request = self.oauth.exchange_device_code().map_err(|_| {
            self.refuses("it has no device flow: use `hallpass login --browser`, with the browser on this machine")
        })?;
        let mut request = request.add_scopes(self.scopes());
        if let Some(resource) = &self.sign_in.resource {
            request = request.add_extra_param("resource", resource.clone());
        }
        let answer = request.request_async(&self.carrier()).await;
        answer.map_err(|error| self.refusal(error)).map_err(|refusal| self.said_no(refusal))
    }

    /// RFC 8628, §3.4: waits until the person has signed in, as often as the provider wants to be asked.
    pub(super) async fn await_device(
        &self,
        device: &StandardDeviceAuthorizationResponse,
        limit: Duration,
    ) -> Result<Tokens, ClientError> {
        let request = self.oauth.exchange_device_access_token(device);
        let answer = request.request_async(&self.carrier(), tokio::time::sleep, Some(limit)).await;
        match answer {
            Ok(answer) => self.tokens(&answer, None, None),
            Err(RequestTokenError::ServerResponse(said)) => Err(self.refuses(&match said.error().as_ref() {
                "expired_token" => "nobody signed in before the code expired: run `hallpass login` again".to_owned(),
                "access_denied" => "the sign-in was refused there: run `hallpass login` again".to_owned(),
                _ => words(&said),
            })),
            Err(error) => Err(self.said_no(self.refusal_of(error, words))),
        }
    }

    /// RFC 6749, §6. A provider that gives no new refresh token goes on with the old one.
    pub(super) async fn refresh(&self, refresh_token: &Secret) -> Result<Tokens, Refusal> {
        let token = RefreshToken::new(refresh_token.expose().to_owned());
        let mut request = self.oauth.exchange_refresh_token(&token);
        if let Some(resource) = &self.sign_in.resource {
            request = request.add_extra_param("resource", resource.clone());
        }
        let answer = request.request_async(&self.carrier()).await.map_err(|error| self.refusal(error))?;
        self.tokens(&answer, None, Some(refresh_token)).map_err(Refusal::Other)
    }

    /// RFC 7009. `false` where the provider has nothing to revoke at. Not by `oauth2`, which takes no address on loopback.
    pub(super) async fn revoke(&self, refresh_token: &Secret) -> Result<bool, ClientError> {
        let Some(url) = &self.revocation else { return Ok(false) };
        let mut fields = form_urlencoded::Serializer::new(String::new());
        fields.append_pair("token", refresh_token.expose()).append_pair("token_type_hint", "refresh_token");
        fields.append_pair("client_id", &self.sign_in.client_id);
        if let Some(secret) = &self.sign_in.client_secret {
            fields.append_pair("client_secret", secret);
        }
        let request = self.outward.client(url)?.post(url.clone()).body(fields.finish());
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        match self.outward.send(url, request).await?.status {
            200..=299 => Ok(true),
            status => Err(self.refuses(&format!("it answers {status} where tokens are revoked"))),
        }
    }

    fn scopes(&self) -> impl Iterator<Item = Scope> {
        self.sign_in.scopes.iter().cloned().map(Scope::new)
    }

    /// The token that the server wants, and until when it is good.
    fn tokens(&self, answer: &Answer, nonce: Option<&str>, old: Option<&Secret>) -> Result<Tokens, ClientError> {
        let id = answer.extra_fields().id_token.as_ref().map(|token| token.secret().as_str());
        let claims = id.map(|token| claims(token).ok_or_else(|| self.refuses("its ID token is no JWT")));
        let claims = claims.transpose()?;
        if let Some(nonce) = nonce {
            let fits = claims.as_ref().is_some_and(|claims| claims["nonce"] == nonce);
            if !fits {
                return Err(self.refuses("its ID token is not the answer to this sign-in: run `hallpass login` again"));
            }
        }
        if claims.as_ref().is_some_and(|claims| !self.is_for_us(claims)) {
            return Err(self.refuses("its ID token is for another client, or of another issuer"));
        }
        let now = self.clock.now().as_micros() / 1_000_000;
        let lifetime = answer.expires_in().unwrap_or(UNSAID_LIFETIME);
        let (token, said) = match self.sign_in.token {
            LoginToken::Id => {
                let token =
                    id.ok_or_else(|| self.refuses("it gives no ID token: does the client have the scope openid?"))?;
                (token, claims.as_ref().and_then(|claims| claims["exp"].as_f64()))
            }
            LoginToken::Access => {
                let token = answer.access_token().secret().as_str();
                (token, self::claims(token).and_then(|claims| claims["exp"].as_f64()))
            }
        };
        #[expect(clippy::cast_possible_truncation, reason = "a time that is cut is none")]
        let said = said.map(|seconds| seconds as i64);
        let unsaid = now.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
        let new = answer.refresh_token().map(|token| Secret::new(token.secret().to_owned()));
        Ok(Tokens {
            token: Secret::new(token.to_owned()),
            expires_at: said.unwrap_or(unsaid),
            refresh_token: new.or_else(|| old.cloned()),
        })
    }

    /// OpenID Connect Core 1.0, §3.1.3.7, no. 2 and 3.
    fn is_for_us(&self, claims: &Value) -> bool {
        let ours = |audience: &Value| *audience == self.sign_in.client_id.as_str();
        let audience = &claims["aud"];
        claims["iss"] == self.sign_in.issuer.as_str()
            && (ours(audience) || audience.as_array().is_some_and(|list| list.iter().any(ours)))
    }

    fn refusal(&self, error: RequestTokenError<ClientError, BasicErrorResponse>) -> Refusal {
        if let RequestTokenError::ServerResponse(said) = &error
            && *said.error() == BasicErrorResponseType::InvalidGrant
        {
            return Refusal::Ended(words(said));
        }
        self.refusal_of(error, words)
    }

    fn refusal_of<E: ErrorResponse>(
        &self,
        error: RequestTokenError<ClientError, E>,
        words: impl FnOnce(&E) -> String,
    ) -> Refusal {
        Refusal::Other(match error {
            RequestTokenError::ServerResponse(said) => self.refuses(&words(&said)),
            RequestTokenError::Request(error) => error,
            RequestTokenError::Other(what) if what == "Device code expired" => {
                self.refuses("nobody signed in before the code expired: run `hallpass login` again")
            }
            // The answer may hold tokens: it is not shown.
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => self.refuses("its answer is not understood"),
        })
    }

    fn said_no(&self, refusal: Refusal) -> ClientError {
        match refusal {
            Refusal::Ended(why) => self.refuses(&why),
            Refusal::Other(error) => error,
        }
    }

    pub(super) fn refuses(&self, why: &str) -> ClientError {
        ClientError::Provider { provider: self.sign_in.issuer.clone(), why: why.to_owned() }
    }

    /// How `oauth2` sends: over the same HTTP as everything.
    fn carrier(
        &self,
    ) -> impl Fn(HttpRequest) -> futures_util::future::BoxFuture<'static, Result<HttpResponse, ClientError>> {
        let outward = self.outward.clone();
        move |request| {
            let outward = outward.clone();
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                let nonsense = |what: &str| ClientError::Http(what.to_owned());
                let url = Url::parse(&parts.uri.to_string()).map_err(|_| nonsense("an address of the provider"))?;
                let request =
                    outward.client(&url)?.request(parts.method, url.clone()).headers(parts.headers).body(body);
                let answer = outward.send(&url, request).await?;
                let mut response = HttpResponse::new(answer.body);
                *response.status_mut() = answer.status.try_into().map_err(|_| nonsense("a status of the provider"))?;
                *response.headers_mut() = answer.headers;
                Ok(response)
            })
        }
    }
}

/// Nothing where an address of the provider's would carry tokens in the clear.
fn client(sign_in: &LoginClient, document: &Discovery) -> Option<OAuth> {
    let lawful = |address: &String| parse_address(address).is_ok().then(|| address.clone());
    let authorization = AuthUrl::new(lawful(&document.authorization_endpoint)?).ok()?;
    let token = TokenUrl::new(lawful(&document.token_endpoint)?).ok()?;
    let device = match &document.device_authorization_endpoint {
        None => None,
        Some(address) => Some(DeviceAuthorizationUrl::new(lawful(address)?).ok()?),
    };
    let mut client = oauth2::Client::new(ClientId::new(sign_in.client_id.clone())).set_auth_type(AuthType::RequestBody);
    if let Some(secret) = &sign_in.client_secret {
        client = client.set_client_secret(ClientSecret::new(secret.clone()));
    }
    let client = client.set_auth_uri(authorization).set_token_uri(token);
    Some(client.set_device_authorization_url_option(device))
}

/// A JWT's claims, believed by nobody.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    claims.is_object().then_some(claims)
}

/// RFC 6749, §5.2: a code, and what the provider says of it.
fn words<T: ErrorResponseType + AsRef<str>>(said: &StandardErrorResponse<T>) -> String {
    let code = said.error().as_ref();
    plain(&said.error_description().map_or_else(|| code.to_owned(), |description| format!("{description} ({code})")))
}
