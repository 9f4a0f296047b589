use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH},
};
use serde_json::Value;
use std::time::Duration;

/// A server answers within 20 s even where STS is silent.
const USUAL: Duration = Duration::from_secs(30);
/// A file of 16 MiB is read, planned and written; an export is as long as the audit.
const LONG: Duration = Duration::from_hours(24);

/// What a server is asked: an address of its API, and what goes with it.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is done.
    pub method: Method,
    /// The path, and the query.
    pub path: String,
    /// What is said beside the body.
    pub headers: HeaderMap,
    /// Empty where there is none.
    pub body: Vec<u8>,
    /// How long the whole answer may take.
    pub(super) patience: Duration,
}

impl Request {
    /// Reads.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path.into())
    }

    /// Sends JSON.
    pub fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::POST, path.into()).with_body("application/json", body.to_string())
    }

    /// Sends an allowlist file.
    pub fn put(path: impl Into<String>, file: String) -> Self {
        Self::new(Method::PUT, path.into()).with_body("application/toml", file).patiently()
    }

    /// Ends something.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path.into())
    }

    /// Only where the allowlist is still at this revision.
    #[must_use]
    pub fn if_match(mut self, revision: u64) -> Self {
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
            self.headers.insert(IF_MATCH, tag);
        }
        self
    }

    /// With an answer that may take as long as it likes, while it keeps coming.
    #[must_use]
    pub fn patiently(self) -> Self {
        Self { patience: LONG, ..self }
    }

    pub(super) fn new(method: Method, path: String) -> Self {
        Self { method, path, headers: HeaderMap::new(), body: Vec::new(), patience: USUAL }
    }

    pub(super) fn with_body(mut self, media_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        Self { body: body.into(), ..self }
    }
}
