//! What somebody sees of what they did.

use super::{
    StoreError, Tx, on,
    rows::{corrupt, time},
};
use crate::model::{Principal, RoleArn, Time};

impl Tx {
    /// The roles that this principal was last given, and when, newest first, at most `limit`: out of their newest `reach`
    /// events, so that it costs the same whatever they did before.
    pub async fn list_last_used(
        &mut self,
        principal: &Principal,
        reach: u32,
        limit: u32,
    ) -> Result<Vec<(RoleArn, Time)>, StoreError> {
        const SQL: &str = "
            SELECT e.role_arn, max(e.at) FROM (
                SELECT role_arn, kind, at FROM audit_events WHERE principal = $1 ORDER BY at DESC, id DESC LIMIT $2) e
            WHERE e.role_arn IS NOT NULL AND e.kind IN ('credentials.issued', 'credentials.shared', 'console.issued')
            GROUP BY e.role_arn ORDER BY max(e.at) DESC, e.role_arn LIMIT $3";
        let (principal, reach, limit) = (principal.to_string(), i64::from(reach), i64::from(limit));
        let rows: Vec<(String, i64)> =
            on!(self, |conn| sqlx::query_as(SQL).bind(principal).bind(reach).bind(limit).fetch_all(conn).await?)?;
        let read = |(arn, at): (String, i64)| {
            Ok((RoleArn::parse(&arn).map_err(corrupt("audit_events"))?, time("audit_events", at)?))
        };
        rows.into_iter().map(read).collect()
    }
}
