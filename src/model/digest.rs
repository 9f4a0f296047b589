use aws_lc_rs::digest;
use data_encoding::{Encoding, Specification};
use std::sync::LazyLock;

/// SHA-256 over the parts, one after the other.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

static CROCKFORD: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    #[expect(clippy::expect_used, reason = "a constant alphabet of 32 symbols")]
    spec.encoding().expect("32 distinct symbols")
});

/// Crockford's base32, most significant bit first, the last character's free bits zero: 16 bytes give 26
/// characters.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    CROCKFORD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_crockfords() {
        assert_eq!(base32(&[0xff; 10]), "ZZZZZZZZZZZZZZZZ");
        assert_eq!(base32(&[0; 16]).len(), 26);
        assert_eq!(base32(b"\x01"), "04");
    }

    #[test]
    fn sha256_joins_its_parts() {
        assert_eq!(sha256(&[b"ab", b"c"]), sha256(&[b"abc"]));
        assert_eq!(data_encoding::HEXLOWER.encode(&sha256(&[b""]))[..8], *"e3b0c442");
    }
}
