use super::{Attempt, PortalConfig, SignInError};
use crate::{
    clock::Clock,
    identity::{Issuer, IssuerKind, fetch::Fetcher},
    model::{Time, parse_address},
    outward::{self, Method, NoAnswer, NoClient, Outward, Url},
    secret::Secret,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
        BasicTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{fmt, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// How long the token endpoint is waited for: it looks people up, and so may take longer than a document.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what discovery said is believed.
const KNOWN_FOR: Duration = Duration::from_mins(15);
/// The least time between two questions of a provider that does not answer.
const AGAIN: Duration = Duration::from_secs(5);

type Tokens = StandardTokenResponse<IdToken, BasicTokenType>;
type OAuth = Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;
type TokenError = RequestTokenError<AskError, BasicErrorResponse>;

/// What OpenID Connect adds to an answer of the token endpoint.
#[derive(Deserialize, Serialize)]
struct IdToken {
    id_token: Option<String>,
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl ExtraTokenFields for IdToken {}

/// What the token endpoint gave.
pub(super) struct Given {
    pub(super) id_token: Option<Secret>,
    pub(super) refresh_token: Option<Secret>,
}

/// What came of asking with a refresh token.
pub(super) enum Refreshed {
    Given(Given),
    /// The provider says that it is over.
    Over,
    /// Nobody can tell.
    Unknown(String),
}

/// The identity provider as the portal's client sees it.
pub(super) struct Provider {
    config: PortalConfig,
    issuer: Arc<Issuer>,
    fetcher: Fetcher,
    asker: Asker,
    clock: Clock,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Time, Arc<Metadata>)>,
    failed: Option<(Time, String)>,
}

/// What discovery says (OpenID Connect Discovery 1.0, §3).
struct Metadata {
    oauth: OAuth,
    scopes: Vec<Scope>,
    end_session: Option<Url>,
}

impl Provider {
    pub(super) fn new(config: PortalConfig, issuer: Arc<Issuer>, clock: Clock) -> Result<Self, NoClient> {
        let (fetcher, asker) = (Fetcher::new()?, Asker(Outward::new(PATIENCE)?));
        Ok(Self { config, issuer, fetcher, asker, clock, known: Mutex::default() })
    }

    pub(super) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Where the browser is sent.
    pub(super) async fn begin(&self, attempt: &Attempt) -> Result<Url, SignInError> {
        let metadata = self.metadata().await?;
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(attempt.verifier()));
        let mut request = metadata.oauth.authorize_url(|| CsrfToken::new(attempt.state()));
        request = request.set_pkce_challenge(challenge).add_scopes(metadata.scopes.clone());
        request = request.add_extra_param("nonce", attempt.nonce());
        if attempt.is_fresh() {
            // §3.1.2.1: asks again, and must then say when it did.
            request = request.add_extra_param("prompt", "login").add_extra_param("max_age", "0");
        }
        Ok(request.url().0)
    }

    /// What the provider gives for the code it sent the browser back with.
    pub(super) async fn exchange(&self, attempt: &Attempt, code: &str) -> Result<Given, SignInError> {
        let metadata = self.metadata().await?;
        let request = metadata.oauth.exchange_code(AuthorizationCode::new(code.to_owned()));
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier()));
        request.request_async(&self.asker).await.map(|tokens| given(&tokens)).map_err(|error| match refusal(&error) {
            Some(BasicErrorResponseType::InvalidGrant) => SignInError::Refused,
            _ => SignInError::Provider(describe(&error)),
        })
    }

    /// Asks whether the person still is who they were.
    pub(super) async fn refresh(&self, token: &Secret) -> Refreshed {
        let metadata = match self.metadata().await {
            Ok(metadata) => metadata,
            Err(error) => return Refreshed::Unknown(error.to_string()),
        };
        let token = RefreshToken::new(token.expose().to_owned());
        match metadata.oauth.exchange_refresh_token(&token).request_async(&self.asker).await {
            Ok(tokens) => Refreshed::Given(given(&tokens)),
            Err(error) => match refusal(&error) {
                Some(BasicErrorResponseType::InvalidGrant) => Refreshed::Over,
                _ => Refreshed::Unknown(describe(&error)),
            },
        }
    }

    /// Where the browser is sent to be signed out at the provider too, where that can be (RP-Initiated Logout 1.0). Without
    /// a hint: an ID token in an address would stay in the browser's history.
    pub(super) async fn end_session(&self) -> Option<Url> {
        let mut address = self.metadata().await.ok()?.end_session.clone()?;
        address
            .query_pairs_mut()
            .append_pair("client_id", &self.config.client_id)
            .append_pair("post_logout_redirect_uri", &format!("{}/", self.config.public_url));
        Some(address)
    }

    /// One question at a time; what was answered is believed for a while, and longer where the provider is away.
    async fn metadata(&self) -> Result<Arc<Metadata>, SignInError> {
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        let lately = |at: Time, span| at <= now && now < at.plus(span);
        if let Some((at, metadata)) = &known.metadata
            && lately(*at, KNOWN_FOR)
        {
            return Ok(metadata.clone());
        }
        let failed = known.failed.as_ref().filter(|(at, _)| lately(*at, AGAIN)).map(|(_, problem)| problem.clone());
        let problem = match failed {
            Some(problem) => problem,
            None => match self.discover().await {
                Ok(metadata) => {
                    let metadata = Arc::new(metadata);
                    *known = Known { metadata: Some((now, metadata.clone())), failed: None };
                    return Ok(metadata);
                }
                Err(problem) => {
                    known.failed = Some((now, problem.clone()));
                    problem
                }
            },
        };
        let kept = known.metadata.as_ref().map(|(_, metadata)| metadata.clone());
        kept.ok_or(SignInError::Provider(problem))
    }

    async fn discover(&self) -> Result<Metadata, String> {
        let issuer = &self.issuer.config;
        let document = self.fetcher.discovery(&issuer.issuer).await.map_err(|error| error.to_string())?;
        let address = |name: &str| document.get(name).and_then(Value::as_str).and_then(|text| parse_address(text).ok());
        let needed = |name| address(name).ok_or_else(|| format!("the discovery document has no {name} to be used"));
        let (authorization, token) = (needed("authorization_endpoint")?, needed("token_endpoint")?);
        let redirect = format!("{}/login/callback", self.config.public_url);
        let mut oauth = Client::new(ClientId::new(self.config.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(authorization))
            .set_token_uri(TokenUrl::from_url(token))
            .set_redirect_uri(RedirectUrl::new(redirect).map_err(|error| error.to_string())?)
            .set_auth_type(auth_type(&document));
        if let Some(secret) = &self.config.client_secret {
            oauth = oauth.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
        }
        Ok(Metadata { oauth, scopes: self.scopes(&document), end_session: address("end_session_endpoint") })
    }

    /// What is always there, and what some providers want to be asked for.
    fn scopes(&self, document: &Value) -> Vec<Scope> {
        let groups = matches!(&self.issuer.config.kind, IssuerKind::People(people) if people.groups_claim.is_some());
        let wanted = ["profile", "email"].into_iter().chain(["offline_access"]).chain(groups.then_some("groups"));
        let offered = |scope: &&str| lists(document, "scopes_supported", scope);
        // `openid` makes it OpenID Connect; the rest only where the provider knows it.
        ["openid"].into_iter().chain(wanted.filter(offered)).map(|scope| Scope::new(scope.to_owned())).collect()
    }
}

fn lists(document: &Value, name: &str, value: &str) -> bool {
    document.get(name).and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == value))
}

/// How the client shows its secret; Basic where the provider says nothing.
fn auth_type(document: &Value) -> AuthType {
    const METHODS: &str = "token_endpoint_auth_methods_supported";
    let in_body = lists(document, METHODS, "client_secret_post") && !lists(document, METHODS, "client_secret_basic");
    if in_body { AuthType::RequestBody } else { AuthType::BasicAuth }
}

fn given(tokens: &Tokens) -> Given {
    Given {
        id_token: tokens.extra_fields().id_token.clone().map(Secret::new),
        refresh_token: tokens.refresh_token().map(|token| Secret::new(token.secret().clone())),
    }
}

fn refusal(error: &TokenError) -> Option<&BasicErrorResponseType> {
    match error {
        RequestTokenError::ServerResponse(answer) => Some(answer.error()),
        _ => None,
    }
}

/// For operators, without anything of the answer but its code.
fn describe(error: &TokenError) -> String {
    match error {
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            BasicErrorResponseType::Extension(_) => "the token endpoint refuses, by a code of its own".to_owned(),
            code => format!("the token endpoint refuses: {code}"),
        },
        RequestTokenError::Request(error) => error.to_string(),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            "the token endpoint's answer is none of RFC 6749's".to_owned()
        }
    }
}

/// Why there is no answer of the token endpoint.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("the request cannot be made")]
    NoRequest,
}

/// Asks for `oauth2`, by this program's rules for what is asked of others.
struct Asker(Outward);

impl<'c> AsyncHttpClient<'c> for Asker {
    type Error = AskError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, AskError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let address = parse_address(&parts.uri.to_string()).map_err(|_| AskError::NoRequest)?;
            let asked = self.0.request(Method::POST, address).headers(parts.headers).body(body);
            let answer = outward::send(asked).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut response = HttpResponse::new(outward::read(answer).await?.to_vec());
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        })
    }
}
