//! `vault drill`

use super::{
    exit::{Done, Failure, Outcome},
    human, recipe,
    session::Session,
};
use crate::{
    error::Error,
    fleet::{config::StoredConfig, drill as op, night::drills, recovery::promised},
    name::Shown,
    repo::{BlobReader, Listed},
    series::{Series, parse_age},
    world::{KernelEntropy, SystemClock, random},
};
use clap::ValueHint;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

const EXAMPLES: &str = "\
Examples:
  vault drill
  vault drill alpha/web1/shop --at random
  vault drill type:rails --scratch /var/tmp --rto 1h

Restores into a scratch place that is removed in the end, loads databases into scratch servers, compares all with what was known
when the snapshot was made, and measures how long it took (RTO) and how old the data were (RPO).
Ends with 3 when anything is wrong or a promise is not kept.";

/// Prove that applications come back: restore them into a scratch place and compare
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Which applications: server, server/vm, server/vm/path, or type:NAME; all without it
    select: Vec<String>,
    /// Which snapshot of each
    #[arg(long, value_enum, default_value_t = At::Latest)]
    at: At,
    /// Folder with enough room, which every user may enter: scratch servers run as users of their own
    #[arg(long, value_name = "DIR", default_value = "/var/tmp", value_hint = ValueHint::DirPath)]
    scratch: PathBuf,
    /// The longest that a restore may take, such as 4h; without it, what the application's configuration says
    #[arg(long, value_name = "TIME", value_parser = age)]
    rto: Option<u64>,
    /// The oldest that the newest snapshot may be, such as 26h; without it, what the application's configuration says
    #[arg(long, value_name = "TIME", value_parser = age)]
    rpo: Option<u64>,
    #[command(flatten)]
    recipes: recipe::Folder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum At {
    Latest,
    Random,
}

fn age(text: &str) -> Result<u64, String> {
    parse_age(text).ok_or_else(|| "write a number and a unit, such as 90s, 15m, 26h or 3d".into())
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let recipes = args.recipes.recipes()?;
    let repo = session.open()?;
    session.accept_rollback(&repo, None)?;
    let all = repo.snapshots(None)?;
    for (object, error) in &all.unreadable {
        session.screen.warn(&human::about(object, error));
    }
    let mut wrong = all.unreadable.len();
    let mut by_series: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
    for listed in all.listed {
        by_series.entry(listed.snapshot.series.clone()).or_default().push(listed);
    }
    let index = session.index(&repo)?;
    let reader = BlobReader::new(&repo, &index);
    let mut reports = Vec::new();
    for (name, mut versions) in by_series {
        let Ok(series) = Series::parse(&name) else { continue };
        versions.sort_by_key(|listed| listed.snapshot.head.sequence);
        let Some(newest) = versions.last() else { continue };
        let stored = newest.snapshot.configuration.as_deref().map(|bytes| StoredConfig::decode(&series, bytes));
        let kind = stored.as_ref().and_then(|stored| Some(stored.as_ref().ok()?.app.recipe.clone()));
        if !is_selected(&args.select, &series, kind.as_deref()) {
            continue;
        }
        if stored.is_none() {
            session.screen.note(&format!("{series}: its snapshots hold no configuration of an application"));
            continue;
        }
        let chosen = match args.at {
            At::Latest => versions.len() - 1,
            At::Random => u64::from_le_bytes(random::<8>(&KernelEntropy)?) as usize % versions.len(),
        };
        let Some(listed) = versions.get(chosen) else { continue };
        let progress = session.progress();
        let held = hold(&args, &recipes, &reader, &series, listed, progress.monitor());
        progress.end();
        match held {
            Ok(report) => {
                wrong += usize::from(!report.passed());
                record(session, &report);
                session.print_result(|| tell(&report));
                reports.push(report_json(&report));
            }
            Err(Error::Cancelled) => return Err(Failure::Stopped("stopped on request; the scratch place is removed")),
            Err(error) => {
                wrong += 1;
                session.screen.error(&format!("{series}: {error}"));
                reports.push(json!({ "series": series.to_string(), "passed": false, "wrong": [error.to_string()] }));
            }
        }
    }
    if reports.is_empty() && wrong == 0 {
        return Err(Error::usage("no application was selected: see `vault snapshots`").into());
    }
    let outcome = if wrong > 0 { Outcome::Incomplete } else { Outcome::Good };
    Ok(Done { outcome, result: json!({ "drills": reports }) })
}

/// Status and history are to know of it. That they do not is told, and takes nothing from what was found.
fn record(session: &Session, report: &op::Report) {
    let Some(state) = session.state_folder() else { return };
    // Without a configuration there is no history.
    let history = super::fleet::Which::default().load().ok().map(|loaded| loaded.fleet.history);
    if let Err(error) = drills::record(&state, history.as_deref(), report, &jiff::tz::TimeZone::system()) {
        session.screen.warn(&format!("the drill was not noted: {error}"));
    }
}

fn is_selected(select: &[String], series: &Series, kind: Option<&str>) -> bool {
    select.is_empty()
        || select.iter().any(|word| match word.strip_prefix("type:") {
            Some(wanted) => kind == Some(wanted),
            None => series.is_under(word),
        })
}

fn hold(
    args: &Args,
    recipes: &crate::fleet::recipe::Recipes,
    reader: &BlobReader<'_>,
    series: &Series,
    listed: &Listed,
    monitor: &dyn crate::monitor::Monitor,
) -> Result<op::Report, Error> {
    let bytes = listed.snapshot.configuration.as_deref().unwrap_or_default();
    let stored = StoredConfig::decode(series, bytes)?;
    let recipe = recipes.find(&stored.app.recipe)?;
    let (rto, rpo) = promised(&stored);
    let request = op::Request {
        scratch: &args.scratch,
        rto: args.rto.or(rto),
        // An older snapshot is as old as it is.
        rpo: if args.at == At::Latest { args.rpo.or(rpo) } else { None },
    };
    op::drill(reader, listed, &stored.app, &*recipe, request, &SystemClock, monitor)
}

fn seconds(seconds: f64) -> String {
    human::duration(Duration::from_secs_f64(seconds.max(0.0)))
}

fn tell(report: &op::Report) -> io::Result<()> {
    let out = &mut io::BufWriter::new(io::stdout().lock());
    let verdict = if report.passed() { "passed" } else { "FAILED" };
    let series = Shown(report.series.as_bytes());
    writeln!(out, "{verdict} {series} snapshot {}", report.snapshot.short())?;
    let (files, bytes) = (human::count(report.files), human::bytes(report.bytes));
    writeln!(
        out,
        "  restored {files} files, {bytes}, in {} (RTO); the data were {} old (RPO)",
        seconds(report.seconds),
        seconds(report.age as f64)
    )?;
    recipe::print_loaded(out, &report.databases)?;
    recipe::print_findings(out, &report.findings)?;
    for note in &report.notes {
        writeln!(out, "  note   {note}")?;
    }
    let told =
        |line: &&String| !report.findings.iter().any(|one| one.wrong.as_ref().is_some_and(|why| line.ends_with(why)));
    for line in report.wrong.iter().filter(told) {
        writeln!(out, "  WRONG  {line}")?;
    }
    out.flush()
}

fn report_json(report: &op::Report) -> Value {
    json!({
        "series": report.series,
        "snapshot": report.snapshot.to_string(),
        "passed": report.passed(),
        "seconds": report.seconds,
        "age_seconds": report.age,
        "files": report.files,
        "bytes": report.bytes,
        "databases": recipe::loaded_json(&report.databases),
        "findings": recipe::findings_json(&report.findings),
        "notes": report.notes,
        "wrong": report.wrong,
    })
}
