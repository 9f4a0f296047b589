use super::{GivenPolicy, NO_STORE, USUAL_PAGE, optional_reason, page_size, parse_policy, sendable, session_duration};
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
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserr, IntoParams)]
#[into_params(parameter_in = Query)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http) struct ListQuery {
    #[deserr(default = USUAL_PAGE, try_from(String) = page_size -> Invalid)]
    /// The longest page.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    pub(super) limit: u32,
    #[deserr(default)]
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<GrantId>,
}

/// One page of grants.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Grants<'a> {
    grants: Vec<Shown<'a>>,
    /// Null at the end.
    next_cursor: Option<GrantId>,
}

/// A single grant.
#[derive(Serialize, ToSchema)]
#[schema(as = Grant)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Shown<'a> {
    created_at: Time,
    created_by: &'a Principal,
    expires: Option<Time>,
    id: &'a GrantId,
    max_duration_seconds: Option<SessionDuration>,
    reason: Option<&'a Reason>,
    require_reason: bool,
    /// `<account id>/<role name>`, or `…/*`.
    role: String,
    /// Always applied.
    session_policy: Option<Value>,
    /// Where a request must come from; anywhere where empty.
    source_ips: &'a [IpNet],
    to: &'a Principal,
}

/// The single grants, newest first; the file's stand in the file.
#[utoipa::path(
    get, path = "/v1/grants", operation_id = "listGrants", tag = "allowlist", params(ListQuery),
    responses((status = 200, description = "One page of grants", body = Grants)),
)]
pub(in crate::http) async fn list(
    State(app): State<App>,
    _: Auditor,
    Params(query): Params<ListQuery>,
) -> Result<impl IntoResponse, Error> {
    let grants = app.access.list_grants(query.cursor.as_ref(), query.limit).await?;
    let next_cursor = grants.last().filter(|_| grants.len() == query.limit as usize).map(|grant| grant.id.clone());
    let grants = grants.iter().map(show).collect();
    Ok((NO_STORE, Json(Grants { grants, next_cursor })).into_response())
}

/// Whom to grant what.
#[derive(Debug, Deserr, ToSchema)]
#[deserr(error = Faults, deny_unknown_fields)]
#[schema(as = GrantRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Body {
    #[deserr(try_from(Principal) = grantable -> Invalid)]
    to: Principal,
    role: RoleRef,
    /// At most 90 days ahead.
    expires: Time,
    reason: Reason,
    #[deserr(default, try_from(Option<u64>) = session_duration -> Invalid)]
    max_duration_seconds: Option<SessionDuration>,
    /// Whether a request must bring a reason.
    #[deserr(default)]
    #[schema(required = false, default = false)]
    require_reason: bool,
    /// Where a request must come from; anywhere where empty.
    #[deserr(default)]
    #[schema(required = false)]
    source_ips: Vec<IpNet>,
    #[deserr(default, try_from(Option<Value>) = parse_policy -> Invalid)]
    /// An IAM policy that is always applied.
    session_policy: Option<GivenPolicy>,
}

impl Body {
    pub(in crate::http) fn grant(self) -> Result<NewGrant, Error> {
        let conditions = Conditions {
            max_duration: self.max_duration_seconds,
            require_reason: self.require_reason,
            expires: Some(self.expires),
            source_ips: self.source_ips,
            session_policy: sendable(self.session_policy)?,
        };
        Ok(NewGrant { principal: self.to, role: self.role, conditions, reason: self.reason })
    }
}

pub(super) fn grantable(principal: Principal) -> Result<Principal, Invalid> {
    if principal.can_be_granted() {
        Ok(principal)
    } else {
        Err(Invalid::new("a principal: user:<name>, group:<name> or workload:<issuer>/<subject>"))
    }
}

/// Makes a single grant.
#[utoipa::path(
    post, path = "/v1/grants", operation_id = "addGrant", tag = "allowlist", request_body = Body,
    responses((status = 201, description = "The grant", body = Shown)),
)]
pub(in crate::http) async fn add(
    State(app): State<App>,
    Admin(who): Admin,
    Input(body): Input<Body>,
) -> Result<impl IntoResponse, Error> {
    let grant = app.access.add_grant(body.grant()?, &who.actor, who.caller.groups()).await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(show(&grant))).into_response())
}

/// Why it ends.
#[derive(Debug, Deserr, IntoParams)]
#[into_params(parameter_in = Query)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http) struct Ending {
    #[deserr(default, try_from(Option<String>) = optional_reason -> Invalid)]
    /// Why it ends; it goes on record. A blank one is none.
    #[param(value_type = Option<String>, max_length = 512, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", example = "INC-42")]
    pub(in crate::http) reason: Option<Reason>,
}

/// Ends a single grant: it stops working at the next request.
#[utoipa::path(
    delete, path = "/v1/grants/{id}", operation_id = "removeGrant", tag = "allowlist",
    params(("id" = GrantId, Path, description = "The grant's id."), Ending),
    responses((status = 204, description = "It has ended")),
)]
pub(in crate::http) async fn remove(
    State(app): State<App>,
    Admin(who): Admin,
    Named(id): Named<GrantId>,
    Params(Ending { reason }): Params<Ending>,
) -> Result<impl IntoResponse, Error> {
    app.access.remove_grant(&id, reason, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(grant: &Grant) -> Shown<'_> {
    let role = match &grant.target {
        GrantTarget::Role(account, role) => format!("{account}/{role}"),
        GrantTarget::Account(account) => format!("{account}/*"),
    };
    let Conditions { max_duration, require_reason, expires, source_ips, session_policy } = &grant.conditions;
    Shown {
        created_at: grant.created_at,
        created_by: &grant.created_by,
        expires: *expires,
        id: &grant.id,
        max_duration_seconds: *max_duration,
        reason: grant.reason.as_ref(),
        require_reason: *require_reason,
        role,
        session_policy: session_policy.as_ref().and_then(|policy| serde_json::from_str(policy.as_str()).ok()),
        source_ips,
        to: &grant.principal,
    }
}
