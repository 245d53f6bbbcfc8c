//! A Rails application that Capistrano deploys: `current`, `releases`, `shared`.

use super::{
    Directions, Finding, Key, KeyKind, Plan, Recipe, Restored,
    common::{self, DATABASE, ROOT},
    files, lines,
    yaml::{self, Section},
};
use crate::{
    error::{Error, Result},
    fleet::{
        app::App,
        database::{Engine, Server, credential::Credential},
    },
    monitor::Monitor,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

const KEYS: &[Key] = &[
    ROOT,
    Key {
        name: "releases",
        kind: KeyKind::Choice(&["current", "all"]),
        required: false,
        about: "which releases are read: the current one (default), or all",
    },
    Key {
        name: "environment",
        kind: KeyKind::Text,
        required: false,
        about: "the section of config/database.yml that counts (default: production)",
    },
    common::DATA,
    DATABASE,
];

/// What comes back by itself, or means nothing without its process.
const LEFT_OUT: &[&str] = &[
    "/repo",
    "/shared/log/*",
    "/shared/pids/*",
    "/shared/tmp/pids/*",
    "/shared/sockets/*",
    "/shared/tmp/sockets/*",
    "/shared/tmp/cache/*",
    "/shared/cached-copy",
    "/releases/*/log/*",
    "/releases/*/tmp/*",
    "*.sock",
    "*.pid",
];

pub struct Rails;

impl Recipe for Rails {
    fn name(&self) -> &str {
        "rails"
    }

    fn about(&self) -> &str {
        "a Rails application that Capistrano deploys"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&[
                "root as source app: current, its release (or all), shared",
                "shared/var, where its link leads to, as source data",
            ]),
            leaves_out: lines(&["other releases, unless releases = \"all\"", "repo, logs, pids, sockets, tmp/cache"]),
            dumps: lines(&[
                "each database of config/database.yml, production; values of the environment from shared/.env",
            ]),
            restores: lines(&["app and data into folders of these names", "each database into a server that is named"]),
            verifies: lines(&[
                "current leads to its release, which is a Rails application",
                "rows of each table, against the dump",
            ]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let root = common::root(app, "root")?;
        let release = current(&root).map_err(|e| common::wrong(app, e))?;
        let mut plan = Plan::default();
        let mut tree = common::tree("app", &root, LEFT_OUT)?;
        if app.settings.text("releases")? != Some("all") {
            let name = files::pattern(&release);
            tree.exclude.splice(0..0, ["/releases/*".into(), format!("!/releases{name}")]);
        }
        plan.trees.push(tree);
        plan.facts.insert("release".into(), release.to_string_lossy().into_owned());
        plan.notes.push(format!("the current release is {}", files::shown(&release)));
        data(app, &root, &mut plan)?;
        let engines = match common::configured(app)? {
            Some(engines) => engines,
            None => of_database_yml(app, &root)?,
        };
        common::add_databases(&mut plan, engines)?;
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<Finding>> {
        let mut findings = vec![common::has(restored, "app/shared")];
        let Some(release) = restored.facts.files.get("release") else {
            findings.push(Finding::wrong("current", "the snapshot does not say which release was the current one"));
            return Ok(findings);
        };
        let leads_to = fs::read_link(restored.folder.join("app/current")).ok();
        let name = leads_to.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let why = (name.as_ref() != Some(release)).then(|| "it does not lead to the release that it led to".to_owned());
        findings.push(Finding::unless("current", why));
        let folder = restored.folder.join("app/releases").join(release);
        let is_rails = ["config.ru", "config/application.rb", "config/environment.rb", "Rakefile"];
        let there = is_rails.iter().any(|file| folder.join(file).exists());
        let what = format!("releases/{}", files::shown(Path::new(release)));
        findings.push(Finding::unless(what, (!there).then(|| "it is missing, or is no Rails application".into())));
        Ok(findings)
    }
}

/// The name of the release that `current` leads to.
fn current(root: &Path) -> Result<PathBuf> {
    let link = root.join("current");
    let real = fs::canonicalize(&link).map_err(|e| files::failed("follow", &link, &e))?;
    let below = real.strip_prefix(root.join("releases")).ok().map(Path::to_owned);
    below.filter(|path| path.components().count() == 1).ok_or_else(|| {
        Error::refused(format!(
            "{} leads to {}, which is no folder in releases",
            files::shown(&link),
            files::shown(&real)
        ))
    })
}

/// The data folder, and links in `shared` that lead out of what is read.
fn data(app: &App, root: &Path, plan: &mut Plan) -> Result<()> {
    common::add_data(app, plan)?;
    for path in files::entries(&root.join("shared")) {
        if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink()) {
            continue;
        }
        let Ok(real) = fs::canonicalize(&path) else {
            plan.notes.push(format!("{} leads nowhere", files::shown(&path)));
            continue;
        };
        let is_read = plan.trees.iter().any(|tree| real.starts_with(&tree.path));
        if is_read {
            continue;
        }
        if path.file_name().is_some_and(|name| name == "var") && real.is_dir() && plan.trees.len() == 1 {
            plan.notes.push(format!("data lie in {}, where shared/var leads to", files::shown(&real)));
            plan.trees.push(common::tree("data", real, &["*.sock", "*.pid"])?);
        } else {
            plan.notes.push(format!(
                "{} leads to {}, which is not read: say data = \"…\" when it belongs to the application",
                files::shown(&path),
                files::shown(&real)
            ));
        }
    }
    Ok(())
}

fn of_database_yml(app: &App, root: &Path) -> Result<Vec<Engine>> {
    let places = ["shared/config/database.yml", "current/config/database.yml"];
    let Some(path) = places.iter().map(|place| root.join(place)).find(|path| path.is_file()) else {
        return Err(common::wrong(
            app,
            "there is no config/database.yml, in shared or current: say database = { … }, or database = []",
        ));
    };
    let environment = app.settings.text("environment")?.unwrap_or("production");
    let known = dotenv(root, environment);
    let lookup = |name: &str| known.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let said = |what: &dyn std::fmt::Display| common::wrong(app, format!("{}: {what}", files::shown(&path)));
    let file = yaml::read(&files::read_text(&path)?, &lookup).map_err(|e| said(&e))?;
    let section = file.sections.get(environment).ok_or_else(|| said(&format!("it has no section {environment}")))?;
    // Several databases have sections of their own.
    let many: Vec<&Section> = match section.sections.is_empty() || section.values.contains_key("adapter") {
        true => vec![section],
        false => section
            .sections
            .values()
            .filter(|section| section.values.get("replica").is_none_or(|it| it != "true"))
            .collect(),
    };
    many.into_iter().map(|section| engine(root, section).map_err(|e| said(&e))).collect()
}

/// What files of the environment say (dotenv), the later ones counting more.
fn dotenv(root: &Path, environment: &str) -> Vec<(String, String)> {
    let names = [".env", ".env.local"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!(".env.{environment}"), format!(".env.{environment}.local")]);
    let paths = names.flat_map(|name| [root.join("current").join(&name), root.join("shared").join(&name)]);
    let mut known = Vec::new();
    for text in paths.filter_map(|path| files::read_text(&path).ok()) {
        for line in text.lines() {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
            let value = value.trim();
            let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            known.push((key.trim().to_owned(), quoted.unwrap_or(value).to_owned()));
        }
    }
    known
}

/// The database that a section names.
fn engine(root: &Path, section: &Section) -> Result<Engine> {
    let computed = || {
        Error::usage(
            "a value of the database is computed, or comes from an environment that no .env tells: say database = { … }",
        )
    };
    let mut values = section.values.clone();
    if let Some(url) = values.get("url").cloned().filter(|url| !url.is_empty()) {
        if url.contains(yaml::UNKNOWN) {
            return Err(computed());
        }
        from_url(&url, &mut values)?;
    }
    let value = |key: &str| values.get(key).map(String::as_str).filter(|text| !text.is_empty());
    let wanted = ["adapter", "database", "host", "socket", "port", "username", "password"];
    if wanted.iter().filter_map(|key| value(key)).any(|text| text.contains(yaml::UNKNOWN)) {
        return Err(computed());
    }
    let database = value("database").ok_or_else(|| Error::usage("a section names no database"))?.to_owned();
    let port = value("port").map(|text| text.parse().map_err(|_| Error::usage("a port is no number"))).transpose()?;
    let server = Server {
        database: database.clone(),
        host: value("socket").or(value("host")).map(str::to_owned),
        port,
        user: value("username").or(value("user")).map(str::to_owned),
        credential: value("password").map(Credential::password),
        run_as: None,
    };
    match value("adapter") {
        Some("postgresql" | "postgres" | "postgis") => Ok(Engine::Postgresql(server)),
        Some("mysql2" | "trilogy" | "mysql") => Ok(Engine::Mysql(server)),
        Some("sqlite3") => Ok(Engine::Sqlite(root.join("current").join(database))),
        adapter => Err(Error::usage(format!(
            "no database of kind \"{}\" can be dumped: say database = {{ … }}, or database = []",
            crate::name::Shown(adapter.unwrap_or_default().as_bytes())
        ))),
    }
}

/// `postgresql://user:password@host:port/database?…`; what is written beside it counts less.
fn from_url(url: &str, values: &mut std::collections::BTreeMap<String, String>) -> Result<()> {
    let wrong = || Error::usage("the database's url makes no sense");
    let (scheme, rest) = url.split_once(':').ok_or_else(wrong)?;
    let mut set = |key: &str, text: &str| {
        if !text.is_empty() {
            values.insert(key.into(), unescape(text));
        }
    };
    set("adapter", scheme);
    if scheme == "sqlite3" {
        set("database", rest.trim_start_matches("//"));
        return Ok(());
    }
    let rest = rest.strip_prefix("//").ok_or_else(wrong)?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (who, host) = place.rsplit_once('@').unwrap_or(("", place));
    let (user, password) = who.split_once(':').unwrap_or((who, ""));
    let (host, port) = host.rsplit_once(':').unwrap_or((host, ""));
    for (key, text) in [("username", user), ("password", password), ("host", host), ("port", port)] {
        set(key, text);
    }
    set("database", path.split('?').next().unwrap_or_default());
    Ok(())
}

/// Takes `%41` for `A`.
fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [byte, more @ ..] = rest {
        let digits = more.get(..2).filter(|_| *byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { more.get(2..).unwrap_or_default() } else { more };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let mut values = std::collections::BTreeMap::new();
        from_url("postgres://shop:a%40b@db:5433/shop_production?pool=5", &mut values).unwrap();
        let section = Section { values, ..Section::default() };
        let server = Server {
            database: "shop_production".into(),
            host: Some("db".into()),
            port: Some(5433),
            user: Some("shop".into()),
            credential: Some(Credential::password("a@b")),
            run_as: None,
        };
        assert_eq!(engine(Path::new("/"), &section).unwrap(), Engine::Postgresql(server));
    }
}
