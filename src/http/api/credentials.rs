use super::{GivenPolicy, NO_STORE, optional_reason, parse_policy, sendable, session_duration};
use crate::{
    allowlist::{Ask, Limit},
    app::App,
    audit::Purpose,
    broker::{Issued, Request},
    format::{Credentials, Format, Process},
    http::{
        error::Error,
        extract::{Authenticated, Input, Params},
    },
    input::Faults,
    model::{GrantId, Invalid, Reason, RoleRef, SessionDuration, SourceIdentity},
};
use axum::{extract::State, http::header, response::IntoResponse};
use deserr::Deserr;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

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
    /// Only repeated in the answer; a shell or a credentials file gets it where it is given.
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

#[derive(Debug, Deserr, IntoParams)]
#[deserr(error = Faults, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Query {
    #[deserr(default, try_from(String) = parse_format -> Invalid)]
    /// For whom the credentials are written: as JSON (the default), for `credential_process`, a shell, or as a section of
    /// a credentials file. An error is then one line of the same kind, which says the status and the code alone.
    #[param(required = false, value_type = FormatName, inline)]
    format: Format,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn parse_format(text: String) -> Result<Format, Invalid> {
    Format::parse(&text)
}

/// What `format` may be.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described: `format` has the names")]
enum FormatName {
    Json,
    Process,
    Env,
    Fish,
    PowerShell,
    Cmd,
    Ini,
}

/// What is answered in JSON.
#[derive(ToSchema)]
#[schema(as = CredentialsAnswer)]
#[serde(untagged)]
#[expect(dead_code, reason = "only described: `format` writes it")]
enum Answer {
    Json(Credentials<'static>),
    Process(Process<'static>),
}

/// New credentials for one role.
#[utoipa::path(
    post, path = "/v1/credentials", operation_id = "issueCredentials", tag = "caller", params(Query), request_body = Body,
    responses((status = 200, description = "The credentials", content((Answer = "application/json"), (String = "text/plain")))),
)]
pub(in crate::http) async fn issue(
    State(app): State<App>,
    who: Authenticated,
    Params(query): Params<Query>,
    Input(body): Input<Body>,
) -> Result<impl IntoResponse, Error> {
    let session_policy = sendable(body.session_policy)?;
    let ask = Ask {
        duration: body.duration_seconds,
        reason: body.reason,
        session_policy,
        grant_id: body.grant_id,
        ..Ask::default()
    };
    let request = Request { role: body.role, ask, purpose: Purpose::Api };
    let issued = app.broker.issue(who.caller, who.actor, request).await?;
    let text = written(&issued, body.region.as_deref(), &app.region, |credentials| query.format.write(credentials))?;
    Ok((NO_STORE, [(header::CONTENT_TYPE, query.format.media_type())], text))
}

/// The one place where released credentials become text.
pub(in crate::http) fn written<T>(
    issued: &Issued,
    region: Option<&str>,
    own_region: &str,
    write: impl FnOnce(&Credentials<'_>) -> T,
) -> T {
    let (credentials, facts) = (&issued.credentials, issued.credentials.facts());
    write(&Credentials {
        issuance_id: &credentials.issuance().to_string(),
        role_arn: &issued.role.to_string(),
        assumed_role_arn: &facts.assumed_role_arn,
        source_identity: issued.source_identity.as_ref().map(SourceIdentity::as_str),
        access_key_id: &facts.access_key_id,
        secret_access_key: credentials.secret_access_key().expose(),
        session_token: credentials.session_token().expose(),
        expires_at: &facts.expires_at.to_string(),
        duration_seconds: issued.permit.duration.seconds(),
        clamped_by: issued.permit.clamped_by.map(Limit::as_str),
        region: region.unwrap_or(own_region),
        region_given: region.is_some(),
        profile: &format!("{}-{}", issued.account, issued.role.name),
    })
}
