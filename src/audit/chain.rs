//! Streams and their hash chain: what each row is bound to, and what a signature says.

use crate::{
    input::{Faults, parse_json, read},
    model::{Invalid, Time, id_newtype, parsed_from_text, sha256},
};
use data_encoding::{BASE64, HEXLOWER};
use deserr::Deserr;
use serde::Serialize;
use std::fmt;
use uuid::Uuid;

/// Names one stream: a UUIDv7, so streams sort by when they were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Uuid);

id_newtype!(StreamId, "a stream id: a UUID in lower case");

impl StreamId {
    /// The id itself, for storage.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

/// A SHA-256, shown in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// From a column's bytes; refuses another length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Invalid> {
        bytes.try_into().map(Self).map_err(|_| Invalid::new("a hash of 32 bytes"))
    }

    /// 64 characters of lower-case hex.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bytes = HEXLOWER.decode(text.as_bytes()).unwrap_or_default();
        Self::from_slice(&bytes).map_err(|_| Invalid::new("a hash: 64 characters of lower-case hex"))
    }

    /// The bytes, for storage.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

parsed_from_text!(Hash);

/// An Ed25519 signature, shown in base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// From a column's bytes; refuses another length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Invalid> {
        bytes.try_into().map(Self).map_err(|_| Invalid::new("a signature of 64 bytes"))
    }

    /// 88 characters of base64 (RFC 4648, §4).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bytes = BASE64.decode(text.as_bytes()).unwrap_or_default();
        Self::from_slice(&bytes).map_err(|_| Invalid::new("a signature: 88 characters of base64"))
    }

    /// The bytes, for storage.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl From<[u8; 64]> for Signature {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

parsed_from_text!(Signature);

/// Where a stream stands: its newest row, which by its hash binds all rows before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserr, utoipa::ToSchema)]
#[deserr(error = Faults)]
pub struct Head {
    /// The stream.
    pub stream: StreamId,
    /// The newest row's number; 0 before the first.
    pub seq: u64,
    /// The newest row's hash.
    pub hash: Hash,
}

impl Head {
    /// A stream without rows: what its first row is chained to.
    #[must_use]
    pub fn start(stream: StreamId) -> Self {
        let hash = sha256(&[format!("hallpass audit v1\n{stream}\n").as_bytes()]).into();
        Self { stream, seq: 0, hash }
    }

    /// The head after one more record.
    #[must_use]
    pub fn append(&self, record: &str) -> Self {
        Self { stream: self.stream, seq: self.seq + 1, hash: chain(&self.hash, record) }
    }

    /// What a signature is over.
    #[must_use]
    pub fn signed_text(&self) -> String {
        format!("hallpass audit v1\n{}\n{}\n{}\n", self.stream, self.seq, self.hash)
    }
}

/// SHA-256(0x02 ‖ previous hash ‖ SHA-256(0x00 ‖ record)). The inner hash is a leaf of RFC 6962, whose inner nodes
/// begin with 0x01: 0x02 keeps the chain apart from both.
pub(super) fn chain(previous: &Hash, record: &str) -> Hash {
    let leaf = sha256(&[&[0], record.as_bytes()]);
    sha256(&[&[2], &previous.0, &leaf]).into()
}

/// One row, as stored and exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The stream.
    pub stream: StreamId,
    /// 1, 2, 3 … without a gap.
    pub seq: u64,
    /// The event's canonical bytes.
    pub record: String,
    /// Of this row and all before it.
    pub hash: Hash,
    /// On the last row of every commit.
    pub signature: Option<Signature>,
}

impl Row {
    /// Where the stream stands with this row.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { stream: self.stream, seq: self.seq, hash: self.hash }
    }
}

/// A head with its signature: worth keeping outside, for it shows later that nothing up to it was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SignedHead {
    /// The head.
    #[serde(flatten)]
    pub head: Head,
    /// By the audit key, over stream, number and hash: `Head::signed_text`.
    pub signature: Signature,
    /// When the row was written; for people, not part of what is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// What `GET /v1/audit/heads` answers: every stream's newest signed head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Heads {
    /// In the order of the streams.
    pub heads: Vec<SignedHead>,
}

#[derive(Deserr)]
#[deserr(error = Faults)]
struct KeptHeads {
    heads: Vec<KeptHead>,
}

#[derive(Deserr)]
#[deserr(error = Faults)]
struct KeptHead {
    stream: StreamId,
    seq: u64,
    hash: Hash,
    signature: Signature,
    #[deserr(default)]
    at: Option<Time>,
}

impl Heads {
    /// Reads a kept answer. Members it does not know are a later version's, and are left alone.
    pub fn parse(text: &[u8]) -> Result<Self, Faults> {
        let value = parse_json(text).map_err(|fault| Faults::at("", format!("expected JSON: {fault}")))?;
        let kept: KeptHeads = read(value)?;
        let heads = kept.heads.into_iter().map(|KeptHead { stream, seq, hash, signature, at }| SignedHead {
            head: Head { stream, seq, hash },
            signature,
            at,
        });
        Ok(Self { heads: heads.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> StreamId {
        StreamId::parse("01906b2e-0000-7000-8000-000000000001").unwrap()
    }

    // Made with Python's hashlib from the words of the contract.
    #[test]
    fn hashes_are_the_contracts() {
        let start = Head::start(stream());
        let first = start.append(r#"{"a":1}"#);
        let second = first.append("é");
        insta::assert_snapshot!(start.hash, @"32e8b100dc52ab9d812f4d869f6c5fbc3083b023343a325466d27bb4832af595");
        insta::assert_snapshot!(first.hash, @"cff6e7808239a7fb45ef953842e9f385dc5e0652d78321de91d376131140375a");
        insta::assert_snapshot!(second.hash, @"e4fe44fdee85538648793df7d23f6edffbc03340dbb6686eea51d2ce13bc154c");
        assert_eq!((start.seq, first.seq, second.seq), (0, 1, 2));
        assert_eq!(
            second.signed_text(),
            "hallpass audit v1\n01906b2e-0000-7000-8000-000000000001\n2\n\
             e4fe44fdee85538648793df7d23f6edffbc03340dbb6686eea51d2ce13bc154c\n"
        );
    }

    #[test]
    fn heads_read_as_they_are_written() {
        let head =
            |seq, at| SignedHead { head: Head { seq, ..Head::start(stream()) }, signature: Signature([7; 64]), at };
        let heads = Heads { heads: vec![head(1, None), head(2, Some(Time::from_seconds(0).unwrap()))] };
        let text = serde_json::to_string(&heads).unwrap();
        assert_eq!(Heads::parse(text.as_bytes()), Ok(heads));
        let later = text.replace("\"seq\":1", "\"seq\":1,\"later\":true");
        assert!(Heads::parse(later.as_bytes()).is_ok());
    }

    #[test]
    fn bad_heads_are_named() {
        let text = r#"{"heads":[{"stream":"X","seq":-1,"hash":"AB","signature":""}]}"#;
        let faults = Heads::parse(text.as_bytes()).unwrap_err();
        insta::assert_snapshot!(faults, @"/heads/0/hash: expected a hash: 64 characters of lower-case hex; /heads/0/seq: expected a whole number; /heads/0/signature: expected a signature: 88 characters of base64; /heads/0/stream: expected a stream id: a UUID in lower case");
        assert!(Heads::parse(b"[]").is_err() && Heads::parse(b"").is_err());
    }

    #[test]
    fn texts_have_one_form() {
        for text in ["01906B2E-0000-7000-8000-000000000001", "01906b2e000070008000000000000001", ""] {
            assert!(StreamId::parse(text).is_err(), "{text}");
        }
        let hash = Head::start(stream()).hash;
        assert_eq!(Hash::parse(&hash.to_string()), Ok(hash));
        assert!(Hash::parse(&hash.to_string().to_uppercase()).is_err());
        let signature = Signature([255; 64]);
        assert_eq!(Signature::parse(&signature.to_string()), Ok(signature));
        // The last character holds 4 unused bits: set, they would be a second text for the same bytes.
        assert!(Signature::parse(&signature.to_string().replace("w==", "x==")).is_err());
    }
}
