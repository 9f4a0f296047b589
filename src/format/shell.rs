use super::Unquotable;

/// By whose rules the assignments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Posix,
    Fish,
    PowerShell,
    Cmd,
}

/// The longest line that `cmd.exe` takes.
const CMD_LINE: usize = 8191;

/// One line for each variable, which sets it for this shell and what it starts.
pub(super) fn assign(syntax: Syntax, variables: &[(&str, &str)]) -> Result<String, Unquotable> {
    variables.iter().map(|(name, value)| line(syntax, name, value)).collect()
}

fn line(syntax: Syntax, name: &str, value: &str) -> Result<String, Unquotable> {
    // A line break would end the line where lines are read one by one; no shell has a use for the rest.
    if value.chars().any(char::is_control) {
        return Err(Unquotable);
    }
    match syntax {
        Syntax::Posix => Ok(format!("export {name}='{}'\n", value.replace('\'', r"'\''"))),
        Syntax::Fish => Ok(format!("set -gx {name} '{}'\n", value.replace('\\', r"\\").replace('\'', r"\'"))),
        Syntax::PowerShell => Ok(format!("$env:{name} = '{}'\n", doubled(value))),
        Syntax::Cmd => {
            // At the prompt nothing quotes a percent sign, nor an exclamation mark under `cmd /v:on`; a quotation mark
            // ends the quoting of what comes after it; and what is no ASCII depends on the code page.
            let line = format!("set \"{name}={value}\"\r\n");
            let plain = value.bytes().all(|b| b.is_ascii() && !b"\"%!".contains(&b));
            if plain && line.len() <= CMD_LINE { Ok(line) } else { Err(Unquotable) }
        }
    }
}

/// `PowerShell` takes the typographic quotation marks for an apostrophe as well.
fn doubled(value: &str) -> String {
    let quote = |c: char| matches!(c, '\'' | '\u{2018}'..='\u{201b}');
    value.chars().flat_map(|c| std::iter::repeat_n(c, if quote(c) { 2 } else { 1 })).collect()
}
