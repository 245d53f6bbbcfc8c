//! The configuration of an application that each of its snapshots holds, so that repository and key are enough to bring it back.
//!
//! It is TOML, a part of a `vault.toml`: the application's table with all that it inherited, each value with the place that it came
//! from as a comment, its server's site and names, and its repository; then `[recipe]`, when its recipe is none of the program's, and
//! `[facts]`, what was known of the application when the snapshot was made.
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
//! [recipe]
//! text = "about = \"our shop\"\n[[tree]]\n…"
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
    fleet::{
        app::{App, Service},
        recipe::{RECIPE_MAX, is_recipe_name},
    },
    series::Series,
};
use std::collections::BTreeMap;

/// Longest in bytes.
const MAX: usize = 8 << 20;
/// Begin the parts that are no configuration.
const RECIPE: &str = "[recipe]";
const FACTS: &str = "[facts]";

/// What a snapshot holds of its application's configuration.
#[derive(Debug, Clone)]
pub struct StoredConfig {
    /// The application.
    pub app: App,
    /// The text of its recipe, when that is one of a user's own.
    pub recipe: Option<String>,
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
    /// What is to be stored for an application; `recipe` is the text of one of a user's own.
    pub fn of(fleet: &Fleet, service: &Service, recipe: Option<&str>, facts: BTreeMap<String, String>) -> Self {
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
        let recipe = recipe.map(str::to_owned);
        StoredConfig { app: service.app.clone(), recipe, facts, text: show::render(&table, ""), table }
    }

    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.text.clone();
        if let Some(recipe) = &self.recipe {
            out.push_str(&format!("\n{RECIPE}\ntext = {}\n", quoted(recipe)));
        }
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
        let recipe = table.0.remove("recipe").map(recipe_of).transpose().map_err(wrong)?;
        let absent = || wrong("the application is not in it");
        let (app, text, table) = match app_of(series, &table) {
            Some(app) => {
                let text = first_part(whole);
                // Parts may stand in another order.
                let is_all = parsed(text).is_ok_and(|first| first == table);
                (app, if is_all { text.to_owned() } else { show::render(&table, "") }, table)
            }
            // A snapshot that was moved to this series holds what it held.
            None => {
                let text = show::render(&renamed(series, table).ok_or_else(absent)?, "");
                let table = parsed(&text)?;
                (app_of(series, &table).ok_or_else(absent)?, text, table)
            }
        };
        if recipe.is_some() && !is_recipe_name(&app.recipe) {
            return Err(wrong("its recipe's name is none"));
        }
        Ok(StoredConfig { app, recipe, facts, text, table })
    }
}

/// What stands before the parts that are no configuration.
fn first_part(whole: &str) -> &str {
    let begin = |part: &str| if whole.starts_with(part) { Some(0) } else { whole.find(&format!("\n{part}\n")) };
    let end = [RECIPE, FACTS].into_iter().filter_map(begin).min();
    whole.get(..end.unwrap_or(whole.len())).unwrap_or(whole)
}

/// The text of a recipe; why it is none.
fn recipe_of(value: Value) -> Result<String, &'static str> {
    let Kind::Table(mut part) = value.kind else { return Err("its recipe is no text") };
    let text = part.0.remove("text").map(|value| value.kind);
    match text {
        Some(Kind::Text(text)) if part.0.is_empty() && text.len() <= RECIPE_MAX => Ok(text),
        Some(Kind::Text(_)) if part.0.is_empty() => Err("its recipe is too long"),
        _ => Err("its recipe is no text"),
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
