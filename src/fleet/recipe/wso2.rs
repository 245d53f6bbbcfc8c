//! A WSO2 product: its folder with configuration, keystores, start scripts, deployed artifacts and patches, and each database of its
//! datasources.

use super::{
    Directions, Finding, Key, KeyKind, Plan, Recipe, Restored,
    common::{self, DATABASE},
    files,
    jdbc::{self, Jdbc},
    keystore, lines,
};
use crate::{
    error::{Error, Result},
    fleet::{
        app::App,
        database::{
            Engine,
            credential::{Credential, password_of},
        },
    },
    monitor::Monitor,
    name::Shown,
};
use regex::Regex;
use std::path::{Path, PathBuf};

const KEYS: &[Key] = &[
    Key { name: "home", kind: KeyKind::Path, required: true, about: "the product's folder (CARBON_HOME)" },
    Key {
        name: "scope",
        kind: KeyKind::Choice(&["product", "configuration"]),
        required: false,
        about: "the whole product (default), or only what differs from the one that was downloaded",
    },
    Key {
        name: "keystore-password",
        kind: KeyKind::Text,
        required: false,
        about: "file:PATH with the keystores' password, when the configuration does not hold it (a drill opens them)",
    },
    Key {
        name: "skip-datasources",
        kind: KeyKind::Texts,
        required: false,
        about: "datasources that are backed up elsewhere, or cannot be dumped here",
    },
    DATABASE,
];

/// What means nothing without its process, grows without end, or is a copy that an update tool made.
const LEFT_OUT: &[&str] = &[
    "/repository/logs/*",
    "/tmp/*",
    "/work/*",
    "/repository/deployment/server/*/tmp",
    "/updates/backup",
    "/updates/wum",
    "/backup",
    "*.pid",
    "*.log",
    "*.lck",
    "*.hprof",
];

/// Of scope `configuration`: all of it but these.
const CONFIGURATION: &[&str] = &[
    "/*",
    "!/bin",
    "/bin/*",
    "!/bin/*.sh",
    "!/bin/*.conf",
    "!/repository",
    "/repository/*",
    "!/repository/conf",
    "!/repository/resources",
    "!/repository/deployment",
    "!/repository/components",
    "/repository/components/*",
    "!/repository/components/lib",
    "!/repository/components/dropins",
    "!/repository/components/patches",
    "!/repository/database",
    "!/patches",
    "!/updates",
    "!/lib",
];

const SECURITY: &str = "repository/resources/security";
const CONF: &str = "repository/conf";

pub struct Wso2;

impl Recipe for Wso2 {
    fn name(&self) -> &str {
        "wso2"
    }

    fn about(&self) -> &str {
        "a WSO2 product"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&[
                "home as source app: repository/conf, keystores in repository/resources/security, bin/*.sh,",
                "deployed artifacts (repository/deployment, CApps), dropins, patches and updates, embedded databases",
            ]),
            leaves_out: lines(&["logs, tmp, work, heap dumps, copies that updates made"]),
            dumps: lines(&["each datasource of deployment.toml and conf/datasources/*.xml, once"]),
            restores: lines(&["app into a folder of this name", "each database into a server that is named"]),
            verifies: lines(&[
                "configuration and a start script are there; the number of deployed artifacts",
                "each keystore opens with keytool; rows of each table, against the dump",
            ]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let home = common::root(app, "home")?;
        if !home.join(CONF).is_dir() {
            return Err(common::wrong(app, format!("{} has no {CONF}: it is no WSO2 product", files::shown(&home))));
        }
        let mut plan = Plan::default();
        let mut tree = common::tree("app", &home, &[])?;
        if app.settings.text("scope")? == Some("configuration") {
            tree.exclude.extend(CONFIGURATION.iter().map(|it| (*it).to_owned()));
        }
        tree.exclude.extend(LEFT_OUT.iter().map(|it| (*it).to_owned()));
        plan.trees.push(tree);
        let keystores = keystores(&home)?;
        plan.facts.insert("keystores".into(), keystores.iter().map(|path| files::below(&home, path) + "\n").collect());
        plan.facts.insert("artifacts".into(), artifacts(&home)?.to_string());
        plan.notes.push(format!("{} keystores", keystores.len()));
        let engines = match common::configured(app)? {
            Some(engines) => engines,
            None => of_datasources(app, &home, &mut plan)?,
        };
        common::add_databases(&mut plan, engines)?;
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, monitor: &dyn Monitor) -> Result<Vec<Finding>> {
        let home = restored.folder.join("app");
        let mut findings = vec![common::has(restored, &format!("app/{CONF}"))];
        let scripts =
            files::entries(&home.join("bin")).iter().any(|path| path.extension().is_some_and(|end| end == "sh"));
        findings.push(Finding::unless("start scripts", (!scripts).then(|| "there is none in bin".into())));
        findings.push(common::at_least("artifacts", artifacts(&home)?, restored, "artifacts"));
        let known = restored.facts.files.get("keystores").map(String::as_str).unwrap_or_default();
        let passwords = passwords(restored.app, &home)?;
        for name in known.lines() {
            monitor.check()?;
            let path = home.join(name);
            match files::is_plain_file(&path) {
                true => findings.push(keystore::open(&home, &path, &passwords, monitor)?),
                false => findings.push(Finding::wrong(format!("keystore {name}"), "it is missing")),
            }
        }
        if known.is_empty() {
            findings.push(Finding::wrong("keystores", format!("the snapshot knows of none in {SECURITY}")));
        }
        Ok(findings)
    }
}

fn keystores(home: &Path) -> Result<Vec<PathBuf>> {
    let folders = files::find_folders(&home.join(SECURITY), true, |_| true)?;
    Ok(folders.iter().flat_map(|folder| files::entries(folder)).filter(|path| keystore::is_keystore(path)).collect())
}

/// Files that are deployed.
fn artifacts(home: &Path) -> Result<u64> {
    let deployed = home.join("repository/deployment");
    if !deployed.is_dir() {
        return Ok(0);
    }
    let folders = files::find_folders(&deployed, true, |folder| folder.file_name().is_none_or(|name| name != "tmp"))?;
    let ends = [".car", ".war", ".aar", ".jar", ".zip", ".jag", ".xml"];
    let is = |path: &&PathBuf| ends.iter().any(|end| path.to_string_lossy().ends_with(end));
    Ok(folders.iter().map(|folder| files::entries(folder).iter().filter(is).count() as u64).sum())
}

/// A datasource as the configuration has it.
#[derive(Debug, PartialEq, Eq)]
struct Datasource {
    name: String,
    url: String,
    user: Option<String>,
    password: Option<String>,
}

fn of_datasources(app: &App, home: &Path, plan: &mut Plan) -> Result<Vec<Engine>> {
    let skipped = app.settings.texts("skip-datasources")?.unwrap_or_default();
    let mut found = Vec::new();
    let toml = home.join(CONF).join("deployment.toml");
    if toml.is_file() {
        found.extend(
            of_toml(&files::read_text(&toml)?)
                .map_err(|e| common::wrong(app, format!("{}: {e}", files::shown(&toml))))?,
        );
    } else {
        // Where deployment.toml is, these are made from it.
        for path in files::entries(&home.join(CONF).join("datasources")) {
            if path.to_string_lossy().ends_with("-datasources.xml") {
                found.extend(of_xml(&files::read_text(&path)?)?);
            }
        }
    }
    let mut engines: Vec<Engine> = Vec::new();
    for source in found {
        let shown = Shown(source.name.as_bytes()).to_string();
        if skipped.contains(&source.name.as_str()) {
            plan.notes.push(format!("datasource {shown} is skipped, as configured"));
            continue;
        }
        let encrypted =
            source.password.as_deref().is_some_and(|it| it.starts_with("$secret") || it == "password-alias");
        match jdbc::read(&source.url, source.user.as_deref(), source.password.as_deref()) {
            Jdbc::Embedded => plan.notes.push(format!("datasource {shown} is embedded, and read with the files")),
            Jdbc::Engine(_) if encrypted => {
                let what = format!(
                    "the password of datasource {shown} is encrypted: say database = {{ …, credential = \"file:…\" }}"
                );
                return Err(common::wrong(app, what));
            }
            // Several datasources may share a database.
            Jdbc::Engine(engine) if same(&engines, &engine) => {}
            Jdbc::Engine(engine) => engines.push(engine),
            Jdbc::Unknown(kind) => {
                let kind = Shown(kind.as_bytes());
                let what = format!(
                    "datasource {shown} is a database of kind {kind}, which cannot be dumped here: back it up elsewhere and name it in skip-datasources"
                );
                return Err(common::wrong(app, what));
            }
        }
    }
    Ok(engines)
}

fn same(engines: &[Engine], engine: &Engine) -> bool {
    let place = |engine: &Engine| match engine {
        Engine::Postgresql(server)
        | Engine::PostgresqlRoles(server)
        | Engine::Mysql(server)
        | Engine::MysqlRoles(server) => {
            Some((engine.word(), server.host.clone(), server.port, server.database.clone()))
        }
        Engine::Sqlite(_) => None,
    };
    engines.iter().any(|other| place(other) == place(engine))
}

/// `[database.apim_db]` and `[[datasource]]` tables.
fn of_toml(text: &str) -> Result<Vec<Datasource>> {
    let read: toml::Table = text.parse().map_err(|e: toml::de::Error| Error::usage(e.message()))?;
    let mut found = Vec::new();
    if let Some(toml::Value::Table(databases)) = read.get("database") {
        found.extend(databases.iter().filter_map(|(name, value)| of_table(name, value.as_table()?)));
    }
    if let Some(toml::Value::Array(sources)) = read.get("datasource") {
        let named = |table: &toml::Table| table.get("id").and_then(|id| id.as_str()).unwrap_or("datasource").to_owned();
        found.extend(
            sources.iter().filter_map(|value| value.as_table()).filter_map(|table| of_table(&named(table), table)),
        );
    }
    Ok(found)
}

fn of_table(name: &str, table: &toml::Table) -> Option<Datasource> {
    let text = |key: &str| match table.get(key) {
        Some(toml::Value::String(text)) => Some(text.clone()),
        Some(toml::Value::Integer(number)) => Some(number.to_string()),
        _ => None,
    };
    let kind = match text("type").as_deref() {
        Some("postgre" | "postgresql") => "postgresql".to_owned(),
        Some(kind) => kind.to_owned(),
        None => String::new(),
    };
    let url = text("url").or_else(|| {
        if kind == "h2" {
            return Some("jdbc:h2:".into());
        }
        let port = text("port").map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("jdbc:{kind}://{}{port}/{}", text("hostname")?, text("name")?))
    })?;
    Some(Datasource { name: name.to_owned(), url, user: text("username"), password: text("password") })
}

/// `<datasource>` elements of `master-datasources.xml` and its like.
fn of_xml(text: &str) -> Result<Vec<Datasource>> {
    let pattern = |text: &str| Regex::new(text).map_err(Error::usage);
    let text = pattern(r"(?s)<!--.*?-->")?.replace_all(text, "").into_owned();
    let element = |within: &str, name: &str| -> Result<Option<String>> {
        let found = pattern(&format!(r"(?s)<{name}(?:\s[^>]*)?>(.*?)</{name}>"))?
            .captures(within)
            .and_then(|it| it.get(1).map(|it| unescape(it.as_str().trim())));
        Ok(found)
    };
    let mut found = Vec::new();
    for hit in pattern(r"(?s)<datasource>(.*?)</datasource>")?.captures_iter(&text) {
        let Some(within) = hit.get(1).map(|it| it.as_str()) else { continue };
        let Some(url) = element(within, "url")? else { continue };
        found.push(Datasource {
            name: element(within, "name")?.unwrap_or_default(),
            url,
            user: element(within, "username")?,
            password: element(within, "password")?,
        });
    }
    Ok(found)
}

fn unescape(text: &str) -> String {
    let text = text.strip_prefix("<![CDATA[").and_then(|text| text.strip_suffix("]]>")).unwrap_or(text);
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

/// Passwords that may open a keystore: what the configuration says, and what the product comes with.
fn passwords(app: &App, home: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if let Some(text) = app.settings.text("keystore-password")? {
        found.push(password_of(&Credential::parse(text)?)?);
    }
    let conf = home.join(CONF);
    let toml: toml::Table =
        files::read_text(&conf.join("deployment.toml")).unwrap_or_default().parse().unwrap_or_default();
    let tables = toml
        .get("keystore")
        .and_then(|it| it.as_table())
        .into_iter()
        .flat_map(|it| it.values())
        .chain(toml.get("truststore"));
    for table in tables.filter_map(|it| it.as_table()) {
        found.extend(table.get("password").and_then(|it| it.as_str()).map(str::to_owned));
    }
    let carbon = files::read_text(&conf.join("carbon.xml")).unwrap_or_default();
    let pattern = Regex::new(r"(?s)<Password>\s*(.*?)\s*</Password>").map_err(Error::usage)?;
    found.extend(pattern.captures_iter(&carbon).filter_map(|hit| hit.get(1).map(|it| unescape(it.as_str()))));
    found.push("wso2carbon".into());
    found.retain(|password| !password.is_empty() && !password.starts_with("${"));
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datasources_are_read_from_both_forms() {
        let toml = r#"
[database.apim_db]
type = "mysql"
hostname = "db"
port = "3306"
name = "apim"
username = "u"
password = "p"
[database.identity_db]
type = "h2"
[[datasource]]
id = "METRICS"
url = "jdbc:postgresql://db/metrics"
username = "m"
"#;
        let urls: Vec<String> = of_toml(toml).unwrap().into_iter().map(|source| source.url).collect();
        assert_eq!(urls, ["jdbc:mysql://db:3306/apim", "jdbc:h2:", "jdbc:postgresql://db/metrics"]);
        let xml = r#"<datasources-configuration><datasources>
<!-- <datasource><name>OLD</name><url>jdbc:mysql://x/y</url></datasource> -->
<datasource><name>WSO2_CARBON_DB</name><definition type="RDBMS"><configuration>
<url>jdbc:mysql://db/carbon?a=1&amp;b=2</url><username>u</username><password svns:secretAlias="x">p&lt;</password>
</configuration></definition></datasource></datasources></datasources-configuration>"#;
        let found = of_xml(xml).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].url.as_str(), found[0].password.as_deref()),
            ("jdbc:mysql://db/carbon?a=1&b=2", Some("p<"))
        );
    }
}
