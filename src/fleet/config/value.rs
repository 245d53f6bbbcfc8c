//! Values as the configuration has them, each with the place that it came from.

use crate::error::{Error, Result};
use crate::{name::Shown, series::parse_age};
use std::{collections::BTreeMap, fmt, path::Path, path::PathBuf, sync::Arc};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In this line, from 1, of this file.
    File { file: Arc<Path>, line: usize },
    /// Nowhere: it is what counts when nothing is said.
    Default,
    /// In the copy of the configuration that a snapshot holds.
    Snapshot,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { file, line } => {
                write!(f, "{}:{line}", Shown(file.as_os_str().as_encoded_bytes()))
            }
            Origin::Default => f.write_str("default"),
            Origin::Snapshot => f.write_str("snapshot"),
        }
    }
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Text(String),
    Integer(i64),
    Flag(bool),
    List(Vec<Value>),
    Table(Table),
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Where it was written.
    pub origin: Origin,
}

/// Named values, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table(pub BTreeMap<String, Value>);

impl Value {
    /// A usage error about this value, which begins with its place.
    pub fn wrong(&self, key: &str, what: impl fmt::Display) -> Error {
        Error::usage(format!("{}: {}: {what}", self.origin, Shown(key.as_bytes())))
    }
}

impl Table {
    /// A value, when it is there.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// A text.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a text in quotes", |kind| match kind {
            Kind::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A whole number.
    pub fn integer(&self, key: &str) -> Result<Option<i64>> {
        self.typed(key, "a whole number", |kind| match kind {
            Kind::Integer(number) => Some(*number),
            _ => None,
        })
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |kind| match kind {
            Kind::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A table.
    pub fn table(&self, key: &str) -> Result<Option<&Table>> {
        self.typed(key, "a table", |kind| match kind {
            Kind::Table(table) => Some(table),
            _ => None,
        })
    }

    /// An absolute path.
    pub fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match (Path::new(text).is_absolute(), self.get(key)) {
            (false, Some(value)) => {
                Err(value.wrong(key, format!("\"{}\" is no absolute path", Shown(text.as_bytes()))))
            }
            _ => Ok(Some(PathBuf::from(text))),
        }
    }

    /// A list of texts; a single text is a list of one.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.typed(key, "a text, or a list of texts", |kind| match kind {
            Kind::Text(text) => Some(vec![text.as_str()]),
            Kind::List(list) => list
                .iter()
                .map(|value| match &value.kind {
                    Kind::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            _ => None,
        })
    }

    /// A duration in seconds.
    pub fn duration(&self, key: &str) -> Result<Option<u64>> {
        match (self.text(key)?, self.get(key)) {
            (Some(text), Some(value)) => match parse_age(text) {
                Some(seconds) => Ok(Some(seconds)),
                None => Err(value.wrong(key, "write a number and a unit, such as \"26h\" or \"30d\"")),
            },
            _ => Ok(None),
        }
    }

    /// Lays what is nearer over what is farther: tables key by key, anything else as a whole.
    pub fn overlay(&mut self, nearer: &Table) {
        for (name, value) in &nearer.0 {
            match (self.0.get_mut(name).map(|old| &mut old.kind), &value.kind) {
                (Some(Kind::Table(old)), Kind::Table(new)) => old.overlay(new),
                _ => {
                    self.0.insert(name.clone(), value.clone());
                }
            }
        }
    }

    /// Puts a value at the end of a path of tables.
    pub fn put(&mut self, path: &str, value: Value) {
        match path.split_once('.') {
            None => {
                self.0.insert(path.to_owned(), value);
            }
            Some((first, rest)) => {
                let origin = value.origin.clone();
                let table = self.0.entry(first.to_owned());
                let table = table.or_insert(Value { kind: Kind::Table(Table::default()), origin });
                if let Kind::Table(table) = &mut table.kind {
                    table.put(rest, value);
                }
            }
        }
    }

    fn typed<'a, T>(&'a self, key: &str, want: &str, read: impl FnOnce(&'a Kind) -> Option<T>) -> Result<Option<T>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => read(&value.kind).map(Some).ok_or_else(|| value.wrong(key, format!("write {want}"))),
        }
    }
}

/// A key, in quotes where TOML needs them.
pub fn key_text(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { name.to_owned() } else { quoted(name) }
}

/// A text as a TOML basic string, which is safe to print: control characters and direction overrides are escaped.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // What would steer a terminal, by the rule that names go by.
            c if Shown(c.encode_utf8(&mut [0; 4]).as_bytes()).to_string().starts_with('\\') => {
                out.push_str(&format!("\\U{:08X}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// As TOML has it, on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Text(text) => f.write_str(&quoted(text)),
            Kind::Integer(number) => write!(f, "{number}"),
            Kind::Flag(flag) => write!(f, "{flag}"),
            Kind::List(list) => {
                f.write_str("[")?;
                for (i, value) in list.iter().enumerate() {
                    write!(f, "{}{value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Kind::Table(table) => {
                f.write_str("{")?;
                for (i, (name, value)) in table.0.iter().enumerate() {
                    write!(f, "{} {} = {value}", if i > 0 { "," } else { "" }, key_text(name))?;
                }
                f.write_str(" }")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let nasty = "a\"b\\c\nd\u{1b}[31m\u{202e}\u{7f}\u{9b}ä";
        let value = Value {
            kind: Kind::List(vec![
                Value { kind: Kind::Text(nasty.into()), origin: Origin::Default },
                Value { kind: Kind::Integer(-3), origin: Origin::Default },
                Value {
                    kind: Kind::Table(Table(
                        [("x.y\u{1b}".to_owned(), Value { kind: Kind::Flag(true), origin: Origin::Default })].into(),
                    )),
                    origin: Origin::Default,
                },
                Value { kind: Kind::Table(Table::default()), origin: Origin::Default },
            ]),
            origin: Origin::Default,
        };
        let text = value.to_string();
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text}");
        assert_eq!(read::parse_default(&text).unwrap(), value);
    }

    #[test]
    fn the_nearer_word_counts_key_by_key() {
        let table = |text| read::parse(text, &read::From::Default).unwrap();
        let mut one = table("every = \"1d\"\n[slo]\nrpo = \"26h\"\nrto = \"4h\"\n");
        one.overlay(&table("tags = [\"a\"]\n[slo]\nrpo = \"6h\"\n"));
        let slo = one.table("slo").unwrap().unwrap();
        assert_eq!((slo.duration("rpo").unwrap(), slo.duration("rto").unwrap()), (Some(6 * 3600), Some(4 * 3600)));
        assert_eq!((one.duration("every").unwrap(), one.texts("tags").unwrap()), (Some(86400), Some(vec!["a"])));
    }
}
