//! The roles that somebody has grants for, a page at a time.

use super::{
    StoreError, Tx,
    access::{ListedRow, push_list},
    audit::containing,
    on,
    rows::{AccountRow, GrantRow, RoleRow},
};
use crate::{
    allowlist::Candidates,
    model::{Account, AccountId, BlockTarget, Grant, GrantTarget, Principal, Role, RoleName, Time},
};
use sqlx::{Database, Encode, QueryBuilder, Type};
use std::collections::BTreeSet;

/// Words beyond this many are not looked for.
const WORDS: usize = 8;

/// Which of the roles within reach are wanted; all that is set must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Behind this one, by account id and role name.
    pub after: Option<&'a (AccountId, RoleName)>,
    /// Each word of it is in what a role and its account are called, or in the description; case does not count.
    pub text: Option<&'a str>,
    /// One of these.
    pub among: Option<&'a [(AccountId, RoleName)]>,
}

/// One page of the roles that an asker has grants for.
#[derive(Debug)]
pub struct Reach {
    /// By account id and role name.
    pub roles: Vec<Candidates>,
    /// Where the next page begins, where there is one.
    pub next: Option<(AccountId, RoleName)>,
}

impl Tx {
    /// The roles that any of `principals` has a grant for that is not over by `now`, each with its grants and blocks; at most
    /// `limit`, by account id and role name.
    pub async fn list_reach(
        &mut self,
        principals: &[&Principal],
        now: Time,
        wanted: Wanted<'_>,
        limit: u32,
    ) -> Result<Reach, StoreError> {
        let revision = self.find_revision().await?;
        let names: Vec<String> = principals.iter().map(ToString::to_string).collect();
        let like = self.like();
        let mut rows: Vec<ListedRow> = on!(&mut *self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(AccountRow::COLUMNS).push(", ").push(RoleRow::COLUMNS);
            q.push(
                " FROM roles r JOIN accounts a ON a.id = r.account_id WHERE EXISTS (SELECT 1 FROM grants g \
                 WHERE g.account_id = r.account_id AND (g.role_name = r.name OR g.role_name IS NULL) \
                 AND (g.expires_at IS NULL OR g.expires_at > ",
            );
            q.push_bind(now.as_micros()).push(") AND g.principal IN (");
            push_list(&mut q, &names);
            q.push("))");
            push_wanted(&mut q, wanted, like);
            q.push(" ORDER BY r.account_id, r.name LIMIT ").push_bind(i64::from(limit) + 1);
            q.build_query_as().fetch_all(conn).await?
        })?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let listed = rows.into_iter().map(ListedRow::read).collect::<Result<Vec<_>, _>>()?;
        let next = listed.last().filter(|_| more).map(|(account, role)| (account.id.clone(), role.name.clone()));
        let grants = self.list_grants_to(&names, &listed).await?;
        let blocks = self.list_blocks_on(&names).await?;
        let roles = listed
            .into_iter()
            .map(|(account, role)| Candidates {
                revision,
                grants: grants.iter().filter(|grant| covers(&grant.target, &role)).cloned().collect(),
                blocks: blocks.iter().filter(|block| concerns(&block.target, &role)).cloned().collect(),
                role: Some((account, role)),
            })
            .collect();
        Ok(Reach { roles, next })
    }

    /// The grants for these roles, and some for others of the same names or accounts: no more, however many there are.
    async fn list_grants_to(&mut self, names: &[String], listed: &[(Account, Role)]) -> Result<Vec<Grant>, StoreError> {
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let distinct = |texts: BTreeSet<&str>| texts.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let accounts = distinct(listed.iter().map(|(account, _)| account.id.as_str()).collect());
        let roles = distinct(listed.iter().map(|(_, role)| role.name.as_str()).collect());
        let rows: Vec<GrantRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(GrantRow::COLUMNS).push(" FROM grants g WHERE g.principal IN (");
            push_list(&mut q, names);
            q.push(") AND g.account_id IN (");
            push_list(&mut q, &accounts);
            q.push(") AND (g.role_name IS NULL OR g.role_name IN (");
            push_list(&mut q, &roles);
            q.push(")) ORDER BY g.id");
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(GrantRow::read).collect()
    }
}

/// What else must hold of `roles r` and `accounts a`.
pub(super) fn push_wanted<DB: Database>(q: &mut QueryBuilder<DB>, wanted: Wanted<'_>, like: &'static str)
where
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    if let Some((account, role)) = wanted.after {
        q.push(" AND (r.account_id, r.name) > (").push_bind(account.to_string());
        q.push(", ").push_bind(role.to_string()).push(")");
    }
    if let Some(among) = wanted.among {
        // Neither database takes an empty list of pairs.
        q.push(" AND (1 = 0");
        for (account, role) in among {
            q.push(" OR (r.account_id = ").push_bind(account.to_string());
            q.push(" AND r.name = ").push_bind(role.to_string()).push(")");
        }
        q.push(")");
    }
    for word in wanted.text.into_iter().flat_map(str::split_whitespace).take(WORDS) {
        q.push(
            " AND (COALESCE(a.alias, '') || '/' || r.name || ' ' || a.id || '/' || r.name || ' ' || \
             COALESCE(a.name, '') || ' ' || COALESCE(r.description, ''))",
        );
        q.push(like).push_bind(containing(word)).push(" ESCAPE '!'");
    }
}

fn covers(target: &GrantTarget, role: &Role) -> bool {
    match target {
        GrantTarget::Role(account, name) => *account == role.account_id && *name == role.name,
        GrantTarget::Account(account) => *account == role.account_id,
    }
}

fn concerns(target: &BlockTarget, role: &Role) -> bool {
    match target {
        BlockTarget::Principal(_) => true,
        BlockTarget::Role(account, name) => *account == role.account_id && *name == role.name,
    }
}
