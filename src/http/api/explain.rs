use super::{GivenPolicy, NO_STORE, optional_reason, parse_policy, sendable, session_duration};
use crate::{
    allowlist::{Ask, Asker, Explanation},
    app::App,
    audit::Kind,
    evidence::Reading,
    http::{
        error::Error,
        extract::{Authenticated, Input},
    },
    input::Faults,
    model::{GrantId, Invalid, Principal, Reason, RoleRef, SessionDuration},
};
use axum::{Json, extract::State, response::IntoResponse};
use deserr::Deserr;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use utoipa::ToSchema;

/// What to explain.
#[derive(Debug, Deserr, ToSchema)]
#[deserr(error = Faults, deny_unknown_fields)]
#[schema(as = ExplainRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Body {
    /// The role.
    role: RoleRef,
    #[deserr(default, try_from(Option<u64>) = session_duration -> Invalid)]
    duration_seconds: Option<SessionDuration>,
    #[deserr(default, try_from(Option<String>) = optional_reason -> Invalid)]
    #[schema(value_type = Option<String>, max_length = 512, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", example = "INC-42")]
    reason: Option<Reason>,
    #[deserr(default, try_from(Option<Value>) = parse_policy -> Invalid)]
    session_policy: Option<GivenPolicy>,
    #[deserr(default)]
    grant_id: Option<GrantId>,
    /// Who asks, for an auditor: somebody else.
    #[deserr(default)]
    principal: Option<Principal>,
    #[deserr(default, try_from(Option<Vec<Principal>>) = parse_groups -> Invalid)]
    /// Their groups, for an auditor.
    #[schema(schema_with = crate::http::document::groups, required = false)]
    groups: Option<Vec<Principal>>,
    #[deserr(default, try_from(Option<String>) = parse_address -> Invalid)]
    /// Where they ask from, for an auditor.
    #[schema(schema_with = crate::http::document::address, required = false)]
    source_ip: Option<IpAddr>,
}

/// A user among them would bring along grants and blocks that no group has.
fn parse_groups(groups: Option<Vec<Principal>>) -> Result<Option<Vec<Principal>>, Invalid> {
    let all_groups = |groups: &Vec<Principal>| groups.iter().all(|one| matches!(one, Principal::Group(_)));
    match groups {
        Some(groups) if !all_groups(&groups) => Err(Invalid::new("groups: group:<name>")),
        groups => Ok(groups),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn parse_address(text: Option<String>) -> Result<Option<IpAddr>, Invalid> {
    text.as_deref().map(str::parse).transpose().map_err(|_| Invalid::new("an address such as 10.0.0.7"))
}

/// Would it be allowed, and if not, why. Callers ask for themselves; auditors and admins for anybody, on record.
#[utoipa::path(
    post, path = "/v1/explain", operation_id = "explain", tag = "caller", request_body = Body,
    responses((status = 200, description = "The explanation", body = Explanation)),
)]
pub(in crate::http) async fn explain(
    State(app): State<App>,
    who: Authenticated,
    Input(body): Input<Body>,
) -> Result<impl IntoResponse, Error> {
    Ok((NO_STORE, Json(body.explain(&app, &who).await?)))
}

impl Body {
    pub(in crate::http) async fn explain(self, app: &App, who: &Authenticated) -> Result<Explanation, Error> {
        let session_policy = sendable(self.session_policy)?;
        let ask = Ask {
            duration: self.duration_seconds,
            reason: self.reason,
            session_policy,
            grant_id: self.grant_id,
            ..Ask::default()
        };
        let mut asker = who.asker();
        if self.principal.is_some() || self.groups.is_some() || self.source_ip.is_some() {
            asker = another(app, who, asker, &self.role, (self.principal, self.groups, self.source_ip)).await?;
        }
        Ok(app.broker.explain(&asker, &self.role, &ask).await?)
    }
}

async fn another(
    app: &App,
    who: &Authenticated,
    own: Asker,
    role: &RoleRef,
    (principal, groups, address): (Option<Principal>, Option<Vec<Principal>>, Option<IpAddr>),
) -> Result<Asker, Error> {
    if !app.powers.is_auditor(&who.caller) {
        return Err(Error::Forbidden("an auditor or an admin, who explains for others,"));
    }
    let asker = match principal {
        Some(principal) => {
            Asker { principal, groups: groups.unwrap_or_default(), address, session_ends: None, bound_to: None }
        }
        None => Asker { groups: groups.unwrap_or(own.groups), address: address.or(own.address), ..own },
    };
    let detail: Map<String, Value> = [
        ("read", json!("explain")),
        ("role", json!(role)),
        ("principal", json!(asker.principal)),
        ("groups", json!(asker.groups)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect();
    app.evidence.note(Reading { kind: Kind::AuditRead, detail }, &who.actor).await?;
    Ok(asker)
}
