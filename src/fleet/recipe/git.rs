//! Git repositories, bare ones and those of work trees, in a folder.
//!
//! Git writes objects first and then the references that lead to them, and never changes an object. So: the references are read
//! when the snapshot is planned, before any object. All that they lead to is then there, and is read: loose objects come before
//! packs (`objects/00` … `objects/pack`), so what is packed meanwhile is found in its pack. A reference file that moved on while the
//! objects were read may lead to what was not: it is set back when the repository is restored. No lock is taken.

use super::{
    Directions, Finding, Key, KeyKind, Plan, Recipe, Restored,
    common::{self, ROOT},
    files, lines,
};
use crate::{
    error::{Error, Result},
    fleet::{app::App, database::Client},
    monitor::{Monitor, Silent},
};
use std::path::{Path, PathBuf};

const KEYS: &[Key] = &[
    ROOT,
    Key {
        name: "verify-level",
        kind: KeyKind::Choice(&["fsck", "connectivity"]),
        required: false,
        about: "what a drill looks at: all objects (fsck, default), or that none is missing (connectivity)",
    },
];

const LEFT_OUT: &[&str] = &["*.lock", "tmp_obj_*", "tmp_pack_*", "tmp_idx_*", ".tmp-*", "gc.pid"];

pub struct Git;

impl Recipe for Git {
    fn name(&self) -> &str {
        "git"
    }

    fn about(&self) -> &str {
        "Git repositories in a folder"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&["the references of each repository, before its objects", "root as source repositories"]),
            leaves_out: lines(&["locks, unfinished objects and packs"]),
            dumps: Vec::new(),
            restores: lines(&["references that moved on while objects were read are set back to what is whole"]),
            verifies: lines(&["git fsck of each repository"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let root = common::root(app, "root")?;
        let repositories = repositories(&root)?;
        if repositories.is_empty() {
            return Err(common::wrong(app, format!("there is no Git repository in {}", files::shown(&root))));
        }
        let mut plan = Plan::default();
        plan.facts.insert("repositories".into(), repositories.len().to_string());
        for repository in &repositories {
            let references = references(repository, &Silent).map_err(|e| common::wrong(app, e))?;
            plan.facts.insert(format!("references of {}", files::below(&root, repository)), references);
        }
        plan.notes.push(format!("{} repositories", repositories.len()));
        // A collection of garbage puts objects into packs of another name.
        plan.trees.push(super::Tree { moves: true, ..common::tree("repositories", root, LEFT_OUT)? });
        Ok(plan)
    }

    fn settle(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<String>> {
        let root = restored.folder.join("repositories");
        let mut done = Vec::new();
        for repository in repositories(&root)? {
            let name = files::below(&root, &repository);
            let Some(known) = restored.facts.files.get(&format!("references of {name}")) else { continue };
            for (reference, id) in broken(&repository, monitor)? {
                let before = known.lines().find_map(|line| line.strip_suffix(&format!(" {reference}")));
                let (verb, words) = match before {
                    Some(before) => ("set back", vec!["update-ref", "--no-deref", &reference, before]),
                    None => ("removed, it was new", vec!["update-ref", "--no-deref", "-d", &reference]),
                };
                if write(&repository, &words, monitor).is_ok() {
                    let shown = crate::name::Shown(reference.as_bytes());
                    let id = crate::name::Shown(id.as_bytes());
                    done.push(format!("{name}: {shown} led to {id}, which came after the objects were read: {verb}"));
                }
            }
        }
        Ok(done)
    }

    fn verify(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<Finding>> {
        let root = restored.folder.join("repositories");
        let found = repositories(&root)?;
        let mut findings = vec![common::at_least("repositories", found.len() as u64, restored, "repositories")];
        let level = match restored.app.settings.text("verify-level")? {
            Some("connectivity") => "--connectivity-only",
            _ => "--full",
        };
        for repository in found {
            monitor.check()?;
            let what = format!("git fsck {}", files::below(&root, &repository));
            let checked = git(&repository).args(["fsck", "--no-dangling", "--no-progress", level]).answer(b"", monitor);
            findings.push(match checked {
                Ok(_) => Finding::good(what),
                Err(Error::Command { why, .. }) => Finding::wrong(what, why),
                Err(error) => return Err(error),
            });
        }
        Ok(findings)
    }
}

/// Git for one repository, whoever owns it. What its configuration says is not to run anything: hooks, watchers, or a fetch of
/// objects that are missing.
fn git(repository: &Path) -> Client {
    let settings = ["safe.directory=*", "core.fsmonitor=false", "core.hooksPath=/dev/null"];
    let client = Client::new("git").args(settings.iter().flat_map(|setting| ["-c", setting]));
    let client = client.arg("--git-dir").arg(repository).env("LC_ALL", "C");
    let client = client.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    client.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none").env("GIT_OPTIONAL_LOCKS", "0")
}

/// Changes a repository that was restored.
fn write(repository: &Path, words: &[&str], monitor: &dyn Monitor) -> Result<()> {
    git(repository).args(words.iter().copied()).answer(b"", monitor).map(|_| ())
}

/// Folders that are repositories.
fn repositories(root: &Path) -> Result<Vec<PathBuf>> {
    files::find_folders(root, false, |folder| {
        folder.join("HEAD").symlink_metadata().is_ok()
            && files::is_plain_folder(&folder.join("objects"))
            && files::is_plain_folder(&folder.join("refs"))
    })
}

/// All references, one a line: `ID NAME`.
fn references(repository: &Path, monitor: &dyn Monitor) -> Result<String> {
    git(repository).args(["for-each-ref", "--format=%(objectname) %(refname)"]).answer(b"", monitor)
}

/// References that lead to objects that are not there, and these.
fn broken(repository: &Path, monitor: &dyn Monitor) -> Result<Vec<(String, String)>> {
    let all = references(repository, monitor)?;
    let ids: String = all.lines().filter_map(|line| Some(format!("{}\n", line.split_once(' ')?.0))).collect();
    // All that they lead to, at once: one after another takes long where there are many.
    if is_whole(repository, &ids, monitor)? {
        return Ok(Vec::new());
    }
    let mut wrong = Vec::new();
    for line in all.lines() {
        let Some((id, name)) = line.split_once(' ') else { continue };
        if !is_whole(repository, id, monitor)? {
            wrong.push((name.to_owned(), id.to_owned()));
        }
    }
    Ok(wrong)
}

/// True when all that these lead to is there.
fn is_whole(repository: &Path, ids: &str, monitor: &dyn Monitor) -> Result<bool> {
    let walk = git(repository).args(["rev-list", "--objects", "--quiet", "--stdin"]).answer(ids.as_bytes(), monitor);
    match walk {
        Ok(_) => Ok(true),
        Err(Error::Command { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
