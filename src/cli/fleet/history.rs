//! `vault history`

use super::Which;
use crate::{
    cli::{
        exit::{Done, Failure},
        human::{self, Align, Table},
        json as shapes,
        session::Session,
        stats::sparkline,
    },
    error::Error,
    fleet::{
        config::Select,
        history::{self as op, Entry, Kind, Outcome},
    },
    name::Shown,
    series::parse_age,
    world::{Clock, SystemClock, Time},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

const EXAMPLES: &str = "\
Examples:
  vault history                        all applications, with trends
  vault history alpha/web1/shop        each run of one
  vault history type:rails --since 1y
  vault history --drills               restores for a test

The files are text: history/backup-NAME-YYYYMMDD, a line a run, key=value.";

/// Nights of a trend, at most.
const NIGHTS: usize = 30;

/// What was done for each application, night by night
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only these: server/vm/path or a beginning of it, type:NAME, server:NAME, vm:NAME, tag:WORD
    #[arg(value_name = "SELECT")]
    select: Vec<String>,
    /// So far back
    #[arg(long, value_name = "AGE", value_parser = age, default_value = "30d")]
    since: u64,
    /// Show restores for a test
    #[arg(long)]
    drills: bool,
    #[command(flatten)]
    which: Which,
}

fn age(text: &str) -> Result<u64, String> {
    parse_age(text).ok_or_else(|| "write a number and a unit: 30d, 1y".into())
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let fleet = args.which.load()?.fleet;
    let chosen = Select::parse(args.select.iter().map(String::as_str))?;
    let names: Vec<&str> = match chosen.is_all() {
        true => Vec::new(),
        false => fleet.services.iter().filter(|one| chosen.matches(one)).map(|one| one.name()).collect(),
    };
    // An application that is not in the configuration any more has a history all the same.
    let wanted = |series: &str| {
        chosen.is_all()
            || names.contains(&series)
            || args.select.iter().any(|word| {
                let word = word.trim_end_matches('/');
                series.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    };
    let since = SystemClock.now().sec.saturating_sub_unsigned(args.since);
    let kind = if args.drills { Kind::Drill } else { Kind::Backup };
    let entries = op::read(&fleet.history, kind, since, &wanted)?;
    if entries.is_empty() && !args.select.is_empty() {
        let folder = Shown(fleet.history.as_os_str().as_encoded_bytes()).to_string();
        return Err(Error::usage(format!(
            "there is no history of {} in {folder}",
            Shown(args.select.join(" ").as_bytes())
        ))
        .into());
    }
    if !session.screen.json {
        let mut by_series: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in &entries {
            by_series.entry(&entry.series).or_default().push(entry);
        }
        match (by_series.len(), by_series.first_key_value()) {
            (1, Some((_, entries))) => print_one(session, entries)?,
            _ => print_all(session, &by_series)?,
        }
    }
    let each: Vec<Value> = entries.iter().map(shape).collect();
    Ok(Done::good(json!({ "history": each })))
}

fn shape(entry: &Entry) -> Value {
    json!({
        "time": shapes::time(Time::from_sec(entry.time)),
        "series": entry.series,
        "outcome": entry.outcome.word(),
        "snapshot": entry.snapshot.map(|id| id.to_string()),
        "files": entry.files,
        "bytes": entry.bytes,
        "bytes_new": entry.new,
        "bytes_stored": entry.stored,
        "seconds": entry.seconds,
        "problems": entry.problems,
        "why": entry.why,
    })
}

fn took(entry: &Entry) -> String {
    human::duration(Duration::try_from_secs_f64(entry.seconds).unwrap_or(Duration::MAX))
}

fn print_one(session: &Session, entries: &[&Entry]) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    let mut table = Table::new(&[
        ("TIME", Align::Left),
        ("OUTCOME", Align::Left),
        ("SNAPSHOT", Align::Left),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
        ("NEW", Align::Right),
        ("ADDED", Align::Right),
        ("TOOK", Align::Right),
        ("", Align::Left),
    ]);
    for entry in entries {
        table.row(vec![
            human::local_time(entry.time),
            entry.outcome.word().into(),
            entry.snapshot.map(|id| id.short()).unwrap_or_default(),
            human::count(entry.files),
            human::bytes(entry.bytes),
            human::bytes(entry.new),
            human::bytes(entry.stored),
            took(entry),
            Shown(entry.why.as_bytes()).to_string(),
        ]);
    }
    table.print(out, session.screen.stdout_colours())?;
    let good: Vec<&&Entry> = entries.iter().filter(|entry| entry.outcome != Outcome::Failed).collect();
    let of = |number: &dyn Fn(&Entry) -> u64| {
        let skipped = good.len().saturating_sub(NIGHTS);
        sparkline(&good.iter().skip(skipped).map(|entry| number(entry)).collect::<Vec<_>>())
    };
    writeln!(out)?;
    human::print_facts(
        out,
        &[
            ("size", of(&|entry| entry.bytes)),
            ("new", of(&|entry| entry.new)),
            ("time", of(&|entry| (entry.seconds * 10.0) as u64)),
        ],
    )
}

fn print_all(session: &Session, by_series: &BTreeMap<&str, Vec<&Entry>>) -> io::Result<()> {
    if by_series.is_empty() {
        return session.screen.print("there is no history yet");
    }
    let mut table = Table::new(&[
        ("APPLICATION", Align::Left),
        ("RUNS", Align::Right),
        ("WRONG", Align::Right),
        ("LAST", Align::Left),
        ("OUTCOME", Align::Left),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
        ("ADDED", Align::Right),
        ("TOOK", Align::Right),
        ("NEW EACH NIGHT", Align::Left),
    ]);
    for (series, entries) in by_series {
        let Some(last) = entries.last() else { continue };
        let wrong = entries.iter().filter(|entry| entry.outcome != Outcome::Good).count();
        let nights = entries.iter().skip(entries.len().saturating_sub(NIGHTS));
        table.row(vec![
            Shown(series.as_bytes()).to_string(),
            human::count(entries.len() as u64),
            human::count(wrong as u64),
            human::local_time(last.time),
            last.outcome.word().into(),
            human::count(last.files),
            human::bytes(last.bytes),
            human::bytes(entries.iter().map(|entry| entry.stored).fold(0, u64::saturating_add)),
            took(last),
            sparkline(&nights.map(|entry| entry.new).collect::<Vec<_>>()),
        ]);
    }
    table.print(&mut io::stdout().lock(), session.screen.stdout_colours())
}
