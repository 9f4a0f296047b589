//! The house's order, read from the sources: which room may use which, who alone may touch a crate, and the rules of
//! form that no lint knows.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// From the ground up. A room may use those before it, and no other; so each new room needs a place here.
const ORDER: [&str; 25] = [
    "model",
    "input",
    "clock",
    "secret",
    "metrics",
    "allowlist",
    "template",
    "format",
    "audit",
    "store",
    "recorder",
    "outward",
    "sts",
    "identity",
    "broker",
    "access",
    "evidence",
    "tls",
    "config",
    "app",
    "http",
    "demo",
    "client",
    "cli",
    "main",
];

/// Rooms that only these may use, whatever the order says.
const USED_ONLY_BY: [(&str, &[&str]); 4] =
    [("config", &["app", "cli"]), ("demo", &["cli"]), ("client", &["cli"]), ("cli", &["main"])];

/// The rooms that these may use, whatever stands before them: on a person's machine there is no server.
const USES_ONLY: [(&str, &[&str]); 1] = [("client", &["model", "input", "clock", "secret", "format"])];

/// Crates that only these rooms may name: SQL stays in `store`, AWS in `sts`, HTTP in `http` and where it is
/// served, what is asked of others in `outward`.
const CRATES: [(&str, &[&str]); 12] = [
    ("askama", &["template", "http", "demo"]),
    ("reqwest", &["outward", "client"]),
    ("sqlx", &["store"]),
    ("aws_sdk_sts", &["sts"]),
    ("jsonwebtoken", &["identity", "demo"]),
    ("prometheus_client", &["metrics"]),
    ("axum", &["http", "app", "demo", "cli"]),
    ("clap", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("dialoguer", &["cli"]),
    ("oauth2", &["client", "identity"]),
    ("keyring", &["client"]),
];

/// Rooms that do no I/O and wait for nothing.
const PURE: [&str; 8] = ["model", "input", "secret", "metrics", "allowlist", "template", "format", "audit"];
const IMPURE: [&str; 6] = ["async fn", "tokio::", "std::fs", "std::process", "TcpStream", "reqwest::"];

const MOST_LINES: usize = 600;

struct Source {
    path: PathBuf,
    room: String,
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let rust = files(&src).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.map(|path| {
        let first = path.strip_prefix(&src).unwrap().components().next().unwrap();
        let room = Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned();
        let code = without_comments(&fs::read_to_string(&path).unwrap());
        Source { path, room, code }
    })
    .collect()
}

/// Comments may speak of any room.
fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms that code names by `crate::` or, from the binary, `hallpass::`; groups in braces included.
fn rooms_used(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for root in ["crate::", "hallpass::"] {
        for (at, _) in code.match_indices(root) {
            let path = &code[at + root.len()..];
            match path.strip_prefix('{') {
                Some(group) => rooms.extend(heads(group)),
                None => rooms.extend([first_word(path)]),
            }
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

/// The first word of each path in `a::{b, c}, d::e}`, as far as the closing brace.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                heads.push(first_word(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads
}

fn first_word(path: &str) -> String {
    path.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_').collect()
}

fn place(room: &str) -> Option<usize> {
    ORDER.iter().position(|known| *known == room)
}

fn assert_none(faults: &[String], way_out: &str) {
    assert!(faults.is_empty(), "{}\n{way_out}", faults.join("\n"));
}

#[test]
fn a_room_uses_only_rooms_below_it() {
    let mut faults = Vec::new();
    for Source { path, room, code } in sources().iter().filter(|source| source.room != "lib") {
        let Some(own) = place(room) else {
            faults.push(format!("{}: `{room}` has no place in the order", path.display()));
            continue;
        };
        for used in rooms_used(code).iter().filter(|used| *used != room) {
            // Macros of the crate's root are no room.
            let Some(other) = place(used) else { continue };
            let few = USES_ONLY.iter().find(|(few, _)| few == room);
            let reserved = USED_ONLY_BY.iter().find(|(reserved, _)| reserved == used);
            if other > own {
                faults.push(format!("{}: `{room}` uses `{used}`, which stands above it", path.display()));
            } else if reserved.is_some_and(|(_, users)| !users.contains(&room.as_str()))
                || few.is_some_and(|(_, rooms)| !rooms.contains(&used.as_str()))
            {
                faults.push(format!("{}: `{used}` is not for `{room}`", path.display()));
            }
        }
    }
    assert_none(&faults, "move the code, or give it what it needs as an argument");
}

#[test]
fn crates_and_io_stay_in_their_rooms() {
    let mut faults = Vec::new();
    // A room's own tests may stand a fake in for what is outside.
    for Source { path, room, code } in sources().into_iter().filter(|source| !source.path.ends_with("testing.rs")) {
        let strangers = CRATES.iter().filter(|(_, rooms)| !rooms.contains(&room.as_str()));
        let strangers = strangers.map(|(name, _)| format!("{name}::"));
        let impure = IMPURE.iter().filter(|_| PURE.contains(&room.as_str())).map(|&word| word.to_owned());
        for word in strangers.chain(impure).filter(|word| code.contains(word.as_str())) {
            faults.push(format!("{}: `{word}` in `{room}`", path.display()));
        }
    }
    assert_none(&faults, "the room that owns it offers a function for it, or should");
}

#[test]
fn files_keep_the_rules_of_form() {
    let mut faults = Vec::new();
    let allow = concat!("[", "allow(");
    for path in ["src", "tests", "migrations", "benches"].iter().flat_map(|folder| files(&root().join(folder))) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let (name, lines) = (path.file_name().unwrap().to_str().unwrap(), text.lines().count());
        let most = if path.ends_with("src/main.rs") { 30 } else { MOST_LINES };
        if lines > most && name != "Cargo.lock" {
            faults.push(format!("{}: {lines} lines, at most {most}", path.display()));
        }
        if name == "mod.rs" {
            faults.push(format!("{}: a module's file is named like the module", path.display()));
        }
        if without_comments(&text).contains(allow) {
            faults.push(format!("{}: `expect` with a reason, not `allow`", path.display()));
        }
    }
    assert_none(&faults, "see the rules in lib.rs");
}

#[test]
fn the_reading_of_paths_sees_every_form() {
    let code = "use crate::model::Time;\nuse crate::{\n audit::{Event, Kind},\n store, http as web};\n\
                // crate::cli is only spoken of\nlet x = crate::broker::issue(hallpass::sts::Sts); crate::on!(y)";
    let rooms: Vec<_> = rooms_used(&without_comments(code)).into_iter().collect();
    assert_eq!(rooms, ["audit", "broker", "http", "model", "on", "store", "sts"]);
}
