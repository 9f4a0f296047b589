use super::{Invalid, parsed_from_text, text, text_newtype};
use std::fmt;

/// A name as an identity provider gives it: 1 to 256 characters of NFC text without control or format
/// characters. Others are refused, never mended: two names that look alike would be one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

text_newtype!(Name);

impl Name {
    /// Refuses what is empty, too long, not NFC, or holds a hidden character.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let sized = (1..=256).contains(&text.chars().count());
        if sized && text::is_clean(text) && text.trim() == text {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(
                "a name of 1 to 256 characters in Unicode NFC, without control or format characters and without spaces around it",
            ))
        }
    }
}

/// Where an issuer's name would stand: a machine's API token.
const TOKEN: &str = "token";

/// What an operator calls an issuer: `[a-z0-9-]+`, at most 64, and never `token`, which stands for API tokens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerName(String);

text_newtype!(IssuerName);

impl IssuerName {
    /// Refuses `token`, or a machine's API token could be taken for a workload.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) && text != TOKEN {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("an issuer name: lower-case letters, digits and hyphens, and not \"token\""))
        }
    }
}

/// Who may be granted, blocked or recorded. Compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// `user:<name>`: a person.
    User(Name),
    /// `group:<name>`: whoever an issuer says belongs to it.
    Group(Name),
    /// `workload:<issuer name>/<subject>`: a machine, by its issuer and subject.
    Workload {
        /// The issuer's name in the configuration; `token` for a machine's API token.
        issuer: String,
        /// The token's `sub`.
        subject: Name,
    },
    /// `local:<os user>`: who changed the database directly. Never a caller, never granted.
    Local(Name),
}

/// What a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A group of people or workloads.
    Group,
    /// A machine.
    Workload,
    /// An operator at the database.
    Local,
}

impl Principal {
    /// Reads `user:…`, `group:…`, `workload:…/…` or `local:…`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const EXPECTED: Invalid = Invalid::new("a principal: user:<name>, group:<name> or workload:<issuer>/<subject>");
        let (kind, name) = text.split_once(':').ok_or(EXPECTED)?;
        match kind {
            "user" => Name::parse(name).map(Self::User),
            "group" => Name::parse(name).map(Self::Group),
            "local" => Name::parse(name).map(Self::Local),
            "workload" => {
                let (issuer, subject) = name.split_once('/').ok_or(EXPECTED)?;
                if issuer != TOKEN {
                    IssuerName::parse(issuer)?;
                }
                Ok(Self::Workload { issuer: issuer.to_owned(), subject: Name::parse(subject)? })
            }
            _ => Err(EXPECTED),
        }
    }

    /// A machine, by the issuer that speaks for it.
    #[must_use]
    pub fn workload(issuer: &IssuerName, subject: Name) -> Self {
        Self::Workload { issuer: issuer.as_str().to_owned(), subject }
    }

    /// A machine, by its own API token: `workload:token/<name>`. No issuer can speak for it.
    #[must_use]
    pub fn machine(name: Name) -> Self {
        Self::Workload { issuer: TOKEN.to_owned(), subject: name }
    }

    /// Whether it is a machine's API token.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        matches!(self, Self::Workload { issuer, .. } if issuer == TOKEN)
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> PrincipalKind {
        match self {
            Self::User(_) => PrincipalKind::User,
            Self::Group(_) => PrincipalKind::Group,
            Self::Workload { .. } => PrincipalKind::Workload,
            Self::Local(_) => PrincipalKind::Local,
        }
    }

    /// The name without the kind: `alice@example.com`, `github/repo:acme/shop`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::User(name) | Self::Group(name) | Self::Local(name) => name.as_str().to_owned(),
            Self::Workload { issuer, subject } => format!("{issuer}/{subject}"),
        }
    }

    /// Whether a grant or a block may name it: an operator at the database asks for no credentials.
    #[must_use]
    pub fn can_be_granted(&self) -> bool {
        self.kind() != PrincipalKind::Local
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Workload { issuer, subject } => write!(f, "workload:{issuer}/{subject}"),
            Self::Local(name) => write!(f, "local:{name}"),
        }
    }
}

parsed_from_text!(Principal);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_read_as_they_show() {
        for text in [
            "user:alice@example.com",
            "group:Ops & Co",
            "workload:github/repo:acme/shop:ref:refs/heads/main",
            "workload:token/nightly",
            "local:root",
            "user:Zoë",
        ] {
            assert_eq!(Principal::parse(text).map(|p| p.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "alice",
            "user:",
            "user: alice",
            "user:a\u{200b}b",
            "user:e\u{301}",
            "role:x",
            "workload:github",
            "workload:GitHub/x",
            "workload:/x",
            "workload:github/",
            "USER:alice",
        ] {
            assert!(Principal::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_issuer_is_called_token() {
        assert!(IssuerName::parse("token").is_err());
        assert!(IssuerName::parse("tokens").is_ok());
    }
}
