//! What the demo prints: three commands to paste, and what is where.

use super::{Demo, Folder, people};
use anstyle::{AnsiColor, Style};
use std::fmt::{self, Display, Formatter};

const LOUD: Style = Style::new().bold();
const PASTE: Style = AnsiColor::Cyan.on_default();

/// Plain words, with colours that say nothing.
struct Welcome<'a> {
    demo: &'a Demo,
    folder: &'a Folder,
}

impl Demo {
    /// What to try. Holds colours, for whoever prints it to leave out.
    #[must_use]
    pub fn welcome(&self, folder: &Folder) -> String {
        Welcome { demo: self, folder }.to_string()
    }

    /// What is left at the end.
    #[must_use]
    pub fn farewell(folder: &Folder) -> String {
        if folder.is_temporary() {
            return "\nStopped, and nothing is left of it.".to_owned();
        }
        let file = folder.configuration();
        let file = quoted(&file.to_string_lossy());
        format!("\nStopped. The record is kept; check it: {PASTE}hallpass audit verify --config {file}{PASTE:#}")
    }
}

impl Display for Welcome<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Demo { listen, aws, provider } = self.demo;
        let (service, issuer) = (format!("http://{listen}"), provider.issuer());
        let bearer = |name: &str| format!(r#"-H "authorization: Bearer $(curl -s {issuer}/token/{name})""#);
        let ask = |role: &str| {
            let body = format!(r#"-d '{{"role": "{role}", "reason": "INC-42"}}'"#);
            let json = "-H 'content-type: application/json'";
            command(&[format!("curl -sw '\\n' {service}/v1/credentials"), bearer("alice"), format!("{json} {body}")])
        };
        let events = format!("'{service}/v1/audit/export?format=csv&principal={}'", people::ALICE.principal());
        let audit = command(&[format!("curl -s {events}"), bearer("carol"), "| cut -d, -f1-3,5,7,8".to_owned()]);
        writeln!(
            f,
            "{LOUD}Hallpass demo{LOUD:#}: the real service, with a simulated AWS and identity provider around it."
        )?;
        writeln!(f, "The credentials it hands out are made up on this machine and work nowhere else.")?;
        writeln!(f)?;
        writeln!(f, "Paste these into another terminal.")?;
        for (title, command) in [
            ("1. Alice, a developer, is given credentials for a role, and says why.", ask("prod/ReadOnly")),
            ("2. For another role her grant has ended: she is refused, and told so.", ask("prod/Deploy")),
            ("3. Carol, an auditor, finds both on record.", audit),
        ] {
            writeln!(f, "\n{LOUD}{title}{LOUD:#}\n\n   {PASTE}{command}{PASTE:#}")?;
        }
        let people = people::ALL.map(|person| format!("{} ({})", person.name, person.role)).join(", ");
        writeln!(f, "\n{LOUD}What is where{LOUD:#}\n")?;
        writeln!(f, "   Hallpass   {service}")?;
        writeln!(f, "   People     {people}; a token for each: {issuer}/token/bob")?;
        writeln!(f, "   AWS        http://{aws}; make it throttle: curl -X PUT http://{aws}/behaviour -d throttle")?;
        let path = self.folder.path().display();
        if self.folder.is_temporary() {
            writeln!(f, "   Files      {path}, removed at the end; --data DIR keeps them")?;
        } else {
            writeln!(f, "   Files      {path}")?;
        }
        write!(f, "\nCtrl-C ends it. `hallpass demo --help` tells more.")
    }
}

/// One command on three lines.
fn command(lines: &[String; 3]) -> String {
    lines.join(" \\\n     ")
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
