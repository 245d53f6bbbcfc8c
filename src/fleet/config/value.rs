//! Values as the configuration has them, each with the place that it came from.

use crate::error::{Error, Result};
use crate::name::Shown;
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

    fn typed<'a, T>(&'a self, key: &str, want: &str, read: impl FnOnce(&'a Kind) -> Option<T>) -> Result<Option<T>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => read(&value.kind).map(Some).ok_or_else(|| value.wrong(key, format!("write {want}"))),
        }
    }
}
