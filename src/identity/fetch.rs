use crate::model::{Invalid, parse_address};
use reqwest::{Client, ClientBuilder, StatusCode, Url, redirect};
use serde_json::Value;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(2);
const WHOLE_ANSWER: Duration = Duration::from_millis(2500);
const MAX_ANSWER: usize = 1024 * 1024;

/// Why an issuer's keys could not be fetched. For operators: holds no address and nothing of the answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer ({0})")]
    NoAnswer(String),
    #[error("the answer is {0} instead of 200; redirects are not followed")]
    Status(StatusCode),
    #[error("the answer is over 1 MiB")]
    TooLarge,
    #[error("the answer is not JSON (line {line}, column {column})")]
    NotJson { line: usize, column: usize },
    #[error("the discovery document is that of another issuer: its issuer is not the configured one, byte for byte")]
    OtherIssuer,
    #[error("the discovery document has no jwks_uri that is {0}")]
    NoKeysAddress(Invalid),
    #[error("the answer is no JWK set: it has no list of keys")]
    NoKeySet,
    #[error("no key of the set can be used")]
    NoUsableKey,
}

/// Fetches documents of issuers, from addresses that come from configuration or discovery only.
#[derive(Clone)]
pub(super) struct Fetcher {
    outward: Client,
    loopback: Client,
}

impl Fetcher {
    /// Fails where the machine's trusted certificates cannot be read.
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let bounded = || -> ClientBuilder {
            Client::builder()
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT)
                .timeout(WHOLE_ANSWER)
                .user_agent(concat!("hallpass/", env!("CARGO_PKG_VERSION")))
        };
        // Plain http stays on this machine: a proxy from the environment would carry it away.
        Ok(Self { outward: bounded().https_only(true).build()?, loopback: bounded().no_proxy().build()? })
    }

    /// The members of the issuer's JWK set (RFC 7517, §5), found by OpenID discovery where no address is configured.
    pub(super) async fn key_set(&self, issuer: &str, jwks_url: Option<&Url>) -> Result<Vec<Value>, FetchError> {
        let discovered;
        let address = if let Some(address) = jwks_url {
            address
        } else {
            discovered = self.discover(issuer).await?;
            &discovered
        };
        match self.document(address).await?.get_mut("keys").map(Value::take) {
            Some(Value::Array(keys)) => Ok(keys),
            _ => Err(FetchError::NoKeySet),
        }
    }

    /// OpenID Connect Discovery 1.0, §4; that its `issuer` is the one asked for keeps one tenant of a provider from
    /// standing in for another.
    async fn discover(&self, issuer: &str) -> Result<Url, FetchError> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.document(&parse_address(&address).map_err(FetchError::NoKeysAddress)?).await?;
        if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(FetchError::OtherIssuer);
        }
        let keys = document.get("jwks_uri").and_then(Value::as_str).unwrap_or_default();
        parse_address(keys).map_err(FetchError::NoKeysAddress)
    }

    async fn document(&self, address: &Url) -> Result<Value, FetchError> {
        let client = if address.scheme() == "https" { &self.outward } else { &self.loopback };
        let mut answer = client.get(address.clone()).send().await.map_err(no_answer)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(no_answer)? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        serde_json::from_slice(&body)
            .map_err(|error| FetchError::NotJson { line: error.line(), column: error.column() })
    }
}

/// The causes one after the other, without the address: it may hold a key of its own.
fn no_answer(error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    FetchError::NoAnswer(text)
}
