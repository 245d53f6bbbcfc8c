//! A PostgreSQL server to throw away.

use super::{Place, Scratch, Server, place, program};
use crate::{
    error::Result,
    fleet::database::{client::Client, postgresql},
    monitor::Monitor,
};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// No role of a dump is called so: it makes all its roles itself.
const SUPERUSER: &str = "vault_scratch";

/// Folders of installed versions, the newest first.
fn folders() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (above, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        for entry in fs::read_dir(above).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix(prefix).and_then(|text| text.split('.').next()?.parse().ok());
            found.extend(version.map(|version| (version, entry.path().join("bin"))));
        }
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let usual = ["/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from);
    found.into_iter().map(|(_, folder)| folder).chain(usual).collect()
}

pub(super) fn start(within: &Path, monitor: &dyn Monitor) -> Result<Scratch> {
    let of = |name: &str| folders().into_iter().map(|folder| folder.join(name)).collect::<Vec<_>>();
    let initdb = program(&of("initdb"), "PostgreSQL (initdb)")?;
    let postgres = initdb.with_file_name("postgres");
    let place: Place = place(within, "pg")?;
    let data = place.folder.join("data");
    let client = Client::new(initdb).arg("-D").arg(&data);
    let client = client.args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    place.prepare(client, monitor)?;
    let mut sockets = OsString::from("unix_socket_directories=");
    sockets.push(&place.folder);
    let mut command: Vec<OsString> = vec![postgres.into(), "-D".into(), data.into(), "-c".into(), sockets];
    // What is thrown away need not survive a power cut.
    for setting in [
        "listen_addresses=",
        "fsync=off",
        "full_page_writes=off",
        "synchronous_commit=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        "archive_mode=off",
        "autovacuum=off",
        "logging_collector=off",
    ] {
        command.extend(["-c".into(), setting.into()]);
    }
    let server = Server {
        host: Some(place.folder.to_string_lossy().into_owned()),
        user: Some(SUPERUSER.into()),
        ..Server::default()
    };
    Scratch::run(place, "QUIT", command, server, monitor, |server| postgresql::answers(server, monitor))
}
