use crate::audit::{KeyError, SigningKey};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// What is wrong with the file of the audit key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It is not there.
    #[error("there is no audit key at {0}: make one with `hallpass audit keygen`, the same for every replica")]
    Missing(PathBuf),
    /// It is there already, and is never written over.
    #[error("{0} is there already, and an audit key is never written over: move it away first")]
    Exists(PathBuf),
    /// Others on this machine can read it.
    #[error("{0} can be read by others on this machine: chmod 600 it")]
    Open(PathBuf),
    /// It cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It holds no key.
    #[error("{path}: {cause}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: KeyError,
    },
}

/// Reads the key, which nobody but its owner and group may read.
pub fn load_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    let file = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing(path.to_owned()),
        _ => KeyFileError::File { path: path.to_owned(), cause },
    };
    // A secret mounted for a group, as Kubernetes does it, is fine; one for the whole world is not.
    if fs::metadata(path).map_err(file)?.permissions().mode() & 0o007 != 0 {
        return Err(KeyFileError::Open(path.to_owned()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(file)?);
    SigningKey::from_pem(&text).map_err(|cause| KeyFileError::Key { path: path.to_owned(), cause })
}

/// Makes a key and writes it, for its owner alone, never over an old one.
pub fn keygen(path: &Path) -> Result<SigningKey, KeyFileError> {
    let (key, text) = SigningKey::generate();
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(key),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Err(KeyFileError::Exists(path.to_owned())),
        Err(cause) => Err(KeyFileError::File { path: path.to_owned(), cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        assert!(matches!(load_key(&path), Err(KeyFileError::Missing(_))));
        let key = keygen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_key(&path).unwrap().public().digest_hex(), key.public().digest_hex());
        assert!(matches!(keygen(&path), Err(KeyFileError::Exists(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_key(&path), Err(KeyFileError::Open(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(&path, "no key").unwrap();
        assert!(matches!(load_key(&path), Err(KeyFileError::Key { .. })));
    }
}
