//! What a stream says about itself and about the others: the details of `stream.opened` and `stream.heads`.
//! `stream.closed` has none.

use super::{Hash, Head};
use crate::input::{Faults, read};
use deserr::Deserr;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What a run says when it opens a stream.
#[derive(Clone, Debug, Serialize)]
pub struct Opening {
    /// Hallpass's own version.
    pub version: String,
    /// SHA-256 over the configured admins.
    pub admins_sha256: Hash,
    /// SHA-256 over the configured issuers.
    pub issuers_sha256: Hash,
    /// [`PublicKey::digest`](super::PublicKey::digest) of the key that signs this stream.
    pub signing_key_sha256: Hash,
    /// The heads of the streams it sees: all open ones, and those closed since the last such list.
    pub heads: Vec<Head>,
}

impl Opening {
    /// The `detail` of `stream.opened`.
    #[must_use]
    pub fn detail(&self) -> Map<String, Value> {
        let mut detail = heads_detail(&self.heads);
        detail.insert("version".to_owned(), json!(self.version));
        detail.insert("admins_sha256".to_owned(), json!(self.admins_sha256));
        detail.insert("issuers_sha256".to_owned(), json!(self.issuers_sha256));
        detail.insert("signing_key_sha256".to_owned(), json!(self.signing_key_sha256));
        detail
    }
}

/// The `detail` of `stream.heads`: the heads of the streams a run sees, its own left out.
#[must_use]
pub fn heads_detail(heads: &[Head]) -> Map<String, Value> {
    Map::from_iter([("heads".to_owned(), json!(heads))])
}

/// A list of heads, read back from the `detail` of `stream.opened` or `stream.heads`.
#[derive(Debug, Deserr)]
#[deserr(error = Faults)]
pub(super) struct Listed {
    pub(super) heads: Vec<Head>,
    /// Only `stream.opened` has it.
    #[deserr(default)]
    pub(super) signing_key_sha256: Option<Hash>,
}

impl Listed {
    pub(super) fn read(detail: Value) -> Result<Self, Faults> {
        read(detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::StreamId;
    use uuid::Uuid;

    #[test]
    fn lists_read_as_they_are_written() {
        let heads = vec![Head::start(StreamId::new(Uuid::from_u128(3))).append("{}")];
        let digest = Hash::from([1; 32]);
        let opening = Opening {
            version: "0.1.0".to_owned(),
            admins_sha256: digest,
            issuers_sha256: digest,
            signing_key_sha256: Hash::from([2; 32]),
            heads: heads.clone(),
        };
        let opened = Listed::read(Value::Object(opening.detail())).unwrap();
        assert_eq!((&opened.heads, opened.signing_key_sha256), (&heads, Some(Hash::from([2; 32]))));
        let again = Listed::read(Value::Object(heads_detail(&heads))).unwrap();
        assert_eq!((again.heads, again.signing_key_sha256), (heads, None));
        assert_eq!(serde_json::to_value(&opening).unwrap(), Value::Object(opening.detail()));
    }
}
