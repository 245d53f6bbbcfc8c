//! Subversion repositories (FSFS) in a folder. A revision is a file that never changes, and `db/current`, which names the newest, is
//! written after it. So: it is read when the snapshot is planned, before any revision, and is set back to that when the repository is
//! restored: what was committed meanwhile may be there in part. No lock is taken, and no hot copy has to be put anywhere.

use super::{
    Directions, Finding, Key, Plan, Recipe, Restored,
    common::{self, ROOT},
    files, lines,
};
use crate::{
    error::{Error, Result},
    fleet::{app::App, database::Client},
    monitor::Monitor,
};
use std::path::{Path, PathBuf};

const KEYS: &[Key] = &[ROOT];
/// Transactions that are not committed, and an index that Subversion makes again.
const LEFT_OUT: &[&str] = &["db/transactions/*", "db/txn-protorevs/*", "db/rep-cache.db*"];

pub struct Svn;

impl Recipe for Svn {
    fn name(&self) -> &str {
        "svn"
    }

    fn about(&self) -> &str {
        "Subversion repositories in a folder"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&[
                "the newest revision of each repository, before its revisions",
                "root as source repositories",
            ]),
            leaves_out: lines(&["unfinished transactions; db/rep-cache.db, which is made again"]),
            dumps: Vec::new(),
            restores: lines(&["the repositories as they were; what was committed while they were read is taken back"]),
            verifies: lines(&["the newest revision of each", "svnadmin verify"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let root = common::root(app, "root")?;
        let repositories = repositories(&root)?;
        if repositories.is_empty() {
            return Err(common::wrong(app, format!("there is no Subversion repository in {}", files::shown(&root))));
        }
        let mut plan = Plan::default();
        for repository in &repositories {
            let kind = files::read_text(&repository.join("db/fs-type"))?;
            if kind.trim() != "fsfs" {
                let what = format!(
                    "{} is no FSFS repository, which alone can be read while it is used",
                    files::shown(repository)
                );
                return Err(common::wrong(app, what));
            }
            plan.facts.insert(fact(&root, repository), newest(repository)?.to_string());
        }
        plan.notes.push(format!("{} repositories", repositories.len()));
        let exclude: Vec<String> = repositories
            .iter()
            .flat_map(|repository| {
                let rest = repository.strip_prefix(&root).unwrap_or(Path::new(""));
                let place = if rest.as_os_str().is_empty() { String::new() } else { files::pattern(rest) };
                LEFT_OUT.iter().map(move |pattern| format!("{place}/{pattern}"))
            })
            .collect();
        plan.trees.push(super::Tree { exclude, moves: true, ..common::tree("repositories", root, &[])? });
        Ok(plan)
    }

    fn settle(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<String>> {
        let root = restored.folder.join("repositories");
        let mut done = Vec::new();
        for repository in repositories(&root)? {
            let path = repository.join("db/current");
            let known = restored.facts.files.get(&fact(&root, &repository)).and_then(|text| text.parse::<u64>().ok());
            // Of formats before Subversion 1.6 it says more than the number.
            let Some(now) = files::read_text(&path)?.trim().parse::<u64>().ok() else { continue };
            if let Some(known) = known.filter(|known| *known < now) {
                std::fs::write(&path, format!("{known}\n")).map_err(|e| files::failed("write", &path, &e))?;
                let name = files::below(&root, &repository);
                done.push(format!(
                    "{name}: set back from revision {now} to {known}, which was the newest when the snapshot began"
                ));
            }
        }
        Ok(done)
    }

    fn verify(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<Finding>> {
        let root = restored.folder.join("repositories");
        let mut findings = Vec::new();
        let names = restored.facts.files.keys().filter_map(|key| key.strip_prefix("newest revision of "));
        for name in names {
            let repository = if name == "." { root.clone() } else { root.join(name) };
            if !repository.join("db").is_dir() {
                findings.push(Finding::wrong(name, "it is missing"));
                continue;
            }
            let newest = newest(&repository).unwrap_or(0);
            findings.push(common::at_least(
                &format!("is the newest revision of {name}"),
                newest,
                restored,
                &fact(&root, &repository),
            ));
            let what = format!("svnadmin verify {name}");
            let checked = Client::new("svnadmin").args(["verify", "--quiet"]).arg(&repository).answer(b"", monitor);
            findings.push(match checked {
                Ok(_) => Finding::good(what),
                Err(Error::Command { why, .. }) => Finding::wrong(what, why),
                Err(error) => return Err(error),
            });
        }
        if findings.is_empty() {
            findings.push(Finding::wrong("repositories", "the snapshot names none"));
        }
        Ok(findings)
    }
}

fn fact(root: &Path, repository: &Path) -> String {
    format!("newest revision of {}", files::below(root, repository))
}

fn repositories(root: &Path) -> Result<Vec<PathBuf>> {
    files::find_folders(root, false, |folder| {
        folder.join("db/fs-type").is_file() && folder.join("format").is_file() && folder.join("hooks").is_dir()
    })
}

fn newest(repository: &Path) -> Result<u64> {
    let text = files::read_text(&repository.join("db/current"))?;
    let number = text.split_whitespace().next().and_then(|word| word.parse().ok());
    number.ok_or_else(|| Error::corrupt(files::shown(&repository.join("db/current")), "it holds no number"))
}
