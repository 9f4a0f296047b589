//! Where a person's tokens are kept: in the system's keyring, or else in a file of mode 0600.
//!
//! A file for each server says who is signed in and where the tokens are; with a keyring none of it is secret. Whoever
//! changes anything holds the lock beside it.

use super::{ClientError, Environment, Target, exposed, folders};
use crate::{model::LoginClient, secret::Secret};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio::sync::oneshot;

/// Somebody may have to type the keyring's password.
const KEYRING_LIMIT: Duration = Duration::from_mins(1);

const SERVICE: &str = "hallpass";

/// What a sign-in brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tokens {
    /// What is sent to the server.
    #[serde(with = "exposed")]
    pub(super) token: Secret,
    /// When it ends, in seconds since 1970.
    pub(super) expires_at: i64,
    /// What gets the next one.
    #[serde(with = "exposed::option")]
    pub(super) refresh_token: Option<Secret>,
}

/// A sign-in, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) server: String,
    pub(super) sign_in: LoginClient,
    pub(super) principal: String,
    kept: Kept,
    tokens: Option<Tokens>,
}

/// Where the tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kept {
    Keyring,
    File,
}

/// The place for one server's sign-in.
pub(super) struct Keep {
    file: PathBuf,
    server: String,
    /// What `HALLPASS_TOKEN_STORE` says.
    said: Option<String>,
    /// Whether there may be a keyring at all; asking where there is none takes time.
    may_have_keyring: bool,
}

/// Held until it is dropped, or the process ends.
pub(super) struct Lock(#[expect(dead_code, reason = "the lock is the open file's")] File);

impl Keep {
    pub(super) fn new(folder: &Path, target: &Target, env: &Environment) -> Self {
        let bus = env.get("XDG_RUNTIME_DIR").is_some_and(|folder| Path::new(folder).join("bus").exists());
        Self {
            file: folder.join(target.file_name("json")),
            server: target.url.clone(),
            said: env.get("HALLPASS_TOKEN_STORE").map(str::to_owned),
            may_have_keyring: cfg!(target_os = "macos") || bus || env.get("DBUS_SESSION_BUS_ADDRESS").is_some(),
        }
    }

    /// Without asking the keyring.
    pub(super) fn is_signed_in(&self) -> bool {
        matches!(self.session(), Ok(Some(_)))
    }

    /// Who is signed in, and where, for the client's other files.
    pub(super) fn who(&self) -> Option<String> {
        let Session { principal, sign_in, .. } = self.session().ok().flatten()?;
        Some(format!("{principal} of {} by {}", sign_in.issuer, sign_in.client_id))
    }

    /// The sign-in without its tokens. A file that is not of this server, or not understood, is none.
    pub(super) fn session(&self) -> Result<Option<Session>, ClientError> {
        let text = folders::read(&self.file)?.map(Secret::new);
        let session = text.and_then(|text| serde_json::from_str::<Session>(text.expose()).ok());
        Ok(session.filter(|session| session.server == self.server))
    }

    /// The sign-in with its tokens.
    pub(super) async fn load(&self) -> Result<Option<(Session, Tokens)>, ClientError> {
        let Some(mut session) = self.session()? else { return Ok(None) };
        let tokens = match (session.kept, session.tokens.take()) {
            (Kept::File, tokens) => tokens,
            (Kept::Keyring, _) => self.ask_keyring().await?,
        };
        Ok(tokens.map(|tokens| (session, tokens)))
    }

    async fn ask_keyring(&self) -> Result<Option<Tokens>, ClientError> {
        let answer = keyring(&self.server, |entry| match entry.get_password() {
            Err(keyring::Error::NoEntry) => Ok(None),
            answer => answer.map(|text| Some(Secret::new(text))),
        });
        let text = answer.await.map_err(ClientError::Keyring)?;
        Ok(text.and_then(|text| serde_json::from_str(text.expose()).ok()))
    }

    /// Keeps a new sign-in, and says where.
    pub(super) async fn add(
        &self,
        sign_in: LoginClient,
        principal: &str,
        tokens: &Tokens,
    ) -> Result<Kept, ClientError> {
        let session = |kept| Session {
            server: self.server.clone(),
            sign_in,
            principal: principal.to_owned(),
            kept,
            tokens: None,
        };
        let kept = match self.said.as_deref() {
            Some("file") => Kept::File,
            Some("keyring") => {
                self.put_into_keyring(tokens).await.map_err(ClientError::Keyring)?;
                Kept::Keyring
            }
            Some(_) => return Err(ClientError::UnknownStore),
            None if self.may_have_keyring && self.put_into_keyring(tokens).await.is_ok() => Kept::Keyring,
            None => Kept::File,
        };
        self.write(session(kept), tokens)?;
        Ok(kept)
    }

    /// Puts refreshed tokens where the old ones were.
    pub(super) async fn set(&self, session: Session, tokens: &Tokens) -> Result<(), ClientError> {
        match session.kept {
            Kept::Keyring => self.put_into_keyring(tokens).await.map_err(ClientError::Keyring),
            Kept::File => self.write(session, tokens),
        }
    }

    async fn put_into_keyring(&self, tokens: &Tokens) -> Result<(), String> {
        let text = Secret::new(serde_json::to_string(tokens).map_err(|error| error.to_string())?);
        keyring(&self.server, move |entry| entry.set_password(text.expose())).await
    }

    fn write(&self, mut session: Session, tokens: &Tokens) -> Result<(), ClientError> {
        session.tokens = (session.kept == Kept::File).then(|| tokens.clone());
        let text = serde_json::to_string(&session).map_err(|error| ClientError::file(&self.file, error.into()))?;
        folders::write_private(&self.file, Secret::new(text).expose())
    }

    /// Forgets the sign-in. A keyring that does not answer keeps its entry, and that is an error.
    pub(super) async fn remove(&self) -> Result<(), ClientError> {
        let Some(session) = self.session()? else { return folders::remove(&self.file) };
        let answer = match session.kept {
            Kept::File => Ok(()),
            Kept::Keyring => {
                keyring(&self.server, |entry| match entry.delete_credential() {
                    Err(keyring::Error::NoEntry) => Ok(()),
                    answer => answer,
                })
                .await
            }
        };
        folders::remove(&self.file)?;
        answer.map_err(ClientError::Keyring)
    }

    /// Waits for whoever else is changing this sign-in: another command, or another process of this one's.
    pub(super) async fn lock(&self) -> Result<Lock, ClientError> {
        let path = self.file.with_extension("lock");
        let lock = {
            let path = path.clone();
            move || {
                folders::private_folder_of(&path)?;
                let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
                file.lock().map(|()| Lock(file))
            }
        };
        let lock = tokio::task::spawn_blocking(lock).await.unwrap_or_else(|error| Err(error.into()));
        lock.map_err(|cause| ClientError::file(&path, cause))
    }
}

/// Asks the keyring in a thread of its own: it waits for other programs, and for people.
async fn keyring<T: Send + 'static>(
    server: &str,
    ask: impl FnOnce(&keyring::Entry) -> keyring::Result<T> + Send + 'static,
) -> Result<T, String> {
    let (tell, told) = oneshot::channel();
    let server = server.to_owned();
    thread::spawn(move || {
        let answer = keyring::Entry::new(SERVICE, &server).and_then(|entry| ask(&entry));
        // Nobody listens any more once the time is over.
        let _ = tell.send(answer.map_err(|error| error.to_string()));
    });
    match tokio::time::timeout(KEYRING_LIMIT, told).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err("it broke off".to_owned()),
        Err(_) => Err("no answer".to_owned()),
    }
}
