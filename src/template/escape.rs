//! What makes a text safe between double quotes. A template writes `"{{ x }}"`; a text that is nobody's special
//! character stays readable, everything else becomes an escape, in comments too: there is no way to a new line.

use askama::filters::Escaper;
use std::fmt;

/// YAML 1.1 and 1.2, double-quoted.
#[derive(Clone, Copy)]
pub(super) struct Yaml;

/// A quoted template of HCL. Both `${` and `%{` begin something, so the brace is escaped: it needs no look behind.
#[derive(Clone, Copy)]
pub(super) struct Hcl;

impl Escaper for Yaml {
    fn write_escaped_str<W: fmt::Write>(&self, dest: W, string: &str) -> fmt::Result {
        write_escaped(dest, string, |_| false)
    }
}

impl Escaper for Hcl {
    fn write_escaped_str<W: fmt::Write>(&self, dest: W, string: &str) -> fmt::Result {
        write_escaped(dest, string, |c| c == '{')
    }
}

/// `\uXXXX` and `\UXXXXXXXX` mean the same to both.
fn write_escaped(mut dest: impl fmt::Write, text: &str, special: impl Fn(char) -> bool) -> fmt::Result {
    text.chars().try_for_each(|c| match c {
        '"' | '\\' => write!(dest, "\\{c}"),
        c if !special(c) && (c == ' ' || c.is_ascii_graphic() || (c.is_alphanumeric() && c < '\u{10000}')) => {
            dest.write_char(c)
        }
        c if c < '\u{10000}' => write!(dest, "\\u{:04x}", u32::from(c)),
        c => write!(dest, "\\U{:08x}", u32::from(c)),
    })
}
