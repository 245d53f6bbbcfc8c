//! `vault check`

use super::{
    exit::{Done, Failure},
    human, json as shapes,
    session::Session,
};
use crate::{
    name::Shown,
    ops::check::{self as op, ReadData, Report},
};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  vault check                        is everything there?
  vault check --read-data=5%         and is a twentieth of it, chosen at random, what it should be?
  vault check --read-data            and is all of it?";

/// Is everything there, and is it what it should be?
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Also read the packs: all, or this share, chosen at random
    #[arg(long, value_name = "PERCENT%", num_args = 0..=1, require_equals = true, default_missing_value = "100%",
        value_parser = percent)]
    read_data: Option<f64>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 100.0 => Ok(share),
        _ => Err("write a share above 0 and up to 100, such as 5%".into()),
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let begun = Instant::now();
    let repo = session.open()?;
    let read = args.read_data.map_or(ReadData::None, ReadData::Percent);
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
    if !session.screen.json {
        // What was found counts, whether or not anybody reads of it.
        match print(session, &report, begun.elapsed()) {
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
        "notes": report.notes,
        "rollbacks": shapes::rollbacks(&rollbacks),
        "seconds": begun.elapsed().as_secs_f64(),
    });
    Ok(Done::unless(!report.findings.is_empty(), result).unless_rolled_back(&rollbacks))
}

fn print(session: &Session, report: &Report, took: Duration) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    for finding in &report.findings {
        writeln!(out, "{}: {}", Shown(finding.object.as_bytes()), Shown(finding.what.as_bytes()))?;
        for lost in &finding.lost {
            writeln!(out, "    lost: {}", Shown(lost.as_bytes()))?;
        }
        let more = finding.lost_count.saturating_sub(finding.lost.len() as u64);
        if more > 0 {
            writeln!(out, "    and {}", human::counted(more, "entry more", "entries more"))?;
        }
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
