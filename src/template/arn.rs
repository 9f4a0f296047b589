use crate::model::{AccountId, Invalid, Partition, RoleArn, RoleName, parsed_from_text, text_newtype};
use std::fmt;

/// Who the roles trust: the broker, by an ARN that IAM takes as a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerArn {
    text: String,
    partition: Partition,
    account: AccountId,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Role,
    /// A role known by one of its sessions, whose ARN lacks the role's path.
    RoleOfSession,
    User,
    Account,
}

impl BrokerArn {
    /// A role, a user, a whole account (`…:root`), or a role's session as `GetCallerIdentity` names it, which becomes the
    /// role: the session is gone tomorrow.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::read(text)
            .ok_or(Invalid::new("the ARN of the broker's role, such as arn:aws:iam::111122223333:role/hallpass"))
    }

    fn read(text: &str) -> Option<Self> {
        let [prefix, partition, service, region, account, resource] = fields(text)?;
        let (partition, account) = (Partition::parse(partition).ok()?, AccountId::parse(account).ok()?);
        if prefix != "arn" || !region.is_empty() {
            return None;
        }
        let role =
            |path_and_name: &str| RoleArn::parse(&format!("arn:{partition}:iam::{account}:role/{path_and_name}"));
        let (text, kind) = match (service, resource.split_once('/')) {
            ("iam", None) if resource == "root" => (text.to_owned(), Kind::Account),
            ("iam", Some(("role", rest))) => (role(rest).ok()?.to_string(), Kind::Role),
            // The rules for a user's path and name are a role's.
            ("iam", Some(("user", rest))) => role(rest).map(|_| (text.to_owned(), Kind::User)).ok()?,
            ("sts", Some(("assumed-role", rest))) => {
                let (name, _session) = rest.split_once('/')?;
                (role(RoleName::parse(name).ok()?.as_str()).ok()?.to_string(), Kind::RoleOfSession)
            }
            _ => return None,
        };
        Some(Self { text, partition, account, kind })
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Whether AWS ends every session after an hour, since the broker is one itself.
    pub(super) fn is_role(&self) -> bool {
        matches!(self.kind, Kind::Role | Kind::RoleOfSession)
    }

    /// What to look at twice before anybody trusts it.
    pub(super) fn warning(&self) -> Option<String> {
        let Self { text, account, kind, .. } = self;
        Some(match kind {
            Kind::Role => return None,
            Kind::RoleOfSession => format!(
                "AWS tells the role behind a session without its path: if {text} has one, give its whole ARN by --broker, for a principal that does not exist is refused"
            ),
            Kind::User => format!("{text} is a user, whose keys never end: a role is safer"),
            Kind::Account => format!(
                "{text} trusts every principal of {account} that may assume roles, not the broker alone: name the broker's role"
            ),
        })
    }
}

impl fmt::Display for BrokerArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

parsed_from_text!(BrokerArn);

/// A managed policy's ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyArn(String);

text_newtype!(PolicyArn);

impl PolicyArn {
    /// AWS's own, `arn:aws:iam::aws:policy/…`, or an account's.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let read = || {
            let [prefix, partition, service, region, account, resource] = fields(text)?;
            let owner = if account == "aws" { "000000000000" } else { account };
            // The rules for a policy's path are a role's; its name may have twice the length.
            let (path, name) = resource.strip_prefix("policy")?.rsplit_once('/')?;
            let halves = name.split_at_checked(name.len().min(64))?;
            let name_is_one = [halves.0, halves.1].iter().all(|half| half.is_empty() || RoleName::parse(half).is_ok());
            let like_a_role = format!("{prefix}:{partition}:{service}:{region}:{owner}:role{path}/x");
            // A colon would be legal, and is two ARNs where one is meant.
            (!name.is_empty() && name_is_one && !resource.contains(':') && RoleArn::parse(&like_a_role).is_ok())
                .then(|| Self(text.to_owned()))
        };
        read().ok_or(Invalid::new("the ARN of a managed policy, such as arn:aws:iam::aws:policy/ReadOnlyAccess"))
    }

    /// Whether a role of that partition and account can have it.
    pub(super) fn fits(&self, partition: &Partition, account: &AccountId) -> bool {
        fields(&self.0).is_some_and(|[_, own, _, _, owner, _]| {
            own == partition.as_str() && (owner == "aws" || owner == account.as_str())
        })
    }

    /// Whether it lets its role do everything.
    pub(super) fn is_administrator(&self) -> bool {
        self.0.rsplit('/').next() == Some("AdministratorAccess")
    }
}

fn fields(arn: &str) -> Option<[&str; 6]> {
    arn.splitn(6, ':').collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_a_principal_that_lasts() {
        for (text, principal) in [
            ("arn:aws:iam::111122223333:role/hallpass", "arn:aws:iam::111122223333:role/hallpass"),
            ("arn:aws-cn:iam::111122223333:role/a/b/hallpass", "arn:aws-cn:iam::111122223333:role/a/b/hallpass"),
            ("arn:aws:sts::111122223333:assumed-role/hallpass/i-0123", "arn:aws:iam::111122223333:role/hallpass"),
            ("arn:aws:iam::111122223333:user/bots/hallpass", "arn:aws:iam::111122223333:user/bots/hallpass"),
            ("arn:aws-us-gov:iam::111122223333:root", "arn:aws-us-gov:iam::111122223333:root"),
        ] {
            let arn = BrokerArn::parse(text).unwrap();
            assert_eq!(arn.to_string(), principal, "{text}");
            assert_eq!(arn.warning().is_none(), text.contains(":role/"), "{text}");
        }
        for text in [
            "",
            "*",
            "111122223333",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:group/hallpass",
            "arn:aws:iam::111122223333:user/",
            "arn:aws:sts::111122223333:assumed-role/hallpass",
            "arn:aws:sts::111122223333:federated-user/hallpass",
            "arn:aws:sts::111122223333:user/hallpass",
            "arn:aws:iam::111122223333:role/hallpass\"\n",
        ] {
            assert!(BrokerArn::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_policy_is_awss_or_the_accounts() {
        let long = format!("arn:aws:iam::aws:policy/{}", "a".repeat(128));
        for (text, fits, administrator) in [
            ("arn:aws:iam::aws:policy/AdministratorAccess", true, true),
            ("arn:aws:iam::aws:policy/job-function/ViewOnlyAccess", true, false),
            ("arn:aws:iam::111122223333:policy/team/Shop", true, false),
            ("arn:aws:iam::444455556666:policy/Shop", false, false),
            ("arn:aws-cn:iam::aws:policy/ReadOnlyAccess", false, false),
            (&long, true, false),
        ] {
            let policy = PolicyArn::parse(text).unwrap();
            let (partition, account) = (Partition::parse("aws").unwrap(), AccountId::parse("111122223333").unwrap());
            assert_eq!((policy.fits(&partition, &account), policy.is_administrator()), (fits, administrator), "{text}");
        }
        for text in [
            "",
            "ReadOnlyAccess",
            "arn:aws:iam::aws:policy/",
            "arn:aws:iam::aws:policy/*",
            "arn:aws:iam::aws:policyx/a",
            "arn:aws:iam::aws:role/a",
            "arn:aws:iam::awsx:policy/a",
            "arn:aws:iam::aws:policy/a b",
            "arn:aws:iam::aws:policy/a,arn:aws:iam::aws:policy/b",
            &(long.clone() + "a"),
        ] {
            assert!(PolicyArn::parse(text).is_err(), "{text}");
        }
    }
}
