//! Where the client keeps its files, by the XDG Base Directory Specification, and how they are written.

use super::{ClientError, Environment};
use rustix::process::geteuid;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A file of the client's is never longer.
const MAX_BYTES: u64 = 1 << 20;

/// The folders; none where there is neither the variable nor a home, as in many containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folders {
    pub(super) config: Option<PathBuf>,
    pub(super) state: Option<PathBuf>,
    pub(super) cache: Option<PathBuf>,
}

impl Folders {
    pub(super) fn of(env: &Environment) -> Self {
        // The specification: a relative path is to be ignored.
        let absolute = |name| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let folder = |name, below: &str| {
            let folder = absolute(name).or_else(|| home.as_ref().map(|home| home.join(below)));
            folder.map(|folder| folder.join("hallpass"))
        };
        Self {
            config: folder("XDG_CONFIG_HOME", ".config"),
            state: folder("XDG_STATE_HOME", ".local/state"),
            cache: folder("XDG_CACHE_HOME", ".cache"),
        }
    }

    /// The client's configuration file.
    pub(super) fn settings(&self) -> Option<PathBuf> {
        self.config.as_deref().map(|folder| folder.join("config.toml"))
    }
}

/// The text of a file that may not be there.
pub(super) fn read(path: &Path) -> Result<Option<String>, ClientError> {
    let read = || {
        if fs::metadata(path)?.len() > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is over 1 MiB"));
        }
        fs::read_to_string(path)
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(cause) => Err(ClientError::file(path, cause)),
    }
}

/// The text of a file that nobody else may read or write, and that is this process's own; any other is as none.
pub(super) fn read_private(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let about = file.metadata().ok()?;
    let own = about.is_file() && about.uid() == geteuid().as_raw() && about.mode().trailing_zeros() >= 6;
    let mut text = String::new();
    (own && about.len() <= MAX_BYTES).then(|| file.read_to_string(&mut text).ok())??;
    Some(text)
}

/// Makes `text` the file's whole content: for its owner alone from the first byte on, and either the old text or the
/// new one whenever the process dies.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), ClientError> {
    let write = || {
        private_folder_of(path)?;
        replace(path, text.as_bytes(), Permissions::from_mode(0o600), |_| Ok(()))
    };
    write().map_err(|cause| ClientError::file(path, cause))
}

/// Puts a new file in the place of `path`, once `check` has looked at what is there: whenever the process dies, the old one or
/// the new one is there whole.
pub(super) fn replace(
    path: &Path,
    text: &[u8],
    mode: Permissions,
    check: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    // Two at once take turns. A file system that locks no folders, as NFS, lets both go on.
    let turn = File::open(path.parent().unwrap_or(Path::new("/")))?;
    let _ = turn.lock();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".hallpass-new");
    let beside = path.with_file_name(name);
    // What a process that died has left; `create_new` writes into nobody else's file.
    remove_any(&beside)?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text)?;
        file.set_permissions(mode)?;
        file.sync_all()?;
        check(path)?;
        fs::rename(&beside, path)
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn remove_any(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), ClientError> {
    remove_any(path).map_err(|cause| ClientError::file(path, cause))
}

/// Removes a folder that may not be there, with what is in it.
pub(super) fn remove_folder(path: &Path) -> Result<(), ClientError> {
    match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(ClientError::file(path, cause)),
        _ => Ok(()),
    }
}

/// The folder that a file is to stand in: its owner's alone where it is made here.
pub(super) fn private_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn two_at_once_each_put_a_whole_file_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let texts = ["a", "b", "c", "d"].map(|letter| letter.repeat(100_000));
        let mode = || Permissions::from_mode(0o600);
        replace(&path, texts[0].as_bytes(), mode(), |_| Ok(())).unwrap();
        thread::scope(|scope| {
            for text in &texts {
                let (path, all) = (&path, &texts);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let whole = |path: &Path| assert!(all.contains(&fs::read_to_string(path).unwrap()));
                        let look = |path: &Path| {
                            whole(path);
                            Ok(())
                        };
                        replace(path, text.as_bytes(), mode(), look).unwrap();
                        whole(path);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
