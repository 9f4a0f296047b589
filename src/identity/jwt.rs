use super::{algorithm::Algorithm, claims::Claims, error::AuthFault, issuer::IssuerConfig, jwk::Key};
use crate::input::parse_json;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// A token that was read and not yet verified (RFC 7515, compact form). Nobody's word: of its claims only `iss` can be
/// read, to choose whose keys to try.
pub(super) struct UnverifiedJwt<'t> {
    signed: &'t str,
    signature: &'t str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl<'t> UnverifiedJwt<'t> {
    /// Header and claims are each read once, strictly: a library that reads them again by other rules could see
    /// another token.
    pub(super) fn read(token: &'t str) -> Result<Self, AuthFault> {
        const NO_JWT: AuthFault = AuthFault::Invalid("it is not a signed JWT of three parts");
        let (signed, signature) = token.rsplit_once('.').ok_or(NO_JWT)?;
        let (header, claims) = signed.split_once('.').ok_or(NO_JWT)?;
        if claims.contains('.') {
            return Err(NO_JWT);
        }
        let header = object(header)
            .ok_or(AuthFault::Invalid("its header is not a JSON object in base64url with each name once"))?;
        let claims = object(claims)
            .ok_or(AuthFault::Invalid("its claims are not a JSON object in base64url with each name once"))?;
        Ok(Self { signed, signature, header, claims })
    }

    /// The issuer that the token claims.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// Checks the header by the issuer's rules. `jku`, `x5u` and `x5c` are not looked at: keys come from the issuer's
    /// set and from nowhere else.
    pub(super) fn check_header(&self, issuer: &IssuerConfig) -> Result<(Algorithm, Option<&str>), AuthFault> {
        if self.header.contains_key("crit") {
            return Err(AuthFault::Invalid("its header has crit, and no extension is understood here"));
        }
        if self.header.contains_key("jwk") {
            return Err(AuthFault::Invalid("its header brings a key of its own"));
        }
        let algorithm = self
            .header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(|name| Algorithm::parse(name).ok())
            .filter(|algorithm| issuer.algorithms.contains(algorithm))
            .ok_or(AuthFault::Invalid("its alg is not one its issuer may use"))?;
        if let Some(kind) = self.header.get("typ") {
            let kind = kind.as_str().map(media_type);
            if !issuer.token_types.iter().any(|taken| Some(media_type(taken)) == kind) {
                return Err(AuthFault::Invalid("its typ is not one that is taken"));
            }
        }
        let kid = match self.header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(AuthFault::Invalid("its kid is not a string"))?),
        };
        Ok((algorithm, kid))
    }

    /// The claims, once the signature is the key's.
    pub(super) fn verify(self, key: &Key, algorithm: Algorithm) -> Result<Claims, AuthFault> {
        if !key.verify(algorithm, self.signed.as_bytes(), self.signature) {
            return Err(AuthFault::Invalid("its signature is not its issuer's"));
        }
        Ok(Claims::new(self.claims))
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    match parse_json(&json).ok()? {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// RFC 7515, §4.1.9: a media type, in which case means nothing and `application/` may be left out.
fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ).to_owned()
}
