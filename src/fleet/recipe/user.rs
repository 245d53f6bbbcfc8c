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
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

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
    origin: PathBuf,
    file: File,
}

impl User {
    /// Reads a file; the recipe has its name.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |what: &dyn std::fmt::Display| Error::usage(format!("{}: {what}", files::shown(path)));
        let name = path.file_stem().and_then(|name| name.to_str()).ok_or_else(|| wrong(&"its name is not UTF-8"))?;
        let file: File = toml::from_str(&files::read_text(path)?)
            .map_err(|e| wrong(&e.to_string().trim_end().replace('\n', " ")))?;
        if file.verify.iter().any(|check| check.run.is_empty()) {
            return Err(wrong(&"verify: run names no program"));
        }
        Ok(User { name: name.to_owned(), origin: path.to_owned(), file })
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
                files::shown(&self.origin),
                crate::name::Shown(text.as_bytes())
            ))),
        }
    }
}

impl Recipe for User {
    fn name(&self) -> &str {
        &self.name
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
                let origin = Origin::File { file: self.origin.as_path().into(), line: 1 };
                let tables = self.file.database.iter().map(|table| value(&toml::Value::Table(table.clone()), &origin));
                let list = Value { kind: Kind::List(tables.collect()), origin: origin.clone() };
                let settings = Table([(DATABASE.name.to_owned(), list)].into());
                common::configured(&App { settings, ..app.clone() })?.unwrap_or_default()
            }
        };
        common::add_databases(&mut plan, engines)?;
        if plan.trees.is_empty() && plan.databases.is_empty() {
            return Err(Error::usage(format!("{} names neither trees nor databases", files::shown(&self.origin))));
        }
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<Finding>> {
        let trees = self.file.tree.iter().map(|tree| common::has(restored, &tree.name));
        let mut findings: Vec<Finding> = trees.collect();
        for check in &self.file.verify {
            let Some((program, args)) = check.run.split_first() else { continue };
            let client = Client::new(program).args(args.iter().cloned()).folder(restored.folder);
            let what = crate::name::Shown(check.what.as_bytes()).to_string();
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
