//! A CVS repository. CVS writes each file's history anew under another name and renames it, so each is whole at any time; locks of
//! whoever commits just then are left out.

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
use std::path::Path;

const KEYS: &[Key] = &[ROOT];
const LEFT_OUT: &[&str] = &["#cvs.*", ",*,", "_tmp_*"];

pub struct Cvs;

impl Recipe for Cvs {
    fn name(&self) -> &str {
        "cvs"
    }

    fn about(&self) -> &str {
        "a CVS repository"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&["root (the folder with CVSROOT) as source repository"]),
            leaves_out: lines(&["locks (#cvs.*) and files that are being written (,name,)"]),
            dumps: Vec::new(),
            restores: lines(&["the repository as it was; no lock is left in it"]),
            verifies: lines(&["the number of histories (*,v)", "cvs checkout of all modules, read and thrown away"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let root = common::root(app, "root")?;
        if !root.join("CVSROOT").is_dir() {
            return Err(common::wrong(
                app,
                format!("{} holds no CVSROOT: it is no CVS repository", files::shown(&root)),
            ));
        }
        let mut plan = Plan::default();
        plan.facts.insert("histories".into(), histories(&root)?.to_string());
        // What is removed moves into an Attic.
        plan.trees.push(super::Tree { moves: true, ..common::tree("repository", root, LEFT_OUT)? });
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<Finding>> {
        let root = restored.folder.join("repository");
        let mut findings = vec![common::at_least("histories", histories(&root)?, restored, "histories")];
        let root = std::fs::canonicalize(&root).map_err(|e| files::failed("find", &root, &e))?;
        for module in files::entries(&root).into_iter().filter(|path| files::is_plain_folder(path)) {
            let Some(name) = module.file_name() else { continue };
            let what = format!("cvs checkout {}", files::shown(Path::new(name)));
            // -R: take no locks, -n: change nothing, and run no program of CVSROOT/modules, -p: print the files.
            let client =
                Client::new("cvs").args(["-Q", "-R", "-n", "-d"]).arg(&root).args(["checkout", "-n", "-p"]).arg(name);
            findings.push(match client.folder("/").run(monitor) {
                Ok(()) => Finding::good(what),
                Err(Error::Command { why, .. }) => Finding::wrong(what, why),
                Err(error) => return Err(error),
            });
        }
        Ok(findings)
    }
}

/// Files with a history.
fn histories(root: &Path) -> Result<u64> {
    let folders = files::find_folders(root, true, |_| true)?;
    let is_history = |path: &std::path::PathBuf| path.to_string_lossy().ends_with(",v") && files::is_plain_file(path);
    Ok(folders.iter().map(|folder| files::entries(folder).iter().filter(|path| is_history(path)).count() as u64).sum())
}
