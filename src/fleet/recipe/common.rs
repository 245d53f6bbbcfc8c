//! What many recipes have in common: keys, trees, and databases as the configuration names them.

use super::{Finding, Key, KeyKind, Plan, Restored, Tree, files};
use crate::{
    error::{Error, Result},
    fleet::{
        app::App,
        config::value::{Kind, Table, Value},
        database::{Database, Engine, Server, credential::Credential},
    },
    name::{Name, Shown},
};
use std::path::{Path, PathBuf};

/// Where the application lies.
pub const ROOT: Key = Key { name: "root", kind: KeyKind::Path, required: true, about: "the application's folder" };
/// Where its data lie, when that is elsewhere.
pub const DATA: Key = Key {
    name: "data",
    kind: KeyKind::Path,
    required: false,
    about: "the folder with its data, when it is elsewhere: source data",
};
/// Its databases.
pub const DATABASE: Key = Key {
    name: "database",
    kind: KeyKind::Tables(DATABASE_KEYS),
    required: false,
    about: "its databases, when what the application's own configuration says does not fit; [] for none",
};

const DATABASE_KEYS: &[Key] = &[
    Key {
        name: "type",
        kind: KeyKind::Choice(&["postgresql", "mysql", "sqlite"]),
        required: true,
        about: "which kind of database",
    },
    Key { name: "name", kind: KeyKind::Text, required: false, about: "the database's name" },
    HOST,
    PORT,
    USER,
    CREDENTIAL,
    RUN_AS,
    ROLES,
    Key { name: "path", kind: KeyKind::Path, required: false, about: "the file of a SQLite database" },
];

pub const HOST: Key = Key {
    name: "host",
    kind: KeyKind::Text,
    required: false,
    about: "host name, address or socket (PostgreSQL: its folder) of the server",
};
pub const PORT: Key = Key { name: "port", kind: KeyKind::Integer, required: false, about: "the server's port" };
pub const USER: Key = Key { name: "user", kind: KeyKind::Text, required: false, about: "who connects to the server" };
pub const CREDENTIAL: Key = Key {
    name: "credential",
    kind: KeyKind::Text,
    required: false,
    about: "file:PATH with the password alone, or in the client's own form (.pgpass, option file)",
};
pub const RUN_AS: Key = Key {
    name: "run-as",
    kind: KeyKind::Text,
    required: false,
    about: "the system's user that the client runs as, for servers that trust the system",
};
pub const ROLES: Key = Key {
    name: "roles",
    kind: KeyKind::Flag,
    required: false,
    about: "also dump the server's roles (PostgreSQL), its accounts and roles (MySQL)",
};

/// A name that the program itself gives.
pub fn name(text: &str) -> Result<Name> {
    Name::new(text.as_bytes()).map_err(Error::usage)
}

/// A source's name made from that of something else.
pub fn source_name(prefix: &str, of: &str, suffix: &str) -> Result<Name> {
    name(&format!("{prefix}{}{suffix}", of.replace(['/', '\0'], "_")))
}

/// The folder that a required key names.
pub fn root(app: &App, key: &str) -> Result<PathBuf> {
    match app.settings.path(key)? {
        Some(path) => files::real_folder(&path).map_err(|e| wrong(app, e)),
        None => Err(wrong(app, format!("say where it lies: {key} = \"/srv/…\""))),
    }
}

/// An error about an application, which begins with its place.
pub fn wrong(app: &App, what: impl std::fmt::Display) -> Error {
    Error::usage(format!("{}: {}: {what}", app.origin, Shown(app.series.as_str().as_bytes())))
}

/// A tree with patterns of what is left out.
pub fn tree(source: &str, path: impl Into<PathBuf>, exclude: &[&str]) -> Result<Tree> {
    let exclude = exclude.iter().map(|pattern| (*pattern).to_owned()).collect();
    Ok(Tree { name: name(source)?, path: path.into(), exclude, grows: false, moves: false })
}

/// Adds the folder that `data` names, if any.
pub fn add_data(app: &App, plan: &mut Plan) -> Result<()> {
    if let Some(path) = app.settings.path(DATA.name)? {
        let path = files::real_folder(&path).map_err(|e| wrong(app, e))?;
        plan.trees.push(tree("data", path, &[])?);
    }
    Ok(())
}

/// A server as a table's keys name it.
pub fn server(table: &Table) -> Result<Server> {
    let text = |key: &Key| Ok::<_, Error>(table.text(key.name)?.map(str::to_owned));
    let port = match (table.integer(PORT.name)?, table.get(PORT.name)) {
        (Some(port), Some(value)) => {
            Some(u16::try_from(port).map_err(|_| value.wrong(PORT.name, "write a number from 1 to 65535"))?)
        }
        _ => None,
    };
    let credential = match (table.text(CREDENTIAL.name)?, table.get(CREDENTIAL.name)) {
        (Some(text), Some(value)) => Some(Credential::parse(text).map_err(|e| value.wrong(CREDENTIAL.name, e))?),
        _ => None,
    };
    Ok(Server {
        database: String::new(),
        host: text(&HOST)?,
        port,
        user: text(&USER)?,
        credential,
        run_as: text(&RUN_AS)?,
    })
}

/// The databases that the configuration names; `None` when it names none, and the application's own files say it.
pub fn configured(app: &App) -> Result<Option<Vec<Engine>>> {
    let Some(value) = app.settings.get(DATABASE.name) else { return Ok(None) };
    let tables: Vec<&Value> = match &value.kind {
        Kind::Table(_) => vec![value],
        Kind::List(list) => list.iter().collect(),
        _ => {
            return Err(value.wrong(
                DATABASE.name,
                "write a table, such as { type = \"postgresql\", name = \"shop\" }, or [] for none",
            ));
        }
    };
    let mut engines = Vec::new();
    for value in tables {
        let Kind::Table(table) = &value.kind else { return Err(value.wrong(DATABASE.name, "write a table")) };
        let named = || table.text("name")?.map(str::to_owned).ok_or_else(|| value.wrong(DATABASE.name, "say its name"));
        match table.text("type")? {
            Some("postgresql") => {
                let server = Server { database: named()?, ..server(table)? };
                if table.flag(ROLES.name)?.unwrap_or(false) {
                    engines.push(Engine::PostgresqlRoles(server.clone()));
                }
                engines.push(Engine::Postgresql(server));
            }
            Some("mysql") => {
                let server = Server { database: named()?, ..server(table)? };
                if table.flag(ROLES.name)?.unwrap_or(false) {
                    engines.push(Engine::MysqlRoles(server.clone()));
                }
                engines.push(Engine::Mysql(server));
            }
            Some("sqlite") => match table.path("path")? {
                Some(path) => engines.push(Engine::Sqlite(path)),
                None => return Err(value.wrong(DATABASE.name, "say where it lies: path = \"/srv/…\"")),
            },
            _ => return Err(value.wrong(DATABASE.name, "say its type: \"postgresql\", \"mysql\" or \"sqlite\"")),
        }
    }
    Ok(Some(engines))
}

/// Adds databases to a plan, each under a name of its own: `db.sql` for the only one, `db-NAME.sql` for more.
pub fn add_databases(plan: &mut Plan, engines: Vec<Engine>) -> Result<()> {
    let is_roles = |engine: &Engine| matches!(engine, Engine::PostgresqlRoles(_) | Engine::MysqlRoles(_));
    let several = engines.iter().filter(|engine| !is_roles(engine)).count() > 1;
    for engine in engines {
        let (of, suffix) = match &engine {
            Engine::Postgresql(server) | Engine::Mysql(server) => (server.database.clone(), ".sql"),
            Engine::PostgresqlRoles(_) => ("roles".into(), ".sql"),
            Engine::MysqlRoles(_) => ("accounts".into(), ".sql"),
            Engine::Sqlite(path) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                (name.unwrap_or_default(), ".sqlite")
            }
        };
        let mut named =
            if several || is_roles(&engine) { source_name("db-", &of, suffix)? } else { name(&format!("db{suffix}"))? };
        // Two servers may hold databases of one name.
        let mut number = 2;
        while plan.databases.iter().any(|database| database.name == named) {
            named = source_name("db-", &format!("{of}-{number}"), suffix)?;
            number += 1;
        }
        if let Engine::Sqlite(path) = &engine {
            leave_out_live(plan, path);
        }
        plan.notes.push(format!("{} is dumped as {named}", engine.shown()));
        plan.databases.push(Database { name: named, engine });
    }
    Ok(())
}

/// A SQLite database that lies in a tree is not read as a file: while it is written to, its files do not fit together.
fn leave_out_live(plan: &mut Plan, path: &Path) {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for tree in &mut plan.trees {
        let root = std::fs::canonicalize(&tree.path).unwrap_or_else(|_| tree.path.clone());
        if let Ok(rest) = real.strip_prefix(root) {
            let pattern = files::pattern(rest);
            tree.exclude.extend(["", "-wal", "-shm", "-journal"].map(|end| format!("{pattern}{end}")));
        }
    }
}

/// Finds out whether a restored source has a path.
pub fn has(restored: &Restored<'_>, path: &str) -> Finding {
    let there = std::fs::symlink_metadata(restored.folder.join(path)).is_ok();
    Finding::unless(path, (!there).then(|| "it is missing".into()))
}

/// Compares a number that was counted with the one that was known: more is what came while the snapshot was made.
pub fn at_least(what: &str, found: u64, restored: &Restored<'_>, fact: &str) -> Finding {
    let want = restored.facts.files.get(fact).and_then(|text| text.parse::<u64>().ok());
    let why = match want {
        Some(want) if found < want => Some(format!("{found} are there, {want} were there when the snapshot was made")),
        Some(_) => None,
        None => Some(format!("the snapshot does not say how many there were ({fact})")),
    };
    Finding::unless(format!("{found} {what}"), why)
}
