//! Accounts, roles and grants as a plan shows them, and which of their fields change.

use super::diff::Delta;
use crate::model::{
    Account, AccountId, Alias, Grant, GrantId, GrantTarget, IpNet, Principal, Role, RolePath, SessionDuration,
    SessionPolicy, Tags, Time,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{borrow::Cow, collections::HashMap};

/// What comes, changes and goes of one kind, each in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Section<T> {
    /// What comes.
    pub added: Vec<T>,
    /// What stays, with the fields that change. A grant changes where one goes and one of the same principal and role
    /// comes; it then has a new id.
    pub changed: Vec<Changed<T>>,
    /// What goes.
    pub removed: Vec<T>,
}

/// One thing as it shall be, and what is different about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Changed<T> {
    /// As it shall be.
    #[serde(flatten)]
    pub entry: T,
    /// The fields that change; never empty.
    pub fields: Vec<FieldChange>,
}

/// One field that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// Its name.
    pub field: Cow<'static, str>,
    /// Its value before, null where it had none; absent where it is not shown.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub from: Option<Value>,
    /// Its value after; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub to: Option<Value>,
}

/// A null that is there is a value; only what is absent is none.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// An account in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccountEntry {
    /// Its number.
    pub id: AccountId,
    /// What people call it.
    pub alias: Option<Alias>,
    /// A name to show.
    pub name: Option<String>,
    /// Whether one is sent on every AssumeRole into it; never which.
    pub has_external_id: bool,
    /// Its tags.
    pub tags: Tags,
}

/// A role in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RoleEntry {
    /// `<alias or account id>/<role name>`.
    pub role: String,
    /// Its account's number.
    pub account_id: AccountId,
    /// Its path.
    pub path: RolePath,
    /// What it is for.
    pub description: Option<String>,
    /// No session of it lasts longer.
    pub max_duration_seconds: SessionDuration,
    /// Whether a source identity is sent.
    pub source_identity: bool,
    /// Sent on every AssumeRole.
    pub session_tags: Tags,
}

/// A grant in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GrantEntry {
    /// Its id.
    pub id: GrantId,
    /// Its principal.
    pub to: Principal,
    /// `<alias or account id>/<role name>`, or `…/*`.
    pub role: String,
    /// No session through it lasts longer.
    pub max_duration_seconds: Option<SessionDuration>,
    /// Whether a request must bring a reason.
    pub require_reason: bool,
    /// When it is over.
    pub expires: Option<Time>,
    /// Where a request must come from; anywhere where empty.
    pub source_ips: Vec<IpNet>,
    /// SHA-256 of the session policy that is always applied, in hex.
    pub session_policy_sha256: Option<String>,
}

/// What each account is called: as it shall be, else as it is.
pub(super) struct Labels<'a>(HashMap<&'a AccountId, &'a str>);

impl<'a> Labels<'a> {
    pub(super) fn of(before: &'a [Account], after: &'a [Account]) -> Self {
        Self(before.iter().chain(after).map(|account| (&account.id, account.label())).collect())
    }

    pub(super) fn account<'b>(&'b self, id: &'b AccountId) -> &'b str {
        self.0.get(id).copied().unwrap_or(id.as_str())
    }

    pub(super) fn target(&self, target: &GrantTarget) -> String {
        match target {
            GrantTarget::Role(account, name) => format!("{}/{name}", self.account(account)),
            GrantTarget::Account(account) => format!("{}/*", self.account(account)),
        }
    }
}

impl<E> Section<E> {
    pub(super) fn of<T>(
        delta: &Delta<'_, T>,
        labels: &Labels<'_>,
        entry: impl Fn(&T, &Labels<'_>) -> E,
        fields: impl Fn(&T, &T) -> Vec<FieldChange>,
    ) -> Self {
        let all = |items: &[&T]| items.iter().map(|item| entry(item, labels)).collect();
        let changed = |(old, new): &(&T, &T)| Changed { entry: entry(new, labels), fields: fields(old, new) };
        Self {
            added: all(&delta.added),
            changed: delta.changed.iter().map(changed).collect(),
            removed: all(&delta.removed),
        }
    }
}

impl AccountEntry {
    pub(super) fn of(account: &Account, _: &Labels<'_>) -> Self {
        Self {
            id: account.id.clone(),
            alias: account.alias.clone(),
            name: account.name.clone(),
            has_external_id: account.external_id.is_some(),
            tags: account.tags.clone(),
        }
    }
}

impl RoleEntry {
    pub(super) fn of(role: &Role, labels: &Labels<'_>) -> Self {
        Self {
            role: format!("{}/{}", labels.account(&role.account_id), role.name),
            account_id: role.account_id.clone(),
            path: role.path.clone(),
            description: role.description.clone(),
            max_duration_seconds: role.max_duration,
            source_identity: role.source_identity,
            session_tags: role.session_tags.clone(),
        }
    }
}

impl GrantEntry {
    pub(super) fn of(grant: &Grant, labels: &Labels<'_>) -> Self {
        let conditions = &grant.conditions;
        Self {
            id: grant.id.clone(),
            to: grant.principal.clone(),
            role: labels.target(&grant.target),
            max_duration_seconds: conditions.max_duration,
            require_reason: conditions.require_reason,
            expires: conditions.expires,
            source_ips: conditions.source_ips.clone(),
            session_policy_sha256: conditions.session_policy.as_ref().map(SessionPolicy::sha256_hex),
        }
    }
}

pub(super) fn account_changes(old: &Account, new: &Account) -> Vec<FieldChange> {
    let hidden = (old.external_id != new.external_id).then_some(FieldChange {
        field: "external_id".into(),
        from: None,
        to: None,
    });
    [
        change("alias", &old.alias, &new.alias),
        change("name", &old.name, &new.name),
        hidden,
        change("tags", &old.tags, &new.tags),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) fn role_changes(old: &Role, new: &Role) -> Vec<FieldChange> {
    [
        change("path", &old.path, &new.path),
        change("description", &old.description, &new.description),
        change("max_duration_seconds", &old.max_duration, &new.max_duration),
        change("source_identity", &old.source_identity, &new.source_identity),
        change("session_tags", &old.session_tags, &new.session_tags),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) fn grant_changes(old: &Grant, new: &Grant) -> Vec<FieldChange> {
    let policy = |grant: &Grant| grant.conditions.session_policy.as_ref().map(SessionPolicy::sha256_hex);
    let (id, old_id) = (&new.id, &old.id);
    let (from, to) = (&old.conditions, &new.conditions);
    [
        change("id", old_id, id),
        change("max_duration_seconds", &from.max_duration, &to.max_duration),
        change("require_reason", &from.require_reason, &to.require_reason),
        change("expires", &from.expires, &to.expires),
        change("source_ips", &from.source_ips, &to.source_ips),
        change("session_policy_sha256", &policy(old), &policy(new)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn change<T: PartialEq + Serialize>(field: &'static str, old: &T, new: &T) -> Option<FieldChange> {
    (old != new).then(|| FieldChange { field: field.into(), from: Some(json!(old)), to: Some(json!(new)) })
}
