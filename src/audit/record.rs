//! The record: an event's canonical bytes, and what the database keeps beside them to find it by.

use super::Event;
use crate::model::Time;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Display;

/// The event as RFC 8785 JSON: what is hashed, stored and exported.
///
/// Total: no event fails to be written. `reasons` and `detail` must hold no number of 2^53 or above (RFC 8785 would
/// round it, and [`Verifier`](super::Verifier) refuses it): such a number goes in as text.
#[must_use]
pub fn canonical(event: &Event) -> String {
    let plain = event.session_tags.iter().all(|(key, _)| sorts_alike(key))
        && event.reasons.iter().all(is_plain)
        && event.detail.iter().all(|(key, value)| sorts_alike(key) && is_plain(value));
    write(event, plain)
}

#[expect(clippy::expect_used, reason = "every key is a string, and no member is NaN or infinite")]
fn write<T: Serialize>(value: &T, plain: bool) -> String {
    let text = if plain { serde_json::to_string(value) } else { serde_json_canonicalizer::to_string(value) };
    text.expect("what an event is made of can be written as JSON")
}

/// Whether serde's own output is already canonical: keys whose order in UTF-8 and in UTF-16 is the same, and numbers
/// that are small integers.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.as_i64().is_some_and(|n| n.unsigned_abs() < TOO_LARGE),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(members) => members.iter().all(|(key, value)| sorts_alike(key) && is_plain(value)),
    }
}

/// RFC 8785 sorts keys by UTF-16 code units, serde's maps by UTF-8 bytes: they part where surrogates come before
/// U+E000.
fn sorts_alike(key: &str) -> bool {
    key.chars().all(|c| c < '\u{e000}')
}

/// 2^53: from here on a JSON number is not exact.
const TOO_LARGE: u64 = 1 << 53;

/// Why a stored text is not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not a JSON object.
    #[error("the record is not a JSON object")]
    NotJson,
    /// A key twice, another order, white space, another way of writing a number or a character: two readers need not
    /// agree on what it says.
    #[error("the record is not canonical JSON (RFC 8785)")]
    NotCanonical,
    /// A number of 2^53 or above: readers round it.
    #[error("the record holds a number of 2^53 or above")]
    NumberTooLarge,
    /// A member that every record has is not there, or is of another form.
    #[error("the record's member {0} is missing or of another form")]
    Member(&'static str),
}

/// Reads a stored record, and refuses what is not canonical: the bytes must be exactly those that writing its value
/// again gives.
pub(super) fn read_canonical(record: &str) -> Result<Value, RecordError> {
    let value: Value = serde_json::from_str(record).map_err(|_| RecordError::NotJson)?;
    if !value.is_object() {
        return Err(RecordError::NotJson);
    }
    if write(&value, is_plain(&value)) != record {
        return Err(RecordError::NotCanonical);
    }
    if has_large_number(&value) {
        return Err(RecordError::NumberTooLarge);
    }
    Ok(value)
}

fn has_large_number(value: &Value) -> bool {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "2^53 is exact")]
        Value::Number(number) => number.as_f64().is_none_or(|n| n.abs() >= TOO_LARGE as f64),
        Value::Array(items) => items.iter().any(has_large_number),
        Value::Object(members) => members.values().any(has_large_number),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// What the database keeps beside a record, to find it by: copies, never a source. Written from the event, and
/// compared with the record by `verify`. Texts as they are in the record, for a changed column may hold anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The event's id.
    pub id: String,
    /// When, in microseconds since 1970 UTC.
    pub at: i64,
    /// As [`Kind::as_str`](super::Kind::as_str) has it, or a later version's.
    pub kind: String,
    /// Who.
    pub principal: Option<String>,
    /// The trusting account.
    pub account_id: Option<String>,
    /// The role.
    pub role_arn: Option<String>,
    /// The issuance.
    pub issuance_id: Option<String>,
}

impl Index {
    /// The columns of an event that is about to be written.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        fn text(value: Option<&impl Display>) -> Option<String> {
            value.map(ToString::to_string)
        }
        Self {
            id: event.id.to_string(),
            at: event.at.as_micros(),
            kind: event.kind.as_str().to_owned(),
            principal: text(event.principal.as_ref()),
            account_id: text(event.account_id.as_ref()),
            role_arn: text(event.role_arn.as_ref()),
            issuance_id: text(event.issuance_id.as_ref()),
        }
    }

    /// The columns that a stored record should have.
    pub fn read(record: &str) -> Result<Self, RecordError> {
        Self::of_value(&read_canonical(record)?)
    }

    pub(super) fn of_value(record: &Value) -> Result<Self, RecordError> {
        let optional = |name: &'static str| match record.get(name) {
            Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            _ => Err(RecordError::Member(name)),
        };
        let required = |name: &'static str| optional(name)?.ok_or(RecordError::Member(name));
        record.get("v").and_then(Value::as_u64).ok_or(RecordError::Member("v"))?;
        let at = Time::parse(&required("at")?).map_err(|_| RecordError::Member("at"))?;
        Ok(Self {
            id: required("id")?,
            at: at.as_micros(),
            kind: required("kind")?,
            principal: optional("principal")?,
            account_id: optional("account_id")?,
            role_arn: optional("role_arn")?,
            issuance_id: optional("issuance_id")?,
        })
    }

    /// The names of the columns in which the two differ.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static str> {
        [
            ("id", self.id != other.id),
            ("at", self.at != other.at),
            ("kind", self.kind != other.kind),
            ("principal", self.principal != other.principal),
            ("account_id", self.account_id != other.account_id),
            ("role_arn", self.role_arn != other.role_arn),
            ("issuance_id", self.issuance_id != other.issuance_id),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{Auth, AuthMethod, Client, Kind, Purpose},
        model::{AccountId, IssuanceId, Principal, Reason, RoleArn, SessionName, Tags, UserAgent},
    };
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    fn full() -> Event {
        let issuance_id = IssuanceId::new(Uuid::from_u128(7));
        let principal = Principal::parse("user:zoë@example.com").unwrap();
        let mut event = Event::new(
            Kind::CredentialsIssued,
            Uuid::from_u128(1),
            Time::parse("2026-01-02T03:04:05.000006Z").unwrap(),
        );
        event.session_name = Some(SessionName::derive(&principal, issuance_id));
        event.principal = Some(principal);
        event.auth = Some(Auth {
            issuer: Some("corp".to_owned()),
            method: AuthMethod::Jwt,
            subject: Some("1\u{1f}\"\\/".to_owned()),
            token_id: None,
        });
        event.client = Some(Client {
            ip: Some([10, 0, 0, 1].into()),
            peer: Some("2001:db8::1".parse().unwrap()),
            user_agent: Some(UserAgent::cleaned("curl/8")),
        });
        event.purpose = Some(Purpose::Api);
        event.account_id = Some(AccountId::parse("111122223333").unwrap());
        event.role_arn = Some(RoleArn::parse("arn:aws:iam::111122223333:role/ReadOnly").unwrap());
        event.issuance_id = Some(issuance_id);
        event.allowlist_revision = Some(17);
        event.reason = Some(Reason::parse("INC-42 – 日本").unwrap());
        event.duration_seconds = Some(3600);
        event.session_tags = Tags::new(BTreeMap::from([("team".to_owned(), "shop".to_owned())])).unwrap();
        event
    }

    #[test]
    fn a_record_is_canonical_and_complete() {
        insta::assert_snapshot!(canonical(&full()), @r#"{"access_key_id":null,"account_id":"111122223333","allowlist_revision":17,"assumed_role_id":null,"at":"2026-01-02T03:04:05.000006Z","attempts":null,"auth":{"issuer":"corp","method":"jwt","subject":"1\u001f\"\\/","token_id":null},"clamped_by":null,"client":{"ip":"10.0.0.1","peer":"2001:db8::1","user_agent":"curl/8"},"code":null,"detail":{},"duration_seconds":3600,"expires_at":null,"grant_id":null,"id":"00000000-0000-0000-0000-000000000001","issuance_id":"00000000-0000-0000-0000-000000000007","kind":"credentials.issued","principal":"user:zoë@example.com","purpose":"api","reason":"INC-42 – 日本","reasons":[],"request_id":null,"role_arn":"arn:aws:iam::111122223333:role/ReadOnly","session_name":"zo_@example.com=0000000000000000000000000W","session_policy_sha256":null,"session_tags":{"team":"shop"},"shared_from":null,"source_identity":null,"sts_request_id":null,"v":1,"via":null}"#);
    }

    #[test]
    fn the_index_is_the_same_from_event_and_record() {
        for event in [full(), Event::new(Kind::StreamClosed, Uuid::from_u128(2), Time::from_seconds(-1).unwrap())] {
            assert_eq!(Index::read(&canonical(&event)), Ok(Index::of(&event)));
        }
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        let good = canonical(&full());
        assert!(Index::read(&good).is_ok());
        for (bad, error) in [
            (good.replace("\"v\":1,", "\"v\":1,\"v\":1,"), RecordError::NotCanonical),
            (good.replace("\"v\":1,", "\"v\": 1,"), RecordError::NotCanonical),
            (good.replace("\"v\":1,", "\"v\":1.0,"), RecordError::NotCanonical),
            (good.replace("zoë", "zo\\u00eb"), RecordError::NotCanonical),
            (good.replace("\"v\":1,\"via\":null", "\"via\":null,\"v\":1"), RecordError::NotCanonical),
            (format!("{good}\n"), RecordError::NotCanonical),
            (good.replace(":17,", ":9007199254740993,"), RecordError::NotCanonical),
            (good.replace(":17,", ":9007199254740992,"), RecordError::NumberTooLarge),
            (good.replace(":17,", ":1e+30,"), RecordError::NumberTooLarge),
            (good[1..].to_owned(), RecordError::NotJson),
            ("[]".to_owned(), RecordError::NotJson),
            ("{}".to_owned(), RecordError::Member("v")),
            (good.replace("\"v\":1,", "\"v\":\"1\","), RecordError::Member("v")),
            (good.replace("\"kind\":\"credentials.issued\"", "\"kind\":null"), RecordError::Member("kind")),
        ] {
            assert_ne!(bad, good, "the case changes nothing");
            assert_eq!(Index::read(&bad), Err(error), "{bad}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1_i64 << 53)..1 << 53).prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_fast_way_writes_what_the_canonicalizer_writes(
            detail in prop::collection::btree_map(any::<String>(), values(), 0..4),
            reasons in prop::collection::vec(values(), 0..3),
            tags in prop::collection::btree_map("[\\p{L}\u{10400}\u{ff21}]{1,3}", "[a-z]{0,3}", 0..4),
        ) {
            let mut event = full();
            event.detail = detail.into_iter().collect();
            event.reasons = reasons;
            event.session_tags = Tags::new(tags).unwrap_or_default();
            prop_assert_eq!(canonical(&event), serde_json_canonicalizer::to_string(&event).unwrap());
        }
    }
}
