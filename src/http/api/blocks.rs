use super::{
    NO_STORE,
    grants::{ListQuery, grantable},
    show_time,
};
use crate::{
    access::NewBlock,
    app::App,
    http::{
        error::Error,
        extract::{Admin, Auditor, Input, Named, Params},
    },
    input::Faults,
    model::{Block, BlockTarget, GrantId, Principal, Reason, RoleRef, Time},
};
use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use deserr::Deserr;
use serde_json::{Value, json};

/// The blocks, newest first, those whose time is over too.
pub(in crate::http) async fn list(
    State(app): State<App>,
    _: Auditor,
    Params(query): Params<ListQuery>,
) -> Result<impl IntoResponse, Error> {
    let blocks = app.access.list_blocks(query.cursor.as_ref(), query.limit).await?;
    let next = blocks.last().filter(|_| blocks.len() == query.limit as usize).map(|block| block.id.clone());
    let blocks: Vec<Value> = blocks.iter().map(show).collect();
    Ok((NO_STORE, Json(json!({"blocks": blocks, "next_cursor": next}))))
}

#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http) struct Body {
    #[deserr(default)]
    principal: Option<Principal>,
    #[deserr(default)]
    role: Option<RoleRef>,
    reason: Reason,
    #[deserr(default)]
    until: Option<Time>,
}

/// Blocks a principal or a role.
pub(in crate::http) async fn add(
    State(app): State<App>,
    Admin(who): Admin,
    Input(body): Input<Body>,
) -> Result<impl IntoResponse, Error> {
    let target = match (body.principal, body.role) {
        (Some(principal), None) => NewBlock::Principal(
            grantable(principal).map_err(|fault| Faults::at("/principal", format!("expected {fault}")))?,
        ),
        (None, Some(role)) => NewBlock::Role(role),
        _ => return Err(Faults::at("", "expected either a principal or a role").into()),
    };
    if body.until.is_some_and(|until| until <= app.clock.now()) {
        return Err(Faults::at("/until", "expected a time in the future").into());
    }
    let block = app.access.add_block(target, body.reason, body.until, &who.actor).await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(show(&block))))
}

/// Lifts a block.
pub(in crate::http) async fn remove(
    State(app): State<App>,
    Admin(who): Admin,
    Named(id): Named<GrantId>,
) -> Result<impl IntoResponse, Error> {
    app.access.remove_block(&id, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(block: &Block) -> Value {
    let (principal, role) = match &block.target {
        BlockTarget::Principal(principal) => (Some(principal), None),
        BlockTarget::Role(account, role) => (None, Some(format!("{account}/{role}"))),
    };
    json!({
        "id": block.id, "principal": principal, "role": role, "reason": block.reason, "until": show_time(block.until),
        "created_by": block.created_by, "created_at": block.created_at,
    })
}
