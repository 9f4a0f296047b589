use super::{Client, Target, folders};
use crate::model::RoleRef;
use std::path::{Path, PathBuf};

/// More than a person remembers.
const MOST: usize = 20;

/// The roles that were used last on a server, the newest first, one a line. Its only use is to offer these first: what
/// cannot be read or written is left.
pub(super) struct Recent(PathBuf);

impl Recent {
    pub(super) fn of(folder: &Path, target: &Target) -> Self {
        Self(folder.join(target.file_name("recent")))
    }

    fn names(&self) -> Vec<String> {
        let text = folders::read(&self.0).ok().flatten().unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn put_first(&self, name: String) {
        let mut names = self.names();
        if names.first() != Some(&name) {
            names.retain(|known| *known != name);
            names.insert(0, name);
            names.truncate(MOST);
            let _ = folders::write_private(&self.0, &(names.join("\n") + "\n"));
        }
    }
}

impl Client {
    /// A person has used this role.
    pub fn remember_use(&self, role: &RoleRef) {
        if let Some(recent) = &self.recent {
            recent.put_first(role.to_string());
        }
    }

    /// The roles that a person used last, the newest first.
    #[must_use]
    pub fn recently_used(&self) -> Vec<String> {
        self.recent.as_ref().map(Recent::names).unwrap_or_default()
    }
}
