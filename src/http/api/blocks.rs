use super::{
    NO_STORE,
    grants::{Ending, ListQuery, grantable},
};
use crate::{
    access::NewBlock,
    app::App,
    http::{
        error::Error,
        extract::{Admin, Auditor, Authenticated, Input, Named, Params},
    },
    input::Faults,
    model::{Block, BlockTarget, GrantId, Principal, Reason, RoleRef, Time},
};
use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use deserr::Deserr;
use serde::Serialize;
use utoipa::ToSchema;

/// One page of blocks.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Blocks<'a> {
    blocks: Vec<Shown<'a>>,
    /// Null at the end.
    next_cursor: Option<GrantId>,
}

/// A block.
#[derive(Serialize, ToSchema)]
#[schema(as = Block)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Shown<'a> {
    created_at: Time,
    created_by: &'a Principal,
    id: &'a GrantId,
    /// Who is blocked; null where a role is.
    principal: Option<&'a Principal>,
    reason: &'a Reason,
    /// `<account id>/<role name>`; null where a principal is blocked.
    role: Option<String>,
    /// When it ends; null where it does not.
    until: Option<Time>,
}

/// The blocks, newest first, those whose time is over too.
#[utoipa::path(
    get, path = "/v1/blocks", operation_id = "listBlocks", tag = "allowlist", params(ListQuery),
    responses((status = 200, description = "One page of blocks", body = Blocks)),
)]
pub(in crate::http) async fn list(
    State(app): State<App>,
    _: Auditor,
    Params(query): Params<ListQuery>,
) -> Result<impl IntoResponse, Error> {
    let blocks = app.access.list_blocks(query.cursor.as_ref(), query.limit).await?;
    let next_cursor = blocks.last().filter(|_| blocks.len() == query.limit as usize).map(|block| block.id.clone());
    let blocks = blocks.iter().map(show).collect();
    Ok((NO_STORE, Json(Blocks { blocks, next_cursor })).into_response())
}

/// What to block: either a principal or a role.
#[derive(Debug, Deserr, ToSchema)]
#[deserr(error = Faults, deny_unknown_fields)]
#[schema(as = BlockRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Body {
    #[deserr(default)]
    principal: Option<Principal>,
    #[deserr(default)]
    role: Option<RoleRef>,
    reason: Reason,
    /// When it ends; it stays until it is lifted where there is none.
    #[deserr(default)]
    until: Option<Time>,
}

impl Body {
    pub(in crate::http) async fn make(self, app: &App, who: &Authenticated) -> Result<Block, Error> {
        let target = match (self.principal, self.role) {
            (Some(principal), None) => NewBlock::Principal(
                grantable(principal).map_err(|fault| Faults::at("/principal", format!("expected {fault}")))?,
            ),
            (None, Some(role)) => NewBlock::Role(role),
            _ => return Err(Faults::at("", "expected either a principal or a role").into()),
        };
        if self.until.is_some_and(|until| until <= app.clock.now()) {
            return Err(Faults::at("/until", "expected a time in the future").into());
        }
        Ok(app.access.add_block(target, self.reason, self.until, &who.actor).await?)
    }
}

/// Blocks a principal or a role.
#[utoipa::path(
    post, path = "/v1/blocks", operation_id = "addBlock", tag = "allowlist", request_body = Body,
    responses((status = 201, description = "The block", body = Shown)),
)]
pub(in crate::http) async fn add(
    State(app): State<App>,
    Admin(who): Admin,
    Input(body): Input<Body>,
) -> Result<impl IntoResponse, Error> {
    let block = body.make(&app, &who).await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(show(&block))).into_response())
}

/// Lifts a block.
#[utoipa::path(
    delete, path = "/v1/blocks/{id}", operation_id = "removeBlock", tag = "allowlist",
    params(("id" = GrantId, Path, description = "The block's id."), Ending),
    responses((status = 204, description = "It is lifted")),
)]
pub(in crate::http) async fn remove(
    State(app): State<App>,
    Admin(who): Admin,
    Named(id): Named<GrantId>,
    Params(Ending { reason }): Params<Ending>,
) -> Result<impl IntoResponse, Error> {
    app.access.remove_block(&id, reason, &who.actor, who.caller.groups()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(block: &Block) -> Shown<'_> {
    let (principal, role) = match &block.target {
        BlockTarget::Principal(principal) => (Some(principal), None),
        BlockTarget::Role(account, role) => (None, Some(format!("{account}/{role}"))),
    };
    let Block { id, reason, until, created_by, created_at, .. } = block;
    Shown { created_at: *created_at, created_by, id, principal, reason, role, until: *until }
}
