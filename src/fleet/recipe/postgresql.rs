//! Databases of a PostgreSQL server that belong to no application's files.

use super::{
    Directions, Finding, Key, Plan, Recipe, Restored,
    common::{CREDENTIAL, HOST, PORT, ROLES, RUN_AS, USER},
    lines, server,
};
use crate::{
    error::Result,
    fleet::{
        app::App,
        database::{Engine, Server},
    },
    monitor::Monitor,
};

const KEYS: &[Key] = &[server::DATABASES, HOST, PORT, USER, CREDENTIAL, RUN_AS, ROLES];

pub struct Postgresql;

impl Recipe for Postgresql {
    fn name(&self) -> &str {
        "postgresql"
    }

    fn about(&self) -> &str {
        "databases of a PostgreSQL server"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: Vec::new(),
            leaves_out: lines(&["the server's own databases"]),
            dumps: lines(&["each database as a stream of its own, and the server's roles"]),
            restores: lines(&["each database into a server that is named"]),
            verifies: lines(&["rows of each table, against the dump"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        server::dump(app, Engine::Postgresql, |server, database| Engine::PostgresqlRoles(Server { database, ..server }))
    }

    fn verify(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<Finding>> {
        Ok(server::verify(self.name(), restored))
    }
}
