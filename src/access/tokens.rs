//! API tokens: who may make, see and end which.

use super::{Access, AccessError};
use crate::{
    audit::{Actor, Event, Kind},
    identity::Caller,
    input::Faults,
    model::{ApiToken, BoundRole, GrantTarget, Name, Principal, RoleRef, TokenId, TokenLifetime, TokenUse},
    secret::OpaqueToken,
    store::{Change, TokenScope},
};
use serde_json::json;
use std::time::Duration;

/// Whoever makes a token has signed in within this.
pub const SIGNED_IN_WITHIN: Duration = Duration::from_mins(15);

/// A new API token, before it has an id.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it is called; unique among the owner's living tokens, or among those of machines.
    pub name: Name,
    /// Whether it is a machine's, `workload:token/<name>`, rather than its owner's.
    pub machine: bool,
    /// How long it lives.
    pub lifetime: TokenLifetime,
    /// The only roles it shall be good for.
    pub roles: Option<Vec<RoleRef>>,
    /// The only door it shall open.
    pub usage: Option<TokenUse>,
}

impl Access {
    /// Makes an API token; its text is nowhere else. That the caller may make one, and a machine's, has been decided. An
    /// API token cannot make another: nobody signs in with one.
    pub async fn add_token(
        &self,
        new: NewToken,
        caller: &Caller,
        actor: &Actor,
    ) -> Result<(ApiToken, OpaqueToken), AccessError> {
        let now = self.clock.now();
        if caller.authenticated_at().is_none_or(|at| at.plus(SIGNED_IN_WITHIN) < now) {
            return Err(AccessError::SignInAgain);
        }
        let owner = caller.principal().clone();
        let principal = if new.machine { Principal::machine(new.name.clone()) } else { owner.clone() };
        let roles = match &new.roles {
            Some(roles) => Some(self.find_bounds(roles, &principal, new.machine).await?),
            None => None,
        };
        let token = ApiToken {
            id: TokenId::new(self.clock.new_id()),
            name: new.name,
            owner,
            principal,
            roles,
            usage: new.usage,
            created_at: now,
            expires_at: now.plus(new.lifetime.as_duration()),
            ended_at: None,
            last_used_at: None,
        };
        let text = OpaqueToken::generate();
        let event = self.token_event(Kind::TokenCreated, actor, &token);
        self.recorder.change(Change::AddToken(Box::new(token.clone()), text.hash()), event).await?;
        Ok((token, text))
    }

    /// Ends a living token within the scope; it stops working at the next request.
    pub async fn revoke_token(&self, id: TokenId, scope: &TokenScope, actor: &Actor) -> Result<(), AccessError> {
        let token = self.store.read().await?.find_token_of(scope, id).await?.ok_or(AccessError::NotFound)?;
        let event = self.token_event(Kind::TokenRevoked, actor, &token);
        self.recorder.change(Change::RevokeToken(id, event.at), event).await?;
        Ok(())
    }

    /// The tokens within the scope, newest first, the ended ones too.
    pub async fn list_tokens(
        &self,
        scope: &TokenScope,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<ApiToken>, AccessError> {
        Ok(self.store.read().await?.list_tokens(scope, after, limit).await?)
    }

    /// A person binds a token to roles that a grant to their name reaches: another would do nothing, and saying which roles
    /// there are would tell what no answer tells. For a machine it is an admin who asks, and the grant may come later.
    async fn find_bounds(
        &self,
        roles: &[RoleRef],
        principal: &Principal,
        machine: bool,
    ) -> Result<Vec<BoundRole>, AccessError> {
        let mut faults = Faults::default();
        let mut bounds = Vec::new();
        for (place, role) in roles.iter().enumerate() {
            let reached = machine || self.is_granted(principal, role).await?;
            match self.find_target(role).await {
                Ok((GrantTarget::Role(account, role), _)) if reached => bounds.push(BoundRole { account, role }),
                Ok(_) | Err(AccessError::NoSuchRole) => {
                    let expected = if machine { "a role that the allowlist lists" } else { OWN_ROLE };
                    faults.push(format!("/roles/{place}"), format!("expected {expected}"));
                }
                Err(error) => return Err(error),
            }
        }
        bounds.sort();
        bounds.dedup();
        faults.into_result(bounds).map_err(AccessError::Bounds)
    }

    async fn is_granted(&self, principal: &Principal, role: &RoleRef) -> Result<bool, AccessError> {
        Ok(!self.store.find_candidates(&[principal], role).await?.grants.is_empty())
    }

    fn token_event(&self, kind: Kind, actor: &Actor, token: &ApiToken) -> Event {
        let mut event = self.event(kind, actor);
        event.expires_at = Some(token.expires_at);
        for (name, value) in [
            ("token_id", json!(token.id)),
            ("name", json!(token.name)),
            ("owner", json!(token.owner)),
            ("principal", json!(token.principal)),
            ("roles", json!(token.roles)),
            ("use", json!(token.usage)),
        ] {
            event.detail.insert(name.to_owned(), value);
        }
        event
    }
}

const OWN_ROLE: &str =
    "a role that a grant to your user name reaches; the grants of your groups do not count for a token";
