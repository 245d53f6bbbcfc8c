//! WordPress: the program, `wp-content`, and the database that `wp-config.php` names.

use super::{
    Directions, Finding, Key, KeyKind, Plan, Recipe, Restored,
    common::{self, DATABASE, ROOT},
    files, lines, php,
};
use crate::{
    error::Result,
    fleet::{
        app::App,
        database::{Engine, Server, credential::Credential},
    },
    monitor::Monitor,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const KEYS: &[Key] = &[
    ROOT,
    Key {
        name: "config",
        kind: KeyKind::Path,
        required: false,
        about: "wp-config.php, when it is neither in the root nor above it: source config",
    },
    common::DATA,
    DATABASE,
];

const CACHES: &[&str] = &[
    "/cache",
    "/et-cache",
    "/litespeed",
    "/uploads/cache",
    "/upgrade",
    "/upgrade-temp-backup",
    "/debug.log",
    "/wflogs",
];

pub struct Wordpress;

impl Recipe for Wordpress {
    fn name(&self) -> &str {
        "wordpress"
    }

    fn about(&self) -> &str {
        "WordPress"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&[
                "root without wp-content as source app",
                "wp-content, where it really lies, as source data",
                "wp-config.php as source config, when it is not in the root",
            ]),
            leaves_out: lines(&["caches, leftovers of upgrades, debug.log"]),
            dumps: lines(&["the database of wp-config.php"]),
            restores: lines(&["each source into a folder of its name", "the database into a server that is named"]),
            verifies: lines(&[
                "the program, wp-content and wp-config.php are there",
                "the tables options, posts and users are in the dump; rows of each table, against the dump",
            ]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let root = common::root(app, "root")?;
        let mut plan = Plan::default();
        let mut program = common::tree("app", &root, &["*.sock"])?;
        let config = config(app, &root)?;
        let constants = match &config {
            Some(path) => php::constants(&files::read_text(path)?),
            None => BTreeMap::new(),
        };
        let content = match (app.settings.path("data")?, constants.get("WP_CONTENT_DIR")) {
            (Some(path), _) => path,
            (None, Some(path)) if Path::new(path).is_absolute() => path.into(),
            _ => root.join("wp-content"),
        };
        let content = files::real_folder(&content).map_err(|e| common::wrong(app, e))?;
        if let Ok(rest) = content.strip_prefix(&root) {
            program.exclude.push(files::pattern(rest));
        }
        plan.trees.push(program);
        plan.trees.push(common::tree("data", content, CACHES)?);
        if let Some(path) = config.as_ref().and_then(|path| std::fs::canonicalize(path).ok())
            && !path.starts_with(&root)
        {
            plan.trees.push(common::tree("config", path, &[])?);
        }
        if let Some(prefix) = constants.get("$table_prefix") {
            plan.facts.insert("table_prefix".into(), prefix.clone());
        }
        let engines = match (common::configured(app)?, &config) {
            (Some(engines), _) => engines,
            (None, Some(path)) => {
                vec![engine(&constants).map_err(|e| common::wrong(app, format!("{}: {e}", files::shown(path))))?]
            }
            (None, None) => {
                let what = "there is no wp-config.php in the root or above it: say config = \"…\", or database = { … }";
                return Err(common::wrong(app, what));
            }
        };
        common::add_databases(&mut plan, engines)?;
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<Finding>> {
        let mut findings = vec![common::has(restored, "app/wp-includes/version.php"), common::has(restored, "data")];
        let configs = ["app/wp-config.php", "config"].map(|place| restored.folder.join(place));
        let readable = configs.iter().filter_map(|path| files::read_text(path).ok());
        let names_one = readable.into_iter().any(|text| php::constants(&text).contains_key("DB_NAME"));
        // One that lies elsewhere by a link is with whoever keeps it.
        let told = configs.iter().any(|path| std::fs::symlink_metadata(path).is_ok());
        let why = match (told, names_one) {
            (false, _) => Some("it is missing".to_owned()),
            (true, false) if restored.app.settings.get(DATABASE.name).is_none() => Some("it names no database".into()),
            _ => None,
        };
        findings.push(Finding::unless("wp-config.php", why));
        let prefix = restored.facts.files.get("table_prefix").map_or("wp_", String::as_str);
        for dump in restored.facts.databases.values().filter(|dump| dump.engine == "mysql") {
            for table in ["options", "posts", "users"] {
                let there = dump.rows.contains_key(&format!("{prefix}{table}"));
                findings
                    .push(Finding::unless(format!("table {table}"), (!there).then(|| "it is not in the dump".into())));
            }
        }
        Ok(findings)
    }
}

fn config(app: &App, root: &Path) -> Result<Option<PathBuf>> {
    if let Some(path) = app.settings.path("config")? {
        return Ok(Some(path));
    }
    let above = root.parent().unwrap_or(root);
    Ok([root.join("wp-config.php"), above.join("wp-config.php")].into_iter().find(|path| path.is_file()))
}

/// The database that the constants name.
fn engine(constants: &BTreeMap<String, String>) -> Result<Engine> {
    let value = |name: &str| constants.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let wrong = |what| crate::error::Error::usage(format!("it does not say {what}: say database = {{ … }}"));
    let database = value("DB_NAME").ok_or_else(|| wrong("DB_NAME"))?.to_owned();
    let (host, port) = host(value("DB_HOST").unwrap_or("localhost"));
    Ok(Engine::Mysql(Server {
        database,
        host,
        port,
        user: value("DB_USER").map(str::to_owned),
        credential: value("DB_PASSWORD").map(Credential::password),
        run_as: None,
    }))
}

/// `host`, `host:port`, `host:/socket`.
fn host(text: &str) -> (Option<String>, Option<u16>) {
    match text.split_once(':') {
        Some((_, socket)) if socket.starts_with('/') => (Some(socket.into()), None),
        Some((host, port)) if port.parse::<u16>().is_ok() => {
            (Some(host.to_owned()).filter(|host| !host.is_empty()), port.parse().ok())
        }
        _ => (Some(text.to_owned()), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_ports_and_sockets() {
        assert_eq!(host("localhost"), (Some("localhost".into()), None));
        assert_eq!(host("db:3307"), (Some("db".into()), Some(3307)));
        assert_eq!(host("localhost:/run/s.sock"), (Some("/run/s.sock".into()), None));
        assert_eq!(host("::1"), (Some("::1".into()), None));
    }
}
