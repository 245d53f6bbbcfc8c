//! Databases of a server that belong to no application's files: what the recipes of all kinds of servers have in common.

use super::{
    Finding, Key, KeyKind, Plan, Restored,
    common::{self, ROLES},
};
use crate::{
    error::Result,
    fleet::{
        app::App,
        database::{self, Engine, Server},
    },
    monitor::Silent,
};

pub const DATABASES: Key = Key {
    name: "databases",
    kind: KeyKind::Texts,
    required: false,
    about: "names of databases, or \"all\" (default), which asks the server each time",
};

/// Each database that is asked for as a stream of its own, and the server's roles unless they are not wanted. `database` makes a dump
/// of the one that its argument names; `roles` one of the roles, and may ask for them in the database that is named beside.
pub fn dump(
    app: &App,
    database: impl Fn(Server) -> Engine,
    roles: impl FnOnce(Server, String) -> Engine,
) -> Result<Plan> {
    let server = common::server(&app.settings)?;
    let named = app.settings.texts(DATABASES.name)?.unwrap_or_else(|| vec!["all"]);
    let names: Vec<String> = match named.as_slice() {
        ["all"] => database::list(&database(server.clone()), &Silent).map_err(|e| common::wrong(app, e))?,
        names => names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let Some(first) = names.first() else { return Err(common::wrong(app, "the server holds no databases")) };
    let mut plan = Plan::default();
    plan.facts.insert(DATABASES.name.into(), names.len().to_string());
    let mut engines = Vec::new();
    if app.settings.flag(ROLES.name)?.unwrap_or(true) {
        engines.push(roles(server.clone(), first.clone()));
    }
    engines.extend(names.into_iter().map(|name| database(Server { database: name, ..server.clone() })));
    common::add_databases(&mut plan, engines)?;
    Ok(plan)
}

/// No fewer dumps of databases came back than there were databases. `engine` is the word for their kind.
pub fn verify(engine: &str, restored: &Restored<'_>) -> Vec<Finding> {
    let dumps = restored.facts.databases.values().filter(|dump| dump.engine == engine).count() as u64;
    vec![common::at_least("databases", dumps, restored, DATABASES.name)]
}
