use crate::{
    allowlist::Refusal,
    metrics::IssueCode,
    store::StoreError,
    sts::{ConsoleError, ConsoleProblem, NoTurn, StsError, StsProblem},
};

/// Why no credentials were issued. Whatever was minted has been dropped.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The allowlist says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// STS says no, or nothing that makes sense.
    #[error(transparent)]
    Sts(StsError),
    /// The sign-in service gave no link.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// STS was not asked: it is asked as much as it may be.
    #[error("STS was not asked: {0}")]
    NoTurn(NoTurn),
    /// The caller's own session policy is none to IAM.
    #[error("IAM does not take the session policy")]
    PolicyMalformed(#[source] StsError),
    /// The caller's own session policy is over AWS's packed limit.
    #[error("the session policy is over AWS's packed limit")]
    PolicyTooLarge(#[source] StsError),
    /// AWS has not told yet who the broker is.
    #[error("the broker's own identity at AWS is not known")]
    NoIdentity,
    /// A row could not be put on disk.
    #[error("the audit cannot be written")]
    AuditUnavailable,
    /// The allowlist could not be read.
    #[error("the allowlist cannot be read")]
    Store(#[from] StoreError),
    /// The allowlist changed to this revision between decision and row; decided again, and not seen outside.
    #[error("the allowlist changed")]
    Stale(u64),
    /// The allowlist changed at every try.
    #[error("the allowlist keeps changing")]
    Busy,
    /// A fault of this program.
    #[error("the issuance broke off")]
    Broken,
}

impl IssueError {
    /// `own_policy`: whether the session policy was the caller's, who alone can then mend it.
    pub(super) fn of_sts(error: StsError, own_policy: bool) -> Self {
        match error.problem {
            StsProblem::PolicyMalformed if own_policy => Self::PolicyMalformed(error),
            StsProblem::PolicyTooLarge if own_policy => Self::PolicyTooLarge(error),
            _ => Self::Sts(error),
        }
    }

    /// The stable code that the answer, the audit row and the metrics share (contract §4).
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.label().as_str()
    }

    pub(super) fn label(&self) -> IssueCode {
        match self {
            Self::Refused(refusal) => match refusal {
                Refusal::NotAllowed(_) => IssueCode::NotAllowed,
                Refusal::DurationTooLong { .. } => IssueCode::DurationTooLong,
                Refusal::ReasonRequired { .. } => IssueCode::ReasonRequired,
                Refusal::SessionPolicyFixed { .. } => IssueCode::SessionPolicyFixed,
            },
            Self::Sts(error) => match error.problem {
                StsProblem::Refused(_) | StsProblem::PolicyMalformed | StsProblem::PolicyTooLarge => {
                    IssueCode::StsRefused
                }
                StsProblem::Throttled => IssueCode::StsThrottled,
                StsProblem::Unavailable(_) => IssueCode::StsUnavailable,
            },
            Self::Console(error) => match error.problem {
                ConsoleProblem::Refused(_) => IssueCode::StsRefused,
                ConsoleProblem::Throttled => IssueCode::StsThrottled,
                ConsoleProblem::Unavailable(_) | ConsoleProblem::Unknown => IssueCode::StsUnavailable,
            },
            Self::NoTurn(_) => IssueCode::StsThrottled,
            Self::PolicyMalformed(_) => IssueCode::InvalidRequest,
            Self::PolicyTooLarge(_) => IssueCode::SessionPolicyTooLarge,
            Self::NoIdentity | Self::Broken => IssueCode::StsUnavailable,
            Self::AuditUnavailable => IssueCode::AuditUnavailable,
            Self::Store(_) | Self::Stale(_) | Self::Busy => IssueCode::StoreUnavailable,
        }
    }

    /// The failed call, where there was one.
    #[must_use]
    pub fn sts(&self) -> Option<&StsError> {
        match self {
            Self::Sts(error) | Self::PolicyMalformed(error) | Self::PolicyTooLarge(error) => Some(error),
            _ => None,
        }
    }
}
