//! `GET /docs`: a page to read the description on. All of it comes from this binary, and it asks nothing of any other
//! host.

use super::error::Error;
use axum::{
    extract::Path,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;

/// Swagger UI sets styles on elements and draws its icons from `data:` addresses; nothing else is let through.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// This page.
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "service", security(()),
    responses((status = 200, description = "A page for people", body = String, content_type = "text/html")),
)]
pub(super) async fn page() -> Response {
    answer("text/html; charset=utf-8", include_str!("docs/index.html"))
}

/// What the page is made of.
pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Error> {
    match name.as_str() {
        "page.js" => Ok(answer("text/javascript", include_str!("docs/page.js"))),
        "page.css" => Ok(answer("text/css", include_str!("docs/page.css"))),
        "swagger-ui.css" | "swagger-ui-bundle.js" | "favicon-32x32.png" => {
            let file = utoipa_swagger_ui::serve(&name, Arc::default()).ok().flatten().ok_or(Error::NotFound)?;
            let mut response = answer("", file.bytes.into_owned());
            let media_type = HeaderValue::from_str(&file.content_type).map_err(|_| Error::Panic)?;
            response.headers_mut().insert(header::CONTENT_TYPE, media_type);
            Ok(response)
        }
        _ => Err(Error::NotFound),
    }
}

fn answer(media_type: &'static str, body: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    (headers, body).into_response()
}
