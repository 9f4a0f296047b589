use super::{Account, AccountId, Alias, Invalid, Partition, SessionDuration, Tags, parsed_from_text, text_newtype};
use std::fmt;

/// A role's name: 1 to 64 of `[A-Za-z0-9_+=,.@-]` (IAM's rule). IAM ignores its case when it looks for
/// duplicates, so the allowlist does too; a reference to it is compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(String);

text_newtype!(RoleName);

impl RoleName {
    /// IAM's own rule.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("a role name: 1 to 64 of letters, digits and _+=,.@-"))
        }
    }
}

/// A role's path: `/`, or `/…/` of printable ASCII, at most 512 (IAM's rule).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RolePath(String);

text_newtype!(RolePath);

impl Default for RolePath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl RolePath {
    /// IAM's own rule, less `*` and `?`, which would turn an ARN into a pattern.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let ends = text == "/" || (text.len() > 2 && text.starts_with('/') && text.ends_with('/'));
        let clean = text.bytes().all(|b| b.is_ascii_graphic() && !b"*?".contains(&b)) && !text.contains("//");
        if ends && clean && text.len() <= 512 {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("a path such as /teams/, beginning and ending with a slash"))
        }
    }
}

/// A role's full ARN: `arn:<partition>:iam::<account>:role<path><name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleArn {
    /// The partition.
    pub partition: Partition,
    /// The trusting account.
    pub account: AccountId,
    /// The path, `/` where there is none.
    pub path: RolePath,
    /// The name.
    pub name: RoleName,
}

impl RoleArn {
    /// A role ARN and nothing else: no wildcard, no session, no other service.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const EXPECTED: Invalid = Invalid::new("a role ARN such as arn:aws:iam::111122223333:role/ReadOnly");
        let mut parts = text.splitn(6, ':');
        let (Some("arn"), Some(partition), Some("iam"), Some(""), Some(account), Some(resource)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(EXPECTED);
        };
        let path_and_name = resource.strip_prefix("role").filter(|rest| rest.starts_with('/')).ok_or(EXPECTED)?;
        let (path, name) = path_and_name.split_at(path_and_name.rfind('/').map_or(0, |slash| slash + 1));
        let read = || {
            Ok::<_, Invalid>(Self {
                partition: Partition::parse(partition)?,
                account: AccountId::parse(account)?,
                path: RolePath::parse(path)?,
                name: RoleName::parse(name)?,
            })
        };
        read().map_err(|_| EXPECTED)
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, account, path, name } = self;
        write!(f, "arn:{partition}:iam::{account}:role{path}{name}")
    }
}

parsed_from_text!(RoleArn);

/// How a request or a file names an account: by alias or by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountRef {
    /// By its number.
    Id(AccountId),
    /// By its alias.
    Alias(Alias),
}

impl AccountRef {
    /// Twelve digits are an id, anything else an alias.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        AccountId::parse(text)
            .map(Self::Id)
            .or_else(|_| Alias::parse(text).map(Self::Alias))
            .map_err(|_| Invalid::new("an account: 12 digits or an alias"))
    }

    /// Whether this names that account.
    #[must_use]
    pub fn names(&self, account: &Account) -> bool {
        match self {
            Self::Id(id) => *id == account.id,
            Self::Alias(alias) => account.alias.as_ref() == Some(alias),
        }
    }
}

impl fmt::Display for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Alias(alias) => alias.fmt(f),
        }
    }
}

parsed_from_text!(AccountRef);

/// How a request names a role: by its full ARN, or `<alias or account id>/<role name>`. Matched exactly or not at
/// all; no wildcard exists here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleRef {
    /// The whole ARN, path included.
    Arn(RoleArn),
    /// An account and a role's name, whatever its path.
    Named(AccountRef, RoleName),
}

impl RoleRef {
    /// Either form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.starts_with("arn:") {
            return RoleArn::parse(text).map(Self::Arn);
        }
        let named = || {
            let (account, name) = text.split_once('/')?;
            Some(Self::Named(AccountRef::parse(account).ok()?, RoleName::parse(name).ok()?))
        };
        named().ok_or(Invalid::new("a role: <alias or account id>/<role name>, or a full role ARN"))
    }

    /// How it names the account.
    #[must_use]
    pub fn account(&self) -> AccountRef {
        match self {
            Self::Arn(arn) => AccountRef::Id(arn.account.clone()),
            Self::Named(account, _) => account.clone(),
        }
    }

    /// The role's name.
    #[must_use]
    pub fn name(&self) -> &RoleName {
        match self {
            Self::Arn(arn) => &arn.name,
            Self::Named(_, name) => name,
        }
    }
}

impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arn(arn) => arn.fmt(f),
            Self::Named(account, name) => write!(f, "{account}/{name}"),
        }
    }
}

parsed_from_text!(RoleRef);

/// A role of the allowlist, in one trusting account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The trusting account's number.
    pub account_id: AccountId,
    /// Its name.
    pub name: RoleName,
    /// Its path.
    pub path: RolePath,
    /// What it is for, for people.
    pub description: Option<String>,
    /// No session of it lasts longer.
    pub max_duration: SessionDuration,
    /// Whether a source identity is sent: only it survives role chaining.
    pub source_identity: bool,
    /// Sent on every AssumeRole.
    pub session_tags: Tags,
}

impl Role {
    /// Its full ARN in the broker's own partition.
    #[must_use]
    pub fn arn(&self, partition: &Partition) -> RoleArn {
        RoleArn {
            partition: partition.clone(),
            account: self.account_id.clone(),
            path: self.path.clone(),
            name: self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_whole_or_refused() {
        for text in [
            "arn:aws:iam::111122223333:role/ReadOnly",
            "arn:aws-us-gov:iam::111122223333:role/teams/shop/Deploy",
            "arn:aws-cn:iam::000000000001:role/a+b=c,d.e@f-g_h",
        ] {
            assert_eq!(RoleArn::parse(text).map(|arn| arn.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:role/a*/b",
            "arn:aws:iam::111122223333:role//b",
            "arn:aws:iam::11112222333:role/b",
            "arn:aws:iam::111122223333:rolex/b",
            "arn:aws:iam::111122223333:user/b",
            "arn:aws:iam:eu-west-1:111122223333:role/b",
            "arn:aws:sts::111122223333:assumed-role/b/s",
            "arn:AWS:iam::111122223333:role/b",
            "arn:aws:iam::111122223333:role/b ",
            "arn:aws:iam::111122223333:role/b\n",
        ] {
            assert!(RoleArn::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn references_name_one_role() {
        for text in ["prod/ReadOnly", "111122223333/ReadOnly", "arn:aws:iam::111122223333:role/x/ReadOnly"] {
            assert_eq!(RoleRef::parse(text).map(|role| role.to_string()), Ok(text.to_owned()));
        }
        for text in ["ReadOnly", "prod/", "/ReadOnly", "prod/*", "prod/a/b", "PROD/a", "prod/Read Only", "prod/é"] {
            assert!(RoleRef::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics_and_shows_what_it_read(text in ".{0,120}") {
            if let Ok(role) = RoleRef::parse(&text) {
                proptest::prop_assert_eq!(role.to_string(), text);
            }
        }
    }
}
