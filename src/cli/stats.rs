//! `vault stats`

use super::{
    exit::{Done, Failure},
    human::{self, Align, Table},
    json,
    session::Session,
};
use crate::{
    name::Shown,
    ops::stats::{self as op, Night, SourceStats, Stats},
    world::Time,
};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  vault stats
  vault stats --json | jq '.bytes_store'

DEDUP is what all versions would take by what was new with each; COMPR is that by what it added to the
store. Both are of the snapshots that are there: what forgotten ones stored is not in them.";

/// How much there is, and how much of it is worth its space
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

pub fn run(_args: Args, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let progress = session.progress();
    let stats = op::stats(&repo, progress.monitor());
    drop(progress);
    let stats = stats?;
    if !session.screen.json {
        print(session, &stats)?;
    }
    let series: Vec<Value> = stats
        .series
        .iter()
        .map(|one| {
            json!({
                "series": one.series,
                "snapshots": one.snapshots,
                "newest": json::time(Time::from_sec(one.newest)),
                "files": one.files,
                "bytes": one.bytes,
                "bytes_all": one.bytes_all,
                "bytes_new": one.bytes_new,
                "bytes_stored": one.bytes_stored,
                "nights": one.nights.iter().map(night).collect::<Vec<_>>(),
                "sources": one.sources.iter().map(source).collect::<Vec<_>>(),
            })
        })
        .collect();
    Ok(Done::good(json!({
        "series": series,
        "packs": stats.packs,
        "segments": stats.segments,
        "blobs": stats.blobs,
        "bytes_plain": stats.bytes_plain,
        "bytes_packed": stats.bytes_packed,
        "leaning": {
            "segments": stats.leaning.segments,
            "bytes_plain": stats.leaning.plain,
            "bytes_stored": stats.leaning.stored,
            "bytes_saved": stats.leaning.saved,
        },
        "bytes_store": stats.bytes_store,
        "unreadable": stats.unreadable,
    })))
}

fn night(night: &Night) -> Value {
    json!({
        "time": json::time(Time::from_sec(night.time)),
        "bytes": night.bytes,
        "bytes_new": night.new,
        "bytes_stored": night.stored,
    })
}

fn source(source: &SourceStats) -> Value {
    let mut object = Map::new();
    json::put_bytes(&mut object, "name", &source.name);
    for (field, number) in [
        ("snapshots", source.snapshots),
        ("files", source.files),
        ("bytes", source.bytes),
        ("bytes_all", source.bytes_all),
    ] {
        object.insert(field.into(), number.into());
    }
    Value::Object(object)
}

/// `5.3 : 1`
fn ratio(of: u64, to: u64) -> String {
    if of == 0 || to == 0 { "–".into() } else { format!("{:.1} : 1", of as f64 / to as f64) }
}

/// How numbers went, as a row of little bars.
pub fn sparkline(numbers: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let max = numbers.iter().copied().max().unwrap_or(0).max(1);
    numbers.iter().map(|&n| BARS[(n as f64 / max as f64 * 7.0).round() as usize]).collect()
}

fn print(session: &Session, stats: &Stats) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    if !stats.series.is_empty() {
        let mut table = Table::new(&[
            ("SERIES", Align::Left),
            ("SNAPSHOTS", Align::Right),
            ("NEWEST", Align::Left),
            ("FILES", Align::Right),
            ("SIZE", Align::Right),
            ("ALL VERSIONS", Align::Right),
            ("DEDUP", Align::Right),
            ("COMPR", Align::Right),
            ("NEW, BY SNAPSHOT", Align::Left),
        ]);
        for one in &stats.series {
            table.row(vec![
                Shown(one.series.as_bytes()).to_string(),
                human::count(one.snapshots),
                human::local_time(one.newest),
                human::count(one.files),
                human::bytes(one.bytes),
                human::bytes(one.bytes_all),
                ratio(one.bytes_all, one.bytes_new),
                ratio(one.bytes_new, one.bytes_stored),
                sparkline(&one.nights.iter().map(|night| night.new).collect::<Vec<_>>()),
            ]);
            for source in one.sources.iter().filter(|_| one.sources.len() > 1) {
                let name = format!("  {}", Shown(&source.name));
                let (files, bytes) = (human::count(source.files), human::bytes(source.bytes));
                let all = human::bytes(source.bytes_all);
                let none = String::new;
                table.row(vec![
                    name,
                    human::count(source.snapshots),
                    none(),
                    files,
                    bytes,
                    all,
                    none(),
                    none(),
                    none(),
                ]);
            }
        }
        table.print(out, session.screen.stdout_colours())?;
        writeln!(out)?;
    }
    let all: u64 = stats.series.iter().map(|one| one.bytes_all).fold(0, u64::saturating_add);
    let snapshots: u64 = stats.series.iter().map(|one| one.snapshots).sum();
    let mut facts = vec![
        ("snapshots", format!("{} with {} in all", human::count(snapshots), human::bytes(all))),
        (
            "stored",
            format!(
                "{} in {}, {}, {}",
                human::bytes(stats.bytes_store),
                human::counted(stats.packs, "pack", "packs"),
                human::counted(stats.segments, "segment", "segments"),
                human::counted(stats.blobs, "blob", "blobs")
            ),
        ),
        (
            "deduplication",
            format!("{} ({} are different)", ratio(all, stats.bytes_plain), human::bytes(stats.bytes_plain)),
        ),
        (
            "compression",
            format!("{} ({} in packs)", ratio(stats.bytes_plain, stats.bytes_packed), human::bytes(stats.bytes_packed)),
        ),
        (
            "differences",
            match stats.leaning.segments {
                0 => "none".into(),
                _ => format!(
                    "{} of versions of files in {}, which saves about {}",
                    human::bytes(stats.leaning.plain),
                    human::bytes(stats.leaning.stored),
                    human::bytes(stats.leaning.saved)
                ),
            },
        ),
        ("together", ratio(all, stats.bytes_store)),
    ];
    if stats.unreadable > 0 {
        facts.push((
            "unreadable",
            format!("{}: see `vault check`", human::counted(stats.unreadable, "snapshot", "snapshots")),
        ));
    }
    human::print_facts(out, &facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pictures_of_numbers() {
        assert_eq!(sparkline(&[0, 7, 14]), "▁▅█");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
        assert_eq!((ratio(53, 10), ratio(1, 0), ratio(0, 1)), ("5.3 : 1".into(), "–".into(), "–".into()));
    }
}
