use crate::model::{Invalid, parse_address};
use url::{Url, form_urlencoded};

/// A server's address: an origin, as its `public_url` is.
pub(super) fn parse_server(text: &str) -> Result<Url, Invalid> {
    parse_address(text)
        .ok()
        .filter(|url| url.path() == "/" && url.query().is_none())
        .ok_or(Invalid::new("an address without a path, https://<host>, or http:// on loopback"))
}

/// As a part of a query.
pub(super) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
