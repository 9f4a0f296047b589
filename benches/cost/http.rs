//! The cheapest client there is: one kept connection, requests made beforehand. It shares the machine with what it
//! measures.

use crate::{
    load::{self, Call, Load, Run},
    process::{Meter, Process},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;

/// Requests made beforehand.
pub(crate) type Requests = Vec<Request<Full<Bytes>>>;

/// A request with a JSON body.
pub(crate) fn post(path: &str, token: &str, body: String) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("content-type", "application/json");
    finish(request, token, Full::from(body))
}

pub(crate) fn get(path: &str, token: &str) -> Request<Full<Bytes>> {
    finish(Request::get(path), token, Full::default())
}

fn finish(request: hyper::http::request::Builder, token: &str, body: Full<Bytes>) -> Request<Full<Bytes>> {
    let request = request.header("host", "hallpass").header("authorization", format!("Bearer {token}"));
    request.body(body).unwrap()
}

/// A connection that stays.
pub(crate) struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> (StatusCode, Bytes) {
        self.0.ready().await.unwrap();
        let answer = self.0.send_request(request).await.unwrap();
        (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
    }
}

/// One who asks for one thing after the other, wants each to succeed, and keeps what came back.
pub(crate) struct Asker {
    connection: Connection,
    requests: Arc<Requests>,
    answers: Vec<Bytes>,
}

impl Asker {
    async fn open(address: SocketAddr, requests: &Arc<Requests>) -> Self {
        Self { connection: Connection::open(address).await, requests: requests.clone(), answers: Vec::new() }
    }
}

impl Call for Asker {
    async fn call(&mut self, number: usize) {
        let request = self.requests[number % self.requests.len()].clone();
        let (status, body) = self.connection.ask(request).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        self.answers.push(body);
    }
}

/// Who answers: where, by which processes, and with the help of which database server.
pub(crate) struct Answering<'a> {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) processes: Vec<&'a Process>,
    pub(crate) postmaster: Option<u32>,
}

impl Answering<'_> {
    /// Makes these requests in turn, of all that answer in turn; returns what came back, too.
    pub(crate) async fn ask(self, requests: &Arc<Requests>, load: Load, calls: usize) -> (Run, Vec<Bytes>) {
        let mut askers = Vec::new();
        for number in 0..load.callers() {
            askers.push(Asker::open(self.addresses[number % self.addresses.len()], requests).await);
        }
        let meter = Meter::start(self.processes, self.postmaster);
        let (took, askers) = load::run(load, askers, calls).await;
        let run = Run::of(&meter.read(), took);
        (run, askers.into_iter().flat_map(|asker| asker.answers).collect())
    }
}
