//! The decision: one grant, whose conditions all hold, or a refusal that says what is missing.
//!
//! The rules, in the order in which they are asked (contract §3):
//! 1. A grant counts only where it is the caller's own, through the user or any group, and reaches the role. Where there
//!    is none, the refusal is the same as for a role that does not exist, whatever else is wrong.
//! 2. A block in force refuses, whatever any grant says; so does an API token that is bound to other roles, whether there
//!    is such a role or not.
//! 3. A grant *stands* where it has not expired (at `expires` it has), where the address lies in its ranges, and, where
//!    the request names a grant, where it is that one. Where none stands, the refusal names what fails.
//! 4. Of those that stand, the ones this request falls short of (reason, duration, policy) drop out. Of the rest the one
//!    without a session policy of its own goes first, then the longest `max_duration` (none is the longest), then the
//!    lowest id. Nothing is combined from two.
//! 5. Where all drop out, the nearest miss is named: see [`Case::nearest_miss`].

use super::explain::Failing;
use crate::model::{
    Account, Block, BlockTarget, BoundRole, Grant, GrantId, GrantTarget, Principal, Reason, Role, SessionDuration,
    SessionPolicy, Time,
};
use std::{cmp::Reverse, net::IpAddr, time::Duration};

/// What the store loads for one asker and one role: everything a decision needs, as of `revision`.
///
/// The decision checks again that each grant is the asker's and reaches the role, and that each block concerns them: a
/// row too many decides nothing.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// The allowlist's revision they were read at.
    pub revision: u64,
    /// The role, with its account; `None` where the allowlist has none.
    pub role: Option<(Account, Role)>,
    /// The grants to any of the asker's principals that reach the role.
    pub grants: Vec<Grant>,
    /// The blocks on the role, or on any of the asker's principals.
    pub blocks: Vec<Block>,
}

/// Who asks, as far as a decision needs it.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The user or workload.
    pub principal: Principal,
    /// The groups its issuer says it belongs to.
    pub groups: Vec<Principal>,
    /// The client's address; `None` where it could not be made out, which lies in no range.
    pub address: Option<IpAddr>,
    /// A token's end that no session may outlive: an API token's, or a JWT's where its issuer says `cap_to_token`.
    pub session_ends: Option<Time>,
    /// The only roles that the asker's API token is good for; any where absent.
    pub bound_to: Option<Vec<BoundRole>>,
}

impl Asker {
    /// The principal, then its groups: whatever a grant or a block may name.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        std::iter::once(&self.principal).chain(&self.groups)
    }

    fn is(&self, principal: &Principal) -> bool {
        self.principals().any(|own| own == principal)
    }
}

/// What is asked, beside the role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ask {
    /// How long; an hour, or less, where nothing is asked.
    pub duration: Option<SessionDuration>,
    /// Why. A blank reason has no value here: it is none.
    pub reason: Option<Reason>,
    /// A policy of the caller's own, to narrow the session.
    pub session_policy: Option<SessionPolicy>,
    /// The one grant that the permit shall rest on.
    pub grant_id: Option<GrantId>,
    /// How long after this moment the session may still begin: a console link is good for a while, and a session that it
    /// opens at last must not outlive the grant either. Chained credentials end the session with them.
    pub begins_within: Duration,
}

/// Yes: by this grant, through this principal, for so long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// The one grant it rests on.
    pub grant_id: GrantId,
    /// The principal of that grant: the caller, or one of the groups.
    pub via: Principal,
    /// How long the session lasts.
    pub duration: SessionDuration,
    /// What shortened it, where nothing was asked and the hour was not to be had.
    pub clamped_by: Option<Limit>,
    /// The grant's own, else the caller's.
    pub session_policy: Option<SessionPolicy>,
}

/// What keeps a session short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// The grant's `max_duration`.
    Grant,
    /// The time left until the grant's `expires`.
    GrantExpiry,
    /// The role's `max_duration`.
    Role,
    /// The time left until the token's end.
    Token,
    /// AWS's hour for a role that is assumed from a role.
    RoleChaining,
}

impl Limit {
    /// As answers and audit rows name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::GrantExpiry => "grant_expiry",
            Self::Role => "role",
            Self::Token => "token",
            Self::RoleChaining => "role_chaining",
        }
    }

    /// A sentence that says how long a session this limit allows now.
    #[must_use]
    pub fn sentence(self, seconds: i64) -> String {
        let allows = match self {
            Self::Grant => "the grant allows at most",
            Self::GrantExpiry => "the grant expires in",
            Self::Role => "the role allows at most",
            Self::Token => "the token it is asked with ends in",
            Self::RoleChaining => "the broker itself runs on a role, and AWS then allows at most",
        };
        if seconds < i64::from(SessionDuration::MIN.seconds()) {
            format!("{allows} {seconds} seconds, and AWS makes no session under 900")
        } else {
            format!("{allows} {seconds} seconds")
        }
    }
}

impl serde::Serialize for Limit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// No, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No grant stands, or there is no such role: the two are not told apart. Names what fails in the caller's own
    /// grants, at most [`Refusal::MAX_REASONS`] of it; empty where they have none for the role.
    #[error("no grant of the caller's allows this role now, or there is no such role")]
    NotAllowed(Vec<Failing>),
    /// So long a session is not to be had; or none at all, where the limit is under 900 s.
    #[error("{}", limit.sentence(*seconds))]
    DurationTooLong {
        /// The smallest of the limits; of two of one size the first in the order of [`Limit`].
        limit: Limit,
        /// Its size now, in seconds; never negative.
        seconds: i64,
    },
    /// The grant wants a reason.
    #[error("the grant requires a reason, and none was given")]
    ReasonRequired {
        /// The grant.
        grant_id: GrantId,
    },
    /// The grant has a session policy of its own, and AWS cannot intersect two.
    #[error("the grant has a session policy of its own: ask without one")]
    SessionPolicyFixed {
        /// The grant.
        grant_id: GrantId,
    },
}

impl Refusal {
    /// No refusal lists more: it goes into an answer and an audit row. [`super::explain()`] lists all.
    pub const MAX_REASONS: usize = 50;
}

/// A grant of the caller's that stands now, and the longest session it can give: what `GET /v1/roles` tells.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The grant, with what a request must bring.
    pub grant: &'a Grant,
    /// The longest session to be had through it now.
    pub longest: SessionDuration,
    /// What keeps it from being longer.
    pub limit: Limit,
}

/// Decides, at this moment. `chained`: the broker itself runs on a role, so AWS gives an hour at most.
///
/// Allocates nothing but what the answer holds.
pub fn decide(c: &Candidates, asker: &Asker, ask: &Ask, chained: bool, now: Time) -> Result<Permit, Refusal> {
    let case = Case { c, asker, ask, chained, now };
    if case.is_refused() {
        return Err(case.not_allowed());
    }
    let best = case
        .standing()
        .filter_map(|grant| Some((grant, case.terms(grant).ok()?)))
        .min_by_key(|(grant, _)| preference(grant));
    match best {
        Some((grant, (duration, clamped_by))) => Ok(Permit {
            grant_id: grant.id.clone(),
            via: grant.principal.clone(),
            duration,
            clamped_by,
            session_policy: grant.conditions.session_policy.as_ref().or(ask.session_policy.as_ref()).cloned(),
        }),
        None => Err(case.nearest_miss().unwrap_or_else(|| case.not_allowed())),
    }
}

/// Whether the asker still has this grant for the role, wherever they ask from and whatever: it is there and not over, and
/// no block is in force.
pub fn still_has(c: &Candidates, asker: &Asker, grant: &GrantId, now: Time) -> bool {
    let case = Case { c, asker, ask: &NOTHING, chained: false, now };
    case.blocks().next().is_none() && case.own().any(|own| own.id == *grant && !case.is_expired(own))
}

static NOTHING: Ask =
    Ask { duration: None, reason: None, session_policy: None, grant_id: None, begins_within: Duration::ZERO };

/// The grants through which the asker could have the role now, in the order in which they would be taken: none where a
/// block is in force, or where the asker's API token is bound to other roles.
pub fn offers<'a>(c: &'a Candidates, asker: &'a Asker, chained: bool, now: Time) -> Vec<Offer<'a>> {
    let case = Case { c, asker, ask: &NOTHING, chained, now };
    if case.is_refused() {
        return Vec::new();
    }
    let mut standing: Vec<&Grant> = case.standing().collect();
    standing.sort_by_key(|grant| preference(grant));
    let offer = |grant| {
        let (limit, seconds) = case.limit(grant);
        let longest = session(seconds.min(SessionDuration::MAX.seconds().into()))?;
        Some(Offer { grant, longest, limit })
    };
    standing.into_iter().filter_map(offer).collect()
}

/// How long, and what shortened it.
type Terms = (SessionDuration, Option<Limit>);

/// By which of the three a request falls short of a grant that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shortfall {
    pub(super) reason: bool,
    pub(super) duration: Option<(Limit, i64)>,
    pub(super) policy: bool,
}

/// One question with all it depends on.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) c: &'a Candidates,
    pub(super) asker: &'a Asker,
    pub(super) ask: &'a Ask,
    pub(super) chained: bool,
    pub(super) now: Time,
}

impl<'a> Case<'a> {
    /// The asker's own grants that reach the role.
    pub(super) fn own(self) -> impl Iterator<Item = &'a Grant> {
        let role = self.c.role.as_ref().map(|(_, role)| role);
        self.c.grants.iter().filter(move |grant| {
            role.is_some_and(|role| reaches(&grant.target, role)) && self.asker.is(&grant.principal)
        })
    }

    /// The blocks in force: a block is over at its `until`.
    pub(super) fn blocks(self) -> impl Iterator<Item = &'a Block> {
        let role = self.c.role.as_ref().map(|(_, role)| role);
        self.c.blocks.iter().filter(move |block| {
            let concerns = match &block.target {
                BlockTarget::Principal(principal) => self.asker.is(principal),
                BlockTarget::Role(account, name) => {
                    role.is_some_and(|role| role.account_id == *account && role.name == *name)
                }
            };
            concerns && block.until.is_none_or(|until| self.now < until)
        })
    }

    /// Whatever any grant says.
    fn is_refused(self) -> bool {
        self.blocks().next().is_some() || self.other_bounds().is_some()
    }

    /// The roles that the asker's API token is bound to, where this is none of them.
    pub(super) fn other_bounds(self) -> Option<&'a [BoundRole]> {
        let bounds = self.asker.bound_to.as_deref()?;
        let role = self.c.role.as_ref().map(|(_, role)| role);
        let this =
            |bound: &BoundRole| role.is_some_and(|role| role.account_id == bound.account && role.name == bound.role);
        (!bounds.iter().any(this)).then_some(bounds)
    }

    fn standing(self) -> impl Iterator<Item = &'a Grant> {
        self.own().filter(move |grant| self.stands(grant))
    }

    fn stands(self, grant: &Grant) -> bool {
        self.is_named(grant) && !self.is_expired(grant) && !self.is_elsewhere(grant)
    }

    /// Whether the request named this grant, or none.
    pub(super) fn is_named(self, grant: &Grant) -> bool {
        self.ask.grant_id.as_ref().is_none_or(|named| *named == grant.id)
    }

    /// Whether the grant is over: exactly at `expires` it is.
    pub(super) fn is_expired(self, grant: &Grant) -> bool {
        grant.conditions.expires.is_some_and(|expires| expires <= self.now)
    }

    /// Whether the grant has ranges and the address lies in none of them.
    pub(super) fn is_elsewhere(self, grant: &Grant) -> bool {
        let ranges = &grant.conditions.source_ips;
        let inside = |address| ranges.iter().any(|range| range.contains(address));
        !ranges.is_empty() && !self.asker.address.is_some_and(inside)
    }

    /// The smallest limit on a session through this grant, and its size now.
    fn limit(self, grant: &Grant) -> (Limit, i64) {
        let seconds = |duration: SessionDuration| i64::from(duration.seconds());
        let last_begin = if self.chained { self.now } else { self.now.plus(self.ask.begins_within) };
        let left = |end: Time| last_begin.seconds_until(end).max(0);
        let role = self.c.role.as_ref().map_or(SessionDuration::MAX, |(_, role)| role.max_duration);
        let conditions = &grant.conditions;
        let smallest = [
            (Limit::Grant, conditions.max_duration.map(seconds)),
            (Limit::GrantExpiry, conditions.expires.map(left)),
            (Limit::Role, Some(seconds(role))),
            (Limit::Token, self.asker.session_ends.map(left)),
            (Limit::RoleChaining, self.chained.then_some(seconds(SessionDuration::HOUR))),
        ]
        .into_iter()
        .filter_map(|(limit, size)| Some((limit, size?)))
        .min_by_key(|(_, size)| *size);
        smallest.unwrap_or((Limit::Role, seconds(role)))
    }

    /// What this request gets through a grant that stands, or by what it falls short.
    pub(super) fn terms(self, grant: &Grant) -> Result<Terms, Shortfall> {
        let (limit, seconds) = self.limit(grant);
        let wanted = self.ask.duration.unwrap_or(SessionDuration::HOUR);
        let duration = if i64::from(wanted.seconds()) <= seconds {
            Some((wanted, None))
        } else if self.ask.duration.is_none() {
            session(seconds).map(|shortened| (shortened, Some(limit)))
        } else {
            None
        };
        let reason = grant.conditions.require_reason && self.ask.reason.is_none();
        let policy = grant.conditions.session_policy.is_some() && self.ask.session_policy.is_some();
        match duration {
            Some(terms) if !reason && !policy => Ok(terms),
            Some(_) => Err(Shortfall { reason, duration: None, policy }),
            None => Err(Shortfall { reason, duration: Some((limit, seconds)), policy }),
        }
    }

    /// What the request lacks for the grant it comes closest to; `None` where no grant stands.
    ///
    /// First of all come grants that can give a session at all, for a request put right can have one of them. Then the
    /// fewest shortfalls; then a missing reason before too long a duration before a policy too many, which is what costs
    /// the asker least; then, of durations, the longest that is to be had; then the order in which grants are taken. Of
    /// the grant so found the first shortfall in that same order is named; no session at all comes before all others.
    fn nearest_miss(self) -> Option<Refusal> {
        let (grant, short) = self
            .standing()
            .filter_map(|grant| Some((grant, self.terms(grant).err()?)))
            .min_by_key(|(grant, short)| (short.distance(), preference(grant)))?;
        Some(match short.duration {
            Some((limit, seconds)) if !short.reason || session(seconds).is_none() => {
                Refusal::DurationTooLong { limit, seconds }
            }
            _ if short.reason => Refusal::ReasonRequired { grant_id: grant.id.clone() },
            _ => Refusal::SessionPolicyFixed { grant_id: grant.id.clone() },
        })
    }
}

impl Shortfall {
    fn distance(self) -> (bool, u8, u8, Reverse<i64>) {
        let size = self.duration.map_or(0, |(_, seconds)| seconds);
        let impossible = self.duration.is_some() && session(size).is_none();
        let count = u8::from(self.reason) + u8::from(self.duration.is_some()) + u8::from(self.policy);
        let first = match self {
            Self { reason: true, .. } => 0,
            Self { duration: Some(_), .. } => 1,
            _ => 2,
        };
        (impossible, count, first, Reverse(size))
    }
}

/// The order in which grants that would all do are taken: the least first.
fn preference(grant: &Grant) -> (bool, Reverse<u32>, &GrantId) {
    let longest = grant.conditions.max_duration.map_or(u32::MAX, SessionDuration::seconds);
    (grant.conditions.session_policy.is_some(), Reverse(longest), &grant.id)
}

fn reaches(target: &GrantTarget, role: &Role) -> bool {
    match target {
        GrantTarget::Role(account, name) => *account == role.account_id && *name == role.name,
        GrantTarget::Account(account) => *account == role.account_id,
    }
}

fn session(seconds: i64) -> Option<SessionDuration> {
    u64::try_from(seconds).ok().and_then(|seconds| SessionDuration::from_seconds(seconds).ok())
}

#[cfg(test)]
pub(super) mod tests;
