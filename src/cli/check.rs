//! `vault check`

use super::{
    exit::{Done, Failure},
    human, json as shapes, losses,
    session::Session,
};
use crate::{
    id::hex,
    name::Shown,
    ops::{
        check::{self as op, Finding, ReadData, Report, keyless},
        parity,
    },
    store::{ObjectName, Store},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{self, Write},
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  vault check                        is everything there?
  vault check --read-data=5%         and is a twentieth of it what it should be? Nightly: all of it in 20 nights
  vault check --read-data            and is all of it?
  vault check --keyless              without any key: is every object what its name says?";

/// Is everything there, and is it what it should be?
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Also read the packs: all, or this share, those first that were not read for the longest time (the dates are kept in the
    /// cache directory)
    #[arg(long, value_name = "PERCENT%", num_args = 0..=1, require_equals = true, default_missing_value = "100%",
        value_parser = percent)]
    read_data: Option<f64>,
    /// Hold every object against its name, without a key or passphrase; reads all packs unless --read-data gives a share
    #[arg(long)]
    keyless: bool,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

/// Reads a share.
pub fn percent(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 100.0 => Ok(share),
        _ => Err("write a share above 0 and up to 100, such as 5%".into()),
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let begun = Instant::now();
    let read = args.read_data.map_or(ReadData::None, ReadData::Percent);
    if args.keyless {
        return run_keyless(&args, read, session, begun);
    }
    let repo = session.open()?;
    let progress = session.progress();
    // The list at the end has them all, and what they cost.
    progress.hold_problems();
    session.accept_rollback(&repo, None)?;
    let rollbacks = repo.look(None, false)?;
    let report = op::check(&repo, read, args.threads, progress.monitor());
    let found = progress.end();
    let report = report.inspect_err(|_| {
        // There will be no list.
        found.iter().for_each(|text| session.screen.warn(text));
    })?;
    let mendable = mendable(repo.store(), &report.findings, session);
    if !session.screen.json {
        // What was found counts, whether or not anybody reads of it.
        match print(session, &report, &mendable, begun.elapsed()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                session.screen.warn(&format!("cannot write the output: {e}"));
            }
            _ => {}
        }
        session.tell_rollbacks(&rollbacks);
    }
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|one| json!({ "object": one.object, "what": one.what, "lost": one.lost, "lost_count": one.lost_count }))
        .collect();
    let result = json!({
        "snapshots": report.snapshots,
        "packs": report.packs,
        "blobs": report.blobs,
        "packs_read": report.packs_read,
        "bytes_read": report.bytes_read,
        "findings": findings,
        "losses": losses::of_series(&report.losses),
        "mendable": mendable,
        "notes": report.notes,
        "rollbacks": shapes::rollbacks(&rollbacks),
        "seconds": begun.elapsed().as_secs_f64(),
    });
    Ok(Done::unless(!report.findings.is_empty(), result).unless_rolled_back(&rollbacks))
}

fn print(session: &Session, report: &Report, mendable: &[String], took: Duration) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    print_findings(out, &report.findings)?;
    if !report.losses.is_empty() {
        writeln!(out, "{}", if report.findings.len() == 1 { "this costs" } else { "all of this costs" })?;
        losses::print(out, &report.losses)?;
    }
    if session.global.quiet {
        return Ok(());
    }
    for note in &report.notes {
        session.screen.note(&Shown(note.as_bytes()).to_string());
    }
    let verdict = match report.findings.len() as u64 {
        0 if report.packs_read > 0 => "no errors were found".into(),
        0 => "no errors were found; contents were not read: see --read-data".into(),
        n => human::counted(n, "error", "errors"),
    };
    writeln!(out, "{verdict}")?;
    tell_mendable(session, mendable, "vault repair");
    if !report.findings.is_empty() {
        session.screen.note("see `vault repair --dry-run` for what can be brought back");
    }
    human::print_facts(
        out,
        &[
            ("snapshots", human::count(report.snapshots)),
            ("packs", format!("{}, {}", human::count(report.packs), human::counted(report.blobs, "blob", "blobs"))),
            (
                "read",
                format!(
                    "{} in {}",
                    human::bytes(report.bytes_read),
                    human::counted(report.packs_read, "pack", "packs")
                ),
            ),
            ("time", human::duration(took)),
        ],
    )
}

/// Which of the damaged objects parity and second copies bring back. That it cannot be told takes nothing from what was found.
fn mendable(store: &dyn Store, findings: &[Finding], session: &Session) -> Vec<String> {
    let named: BTreeSet<ObjectName> = findings.iter().filter_map(|one| ObjectName::new(one.object.as_str())).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let progress = session.progress();
    let request =
        parity::MendRequest { named: &named, dry_run: true, ..parity::MendRequest::new(parity::Examine::Named) };
    let report = parity::is_kept(store).and_then(|kept| match kept {
        true => parity::mend(store, &request, progress.monitor()).map(Some),
        false => Ok(None),
    });
    drop(progress);
    match report {
        Ok(report) => report.into_iter().flat_map(|report| report.mended).map(|one| one.object).collect(),
        Err(error) => {
            session.screen.warn(&format!("what parity brings back cannot be told: {error}"));
            Vec::new()
        }
    }
}

fn tell_mendable(session: &Session, mendable: &[String], command: &str) {
    match mendable.len() as u64 {
        0 => {}
        n => session.screen.note(&format!(
            "parity brings {} back byte for byte: `{command}`",
            human::counted(n, "damaged object", "damaged objects")
        )),
    }
}

fn print_findings(out: &mut dyn Write, findings: &[Finding]) -> io::Result<()> {
    for finding in findings {
        let costs = match finding.lost_count {
            0 => String::new(),
            n => format!(" ({} lost)", human::counted(n, "entry", "entries")),
        };
        writeln!(out, "{}: {}{costs}", Shown(finding.object.as_bytes()), Shown(finding.what.as_bytes()))?;
    }
    Ok(())
}

/// Without a key: names against bytes.
fn run_keyless(args: &Args, read: ReadData, session: &Session, begun: Instant) -> Result<Done, Failure> {
    let store = session.open_store(&session.place()?)?;
    let around = session.surroundings();
    let around = keyless::Around { clock: &*around.clock, entropy: &*around.entropy, cache: around.cache.as_deref() };
    let progress = session.progress();
    progress.hold_problems();
    let report = keyless::check(&*store, read, args.threads, &around, progress.monitor());
    let found = progress.end();
    let report = report.inspect_err(|_| found.iter().for_each(|text| session.screen.warn(text)))?;
    let mendable = mendable(&*store, &report.findings, session);
    if !session.screen.json {
        match print_keyless(session, &report, &mendable, begun.elapsed()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                session.screen.warn(&format!("cannot write the output: {e}"));
            }
            _ => {}
        }
    }
    let findings: Vec<Value> =
        report.findings.iter().map(|one| json!({ "object": one.object, "what": one.what })).collect();
    let result = json!({
        "keyless": true,
        "repository": report.repository.map(|id| hex(id.as_bytes())),
        "objects": report.objects,
        "packs_read": report.packs,
        "bytes_read": report.bytes,
        "findings": findings,
        "mendable": mendable,
        "notes": report.notes,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    Ok(Done::unless(!report.findings.is_empty(), result))
}

fn print_keyless(session: &Session, report: &keyless::Report, mendable: &[String], took: Duration) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    print_findings(out, &report.findings)?;
    if session.global.quiet {
        return Ok(());
    }
    for note in &report.notes {
        session.screen.note(&Shown(note.as_bytes()).to_string());
    }
    match report.findings.len() as u64 {
        0 => writeln!(out, "every object that was read is what its name says")?,
        n => writeln!(out, "{}; what it costs, a check with a key tells", human::counted(n, "error", "errors"))?,
    }
    tell_mendable(session, mendable, "vault repair --keyless --read-data");
    human::print_facts(
        out,
        &[
            ("objects", format!("{}, {} of them packs", human::count(report.objects), human::count(report.packs))),
            ("read", human::bytes(report.bytes)),
            ("time", human::duration(took)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read() {
        assert_eq!((percent("5%"), percent("0.5"), percent("100 %")), (Ok(5.0), Ok(0.5), Ok(100.0)));
        for bad in ["0", "0%", "101%", "-1", "x", "", "NaN"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
