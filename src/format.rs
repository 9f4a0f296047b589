//! Credentials as text, each form quoted for the one that reads it: five shells, an AWS credentials file, a
//! `credential_process`, JSON.
//!
//! The service and the command line write with this. What a form cannot hold is refused, never mended: a text that is
//! quoted wrongly is run by a shell. Must never do I/O, or put a text of its reader's into an error.

mod refusal;
mod shell;
#[cfg(test)]
mod tests;

pub use refusal::refusal;

use crate::model::Invalid;
use serde::Serialize;
use shell::Syntax;
use utoipa::ToSchema;

/// Credentials, and where they come from.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the contract's table names the members one by one")]
pub struct Credentials<'a> {
    /// Names them in the audit.
    #[schema(value_type = crate::model::IssuanceId)]
    pub issuance_id: &'a str,
    #[schema(value_type = crate::model::RoleArn)]
    pub role_arn: &'a str,
    pub assumed_role_arn: &'a str,
    pub source_identity: Option<&'a str>,
    pub access_key_id: &'a str,
    pub secret_access_key: &'a str,
    pub session_token: &'a str,
    #[schema(value_type = crate::model::Time)]
    pub expires_at: &'a str,
    #[schema(value_type = crate::model::SessionDuration)]
    pub duration_seconds: u32,
    /// What made the session shorter than the hour that was not asked for.
    #[schema(value_type = Option<crate::allowlist::Limit>)]
    pub clamped_by: Option<&'a str>,
    /// The one that was asked for, else that of the service.
    pub region: &'a str,
    /// Whether it was asked for: only then does it go into a shell or a file, where another may be set already.
    #[serde(skip)]
    pub region_given: bool,
    /// `<alias or account id>-<role>`: the section of a credentials file.
    #[serde(skip)]
    pub profile: &'a str,
}

/// For whom credentials are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The whole answer.
    #[default]
    Json,
    /// What `credential_process` prints.
    Process,
    /// bash, zsh, and every shell by POSIX.
    Env,
    /// fish.
    Fish,
    /// `PowerShell`.
    PowerShell,
    /// The prompt of Windows' `cmd.exe`.
    Cmd,
    /// A section of the AWS credentials file.
    Ini,
}

/// These credentials cannot be written for this reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these credentials hold a character that this format cannot: ask for another format")]
pub struct Unquotable;

impl Format {
    /// Every one, with its name.
    pub const ALL: [(&'static str, Self); 7] = [
        ("json", Self::Json),
        ("process", Self::Process),
        ("env", Self::Env),
        ("fish", Self::Fish),
        ("powershell", Self::PowerShell),
        ("cmd", Self::Cmd),
        ("ini", Self::Ini),
    ];

    /// By its name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let known = Self::ALL.into_iter().find(|(name, _)| *name == text);
        known.map(|(_, format)| format).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name);
            Invalid(format!("one of {}", names.join(", ")).into())
        })
    }

    /// What the text is, to HTTP.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json | Self::Process => "application/json",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// Writes them.
    pub fn write(self, credentials: &Credentials<'_>) -> Result<String, Unquotable> {
        match self {
            Self::Json => Ok(json(credentials)),
            Self::Process => Ok(json(&Process::of(credentials)) + "\n"),
            Self::Ini => ini(credentials),
            Self::Env => shell::assign(Syntax::Posix, &credentials.variables()),
            Self::Fish => shell::assign(Syntax::Fish, &credentials.variables()),
            Self::PowerShell => shell::assign(Syntax::PowerShell, &credentials.variables()),
            Self::Cmd => shell::assign(Syntax::Cmd, &credentials.variables()),
        }
    }
}

impl<'a> Credentials<'a> {
    /// What the SDKs read from the environment. Without a region, that of the shell stays.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, &'a str)> {
        let mut variables = vec![
            ("AWS_ACCESS_KEY_ID", self.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key),
            ("AWS_SESSION_TOKEN", self.session_token),
            ("AWS_CREDENTIAL_EXPIRATION", self.expires_at),
        ];
        if self.region_given {
            variables.extend([("AWS_REGION", self.region), ("AWS_DEFAULT_REGION", self.region)]);
        }
        variables
    }
}

/// What `credential_process` prints.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[schema(as = ProcessCredentials)]
pub(crate) struct Process<'a> {
    #[schema(minimum = 1, maximum = 1)]
    version: u32,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: &'a str,
    #[schema(value_type = crate::model::Time)]
    expiration: &'a str,
}

impl<'a> Process<'a> {
    fn of(credentials: &Credentials<'a>) -> Self {
        Self {
            version: 1,
            access_key_id: credentials.access_key_id,
            secret_access_key: credentials.secret_access_key,
            session_token: credentials.session_token,
            expiration: credentials.expires_at,
        }
    }
}

fn json(value: &impl Serialize) -> String {
    #[expect(clippy::expect_used, reason = "texts and numbers under names are JSON")]
    serde_json::to_string(value).expect("JSON of texts and numbers")
}

/// There is no quoting in this file: a value is what stands between the `=` and the end of the line, and some readers take
/// what follows a blank for a comment.
fn ini(credentials: &Credentials<'_>) -> Result<String, Unquotable> {
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if !plain(credentials.profile) || credentials.profile.contains(['[', ']']) {
        return Err(Unquotable);
    }
    let mut text = format!("[{}]\n", credentials.profile);
    let region = credentials.region_given.then_some(("region", credentials.region));
    let pairs = [
        ("aws_access_key_id", credentials.access_key_id),
        ("aws_secret_access_key", credentials.secret_access_key),
        ("aws_session_token", credentials.session_token),
    ];
    for (key, value) in pairs.into_iter().chain(region) {
        if !plain(value) {
            return Err(Unquotable);
        }
        text.extend([key, " = ", value, "\n"]);
    }
    Ok(text)
}
