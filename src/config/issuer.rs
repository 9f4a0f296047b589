use super::address;
use crate::{
    input::Faults,
    model::{Invalid, IssuerName, Name, parsed_from_text},
};
use deserr::Deserr;
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// One of `[[issuers]]`: whose JWTs are accepted, and what their claims make of a caller.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, from(IssuerTable) = Issuer::from_table)]
pub struct Issuer {
    /// What the operator calls it.
    pub name: IssuerName,
    /// The tokens' `iss`, byte for byte.
    pub issuer: String,
    /// One of these has to be the token's `aud`; at least one.
    pub audiences: Vec<String>,
    /// Whether its tokens are people's or machines'.
    pub kind: IssuerKind,
    /// Claims that give a group, beside those of `groups_claim`. People's tokens have rules too (a department or a
    /// tenant is a claim like any other); such a group gets the issuer's prefix.
    pub rules: Vec<ClaimRule>,
    /// The signatures accepted; at least one.
    pub algorithms: Vec<Algorithm>,
    /// What the header's `typ` may be, where there is one; at least one.
    pub token_types: Vec<String>,
    /// The `azp` that a token with several audiences may have.
    pub authorized_parties: Vec<String>,
    /// Where the keys are; by default what OpenID discovery says.
    pub jwks_url: Option<String>,
    /// No session outlives the token it was asked with.
    pub cap_to_token: bool,
}

/// What an issuer's tokens stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerKind {
    /// `user:<prefix><principal_claim>`, and `group:<prefix><group>` for each group.
    People(People),
    /// `workload:<name>/<sub>`; a group from a rule is `group:<name>/<group>`.
    Workload,
}

/// What only an issuer of people has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct People {
    /// The claim that is the user's name.
    pub principal_claim: String,
    /// The claim that lists the groups; without it the token gives none.
    pub groups_claim: Option<String>,
    /// Put before every user and group name; empty for at most one issuer.
    pub prefix: String,
    /// An `email` counts even where the token does not say that it was verified.
    pub trust_unverified_email: bool,
}

/// Claims that together give a group.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct ClaimRule {
    /// Each claim has to equal its value: a string, a whole number, true or false. At least one.
    pub when: BTreeMap<String, Value>,
    /// The group, without the issuer's prefix.
    pub group: Name,
}

impl Issuer {
    /// What every group of a workload issuer begins with, and every workload's name.
    #[must_use]
    pub fn workload_prefix(&self) -> String {
        prefix_of(&self.name)
    }

    fn from_table(table: IssuerTable) -> Self {
        let kind = match table.kind {
            KindWord::Workload => IssuerKind::Workload,
            KindWord::People => IssuerKind::People(People {
                principal_claim: table.principal_claim.unwrap_or_else(|| "sub".to_owned()),
                groups_claim: table.groups_claim,
                prefix: table.prefix.unwrap_or_else(|| prefix_of(&table.name)),
                trust_unverified_email: table.trust_unverified_email.unwrap_or(false),
            }),
        };
        Self {
            name: table.name,
            issuer: table.issuer,
            audiences: table.audiences,
            kind,
            rules: table.rules,
            algorithms: table.algorithms,
            token_types: table.token_types,
            authorized_parties: table.authorized_parties,
            jwks_url: table.jwks_url.map(|JwksUrl(url)| url),
            cap_to_token: table.cap_to_token,
        }
    }
}

/// What stands before an issuer's names where nothing else is said.
pub(super) fn prefix_of(name: &IssuerName) -> String {
    format!("{name}/")
}

/// The table as the file has it. [`super::rules`] refuses the keys of people under `kind = "workload"`.
#[derive(Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
struct IssuerTable {
    name: IssuerName,
    #[deserr(try_from(&String) = address::parse_issuer -> Invalid)]
    issuer: String,
    audiences: Vec<String>,
    kind: KindWord,
    #[deserr(default)]
    principal_claim: Option<String>,
    #[deserr(default)]
    groups_claim: Option<String>,
    #[deserr(default)]
    prefix: Option<String>,
    #[deserr(default)]
    trust_unverified_email: Option<bool>,
    #[deserr(default)]
    rules: Vec<ClaimRule>,
    #[deserr(default = vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa])]
    algorithms: Vec<Algorithm>,
    #[deserr(default = vec!["JWT".to_owned(), "at+jwt".to_owned()])]
    token_types: Vec<String>,
    #[deserr(default)]
    authorized_parties: Vec<String>,
    #[deserr(default)]
    jwks_url: Option<JwksUrl>,
    #[deserr(default)]
    cap_to_token: bool,
}

#[derive(Deserr)]
#[deserr(error = Faults, rename_all = lowercase)]
enum KindWord {
    People,
    Workload,
}

#[derive(Deserr)]
#[deserr(error = Faults, try_from(&String) = JwksUrl::parse -> Invalid)]
struct JwksUrl(String);

impl JwksUrl {
    fn parse(text: &str) -> Result<Self, Invalid> {
        address::parse_jwks_url(text).map(Self)
    }
}

/// How a token may be signed (RFC 7518, §3.1; RFC 8037). Only with a key pair: whoever can check an HMAC can also
/// make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm there is.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The header's `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The header's `alg`, in its own upper and lower case.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or(match text.get(..2) {
            Some("HS") => {
                Invalid::new("an asymmetric algorithm: whoever can check an HMAC signature can also make one")
            }
            _ if text.eq_ignore_ascii_case("none") => {
                Invalid::new("an algorithm that signs: anyone can make a token without a signature")
            }
            _ => Invalid::new("one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"),
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

parsed_from_text!(Algorithm);
