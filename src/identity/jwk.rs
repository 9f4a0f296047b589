use super::algorithm::{Algorithm, KeyKind};
use crate::model::sha256;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::Value;

/// One usable public key of an issuer.
pub(super) struct Key {
    kid: Option<String>,
    kind: KeyKind,
    algorithm: Option<Algorithm>,
    decoding: DecodingKey,
    thumbprint: [u8; 32],
}

impl Key {
    /// Reads one member of a JWK set (RFC 7517). The error says why it cannot be used; the key is then skipped.
    ///
    /// Whatever the key says about its own use must allow verifying: a key for encryption, or for another algorithm,
    /// verifies nothing here.
    pub(super) fn read(jwk: &Value) -> Result<Self, &'static str> {
        let text = |member: &str| jwk.get(member).and_then(Value::as_str);
        if jwk.get("d").is_some() {
            return Err("it is a private key, which everybody knows by now");
        }
        if jwk.get("use").is_some_and(|usage| usage != "sig") {
            return Err("its use is not sig");
        }
        let verifies = |operations: &Value| operations.as_array().is_some_and(|all| all.iter().any(|o| o == "verify"));
        if jwk.get("key_ops").is_some_and(|operations| !verifies(operations)) {
            return Err("its key_ops do not name verify");
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or("its kid is not a string")?.to_owned()),
        };
        let (key_kind, decoding, material) = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?)?,
            (Some("EC"), Some("P-256")) => ec(KeyKind::P256, 32, &bytes(jwk, "x")?, &bytes(jwk, "y")?)?,
            (Some("EC"), Some("P-384")) => ec(KeyKind::P384, 48, &bytes(jwk, "x")?, &bytes(jwk, "y")?)?,
            (Some("OKP"), Some("Ed25519")) => ed25519(bytes(jwk, "x")?)?,
            _ => return Err("its kind (kty, crv) is none that is taken"),
        };
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(
                name.as_str()
                    .and_then(|name| Algorithm::parse(name).ok())
                    .filter(|algorithm| algorithm.key_kind() == key_kind)
                    .ok_or("its alg does not fit its kind")?,
            ),
        };
        let thumbprint = sha256(&[format!("{key_kind:?} {algorithm:?} {kid:?} ").as_bytes(), &material]);
        Ok(Self { kid, kind: key_kind, algorithm, decoding, thumbprint })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Tells apart two keys that differ in anything that matters here.
    pub(super) fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// Whether a token signed with `algorithm` can be this key's.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind == algorithm.key_kind() && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// Whether `signature` (base64url) over `message` is this key's.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm.jwa()).unwrap_or(false)
    }
}

fn bytes(jwk: &Value, member: &str) -> Result<Vec<u8>, &'static str> {
    let text = jwk.get(member).and_then(Value::as_str).ok_or("a number of it is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a number of it is not base64url")
}

type Material = (KeyKind, DecodingKey, Vec<u8>);

/// The library refuses moduli outside 2048 to 8192 bits too, but only once a signature is there: a key is weighed here
/// when it arrives, so that it is not counted as usable.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Material, &'static str> {
    let (n, e) = (without_leading_zeros(modulus), without_leading_zeros(exponent));
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if bits < 2048 {
        return Err("it is an RSA key of fewer than 2048 bits");
    }
    if bits > 8192 {
        return Err("it is an RSA key of more than 8192 bits");
    }
    // FIPS 186-5, §5.4 asks for an odd exponent; more than 32 bits of it only slow the verifier down.
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    if !odd(n) || !odd(e) || e == [1] || e.len() > 4 {
        return Err("its RSA numbers make no key");
    }
    let material = [n, b".", e].concat();
    Ok((KeyKind::Rsa, DecodingKey::from_rsa_raw_components(n, e), material))
}

fn ec(kind: KeyKind, size: usize, x: &[u8], y: &[u8]) -> Result<Material, &'static str> {
    if x.len() != size || y.len() != size {
        return Err("its coordinates do not have the length of the curve");
    }
    let point = [&[4], x, y].concat();
    let curve = if kind == KeyKind::P256 { &ECDSA_P256_SHA256_FIXED } else { &ECDSA_P384_SHA384_FIXED };
    ParsedPublicKey::new(curve, &point).map_err(|_| "its point is not on the curve")?;
    Ok((kind, DecodingKey::from_ec_der(&point), point))
}

fn ed25519(point: Vec<u8>) -> Result<Material, &'static str> {
    if point.len() != 32 || ParsedPublicKey::new(&ED25519, &point).is_err() {
        return Err("it is no Ed25519 key");
    }
    Ok((KeyKind::Ed25519, DecodingKey::from_ed_der(&point), point))
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
