//! In front of every page: whose request it is that a browser sends, and how a page is to be kept.

use crate::{app::App, http::error::Error};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Nothing is loaded from elsewhere, nothing runs inline, nobody frames a page. Every form is posted here; `form-action` is left
/// out, because browsers hold it against redirects too: from the sign-out to the provider, from a role's page to the console.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Turns away what another site makes a browser send, and says how a browser is to keep the page.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let public_url = app.portal.as_ref().map(|portal| portal.public_url().to_owned()).unwrap_or_default();
    let lawful = if safe { may_read(request.headers()) } else { is_own(request.headers(), &public_url) };
    let mut response = if lawful { next.run(request).await } else { Error::Forged.into_response() };
    secure(response.headers_mut(), public_url.starts_with("https:"));
    response
}

/// Headers of every page, an error's too.
pub(super) fn secure(headers: &mut HeaderMap, tls: bool) {
    let named = HeaderName::from_static;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (named("cross-origin-opener-policy"), "same-origin"),
        (named("cross-origin-resource-policy"), "same-origin"),
        (named("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn told<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// A page may be gone to from anywhere; what loads it into something of its own may not.
fn may_read(headers: &HeaderMap) -> bool {
    match told(headers, "sec-fetch-site") {
        None | Some("same-origin" | "none") => true,
        Some(_) => {
            told(headers, "sec-fetch-mode") == Some("navigate") && told(headers, "sec-fetch-dest") == Some("document")
        }
    }
}

/// A change comes from a page of the portal's own. `Origin` is `null` there, because of `no-referrer`: where the browser
/// tells nothing else, the request is turned away.
fn is_own(headers: &HeaderMap, public_url: &str) -> bool {
    let origin = told(headers, "origin").filter(|origin| *origin != "null");
    match (told(headers, "sec-fetch-site"), origin) {
        (Some(site), origin) => site == "same-origin" && origin.is_none_or(|origin| origin == public_url),
        (None, Some(origin)) => origin == public_url,
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_change_comes_from_the_portals_own_page() {
        let own = "https://hallpass.example.com";
        for (pairs, lawful) in [
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")][..], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", own)], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("origin", own)], true),
            (&[], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://evil.example.com")], false),
            (&[("origin", "http://hallpass.example.com")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", own)], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example.com")], false),
        ] {
            assert_eq!(is_own(&headers(pairs), own), lawful, "{pairs:?}");
        }
    }

    #[test]
    fn a_page_is_gone_to_and_never_loaded_from_elsewhere() {
        for (pairs, lawful) in [
            (&[][..], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")], true),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], true),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], false),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false),
            (&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")], false),
        ] {
            assert_eq!(may_read(&headers(pairs)), lawful, "{pairs:?}");
        }
    }
}
