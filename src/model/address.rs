use super::Invalid;
use std::net::IpAddr;
use url::Url;

/// An address to reach outward: https, or http where nobody in between can listen; without a user name or a fragment.
/// The characters are checked first, because the parser mends what it is given (spaces, tabs, backslashes).
pub fn parse_address(text: &str) -> Result<Url, Invalid> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let local = |host: &str| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
    };
    let lawful = |url: &Url| {
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        bare && (url.scheme() == "https" || url.host_str().is_some_and(local))
    };
    Some(text)
        .filter(|text| plain && (text.starts_with("https://") || text.starts_with("http://")))
        .and_then(|text| Url::parse(text).ok())
        .filter(lawful)
        .ok_or(Invalid::new("an https:// address, or http:// on loopback, without a user name or a fragment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_leaves_the_machine() {
        for (text, ok) in [
            ("https://login.example.com", true),
            ("https://login.example.com:8443/tenant?x=1", true),
            ("http://127.0.0.1:8080", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:8080/x", true),
            ("http://localhost:8080", true),
            ("http://login.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
            ("http://[::2]", false),
            ("http://[::ffff:127.0.0.1]:9000", true),
            ("http://[::ffff:10.0.0.1]:9000", false),
            ("ftp://localhost", false),
            ("https:login.example.com", false),
            ("https:\\\\login.example.com", false),
            ("https://user@login.example.com", false),
            ("https://:secret@login.example.com", false),
            ("https://login.example.com#x", false),
            (" https://login.example.com", false),
            ("https://login.exa\tmple.com", false),
            ("file:///etc/passwd", false),
            ("login.example.com", false),
            ("https://", false),
            ("", false),
        ] {
            assert_eq!(parse_address(text).is_ok(), ok, "{text}");
        }
    }
}
