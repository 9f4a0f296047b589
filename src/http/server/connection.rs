//! What a connection is doing, and when it has been at it for too long.

use super::Patience;
use crate::http::log::Peer;
use axum::{Router, body::Body, response::Response};
use hyper::{Request, body::Incoming};
use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::sleep,
};
use tower::ServiceExt;

/// Since when a connection has been doing what it does; moments are milliseconds after its beginning, and 0 is never.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    patience: Patience,
    /// Whether a byte outside a request is the beginning of a head. In HTTP/2 it can be anything.
    heads: bool,
    /// Requests under way.
    requests: AtomicU32,
    /// When the last one ended.
    idle: AtomicU64,
    /// When a head began that is not here yet.
    head: AtomicU64,
    /// When the peer stopped taking what is sent.
    blocked: AtomicU64,
}

impl Activity {
    /// A connection that begins: a head is awaited.
    pub(super) fn new(patience: Patience, heads: bool) -> Self {
        let (requests, blocked) = (AtomicU32::new(0), AtomicU64::new(0));
        let (idle, head) = (AtomicU64::new(1), AtomicU64::new(u64::from(heads)));
        Self { began: Instant::now(), patience, heads, requests, idle, head, blocked }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.head.store(0, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn has_read(&self) {
        if self.heads && self.requests.load(Ordering::Relaxed) == 0 && self.head.load(Ordering::Relaxed) == 0 {
            self.head.store(self.now(), Ordering::Relaxed);
        }
    }

    fn has_written(&self, pending: bool) {
        match (pending, self.blocked.load(Ordering::Relaxed)) {
            (true, 0) => self.blocked.store(self.now(), Ordering::Relaxed),
            (false, since) if since > 0 => self.blocked.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Whether it takes too long for what it does.
    fn is_exhausted(&self) -> bool {
        let now = self.now();
        let over = |since: u64, limit: Duration| since > 0 && u128::from(now - since.min(now)) >= limit.as_millis();
        let idle = self.requests.load(Ordering::Relaxed) == 0;
        over(self.blocked.load(Ordering::Relaxed), self.patience.taking)
            || idle && over(self.head.load(Ordering::Relaxed), self.patience.head)
            || idle && over(self.idle.load(Ordering::Relaxed), self.patience.idle)
    }

    /// Ends when it does. Looked at now and then: one timer for all, and none is set for a request.
    pub(super) async fn exhausted(&self) {
        while !self.is_exhausted() {
            sleep(self.patience.head / 2).await;
        }
    }
}

/// A request under way.
struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle.store(self.0.now(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers one request. It is under way until its answer has been handed over, however long that goes on.
pub(super) async fn answer(
    router: Router,
    mut request: Request<Incoming>,
    peer: IpAddr,
    activity: Arc<Activity>,
) -> Result<Response, Infallible> {
    use axum::body::HttpBody as _;

    let busy = activity.begin();
    request.extensions_mut().insert(Peer(peer));
    let response = router.oneshot(request).await?;
    // One of known size is in memory already, and how long its sending may take is looked after.
    if response.body().size_hint().exact().is_some() {
        return Ok(response);
    }
    Ok(response.map(|body| {
        use futures_util::StreamExt as _;
        let streamed = body.into_data_stream().map(move |part| {
            let _ = &busy;
            part
        });
        Body::from_stream(streamed)
    }))
}

/// A stream whose reading and writing is noticed.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    fn noticed<T>(&self, written: Poll<T>) -> Poll<T> {
        self.activity.has_written(written.is_pending());
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.has_read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noticed(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.noticed(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.noticed(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.noticed(shut)
    }
}
