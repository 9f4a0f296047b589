use super::{
    ClientError, Request, Source, Target, Token,
    outward::{Coming, Outward},
};
use crate::{clock::Clock, model::Time};
use reqwest::header::{self, HeaderMap};
use serde::{Deserialize, de::DeserializeOwned};
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
    /// In an allowlist file: its line.
    #[serde(default)]
    pub line: Option<usize>,
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

    /// Asks, and reads the answer's JSON.
    pub async fn call<T: DeserializeOwned>(&self, request: &Request, token: Option<&Token>) -> Result<T, ClientError> {
        self.read(self.send(request, token).await?).await
    }

    /// An answer's JSON.
    pub(super) async fn read<T: DeserializeOwned>(&self, answer: Coming) -> Result<T, ClientError> {
        serde_json::from_slice(&answer.whole().await?.body)
            .map_err(|_| self.nonsense("its answer is not one of Hallpass: is the address right?"))
    }

    /// Asks; an answer that is none of those hoped for is an error.
    pub(super) async fn send(&self, request: &Request, token: Option<&Token>) -> Result<Coming, ClientError> {
        let url = Url::parse(&format!("{}{}", self.server, request.path));
        let url = url.map_err(|_| self.nonsense("it has no such address"))?;
        let mut asked = self.outward.client(&url)?.request(request.method.clone(), url.clone());
        asked = asked.headers(request.headers.clone()).body(request.body.clone()).timeout(request.patience);
        if let Some(token) = token {
            asked = asked.bearer_auth(token.secret.expose());
        }
        let answer = self.outward.begin(&url, asked).await?;
        match answer.status() {
            200..=299 => Ok(answer),
            300..=399 => Err(self.nonsense("it sends elsewhere, and no token goes along: give its own address")),
            _ => Err(self.problem(answer, token).await?),
        }
    }

    async fn problem(&self, answer: Coming, token: Option<&Token>) -> Result<ClientError, ClientError> {
        let answer = answer.whole().await?;
        let Some(mut problem) = Problem::read(answer.status, &answer.headers, &answer.body) else {
            let what = format!("it answers {}, and not as Hallpass does: is the address right?", answer.status);
            return Ok(self.nonsense(&what));
        };
        problem.source = token.map(|token| token.source.clone());
        let theirs = text(&answer.headers, header::DATE).and_then(read_date).filter(|_| answer.status == 401);
        problem.clock_ahead = theirs.map(|theirs| (self.clock.now().as_micros() - theirs.as_micros()) / 1_000_000);
        Ok(ClientError::Refused(Box::new(problem)))
    }

    pub(super) fn nonsense(&self, what: &str) -> ClientError {
        ClientError::Nonsense { url: self.server.clone(), what: what.to_owned() }
    }
}

impl Problem {
    /// What an answer says, where it is one of Hallpass's.
    #[must_use]
    pub fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let problem: Self = serde_json::from_slice(body).ok()?;
        let retry_after = text(headers, header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
        Some(Self { status, retry_after, ..problem })
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// RFC 9110, §5.6.7.
fn read_date(text: &str) -> Option<Time> {
    let moment = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Time::from_micros(moment.as_microsecond())
}
