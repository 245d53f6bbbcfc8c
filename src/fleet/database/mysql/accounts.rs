//! Accounts and roles of a MySQL or MariaDB server, and what they may do: statements that make them again elsewhere, with the passwords
//! as the server keeps them. Neither client dumps them so that they could be loaded into a server that has accounts already.
//!
//! ```text
//! -- account 73686F70 6C6F63616C686F7374           user and host in hexadecimal digits; no host: a role
//! CREATE USER IF NOT EXISTS `shop`@`localhost` IDENTIFIED BY PASSWORD '*4623…';
//! -- grants 73686F70 6C6F63616C686F7374
//! GRANT ALL PRIVILEGES ON `shop`.* TO `shop`@`localhost`;
//! -- Dump of accounts completed
//! ```
//!
//! An account that the other server has is left as it is there, with its password and with what it may do.

use super::{asking, ident, makes_no_sense, unhex};
use crate::{
    error::{Error, Result},
    fleet::database::{
        Contents, Server,
        facts::{DumpFacts, SharedFacts},
    },
    monitor::{Monitor, Silent},
    name::Shown,
    ops::snapshot::Open,
};
use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
};

const END: &str = "-- Dump of accounts completed";
/// Longest dump that is loaded, in bytes.
const DUMP_MAX: usize = 32 << 20;
/// Failures that are told.
const TOLD: usize = 5;
/// So that statements mean the same whatever the server's settings.
const SESSION: &str = "SET SESSION sql_mode = '';\n";
/// Passwords that are no text, as hexadecimal digits: older servers know neither them nor this.
const MYSQL_SESSION: &str = "/*!80017 SET SESSION print_identified_with_as_hex = 1 */;\n";

/// Roles first: accounts are given them. What the server made for itself is its own; `PUBLIC` cannot be made.
const MARIADB_LIST: &str = "SELECT HEX(user), HEX(host), is_role FROM mysql.user \
    WHERE user NOT IN ('mariadb.sys', 'PUBLIC') ORDER BY is_role DESC, user, host;";
const MYSQL_LIST: &str = "SELECT HEX(user), HEX(host), 'N' FROM mysql.user \
    WHERE user NOT LIKE 'mysql.%' ORDER BY authentication_string <> '', user, host;";

/// The dump of a server's accounts.
pub(in crate::fleet::database) struct Accounts {
    pub server: Server,
    pub name: String,
    pub facts: SharedFacts,
}

/// An account or a role.
struct Account {
    /// User and host in hexadecimal digits.
    key: String,
    /// As statements name it.
    name: String,
    is_role: bool,
}

impl Open for Accounts {
    fn command(&self) -> Vec<Vec<u8>> {
        asking(&self.server).map(|client| client.words()).unwrap_or_default()
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.facts.begin(&self.name);
        let (version, text) = dump(&self.server).map_err(|e| {
            io::Error::other(format!(
                "the server's accounts cannot be read (it takes SELECT on mysql.*; roles = false leaves them out): {e}"
            ))
        })?;
        let facts = DumpFacts { engine: "mysql-roles".into(), version, ..DumpFacts::default() };
        self.facts.dumped(&self.name, facts);
        Ok(Box::new(io::Cursor::new(text.into_bytes())))
    }
}

/// The server's version, and the statements.
fn dump(server: &Server) -> Result<(String, String)> {
    let version = version(server, &Silent)?;
    let (accounts, session) = (list(server, &version, &Silent)?, session(&version));
    let mut ask = session.clone();
    for account in accounts.iter().filter(|account| !account.is_role) {
        ask += &format!("SHOW CREATE USER {};\n", account.name);
    }
    let answer = asking(server)?.answer(ask.as_bytes(), &Silent)?;
    let mut made = answer.lines();
    let mut out = format!("-- Accounts of a server of version {}\n", Shown(version.as_bytes()));
    for account in &accounts {
        let line = match account.is_role {
            true => format!("CREATE ROLE IF NOT EXISTS {}", account.name),
            false => {
                let line =
                    made.next().map(unescape).ok_or_else(|| makes_no_sense("fewer accounts than were listed"))?;
                let rest = line.strip_prefix("CREATE USER ").ok_or_else(|| makes_no_sense("no CREATE USER"))?;
                format!("CREATE USER IF NOT EXISTS {rest}")
            }
        };
        out += &format!("-- account {}\n{}\n", account.key, statement(&line)?);
    }
    let mut ask = session;
    for account in &accounts {
        ask += &format!("SELECT '-- grants {}';\nSHOW GRANTS FOR {};\n", account.key, account.name);
    }
    let answer = asking(server)?.answer(ask.as_bytes(), &Silent)?;
    let mut of = accounts.iter();
    let mut current = None;
    for line in answer.lines().map(unescape) {
        if line.starts_with("-- grants ") {
            current = of.next();
            out += &format!("{line}\n");
            continue;
        }
        // With a role those of the roles are shown that it was given.
        let is_own = current.is_some_and(|account| !account.is_role || line.contains(&format!(" TO {}", account.name)));
        if is_own {
            out += &format!("{}\n", statement(without_password(&line).as_str())?);
        }
    }
    out += &format!("{END}\n");
    Ok((version, out))
}

fn version(server: &Server, monitor: &dyn Monitor) -> Result<String> {
    Ok(asking(server)?.answer(b"SELECT VERSION();", monitor)?.trim_end().to_owned())
}

fn is_mariadb(version: &str) -> bool {
    version.contains("MariaDB")
}

fn session(version: &str) -> String {
    if is_mariadb(version) { SESSION.to_owned() } else { format!("{SESSION}{MYSQL_SESSION}") }
}

fn list(server: &Server, version: &str, monitor: &dyn Monitor) -> Result<Vec<Account>> {
    let ask = if is_mariadb(version) { MARIADB_LIST } else { MYSQL_LIST };
    let text = |hex: &str| unhex(hex).and_then(|bytes| String::from_utf8(bytes).ok());
    let read = |line: &str| {
        let [user, host, role] = <[&str; 3]>::try_from(line.split('\t').collect::<Vec<_>>()).ok()?;
        let is_role = role == "Y";
        let name = match is_role {
            true => ident(&text(user)?),
            false => format!("{}@{}", ident(&text(user)?), ident(&text(host)?)),
        };
        Some(Account { key: format!("{user} {host}"), name, is_role })
    };
    let answer = asking(server)?.answer(ask.as_bytes(), monitor)?;
    answer.lines().map(|line| read(line).ok_or_else(|| makes_no_sense(line))).collect()
}

/// A line of the client's answer as the server gave it.
fn unescape(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('0') => out.push('\0'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

/// A statement on a line of its own.
fn statement(text: &str) -> Result<String> {
    match text.contains(char::is_control) {
        // Not what it says: it may hold a password.
        true => {
            Err(Error::refused("an account has signs that cannot be dumped: `roles = false` leaves all of them out"))
        }
        false => Ok(format!("{text};")),
    }
}

/// What the server says, without what a syntax error repeats of the statement, which may be a password.
fn reason(why: &str) -> &str {
    let error = why.rfind("ERROR ").and_then(|at| why.get(at..)).and_then(|rest| rest.lines().next());
    error.map_or("it failed", |line| line.split(" near '").next().unwrap_or(line))
}

/// Where `words` stand outside of all quotes.
fn find_unquoted(text: &str, words: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('\'') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '`' | '"') => quote = Some(c),
            None if text.get(at..).is_some_and(|rest| rest.starts_with(words)) => return Some(at),
            None => {}
        }
    }
    None
}

/// A GRANT without what proves who the account is, which was said when it was made.
fn without_password(line: &str) -> String {
    let Some(at) = find_unquoted(line, " IDENTIFIED ") else { return line.to_owned() };
    let (head, rest) = line.split_at(at);
    let passes_on = find_unquoted(rest, " GRANT OPTION").is_some();
    format!("{head}{}", if passes_on { " WITH GRANT OPTION" } else { "" })
}

/// Takes what is written, up to a length.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > DUMP_MAX {
            return Err(io::Error::other("the dump of accounts is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The statements of a dump for accounts that are not there, and the names of those that are.
fn statements<'a>(text: &'a str, there: &BTreeSet<&str>) -> (Vec<&'a str>, BTreeSet<&'a str>) {
    let (mut statements, mut left) = (Vec::new(), BTreeSet::new());
    let mut skips = false;
    for line in text.lines() {
        let key = line.strip_prefix("-- account ").or_else(|| line.strip_prefix("-- grants "));
        if let Some(key) = key {
            skips = there.contains(key);
            left.extend(skips.then_some(key));
        } else if !skips && !line.starts_with("--") && !line.trim().is_empty() {
            statements.push(line);
        }
    }
    (statements, left)
}

/// Makes the accounts that are not there. What fails is told when all else was done.
pub(in crate::fleet::database) fn load(server: &Server, contents: Contents<'_>, monitor: &dyn Monitor) -> Result<()> {
    let mut dump = Bounded(Vec::new());
    contents(&mut dump)?;
    let failed = |why: String| Error::Command { command: "mariadb".into(), why };
    let text = String::from_utf8(dump.0).map_err(|_| failed("the dump of accounts is not UTF-8".into()))?;
    let known = list(server, &version(server, monitor)?, monitor)?;
    let there = known.iter().map(|account| account.key.as_str()).collect();
    let (statements, left) = statements(&text, &there);
    if !left.is_empty() {
        let names = known.iter().filter(|account| left.contains(account.key.as_str()));
        let names: Vec<String> = names.map(|account| Shown(account.name.as_bytes()).to_string()).collect();
        monitor.note(&format!("accounts that are there already were left as they are: {}", names.join(", ")));
    }
    let client = asking(server)?;
    let all = format!("{SESSION}{}\n", statements.join("\n"));
    let mut wrong = Vec::new();
    if let Err(error) = client.answer(all.as_bytes(), monitor) {
        let Error::Command { .. } = error else { return Err(error) };
        // One may have failed for itself: a plugin or a table that is not here. Each means the same when it is said twice.
        for line in &statements {
            match client.answer(format!("{SESSION}{line}\n").as_bytes(), monitor) {
                Ok(_) => {}
                // The client says the whole statement again, which may hold a password.
                Err(Error::Command { why, .. }) => {
                    wrong.push(reason(&why).to_owned());
                }
                Err(error) => return Err(error),
            }
        }
    }
    if !text.trim_end().ends_with(END) {
        wrong.insert(0, format!("the dump was cut short: it does not end with \"{END}\""));
    }
    match wrong.len() {
        0 => Ok(()),
        count => {
            wrong.truncate(TOLD);
            let more = count.saturating_sub(TOLD);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            Err(failed(format!("not all accounts could be made: {}{more}", wrong.join("; "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_said_once() {
        for (line, want) in [
            ("GRANT USAGE ON *.* TO `a`@`b` IDENTIFIED BY PASSWORD '*X' REQUIRE SSL", "GRANT USAGE ON *.* TO `a`@`b`"),
            (
                "GRANT RELOAD ON *.* TO `a`@`b` IDENTIFIED VIA x USING 'a\\' GRANT OPTION' OR y WITH GRANT OPTION MAX_X 1",
                "GRANT RELOAD ON *.* TO `a`@`b` WITH GRANT OPTION",
            ),
            ("GRANT USAGE ON *.* TO `a IDENTIFIED ``b`@`c`", "GRANT USAGE ON *.* TO `a IDENTIFIED ``b`@`c`"),
            ("GRANT USAGE ON *.* TO `a`@`b` IDENTIFIED BY PASSWORD ' GRANT OPTION'", "GRANT USAGE ON *.* TO `a`@`b`"),
        ] {
            assert_eq!(without_password(line), want);
        }
    }

    #[test]
    fn failures_do_not_repeat_statements() {
        assert_eq!(
            reason("client: ERROR 1524 (HY000) at line 2: Plugin 'x' is not loaded"),
            "ERROR 1524 (HY000) at line 2: Plugin 'x' is not loaded"
        );
        assert_eq!(
            reason("IDENTIFIED '*46'\nERROR 1064 (42000) at line 2: check near '*46' at line 1"),
            "ERROR 1064 (42000) at line 2: check"
        );
        assert_eq!(reason("it broke"), "it failed");
    }

    #[test]
    fn answers_are_read_as_they_were_given() {
        assert_eq!(unescape(r"a\\b\tc\nd\0"), "a\\b\tc\nd\0");
        assert!(statement("GRANT USAGE ON *.* TO `a\nb`").is_err());
    }

    #[test]
    fn accounts_that_are_there_are_left_alone() {
        let text = "-- x\n-- account 61 62\nCREATE A;\n-- account 63 \nCREATE C;\n-- grants 61 62\nGRANT A;\n-- grants 63 \nGRANT C;\n-- end\n";
        let (todo, left) = statements(text, &["61 62", "99 99"].into());
        assert_eq!((todo, left), (vec!["CREATE C;", "GRANT C;"], ["61 62"].into()));
    }
}
