//! The audit key: who holds it can add to the audit; who holds its public half can check it.
//!
//! Must never show the private key, in `Debug`, errors or anywhere else.

use super::{Hash, Head, Signature};
use crate::model::sha256;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use data_encoding::BASE64;
use std::fmt;
use zeroize::Zeroizing;

/// Why a file holds no key of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not exactly one PEM block.
    #[error("not one PEM block: expected -----BEGIN {expected}-----")]
    NotPem {
        /// The label that is expected.
        expected: &'static str,
    },
    /// PEM of something else.
    #[error("a PEM block of another kind: expected -----BEGIN {expected}-----")]
    OtherLabel {
        /// The label that is expected.
        expected: &'static str,
    },
    /// An encrypted private key: nobody would be there to type its passphrase.
    #[error("an encrypted private key: decrypt it first, for example with openssl pkcs8 -in FILE -out audit.key")]
    Encrypted,
    /// A key of another algorithm, or a damaged one.
    #[error("not an Ed25519 key: make one with hallpass audit keygen, or with openssl genpkey -algorithm ed25519")]
    NotEd25519,
}

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// The private half, in memory only; `recorder` signs each commit with it.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// A new key, and its PEM text for the file: PKCS#8 v1, which every OpenSSL reads.
    #[must_use]
    pub fn generate() -> (Self, Zeroizing<String>) {
        #[expect(clippy::expect_used, reason = "no safe way on without randomness")]
        let pair = Ed25519KeyPair::generate().expect("the operating system's randomness");
        #[expect(clippy::expect_used, reason = "a fresh key has a form")]
        let document = pair.to_pkcs8v1().expect("a new key can be written");
        let pem = to_pem(PRIVATE, document.as_ref());
        (Self(pair), pem)
    }

    /// From PKCS#8 PEM, version 1 (OpenSSL's) or 2.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = Zeroizing::new(from_pem(text, PRIVATE)?);
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Self).map_err(|_| KeyError::NotEd25519)
    }

    /// Signs a head: the last row of a commit.
    #[must_use]
    pub fn sign(&self, head: &Head) -> Signature {
        let signature = self.0.sign(head.signed_text().as_bytes());
        #[expect(clippy::expect_used, reason = "RFC 8032: an Ed25519 signature has 64 bytes")]
        Signature::from_slice(signature.as_ref()).expect("64 bytes")
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        #[expect(clippy::expect_used, reason = "the library's own public key")]
        PublicKey::from_raw(self.0.public_key().as_ref()).expect("a key pair has a public key")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey([redacted], public {})", self.public().digest_hex())
    }
}

/// The public half: enough to check every signature, from anywhere.
#[derive(Clone)]
pub struct PublicKey {
    raw: [u8; 32],
    parsed: ParsedPublicKey,
}

/// `SubjectPublicKeyInfo` of Ed25519 up to the key itself (RFC 8410, §4): always these bytes.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl PublicKey {
    fn from_raw(bytes: &[u8]) -> Result<Self, KeyError> {
        let raw = bytes.try_into().map_err(|_| KeyError::NotEd25519)?;
        let parsed = ParsedPublicKey::new(&ED25519, bytes).map_err(|_| KeyError::NotEd25519)?;
        Ok(Self { raw, parsed })
    }

    /// From PEM, as `openssl pkey -pubout` and `hallpass audit keygen` write it.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = from_pem(text, PUBLIC)?;
        Self::from_raw(der.strip_prefix(&SPKI).ok_or(KeyError::NotEd25519)?)
    }

    /// As PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        std::mem::take(&mut *to_pem(PUBLIC, &[&SPKI[..], &self.raw].concat()))
    }

    /// Whether the key's holder signed this head.
    #[must_use]
    pub fn verify(&self, head: &Head, signature: &Signature) -> bool {
        self.parsed.verify_sig(head.signed_text().as_bytes(), signature.as_bytes()).is_ok()
    }

    /// SHA-256 of the key's 32 bytes: how `stream.opened` names it.
    #[must_use]
    pub fn digest(&self) -> Hash {
        sha256(&[&self.raw]).into()
    }

    /// [`PublicKey::digest`] in lower-case hex.
    #[must_use]
    pub fn digest_hex(&self) -> String {
        self.digest().to_string()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.digest_hex())
    }
}

/// One line of base64 is within RFC 7468 for keys this short.
fn to_pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(BASE64.encode(der));
    Zeroizing::new(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", *body))
}

fn from_pem(text: &str, expected: &'static str) -> Result<Vec<u8>, KeyError> {
    let mut blocks = pem::parse_many(text).map_err(|_| KeyError::NotPem { expected })?;
    match (blocks.pop(), blocks.is_empty()) {
        (Some(block), true) if block.tag() == expected => Ok(block.into_contents()),
        (Some(block), true) if block.tag() == "ENCRYPTED PRIVATE KEY" => Err(KeyError::Encrypted),
        (Some(_), true) => Err(KeyError::OtherLabel { expected }),
        _ => Err(KeyError::NotPem { expected }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::audit::StreamId;

    /// The first test key of RFC 8032 as OpenSSL writes it (PKCS#8 v1).
    pub(in crate::audit) const RFC_8032: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
    /// The same key with its public half (PKCS#8 v2).
    const RFC_8032_V2: &str = "-----BEGIN PRIVATE KEY-----
MFECAQEwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
gSEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PRIVATE KEY-----
";
    const RFC_8032_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";
    const P256: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxFmMGQAwaxYmXAb8
cm9Kx0wyTBJ9msf0AxY86soBihmhRANCAAQmN1UfFtlB5QMpxs1ZFlgX+8UQpwdI
jnqxnWykNBYRkGNZLUPEn8Ql0ddpbLL0ctbr14yBvQB7viR59zdJM8bP
-----END PRIVATE KEY-----
";

    fn head() -> Head {
        let stream = StreamId::parse("01906b2e-0000-7000-8000-000000000001").unwrap();
        Head::start(stream).append(r#"{"a":1}"#).append("é")
    }

    // The signature was made with `openssl pkeyutl -sign -rawin`.
    #[test]
    fn signatures_are_those_of_openssl() {
        for pem in [RFC_8032, RFC_8032_V2, &RFC_8032.replace('\n', "\r\n")] {
            let key = SigningKey::from_pem(pem).unwrap();
            assert_eq!(key.public().to_pem(), RFC_8032_PUBLIC);
            assert_eq!(
                key.sign(&head()).to_string(),
                "u2iPuR96KKfDUPYqZpIoQmqum/AIy+1M2t36MjfJTMR1fq1Vwv6CaAIaqBr0vUC+7cA3seKwGx8tuDT/388aDw=="
            );
        }
    }

    #[test]
    fn a_public_key_knows_its_own_signatures_only() {
        let (ours, pem) = SigningKey::generate();
        let (other, _) = SigningKey::generate();
        let public = PublicKey::from_pem(&ours.public().to_pem()).unwrap();
        assert_eq!(SigningKey::from_pem(&pem).unwrap().public(), public);
        let signature = ours.sign(&head());
        assert!(public.verify(&head(), &signature));
        assert!(!public.verify(&head().append("x"), &signature));
        assert!(!other.public().verify(&head(), &signature));
        assert_ne!(other.public(), public);
    }

    #[test]
    fn a_public_key_is_named_by_its_digest() {
        let public = PublicKey::from_pem(RFC_8032_PUBLIC).unwrap();
        assert_eq!(public.digest_hex(), "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9");
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let private = |text: &str| SigningKey::from_pem(text).map(|_| ());
        let public = |text: &str| PublicKey::from_pem(text).map(|_| ());
        for (text, error) in [
            ("", KeyError::NotPem { expected: PRIVATE }),
            ("hunter2", KeyError::NotPem { expected: PRIVATE }),
            (&RFC_8032.repeat(2), KeyError::NotPem { expected: PRIVATE }),
            (RFC_8032_PUBLIC, KeyError::OtherLabel { expected: PRIVATE }),
            (&RFC_8032.replace("PRIVATE", "ENCRYPTED PRIVATE"), KeyError::Encrypted),
            (P256, KeyError::NotEd25519),
            (&RFC_8032.replace("MC4C", "MC4D"), KeyError::NotEd25519),
        ] {
            assert_eq!(private(text), Err(error), "{text}");
        }
        for (text, error) in [
            (RFC_8032, KeyError::OtherLabel { expected: PUBLIC }),
            (&RFC_8032_PUBLIC.replace("K2Vw", "K2Vv"), KeyError::NotEd25519),
            (&RFC_8032_PUBLIC.replace("URo=", ""), KeyError::NotEd25519),
        ] {
            assert_eq!(public(text), Err(error), "{text}");
        }
    }

    #[test]
    fn debug_shows_the_public_half_only() {
        let shown = format!("{:?}", SigningKey::from_pem(RFC_8032).unwrap());
        assert_eq!(
            shown,
            "SigningKey([redacted], public 21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9)"
        );
    }
}
