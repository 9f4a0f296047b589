//! Where a demo keeps what it makes: a temporary folder, or one that stays.

use super::{ALLOWLIST, DemoError};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The first line of a configuration that the demo may write over.
pub(super) const MARK: &str = "# Written by `hallpass demo`, anew at each start.";

/// A folder for one demo at a time; a temporary one is removed when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    temporary: Option<TempDir>,
    /// The folder itself, locked as long as this is open.
    _lock: File,
}

impl Folder {
    /// The folder at this path, made where it is not there, for its owner alone. One that holds anything but a demo's
    /// things is left alone. Without a path a temporary one.
    pub fn open(path: Option<PathBuf>) -> Result<Self, DemoError> {
        let Some(path) = path else {
            let failed = |cause| DemoError::Folder { path: std::env::temp_dir(), cause };
            let folder = tempfile::Builder::new().prefix("hallpass-demo-").tempdir().map_err(failed)?;
            return Self::take(folder.path().to_owned(), Some(folder));
        };
        let failed = |cause| DemoError::Folder { path: path.clone(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        if is_ours(&path).map_err(failed)? { Self::take(path, None) } else { Err(DemoError::NotOurs(path)) }
    }

    /// For this demo alone.
    fn take(path: PathBuf, temporary: Option<TempDir>) -> Result<Self, DemoError> {
        let failed = |cause| DemoError::Folder { path: path.clone(), cause };
        let lock = File::open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, temporary, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DemoError::InUse(path)),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether no demo has run here yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        !self.path.join("hallpass.db").exists()
    }

    /// Whether it goes at the end.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The file with the configuration.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.path.join("hallpass.toml")
    }

    /// The file with the allowlist.
    #[must_use]
    pub fn allowlist(&self) -> PathBuf {
        self.path.join("allowlist.toml")
    }

    /// Writes the configuration and, where there is none yet, the allowlist.
    pub fn write(&self, configuration: &str) -> Result<(), DemoError> {
        let failed = |cause| DemoError::Folder { path: self.path.clone(), cause };
        fs::write(self.configuration(), configuration).map_err(failed)?;
        let allowlist = OpenOptions::new().write(true).create_new(true).open(self.allowlist());
        match allowlist.and_then(|mut file| file.write_all(ALLOWLIST.as_bytes())) {
            Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => Err(failed(cause)),
            _ => Ok(()),
        }
    }
}

fn is_ours(path: &Path) -> io::Result<bool> {
    match fs::read_to_string(path.join("hallpass.toml")) {
        Ok(text) => Ok(text.starts_with(MARK)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(fs::read_dir(path)?.next().is_none()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_empty_and_own_folders_are_taken() {
        let root = tempfile::tempdir().unwrap();
        let open = |name: &str| Folder::open(Some(root.path().join(name)));
        let folder = open("deep/new").unwrap();
        assert!(matches!(open("deep/new"), Err(DemoError::InUse(_))), "it is open");
        folder.write(&format!("{MARK}\n[server]\n")).unwrap();
        fs::write(folder.allowlist(), "# mine now").unwrap();
        drop(folder);
        let folder = open("deep/new").unwrap();
        folder.write(&format!("{MARK}\nlater")).unwrap();
        assert_eq!(fs::read_to_string(folder.allowlist()).unwrap(), "# mine now");
        assert!(fs::read_to_string(folder.configuration()).unwrap().ends_with("later"));

        fs::create_dir(root.path().join("etc")).unwrap();
        for (file, text) in [("hallpass.toml", "[server]\n"), ("notes.txt", "")] {
            let path = root.path().join("etc").join(file);
            fs::write(&path, text).unwrap();
            assert!(matches!(open("etc"), Err(DemoError::NotOurs(_))), "{file}");
            fs::remove_file(path).unwrap();
        }
        fs::write(root.path().join("file"), "").unwrap();
        assert!(matches!(open("file/below"), Err(DemoError::Folder { .. })));
    }

    #[test]
    fn a_temporary_folder_goes_with_what_is_in_it() {
        let folder = Folder::open(None).unwrap();
        folder.write("").unwrap();
        let path = folder.path().to_owned();
        assert!(path.join("hallpass.toml").exists());
        drop(folder);
        assert!(!path.exists());
    }
}
