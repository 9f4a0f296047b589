//! Who there is.

use crate::model::Principal;

/// Somebody whom the identity provider knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name at the provider: the token's `sub`, and the end of the address that gives it.
    pub name: &'static str,
    /// As people call them.
    pub full_name: &'static str,
    /// Their one group.
    pub group: &'static str,
    /// What that makes them.
    pub role: &'static str,
}

impl Person {
    /// Their address at work.
    #[must_use]
    pub fn email(&self) -> String {
        format!("{}@example.com", self.name)
    }

    /// Who they are to Hallpass.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the names are those below")]
    pub fn principal(&self) -> Principal {
        Principal::parse(&format!("user:{}", self.email())).expect("a principal")
    }
}

/// A developer.
pub const ALICE: Person = Person { name: "alice", full_name: "Alice", group: "developers", role: "developer" };
/// An admin of Hallpass.
pub const BOB: Person = Person { name: "bob", full_name: "Bob", group: "platform", role: "admin" };
/// An auditor.
pub const CAROL: Person = Person { name: "carol", full_name: "Carol", group: "security", role: "auditor" };

/// Everybody.
pub static ALL: [Person; 3] = [ALICE, BOB, CAROL];

/// By the name at the provider.
#[must_use]
pub fn find(name: &str) -> Option<&'static Person> {
    ALL.iter().find(|person| person.name == name)
}
