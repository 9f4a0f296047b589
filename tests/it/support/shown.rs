//! JSON as snapshots show it: short where it is short, and without what differs from run to run.

use serde_json::Value;

/// What fits on one line stands on one.
const LINE: usize = 110;

/// Asserts a text against an inline snapshot, on each database the same.
macro_rules! snap {
    ($text:expr, @$snapshot:literal) => {{
        let text: String = $text;
        insta::allow_duplicates! { insta::assert_snapshot!(text, @$snapshot) }
    }};
}
pub(crate) use snap;

/// The text of a snapshot.
pub(crate) fn shown(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, &steady(value), 0);
    text
}

fn write(text: &mut String, value: &Value, indent: usize) {
    let line = value.to_string();
    let pad = |text: &mut String, indent: usize| text.extend(["\n", &"  ".repeat(indent)]);
    match value {
        Value::Object(members) if indent == 0 || indent * 2 + line.len() > LINE => {
            text.push('{');
            for (i, (name, value)) in members.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { "," });
                pad(text, indent + 1);
                text.extend(["\"", name, "\": "]);
                write(text, value, indent + 1);
            }
            pad(text, indent);
            text.push('}');
        }
        Value::Array(items) if indent * 2 + line.len() > LINE => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { "," });
                pad(text, indent + 1);
                write(text, item, indent + 1);
            }
            pad(text, indent);
            text.push(']');
        }
        _ => text.push_str(&line),
    }
}

/// Ids made from content are the same at each run and stay; those made from the clock go, and so does what is random.
fn steady(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(steady_text(text)),
        Value::Array(items) => items.iter().map(steady).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("version", _) => (name.clone(), "<version>".into()),
                ("hash" | "issuers_sha256" | "signing_key_sha256", Value::String(_)) => (name.clone(), "<hash>".into()),
                ("signature", Value::String(_)) => (name.clone(), "<signature>".into()),
                _ => (name.clone(), steady(value)),
            })
            .collect(),
        other => other.clone(),
    }
}

fn steady_text(text: &str) -> String {
    let mut steady = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (shown, length) = match rest {
            _ if rest.get(..36).is_some_and(is_uuid_v7) => ("<id>".to_owned(), 36),
            _ if rest.get(..27).is_some_and(is_issuance) => ("=<issuance>".to_owned(), 27),
            _ if rest.starts_with("xxxxxxxx") => ("x…".to_owned(), rest.len() - rest.trim_start_matches('x').len()),
            _ => (c.to_string(), c.len_utf8()),
        };
        steady.push_str(&shown);
        rest = &rest[length..];
    }
    steady
}

fn is_uuid_v7(text: &str) -> bool {
    let hyphens = [8, 13, 18, 23];
    text.bytes().enumerate().all(|(i, b)| if hyphens.contains(&i) { b == b'-' } else { b.is_ascii_hexdigit() })
        && text.as_bytes()[14] == b'7'
}

/// The end of a session name: 26 characters of Crockford base32.
fn is_issuance(text: &str) -> bool {
    text.strip_prefix('=').is_some_and(|id| id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()))
}
