//! A MoinMoin wiki. A page is a folder: `current` names its newest revision, which was written before. A page that is saved while it
//! is read may name one that was not there yet: it is set back to its newest one when the wiki is restored.

use super::{
    Directions, Finding, Key, Plan, Recipe, Restored,
    common::{self, ROOT},
    files, lines,
};
use crate::{error::Result, fleet::app::App, monitor::Monitor};
use std::path::{Path, PathBuf};

const KEYS: &[Key] = &[ROOT, common::DATA];
/// What comes back by itself, or with the program.
const LEFT_OUT: &[&str] = &["underlay", "/data/cache", "/data/tmp", "/data/pages/*/cache", "*.pyc", "*.lock", "*.sock"];

pub struct Moinmoin;

impl Recipe for Moinmoin {
    fn name(&self) -> &str {
        "moinmoin"
    }

    fn about(&self) -> &str {
        "a MoinMoin wiki"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&[
                "root as source app: data/pages with attachments, event-log, edit-log, users, configuration",
            ]),
            leaves_out: lines(&["underlay, which comes with the program; caches, tmp, locks"]),
            dumps: Vec::new(),
            restores: lines(&["the wiki as it was; a page that was saved while it was read, as it was before"]),
            verifies: lines(&["the number of pages", "the current revision of each page is there"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let root = common::root(app, "root")?;
        let mut plan = Plan::default();
        let pages = match app.settings.path("data")? {
            Some(data) => data.join("pages"),
            None => root.join("data/pages"),
        };
        let pages = files::real_folder(&pages).map_err(|e| common::wrong(app, e))?;
        // Logs are appended to.
        plan.trees.push(super::Tree { grows: true, ..common::tree("app", &root, LEFT_OUT)? });
        if !pages.starts_with(&root) {
            let data = pages.parent().unwrap_or(&pages).to_owned();
            let tree = common::tree("data", data, &["/cache", "/tmp", "/pages/*/cache", "*.lock"])?;
            plan.trees.push(super::Tree { grows: true, ..tree });
        }
        let written = written(&pages).len();
        plan.facts.insert("pages".into(), written.to_string());
        plan.notes.push(format!("{written} pages"));
        Ok(plan)
    }

    fn settle(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<String>> {
        let Some(pages) = pages(restored) else { return Ok(Vec::new()) };
        let mut done = Vec::new();
        for page in written(&pages) {
            monitor.check()?;
            if is_whole(&page) {
                continue;
            }
            let newest = files::entries(&page.join("revisions")).into_iter().rfind(|path| files::is_plain_file(path));
            if let Some(newest) = newest.and_then(|path| Some(path.file_name()?.to_str()?.to_owned())) {
                let path = page.join("current");
                std::fs::write(&path, format!("{newest}\n")).map_err(|e| files::failed("write", &path, &e))?;
                done.push(format!(
                    "{}: set back to revision {}",
                    files::below(&pages, &page),
                    files::shown(Path::new(&newest))
                ));
            }
        }
        Ok(done)
    }

    fn verify(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<Finding>> {
        let Some(pages) = pages(restored) else {
            return Ok(vec![Finding::wrong("data/pages", "it is missing")]);
        };
        let written = written(&pages);
        let mut findings = vec![common::at_least("pages", written.len() as u64, restored, "pages")];
        let mut lacking = Vec::new();
        for page in &written {
            monitor.check()?;
            if !is_whole(page) {
                lacking.push(files::below(&pages, page));
            }
        }
        let why = (!lacking.is_empty()).then(|| {
            let first = lacking.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            format!("{} pages lack it: {first}", lacking.len())
        });
        findings.push(Finding::unless("the current revision of each page", why));
        Ok(findings)
    }
}

/// Where the pages were restored to.
fn pages(restored: &Restored<'_>) -> Option<PathBuf> {
    let places = ["data/pages", "app/data/pages"].map(|place| restored.folder.join(place));
    places.into_iter().find(|place| place.is_dir())
}

/// True when the revision that a page names is there. Of a page that was deleted, it is one that was never written.
fn is_whole(page: &Path) -> bool {
    let revision = files::read_text(&page.join("current")).unwrap_or_default();
    let revision = revision.trim();
    let is_number = !revision.is_empty() && revision.bytes().all(|b| b.is_ascii_digit());
    is_number && (page.join("revisions").join(revision).is_file() || is_deleted(page, revision))
}

/// The edit log of a page says which revision was its last, and that it was a deletion leaves all revisions before it.
fn is_deleted(page: &Path, revision: &str) -> bool {
    let log = files::read_text(&page.join("edit-log")).unwrap_or_default();
    log.lines().any(|line| {
        let mut fields = line.split('\t');
        fields.nth(1) == Some(revision) && fields.next() == Some("SAVE/DELETE")
    })
}

/// Pages that have a current revision. Others only hold attachments.
fn written(pages: &Path) -> Vec<PathBuf> {
    files::entries(pages).into_iter().filter(|page| page.join("current").is_file()).collect()
}
