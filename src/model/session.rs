use super::{Invalid, Principal, base32, id_newtype, sha256, text_newtype};
use uuid::Uuid;

/// Names one issuance everywhere: the API, the audit, the session name, CloudTrail. A UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuanceId(Uuid);

id_newtype!(IssuanceId, "an issuance id: a UUID");

/// The role session name of one issuance: `<name>=<id>`, at most 64 of STS's characters. Derived here and nowhere
/// else: no caller can choose it, and CloudTrail leads from it to the audit row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionName(String);

text_newtype!(SessionName);

impl SessionName {
    /// The caller's name reduced and cut to 37, `=`, and the issuance id in 26 characters of base32.
    #[must_use]
    pub fn derive(principal: &Principal, id: IssuanceId) -> Self {
        Self(format!("{}={}", reduced(&principal.name(), 37), base32(id.0.as_bytes())))
    }

    /// As read back from a row: STS's own rule.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        is_sts_name(text).then(|| Self(text.to_owned())).ok_or(Invalid::new("a role session name"))
    }
}

/// The source identity of one principal, shared by no other: it survives role chaining, so CloudTrail names the
/// person even behind a second role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceIdentity(String);

text_newtype!(SourceIdentity);

impl SourceIdentity {
    /// A user's name of 2 to 64 plain characters as it is; anything else reduced and cut to 47, `=`, and 16
    /// characters of the base32 of SHA-256 of the principal. `=` is no plain character, so the two never meet.
    #[must_use]
    pub fn derive(principal: &Principal) -> Self {
        let name = principal.name();
        let plain = matches!(principal, Principal::User(_))
            && (2..=64).contains(&name.len())
            && name.chars().all(is_plain)
            && !name.to_ascii_lowercase().starts_with("aws:");
        if plain {
            return Self(name);
        }
        let digest = base32(&sha256(&[principal.to_string().as_bytes()]));
        Self(format!("{}={}", reduced(&name, 47), &digest[..16]))
    }

    /// As read back from a row: STS's own rule.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        is_sts_name(text).then(|| Self(text.to_owned())).ok_or(Invalid::new("a source identity"))
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+.@-".contains(c)
}

fn reduced(name: &str, length: usize) -> String {
    name.chars().take(length).map(|c| if is_plain(c) { c } else { '_' }).collect()
}

fn is_sts_name(text: &str) -> bool {
    (2..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: IssuanceId = IssuanceId::new(Uuid::from_u128(0x0190_6b2e_0000_7000_8000_0000_0000_0001));

    fn principal(text: &str) -> Principal {
        Principal::parse(text).unwrap()
    }

    #[test]
    fn session_names_say_who_and_which() {
        let id = base32(ID.0.as_bytes());
        assert_eq!(id.len(), 26);
        for (who, name) in [
            ("user:alice@example.com", "alice@example.com"),
            ("user:Zoë=Ünal x", "Zo___nal_x"),
            ("workload:github/repo:acme/shop:ref:refs/heads/main", "github_repo_acme_shop_ref_refs_heads_"),
        ] {
            let session = SessionName::derive(&principal(who), ID);
            assert_eq!(session.as_str(), format!("{name}={id}"));
            assert!(SessionName::parse(session.as_str()).is_ok(), "{session}");
        }
    }

    #[test]
    fn a_session_name_is_never_over_64() {
        let session = SessionName::derive(&principal(&format!("user:{}", "x".repeat(256))), ID);
        assert_eq!(session.as_str().len(), 64);
    }

    #[test]
    fn source_identities_are_never_shared() {
        let all: Vec<String> = [
            "user:alice@example.com",
            "user:alice,example.com",
            "user:alice example.com",
            "group:alice@example.com",
            "workload:corp/alice",
            "user:corp/alice",
            "user:a",
            "user:AWS:x",
        ]
        .iter()
        .map(|who| SourceIdentity::derive(&principal(who)).to_string())
        .collect();
        assert_eq!(all[0], "alice@example.com");
        for (i, one) in all.iter().enumerate() {
            assert!(SourceIdentity::parse(one).is_ok(), "{one}");
            assert!(!all[..i].contains(one), "{one} twice");
        }
    }

    proptest::proptest! {
        #[test]
        fn derived_names_are_what_sts_takes(name in "\\PC{1,80}") {
            if let Ok(name) = super::super::Name::parse(&name) {
                let who = Principal::User(name);
                proptest::prop_assert!(SessionName::parse(SessionName::derive(&who, ID).as_str()).is_ok());
                proptest::prop_assert!(SourceIdentity::parse(SourceIdentity::derive(&who).as_str()).is_ok());
            }
        }
    }
}
