//! What comes from outside as JSON or TOML: read strictly, every fault reported with its place, not the first alone.
//!
//! Types say how they are read with `deserr`; this room gives them the error they collect ([`Faults`]) and the values
//! they read from. Serves request bodies, the configuration and the allowlist file alike. Must never decide whether
//! something is allowed.

mod json;
mod place;
mod toml;

pub use json::parse_json;
pub use place::{PlacedFault, key_path};
pub use toml::{Lines, parse_toml};

use crate::model::Invalid;
use deserr::{DeserializeError, Deserr, ErrorKind, IntoValue, MergeWithError, ValueKind, ValuePointerRef};
use serde_json::Value;
use std::{collections::BTreeMap, convert::Infallible, fmt, ops::ControlFlow};

/// One fault: where, as an RFC 6901 pointer, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// RFC 6901, empty for the whole document.
    pub pointer: String,
    /// What is expected there, without the text that was refused.
    pub problem: String,
}

/// Every fault of one input, in the order of reading. Never empty where it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// One fault at one place.
    #[must_use]
    pub fn at(pointer: impl Into<String>, problem: impl Into<String>) -> Self {
        let mut faults = Self::default();
        faults.push(pointer, problem);
        faults
    }

    /// Adds one more.
    pub fn push(&mut self, pointer: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Fault { pointer: pointer.into(), problem: problem.into() });
    }

    /// `Ok` with the value where there is no fault.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Fault { pointer, problem }) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            let place = if pointer.is_empty() { "/" } else { pointer };
            write!(f, "{separator}{place}: {problem}")?;
        }
        Ok(())
    }
}

/// A table whose keys are names. `deserr`'s own reader of maps drops the faults of their values (0.6.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<T>(pub BTreeMap<String, T>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Deserr<Faults>> Deserr<Faults> for Table<T> {
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        place: ValuePointerRef<'_>,
    ) -> Result<Self, Faults> {
        let values: BTreeMap<String, Value> = Deserr::<Faults>::deserialize_from_value(value, place)?;
        let (mut faults, mut table) = (Faults::default(), BTreeMap::new());
        for (key, value) in values {
            match T::deserialize_from_value(value.into_value(), place.push_key(&key)) {
                Ok(value) => {
                    table.insert(key, value);
                }
                Err(more) => faults.0.extend(more.0),
            }
        }
        faults.into_result(Self(table))
    }
}

/// Reads a value into a type, collecting every fault.
pub fn read<T: Deserr<Faults>>(value: Value) -> Result<T, Faults> {
    deserr::deserialize(value)
}

impl DeserializeError for Faults {
    fn error<V: IntoValue>(
        earlier: Option<Self>,
        error: ErrorKind<'_, V>,
        location: ValuePointerRef<'_>,
    ) -> ControlFlow<Self, Self> {
        let mut faults = earlier.unwrap_or_default();
        let mut pointer = pointer_to(location);
        let problem = match error {
            ErrorKind::IncorrectValueKind { accepted, .. } => format!("expected {}", kinds(accepted)),
            ErrorKind::MissingField { field } => {
                push_segment(&mut pointer, field);
                "required, but not there".to_owned()
            }
            ErrorKind::UnknownKey { key, accepted } => {
                push_segment(&mut pointer, key);
                format!("unknown key; known here: {}", accepted.join(", "))
            }
            ErrorKind::UnknownValue { accepted, .. } => format!("expected one of {}", accepted.join(", ")),
            ErrorKind::BadSequenceLen { expected, .. } => format!("expected {expected} values"),
            ErrorKind::Unexpected { msg } => msg,
        };
        faults.push(pointer, problem);
        ControlFlow::Continue(faults)
    }
}

impl MergeWithError<Self> for Faults {
    fn merge(earlier: Option<Self>, other: Self, _: ValuePointerRef<'_>) -> ControlFlow<Self, Self> {
        let mut faults = earlier.unwrap_or_default();
        faults.0.extend(other.0);
        ControlFlow::Continue(faults)
    }
}

impl MergeWithError<Invalid> for Faults {
    fn merge(earlier: Option<Self>, other: Invalid, location: ValuePointerRef<'_>) -> ControlFlow<Self, Self> {
        let mut faults = earlier.unwrap_or_default();
        faults.push(pointer_to(location), format!("expected {other}"));
        ControlFlow::Continue(faults)
    }
}

impl MergeWithError<Infallible> for Faults {
    fn merge(_: Option<Self>, never: Infallible, _: ValuePointerRef<'_>) -> ControlFlow<Self, Self> {
        match never {}
    }
}

/// The RFC 6901 pointer to a place.
#[must_use]
pub fn pointer_to(location: ValuePointerRef<'_>) -> String {
    match location {
        ValuePointerRef::Origin => String::new(),
        ValuePointerRef::Key { key, prev } => {
            let mut pointer = pointer_to(*prev);
            push_segment(&mut pointer, key);
            pointer
        }
        ValuePointerRef::Index { index, prev } => format!("{}/{index}", pointer_to(*prev)),
    }
}

/// Adds one key to an RFC 6901 pointer, escaped.
pub fn push_segment(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

fn kinds(accepted: &[ValueKind]) -> String {
    let mut names: Vec<&str> = accepted
        .iter()
        .map(|kind| match kind {
            ValueKind::Null => "null",
            ValueKind::Boolean => "true or false",
            ValueKind::Integer | ValueKind::NegativeInteger => "a whole number",
            ValueKind::Float => "a number",
            ValueKind::String => "a string",
            ValueKind::Sequence => "a list",
            ValueKind::Map => "a table of keys",
        })
        .collect();
    names.dedup();
    names.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AccountId;
    use serde_json::json;

    #[derive(Debug, Deserr)]
    #[deserr(error = Faults, deny_unknown_fields)]
    #[expect(dead_code, reason = "only its faults are looked at")]
    struct Sample {
        id: AccountId,
        count: u32,
        #[deserr(default)]
        list: Vec<AccountId>,
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        let faults = read::<Sample>(json!({"id": "12", "list": ["111122223333", 7], "a/b": 1})).unwrap_err();
        insta::assert_snapshot!(faults, @"/a~1b: unknown key; known here: id, count, list; /id: expected an account id of 12 digits; /list/1: expected a string; /count: required, but not there");
    }
}
