use super::{Invalid, parsed_from_text};
use std::{fmt, net::IpAddr};

/// A range of addresses, `10.0.0.0/8` or a single address. Host bits must be zero: `10.0.0.1/8` is a slip of the
/// pen, and is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNet(ipnet::IpNet);

impl IpNet {
    /// CIDR, or one address.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let net = text
            .parse::<ipnet::IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(ipnet::IpNet::from))
            .map_err(|_| Invalid::new("an address range such as 10.0.0.0/8"))?;
        if net.network() == net.addr() {
            Ok(Self(net))
        } else {
            Err(Invalid(format!("a range that begins at its network address: {}", net.trunc()).into()))
        }
    }

    /// Whether the address lies within; an IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

parsed_from_text!(IpNet);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_exactly() {
        for (text, address, inside) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::/32", "10.0.0.1", false),
        ] {
            let net = IpNet::parse(text).unwrap();
            assert_eq!(net.contains(address.parse().unwrap()), inside, "{text} {address}");
        }
        for text in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0", "", "localhost"] {
            assert!(IpNet::parse(text).is_err(), "{text}");
        }
    }
}
