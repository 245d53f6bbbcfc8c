//! `vault stats`

use super::{
    exit::{Done, Failure},
    human::{self, Align, Table},
    json,
    session::Session,
};
use crate::{
    name::Shown,
    ops::stats::{self as op, Night, SeriesStats, SourceStats, Stats},
    series::Series,
    world::Time,
};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  vault stats
  vault stats alpha/web1                       its series, with what was new night by night
  vault stats --json | jq '.bytes_store'

SIZE is that of the newest snapshot, ALL that of all of them. DEDUP is ALL by what was new with each; COMPR is
that by what it added to the store (sources share packs). Both are of the snapshots that are there: what forgotten ones stored is not
in them. The bars are what was new in the last 30 snapshots.";

/// The longest bar, in characters.
const BAR: usize = 20;

/// How much there is, and how much of it is worth its space
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only series under this one, each also night by night: server, server/vm, server/vm/relpath
    prefix: Option<String>,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let args = Args { prefix: session.prefix(&repo, args.prefix)? };
    let progress = session.progress();
    let stats = op::stats(&repo, progress.monitor());
    drop(progress);
    let mut stats = stats?;
    if let Some(prefix) = &args.prefix {
        stats.series.retain(|one| Series::parse(&one.series).is_ok_and(|series| series.is_under(prefix)));
    }
    if !session.screen.json {
        print(session, &stats, args.prefix.is_some())?;
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
        ("bytes_new", source.bytes_new),
    ] {
        object.insert(field.into(), number.into());
    }
    object.insert("nights".into(), source.nights.as_slice().into());
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

/// The newest of a series, and how those before it were, in a row of bars.
fn newest(one: &SeriesStats) -> Option<String> {
    let last = one.nights.last()?;
    let bars = sparkline(&one.nights.iter().map(|night| night.new).collect::<Vec<_>>());
    let (new, stored) = (human::bytes(last.new), human::bytes(last.stored));
    Some(format!("  {bars}  {}: {new} new, {stored} stored", human::local_time(last.time)))
}

fn print_series(out: &mut dyn Write, stats: &Stats, colours: bool) -> io::Result<()> {
    let mut table = Table::new(&[
        ("SERIES", Align::Left),
        ("SNAPSHOTS", Align::Right),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
        ("ALL", Align::Right),
        ("DEDUP", Align::Right),
        ("COMPR", Align::Right),
    ]);
    for one in &stats.series {
        table.row(vec![
            Shown(one.series.as_bytes()).to_string(),
            human::count(one.snapshots),
            human::count(one.files),
            human::bytes(one.bytes),
            human::bytes(one.bytes_all),
            ratio(one.bytes_all, one.bytes_new),
            ratio(one.bytes_new, one.bytes_stored),
        ]);
        for source in one.sources.iter().filter(|_| one.sources.len() > 1) {
            table.row(vec![
                format!("  {}", Shown(&source.name)),
                human::count(source.snapshots),
                human::count(source.files),
                human::bytes(source.bytes),
                human::bytes(source.bytes_all),
                ratio(source.bytes_all, source.bytes_new),
                String::new(),
            ]);
        }
        newest(one).into_iter().for_each(|line| table.text(line));
    }
    table.print(out, colours)
}

/// The last snapshots of a series, one a line.
fn print_nights(out: &mut dyn Write, one: &SeriesStats, colours: bool) -> io::Result<()> {
    let sources = if one.sources.len() > 1 { &one.sources[..] } else { &[] };
    let names: Vec<String> = sources.iter().map(|source| format!("NEW IN {}", Shown(&source.name))).collect();
    let mut columns = vec![("TAKEN", Align::Left), ("SIZE", Align::Right), ("NEW", Align::Right)];
    columns.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
    columns.extend([("STORED", Align::Right), ("COMPR", Align::Right), ("", Align::Left)]);
    let mut table = Table::new(&columns);
    let most = one.nights.iter().map(|night| night.new).max().unwrap_or(0).max(1);
    for (at, night) in one.nights.iter().enumerate() {
        let mut row = vec![human::local_time(night.time), human::bytes(night.bytes), human::bytes(night.new)];
        row.extend(sources.iter().map(|source| human::bytes(source.nights.get(at).copied().unwrap_or(0))));
        row.extend([
            human::bytes(night.stored),
            ratio(night.new, night.stored),
            "▪".repeat((night.new as f64 / most as f64 * BAR as f64).ceil() as usize),
        ]);
        table.row(row);
    }
    writeln!(out, "\n{}", Shown(one.series.as_bytes()))?;
    table.print(out, colours)
}

fn print(session: &Session, stats: &Stats, with_nights: bool) -> io::Result<()> {
    let (out, colours) = (&mut io::stdout().lock(), session.screen.stdout_colours());
    if stats.series.is_empty() && with_nights {
        session.screen.note("there are no such snapshots: see `vault snapshots`");
    }
    if !stats.series.is_empty() {
        print_series(out, stats, colours)?;
    }
    if with_nights {
        return stats.series.iter().try_for_each(|one| print_nights(out, one, colours));
    }
    if !stats.series.is_empty() {
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
