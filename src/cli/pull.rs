//! `vault pull`

use super::{
    args::size,
    copy::{print_replica, replica_json, slowed},
    exit::{Done, Failure, Outcome},
    human,
    session::Session,
};
use crate::{
    error::{Error, Result},
    name::Shown,
    ops::pull::{self as op, Report},
    store::{
        ObjectName, SharedStore,
        memory::MemoryStore,
        open::{self as stores, Place},
    },
};
use clap::ValueHint;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

const EXAMPLES: &str = "\
Examples:
  vault pull alpha --from ssh://backup@alpha.example.org/srv/backup/local --partition /mnt/backup
  vault pull alpha --from /net/alpha/backup/local --partition /mnt/backup    from a file system that is mounted
  vault pull alpha … --ssh 'ssh -i /root/.ssh/pull' --bandwidth 20M

The other server's repository comes whole into PARTITION/remote/SERVER, whatever is in it; no key is needed, here or there. There,
vault must be installed; `vault serve --help` says how to let a key do this and nothing else. Nothing is ever removed from the copy.
What is interrupted goes on where it was. When the other server hides a snapshot that it has shown before, and no tombstone says that
it was forgotten, what is new is pulled all the same, and the exit code is 14: look there at once. --accept-rollback ends that.";

/// Bring another server's repository here, without its keys
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What the copy is called: the other server's name
    #[arg(value_name = "SERVER")]
    server: String,
    /// The repository that is pulled: ssh://[USER@]HOST[:PORT]/PATH, or a folder
    #[arg(long, value_name = "REPO", value_hint = ValueHint::DirPath)]
    from: OsString,
    /// The folder whose remote/SERVER the copy is; it must be there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    partition: PathBuf,
    /// Write so many bytes a second at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bandwidth: Option<u64>,
    /// Change nothing, tell what would be pulled
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Objects at once [default: by the kind of the place]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

/// Where the copy of a server is.
fn target(partition: &Path, server: &str) -> Result<PathBuf> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if server.is_empty() || server.starts_with(['.', '-']) || !server.bytes().all(plain) {
        let server = Shown(server.as_bytes());
        return Err(Error::usage(format!("\"{server}\" is no server's name: letters, digits, dots and dashes")));
    }
    if !partition.is_dir() {
        let partition = Shown(partition.as_os_str().as_encoded_bytes());
        return Err(Error::Absent { what: format!("{partition} is not there: is the partition mounted?") });
    }
    Ok(partition.join("remote").join(server))
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let begun = Instant::now();
    let to = Place::Local(target(&args.partition, &args.server)?);
    let from = session.place_at(&args.from)?;
    let (source, threads) = match &from {
        Place::Local(_) => (stores::open_untouched(&from)?, args.threads),
        Place::Ssh(_) if args.threads == 0 => (session.open_store(&from)?, op::THREADS_FAR),
        Place::Ssh(_) => (session.open_store(&from)?, args.threads),
    };
    let store: SharedStore = match stores::gathering(&to, !args.dry_run) {
        // Nothing is made for a dry run.
        Err(Error::NoRepository { .. }) if args.dry_run => Arc::new(MemoryStore::new()),
        store => store?,
    };
    let store = slowed(store, args.bandwidth, session);
    let state = session.state_of(&to);
    let request = op::Request {
        from: &*source,
        to: &*store,
        state: state.as_deref(),
        accept: session.global.accept_rollback,
        dry_run: args.dry_run,
        threads,
    };
    let progress = session.progress();
    let report = op::pull(&request, progress.monitor());
    drop(progress);
    let report = report?;
    let took = begun.elapsed();
    session.print_result(|| print_replica(args.dry_run, &to, &report.copy, took));
    if report.is_rolled_back() {
        session.screen.error(&told(&args.server, &report));
    }
    let mut result = replica_json(args.dry_run, &report.copy, took);
    if let Value::Object(result) = &mut result {
        let names = |names: &BTreeSet<ObjectName>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        result.extend([
            ("mode".to_owned(), json!("pull")),
            ("server".to_owned(), json!(args.server)),
            ("from".to_owned(), json!(from.to_string())),
            ("to".to_owned(), json!(to.to_string())),
            ("shown".to_owned(), json!(report.shows.0)),
            ("known".to_owned(), json!(report.shows.1)),
            ("lost".to_owned(), json!(names(&report.lost))),
            ("unburied".to_owned(), json!(names(&report.unburied))),
        ]);
    }
    let done = Done::unless(!report.copy.damaged.is_empty(), result);
    Ok(if report.is_rolled_back() { Done { outcome: Outcome::RolledBack, ..done } } else { done })
}

/// What is wrong with a source that shows less than before, for people.
fn told(server: &str, report: &Report) -> String {
    let mut parts = Vec::new();
    for (names, one, many) in [
        (
            &report.lost,
            "snapshot that it has shown before, and no tombstone explains it",
            "snapshots that it has shown before, and no tombstone explains it",
        ),
        (&report.unburied, "tombstone", "tombstones"),
    ] {
        if let Some(first) = names.first() {
            parts.push(format!(
                "{} ({first}{})",
                human::counted(names.len() as u64, one, many),
                if names.len() > 1 { ", …" } else { "" }
            ));
        }
    }
    format!(
        "{server} hides {}: its repository was put back to an older state, or somebody removes from it. The copy here has lost nothing. \
         Find out who could write there; to go on without this message: --accept-rollback",
        parts.join(" and ")
    )
}
