//! What this program asks of others over HTTP, beside AWS's own SDK: where it may reach, how long it waits, how much it
//! reads.
//!
//! Only https leaves the machine; no redirect is followed, so nothing is sent on to where an answer points; no answer
//! over 1 MiB is read. Must never put an address or any of an answer into an error.

use crate::model::{Invalid, with_causes};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, redirect};
use std::{net::IpAddr, time::Duration};
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

    /// A request to an address of [`parse_address`]'s.
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

/// An address to reach outward: https, or http where nobody in between can listen; without a user name or a fragment.
/// The characters are checked first, because the parser mends what it is given (spaces, tabs, backslashes).
pub fn parse_address(text: &str) -> Result<Url, Invalid> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let local = |host: &str| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
    };
    let lawful = |url: &Url| {
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        bare && (url.scheme() == "https" || url.host_str().is_some_and(local))
    };
    Some(text)
        .filter(|text| plain && (text.starts_with("https://") || text.starts_with("http://")))
        .and_then(|text| Url::parse(text).ok())
        .filter(lawful)
        .ok_or(Invalid::new("an https:// address, or http:// on loopback, without a user name or a fragment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_leaves_the_machine() {
        for (text, ok) in [
            ("https://login.example.com", true),
            ("https://login.example.com:8443/tenant?x=1", true),
            ("http://127.0.0.1:8080", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:8080/x", true),
            ("http://localhost:8080", true),
            ("http://login.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
            ("http://[::2]", false),
            ("http://[::ffff:127.0.0.1]:9000", true),
            ("http://[::ffff:10.0.0.1]:9000", false),
            ("ftp://localhost", false),
            ("https:login.example.com", false),
            ("https:\\\\login.example.com", false),
            ("https://user@login.example.com", false),
            ("https://:secret@login.example.com", false),
            ("https://login.example.com#x", false),
            (" https://login.example.com", false),
            ("https://login.exa\tmple.com", false),
            ("file:///etc/passwd", false),
            ("login.example.com", false),
            ("https://", false),
            ("", false),
        ] {
            assert_eq!(parse_address(text).is_ok(), ok, "{text}");
        }
    }
}
