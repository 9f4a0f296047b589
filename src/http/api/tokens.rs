use super::{NO_STORE, USUAL_PAGE, page_size};
use crate::{
    access::NewToken,
    app::App,
    http::{
        error::Error,
        extract::{Authenticated, Input, Named, Params, TokenCreator},
    },
    input::Faults,
    model::{ApiToken, BoundRole, Invalid, Name, Principal, RoleRef, Time, TokenId, TokenLifetime, TokenUse},
};
use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use deserr::Deserr;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// A token is bound to no more roles than this: a refusal names them all.
const MOST_ROLES: usize = 20;

#[derive(Debug, Deserr, IntoParams)]
#[into_params(parameter_in = Query)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http) struct ListQuery {
    #[deserr(default = USUAL_PAGE, try_from(String) = page_size -> Invalid)]
    /// The longest page.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
    #[deserr(default)]
    /// The `next_cursor` of the page before.
    cursor: Option<TokenId>,
}

/// One page of API tokens.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Tokens<'a> {
    /// Null at the end.
    next_cursor: Option<TokenId>,
    tokens: Vec<Shown<'a>>,
}

/// An API token, without its text.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Shown<'a> {
    created_at: Time,
    expires_at: Time,
    id: TokenId,
    /// To the minute; null where it never was.
    last_used_at: Option<Time>,
    name: &'a Name,
    /// Who made it.
    owner: &'a Principal,
    /// As whom it asks.
    principal: &'a Principal,
    /// Null where it is good for as long as it lives.
    revoked_at: Option<Time>,
    /// The only roles it can ask for; null where it can for any.
    roles: Option<&'a [BoundRole]>,
    /// The only door it opens; null where it opens every one.
    #[serde(rename = "use")]
    usage: Option<TokenUse>,
}

/// The caller's API tokens, newest first, the ended ones too; an admin sees everybody's, and an API token itself.
#[utoipa::path(
    get, path = "/v1/tokens", operation_id = "listTokens", tag = "caller", params(ListQuery),
    responses((status = 200, description = "One page of API tokens", body = Tokens)),
)]
pub(in crate::http) async fn list(
    State(app): State<App>,
    who: Authenticated,
    Params(query): Params<ListQuery>,
) -> Result<impl IntoResponse, Error> {
    let tokens = app.access.list_tokens(&app.powers.token_scope(&who.caller), query.cursor, query.limit).await?;
    let next_cursor = tokens.last().filter(|_| tokens.len() == query.limit as usize).map(|token| token.id);
    let tokens = tokens.iter().map(show).collect();
    Ok((NO_STORE, Json(Tokens { next_cursor, tokens })).into_response())
}

/// Which API token to make.
#[derive(Debug, Deserr, ToSchema)]
#[deserr(error = Faults, deny_unknown_fields)]
#[schema(as = TokenRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Body {
    /// What it is called: no other living token of its owner's is called so, or no other machine's.
    name: Name,
    /// How long it lives: 30 days where nothing is said.
    #[deserr(default = TokenLifetime::USUAL, try_from(u64) = TokenLifetime::from_seconds -> Invalid)]
    #[schema(required = false, default = 2_592_000)]
    duration_seconds: TokenLifetime,
    /// The only roles it shall be good for: a person's own, by a grant to their name.
    #[deserr(default, try_from(Option<Vec<RoleRef>>) = some_roles -> Invalid)]
    #[schema(value_type = Option<Vec<RoleRef>>, min_items = 1, max_items = 20)]
    roles: Option<Vec<RoleRef>>,
    /// The only door it shall open.
    #[deserr(default, rename = "use")]
    #[schema(rename = "use")]
    usage: Option<TokenUse>,
    /// Whether it is a machine's, `workload:token/<name>`, for an admin to make.
    #[deserr(default)]
    #[schema(required = false, default = false)]
    machine: bool,
}

/// Bound to none it would be good for nothing.
fn some_roles(roles: Option<Vec<RoleRef>>) -> Result<Option<Vec<RoleRef>>, Invalid> {
    match roles {
        Some(roles) if !(1..=MOST_ROLES).contains(&roles.len()) => Err(Invalid::new("1 to 20 roles")),
        roles => Ok(roles),
    }
}

/// A new API token. Its text is in no other answer.
#[derive(Serialize, ToSchema)]
#[schema(as = NewToken)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Made<'a> {
    expires_at: Time,
    id: TokenId,
    name: &'a Name,
    /// As whom it asks.
    principal: &'a Principal,
    /// The only roles it can ask for; null where it can for any.
    roles: Option<&'a [BoundRole]>,
    /// What to send as the bearer token. Kept nowhere: it cannot be shown again.
    #[schema(pattern = "^hp_[A-Z2-7]{64}$")]
    token: &'a str,
    /// The only door it opens; null where it opens every one.
    #[serde(rename = "use")]
    usage: Option<TokenUse>,
}

/// Makes an API token, within 15 minutes of signing in.
#[utoipa::path(
    post, path = "/v1/tokens", operation_id = "addToken", tag = "caller", request_body = Body,
    responses((status = 201, description = "The token, shown this once", body = Made)),
)]
pub(in crate::http) async fn add(
    State(app): State<App>,
    TokenCreator(who): TokenCreator,
    Input(body): Input<Body>,
) -> Result<impl IntoResponse, Error> {
    if body.machine && !app.powers.is_admin(&who.caller) {
        return Err(Error::Forbidden("an admin, who makes API tokens for machines,"));
    }
    if !body.machine && !who.caller.principal().can_be_granted() {
        return Err(Faults::at("/machine", "expected true: no grant names who works at the database").into());
    }
    let Body { name, duration_seconds: lifetime, roles, usage, machine } = body;
    let new = NewToken { name, machine, lifetime, roles, usage };
    let (token, text) = app.access.add_token(new, &who.caller, &who.actor).await?;
    let made = Made {
        expires_at: token.expires_at,
        id: token.id,
        name: &token.name,
        principal: &token.principal,
        roles: token.roles.as_deref(),
        token: text.expose(),
        usage: token.usage,
    };
    Ok((StatusCode::CREATED, NO_STORE, Json(made)).into_response())
}

/// Revokes an API token: it stops working at the next request.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", operation_id = "revokeToken", tag = "caller",
    params(("id" = TokenId, Path, description = "The token's id.")),
    responses((status = 204, description = "It is revoked")),
)]
pub(in crate::http) async fn revoke(
    State(app): State<App>,
    who: Authenticated,
    Named(id): Named<TokenId>,
) -> Result<impl IntoResponse, Error> {
    app.access.revoke_token(id, &app.powers.token_scope(&who.caller), &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(token: &ApiToken) -> Shown<'_> {
    Shown {
        created_at: token.created_at,
        expires_at: token.expires_at,
        id: token.id,
        last_used_at: token.last_used_at,
        name: &token.name,
        owner: &token.owner,
        principal: &token.principal,
        revoked_at: token.revoked_at(),
        roles: token.roles.as_deref(),
        usage: token.usage,
    }
}
