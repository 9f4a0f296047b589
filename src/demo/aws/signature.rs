//! Signature Version 4, checked by making it again.

use super::{answer::Fault, logins::Keys};
use crate::model::Time;
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use axum::http::{HeaderMap, request::Parts};
use std::time::{Duration, UNIX_EPOCH};

/// How far a request's clock may be off, in seconds.
const SKEW: i64 = 15 * 60;

/// What the Authorization header claims.
pub(super) struct Claim<'h> {
    pub(super) access_key_id: &'h str,
    region: &'h str,
    signed_headers: Vec<&'h str>,
    signature: &'h str,
    date: &'h str,
}

impl<'h> Claim<'h> {
    /// Reads `AWS4-HMAC-SHA256 Credential=…/<day>/<region>/sts/aws4_request, SignedHeaders=…, Signature=…`.
    pub(super) fn read(headers: &'h HeaderMap) -> Result<Self, Fault> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let missing = || Fault::forbidden("MissingAuthenticationToken", "Request is missing Authentication Token");
        let incomplete = |what: &str| Fault::bad("IncompleteSignature", what);
        let parts = header("authorization").ok_or_else(missing)?.strip_prefix("AWS4-HMAC-SHA256 ");
        let parts = parts.ok_or_else(|| incomplete("The Authorization header must begin with AWS4-HMAC-SHA256."))?;
        let part = |name: &'static str| {
            let value = parts.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            value.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        let scope: Vec<&str> = part("Credential")?.split('/').collect();
        let [access_key_id, _day, region, "sts", "aws4_request"] = scope[..] else {
            return Err(incomplete("Credential must be <key>/<day>/<region>/sts/aws4_request."));
        };
        let signed_headers: Vec<&str> = part("SignedHeaders")?.split(';').collect();
        if !signed_headers.contains(&"host") || header("host").is_none() {
            return Err(incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization."));
        }
        let date = header("x-amz-date")
            .ok_or_else(|| incomplete("Authorization header requires existence of a 'X-Amz-Date' header."))?;
        Ok(Self { access_key_id, region, signed_headers, signature: part("Signature")?, date })
    }

    /// Signs the request again with the keys that AWS knows, and compares. The day of the scope is checked with it: it
    /// is made anew from the date.
    pub(super) fn verify(&self, head: &Parts, body: &[u8], keys: &Keys, now: Time) -> Result<(), Fault> {
        let date = Time::parse(self.date).map_err(|_| {
            Fault::bad("IncompleteSignature", "Date must be in ISO-8601 'basic format': YYYYMMDD'T'HHMMSS'Z'.")
        })?;
        if date.seconds_until(now).abs() > SKEW {
            let message = format!("Signature expired: {} is more than 15 minutes from {now}", self.date);
            return Err(Fault::forbidden("SignatureDoesNotMatch", message));
        }
        let made = self.signature(head, body, keys, date).filter(|made| {
            aws_lc_rs::constant_time::verify_slices_are_equal(made.as_bytes(), self.signature.as_bytes()).is_ok()
        });
        made.map(|_| ()).ok_or_else(|| {
            Fault::forbidden(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details.",
            )
        })
    }

    fn signature(&self, head: &Parts, body: &[u8], keys: &Keys, date: Time) -> Option<String> {
        let seconds = u64::try_from(date.as_micros() / 1_000_000).ok()?;
        let token = keys.session_token.as_ref().map(|token| token.expose().to_owned());
        let credentials = Credentials::new(&keys.access_key_id, keys.secret_access_key.expose(), token, None, "demo");
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        // The client says which headers it signed.
        settings.excluded_headers = None;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("sts")
            .time(UNIX_EPOCH + Duration::from_secs(seconds))
            .settings(settings)
            .build()
            .ok()?
            .into();
        let headers = self.signed_headers.iter().map(|name| {
            let values = head.headers.get_all(*name).iter();
            values.map(|value| Some((*name, value.to_str().ok()?))).collect::<Option<Vec<_>>>()
        });
        let headers = headers.collect::<Option<Vec<_>>>()?.concat();
        let uri = head.uri.to_string();
        let request =
            SignableRequest::new(head.method.as_str(), uri, headers.into_iter(), SignableBody::Bytes(body)).ok()?;
        Some(sign(request, &params).ok()?.signature().to_owned())
    }
}
