use super::ClientError;
use hyper::body::Bytes;
use reqwest::{Certificate, Client, RequestBuilder, Response, header::HeaderMap, redirect};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use url::Url;

const CONNECT: Duration = Duration::from_secs(5);
/// A server answers within 20 s even where STS is silent.
const WHOLE_ANSWER: Duration = Duration::from_secs(30);
/// A plan names everybody who gains or loses, and can be longer than the file.
const MAX_ANSWER: usize = 128 << 20;

/// HTTP to the server and to the identity provider: no redirect is followed, since a token would go along. Costs nothing
/// before it is used: the system's certificates are read with the first https request.
#[derive(Clone)]
pub(super) struct Outward(Arc<Clients>);

struct Clients {
    ca_bundle: Option<PathBuf>,
    far: OnceLock<Client>,
    loopback: OnceLock<Client>,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// An answer that is read as it comes.
#[derive(Debug)]
pub struct Coming {
    url: Url,
    answer: Response,
}

impl Coming {
    pub(super) fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }

    /// What is said beside the body.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.answer.headers()
    }

    /// The next piece of the body; `None` at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.answer.chunk().await.map_err(|error| ClientError::no_answer(&self.url, &error))
    }

    pub(super) async fn whole(mut self) -> Result<Answer, ClientError> {
        let (status, headers) = (self.status(), std::mem::take(self.answer.headers_mut()));
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            if body.len() + piece.len() > MAX_ANSWER {
                let what = format!("its answer is over {} MiB", MAX_ANSWER >> 20);
                return Err(ClientError::Nonsense { url: origin(&self.url), what });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, headers, body })
    }
}

impl Outward {
    /// Trusts what the system trusts and, beside that, the certificates of `ca_bundle`.
    pub(super) fn new(ca_bundle: Option<PathBuf>) -> Self {
        Self(Arc::new(Clients { ca_bundle, far: OnceLock::new(), loopback: OnceLock::new() }))
    }

    pub(super) fn client(&self, url: &Url) -> Result<&Client, ClientError> {
        let far = url.scheme() == "https";
        let place = if far { &self.0.far } else { &self.0.loopback };
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let client = self.build(far)?;
        Ok(place.get_or_init(|| client))
    }

    fn build(&self, far: bool) -> Result<Client, ClientError> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(WHOLE_ANSWER)
            .read_timeout(WHOLE_ANSWER)
            .user_agent(concat!("hallpass/", env!("CARGO_PKG_VERSION")));
        let client = if far {
            let more = self.0.ca_bundle.as_deref().map(certificates).transpose()?;
            client.https_only(true).tls_certs_merge(more.unwrap_or_default())
        } else {
            // Plain http stays on this machine: a proxy from the environment would carry it away. There is no TLS.
            client.no_proxy().tls_certs_only([])
        };
        client.build().map_err(|error| ClientError::Http(error.to_string()))
    }

    /// Sends it, and reads the answer to its end.
    pub(super) async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Answer, ClientError> {
        self.begin(url, request).await?.whole().await
    }

    /// Sends it, and waits until the answer begins.
    pub(super) async fn begin(&self, url: &Url, request: RequestBuilder) -> Result<Coming, ClientError> {
        let answer = request.send().await.map_err(|error| ClientError::no_answer(url, &error))?;
        Ok(Coming { url: url.clone(), answer })
    }
}

/// An address as an error shows it: without path and query, where codes and tokens may stand.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let text = fs::read(path).map_err(|cause| ClientError::file(path, cause))?;
    let certificates = Certificate::from_pem_bundle(&text).unwrap_or_default();
    if certificates.is_empty() {
        return Err(ClientError::Bundle(path.to_owned()));
    }
    Ok(certificates)
}
