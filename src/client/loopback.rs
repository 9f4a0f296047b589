//! Where the browser comes back to: a port of this machine's loopback, open for as long as a sign-in takes (RFC 8252, §7.3).

use super::{ClientError, error::plain};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{convert::Infallible, net::Ipv4Addr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use url::form_urlencoded;

const PATH: &str = "/callback";

/// What the provider sent the browser back with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// To be redeemed.
    Code(String),
    /// RFC 6749, §4.1.2.1: an error, in the provider's words.
    Error(String),
}

/// The open port.
pub(super) struct Loopback {
    listener: TcpListener,
    port: u16,
}

/// What an answer has to say to be the one waited for. Anybody on this machine can ask this port: what does not fit is
/// answered 400 and ends nothing.
struct Expected {
    state: String,
    issuer: String,
}

impl Loopback {
    pub(super) async fn open(port: Option<u16>) -> Result<Self, ClientError> {
        let port = port.unwrap_or(0);
        let failed = |cause| ClientError::Port { port, cause };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }

    /// RFC 8252, §8.3: the address, not the name `localhost`.
    pub(super) fn redirect_url(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Waits for the browser.
    pub(super) async fn wait(self, state: &str, issuer: &str) -> Back {
        let expected = Arc::new(Expected { state: state.to_owned(), issuer: issuer.to_owned() });
        let (tell, mut told) = mpsc::channel(1);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(back) = told.recv() => {
                    // The page is on its way; a browser keeps its connection, so nobody waits for its end.
                    connections.shutdown().await;
                    return back;
                }
                Ok((stream, _)) = self.listener.accept() => {
                    connections.spawn(serve(stream, expected.clone(), tell.clone()));
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, expected: Arc<Expected>, tell: mpsc::Sender<Back>) {
    let (done, mut over) = mpsc::channel::<Back>(1);
    let answer = service_fn(move |request: Request<Incoming>| {
        let (status, back) = expected.read(&request);
        let page = page(status, back.as_ref());
        let done = done.clone();
        async move {
            if let Some(back) = back {
                let _ = done.send(back).await;
            }
            Ok::<_, Infallible>(page)
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // One request a connection: once the answer is out, what came back can be told.
    let _ = builder.http1_only().serve_connection(TokioIo::new(stream), answer).await;
    if let Ok(back) = over.try_recv() {
        let _ = tell.send(back).await;
    }
}

impl Expected {
    fn read<B>(&self, request: &Request<B>) -> (StatusCode, Option<Back>) {
        if request.uri().path() != PATH {
            return (StatusCode::NOT_FOUND, None);
        }
        if request.method() != Method::GET {
            return (StatusCode::METHOD_NOT_ALLOWED, None);
        }
        match self.fits(request.uri().query().unwrap_or_default()) {
            Some(back) => (StatusCode::OK, Some(back)),
            None => (StatusCode::BAD_REQUEST, None),
        }
    }

    fn fits(&self, query: &str) -> Option<Back> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let one = |name: &str| {
            let mut values = pairs.iter().filter(|(its, _)| its == name).map(|(_, value)| value.as_str());
            values.next().filter(|_| values.next().is_none())
        };
        // RFC 9207: where the provider says who it is, it has to be the one that was asked.
        let issuer = pairs.iter().all(|(name, value)| name != "iss" || *value == self.issuer);
        if one("state") != Some(&self.state) || !issuer {
            return None;
        }
        match (one("code"), one("error")) {
            (Some(code), None) => Some(Back::Code(code.to_owned())),
            (None, Some(error)) => {
                let said = one("error_description").map(|said| format!("{} ({})", plain(said), plain(error)));
                Some(Back::Error(said.unwrap_or_else(|| plain(error))))
            }
            _ => None,
        }
    }
}

fn page(status: StatusCode, back: Option<&Back>) -> Response<Full<Bytes>> {
    let says = match back {
        Some(Back::Code(_)) => "Done: go back to the terminal. This window can be closed.",
        Some(Back::Error(_)) => "The sign-in was refused; the terminal says why. This window can be closed.",
        None => "Nothing to see here: this is not the sign-in that the terminal waits for.",
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Hallpass</title>\
         <style>body{{font:1.1rem system-ui;margin:20vh auto;max-width:30rem;text-align:center}}</style><p>{says}\n"
    );
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONNECTION, "close"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_sign_in_counts() {
        let expected = Expected { state: "s1".to_owned(), issuer: "https://idp".to_owned() };
        let code = || Some(Back::Code("c".to_owned()));
        let error = |text: &str| Some(Back::Error(text.to_owned()));
        for (query, back) in [
            ("code=c&state=s1", code()),
            ("code=c&state=s1&iss=https%3A%2F%2Fidp", code()),
            ("code=c&state=s1&iss=https%3A%2F%2Fother", None),
            ("code=c&state=s1&iss=https%3A%2F%2Fidp&iss=https%3A%2F%2Fother", None),
            ("code=c&state=s2", None),
            ("code=c", None),
            ("code=c&state=s1&state=s2", None),
            ("code=c&code=d&state=s1", None),
            ("state=s1", None),
            ("code=c&error=x&state=s1", None),
            ("error=access_denied&state=s1", error("access_denied")),
            ("error=access_denied&error_description=No%1b[31m+luck&state=s1", error("No[31m luck (access_denied)")),
            ("error=access_denied&state=s2", None),
            ("", None),
        ] {
            assert_eq!(expected.fits(query), back, "{query}");
        }
    }
}
