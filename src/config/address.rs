use crate::model::{Invalid, parse_address};
use std::net::{IpAddr, SocketAddr};

/// Only this machine reaches it; `::ffff:127.0.0.1` is 127.0.0.1.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| Invalid::new("an IP address and a port, such as 127.0.0.1:8080"))
}

pub(super) fn parse_metrics_listen(text: Option<String>) -> Result<Option<SocketAddr>, Invalid> {
    text.map(|text| text.parse().map_err(|_| Invalid::new("an IP address and a port, such as 127.0.0.1:9090")))
        .transpose()
}

/// An origin of its own. Whatever shares an origin with Hallpass could act as its pages: there is no path to share
/// one under.
pub(super) fn parse_origin(text: &str) -> Result<String, Invalid> {
    parse_address(text)
        .ok()
        .filter(|url| url.path() == "/" && url.query().is_none())
        .map(|url| url.origin().ascii_serialization())
        .ok_or(Invalid::new("an origin without a path: https://<host>, or http:// on loopback"))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
pub(super) fn parse_signin(text: Option<String>) -> Result<Option<String>, Invalid> {
    text.as_deref().map(parse_origin).transpose()
}

/// An issuer's identifier as its tokens say it, byte for byte: OpenID Connect Discovery 1.0, §3, has no query and no
/// fragment in it.
pub(super) fn parse_issuer(text: &str) -> Result<String, Invalid> {
    parse_address(text)
        .ok()
        .filter(|url| url.query().is_none())
        .map(|_| text.to_owned())
        .ok_or(Invalid::new("the issuer's identifier: an https:// address without a query, or http:// on loopback"))
}

/// `<area>-<place>-<number>`, with as many words before the number as AWS likes; an availability zone (`eu-west-1a`)
/// and the pseudo-regions (`aws-global`) are none.
pub(super) fn parse_region(text: &str) -> Result<String, Invalid> {
    let lower = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    let digits = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    match text.rsplit_once('-') {
        Some((place, number))
            if text.len() <= 63 && place.contains('-') && place.split('-').all(lower) && digits(number) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Invalid::new("an AWS region, such as eu-west-1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuers_identifier_stays_as_it_is_and_has_no_query() {
        for (text, ok) in [
            ("https://login.example.com", true),
            ("https://login.example.com/tenant/v2.0", true),
            ("https://login.example.com:8443/", true),
            ("http://localhost:9000/x", true),
            ("http://login.example.com", false),
            ("https://login.example.com/?a=b", false),
            ("https://login.example.com/#top", false),
        ] {
            let expected = ok.then(|| text.to_owned());
            assert_eq!(parse_issuer(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_origin_has_nothing_behind_its_port() {
        for (text, origin) in [
            ("https://hallpass.example.com/", Some("https://hallpass.example.com")),
            ("https://hallpass.example.com:443", Some("https://hallpass.example.com")),
            ("https://Hallpass.Example.com:8443", Some("https://hallpass.example.com:8443")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("https://example.com/hallpass", None),
            ("https://example.com/?x", None),
            ("http://hallpass.example.com", None),
        ] {
            assert_eq!(parse_origin(text).ok().as_deref(), origin, "{text}");
        }
    }

    #[test]
    fn regions_have_the_form_of_aws() {
        for text in ["eu-west-1", "us-gov-east-1", "us-isob-east-1", "eusc-de-east-1", "ap-southeast-5", "cn-north-1"] {
            assert!(parse_region(text).is_ok(), "{text}");
        }
        for text in
            ["", "eu", "eu-west", "eu-west-1a", "EU-WEST-1", "eu_west_1", "eu--1", "-west-1", "aws-global", "1-2-3"]
        {
            assert!(parse_region(text).is_err(), "{text}");
        }
    }
}
