//! `vault find`

use super::{
    address,
    args::size,
    exit::{Done, Failure},
    human, json,
    session::Session,
};
use crate::{
    error::{Error, Result},
    name::Shown,
    ops::{
        find::{self as op, Match, Query, Scope, Wanted},
        history::{Kind, Version},
    },
    repo::BlobReader,
    series::parse_age,
};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::{
    io::{self, BufWriter, Write},
    ops::RangeInclusive,
};

const EXAMPLES: &str = "\
Examples:
  vault find database.yml                          in all snapshots of all series
  vault find 'app/config/*.yml' --series alpha/web1/shop
  vault find --regex '\\.(jpe?g|png)$' --size +10M --newer 3d --latest
  vault find --type l                              all symbolic links

A line says in which snapshots it was, from the first to the last, in how many, and its address in the last one.
What became of one of them in between: `vault log SERIES:PATH`.";

/// Search all snapshots for names, sizes, times and types
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Shell patterns: with a slash for the whole path below a snapshot, else for the name
    #[arg(value_name = "PATTERN", required_unless_present_any = ["size", "newer", "older", "kinds"])]
    patterns: Vec<String>,
    /// Only series under this one: server, server/vm, server/vm/relpath
    #[arg(long, short, value_name = "SERIES", default_value = "", hide_default_value = true)]
    series: String,
    /// The patterns are regular expressions, which match any part of the path
    #[arg(long, short = 'E')]
    regex: bool,
    /// Upper and lower case are the same
    #[arg(long, short)]
    ignore_case: bool,
    /// Files of at least +SIZE, of at most -SIZE, or of exactly SIZE
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    size: Option<String>,
    /// Changed since this date, time or age: 2026-03-02, 3d
    #[arg(long, value_name = "WHEN")]
    newer: Option<String>,
    /// Changed before this date, time or age
    #[arg(long, value_name = "WHEN")]
    older: Option<String>,
    /// Only these types, as in find(1): f file, d folder, l link, p pipe, s socket, c and b devices
    #[arg(long = "type", short = 't', value_name = "TYPES", value_parser = kinds)]
    kinds: Option<Kinds>,
    /// Only in the newest snapshot of each series
    #[arg(long)]
    latest: bool,
}

#[derive(Debug, Clone)]
struct Kinds(Vec<Kind>);

fn kinds(text: &str) -> Result<Kinds, String> {
    let all =
        [Kind::File, Kind::Directory, Kind::Symlink, Kind::Fifo, Kind::Socket, Kind::CharDevice, Kind::BlockDevice];
    let kind = |letter| all.into_iter().find(|kind| kind.letter() == letter);
    let letters = text.chars().filter(|&c| c != ',');
    let found: Option<Vec<Kind>> = letters.map(kind).collect();
    found.filter(|kinds| !kinds.is_empty()).map(Kinds).ok_or_else(|| "write letters of f d l p s c b".into())
}

/// `+10M`, `-1K`, `4096`
fn sizes(text: &str) -> Result<RangeInclusive<u64>> {
    let read = |text: &str| size(text).map_err(Error::usage);
    Ok(match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(least), _) => read(least)?..=u64::MAX,
        (None, Some(most)) => 0..=read(most)?,
        (None, None) => {
            let exact = read(text)?;
            exact..=exact
        }
    })
}

/// A date or time as the last second that it means, or as the first when it is to be that.
fn when(text: &str, now: i64) -> Result<i64> {
    match parse_age(text) {
        Some(age) => Ok(now.saturating_sub_unsigned(age)),
        None => address::instant(text, TimeZone::system()),
    }
}

/// The first second of a date.
fn since(text: &str, now: i64) -> Result<i64> {
    if text.len() == 10 && parse_age(text).is_none() { when(&format!("{text}T00:00:00"), now) } else { when(text, now) }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let now = repo.clock().now().sec;
    let query = Query::new(Wanted {
        patterns: args.patterns,
        regex: args.regex,
        ignore_case: args.ignore_case,
        size: args.size.as_deref().map(sizes).transpose()?,
        newer: args.newer.as_deref().map(|text| since(text, now)).transpose()?,
        older: args.older.as_deref().map(|text| when(text, now)).transpose()?,
        kinds: args.kinds.map(|kinds| kinds.0).unwrap_or_default(),
    })?;
    let series_under = session.prefix(&repo, Some(args.series))?.unwrap_or_default();
    session.accept_rollback(&repo, None)?;
    let rollbacks = repo.look(None, false)?;
    let index = session.index(&repo)?;
    let reader = BlobReader::new(&repo, &index);
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut broken, mut series) = (None, String::new());
    let terminal = session.screen.stdout_terminal;
    let mut each = |found: &Match| {
        let mut print = || {
            if session.screen.json {
                return writeln!(out, "{}", json::Line(&event(found)));
            }
            if series != found.series {
                if series.is_empty() && terminal {
                    let (bold, plain) = if session.screen.stdout_colours() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
                    writeln!(out, "{bold}{HEAD}{plain}")?;
                }
                series.clone_from(&found.series);
                writeln!(out, "{}", Shown(series.as_bytes()))?;
            }
            writeln!(out, "  {}", line(found))?;
            // A search may take a while, and somebody waits for what it found.
            if terminal { out.flush() } else { Ok(()) }
        };
        print().map_err(|e| {
            broken = Some(e);
            Error::Cancelled
        })
    };
    let progress = session.progress();
    let scope = Scope { prefix: &series_under, latest: args.latest };
    let report = op::find(&repo, &reader, scope, &query, &mut each, progress.monitor());
    drop(progress);
    if let Some(error) = broken {
        return Err(error.into());
    }
    let report = report?;
    out.flush()?;
    drop(out);
    if !session.screen.json {
        for error in &report.unreadable {
            session.screen.warn(&format!("{error}; what is in it was not searched: see `vault check`"));
        }
        session.tell_rollbacks(&rollbacks);
        if report.series == 0 {
            session.screen.note("there are no such snapshots: see `vault snapshots`");
        } else if report.matches == 0 {
            let snapshots = human::counted(report.snapshots as u64, "snapshot", "snapshots");
            session.screen.note(&format!("nothing was found in {snapshots}"));
        }
    }
    let unreadable: Vec<String> = report.unreadable.iter().map(Error::to_string).collect();
    let result = json!({
        "series": report.series,
        "snapshots": report.snapshots,
        "matches": report.matches,
        "unreadable": unreadable,
    });
    Ok(Done::unless(!report.unreadable.is_empty(), result).unless_rolled_back(&rollbacks))
}

/// Above the first line, for people.
const HEAD: &str = "  FIRST                 LAST                    IN       SIZE  ADDRESS";

/// `2026-03-02 04:05:06 – 2026-11-21 04:05:06   8  12.3 KiB  1a2b3c4d:app/config`
fn line(found: &Match) -> String {
    let end = if found.is_present { "now                ".into() } else { human::local_time(found.last.time.sec) };
    let slash = if found.facts.kind == Kind::Directory { "/" } else { "" };
    format!(
        "{} – {end}  {:>5}  {:>9}  {}:{}{slash}",
        human::local_time(found.first.time.sec),
        human::count(found.snapshots as u64),
        human::bytes(found.facts.size),
        found.last.id.short(),
        Shown(&found.path),
    )
}

/// A snapshot of a history as JSON.
pub fn version(version: &Version) -> Value {
    json!({ "id": version.id.to_string(), "sequence": version.sequence, "time": json::time(version.time) })
}

fn event(found: &Match) -> Value {
    let mut object = Map::new();
    object.insert("event".into(), "match".into());
    object.insert("series".into(), found.series.clone().into());
    json::put_bytes(&mut object, "path", &found.path);
    let facts = &found.facts;
    for (field, value) in [
        ("type", json!(facts.kind.word())),
        ("size", json!(facts.size)),
        ("mode", json!(format!("{:04o}", facts.mode))),
        ("mtime", json::time(facts.mtime)),
        ("first", version(&found.first)),
        ("last", version(&found.last)),
        ("snapshots", json!(found.snapshots)),
        ("versions", json!(found.versions)),
        ("present", json!(found.is_present)),
    ] {
        object.insert(field.into(), value);
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_times_and_types_are_read() {
        assert_eq!(sizes("+1K").unwrap(), 1024..=u64::MAX);
        assert_eq!(sizes("-10").unwrap(), 0..=10);
        assert_eq!(sizes("7").unwrap(), 7..=7);
        assert!(matches!(sizes("+x"), Err(Error::Usage { .. })));
        assert_eq!(when("1d", 100_000).unwrap(), 100_000 - 86_400);
        let day = (since("2026-03-02", 0).unwrap(), when("2026-03-02", 0).unwrap());
        assert_eq!(day.1 - day.0, 86_399);
        assert_eq!(kinds("f,d").unwrap().0, [Kind::File, Kind::Directory]);
        assert!(kinds("x").is_err() && kinds("").is_err());
    }
}
