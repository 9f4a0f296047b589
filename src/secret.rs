//! Texts that must not be seen: shown as `[redacted]` by `Debug`, zeroed when dropped.

mod session;
mod token;

pub use session::SessionToken;
pub use token::{OpaqueToken, TokenHash};

use std::fmt;
use zeroize::Zeroizing;

/// A secret text: a secret access key, a session token, a bearer token. There is no `Display` and no `Serialize`;
/// reading it takes the word `expose`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the caller keeps no copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, at the place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_nothing() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2".to_owned()))), "Some([redacted])");
    }
}
