//! Databases as Java programs name them: `jdbc:postgresql://host:5432/name?…`.

use crate::fleet::database::{Engine, Server, credential::Credential};

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jdbc {
    /// It can be dumped.
    Engine(Engine),
    /// It lies in the program's own folder, and is read with it.
    Embedded,
    /// It cannot be dumped; the kind, as the URL says it.
    Unknown(String),
}

/// Reads a URL, with who connects.
pub fn read(url: &str, user: Option<&str>, password: Option<&str>) -> Jdbc {
    let rest = url.trim().strip_prefix("jdbc:").unwrap_or(url);
    let (kind, place) = rest.split_once(':').unwrap_or((rest, ""));
    if matches!(kind, "h2" | "derby") {
        return Jdbc::Embedded;
    }
    let Some(place) = place.strip_prefix("//").filter(|_| matches!(kind, "postgresql" | "mysql" | "mariadb")) else {
        return Jdbc::Unknown(kind.to_owned());
    };
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let (name, query) = path.split_once(['?', ';']).unwrap_or((path, ""));
    // Of several hosts the first.
    let host = host.split(',').next().unwrap_or_default();
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
        _ => (host, None),
    };
    let said = |key: &str| {
        let pairs = query.split(['&', ';']).filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).next()
    };
    let server = Server {
        database: name.to_owned(),
        host: Some(host.to_owned()).filter(|host| !host.is_empty()),
        port,
        user: user.map(str::to_owned).or_else(|| said("user")),
        credential: password.map(str::to_owned).or_else(|| said("password")).map(Credential::password),
        run_as: None,
    };
    Jdbc::Engine(if kind == "postgresql" { Engine::Postgresql(server) } else { Engine::Mysql(server) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_databases() {
        let server = Server {
            database: "apim".into(),
            host: Some("db.example.org".into()),
            port: Some(3307),
            user: Some("wso2".into()),
            credential: Some(Credential::password("x")),
            run_as: None,
        };
        let url = "jdbc:mysql://db.example.org:3307/apim?useSSL=false&autoReconnect=true";
        assert_eq!(read(url, Some("wso2"), Some("x")), Jdbc::Engine(Engine::Mysql(server)));
        let Jdbc::Engine(Engine::Postgresql(server)) = read("jdbc:postgresql://h/d?user=u", None, None) else {
            panic!()
        };
        assert_eq!((server.database.as_str(), server.user.as_deref(), server.port), ("d", Some("u"), None));
        assert_eq!(read("jdbc:h2:./repository/database/WSO2CARBON_DB;X=1", None, None), Jdbc::Embedded);
        assert_eq!(read("jdbc:oracle:thin:@h:1521/x", None, None), Jdbc::Unknown("oracle".into()));
    }
}
