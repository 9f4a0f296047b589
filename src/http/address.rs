use crate::model::IpNet;
use axum::http::{HeaderMap, header::HeaderName};
use std::net::{IpAddr, SocketAddr};

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whose address a request came from, as far as it can be believed: every `X-Forwarded-For` line is read from right
/// to left, and the first address that is no trusted proxy's is the client's. `None` where a proxy says nonsense.
pub(super) fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    let mut client = peer?.to_canonical();
    if !is_trusted(client) {
        return Some(client);
    }
    let lines: Vec<_> = headers.get_all(&FORWARDED_FOR).iter().collect();
    for line in lines.into_iter().rev() {
        for hop in line.to_str().ok()?.rsplit(',') {
            client = parse_hop(hop.trim())?.to_canonical();
            if !is_trusted(client) {
                return Some(client);
            }
        }
    }
    Some(client)
}

/// What counts as one peer: an IPv4 address, or the 64 bits of an IPv6 network, of whose addresses one host can have all.
pub(super) fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => 0xffff_ffff_0000_0000 | u64::from(u32::from(address)),
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    }
}

/// `192.0.2.7`, `192.0.2.7:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_from_the_right_that_is_no_proxys_counts() {
        let trusted = [IpNet::parse("10.0.0.0/8").unwrap(), IpNet::parse("2001:db8::/32").unwrap()];
        for (peer, lines, client) in [
            ("192.0.2.1", &["203.0.113.9"][..], Some("192.0.2.1")),
            ("10.0.0.1", &[], Some("10.0.0.1")),
            ("10.0.0.1", &["203.0.113.9"], Some("203.0.113.9")),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.0.0.2"], Some("203.0.113.9")),
            ("10.0.0.1", &["203.0.113.9", "10.0.0.2"], Some("203.0.113.9")),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], Some("10.0.0.3")),
            ("10.0.0.1", &["203.0.113.9, unknown"], None),
            ("10.0.0.1", &["nonsense, 203.0.113.9"], Some("203.0.113.9")),
            ("10.0.0.1", &[""], None),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], Some("203.0.113.9")),
            ("2001:db8::1", &["[2001:db9::7]:443"], Some("2001:db9::7")),
            ("10.0.0.1", &["203.0.113.9:51000"], Some("203.0.113.9")),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(&FORWARDED_FOR, line.parse().unwrap());
            }
            let found = client_address(Some(peer.parse().unwrap()), &headers, &trusted);
            assert_eq!(found, client.map(|c| c.parse().unwrap()), "{peer} {lines:?}");
        }
        assert_eq!(client_address(None, &HeaderMap::new(), &trusted), None);
    }
}
