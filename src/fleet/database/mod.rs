//! Databases: how each kind is dumped as a stream, loaded again, and counted.

use crate::name::Name;
use std::path::PathBuf;

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
    /// MySQL and MariaDB, by `mariadb-dump` and `mariadb`.
    Mysql(Server),
    /// A file.
    Sqlite(PathBuf),
}

/// A database in a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Server {
    /// The database's name.
    pub database: String,
    /// Host name, address, or folder of the socket; the client's default when `None`.
    pub host: Option<String>,
    /// Port; the client's default when `None`.
    pub port: Option<u16>,
    /// User; the client's default when `None`.
    pub user: Option<String>,
    /// A file that holds the password in the client's own form (`.pgpass`, an option file), or only the password.
    pub credential: Option<PathBuf>,
}
