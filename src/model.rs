//! The words of the trade as types: parsed in the constructor, so that no invalid value exists.
//!
//! Owns what an account, a role, a principal, a grant and an issuance *are*. Does no I/O, knows no
//! database, no HTTP and no AWS SDK; reads neither the clock nor a source of randomness.

mod account;
mod address;
mod digest;
mod grant;
mod login;
mod net;
mod policy;
mod portal;
mod principal;
mod role;
mod session;
mod text;
mod time;
mod token;

pub use account::{Account, AccountId, Alias, ExternalId, Partition, Tags};
pub use address::parse_address;
pub use digest::{base32, sha256};
pub use grant::{Block, BlockTarget, Conditions, Grant, GrantId, GrantTarget, Origin};
pub use login::{LoginClient, LoginToken};
pub use net::IpNet;
pub use policy::{PolicyError, SessionPolicy};
pub use portal::{PortalSession, PortalSessionId};
pub use principal::{IssuerName, Name, Principal, PrincipalKind};
pub use role::{AccountRef, Role, RoleArn, RoleName, RolePath, RoleRef};
pub use session::{IssuanceId, SessionName, SourceIdentity};
pub use text::{Reason, UserAgent, with_causes};
pub use time::{SessionDuration, Time, parse_duration};
pub use token::{ApiToken, BoundRole, TokenId, TokenLifetime, TokenUse};

/// Why a text is not what it should be: what was expected, in words that go into an error message.
///
/// Never holds the refused text: that may be a secret put in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub std::borrow::Cow<'static, str>);

impl Invalid {
    pub(crate) const fn new(expected: &'static str) -> Self {
        Self(std::borrow::Cow::Borrowed(expected))
    }
}

/// Gives a newtype over text its `Display`, `FromStr`, `TryFrom<String>`, `Serialize`, `Deserialize` and `Deserr`, all
/// through its one `parse`.
macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        $crate::model::parsed_from_text!($name);
    };
}

/// `FromStr`, `TryFrom<String>`, `Serialize` (through `Display`), `Deserialize` (what a client reads of an answer) and `Deserr`
/// for a type with `parse` and `Display`.
macro_rules! parsed_from_text {
    ($name:ident) => {
        impl std::str::FromStr for $name {
            type Err = $crate::model::Invalid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).map_err(|expected| serde::de::Error::custom(format_args!("expected {expected}")))
            }
        }

        impl<E> deserr::Deserr<E> for $name
        where
            E: deserr::DeserializeError + deserr::MergeWithError<$crate::model::Invalid>,
        {
            fn deserialize_from_value<V: deserr::IntoValue>(
                value: deserr::Value<V>,
                location: deserr::ValuePointerRef<'_>,
            ) -> Result<Self, E> {
                let text = <String as deserr::Deserr<E>>::deserialize_from_value(value, location)?;
                Self::parse(&text).map_err(|fault| deserr::take_cf_content(E::merge(None, fault, location)))
            }
        }
    };
}

/// Gives a newtype over a UUID its `new`, `parse` and `Display`, and what [`parsed_from_text`] gives. One text for each id: the
/// hyphenated form in lower case, which is also what is hashed and signed.
macro_rules! id_newtype {
    ($name:ident, $expected:literal) => {
        impl $name {
            /// Wraps an id that the clock made.
            #[must_use]
            pub const fn new(id: uuid::Uuid) -> Self {
                Self(id)
            }

            /// The hyphenated form, in lower case.
            pub fn parse(text: &str) -> Result<Self, $crate::model::Invalid> {
                let id = uuid::Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text);
                id.map(Self).ok_or($crate::model::Invalid::new($expected))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        $crate::model::parsed_from_text!($name);
    };
}
pub(crate) use {id_newtype, parsed_from_text, text_newtype};
