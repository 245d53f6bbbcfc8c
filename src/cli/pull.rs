//! `vault pull`

use super::{
    args::size,
    copy::{print_replica, replica_json, slowed},
    exit::{Done, Failure, Outcome},
    fleet::Which,
    session::Session,
};
use crate::{
    error::{Error, Result},
    fleet::config as conf,
    monitor::Monitor,
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
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

const EXAMPLES: &str = "\
Examples:
  vault pull alpha                       as [pull.alpha] in vault.toml says; `vault run` does it each night
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
    #[arg(long, value_name = "REPO", value_hint = ValueHint::DirPath, requires = "partition")]
    from: Option<OsString>,
    /// The folder whose remote/SERVER the copy is; it must be there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "from")]
    partition: Option<PathBuf>,
    /// Write so many bytes a second at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bandwidth: Option<u64>,
    /// Change nothing, tell what would be pulled
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Objects at once [default: by the kind of the place]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    which: Which,
}

/// What is to be pulled, and how.
pub struct Asked<'a> {
    /// The other server's name.
    pub server: &'a str,
    /// The repository there.
    pub from: &'a OsStr,
    /// The folder whose `remote/SERVER` the copy is.
    pub partition: &'a Path,
    /// How the other machine is reached, when not as the command line says.
    pub ssh: Option<&'a str>,
    pub remote_vault: Option<&'a str>,
    /// Bytes a second at most.
    pub bandwidth: Option<u64>,
    /// Take what the source shows for what is to be there.
    pub accept: bool,
    pub dry_run: bool,
    /// Objects at once; 0: by the kind of the place.
    pub threads: usize,
}

impl<'a> Asked<'a> {
    /// As a configuration says.
    pub fn of(pull: &'a conf::Pull, accept: bool) -> Self {
        Asked {
            server: &pull.server,
            from: OsStr::new(&pull.from),
            partition: &pull.partition,
            ssh: pull.ssh.as_deref(),
            remote_vault: pull.remote_vault.as_deref(),
            bandwidth: pull.bandwidth,
            accept,
            dry_run: false,
            threads: 0,
        }
    }
}

/// Where it comes from, where it goes, and what came of it.
pub struct Pulled {
    from: Place,
    to: Place,
    pub report: Report,
}

/// Pulls.
pub fn pull(asked: &Asked<'_>, session: &Session, monitor: &dyn Monitor) -> Result<Pulled> {
    let Asked { server, partition, dry_run, .. } = *asked;
    if let Err(why) = op::check_server(server) {
        return Err(Error::usage(format!("\"{}\": {why}", Shown(server.as_bytes()))));
    }
    if !partition.is_dir() {
        let partition = Shown(partition.as_os_str().as_encoded_bytes());
        return Err(Error::Absent { what: format!("{partition} is not there: is the partition mounted?") });
    }
    let to = Place::Local(op::folder(partition, server));
    let from = session.place_at(asked.from)?;
    let (source, threads) = match &from {
        Place::Local(_) => (stores::open_untouched(&from)?, asked.threads),
        Place::Ssh(_) => {
            let threads = if asked.threads == 0 { op::THREADS_FAR } else { asked.threads };
            (session.open_store_by(&from, asked.ssh, asked.remote_vault)?, threads)
        }
    };
    let store: SharedStore = match stores::gathering(&to, !dry_run) {
        // Nothing is made for a dry run.
        Err(Error::NoRepository { .. }) if dry_run => Arc::new(MemoryStore::new()),
        store => store?,
    };
    let store = slowed(store, asked.bandwidth, session);
    let state = session.state_of(&to);
    let (from_store, to_store, state) = (&*source, &*store, state.as_deref());
    let request = op::Request { from: from_store, to: to_store, state, accept: asked.accept, dry_run, threads };
    let report = op::pull(&request, monitor)?;
    Ok(Pulled { from, to, report })
}

/// What the configuration says of a server.
fn configured(args: &Args) -> Result<conf::Pull> {
    let path = args.which.path();
    let shown = Shown(path.as_os_str().as_encoded_bytes()).to_string();
    let server = Shown(args.server.as_bytes()).to_string();
    if !path.exists() {
        return Err(Error::usage(format!(
            "where is the repository of {server}, and where does its copy go? Give --from and --partition, or write [pull.{server}] \
             into {shown}"
        )));
    }
    let mut pulls = args.which.load()?.fleet.pulls;
    pulls.remove(&args.server).ok_or_else(|| {
        let known: Vec<&str> = pulls.keys().map(String::as_str).collect();
        let known = if known.is_empty() { String::new() } else { format!(" (there are {})", known.join(", ")) };
        Error::usage(format!("{shown} has no [pull.{server}]{known}: write it, or give --from and --partition"))
    })
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let begun = Instant::now();
    let (accept, dry_run, threads) = (session.global.accept_rollback, args.dry_run, args.threads);
    let known = match (&args.from, &args.partition) {
        (Some(_), Some(_)) => None,
        _ => Some(configured(&args)?),
    };
    let asked = match (&known, &args.from, &args.partition) {
        (Some(known), ..) => {
            let asked = Asked::of(known, accept);
            Asked { bandwidth: args.bandwidth.or(asked.bandwidth), dry_run, threads, ..asked }
        }
        (None, from, partition) => Asked {
            server: &args.server,
            from: from.as_deref().unwrap_or_default(),
            partition: partition.as_deref().unwrap_or(Path::new("")),
            ssh: None,
            remote_vault: None,
            bandwidth: args.bandwidth,
            accept,
            dry_run,
            threads,
        },
    };
    let progress = session.progress();
    let pulled = pull(&asked, session, progress.monitor());
    drop(progress);
    let Pulled { from, to, report } = pulled?;
    let took = begun.elapsed();
    session.print_result(|| print_replica(args.dry_run, &to, &report.copy, took));
    if report.is_rolled_back() {
        session.screen.error(&report.told(&args.server));
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
