//! The stylesheet, the script and the icon, under names that change with their content, so that browsers keep them for good.

use crate::{http::error::Error, model::sha256};
use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use std::sync::LazyLock;

const STYLE: &str = concat!(
    include_str!("assets/portal.css"),
    include_str!("assets/access.css"),
    include_str!("assets/audit.css"),
    include_str!("assets/allowlist.css")
);
const SCRIPT: &str = concat!(include_str!("assets/portal.js"), include_str!("assets/access.js"));
const ICON: &str = include_str!("assets/icon.svg");

static STYLE_NAME: LazyLock<String> = LazyLock::new(|| named(STYLE, "css"));
static SCRIPT_NAME: LazyLock<String> = LazyLock::new(|| named(SCRIPT, "js"));

static ICON_NAME: LazyLock<String> = LazyLock::new(|| named(ICON, "svg"));

fn named(content: &str, ending: &str) -> String {
    format!("portal-{}.{ending}", HEXLOWER.encode(&sha256(&[content.as_bytes()])[..8]))
}

pub(super) fn style() -> &'static str {
    &STYLE_NAME
}

pub(super) fn script() -> &'static str {
    &SCRIPT_NAME
}

pub(super) fn icon() -> &'static str {
    &ICON_NAME
}

/// One of them. An older page's is gone.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Error> {
    let (media_type, content) = match name.as_str() {
        name if name == style() => ("text/css; charset=utf-8", STYLE),
        name if name == script() => ("text/javascript; charset=utf-8", SCRIPT),
        name if name == icon() => ("image/svg+xml", ICON),
        _ => return Err(Error::NotFound),
    };
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, content).into_response())
}
