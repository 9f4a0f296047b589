//! A small world to decide in: one role, one asker, and grants and blocks made in a word.

use super::super::*;
use crate::model::{AccountId, Conditions, IpNet, Origin, RoleName, RolePath, Tags};
use std::time::Duration;

pub(super) const ACCOUNT: &str = "111122223333";

#[derive(Debug)]
pub(super) struct World {
    pub(super) candidates: Candidates,
    pub(super) asker: Asker,
    pub(super) ask: Ask,
    pub(super) chained: bool,
}

impl World {
    /// Alice of group:dev, and a role of four hours.
    pub(super) fn with(grants: Vec<TestGrant>) -> Self {
        let account = Account {
            id: AccountId::parse(ACCOUNT).unwrap(),
            alias: None,
            name: None,
            external_id: None,
            tags: Tags::default(),
        };
        let role = Role {
            account_id: account.id.clone(),
            name: RoleName::parse("ReadOnly").unwrap(),
            path: RolePath::default(),
            description: None,
            max_duration: seconds(14_400),
            source_identity: true,
            session_tags: Tags::default(),
        };
        let grants = grants.into_iter().map(TestGrant::done).collect();
        Self {
            candidates: Candidates { revision: 17, role: Some((account, role)), grants, blocks: Vec::new() },
            asker: Asker {
                principal: principal("user:alice"),
                groups: vec![principal("group:all"), principal("group:dev")],
                address: None,
                session_ends: None,
                bound_to: None,
            },
            ask: Ask::default(),
            chained: false,
        }
    }

    pub(super) fn blocked(mut self, blocks: Vec<Block>) -> Self {
        self.candidates.blocks = blocks;
        self
    }

    pub(super) fn role_max(mut self, n: u64) -> Self {
        self.candidates.role.as_mut().unwrap().1.max_duration = seconds(n);
        self
    }

    pub(super) fn decide(&self) -> Result<Permit, Refusal> {
        decide(&self.candidates, &self.asker, &self.ask, self.chained, now())
    }
}

#[derive(Clone, Debug)]
pub(super) struct TestGrant(Grant);

/// A grant of the role to Alice, without conditions.
pub(super) fn grant(n: u32) -> TestGrant {
    TestGrant(Grant {
        id: id(n),
        origin: Origin::File,
        principal: principal("user:alice"),
        target: target("ReadOnly"),
        conditions: Conditions::default(),
        reason: None,
        created_by: principal("local:root"),
        created_at: now(),
    })
}

impl TestGrant {
    pub(super) fn done(self) -> Grant {
        self.0
    }

    pub(super) fn to(mut self, who: &str) -> Self {
        self.0.principal = principal(who);
        self
    }

    pub(super) fn on(mut self, role: &str) -> Self {
        self.0.target = target(role);
        self
    }

    pub(super) fn on_account(mut self, account: &str) -> Self {
        self.0.target = GrantTarget::Account(AccountId::parse(account).unwrap());
        self
    }

    pub(super) fn max(mut self, n: u64) -> Self {
        self.0.conditions.max_duration = Some(seconds(n));
        self
    }

    pub(super) fn reason(mut self) -> Self {
        self.0.conditions.require_reason = true;
        self
    }

    pub(super) fn expires_in(mut self, n: i64) -> Self {
        self.0.conditions.expires = Some(later(n));
        self
    }

    pub(super) fn from(mut self, range: &str) -> Self {
        self.0.conditions.source_ips.push(IpNet::parse(range).unwrap());
        self
    }

    pub(super) fn policy(mut self) -> Self {
        self.0.conditions.session_policy = Some(SessionPolicy::parse(r#"{"Statement":[{"Sid":"Fixed"}]}"#).unwrap());
        self
    }
}

pub(super) fn own_policy() -> SessionPolicy {
    SessionPolicy::parse(r#"{"Statement":[{"Sid":"Own"}]}"#).unwrap()
}

pub(super) fn block_on(who: &str) -> Block {
    block(BlockTarget::Principal(principal(who)))
}

pub(super) fn block_on_role() -> Block {
    let GrantTarget::Role(account, name) = target("ReadOnly") else { unreachable!("a role") };
    block(BlockTarget::Role(account, name))
}

pub(super) fn until(block: Block, n: i64) -> Block {
    Block { until: Some(later(n)), ..block }
}

fn block(target: BlockTarget) -> Block {
    Block {
        id: id(1000),
        target,
        reason: Reason::parse("INC-1").unwrap(),
        until: None,
        created_by: principal("user:root"),
        created_at: now(),
    }
}

pub(super) fn principal(text: &str) -> Principal {
    Principal::parse(text).unwrap()
}

fn target(role: &str) -> GrantTarget {
    GrantTarget::Role(AccountId::parse(ACCOUNT).unwrap(), RoleName::parse(role).unwrap())
}

pub(super) fn seconds(n: u64) -> SessionDuration {
    SessionDuration::from_seconds(n).unwrap()
}

pub(super) fn now() -> Time {
    Time::parse("2026-07-01T12:00:00Z").unwrap()
}

pub(super) fn later(n: i64) -> Time {
    let by = Duration::from_secs(n.unsigned_abs());
    if n < 0 { now().minus(by) } else { now().plus(by) }
}

pub(super) fn id(n: u32) -> GrantId {
    GrantId::parse(&format!("00000000-0000-7000-8000-{n:012}")).unwrap()
}

pub(super) fn number(id: &GrantId) -> u32 {
    id.as_str()[24..].parse().unwrap()
}
