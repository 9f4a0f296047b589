use crate::{app::App, http::error::Error, model::SignIn};
use axum::{Json, extract::State};

/// Where and as which client a person signs in.
///
/// What `hallpass login` goes by; 404 where the service has no `[login]`.
#[utoipa::path(
    get, path = "/v1/login", operation_id = "login", tag = "service", security(()),
    responses((status = 200, description = "The provider and the client", body = SignIn)),
)]
pub(in crate::http) async fn login(State(app): State<App>) -> Result<Json<SignIn>, Error> {
    app.sign_in.clone().map(Json).ok_or(Error::NotFound)
}
