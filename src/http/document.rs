//! `GET /openapi.json`: what every operation takes and answers, from the types that read and write it. The list of
//! routes in [`super`] is the list of operations here.

mod problems;
mod words;

pub(super) use problems::{ContainerProblemBody, ProblemBody};
pub(super) use words::{address, groups};

use axum::{
    http::{HeaderValue, header},
    response::IntoResponse,
};
use std::sync::LazyLock;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

/// How the way to say who calls is named in the document.
const BEARER: &str = "bearer";

/// What stands around the operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hallpass",
        description = "Short-lived AWS credentials for the people and tools an allowlist names. Every answer has an `x-request-id`, \
            the caller's own where it sent one of the form `[A-Za-z0-9._-]{1,64}`. An unknown member or parameter is an error.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "caller", description = "What any caller may ask"),
        (name = "allowlist", description = "Who may do what"),
        (name = "audit", description = "What was done"),
        (name = "service", description = "Open to anybody who reaches the service"),
    ),
    components(schemas(ProblemBody, ContainerProblemBody)),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
struct Frame;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let how = "A JWT of a configured issuer, with one of the audiences it is configured with, or an API token.";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(how));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme.build()));
    }
}

/// The document before it has operations.
pub(super) fn frame() -> utoipa::openapi::OpenApi {
    Frame::openapi()
}

/// Made once: it is the same for everybody for as long as the process lives.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document = super::described().into_openapi();
    problems::complete(&mut document);
    document.to_json().unwrap_or_default()
});

/// This description.
///
/// `OpenAPI` 3.1, in JSON; `/docs` is a page to read it.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "service", security(()),
    responses((status = 200, description = "The document", body = Object)),
)]
pub(super) async fn show() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, DOCUMENT.as_str())
}
