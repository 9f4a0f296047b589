use super::{
    Ask, Client, ClientError, Problem,
    error::plain,
    local::{self, Local, Reply},
};
use crate::{
    model::{AccountRef, Reason, RoleName, RoleRef, SessionDuration},
    secret::SessionToken,
};
use hyper::{Method, Request, StatusCode, body::Incoming, header};
use serde_json::json;
use std::{net::SocketAddrV4, sync::Arc};

const PURPOSE: &str = "the agent's token";

/// A container's credentials endpoint on this machine's loopback, for what refuses addresses elsewhere or does not know a
/// private authority.
pub struct Agent {
    local: Local,
    state: Arc<State>,
}

struct State {
    client: Client,
    secret: SessionToken,
    /// Only these; with none, every role.
    asks: Vec<Ask>,
    /// What goes with any other.
    duration: Option<SessionDuration>,
    reason: Option<Reason>,
    own: SocketAddrV4,
    tell: fn(&str),
}

/// Why there are no credentials: to the SDK as the protocol has it.
struct Refusal {
    status: StatusCode,
    code: String,
    message: String,
}

impl Agent {
    /// For the roles of `asks`, or with none for every role, with this duration and reason. `tell` hears of what is refused:
    /// most SDKs do not show it.
    pub async fn open(
        client: Client,
        asks: Vec<Ask>,
        (duration, reason): (Option<SessionDuration>, Option<Reason>),
        port: u16,
        tell: fn(&str),
    ) -> Result<Self, ClientError> {
        let local = Local::open(port).await.map_err(|cause| ClientError::AgentPort { port, cause })?;
        let own = local.own;
        let secret = SessionToken::generate();
        Ok(Self { local, state: Arc::new(State { client, secret, asks, duration, reason, own, tell }) })
    }

    /// What every request has to bring; new with each agent.
    #[must_use]
    pub fn token(&self) -> String {
        self.state.secret.derive(PURPOSE)
    }

    /// Where a role's credentials are, below the agent's own address.
    #[must_use]
    pub fn address(&self, role: &str) -> String {
        format!("http://{}/v1/container/{role}", self.state.own)
    }

    /// Answers until it is dropped.
    pub async fn serve(self) {
        loop {
            let (stream, _) = self.local.accept().await;
            let state = self.state.clone();
            tokio::spawn(async move {
                let answer = |request| answer(state.clone(), request);
                local::serve(stream, answer).await;
            });
        }
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Reply {
    let ask = match state.look(&request) {
        Ok(ask) => ask,
        Err(refusal) => return refusal.reply(),
    };
    // Who hangs up, as Java does after a second, finds what was got for them at the next try.
    let work = {
        let (state, ask) = (state.clone(), ask.clone());
        tokio::spawn(async move { state.client.credentials(&ask, false).await })
    };
    let answer = work.await.unwrap_or_else(|error| Err(ClientError::Http(error.to_string())));
    match answer {
        Ok(credentials) => local::reply(StatusCode::OK, "application/json", credentials.as_container()),
        Err(error) => {
            let refusal = Refusal::of(&error);
            (state.tell)(&format!("{}: {}", ask.role, refusal.message));
            refusal.reply()
        }
    }
}

impl State {
    /// What a request may have.
    fn look(&self, request: &Request<Incoming>) -> Result<Ask, Refusal> {
        if !local::is_for(request, self.own) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", "The host is not this agent's."));
        }
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.map(|text| text.strip_prefix("Bearer ").unwrap_or(text)).unwrap_or_default();
        if !self.secret.is_derived(PURPOSE, token) {
            let message = "AWS_CONTAINER_AUTHORIZATION_TOKEN is not what this agent printed: each agent has its own.";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "unauthenticated", message));
        }
        if request.method() != Method::GET {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Only GET is answered."));
        }
        let role = role_of(request.uri().path()).filter(|_| request.uri().query().is_none());
        let role = role.ok_or_else(|| {
            let message = "Expected the path /v1/container/<account>/<role>, and no query.";
            Refusal::new(StatusCode::NOT_FOUND, "not_found", message)
        })?;
        let same = |ask: &&Ask| (ask.role.account(), ask.role.name()) == (role.account(), role.name());
        match self.asks.iter().find(same) {
            Some(ask) => Ok(ask.clone()),
            None if self.asks.is_empty() => {
                Ok(Ask { duration: self.duration, reason: self.reason.clone(), ..Ask::of(role) })
            }
            None => Err(Refusal::new(StatusCode::FORBIDDEN, "not_allowed", "This agent was started for other roles.")),
        }
    }
}

fn role_of(path: &str) -> Option<RoleRef> {
    let (account, name) = path.strip_prefix("/v1/container/")?.split_once('/')?;
    Some(RoleRef::Named(AccountRef::parse(account).ok()?, RoleName::parse(name).ok()?))
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }

    fn of(error: &ClientError) -> Self {
        let message = error.to_string().lines().map(|line| plain(line.trim())).collect::<Vec<_>>().join(" ");
        let (status, code) = match error {
            ClientError::Refused(problem) => {
                let Problem { status, code, .. } = &**problem;
                (StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY), &**code)
            }
            ClientError::NotSignedIn { .. } | ClientError::SignInEnded { .. } | ClientError::NoToken { .. } => {
                (StatusCode::UNAUTHORIZED, "unauthenticated")
            }
            _ => (StatusCode::SERVICE_UNAVAILABLE, "unreachable"),
        };
        Self { status, code: code.to_owned(), message }
    }

    /// Some SDKs read the members with small letters, some with capitals.
    fn reply(&self) -> Reply {
        let Self { status, code, message } = self;
        let body = json!({"code": code, "message": message, "Code": code, "Message": message});
        local::reply(*status, "application/json", body.to_string())
    }
}
