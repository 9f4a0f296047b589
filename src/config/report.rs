use crate::input::{Fault, Faults, Lines, PlacedFault, key_path};
use std::{collections::BTreeMap, io, path::PathBuf};

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
            None => self.lines.place(&self.file, Fault { pointer, problem }),
        }
    }
}
