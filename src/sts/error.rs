use super::AssumeRole;
use crate::{metrics::StsFault, model::with_causes};
use aws_sdk_sts::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// A call to STS that brought no credentials.
#[derive(Debug, thiserror::Error)]
#[error("STS: {problem}")]
pub struct StsError {
    /// What is wrong.
    pub problem: StsProblem,
    /// AWS's name for the call, where there was an answer.
    pub request_id: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// AWS's own words, for the log: they may name the broker's ARN.
    pub aws_words: Option<String>,
}

/// What is wrong, as far as a caller or an operator can do something about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StsProblem {
    /// AWS said no: what can be missing, the likeliest first.
    #[error("refused")]
    Refused(Vec<Missing>),
    /// The session policy is no policy document to IAM.
    #[error("malformed session policy")]
    PolicyMalformed,
    /// Session policy and tags together are over the packed limit.
    #[error("session policy and tags are too large")]
    PolicyTooLarge,
    /// Too many calls in this account and region.
    #[error("throttled")]
    Throttled,
    /// Away, silent, broken, or making no sense.
    #[error("unavailable: {0}")]
    Unavailable(&'static str),
}

impl StsProblem {
    pub(super) fn kind(&self) -> StsFault {
        match self {
            Self::Refused(_) => StsFault::Refused,
            Self::PolicyMalformed => StsFault::PolicyMalformed,
            Self::PolicyTooLarge => StsFault::PolicyTooLarge,
            Self::Throttled => StsFault::Throttled,
            Self::Unavailable(_) => StsFault::Unavailable,
        }
    }
}

/// A piece of trust that AWS can have missed. `AccessDenied` looks the same whichever side refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The role, or the broker as a principal of its trust policy.
    Principal,
    /// The external ID, where one was sent.
    ExternalId,
    /// The external ID, where none was sent.
    NoExternalId,
    /// `sts:TagSession`.
    TagSession,
    /// `sts:SetSourceIdentity`.
    SetSourceIdentity,
    /// A session that long.
    Duration,
    /// STS is not activated in the region.
    Region,
    /// Something that AWS's message tells only to the operator.
    Other,
}

impl Missing {
    /// What to look at, as a sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Principal => {
                "The role may not exist, its trust policy may not name the broker as principal, or the broker's own policy may not allow sts:AssumeRole on it."
            }
            Self::ExternalId => {
                "The trust policy may ask for another external ID than the allowlist has for this account."
            }
            Self::NoExternalId => {
                "The trust policy may ask for an external ID: the allowlist has none for this account."
            }
            Self::TagSession => {
                "The trust policy, or the broker's own policy, may lack sts:TagSession: the role has session tags."
            }
            Self::SetSourceIdentity => {
                "The trust policy, or the broker's own policy, may lack sts:SetSourceIdentity: allow it, or set source_identity = false for the role in the allowlist."
            }
            Self::Duration => "The role's maximum session duration in IAM is shorter than the session asked for.",
            Self::Region => "STS is not activated for the account in the broker's region.",
            Self::Other => "AWS refused the request; its words are in the broker's log under this request id.",
        }
    }

    /// What to look at, in a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Principal => "whether the role exists and its trust policy names the broker",
            Self::ExternalId | Self::NoExternalId => "the external ID",
            Self::TagSession => "sts:TagSession",
            Self::SetSourceIdentity => "sts:SetSourceIdentity",
            Self::Duration => "the role's maximum session duration",
            Self::Region => "whether STS is activated in the broker's region",
            Self::Other => "the broker's log",
        }
    }

    /// What can be missing where AWS says only no: what the call really asked of the trust.
    fn of_call(call: &AssumeRole<'_>) -> Vec<Self> {
        let external_id = if call.external_id.is_some() { Self::ExternalId } else { Self::NoExternalId };
        let mut missing = vec![Self::Principal, external_id];
        missing.extend((!call.session_tags.is_empty()).then_some(Self::TagSession));
        missing.extend(call.source_identity.map(|_| Self::SetSourceIdentity));
        missing
    }
}

impl StsError {
    pub(super) fn nonsense(what: &'static str, request_id: Option<String>, attempts: u32) -> Self {
        Self { problem: StsProblem::Unavailable(what), request_id, attempts, aws_words: None }
    }

    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>, attempts: u32) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        SdkError<E, HttpResponse>: RequestId + std::error::Error,
    {
        let request_id = error.request_id().map(str::to_owned);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let problem = match error {
            SdkError::TimeoutError(_) => StsProblem::Unavailable("no answer in time"),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => StsProblem::Unavailable("no answer in time"),
            SdkError::DispatchFailure(_) => {
                StsProblem::Unavailable("no connection, or no credentials of the broker's own")
            }
            SdkError::ConstructionFailure(_) => StsProblem::Unavailable("the call could not be made up"),
            SdkError::ServiceError(_) => problem_of(
                error.code().unwrap_or_default(),
                error.message().unwrap_or_default(),
                status.unwrap_or_default(),
            ),
            _ => StsProblem::Unavailable("an answer that makes no sense"),
        };
        let words = match (error.code(), error.message()) {
            (None, None) => with_causes(error),
            (code, message) => format!("{}: {}", code.unwrap_or("?"), message.unwrap_or("?")),
        };
        Self { problem, request_id, attempts: attempts.max(1), aws_words: Some(words) }
    }

    /// Names what this call can have missed, and takes the external ID out of AWS's words, which repeat a value that
    /// AWS finds wrong.
    pub(super) fn about(mut self, call: &AssumeRole<'_>) -> Self {
        if let StsProblem::Refused(missing) = &mut self.problem
            && *missing == [Missing::Principal]
        {
            *missing = Missing::of_call(call);
        }
        if let (Some(words), Some(id)) = (&mut self.aws_words, call.external_id) {
            *words = words.replace(id.expose(), "[redacted]");
        }
        self
    }
}

/// No fault of the role's: nothing works until an operator has mended it.
const BROKER_CREDENTIALS: &str = "AWS does not accept the broker's own credentials, which its operator must renew";

fn problem_of(code: &str, message: &str, status: u16) -> StsProblem {
    let refused = |missing| StsProblem::Refused(vec![missing]);
    match code {
        "AccessDenied" | "AccessDeniedException" if message.contains("sts:TagSession") => refused(Missing::TagSession),
        "AccessDenied" | "AccessDeniedException" if message.contains("sts:SetSourceIdentity") => {
            refused(Missing::SetSourceIdentity)
        }
        "AccessDenied" | "AccessDeniedException" => refused(Missing::Principal),
        "ValidationError" | "ValidationException" if message.contains("DurationSeconds") => refused(Missing::Duration),
        "RegionDisabledException" | "RegionDisabled" => refused(Missing::Region),
        "MalformedPolicyDocument" | "MalformedPolicyDocumentException" => StsProblem::PolicyMalformed,
        "PackedPolicyTooLarge" | "PackedPolicyTooLargeException" => StsProblem::PolicyTooLarge,
        "Throttling" | "ThrottlingException" | "TooManyRequestsException" | "RequestLimitExceeded" | "SlowDown" => {
            StsProblem::Throttled
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "OptInRequired" => StsProblem::Unavailable(BROKER_CREDENTIALS),
        _ if status == 429 => StsProblem::Throttled,
        _ if (400..500).contains(&status) && !code.is_empty() => refused(Missing::Other),
        _ => StsProblem::Unavailable("an error of its own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExternalId, RoleArn, SessionDuration, SessionName, SourceIdentity, Tags};

    #[test]
    fn what_aws_says_becomes_what_to_do() {
        use Missing::*;
        let refused = |missing: &[Missing]| StsProblem::Refused(missing.to_vec());
        for (code, message, status, problem) in [
            ("AccessDenied", "User: x is not authorized to perform: sts:TagSession on y", 403, refused(&[TagSession])),
            ("AccessDenied", "… sts:SetSourceIdentity …", 403, refused(&[SetSourceIdentity])),
            ("AccessDenied", "… sts:AssumeRole …", 403, refused(&[Principal])),
            (
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration",
                400,
                refused(&[Duration]),
            ),
            ("ValidationError", "something else", 400, refused(&[Other])),
            ("Throttling", "Rate exceeded", 400, StsProblem::Throttled),
            ("", "", 429, StsProblem::Throttled),
            ("ExpiredToken", "", 403, StsProblem::Unavailable(BROKER_CREDENTIALS)),
            ("PackedPolicyTooLarge", "", 400, StsProblem::PolicyTooLarge),
            ("MalformedPolicyDocument", "", 400, StsProblem::PolicyMalformed),
            ("RegionDisabledException", "", 403, refused(&[Region])),
            ("InternalFailure", "", 500, StsProblem::Unavailable("an error of its own")),
            ("", "", 400, StsProblem::Unavailable("an error of its own")),
        ] {
            assert_eq!(problem_of(code, message, status), problem, "{code} {message}");
        }
    }

    #[test]
    fn only_what_was_sent_can_have_been_missed() {
        use Missing::{NoExternalId, Principal, SetSourceIdentity, TagSession};
        let role = RoleArn::parse("arn:aws:iam::111122223333:role/ReadOnly").unwrap();
        let (name, identity) = (SessionName::parse("alice=1").unwrap(), SourceIdentity::parse("alice").unwrap());
        let id = ExternalId::parse("hp-1").unwrap();
        let tags = [Tags::default(), Tags::new([("team".to_owned(), "shop".to_owned())].into()).unwrap()];
        for (external_id, tags, source_identity, missing) in [
            (None, &tags[0], None, vec![Principal, NoExternalId]),
            (Some(&id), &tags[0], None, vec![Principal, Missing::ExternalId]),
            (None, &tags[1], None, vec![Principal, NoExternalId, TagSession]),
            (Some(&id), &tags[0], Some(&identity), vec![Principal, Missing::ExternalId, SetSourceIdentity]),
            (Some(&id), &tags[1], Some(&identity), vec![Principal, Missing::ExternalId, TagSession, SetSourceIdentity]),
        ] {
            let call = AssumeRole {
                role: &role,
                session_name: &name,
                source_identity,
                external_id,
                duration: SessionDuration::from_seconds(3600).unwrap(),
                session_policy: None,
                session_tags: tags,
            };
            let about = |problem, words: &str| {
                StsError { problem, request_id: None, attempts: 1, aws_words: Some(words.to_owned()) }.about(&call)
            };
            let refused = problem_of("AccessDenied", "… sts:AssumeRole …", 403);
            assert_eq!(about(refused, "").problem, StsProblem::Refused(missing));
            let exact = problem_of("AccessDenied", "… sts:TagSession …", 403);
            assert_eq!(about(exact.clone(), "").problem, exact);
            let words = about(StsProblem::Throttled, "hp-1 is wrong").aws_words.unwrap();
            assert_eq!(words.contains("hp-1"), external_id.is_none(), "{words}");
        }
    }
}
