//! What an application is made of: what to read, what to leave out, which databases to dump, and how to tell that all of it came back.
//!
//! A recipe looks at the application's files and plans; it reads no contents for the snapshot and changes nothing. The plan is plain
//! data: `vault recipe show` prints it, the nightly job and the drill carry it out.

use crate::{
    error::Result,
    fleet::{app::App, database::Database},
    monitor::Monitor,
    name::Name,
};
use std::{collections::BTreeMap, path::Path, path::PathBuf};

/// What a recipe may be configured with.
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
}

/// All that is to be read of one application, for one snapshot.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// File trees.
    pub trees: Vec<Tree>,
    /// Databases, each one stream.
    pub databases: Vec<Database>,
    /// What was found and decided, for people: one line each.
    pub notes: Vec<String>,
    /// Facts to be compared after a restore, known from the files themselves (`mails` = 1234), beside those of the databases.
    pub facts: BTreeMap<String, String>,
}

/// An application that was restored, to the scratch place of a drill or to where it is to live.
pub struct Restored<'a> {
    /// The application.
    pub app: &'a App,
    /// The folder that holds each source under its name.
    pub folder: &'a Path,
    /// What the plan knew when the snapshot was made.
    pub facts: &'a BTreeMap<String, String>,
}

/// What a recipe's verification found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `git fsck shop.git`.
    pub what: String,
    /// Why it is not as it should be; `None` when it is.
    pub wrong: Option<String>,
}

/// The knowledge of one type of application.
pub trait Recipe: Send + Sync {
    /// Its name, the `type` of an application.
    fn name(&self) -> &str;
    /// What it is for, in a line.
    fn about(&self) -> &str;
    /// The keys that it understands beside those of every application.
    fn keys(&self) -> &[Key];
    /// What is to be read. Looks at the application's files; an error when the application is not what its configuration says.
    fn plan(&self, app: &App) -> Result<Plan>;
    /// Proves a restored application by its own means (`git fsck`, counting mails, opening keystores). That its files are those of the
    /// snapshot was compared before.
    fn verify(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<Finding>>;
}
