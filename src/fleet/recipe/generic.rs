//! Any application: paths, what to leave out, databases.

use super::{
    Directions, Finding, Key, KeyKind, Plan, Recipe, Restored,
    common::{self, DATABASE},
    files, lines,
};
use crate::{error::Result, fleet::app::App, monitor::Monitor};

const KEYS: &[Key] = &[
    Key { name: "paths", kind: KeyKind::Texts, required: false, about: "files and folders, each a source of its own" },
    Key { required: false, ..common::ROOT },
    common::DATA,
    DATABASE,
];

pub struct Generic;

impl Recipe for Generic {
    fn name(&self) -> &str {
        "generic"
    }

    fn about(&self) -> &str {
        "any application: paths, what to leave out, databases"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&[
                "root as source app, data as source data",
                "each of paths as a source named by its last part",
            ]),
            leaves_out: lines(&["what exclude says"]),
            dumps: lines(&["what database says"]),
            restores: lines(&["each source into a folder of its name", "each database into a server that is named"]),
            verifies: lines(&["each source is there", "rows of each table, against the dump"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let mut plan = Plan::default();
        if app.settings.get("root").is_some() {
            plan.trees.push(common::tree("app", common::root(app, "root")?, &[])?);
        }
        common::add_data(app, &mut plan)?;
        for path in app.settings.texts("paths")?.unwrap_or_default() {
            let path = std::path::Path::new(path);
            if !path.is_absolute() {
                return Err(common::wrong(app, format!("paths: {} is no absolute path", files::shown(path))));
            }
            let last = path.file_name().map_or("root".into(), |name| name.to_string_lossy().into_owned());
            let mut named = common::source_name("", &last, "")?;
            let mut number = 2;
            while plan.trees.iter().any(|tree| tree.name == named) {
                named = common::source_name("", &last, &format!("-{number}"))?;
                number += 1;
            }
            plan.trees.push(super::Tree { name: named, ..common::tree("app", path, &[])? });
        }
        common::add_databases(&mut plan, common::configured(app)?.unwrap_or_default())?;
        if plan.trees.is_empty() && plan.databases.is_empty() {
            return Err(common::wrong(app, "say what it is made of: root, paths, data or database"));
        }
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<Finding>> {
        // Its files were compared with the snapshot; what they mean, nobody has told.
        let sources = files::entries(restored.folder);
        let named = |path: &std::path::PathBuf| Finding::good(files::below(restored.folder, path));
        match sources.is_empty() {
            true => Ok(vec![Finding::wrong("sources", "nothing was restored")]),
            false => Ok(sources.iter().map(named).collect()),
        }
    }
}
