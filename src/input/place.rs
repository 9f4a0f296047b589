use super::{Fault, Lines};
use std::fmt;

/// One fault and where to mend it. Never shows the text that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedFault {
    /// The file as it was named, or the environment variable; `HALLPASS_ACCESS__ADMINS[0]` is the first of its list.
    pub source: String,
    /// The line of the file, from 1.
    pub line: Option<usize>,
    /// `server.listen`, `issuers[0].rules[1].when`; empty for the file as a whole and for a variable.
    pub key: String,
    /// What would be right.
    pub problem: String,
}

impl fmt::Display for PlacedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl Lines {
    /// The fault as somebody who has the file `source` open looks for it.
    #[must_use]
    pub fn place(&self, source: &str, Fault { pointer, problem }: Fault) -> PlacedFault {
        PlacedFault { source: source.to_owned(), line: self.of(&pointer), key: key_path(&pointer), problem }
    }
}

/// `/issuers/0/rules/1/when/a~1b` as an operator would write it: `issuers[0].rules[1].when."a/b"`.
#[must_use]
pub fn key_path(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let key = segment.replace("~1", "/").replace("~0", "~");
        let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if bare && key.bytes().all(|b| b.is_ascii_digit()) {
            path.extend(["[", &key, "]"]);
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        let quoted = format!("{key:?}");
        path.push_str(if bare { &key } else { &quoted });
    }
    path
}
