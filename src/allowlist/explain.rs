//! Why: every condition that fails, in words for the person who asked.

use super::decide::{Ask, Asker, Candidates, Case, Limit, Refusal, decide};
use crate::model::{Block, BlockTarget, BoundRole, Grant, GrantId, Principal, SessionDuration, Time};
use serde::Serialize;

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The API token is bound to other roles.
    TokenRoles,
    /// A block is in force.
    Blocked,
    /// The request names another grant, or one that is not the caller's.
    GrantId,
    /// The grant is over.
    Expired,
    /// The address lies in none of the grant's `source_ips`.
    SourceIp,
    /// The grant requires a reason.
    ReasonRequired,
    /// The session asked for is not to be had.
    DurationTooLong,
    /// The grant has a session policy of its own.
    SessionPolicyFixed,
}

/// One failing condition of one of the asker's own grants, or a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Failing {
    /// The grant; `None` where it is no single grant's: a token's bounds, a block, or a name for none.
    pub grant_id: Option<GrantId>,
    /// Which condition.
    pub condition: Condition,
    /// A sentence.
    pub detail: String,
}

/// Whether it would be allowed, by which grant, and what fails: the answer of `/v1/explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    /// Whether the same request would be permitted now.
    pub allowed: bool,
    /// The grant that a permit would rest on.
    pub grant_id: Option<GrantId>,
    /// The principal of that grant.
    pub via: Option<Principal>,
    /// How long the session would last.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    pub duration: Option<SessionDuration>,
    /// What would shorten it.
    pub clamped_by: Option<Limit>,
    /// The allowlist's revision this was decided on.
    pub allowlist_revision: u64,
    /// What an API token is bound to and blocks first, then every failing condition of every grant that the asker has for
    /// the role, by grant. A grant of theirs that does not appear here would do. Empty where they have none, or where there
    /// is no such role, and no token is bound to others.
    pub reasons: Vec<Failing>,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the shape serde calls")]
fn seconds<S: serde::Serializer>(duration: &Option<SessionDuration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(SessionDuration::seconds).serialize(serializer)
}

/// Decides as [`decide`] does, and says of every grant of the asker's what fails.
pub fn explain(c: &Candidates, asker: &Asker, ask: &Ask, chained: bool, now: Time) -> Explanation {
    let permit = decide(c, asker, ask, chained, now).ok();
    let reasons = Case { c, asker, ask, chained, now }.failing(true);
    Explanation {
        allowed: permit.is_some(),
        duration: permit.as_ref().map(|permit| permit.duration),
        clamped_by: permit.as_ref().and_then(|permit| permit.clamped_by),
        allowlist_revision: c.revision,
        reasons,
        grant_id: permit.as_ref().map(|permit| permit.grant_id.clone()),
        via: permit.map(|permit| permit.via),
    }
}

impl Case<'_> {
    /// The refusal that names what keeps each grant from standing.
    pub(super) fn not_allowed(self) -> Refusal {
        let mut reasons = self.failing(false);
        reasons.truncate(Refusal::MAX_REASONS);
        Refusal::NotAllowed(reasons)
    }

    /// What fails; `all`: also what only this request falls short of, and grants it did not name.
    fn failing(self, all: bool) -> Vec<Failing> {
        let mut own: Vec<&Grant> = self.own().collect();
        // Said of every role outside the bounds, whether there is one of that name or not.
        let mut reasons: Vec<Failing> = self.other_bounds().map(bound).into_iter().collect();
        // No word about a block where there is no grant: it would tell that the role exists.
        if own.is_empty() {
            return reasons;
        }
        own.sort_by_key(|grant| &grant.id);
        reasons.extend(self.blocks().map(blocked));
        if !own.iter().any(|grant| self.is_named(grant)) {
            let detail = "no grant of the caller's for this role has the id that was asked for".to_owned();
            reasons.push(Failing { grant_id: None, condition: Condition::GrantId, detail });
        }
        for grant in own.into_iter().filter(|grant| all || self.is_named(grant)) {
            let mut add = |condition, detail: String| {
                reasons.push(Failing { grant_id: Some(grant.id.clone()), condition, detail });
            };
            if !self.is_named(grant) {
                add(Condition::GrantId, "another grant was asked for".to_owned());
            }
            if let Some(expires) = grant.conditions.expires.filter(|_| self.is_expired(grant)) {
                add(Condition::Expired, format!("the grant expired at {expires}"));
            }
            if self.is_elsewhere(grant) {
                add(Condition::SourceIp, self.elsewhere());
            }
            if let Some(short) = self.terms(grant).err().filter(|_| all) {
                let id = || grant.id.clone();
                if short.reason {
                    add(Condition::ReasonRequired, Refusal::ReasonRequired { grant_id: id() }.to_string());
                }
                // An expired grant has no time left: said once is enough.
                if let Some((limit, seconds)) = short.duration.filter(|_| !self.is_expired(grant)) {
                    add(Condition::DurationTooLong, limit.sentence(seconds));
                }
                if short.policy {
                    add(Condition::SessionPolicyFixed, Refusal::SessionPolicyFixed { grant_id: id() }.to_string());
                }
            }
        }
        reasons
    }

    fn elsewhere(self) -> String {
        match self.asker.address {
            Some(address) => format!("the address {} lies in none of the grant's ranges", address.to_canonical()),
            None => "the grant is bound to addresses, and the caller's is not known".to_owned(),
        }
    }
}

fn bound(roles: &[BoundRole]) -> Failing {
    let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
    let detail = format!("the API token is good for {} alone", roles.join(", "));
    Failing { grant_id: None, condition: Condition::TokenRoles, detail }
}

fn blocked(block: &Block) -> Failing {
    let what = match &block.target {
        BlockTarget::Principal(principal) => principal.to_string(),
        BlockTarget::Role(..) => "the role".to_owned(),
    };
    let detail = match block.until {
        Some(until) => format!("{what} is blocked until {until}"),
        None => format!("{what} is blocked"),
    };
    Failing { grant_id: None, condition: Condition::Blocked, detail }
}
