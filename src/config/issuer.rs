use super::address;
use crate::{
    identity::{Algorithm, ClaimRule, IssuerConfig, IssuerKind, People, default_prefix},
    input::Faults,
    model::{Invalid, IssuerName, parse_address},
    outward::Url,
};
use deserr::Deserr;

/// One of `[[issuers]]` as the file has it. [`super::rules`] refuses the keys of people under `kind = "workload"`.
#[derive(Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(super) struct IssuerTable {
    name: IssuerName,
    #[deserr(try_from(&String) = address::parse_issuer -> Invalid)]
    issuer: String,
    audiences: Vec<String>,
    kind: Kind,
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
    #[deserr(default = Algorithm::DEFAULT.to_vec())]
    algorithms: Vec<Algorithm>,
    #[deserr(default = vec!["JWT".to_owned(), "at+jwt".to_owned()])]
    token_types: Vec<String>,
    #[deserr(default)]
    authorized_parties: Vec<String>,
    #[deserr(try_from(Option<String>) = parse_jwks_url -> Invalid, default)]
    jwks_url: Option<Url>,
    #[deserr(default)]
    cap_to_token: bool,
}

/// The word under `kind`.
#[derive(Clone, Copy, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, rename_all = lowercase)]
pub(super) enum Kind {
    People,
    Workload,
}

pub(super) fn from_tables(tables: Vec<IssuerTable>) -> Vec<IssuerConfig> {
    tables.into_iter().map(from_table).collect()
}

fn from_table(table: IssuerTable) -> IssuerConfig {
    let kind = match table.kind {
        Kind::Workload => IssuerKind::Workload,
        Kind::People => IssuerKind::People(People {
            principal_claim: table.principal_claim.unwrap_or_else(|| "sub".to_owned()),
            groups_claim: table.groups_claim,
            prefix: table.prefix.unwrap_or_else(|| default_prefix(&table.name)),
            trust_unverified_email: table.trust_unverified_email.unwrap_or(false),
        }),
    };
    IssuerConfig {
        name: table.name,
        issuer: table.issuer,
        audiences: table.audiences,
        kind,
        rules: table.rules,
        algorithms: table.algorithms,
        token_types: table.token_types,
        authorized_parties: table.authorized_parties,
        jwks_url: table.jwks_url,
        cap_to_token: table.cap_to_token,
    }
}

fn parse_jwks_url(text: Option<String>) -> Result<Option<Url>, Invalid> {
    text.map(|text| parse_address(&text)).transpose()
}
