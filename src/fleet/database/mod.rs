//! Databases: how each kind is dumped as a stream, loaded again, and counted.
//!
//! ```text
//! dump   client's output ─▶ looked at (its end, its rows) ─▶ snapshot        no temporary file, bounded memory; SQLite excepted
//! facts  rows of each table, in the dump's own state of the database ─▶ a source of their own in the same snapshot
//! load   snapshot ─▶ client's input, into a server that the user names or into a scratch server
//! roles  statements that make them again: those of PostgreSQL before its databases, those of MySQL when the tables are there
//! count  rows of each table in that server ─▶ compared with the facts
//! ```
//!
//! Passwords reach a client by a file or by its environment, never by its arguments, which every user of a machine can read.

mod client;
pub mod credential;
pub mod facts;
mod mysql;
mod postgresql;
mod restricted;
mod rows;
pub mod scratch;
mod sqlite;

use crate::{
    error::{Error, Result},
    monitor::Monitor,
    name::{Name, Shown},
    ops::snapshot::Open,
};
pub(in crate::fleet) use client::Client;
use credential::Credential;
use facts::{DumpFacts, SharedFacts};
use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A database that belongs to an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// The source's name in the snapshot: `db.sql`.
    pub name: Name,
    /// What it is, and how it is reached.
    pub engine: Engine,
}

/// The kinds of databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// By `pg_dump` and `psql`.
    Postgresql(Server),
    /// Roles of a PostgreSQL server, which belong to no database; with their passwords where the user may read them.
    PostgresqlRoles(Server),
    /// MySQL and MariaDB, by `mariadb-dump` and `mariadb`.
    Mysql(Server),
    /// Accounts and roles of a MySQL or MariaDB server, with their passwords as it keeps them, and what they may do.
    MysqlRoles(Server),
    /// A file.
    Sqlite(PathBuf),
}

/// A database in a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Server {
    /// The database's name.
    pub database: String,
    /// Host name, address, or folder (PostgreSQL) or file (MySQL) of the socket; the client's default when `None`.
    pub host: Option<String>,
    /// Port; the client's default when `None`.
    pub port: Option<u16>,
    /// User; the client's default when `None`.
    pub user: Option<String>,
    /// What proves who the user is; what the client finds by itself when `None`.
    pub credential: Option<Credential>,
    /// The system's user that the client runs as, for servers that trust the system (peer authentication).
    pub run_as: Option<String>,
}

impl Engine {
    /// The word for it in facts and configuration.
    pub fn word(&self) -> &'static str {
        match self {
            Engine::Postgresql(_) => "postgresql",
            Engine::PostgresqlRoles(_) => "postgresql-roles",
            Engine::Mysql(_) => "mysql",
            Engine::MysqlRoles(_) => "mysql-roles",
            Engine::Sqlite(_) => "sqlite",
        }
    }

    /// What is dumped, in a few words that are safe to print.
    pub fn shown(&self) -> String {
        let server = |kind: &str, server: &Server| {
            let at = server.host.as_deref().map(|host| format!(" at {}", Shown(host.as_bytes())));
            format!("{kind} database {}{}", Shown(server.database.as_bytes()), at.unwrap_or_default())
        };
        let roles = |what: &str, server: &Server| {
            let at = server.host.as_deref().map(|host| format!(" at {}", Shown(host.as_bytes())));
            format!("{what}{}", at.unwrap_or_default())
        };
        match self {
            Engine::Postgresql(at) => server("PostgreSQL", at),
            Engine::PostgresqlRoles(at) => roles("roles of the PostgreSQL server", at),
            Engine::MysqlRoles(at) => roles("accounts of the MySQL server", at),
            Engine::Mysql(at) => server("MySQL", at),
            Engine::Sqlite(path) => format!("SQLite database {}", Shown(path.as_os_str().as_encoded_bytes())),
        }
    }
}

/// A stream that dumps a database when its turn comes; what it found out is then in `facts`. `scratch` is a folder for what
/// cannot be streamed: a SQLite database needs as much room there as it is long.
pub fn dump(database: &Database, scratch: &Path, facts: &SharedFacts) -> Arc<dyn Open> {
    let (name, facts) = (database.name.to_string(), facts.clone());
    match &database.engine {
        Engine::Postgresql(server) => Arc::new(postgresql::Dump { server: server.clone(), name, facts }),
        Engine::PostgresqlRoles(server) => Arc::new(postgresql::Roles { server: server.clone(), name, facts }),
        Engine::MysqlRoles(server) => Arc::new(mysql::Accounts { server: server.clone(), name, facts }),
        Engine::Mysql(server) => Arc::new(mysql::Dump { server: server.clone(), name, facts }),
        Engine::Sqlite(path) => Arc::new(sqlite::Dump { path: path.clone(), scratch: scratch.to_owned(), name, facts }),
    }
}

/// The kind of server that takes what this command dumped; `None` for the copy of a file, and for what no command makes.
pub fn server_for(command: &[Vec<u8>]) -> Option<&'static str> {
    match command.first()?.as_slice() {
        b"pg_dump" | b"pg_dumpall" => Some("postgresql"),
        b"mariadb-dump" | b"mysqldump" | b"mariadb" | b"mysql" => Some("mysql"),
        _ => None,
    }
}

/// Where a dump is to be loaded into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A server; its `database` is made, and must be empty when it is there.
    Server(Server),
    /// A file, which must not be there.
    File(PathBuf),
}

/// What writes a dump: the reader of a snapshot, most of the time.
pub type Contents<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<()>;

/// Loads a dump. Ends with an error when anything of it could not be loaded.
pub fn load(facts: &DumpFacts, target: &Target, contents: Contents<'_>, monitor: &dyn Monitor) -> Result<()> {
    match (facts.engine.as_str(), target) {
        ("postgresql", Target::Server(server)) => postgresql::load(server, facts, contents, monitor),
        ("postgresql-roles", Target::Server(server)) => postgresql::load_roles(server, contents, monitor),
        ("mysql-roles", Target::Server(server)) => mysql::load_accounts(server, contents, monitor),
        ("mysql", Target::Server(server)) => mysql::load(server, facts, contents, monitor),
        ("sqlite", Target::File(path)) => sqlite::load(path, contents),
        (engine, _) => {
            Err(Error::usage(format!("a dump of kind \"{}\" cannot be loaded there", Shown(engine.as_bytes()))))
        }
    }
}

/// Counts the rows of each table, as the facts have them.
pub fn count(engine: &str, target: &Target, monitor: &dyn Monitor) -> Result<BTreeMap<String, u64>> {
    match (engine, target) {
        ("postgresql", Target::Server(server)) => postgresql::count(server, monitor),
        ("mysql", Target::Server(server)) => mysql::count(server, monitor),
        ("sqlite", Target::File(path)) => sqlite::count(path, monitor),
        _ => Ok(BTreeMap::new()),
    }
}

/// All databases of a server but its own.
pub fn list(engine: &Engine, monitor: &dyn Monitor) -> Result<Vec<String>> {
    match engine {
        Engine::Postgresql(server) | Engine::PostgresqlRoles(server) => postgresql::list(server, monitor),
        Engine::Mysql(server) | Engine::MysqlRoles(server) => mysql::list(server, monitor),
        Engine::Sqlite(_) => Ok(Vec::new()),
    }
}

/// What of `want` is not as in `found`, one line each, at most `limit`.
pub fn differences(want: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>, limit: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    for (table, rows) in want {
        match found.get(table) {
            Some(there) if there == rows => {}
            Some(there) => wrong.push(format!("{} has {there} rows, {rows} were dumped", Shown(table.as_bytes()))),
            None => wrong.push(format!("{} is missing, {rows} rows were dumped", Shown(table.as_bytes()))),
        }
    }
    for table in found.keys().filter(|table| !want.contains_key(*table)) {
        wrong.push(format!("{} was not dumped, but is there", Shown(table.as_bytes())));
    }
    let more = wrong.len().saturating_sub(limit);
    wrong.truncate(limit);
    if more > 0 {
        wrong.push(format!("and {more} more"));
    }
    wrong
}
