use super::sha256;
use serde_json::Value;
use std::fmt;

/// A session policy: an IAM policy document that can only narrow what the role allows. Kept as the compact JSON
/// text that is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionPolicy(String);

/// Why a session policy cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not a JSON object with a `Statement`, or with characters IAM does not take.
    #[error("an IAM policy document: a JSON object with a Statement")]
    Malformed,
    /// Over 2,048 characters without white space (STS's limit).
    #[error("at most 2048 characters without white space")]
    TooLarge,
}

impl SessionPolicy {
    /// STS's limit, in characters.
    pub const MAX_CHARS: usize = 2048;

    /// From a JSON object; white space between tokens is dropped.
    pub fn from_json(document: &Value) -> Result<Self, PolicyError> {
        let has_statement = document
            .as_object()
            .and_then(|policy| policy.get("Statement"))
            .is_some_and(|s| s.is_object() || s.as_array().is_some_and(|list| !list.is_empty()));
        let text = document.to_string();
        // STS: [\u0009\u000A\u000D\u0020-\u00FF]+
        if !has_statement || text.chars().any(|c| c > '\u{ff}') {
            return Err(PolicyError::Malformed);
        }
        if text.chars().count() > Self::MAX_CHARS {
            return Err(PolicyError::TooLarge);
        }
        Ok(Self(text))
    }

    /// From JSON text, as kept in a row.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Self::from_json(&serde_json::from_str(text).map_err(|_| PolicyError::Malformed)?)
    }

    /// The text that is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the text that is sent, in lower-case hex: what the audit keeps.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&sha256(&[self.0.as_bytes()]))
    }
}

impl fmt::Display for SessionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_has_a_statement_and_fits() {
        let statement = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"});
        for (document, result) in [
            (json!({"Version": "2012-10-17", "Statement": [statement]}), Ok(())),
            (json!({"Statement": statement}), Ok(())),
            (json!({"Statement": []}), Err(PolicyError::Malformed)),
            (json!({"Version": "2012-10-17"}), Err(PolicyError::Malformed)),
            (json!([]), Err(PolicyError::Malformed)),
            (json!("{}"), Err(PolicyError::Malformed)),
            (json!({"Statement": [{"Sid": "\u{4e00}"}]}), Err(PolicyError::Malformed)),
            (json!({"Statement": [{"Sid": "x".repeat(2048)}]}), Err(PolicyError::TooLarge)),
        ] {
            assert_eq!(SessionPolicy::from_json(&document).map(|_| ()), result, "{document}");
        }
    }

    #[test]
    fn white_space_does_not_count() {
        let policy = SessionPolicy::parse("{ \"Statement\" :\n [ { } ] }").unwrap();
        assert_eq!(policy.as_str(), r#"{"Statement":[{}]}"#);
    }
}
