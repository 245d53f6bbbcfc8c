//! The configuration of an application that each of its snapshots holds, so that repository and key are enough to bring it back.
//!
//! It is TOML, a part of a `vault.toml`: the application's table with all that it inherited, each value with the place that it came
//! from as a comment, its server's site and names, and its repository; then `[facts]`, what was known of the application when the snapshot was made.
//!
//! ```toml
//! version = 1
//!
//! [repositories.local]
//! path = "/srv/vault"  # /etc/vault/vault.toml:4
//!
//! [servers.alpha]
//! site = "A"           # /etc/vault/vault.toml:12
//!
//! [servers.alpha.vms.web1.apps.shop]
//! type = "rails"       # /etc/vault/vault.d/alpha.toml:3
//!
//! [facts]
//! "rows db.sql orders" = "1234"
//! ```

use super::{
    fleet::Fleet,
    key::find,
    read::{self, From},
    schema, show,
    value::{Kind, Origin, Table, Value, key_text, quoted},
};
use crate::{
    error::{Error, Result},
    fleet::app::{App, Service},
    series::Series,
};
use std::collections::BTreeMap;

/// Longest in bytes.
const MAX: usize = 8 << 20;
/// Begins the part that is no configuration.
const FACTS: &str = "[facts]";

/// What a snapshot holds of its application's configuration.
#[derive(Debug, Clone)]
pub struct StoredConfig {
    /// The application.
    pub app: App,
    /// What the plan knew when the snapshot was made.
    pub facts: BTreeMap<String, String>,
    /// All of the configuration: a part of a `vault.toml`, which may be written to `vault.d` again as it is.
    pub text: String,
    /// The same as values.
    pub table: Table,
}

fn text(text: &str) -> Value {
    Value { kind: Kind::Text(text.into()), origin: Origin::Default }
}

fn sub<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    let empty = Value { kind: Kind::Table(Table::default()), origin: Origin::Default };
    match &mut table.0.entry(name.to_owned()).or_insert(empty).kind {
        Kind::Table(table) => Some(table),
        _ => None,
    }
}

/// Server, virtual machine and path of a series.
fn parts(series: &Series) -> Option<(&str, &str, &str)> {
    let mut parts = series.as_str().splitn(3, '/');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// The table of an application, made where it is missing.
fn place<'a>(table: &'a mut Table, (server, vm, relpath): (&str, &str, &str)) -> Option<&'a mut Table> {
    let own = sub(sub(table, "servers")?, server)?;
    let level = if vm == "-" { own } else { sub(sub(own, "vms")?, vm)? };
    sub(sub(level, "apps")?, relpath)
}

impl StoredConfig {
    /// What is to be stored for an application.
    pub fn of(fleet: &Fleet, service: &Service, facts: BTreeMap<String, String>) -> Self {
        let mut table = Table::default();
        table.put("version", Value { kind: Kind::Integer(1), origin: Origin::Default });
        let said = |section: &str, name: &str| {
            let section = fleet.whole.table(section).ok().flatten()?;
            section.table(name).ok().flatten().cloned()
        };
        if let Some(repository) = said("repositories", &service.repository)
            && let Some(all) = sub(&mut table, "repositories")
            && let Some(one) = sub(all, &service.repository)
        {
            *one = repository;
        }
        let (server, vm) = service.machine();
        let relpath = service.name().splitn(3, '/').nth(2).unwrap_or_default();
        let mut effective = service.effective.clone();
        effective.0.entry("repository".into()).or_insert_with(|| text(&service.repository));
        let known = said("servers", server).unwrap_or_default();
        if let Some(own) = sub(&mut table, "servers").and_then(|servers| sub(servers, server)) {
            for key in ["site", "hosts"] {
                if let Some(value) = known.get(key) {
                    own.0.insert(key.into(), value.clone());
                }
            }
        }
        if let Some(app) = place(&mut table, (server, vm, relpath)) {
            *app = effective;
        }
        StoredConfig { app: service.app.clone(), facts, text: show::render(&table, ""), table }
    }

    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.text.clone();
        if !self.facts.is_empty() {
            out.push_str(&format!("\n{FACTS}\n"));
            for (name, fact) in &self.facts {
                out.push_str(&format!("{} = {}\n", key_text(name), quoted(fact)));
            }
        }
        out.into_bytes()
    }

    /// Reads what a snapshot of this series holds. Whoever wrote the snapshot wrote it, so nothing of it is to be trusted.
    pub fn decode(series: &Series, bytes: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Error::corrupt(format!("the stored configuration of {series}"), what);
        if bytes.len() > MAX {
            return Err(wrong("it is too long"));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| wrong("it is not text"))?;
        let parsed = |text: &str| read::parse(text, &From::Snapshot).map_err(|e| wrong(&e.to_string()));
        let mut table = parsed(whole)?;
        let mut facts = BTreeMap::new();
        if let Some(Value { kind: Kind::Table(stored), .. }) = table.0.remove("facts") {
            for (name, value) in stored.0 {
                match value.kind {
                    Kind::Text(fact) => drop(facts.insert(name, fact)),
                    _ => return Err(wrong("a fact is no text")),
                }
            }
        }
        let text = match whole.strip_prefix(FACTS).is_some() {
            true => "",
            false => whole.split_once(&format!("\n{FACTS}\n")).map_or(whole, |(text, _)| text),
        };
        let absent = || wrong("the application is not in it");
        if let Some(app) = app_of(series, &table) {
            return Ok(StoredConfig { app, facts, text: text.to_owned(), table });
        }
        // A snapshot that was moved to this series holds what it held.
        let text = show::render(&renamed(series, table).ok_or_else(absent)?, "");
        let table = parsed(&text)?;
        let app = app_of(series, &table).ok_or_else(absent)?;
        Ok(StoredConfig { app, facts, text, table })
    }
}

fn below<'a>(table: &'a Table, name: &str) -> Option<&'a Table> {
    table.table(name).ok().flatten()
}

/// The same with its only application under another name. What was said of its server does not count for another one.
fn renamed(series: &Series, mut table: Table) -> Option<Table> {
    let tables = |table: &Table, name: &str| -> Vec<Table> {
        let each = |table: &Table| table.0.keys().filter_map(|name| below(table, name).cloned()).collect();
        below(table, name).map(each).unwrap_or_default()
    };
    let servers = tables(&table, "servers");
    let machines = servers.iter().flat_map(|server| tables(server, "vms")).collect::<Vec<_>>();
    let mut apps = servers.iter().chain(&machines).flat_map(|level| tables(level, "apps"));
    let (app, None) = (apps.next()?, apps.next()) else { return None };
    table.0.remove("servers");
    *place(&mut table, parts(series)?)? = app;
    Some(table)
}

fn app_of(series: &Series, table: &Table) -> Option<App> {
    let (server, vm, relpath) = parts(series)?;
    let server = below(below(table, "servers")?, server)?;
    let level = if vm == "-" { server } else { below(below(server, "vms")?, vm)? };
    let app = below(below(level, "apps")?, relpath)?.clone();
    let recipe = app.text("type").ok()??.to_owned();
    let exclude = app.texts("exclude").ok()?.unwrap_or_default().into_iter().map(str::to_owned).collect();
    let mut settings = app;
    settings.0.retain(|name, _| find(schema::APP, name).is_none());
    Some(App { series: series.clone(), recipe, settings, exclude, origin: Origin::Snapshot })
}
