use super::{NO_STORE, optional_reason};
use crate::{
    allowlist::Ask,
    app::App,
    audit::Purpose,
    broker::{Issued, Request},
    http::{
        error::Error,
        extract::{Params, RoleInPath, Verbatim},
    },
    input::Faults,
    model::{AccountId, Invalid, Reason, RoleArn, SessionDuration, Time},
};
use axum::{Json, extract::State, response::IntoResponse};
use deserr::Deserr;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserr, IntoParams)]
#[deserr(error = Faults, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Query {
    #[deserr(default, try_from(Option<String>) = parse_duration -> Invalid)]
    /// How long the session shall last; not asked for, an hour, or less where a limit says so.
    duration_seconds: Option<SessionDuration>,
    #[deserr(default, try_from(Option<String>) = optional_reason -> Invalid)]
    /// A grant may require one. A blank one is none.
    #[param(value_type = Option<String>, max_length = 512, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", example = "INC-42")]
    reason: Option<Reason>,
}

fn parse_duration(text: Option<String>) -> Result<Option<SessionDuration>, Invalid> {
    // What is no number at all is as wrong as one out of range.
    text.map(|text| SessionDuration::from_seconds(text.parse().unwrap_or_default())).transpose()
}

/// Credentials, as AWS's SDKs read them from a container's endpoint.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::http) struct ContainerCredentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    #[schema(value_type = Time)]
    expiration: String,
    #[schema(value_type = RoleArn)]
    role_arn: String,
    #[schema(value_type = AccountId)]
    account_id: &'a str,
}

/// Credentials for one role, by the protocol that every AWS SDK speaks by itself.
///
/// Set `AWS_CONTAINER_CREDENTIALS_FULL_URI` to this address, and `AWS_CONTAINER_AUTHORIZATION_TOKEN` or
/// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`. The header `authorization` holds the token and nothing else; with `Bearer ` before
/// it, it does as well. Whoever asks for the same may get the same credentials, as long as they last.
#[utoipa::path(
    get, path = "/v1/container/{account}/{role}", operation_id = "containerCredentials", tag = "caller",
    params(
        ("account" = String, Path, pattern = "^[a-z0-9][a-z0-9-]{0,62}$", description = "The account's alias or number.", example = "prod"),
        ("role" = String, Path, pattern = "^[A-Za-z0-9_+=,.@-]{1,64}$", description = "The role's name.", example = "ReadOnly"),
        Query,
    ),
    responses((status = 200, description = "The credentials", body = ContainerCredentials)),
)]
pub(in crate::http) async fn hand_out(
    State(app): State<App>,
    Verbatim(who): Verbatim,
    RoleInPath(role): RoleInPath,
    Params(query): Params<Query>,
) -> Result<impl IntoResponse, Error> {
    let ask = Ask { duration: query.duration_seconds, reason: query.reason, ..Ask::default() };
    let request = Request { role, ask, purpose: Purpose::Container };
    let issued = app.broker.share(&who.caller, &who.actor, &request).await?;
    Ok((NO_STORE, Json(show(&issued)).into_response()))
}

fn show(issued: &Issued) -> ContainerCredentials<'_> {
    let (credentials, facts) = (&issued.credentials, issued.credentials.facts());
    ContainerCredentials {
        access_key_id: &facts.access_key_id,
        secret_access_key: credentials.secret_access_key().expose(),
        token: credentials.session_token().expose(),
        expiration: facts.expires_at.to_string(),
        role_arn: issued.role.to_string(),
        account_id: issued.role.account.as_str(),
    }
}
