//! The keys of the file and the syntax of their values, each account, role and grant read by itself.

use crate::{
    input::{Faults, Table, pointer_to, push_segment, read},
    model::{
        AccountId, AccountRef, Alias, ExternalId, Invalid, IpNet, Name, Principal, Reason, RoleName, RolePath, RoleRef,
        SessionDuration, SessionPolicy, Tags, Time, parsed_from_text,
    },
};
use deserr::{Deserr, IntoValue, ValuePointerRef};
use serde_json::{Map, Value};
use std::fmt;

/// The file taken apart, each part as far as it could be read.
pub(super) struct Parts {
    pub(super) accounts: Vec<ReadAccount>,
    pub(super) grants: Vec<ReadGrant>,
    /// Whether every account is among them: `[[accounts]]` would hide some.
    pub(super) complete: bool,
}

/// An `[[account]]`. What it is called is known even where something else about it is wrong.
pub(super) struct ReadAccount {
    pub(super) pointer: String,
    pub(super) id: Option<AccountId>,
    pub(super) alias: Option<Alias>,
    /// Whether all names that it has could be read.
    pub(super) named: bool,
    pub(super) account: Option<AccountShape>,
    pub(super) roles: Vec<ReadRole>,
    /// Whether each of its roles is among them.
    pub(super) complete: bool,
}

/// An `[[account.role]]`, likewise.
pub(super) struct ReadRole {
    pub(super) pointer: String,
    pub(super) name: Option<RoleName>,
    pub(super) role: Option<RoleShape>,
}

/// A `[[grant]]`: the entries of its lists that could be read, each with its pointer.
pub(super) struct ReadGrant {
    pub(super) pointer: String,
    pub(super) to: Vec<(String, Principal)>,
    pub(super) roles: Vec<(String, RolesRef)>,
    pub(super) conditions: Option<ConditionsShape>,
}

#[derive(Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(super) struct AccountShape {
    pub(super) id: AccountId,
    #[deserr(default)]
    pub(super) alias: Option<Alias>,
    #[deserr(default, try_from(String) = short_text -> Invalid)]
    pub(super) name: Option<String>,
    #[deserr(default, try_from(String) = parse_external_id -> Invalid)]
    pub(super) external_id: Option<ExternalId>,
    #[deserr(default)]
    pub(super) tags: TagTable,
    #[deserr(default)]
    #[expect(dead_code, reason = "taken out before, to be read role by role; here for the list of known keys")]
    role: Vec<Value>,
}

#[derive(Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(super) struct RoleShape {
    pub(super) name: RoleName,
    #[deserr(default)]
    pub(super) path: RolePath,
    #[deserr(default, try_from(String) = long_text -> Invalid)]
    pub(super) description: Option<String>,
    #[deserr(default = FileDuration(SessionDuration::HOUR))]
    pub(super) max_duration: FileDuration,
    #[deserr(default = true)]
    pub(super) source_identity: bool,
    #[deserr(default)]
    pub(super) session_tags: TagTable,
}

#[derive(Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(super) struct ConditionsShape {
    #[deserr(default)]
    #[expect(dead_code, reason = "taken out before, to be read one by one; here for the list of known keys")]
    to: Vec<Value>,
    #[deserr(default)]
    #[expect(dead_code, reason = "likewise")]
    roles: Vec<Value>,
    #[deserr(default)]
    pub(super) max_duration: Option<FileDuration>,
    #[deserr(default)]
    pub(super) require_reason: bool,
    #[deserr(default)]
    pub(super) expires: Option<Time>,
    #[deserr(default)]
    pub(super) source_ips: Option<Vec<IpNet>>,
    #[deserr(default, try_from(Value) = parse_session_policy -> Invalid)]
    pub(super) session_policy: Option<SessionPolicy>,
}

/// One entry of a grant's `roles`.
pub(super) enum RolesRef {
    One(RoleRef),
    /// `<account>/*`.
    All(AccountRef),
}

impl RolesRef {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let all = text.strip_suffix("/*").and_then(|account| AccountRef::parse(account).ok()).map(Self::All);
        all.or_else(|| RoleRef::parse(text).ok().map(Self::One)).ok_or(Invalid::new(
            "a role: <alias or account id>/<role name>, a full role ARN, or <alias or account id>/* for every role listed there",
        ))
    }
}

impl fmt::Display for RolesRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(role) => role.fmt(f),
            Self::All(account) => write!(f, "{account}/*"),
        }
    }
}

parsed_from_text!(RolesRef);

/// Whole seconds, or `45m`, `1h`, `12h`.
#[derive(Clone, Copy)]
pub(super) struct FileDuration(pub(super) SessionDuration);

impl Deserr<Faults> for FileDuration {
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        location: ValuePointerRef<'_>,
    ) -> Result<Self, Faults> {
        let duration = match value {
            deserr::Value::Integer(seconds) => SessionDuration::from_seconds(seconds),
            deserr::Value::NegativeInteger(_) => SessionDuration::from_seconds(0),
            deserr::Value::String(text) => SessionDuration::parse(&text),
            _ => Err(Invalid::new("a duration: whole seconds, or 45m, 1h, 12h")),
        };
        duration.map(Self).map_err(|fault| Faults::at(pointer_to(location), format!("expected {fault}")))
    }
}

/// A table of tags.
#[derive(Default)]
pub(super) struct TagTable(pub(super) Tags);

impl Deserr<Faults> for TagTable {
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        location: ValuePointerRef<'_>,
    ) -> Result<Self, Faults> {
        let Table(tags) = Table::deserialize_from_value(value, location)?;
        Tags::new(tags).map(Self).map_err(|fault| Faults::at(pointer_to(location), format!("expected {fault}")))
    }
}

fn short_text(text: String) -> Result<Option<String>, Invalid> {
    Name::parse(&text).map(|_| Some(text))
}

fn long_text(text: String) -> Result<Option<String>, Invalid> {
    Reason::parse(&text).map(|_| Some(text)).map_err(|_| {
        Invalid::new("a text of 1 to 512 characters in Unicode NFC, without control or format characters, not blank")
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape deserr calls")]
fn parse_external_id(text: String) -> Result<Option<ExternalId>, Invalid> {
    ExternalId::parse(&text).map(Some)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape deserr calls")]
fn parse_session_policy(document: Value) -> Result<Option<SessionPolicy>, Invalid> {
    SessionPolicy::from_json(&document).map(Some).map_err(|fault| Invalid(fault.to_string().into()))
}

/// Takes the file apart and reads each part; the faults of one part leave the others readable.
pub(super) fn split(value: Value, faults: &mut Faults) -> Parts {
    let mut file = match value {
        Value::Object(file) => file,
        _ => Map::new(),
    };
    let accounts = take_list(&mut file, "", "account", TABLES, faults);
    let grants = take_list(&mut file, "", "grant", TABLES, faults);
    let mut complete = accounts.is_some();
    for (key, value) in file {
        complete &= !value.is_array() && !value.is_object();
        let mut pointer = String::new();
        push_segment(&mut pointer, &key);
        faults.push(pointer, "unknown key; known here: account, grant");
    }
    let accounts = accounts.into_iter().flatten().map(|(pointer, value)| account(pointer, value, faults)).collect();
    let grants = grants.into_iter().flatten().map(|(pointer, value)| grant(pointer, value, faults)).collect();
    Parts { accounts, grants, complete }
}

const TABLES: &str = "expected a list of tables, in double brackets: [[…]]";

fn account(pointer: String, mut value: Value, faults: &mut Faults) -> ReadAccount {
    let roles = match &mut value {
        Value::Object(account) => take_list(account, &pointer, "role", TABLES, faults),
        _ => None,
    };
    let (id, alias) = (peek(&value, "id"), peek(&value, "alias"));
    ReadAccount {
        named: id.is_some() && (alias.is_some() || value.get("alias").is_none()),
        id,
        alias,
        complete: roles.is_some(),
        roles: roles.into_iter().flatten().map(|(pointer, value)| role(pointer, value, faults)).collect(),
        account: read_at(&pointer, value, faults),
        pointer,
    }
}

fn role(pointer: String, value: Value, faults: &mut Faults) -> ReadRole {
    ReadRole { name: peek(&value, "name"), role: read_at(&pointer, value, faults), pointer }
}

fn grant(pointer: String, mut value: Value, faults: &mut Faults) -> ReadGrant {
    ReadGrant {
        to: take_items(&mut value, &pointer, "to", faults),
        roles: take_items(&mut value, &pointer, "roles", faults),
        conditions: read_at(&pointer, value, faults),
        pointer,
    }
}

/// The list under `key`, each item with its pointer, taken out; empty where there is none, `None` where it is no list.
fn take_list(
    table: &mut Map<String, Value>,
    around: &str,
    key: &str,
    expected: &str,
    faults: &mut Faults,
) -> Option<Vec<(String, Value)>> {
    match table.remove(key) {
        None => Some(Vec::new()),
        Some(Value::Array(items)) => {
            let placed = |(i, item)| (format!("{around}/{key}/{i}"), item);
            Some(items.into_iter().enumerate().map(placed).collect())
        }
        Some(_) => {
            faults.push(format!("{around}/{key}"), expected);
            None
        }
    }
}

/// The items of a list that must be there and hold something, those that can be read.
fn take_items<T: Deserr<Faults>>(table: &mut Value, around: &str, key: &str, faults: &mut Faults) -> Vec<(String, T)> {
    let Value::Object(table) = table else { return Vec::new() };
    if !table.contains_key(key) {
        faults.push(format!("{around}/{key}"), "required, but not there");
    }
    let is_blank = table.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty);
    if is_blank {
        faults.push(format!("{around}/{key}"), "expected at least one");
    }
    let items = take_list(table, around, key, "expected a list", faults).unwrap_or_default();
    let read = |(pointer, item): (String, Value)| {
        let item = read_at(&pointer, item, faults)?;
        Some((pointer, item))
    };
    items.into_iter().filter_map(read).collect()
}

/// One value of a table, where it can be read. Its faults are told when the whole table is read.
fn peek<T: Deserr<Faults>>(table: &Value, key: &str) -> Option<T> {
    read(table.get(key)?.clone()).ok()
}

fn read_at<T: Deserr<Faults>>(pointer: &str, value: Value, faults: &mut Faults) -> Option<T> {
    match read(value) {
        Ok(read) => Some(read),
        Err(found) => {
            for fault in found.0 {
                faults.push(format!("{pointer}{}", fault.pointer), fault.problem);
            }
            None
        }
    }
}
