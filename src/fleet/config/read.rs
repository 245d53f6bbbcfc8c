//! From files to values: `vault.toml`, and `vault.d/*.toml` beside it, as one table.

use super::value::{Kind, Origin, Table, Value};
use crate::{
    error::{Error, Result, reason},
    name::Shown,
};
use std::{
    collections::btree_map::Entry,
    fs,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Longest file in bytes: 500 applications take some 100 KiB.
pub const FILE_MAX: u64 = 16 << 20;
/// Most files in `vault.d`.
const FILES_MAX: usize = 10_000;
/// Tables in tables: more than the language has.
const DEPTH_MAX: usize = 32;

/// Where a text came from.
#[derive(Clone)]
pub enum From {
    /// A file.
    File(Arc<Path>),
    /// What a snapshot holds.
    Snapshot,
    /// What counts when nothing is said.
    Default,
}

/// Reads a text. What is wrong with it is told with its place.
pub fn parse(text: &str, from: &From) -> Result<Table> {
    let lines = Lines::new(text, from);
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(Origin::Snapshot, |span| lines.origin(span.start));
        let place = if error.span().is_some() { format!("{at}: ") } else { String::new() };
        Error::usage(format!("{place}{}", Shown(error.message().trim_end().as_bytes())))
    })?;
    lines.table(table.get_ref(), 0)
}

/// Reads one value, as it stands behind a `=`.
pub fn parse_default(text: &str) -> Result<Value> {
    let table = parse(&format!("x = {text}"), &From::Default)?;
    table.0.into_values().next().ok_or_else(|| Error::usage("a value is missing"))
}

struct Lines<'a> {
    from: &'a From,
    /// Where each line begins.
    begins: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &str, from: &'a From) -> Self {
        let begins = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { from, begins }
    }

    fn origin(&self, at: usize) -> Origin {
        match self.from {
            From::File(file) => {
                Origin::File { file: file.clone(), line: self.begins.partition_point(|begin| *begin <= at) }
            }
            From::Snapshot => Origin::Snapshot,
            From::Default => Origin::Default,
        }
    }

    fn table(&self, table: &DeTable<'_>, depth: usize) -> Result<Table> {
        let mut out = Table::default();
        for (key, value) in table {
            out.0.insert(key.get_ref().to_string(), self.value(value, key.span().start, depth + 1)?);
        }
        Ok(out)
    }

    /// A value is where its key is: that of a list that begins on the next line, too.
    fn value(&self, value: &Spanned<DeValue<'_>>, at: usize, depth: usize) -> Result<Value> {
        let origin = self.origin(at);
        if depth > DEPTH_MAX {
            return Err(Error::usage(format!("{origin}: tables lie too deep in each other")));
        }
        let wrong = |what: &str| Err(Error::usage(format!("{origin}: {what}")));
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::Text(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Kind::Integer(number),
                Err(_) => return wrong("this number is too large"),
            },
            DeValue::Boolean(flag) => Kind::Flag(*flag),
            DeValue::Float(_) => return wrong("no key takes a number with a point"),
            DeValue::Datetime(_) => return wrong("no key takes a date; write it in quotes where a text is wanted"),
            DeValue::Array(list) => {
                let each = list.iter().map(|one| self.value(one, one.span().start, depth + 1));
                Kind::List(each.collect::<Result<_>>()?)
            }
            DeValue::Table(table) => Kind::Table(self.table(table, depth)?),
        };
        Ok(Value { kind, origin })
    }
}

/// Puts what one file says beside what others said. A key that was said before is an error; tables are put together, and
/// so are the lists of tables at the top (`[[copy]]`), one behind another.
pub fn merge(into: &mut Table, other: Table, path: &str) -> Result<()> {
    for (name, value) in other.0 {
        let key = join(path, &name);
        match into.0.entry(name) {
            Entry::Vacant(place) => {
                place.insert(value);
            }
            Entry::Occupied(mut place) => match (&mut place.get_mut().kind, value.kind) {
                (Kind::Table(one), Kind::Table(other)) => merge(one, other, &key)?,
                (Kind::List(one), Kind::List(other)) if path.is_empty() => one.extend(other),
                _ => {
                    return Err(Error::usage(format!(
                        "{}: {key} was said before, at {}: say it once",
                        value.origin,
                        place.get().origin
                    )));
                }
            },
        }
    }
    Ok(())
}

/// A path of keys, as TOML has it.
pub fn join(path: &str, name: &str) -> String {
    let name = super::value::key_text(name);
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// The files that make up a configuration: `vault.toml` itself, then those in `vault.d` beside it, by name.
pub fn files(main: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![main.to_owned()];
    let folder = folder(main);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(e) => return Err(unreadable(&folder, &e)),
    };
    for entry in entries {
        let path = entry.map_err(|e| unreadable(&folder, &e))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|end| end == "toml") {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return Err(Error::usage(format!("{} holds too many files", shown(&folder))));
        }
    }
    files[1..].sort();
    Ok(files)
}

/// The folder of further files: `vault.d` beside `vault.toml`.
pub fn folder(main: &Path) -> PathBuf {
    main.with_extension("d")
}

/// Reads them all.
pub fn read(main: &Path) -> Result<Table> {
    let mut whole = Table::default();
    for path in files(main)? {
        let text = read_text(&path)?;
        merge(&mut whole, parse(&text, &From::File(path.into()))?, "")?;
    }
    Ok(whole)
}

fn read_text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .map_err(|e| unreadable(path, &e))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Error::usage(format!("{} is too long for a configuration", shown(path))));
    }
    String::from_utf8(bytes).map_err(|_| Error::usage(format!("{} is not UTF-8", shown(path))))
}

fn shown(path: &Path) -> String {
    Shown(path.as_os_str().as_bytes()).to_string()
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "; write one, or say where it is with --config FILE or VAULT_CONFIG",
        _ => "",
    };
    Error::usage(format!("cannot read the configuration {}: {}{hint}", shown(path), reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(text: &str, name: &str) -> Result<Table> {
        parse(text, &From::File(Path::new(name).into()))
    }

    fn line(table: &Table, path: &[&str]) -> String {
        let mut value = table.get(path[0]).unwrap();
        for name in &path[1..] {
            let Kind::Table(table) = &value.kind else { panic!("{path:?}") };
            value = table.get(name).unwrap();
        }
        value.origin.to_string()
    }

    #[test]
    fn each_value_knows_its_line() {
        let text = "version = 1\n\n[servers.alpha]\nsite = \"A\"\n[servers.alpha.vms.web1.apps]\n\
                    \"demo.example.org/hydro\" = { type = \"rails\",\n  root = \"/srv\" }\n";
        let table = from_file(text, "/etc/vault/vault.toml").unwrap();
        let app = ["servers", "alpha", "vms", "web1", "apps", "demo.example.org/hydro"];
        for (path, at) in [
            (&["version"][..], 1),
            (&["servers", "alpha", "site"], 4),
            (&app, 6),
            (&[&app[..], &["type"]].concat(), 6),
            (&[&app[..], &["root"]].concat(), 7),
        ] {
            assert_eq!(line(&table, path), format!("/etc/vault/vault.toml:{at}"), "{path:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, said) in [
            ("a = 1\nb = = 2\n", "x.toml:2: "),
            ("a = 1\na = 2\n", "x.toml:2: "),
            ("a = 1.5\n", "x.toml:1: no key takes a number with a point"),
            ("\na = 2026-03-02\n", "x.toml:2: no key takes a date"),
            ("a = 99999999999999999999\n", "x.toml:1: this number is too large"),
        ] {
            let error = from_file(text, "x.toml").unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
        }
        let deep = format!("a = {}1{}", "[".repeat(60), "]".repeat(60));
        assert!(from_file(&deep, "x.toml").is_err());
    }

    #[test]
    fn files_are_one_table_and_nothing_is_said_twice() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("vault.toml");
        fs::write(&main, "[servers.a]\nsite = \"A\"\n[[copy]]\nto = \"x\"\n").unwrap();
        fs::create_dir(dir.path().join("vault.d")).unwrap();
        for (name, text) in [
            ("b.toml", "[servers.b]\nsite = \"B\"\n[[copy]]\nto = \"y\"\n"),
            ("a.toml", "[servers.a.apps.x]\ntype = \"generic\"\n"),
            ("c.txt", "nonsense"),
            (".d.toml", "nonsense"),
        ] {
            fs::write(dir.path().join("vault.d").join(name), text).unwrap();
        }
        let whole = read(&main).unwrap();
        let servers = whole.table("servers").unwrap().unwrap();
        assert_eq!(servers.0.keys().collect::<Vec<_>>(), ["a", "b"]);
        let Kind::List(copies) = &whole.get("copy").unwrap().kind else { panic!() };
        assert_eq!(copies.len(), 2);

        fs::write(dir.path().join("vault.d/z.toml"), "[servers]\na.site = \"Z\"\n").unwrap();
        let error = read(&main).unwrap_err().to_string();
        assert!(
            error.contains("z.toml:2: servers.a.site was said before, at ") && error.contains("vault.toml:2"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_file_says_where_to_look() {
        let error = read(Path::new("/nowhere/vault.toml")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/vault.toml") && error.contains("--config"), "{error}");
    }
}
