//! AWS's sign-in service, which takes a session's credentials and gives a token that opens the console.
//!
//! The credentials go into the body of a POST, to the partition's own host or to the one that is configured, and nowhere
//! else: no redirect is followed. Nothing of an answer but its token is kept.

mod destination;

pub use destination::Destination;

use crate::{
    metrics::ConsoleFault,
    model::{Invalid, Partition, SessionDuration, parse_address},
    outward::{self, Method, NoAnswer, NoClient, Outward, StatusCode, Url},
    secret::Secret,
};
use destination::Console;
use serde::Deserialize;
use std::time::Duration;
use zeroize::Zeroizing;

/// For the whole call.
const CALL_LIMIT: Duration = Duration::from_secs(6);
/// A call that would have to end sooner is not made.
const LEAST_PATIENCE: Duration = Duration::from_millis(500);
/// A token is under two kilobytes.
const LONGEST_TOKEN: usize = 16 * 1024;

/// Where each partition signs in, and where its console is.
const HOSTS: [(&str, &str, &str); 3] = [
    ("aws", "https://signin.aws.amazon.com", "console.aws.amazon.com"),
    ("aws-cn", "https://signin.amazonaws.cn", "console.amazonaws.cn"),
    ("aws-us-gov", "https://signin.amazonaws-us-gov.com", "console.amazonaws-us-gov.com"),
];

/// A session that was minted and brought no console link.
#[derive(Debug, thiserror::Error)]
#[error("the sign-in service: {problem}")]
pub struct ConsoleError {
    /// What is wrong.
    pub problem: ConsoleProblem,
    #[source]
    cause: Option<NoAnswer>,
}

/// What is wrong, as far as a caller or an operator can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleProblem {
    /// It said no, with this status.
    #[error("refused ({0})")]
    Refused(u16),
    /// Too many calls.
    #[error("throttled")]
    Throttled,
    /// Away, silent, broken, or making no sense.
    #[error("unavailable: {0}")]
    Unavailable(&'static str),
    /// There is none that is known.
    #[error("not known for this partition")]
    Unknown,
}

impl ConsoleProblem {
    pub(super) fn kind(self) -> ConsoleFault {
        match self {
            Self::Refused(_) => ConsoleFault::Refused,
            Self::Throttled => ConsoleFault::Throttled,
            Self::Unavailable(_) | Self::Unknown => ConsoleFault::Unavailable,
        }
    }
}

impl From<ConsoleProblem> for ConsoleError {
    fn from(problem: ConsoleProblem) -> Self {
        Self { problem, cause: None }
    }
}

impl From<NoAnswer> for ConsoleError {
    fn from(cause: NoAnswer) -> Self {
        let problem = ConsoleProblem::Unavailable(match cause {
            NoAnswer::None(_) => "no answer in time",
            NoAnswer::TooLarge => "an answer over 1 MiB",
        });
        Self { problem, cause: Some(cause) }
    }
}

/// The sign-in service of one partition.
#[derive(Clone, Debug)]
pub struct ConsoleSignIn {
    outward: Outward,
    federation: Url,
    console: Console,
    issuer: String,
}

/// All that is read of an answer.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "SigninToken")]
    token: String,
}

impl ConsoleSignIn {
    /// At `signin_url`, an origin, or at the host of the region's partition; `None` where neither is known. `issuer` is the
    /// service's own address, where the console sends those whose session has ended.
    pub fn new(signin_url: Option<&str>, region: &str, issuer: &str) -> Result<Option<Self>, NoClient> {
        let outward = Outward::new(CALL_LIMIT)?;
        let partition = Partition::of_region(region);
        let known = HOSTS.into_iter().find(|(name, ..)| *name == partition.as_str());
        let origin = signin_url.or(known.map(|(_, origin, _)| origin));
        let Some(origin) = origin.and_then(|origin| parse_address(origin).ok()) else { return Ok(None) };
        // In every partition the two differ in their first word alone.
        let beside = || Some(format!("console.{}", origin.host_str()?.strip_prefix("signin.")?));
        let Some(console) = known.map(|(.., host)| host.to_owned()).or_else(beside) else { return Ok(None) };
        let Ok(federation) = origin.join("/federation") else { return Ok(None) };
        let console = Console { host: console, region: region.to_owned() };
        Ok(Some(Self { outward, federation, console, issuer: issuer.to_owned() }))
    }

    /// Where the console opens: the address that was asked for, where it is one of this partition's console; else its home
    /// in the broker's region.
    pub fn destination(&self, asked: Option<&str>) -> Result<Destination, Invalid> {
        asked.map_or_else(|| Ok(self.console.home()), |asked| self.console.destination(asked))
    }

    /// Gives a session's credentials away for a sign-in token.
    pub(super) async fn token(
        &self,
        session: &Zeroizing<String>,
        granted: Option<SessionDuration>,
        patience: Duration,
    ) -> Result<Secret, ConsoleError> {
        if patience < LEAST_PATIENCE {
            return Err(ConsoleProblem::Unavailable("no time is left for it").into());
        }
        let request = self
            .outward
            .request(Method::POST, self.federation.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .timeout(patience.min(CALL_LIMIT))
            .body(form(session, granted));
        let answer = outward::send(request).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(ConsoleError::from(match status {
                StatusCode::TOO_MANY_REQUESTS => ConsoleProblem::Throttled,
                _ if status.is_client_error() => ConsoleProblem::Refused(status.as_u16()),
                _ if status.is_redirection() => ConsoleProblem::Unavailable("a redirect, which is not followed"),
                _ => ConsoleProblem::Unavailable("an error of its own"),
            }));
        }
        let body = outward::read(answer).await?;
        let nonsense = ConsoleProblem::Unavailable("an answer that makes no sense");
        let token = serde_json::from_slice(&body).map(|Answer { token }| Secret::new(token)).map_err(|_| nonsense)?;
        let text = token.expose();
        let lawful = (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if lawful { Ok(token) } else { Err(nonsense.into()) }
    }

    /// The address that opens the console.
    pub(super) fn link(&self, destination: &Destination, token: &Secret) -> Secret {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("Action", "login").append_pair("Issuer", &self.issuer);
        query.append_pair("Destination", destination.as_str()).append_pair("SigninToken", token.expose());
        Secret::new(format!("{}?{}", self.federation, *Zeroizing::new(query.finish())))
    }
}

/// What the service is asked, and given.
fn form(session: &str, granted: Option<SessionDuration>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", "getSigninToken");
    if let Some(granted) = granted {
        form.append_pair("SessionDuration", &granted.seconds().to_string());
    }
    form.append_pair("Session", session).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_time_nothing_is_sent() {
        // Nobody listens there: a call would say so.
        let service = ConsoleSignIn::new(Some("http://127.0.0.1:1"), "eu-west-1", "https://hallpass.example.com");
        let service = service.unwrap().unwrap();
        for (patience, what) in [(499, "no time is left for it"), (500, "no answer in time")] {
            let answer = service.token(&Zeroizing::default(), None, Duration::from_millis(patience)).await;
            assert_eq!(answer.unwrap_err().problem, ConsoleProblem::Unavailable(what), "{patience}");
        }
    }
}
