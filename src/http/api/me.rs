use super::{NO_STORE, USUAL_PAGE, page_size};
use crate::{
    allowlist::{Candidates, Limit, Offer, offers},
    app::App,
    audit::Auth,
    http::{
        error::Error,
        extract::{Authenticated, Known, Params},
    },
    input::Faults,
    model::{
        Account, AccountId, Alias, BoundRole, GrantId, Invalid, Name, Principal, PrincipalKind, RoleArn, RoleName,
        Tags, Time, TokenId, TokenUse,
    },
    store::Wanted,
};
use axum::{Json, extract::State, response::IntoResponse};
use deserr::Deserr;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// Who calls.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Whoami<'a> {
    admin: bool,
    applier: bool,
    auditor: bool,
    auth: &'a Auth,
    /// When what the caller was made out by ends.
    expires_at: Time,
    groups: &'a [Principal],
    kind: PrincipalKind,
    principal: &'a Principal,
    /// The API token they call with, where it is one.
    token: Option<ItsToken<'a>>,
}

/// An API token, and what narrows it.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnToken)]
#[serde(deny_unknown_fields)]
struct ItsToken<'a> {
    id: TokenId,
    name: &'a Name,
    /// The only roles it can ask for; null where it can for any.
    roles: Option<&'a [BoundRole]>,
    /// The only door it opens; null where it opens every one.
    #[serde(rename = "use")]
    usage: Option<TokenUse>,
}

/// Who the caller is, as the allowlist names them.
#[utoipa::path(
    get, path = "/v1/whoami", operation_id = "whoami", tag = "caller",
    responses((status = 200, description = "The caller", body = Whoami)),
)]
pub(in crate::http) async fn whoami(State(app): State<App>, Known(who): Known) -> impl IntoResponse {
    let caller = &who.caller;
    let body = Whoami {
        admin: app.powers.is_admin(caller),
        applier: app.powers.is_applier(caller),
        auditor: app.powers.is_auditor(caller),
        auth: caller.auth(),
        expires_at: caller.expires_at(),
        groups: caller.groups(),
        kind: caller.principal().kind(),
        principal: caller.principal(),
        token: caller.token().map(|token| ItsToken {
            id: token.id,
            name: &token.name,
            roles: token.roles.as_deref(),
            usage: token.usage,
        }),
    };
    (NO_STORE, Json(body)).into_response()
}

#[derive(Debug, Deserr, IntoParams)]
#[into_params(parameter_in = Query)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http) struct RolesQuery {
    #[deserr(default = USUAL_PAGE, try_from(String) = page_size -> Invalid)]
    /// The longest page.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
    #[deserr(default, try_from(Option<String>) = parse_cursor -> Invalid)]
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>, pattern = "^[0-9]{12}/[A-Za-z0-9_+=,.@-]{1,64}$")]
    cursor: Option<(AccountId, RoleName)>,
}

/// `<account id>/<role name>`: where the page before ended.
#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
pub(in crate::http) fn parse_cursor(text: Option<String>) -> Result<Option<(AccountId, RoleName)>, Invalid> {
    let read = |text: &str| {
        let (account, role) = text.split_once('/').ok_or(Invalid::new("the next_cursor of the page before"))?;
        Ok((AccountId::parse(account)?, RoleName::parse(role)?))
    };
    text.as_deref().map(read).transpose()
}

/// One page of roles.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Roles<'a> {
    /// Null at the end.
    next_cursor: Option<String>,
    roles: Vec<OfferedRole<'a>>,
}

/// A role, and the caller's grants that allow it.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OfferedRole<'a> {
    account: ItsAccount<'a>,
    description: Option<&'a str>,
    grants: Vec<ItsGrant<'a>>,
    name: &'a RoleName,
    /// As a request names it.
    #[schema(example = "prod/ReadOnly")]
    role: String,
    role_arn: RoleArn,
}

/// An account, as the allowlist has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
#[serde(deny_unknown_fields)]
struct ItsAccount<'a> {
    alias: Option<&'a Alias>,
    id: &'a AccountId,
    name: Option<&'a str>,
    tags: &'a Tags,
}

/// A grant that allows a role, and what a request must bring.
#[derive(Serialize, ToSchema)]
#[schema(as = Offer)]
#[serde(deny_unknown_fields)]
struct ItsGrant<'a> {
    expires: Option<Time>,
    grant_id: &'a GrantId,
    /// What keeps `max_duration_seconds` from being longer.
    limited_by: Limit,
    /// The longest session to be had now.
    max_duration_seconds: u32,
    require_reason: bool,
    /// Whether the grant has a session policy of its own, and a request may have none.
    session_policy_fixed: bool,
    /// The principal of the grant.
    via: &'a Principal,
}

/// The roles that the caller may assume now, with what a request must bring.
#[utoipa::path(
    get, path = "/v1/roles", operation_id = "listRoles", tag = "caller", params(RolesQuery),
    responses((status = 200, description = "One page of roles", body = Roles)),
)]
pub(in crate::http) async fn roles(
    State(app): State<App>,
    who: Authenticated,
    Params(query): Params<RolesQuery>,
) -> Result<impl IntoResponse, Error> {
    let asker = who.asker();
    let principals: Vec<&Principal> = asker.principals().collect();
    let wanted = Wanted { after: query.cursor.as_ref(), ..Wanted::default() };
    let reach = app.store.read().await?.list_reach(&principals, wanted, query.limit).await?;
    let chained = app.sts.identity().is_some_and(|identity| identity.chained);
    let now = app.clock.now();
    let offered = |candidates| {
        let offers = offers(candidates, &asker, chained, now);
        show(&app, candidates, &offers)
    };
    let roles = reach.roles.iter().filter_map(offered).collect();
    let next_cursor = reach.next.map(|(account, role)| format!("{account}/{role}"));
    Ok((NO_STORE, Json(Roles { next_cursor, roles })).into_response())
}

/// A role that no grant offers is not shown.
fn show<'a>(app: &App, candidates: &'a Candidates, offers: &[Offer<'a>]) -> Option<OfferedRole<'a>> {
    let (account, role) = candidates.role.as_ref().filter(|_| !offers.is_empty())?;
    let Account { alias, id, name, tags, .. } = account;
    Some(OfferedRole {
        account: ItsAccount { alias: alias.as_ref(), id, name: name.as_deref(), tags },
        description: role.description.as_deref(),
        grants: offers.iter().map(show_offer).collect(),
        name: &role.name,
        role: format!("{}/{}", account.label(), role.name),
        role_arn: role.arn(app.sts.partition()),
    })
}

fn show_offer<'a>(offer: &Offer<'a>) -> ItsGrant<'a> {
    let conditions = &offer.grant.conditions;
    ItsGrant {
        expires: conditions.expires,
        grant_id: &offer.grant.id,
        limited_by: offer.limit,
        max_duration_seconds: offer.longest.seconds(),
        require_reason: conditions.require_reason,
        session_policy_fixed: conditions.session_policy.is_some(),
        via: &offer.grant.principal,
    }
}
