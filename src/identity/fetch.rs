use crate::{
    model::{Invalid, parse_address},
    outward::{self, Method, NoAnswer, NoClient, Outward, StatusCode, Url},
};
use serde_json::Value;
use std::time::Duration;

const WHOLE_ANSWER: Duration = Duration::from_millis(2500);

/// Why an issuer's keys could not be fetched. For operators: holds no address and nothing of the answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("the answer is {0} instead of 200; redirects are not followed")]
    Status(StatusCode),
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
pub(super) struct Fetcher(Outward);

impl Fetcher {
    /// Fails where the machine's trusted certificates cannot be read.
    pub(super) fn new() -> Result<Self, NoClient> {
        Ok(Self(Outward::new(WHOLE_ANSWER)?))
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
    pub(super) async fn discovery(&self, issuer: &str) -> Result<Value, FetchError> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.document(&parse_address(&address).map_err(FetchError::NoKeysAddress)?).await?;
        if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(FetchError::OtherIssuer);
        }
        Ok(document)
    }

    async fn discover(&self, issuer: &str) -> Result<Url, FetchError> {
        let document = self.discovery(issuer).await?;
        let keys = document.get("jwks_uri").and_then(Value::as_str).unwrap_or_default();
        parse_address(keys).map_err(FetchError::NoKeysAddress)
    }

    async fn document(&self, address: &Url) -> Result<Value, FetchError> {
        let answer = outward::send(self.0.request(Method::GET, address.clone())).await?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let body = outward::read(answer).await?;
        serde_json::from_slice(&body)
            .map_err(|error| FetchError::NotJson { line: error.line(), column: error.column() })
    }
}
