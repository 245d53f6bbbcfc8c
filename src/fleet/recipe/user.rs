//! A recipe that users write, in `recipes.d/NAME.toml`:
//!
//! ```toml
//! about = "our ticket system"
//!
//! [[tree]]
//! name = "app"
//! path = "{root}"                      # {root}, {data}: what the application's table says
//! exclude = ["/tmp", "*.log"]
//!
//! [[database]]                          # as in an application's table
//! type = "postgresql"
//! name = "tickets"
//!
//! [[verify]]
//! what = "the schema is readable"
//! run = ["python3", "check.py"]        # in the folder that holds each source under its name
//! ```
//!
//! The text goes into each snapshot that was made by it, so that it is there where the application comes back. Whoever wrote the
//! snapshot wrote that one: what it says of the application is used, the commands that verify are told and not run.

use super::{
    Directions, Finding, Key, Plan, Recipe, Restored, Tree,
    common::{self, DATA, DATABASE, ROOT},
    files,
};
use crate::{
    error::{Error, Result},
    fleet::{
        app::App,
        config::value::{Kind, Origin, Table, Value},
        database::Client,
    },
    monitor::Monitor,
    name::Shown,
};
use serde::Deserialize;
use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

/// Longest text of a recipe, in bytes.
pub const RECIPE_MAX: usize = 64 << 10;
/// Longest name of a recipe, in bytes.
const NAME_MAX: usize = 64;

const KEYS: &[Key] = &[Key { required: false, ..ROOT }, DATA, DATABASE];

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    #[serde(default)]
    tree: Vec<FileTree>,
    #[serde(default)]
    database: Vec<toml::Table>,
    #[serde(default)]
    verify: Vec<Check>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTree {
    name: String,
    path: String,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    grows: bool,
    #[serde(default)]
    moves: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    what: String,
    run: Vec<String>,
}

/// A user's recipe.
pub struct User {
    name: String,
    /// Its text, as it was written.
    text: String,
    /// The file that it was read from; `None` for one that a snapshot holds.
    origin: Option<PathBuf>,
    file: File,
}

/// True for a recipe's name that names a file of a folder, and nothing else.
pub fn is_recipe_name(name: &str) -> bool {
    !name.starts_with('.')
        && name.len() <= NAME_MAX
        && !name.contains(crate::name::is_unsafe)
        && common::name(name).is_ok()
}

impl User {
    /// Reads a file; the recipe has its name.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |what: &dyn Display| Error::usage(format!("{}: {what}", files::shown(path)));
        let name = path.file_stem().and_then(|name| name.to_str()).ok_or_else(|| wrong(&"its name is not UTF-8"))?;
        let read = parse(name, files::read_text(path)?).map_err(|why| wrong(&why))?;
        Ok(User { origin: Some(path.to_owned()), ..read })
    }

    /// One that a snapshot holds.
    pub fn of_snapshot(name: &str, text: &str) -> Result<Self> {
        parse(name, text.to_owned())
            .map_err(|why| Error::corrupt(format!("the snapshot's recipe \"{}\"", Shown(name.as_bytes())), why))
    }

    /// Where it is from. Safe to print.
    fn place(&self) -> String {
        match &self.origin {
            Some(path) => files::shown(path),
            None => format!("the snapshot's recipe \"{}\"", Shown(self.name.as_bytes())),
        }
    }

    /// A path with what the application's table says.
    fn path(&self, app: &App, text: &str) -> Result<PathBuf> {
        let mut out = text.to_owned();
        for key in [ROOT.name, DATA.name] {
            let place = format!("{{{key}}}");
            if out.contains(&place) {
                let path = common::root(app, key)?;
                out = out.replace(&place, &path.to_string_lossy());
            }
        }
        match Path::new(&out).is_absolute() && !out.contains('{') {
            true => Ok(out.into()),
            false => Err(Error::usage(format!(
                "{}: \"{}\" is no absolute path; {{root}} and {{data}} stand for what the application says",
                self.place(),
                Shown(text.as_bytes())
            ))),
        }
    }
}

/// What a text says, with this name; why it is none, safe to print.
fn parse(name: &str, text: String) -> Result<User, String> {
    if !is_recipe_name(name) {
        return Err(
            "a recipe's name is a short word of letters, digits and signs that does not begin with a dot".into()
        );
    }
    if text.len() > RECIPE_MAX {
        return Err(format!("a recipe has {} KiB at most", RECIPE_MAX >> 10));
    }
    let file: File =
        toml::from_str(&text).map_err(|e| Shown(e.to_string().trim_end().replace('\n', " ").as_bytes()).to_string())?;
    if file.verify.iter().any(|check| check.run.is_empty()) {
        return Err("verify: run names no program".into());
    }
    for tree in &file.tree {
        common::name(&tree.name).map_err(|e| format!("tree: {e}"))?;
    }
    Ok(User { name: name.to_owned(), text, origin: None, file })
}

impl Recipe for User {
    fn name(&self) -> &str {
        &self.name
    }

    fn own(&self) -> Option<&str> {
        Some(&self.text)
    }

    fn about(&self) -> &str {
        &self.file.about
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        let trees = &self.file.tree;
        let mut dumps: Vec<String> =
            self.file.database.iter().map(|table| table.to_string().trim().replace('\n', ", ")).collect();
        dumps.push("what database says".into());
        Directions {
            reads: trees.iter().map(|tree| format!("{} as source {}", tree.path, tree.name)).collect(),
            leaves_out: trees
                .iter()
                .flat_map(|tree| tree.exclude.iter().map(|it| format!("{it} of {}", tree.name)))
                .collect(),
            dumps,
            restores: vec!["each source into a folder of its name, each database into a server that is named".into()],
            verifies: self.file.verify.iter().map(|check| format!("{}: {}", check.what, check.run.join(" "))).collect(),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let mut plan = Plan::default();
        for tree in &self.file.tree {
            let path = self.path(app, &tree.path)?;
            let exclude = tree.exclude.clone();
            plan.trees.push(Tree {
                name: common::name(&tree.name)?,
                path,
                exclude,
                grows: tree.grows,
                moves: tree.moves,
            });
        }
        let engines = match common::configured(app)? {
            Some(engines) => engines,
            None => {
                let origin = match &self.origin {
                    Some(path) => Origin::File { file: path.as_path().into(), line: 1 },
                    None => Origin::Snapshot,
                };
                let tables = self.file.database.iter().map(|table| value(&toml::Value::Table(table.clone()), &origin));
                let list = Value { kind: Kind::List(tables.collect()), origin: origin.clone() };
                let settings = Table([(DATABASE.name.to_owned(), list)].into());
                common::configured(&App { settings, ..app.clone() })?.unwrap_or_default()
            }
        };
        common::add_databases(&mut plan, engines)?;
        if plan.trees.is_empty() && plan.databases.is_empty() {
            return Err(Error::usage(format!("{} names neither trees nor databases", self.place())));
        }
        Ok(plan)
    }

    fn settle(&self, _: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<String>> {
        if self.origin.is_some() || self.file.verify.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![format!(
            "what verifies by {} was not run: its commands are those of whoever wrote the snapshot; `vault bootstrap` writes it to \
             recipes.d, to be looked at and named with --recipes",
            self.place()
        )])
    }

    fn verify(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<Finding>> {
        let trees = self.file.tree.iter().map(|tree| common::has(restored, &tree.name));
        let mut findings: Vec<Finding> = trees.collect();
        for check in self.file.verify.iter().filter(|_| self.origin.is_some()) {
            let Some((program, args)) = check.run.split_first() else { continue };
            let client = Client::new(program).args(args.iter().cloned()).folder(restored.folder);
            let what = Shown(check.what.as_bytes()).to_string();
            findings.push(match client.run(monitor) {
                Ok(()) => Finding::good(what),
                Err(Error::Command { why, .. }) => Finding::wrong(what, why),
                Err(error) => return Err(error),
            });
        }
        Ok(findings)
    }
}

/// A value of TOML as the configuration has it.
fn value(of: &toml::Value, origin: &Origin) -> Value {
    let kind = match of {
        toml::Value::String(text) => Kind::Text(text.clone()),
        toml::Value::Integer(number) => Kind::Integer(*number),
        toml::Value::Boolean(flag) => Kind::Flag(*flag),
        toml::Value::Array(list) => Kind::List(list.iter().map(|it| value(it, origin)).collect()),
        toml::Value::Table(table) => {
            Kind::Table(Table(table.iter().map(|(key, it)| (key.clone(), value(it, origin))).collect()))
        }
        other => Kind::Text(other.to_string()),
    };
    Value { kind, origin: origin.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "about = \"tickets\"\n[[tree]]\nname = \"app\"\npath = \"{root}\"\n";

    #[test]
    fn names_stay_in_their_folder() {
        for name in ["tickets", "a.b", "unsere Tickets", "x".repeat(64).as_str()] {
            assert!(User::of_snapshot(name, TEXT).is_ok(), "{name}");
        }
        let long = "x".repeat(65);
        for name in ["", ".", "..", ".x", "../x", "a/b", "/etc/x", "a\0b", "a\u{1b}[31m", "a\u{202e}b", &long] {
            let error = User::of_snapshot(name, TEXT).err().unwrap();
            assert!(matches!(error, Error::Corrupt { .. }), "{name:?}");
            assert!(!error.to_string().contains(|c: char| c.is_control() || c == '\u{202e}'), "{error}");
        }
    }

    #[test]
    fn texts_are_short_and_name_sources() {
        let long = format!("{TEXT}#{}", "x".repeat(RECIPE_MAX));
        let out = TEXT.replace("\"app\"", "\"../app\"");
        for text in [long.as_str(), &out, "about = 1", "\u{1b}[31m"] {
            let error = User::of_snapshot("tickets", text).err().unwrap().to_string();
            assert!(!error.contains(char::is_control), "{error}");
        }
    }
}
