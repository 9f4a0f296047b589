//! The text of the AWS config file, with a profile for each role. Does no I/O.
//!
//! A section is one server's where a comment of ours in it says so. In such a section the line `credential_process` is ours
//! and everything else the person's; every other section stays byte for byte.

use crate::model::RoleRef;
use std::collections::BTreeSet;

const MARKER: &str = "# By hallpass configure, for ";
const KEY: &str = "credential_process";

/// A role's profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    /// The names it may have; the first that is nobody else's is taken.
    names: [String; 2],
    /// What `credential_process` is to be.
    process: String,
}

/// What became of each profile, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Changes {
    /// New ones.
    pub added: Vec<String>,
    /// Those whose command is another now.
    pub changed: Vec<String>,
    /// Those that are as they were.
    pub unchanged: Vec<String>,
    /// Those whose role is gone, removed.
    pub removed: Vec<String>,
    /// Those whose role is gone, still there.
    pub gone: Vec<String>,
    /// Names that are somebody else's, left as they are.
    pub taken: Vec<String>,
    /// Roles that have no profile, since both names are taken.
    pub left_out: Vec<String>,
}

struct Section<'a> {
    /// Where it is a profile's.
    name: Option<String>,
    lines: Vec<&'a [u8]>,
}

impl Profile {
    /// `command` is this program as a shell reads it. Neither a role nor a server's address has a character in it that a shell
    /// or the file would take for another.
    pub(super) fn new(role: &RoleRef, prefix: &str, command: &str, server: &str) -> Self {
        let name = format!("{}-{}", role.account(), role.name());
        let process = format!("{command} creds {role} --format process --server {server}");
        Self { names: [format!("{prefix}{name}"), format!("{prefix}hallpass-{name}")], process }
    }
}

/// The file's new text. `elsewhere` are the names that another file has.
pub(super) fn edit(
    old: &[u8],
    profiles: &[Profile],
    server: &str,
    elsewhere: &BTreeSet<String>,
    prune: bool,
) -> (Vec<u8>, Changes) {
    let (newline, marker) = (newline_of(old), format!("{MARKER}{server}"));
    let sections = sections(old);
    let (ours, theirs): (Vec<&Section<'_>>, Vec<_>) = sections.iter().partition(|section| section.is_of(&marker));
    let has = |some: &[&Section<'_>], name: &String| some.iter().any(|section| section.name.as_ref() == Some(name));
    let (mut changes, mut wanted) = (Changes::default(), Vec::new());
    for profile in profiles {
        let taken = |name: &String| has(&theirs, name) || elsewhere.contains(name);
        let free = |name: &&String| !taken(name) && wanted.iter().all(|(known, _)| known != name);
        let name = profile.names.iter().find(free);
        changes.taken.extend(profile.names.iter().take_while(|one| Some(*one) != name).cloned());
        match name {
            Some(name) => wanted.push((name, &profile.process)),
            None => changes.left_out.push(profile.names[0].clone()),
        }
    }
    let mut new = Vec::with_capacity(old.len());
    for section in &sections {
        let name = section.name.clone().unwrap_or_default();
        match wanted.iter().find(|(wanted, _)| **wanted == name) {
            _ if !section.is_of(&marker) => new.extend(section.lines.concat()),
            Some((_, process)) => {
                let text = section.with_process(process, &marker, newline);
                let same = text == section.lines.concat();
                if same { &mut changes.unchanged } else { &mut changes.changed }.push(name);
                new.extend(text);
            }
            None if prune => {
                cut_blank_line(&mut new);
                new.extend(section.behind().concat());
                changes.removed.push(name);
            }
            None => {
                new.extend(section.lines.concat());
                changes.gone.push(name);
            }
        }
    }
    for (name, process) in wanted.iter().filter(|(name, _)| !has(&ours, name)) {
        if !new.is_empty() {
            let ends = usize::from(!new.ends_with(b"\n"));
            new.extend(newline.repeat(1 + ends).bytes());
        }
        let lines = [format!("[profile {name}]"), marker.clone(), format!("{KEY} = {process}")];
        new.extend(lines.iter().flat_map(|line| line.bytes().chain(newline.bytes())));
        changes.added.push((*name).clone());
    }
    (new, changes)
}

/// The names of the profiles in another file, where their sections have no word before the name.
pub(super) fn names_in(credentials: &[u8]) -> BTreeSet<String> {
    let headers = credentials.split_inclusive(|b| *b == b'\n').filter_map(header);
    headers.map(|header| unquoted(&header)).collect()
}

fn sections(text: &[u8]) -> Vec<Section<'_>> {
    let mut sections = vec![Section { name: None, lines: Vec::new() }];
    for line in text.split_inclusive(|b| *b == b'\n') {
        if let Some(header) = header(line) {
            sections.push(Section { name: profile_name(&header), lines: Vec::new() });
        }
        if let Some(section) = sections.last_mut() {
            section.lines.push(line);
        }
    }
    sections
}

impl<'a> Section<'a> {
    fn is_of(&self, marker: &str) -> bool {
        self.name.is_some() && self.lines.iter().any(|line| line.trim_ascii_end() == marker.as_bytes())
    }

    fn with_process(&self, process: &str, marker: &str, newline: &str) -> Vec<u8> {
        let own = format!("{KEY} = {process}");
        let has_one = self.lines.iter().any(|line| is_process(line));
        let mut text = Vec::new();
        for line in &self.lines {
            let bare = line.trim_ascii_end();
            if is_process(line) {
                text.extend(own.bytes());
                text.extend_from_slice(&line[bare.len()..]);
            } else {
                text.extend_from_slice(line);
            }
            if !has_one && bare == marker.as_bytes() {
                let ends = if line.ends_with(b"\n") { "" } else { newline };
                text.extend(format!("{ends}{own}{newline}").bytes());
            }
        }
        text
    }

    /// What comes after its last key: comments and blank lines, which belong to what follows.
    fn behind(&self) -> &[&'a [u8]] {
        let says = |line: &&[u8]| {
            let line = line.trim_ascii();
            !line.is_empty() && !matches!(line[0], b'#' | b';') || line.starts_with(MARKER.as_bytes())
        };
        &self.lines[self.lines.iter().rposition(says).map_or(0, |last| last + 1)..]
    }
}

fn is_process(line: &[u8]) -> bool {
    line.strip_prefix(KEY.as_bytes()).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
}

/// The one that was put before a section of ours.
fn cut_blank_line(text: &mut Vec<u8>) {
    for blank in [&b"\r\n"[..], b"\n"] {
        let before = text.strip_suffix(blank).map(<[u8]>::len);
        if let Some(before) = before.filter(|before| *before == 0 || text[..*before].ends_with(b"\n")) {
            text.truncate(before);
            return;
        }
    }
}

/// What stands between the brackets.
fn header(line: &[u8]) -> Option<String> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    let inner = line.strip_prefix(b"[")?;
    let end = inner.iter().rposition(|b| *b == b']')?;
    Some(String::from_utf8_lossy(inner[..end].trim_ascii()).into_owned())
}

fn profile_name(header: &str) -> Option<String> {
    let name = header.strip_prefix("profile")?;
    name.starts_with([' ', '\t']).then(|| unquoted(name.trim()))
}

fn unquoted(name: &str) -> String {
    let bare = ['"', '\''].into_iter().find_map(|quote| name.strip_prefix(quote)?.strip_suffix(quote));
    bare.unwrap_or(name).to_owned()
}

/// As the file's first line ends.
fn newline_of(text: &[u8]) -> &'static str {
    let first = text.split_inclusive(|b| *b == b'\n').next().unwrap_or_default();
    if first.ends_with(b"\r\n") { "\r\n" } else { "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://hallpass.example.com";

    fn profiles(roles: &[&str]) -> Vec<Profile> {
        roles.iter().map(|role| Profile::new(&RoleRef::parse(role).unwrap(), "", "/usr/bin/hallpass", SERVER)).collect()
    }

    fn edited(old: &str, roles: &[&str], prune: bool) -> (String, Changes) {
        let (new, changes) = edit(old.as_bytes(), &profiles(roles), SERVER, &BTreeSet::new(), prune);
        (String::from_utf8(new).unwrap(), changes)
    }

    fn section(name: &str, role: &str) -> String {
        format!(
            "[profile {name}]\n# By hallpass configure, for {SERVER}\n\
             credential_process = /usr/bin/hallpass creds {role} --format process --server {SERVER}\n"
        )
    }

    /// Whatever stands there stays, is there again once ours are removed, and a second time changes nothing.
    #[test]
    fn others_stay_byte_for_byte() {
        let ours = format!("{}\n{}", section("prod-A", "prod/A"), section("444455556666-B", "444455556666/B"));
        for old in [
            "",
            "\n",
            "\n\n",
            "# only a comment\n",
            "[default]\nregion=eu-west-1\n",
            "[default]\nregion=eu-west-1",
            "[default]\n\n\n",
            "; old style\n[profile   a ]  # why\nregion   =   x\n\ts3 =\n    addressing_style = path\n[nonsense\n=\n",
            "[sso-session corp]\nsso_start_url = https://x\n\n[profile b]\nsso_session = corp\n#[profile prod-A]\n",
            "[prod-A]\nregion = x\n",
            "\u{feff}[profile 'a b']\nx = \u{e4}\n",
        ] {
            for newline in ["\n", "\r\n"] {
                let old = old.replace('\n', newline);
                // A file of no line has no line's end to go by.
                let (first, ours) =
                    if old.contains("\r\n") { ("\r\n", ours.replace('\n', "\r\n")) } else { ("\n", ours.clone()) };
                let (new, changes) = edited(&old, &["prod/A", "444455556666/B"], false);
                let end = if old.is_empty() || old.ends_with('\n') { "" } else { first };
                let blank = if old.is_empty() { "" } else { first };
                assert_eq!(new, format!("{old}{end}{blank}{ours}"), "{old:?}");
                assert_eq!(changes.added, ["prod-A", "444455556666-B"], "{old:?}");
                let (again, changes) = edited(&new, &["prod/A", "444455556666/B"], true);
                assert_eq!((again.as_str(), changes.unchanged.len()), (new.as_str(), 2), "{old:?}");
                let (pruned, changes) = edited(&new, &[], true);
                assert_eq!((pruned, changes.removed.len()), (format!("{old}{end}"), 2), "{old:?}");
            }
        }
    }

    #[test]
    fn in_a_section_of_ours_what_was_added_stays() {
        let old = format!(
            "[default]\n\n{}region = eu-west-1\n\n# mine\n[profile x]\n",
            section("prod-A", "prod/A").replace("/usr/bin", "/old").replace(" = ", "=")
        );
        let (new, changes) = edited(&old, &["prod/A"], false);
        let expected =
            format!("[default]\n\n{}region = eu-west-1\n\n# mine\n[profile x]\n", section("prod-A", "prod/A"));
        assert_eq!((new, changes.changed), (expected, vec!["prod-A".to_owned()]));
        // What stands before the next section is the next section's.
        let (new, changes) = edited(&old, &[], true);
        assert_eq!((&*new, changes.removed), ("[default]\n\n# mine\n[profile x]\n", vec!["prod-A".to_owned()]));
        let (new, changes) = edited(&old, &[], false);
        assert_eq!((new, changes.gone), (old, vec!["prod-A".to_owned()]));
        // The line is put where it was taken away.
        let cut = section("prod-A", "prod/A").lines().take(2).collect::<Vec<_>>().join("\n");
        assert_eq!(edited(&cut, &["prod/A"], false).0, section("prod-A", "prod/A"));
    }

    #[test]
    fn a_name_of_somebody_elses_is_left_to_them() {
        let other_server = section("prod-A", "prod/A").replace(SERVER, "https://other.example.com");
        for theirs in
            ["[profile prod-A]\nregion = x\n", "[profile  \"prod-A\"]\n", " [profile prod-A]\n", &other_server]
        {
            let (new, changes) = edited(theirs, &["prod/A"], true);
            assert_eq!(new, format!("{theirs}\n{}", section("hallpass-prod-A", "prod/A")));
            assert_eq!((changes.added, changes.taken), (vec!["hallpass-prod-A".to_owned()], vec!["prod-A".to_owned()]));
            assert_eq!(edited(&new, &["prod/A"], true).0, new);
        }
        let both = "[profile prod-A]\n[profile hallpass-prod-A]\n";
        let (new, changes) = edited(both, &["prod/A"], true);
        assert_eq!((&*new, changes.left_out, changes.taken.len()), (both, vec!["prod-A".to_owned()], 2));
        // Two roles that come to the same name.
        let (_, changes) = edited("", &["a-b/c", "a/b-c"], false);
        assert_eq!(changes.added, ["a-b-c", "hallpass-a-b-c"]);
        // A profile of the credentials file goes before one of the config file.
        let elsewhere = names_in(b"[other]\n[prod-A]\naws_access_key_id = x\n");
        let (_, changes) = edit(b"", &profiles(&["prod/A"]), SERVER, &elsewhere, false);
        assert_eq!(changes.added, ["hallpass-prod-A"]);
    }
}
