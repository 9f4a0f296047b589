use super::Secret;
use crate::{clock::fill_random, model::sha256};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    constant_time, hkdf,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::fmt;
use zeroize::Zeroizing;

/// What a browser holds and nobody else does: 256 random bits. For storage there is its hash; everything else that goes with
/// it (a form's token, the key of what is kept sealed) is made of it, so that a stolen database has none of that.
#[derive(Clone)]
pub struct SessionToken(Zeroizing<[u8; 32]>);

impl SessionToken {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        fill_random(&mut *bytes);
        Self(bytes)
    }

    /// As a cookie brings it: 43 characters of base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut *bytes).ok()?;
        (length == 32).then_some(Self(bytes))
    }

    /// The text, for the cookie.
    #[must_use]
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(*self.0)
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[&*self.0])
    }

    /// A text of 43 characters that only the holder can make, another one for each purpose (HKDF-SHA-256). It tells nothing
    /// of the token.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> String {
        URL_SAFE_NO_PAD.encode(*self.derived(purpose))
    }

    /// Whether this text is the derived one; takes as long whatever the text is.
    #[must_use]
    pub fn is_derived(&self, purpose: &str, text: &str) -> bool {
        constant_time::verify_slices_are_equal(self.derive(purpose).as_bytes(), text.as_bytes()).is_ok()
    }

    /// Seals a secret so that only the holder of this token opens it (AES-256-GCM).
    #[must_use]
    pub fn seal(&self, secret: &Secret) -> Option<Vec<u8>> {
        let mut sealed = secret.expose().as_bytes().to_vec();
        let nonce = self.sealing_key()?.seal_in_place_append_tag(Aad::empty(), &mut sealed).ok()?;
        sealed.extend_from_slice(nonce.as_ref());
        Some(sealed)
    }

    /// Opens what was sealed; `None` where it was sealed by another token, or changed.
    #[must_use]
    pub fn open(&self, sealed: &[u8]) -> Option<Secret> {
        let (text, nonce) = sealed.split_at_checked(sealed.len().checked_sub(NONCE_LEN)?)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self.sealing_key()?.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
        Some(Secret::new(std::str::from_utf8(opened).ok()?.to_owned()))
    }

    fn sealing_key(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, &*self.derived("seal")).ok()
    }

    fn derived(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        let info = [b"hallpass ".as_slice(), purpose.as_bytes()];
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&*self.0);
        #[expect(clippy::expect_used, reason = "32 bytes are within what HKDF-SHA-256 gives")]
        extracted.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut *out)).expect("32 bytes");
        out
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_as_it_was_made() {
        let token = SessionToken::generate();
        let text = token.expose();
        assert_eq!(text.len(), 43);
        assert_eq!(SessionToken::parse(&text).unwrap().hash(), token.hash());
        assert_eq!(format!("{token:?}"), "[redacted]");
        for text in ["", "x", &text[1..], &format!("{text}A"), &format!("{text}="), &"*".repeat(43)] {
            assert!(SessionToken::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_derived_differs_by_token_and_purpose() {
        let (one, other) = (SessionToken::generate(), SessionToken::generate());
        let form = one.derive("form");
        assert!(one.is_derived("form", &form));
        for wrong in [&one.derive("state"), &other.derive("form"), &one.expose(), "", &form[1..]] {
            assert!(!one.is_derived("form", wrong), "{wrong}");
        }
    }

    #[test]
    fn only_the_token_that_sealed_opens() {
        let (one, other) = (SessionToken::generate(), SessionToken::generate());
        let secret = Secret::new("refresh".to_owned());
        let sealed = one.seal(&secret).unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"refresh"));
        assert_ne!(one.seal(&secret).unwrap(), sealed);
        assert!(one.open(&sealed) == Some(secret));
        assert!(other.open(&sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(one.open(&changed).is_none(), "{at}");
        }
        assert!(one.open(&sealed[..5]).is_none());
    }
}
