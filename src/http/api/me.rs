use super::{NO_STORE, USUAL_PAGE, page_size};
use crate::{
    allowlist::{Candidates, offers},
    app::App,
    http::{
        error::Error,
        extract::{Authenticated, Params},
    },
    input::Faults,
    model::{AccountId, Invalid, Principal, RoleName},
};
use axum::{Json, extract::State, response::IntoResponse};
use deserr::Deserr;
use serde_json::{Value, json};

/// Who the caller is, as the allowlist names them.
pub(in crate::http) async fn whoami(State(app): State<App>, who: Authenticated) -> impl IntoResponse {
    let caller = &who.caller;
    let body = json!({
        "principal": caller.principal(),
        "kind": caller.principal().kind(),
        "groups": caller.groups(),
        "auth": caller.auth(),
        "expires_at": caller.expires_at(),
        "admin": app.powers.is_admin(caller),
        "auditor": app.powers.is_auditor(caller),
        "applier": app.powers.is_applier(caller),
    });
    (NO_STORE, Json(body))
}

#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http) struct RolesQuery {
    #[deserr(default = USUAL_PAGE, try_from(String) = page_size -> Invalid)]
    limit: u32,
    #[deserr(default, try_from(Option<String>) = parse_cursor -> Invalid)]
    cursor: Option<(AccountId, RoleName)>,
}

/// `<account id>/<role name>`: where the page before ended.
#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn parse_cursor(text: Option<String>) -> Result<Option<(AccountId, RoleName)>, Invalid> {
    let read = |text: &str| {
        let (account, role) = text.split_once('/').ok_or(Invalid::new("the next_cursor of the page before"))?;
        Ok((AccountId::parse(account)?, RoleName::parse(role)?))
    };
    text.as_deref().map(read).transpose()
}

/// The roles that the caller may assume now, with what a request must bring.
pub(in crate::http) async fn roles(
    State(app): State<App>,
    who: Authenticated,
    Params(query): Params<RolesQuery>,
) -> Result<impl IntoResponse, Error> {
    let asker = who.asker();
    let principals: Vec<&Principal> = asker.principals().collect();
    let reach = app.store.read().await?.list_reach(&principals, query.cursor.as_ref(), query.limit).await?;
    let chained = app.sts.identity().is_some_and(|identity| identity.chained);
    let now = app.clock.now();
    let show = |candidates: &Candidates| {
        let (account, role) = candidates.role.as_ref()?;
        let grants: Vec<Value> = offers(candidates, &asker, chained, now)
            .iter()
            .map(|offer| {
                json!({
                    "grant_id": offer.grant.id, "via": offer.grant.principal,
                    "max_duration_seconds": offer.longest.seconds(), "limited_by": offer.limit,
                    "require_reason": offer.grant.conditions.require_reason,
                    "expires": offer.grant.conditions.expires,
                    "session_policy_fixed": offer.grant.conditions.session_policy.is_some(),
                })
            })
            .collect();
        (!grants.is_empty()).then(|| {
            json!({
                "role": format!("{}/{}", account.label(), role.name), "role_arn": role.arn(app.sts.partition()),
                "account": {"id": account.id, "alias": account.alias, "name": account.name, "tags": account.tags},
                "name": role.name, "description": role.description, "grants": grants,
            })
        })
    };
    let roles: Vec<Value> = reach.roles.iter().filter_map(show).collect();
    let next = reach.next.map(|(account, role)| format!("{account}/{role}"));
    Ok((NO_STORE, Json(json!({"roles": roles, "next_cursor": next}))))
}
