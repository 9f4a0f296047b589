//! What this machine's own programs are answered with: the browser that is to open the console, SDKs that ask the agent.
//! Anybody on the machine can connect, and any web page can have a browser do so.

use futures_util::FutureExt;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    fs, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// A program of this machine's says at once what it wants.
const HEADERS: Duration = Duration::from_secs(10);

pub(super) type Reply = Response<Full<Bytes>>;

/// A port of this machine's loopback.
pub(super) struct Local {
    listener: TcpListener,
    pub(super) own: SocketAddrV4,
}

impl Local {
    /// Port 0 is any.
    pub(super) async fn open(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, own: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port) })
    }

    /// Whoever connects next.
    pub(super) async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(new) => return new,
                // No file is free: somebody will close one.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Answers one connection's requests.
pub(super) async fn serve<F>(stream: TcpStream, answer: impl Fn(Request<Incoming>) -> F + Send)
where
    F: Future<Output = Reply> + Send + 'static,
{
    let service = service_fn(|request| answer(request).map(Ok::<_, Infallible>));
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// Whether a request means this port by a name of this machine. A web page whose name was made to lead here (DNS rebinding)
/// has the browser say that name.
pub(super) fn is_for<B: Body>(request: &Request<B>, own: SocketAddrV4) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let names = [own.to_string(), format!("localhost:{}", own.port())];
    host.is_some_and(|host| names.iter().any(|name| host.eq_ignore_ascii_case(name)))
}

/// An answer that nobody keeps.
pub(super) fn reply(status: StatusCode, media_type: &'static str, text: String) -> Reply {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the program at the other end is this person's, or the system's, which has what they have. Linux tells; elsewhere it
/// cannot be known.
pub(super) fn is_own(peer: SocketAddr, own: SocketAddrV4) -> bool {
    let SocketAddr::V4(peer) = peer else { return false };
    if !cfg!(target_os = "linux") {
        return true;
    }
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let user = rustix::process::geteuid().as_raw();
    owner(&table, peer, own).is_some_and(|owner| owner == user || owner == 0)
}

/// Whose socket leads from here to there (proc(5), `/proc/net/tcp`).
fn owner(table: &str, from: SocketAddrV4, to: SocketAddrV4) -> Option<u32> {
    let written = |at: SocketAddrV4| format!("{:08X}:{:04X}", u32::from_ne_bytes(at.ip().octets()), at.port());
    let (from, to) = (written(from), written(to));
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, _, _, _, _, uid, ..] = fields[..] else { return None };
        (local == from && remote == to).then(|| uid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_that_of_the_other_end() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0\n\
            \x20  1: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0\n\
            \x20  2: 0100007F:C001 0100007F:1F91 01 00000000:00000000 00:00000000 00000000  1001        0 3 1 0\n";
        let at = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        for (from, to, expected) in
            [(0xc001, 8080, Some(1000)), (0xc001, 8081, Some(1001)), (8080, 0xc001, Some(0)), (0xc002, 8080, None)]
        {
            assert_eq!(owner(table, at(from), at(to)), expected, "{from} {to}");
        }
    }

    #[test]
    fn a_page_that_leads_here_by_another_name_is_not_meant() {
        let own = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000);
        for (host, expected) in [
            (Some("127.0.0.1:4000"), true),
            (Some("localhost:4000"), true),
            (Some("LocalHost:4000"), true),
            (Some("127.0.0.1"), false),
            (Some("127.0.0.1:4001"), false),
            (Some("evil.example:4000"), false),
            (Some("localhost.evil.example:4000"), false),
            (None, false),
        ] {
            let mut request = Request::new(String::new());
            if let Some(host) = host {
                request.headers_mut().insert(header::HOST, HeaderValue::from_static(host));
            }
            assert_eq!(is_for(&request, own), expected, "{host:?}");
        }
    }
}
