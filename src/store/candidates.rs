//! What a decision about one role needs, in one statement: one trip to the database, and one moment of it.

use super::{
    Store, StoreError, limited,
    rows::{AccountRow, BlockRow, GrantRow, RoleRow, corrupt},
};
use crate::{
    allowlist::Candidates,
    model::{AccountRef, Principal, RoleRef},
};
use serde::de::DeserializeOwned;
use sqlx::{Database, Encode, FromRow, QueryBuilder, Type};

/// Rows of other tables as JSON, in the order of their columns.
#[derive(FromRow)]
struct CandidatesRow {
    revision: i64,
    account: Option<String>,
    role: Option<String>,
    grants: Option<String>,
    blocks: Option<String>,
}

/// What the two databases call the same things.
struct Words {
    array: &'static str,
    list: &'static str,
}

const SQLITE: Words = Words { array: "json_array(", list: "json_group_array(" };
const POSTGRES: Words = Words { array: "json_build_array(", list: "json_agg(" };

impl Store {
    /// Everything a decision about one role needs: the same work whether the role exists or not. An ARN's path must be
    /// the role's own; its partition is the caller's to check.
    pub async fn find_candidates(&self, principals: &[&Principal], role: &RoleRef) -> Result<Candidates, StoreError> {
        let names: Vec<String> = principals.iter().map(ToString::to_string).collect();
        let row: CandidatesRow = match self {
            Self::Sqlite { read, .. } => {
                let names = serde_json::json!(names).to_string();
                let mut q = statement(&SQLITE, role, |q| {
                    q.push("IN (SELECT value FROM json_each(").push_bind(names.clone()).push("))");
                });
                limited(q.build_query_as().fetch_one(read)).await?
            }
            Self::Postgres { read, .. } => {
                let mut q = statement(&POSTGRES, role, |q| {
                    q.push("= ANY(").push_bind(names.clone()).push(")");
                });
                limited(q.build_query_as().fetch_one(read)).await?
            }
        };
        row.read()
    }
}

/// `push_among` pushes what holds of a principal that is one of the asker's.
fn statement<DB: Database>(
    words: &Words,
    role: &RoleRef,
    push_among: impl Fn(&mut QueryBuilder<DB>),
) -> QueryBuilder<DB>
where
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'q> Option<String>: Encode<'q, DB> + Type<DB>,
{
    let (id, alias) = match role.account() {
        AccountRef::Id(id) => (Some(id.to_string()), None),
        AccountRef::Alias(alias) => (None, Some(alias.to_string())),
    };
    let path = match role {
        RoleRef::Arn(arn) => Some(arn.path.to_string()),
        RoleRef::Named(..) => None,
    };
    let Words { array, list } = words;
    let mut q = QueryBuilder::new("SELECT w.revision, CASE WHEN a.id IS NOT NULL THEN CAST(");
    q.push(array).push(AccountRow::VALUES).push(") AS TEXT) END AS account, CASE WHEN r.name IS NOT NULL THEN CAST(");
    q.push(array).push(RoleRow::COLUMNS).push(") AS TEXT) END AS role, (SELECT CAST(");
    q.push(list).push(array).push(GrantRow::COLUMNS);
    q.push(")) AS TEXT) FROM grants g WHERE g.account_id = COALESCE(r.account_id, '') AND (g.role_name = r.name OR g.role_name IS NULL) AND g.principal ");
    push_among(&mut q);
    q.push(") AS grants, (SELECT CAST(").push(list).push(array).push(BlockRow::COLUMNS);
    q.push(")) AS TEXT) FROM blocks b WHERE (b.account_id = r.account_id AND b.role_name = r.name) OR b.principal ");
    push_among(&mut q);
    q.push(") AS blocks FROM allowlist w LEFT JOIN (roles r JOIN accounts a ON a.id = r.account_id) ON (a.id = ");
    q.push_bind(id).push(" OR a.alias = ").push_bind(alias).push(") AND r.name = ").push_bind(role.name().to_string());
    q.push(" AND r.path = COALESCE(").push_bind(path).push(", r.path)");
    q
}

impl CandidatesRow {
    fn read(self) -> Result<Candidates, StoreError> {
        let account: Option<AccountRow> =
            self.account.as_deref().map(|text| from_json("accounts", text)).transpose()?;
        let role: Option<RoleRow> = self.role.as_deref().map(|text| from_json("roles", text)).transpose()?;
        let grants: Vec<GrantRow> = from_json("grants", self.grants.as_deref().unwrap_or("[]"))?;
        let blocks: Vec<BlockRow> = from_json("blocks", self.blocks.as_deref().unwrap_or("[]"))?;
        Ok(Candidates {
            revision: self.revision.unsigned_abs(),
            role: account
                .zip(role)
                .map(|(account, role)| Ok::<_, StoreError>((account.read()?, role.read()?)))
                .transpose()?,
            grants: grants.into_iter().map(GrantRow::read).collect::<Result<_, _>>()?,
            blocks: blocks.into_iter().map(BlockRow::read).collect::<Result<_, _>>()?,
        })
    }
}

fn from_json<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(corrupt(table))
}
