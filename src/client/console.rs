use super::{
    Ask, Client, ClientError, exposed,
    local::{self, Local, Reply},
};
use crate::{
    model::parse_address,
    secret::{Secret, SessionToken},
};
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;
use url::Url;

/// A browser that is not there yet has to start.
const VISIT: Duration = Duration::from_mins(1);

const PAGE: &str = "text/plain; charset=utf-8";

/// A link that opens the console. Whoever has it is signed in.
#[derive(Debug, Serialize, Deserialize)]
pub struct Link {
    /// To be opened in a browser.
    #[serde(with = "exposed")]
    pub url: Secret,
    /// Until when it opens the console.
    pub url_expires_at: String,
    /// The latest end of the session.
    pub expires_at: String,
    /// Names it in the audit.
    pub issuance_id: String,
}

impl Client {
    /// A new link for a role; `destination` is where the console opens.
    pub async fn console_link(&self, ask: &Ask, destination: Option<&str>) -> Result<Link, ClientError> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            ask: super::credentials::Body<'a>,
            destination: Option<&'a str>,
        }
        let body = Body { ask: ask.body(), destination };
        let link: Link = self.post("/v1/console", &body).await?;
        parse_address(link.url.expose()).map_err(|_| self.api.nonsense("its link is no address of a console"))?;
        Ok(link)
    }

    /// Opens a link in the person's browser, and waits until it is there. The link stands in no argument, which everybody on
    /// the machine can read: macOS takes it from a pipe; elsewhere the browser is sent to a port of this process, which
    /// hands it out once, and on Linux to the person's own programs alone. A file that redirects would be simpler, but
    /// browsers that come as a snap or a flatpak cannot read one in a hidden or temporary folder.
    pub async fn open_console(&self, link: &Link) -> Result<(), ClientError> {
        if cfg!(target_os = "macos") && self.env.get("BROWSER").is_none() {
            return open_by_script(link.url.expose()).map_err(ClientError::Browser);
        }
        let local = Local::open(0).await.map_err(ClientError::Browser)?;
        let secret = SessionToken::generate();
        let path = format!("/{}", secret.derive(PURPOSE));
        let address = format!("http://{}{path}", local.own);
        let address = Url::parse(&address).map_err(|error| ClientError::Browser(io::Error::other(error)))?;
        self.open_browser(&address);
        tokio::time::timeout(VISIT, hand_over(&local, &secret, &link.url)).await.map_err(|_| ClientError::NoVisit)
    }
}

const PURPOSE: &str = "a link for the browser";

/// Answers until the link was fetched.
async fn hand_over(local: &Local, secret: &SessionToken, link: &Secret) {
    let fetched = Arc::new(Notify::new());
    let once = Arc::new(std::sync::Mutex::new(Some(link.clone())));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = fetched.notified() => {
                // The answer is out; a browser keeps its connection.
                connections.shutdown().await;
                return;
            }
            (stream, peer) = local.accept() => {
                let (own, secret, once, fetched) = (local.own, secret.clone(), once.clone(), fetched.clone());
                connections.spawn(async move {
                    let answer = |request| std::future::ready(visit(&request, own, peer, &secret, &once));
                    local::serve(stream, answer).await;
                    if once.lock().is_ok_and(|link| link.is_none()) {
                        fetched.notify_one();
                    }
                });
            }
        }
    }
}

fn visit(
    request: &Request<Incoming>,
    own: std::net::SocketAddrV4,
    peer: SocketAddr,
    secret: &SessionToken,
    once: &std::sync::Mutex<Option<Secret>>,
) -> Reply {
    let close = |status, text: &str| {
        let mut reply = local::reply(status, PAGE, text.to_owned());
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        reply
    };
    let path = request.uri().path().strip_prefix('/').unwrap_or_default();
    if request.method() != Method::GET || !local::is_for(request, own) || !secret.is_derived(PURPOSE, path) {
        return close(StatusCode::NOT_FOUND, "Nothing to see here.\n");
    }
    if !local::is_own(peer, own) {
        return close(StatusCode::FORBIDDEN, "This link is somebody else's.\n");
    }
    let link = once.lock().ok().and_then(|mut link| link.take());
    let Some(location) = link.and_then(|link| HeaderValue::from_str(link.expose()).ok()) else {
        return close(StatusCode::GONE, "This link was opened already: run the command again.\n");
    };
    let mut reply = close(StatusCode::SEE_OTHER, "");
    reply.headers_mut().insert(header::LOCATION, location);
    reply
}

/// By `AppleScript` from stdin.
fn open_by_script(link: &str) -> io::Result<()> {
    if link.contains(['"', '\\']) {
        return Err(io::Error::other("the link cannot be quoted"));
    }
    let mut script = Command::new("/usr/bin/osascript");
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Some(stdin) = &mut child.stdin {
        writeln!(stdin, "open location \"{link}\"")?;
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("osascript: {status}"))) }
}
