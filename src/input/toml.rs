use super::{Faults, push_segment};
use serde_json::{Map, Number, Value};
use std::{collections::HashMap, ops::Range};
use toml_edit::{Document, Item, Table, TableLike, TomlError};

/// The line each value of a TOML file stands on, by RFC 6901 pointer.
#[derive(Clone, Debug, Default)]
pub struct Lines(HashMap<String, usize>);

impl Lines {
    /// The line, from 1, of the value at `pointer`, or of the nearest table or list around it.
    #[must_use]
    pub fn of(&self, pointer: &str) -> Option<usize> {
        let mut place = pointer;
        loop {
            if let Some(line) = self.0.get(place) {
                return Some(*line);
            }
            place = &place[..place.rfind('/')?];
        }
    }
}

/// Reads TOML into the same values as JSON; a date-time becomes its RFC 3339 text.
///
/// A syntax error is one fault whose problem begins with `line <line>, column <column>: `.
pub fn parse_toml(text: &str) -> Result<(Value, Lines), Faults> {
    let document = Document::parse(text).map_err(|error| Faults::at("", syntax_problem(text, &error)))?;
    let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let mut reader = Reader { newlines, lines: Lines::default(), faults: Faults::default() };
    let value = reader.table(document.as_table(), "");
    reader.faults.into_result((value, reader.lines))
}

/// Without the line itself, which the error's own `Display` shows: it may hold a secret, or be as long as the file.
fn syntax_problem(text: &str, error: &TomlError) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
    let column = 1 + before[line_start..].chars().count();
    format!("line {line}, column {column}: {}", error.message())
}

struct Reader {
    newlines: Vec<usize>,
    lines: Lines,
    faults: Faults,
}

impl Reader {
    fn table(&mut self, table: &dyn TableLike, pointer: &str) -> Value {
        let mut map = Map::new();
        for (key, item) in table.iter() {
            let mut place = pointer.to_owned();
            push_segment(&mut place, key);
            let span = table.key(key).and_then(toml_edit::Key::span);
            self.note(&place, span);
            let value = self.item(item, &place);
            map.insert(key.to_owned(), value);
        }
        Value::Object(map)
    }

    fn item(&mut self, item: &Item, pointer: &str) -> Value {
        match item {
            Item::None => Value::Null,
            Item::Table(table) => self.table(table, pointer),
            Item::ArrayOfTables(tables) => {
                let tables: Vec<&Table> = tables.iter().collect();
                self.list(&tables, pointer, |reader, table, place| {
                    reader.note(place, table.span());
                    reader.table(*table, place)
                })
            }
            Item::Value(value) => self.value(value, pointer),
        }
    }

    fn value(&mut self, value: &toml_edit::Value, pointer: &str) -> Value {
        use toml_edit::Value as Toml;
        match value {
            Toml::String(text) => Value::String(text.value().clone()),
            Toml::Integer(number) => (*number.value()).into(),
            Toml::Boolean(flag) => Value::Bool(*flag.value()),
            Toml::Datetime(time) => Value::String(time.value().to_string()),
            Toml::Float(number) => Number::from_f64(*number.value()).map_or_else(
                || {
                    self.faults.push(pointer, "expected a finite number");
                    Value::Null
                },
                Value::Number,
            ),
            Toml::InlineTable(table) => self.table(table, pointer),
            Toml::Array(array) => {
                let values: Vec<&Toml> = array.iter().collect();
                self.list(&values, pointer, |reader, value, place| {
                    reader.note(place, value.span());
                    reader.value(value, place)
                })
            }
        }
    }

    fn list<T>(&mut self, items: &[T], pointer: &str, mut read: impl FnMut(&mut Self, &T, &str) -> Value) -> Value {
        let read = |(i, item)| read(self, item, &format!("{pointer}/{i}"));
        Value::Array(items.iter().enumerate().map(read).collect())
    }

    fn note(&mut self, pointer: &str, span: Option<Range<usize>>) {
        if let Some(span) = span {
            let before = self.newlines.partition_point(|newline| *newline < span.start);
            self.lines.0.insert(pointer.to_owned(), before + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str =
        "a = 1\n[[grant]]\nto = [\n  'x',\n  'y',\n]\nexpires = 2027-01-01T00:00:00Z\n[grant.policy]\nb.c = 1.5\n";

    #[test]
    fn toml_becomes_the_values_of_json() {
        let (value, _) = parse_toml(TEXT).unwrap();
        let grant = json!({"to": ["x", "y"], "expires": "2027-01-01T00:00:00Z", "policy": {"b": {"c": 1.5}}});
        assert_eq!(value, json!({"a": 1, "grant": [grant]}));
    }

    #[test]
    fn every_value_has_its_line() {
        let (_, lines) = parse_toml(TEXT).unwrap();
        for (pointer, line) in
            [("/a", 1), ("/grant/0", 2), ("/grant/0/to/1", 5), ("/grant/0/expires", 7), ("/grant/0/none", 2)]
        {
            assert_eq!(lines.of(pointer), Some(line), "{pointer}");
        }
    }

    #[test]
    fn a_syntax_error_says_where() {
        for (text, place) in [
            ("a = 1\nb = \n", "line 2, column 5: "),
            ("a = 1\nkey = \"é hunter2\nb = 1\n", "line 2, column 17: "),
            ("a = 1\na = 2\n", "line 2, column 1: "),
            ("[", "line 1, column 2: "),
        ] {
            let faults = parse_toml(text).unwrap_err();
            assert!(faults.0[0].problem.starts_with(place), "{faults}");
            assert!(!faults.to_string().contains("hunter2"), "a refused line may hold a secret: {faults}");
        }
        assert!(parse_toml("a = inf").is_err());
    }
}
