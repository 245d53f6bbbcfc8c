//! `vault rewrite`

use super::{
    address,
    exit::{Done, Failure},
    host, human, losses,
    session::Session,
};
use crate::{
    error::Error,
    name::Shown,
    ops::{
        forget::Actor,
        rewrite::{self as op, Remains, Report, Request, Rewritten, Target},
    },
    series::{Address, Version},
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
};

const EXAMPLES: &str = "\
Examples:
  vault rewrite alpha/-/srv/wiki:wiki/conf/key.pem --dry-run   out of all snapshots of the series
  vault rewrite alpha/-/srv/wiki --exclude '*.core' --reason 'core dumps'
  vault rewrite 1a2b3c4d:app/tmp alpha/-/srv/wiki@2026-03-02:app/tmp

A SERIES stands for all its snapshots, SERIES@VERSION and ID for one. A PATH begins with the source's name, as in vault ls.
Each snapshot of which something is taken out is replaced by one without it, of the same time and number, which says so.
The bytes go with the next prunes: vault prune, and again after the grace time. Leave it out of new snapshots, too.";

/// Take files, folders or patterns out of snapshots that were made
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Snapshots, and with PATH what is to be taken out of them: SERIES[@VERSION][:PATH] or ID[:PATH]
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<OsString>,
    /// Take out what matches, as with vault snapshot (again for more)
    #[arg(long, short, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Show what would be taken out, and do nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Do not forget the snapshots that are rewritten: what is taken out stays in them
    #[arg(long)]
    keep_originals: bool,
    /// Also rewrite pinned snapshots; the new ones are pinned
    #[arg(long)]
    pinned: bool,
    /// Do not ask before the originals are forgotten
    #[arg(long, short)]
    yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// A series alone means all its snapshots.
fn target(text: &OsStr) -> Result<Target, Error> {
    let bytes = text.as_bytes();
    let address = Address::parse(bytes)?;
    let path_len = address.path.as_ref().map_or(0, |path| path.len() + 1);
    let named = bytes.get(..bytes.len() - path_len).unwrap_or_default();
    let all = address.version == Version::Latest && !named.ends_with(b"@latest");
    Ok(Target { address, all })
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let targets = args.addresses.iter().map(|text| target(text)).collect::<Result<Vec<Target>, Error>>()?;
    let repo = session.open()?;
    for series in targets.iter().filter_map(|target| target.address.series.as_ref()) {
        session.accept_rollback(&repo, Some(series))?;
    }
    let actor = Actor { host: host::fqdn(), user: host::user() };
    let instant = |text: &str| address::instant(text, TimeZone::system());
    let rewrite = |dry_run| {
        let request = Request {
            targets: &targets,
            patterns: args.exclude.clone(),
            reason: args.reason.as_deref(),
            keep_originals: args.keep_originals,
            pinned: args.pinned,
            actor: &actor,
            dry_run,
        };
        let progress = session.progress();
        let report = op::rewrite(&repo, &request, &instant, progress.monitor());
        progress.end();
        report
    };
    if !args.dry_run && !args.keep_originals && !args.yes {
        // What cannot be undone is shown before.
        let report = rewrite(true)?;
        show(session, &report, true)?;
        let many = human::counted(report.rewritten.len() as u64, "snapshot", "snapshots");
        session.confirm(&format!("replace {many}? This cannot be undone."))?;
    }
    let report = rewrite(args.dry_run)?;
    show(session, &report, args.dry_run)?;
    Ok(Done::good(result(&report, args.dry_run)))
}

/// What was done counts, whether or not anybody reads of it.
fn show(session: &Session, report: &Report, would: bool) -> Result<(), Failure> {
    if session.screen.json {
        return Ok(());
    }
    match print(session, report, would) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            session.screen.warn(&format!("cannot write the output: {e}"))
        }
        _ => {}
    }
    Ok(())
}

fn print(session: &Session, report: &Report, would: bool) -> io::Result<()> {
    if session.global.quiet && !would {
        return Ok(());
    }
    let out = &mut io::stdout().lock();
    for of_one in report.rewritten.chunk_by(|a, b| a.series == b.series) {
        let Some(first) = of_one.first() else { continue };
        writeln!(out, "{}", Shown(first.series.as_bytes()))?;
        for one in of_one {
            let new = one.new.map_or_else(String::new, |id| format!(", now {}", id.short()));
            let pinned = if one.pinned { ", pinned" } else { "" };
            writeln!(out, "  {}{new}{pinned}", losses::head(&one.taken))?;
            losses::paths(out, &one.taken)?;
        }
    }
    if session.global.quiet {
        return Ok(());
    }
    let many = human::count(report.rewritten.len() as u64);
    let all = human::counted(report.looked_at, "snapshot", "snapshots");
    let did = if would { "would be rewritten (dry run: nothing was changed)" } else { "rewritten" };
    writeln!(out, "{many} of {all} {did}")?;
    let Some(Remains { freed, still_needed, segments, bytes, packs }) = &report.remains else {
        if !would {
            session.screen.note("the originals are still there, and so is what was taken out");
        }
        return Ok(());
    };
    let mut facts = vec![("freed", format!("{} of plaintext, with the next prunes", human::bytes(*freed)))];
    if *still_needed > 0 {
        let needed = human::bytes(*still_needed);
        facts.push(("not freed", format!("{needed} that other snapshots or other names of a file still need")));
    }
    facts
        .push(("made anew", format!("{}, {}", human::counted(*segments, "segment", "segments"), human::bytes(*bytes))));
    facts.push(("marked", human::counted(packs.len() as u64, "pack", "packs")));
    human::print_facts(out, &facts)
}

fn result(report: &Report, dry_run: bool) -> Value {
    let one = |one: &Rewritten| {
        json!({
            "series": one.series,
            "new": one.new.map(|id| id.to_string()),
            "pinned": one.pinned,
            "taken": losses::of_snapshot(&one.taken),
        })
    };
    let remains = |remains: &Remains| {
        json!({
            "freed": remains.freed,
            "still_needed": remains.still_needed,
            "segments_anew": remains.segments,
            "bytes_anew": remains.bytes,
            "packs_marked": remains.packs.len(),
        })
    };
    json!({
        "dry_run": dry_run,
        "looked_at": report.looked_at,
        "rewritten": report.rewritten.iter().map(one).collect::<Vec<_>>(),
        "remains": report.remains.as_ref().map(remains),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_alone_means_all_its_snapshots() {
        let of = |text: &str| target(OsStr::new(text)).map(|target| (target.all, target.address.path));
        let path = || Some(b"app/x@latest".to_vec());
        assert_eq!(of("a/b/c").unwrap(), (true, None));
        assert_eq!(of("a/b/c:app/x@latest").unwrap(), (true, path()));
        assert_eq!(of("a/b/c@latest:app/x@latest").unwrap(), (false, path()));
        assert_eq!(of("a/b/c@latest").unwrap(), (false, None));
        assert_eq!(of("a/b/c@3d").unwrap(), (false, None));
        assert_eq!(of("1a2b3c4d:app/x@latest").unwrap(), (false, path()));
        assert!(of("nothing").is_err());
    }
}
