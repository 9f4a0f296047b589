//! A fake STS that can do what the real one does on a bad day. It speaks AWS's query protocol as far as `AssumeRole` and
//! `GetCallerIdentity` go, and remembers what it was asked and what it gave away.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use hallpass::{clock::Clock, model::Time};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// What AssumeRole does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Normal,
    /// Normal, but only after this long.
    Slow(Duration),
    /// An error in STS's form: HTTP status, code, message.
    Error(u16, &'static str, &'static str),
    /// This status and body, and nothing of STS's form.
    Body(u16, &'static str),
    /// All as it should be, but without this element.
    Without(&'static str),
    /// Normal, but only when [`FakeSts::let_go`] is called.
    Held,
    /// Takes the request and never answers.
    Hang,
    /// Closes the connection without an answer; the session is minted all the same.
    Drop,
    /// Closes the connection in the middle of the answer.
    Cut,
}

impl Behaviour {
    pub(crate) const THROTTLE: Self = Self::Error(400, "Throttling", "Rate exceeded");
    pub(crate) const ACCESS_DENIED: Self = Self::Error(
        403,
        "AccessDenied",
        "User: arn:aws:iam::999988887777:user/hallpass is not authorized to perform: sts:AssumeRole on resource",
    );
    pub(crate) const VALIDATION: Self = Self::Error(
        400,
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    );
    pub(crate) const EXPIRED_TOKEN: Self =
        Self::Error(403, "ExpiredToken", "The security token included in the request is expired");
    pub(crate) const MALFORMED_POLICY: Self = Self::Error(400, "MalformedPolicyDocument", "Syntax errors in policy.");
    pub(crate) const PACKED_POLICY: Self =
        Self::Error(400, "PackedPolicyTooLarge", "Packed size of session policy consumes 117% of allotted space.");
    pub(crate) const REGION_DISABLED: Self =
        Self::Error(403, "RegionDisabledException", "STS is not activated in this region for account:111122223333.");
    pub(crate) const INTERNAL: Self = Self::Error(500, "InternalFailure", "We are sorry");
}

/// The parameters of one request, as its form had them.
pub(crate) type Parameters = HashMap<String, String>;

/// A session that was given away, whether or not the answer arrived.
#[derive(Clone, Debug)]
pub(crate) struct Minted {
    pub(crate) session_name: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: String,
}

struct Shared {
    clock: Clock,
    identity: Mutex<String>,
    held: Semaphore,
    behaviours: Mutex<HashMap<String, Behaviour>>,
    requests: Mutex<Vec<Parameters>>,
    minted: Mutex<Vec<Minted>>,
    count: AtomicU64,
    forgetful: AtomicBool,
}

/// A running fake.
pub(crate) struct FakeSts {
    /// For `AWS_ENDPOINT_URL_STS`.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

impl FakeSts {
    /// On a port of its own. Must be called within a runtime, and ends with it.
    pub(crate) async fn start() -> Self {
        Self::start_at(Clock::system()).await
    }

    /// One whose sessions are dated by this clock.
    pub(crate) async fn start_at(clock: Clock) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            clock,
            identity: Mutex::new("arn:aws:iam::999988887777:user/hallpass".to_owned()),
            held: Semaphore::new(0),
            behaviours: Mutex::default(),
            requests: Mutex::default(),
            minted: Mutex::default(),
            count: AtomicU64::default(),
            forgetful: AtomicBool::default(),
        });
        let router = Router::new().route("/", post(serve)).with_state(shared.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, shared }
    }

    /// One that remembers neither what it was asked nor what it gave away: for any number of calls.
    pub(crate) async fn start_forgetful() -> Self {
        let sts = Self::start().await;
        sts.shared.forgetful.store(true, Ordering::Relaxed);
        sts
    }

    /// From now on, AssumeRole does this for roles of this name.
    pub(crate) fn behave(&self, role_name: &str, behaviour: Behaviour) {
        self.shared.behaviours.lock().unwrap().insert(role_name.to_owned(), behaviour);
    }

    /// Who the broker is from now on.
    pub(crate) fn set_identity(&self, arn: &str) {
        arn.clone_into(&mut self.shared.identity.lock().unwrap());
    }

    /// Answers one request that is held.
    pub(crate) fn let_go(&self) {
        self.shared.held.add_permits(1);
    }

    /// Every AssumeRole request so far.
    pub(crate) fn requests(&self) -> Vec<Parameters> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Every session so far.
    pub(crate) fn minted(&self) -> Vec<Minted> {
        self.shared.minted.lock().unwrap().clone()
    }
}

async fn serve(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let parameters = form(&body);
    let parameter = |name: &str| parameters.get(name).cloned().unwrap_or_default();
    let number = shared.count.fetch_add(1, Ordering::Relaxed);
    if parameter("Action") == "GetCallerIdentity" {
        return xml(200, number, &caller_identity(number, &shared.identity.lock().unwrap()));
    }
    let role_name = parameter("RoleArn").rsplit('/').next().unwrap_or_default().to_owned();
    let behaviour = shared.behaviours.lock().unwrap().get(&role_name).cloned().unwrap_or(Behaviour::Normal);
    let remembers = !shared.forgetful.load(Ordering::Relaxed);
    if remembers {
        shared.requests.lock().unwrap().push(parameters.clone());
    }
    match behaviour {
        Behaviour::Slow(delay) => tokio::time::sleep(delay).await,
        Behaviour::Error(status, code, message) => return xml(status, number, &error(number, code, message)),
        Behaviour::Body(status, body) => return xml(status, number, body),
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Held => shared.held.acquire().await.unwrap().forget(),
        _ => {}
    }
    let minted = mint(number, &parameter("RoleSessionName"));
    if remembers {
        shared.minted.lock().unwrap().push(minted.clone());
    }
    let answer = assumed(number, &parameters, &minted, shared.clock.now());
    match behaviour {
        // Unwinding ends the connection's task; this way of it prints nothing.
        Behaviour::Drop => std::panic::resume_unwind(Box::new("dropped")),
        Behaviour::Cut => {
            let half = Bytes::copy_from_slice(&answer.as_bytes()[..answer.len() / 2]);
            let length = [(header::CONTENT_LENGTH, answer.len().to_string())];
            (length, Body::from(half)).into_response()
        }
        Behaviour::Without(element) => xml(200, number, &without(&answer, element)),
        _ => xml(200, number, &answer),
    }
}

fn form(body: &[u8]) -> Parameters {
    let mut url = reqwest::Url::parse("http://form/").unwrap();
    url.set_query(Some(std::str::from_utf8(body).unwrap()));
    url.query_pairs().into_owned().collect()
}

fn xml(status: u16, number: u64, body: &str) -> Response {
    let headers = [("content-type", "text/xml".to_owned()), ("x-amzn-requestid", request_id(number))];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_owned()).into_response()
}

fn request_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn mint(number: u64, session_name: &str) -> Minted {
    Minted {
        session_name: session_name.to_owned(),
        access_key_id: format!("ASIAFAKE{number:012}"),
        secret_access_key: format!("fake-secret/{number:028}"),
        session_token: format!("fake-session-token/{}{number:012}", "x".repeat(400)),
    }
}

fn assumed(number: u64, parameters: &Parameters, minted: &Minted, now: Time) -> String {
    let parameter = |name: &str| parameters.get(name).map_or("", String::as_str);
    let arn = parameter("RoleArn");
    let account = arn.split(':').nth(4).unwrap_or_default();
    let (role, session) = (arn.rsplit('/').next().unwrap_or_default(), &minted.session_name);
    let seconds = parameter("DurationSeconds").parse().unwrap_or(3600);
    let expires = Time::from_seconds(now.as_micros() / 1_000_000 + seconds).unwrap();
    let source_identity = match parameter("SourceIdentity") {
        "" => String::new(),
        identity => format!("<SourceIdentity>{identity}</SourceIdentity>"),
    };
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>{source_identity}\
         <AssumedRoleUser><Arn>arn:aws:sts::{account}:assumed-role/{role}/{session}</Arn>\
         <AssumedRoleId>AROAFAKE{account}:{session}</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{}</SessionToken><Expiration>{expires}</Expiration></Credentials></AssumeRoleResult>\
         <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></AssumeRoleResponse>",
        minted.access_key_id,
        minted.secret_access_key,
        minted.session_token,
        request_id(number),
    )
}

fn caller_identity(number: u64, arn: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>{arn}</Arn><UserId>AIDAFAKE</UserId><Account>999988887777</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>",
        request_id(number),
    )
}

fn error(number: u64, code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
        request_id(number),
    )
}

/// Cuts one element out of an answer.
fn without(answer: &str, element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let (start, end) = (answer.find(&open).unwrap(), answer.find(&close).unwrap() + close.len());
    format!("{}{}", &answer[..start], &answer[end..])
}
