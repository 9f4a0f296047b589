//! A role as somebody may have it now: by which of their grants, what it needs, how long, until when.

use crate::{
    allowlist::{Asker, Candidates, Limit, Offer, offers},
    model::{Account, BoundRole, Principal, Role, SessionDuration, Time},
};

/// A role that at least one grant offers.
#[derive(Clone, Debug)]
pub(in crate::http::portal) struct Offered {
    pub(in crate::http::portal) account: Account,
    pub(in crate::http::portal) role: Role,
    /// The longest session to be had, and what keeps it from being longer.
    pub(in crate::http::portal) longest: SessionDuration,
    pub(in crate::http::portal) limit: Limit,
    pub(in crate::http::portal) reason: Need,
    /// Every grant has a session policy of its own.
    pub(in crate::http::portal) narrowed: bool,
    /// When the last grant ends; `None` where one goes on.
    pub(in crate::http::portal) ends: Option<Time>,
    /// Whose grants they are.
    pub(in crate::http::portal) via: Vec<Principal>,
}

/// Whether a reason is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::portal) enum Need {
    No,
    Always,
    /// It opens a grant that gives more; without one there is so much.
    ForMore(SessionDuration),
}

impl Offered {
    /// `None` where no grant stands.
    pub(in crate::http::portal) fn of(c: &Candidates, asker: &Asker, chained: bool, now: Time) -> Option<Self> {
        let offers = offers(c, asker, chained, now);
        let (account, role) = c.role.as_ref()?;
        let best = offers.iter().max_by_key(|offer| offer.longest)?;
        let mut via: Vec<Principal> = offers.iter().map(|offer| offer.grant.principal.clone()).collect();
        via.sort();
        via.dedup();
        let ends = offers.iter().map(|offer| offer.grant.conditions.expires);
        Some(Self {
            account: account.clone(),
            role: role.clone(),
            longest: best.longest,
            limit: best.limit,
            reason: need(&offers),
            narrowed: offers.iter().all(is_narrowed),
            ends: ends.collect::<Option<Vec<Time>>>().and_then(|ends| ends.into_iter().max()),
            via,
        })
    }

    /// As people name it: `prod/ReadOnly`.
    pub(in crate::http::portal) fn name(&self) -> String {
        format!("{}/{}", self.account.label(), self.role.name)
    }

    /// Its own page. Neither an alias nor a role's name holds what a path would have to encode.
    pub(in crate::http::portal) fn to(&self) -> String {
        format!("/access/{}", self.name())
    }

    /// As the allowlist numbers it.
    pub(in crate::http::portal) fn place(&self) -> BoundRole {
        BoundRole { account: self.account.id.clone(), role: self.role.name.clone() }
    }

    pub(in crate::http::portal) fn is(&self, place: &BoundRole) -> bool {
        self.account.id == place.account && self.role.name == place.role
    }

    /// What it is for, cut where a list shows it.
    pub(in crate::http::portal) fn description(&self, length: usize) -> String {
        let text = self.role.description.as_deref().unwrap_or_default();
        match text.char_indices().nth(length) {
            Some((end, _)) => format!("{}…", text[..end].trim_end()),
            None => text.to_owned(),
        }
    }

    /// Whether there is anything to choose: without a choice it is an hour, or as much as there is.
    pub(in crate::http::portal) fn asks_duration(&self) -> bool {
        self.longest > SessionDuration::HOUR
    }

    /// What there is to choose from, in seconds.
    pub(in crate::http::portal) fn durations(&self) -> Vec<u32> {
        const USUAL: [u32; 7] = [900, 1800, 3600, 7200, 14_400, 28_800, 43_200];
        let longest = self.longest.seconds();
        let shorter = USUAL.into_iter().filter(|seconds| *seconds < longest);
        shorter.chain([longest]).collect()
    }
}

fn is_narrowed(offer: &Offer<'_>) -> bool {
    offer.grant.conditions.session_policy.is_some()
}

/// A reason is worth asking for where it opens a grant that is longer, or not narrowed, and no other is.
fn need(offers: &[Offer<'_>]) -> Need {
    let needs = |offer: &&Offer<'_>| offer.grant.conditions.require_reason;
    let free: Vec<_> = offers.iter().filter(|offer| !needs(offer)).collect();
    let asking: Vec<_> = offers.iter().filter(needs).collect();
    let Some(longest) = free.iter().map(|offer| offer.longest).max() else { return Need::Always };
    let longer = asking.iter().any(|offer| offer.longest > longest);
    let wider = free.iter().all(|offer| is_narrowed(offer)) && asking.iter().any(|offer| !is_narrowed(offer));
    if longer || wider { Need::ForMore(longest) } else { Need::No }
}

/// A span for people: `45 min`, `1 h`, `1 h 30 min`, with seconds where there are some.
pub(in crate::http::portal) fn span(seconds: u32) -> String {
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number} {unit}"));
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_people_say_them() {
        for (seconds, text) in [(900, "15 min"), (3600, "1 h"), (5400, "1 h 30 min"), (3661, "1 h 1 min 1 s")] {
            assert_eq!(span(seconds), text);
        }
    }
}
