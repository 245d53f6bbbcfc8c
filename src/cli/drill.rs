//! `vault drill`

use super::{
    exit::{Done, Failure, Outcome},
    fleet::{self, Which},
    human, recipe,
    session::Session,
};
use crate::{
    error::Error,
    fleet::{config::Select, drill as op, night::drills, recovery::Means},
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

With --repo (or VAULT_REPO) of the applications that a repository holds, else of those of the configuration.
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
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum At {
    Latest,
    Random,
}

fn age(text: &str) -> Result<u64, String> {
    parse_age(text).ok_or_else(|| "write a number and a unit, such as 90s, 15m, 26h or 3d".into())
}

/// What came of all drills.
#[derive(Default)]
struct Held {
    reports: Vec<Value>,
    wrong: usize,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let mut held = Held::default();
    // A repository that is named stands for itself; else the configuration says which there are.
    match session.place() {
        Ok(_) => of_repository(&args, session, &mut held)?,
        Err(_) => of_configuration(&args, session, &mut held)?,
    }
    if held.reports.is_empty() && held.wrong == 0 {
        return Err(Error::usage("no application was selected: see `vault snapshots`").into());
    }
    let outcome = if held.wrong > 0 { Outcome::Incomplete } else { Outcome::Good };
    Ok(Done { outcome, result: json!({ "drills": held.reports }) })
}

/// All applications whose snapshots a repository holds, as these say themselves.
fn of_repository(args: &Args, session: &Session, held: &mut Held) -> Result<(), Failure> {
    let recipes = args.recipes.recipes()?;
    let repo = session.open()?;
    session.accept_rollback(&repo, None)?;
    let all = repo.snapshots(None)?;
    for (object, error) in &all.unreadable {
        session.screen.warn(&human::about(object, error));
    }
    held.wrong += all.unreadable.len();
    let mut by_series: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
    for listed in all.listed {
        by_series.entry(listed.snapshot.series.clone()).or_default().push(listed);
    }
    let index = session.index(&repo)?;
    let reader = BlobReader::new(&repo, &index);
    for (name, versions) in by_series {
        let Ok(series) = Series::parse(&name) else { continue };
        let Some(listed) = args.choose(versions)? else { continue };
        let means = Means::of(&listed, &recipes, None).transpose();
        let kind = means.as_ref().and_then(|means| Some(means.as_ref().ok()?.app.recipe.clone()));
        if !is_selected(&args.select, &series, kind.as_deref()) {
            continue;
        }
        let Some(means) = means else {
            session.screen.note(&format!("{series}: its snapshot holds no configuration of an application"));
            continue;
        };
        let done = means.and_then(|means| args.hold(session, &reader, &listed, &means, means.promised));
        if let (Ok(report), Some(state)) = (&done, session.state_folder()) {
            note(session, drills::record(&state, None, report, &jiff::tz::TimeZone::system()));
        }
        held.take(session, &series, done)?;
    }
    Ok(())
}

/// That a drill could not be noted takes nothing from what was found.
fn note(session: &Session, noted: Result<(), Error>) {
    if let Err(error) = noted {
        session.screen.warn(&format!("the drill was not noted: {error}"));
    }
}

/// Applications of the configuration; what comes of it is remembered, and written to the history.
fn of_configuration(args: &Args, session: &Session, held: &mut Held) -> Result<(), Failure> {
    let loaded = args.which.load()?;
    let named = args.recipes.named()?;
    let recipes = named.as_ref().unwrap_or(&loaded.recipes);
    let chosen = Select::parse(args.select.iter().map(String::as_str))?;
    let state = fleet::state(session)?;
    let zone = jiff::tz::TimeZone::system();
    for service in loaded.fleet.selected(&chosen, &args.select)? {
        let done =
            loaded.fleet.repositories.get(&service.repository).ok_or_else(|| Error::usage("it has no repository"));
        let done = done.and_then(|entry| {
            let repo = fleet::open(session, entry).map_err(fleet::flat)?;
            let all = repo.snapshots(Some(&service.app.series))?;
            if let Some((object, error)) = all.unreadable.first() {
                return Err(Error::refused(human::about(object, error)));
            }
            let listed = args.choose(all.listed)?.ok_or_else(|| Error::refused("there is no snapshot of it"))?;
            let index = session.index(&repo)?;
            let reader = BlobReader::new(&repo, &index);
            // As the night does it: by what the snapshot holds, against what is promised today.
            let means = Means::of(&listed, recipes, Some(&service.app))?;
            let means = means.ok_or_else(|| Error::refused("it has no configuration"))?;
            args.hold(session, &reader, &listed, &means, (service.slo.rto, Some(service.slo.rpo)))
        });
        if let Ok(report) = &done {
            note(session, drills::record(&state, Some(&loaded.fleet.history), report, &zone));
        }
        held.take(session, &service.app.series, done)?;
    }
    Ok(())
}

fn is_selected(select: &[String], series: &Series, kind: Option<&str>) -> bool {
    select.is_empty()
        || select.iter().any(|word| match word.strip_prefix("type:") {
            Some(wanted) => kind == Some(wanted),
            None => series.is_under(word),
        })
}

impl Args {
    /// The snapshot that is to be restored.
    fn choose(&self, mut versions: Vec<Listed>) -> Result<Option<Listed>, Error> {
        versions.sort_by_key(|listed| listed.snapshot.head.sequence);
        if versions.is_empty() {
            return Ok(None);
        }
        let chosen = match self.at {
            At::Latest => versions.len() - 1,
            At::Random => u64::from_le_bytes(random::<8>(&KernelEntropy)?) as usize % versions.len(),
        };
        Ok(Some(versions.swap_remove(chosen)))
    }

    fn hold(
        &self,
        session: &Session,
        reader: &BlobReader<'_>,
        listed: &Listed,
        means: &Means,
        (rto, rpo): (Option<u64>, Option<u64>),
    ) -> Result<op::Report, Error> {
        let request = op::Request {
            scratch: &self.scratch,
            rto: self.rto.or(rto),
            // An older snapshot is as old as it is.
            rpo: if self.at == At::Latest { self.rpo.or(rpo) } else { None },
        };
        let progress = session.progress();
        if let Some(note) = &means.note {
            session.screen.note(&format!("{}: {note}", means.app.series));
        }
        let report = op::drill(reader, listed, &means.app, &*means.recipe, request, &SystemClock, progress.monitor());
        progress.end();
        report
    }
}

impl Held {
    /// Tells what came of one; an error when the user wants to stop.
    fn take(&mut self, session: &Session, series: &Series, done: Result<op::Report, Error>) -> Result<(), Failure> {
        match done {
            Ok(report) => {
                self.wrong += usize::from(!report.passed());
                session.print_result(|| tell(&report));
                self.reports.push(report_json(&report));
            }
            Err(Error::Cancelled) => return Err(Failure::Stopped("stopped on request; the scratch place is removed")),
            Err(error) => {
                self.wrong += 1;
                session.screen.error(&format!("{series}: {error}"));
                let wrong = [error.to_string()];
                self.reports.push(json!({ "series": series.to_string(), "passed": false, "wrong": wrong }));
            }
        }
        Ok(())
    }
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
