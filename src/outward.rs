//! What this program asks of others over HTTP, beside AWS's own SDK: where it may reach, how long it waits, how much it
//! reads.
//!
//! Only https leaves the machine; no redirect is followed, so nothing is sent on to where an answer points; no answer
//! over 1 MiB is read. Must never put an address or any of an answer into an error.

use crate::model::with_causes;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, redirect};
use std::time::Duration;
use zeroize::Zeroizing;

pub use reqwest::{Method, StatusCode, Url};

const CONNECT: Duration = Duration::from_secs(2);
const MAX_ANSWER: usize = 1024 * 1024;

/// Why there is no answer that can be used. For operators.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// None, or only a part: the causes.
    #[error("no answer ({0})")]
    None(String),
    /// More than is read.
    #[error("the answer is over 1 MiB")]
    TooLarge,
}

/// The HTTP client cannot be made: most likely the machine's trusted certificates cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the HTTP client")]
pub struct NoClient(#[from] reqwest::Error);

/// Asks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outward {
    https: Client,
    loopback: Client,
}

impl Outward {
    /// One that waits so long for a whole answer.
    pub fn new(patience: Duration) -> Result<Self, NoClient> {
        let bounded = || -> ClientBuilder {
            Client::builder()
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT)
                .timeout(patience)
                .user_agent(concat!("hallpass/", env!("CARGO_PKG_VERSION")))
        };
        // Plain http stays on this machine: a proxy from the environment would carry it away.
        Ok(Self { https: bounded().https_only(true).build()?, loopback: bounded().no_proxy().build()? })
    }

    /// A request to an address of [`parse_address`](crate::model::parse_address)'s.
    pub fn request(&self, method: Method, address: Url) -> RequestBuilder {
        let client = if address.scheme() == "https" { &self.https } else { &self.loopback };
        client.request(method, address)
    }
}

/// Sends it, and gives the answer's head.
pub async fn send(request: RequestBuilder) -> Result<Response, NoAnswer> {
    request.send().await.map_err(no_answer)
}

/// The answer's body, which may hold a secret.
pub async fn read(mut answer: Response) -> Result<Zeroizing<Vec<u8>>, NoAnswer> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(piece) = answer.chunk().await.map_err(no_answer)? {
        if body.len() + piece.len() > MAX_ANSWER {
            return Err(NoAnswer::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The causes one after the other, without the address: it may hold a key of its own.
fn no_answer(error: reqwest::Error) -> NoAnswer {
    NoAnswer::None(with_causes(&error.without_url()))
}
