//! Is each key known, and is what stands behind it what may be written there?

use super::{
    key::{Key, KeyKind, find, nearest},
    read::join,
    schema,
    value::{Kind, Origin, Table, Value},
};
use crate::{name::Shown, series::parse_age, units::parse_size};
use std::fmt;

/// The types of applications that there are.
pub trait Types {
    /// The keys of a recipe; `None` when there is none of this name.
    fn keys(&self, name: &str) -> Option<&[Key]>;
    /// The names of all recipes.
    fn names(&self) -> Vec<&str>;
}

/// Something that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub origin: Origin,
    /// The key, with the tables around it.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.key, self.what)
    }
}

/// Looks at all of a configuration; the faults in the order of keys.
pub fn faults(whole: &Table, types: &dyn Types) -> Vec<Fault> {
    let mut look = Look { types, faults: Vec::new() };
    look.table(whole, &[schema::ROOT], "", None);
    if let Some(version) = whole.get("version")
        && !matches!(version.kind, Kind::Integer(1))
    {
        look.add(version, "version", "this vault reads version 1 only");
    }
    look.faults
}

struct Look<'a> {
    types: &'a dyn Types,
    faults: Vec<Fault>,
}

impl Look<'_> {
    fn add(&mut self, value: &Value, key: &str, what: impl Into<String>) {
        self.faults.push(Fault { origin: value.origin.clone(), key: key.to_owned(), what: what.into() });
    }

    /// A table that may have the keys of several lists.
    fn table(&mut self, table: &Table, keys: &[&[Key]], path: &str, stands: Option<&Value>) {
        for (name, value) in &table.0 {
            let at = join(path, name);
            match keys.iter().find_map(|keys| find(keys, name)) {
                Some(key) => self.value(value, &key.kind, &at),
                None => {
                    let known = keys.iter().flat_map(|keys| keys.iter().map(|key| key.name));
                    let what = match nearest(name, known.clone()) {
                        Some(meant) => format!("there is no such key; did you mean {meant}?"),
                        None => {
                            let all: Vec<&str> = known.collect();
                            format!("there is no such key; there are {}", all.join(", "))
                        }
                    };
                    self.add(value, &at, what);
                }
            }
        }
        for key in keys.iter().flat_map(|keys| keys.iter()).filter(|key| key.required) {
            if table.get(key.name).is_none()
                && let Some(stands) = stands
            {
                self.add(stands, path, format!("{} is missing: {}", key.name, key.about));
            }
        }
    }

    fn value(&mut self, value: &Value, kind: &KeyKind, at: &str) {
        match (kind, &value.kind) {
            (KeyKind::Table(keys), Kind::Table(table)) => self.table(table, &[keys], at, Some(value)),
            (KeyKind::Tables(keys), Kind::Table(table)) => self.table(table, &[keys], at, Some(value)),
            (KeyKind::Tables(keys), Kind::List(list)) => {
                for one in list {
                    match &one.kind {
                        Kind::Table(table) => self.table(table, &[keys], at, Some(one)),
                        _ => self.add(one, at, format!("write {}", kind.wanted())),
                    }
                }
            }
            (KeyKind::Named(keys), Kind::Table(named)) => {
                for (name, one) in &named.0 {
                    let at = join(at, name);
                    match &one.kind {
                        Kind::Table(table) => self.table(table, &[keys], &at, Some(one)),
                        _ => self.add(one, &at, "write a table"),
                    }
                }
            }
            (KeyKind::Apps, Kind::Table(apps)) => {
                for (name, one) in &apps.0 {
                    let at = join(at, name);
                    match &one.kind {
                        Kind::Table(table) => self.app(table, &at, one),
                        _ => self.add(one, &at, "write a table with at least a type"),
                    }
                }
            }
            _ => {
                if !fits(kind, &value.kind) {
                    self.add(value, at, format!("write {}", kind.wanted()));
                }
            }
        }
    }

    fn app(&mut self, table: &Table, at: &str, stands: &Value) {
        let Some(named) = table.get("type") else {
            // `apps.demo.example.org` makes tables in tables.
            let dotted = holds_type(table);
            let unknown = |key: &&String| find(schema::APP, key).is_none();
            let meant = table.0.keys().filter(unknown).find(|key| nearest(key, ["type"]).is_some());
            let hint = match meant {
                _ if dotted => {
                    "; a path with dots or slashes is written in quotes: apps.\"demo.example.org/shop\"".to_owned()
                }
                Some(key) => format!("; did you mean \"type\" by \"{}\"?", Shown(key.as_bytes())),
                None => String::new(),
            };
            return self.add(stands, at, format!("the type is missing{hint}"));
        };
        match &named.kind {
            Kind::Text(name) => match self.types.keys(name) {
                Some(keys) => {
                    let keys = keys.to_vec();
                    self.table(table, &[schema::APP, &keys], at, Some(stands));
                }
                None => {
                    let shown = Shown(name.as_bytes());
                    let names = self.types.names();
                    let what = match nearest(name, names.iter().copied()) {
                        Some(meant) => format!("there is no recipe \"{shown}\"; did you mean \"{meant}\"?"),
                        None => format!("there is no recipe \"{shown}\"; there are {}", names.join(", ")),
                    };
                    self.add(named, &join(at, "type"), what);
                }
            },
            _ => self.add(named, &join(at, "type"), "write a text in quotes"),
        }
    }
}

/// True when an application's table lies somewhere in this one.
fn holds_type(table: &Table) -> bool {
    table
        .0
        .values()
        .any(|one| matches!(&one.kind, Kind::Table(below) if below.get("type").is_some() || holds_type(below)))
}

/// True when a value is one that may be written.
fn fits(kind: &KeyKind, value: &Kind) -> bool {
    match (kind, value) {
        (KeyKind::Text | KeyKind::Secret, Kind::Text(_)) | (KeyKind::Flag, Kind::Flag(_)) => true,
        (KeyKind::Path, Kind::Text(text)) => text.starts_with('/') && !text.contains('\0'),
        (KeyKind::Integer, Kind::Integer(number)) => *number >= 0,
        (KeyKind::Duration, Kind::Text(text)) => parse_age(text).is_some(),
        (KeyKind::Reach, Kind::Text(text)) => parse_age(text).is_some(),
        (KeyKind::Reach, Kind::Integer(number)) => *number >= 0,
        (KeyKind::Pause, Kind::Text(text)) => text == "never" || parse_age(text).is_some(),
        (KeyKind::Size, Kind::Text(text)) => parse_size(text).is_ok(),
        (KeyKind::Share, Kind::Text(text)) => share(text).is_some(),
        (KeyKind::Compression, Kind::Text(text)) => matches!(&text[..], "auto" | "none"),
        (KeyKind::Compression, Kind::Integer(level)) => (1..=19).contains(level),
        (KeyKind::Texts, Kind::Text(_)) => true,
        (KeyKind::Texts, Kind::List(list)) => list.iter().all(|one| matches!(one.kind, Kind::Text(_))),
        (KeyKind::Choice(words), Kind::Text(text)) => words.contains(&&text[..]),
        (KeyKind::Free, Kind::Table(_)) => true,
        _ => false,
    }
}

/// Reads a share above 0 and up to 100 per cent.
pub fn share(text: &str) -> Option<f64> {
    let share = text.strip_suffix('%')?.trim().parse::<f64>().ok()?;
    (share > 0.0 && share <= 100.0).then_some(share)
}
