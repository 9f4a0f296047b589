//! Credentials that were handed out and still last, so that each `aws` command is not one AssumeRole.
//!
//! A file for each server, caller, role and set of options, its owner's alone and written whole or not at all. Where there is
//! no folder for it, this process remembers them.

use super::{ClientError, Credentials, folders};
use crate::{
    model::{SessionDuration, Time, sha256},
    secret::Secret,
};
use data_encoding::HEXLOWER;
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The SDKs ask again when less than this is left, in seconds.
const USUAL: i64 = 15 * 60;

/// Where the credentials of one server are.
pub(super) enum Shelf {
    /// On the disk, for every process of this person's.
    Folder(PathBuf),
    /// In this process.
    Memory(Mutex<HashMap<String, String>>, Arc<tokio::sync::Mutex<()>>),
}

/// One place on it: whose, and for what.
pub(super) struct Place<'a> {
    shelf: &'a Shelf,
    key: String,
}

/// Held until it is dropped, or the process ends: one process at a time asks for the same credentials.
pub(super) enum Held {
    File(#[expect(dead_code, reason = "the lock is the open file's")] File),
    Memory(#[expect(dead_code, reason = "held until dropped")] tokio::sync::OwnedMutexGuard<()>),
}

impl Shelf {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        folder.map_or_else(|| Self::Memory(Mutex::default(), Arc::default()), Self::Folder)
    }

    /// The place for what these parts name. What they are cannot be read from a file's name.
    pub(super) fn place(&self, parts: &[&str]) -> Place<'_> {
        Place { shelf: self, key: hash_of(parts) }
    }

    /// Forgets all of them.
    pub(super) fn clear(&self) -> Result<(), ClientError> {
        match self {
            Self::Folder(folder) => folders::remove_folder(folder),
            Self::Memory(memory, _) => {
                memory.lock().unwrap_or_else(PoisonError::into_inner).clear();
                Ok(())
            }
        }
    }
}

impl Place<'_> {
    fn path(&self, folder: &Path, extension: &str) -> PathBuf {
        folder.join(format!("{}.{extension}", self.key))
    }

    /// What is there; whatever cannot be read or understood is nothing.
    pub(super) fn get(&self) -> Option<Credentials> {
        let text = match self.shelf {
            Shelf::Folder(folder) => folders::read_private(&self.path(folder, "json")).map(Secret::new),
            Shelf::Memory(memory, _) => {
                let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory.get(&self.key).cloned().map(Secret::new)
            }
        };
        serde_json::from_str(text?.expose()).ok()
    }

    /// Puts credentials there. Where that fails they are good all the same: the next command asks again.
    pub(super) fn put(&self, credentials: &Credentials, now: Time) {
        let Ok(text) = serde_json::to_string(credentials).map(Secret::new) else { return };
        match self.shelf {
            Shelf::Folder(folder) => {
                let _ = folders::write_private(&self.path(folder, "json"), text.expose());
                sweep(folder, now);
            }
            Shelf::Memory(memory, _) => {
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory.insert(self.key.clone(), text.expose().to_owned());
            }
        }
    }

    /// Takes away what is there.
    pub(super) fn clear(&self) -> Result<(), ClientError> {
        match self.shelf {
            Shelf::Folder(folder) => folders::remove(&self.path(folder, "json")),
            Shelf::Memory(memory, _) => {
                memory.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
                Ok(())
            }
        }
    }

    /// Waits for whoever else is asking for these. Where that cannot be had, everybody asks for themselves.
    pub(super) async fn hold(&self) -> Option<Held> {
        match self.shelf {
            Shelf::Folder(folder) => {
                let path = self.path(folder, "lock");
                let lock = move || {
                    folders::private_folder_of(&path)?;
                    // Truncating it says that it is in use, to whoever sweeps.
                    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path)?;
                    file.lock().map(|()| Held::File(file))
                };
                tokio::task::spawn_blocking(lock).await.ok()?.ok()
            }
            Shelf::Memory(_, lock) => Some(Held::Memory(lock.clone().lock_owned().await)),
        }
    }
}

/// Removes what no session can be in any more, and locks that nobody has asked for as long.
fn sweep(folder: &Path, now: Time) {
    let oldest = now.minus(SessionDuration::MAX.as_duration()).as_micros() / 1_000_000;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.metadata().is_ok_and(|about| about.mtime() < oldest) {
            let _ = folders::remove(&entry.path());
        }
    }
}

/// Names this list of texts and no other, and tells nothing of them.
pub(super) fn hash_of(texts: &[&str]) -> String {
    let text = Secret::new(serde_json::json!(texts).to_string());
    HEXLOWER.encode(&sha256(&[text.expose().as_bytes()]))
}

/// Whether credentials last long enough to be handed out again: longer than the SDKs want, or, of a short session, for more
/// than a third of it.
pub(super) fn lasts(credentials: &Credentials, now: Time) -> bool {
    credentials.seconds_left(now) > USUAL.min(i64::from(credentials.duration_seconds) / 3)
}
