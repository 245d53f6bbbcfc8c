//! `vault copy`

use super::{
    args::size,
    exit::{Done, Failure},
    host, human, json as shapes,
    secrets::{Source, ToSecret},
    session::Session,
    snapshot::compression,
};
use crate::{
    compress::Compression,
    error::{Error, Result},
    id::RepoId,
    name::Shown,
    ops::copy::{logical, replica},
    repo::{Listed, Repository},
    series::Address,
    store::{
        SharedStore,
        memory::MemoryStore,
        open::{self as stores, Place},
        throttle::ThrottleStore,
    },
    world::Time,
};
use clap::ValueHint;
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  vault copy --to /mnt/usb/vault --init            a replica: same keys, whole objects, no passphrase needed
  vault copy --to /mnt/usb/vault                   what is new since
  vault copy --to /srv/other web1/-/srv/wiki       one series into a repository with keys of its own
  vault copy --to /srv/other web1/-/srv/wiki@3d    one snapshot
  vault copy --to /mnt/usb/vault --bandwidth 20M   leave some of the line to others

Nothing is ever removed from the copy: what was forgotten here stays there, and what was forgotten there does not come back.
What is interrupted goes on where it was. Forget and prune in the copy with --repo; from then on a copy into it takes a key.";

/// Copy snapshots into another repository
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The repository that is copied to
    #[arg(long, value_name = "REPO", value_hint = ValueHint::DirPath)]
    to: OsString,
    /// SERIES, SERIES@VERSION or a snapshot's id [default: everything]
    #[arg(value_name = "ADDRESS")]
    addresses: Vec<OsString>,
    /// Make the other repository, with the same keys, when there is none
    #[arg(long)]
    init: bool,
    #[command(flatten)]
    secret: ToSecret,
    /// Write so many bytes a second at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bandwidth: Option<u64>,
    /// How hard to compress what is sealed anew, under other keys: none, auto, or a level from 1 to 19
    #[arg(long, value_name = "LEVEL", value_parser = compression, default_value = "auto")]
    compression: Compression,
    /// Change nothing, tell what would be copied
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let begun = Instant::now();
    let (from, to) = (session.place()?, session.place_at(&args.to)?);
    if is_one_place(&from, &to) {
        return Err(Error::usage("the copy would lie where the repository lies: give another place with --to").into());
    }
    let store = session.open_store(&from)?;
    let repository = Repository::identify(&*store)?;
    let there =
        session.open_store(&to).and_then(|store| Ok((Repository::identify(&*store)?, replica::was_pruned(&*store)?)));
    let whole = match there {
        Ok((id, pruned)) => id == repository && args.addresses.is_empty() && !pruned,
        Err(Error::NoRepository { .. } | Error::Corrupt { .. }) if args.init => {
            if !args.addresses.is_empty() {
                return Err(Error::usage(
                    "--init makes a replica of everything; for some of it make a repository first, with vault init",
                )
                .into());
            }
            true
        }
        Err(Error::NoRepository { place, why }) => {
            let why = format!("{why}; to make a copy of this repository there, give --init");
            return Err(Error::NoRepository { place, why }.into());
        }
        Err(error) => return Err(error.into()),
    };
    if whole { replicate(&args, session, store, &to, begun) } else { copy(&args, session, &to, repository, begun) }
}

fn is_one_place(a: &Place, b: &Place) -> bool {
    let (Place::Local(a), Place::Local(b)) = (a, b) else { return a == b };
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A store that is written to no faster than the user wants.
pub fn slowed(store: SharedStore, bandwidth: Option<u64>, session: &Session) -> SharedStore {
    let Some(rate) = bandwidth else { return store };
    let begun = Instant::now();
    Arc::new(ThrottleStore::new(store, rate, Box::new(move || begun.elapsed()), session.sleeper()))
}

fn replicate(args: &Args, session: &Session, from: SharedStore, to: &Place, begun: Instant) -> Result<Done, Failure> {
    let store = match stores::gathering(to, args.init && !args.dry_run) {
        // Nothing is made for a dry run.
        Err(Error::NoRepository { .. }) if args.init => Arc::new(MemoryStore::new()),
        store => store?,
    };
    let store = slowed(store, args.bandwidth, session);
    let request =
        replica::Request { from: &*from, to: &*store, create: args.init, dry_run: args.dry_run, threads: args.threads };
    let progress = session.progress();
    let report = replica::replicate(&request, progress.monitor());
    drop(progress);
    let report = report?;
    session.print_result(|| print_replica(args.dry_run, to, &report, begun.elapsed()));
    if report.extra_keys > 0 {
        session.screen.warn(&format!(
            "{} the copy and no longer the original; remove what should not: vault key list --repo {to}",
            human::counted(report.extra_keys, "key opens", "keys open")
        ));
    }
    Ok(Done::unless(!report.damaged.is_empty(), replica_json(args.dry_run, &report, begun.elapsed())))
}

/// A replica's part of a result.
pub fn replica_json(dry_run: bool, report: &replica::Report, took: Duration) -> Value {
    let damaged: Vec<Value> =
        report.damaged.iter().map(|(object, what)| json!({ "object": object, "what": what })).collect();
    json!({
        "mode": "replica",
        "dry_run": dry_run,
        "repository": report.repository.to_string(),
        "created": report.created,
        "snapshots": report.snapshots,
        "packs": report.packs,
        "objects": report.objects,
        "bytes": report.bytes,
        "replaced": report.replaced,
        "forgotten": report.forgotten,
        "extra_keys": report.extra_keys,
        "damaged": damaged,
        "seconds": took.as_secs_f64(),
    })
}

fn rate(bytes: u64, took: Duration) -> String {
    match took.as_secs_f64() {
        seconds if seconds >= 0.5 && bytes > 0 => format!(", {}/s", human::bytes((bytes as f64 / seconds) as u64)),
        _ => String::new(),
    }
}

/// The same for people.
pub fn print_replica(dry_run: bool, to: &Place, report: &replica::Report, took: Duration) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let objects = human::counted(report.objects, "object", "objects");
    match (dry_run, report.objects) {
        (true, _) => writeln!(out, "dry run: {objects} would be copied to {to}")?,
        (false, 0) => writeln!(out, "nothing to copy: {to} has everything")?,
        (false, _) => writeln!(out, "copied {objects} to {to}")?,
    }
    let mut facts = vec![
        ("snapshots", format!("{} new", human::count(report.snapshots))),
        ("size", format!("{} in {}", human::bytes(report.bytes), human::counted(report.packs, "pack", "packs"))),
        ("time", format!("{}{}", human::duration(took), rate(report.bytes, took))),
    ];
    if report.forgotten > 0 {
        facts.push((
            "left out",
            format!("{}, forgotten in the copy", human::counted(report.forgotten, "snapshot", "snapshots")),
        ));
    }
    if report.replaced > 0 {
        facts
            .push(("healed", human::counted(report.replaced, "object of a wrong length", "objects of a wrong length")));
    }
    if !report.damaged.is_empty() {
        let count = human::counted(report.damaged.len() as u64, "object", "objects");
        facts.push(("damaged", format!("{count} of the original, not copied: see `vault check`")));
    }
    human::print_facts(&mut out, &facts)
}

/// The snapshots that addresses name: all of a series when no version is said.
pub fn chosen(session: &Session, repo: &Repository, addresses: &[OsString]) -> Result<Vec<Listed>> {
    let mut out = Vec::new();
    for text in addresses {
        let address = Address::parse(text.as_bytes())?;
        if address.path.is_some() {
            return Err(Error::usage(format!(
                "{}: whole snapshots are copied: leave out the path",
                Shown(text.as_bytes())
            )));
        }
        match &address.series {
            // A series alone means all of it, unlike where one snapshot is wanted.
            Some(series) if series.as_str().as_bytes() == text.as_bytes() => {
                session.accept_rollback(repo, Some(series))?;
                repo.expect_no_rollback(series)?;
                let found = repo.snapshots(Some(series))?;
                if let Some((object, error)) = found.unreadable.into_iter().next() {
                    session.screen.warn(&format!("{}; it is not copied", human::about(&object, &error)));
                    session.passed_over.store(true, Ordering::Relaxed);
                }
                if found.listed.is_empty() {
                    // Says so, and what may have been meant.
                    session.resolve(repo, text)?;
                }
                out.extend(found.listed);
            }
            _ => out.push(session.resolve(repo, text)?.0),
        }
    }
    Ok(out)
}

fn copy(args: &Args, session: &Session, to: &Place, repository: RepoId, begun: Instant) -> Result<Done, Failure> {
    let from = session.open()?;
    session.accept_rollback(&from, None)?;
    let store = slowed(session.open_store(to)?, args.bandwidth, session);
    let around = session.surroundings_of_other(to, "to");
    let unlock = |store, source| Ok::<_, Failure>(session.unlock_with(store, source, around.clone())?.0);
    let other = match args.secret.given()? {
        Some(given) => unlock(store, Source::Given(given))?,
        // The same repository once more has the same keys, whatever its slots were made with.
        None if Repository::identify(&*store)? == repository => from.open_replica(store, around)?,
        None => unlock(store, args.secret.source(&session.screen)?)?,
    };
    let chosen = match &args.addresses[..] {
        [] => None,
        addresses => Some(chosen(session, &from, addresses)?),
    };
    let report = logically(session, &from, &other, chosen.as_deref(), args.compression, args.dry_run, args.threads)?;
    session.print_result(|| print_logical(&report, to, args.dry_run, begun.elapsed()));
    Ok(Done::unless(!report.failed.is_empty(), logical_json(&report, args.dry_run, begun.elapsed())))
}

/// Copies snapshots into a repository of other keys, with progress.
pub fn logically(
    session: &Session,
    from: &Repository,
    to: &Repository,
    chosen: Option<&[Listed]>,
    compression: Compression,
    dry_run: bool,
    threads: usize,
) -> Result<logical::Report> {
    let host = host::fqdn();
    let request = logical::Request { from, to, chosen, compression, host: &host, dry_run, threads };
    let progress = session.progress();
    logical::copy(&request, progress.monitor())
}

/// What a copy under other keys tells programs.
pub fn logical_json(report: &logical::Report, dry_run: bool, took: Duration) -> Value {
    let copied: Vec<Value> = report
        .copied
        .iter()
        .map(|one| {
            json!({
                "snapshot": one.from.to_string(),
                "series": one.series,
                "time": shapes::time(Time::from_sec(one.time)),
                "new": one.id.map(|id| id.to_string()),
            })
        })
        .collect();
    let failed: Vec<Value> =
        report.failed.iter().map(|(object, what)| json!({ "object": object, "what": what })).collect();
    json!({
        "mode": "logical",
        "dry_run": dry_run,
        "copied": copied,
        "present": report.present,
        "forgotten": report.forgotten,
        "failed": failed,
        "marked": report.marked,
        "bytes_new": report.written.bytes_new,
        "bytes_stored": report.written.bytes_stored,
        "seconds": took.as_secs_f64(),
    })
}

/// The same for people.
pub fn print_logical(report: &logical::Report, to: &Place, dry_run: bool, took: Duration) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let count = human::counted(report.copied.len() as u64, "snapshot", "snapshots");
    match (dry_run, report.copied.len()) {
        (true, _) => writeln!(out, "dry run: {count} would be copied to {to}")?,
        (false, 0) => writeln!(out, "nothing was copied to {to}")?,
        (false, _) => writeln!(out, "copied {count} to {to}")?,
    }
    let written = &report.written;
    let mut facts = vec![
        ("there before", human::counted(report.present, "snapshot", "snapshots")),
        ("new", human::bytes(written.bytes_new)),
        ("stored", human::bytes(written.bytes_stored)),
        ("time", format!("{}{}", human::duration(took), rate(written.bytes_new, took))),
    ];
    if report.forgotten > 0 {
        facts.push((
            "left out",
            format!("{}, forgotten in the copy", human::counted(report.forgotten, "snapshot", "snapshots")),
        ));
    }
    if !report.failed.is_empty() {
        let failed = human::counted(report.failed.len() as u64, "snapshot", "snapshots");
        facts.push(("failed", format!("{failed}, told above: see `vault check`")));
    }
    human::print_facts(&mut out, &facts)
}
