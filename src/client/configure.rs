use super::{
    Client, ClientError, Environment, folders,
    profiles::{self, Changes, Profile},
};
use crate::model::RoleRef;
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// More links than this lead in a circle.
const LINKS: usize = 40;

/// What became of the AWS config file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Configured {
    /// The file.
    pub file: PathBuf,
    /// Each profile.
    #[serde(flatten)]
    pub changes: Changes,
}

impl Client {
    /// Has the AWS config file hold a profile for each of the caller's roles, which runs `program` for its credentials.
    pub async fn configure(&self, program: &Path, prefix: &str, prune: bool) -> Result<Configured, ClientError> {
        let command = quoted(program).ok_or_else(|| ClientError::Program(program.to_owned()))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !prefix.chars().all(plain) {
            return Err(ClientError::Prefix);
        }
        let file = aws_file(&self.env, "AWS_CONFIG_FILE", "config")?;
        let credentials = aws_file(&self.env, "AWS_SHARED_CREDENTIALS_FILE", "credentials")?;
        let mut roles = BTreeSet::new();
        for role in self.roles().await? {
            // It will stand in a line that a shell runs.
            let role = RoleRef::parse(&role.role).ok().filter(|role| matches!(role, RoleRef::Named(..)));
            roles.insert(role.ok_or_else(|| self.api.nonsense("a role of its list is none"))?);
        }
        let profiles: Vec<_> =
            roles.iter().map(|role| Profile::new(role, prefix, &command, &self.target.url)).collect();
        let edit = || {
            let elsewhere = profiles::names_in(&read(&credentials).map_err(|cause| (&credentials, cause))?);
            let old = read(&file).map_err(|cause| (&file, cause))?;
            let (new, changes) = profiles::edit(&old, &profiles, &self.target.url, &elsewhere, prune);
            if new != old {
                replace(&file, &old, &new).map_err(|cause| (&file, cause))?;
            }
            Ok(changes)
        };
        let changes = edit().map_err(|(path, cause)| ClientError::file(path, cause))?;
        Ok(Configured { file, changes })
    }
}

/// The file that the variable names, or else the usual one.
fn aws_file(env: &Environment, variable: &str, name: &str) -> Result<PathBuf, ClientError> {
    let home = || env.get("HOME").map(Path::new).ok_or(ClientError::NoAwsFolder);
    match env.get(variable) {
        Some(path) => match path.strip_prefix("~/") {
            Some(below) => Ok(home()?.join(below)),
            None => Ok(path.into()),
        },
        None => Ok(home()?.join(".aws").join(name)),
    }
}

/// As a shell reads it, and what splits words as a shell does.
fn quoted(program: &Path) -> Option<String> {
    let text = program.to_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_+=,.@-".contains(c);
    let fits = |c: char| !c.is_control() && !"\"\\$`!".contains(c);
    match text {
        _ if text.chars().all(plain) => Some(text.to_owned()),
        _ if text.chars().all(fits) => Some(format!("\"{text}\"")),
        _ => None,
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        answer => answer,
    }
}

/// Makes `new` the content of the file that was `old`, or of what a link leads to: whenever the process dies, one of them
/// is there whole.
fn replace(path: &Path, old: &[u8], new: &[u8]) -> io::Result<()> {
    let path = target_of(path)?;
    let mode = match fs::metadata(&path) {
        Ok(about) if about.permissions().mode() & 0o222 == 0 => {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only, so it stays as it is"));
        }
        Ok(about) => about.permissions(),
        Err(_) => fs::Permissions::from_mode(0o600),
    };
    folders::private_folder_of(&path)?;
    folders::replace(&path, new, mode, |path| match read(path)? {
        there if there == old => Ok(()),
        _ => Err(io::Error::other("another program has just changed it: run the command again")),
    })
}

/// Where a link leads, also to a file that is not there yet.
fn target_of(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}
