//! An application with one folder of large data: `var` below its root, often a link to a bigger disk.

use super::{
    Directions, Finding, Key, Plan, Recipe, Restored,
    common::{self, DATABASE, ROOT},
    files, lines,
};
use crate::{error::Result, fleet::app::App, monitor::Monitor};

const KEYS: &[Key] = &[ROOT, common::DATA, DATABASE];

pub struct Drawmgt;

impl Recipe for Drawmgt {
    fn name(&self) -> &str {
        "drawmgt"
    }

    fn about(&self) -> &str {
        "an application with one folder of large data, var"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&["root without var as source app", "var, or where its link leads to, as source data"]),
            leaves_out: lines(&["*.sock, *.pid, var/tmp, var/cache"]),
            dumps: lines(&["what database says"]),
            restores: lines(&["app and data into folders of these names; a link var is restored as it was"]),
            verifies: lines(&["both are there; the number of entries at the top of var"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let root = common::root(app, "root")?;
        let mut plan = Plan::default();
        let var = root.join("var");
        let is_link = std::fs::symlink_metadata(&var).is_ok_and(|meta| meta.is_symlink());
        let own: &[&str] = if is_link { &["*.sock", "*.pid"] } else { &["*.sock", "*.pid", "/var"] };
        plan.trees.push(common::tree("app", &root, own)?);
        match app.settings.path("data")? {
            Some(_) => common::add_data(app, &mut plan)?,
            None => {
                let data = files::real_folder(&var).map_err(|e| common::wrong(app, e))?;
                plan.notes.push(format!("data lie in {}", files::shown(&data)));
                plan.trees.push(common::tree("data", data, &["*.sock", "*.pid", "/tmp/*", "/cache/*"])?);
            }
        }
        if let Some(data) = plan.trees.iter().find(|tree| tree.name.as_bytes() == b"data") {
            plan.facts.insert("entries".into(), top(&data.path).to_string());
        }
        common::add_databases(&mut plan, common::configured(app)?.unwrap_or_default())?;
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<Finding>> {
        let found = top(&restored.folder.join("data"));
        Ok(vec![common::has(restored, "app"), common::at_least("entries in data", found, restored, "entries")])
    }
}

/// Entries at the top that are neither sockets nor left out.
fn top(folder: &std::path::Path) -> u64 {
    let counts = |path: &&std::path::PathBuf| {
        let end = path.extension().map(|end| end.to_string_lossy().into_owned());
        !matches!(end.as_deref(), Some("sock" | "pid"))
    };
    files::entries(folder).iter().filter(counts).count() as u64
}
