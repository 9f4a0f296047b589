//! What a connection is doing, and when it has been at it for too long.

use super::Patience;
use crate::http::arrival::Peer;
use axum::{Router, body::Body, response::Response};
use hyper::{
    Request,
    body::{Bytes, Frame, Incoming, SizeHint},
};
use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::sleep,
};
use tower::ServiceExt;

/// How much of an answer is handed over at once: so much must be taken within [`Patience::taking`].
const PIECE: usize = 16 * 1024;

/// Since when a connection has been doing what it does; moments are milliseconds after its beginning, and 0 is never.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    patience: Patience,
    /// Whether a byte outside a request is the beginning of a head. In HTTP/2 it can be anything.
    heads: bool,
    /// Of each request under way, since when its answer waits to be taken further.
    requests: Mutex<Vec<Arc<AtomicU64>>>,
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
        let (requests, blocked) = (Mutex::default(), AtomicU64::new(0));
        let (idle, head) = (AtomicU64::new(1), AtomicU64::new(u64::from(heads)));
        Self { began: Instant::now(), patience, heads, requests, idle, head, blocked }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.head.store(0, Ordering::Relaxed);
        let waits = Arc::new(AtomicU64::new(0));
        self.requests().push(waits.clone());
        Busy { activity: self.clone(), waits }
    }

    fn requests(&self) -> MutexGuard<'_, Vec<Arc<AtomicU64>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_read(&self) {
        if self.heads && self.head.load(Ordering::Relaxed) == 0 && self.requests().is_empty() {
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
        let requests = self.requests();
        let idle = requests.is_empty();
        requests.iter().any(|waits| over(waits.load(Ordering::Relaxed), self.patience.taking))
            || over(self.blocked.load(Ordering::Relaxed), self.patience.taking)
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
struct Busy {
    activity: Arc<Activity>,
    waits: Arc<AtomicU64>,
}

impl Busy {
    /// It is the peer's turn to take what is there.
    fn offers(&self) {
        self.waits.store(self.activity.now(), Ordering::Relaxed);
    }

    /// It is ours to have more.
    fn works(&self) {
        self.waits.store(0, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.activity.idle.store(self.activity.now(), Ordering::Relaxed);
        self.activity.requests().retain(|waits| !Arc::ptr_eq(waits, &self.waits));
    }
}

/// Answers one request. It is under way until its answer has been taken, however long that goes on.
pub(super) async fn answer(
    router: Router,
    mut request: Request<Incoming>,
    peer: IpAddr,
    activity: Arc<Activity>,
) -> Result<Response<Answer>, Infallible> {
    let busy = activity.begin();
    request.extensions_mut().insert(Peer(peer));
    let response = router.oneshot(request).await?;
    busy.offers();
    Ok(response.map(|body| Answer { body, rest: Bytes::new(), busy }))
}

/// The body of an answer, handed over piece by piece. `hyper` asks for the next one when the last has gone to the
/// socket's buffer or, in HTTP/2, when the peer's window has room again: that is how its taking is seen.
pub(super) struct Answer {
    body: Body,
    rest: Bytes,
    busy: Busy,
}

impl Answer {
    /// In HTTP/2 a window of one byte would let go of any piece, and the last byte shows that the others were taken.
    fn next_piece(&mut self) -> Frame<Bytes> {
        use axum::body::HttpBody as _;

        let last = !self.busy.activity.heads && self.body.is_end_stream();
        let len = (self.rest.len() - usize::from(last)).clamp(1, PIECE);
        self.busy.offers();
        Frame::data(self.rest.split_to(len))
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_piece())));
        }
        self.busy.works();
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let data = match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => data,
            Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        };
        self.rest = data;
        let piece = if self.rest.is_empty() { Frame::data(Bytes::new()) } else { self.next_piece() };
        Poll::Ready(Some(Ok(piece)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        match hint.exact() {
            Some(size) => hint.set_exact(size + rest),
            None => hint.set_lower(hint.lower() + rest),
        }
        hint
    }
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
