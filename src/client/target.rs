use super::{ClientError, Environment, address, folders, folders::Folders};
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item, Table};
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
#[derive(Debug, Default)]
struct Settings {
    path: Option<PathBuf>,
    server: Option<String>,
    servers: Vec<Target>,
}

impl Target {
    /// The server that the option names, or `HALLPASS_SERVER`, or the file's `server`, or the only one of the file.
    pub(super) fn find(option: Option<&str>, env: &Environment, folders: &Folders) -> Result<Self, ClientError> {
        let settings = Settings::load(folders.settings())?;
        let only = match settings.servers.as_slice() {
            [only] => only.name.as_deref(),
            _ => None,
        };
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
        let mut settings =
            parse(&text, &path).map_err(|problem| ClientError::Settings { path: path.clone(), problem })?;
        settings.path = Some(path);
        Ok(settings)
    }

    /// The server of this name or address. An address that the file has too brings what the file says of it.
    fn resolve(&self, said: &str) -> Result<Target, ClientError> {
        if let Some(named) = self.servers.iter().find(|target| target.name.as_deref() == Some(said)) {
            return Ok(named.clone());
        }
        if !said.contains("://") {
            let known = self.servers.iter().filter_map(|target| target.name.clone()).collect();
            return Err(ClientError::UnknownServer { said: said.to_owned(), known });
        }
        let target = Target::at(&address::parse_server(said).map_err(ClientError::Address)?);
        Ok(self.servers.iter().find(|known| known.url == target.url).cloned().unwrap_or(target))
    }
}

/// Reads the file strictly: a key that it does not know is a slip of the pen.
fn parse(text: &str, path: &Path) -> Result<Settings, String> {
    let document = Document::parse(text).map_err(|error| error.message().to_owned())?;
    let mut settings = Settings::default();
    for (key, item) in document.as_table() {
        match key {
            "server" => settings.server = Some(text_of(key, item)?),
            "servers" => {
                let tables = item.as_table().ok_or("servers: expected tables, [servers.<name>]")?;
                for (name, item) in tables {
                    let table = item.as_table().ok_or_else(|| format!("servers.{name}: expected a table"))?;
                    settings.servers.push(server(name, table, path)?);
                }
            }
            other => return Err(format!("{other}: unknown key; known here: server, servers")),
        }
    }
    Ok(settings)
}

fn server(name: &str, table: &Table, path: &Path) -> Result<Target, String> {
    let mut target = None;
    let (mut ca_bundle, mut audience) = (None, AUDIENCE.to_owned());
    for (key, item) in table {
        let place = format!("servers.{name}.{key}");
        match key {
            "url" => {
                let url = address::parse_server(&text_of(&place, item)?);
                target = Some(Target::at(&url.map_err(|expected| format!("{place}: expected {expected}"))?));
            }
            // Meant from the folder of the file, wherever the command was started.
            "ca_bundle" => ca_bundle = Some(path.with_file_name(text_of(&place, item)?)),
            "audience" => audience = text_of(&place, item)?,
            _ => return Err(format!("{place}: unknown key; known here: url, ca_bundle, audience")),
        }
    }
    let target = target.ok_or_else(|| format!("servers.{name}.url: required, but not there"))?;
    Ok(Target { name: Some(name.to_owned()), ca_bundle, audience, ..target })
}

fn text_of(place: &str, item: &Item) -> Result<String, String> {
    item.as_str().map(str::to_owned).ok_or_else(|| format!("{place}: expected a string"))
}
