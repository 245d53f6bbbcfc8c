//! What an application is made of: what to read, what to leave out, which databases to dump, and how to tell that all of it came back.
//!
//! A recipe looks at the application's files and plans; it reads no contents for the snapshot and changes nothing. The plan is plain
//! data: `vault recipe show` prints it, the nightly job and the drill carry it out.

mod common;
mod cvs;
mod drawmgt;
mod files;
mod generic;
mod git;
mod jdbc;
mod keystore;
mod maildir;
mod mbox;
mod moinmoin;
mod mysql;
mod php;
mod postgresql;
mod rails;
mod registry;
mod server;
mod sqlite;
mod svn;
mod user;
mod wordpress;
mod wso2;
mod yaml;

pub use registry::Recipes;
pub use user::{RECIPE_MAX, User, is_recipe_name};

use crate::{
    error::Result,
    fleet::{
        app::App,
        database::{self, Database, facts::Facts, facts::SOURCE, facts::SharedFacts},
    },
    monitor::Monitor,
    name::Name,
    ops::snapshot::{Input, SourceRequest, TreeInput},
};
use std::{collections::BTreeMap, path::Path, path::PathBuf, sync::Arc};

pub use crate::fleet::config::key::{Key, KeyKind};

/// A file tree that belongs to an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The source's name: `app`, `data`.
    pub name: Name,
    /// Where it lies.
    pub path: PathBuf,
    /// What is left out, as in gitignore(5), relative to the tree.
    pub exclude: Vec<String>,
    /// Files that are appended to while they are read are good as they were at first.
    pub grows: bool,
    /// Files get other names while they are read: one that vanishes makes the snapshot incomplete.
    pub moves: bool,
}

/// All that is to be read of one application, for one snapshot.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// File trees.
    pub trees: Vec<Tree>,
    /// Databases, each one stream.
    pub databases: Vec<Database>,
    /// What was found and decided, for people: one line each. Safe to print.
    pub notes: Vec<String>,
    /// Facts to be compared after a restore, known from the files themselves (`mails` = 1234), beside those of the databases.
    pub facts: BTreeMap<String, String>,
}

impl Plan {
    /// What a snapshot is to take. The facts of this plan and of its databases become a source of their own, the last.
    ///
    /// `scratch` is a folder for what cannot be streamed (a SQLite database); `exclude` counts for each tree, after its own patterns.
    pub fn sources(&self, exclude: &[String], scratch: &Path) -> Result<Vec<SourceRequest>> {
        let mut sources = Vec::new();
        for tree in &self.trees {
            let input = TreeInput {
                path: tree.path.as_os_str().as_encoded_bytes().to_vec(),
                exclude: tree.exclude.iter().chain(exclude).cloned().collect(),
                grows: tree.grows,
                moves: tree.moves,
                read_from: None,
            };
            sources.push(SourceRequest { name: tree.name.clone(), input: Input::Tree(input) });
        }
        let facts = SharedFacts::new(self.facts.clone());
        for database in &self.databases {
            let input = Input::Opened(database::dump(database, scratch, &facts));
            sources.push(SourceRequest { name: database.name.clone(), input });
        }
        if !self.facts.is_empty() || !self.databases.is_empty() {
            let name = Name::new(SOURCE.as_bytes()).map_err(crate::error::Error::usage)?;
            // Streams are read one after another, in this order: this one when all dumps have ended.
            sources.push(SourceRequest { name, input: Input::Opened(Arc::new(facts)) });
        }
        Ok(sources)
    }
}

/// An application that was restored, to the scratch place of a drill or to where it is to live.
pub struct Restored<'a> {
    /// The application.
    pub app: &'a App,
    /// The folder that holds each source under its name.
    pub folder: &'a Path,
    /// What was known when the snapshot was made.
    pub facts: &'a Facts,
}

/// What a recipe's verification found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `git fsck shop.git`. Safe to print.
    pub what: String,
    /// Why it is not as it should be; `None` when it is. Safe to print.
    pub wrong: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn good(what: impl Into<String>) -> Self {
        Finding { what: what.into(), wrong: None }
    }

    /// Something is wrong.
    pub fn wrong(what: impl Into<String>, why: impl Into<String>) -> Self {
        Finding { what: what.into(), wrong: Some(why.into()) }
    }

    /// Good, unless there is a reason.
    pub fn unless(what: impl Into<String>, why: Option<String>) -> Self {
        Finding { what: what.into(), wrong: why }
    }
}

/// A recipe in all its directions, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directions {
    pub reads: Vec<String>,
    pub leaves_out: Vec<String>,
    pub dumps: Vec<String>,
    pub restores: Vec<String>,
    pub verifies: Vec<String>,
}

/// Lines of a recipe's directions.
fn lines(text: &[&str]) -> Vec<String> {
    text.iter().map(|line| (*line).to_owned()).collect()
}

/// The knowledge of one type of application.
pub trait Recipe: Send + Sync {
    /// Its name, the `type` of an application.
    fn name(&self) -> &str;
    /// What it is for, in a line.
    fn about(&self) -> &str;
    /// Its text, when it is one of a user's own and not of the program.
    fn own(&self) -> Option<&str> {
        None
    }
    /// The keys that it understands beside those of every application.
    fn keys(&self) -> &[Key];
    /// What it does, for people.
    fn directions(&self) -> Directions;
    /// What is to be read. Looks at the application's files; an error when the application is not what its configuration says.
    fn plan(&self, app: &App) -> Result<Plan>;
    /// Finishes what restoring files cannot do by itself. Returns what was done, one line each, safe to print.
    fn settle(&self, _restored: &Restored<'_>, _monitor: &dyn Monitor) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// Proves a restored application by its own means (`git fsck`, counting mails, opening keystores). That its files are those of the
    /// snapshot was compared before.
    fn verify(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<Finding>>;
}
