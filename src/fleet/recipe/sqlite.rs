//! SQLite databases that belong to no application's other files.

use super::{Directions, Finding, Key, KeyKind, Plan, Recipe, Restored, common, files, lines};
use crate::{
    error::Result,
    fleet::{app::App, database::Engine},
    monitor::Monitor,
};
use std::path::PathBuf;

const KEYS: &[Key] =
    &[Key { name: "path", kind: KeyKind::Texts, required: true, about: "the database's file, or several" }];

pub struct Sqlite;

impl Recipe for Sqlite {
    fn name(&self) -> &str {
        "sqlite"
    }

    fn about(&self) -> &str {
        "SQLite databases"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: Vec::new(),
            leaves_out: lines(&["-wal, -shm and -journal files: what they hold is in the copy"]),
            dumps: lines(&["a copy of each database as it was at one moment, by a temporary file"]),
            restores: lines(&["each database as a file"]),
            verifies: lines(&["integrity_check; rows of each table, against the copy"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let mut plan = Plan::default();
        let mut engines = Vec::new();
        for path in app.settings.texts("path")?.unwrap_or_default() {
            let path = PathBuf::from(path);
            if !path.is_absolute() || !path.is_file() {
                return Err(common::wrong(app, format!("path: {} is no file", files::shown(&path))));
            }
            engines.push(Engine::Sqlite(path));
        }
        if engines.is_empty() {
            return Err(common::wrong(app, "say where it lies: path = \"/srv/…\""));
        }
        plan.facts.insert("databases".into(), engines.len().to_string());
        common::add_databases(&mut plan, engines)?;
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<Finding>> {
        let dumps = restored.facts.databases.values().filter(|dump| dump.engine == "sqlite").count() as u64;
        Ok(vec![common::at_least("databases", dumps, restored, "databases")])
    }
}
