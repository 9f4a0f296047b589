use super::{GivenPolicy, NO_STORE, USUAL_PAGE, page_size, parse_policy, sendable, session_duration, show_conditions};
use crate::{
    access::NewGrant,
    app::App,
    http::{
        error::Error,
        extract::{Admin, Auditor, Input, Named, Params},
    },
    input::Faults,
    model::{
        Conditions, Grant, GrantId, GrantTarget, Invalid, IpNet, Principal, Reason, RoleRef, SessionDuration, Time,
    },
};
use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use deserr::Deserr;
use serde_json::{Value, json};

#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http) struct ListQuery {
    #[deserr(default = USUAL_PAGE, try_from(String) = page_size -> Invalid)]
    pub(super) limit: u32,
    #[deserr(default)]
    pub(super) cursor: Option<GrantId>,
}

/// The single grants, newest first; the file's stand in the file.
pub(in crate::http) async fn list(
    State(app): State<App>,
    _: Auditor,
    Params(query): Params<ListQuery>,
) -> Result<impl IntoResponse, Error> {
    let grants = app.access.list_grants(query.cursor.as_ref(), query.limit).await?;
    let next = grants.last().filter(|_| grants.len() == query.limit as usize).map(|grant| grant.id.clone());
    let grants: Vec<Value> = grants.iter().map(show).collect();
    Ok((NO_STORE, Json(json!({"grants": grants, "next_cursor": next}))))
}

#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http) struct Body {
    #[deserr(try_from(Principal) = grantable -> Invalid)]
    to: Principal,
    role: RoleRef,
    expires: Time,
    reason: Reason,
    #[deserr(default, try_from(Option<u64>) = session_duration -> Invalid)]
    max_duration_seconds: Option<SessionDuration>,
    #[deserr(default)]
    require_reason: bool,
    #[deserr(default)]
    source_ips: Vec<IpNet>,
    #[deserr(default, try_from(Option<Value>) = parse_policy -> Invalid)]
    session_policy: Option<GivenPolicy>,
}

pub(super) fn grantable(principal: Principal) -> Result<Principal, Invalid> {
    if principal.can_be_granted() {
        Ok(principal)
    } else {
        Err(Invalid::new("a principal: user:<name>, group:<name> or workload:<issuer>/<subject>"))
    }
}

/// Makes a single grant.
pub(in crate::http) async fn add(
    State(app): State<App>,
    Admin(who): Admin,
    Input(body): Input<Body>,
) -> Result<impl IntoResponse, Error> {
    let conditions = Conditions {
        max_duration: body.max_duration_seconds,
        require_reason: body.require_reason,
        expires: Some(body.expires),
        source_ips: body.source_ips,
        session_policy: sendable(body.session_policy)?,
    };
    let new = NewGrant { principal: body.to, role: body.role, conditions, reason: body.reason };
    let grant = app.access.add_grant(new, &who.actor).await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(show(&grant))))
}

/// Ends a single grant: it stops working at the next request.
pub(in crate::http) async fn remove(
    State(app): State<App>,
    Admin(who): Admin,
    Named(id): Named<GrantId>,
) -> Result<impl IntoResponse, Error> {
    app.access.remove_grant(&id, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(grant: &Grant) -> Value {
    let role = match &grant.target {
        GrantTarget::Role(account, role) => format!("{account}/{role}"),
        GrantTarget::Account(account) => format!("{account}/*"),
    };
    let mut body = json!({
        "id": grant.id, "to": grant.principal, "role": role, "reason": grant.reason,
        "created_by": grant.created_by, "created_at": grant.created_at,
    });
    if let (Value::Object(body), Value::Object(conditions)) = (&mut body, show_conditions(&grant.conditions)) {
        body.extend(conditions);
    }
    body
}
