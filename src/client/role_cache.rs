use super::{Target, folders};
use std::path::{Path, PathBuf};

/// The names of the roles that were last seen on a server, one a line. Its only use is to complete what is typed: it
/// may be out of date, and what cannot be read or written is left.
pub(super) struct RoleCache(PathBuf);

impl RoleCache {
    pub(super) fn of(folder: &Path, target: &Target) -> Self {
        Self(folder.join(target.file_name("roles")))
    }

    pub(super) fn remember<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let text: String = names.flat_map(|name| [name, "\n"]).collect();
        if folders::read(&self.0).ok().flatten().as_ref() != Some(&text) {
            let _ = folders::write_private(&self.0, &text);
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        let text = folders::read(&self.0).ok().flatten().unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(super) fn forget(&self) {
        let _ = folders::remove(&self.0);
    }
}
