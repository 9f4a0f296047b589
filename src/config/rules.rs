//! What holds between keys. The rules look at the raw document and pass over what is malformed there, which the
//! reader reports: so no fault hides another.

use super::{DatabaseUrl, address, default_listen, issuer::Kind};
use crate::{
    clock::Clock,
    identity::{Names, default_prefix},
    input::{self, Faults, key_path},
    model::{IssuerName, Name, Principal, PrincipalKind},
    tls::{TlsFault, TlsFiles},
};
use serde_json::Value;
use std::{fs, net::SocketAddr, path::Path};

const PEOPLE_ONLY: [&str; 4] = ["principal_claim", "groups_claim", "prefix", "trust_unverified_email"];

/// Every fault between keys.
pub(super) fn check(document: &Value) -> Faults {
    let mut faults = Faults::default();
    let issuers = Issuer::all(document);
    listener(document, &mut faults);
    database(document, &mut faults);
    for list in ["admins", "auditors", "appliers", "token_creators"] {
        access(document, list, &issuers, &mut faults);
    }
    login(document, &issuers, &mut faults);
    if document.pointer("/issuers").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        faults.push("/issuers", "at least one [[issuers]] is needed: nobody could sign in");
    }
    portal(document, &issuers, &mut faults);
    for (i, issuer) in issuers.iter().enumerate() {
        issuer.check(&mut faults);
        issuer.check_groups(&issuers, &mut faults);
        for earlier in &issuers[..i] {
            issuer.check_apart(earlier, &mut faults);
        }
    }
    faults
}

/// TLS ends either on the machine itself or in front of it; a token never crosses a network in the clear.
fn listener(document: &Value, faults: &mut Faults) {
    let listen = text_at(document, "/server/listen").and_then(|text| text.parse::<SocketAddr>().ok());
    let open = document.pointer("/server/behind_proxy").is_none_or(|said| *said == Value::Bool(false));
    let plain = document.pointer("/server/tls").is_none();
    if plain && open && listen.is_some_and(|listen| !address::is_loopback(listen.ip())) {
        faults.push(
            "/server/listen",
            "plain HTTP on an address that others reach: set server.tls, or server.behind_proxy = true where TLS ends \
             in a proxy in front, or listen on 127.0.0.1",
        );
    }
    let metrics = text_at(document, "/server/metrics_listen").and_then(|text| text.parse::<SocketAddr>().ok());
    if metrics.is_some_and(|metrics| metrics == listen.unwrap_or_else(default_listen)) {
        faults.push("/server/metrics_listen", "expected another address or port than server.listen");
    }
    if !plain && text_at(document, "/server/public_url").is_some_and(|url| url.starts_with("http:")) {
        faults.push("/server/public_url", "expected https://, which server.tls makes it");
    }
}

/// The pair in `folder` must be one that can be used now.
pub(super) fn tls(document: &Value, folder: &Path, faults: &mut Faults) {
    let file = |key| text_at(document, &format!("/server/tls/{key}")).filter(|file| !file.is_empty());
    let (Some(certificate), Some(key)) = (file("certificate"), file("key")) else { return };
    let files = TlsFiles { certificate: folder.join(certificate), key: folder.join(key) };
    match files.check(&Clock::system()) {
        Ok(()) => {}
        Err(TlsFault::Certificate(problem)) => faults.push("/server/tls/certificate", problem),
        Err(TlsFault::Key(problem)) => faults.push("/server/tls/key", problem),
    }
}

/// People sign in with an issuer of people.
fn portal(document: &Value, issuers: &[Issuer<'_>], faults: &mut Faults) {
    let Some(name) = text_at(document, "/portal/issuer") else { return };
    let all_told = issuers.iter().all(|issuer| issuer.name.is_some() && issuer.kind.is_some());
    let named = |issuer: &Issuer<'_>| {
        issuer.kind == Some(Kind::People) && issuer.name.as_ref().is_some_and(|own| own.as_str() == name)
    };
    if all_told && IssuerName::parse(name).is_ok() && !issuers.iter().any(named) {
        faults.push("/portal/issuer", "expected the name of one of [[issuers]] with kind = \"people\"");
    }
}

/// The client's secret must be there and be one.
pub(super) fn portal_secret(document: &Value, folder: &Path, faults: &mut Faults) {
    const KEY: &str = "/portal/client_secret_file";
    let Some(file) = text_at(document, KEY).filter(|file| !file.is_empty()) else { return };
    match fs::read_to_string(folder.join(file)) {
        Ok(text) if text.trim().is_empty() => faults.push(KEY, "the file is empty"),
        Ok(_) => {}
        Err(error) => faults.push(KEY, format!("the file cannot be read: {error}")),
    }
}

fn database(document: &Value, faults: &mut Faults) {
    let database = |pointer| text_at(document, pointer).map(DatabaseUrl::parse);
    let url = database("/database/url").unwrap_or(Ok(DatabaseUrl::default()));
    match (url, database("/database/migrate_url")) {
        (Ok(DatabaseUrl::Sqlite(_)), Some(Ok(_))) => {
            faults
                .push("/database/migrate_url", "only with PostgreSQL in database.url: SQLite knows no owner of tables");
        }
        (Ok(DatabaseUrl::Postgres(_)), Some(Ok(DatabaseUrl::Sqlite(_)))) => {
            faults.push("/database/migrate_url", "expected postgres://…, the database of database.url under its owner");
        }
        _ => {}
    }
}

/// A workload is no admin and makes no API tokens, by its own name or through a group that its issuer gives; and a name
/// whose issuer is not there is a slip of the pen.
fn access(document: &Value, list: &str, issuers: &[Issuer<'_>], faults: &mut Faults) {
    let workloads = || issuers.iter().filter(|issuer| issuer.kind == Some(Kind::Workload));
    let all_told = issuers.iter().all(|issuer| issuer.name.is_some() && issuer.kind.is_some());
    let people_only = match list {
        "admins" => Some("an admin is never a workload"),
        "token_creators" => Some("a workload makes no API tokens"),
        _ => None,
    };
    for (place, text) in texts_at(document, &format!("/access/{list}")) {
        let Ok(principal) = Principal::parse(text) else { continue };
        let named = |issuer: &&Issuer<'_>| issuer.prefix().is_some_and(|prefix| principal.name().starts_with(&prefix));
        match (principal.kind(), people_only) {
            (PrincipalKind::Local, _) => {
                faults.push(place, "expected user:<name> or group:<name>: local: is no caller");
            }
            (PrincipalKind::Workload, Some(never)) => {
                faults.push(place, format!("expected user:<name> or group:<name>: {never}"));
            }
            (PrincipalKind::Workload, None) if principal.is_machine() => {
                faults.push(place, "an API token has no power, whomever it belongs to");
            }
            (PrincipalKind::Workload, None) if all_told && !workloads().any(|issuer| named(&issuer)) => {
                faults.push(place, "no workload issuer of that name is in [[issuers]]");
            }
            (PrincipalKind::Group, Some(never)) if workloads().any(|issuer| named(&issuer)) => {
                faults.push(place, format!("a workload issuer gives this group, and {never}"));
            }
            _ => {}
        }
    }
}

/// People sign in at an issuer of people, and get a token that it makes for an audience of ours.
fn login(document: &Value, issuers: &[Issuer<'_>], faults: &mut Faults) {
    let Some(name) = text_at(document, "/login/issuer").and_then(|name| IssuerName::parse(name).ok()) else { return };
    let issuer = issuers.iter().find(|issuer| issuer.name.as_ref() == Some(&name));
    let Some(issuer) = issuer else {
        if issuers.iter().all(|issuer| issuer.name.is_some()) {
            faults.push("/login/issuer", "no issuer of that name is in [[issuers]]");
        }
        return;
    };
    if issuer.kind == Some(Kind::Workload) {
        faults.push("/login/issuer", "expected an issuer with kind = \"people\": workloads do not sign in");
    }
    let client = text_at(document, "/login/client_id");
    let named = texts_at(issuer.table, "/audiences").any(|(_, audience)| Some(audience) == client);
    if client.is_some() && !named && text_at(document, "/login/token") == Some("id") {
        faults.push(
            "/login/client_id",
            "an ID token has the client's id as its audience: add it to the issuer's audiences, or set login.token = \"access\"",
        );
    }
}

/// One of `[[issuers]]`, as far as it can be read.
struct Issuer<'a> {
    pointer: String,
    table: &'a Value,
    name: Option<IssuerName>,
    kind: Option<Kind>,
}

impl<'a> Issuer<'a> {
    fn all(document: &'a Value) -> Vec<Self> {
        items_at(document, "/issuers").map(|(pointer, table)| Self::read(pointer, table)).collect()
    }

    fn read(pointer: String, table: &'a Value) -> Self {
        let name = text_at(table, "/name").and_then(|name| IssuerName::parse(name).ok());
        let kind = table.get("kind").and_then(|kind| input::read(kind.clone()).ok());
        Self { pointer, table, name, kind }
    }

    /// What stands before the names that it gives, where that can be told.
    fn prefix(&self) -> Option<String> {
        match (self.kind?, self.table.get("prefix")) {
            (Kind::People, Some(prefix)) => prefix.as_str().map(str::to_owned),
            _ => self.name.as_ref().map(default_prefix),
        }
    }

    fn at(&self, key: &str) -> String {
        format!("{}/{key}", self.pointer)
    }

    /// What holds within one issuer.
    fn check(&self, faults: &mut Faults) {
        for key in ["audiences", "algorithms", "token_types"] {
            if self.table.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty) {
                faults.push(self.at(key), "expected at least one");
            }
        }
        for key in ["audiences", "token_types", "authorized_parties"] {
            for (place, text) in texts_at(self.table, &format!("/{key}")) {
                if text.trim().is_empty() {
                    faults.push(format!("{}{place}", self.pointer), "expected a text that is not blank");
                }
            }
        }
        for key in ["principal_claim", "groups_claim"] {
            if self.table.get(key).and_then(Value::as_str).is_some_and(str::is_empty) {
                faults.push(self.at(key), "expected the name of a claim");
            }
        }
        if let Some(prefix) = text_at(self.table, "/prefix")
            && !prefix.is_empty()
            && let Err(expected) = Name::parse(prefix)
        {
            faults.push(self.at("prefix"), format!("expected nothing, or {expected}"));
        }
        if self.kind == Some(Kind::Workload) {
            for key in PEOPLE_ONLY.into_iter().filter(|key| self.table.get(key).is_some()) {
                faults.push(self.at(key), "only where kind = \"people\"");
            }
        }
    }

    /// A rule's group that this issuer may not give would never be anybody's. An equal prefix is a fault of its own.
    fn check_groups(&self, all: &[Self], faults: &mut Faults) {
        let Some(prefix) = self.prefix() else { return };
        let others = all.iter().filter_map(Self::prefix).filter(|other| *other != prefix);
        let names = Names::new(prefix.clone(), others);
        for (place, rule) in items_at(self.table, "/rules") {
            let group = text_at(rule, "/group").filter(|group| Name::parse(group).is_ok());
            if group.is_some_and(|group| names.own(group).is_none()) {
                faults.push(
                    format!("{}{place}/group", self.pointer),
                    "expected a group that is a name with the issuer's prefix, and does not begin with another issuer's",
                );
            }
        }
    }

    /// What holds between two issuers: a token has one issuer, and a name comes from one.
    fn check_apart(&self, earlier: &Self, faults: &mut Faults) {
        let other = key_path(&earlier.pointer);
        let same_name = self.name.is_some() && self.name == earlier.name;
        if same_name {
            faults.push(self.at("name"), format!("{other} has this name already"));
        }
        let issuer = text_at(self.table, "/issuer");
        if issuer.is_some() && issuer == text_at(earlier.table, "/issuer") {
            faults.push(self.at("issuer"), format!("{other} is this issuer already"));
        }
        let says_prefix = self.table.get("prefix").is_some();
        let (Some(mine), Some(theirs)) = (self.prefix(), earlier.prefix()) else { return };
        let problem = match (mine.is_empty(), theirs.is_empty()) {
            (true, true) => "has no prefix already, and only one issuer may have none",
            // Two equal names have equal prefixes by default: one slip, one fault.
            (false, false) if same_name && mine == theirs && !says_prefix => return,
            (false, false) if mine.starts_with(&theirs) || theirs.starts_with(&mine) => {
                "has a prefix that this one begins with, or that begins with this one: a name could be either's"
            }
            _ => return,
        };
        let key = if says_prefix { "prefix" } else { "name" };
        faults.push(self.at(key), format!("{other} {problem}"));
    }
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// The items of a list, each with its pointer; none where it is no list.
fn items_at<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (String, &'a Value)> {
    let items = value.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    items.iter().enumerate().map(move |(i, item)| (format!("{pointer}/{i}"), item))
}

fn texts_at<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (String, &'a str)> {
    items_at(value, pointer).filter_map(|(place, item)| item.as_str().map(|text| (place, text)))
}
