use crate::input::{Fault, Faults, Lines};
use std::{collections::BTreeMap, fmt, io, path::PathBuf};

/// Why there is no configuration. Its `Display` is the report: every fault on a line of its own.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither `--config` nor `HALLPASS_CONFIG` names a file.
    #[error("no configuration file is named: use --config FILE, or set HALLPASS_CONFIG")]
    NoFile,
    /// The file is not there, not readable, not UTF-8 or over 1 MiB.
    #[error("{}: cannot be read ({cause}); name another file with --config or HALLPASS_CONFIG", path.display())]
    Unreadable {
        /// The file, as it was named.
        path: PathBuf,
        /// What the operating system says; in the message already, hence no `source`.
        cause: io::Error,
    },
    /// Everything that is wrong in it, in the order of its lines; variables come last.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<PlacedFault>),
}

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

/// Where each value of the document came from.
pub(super) struct Places {
    file: String,
    pub(super) lines: Lines,
    variables: BTreeMap<String, String>,
}

impl Places {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), lines: Lines::default(), variables: BTreeMap::new() }
    }

    /// The value at `pointer` is the variable's, not the file's.
    pub(super) fn set_by(&mut self, pointer: &str, variable: &str) {
        self.variables.insert(pointer.to_owned(), variable.to_owned());
    }

    pub(super) fn report(&self, faults: Faults) -> ConfigError {
        let mut placed: Vec<PlacedFault> = faults.0.into_iter().map(|fault| self.place(fault)).collect();
        placed.sort_by(|a, b| {
            let order = |fault: &PlacedFault| (fault.source != self.file, fault.line.unwrap_or(usize::MAX));
            order(a).cmp(&order(b)).then_with(|| a.key.cmp(&b.key))
        });
        ConfigError::Faults(placed)
    }

    fn place(&self, Fault { pointer, problem }: Fault) -> PlacedFault {
        let set_by = |(place, variable): (&String, &String)| {
            let rest = pointer.strip_prefix(place.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{variable}{}", key_path(rest)))
        };
        match self.variables.iter().find_map(set_by) {
            Some(source) => PlacedFault { source, line: None, key: String::new(), problem },
            None => PlacedFault {
                source: self.file.clone(),
                line: self.lines.of(&pointer),
                key: key_path(&pointer),
                problem,
            },
        }
    }
}

/// `/issuers/0/rules/1/when/a~1b` as an operator would write it: `issuers[0].rules[1].when."a/b"`.
pub(super) fn key_path(pointer: &str) -> String {
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
