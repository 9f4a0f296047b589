//! The declarative file: read whole or refused whole, every fault with its line.
//!
//! Reading goes in three steps: the text's syntax, each account, role and grant by itself ([`shape`]), and then what
//! they say of each other ([`resolve`]). A part that cannot be read is left out of the last step, and what depends on it
//! is not called a fault: one slip gives one fault.

mod resolve;
mod shape;

use crate::{
    input::{Faults, Lines, parse_toml},
    model::{Account, Grant, Partition, Principal, Role, Time},
};
use resolve::{Found, Resolver};
use shape::Parts;
use std::fmt;

/// What an allowlist file says, with every rule of it checked.
#[derive(Clone)]
pub struct AllowlistFile {
    /// The trusting accounts, in the order of the file.
    pub accounts: Vec<Account>,
    /// Their roles.
    pub roles: Vec<Role>,
    /// One grant for each principal and target of each `[[grant]]`. Its id is made from its content: the same content
    /// has the same id at every application.
    pub grants: Vec<Grant>,
    /// The text as it was given, with the external IDs in it: for storing, and for whoever may read the file.
    pub text: String,
}

impl fmt::Debug for AllowlistFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accounts, roles, grants, text: _ } = self;
        let mut shown = f.debug_struct("AllowlistFile");
        shown.field("accounts", accounts).field("roles", roles).field("grants", grants).finish_non_exhaustive()
    }
}

/// One fault of the file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FileFault {
    /// The line, from 1; `None` where it is the file's as a whole.
    pub line: Option<usize>,
    /// The place as an RFC 6901 pointer, `/grant/0/to/1`; empty for the whole file.
    pub pointer: String,
    /// What is expected there, or what is wrong; never the text that was refused.
    pub problem: String,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.problem)
    }
}

/// Every fault of the file, by line. Never empty where it is an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[serde(transparent)]
pub struct FileFaults(pub Vec<FileFault>);

impl FileFaults {
    /// No answer lists more; one more line then says how many there are besides.
    pub const MAX: usize = 10_000;

    fn new(faults: Faults, lines: &Lines) -> Self {
        let mut faults: Vec<FileFault> = faults
            .0
            .into_iter()
            .map(|fault| FileFault { line: lines.of(&fault.pointer), pointer: fault.pointer, problem: fault.problem })
            .collect();
        faults.sort_by_key(|fault| fault.line);
        if faults.len() > Self::MAX {
            let problem = format!("{} more faults", faults.len() - Self::MAX);
            faults.truncate(Self::MAX);
            faults.push(FileFault { line: None, pointer: String::new(), problem });
        }
        Self(faults)
    }

    /// A syntax error, or a value JSON has not: one fault, whose own words name the line.
    fn of_syntax(faults: Faults) -> Self {
        let line = |problem: &str| problem.strip_prefix("line ")?.split(',').next()?.parse().ok();
        let faults = faults.0.into_iter().map(|fault| FileFault {
            line: line(&fault.problem),
            pointer: fault.pointer,
            problem: fault.problem,
        });
        Self(faults.collect())
    }
}

impl fmt::Display for FileFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl AllowlistFile {
    /// No file gives more grants, counted by principal and target: a group says the same in one.
    pub const MAX_GRANTS: usize = 300_000;
    /// No grant has more address ranges.
    pub const MAX_SOURCE_IPS: usize = 256;

    /// Reads the file for a broker of this partition. `by` and `at` become the grants' `created_by` and `created_at`.
    pub fn parse(text: &str, partition: &Partition, by: &Principal, at: Time) -> Result<Self, FileFaults> {
        let (value, lines) = parse_toml(text).map_err(FileFaults::of_syntax)?;
        let mut faults = Faults::default();
        let Parts { accounts, grants, complete } = shape::split(value, &mut faults);
        let mut resolver = Resolver { partition, lines: &lines, faults, complete, found: Found::default() };
        for account in accounts {
            resolver.add_account(account);
        }
        for grant in grants {
            resolver.add_grant(grant, by, at);
        }
        let Resolver { faults, found: Found { accounts, roles, grants, .. }, .. } = resolver;
        let file = Self { accounts, roles, grants, text: text.to_owned() };
        faults.into_result(file).map_err(|faults| FileFaults::new(faults, &lines))
    }
}

#[cfg(test)]
mod tests;
