use super::{GivenPolicy, NO_STORE, optional_reason, parse_policy, sendable, session_duration};
use crate::{
    allowlist::{Ask, Limit},
    app::App,
    audit::Purpose,
    broker::{Issued, Request},
    http::{
        error::Error,
        extract::{Authenticated, Input},
    },
    input::Faults,
    model::{GrantId, Invalid, IssuanceId, Reason, RoleArn, RoleRef, SessionDuration, SourceIdentity, Time},
};
use axum::{Json, extract::State, response::IntoResponse};
use deserr::Deserr;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What to have credentials for.
#[derive(Debug, Deserr, ToSchema)]
#[deserr(error = Faults, deny_unknown_fields)]
#[schema(as = CredentialsRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Body {
    /// The role.
    role: RoleRef,
    /// How long the session shall last; not asked for, an hour, or less where a limit says so.
    #[deserr(default, try_from(Option<u64>) = session_duration -> Invalid)]
    duration_seconds: Option<SessionDuration>,
    #[deserr(default, try_from(Option<String>) = optional_reason -> Invalid)]
    /// A grant may require one. A blank one is none.
    #[schema(value_type = Option<String>, max_length = 512, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", example = "INC-42")]
    reason: Option<Reason>,
    #[deserr(default, try_from(Option<Value>) = parse_policy -> Invalid)]
    /// An IAM policy that narrows the session; refused where the grant has one of its own.
    session_policy: Option<GivenPolicy>,
    #[deserr(default, try_from(Option<String>) = parse_region -> Invalid)]
    /// Only repeated in the answer.
    #[schema(pattern = "^[A-Za-z0-9-]{1,32}$", example = "eu-west-1")]
    region: Option<String>,
    #[deserr(default)]
    /// The one grant to use, where several would do.
    grant_id: Option<GrantId>,
}

/// AWS's form: letters, digits, hyphens.
fn parse_region(text: Option<String>) -> Result<Option<String>, Invalid> {
    let well_formed =
        |text: &String| (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match text {
        Some(text) if !well_formed(&text) => Err(Invalid::new("a region such as eu-west-1")),
        text => Ok(text),
    }
}

/// Credentials, and where they come from.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Credentials<'a> {
    /// Names them in the audit.
    #[schema(value_type = IssuanceId)]
    issuance_id: String,
    #[schema(value_type = RoleArn)]
    role_arn: String,
    assumed_role_arn: &'a str,
    source_identity: Option<&'a str>,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: &'a str,
    #[schema(value_type = Time)]
    expires_at: String,
    #[schema(value_type = SessionDuration)]
    duration_seconds: u32,
    /// What made the session shorter than the hour that was not asked for.
    #[schema(value_type = Option<Limit>)]
    clamped_by: Option<&'static str>,
    region: &'a str,
}

/// New credentials for one role.
#[utoipa::path(
    post, path = "/v1/credentials", operation_id = "issueCredentials", tag = "caller", request_body = Body,
    responses((status = 200, description = "The credentials", body = Credentials)),
)]
pub(in crate::http) async fn issue(
    State(app): State<App>,
    who: Authenticated,
    Input(body): Input<Body>,
) -> Result<impl IntoResponse, Error> {
    let session_policy = sendable(body.session_policy)?;
    let ask = Ask { duration: body.duration_seconds, reason: body.reason, session_policy, grant_id: body.grant_id };
    let request = Request { role: body.role, ask, purpose: Purpose::Api };
    let issued = app.broker.issue(who.caller, who.actor, request).await?;
    Ok((NO_STORE, Json(show(&issued, body.region.as_deref().unwrap_or(&app.region))).into_response()))
}

/// The one place where released credentials become an answer.
fn show<'a>(issued: &'a Issued, region: &'a str) -> Credentials<'a> {
    let (credentials, facts) = (&issued.credentials, issued.credentials.facts());
    Credentials {
        issuance_id: credentials.issuance().to_string(),
        role_arn: issued.role.to_string(),
        assumed_role_arn: &facts.assumed_role_arn,
        source_identity: issued.source_identity.as_ref().map(SourceIdentity::as_str),
        access_key_id: &facts.access_key_id,
        secret_access_key: credentials.secret_access_key().expose(),
        session_token: credentials.session_token().expose(),
        expires_at: facts.expires_at.to_string(),
        duration_seconds: issued.permit.duration.seconds(),
        clamped_by: issued.permit.clamped_by.map(Limit::as_str),
        region,
    }
}
