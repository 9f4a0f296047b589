//! The listener: TLS where there is a certificate, HTTP/1.1 and HTTP/2, and how long and for how many it is there.
//! `axum::serve` sets no time-outs and no limits, so it is built on `hyper-util`.

mod connection;
mod doors;

pub use doors::Connections;

use crate::{
    metrics::{Full, Held, Metrics},
    model::IpNet,
    tls::Certificates,
};
use axum::Router;
use connection::{Activity, Watched};
use doors::{Doors, Place};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// How long connections are given to finish what they have begun.
const DRAIN_LIMIT: Duration = Duration::from_secs(16);
/// What to wait when a connection cannot be taken, most likely for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// The largest head of a request: a token of 16 KiB and what stands around it. In HTTP/1.1 it is looked at between two
/// reads, which can bring as much again.
const HEAD_BYTES: u32 = 32 * 1024;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 32;
/// What an HTTP/2 stream, and a whole connection, may send before it is read: the largest JSON body, and some of them.
const WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 4 * WINDOW;

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the TLS handshake, and then for the whole head of an HTTP/1.1 request once it has begun.
    pub head: Duration,
    /// Without a request: longer than the minute for which proxies keep theirs.
    pub idle: Duration,
    /// For taking some of what is sent to it.
    pub taking: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), idle: Duration::from_secs(75), taking: Duration::from_secs(30) }
    }
}

/// A bound address, and how connections to it are dealt with.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Arc<Certificates>>,
    doors: Doors,
    patience: Patience,
    metrics: Option<Metrics>,
}

impl Listener {
    /// Binds the address; nothing is answered yet.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let doors = Doors::new(Connections::default(), None);
        Ok(Self {
            socket: TcpListener::bind(address).await?,
            tls: None,
            doors,
            patience: Patience::default(),
            metrics: None,
        })
    }

    /// Speaks TLS, with whatever certificate is in use.
    #[must_use]
    pub fn with_tls(self, certificates: Arc<Certificates>) -> Self {
        Self { tls: Some(certificates), ..self }
    }

    /// So many connections, and so many of one peer, unless that is one of `proxies`, behind whom are others. `None`:
    /// any peer can be such a proxy.
    #[must_use]
    pub fn with_connections(self, connections: Connections, proxies: Option<Vec<IpNet>>) -> Self {
        Self { doors: Doors::new(connections, proxies), ..self }
    }

    /// Counts its connections there.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Waits for so long.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Where it listens, the port filled in.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Answers until `stop` comes, then takes no more and finishes what it has, for at most 16 s.
pub async fn serve(listener: Listener, router: Router, stop: impl Future<Output = ()>) {
    let Listener { socket, tls, doors, patience, metrics } = listener;
    let tls = tls.map(|certificates| TlsAcceptor::from(certificates.server_config()));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Beyond the limits there is no answer, which would cost more than the connection does.
                    let Some(place) = doors.enter(peer.ip()) else {
                        if let Some(metrics) = &metrics {
                            metrics.shed(Full::Connections);
                        }
                        continue;
                    };
                    let place = (place, metrics.as_ref().map(Metrics::connection_opened));
                    let service = Service { router: router.clone(), tls: tls.clone(), patience };
                    tokio::spawn(service.take(stream, peer, place, graceful.watcher()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            () = &mut stop => break,
        }
    }
    drop(socket);
    if timeout(DRAIN_LIMIT, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections are cut off that did not finish in time");
    }
}

/// What answers on one connection.
struct Service {
    router: Router,
    tls: Option<TlsAcceptor>,
    patience: Patience,
}

impl Service {
    async fn take(self, stream: TcpStream, peer: SocketAddr, _place: (Place, Option<Held>), watcher: Watcher) {
        // Small answers, each wanted at once.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.answer(stream, false, peer, watcher).await };
        // Who does not get through the handshake says so by themselves.
        let Ok(Ok(stream)) = timeout(self.patience.head, tls.accept(stream)).await else { return };
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.answer(stream, http2, peer, watcher).await;
    }

    async fn answer<S>(&self, stream: S, http2: bool, peer: SocketAddr, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::new(self.patience, !http2));
        let service = service_fn(|request: hyper::Request<Incoming>| {
            connection::answer(self.router.clone(), request, peer.ip(), activity.clone())
        });
        let builder = if http2 { http2_builder() } else { http1_builder() };
        let io = TokioIo::new(Watched::new(stream, activity.clone()));
        let connection = watcher.watch(builder.serve_connection(io, service));
        tokio::select! {
            biased;
            // A client that goes away is no fault of ours.
            _ = connection => {}
            () = activity.exhausted() => {}
        }
    }
}

/// No time-out of hyper's own: its one for heads runs between requests as well, and [`Activity`] tells the two apart.
fn http1_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().header_read_timeout(None).max_buf_size(HEAD_BYTES as usize);
    builder
}

/// Streams that are opened and reset at once end the connection by the defaults of `h2`.
fn http2_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}
