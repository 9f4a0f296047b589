use super::{StoreError, Tx, on, rows::BlockRow};
use crate::model::{Block, BlockTarget, GrantId, Time};
use sqlx::QueryBuilder;

impl Tx {
    /// The blocks, newest first, at most `limit` after the one with id `after`; those whose time is over too.
    pub async fn list_blocks(&mut self, after: Option<&GrantId>, limit: u32) -> Result<Vec<Block>, StoreError> {
        let rows: Vec<BlockRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(BlockRow::COLUMNS).push(" FROM blocks b");
            if let Some(after) = after {
                q.push(" WHERE b.id < ").push_bind(after.as_str());
            }
            q.push(" ORDER BY b.id DESC LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(BlockRow::read).collect()
    }

    /// One block.
    pub async fn find_block(&mut self, id: &GrantId) -> Result<Option<Block>, StoreError> {
        let row: Option<BlockRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(BlockRow::COLUMNS).push(" FROM blocks b WHERE b.id = ").push_bind(id.as_str());
            q.build_query_as().fetch_optional(conn).await?
        })?;
        row.map(BlockRow::read).transpose()
    }

    pub(super) async fn add_block(&mut self, block: &Block) -> Result<(), StoreError> {
        const SQL: &str = "
            INSERT INTO blocks (id, principal, account_id, role_name, reason, until_at, created_by, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let (principal, account, role) = match &block.target {
            BlockTarget::Principal(principal) => (Some(principal.to_string()), None, None),
            BlockTarget::Role(account, role) => (None, Some(account.as_str()), Some(role.as_str())),
        };
        on!(self, |conn| {
            sqlx::query(SQL)
                .bind(block.id.as_str())
                .bind(&principal)
                .bind(account)
                .bind(role)
                .bind(block.reason.as_str())
                .bind(block.until.map(Time::as_micros))
                .bind(block.created_by.to_string())
                .bind(block.created_at.as_micros())
                .execute(conn)
                .await?;
        })
    }

    /// Removes a block and returns it; `None` where there is none of that id.
    pub(super) async fn remove_block(&mut self, id: &GrantId) -> Result<Option<Block>, StoreError> {
        const SQL: &str = "DELETE FROM blocks WHERE id = $1 RETURNING *";
        let row: Option<BlockRow> =
            on!(self, |conn| sqlx::query_as(SQL).bind(id.as_str()).fetch_optional(conn).await?)?;
        row.map(BlockRow::read).transpose()
    }
}
