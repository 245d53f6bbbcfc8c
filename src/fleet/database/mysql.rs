//! MySQL and MariaDB, by their own clients. The rows are counted in the dump itself while it goes by: neither server can let a second
//! session look at the same state without a lock on all tables, which would stop the application.

mod accounts;

pub(super) use accounts::{Accounts, load as load_accounts};

use super::{
    Contents, Server,
    client::{Client, Look, Output, Tail, feed, is_installed},
    credential::{Given, given},
    facts::{DumpFacts, SharedFacts},
    rows::Rows,
};
use crate::{
    error::{Error, Result},
    monitor::{Monitor, Silent},
    name::Shown,
    ops::snapshot::Open,
};
use std::{
    collections::BTreeMap,
    io::{self, Read},
};

/// The dump is the database's state at one moment, the same bytes for the same data, and whole.
const OPTIONS: [&str; 10] = [
    "--single-transaction",
    "--quick",
    "--skip-dump-date",
    "--routines",
    "--triggers",
    "--events",
    "--hex-blob",
    "--no-tablespaces",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
];

/// Tables that rows are counted of: views have none of their own, sequences are no tables.
const TABLES: &str = "information_schema.tables WHERE table_schema = DATABASE() \
    AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')";

/// A database's dump.
pub(super) struct Dump {
    pub server: Server,
    pub name: String,
    pub facts: SharedFacts,
}

/// A client that is told by arguments where its server is, and by a file or its environment who it is.
fn client(programs: [&str; 2], server: &Server) -> Result<Client> {
    let [ours, older] = programs;
    let mut client = Client::new(if is_installed(ours) { ours } else { older });
    let is_own = |text: &str| text.lines().any(|line| line.trim_start().starts_with('['));
    match server.credential.as_ref().map(|credential| given(credential, is_own)).transpose()? {
        Some(Given::File(path)) => {
            // Has to be the first argument.
            let mut arg = std::ffi::OsString::from("--defaults-extra-file=");
            arg.push(path);
            client = client.arg(arg);
        }
        Some(Given::Password(password)) => client = client.env("MYSQL_PWD", password.as_str()),
        None => {}
    }
    match server.host.as_deref() {
        Some(socket) if socket.starts_with('/') => client = client.arg(format!("--socket={socket}")),
        Some(host) => client = client.arg(format!("--host={host}")),
        None => {}
    }
    if let Some(port) = server.port {
        client = client.arg(format!("--port={port}"));
    }
    if let Some(user) = &server.user {
        client = client.arg(format!("--user={user}"));
    }
    client.run_as(server.run_as.as_deref())
}

fn asking(server: &Server) -> Result<Client> {
    // In binary mode the client obeys none of its own commands (`\! …`), which a dump or a name might hold.
    let quiet =
        ["--batch", "--binary-mode", "--skip-column-names", "--default-character-set=utf8mb4", "--local-infile=0"];
    Ok(client(["mariadb", "mysql"], server)?.args(quiet))
}

/// The database as an argument of its own.
fn database(server: &Server) -> Result<&str> {
    match server.database.as_str() {
        "" => Err(Error::usage("which MySQL database? Say it with `name`")),
        name if name.starts_with('-') => {
            Err(Error::usage(format!("the database {} cannot be named to a client", Shown(name.as_bytes()))))
        }
        name => Ok(name),
    }
}

fn dumper(server: &Server) -> Result<Client> {
    Ok(client(["mariadb-dump", "mysqldump"], server)?.args(OPTIONS).arg(database(server)?))
}

fn as_io(error: Error) -> io::Error {
    io::Error::other(error.to_string())
}

impl Open for Dump {
    fn command(&self) -> Vec<Vec<u8>> {
        dumper(&self.server).map(|client| client.words()).unwrap_or_default()
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.facts.begin(&self.name);
        let facts = properties(&self.server).map_err(as_io)?;
        let running = dumper(&self.server).map_err(as_io)?.start(false)?;
        let look = Counting {
            tail: Tail::default(),
            rows: Rows::default(),
            facts,
            name: self.name.clone(),
            shared: self.facts.clone(),
        };
        Ok(Box::new(Output::new(running, look)))
    }
}

/// What the database must be made with.
fn properties(server: &Server) -> Result<DumpFacts> {
    let name = database(server)?;
    let ask = b"SELECT VERSION(), @@character_set_database, @@collation_database;";
    let answer = asking(server)?.arg(name).answer(ask, &Silent)?;
    let mut words = answer.trim_end().split('\t').map(str::to_owned);
    let version = words.next().unwrap_or_default();
    let properties = ["charset", "collation"].into_iter().map(str::to_owned).zip(words).collect();
    Ok(DumpFacts { engine: "mysql".into(), database: name.into(), version, properties, rows: BTreeMap::new() })
}

struct Counting {
    tail: Tail,
    rows: Rows,
    facts: DumpFacts,
    name: String,
    shared: SharedFacts,
}

impl Look for Counting {
    fn see(&mut self, bytes: &[u8]) {
        self.tail.see(bytes);
        self.rows.see(bytes);
    }

    fn last(&mut self) -> io::Result<()> {
        self.tail.expect("-- Dump completed")?;
        self.facts.rows = self.rows.take();
        self.shared.dumped(&self.name, self.facts.clone());
        Ok(())
    }
}

fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

pub(super) fn count(server: &Server, monitor: &dyn Monitor) -> Result<BTreeMap<String, u64>> {
    let client = asking(server)?.arg(database(server)?);
    let ask = format!("SELECT HEX(table_name) FROM {TABLES} ORDER BY table_name;");
    let hex = client.answer(ask.as_bytes(), monitor)?;
    let mut names = Vec::new();
    for line in hex.lines() {
        let bytes = unhex(line).and_then(|bytes| String::from_utf8(bytes).ok());
        names.push(bytes.ok_or_else(|| makes_no_sense(line))?);
    }
    let ask: String = names.iter().map(|name| format!("SELECT COUNT(*) FROM {};\n", ident(name))).collect();
    let answer = client.answer(ask.as_bytes(), monitor)?;
    let counts: Vec<u64> =
        answer.lines().map(|line| line.trim().parse().map_err(|_| makes_no_sense(line))).collect::<Result<_>>()?;
    if counts.len() != names.len() {
        return Err(makes_no_sense("fewer counts than tables"));
    }
    Ok(names.into_iter().zip(counts).collect())
}

fn makes_no_sense(line: &str) -> Error {
    Error::Command { command: "mariadb".into(), why: format!("its answer makes no sense: {}", Shown(line.as_bytes())) }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if digits.len().is_multiple_of(2) { digits.chunks(2).map(pair).collect() } else { None }
}

pub(super) fn list(server: &Server, monitor: &dyn Monitor) -> Result<Vec<String>> {
    let ask = b"SELECT HEX(schema_name) FROM information_schema.schemata WHERE schema_name NOT IN \
        ('information_schema', 'performance_schema', 'mysql', 'sys') ORDER BY schema_name;";
    let answer = asking(server)?.answer(ask, monitor)?;
    let read = |line: &str| unhex(line).and_then(|bytes| String::from_utf8(bytes).ok());
    answer.lines().map(|line| read(line).ok_or_else(|| makes_no_sense(line))).collect()
}

pub(super) fn load(server: &Server, facts: &DumpFacts, contents: Contents<'_>, monitor: &dyn Monitor) -> Result<()> {
    let name = database(server)?;
    let word = |key: &str| {
        let word = facts.properties.get(key).map(String::as_str).unwrap_or_default();
        let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_word.then_some(word)
    };
    let charset = word("charset").map(|it| format!(" CHARACTER SET {it}")).unwrap_or_default();
    let collation = word("collation").map(|it| format!(" COLLATE {it}")).unwrap_or_default();
    let make = format!("CREATE DATABASE IF NOT EXISTS {}{charset}{collation};", ident(name));
    asking(server)?.answer(make.as_bytes(), monitor)?;
    if !count(server, monitor)?.is_empty() {
        return Err(Error::refused(format!(
            "the database {} is there and holds tables: drop it, or restore into one of another name",
            Shown(name.as_bytes())
        )));
    }
    let client = asking(server)?.arg("--max-allowed-packet=1G").arg(name);
    feed(&client, contents, monitor)
}

/// True once a server answers.
pub(super) fn answers(server: &Server, monitor: &dyn Monitor) -> Result<bool> {
    match asking(server)?.answer(b"SELECT 1;", monitor) {
        Ok(_) => Ok(true),
        Err(Error::Command { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
