//! Rows as they lie in the tables, and how they become the model's types again.

use super::StoreError;
use crate::model::{
    Account, AccountId, Alias, Block, BlockTarget, Conditions, ExternalId, Grant, GrantId, GrantTarget, IpNet, Origin,
    Principal, Reason, Role, RoleName, RolePath, SessionDuration, SessionPolicy, Tags, Time,
};
use serde::{Deserialize, Deserializer, de::Error};
use sqlx::FromRow;
use std::{collections::BTreeMap, fmt::Display};

/// Names the table a row could not be read from.
pub(super) fn corrupt<E: Display>(table: &'static str) -> impl Fn(E) -> StoreError {
    move |error| StoreError::Corrupt { table, problem: error.to_string() }
}

pub(super) fn time(table: &'static str, micros: i64) -> Result<Time, StoreError> {
    Time::from_micros(micros).ok_or_else(|| corrupt(table)("a time out of range"))
}

fn duration(table: &'static str, seconds: i64) -> Result<SessionDuration, StoreError> {
    SessionDuration::from_seconds(seconds.unsigned_abs()).map_err(corrupt(table))
}

fn tags(table: &'static str, json: &str) -> Result<Tags, StoreError> {
    let tags: BTreeMap<String, String> = serde_json::from_str(json).map_err(corrupt(table))?;
    Tags::new(tags).map_err(corrupt(table))
}

/// SQLite's JSON has 0 and 1 for them.
fn flag<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    match serde_json::Value::deserialize(value)? {
        serde_json::Value::Bool(flag) => Ok(flag),
        serde_json::Value::Number(number) => Ok(number.as_i64() != Some(0)),
        _ => Err(D::Error::custom("neither true nor false")),
    }
}

#[derive(FromRow, Deserialize)]
pub(super) struct AccountRow {
    id: String,
    alias: Option<String>,
    account_name: Option<String>,
    external_id: Option<String>,
    tags: String,
}

impl AccountRow {
    pub(super) const VALUES: &'static str = "a.id, a.alias, a.name, a.external_id, a.tags";
    pub(super) const COLUMNS: &'static str = "a.id, a.alias, a.name AS account_name, a.external_id, a.tags";

    pub(super) fn read(self) -> Result<Account, StoreError> {
        let corrupt = corrupt("accounts");
        Ok(Account {
            id: AccountId::parse(&self.id).map_err(&corrupt)?,
            alias: self.alias.as_deref().map(Alias::parse).transpose().map_err(&corrupt)?,
            name: self.account_name,
            external_id: self.external_id.as_deref().map(ExternalId::parse).transpose().map_err(&corrupt)?,
            tags: tags("accounts", &self.tags)?,
        })
    }
}

#[derive(FromRow, Deserialize)]
pub(super) struct RoleRow {
    account_id: String,
    name: String,
    path: String,
    description: Option<String>,
    max_duration_seconds: i64,
    #[serde(deserialize_with = "flag")]
    source_identity: bool,
    session_tags: String,
}

impl RoleRow {
    pub(super) const COLUMNS: &'static str =
        "r.account_id, r.name, r.path, r.description, r.max_duration_seconds, r.source_identity, r.session_tags";

    pub(super) fn read(self) -> Result<Role, StoreError> {
        let corrupt = corrupt("roles");
        Ok(Role {
            account_id: AccountId::parse(&self.account_id).map_err(&corrupt)?,
            name: RoleName::parse(&self.name).map_err(&corrupt)?,
            path: RolePath::parse(&self.path).map_err(&corrupt)?,
            description: self.description,
            max_duration: duration("roles", self.max_duration_seconds)?,
            source_identity: self.source_identity,
            session_tags: tags("roles", &self.session_tags)?,
        })
    }
}

#[derive(FromRow, Deserialize)]
pub(super) struct GrantRow {
    id: String,
    origin: String,
    principal: String,
    account_id: String,
    role_name: Option<String>,
    max_duration_seconds: Option<i64>,
    #[serde(deserialize_with = "flag")]
    require_reason: bool,
    expires_at: Option<i64>,
    source_ips: String,
    session_policy: Option<String>,
    reason: Option<String>,
    created_by: String,
    created_at: i64,
}

impl GrantRow {
    pub(super) const COLUMNS: &'static str = "g.id, g.origin, g.principal, g.account_id, g.role_name, \
         g.max_duration_seconds, g.require_reason, g.expires_at, g.source_ips, g.session_policy, g.reason, \
         g.created_by, g.created_at";

    pub(super) fn read(self) -> Result<Grant, StoreError> {
        let corrupt = corrupt("grants");
        let account = AccountId::parse(&self.account_id).map_err(&corrupt)?;
        let source_ips: Vec<String> = serde_json::from_str(&self.source_ips).map_err(self::corrupt("grants"))?;
        Ok(Grant {
            id: GrantId::parse(&self.id).map_err(&corrupt)?,
            origin: if self.origin == "file" { Origin::File } else { Origin::Api },
            principal: Principal::parse(&self.principal).map_err(&corrupt)?,
            target: match self.role_name {
                Some(name) => GrantTarget::Role(account, RoleName::parse(&name).map_err(&corrupt)?),
                None => GrantTarget::Account(account),
            },
            conditions: Conditions {
                max_duration: self.max_duration_seconds.map(|s| duration("grants", s)).transpose()?,
                require_reason: self.require_reason,
                expires: self.expires_at.map(|t| time("grants", t)).transpose()?,
                source_ips: source_ips
                    .iter()
                    .map(|net| IpNet::parse(net))
                    .collect::<Result<_, _>>()
                    .map_err(&corrupt)?,
                session_policy: self
                    .session_policy
                    .as_deref()
                    .map(SessionPolicy::parse)
                    .transpose()
                    .map_err(self::corrupt("grants"))?,
            },
            reason: self.reason.as_deref().map(Reason::parse).transpose().map_err(&corrupt)?,
            created_by: Principal::parse(&self.created_by).map_err(&corrupt)?,
            created_at: time("grants", self.created_at)?,
        })
    }
}

#[derive(FromRow, Deserialize)]
pub(super) struct BlockRow {
    id: String,
    principal: Option<String>,
    account_id: Option<String>,
    role_name: Option<String>,
    reason: String,
    until_at: Option<i64>,
    created_by: String,
    created_at: i64,
}

impl BlockRow {
    pub(super) const COLUMNS: &'static str =
        "b.id, b.principal, b.account_id, b.role_name, b.reason, b.until_at, b.created_by, b.created_at";

    pub(super) fn read(self) -> Result<Block, StoreError> {
        let corrupt = corrupt("blocks");
        let target = match (self.principal, self.account_id, self.role_name) {
            (Some(principal), None, None) => BlockTarget::Principal(Principal::parse(&principal).map_err(&corrupt)?),
            (None, Some(account), Some(role)) => BlockTarget::Role(
                AccountId::parse(&account).map_err(&corrupt)?,
                RoleName::parse(&role).map_err(&corrupt)?,
            ),
            _ => return Err(self::corrupt("blocks")("it names neither a principal nor a role")),
        };
        Ok(Block {
            id: GrantId::parse(&self.id).map_err(&corrupt)?,
            target,
            reason: Reason::parse(&self.reason).map_err(&corrupt)?,
            until: self.until_at.map(|t| time("blocks", t)).transpose()?,
            created_by: Principal::parse(&self.created_by).map_err(&corrupt)?,
            created_at: time("blocks", self.created_at)?,
        })
    }
}
