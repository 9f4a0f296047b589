use super::{ClientError, Environment, address::parse_server, folders, folders::Folders};
use crate::{
    input::{self, Faults, Lines, Table, parse_toml},
    model::Invalid,
};
use deserr::Deserr;
use std::path::PathBuf;
use url::Url;

/// The audience that a pipeline asks its token for, where nobody says another.
const AUDIENCE: &str = "hallpass";

/// A server, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What the client's file calls it.
    pub name: Option<String>,
    /// Its address, without a slash at the end.
    pub url: String,
    /// More certificates to trust, as PEM, for a private certification authority.
    pub ca_bundle: Option<PathBuf>,
    /// The audience that a pipeline's token is asked for.
    pub audience: String,
}

/// What the client's file says.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
struct Settings {
    #[deserr(skip)]
    path: Option<PathBuf>,
    #[deserr(default)]
    server: Option<String>,
    #[deserr(default)]
    servers: Table<Server>,
}

/// `[servers.<name>]`.
#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
struct Server {
    #[deserr(try_from(&String) = parse_server -> Invalid)]
    url: Url,
    #[deserr(default)]
    ca_bundle: Option<String>,
    #[deserr(default)]
    audience: Option<String>,
}

impl Target {
    /// The server that the option names, or `HALLPASS_SERVER`, or the file's `server`, or the only one of the file.
    pub(super) fn find(option: Option<&str>, env: &Environment, folders: &Folders) -> Result<Self, ClientError> {
        let settings = Settings::load(folders.settings())?;
        let mut names = settings.servers.0.keys().map(String::as_str);
        let only = names.next().filter(|_| names.next().is_none());
        let said = option.or_else(|| env.get("HALLPASS_SERVER")).or(settings.server.as_deref()).or(only);
        let said = said.ok_or_else(|| ClientError::NoServer { file: settings.path.clone() })?;
        let mut target = settings.resolve(said)?;
        if let Some(bundle) = env.get("HALLPASS_CA_BUNDLE") {
            target.ca_bundle = Some(bundle.into());
        }
        if let Some(audience) = env.get("HALLPASS_AUDIENCE") {
            audience.clone_into(&mut target.audience);
        }
        Ok(target)
    }

    /// Names what belongs to this server among files; two servers never share one, which what is kept says again.
    pub(super) fn file_name(&self, extension: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
        format!("{}.{extension}", self.url.replace("://", "_").chars().map(plain).collect::<String>())
    }

    fn at(url: &Url) -> Self {
        let url = url.origin().ascii_serialization();
        Self { name: None, url, ca_bundle: None, audience: AUDIENCE.to_owned() }
    }
}

impl Settings {
    fn load(path: Option<PathBuf>) -> Result<Self, ClientError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let Some(text) = folders::read(&path)? else { return Ok(Self { path: Some(path), ..Self::default() }) };
        let settings = parse(&text).map_err(|(faults, lines)| {
            let file = path.display().to_string();
            ClientError::Settings(faults.0.into_iter().map(|fault| lines.place(&file, fault)).collect())
        })?;
        Ok(Self { path: Some(path), ..settings })
    }

    /// The server of this name or address. An address that the file has too brings what the file says of it.
    fn resolve(&self, said: &str) -> Result<Target, ClientError> {
        if let Some((name, server)) = self.servers.0.get_key_value(said) {
            return Ok(self.target(name, server));
        }
        if !said.contains("://") {
            let known = self.servers.0.keys().cloned().collect();
            return Err(ClientError::UnknownServer { said: said.to_owned(), known });
        }
        let url = parse_server(said).map_err(ClientError::Address)?;
        let known = self.servers.0.iter().find(|(_, server)| server.url == url);
        Ok(known.map_or_else(|| Target::at(&url), |(name, server)| self.target(name, server)))
    }

    fn target(&self, name: &str, server: &Server) -> Target {
        let target = Target::at(&server.url);
        // Meant from the folder of the file, wherever the command was started.
        let beside = |bundle: &String| self.path.as_deref().map(|path| path.with_file_name(bundle));
        Target {
            name: Some(name.to_owned()),
            ca_bundle: server.ca_bundle.as_ref().and_then(beside),
            audience: server.audience.clone().unwrap_or(target.audience),
            ..target
        }
    }
}

/// Reads the file strictly: a key that it does not know is a slip of the pen.
fn parse(text: &str) -> Result<Settings, (Faults, Lines)> {
    let (value, lines) = parse_toml(text).map_err(|faults| (faults, Lines::default()))?;
    input::read(value).map_err(|faults| (faults, lines))
}
