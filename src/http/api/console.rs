use super::{NO_STORE, optional_reason, session_duration};
use crate::{
    allowlist::Ask,
    app::App,
    audit::Purpose,
    broker::{IssueError, Request},
    http::{
        error::Error,
        extract::{Authenticated, Input},
    },
    input::Faults,
    model::{GrantId, Invalid, IssuanceId, Reason, RoleRef, SessionDuration, Time},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::IntoResponse,
};
use deserr::Deserr;
use serde::Serialize;
use utoipa::ToSchema;

/// What to sign in to.
#[derive(Debug, Deserr, ToSchema)]
#[deserr(error = Faults, deny_unknown_fields)]
#[schema(as = ConsoleRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Body {
    /// The role.
    role: RoleRef,
    #[deserr(default)]
    /// Where the console opens: an https address on one of the partition's console hosts; by default its home.
    #[schema(example = "https://console.aws.amazon.com/s3/home")]
    destination: Option<String>,
    /// How long the console session shall last; not asked for, an hour, or less where a limit says so.
    #[deserr(default, try_from(Option<u64>) = session_duration -> Invalid)]
    duration_seconds: Option<SessionDuration>,
    #[deserr(default, try_from(Option<String>) = optional_reason -> Invalid)]
    /// A grant may require one. A blank one is none.
    #[schema(value_type = Option<String>, max_length = 512, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", example = "INC-42")]
    reason: Option<Reason>,
    #[deserr(default)]
    /// The one grant to use, where several would do.
    grant_id: Option<GrantId>,
}

/// A link that opens the console. Whoever has it is signed in.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Link<'a> {
    /// To be opened in a browser.
    url: &'a str,
    /// Until when it opens the console.
    url_expires_at: Time,
    /// The latest end of a session that is begun with it.
    expires_at: Time,
    /// Names it in the audit.
    issuance_id: IssuanceId,
}

/// A link that signs in to the AWS console as one role.
#[utoipa::path(
    post, path = "/v1/console", operation_id = "signIn", tag = "caller", request_body = Body,
    responses((status = 200, description = "The link", body = Link)),
)]
pub(in crate::http) async fn sign_in(
    State(app): State<App>,
    who: Authenticated,
    Input(body): Input<Body>,
) -> Result<impl IntoResponse, Error> {
    let service = app.sts.sign_in().map_err(IssueError::from)?;
    let destination = service.destination(body.destination.as_deref());
    let destination = destination.map_err(|expected| Faults::at("/destination", format!("expected {expected}")))?;
    let ask = Ask { duration: body.duration_seconds, reason: body.reason, grant_id: body.grant_id, ..Ask::default() };
    let request = Request { role: body.role, ask, purpose: Purpose::Console };
    let link = app.broker.sign_in(who.caller, who.actor, request, destination).await?;
    let answer = Link {
        url: link.address().expose(),
        url_expires_at: link.address_expires_at(),
        expires_at: link.expires_at(),
        issuance_id: link.issuance(),
    };
    Ok((NO_STORE, [(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))], Json(answer).into_response()))
}
