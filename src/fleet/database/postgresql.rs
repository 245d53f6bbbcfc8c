//! PostgreSQL, by `pg_dump`, `pg_dumpall` and `psql`.
//!
//! A session of `psql` begins a transaction, exports its snapshot, which `pg_dump` then dumps, and counts the rows of each table in
//! it: so the numbers are those of the dump, whatever is written meanwhile.

use super::{
    Contents, Server,
    client::{Client, Look, Output, Running, Tail, feed},
    credential::{Given, given},
    facts::{DumpFacts, SharedFacts},
    restricted::Restricted,
};
use crate::{
    error::{Error, Result},
    id::hex,
    monitor::{Monitor, Silent},
    name::Shown,
    ops::snapshot::Open,
    world::{KernelEntropy, random},
};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

/// A fixed key in the place of a random one, so that dumps of the same data are the same bytes.
const RESTRICT_KEY: &str = "--restrict-key=vault";

/// Begins the transaction that all is read in.
const BEGIN: &str = "\
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET row_security = off;
SELECT pg_catalog.pg_export_snapshot();
SELECT pg_catalog.json_build_object('version', pg_catalog.current_setting('server_version'),
  'encoding', pg_catalog.pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype)
  FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database();
";

/// Counts what `pg_dump` dumps the rows of: tables, but neither those of extensions nor foreign ones. `ONLY`: a table's children are
/// tables of their own.
const COUNT: &str = r"
SELECT pg_catalog.format('SELECT pg_catalog.json_build_array(%L, pg_catalog.count(*)) FROM ONLY %I.%I',
    pg_catalog.format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
  ORDER BY 1
\gexec
";

/// A database's dump.
pub(super) struct Dump {
    pub server: Server,
    pub name: String,
    pub facts: SharedFacts,
}

/// The dump of a server's roles.
pub(super) struct Roles {
    pub server: Server,
    pub name: String,
    pub facts: SharedFacts,
}

/// A client that finds its server by its environment.
fn client(program: &str, server: &Server) -> Result<Client> {
    let mut client = Client::new(program).env("PGAPPNAME", "vault").env("PGCONNECT_TIMEOUT", "30");
    if !server.database.is_empty() {
        client = client.env("PGDATABASE", &server.database);
    }
    for (name, value) in [("PGHOST", &server.host), ("PGUSER", &server.user)] {
        if let Some(value) = value {
            client = client.env(name, value);
        }
    }
    if let Some(port) = server.port {
        client = client.env("PGPORT", port.to_string());
    }
    // host:port:database:user:password
    let is_own = |text: &str| text.lines().any(|line| !line.starts_with('#') && line.matches(':').count() >= 4);
    match server.credential.as_ref().map(|credential| given(credential, is_own)).transpose()? {
        Some(Given::File(path)) => client = client.env("PGPASSFILE", path),
        Some(Given::Password(password)) => client = client.env("PGPASSWORD", password.as_str()),
        None => {}
    }
    client.run_as(effective_user(server))
}

/// Where nothing says who connects, and how, the server most probably trusts the system's users, and the user of its own name may
/// read all.
fn effective_user(server: &Server) -> Option<&str> {
    let unsaid = server.host.is_none() && server.user.is_none() && server.credential.is_none();
    match &server.run_as {
        Some(user) => Some(user),
        None if unsaid && rustix::process::geteuid().is_root() => Some("postgres"),
        None => None,
    }
}

fn psql(server: &Server) -> Result<Client> {
    let quiet = ["-X", "-q", "-A", "-t", "--no-password", "-v", "ON_ERROR_STOP=1"];
    Ok(client("psql", server)?.args(quiet).env("PGOPTIONS", "-c client_min_messages=warning"))
}

/// The program, told to print the same bytes for the same data, where it knows how.
fn repeatable(program: &str, server: &Server) -> Result<Client> {
    let client = client(program, server)?.arg("--no-password");
    Ok(if knows_restriction(program)? { client.arg(RESTRICT_KEY) } else { client })
}

/// True for the programs of a version that has the restricted mode.
fn knows_restriction(program: &str) -> Result<bool> {
    Ok(Client::new(program).arg("--help").answer(b"", &Silent)?.contains("--restrict-key"))
}

fn dumper(server: &Server) -> Result<Client> {
    // Table spaces belong to a machine: what is restored elsewhere goes to the default one.
    Ok(repeatable("pg_dump", server)?.args(["--format=plain", "--no-tablespaces"]))
}

fn as_io(error: Error) -> io::Error {
    io::Error::other(error.to_string())
}

/// Reads `["public.orders", 12]`, one a line.
fn counts(text: &str) -> Result<BTreeMap<String, u64>> {
    let read = |line: &str| serde_json::from_str::<(String, u64)>(line);
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(|e| Error::Command { command: "psql".into(), why: format!("its answer makes no sense: {e}") })
}

impl Open for Dump {
    fn command(&self) -> Vec<Vec<u8>> {
        let mut words = dumper(&self.server).map(|client| client.words()).unwrap_or_default();
        words.push(self.server.database.as_bytes().to_vec());
        words
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.facts.begin(&self.name);
        let mut session = psql(&self.server).map_err(as_io)?.start(true)?;
        let mut input = session.input.take().ok_or_else(|| io::Error::other("psql takes no input"))?;
        // That it has gone already shows when it is read.
        let _ = input.write_all(BEGIN.as_bytes());
        let snapshot = session.line()?;
        if snapshot.is_empty() || !snapshot.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(io::Error::other("psql: the server exported no snapshot"));
        }
        let mut properties: BTreeMap<String, String> =
            serde_json::from_str(&session.line()?).map_err(io::Error::other)?;
        let _ = input.write_all(COUNT.as_bytes());
        let dump = dumper(&self.server).map_err(as_io)?.arg(format!("--snapshot={snapshot}")).start(false)?;
        let facts = DumpFacts {
            engine: "postgresql".into(),
            database: self.server.database.clone(),
            version: properties.remove("version").unwrap_or_default(),
            properties,
            rows: BTreeMap::new(),
        };
        let counting = Counting { input: Some(input), session, answer: Vec::new() };
        let look =
            Beside { tail: Tail::default(), counting, facts, name: self.name.clone(), shared: self.facts.clone() };
        Ok(Box::new(Output::new(dump, look)))
    }
}

/// A session that counts while the dump is written. The transaction lasts until the dump has ended: nobody knows when `pg_dump` has
/// taken its snapshot over.
struct Counting {
    input: Option<std::process::ChildStdin>,
    session: Running,
    answer: Vec<u8>,
}

impl Counting {
    /// What it counted; `Interrupted` when it is not ready.
    fn end(&mut self) -> io::Result<BTreeMap<String, u64>> {
        self.input = None;
        let mut room = [0; 4096];
        loop {
            let read = self.session.read(&mut room)?;
            if read == 0 {
                break;
            }
            self.answer.extend_from_slice(room.get(..read).unwrap_or_default());
            if self.answer.len() as u64 > super::facts::FACTS_MAX {
                return Err(io::Error::other("there are too many tables to count"));
            }
        }
        match self.session.ended()? {
            None => Err(io::ErrorKind::Interrupted.into()),
            Some(Err(why)) => Err(io::Error::other(format!("the rows could not be counted: {why}"))),
            Some(Ok(())) => {
                let text = std::str::from_utf8(&self.answer).map_err(io::Error::other)?;
                counts(text).map_err(as_io)
            }
        }
    }
}

struct Beside {
    tail: Tail,
    counting: Counting,
    facts: DumpFacts,
    name: String,
    shared: SharedFacts,
}

impl Look for Beside {
    fn see(&mut self, bytes: &[u8]) {
        self.tail.see(bytes);
    }

    fn last(&mut self) -> io::Result<()> {
        self.tail.expect("-- PostgreSQL database dump complete")?;
        self.facts.rows = self.counting.end()?;
        self.shared.dumped(&self.name, self.facts.clone());
        Ok(())
    }

    fn failed(&mut self, why: String) -> String {
        // Without the session that counts, its snapshot has gone, which is all that the dumper knows.
        match self.counting.session.ended() {
            Ok(Some(Err(counting))) => format!("{counting}; {why}"),
            _ => why,
        }
    }
}

impl Open for Roles {
    fn command(&self) -> Vec<Vec<u8>> {
        repeatable("pg_dumpall", &self.server).map(|client| client.words()).unwrap_or_default()
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.facts.begin(&self.name);
        // Only a superuser may read the passwords.
        let asked = psql(&self.server).and_then(|client| {
            client.answer(b"SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user;", &Silent)
        });
        let may = asked.map_err(as_io)?.trim() == "t";
        let mut client = repeatable("pg_dumpall", &self.server).map_err(as_io)?;
        client = client.args(["--globals-only", "--no-tablespaces"]);
        if !self.server.database.is_empty() {
            client = client.arg(format!("--database={}", connection(&self.server.database)));
        }
        if !may {
            client = client.arg("--no-role-passwords");
        }
        let facts = DumpFacts { engine: "postgresql-roles".into(), ..DumpFacts::default() };
        let look = RolesLook { tail: Tail::default(), facts, name: self.name.clone(), shared: self.facts.clone() };
        Ok(Box::new(Output::new(client.start(false)?, look)))
    }
}

/// A database's name where a connection string may stand, which a name may look like.
fn connection(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', r"\\").replace('\'', r"\'"))
}

struct RolesLook {
    tail: Tail,
    facts: DumpFacts,
    name: String,
    shared: SharedFacts,
}

impl Look for RolesLook {
    fn see(&mut self, bytes: &[u8]) {
        self.tail.see(bytes);
    }

    fn last(&mut self) -> io::Result<()> {
        self.tail.expect("-- PostgreSQL database cluster dump complete")?;
        self.shared.dumped(&self.name, self.facts.clone());
        Ok(())
    }
}

/// A word as SQL has names, and as it has texts.
fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    // Twice the backslash, so that it counts once whatever the server's settings.
    format!("E'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

/// The server's own database, which is there when ours is not yet.
fn maintenance(server: &Server) -> Server {
    Server { database: "postgres".into(), ..server.clone() }
}

pub(super) fn count(server: &Server, monitor: &dyn Monitor) -> Result<BTreeMap<String, u64>> {
    counts(&psql(server)?.answer(COUNT.as_bytes(), monitor)?)
}

pub(super) fn list(server: &Server, monitor: &dyn Monitor) -> Result<Vec<String>> {
    let ask = b"SELECT pg_catalog.to_json(datname::text) FROM pg_catalog.pg_database \
        WHERE datallowconn AND NOT datistemplate ORDER BY datname;";
    let at = if server.database.is_empty() { maintenance(server) } else { server.clone() };
    let answer = psql(&at)?.answer(ask, monitor)?;
    let read = |line| serde_json::from_str(line);
    let names: Result<Vec<String>, _> = answer.lines().map(read).collect();
    names.map_err(|e| Error::Command { command: "psql".into(), why: format!("its answer makes no sense: {e}") })
}

pub(super) fn load(server: &Server, facts: &DumpFacts, contents: Contents<'_>, monitor: &dyn Monitor) -> Result<()> {
    make_empty(server, facts, monitor)?;
    feed_restricted(&psql(server)?, contents, monitor)
}

/// Feeds a dump to `psql` in its restricted mode, where it has one.
fn feed_restricted(client: &Client, contents: Contents<'_>, monitor: &dyn Monitor) -> Result<()> {
    if !knows_restriction("pg_dump")? {
        monitor.note("this psql is too old for its restricted mode: a dump that was made up could run commands");
        return feed(client, contents, monitor);
    }
    let key = hex(&random::<16>(&KernelEntropy)?);
    let failed = |source| Error::Target { path: client.name(), source };
    let mut within = |out: &mut dyn Write| {
        let mut restricted = Restricted::begin(out, &key).map_err(failed)?;
        contents(&mut restricted)?;
        restricted.end(&key).map_err(failed)
    };
    feed(client, &mut within, monitor)
}

/// Makes the database as it was: with its encoding, and its collation where this system has it.
fn make_empty(server: &Server, facts: &DumpFacts, monitor: &dyn Monitor) -> Result<()> {
    let shown = Shown(server.database.as_bytes());
    let ask = format!("SELECT 1 FROM pg_catalog.pg_database WHERE datname = {};", literal(&server.database));
    let at = psql(&maintenance(server))?;
    if at.answer(ask.as_bytes(), monitor)?.trim() == "1" {
        return match count(server, monitor)?.is_empty() {
            true => Ok(()),
            false => Err(Error::refused(format!(
                "the database {shown} is there and holds tables: drop it, or restore into one of another name"
            ))),
        };
    }
    let property = |name: &str| facts.properties.get(name).map(String::as_str);
    let plain = format!("CREATE DATABASE {} TEMPLATE template0", ident(&server.database));
    let encoding = property("encoding").map(|it| format!(" ENCODING {}", literal(it))).unwrap_or_default();
    if let (Some(collate), Some(ctype)) = (property("collate"), property("ctype")) {
        let sql = format!("{plain}{encoding} LC_COLLATE {} LC_CTYPE {};", literal(collate), literal(ctype));
        match at.answer(sql.as_bytes(), monitor) {
            Ok(_) => return Ok(()),
            Err(Error::Command { why, .. }) => monitor.note(&format!(
                "the database {shown} cannot be made with the collation {}, \"C\" is taken: {why}",
                Shown(collate.as_bytes())
            )),
            Err(error) => return Err(error),
        }
    }
    let sql = format!("{plain}{encoding} LC_COLLATE 'C' LC_CTYPE 'C';");
    at.answer(sql.as_bytes(), monitor).map(|_| ())
}

/// Makes the roles that are not there yet; what is said of those that are there is said again.
pub(super) fn load_roles(server: &Server, contents: Contents<'_>, monitor: &dyn Monitor) -> Result<()> {
    // One after another, since "already exists" stops nothing: what else fails shows when what needs the role is loaded.
    let client = psql(&maintenance(server))?.args(["-v", "ON_ERROR_STOP=0"]);
    feed_restricted(&client, contents, monitor)
}

/// True once a server answers.
pub(super) fn answers(server: &Server, monitor: &dyn Monitor) -> Result<bool> {
    match psql(&maintenance(server))?.answer(b"SELECT 1;", monitor) {
        Ok(_) => Ok(true),
        Err(Error::Command { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal(r"a'b\c"), r"E'a''b\\c'");
        assert_eq!(connection("a'b=c"), r"dbname='a\'b=c'");
    }

    #[test]
    fn counts_are_read() {
        let found = counts("[\"public.a\", 3]\n[\"public.\\\"x y\\\"\", 0]\n").unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("public.\"x y\"".into(), 0), ("public.a".into(), 3)]);
        assert!(counts("nonsense").is_err());
    }

    #[test]
    fn passwords_are_no_arguments() {
        let server = Server {
            database: "shop".into(),
            credential: Some(super::super::credential::Credential::password("geheim")),
            ..Server::default()
        };
        let words = client("psql", &server).unwrap().words();
        assert!(!words.iter().any(|word| String::from_utf8_lossy(word).contains("geheim")));
    }
}
