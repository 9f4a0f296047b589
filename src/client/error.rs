use super::{Problem, Source, outward::origin};
use crate::{input::PlacedFault, model::Invalid};
use std::{
    error::Error,
    fmt::{self, Write},
    io,
    path::{Path, PathBuf},
};
use tokio_rustls::rustls::{self, CertificateError};
use url::Url;

/// A clock this far from the server's is worth a word, in seconds: tokens have a minute of leeway.
const SKEW: i64 = 60;

/// Why a command has nothing to show. Its `Display` is one sentence and what to do next; it never holds a token.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody says which server is meant.
    #[error(
        "no server is named: give --server URL, set HALLPASS_SERVER, or write `server = \"https://…\"` into {}",
        file.as_deref().unwrap_or(Path::new("~/.config/hallpass/config.toml")).display()
    )]
    NoServer {
        /// The client's file, where it would be.
        file: Option<PathBuf>,
    },
    /// A name that the client's file has not.
    #[error(
        "no server is called {said:?}: give its address, https://…, or one of the names in the client's file ({})",
        list(known)
    )]
    UnknownServer {
        /// What was said.
        said: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// An address that is none.
    #[error("the server's address cannot be used: expected {0}")]
    Address(Invalid),
    /// The client's file.
    #[error("{}; mend the file", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Settings(Vec<PlacedFault>),
    /// A file of the client's, or one that it was pointed to.
    #[error("{}: {cause}; check the file and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says; in the message already, hence no `source`.
        cause: io::Error,
    },
    /// A bundle without a certificate.
    #[error("{}: no certificate is in it; name a PEM file with HALLPASS_CA_BUNDLE, or in the client's file", .0.display())]
    Bundle(PathBuf),
    /// No HTTP client can be made.
    #[error(
        "the system's certificates cannot be used ({0}): install them (ca-certificates), or name some with HALLPASS_CA_BUNDLE"
    )]
    Http(String),
    /// No answer.
    #[error("{url} cannot be reached ({cause}): check the address, your network and the VPN")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// Why not.
        cause: String,
    },
    /// An answer that does not come.
    #[error("{url} does not answer in time: try again, and tell its operators when that does not help")]
    Silent {
        /// Who was asked.
        url: String,
    },
    /// Somebody whom nobody vouches for.
    #[error("the certificate of {url} is not trusted ({cause}): {way_out}")]
    Certificate {
        /// Who was asked.
        url: String,
        /// What is wrong with it.
        cause: String,
        /// What to do.
        way_out: &'static str,
    },
    /// Something that is no Hallpass, or no identity provider.
    #[error("{url} is not understood: {what}")]
    Nonsense {
        /// Who was asked.
        url: String,
        /// What came.
        what: String,
    },
    /// The server says no, in its words.
    #[error("{}", refused(.0))]
    Refused(Box<Problem>),
    /// No token to be found.
    #[error("not signed in to {server}: run `hallpass login`; in a pipeline, see what docs/pipelines.md has for it")]
    NotSignedIn {
        /// The server.
        server: String,
    },
    /// A sign-in that is over.
    #[error("your sign-in to {server} has ended ({why}): run `hallpass login`")]
    SignInEnded {
        /// The server.
        server: String,
        /// The provider's word.
        why: String,
    },
    /// A source that should have a token and has none.
    #[error("no token from {origin}: {problem}")]
    NoToken {
        /// Which source.
        origin: Source,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// A word that is no source.
    #[error("HALLPASS_TOKEN_SOURCE: expected one of {}", list(&Source::NAMES.map(str::to_owned)))]
    UnknownSource,
    /// No folder for what a sign-in leaves.
    #[error("there is nowhere to keep a sign-in: set HOME, or XDG_STATE_HOME")]
    NoHome,
    /// The keyring is there and does not do.
    #[error("the system's keyring gives nothing ({0}): unlock it, or sign in with HALLPASS_TOKEN_STORE=file")]
    Keyring(String),
    /// A word that is no store.
    #[error("HALLPASS_TOKEN_STORE: expected keyring or file")]
    UnknownStore,
    /// The server lets nobody sign in.
    #[error(
        "{0} has no sign-in for people: its operators set [login], see docs/client.md; a token of your own goes into HALLPASS_TOKEN"
    )]
    NoSignIn(String),
    /// The provider says no.
    #[error("the identity provider {provider} refuses: {why}")]
    Provider {
        /// The provider.
        provider: String,
        /// Its word, and the way out.
        why: String,
    },
    /// Nobody came to sign in.
    #[error("nobody signed in within {minutes} minutes: run `hallpass login` again")]
    Late {
        /// How long was waited.
        minutes: u64,
    },
    /// The console's link has no way to the browser.
    #[error("the link cannot be handed to a browser ({0}): --print shows it")]
    Browser(io::Error),
    /// No browser came for the console's link.
    #[error("no browser of yours came for the link within a minute: run it again, with --print to see the link")]
    NoVisit,
    /// No home for the AWS config file.
    #[error("there is nowhere for the AWS config file: set HOME, or AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE")]
    NoAwsFolder,
    /// A path that no file can name for a shell.
    #[error("{}: this path of the program cannot be quoted in the AWS config file; install it elsewhere", .0.display())]
    Program(PathBuf),
    /// A prefix that cannot stand in a profile's name.
    #[error("--prefix: expected letters, digits and _+=,.@-")]
    Prefix,
    /// The agent has nowhere to listen.
    #[error("cannot listen on 127.0.0.1:{port} ({cause}): free the port, or leave --port to have any")]
    AgentPort {
        /// The port; 0 for any.
        port: u16,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The redirect has nowhere to go.
    #[error(
        "cannot listen on 127.0.0.1:{port} for the browser ({cause}): free the port, or use `hallpass login --device`"
    )]
    Port {
        /// The port; 0 for any.
        port: u16,
        /// What the operating system says.
        cause: io::Error,
    },
}

impl ClientError {
    pub(super) fn file(path: &Path, cause: io::Error) -> Self {
        Self::File { path: path.to_owned(), cause }
    }

    /// The server's stable code, where it was the server that said no.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => Some(&problem.code),
            _ => None,
        }
    }

    /// Whether nobody was reached who could have said anything: what was had before may still be good.
    pub(super) fn is_of_the_network(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Silent { .. } | Self::Certificate { .. })
    }

    /// What a request that got no answer says.
    pub(super) fn no_answer(url: &Url, error: &reqwest::Error) -> Self {
        let url = origin(url);
        if let Some(error) = cause_of::<rustls::Error>(error) {
            return Self::certificate(url, error);
        }
        if error.is_timeout() && !error.is_connect() {
            return Self::Silent { url };
        }
        let cause = match cause_of::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
            _ if error.is_timeout() => "no connection in time".to_owned(),
            _ => last_cause(error),
        };
        Self::Unreachable { url, cause }
    }

    fn certificate(url: String, error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(fault) = error else {
            return Self::Unreachable { url, cause: format!("TLS: {error}") };
        };
        let own = "name its authority's certificate with HALLPASS_CA_BUNDLE, or as ca_bundle in the client's file";
        let clock = "check this machine's clock, and tell the server's operators";
        let (cause, way_out) = match fault {
            CertificateError::UnknownIssuer => ("unknown authority".to_owned(), own),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => ("it has expired".to_owned(), clock),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ("it is not valid yet".to_owned(), clock)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ("it is for another name".to_owned(), "check the address")
            }
            other => (other.to_string(), own),
        };
        Self::Certificate { url, cause, way_out }
    }
}

/// The first of this type among an error and its causes; `io::Error` hides what it wraps.
fn cause_of<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|wrapped| cause_of(wrapped)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn last_cause(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What others say, without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// What the server says of its own JSON and addresses is not for people.
const ABOUT_ITSELF: [&str; 4] = [
    "; errors names each",
    "; reasons names them",
    "; reasons names what fails in your own grants",
    "; GET /v1/roles lists what you may have",
];

/// The server's sentence, what it counts up, and what to do next.
fn refused(problem: &Problem) -> String {
    let detail = problem.detail.trim_end_matches('.');
    let mut text = plain(ABOUT_ITSELF.iter().find_map(|end| detail.strip_suffix(end)).unwrap_or(detail));
    let one_fault = problem.errors.len() == 1 && problem.detail.contains(&problem.errors[0].problem);
    let faults = problem.errors.iter().filter(|_| !one_fault).map(|fault| {
        let line = fault.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        match fault.pointer.as_str() {
            "" => format!("{line}{}", fault.problem),
            pointer => format!("{line}{pointer}: {}", fault.problem),
        }
    });
    for line in problem.reasons.iter().map(|reason| reason.detail.clone()).chain(faults) {
        // To a String, it does not fail.
        let _ = write!(text, "\n  - {}", plain(&line));
    }
    let next = next_step(problem);
    match (next.is_empty(), text.contains('\n')) {
        (true, _) => text,
        (false, true) => format!("{text}\n{next}"),
        (false, false) => format!("{text}: {next}"),
    }
}

fn next_step(problem: &Problem) -> String {
    let mut steps = Vec::new();
    if let Some(ahead) = problem.clock_ahead.filter(|ahead| ahead.abs() > SKEW) {
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        steps.push(format!("this machine's clock is {} {way} the server's, set it", Span(ahead.unsigned_abs())));
    }
    let again = |seconds: Option<u64>| match seconds {
        Some(seconds) => format!("try again in {seconds} s"),
        None => "try again".to_owned(),
    };
    let token = ["token_expired", "token_invalid", "unauthenticated"].contains(&problem.code.as_str());
    match (problem.code.as_str(), &problem.source) {
        (_, None | Some(Source::SignIn)) if token => steps.push("run `hallpass login`".to_owned()),
        (_, Some(source)) if token => steps.push(format!("the token came from {source}")),
        ("not_allowed", _) => steps.push("`hallpass roles` lists what you may have".to_owned()),
        ("reason_required", _) => steps.push("give one with --reason, or as HALLPASS_REASON".to_owned()),
        ("rate_limited" | "overloaded", _) => steps.push(again(problem.retry_after)),
        _ if problem.status >= 500 => {
            let id = &problem.request_id;
            steps.push(format!("{}; its operators find it as request {id}", again(problem.retry_after)));
        }
        _ => {}
    }
    steps.join("; ")
}

/// Seconds, in the largest unit that has one.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ ..120 => write!(f, "{seconds} seconds"),
            seconds @ ..7200 => write!(f, "{} minutes", seconds / 60),
            seconds @ ..172_800 => write!(f, "{} hours", seconds / 3600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::api::{Fault, Reason};

    fn problem(status: u16, code: &str, detail: &str) -> Problem {
        let (code, detail) = (code.to_owned(), detail.to_owned());
        Problem { status, code, detail, request_id: "r-1".to_owned(), ..Problem::default() }
    }

    #[test]
    fn what_the_server_says_is_said_with_what_to_do_next() {
        let expired = || problem(401, "token_expired", "The token has expired.");
        let reason = |detail: &str| Reason { detail: detail.to_owned() };
        let fault = |pointer: &str, problem: &str| Fault {
            line: pointer.starts_with("/grant").then_some(7),
            pointer: pointer.to_owned(),
            problem: problem.to_owned(),
        };
        let (signed_in, variable) = (Some(Source::SignIn), Some(Source::Variable));
        for (problem, expected) in [
            (Problem { source: signed_in.clone(), ..expired() }, "The token has expired: run `hallpass login`"),
            (
                Problem { source: variable.clone(), ..expired() },
                "The token has expired: the token came from HALLPASS_TOKEN",
            ),
            (
                Problem { source: variable, clock_ahead: Some(-700), ..expired() },
                "The token has expired: this machine's clock is 11 minutes behind the server's, set it; the token came from HALLPASS_TOKEN",
            ),
            (
                Problem { source: signed_in, clock_ahead: Some(90_000), ..expired() },
                "The token has expired: this machine's clock is 25 hours ahead of the server's, set it; run `hallpass login`",
            ),
            (Problem { clock_ahead: Some(60), ..expired() }, "The token has expired: run `hallpass login`"),
            (problem(403, "forbidden", "Only \u{1b}[2Jadmins.\r\n."), "Only [2Jadmins."),
            (
                Problem {
                    reasons: vec![reason("Grant 1 ended yesterday."), reason("Grant 2 is for 10.0.0.0/8.")],
                    ..problem(
                        403,
                        "not_allowed",
                        "No grant of yours allows this; reasons names what fails in your own grants.",
                    )
                },
                "No grant of yours allows this\n  - Grant 1 ended yesterday.\n  - Grant 2 is for 10.0.0.0/8.\n\
                 `hallpass roles` lists what you may have",
            ),
            (
                Problem {
                    errors: vec![
                        fault("/role", "expected a role"),
                        fault("", "too long"),
                        fault("/grant/0", "is none"),
                    ],
                    ..problem(422, "invalid_request", "The request has faults; errors names each.")
                },
                "The request has faults\n  - /role: expected a role\n  - too long\n  - line 7: /grant/0: is none",
            ),
            (
                Problem {
                    errors: vec![fault("/duration_seconds", "at most 1h")],
                    ..problem(422, "duration_too_long", "Grants allow at most 1h.")
                },
                "Grants allow at most 1h",
            ),
            (
                Problem { retry_after: Some(7), ..problem(429, "rate_limited", "You ask too often.") },
                "You ask too often: try again in 7 s",
            ),
            (
                problem(502, "sts_refused", "AWS said no."),
                "AWS said no: try again; its operators find it as request r-1",
            ),
        ] {
            assert_eq!(ClientError::Refused(Box::new(problem)).to_string(), expected);
        }
    }

    #[test]
    fn a_certificate_is_refused_with_its_reason() {
        for (fault, expected) in [
            (CertificateError::UnknownIssuer, "is not trusted (unknown authority): name its authority's certificate"),
            (CertificateError::Expired, "is not trusted (it has expired): check this machine's clock"),
            (CertificateError::NotValidYet, "is not trusted (it is not valid yet): check this machine's clock"),
            (CertificateError::NotValidForName, "is not trusted (it is for another name): check the address"),
        ] {
            // As it comes: wrapped twice by I/O errors.
            let tls = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(fault));
            let error = io::Error::other(tls);
            let found = cause_of::<rustls::Error>(&error).expect("what TLS says");
            let said = ClientError::certificate("https://h".to_owned(), found).to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
}
