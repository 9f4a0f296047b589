use super::report::Places;
use crate::input::{Faults, parse_toml};
use serde_json::Value;
use std::collections::BTreeMap;

/// How a variable's text becomes a value. A text is taken as it stands, even where it happens to be TOML.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    List,
    Number,
}

/// Every key that a variable can set: all outside `[[issuers]]`.
const KEYS: [(&str, Form); 33] = [
    ("/server/listen", Form::Text),
    ("/server/public_url", Form::Text),
    ("/server/trusted_proxies", Form::List),
    ("/server/behind_proxy", Form::Flag),
    ("/server/metrics_listen", Form::Text),
    ("/server/tls/certificate", Form::Text),
    ("/server/tls/key", Form::Text),
    ("/database/url", Form::Text),
    ("/database/migrate_url", Form::Text),
    ("/aws/region", Form::Text),
    ("/aws/signin_url", Form::Text),
    ("/access/admins", Form::List),
    ("/access/auditors", Form::List),
    ("/access/appliers", Form::List),
    ("/access/token_creators", Form::List),
    ("/login/issuer", Form::Text),
    ("/login/client_id", Form::Text),
    ("/login/token", Form::Text),
    ("/login/scopes", Form::List),
    ("/login/prompt", Form::Text),
    ("/login/resource", Form::Text),
    ("/login/redirect_port", Form::Number),
    ("/login/public_client_secret", Form::Text),
    ("/portal/issuer", Form::Text),
    ("/portal/client_id", Form::Text),
    ("/portal/client_secret_file", Form::Text),
    ("/portal/session_idle", Form::Text),
    ("/portal/session_max", Form::Text),
    ("/portal/help", Form::Text),
    ("/audit/signing_key_file", Form::Text),
    ("/limits/requests_per_second", Form::Number),
    ("/limits/requests_burst", Form::Number),
    ("/limits/sts_per_second", Form::Number),
];

const NOT_UNICODE: char = char::REPLACEMENT_CHARACTER;

/// The environment of this process. What is no Unicode comes with U+FFFD in it, and is refused where it is used.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    #[expect(clippy::disallowed_methods, reason = "the one lawful place; `vars` would panic at what is no Unicode")]
    let variables = std::env::vars_os();
    variables.map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Puts the variables over the document, tells `places` which value came from which, and returns the faults.
///
/// Only a name with `__` is configuration: `HALLPASS_TOKEN` is not, nor is what Kubernetes puts in for a service that
/// is called `hallpass` (`HALLPASS_PORT_8080_TCP`).
pub(super) fn overlay(document: &mut Value, env: &BTreeMap<String, String>, places: &mut Places) -> Faults {
    let mut faults = Faults::default();
    let configuration = |name: &str| name.strip_prefix("HALLPASS_").is_some_and(|_| name.contains("__"));
    for (name, text) in env.iter().filter(|(name, _)| configuration(name)) {
        let known = KEYS.iter().find(|(pointer, _)| variable(pointer) == *name);
        let value = match known {
            Some((_, form)) => read(*form, text),
            None => Err(unknown(name)),
        };
        // A variable without a key has a place of its own, which no key can have: pointers begin with a slash.
        let pointer = known.map_or(name.as_str(), |(pointer, _)| pointer);
        places.set_by(pointer, name);
        match value {
            Ok(value) => set(document, pointer, value),
            Err(problem) => faults.push(pointer, problem),
        }
    }
    if document.pointer("/aws/region").is_none() {
        let said = |name: &&str| env.get(*name).is_some_and(|text| !text.is_empty());
        let name = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find(said);
        if let Some((name, text)) = name.and_then(|name| env.get_key_value(name)) {
            places.set_by("/aws/region", name);
            set(document, "/aws/region", text.as_str().into());
        }
    }
    faults
}

/// `/server/listen` is `HALLPASS_SERVER__LISTEN`.
fn variable(pointer: &str) -> String {
    format!("HALLPASS_{}", pointer[1..].replace('/', "__").to_ascii_uppercase())
}

fn read(form: Form, text: &str) -> Result<Value, String> {
    if text.contains(NOT_UNICODE) {
        return Err("expected Unicode text".to_owned());
    }
    match (form, text) {
        (Form::Flag, "true") => Ok(Value::Bool(true)),
        (Form::Flag, "false") => Ok(Value::Bool(false)),
        (Form::Flag | Form::Text, text) => Ok(text.into()),
        (Form::Number, text) => text.parse::<u32>().map(Value::from).map_err(|_| "expected a whole number".to_owned()),
        (Form::List, text) => list(text).ok_or_else(|| r#"expected a list as in TOML: ["…", "…"]"#.to_owned()),
    }
}

/// One list and nothing behind it: a text with line ends could bring further keys along.
fn list(text: &str) -> Option<Value> {
    let (mut value, _) = parse_toml(&format!("list = {text}")).ok()?;
    let table = value.as_object_mut().filter(|table| table.len() == 1)?;
    table.remove("list").filter(Value::is_array)
}

fn unknown(name: &str) -> String {
    if name.starts_with("HALLPASS_ISSUERS__") {
        return "issuers are set in the file only: a variable cannot say which of them it means".to_owned();
    }
    let known: Vec<String> = KEYS.iter().map(|(pointer, _)| variable(pointer)).collect();
    format!("no such key; known are {}", known.join(", "))
}

/// Makes a section that is not there. Leaves a document alone whose section is no table: that is a fault of its own.
fn set(document: &mut Value, pointer: &str, value: Value) {
    let Some((sections, key)) = pointer.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else { return };
    let mut place = Some(document);
    for section in sections.split('/') {
        let table = place.and_then(Value::as_object_mut);
        place = table.map(|table| table.entry(section).or_insert_with(|| Value::Object(serde_json::Map::default())));
    }
    if let Some(Value::Object(section)) = place {
        section.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, input};
    use serde_json::json;

    /// The reader names the keys it knows when it meets one that it does not.
    #[test]
    fn every_key_outside_issuers_has_its_variable() {
        let sections = ["database", "aws", "access", "login", "portal", "audit", "limits"];
        let mut document: Value = sections.map(|name| (name.to_owned(), json!({"x": 1}))).into_iter().collect();
        document["server"] = json!({"x": 1, "tls": {"x": 1}});
        document["issuers"] = json!([]);
        let faults = input::read::<Config>(document).unwrap_err();
        let mut keys: Vec<String> = Vec::new();
        for fault in &faults.0 {
            if let (Some(section), Some((_, known))) =
                (fault.pointer.strip_suffix("/x"), fault.problem.split_once("here: "))
            {
                keys.extend(known.split(", ").filter(|key| *key != "tls").map(|key| format!("{section}/{key}")));
            }
        }
        let mut settable = KEYS.map(|(pointer, _)| pointer.to_owned());
        keys.sort();
        settable.sort();
        assert_eq!(keys, settable);
    }

    #[test]
    fn a_list_is_one_list() {
        assert_eq!(list(r#"["a", 'b']"#), Some(json!(["a", "b"])));
        for text in ["", "a", "1", "[1", "[1]\nx = 2", "[1]\n[x]\ny = 1", "{ a = 1 }"] {
            assert_eq!(list(text), None, "{text:?}");
        }
    }
}
