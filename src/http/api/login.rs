use crate::{app::App, http::error::Error, model::LoginClient};
use axum::{Json, extract::State};

/// Where and as which client a person signs in.
///
/// What `hallpass login` goes by; 404 where the service has no `[login]`.
#[utoipa::path(
    get, path = "/v1/login", operation_id = "login", tag = "service", security(()),
    responses((status = 200, description = "The provider and the client", body = LoginClient)),
)]
pub(in crate::http) async fn login(State(app): State<App>) -> Result<Json<LoginClient>, Error> {
    app.login_client.clone().map(Json).ok_or(Error::NotFound)
}
