use crate::{
    allowlist::Refusal,
    store::StoreError,
    sts::{NoTurn, StsError, StsProblem},
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
    /// The allowlist changed between decision and intent; decided again, and not seen outside.
    #[error("the allowlist changed")]
    Stale,
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

    /// The stable code that the answer and the audit row share (contract §4).
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => match refusal {
                Refusal::NotAllowed(_) => "not_allowed",
                Refusal::DurationTooLong { .. } => "duration_too_long",
                Refusal::ReasonRequired { .. } => "reason_required",
                Refusal::SessionPolicyFixed { .. } => "session_policy_fixed",
            },
            Self::Sts(error) => match error.problem {
                StsProblem::Refused(_) | StsProblem::PolicyMalformed | StsProblem::PolicyTooLarge => "sts_refused",
                StsProblem::Throttled => "sts_throttled",
                StsProblem::Unavailable(_) => "sts_unavailable",
            },
            Self::NoTurn(_) => "sts_throttled",
            Self::PolicyMalformed(_) => "invalid_request",
            Self::PolicyTooLarge(_) => "session_policy_too_large",
            Self::NoIdentity | Self::Broken => "sts_unavailable",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Store(_) | Self::Stale | Self::Busy => "store_unavailable",
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
