use super::{Invalid, text_newtype};
use std::{collections::BTreeMap, fmt};

/// A trusting account's number: exactly 12 ASCII digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(String);

text_newtype!(AccountId);

impl AccountId {
    /// Twelve digits, leading zeros included.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("an account id of 12 digits"))
        }
    }
}

/// What people call an account: `[a-z0-9][a-z0-9-]{0,62}`, and not 12 digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias(String);

text_newtype!(Alias);

impl Alias {
    /// Refuses 12 digits: an alias can never be taken for an account id.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let well_formed =
            (1..=63).contains(&bytes.len()) && lower(bytes[0]) && bytes.iter().all(|&b| lower(b) || b == b'-');
        if well_formed && AccountId::parse(text).is_err() {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("an alias: lower-case letters, digits and hyphens, at most 63, not 12 digits"))
        }
    }
}

/// The AWS partition: the first part of every ARN after `arn:`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(String);

text_newtype!(Partition);

impl Partition {
    /// `aws`, or `aws-` and lower-case words.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let words = text.strip_prefix("aws").is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix('-').is_some_and(|tail| {
                    tail.split('-').all(|word| {
                        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                    })
                })
        });
        if words && text.len() <= 32 {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("a partition such as aws, aws-cn or aws-us-gov"))
        }
    }

    /// The partition a region belongs to, by the prefixes of AWS's `partitions.json`.
    #[must_use]
    pub fn of_region(region: &str) -> Self {
        let partition = match region.split('-').next().unwrap_or_default() {
            "cn" => "aws-cn",
            "us" if region.starts_with("us-gov-") => "aws-us-gov",
            "us" if region.starts_with("us-isob-") => "aws-iso-b",
            "us" if region.starts_with("us-isof-") => "aws-iso-f",
            "us" if region.starts_with("us-iso-") => "aws-iso",
            "eu" if region.starts_with("eu-isoe-") => "aws-iso-e",
            "eusc" => "aws-eusc",
            _ => "aws",
        };
        Self(partition.to_owned())
    }
}

/// The external ID of a trusting account: 2 to 1,224 of `[A-Za-z0-9_+=,.@:/-]` (STS's rule). It guards against
/// the confused deputy, and is kept out of rows, logs and `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalId(String);

impl ExternalId {
    /// STS's own rule for `ExternalId`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
        if (2..=1224).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("an external ID: 2 to 1224 of letters, digits and _+=,.@:/-"))
        }
    }

    /// The text, for the AssumeRole call and for storage.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalId(…)")
    }
}

/// Session or account tags, by key. At most 50; keys of 1–128 and values of 0–256 of
/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`; keys are unique ignoring case (STS's rules).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(into = "BTreeMap<String, String>", try_from = "BTreeMap<String, String>")]
pub struct Tags(BTreeMap<String, String>);

impl TryFrom<BTreeMap<String, String>> for Tags {
    type Error = Invalid;

    fn try_from(tags: BTreeMap<String, String>) -> Result<Self, Invalid> {
        Self::new(tags)
    }
}

impl From<Tags> for BTreeMap<String, String> {
    fn from(tags: Tags) -> Self {
        tags.0
    }
}

impl Tags {
    /// Checks every key and value.
    pub fn new(tags: BTreeMap<String, String>) -> Result<Self, Invalid> {
        if tags.len() > 50 {
            return Err(Invalid::new("at most 50 tags"));
        }
        let mut folded = std::collections::BTreeSet::new();
        for (key, value) in &tags {
            let sized = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
            if !sized || !key.chars().chain(value.chars()).all(is_tag_char) {
                return Err(Invalid::new(
                    "tags with keys of 1 to 128 and values of up to 256 letters, digits, spaces and _.:/=+-@",
                ));
            }
            if key.to_ascii_lowercase().starts_with("aws:") {
                return Err(Invalid::new("tag keys that do not begin with aws:"));
            }
            if !folded.insert(key.to_lowercase()) {
                return Err(Invalid::new("tag keys that differ by more than case"));
            }
        }
        Ok(Self(tags))
    }

    /// By key, in the order of the bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_tag_char(c: char) -> bool {
    use unicode_properties::{GeneralCategoryGroup as Group, UnicodeGeneralCategory};
    "_.:/=+-@".contains(c)
        || matches!(c.general_category_group(), Group::Letter | Group::Number | Group::Separator)
            && !super::text::is_hidden(c)
}

/// A trusting account of the allowlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// What people call it, where it has a name of its own.
    pub alias: Option<Alias>,
    /// A name to show, free text.
    pub name: Option<String>,
    /// Sent on every AssumeRole into this account.
    pub external_id: Option<ExternalId>,
    /// For people; never sent to AWS.
    pub tags: Tags,
}

impl Account {
    /// The alias where there is one, else the id: the first half of a role reference.
    #[must_use]
    pub fn label(&self) -> &str {
        self.alias.as_ref().map_or(self.id.as_str(), Alias::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_aliases_never_overlap() {
        for (text, id, alias) in [
            ("111122223333", true, false),
            ("11112222333", false, true),
            ("prod", false, true),
            ("prod-eu-1", false, true),
            ("-prod", false, false),
            ("Prod", false, false),
            ("", false, false),
            ("١١١١٢٢٢٢٣٣٣٣", false, false),
            (&"a".repeat(64), false, false),
        ] {
            assert_eq!(AccountId::parse(text).is_ok(), id, "{text}");
            assert_eq!(Alias::parse(text).is_ok(), alias, "{text}");
        }
    }

    #[test]
    fn regions_have_partitions() {
        for (region, partition) in [
            ("eu-west-1", "aws"),
            ("us-east-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert_eq!(Partition::of_region(region).as_str(), partition, "{region}");
        }
    }

    #[test]
    fn tags_follow_the_rules_of_sts() {
        let tags =
            |pairs: &[(&str, &str)]| Tags::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        assert!(tags(&[("team", "shop"), ("cost centre", "é 1/2")]).is_ok());
        for bad in [
            &[("", "x")][..],
            &[("Team", "a"), ("team", "b")],
            &[("team", "a;b")],
            &[("aws:x", "y")],
            &[("team", "a\nb")],
        ] {
            assert!(tags(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_external_id_never_shows() {
        let id = ExternalId::parse("hp-7f3c").unwrap();
        assert_eq!(format!("{id:?}"), "ExternalId(…)");
        assert!(ExternalId::parse("a b").is_err() && ExternalId::parse("a").is_err());
    }
}
