//! Databases of a MySQL and MariaDB server that belong to no application's files.

use super::{
    Directions, Finding, Key, Plan, Recipe, Restored,
    common::{CREDENTIAL, HOST, PORT, ROLES, RUN_AS, USER},
    lines, server,
};
use crate::{
    error::Result,
    fleet::{app::App, database::Engine},
    monitor::Monitor,
};

const KEYS: &[Key] = &[
    server::DATABASES,
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
        // Accounts lie in a database of the server's own.
        server::dump(app, Engine::Mysql, |server, _| Engine::MysqlRoles(server))
    }

    fn verify(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<Finding>> {
        Ok(server::verify(self.name(), restored))
    }
}
