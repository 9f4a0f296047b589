use super::{StoreError, Tx, on, rows::GrantRow};
use crate::model::{Grant, GrantId, GrantTarget, Origin, Time};
use sqlx::QueryBuilder;

/// Rows of one INSERT: 13 values each, and SQLite takes 32,766.
const ROWS_AT_ONCE: usize = 1000;

impl Tx {
    /// The single grants, newest first, at most `limit` after the one with id `after`.
    pub async fn list_single_grants(&mut self, after: Option<&GrantId>, limit: u32) -> Result<Vec<Grant>, StoreError> {
        let rows: Vec<GrantRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(GrantRow::COLUMNS).push(" FROM grants g WHERE g.origin = 'api'");
            if let Some(after) = after {
                q.push(" AND g.id < ").push_bind(after.as_str());
            }
            q.push(" ORDER BY g.id DESC LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(GrantRow::read).collect()
    }

    /// One single grant.
    pub async fn find_single_grant(&mut self, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        let row: Option<GrantRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(GrantRow::COLUMNS).push(" FROM grants g WHERE g.origin = 'api' AND g.id = ").push_bind(id.as_str());
            q.build_query_as().fetch_optional(conn).await?
        })?;
        row.map(GrantRow::read).transpose()
    }

    /// Every grant, of the file and single: for a plan, which compares all of them.
    pub(super) async fn list_all_grants(&mut self) -> Result<Vec<Grant>, StoreError> {
        let rows: Vec<GrantRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(GrantRow::COLUMNS).push(" FROM grants g ORDER BY g.id");
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(GrantRow::read).collect()
    }

    pub(super) async fn add_grants(&mut self, grants: &[Grant], by: &str, at: Time) -> Result<(), StoreError> {
        for some in grants.chunks(ROWS_AT_ONCE) {
            on!(&mut *self, |conn| {
                let mut q = QueryBuilder::new(
                    "INSERT INTO grants (id, origin, principal, account_id, role_name, max_duration_seconds, \
                     require_reason, expires_at, source_ips, session_policy, reason, created_by, created_at) ",
                );
                q.push_values(some, |mut row, grant| {
                    let (account, role) = match &grant.target {
                        GrantTarget::Role(account, role) => (account, Some(role.as_str())),
                        GrantTarget::Account(account) => (account, None),
                    };
                    let conditions = &grant.conditions;
                    let source_ips: Vec<String> = conditions.source_ips.iter().map(ToString::to_string).collect();
                    row.push_bind(grant.id.as_str())
                        .push_bind(grant.origin.as_str())
                        .push_bind(grant.principal.to_string())
                        .push_bind(account.as_str())
                        .push_bind(role)
                        .push_bind(conditions.max_duration.map(|d| i64::from(d.seconds())))
                        .push_bind(conditions.require_reason)
                        .push_bind(conditions.expires.map(Time::as_micros))
                        .push_bind(serde_json::Value::from(source_ips).to_string())
                        .push_bind(conditions.session_policy.as_ref().map(|p| p.as_str().to_owned()))
                        .push_bind(grant.reason.as_ref().map(|r| r.as_str().to_owned()))
                        .push_bind(by)
                        .push_bind(at.as_micros());
                });
                q.build().execute(conn).await?;
            })?;
        }
        Ok(())
    }

    /// Removes the grants of one origin among `ids`; returns those that were there.
    pub(super) async fn remove_grants(&mut self, ids: &[GrantId], origin: Origin) -> Result<Vec<Grant>, StoreError> {
        let mut removed = Vec::new();
        for some in ids.chunks(ROWS_AT_ONCE) {
            let rows: Vec<GrantRow> = on!(&mut *self, |conn| {
                let mut q = QueryBuilder::new("DELETE FROM grants AS g WHERE g.origin = ");
                q.push_bind(origin.as_str()).push(" AND g.id IN (");
                let mut list = q.separated(", ");
                for id in some {
                    list.push_bind(id.as_str());
                }
                q.push(") RETURNING *");
                q.build_query_as().fetch_all(conn).await?
            })?;
            removed.extend(rows);
        }
        removed.into_iter().map(GrantRow::read).collect()
    }
}
