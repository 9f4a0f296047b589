//! The seed procedure as text: what a trusting account and the broker's own account need at AWS, written out of the
//! allowlist as CloudFormation, Terraform or JSON, so that it never drifts from it.
//!
//! [`trust()`] writes a trusting account's roles with their trust policies, [`broker()`] what the broker's own role may
//! assume. Whatever goes into a template is escaped for its format: an allowlist can name a role, and never add a line.
//! This room must never do I/O or ask AWS; who the broker is, it is told.

mod arn;
mod broker;
mod escape;
mod trust;

pub use arn::{BrokerArn, PolicyArn};
pub use broker::broker;
pub use trust::{Trust, trust};

use crate::model::{AccountRef, RoleName};

/// What a template is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CloudFormation, YAML.
    CloudFormation,
    /// Terraform, and OpenTofu.
    Terraform,
    /// The bare documents, for the AWS CLI.
    Json,
}

/// A template, and what to look at before it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The template, with a newline at its end.
    pub text: String,
    /// One sentence each. Where the format has comments, they stand in the template too.
    pub warnings: Vec<String>,
}

/// Why there is no template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The allowlist is empty, or has no role there.
    #[error("the allowlist lists no role{0}: add one first")]
    NoRoles(String),
    /// An account that the allowlist does not have.
    #[error("the allowlist has no account {0}; it has {1}")]
    NoSuchAccount(AccountRef, String),
    /// There are several, and none was named.
    #[error("a trust template is for one account: name one of {0}")]
    WhichAccount(String),
    /// Policies for a role that is not there.
    #[error("policies are given for {0}, and the account lists no such role")]
    NoSuchRole(RoleName),
    /// A policy of another partition or account.
    #[error(
        "{policy} cannot be attached to {role}: a role takes AWS's own policies and its account's, of its own partition"
    )]
    ForeignPolicy {
        /// The policy.
        policy: PolicyArn,
        /// The role.
        role: RoleName,
    },
    /// IAM's default quota.
    #[error("{0} policies for {1}: IAM attaches at most 10 to a role")]
    TooManyPolicies(usize, RoleName),
    /// IAM's default quota.
    #[error(
        "the trust policy of {role} has {characters} characters, and IAM takes 2048: shorten the external ID or the broker's path"
    )]
    TrustTooLong {
        /// The role.
        role: RoleName,
        /// How long it is.
        characters: usize,
    },
    /// `CloudFormation` would read a secret or a parameter in its place.
    #[error("the path of {0} holds `{{{{`, which CloudFormation would resolve: use another format")]
    Resolved(RoleName),
    /// A fault of this program.
    #[error("the template cannot be written")]
    Broken(#[from] askama::Error),
    /// Likewise.
    #[error("the template cannot be written")]
    BrokenJson(#[from] serde_json::Error),
}

/// Pretty JSON with a newline at its end.
fn json(value: &impl serde::Serialize) -> Result<String, TemplateError> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

#[cfg(test)]
mod tests;
