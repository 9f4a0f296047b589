use super::{
    Caller,
    error::AuthFault,
    issuer::{IssuerConfig, IssuerKind, Names},
};
use crate::{
    audit::{Auth, AuthMethod},
    model::{Name, Principal, Time},
};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, time::Duration};

/// How far the clocks of an issuer and of Hallpass may be apart.
const LEEWAY: Duration = Duration::from_mins(1);

/// More groups than this are refused, not cut: what is cut off could be a group that is blocked.
const MAX_GROUPS: usize = 1000;

/// The claims of a token whose signature is good. Made by `UnverifiedJwt::verify` alone.
pub(super) struct Claims(Map<String, Value>);

/// When a token holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    expires_at: Time,
    not_before: Option<Time>,
    issued_at: Option<Time>,
    pub(super) signed_in_at: Option<Time>,
}

impl Times {
    /// Asked anew at each use of a token, cached or not.
    pub(super) fn check(&self, now: Time) -> Result<(), AuthFault> {
        if now >= self.expires_at.plus(LEEWAY) {
            return Err(AuthFault::Expired);
        }
        let latest = now.plus(LEEWAY);
        if self.not_before.is_some_and(|time| time > latest) {
            return Err(AuthFault::Invalid("its nbf is not reached yet"));
        }
        if self.issued_at.is_some_and(|time| time > latest) {
            return Err(AuthFault::Invalid("its iat lies in the future"));
        }
        if self.signed_in_at.is_some_and(|time| time > latest) {
            return Err(AuthFault::Invalid("its auth_time lies in the future"));
        }
        Ok(())
    }
}

impl Claims {
    pub(super) fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// `exp` must be there; `nbf`, `iat` and `auth_time` may.
    pub(super) fn times(&self) -> Result<Times, AuthFault> {
        Ok(Times {
            expires_at: self.time("exp", "its exp is not a time")?.ok_or(AuthFault::Invalid("it has no exp"))?,
            not_before: self.time("nbf", "its nbf is not a time")?,
            issued_at: self.time("iat", "its iat is not a time")?,
            signed_in_at: self.time("auth_time", "its auth_time is not a time")?,
        })
    }

    /// `aud` and `azp`: whether the token was made for Hallpass, and asked for by a client that may.
    pub(super) fn check_audience(&self, issuer: &IssuerConfig) -> Result<(), AuthFault> {
        let audiences = self.audiences()?;
        if !issuer.audiences.iter().any(|own| audiences.contains(own.as_str())) {
            return Err(AuthFault::Invalid("its aud does not name Hallpass"));
        }
        let party = self.text("azp", "its azp is not a string")?;
        let authorized = party.is_some_and(|party| issuer.authorized_parties.iter().any(|own| own == party));
        if audiences.len() > 1 && !authorized {
            return Err(AuthFault::Invalid("it has several audiences, and its azp is not an authorized party"));
        }
        if party.is_some() && !issuer.authorized_parties.is_empty() && !authorized {
            return Err(AuthFault::Invalid("its azp is not an authorized party"));
        }
        Ok(())
    }

    /// Whether it is an ID token that was made for this client (OpenID Connect Core 1.0, §3.1.3.7), and in answer to this
    /// nonce where one was sent.
    pub(super) fn check_client(&self, client_id: &str, nonce: Option<&str>) -> Result<(), AuthFault> {
        let audiences = self.audiences()?;
        if !audiences.contains(client_id) {
            return Err(AuthFault::Invalid("its aud does not name the portal's client"));
        }
        let party = self.text("azp", "its azp is not a string")?;
        if party.is_some_and(|party| party != client_id) || (audiences.len() > 1 && party.is_none()) {
            return Err(AuthFault::Invalid("its azp is not the portal's client"));
        }
        match nonce {
            Some(nonce) if self.text("nonce", "its nonce is not a string")? != Some(nonce) => {
                Err(AuthFault::Invalid("its nonce is not the one that was sent"))
            }
            _ => Ok(()),
        }
    }

    fn audiences(&self) -> Result<BTreeSet<&str>, AuthFault> {
        const NO_AUDIENCE: AuthFault = AuthFault::Invalid("its aud is neither a string nor a list of strings");
        match self.0.get("aud") {
            None => Err(AuthFault::Invalid("it has no aud")),
            Some(Value::String(one)) => Ok([one.as_str()].into()),
            Some(Value::Array(all)) => all.iter().map(Value::as_str).collect::<Option<_>>().ok_or(NO_AUDIENCE),
            Some(_) => Err(NO_AUDIENCE),
        }
    }

    /// Who the bearer is.
    pub(super) fn caller(&self, issuer: &IssuerConfig, names: &Names, times: &Times) -> Result<Caller, AuthFault> {
        let subject = self.name("sub", "its sub is not a name")?;
        let (principal, mut groups) = match &issuer.kind {
            IssuerKind::Workload => {
                let subject = subject.clone().ok_or(AuthFault::Invalid("it has no sub"))?;
                (Principal::workload(&issuer.name, subject), BTreeSet::new())
            }
            IssuerKind::People(people) => {
                if people.principal_claim == "email"
                    && !people.trust_unverified_email
                    && self.0.get("email_verified") != Some(&Value::Bool(true))
                {
                    return Err(AuthFault::Invalid("it does not say email_verified: true"));
                }
                let user = self
                    .text(&people.principal_claim, "the claim that names its user is not a string")?
                    .ok_or(AuthFault::Invalid("the claim that names its user is missing"))?;
                let user = names
                    .own(user)
                    .ok_or(AuthFault::Invalid("its user is no name, or one that is another issuer's to give"))?;
                (Principal::User(user), self.groups(people.groups_claim.as_deref(), names)?)
            }
        };
        for rule in &issuer.rules {
            if rule.when.hold_in(&self.0) {
                groups.extend(names.own(rule.group.as_str()).map(Principal::Group));
            }
        }
        Ok(Caller {
            principal,
            groups: groups.into_iter().collect(),
            auth: Auth {
                method: AuthMethod::Jwt,
                issuer: Some(issuer.name.to_string()),
                subject: subject.map(|name| name.to_string()),
                token_id: self.name("jti", "its jti is not a name")?.map(|name| name.to_string()),
            },
            token: None,
            expires_at: times.expires_at,
            session_ends: issuer.cap_to_token.then_some(times.expires_at),
            authenticated_at: times.signed_in_at.or(times.issued_at),
        })
    }

    /// A group whose name is none, or is another issuer's to give, is left out: it could be neither granted nor
    /// blocked, and whoever names groups in the directory must not be able to lock its members out.
    fn groups(&self, claim: Option<&str>, names: &Names) -> Result<BTreeSet<Principal>, AuthFault> {
        const NO_GROUPS: AuthFault = AuthFault::Invalid("its groups are neither a string nor a list of strings");
        let given: Vec<&str> = match claim.and_then(|claim| self.0.get(claim)) {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().map(Value::as_str).collect::<Option<_>>().ok_or(NO_GROUPS)?,
            Some(_) => return Err(NO_GROUPS),
        };
        if given.len() > MAX_GROUPS {
            return Err(AuthFault::Invalid(
                "it has more than 1000 groups; let its issuer send only those for Hallpass",
            ));
        }
        Ok(given.into_iter().filter_map(|name| names.own(name)).map(Principal::Group).collect())
    }

    fn text(&self, claim: &str, fault: &'static str) -> Result<Option<&str>, AuthFault> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(AuthFault::Invalid(fault)),
        }
    }

    fn name(&self, claim: &str, fault: &'static str) -> Result<Option<Name>, AuthFault> {
        let text = self.text(claim, fault)?;
        text.map(Name::parse).transpose().map_err(|_| AuthFault::Invalid(fault))
    }

    /// RFC 7519, §2: seconds since 1970, possibly with a fraction, which is cut off.
    fn time(&self, claim: &str, fault: &'static str) -> Result<Option<Time>, AuthFault> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(value) => {
                let seconds = value.as_i64().or_else(|| {
                    let floored = Duration::try_from_secs_f64(value.as_f64()?.floor()).ok()?;
                    i64::try_from(floored.as_secs()).ok()
                });
                seconds.and_then(Time::from_seconds).map(Some).ok_or(AuthFault::Invalid(fault))
            }
        }
    }
}
