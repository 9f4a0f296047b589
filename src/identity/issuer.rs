use super::Algorithm;
use crate::{
    input::{Faults, pointer_to},
    model::{IssuerName, Name},
    outward::Url,
};
use deserr::{Deserr, IntoValue, ValuePointerRef};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One of `[[issuers]]`: whose JWTs are accepted, and what their claims make of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// What the operator calls it.
    pub name: IssuerName,
    /// The tokens' `iss`, byte for byte.
    pub issuer: String,
    /// One of these has to be in the token's `aud`; at least one.
    pub audiences: Vec<String>,
    /// Whether its tokens are people's or machines'.
    pub kind: IssuerKind,
    /// Claims that give a group, beside those of `groups_claim`. People's tokens have rules too: a department or a
    /// tenant is a claim like any other.
    pub rules: Vec<ClaimRule>,
    /// What its tokens may be signed with, at least one; default [`Algorithm::DEFAULT`].
    pub algorithms: Vec<Algorithm>,
    /// What the header's `typ` may be, where there is one; at least one. Case means nothing.
    pub token_types: Vec<String>,
    /// Who may stand in `azp`. A token with several audiences needs one of these; where the list is not empty, an
    /// `azp` beside one audience must be in it too.
    pub authorized_parties: Vec<String>,
    /// Where its keys are; by default where its OpenID discovery document says. Made by
    /// [`parse_address`](crate::model::parse_address).
    pub jwks_url: Option<Url>,
    /// Whether no session outlives the token it was asked with.
    pub cap_to_token: bool,
}

/// Whom an issuer speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerKind {
    /// Principals `user:<prefix><principal_claim>` and `group:<prefix><group>` for each group.
    People(People),
    /// Principal `workload:<name>/<sub>`; a group from a rule is `group:<name>/<group>`.
    Workload,
}

/// What only an issuer of people has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct People {
    /// The claim that names the person. With `email` the token must say `email_verified: true`.
    pub principal_claim: String,
    /// The claim that lists their groups: an array of strings, or one string. Without it the token gives none.
    pub groups_claim: Option<String>,
    /// Stands before every user and group name, rules included; empty for at most one issuer.
    pub prefix: String,
    /// Takes `email` without `email_verified`: for an issuer that verifies every address and does not say so.
    pub trust_unverified_email: bool,
}

/// Claims that together give a group.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct ClaimRule {
    /// What the token has to say.
    pub when: RequiredClaims,
    /// The group, before the issuer's prefix.
    pub group: Name,
}

/// Claims and the value each has to equal: a string, a whole number, true or false. Never empty, or every token would
/// be in the group; a fraction, a list or a table has no one equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredClaims(BTreeMap<String, Value>);

impl RequiredClaims {
    /// Whether all of them are among a token's claims with exactly these values.
    pub(super) fn hold_in(&self, claims: &Map<String, Value>) -> bool {
        self.0.iter().all(|(claim, value)| claims.get(claim) == Some(value))
    }
}

impl Deserr<Faults> for RequiredClaims {
    // The values are read as what they are and looked at here: the map's own reader leaves out what it cannot read.
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        place: ValuePointerRef<'_>,
    ) -> Result<Self, Faults> {
        let claims: BTreeMap<String, Value> = Deserr::<Faults>::deserialize_from_value(value, place)?;
        let mut faults = Faults::default();
        if claims.is_empty() {
            let problem = "expected at least one claim: without one every token would be in the group";
            faults.push(pointer_to(place), problem);
        }
        for (claim, value) in &claims {
            if !(value.is_string() || value.is_boolean() || value.is_i64() || value.is_u64()) {
                let problem = "expected a string, a whole number, true or false";
                faults.push(pointer_to(place.push_key(claim)), problem);
            }
        }
        faults.into_result(Self(claims))
    }
}

impl IssuerConfig {
    /// All of it as JSON, with sorted members: what the audit keeps a digest of.
    #[must_use]
    pub fn describe(&self) -> Value {
        let kind = match &self.kind {
            IssuerKind::People(people) => json!({
                "principal_claim": people.principal_claim, "groups_claim": people.groups_claim, "prefix": people.prefix,
                "trust_unverified_email": people.trust_unverified_email,
            }),
            IssuerKind::Workload => json!("workload"),
        };
        let rules: Vec<Value> =
            self.rules.iter().map(|rule| json!({"when": rule.when.0, "group": rule.group})).collect();
        let algorithms: Vec<&str> = self.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        json!({
            "name": self.name, "issuer": self.issuer, "audiences": self.audiences, "kind": kind, "rules": rules,
            "algorithms": algorithms, "token_types": self.token_types, "authorized_parties": self.authorized_parties,
            "jwks_url": self.jwks_url.as_ref().map(Url::as_str), "cap_to_token": self.cap_to_token,
        })
    }

    /// What stands before every name it gives: users, groups, and a workload's subject.
    #[must_use]
    pub fn prefix(&self) -> String {
        match &self.kind {
            IssuerKind::People(people) => people.prefix.clone(),
            IssuerKind::Workload => default_prefix(&self.name),
        }
    }
}

/// What stands before an issuer's names where nothing else is said.
#[must_use]
pub fn default_prefix(name: &IssuerName) -> String {
    format!("{name}/")
}

/// Which names an issuer may give: its prefix, and the prefixes of others it must keep off.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
    others: Vec<String>,
}

impl Names {
    /// Of all the other issuers' prefixes, only one that begins with this issuer's own can be met by its names; for
    /// the issuer without a prefix, that is every other.
    pub fn new(prefix: String, others: impl IntoIterator<Item = String>) -> Self {
        let others = others.into_iter().filter(|other| other.starts_with(&prefix)).collect();
        Self { prefix, others }
    }

    /// The names of each issuer, in their order.
    pub(super) fn of(issuers: &[IssuerConfig]) -> Vec<Self> {
        let others = |own| issuers.iter().enumerate().filter(move |(i, _)| *i != own).map(|(_, other)| other.prefix());
        issuers.iter().enumerate().map(|(i, issuer)| Self::new(issuer.prefix(), others(i))).collect()
    }

    /// The name under which the allowlist knows what this issuer calls `name`; `None` where it is no name, or where
    /// another issuer's names begin like that.
    #[must_use]
    pub fn own(&self, name: &str) -> Option<Name> {
        Name::parse(name).ok()?;
        let full = Name::parse(&format!("{}{name}", self.prefix)).ok()?;
        let foreign = self.others.iter().any(|other| full.as_str().starts_with(other));
        (!foreign).then_some(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::testing::{people, workload},
        input::read,
    };
    use serde_json::json;

    #[test]
    fn a_rule_needs_claims_that_have_an_equality() {
        for (when, faults) in [
            (json!({"a": "x", "b": 1, "c": -1, "d": u64::MAX, "e": true}), &[][..]),
            (json!({}), &["/when"]),
            (
                json!({"a": "x", "b": null, "c": 1.5, "d": [1], "e/f": {}}),
                &["/when/b", "/when/c", "/when/d", "/when/e~1f"],
            ),
            (json!("x"), &["/when"]),
        ] {
            let rule = read::<ClaimRule>(json!({"when": when, "group": "g"}));
            let found = rule.map_or_else(|faults| faults.0, |_| Vec::new());
            assert_eq!(found.iter().map(|fault| &fault.pointer).collect::<Vec<_>>(), faults, "{when}");
        }
    }

    #[test]
    fn names_stay_apart() {
        let issuers = [
            people("corp", "https://login.example.com", ""),
            people("lab", "https://lab.example.com", "lab/"),
            people("inner", "https://inner.example.com", "lab/inner/"),
            workload("github", "https://token.example.com"),
            people("hub", "https://hub.example.com", "github/"),
        ];
        let names = Names::of(&issuers);
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
            // Two with one prefix, which the configuration refuses, give no name at all.
            (3, "deployers", None),
            (4, "deployers", None),
        ] {
            assert_eq!(names[issuer].own(name).as_ref().map(Name::as_str), full, "{issuer} {name:?}");
        }
    }
}
