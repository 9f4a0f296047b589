use super::Secret;
use crate::{clock::fill_random, model::sha256};
use data_encoding::BASE32_NOPAD;
use std::fmt;
use zeroize::Zeroizing;

const RANDOM: usize = 32;
const CHECKSUM: usize = 8;

/// An opaque token: `hp_`, then in 64 characters of base32 (RFC 4648) 256 random bits and the first 64 of their SHA-256.
/// The checksum tells a slip of the hand before anything is looked up. All its 67 characters are more than a request's id
/// may have, so that no token is ever taken for one, and logged.
///
/// Kept nowhere but with who was given it: for storage there is its [`TokenHash`].
#[derive(Debug)]
pub struct OpaqueToken(Secret);

/// SHA-256 of a token's whole text. The text has 256 random bits, so a slow hash would add nothing, and looking one up by it
/// tells no more by its time than whether there is one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl OpaqueToken {
    /// What every one begins with. No JWT does: those begin with `e`, for `{`.
    pub const PREFIX: &'static str = "hp_";

    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; RANDOM + CHECKSUM]);
        fill_random(&mut bytes[..RANDOM]);
        let checksum = checksum(&bytes[..RANDOM]);
        bytes[RANDOM..].copy_from_slice(&checksum);
        // All of its room from the start: a text that grows leaves copies behind.
        let mut text = String::with_capacity(Self::PREFIX.len() + BASE32_NOPAD.encode_len(bytes.len()));
        text.push_str(Self::PREFIX);
        BASE32_NOPAD.encode_append(&*bytes, &mut text);
        Self(Secret::new(text))
    }

    /// The token in this text; `None` where the form or the checksum is wrong.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(Self::PREFIX)?.as_bytes();
        let mut bytes = Zeroizing::new([0; RANDOM + CHECKSUM]);
        if encoded.len() != BASE32_NOPAD.encode_len(bytes.len()) {
            return None;
        }
        BASE32_NOPAD.decode_mut(encoded, &mut *bytes).ok()?;
        let (random, own) = bytes.split_at(RANDOM);
        (checksum(random) == own).then(|| Self(Secret::new(text.to_owned())))
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(sha256(&[self.0.expose().as_bytes()]))
    }

    /// The text, for the one answer that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl TokenHash {
    /// The bytes, as a row keeps them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Nothing is lost with a hash, but nobody needs to see one either.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

fn checksum(random: &[u8]) -> [u8; CHECKSUM] {
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&sha256(&[random])[..CHECKSUM]);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_token_reads_as_it_was_made() {
        let token = OpaqueToken::generate();
        let text = token.expose();
        assert!(text.len() == 67 && text.starts_with("hp_"), "{text}");
        assert!(text[3..].bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)), "{text}");
        assert_eq!(OpaqueToken::parse(text).unwrap().hash(), token.hash());
        assert_eq!(token.hash().as_bytes(), sha256(&[text.as_bytes()]));
        assert_eq!(format!("{token:?} {:?}", token.hash()), "OpaqueToken([redacted]) [hash]");
        let many: HashSet<String> = (0..1000).map(|_| OpaqueToken::generate().expose().to_owned()).collect();
        assert_eq!(many.len(), 1000);
    }

    /// As written down in docs/tokens.md: it must be readable by later versions.
    #[test]
    fn the_form_stays() {
        let kept = "hp_AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQTCQKRMFYYDENBWHA5DYPWGDONFFTMIM3G";
        assert!(OpaqueToken::parse(kept).is_some(), "{kept}");
    }

    #[test]
    fn whatever_is_changed_the_checksum_tells() {
        let token = OpaqueToken::generate();
        let good = token.expose();
        for at in 3..good.len() {
            let other = if &good[at..=at] == "A" { "B" } else { "A" };
            let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            assert!(OpaqueToken::parse(&changed).is_none(), "{at}");
        }
        for text in [
            String::new(),
            "hp_".to_owned(),
            good[..66].to_owned(),
            format!("{good}A"),
            format!("{good}="),
            format!(" {good}"),
            format!("hp_{good}"),
            good.to_lowercase(),
            good.replace("hp_", "HP_"),
            good.replace("hp_", "hp-"),
            format!("hp_{}", "A".repeat(64)),
            format!("hp_{}", "ä".repeat(32)),
            format!("hp_{}", "x".repeat(1 << 20)),
        ] {
            assert!(OpaqueToken::parse(&text).is_none(), "{text:.80}");
        }
    }
}
