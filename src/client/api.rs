use super::{
    ClientError, Source, Target, Token,
    outward::{Answer, Outward},
};
use crate::{clock::Clock, model::Time};
use reqwest::{Method, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

/// One server's API.
#[derive(Clone)]
pub struct Api {
    server: String,
    outward: Outward,
    clock: Clock,
}

/// An error as the server says it (RFC 9457, contract §4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The status.
    #[serde(default)]
    pub status: u16,
    /// Stable.
    pub code: String,
    /// A sentence.
    pub detail: String,
    /// Each failing condition of the caller's own grants.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// Each fault of the request.
    #[serde(default)]
    pub errors: Vec<Fault>,
    /// Names the request in the server's log and audit.
    #[serde(default)]
    pub request_id: String,
    /// When to come again, in seconds.
    #[serde(skip)]
    pub retry_after: Option<u64>,
    /// How far this machine's clock is ahead of the server's, in seconds; told where a token's time was refused.
    #[serde(skip)]
    pub clock_ahead: Option<i64>,
    /// Where the refused token came from.
    #[serde(skip)]
    pub source: Option<Source>,
}

/// A failing condition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reason {
    /// A sentence.
    pub detail: String,
}

/// A fault of a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// A pointer into the body, or a parameter.
    #[serde(default)]
    pub pointer: String,
    /// What is wrong.
    pub problem: String,
}

impl Api {
    pub(super) fn new(target: &Target, outward: Outward, clock: Clock) -> Self {
        Self { server: target.url.clone(), outward, clock }
    }

    /// Asks, and reads the answer's JSON. The body is sent as JSON.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ClientError> {
        let url = Url::parse(&format!("{}{path}", self.server)).map_err(|_| self.nonsense("it has no such address"))?;
        let mut request = self.outward.client(&url)?.request(method, url.clone());
        if let Some(token) = token {
            request = request.bearer_auth(token.secret.expose());
        }
        if let Some(body) = body {
            let text = serde_json::to_string(body).map_err(|error| self.nonsense(&error.to_string()))?;
            request = request.header(header::CONTENT_TYPE, "application/json").body(text);
        }
        let answer = self.outward.send(&url, request).await?;
        match answer.status {
            200..=299 => serde_json::from_slice(&answer.body)
                .map_err(|_| self.nonsense("its answer is not one of Hallpass: is the address right?")),
            300..=399 => Err(self.nonsense("it sends elsewhere, and no token goes along: give its own address")),
            status => Err(self.problem(status, &answer, token)),
        }
    }

    fn problem(&self, status: u16, answer: &Answer, token: Option<&Token>) -> ClientError {
        let Ok(mut problem) = serde_json::from_slice::<Problem>(&answer.body) else {
            return self.nonsense(&format!("it answers {status}, and not as Hallpass does: is the address right?"));
        };
        let text = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
        problem.status = status;
        problem.retry_after = text(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
        problem.source = token.map(|token| token.source.clone());
        let theirs = text(header::DATE).and_then(read_date).filter(|_| status == 401);
        problem.clock_ahead = theirs.map(|theirs| (self.clock.now().as_micros() - theirs.as_micros()) / 1_000_000);
        ClientError::Refused(Box::new(problem))
    }

    pub(super) fn nonsense(&self, what: &str) -> ClientError {
        ClientError::Nonsense { url: self.server.clone(), what: what.to_owned() }
    }
}

/// RFC 9110, §5.6.7.
fn read_date(text: &str) -> Option<Time> {
    let moment = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Time::from_micros(moment.as_microsecond())
}
