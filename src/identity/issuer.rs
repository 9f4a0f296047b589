use super::{algorithm::Algorithm, fetch::check_address};
use crate::{
    input::Faults,
    model::{IssuerName, Name},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// One `[[issuers]]` entry of the configuration: whose tokens are accepted, and what they make of their bearer.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// What the operator calls it.
    pub name: IssuerName,
    /// Its `iss`, byte for byte.
    pub issuer: String,
    /// A token's `aud` must hold one of these.
    pub audiences: Vec<String>,
    /// People or machines.
    pub kind: IssuerKind,
    /// Stands before every user and group name this issuer gives, rules included; default `<name>/`. One people issuer
    /// may have none (the empty text).
    pub prefix: String,
    /// Claims that make their bearer a member of a group.
    pub rules: Vec<ClaimRule>,
    /// What its tokens may be signed with; default [`Algorithm::DEFAULT`].
    pub algorithms: Vec<Algorithm>,
    /// What the header's `typ` may be, where there is one; default `JWT` and `at+jwt`. Case means nothing.
    pub token_types: Vec<String>,
    /// Who may stand in `azp`. A token with several audiences needs one of these; where the list is not empty, an
    /// `azp` beside one audience must be in it too.
    pub authorized_parties: Vec<String>,
    /// Where its keys are; by default where its OpenID discovery document says.
    pub jwks_url: Option<String>,
    /// Whether no session outlives the token it was asked with.
    pub cap_to_token: bool,
}

/// Whom an issuer speaks for.
#[derive(Clone, Debug)]
pub enum IssuerKind {
    /// Principals `user:<prefix><principal_claim>` and `group:<prefix><each of groups_claim>`.
    People {
        /// The claim that names the person; default `sub`. With `email` the token must say `email_verified: true`.
        principal_claim: String,
        /// The claim that lists their groups: an array of strings, or one string.
        groups_claim: Option<String>,
        /// Takes `email` without `email_verified`: for an issuer that verifies every address and does not say so.
        trust_unverified_email: bool,
    },
    /// Principal `workload:<issuer name>/<sub>`.
    Workload,
}

/// Claims that give a group, where all of them are in the token with exactly these values.
#[derive(Clone, Debug)]
pub struct ClaimRule {
    /// By claim: a string, a whole number, or true or false. Never empty.
    pub when: BTreeMap<String, Value>,
    /// The group, before the issuer's prefix.
    pub group: Name,
}

/// Checks what the types cannot say, between the issuers too. Each fault has the configuration's own pointer.
pub fn check_issuers(issuers: &[IssuerConfig]) -> Result<(), Faults> {
    let mut faults = Faults::default();
    for (i, issuer) in issuers.iter().enumerate() {
        let mut fault = |key: &str, problem: &str| faults.push(format!("/issuers/{i}/{key}"), problem);
        let earlier = &issuers[..i];
        if earlier.iter().any(|other| other.name == issuer.name) {
            fault("name", "another issuer has this name");
        }
        if let Err(problem) = check_address(&issuer.issuer) {
            fault("issuer", &format!("expected {problem}"));
        }
        if earlier.iter().any(|other| other.issuer == issuer.issuer) {
            fault("issuer", "another entry has this issuer; their tokens could not be told apart");
        }
        if let Some(Err(problem)) = issuer.jwks_url.as_deref().map(check_address) {
            fault("jwks_url", &format!("expected {problem}"));
        }
        if issuer.audiences.is_empty() {
            fault("audiences", "expected at least one audience, or every token of the issuer would be taken");
        }
        if issuer.algorithms.is_empty() {
            fault("algorithms", "expected at least one algorithm");
        }
        if issuer.prefix.is_empty() && matches!(issuer.kind, IssuerKind::Workload) {
            fault("prefix", "only a people issuer may have no prefix");
        }
        if Name::parse(&format!("{}x", issuer.prefix)).is_err() {
            fault("prefix", "expected the beginning of a name: Unicode NFC without control or format characters");
        }
        if earlier.iter().any(|other| other.prefix == issuer.prefix) {
            fault("prefix", "another issuer has this prefix; each could speak for the other");
        }
        let names = Names::of(issuers, i);
        for (r, rule) in issuer.rules.iter().enumerate() {
            if rule.when.is_empty() {
                fault(&format!("rules/{r}/when"), "expected at least one claim, or everybody would be in the group");
            }
            if !rule.when.values().all(|value| value.is_string() || value.is_boolean() || value.is_i64()) {
                fault(&format!("rules/{r}/when"), "expected strings, whole numbers, true or false");
            }
            if names.own(rule.group.as_str()).is_none() {
                fault(
                    &format!("rules/{r}/group"),
                    "expected a group that, with the issuer's prefix, is a name and does not begin with the prefix of another issuer",
                );
            }
        }
    }
    faults.into_result(())
}

/// Which names an issuer may give: its prefix, and the prefixes of others it must keep off.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
    others: Vec<String>,
}

impl Names {
    /// The names of the issuer at `index`. Only a prefix that begins with this issuer's own can be met by its names;
    /// for the issuer without a prefix, that is every other.
    pub(super) fn of(issuers: &[IssuerConfig], index: usize) -> Self {
        let prefix = &issuers[index].prefix;
        let others = issuers.iter().enumerate().filter(|(i, other)| *i != index && other.prefix.starts_with(prefix));
        Self { prefix: prefix.clone(), others: others.map(|(_, other)| other.prefix.clone()).collect() }
    }

    /// The name under which the allowlist knows what this issuer calls `name`; `None` where it is no name, or where
    /// another issuer's names begin like that.
    pub(super) fn own(&self, name: &str) -> Option<Name> {
        Name::parse(name).ok()?;
        let full = Name::parse(&format!("{}{name}", self.prefix)).ok()?;
        let foreign = self.others.iter().any(|other| full.as_str().starts_with(other));
        (!foreign).then_some(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{people, workload};
    use serde_json::json;

    #[test]
    fn every_fault_of_the_issuers_is_named_with_its_place() {
        let mut corp = people("corp", "https://login.example.com");
        corp.prefix = String::new();
        let mut twin = people("corp", "https://login.example.com");
        twin.prefix = String::new();
        twin.audiences.clear();
        twin.algorithms.clear();
        twin.jwks_url = Some("http://keys.example.com/jwks".to_owned());
        let mut github = workload("github", "ftp://token.example.com");
        github.prefix = String::new();
        let rule = |when, group: &str| ClaimRule {
            when: serde_json::from_value(when).unwrap(),
            group: Name::parse(group).unwrap(),
        };
        let mut ci = workload("ci", "https://ci.example.com");
        ci.prefix = "c\u{200b}i/".to_owned();
        let mut hr = people("hr", "https://hr.example.com");
        hr.rules = vec![rule(json!({}), "all"), rule(json!({"a": 1.5}), "b"), rule(json!({"a": 1}), &"x".repeat(256))];
        insta::assert_snapshot!(
            check_issuers(&[corp, twin, github, ci, hr]).unwrap_err().to_string().replace("; /", "\n/"),
            @r"
            /issuers/1/name: another issuer has this name
            /issuers/1/issuer: another entry has this issuer; their tokens could not be told apart
            /issuers/1/jwks_url: expected an https address (http only on loopback), without a user name or a fragment
            /issuers/1/audiences: expected at least one audience, or every token of the issuer would be taken
            /issuers/1/algorithms: expected at least one algorithm
            /issuers/1/prefix: another issuer has this prefix; each could speak for the other
            /issuers/2/issuer: expected an https address (http only on loopback), without a user name or a fragment
            /issuers/2/prefix: only a people issuer may have no prefix
            /issuers/2/prefix: another issuer has this prefix; each could speak for the other
            /issuers/3/prefix: expected the beginning of a name: Unicode NFC without control or format characters
            /issuers/4/rules/0/when: expected at least one claim, or everybody would be in the group
            /issuers/4/rules/1/when: expected strings, whole numbers, true or false
            /issuers/4/rules/2/group: expected a group that, with the issuer's prefix, is a name and does not begin with the prefix of another issuer
            "
        );
    }

    #[test]
    fn names_stay_apart() {
        let mut corp = people("corp", "https://login.example.com");
        corp.prefix = String::new();
        let mut lab = people("lab", "https://lab.example.com");
        lab.prefix = "lab/".to_owned();
        let mut inner = people("inner", "https://inner.example.com");
        inner.prefix = "lab/inner/".to_owned();
        let issuers = [corp, lab, inner];
        check_issuers(&issuers).unwrap();
        for (issuer, name, full) in [
            (0, "alice", Some("alice")),
            (0, "lab/alice", None),
            (0, "lab/", None),
            (0, "labs", Some("labs")),
            (1, "alice", Some("lab/alice")),
            (1, "inner/alice", None),
            (2, "alice", Some("lab/inner/alice")),
            (1, " alice", None),
            (1, "\u{301}a", Some("lab/\u{301}a")),
            (0, "", None),
        ] {
            assert_eq!(Names::of(&issuers, issuer).own(name).as_ref().map(Name::as_str), full, "{issuer} {name:?}");
        }
    }
}
