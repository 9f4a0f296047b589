//! The one outward error: every fact from below becomes a status and a stable code here, on one screen.

use super::limits::ComeAgain;
use crate::{
    access::AccessError,
    allowlist::{Condition, FileFaults, Refusal},
    broker::IssueError,
    evidence::EvidenceError,
    format::{Format, Unquotable, refusal},
    identity::{AuthError, AuthFault, SignInError},
    input::Faults,
    model::{SessionPolicy, with_causes},
    recorder::RecordError,
    store::StoreError,
    sts::{ConsoleProblem, StsError, StsProblem},
};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{any::Any, sync::Arc, time::Duration};

/// Everything that can go wrong with a request.
#[derive(Debug)]
pub(super) enum Error {
    Auth(AuthError),
    Forbidden(&'static str),
    ContainerOnly,
    NotFound,
    MethodNotAllowed,
    TooLarge(usize),
    UnsupportedMediaType(&'static str),
    NotJson(String),
    NotUtf8,
    Invalid(Faults),
    File(FileFaults),
    PolicyTooLarge,
    Unquotable(Unquotable),
    PreconditionRequired,
    BodyTooSlow(Duration),
    CallerLimited(ComeAgain),
    AddressLimited(ComeAgain),
    SignInLimited(ComeAgain),
    SignIn(SignInError),
    Forged,
    SignInOld,
    Overloaded,
    TimedOut,
    Issue(Arc<IssueError>),
    Access(AccessError),
    Evidence(EvidenceError),
    Audit,
    Panic,
}

/// What stands behind a 5xx, for the log: it never goes out.
#[derive(Clone, Debug)]
pub(super) struct Cause(pub(super) String);

/// The code of an error that its handler has shown already, for the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told(pub(super) &'static str);

/// An error on its way out: RFC 9457, completed and written by the outermost layer.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    /// Turned away before anything was done: what comes in floods.
    pub(super) turned_away: bool,
    pub(super) detail: String,
    /// The detail in one sentence, and for an answer that has nothing beside it.
    brief: Option<String>,
    pub(super) reasons: Option<Value>,
    pub(super) errors: Option<Value>,
    header: Option<(HeaderName, HeaderValue)>,
    pub(super) request_id: String,
    shape: Shape,
}

/// In which form an error goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// RFC 9457.
    #[default]
    Problem,
    /// The container-credentials protocol's: SDKs show the message to whoever reads the application's log. Go reads the
    /// members in small letters, the JavaScript SDK those with capitals.
    Container,
    /// As the credentials would be: a shell that runs it says it.
    Written(Format),
}

impl Shape {
    /// By the address, so that also what is no route there answers in the form of its neighbours. Whoever may have a shell
    /// run the answer gets no other form, whatever fails; that the parameter is right is for the handler to see.
    pub(super) fn of(uri: &Uri) -> Self {
        let path = uri.path();
        if path.strip_prefix("/v1/container").is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Self::Container;
        }
        let query = uri.query().filter(|_| path == "/v1/credentials").unwrap_or_default();
        let given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "format");
        let mut formats = given.filter_map(|(_, value)| Format::parse(&value).ok());
        formats.find(|format| *format != Format::Json).map_or(Self::Problem, Self::Written)
    }
}

impl Problem {
    fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            status,
            code,
            turned_away: false,
            detail: detail.into(),
            brief: None,
            reasons: None,
            errors: None,
            header: None,
            request_id: String::new(),
            shape: Shape::default(),
        }
    }

    fn brief(mut self, sentence: impl Into<String>) -> Self {
        self.brief = Some(sentence.into());
        self
    }

    fn reasons(mut self, reasons: Value) -> Self {
        self.reasons = Some(reasons);
        self
    }

    fn errors(mut self, errors: Value) -> Self {
        self.errors = Some(errors);
        self
    }

    fn error_at(self, pointer: &str, problem: &str) -> Self {
        self.errors(json!([{"pointer": pointer, "problem": problem}]))
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.header = HeaderValue::from_str(value).ok().map(|value| (name, value));
        self
    }

    fn retry_after(self, seconds: u32) -> Self {
        self.header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// For the answer to a request of this name, in this shape.
    pub(super) fn complete(mut self, request_id: &str, shape: Shape) -> Self {
        request_id.clone_into(&mut self.request_id);
        self.shape = shape;
        self
    }

    fn body(&self) -> (String, &'static str) {
        if let Shape::Written(format) = self.shape
            && let Some(text) = refusal(format, self.status.as_u16(), self.code)
        {
            return (text, format.media_type());
        }
        if self.shape == Shape::Container {
            let message = self.brief.as_ref().unwrap_or(&self.detail);
            let body = json!({"code": self.code, "message": message, "Code": self.code, "Message": message});
            return (body.to_string(), "application/json");
        }
        let mut body = json!({
            "type": format!("urn:hallpass:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            "request_id": self.request_id,
        });
        for (member, value) in [("reasons", &self.reasons), ("errors", &self.errors)] {
            if let Some(value) = value {
                body[member] = value.clone();
            }
        }
        (body.to_string(), "application/problem+json")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (body, media_type) = self.body();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.header);
        response
    }
}

impl Error {
    fn problem(&self) -> Problem {
        match self {
            Self::Auth(error) => auth(error),
            Self::Forbidden(who) => Problem::new(403, "forbidden", format!("Only {who} may do this.")),
            Self::ContainerOnly => {
                let detail = "This API token is good for /v1/container/{account}/{role} alone.";
                Problem::new(403, "forbidden", detail)
            }
            Self::NotFound => Problem::new(404, "not_found", "There is nothing here by that name."),
            Self::MethodNotAllowed => {
                Problem::new(405, "method_not_allowed", "This address exists, but takes another method.")
            }
            Self::TooLarge(limit) => {
                Problem::new(413, "too_large", format!("The body is over the limit of {limit} bytes."))
            }
            Self::UnsupportedMediaType(expected) => Problem::new(
                415,
                "unsupported_media_type",
                format!("Send the body with the header content-type: {expected}."),
            ),
            Self::NotJson(fault) => Problem::new(400, "invalid_request", format!("The body is not JSON: {fault}.")),
            Self::NotUtf8 => Problem::new(400, "invalid_request", "The body is not UTF-8 text."),
            Self::Invalid(faults) => Problem::new(422, "invalid_request", "The request has faults; errors names each.")
                .errors(json!(faults.0))
                .brief(tidy(&format!("The request has faults: {faults}."))),
            Self::File(faults) => Problem::new(
                422,
                "invalid_request",
                "The allowlist file has faults, and nothing was changed; errors names each.",
            )
            .errors(json!(faults.0)),
            Self::PolicyTooLarge => {
                let limit = format!("at most {} characters without white space", SessionPolicy::MAX_CHARS);
                Problem::new(422, "session_policy_too_large", "The session policy is too large for AWS.")
                    .error_at("/session_policy", &limit)
            }
            Self::Unquotable(unquotable) => {
                Problem::new(422, "invalid_request", "The credentials cannot be written in this format.")
                    .error_at("/format", &unquotable.to_string())
            }
            Self::PreconditionRequired => Problem::new(
                428,
                "precondition_required",
                "Send If-Match with the ETag of GET /v1/allowlist, so that nobody's change is overwritten unseen.",
            ),
            Self::BodyTooSlow(limit) => {
                Problem::new(408, "request_timeout", format!("The body was not there within {} s.", limit.as_secs()))
            }
            Self::CallerLimited(ComeAgain(seconds)) => Problem::new(
                429,
                "rate_limited",
                "You ask more often than one caller may; credentials are good for longer than one request.",
            )
            .retry_after(*seconds),
            Self::AddressLimited(ComeAgain(seconds)) => {
                Problem::new(429, "rate_limited", "Authentication has failed too often from this address.")
                    .retry_after(*seconds)
            }
            Self::SignInLimited(ComeAgain(seconds)) => {
                Problem::new(429, "rate_limited", "Too many sign-ins come from this address; wait a moment.")
                    .retry_after(*seconds)
            }
            Self::SignIn(error) => sign_in(error),
            Self::SignInOld => Problem::new(
                403,
                "forbidden",
                "A change through the portal needs a sign-in of the last 15 minutes; sign in again.",
            ),
            Self::Forged => Problem::new(
                403,
                "forbidden",
                "This did not come from a page of this portal and this session; open the page again, and try once more.",
            ),
            Self::Overloaded => {
                Problem::new(503, "overloaded", "More is asked at the moment than can be done; nothing was done.")
                    .retry_after(2)
            }
            Self::TimedOut => Problem::new(
                503,
                "overloaded",
                "No answer came in time. Nothing was released to you; what was begun is on record.",
            )
            .retry_after(5),
            Self::Issue(error) => issue(error),
            Self::Access(error) => access(error),
            Self::Evidence(EvidenceError::Store(_)) => store_unavailable(),
            Self::Evidence(EvidenceError::AuditUnavailable) | Self::Audit => audit_unavailable(),
            Self::Panic => Problem::new(
                500,
                "internal_error",
                "Hallpass itself failed; its log has the cause under this request id.",
            ),
        }
    }

    /// What stands behind a 5xx.
    fn cause(&self) -> Option<String> {
        let error: &dyn std::error::Error = match self {
            Self::Issue(error) => {
                if let Some(StsError { problem, aws_words, attempts, .. }) = error.sts() {
                    return Some(format!(
                        "{problem}, after {attempts} attempts: {}",
                        aws_words.as_deref().unwrap_or("-")
                    ));
                }
                &**error
            }
            Self::Access(error) => error,
            Self::Evidence(error) => error,
            Self::SignIn(SignInError::Provider(problem)) => return Some(problem.clone()),
            Self::SignIn(error) => error,
            Self::TimedOut => return Some("no answer in time".to_owned()),
            _ => return None,
        };
        Some(with_causes(error))
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut problem = self.problem();
        problem.turned_away = matches!(
            self,
            Self::CallerLimited(_) | Self::AddressLimited(_) | Self::SignInLimited(_) | Self::Overloaded
        );
        let mut response = problem.status.into_response();
        if problem.status.is_server_error()
            && let Some(cause) = self.cause()
        {
            response.extensions_mut().insert(Cause(cause));
        }
        response.extensions_mut().insert(problem);
        response
    }
}

fn auth(error: &AuthError) -> Problem {
    let code = error.fault().code().as_str();
    // RFC 6750, §3: no error parameter where no credentials were sent at all.
    let challenge = match error.fault() {
        AuthFault::KeysUnavailable => {
            let detail = "The issuer's keys cannot be had at the moment, so its tokens cannot be checked.";
            return Problem::new(503, code, detail).retry_after(5);
        }
        AuthFault::StoreUnavailable => return store_unavailable(),
        AuthFault::Unauthenticated => "Bearer realm=\"hallpass\"".to_owned(),
        fault => format!("Bearer realm=\"hallpass\", error=\"invalid_token\", error_description=\"{fault}\""),
    };
    Problem::new(401, code, sentence(&error.to_string())).header(header::WWW_AUTHENTICATE, &challenge)
}

fn sign_in(error: &SignInError) -> Problem {
    let status = match error {
        SignInError::Stale => 400,
        SignInError::Token(fault) if !fault.is_ours() => 401,
        SignInError::Refused | SignInError::NotFresh => 403,
        SignInError::Token(_) | SignInError::Provider(_) | SignInError::Audit | SignInError::Store(_) => 503,
    };
    let problem = Problem::new(status, error.code(), sentence(&error.to_string()));
    if status == 503 { problem.retry_after(5) } else { problem }
}

fn issue(error: &IssueError) -> Problem {
    let code = error.code();
    match error {
        IssueError::Refused(refusal) => refused(refusal, code),
        IssueError::PolicyMalformed(_) => Problem::new(422, code, "IAM does not take the session policy.")
            .error_at("/session_policy", "expected an IAM policy document"),
        IssueError::PolicyTooLarge(_) => {
            Problem::new(422, code, "The session policy and the role's tags together are too large for AWS.")
                .error_at("/session_policy", "expected a shorter policy: AWS packs it together with the session tags")
        }
        IssueError::Sts(error) => sts(error, code),
        IssueError::Console(error) => console(error.problem, code),
        IssueError::NoTurn(reason) => {
            Problem::new(503, code, format!("AWS was not asked: {reason}. Nothing was released.")).retry_after(2)
        }
        IssueError::NoIdentity => {
            Problem::new(503, code, "AWS has not told yet who the broker is; /readyz says when it has.").retry_after(5)
        }
        IssueError::Broken => Problem::new(503, code, "The issuance broke off; nothing was released.").retry_after(5),
        IssueError::AuditUnavailable => audit_unavailable(),
        IssueError::Store(_) | IssueError::Stale(_) | IssueError::Busy => store_unavailable(),
    }
}

fn refused(refusal: &Refusal, code: &'static str) -> Problem {
    match refusal {
        Refusal::NotAllowed(reasons) => {
            // A role that is not there and one that is not for the caller must look the same.
            let bound = reasons.first().is_some_and(|failing| failing.condition == Condition::TokenRoles);
            let detail = if bound {
                "The API token is bound to other roles than this; reasons names them."
            } else if reasons.is_empty() {
                "No grant of yours names this role, or there is no such role; GET /v1/roles lists what you may have."
            } else {
                "No grant of yours allows this role now, or there is no such role; reasons names what fails in your own grants."
            };
            let brief =
                "No grant of yours allows this role now, or there is no such role; POST /v1/explain says what fails.";
            Problem::new(403, code, detail).reasons(json!(reasons)).brief(brief)
        }
        Refusal::DurationTooLong { limit, seconds } => {
            let mut problem = Problem::new(422, code, sentence(&refusal.to_string()));
            problem.errors = Some(json!([{
                "pointer": "/duration_seconds", "problem": refusal.to_string(), "limit": limit, "limit_seconds": seconds
            }]));
            problem
        }
        Refusal::ReasonRequired { .. } => {
            Problem::new(422, code, sentence(&refusal.to_string())).error_at("/reason", "required by the grant")
        }
        Refusal::SessionPolicyFixed { .. } => Problem::new(422, code, sentence(&refusal.to_string()))
            .error_at("/session_policy", "the grant has one of its own"),
    }
}

fn sts(error: &StsError, code: &'static str) -> Problem {
    let mut problem = match &error.problem {
        StsProblem::Refused(missing) => {
            let sentences: Vec<&str> = missing.iter().map(|missing| missing.sentence()).collect();
            let words: Vec<&str> = missing.iter().map(|missing| missing.words()).collect();
            Problem::new(502, code, format!("AWS refused to let the broker assume the role. {}", sentences.join(" ")))
                .brief(format!("AWS refused to let the broker assume the role; look at {}.", words.join(", ")))
        }
        StsProblem::PolicyMalformed => Problem::new(
            502,
            code,
            "IAM does not take the grant's session policy: whoever keeps the allowlist must mend it.",
        ),
        StsProblem::PolicyTooLarge => Problem::new(
            502,
            code,
            "The grant's session policy and the role's tags together are too large for AWS: whoever keeps the allowlist must shorten them.",
        ),
        StsProblem::Throttled => {
            Problem::new(503, code, "AWS throttles the broker's calls at the moment; nothing was released.")
                .retry_after(2)
        }
        StsProblem::Unavailable(what) => {
            Problem::new(503, code, format!("STS gave no usable answer ({what}); nothing was released.")).retry_after(5)
        }
    };
    if let Some(id) = &error.request_id {
        for text in [Some(&mut problem.detail), problem.brief.as_mut()].into_iter().flatten() {
            text.push_str(" STS request id: ");
            text.push_str(id);
            text.push('.');
        }
    }
    problem
}

fn console(problem: ConsoleProblem, code: &'static str) -> Problem {
    match problem {
        ConsoleProblem::Refused(status) => Problem::new(
            502,
            code,
            format!(
                "AWS's sign-in service refused to sign the role in (status {status}); nothing was released. Is [aws] region one of the role's partition?"
            ),
        ),
        ConsoleProblem::Throttled => {
            Problem::new(503, code, "AWS's sign-in service throttles the broker at the moment; nothing was released.")
                .retry_after(2)
        }
        ConsoleProblem::Unavailable(what) => {
            let detail = format!("AWS's sign-in service gave no usable answer ({what}); nothing was released.");
            Problem::new(503, code, detail).retry_after(5)
        }
        ConsoleProblem::Unknown => {
            let detail = "This partition's sign-in service is not known: whoever runs Hallpass must set [aws] signin_url \
                          to https://signin.<its domain>.";
            Problem::new(503, code, detail).retry_after(600)
        }
    }
}

fn access(error: &AccessError) -> Problem {
    match error {
        AccessError::File(faults) => Error::File(faults.clone()).problem(),
        AccessError::Stale(revision) => {
            let detail =
                format!("The allowlist has changed in between: it is at revision {revision}. Plan again, then apply.");
            Problem::new(412, "stale", detail)
        }
        AccessError::NotFound => Error::NotFound.problem(),
        AccessError::NoSuchRole => Problem::new(422, "invalid_request", "The allowlist lists no such role.")
            .error_at("/role", "expected a role that the allowlist lists"),
        AccessError::Bounds(faults) => Error::Invalid(faults.clone()).problem(),
        AccessError::SignInAgain => {
            let detail = "Sign in again: an API token is made within 15 minutes of signing in, and never with another API token.";
            Problem::new(403, "forbidden", detail)
        }
        AccessError::Expiry => Problem::new(422, "invalid_request", "A single grant must end, and soon.")
            .error_at("/expires", "expected a time in the future, at most 90 days ahead"),
        AccessError::Exists(id) => {
            Problem::new(409, "conflict", format!("The same is there already, with the id {id}."))
        }
        AccessError::AuditUnavailable => audit_unavailable(),
        AccessError::Broken => Error::Panic.problem(),
        AccessError::Store(_) => store_unavailable(),
    }
}

fn store_unavailable() -> Problem {
    Problem::new(
        503,
        "store_unavailable",
        "The database cannot be used at the moment; nothing was released or changed.",
    )
    .retry_after(5)
}

fn audit_unavailable() -> Problem {
    Problem::new(
        503,
        "audit_unavailable",
        "The audit cannot be written at the moment; nothing was released or changed.",
    )
    .retry_after(5)
}

/// Names that a caller invented can be as long as they like, and break the line of a log.
fn tidy(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut tidy = text.replace(char::is_control, "\u{fffd}");
    if tidy.len() > LONGEST {
        tidy.truncate(tidy.floor_char_boundary(LONGEST - 4));
        tidy.push_str("….");
    }
    tidy
}

/// A sentence of an inner room as one of ours: with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

pub(super) async fn not_found() -> Error {
    Error::NotFound
}

pub(super) async fn method_not_allowed() -> Error {
    Error::MethodNotAllowed
}

#[expect(clippy::needless_pass_by_value, reason = "the signature CatchPanic calls")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let mut response = Error::Panic.into_response();
    response.extensions_mut().insert(Cause(format!("panicked: {}", words.unwrap_or("-"))));
    response
}

macro_rules! from {
    ($($inner:ty => $variant:ident),+ $(,)?) => {
        $(impl From<$inner> for Error {
            fn from(error: $inner) -> Self {
                Self::$variant(error)
            }
        })+
    };
}
from!(
    AuthError => Auth,
    Faults => Invalid,
    Unquotable => Unquotable,
    Arc<IssueError> => Issue,
    AccessError => Access,
    EvidenceError => Evidence,
    SignInError => SignIn,
);

impl From<IssueError> for Error {
    fn from(error: IssueError) -> Self {
        Self::Issue(error.into())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Evidence(EvidenceError::Store(error))
    }
}

impl From<RecordError> for Error {
    fn from(_: RecordError) -> Self {
        Self::Audit
    }
}
