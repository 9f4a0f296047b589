//! What the portal lists of the allowlist: each statement reads a page.

use super::{
    StoreError, Tx,
    access::{ListedRow, push_list},
    on,
    reach::push_wanted,
    rows::{AccountRow, BlockRow, GrantRow, RoleRow},
};
use crate::{
    model::{Account, AccountId, Block, Grant, GrantId, Origin, Principal, Role, RoleName},
    store::Wanted,
};
use sqlx::QueryBuilder;

/// Behind which grant a page begins, where grants are listed by principal.
pub type GrantPlace = (Principal, GrantId);

impl Tx {
    /// The roles of the allowlist with their accounts, by account id and role name.
    pub async fn list_roles(&mut self, wanted: Wanted<'_>, limit: u32) -> Result<Vec<(Account, Role)>, StoreError> {
        let like = self.like();
        let rows: Vec<ListedRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(AccountRow::COLUMNS).push(", ").push(RoleRow::COLUMNS);
            q.push(" FROM roles r JOIN accounts a ON a.id = r.account_id WHERE 1 = 1");
            push_wanted(&mut q, wanted, like);
            q.push(" ORDER BY r.account_id, r.name LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(ListedRow::read).collect()
    }

    /// The grants of one origin, by id from the last, at most `limit` behind `after`; with `principals`, to one of these.
    pub async fn browse_grants(
        &mut self,
        origin: Origin,
        principals: &[Principal],
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<Grant>, StoreError> {
        let names: Vec<String> = principals.iter().map(ToString::to_string).collect();
        let rows: Vec<GrantRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(GrantRow::COLUMNS).push(" FROM grants g WHERE ");
            if names.is_empty() {
                q.push("g.origin = ").push_bind(origin.as_str());
            } else {
                // Not by the index of origins, which SQLite takes for the order's sake: nearly all grants may be of one.
                q.push("g.origin || '' = ").push_bind(origin.as_str()).push(" AND g.principal IN (");
                push_list(&mut q, &names);
                q.push(")");
            }
            if let Some(after) = after {
                q.push(" AND g.id < ").push_bind(after.as_str());
            }
            q.push(" ORDER BY g.id DESC LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(GrantRow::read).collect()
    }

    /// The grants that reach a role, by principal, at most `limit` behind `after`.
    pub async fn list_grants_on(
        &mut self,
        account: &AccountId,
        role: &RoleName,
        after: Option<&GrantPlace>,
        limit: u32,
    ) -> Result<Vec<Grant>, StoreError> {
        let rows: Vec<GrantRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            // With OR, SQLite reads all grants of the account.
            q.push(GrantRow::COLUMNS).push(" FROM grants g WHERE g.id IN (SELECT id FROM grants WHERE account_id = ");
            q.push_bind(account.as_str()).push(" AND role_name = ").push_bind(role.as_str());
            q.push(" UNION ALL SELECT id FROM grants WHERE account_id = ").push_bind(account.as_str());
            q.push(" AND role_name IS NULL)");
            if let Some((principal, id)) = after {
                q.push(" AND (g.principal, g.id) > (").push_bind(principal.to_string());
                q.push(", ").push_bind(id.as_str()).push(")");
            }
            q.push(" ORDER BY g.principal, g.id LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(GrantRow::read).collect()
    }

    /// The blocks on a role itself, and on any of `principals`.
    pub async fn list_blocks_of(
        &mut self,
        account: &AccountId,
        role: &RoleName,
        principals: &[String],
    ) -> Result<Vec<Block>, StoreError> {
        let rows: Vec<BlockRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(BlockRow::COLUMNS).push(" FROM blocks b WHERE (b.account_id = ").push_bind(account.as_str());
            q.push(" AND b.role_name = ").push_bind(role.as_str()).push(")");
            if !principals.is_empty() {
                q.push(" OR b.principal IN (");
                push_list(&mut q, principals);
                q.push(")");
            }
            q.push(" ORDER BY b.id");
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(BlockRow::read).collect()
    }
}
