//! Databases of a MySQL and MariaDB server that belong to no application's files.

use super::{
    Directions, Finding, Key, KeyKind, Plan, Recipe, Restored,
    common::{self, CREDENTIAL, HOST, PORT, ROLES, RUN_AS, USER},
    lines,
};
use crate::{
    error::Result,
    fleet::{
        app::App,
        database::{self, Engine, Server},
    },
    monitor::{Monitor, Silent},
};

const KEYS: &[Key] = &[
    Key {
        name: "databases",
        kind: KeyKind::Texts,
        required: false,
        about: "names of databases, or \"all\" (default), which asks the server each time",
    },
    HOST,
    PORT,
    USER,
    CREDENTIAL,
    RUN_AS,
    Key {
        about: "also dump the server's accounts and roles, and what they may do (default); takes SELECT on mysql.*",
        ..ROLES
    },
];

pub struct Mysql;

impl Recipe for Mysql {
    fn name(&self) -> &str {
        "mysql"
    }

    fn about(&self) -> &str {
        "databases of a MySQL and MariaDB server"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: Vec::new(),
            leaves_out: lines(&["the server's own databases and accounts, its settings, what PUBLIC was granted"]),
            dumps: lines(&[
                "each database as a stream of its own",
                "accounts and roles with what they may do, and passwords as the server keeps them: db-accounts.sql",
            ]),
            restores: lines(&[
                "each database into a server that is named",
                "accounts and roles that it has not; those that it has are left as they are",
            ]),
            verifies: lines(&["rows of each table, against the dump"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let server = common::server(&app.settings)?;
        let named = app.settings.texts("databases")?.unwrap_or_else(|| vec!["all"]);
        let names: Vec<String> = match named.as_slice() {
            ["all"] => database::list(&Engine::Mysql(server.clone()), &Silent).map_err(|e| common::wrong(app, e))?,
            names => names.iter().map(|name| (*name).to_owned()).collect(),
        };
        if names.is_empty() {
            return Err(common::wrong(app, "the server holds no databases"));
        }
        let mut plan = Plan::default();
        plan.facts.insert("databases".into(), names.len().to_string());
        let of = |database: String| Server { database, ..server.clone() };
        let mut engines = Vec::new();
        if app.settings.flag(ROLES.name)?.unwrap_or(true) {
            engines.push(Engine::MysqlRoles(server.clone()));
        }
        engines.extend(names.into_iter().map(|name| Engine::Mysql(of(name))));
        common::add_databases(&mut plan, engines)?;
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<Finding>> {
        let dumps = restored.facts.databases.values().filter(|dump| dump.engine == self.name()).count() as u64;
        Ok(vec![common::at_least("databases", dumps, restored, "databases")])
    }
}
