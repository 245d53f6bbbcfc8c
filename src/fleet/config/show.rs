//! A configuration for people: as TOML, each value with the place that it came from.

use super::{
    check::Types,
    key::{Key, KeyKind, find},
    schema,
    value::{Kind, Table, Value, key_text},
};

/// What stands where a secret is not shown.
const HIDDEN: &str = "(not shown)";

/// As TOML, below the table `path` (already in TOML's form; empty for the top): values with their places as comments, then tables.
pub fn render(table: &Table, path: &str) -> String {
    let mut out = String::new();
    put(&mut out, table, path);
    out
}

fn put(out: &mut String, table: &Table, path: &str) {
    let (mut lines, mut below, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    // What an application is comes first.
    let (first, rest): (Vec<_>, Vec<_>) = table.0.iter().partition(|(name, _)| *name == "type");
    for (name, value) in first.into_iter().chain(rest) {
        match &value.kind {
            Kind::Table(table) => below.push((name, table)),
            Kind::List(list) if !list.is_empty() && list.iter().all(|one| matches!(one.kind, Kind::Table(_))) => {
                lists.push((name, list));
            }
            _ => lines.push((format!("{} = {value}", key_text(name)), value)),
        }
    }
    let head = |out: &mut String, text: String| {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&text);
    };
    if !path.is_empty() && (!lines.is_empty() || (below.is_empty() && lists.is_empty())) {
        head(out, format!("[{path}]\n"));
    }
    put_lines(out, &lines);
    for (name, list) in lists {
        for one in list {
            if let Kind::Table(table) = &one.kind {
                head(out, format!("[[{}]]\n", super::read::join(path, name)));
                let lines: Vec<_> =
                    table.0.iter().map(|(name, value)| (format!("{} = {value}", key_text(name)), value)).collect();
                put_lines(out, &lines);
            }
        }
    }
    for (name, table) in below {
        put(out, table, &super::read::join(path, name));
    }
}

fn put_lines(out: &mut String, lines: &[(String, &Value)]) {
    // Places stand in a column, unless a long value would push it out.
    let width = lines.iter().map(|(text, _)| text.chars().count()).filter(|len| *len <= 48).max().unwrap_or(0);
    for (text, value) in lines {
        out.push_str(&format!("{text:width$}  # {}\n", value.origin));
    }
}

/// The same table without what opens something.
pub fn without_secrets(table: &Table, types: &dyn Types) -> Table {
    let mut out = table.clone();
    hide(&mut out, &[schema::ROOT], types);
    out
}

/// The same for the table of one application.
pub fn app_without_secrets(table: &Table, types: &dyn Types) -> Table {
    let mut out = table.clone();
    hide_app(&mut out, types);
    out
}

fn hide_app(table: &mut Table, types: &dyn Types) {
    let keys = table.text("type").ok().flatten().and_then(|name| types.keys(name)).unwrap_or_default().to_vec();
    hide(table, &[schema::APP, &keys], types);
}

fn hide(table: &mut Table, keys: &[&[Key]], types: &dyn Types) {
    for (name, value) in &mut table.0 {
        let Some(key) = keys.iter().find_map(|keys| find(keys, name)) else { continue };
        match (&key.kind, &mut value.kind) {
            (KeyKind::Secret, kind) => *kind = Kind::Text(HIDDEN.into()),
            (KeyKind::Table(keys) | KeyKind::Tables(keys), Kind::Table(table)) => hide(table, &[keys], types),
            (KeyKind::Tables(keys), Kind::List(list)) => {
                list.iter_mut().for_each(|one| {
                    if let Kind::Table(table) = &mut one.kind {
                        hide(table, &[keys], types);
                    }
                });
            }
            (KeyKind::Named(keys), Kind::Table(named)) => {
                named.0.values_mut().for_each(|one| {
                    if let Kind::Table(table) = &mut one.kind {
                        hide(table, &[keys], types);
                    }
                });
            }
            (KeyKind::Apps, Kind::Table(apps)) => {
                apps.0.values_mut().for_each(|one| {
                    if let Kind::Table(table) = &mut one.kind {
                        hide_app(table, types);
                    }
                });
            }
            _ => {}
        }
    }
}
