//! Who may do what: what a decision needs, what a listing shows, and the changes to it.

use super::{
    StoreError, Tx, on,
    rows::{AccountRow, BlockRow, GrantRow, RoleRow, corrupt, time},
};
use crate::{
    allowlist::{Changes, Snapshot},
    model::{
        Account, AccountRef, Alias, ApiToken, Block, BlockTarget, ExternalId, Grant, GrantId, Origin, Principal, Role,
        RoleRef, Time, TokenId,
    },
    secret::TokenHash,
};
use sqlx::{Database, Encode, FromRow, QueryBuilder, Type};

/// The allowlist file as last applied.
#[derive(Clone, Debug)]
pub struct Document {
    /// Counts every change of who may do what; the `ETag`.
    pub revision: u64,
    /// The file's text, empty before the first.
    pub text: String,
    /// Who applied it, and when.
    pub applied: Option<(Principal, Time)>,
}

/// A change of who may do what.
#[derive(Debug)]
pub enum Change {
    /// The allowlist file, as the differences to what is there.
    Apply {
        /// The revision the differences were made against.
        expected: u64,
        /// What is written.
        changes: Box<Changes>,
        /// The file itself.
        text: String,
        /// Who applies it.
        by: Principal,
        /// When.
        at: Time,
    },
    /// One single grant.
    AddGrant(Box<Grant>),
    /// The end of one single grant.
    RemoveGrant(GrantId),
    /// A block.
    AddBlock(Box<Block>),
    /// The end of a block.
    RemoveBlock(GrantId),
    /// An API token. Neither this nor its end counts the revision up: no decision rests on it, and nobody's grants change.
    AddToken(Box<ApiToken>, TokenHash),
    /// The end of a living API token.
    RevokeToken(TokenId, Time),
}

/// What a change did.
#[derive(Debug)]
pub struct Changed {
    /// The revision it made, or that it found where it made none.
    pub revision: u64,
    /// The grant that was removed, where one was.
    pub grant: Option<Grant>,
    /// The block that was removed, where one was.
    pub block: Option<Block>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Somebody changed the allowlist in between.
    #[error("the allowlist is at revision {0}")]
    Stale(u64),
    /// No such grant, block or living API token.
    #[error("no such grant, block or living API token")]
    NotFound,
    /// The same is there already, under this id.
    #[error("the same is there already, as {0}")]
    Exists(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(FromRow)]
pub(super) struct ListedRow {
    #[sqlx(flatten)]
    account: AccountRow,
    #[sqlx(flatten)]
    role: RoleRow,
}

impl ListedRow {
    pub(super) fn read(self) -> Result<(Account, Role), StoreError> {
        Ok((self.account.read()?, self.role.read()?))
    }
}

impl Tx {
    /// The allowlist's revision.
    pub async fn find_revision(&mut self) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT revision FROM allowlist";
        let revision: i64 = on!(self, |conn| sqlx::query_scalar(SQL).fetch_one(conn).await?)?;
        Ok(revision.unsigned_abs())
    }

    /// A listed role with its account, matched exactly: an ARN's path must be the role's own. The partition is the
    /// caller's to check.
    pub async fn find_role(&mut self, role: &RoleRef) -> Result<Option<(Account, Role)>, StoreError> {
        let (id, alias) = match role.account() {
            AccountRef::Id(id) => (id.to_string(), String::new()),
            AccountRef::Alias(alias) => (String::new(), alias.to_string()),
        };
        let row: Option<ListedRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(AccountRow::COLUMNS).push(", ").push(RoleRow::COLUMNS);
            q.push(" FROM roles r JOIN accounts a ON a.id = r.account_id WHERE (a.id = ").push_bind(&id);
            q.push(" OR a.alias = ").push_bind(&alias).push(") AND r.name = ").push_bind(role.name().as_str());
            q.build_query_as().fetch_optional(conn).await?
        })?;
        let listed = row.map(ListedRow::read).transpose()?;
        Ok(listed.filter(|(_, listed)| match role {
            RoleRef::Arn(arn) => arn.path == listed.path,
            RoleRef::Named(..) => true,
        }))
    }

    async fn list_grants_of(&mut self, names: &[String]) -> Result<Vec<Grant>, StoreError> {
        let rows: Vec<GrantRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(GrantRow::COLUMNS).push(" FROM grants g WHERE g.principal IN (");
            push_list(&mut q, names);
            q.push(") ORDER BY g.id");
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(GrantRow::read).collect()
    }

    pub(super) async fn list_blocks_on(&mut self, names: &[String]) -> Result<Vec<Block>, StoreError> {
        let rows: Vec<BlockRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(BlockRow::COLUMNS).push(" FROM blocks b WHERE b.principal IS NULL");
            // PostgreSQL takes no empty list.
            if !names.is_empty() {
                q.push(" OR b.principal IN (");
                push_list(&mut q, names);
                q.push(")");
            }
            q.push(" ORDER BY b.id");
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(BlockRow::read).collect()
    }

    /// The allowlist file as last applied.
    pub async fn find_document(&mut self) -> Result<Document, StoreError> {
        const SQL: &str = "SELECT revision, file, applied_by, applied_at FROM allowlist";
        let (revision, text, by, at): (i64, String, Option<String>, Option<i64>) =
            on!(self, |conn| sqlx::query_as(SQL).fetch_one(conn).await?)?;
        let applied = match (by, at) {
            (Some(by), Some(at)) => {
                Some((Principal::parse(&by).map_err(corrupt("allowlist"))?, time("allowlist", at)?))
            }
            _ => None,
        };
        Ok(Document { revision: revision.unsigned_abs(), text, applied })
    }

    /// Everything the allowlist holds, to plan a file against, with its revision.
    pub async fn find_snapshot(&mut self) -> Result<(u64, Snapshot), StoreError> {
        let revision = self.find_revision().await?;
        let accounts: Vec<AccountRow> = on!(&mut *self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(AccountRow::COLUMNS).push(" FROM accounts a ORDER BY a.id");
            q.build_query_as().fetch_all(conn).await?
        })?;
        let roles: Vec<RoleRow> = on!(&mut *self, |conn| {
            let mut q = QueryBuilder::new("SELECT ");
            q.push(RoleRow::COLUMNS).push(" FROM roles r ORDER BY r.account_id, r.name");
            q.build_query_as().fetch_all(conn).await?
        })?;
        let snapshot = Snapshot {
            accounts: accounts.into_iter().map(AccountRow::read).collect::<Result<_, _>>()?,
            roles: roles.into_iter().map(RoleRow::read).collect::<Result<_, _>>()?,
            grants: self.list_all_grants().await?,
        };
        Ok((revision, snapshot))
    }

    /// Makes a change and, but for API tokens, counts the revision up. The row of the revision is taken first, so two changes never
    /// interleave; nothing that only issues credentials waits for it.
    pub async fn apply(&mut self, change: &Change) -> Result<Changed, ChangeError> {
        let revision = self.count_up(change).await?;
        let mut changed = Changed { revision, grant: None, block: None };
        match change {
            Change::Apply { changes, text, by, at, .. } => {
                self.apply_file(changes, text, &by.to_string(), *at).await?;
            }
            Change::AddGrant(grant) => {
                let same = self.list_grants_of(&[grant.principal.to_string()]).await?.into_iter().find(|other| {
                    other.origin == Origin::Api && other.target == grant.target && other.conditions == grant.conditions
                });
                if let Some(same) = same {
                    return Err(ChangeError::Exists(same.id.to_string()));
                }
                let grant = std::slice::from_ref(&**grant);
                self.add_grants(grant, &grant[0].created_by.to_string(), grant[0].created_at).await?;
            }
            Change::RemoveGrant(id) => {
                let removed = self.remove_grants(std::slice::from_ref(id), Origin::Api).await?.pop();
                changed.grant = Some(removed.ok_or(ChangeError::NotFound)?);
            }
            Change::AddBlock(block) => {
                let names = match &block.target {
                    BlockTarget::Principal(principal) => vec![principal.to_string()],
                    BlockTarget::Role(..) => Vec::new(),
                };
                let alike = |other: &Block| other.target == block.target && other.until == block.until;
                if let Some(same) = self.list_blocks_on(&names).await?.into_iter().find(alike) {
                    return Err(ChangeError::Exists(same.id.to_string()));
                }
                self.add_block(block).await?;
            }
            Change::RemoveBlock(id) => {
                changed.block = Some(self.remove_block(id).await?.ok_or(ChangeError::NotFound)?);
            }
            Change::AddToken(token, hash) => self.add_token(token, hash).await?,
            Change::RevokeToken(id, at) => self.revoke_token(*id, *at).await?,
        }
        Ok(changed)
    }

    async fn count_up(&mut self, change: &Change) -> Result<u64, ChangeError> {
        const ANY: &str = "UPDATE allowlist SET revision = revision + 1 RETURNING revision";
        const EXPECTED: &str = "UPDATE allowlist SET revision = revision + 1 WHERE revision = $1 RETURNING revision";
        let revision: Option<i64> = match change {
            Change::Apply { expected, .. } => {
                let expected = i64::try_from(*expected).unwrap_or(i64::MAX);
                on!(&mut *self, |conn| sqlx::query_scalar(EXPECTED).bind(expected).fetch_optional(conn).await?)?
            }
            Change::AddToken(..) | Change::RevokeToken(..) => return Ok(self.find_revision().await?),
            _ => on!(&mut *self, |conn| sqlx::query_scalar(ANY).fetch_optional(conn).await?)?,
        };
        match revision {
            Some(revision) => Ok(revision.unsigned_abs()),
            None => Err(ChangeError::Stale(self.find_revision().await?)),
        }
    }

    async fn apply_file(&mut self, changes: &Changes, text: &str, by: &str, at: Time) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE allowlist SET file = $1, applied_by = $2, applied_at = $3";
        on!(&mut *self, |conn| {
            sqlx::query(SQL).bind(text).bind(by).bind(at.as_micros()).execute(conn).await?;
        })?;
        self.remove_grants(&changes.grants_removed, Origin::File).await?;
        for (account, role) in &changes.roles_removed {
            const SQL: &str = "DELETE FROM roles WHERE account_id = $1 AND name = $2";
            on!(&mut *self, |conn| {
                sqlx::query(SQL).bind(account.as_str()).bind(role.as_str()).execute(conn).await?;
            })?;
        }
        for account in &changes.accounts_removed {
            const SQL: &str = "DELETE FROM accounts WHERE id = $1";
            on!(&mut *self, |conn| {
                sqlx::query(SQL).bind(account.as_str()).execute(conn).await?;
            })?;
        }
        // Two accounts may swap their aliases, which are unique: all go first, then all come.
        for account in &changes.accounts_set {
            const SQL: &str = "UPDATE accounts SET alias = NULL WHERE id = $1";
            on!(&mut *self, |conn| {
                sqlx::query(SQL).bind(account.id.as_str()).execute(conn).await?;
            })?;
        }
        for account in &changes.accounts_set {
            self.set_account(account).await?;
        }
        for role in &changes.roles_set {
            self.set_role(role).await?;
        }
        self.add_grants(&changes.grants_added, by, at).await
    }

    async fn set_account(&mut self, account: &Account) -> Result<(), StoreError> {
        const SQL: &str = "
            INSERT INTO accounts (id, alias, name, external_id, tags) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (id) DO UPDATE SET alias = excluded.alias, name = excluded.name,
                external_id = excluded.external_id, tags = excluded.tags";
        on!(self, |conn| {
            sqlx::query(SQL)
                .bind(account.id.as_str())
                .bind(account.alias.as_ref().map(Alias::as_str))
                .bind(account.name.as_deref())
                .bind(account.external_id.as_ref().map(ExternalId::expose))
                .bind(serde_json::json!(account.tags).to_string())
                .execute(conn)
                .await?;
        })
    }

    async fn set_role(&mut self, role: &Role) -> Result<(), StoreError> {
        const SQL: &str = "
            INSERT INTO roles (account_id, name, path, description, max_duration_seconds, source_identity, session_tags)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (account_id, name) DO UPDATE SET path = excluded.path, description = excluded.description,
                max_duration_seconds = excluded.max_duration_seconds, source_identity = excluded.source_identity,
                session_tags = excluded.session_tags";
        on!(self, |conn| {
            sqlx::query(SQL)
                .bind(role.account_id.as_str())
                .bind(role.name.as_str())
                .bind(role.path.as_str())
                .bind(role.description.as_deref())
                .bind(i64::from(role.max_duration.seconds()))
                .bind(role.source_identity)
                .bind(serde_json::json!(role.session_tags).to_string())
                .execute(conn)
                .await?;
        })
    }
}

/// The values of an `IN (…)`, each bound.
pub(super) fn push_list<DB: Database>(q: &mut QueryBuilder<DB>, values: &[String])
where
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    let mut list = q.separated(", ");
    for value in values {
        list.push_bind(value.clone());
    }
}
