//! Where databases are loaded into.

use crate::{
    error::{Error, Result},
    fleet::database::{Server, facts::DumpFacts},
    monitor::Monitor,
    name::Shown,
};

/// Finds a server for a dump.
pub trait Place {
    /// The server with the database that a dump is to be loaded into; `None` when there is none for its kind.
    fn server(&mut self, facts: &DumpFacts, monitor: &dyn Monitor) -> Result<Option<Server>>;
}

/// Servers that the user names, each for its kind.
impl Place for Vec<(String, Server)> {
    fn server(&mut self, facts: &DumpFacts, _: &dyn Monitor) -> Result<Option<Server>> {
        let kind = facts.engine.strip_suffix("-roles").unwrap_or(&facts.engine);
        let found = self.iter().find(|(engine, _)| engine == kind);
        Ok(found.map(|(_, server)| {
            let database = if server.database.is_empty() { facts.database.clone() } else { server.database.clone() };
            Server { database, ..server.clone() }
        }))
    }
}

/// Reads `postgresql://USER@HOST:PORT/DATABASE` or `mysql:///run/mysqld/mysqld.sock`: the kind, and the server. Without a database
/// each gets the name that it had.
pub fn parse_server(text: &str) -> Result<(String, Server)> {
    let wrong = || {
        Error::usage(format!(
            "\"{}\" is no server: write postgresql://USER@HOST:PORT, mysql:///SOCKET, postgresql:///FOLDER-OF-SOCKET",
            Shown(text.as_bytes())
        ))
    };
    let (kind, rest) = text.split_once("://").ok_or_else(wrong)?;
    let kind = match kind {
        "postgresql" | "postgres" => "postgresql",
        "mysql" | "mariadb" => "mysql",
        _ => return Err(wrong()),
    };
    let mut server = Server::default();
    let rest = match rest.split_once('@') {
        Some((who, rest)) if who.contains(':') || who.is_empty() => {
            let _ = rest;
            return Err(Error::usage("a password does not belong into arguments: give --database-credential FILE"));
        }
        Some((who, rest)) => {
            server.user = Some(who.to_owned());
            rest
        }
        None => rest,
    };
    if rest.starts_with('/') {
        server.host = Some(rest.to_owned()).filter(|host| host != "/");
        return Ok((kind.into(), server));
    }
    let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
        None => (place, None),
    };
    server.host = Some(host.to_owned()).filter(|host| !host.is_empty());
    server.port = port;
    server.database = database.to_owned();
    Ok((kind.into(), server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        let (kind, server) = parse_server("postgresql://admin@db:5433/shop2").unwrap();
        let shown =
            (kind.as_str(), server.user.as_deref(), server.host.as_deref(), server.port, server.database.as_str());
        assert_eq!(shown, ("postgresql", Some("admin"), Some("db"), Some(5433), "shop2"));
        let (kind, server) = parse_server("mysql://root@/run/mysqld/mysqld.sock").unwrap();
        assert_eq!((kind.as_str(), server.host.as_deref()), ("mysql", Some("/run/mysqld/mysqld.sock")));
        assert_eq!(parse_server("postgresql://").unwrap().1, Server::default());
        for bad in ["db", "oracle://x", "postgresql://h:x", "mysql://u:p@h"] {
            assert!(parse_server(bad).is_err(), "{bad}");
        }
    }
}
