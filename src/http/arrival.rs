//! Where a request comes from, for whoever asks later: the log line, the limits, the audit.

use super::{address::client_address, limits::Limits};
use crate::{app::App, audit::Client, identity::Caller, model::UserAgent};
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, header},
};
use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

pub(super) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who holds the connection; set by the listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Where a request comes from, and who turned out to be behind it, for the log line.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) request_id: String,
    pub(super) client: Client,
    pub(super) caller: Arc<OnceLock<Arc<Caller>>>,
    pub(super) limits: Limits,
}

impl Arrival {
    pub(super) fn of(app: &App, limits: &Limits, request: &Request) -> Self {
        let headers = request.headers();
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.to_canonical());
        let ip = client_address(peer, headers, &app.trusted_proxies);
        let user_agent = headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let user_agent = user_agent.filter(|text| !text.is_empty()).map(|text| UserAgent::cleaned(&text));
        let request_id = own_id(headers).unwrap_or_else(|| app.clock.new_id().to_string());
        let client = Client { ip, peer, user_agent };
        Self { request_id, client, caller: Arc::default(), limits: limits.clone() }
    }
}

/// The caller's own id, where it can do no harm.
fn own_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(&X_REQUEST_ID)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    ((1..=64).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}
