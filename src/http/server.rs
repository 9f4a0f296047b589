//! The listener: `axum::serve` sets no header time-out, so it is built on `hyper-util`.

use super::log::Peer;
use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{io, net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpStream};

/// Who has not sent the whole head of a request by then is cut off.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// The largest head of a request: a token of 16 KiB and what stands around it.
const HEAD_BYTES: usize = 32 * 1024;
/// How long connections are given to finish what they have begun.
const DRAIN_LIMIT: Duration = Duration::from_secs(16);
/// What to wait when a connection cannot be taken, most likely for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// A bound address.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Binds the address; nothing is answered yet.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    /// Where it listens, the port filled in.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Answers until `stop` comes, then takes no more and finishes what it has, for at most 16 s.
pub async fn serve(listener: Listener, router: Router, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.0.accept() => match accepted {
                Ok((stream, peer)) => answer(stream, peer, &router, &graceful),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            () = &mut stop => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_LIMIT, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections are cut off that did not finish in time");
    }
}

fn answer(stream: TcpStream, peer: SocketAddr, router: &Router, graceful: &GracefulShutdown) {
    // Small answers, each wanted at once.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.clone().layer(Extension(Peer(peer.ip()))));
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT).max_buf_size(HEAD_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // A client that goes away is no fault of ours.
        let _ = connection.await;
    });
}
