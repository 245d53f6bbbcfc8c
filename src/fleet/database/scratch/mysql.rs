//! A MariaDB or MySQL server to throw away.

use super::{Place, Scratch, Server, place, program};
use crate::{
    error::Result,
    fleet::database::{client::Client, mysql},
    monitor::Monitor,
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

fn of(names: &[&str]) -> Vec<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/libexec", "/usr/local/bin", "/usr/local/mysql/bin"];
    names.iter().flat_map(|name| folders.iter().map(move |folder| Path::new(folder).join(name))).collect()
}

fn option(name: &str, value: &Path) -> OsString {
    let mut option = OsString::from(format!("--{name}="));
    option.push(value);
    option
}

pub(super) fn start(within: &Path, monitor: &dyn Monitor) -> Result<Scratch> {
    let daemon = program(&of(&["mariadbd", "mysqld"]), "MariaDB or MySQL")?;
    let install = program(&of(&["mariadb-install-db", "mysql_install_db"]), "");
    let place: Place = place(within, "my")?;
    let data = place.folder.join("data");
    let is_mariadb = install.is_ok();
    let client = match install {
        Ok(install) => Client::new(install)
            .arg("--no-defaults")
            .arg(option("datadir", &data))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"]),
        // MySQL's own server does it itself.
        Err(_) => Client::new(&daemon).args(["--no-defaults", "--initialize-insecure"]).arg(option("datadir", &data)),
    };
    place.prepare(client, monitor)?;
    let socket = place.folder.join("s");
    let mut command: Vec<OsString> = vec![daemon.into(), "--no-defaults".into()];
    command.extend([
        option("datadir", &data),
        option("socket", &socket),
        option("pid-file", &place.folder.join("pid")),
        option("tmpdir", &place.folder),
    ]);
    if is_mariadb {
        // What accounts may prove themselves by; where it is not installed, the server goes on without it.
        command.push("--plugin-load-add=auth_ed25519".into());
    }
    // What is thrown away need not survive a power cut.
    command.extend(
        [
            "--skip-networking",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--max-allowed-packet=1G",
        ]
        .map(OsString::from),
    );
    let server =
        Server { host: Some(socket.to_string_lossy().into_owned()), user: Some("root".into()), ..Server::default() };
    Scratch::run(place, "KILL", command, server, monitor, |server| mysql::answers(server, monitor))
}
