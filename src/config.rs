//! The configuration: the whole schema of `hallpass.toml`, its defaults, how it is loaded, and what is wrong with it.
//!
//! A file and environment variables make one document; the document is read into [`Config`] and, beside that, held
//! against the rules between keys. Every fault is found in one go and reported with its line or its variable. Must
//! never open a connection, or show a secret: a refused text is never repeated, and a database address hides its
//! password.
//!
//! `app` and `cli` read it; no other room knows it.

mod address;
mod database;
mod environment;
mod issuer;
mod login;
mod portal;
mod report;
mod rules;
#[cfg(test)]
mod tests;

pub use database::DatabaseUrl;
pub use environment::environment;
pub use login::Login;
pub use portal::Portal;
pub use report::ConfigError;

use crate::{
    identity::{IssuerConfig, IssuerKind},
    input::{self, Faults, parse_toml, pointer_to},
    model::{Invalid, IpNet, Principal},
    tls::TlsFiles,
};
use deserr::{Deserr, ValuePointerRef};
use issuer::IssuerTable;
use report::Places;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
};

/// A file longer than this is none of ours.
const MAX_BYTES: u64 = 1 << 20;

/// All that an operator decides, complete and valid.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct Config {
    /// The file that was read, as it was named.
    #[deserr(skip)]
    pub file: PathBuf,
    /// Where the service listens, and how it is reached.
    pub server: Server,
    /// Where everything is kept.
    pub database: Database,
    /// How AWS is asked.
    pub aws: Aws,
    /// Who may do more than ask for credentials.
    pub access: Access,
    /// Whose JWTs are accepted; at least one, each with its own name, address and prefix.
    #[deserr(from(Vec<IssuerTable>) = issuer::from_tables)]
    pub issuers: Vec<IssuerConfig>,
    /// How people sign in on the command line; nobody does where it is absent.
    #[deserr(default)]
    pub login: Option<Login>,
    /// The pages for people; none without.
    #[deserr(default)]
    pub portal: Option<Portal>,
    /// What the audit needs.
    pub audit: Audit,
    /// How much is done for one caller, and how much is asked of AWS.
    pub limits: Limits,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct Server {
    /// The address and port to listen on; 127.0.0.1:8080 by default. Another address than loopback needs `tls` or
    /// `behind_proxy`.
    #[deserr(try_from(&String) = address::parse_listen -> Invalid, default = default_listen())]
    pub listen: SocketAddr,
    /// What people, cookies and SDKs use: an origin without a trailing slash, `https://hallpass.example.com`. By
    /// default `http://<listen>`, or `https://` with `tls`, where that is loopback.
    #[deserr(try_from(&String) = address::parse_origin -> Invalid, missing_field_error = no_public_url)]
    pub public_url: String,
    /// The peers whose `X-Forwarded-For` is believed.
    #[deserr(default)]
    pub trusted_proxies: Vec<IpNet>,
    /// TLS ends in front of this process, which may then speak plain HTTP on an address that others reach.
    #[deserr(default)]
    pub behind_proxy: bool,
    /// Where `/metrics` is served, and nothing else. Open to whoever reaches it.
    #[deserr(try_from(Option<String>) = address::parse_metrics_listen -> Invalid, default)]
    pub metrics_listen: Option<SocketAddr>,
    /// The certificate to speak TLS with; plain HTTP without.
    #[deserr(default)]
    pub tls: Option<Tls>,
}

/// `[server.tls]`. The files are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct Tls {
    /// The service's certificate and those between it and its authority, as PEM.
    #[deserr(try_from(&String) = parse_path -> Invalid)]
    pub certificate: PathBuf,
    /// The certificate's key, as PEM.
    #[deserr(try_from(&String) = parse_path -> Invalid)]
    pub key: PathBuf,
}

/// `[database]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct Database {
    /// What the service itself uses; `sqlite:hallpass.db` by default.
    #[deserr(default = DatabaseUrl::default())]
    pub url: DatabaseUrl,
    /// The owner of the tables, for migrations; PostgreSQL only. Without it `url` migrates too.
    #[deserr(default)]
    pub migrate_url: Option<DatabaseUrl>,
}

/// `[aws]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct Aws {
    /// The region whose STS endpoint is asked, `eu-west-1`. By default what `AWS_REGION` or `AWS_DEFAULT_REGION` says.
    #[deserr(try_from(&String) = address::parse_region -> Invalid, missing_field_error = no_region)]
    pub region: String,
    /// Where console sign-in tokens are had: an origin. By default that of the region's partition, where it is known.
    #[deserr(try_from(Option<String>) = address::parse_signin -> Invalid, default)]
    pub signin_url: Option<String>,
}

/// `[access]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct Access {
    /// Change the allowlist, block, read everything. Users and groups of people, never a workload.
    #[deserr(default)]
    pub admins: Vec<Principal>,
    /// Read everything, change nothing.
    #[deserr(default)]
    pub auditors: Vec<Principal>,
    /// Read, plan and apply the allowlist file, nothing else.
    #[deserr(default)]
    pub appliers: Vec<Principal>,
    /// People who may make API tokens for themselves. Admins may in any case.
    #[deserr(default)]
    pub token_creators: Vec<Principal>,
}

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct Audit {
    /// The Ed25519 key that signs each commit, the same on every replica; `audit.key` by default.
    #[deserr(try_from(&String) = parse_path -> Invalid, default = PathBuf::from("audit.key"))]
    pub signing_key_file: PathBuf,
}

/// `[limits]`. Each replica counts for itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct Limits {
    /// How many requests a second one caller may make in the long run; 20 by default.
    #[deserr(try_from(u64) = positive -> Invalid, default = DEFAULT_LIMITS.requests_per_second)]
    pub requests_per_second: NonZeroU32,
    /// How many at once after a while of rest; 100 by default.
    #[deserr(try_from(u64) = positive -> Invalid, default = DEFAULT_LIMITS.requests_burst)]
    pub requests_burst: NonZeroU32,
    /// How often a second AssumeRole is called, retries included; 500 by default, below AWS's 600 for the broker's
    /// account and region.
    #[deserr(try_from(u64) = positive -> Invalid, default = DEFAULT_LIMITS.sts_per_second)]
    pub sts_per_second: NonZeroU32,
}

const DEFAULT_LIMITS: Limits =
    Limits { requests_per_second: nonzero(20), requests_burst: nonzero(100), sts_per_second: nonzero(500) };

const fn nonzero(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// Loads the file at `path`, or else the one that `HALLPASS_CONFIG` in `env` names, and what the other variables of
/// `env` put over it. A relative path in either is meant from the folder of the file: it then means the same
/// wherever the process was started.
pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    load_as(path, env, Files::Named)
}

/// Likewise, and the files of `server.tls` must be ones that can be used now: for who is about to serve. Who only reads
/// the audit is not kept from it by an expired certificate.
pub fn load_to_serve(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    load_as(path, env, Files::Read)
}

/// Whether the files of `server.tls` are looked into.
#[derive(Clone, Copy)]
enum Files {
    Named,
    Read,
}

fn load_as(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    files: Files,
) -> Result<Config, ConfigError> {
    let env: BTreeMap<String, String> = env.collect();
    let named = env.get("HALLPASS_CONFIG").filter(|name| !name.is_empty()).map(Path::new);
    let path = path.or(named).ok_or(ConfigError::NoFile)?;
    let text = read_file(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
    let mut config = parse(path, &text, &env, files)?;
    config.resolve_paths(folder_of(path));
    path.clone_into(&mut config.file);
    Ok(config)
}

/// Reads the text of the file at `path` under the variables `env`.
fn parse(
    path: impl AsRef<Path>,
    text: &str,
    env: &BTreeMap<String, String>,
    files: Files,
) -> Result<Config, ConfigError> {
    let path = path.as_ref();
    let mut places = Places::new(&path.display().to_string());
    let (mut document, lines) = parse_toml(text).map_err(|faults| places.report(faults))?;
    places.lines = lines;
    add_sections(&mut document);
    let mut faults = environment::overlay(&mut document, env, &mut places);
    derive_public_url(&mut document);
    faults.0.extend(rules::check(&document).0);
    if let Files::Read = files {
        rules::tls(&document, folder_of(path), &mut faults);
        rules::portal_secret(&document, folder_of(path), &mut faults);
    }
    match input::read(document) {
        Ok(config) if faults.0.is_empty() => Ok(config),
        Ok(_) => Err(places.report(faults)),
        Err(mut more) => {
            more.0.extend(faults.0);
            Err(places.report(more))
        }
    }
}

/// What relative paths are meant from.
fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is over 1 MiB"));
    }
    Ok(text)
}

/// A section that is not there is an empty one, so that a fault names the key that is missing.
fn add_sections(document: &mut Value) {
    if let Value::Object(sections) = document {
        for name in ["server", "database", "aws", "access", "audit", "limits"] {
            sections.entry(name).or_insert_with(|| json!({}));
        }
        sections.entry("issuers").or_insert_with(|| json!([]));
    }
}

/// A loopback address is its own public address. One that cannot be read is a fault already, and `public_url` is not
/// asked for on top.
fn derive_public_url(document: &mut Value) {
    let listen = match document.pointer("/server/listen").map(|value| value.as_str().and_then(|text| text.parse().ok()))
    {
        Some(Some(listen)) => listen,
        Some(None) | None => default_listen(),
    };
    if let Some(Value::Object(server)) = document.pointer_mut("/server")
        && address::is_loopback(listen.ip())
    {
        let scheme = if server.contains_key("tls") { "https" } else { "http" };
        server.entry("public_url").or_insert_with(|| format!("{scheme}://{listen}").into());
    }
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 8080).into()
}

fn parse_path(text: &str) -> Result<PathBuf, Invalid> {
    if text.is_empty() { Err(Invalid::new("the path of a file")) } else { Ok(text.into()) }
}

fn positive(number: u64) -> Result<NonZeroU32, Invalid> {
    let number = u32::try_from(number).ok().filter(|number| *number <= 1_000_000);
    number.and_then(NonZeroU32::new).ok_or(Invalid::new("a whole number from 1 to 1000000"))
}

fn no_public_url(key: &str, section: ValuePointerRef<'_>) -> Faults {
    let problem = "required where server.listen is not loopback, such as https://hallpass.example.com";
    Faults::at(pointer_to(section.push_key(key)), problem)
}

fn no_region(key: &str, section: ValuePointerRef<'_>) -> Faults {
    Faults::at(pointer_to(section.push_key(key)), "required, such as eu-west-1, where AWS_REGION does not say it")
}

impl Tls {
    /// The pair, as it is read and checked.
    #[must_use]
    pub fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.certificate.clone(), key: self.key.clone() }
    }
}

impl Config {
    fn resolve_paths(&mut self, folder: &Path) {
        self.database.url.resolve_path(folder);
        self.audit.signing_key_file = folder.join(&self.audit.signing_key_file);
        if let Some(file) = self.portal.as_mut().and_then(|portal| portal.client_secret_file.as_mut()) {
            *file = folder.join(&*file);
        }
        if let Some(Tls { certificate, key }) = &mut self.server.tls {
            (*certificate, *key) = (folder.join(&*certificate), folder.join(&*key));
        }
    }

    /// What is valid but probably not what is meant, one sentence each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        if self.server.behind_proxy && self.server.trusted_proxies.is_empty() {
            hints.push(
                "server.trusted_proxies is empty: every caller has the proxy's address, for source_ips and in the audit, \
                 unless the proxy keeps the caller's"
                    .to_owned(),
            );
        }
        if self.server.trusted_proxies.iter().any(|range| range.to_string().ends_with("/0")) {
            hints.push("server.trusted_proxies names every address: any caller can then choose its own".to_owned());
        }
        if self.access.admins.is_empty() {
            hints.push("access.admins is empty: nobody can change the allowlist through the API".to_owned());
        }
        let Access { admins, auditors, appliers, token_creators } = &self.access;
        let lists =
            [("admins", admins), ("auditors", auditors), ("appliers", appliers), ("token_creators", token_creators)];
        for (list, principals) in lists {
            for principal in principals.iter().filter(|principal| !self.can_be(principal)) {
                hints.push(format!("access.{list} names {principal}, but the prefix of no issuer here fits that name"));
            }
        }
        hints
    }

    /// Whether some issuer's tokens can give this name, by the issuers' prefixes.
    fn can_be(&self, principal: &Principal) -> bool {
        let name = principal.name();
        self.issuers.iter().any(|issuer| {
            let gives = match principal {
                Principal::User(_) => issuer.kind != IssuerKind::Workload,
                Principal::Workload { .. } => issuer.kind == IssuerKind::Workload,
                Principal::Group(_) => true,
                Principal::Local(_) => false,
            };
            gives && name.starts_with(&issuer.prefix())
        })
    }
}
