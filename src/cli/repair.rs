//! `vault repair`

use super::{
    exit::{Done, Failure},
    host, human, json, losses,
    session::Session,
};
use crate::{
    name::Shown,
    ops::parity::{self as op_parity, Mending},
    ops::repair::{self as op, Index, Packs, Repaired, Report, Request, What},
    repo::Repository,
    store::Store,
    world::Time,
};
use clap::ValueHint;
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    io::{self, Write},
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  vault check --read-data            what is damaged, and what does it cost?
  vault repair --dry-run             what can be brought back?
  vault repair                       bring it back
  vault repair --from /mnt/usb/vault with the help of a replica, or of a copy with the same keys
  vault repair --keyless             only with parity, without a key: see `vault parity`
  vault repair index                 only make a lost index anew, from the packs

What parity and second copies have comes back byte for byte; the damaged object is put aside, in damaged/ in the repository, and may be
removed when the disk is to be trusted. Else a repair only ever adds. A damaged pack stays, marked so that nobody relies on it, until a prune takes it away; a damaged snapshot
stays beside the one that was made of the rest of it, until it is forgotten. What stays lost is stored again by the next snapshot
of the same data.";

/// Bring back what can be brought back: index, packs, snapshots
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this [default: all three, in this order]
    #[arg(value_enum)]
    what: Option<Part>,
    /// Without a key or passphrase: only what parity and second copies (see `vault parity`) bring back byte for byte
    #[arg(long, conflicts_with_all = ["what", "from"])]
    keyless: bool,
    /// Fetch what is missing from this repository: a replica, or a copy with the same keys
    #[arg(long, value_name = "REPO", value_hint = ValueHint::DirPath)]
    from: Option<OsString>,
    /// Read all packs to find all damage; else those that the last check found damaged, and those that look it
    #[arg(long)]
    read_data: bool,
    /// Change nothing, tell what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// List packs that no index object lists, by their own directories
    Index,
    /// Move what is whole in damaged packs into new ones, and fetch what is missing
    Packs,
    /// Make a snapshot of what is left beside each one of which something is lost
    Snapshots,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let begun = Instant::now();
    if args.keyless {
        return run_keyless(&args, session, begun);
    }
    let store = session.open_store(&session.place()?)?;
    // Without these no key opens anything.
    let entrance = mend(&*store, op_parity::Examine::Entrance, args.dry_run, session)?;
    let (repo, unlock) = session.open_keeping_secret()?;
    let from = match &args.from {
        Some(place) => {
            let place = session.place_at(place)?;
            let around = session.surroundings_of_other(&place, "from");
            let store = session.open_store(&place)?;
            Some(match Repository::identify(&*store)? == repo.keys().repo() {
                true => repo.open_replica(store, around)?,
                false => Repository::open(store, &unlock, around)?,
            })
        }
        None => None,
    };
    let wants = |part| args.what.is_none_or(|what| what == part);
    let what = What { index: wants(Part::Index), packs: wants(Part::Packs), snapshots: wants(Part::Snapshots) };
    let host = host::fqdn();
    let request = Request { what, from: from.as_ref(), read_data: args.read_data, host: &host, dry_run: args.dry_run };
    let progress = session.progress();
    let report = op::repair(&repo, &request, progress.monitor());
    drop(progress);
    let mut report = report?;
    if !args.dry_run {
        report.whole.mended.splice(0..0, entrance.mended);
    }
    if !session.screen.json {
        // What was done counts, whether or not anybody reads of it.
        match print(session, &args, &report, begun.elapsed()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                session.screen.warn(&format!("cannot write the output: {e}"));
            }
            _ => {}
        }
    }
    let result = json!({
        "dry_run": args.dry_run,
        "whole": whole_json(&report.whole),
        "index": report.index.as_ref().map(index_json),
        "packs": report.packs.as_ref().map(packs_json),
        "snapshots": report.snapshots.as_ref().map(|all| all.iter().map(snapshot_json).collect::<Vec<Value>>()),
        "shortfall": report.shortfall(),
        "seconds": begun.elapsed().as_secs_f64(),
    });
    Ok(Done::unless(report.shortfall() > 0, result))
}

fn mend(store: &dyn Store, examine: op_parity::Examine, dry_run: bool, session: &Session) -> Result<Mending, Failure> {
    let progress = session.progress();
    let request = op_parity::MendRequest { dry_run, ..op_parity::MendRequest::new(examine) };
    let mended = op_parity::mend(store, &request, progress.monitor());
    drop(progress);
    Ok(mended?)
}

/// Only what needs no key.
fn run_keyless(args: &Args, session: &Session, begun: Instant) -> Result<Done, Failure> {
    let store = session.open_store(&session.place()?)?;
    let examine = if args.read_data { op_parity::Examine::All } else { op_parity::Examine::Looks };
    let whole = mend(&*store, examine, args.dry_run, session)?;
    if let Some(percent) = whole.percent.filter(|_| !args.dry_run && !whole.damaged_sidecars.is_empty()) {
        let progress = session.progress();
        let replace = whole.damaged_sidecars.clone();
        let request = op_parity::Addition { percent, mirror: false, drop_missing: false, replace };
        let added = op_parity::add(&*store, &request, progress.monitor());
        drop(progress);
        added?;
    }
    if !session.screen.json {
        let out = &mut io::stdout().lock();
        print_whole(out, &whole, args.dry_run)?;
        if !session.global.quiet {
            let verdict = match (whole.is_idle(), whole.lost.is_empty()) {
                (true, true) => "there is nothing to repair without a key",
                (true, false) => "nothing can be brought back without a key",
                (false, true) => "all that was found damaged comes back",
                (false, false) => "not all that was found damaged comes back",
            };
            writeln!(out, "{verdict}{}", if args.dry_run { " (dry run: nothing was changed)" } else { "" })?;
            if whole.sidecars == 0 {
                session.screen.note("there is no parity here; see `vault parity add`");
            } else if !args.read_data {
                session.screen.note("of packs only both ends were looked at; --read-data reads all");
            }
        }
    }
    let result = json!({
        "keyless": true,
        "dry_run": args.dry_run,
        "whole": whole_json(&whole),
        "seconds": begun.elapsed().as_secs_f64(),
    });
    Ok(Done::unless(!whole.lost.is_empty(), result))
}

fn whole_json(whole: &Mending) -> Value {
    let mended: Vec<Value> = whole
        .mended
        .iter()
        .map(|one| json!({ "object": one.object, "bytes": one.len, "sectors": one.sectors }))
        .collect();
    json!({
        "mended": mended,
        "lost": pairs(&whole.lost),
        "sidecars": whole.sidecars,
        "damaged_sidecars": whole.damaged_sidecars.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        "second_copies_made_anew": whole.mirrored,
    })
}

fn print_whole(out: &mut dyn Write, whole: &Mending, would: bool) -> io::Result<()> {
    let back = if would { "would come back" } else { "brought back" };
    for one in &whole.mended {
        match one.sectors {
            Some(sectors) => {
                let sectors = human::counted(sectors, "sector", "sectors");
                writeln!(out, "{}: {back} byte for byte, {sectors} of it from parity", one.object)?;
            }
            None => writeln!(out, "{}: {back} byte for byte from its second copy", one.object)?,
        }
    }
    for (object, why) in &whole.lost {
        writeln!(out, "{object}: {}", Shown(why.as_bytes()))?;
    }
    for name in &whole.damaged_sidecars {
        writeln!(
            out,
            "{name}: this sidecar is damaged; {}",
            if would { "it would be made anew" } else { "it was made anew" }
        )?;
    }
    Ok(())
}

fn pairs(list: &[(String, String)]) -> Value {
    list.iter().map(|(object, what)| json!({ "object": object, "what": what })).collect()
}

fn index_json(index: &Index) -> Value {
    json!({
        "listed": index.listed,
        "recovered": index.recovered,
        "blobs": index.blobs,
        "unreadable": pairs(&index.unreadable),
        "unusable": pairs(&index.unusable),
    })
}

fn packs_json(packs: &Packs) -> Value {
    let damaged: Vec<Value> = packs
        .damaged
        .iter()
        .map(|one| json!({ "object": one.object, "what": one.what, "segments": one.segments, "whole": one.good, "known": one.known }))
        .collect();
    json!({
        "damaged": damaged,
        "read": packs.read,
        "moved": packs.moved,
        "moved_bytes": packs.moved_bytes,
        "fetched": packs.fetched,
        "fetched_bytes": packs.fetched_bytes,
        "missing": packs.missing,
        "marked": packs.marked,
    })
}

fn snapshot_json(one: &Repaired) -> Value {
    json!({
        "snapshot": one.loss.id.to_string(),
        "series": one.series,
        "time": one.loss.time.map(|sec| json::time(Time::from_sec(sec))),
        "what": one.what,
        "new": one.new.map(|id| id.to_string()),
        "made": one.made,
        "lost": losses::of_snapshot(&one.loss),
    })
}

fn print(session: &Session, args: &Args, report: &Report, took: Duration) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    let would = args.dry_run;
    print_whole(out, &report.whole, would)?;
    if let Some(index) = &report.index {
        for (object, what) in &index.unreadable {
            writeln!(out, "{object}: {what}")?;
        }
        for (object, what) in &index.unusable {
            writeln!(out, "{object}: no index object lists it, and it does not tell what it holds: {what}")?;
        }
    }
    for one in report.packs.iter().flat_map(|packs| &packs.damaged).filter(|one| !one.known) {
        let whole = match (one.good, one.segments) {
            (0, _) => "nothing of it is whole".into(),
            (good, all) => {
                format!("{} of {} are whole", human::count(good), human::counted(all, "segment", "segments"))
            }
        };
        writeln!(out, "{}: {}; {whole}", one.object, Shown(one.what.as_bytes()))?;
    }
    for one in report.snapshots.iter().flatten() {
        print_snapshot(out, one, would)?;
    }
    if session.global.quiet {
        return Ok(());
    }
    let shortfall = report.shortfall();
    let verdict = match (report.is_idle(), shortfall, would) {
        (true, 0, _) => "there is nothing to repair",
        (true, ..) => "nothing more can be brought back",
        (_, 0, true) => "all of it can be brought back",
        (_, 0, false) => "all of it was brought back",
        (.., true) => "not all of it can be brought back",
        (.., false) => "not all of it could be brought back",
    };
    writeln!(out, "{verdict}{}", if would { " (dry run: nothing was changed)" } else { "" })?;
    let mut facts = Vec::new();
    if report.whole.sidecars > 0 || !report.whole.mended.is_empty() {
        facts.push((
            "whole",
            format!("{} byte for byte", human::counted(report.whole.mended.len() as u64, "object", "objects")),
        ));
    }
    if let Some(index) = &report.index {
        let recovered = match index.recovered {
            0 => String::new(),
            n => format!(", {} of them damaged", human::count(n)),
        };
        facts.push(("index", format!("{} listed{recovered}", human::counted(index.listed, "pack", "packs"))));
    }
    if let Some(packs) = &report.packs {
        let known = packs.damaged.iter().filter(|one| one.known).count() as u64;
        let known = if known > 0 { format!(", {} known before", human::count(known)) } else { String::new() };
        facts.push(("damaged", human::counted(packs.damaged.len() as u64, "pack", "packs") + &known));
        facts.push(("moved", segments(packs.moved, packs.moved_bytes)));
        if args.from.is_some() {
            facts.push(("fetched", segments(packs.fetched, packs.fetched_bytes)));
        }
        facts.push(("missing", human::counted(packs.missing, "blob", "blobs")));
        if !args.read_data {
            facts.push(("read", format!("{}; --read-data reads all", human::counted(packs.read, "pack", "packs"))));
        }
    }
    if let Some(snapshots) = &report.snapshots {
        let made = snapshots.iter().filter(|one| one.made).count() as u64;
        facts.push(("snapshots", format!("{} made", human::count(made))));
    }
    facts.push(("time", human::duration(took)));
    human::print_facts(out, &facts)?;
    if shortfall > 0 {
        let next = match args.from {
            None => "what is missing comes back from a replica (--from), or with the next snapshot of the same data",
            Some(_) => "what is missing comes back with the next snapshot of the same data",
        };
        session.screen.note(next);
    }
    Ok(())
}

fn segments(n: u64, bytes: u64) -> String {
    format!("{}, {}", human::counted(n, "segment", "segments"), human::bytes(bytes))
}

fn print_snapshot(out: &mut dyn Write, one: &Repaired, would: bool) -> io::Result<()> {
    let series = one.series.as_deref().unwrap_or("a series of which no snapshot can be read");
    let time = one.loss.time.map_or_else(String::new, |sec| format!(", {}", human::local_time(sec)));
    writeln!(out, "{} of {}{time}: {}", one.loss.id.short(), Shown(series.as_bytes()), Shown(one.what.as_bytes()))?;
    let (entries, bytes) = (human::counted(one.loss.entries, "entry", "entries"), human::bytes(one.loss.bytes));
    match (one.made, one.new, one.loss.entries) {
        (true, Some(new), 0) => writeln!(out, "    brought back as {}", new.short())?,
        (true, None, 0) if would => writeln!(out, "    would be brought back")?,
        (true, Some(new), _) => {
            writeln!(out, "    {} was made of the rest; {entries} are lost, {bytes}:", new.short())?
        }
        (true, ..) => writeln!(out, "    one would be made of the rest; {entries} are lost, {bytes}:")?,
        (false, _, 0) => writeln!(out, "    nothing can be made of it")?,
        (false, ..) => writeln!(out, "    nothing of it is left; {entries} are lost, {bytes}:")?,
    }
    losses::paths(out, &one.loss)
}
