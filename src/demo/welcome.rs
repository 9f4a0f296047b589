//! What the demo prints: three commands to paste, and what is where.

use super::{Demo, Folder, people};
use anstyle::{AnsiColor, Style};
use std::fmt::{self, Display, Formatter};

const LOUD: Style = Style::new().bold();
const PASTE: Style = AnsiColor::Cyan.on_default();

/// What the commands give as their reason, and the last looks for: nobody gave it before.
const TICKET: &str = "INC-42";

/// Plain words, with colours that say nothing; at most 80 columns and 23 rows with the usual ports and folder. What is to
/// be pasted begins its line: shells may keep a line that begins with a space out of their history.
struct Welcome<'a> {
    demo: &'a Demo,
    folder: &'a Folder,
    program: &'a str,
}

impl Demo {
    /// What to try. `program` is what this one was started as. Holds colours, for whoever prints it to leave out.
    #[must_use]
    pub fn welcome(&self, folder: &Folder, program: &str) -> String {
        Welcome { demo: self, folder, program }.to_string()
    }

    /// What is left at the end.
    #[must_use]
    pub fn farewell(folder: &Folder, program: &str) -> String {
        if folder.is_temporary() {
            return "\nStopped, and nothing is left of it.".to_owned();
        }
        let (program, file) = (quoted(program), folder.configuration());
        let file = quoted(&file.to_string_lossy());
        format!("\nStopped. The record is kept; check it:\n{PASTE}{program} audit verify --config {file}{PASTE:#}")
    }
}

impl Display for Welcome<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Demo { listen, aws, provider } = self.demo;
        let (service, issuer) = (format!("http://{listen}"), provider.issuer());
        let bearer = |name: &str| format!(r#"-H "authorization: Bearer $(curl -s {issuer}/token/{name})""#);
        let ask = |role: &str| {
            let body = format!(r#"-d '{{"role": "{role}", "reason": "{TICKET}"}}' -w '\n'"#);
            let json = "-H content-type:application/json";
            command(&[&format!("curl -s {json} {service}/v1/credentials"), &bearer("alice"), &body])
        };
        let audit = command(&[
            &format!("curl -sG {service}/v1/audit/export -d format=csv"),
            &format!("-d principal={} -d q={TICKET}", people::ALICE.principal()),
            &bearer("carol"),
            "| cut -d, -f1-3,5,7,8",
        ]);
        writeln!(f, "{LOUD}Open {service}{LOUD:#} in a browser, or paste these into another terminal.")?;
        writeln!(f, "Only AWS and the identity provider are simulated; credentials work nowhere else.")?;
        for (title, command) in [
            ("1. Alice, a developer, is given credentials for a role, and says why.", ask("prod/ReadOnly")),
            ("2. For another role her grant has ended: she is refused, and told so.", ask("prod/Deploy")),
            ("3. Carol, an auditor, finds both on record.", audit),
        ] {
            writeln!(f, "{LOUD}{title}{LOUD:#}\n{PASTE}{command}{PASTE:#}\n")?;
        }
        let people = people::ALL.map(|person| match person {
            people::ALICE => person.name.to_owned(),
            _ => format!("{} ({})", person.name, person.role),
        });
        writeln!(f, "Hallpass {service}, its API is described at /docs")?;
        writeln!(f, "People   {}: {issuer}/token/NAME", people.join(", "))?;
        writeln!(f, "AWS      throttle it: curl -X PUT http://{aws}/behaviour -d throttle")?;
        let path = self.folder.path().display();
        if self.folder.is_temporary() {
            writeln!(f, "Files    {path}, removed at the end; --data DIR keeps them")?;
        } else {
            writeln!(f, "Files    {path}")?;
        }
        write!(f, "Ctrl-C ends it. More: {} demo --help", quoted(self.program))
    }
}

/// One command on several lines.
fn command(lines: &[&str]) -> String {
    lines.join(" \\\n  ")
}

/// For a shell, where it has to be.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
