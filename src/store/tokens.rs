//! API tokens: looked up by their hash at each request, so that a revoked one stops working at the next.

use super::{
    ChangeError, Store, StoreError, Tx,
    access::push_list,
    limited, on,
    rows::{corrupt, time},
};
use crate::{
    model::{ApiToken, BoundRole, Name, Principal, Time, TokenId, TokenUse},
    secret::TokenHash,
};
use sqlx::{FromRow, QueryBuilder};

/// Of one UPDATE; SQLite takes 32,766 values.
const IDS_AT_ONCE: usize = 1000;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, owner, principal, roles, only_use, created_at, expires_at, ended_at, last_used_at \
             FROM api_tokens WHERE ",
            $rest
        )
    };
}

/// Which tokens somebody may see and revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenScope {
    /// All of them.
    All,
    /// Those that this principal made.
    Owner(Principal),
    /// This one.
    One(TokenId),
}

#[derive(FromRow)]
struct TokenRow {
    id: String,
    name: String,
    owner: String,
    principal: String,
    roles: Option<String>,
    only_use: Option<String>,
    created_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl TokenRow {
    fn read(self) -> Result<ApiToken, StoreError> {
        let corrupt = corrupt("api_tokens");
        let time = |micros| time("api_tokens", micros);
        Ok(ApiToken {
            id: TokenId::parse(&self.id).map_err(&corrupt)?,
            name: Name::parse(&self.name).map_err(&corrupt)?,
            owner: Principal::parse(&self.owner).map_err(&corrupt)?,
            principal: Principal::parse(&self.principal).map_err(&corrupt)?,
            roles: self.roles.as_deref().map(read_roles).transpose()?,
            // One that this program does not know narrows in a way it cannot keep to.
            usage: match self.only_use.as_deref() {
                None => None,
                Some(text) if text == TokenUse::Container.as_str() => Some(TokenUse::Container),
                Some(_) => return Err(self::corrupt("api_tokens")("a use that is not known here")),
            },
            created_at: time(self.created_at)?,
            expires_at: time(self.expires_at)?,
            ended_at: self.ended_at.map(time).transpose()?,
            last_used_at: self.last_used_at.map(time).transpose()?,
        })
    }
}

fn read_roles(json: &str) -> Result<Vec<BoundRole>, StoreError> {
    let roles: Vec<String> = serde_json::from_str(json).map_err(corrupt("api_tokens"))?;
    roles.iter().map(|role| BoundRole::parse(role).map_err(corrupt("api_tokens"))).collect()
}

impl Store {
    /// The token of this hash, ended or not. Every request with one asks: one statement, and one trip.
    pub async fn find_token(&self, hash: &TokenHash) -> Result<Option<ApiToken>, StoreError> {
        const SQL: &str = select!("hash = $1");
        let row: Option<TokenRow> = match self {
            Self::Sqlite { read, .. } => {
                limited(sqlx::query_as(SQL).bind(hash.as_bytes()).fetch_optional(read)).await?
            }
            Self::Postgres { read, .. } => {
                limited(sqlx::query_as(SQL).bind(hash.as_bytes()).fetch_optional(read)).await?
            }
        };
        row.map(TokenRow::read).transpose()
    }

    /// Notes that these tokens were used now, but for those of which that was noted within the last minute, by whichever
    /// replica; how many it was.
    pub async fn note_token_uses(&self, ids: &[TokenId], now: Time) -> Result<u64, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let before = now.minus(ApiToken::USE_KEPT_TO).as_micros();
        let mut tx = self.begin().await?;
        let mut noted = 0;
        for some in ids.chunks(IDS_AT_ONCE) {
            noted += on!(&mut tx, |conn| {
                let mut q = QueryBuilder::new("UPDATE api_tokens SET last_used_at = ");
                q.push_bind(now.as_micros()).push(" WHERE (last_used_at IS NULL OR last_used_at <= ").push_bind(before);
                q.push(") AND id IN (");
                push_list(&mut q, some);
                q.push(")");
                q.build().execute(conn).await?.rows_affected()
            })?;
        }
        tx.commit().await?;
        Ok(noted)
    }
}

impl Tx {
    /// The tokens of a scope, newest first, at most `limit` after the one with id `after`.
    pub async fn list_tokens(
        &mut self,
        scope: &TokenScope,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<ApiToken>, StoreError> {
        let rows: Vec<TokenRow> = on!(self, |conn| {
            let mut q = QueryBuilder::new(select!(""));
            match scope {
                TokenScope::All => q.push("true"),
                TokenScope::Owner(owner) => q.push("owner = ").push_bind(owner.to_string()),
                TokenScope::One(id) => q.push("id = ").push_bind(id.to_string()),
            };
            if let Some(after) = after {
                q.push(" AND id < ").push_bind(after.to_string());
            }
            q.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(limit));
            q.build_query_as().fetch_all(conn).await?
        })?;
        rows.into_iter().map(TokenRow::read).collect()
    }

    /// One token of a scope, ended or not.
    pub async fn find_token_of(&mut self, scope: &TokenScope, id: TokenId) -> Result<Option<ApiToken>, StoreError> {
        const SQL: &str = select!("id = $1");
        let row: Option<TokenRow> =
            on!(self, |conn| sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(conn).await?)?;
        let token = row.map(TokenRow::read).transpose()?;
        Ok(token.filter(|token| match scope {
            TokenScope::All => true,
            TokenScope::Owner(owner) => token.owner == *owner,
            TokenScope::One(own) => token.id == *own,
        }))
    }

    /// Adds a token. One of the same name that has expired makes way.
    pub(super) async fn add_token(&mut self, token: &ApiToken, hash: &TokenHash) -> Result<(), ChangeError> {
        const EXPIRED: &str = "UPDATE api_tokens SET ended_at = expires_at \
                               WHERE principal = $1 AND name = $2 AND ended_at IS NULL AND expires_at <= $3";
        const SQL: &str = "
            INSERT INTO api_tokens (id, hash, name, owner, principal, roles, only_use, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (principal, name) WHERE ended_at IS NULL DO NOTHING";
        const LIVING: &str = "SELECT id FROM api_tokens WHERE principal = $1 AND name = $2 AND ended_at IS NULL";
        let (principal, created_at) = (token.principal.to_string(), token.created_at.as_micros());
        on!(&mut *self, |conn| {
            let expired = sqlx::query(EXPIRED).bind(&principal).bind(token.name.as_str()).bind(created_at);
            expired.execute(conn).await?;
        })?;
        let roles = token.roles.as_ref().map(|roles| serde_json::json!(roles).to_string());
        let added = on!(&mut *self, |conn| {
            sqlx::query(SQL)
                .bind(token.id.to_string())
                .bind(hash.as_bytes())
                .bind(token.name.as_str())
                .bind(token.owner.to_string())
                .bind(&principal)
                .bind(roles.as_deref())
                .bind(token.usage.map(TokenUse::as_str))
                .bind(created_at)
                .bind(token.expires_at.as_micros())
                .execute(conn)
                .await?
                .rows_affected()
        })?;
        if added > 0 {
            return Ok(());
        }
        let living = on!(self, |conn| {
            sqlx::query_scalar(LIVING).bind(&principal).bind(token.name.as_str()).fetch_one(conn).await?
        })?;
        Err(ChangeError::Exists(living))
    }

    /// Ends a living token.
    pub(super) async fn revoke_token(&mut self, id: TokenId, at: Time) -> Result<(), ChangeError> {
        const SQL: &str = "UPDATE api_tokens SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
        let revoked = on!(self, |conn| {
            sqlx::query(SQL).bind(id.to_string()).bind(at.as_micros()).execute(conn).await?.rows_affected()
        })?;
        if revoked > 0 { Ok(()) } else { Err(ChangeError::NotFound) }
    }
}
