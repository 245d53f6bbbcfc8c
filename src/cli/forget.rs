//! `vault forget`

use super::{
    address,
    exit::{Done, Failure},
    host,
    human::{self, Align, Table},
    json,
    session::Session,
};
use crate::{
    error::Error,
    id::SnapshotId,
    name::Shown,
    ops::forget::{
        self as op, Actor, Plan, Report, SeriesPlan,
        policy::{Every, Guard, Policy, Reach, Rule, Suspicion},
    },
    repo::Repository,
    series::{Address, Version, parse_age},
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
};

const EXAMPLES: &str = "\
Examples:
  vault forget --keep-daily 14 --keep-weekly 8 --keep-monthly 24 --dry-run
  vault forget alpha.example.org/web1 --keep-within 2w --keep-yearly 10 --explain
  vault forget 1a2b3c4d                       one snapshot, by its id
  vault forget alpha/-/srv/wiki@2026-03-02    or by its series and a version

Each series is looked at by itself. Periods are cut where you are, unless --zone says otherwise; what
any rule keeps is kept. A rule keeps the newest snapshot of each of the N newest periods that have one,
and the oldest of the series while there are fewer; an incomplete snapshot never takes the place of a
complete one. The newest snapshot, the newest complete one and pinned ones are always kept.
A snapshot that is suddenly small, or whose time cannot be right, displaces nothing.
To get space back: vault prune.";

/// Forget snapshots that no rule keeps, or single ones
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// With rules: only series under this one (server, server/vm, server/vm/relpath); without: snapshots, by ID or SERIES@VERSION
    #[arg(value_name = "SERIES|SNAPSHOT")]
    what: Vec<OsString>,
    /// Keep the N newest
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Rules")]
    keep_last: Option<Reach>,
    /// Keep one an hour: of N hours, or for an AGE (36h)
    #[arg(long, value_name = "N|AGE", value_parser = reach, help_heading = "Rules")]
    keep_hourly: Option<Reach>,
    /// Keep one a day: of N days, or for an AGE (30d)
    #[arg(long, value_name = "N|AGE", value_parser = reach, help_heading = "Rules")]
    keep_daily: Option<Reach>,
    /// Keep one a week, which begins on Monday: of N weeks, or for an AGE (12w)
    #[arg(long, value_name = "N|AGE", value_parser = reach, help_heading = "Rules")]
    keep_weekly: Option<Reach>,
    /// Keep one a month: of N months, or for an AGE (1y)
    #[arg(long, value_name = "N|AGE", value_parser = reach, help_heading = "Rules")]
    keep_monthly: Option<Reach>,
    /// Keep one a year: of N years, or for an AGE (10y)
    #[arg(long, value_name = "N|AGE", value_parser = reach, help_heading = "Rules")]
    keep_yearly: Option<Reach>,
    /// Keep all that were taken less than AGE before the newest (90s, 12h, 3d, 2w, 1y)
    #[arg(long, value_name = "AGE", value_parser = age, help_heading = "Rules")]
    keep_within: Option<Reach>,
    /// Keep all with this tag (again for more)
    #[arg(long, value_name = "TAG", help_heading = "Rules")]
    keep_tag: Vec<String>,
    /// Let snapshots displace others that hold less than half of what is usual in their series
    #[arg(long, help_heading = "Rules")]
    despite_shrink: bool,
    /// Let snapshots displace others whose times lie in the future or run backwards
    #[arg(long, help_heading = "Rules")]
    despite_clock: bool,
    /// The time zone whose hours, days, weeks… count, such as UTC or Europe/Berlin [default: the system's]
    #[arg(long, value_name = "ZONE", help_heading = "Rules")]
    zone: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Show each snapshot, and what keeps it
    #[arg(long)]
    explain: bool,
    /// Do not ask before single snapshots are forgotten
    #[arg(long, short)]
    yes: bool,
    /// Also forget the newest complete snapshot of a series, or one that cannot be read, when it is named
    #[arg(long)]
    force: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

fn count(text: &str) -> Result<Reach, String> {
    match text.parse::<u64>() {
        Ok(0) => Err("keep at least 1, or leave the rule out".into()),
        Ok(n) => Ok(Reach::Count(n)),
        Err(_) => Err("write a number".into()),
    }
}

fn age(text: &str) -> Result<Reach, String> {
    match parse_age(text) {
        Some(seconds) if seconds > 0 => Ok(Reach::Within(seconds)),
        _ => Err("write an age such as 12h, 30d, 8w or 1y".into()),
    }
}

fn reach(text: &str) -> Result<Reach, String> {
    if text.bytes().all(|b| b.is_ascii_digit()) { count(text) } else { age(text) }
}

impl Args {
    fn policy(&self) -> Policy {
        let rules = [
            (Every::Snapshot, self.keep_last),
            (Every::Snapshot, self.keep_within),
            (Every::Hour, self.keep_hourly),
            (Every::Day, self.keep_daily),
            (Every::Week, self.keep_weekly),
            (Every::Month, self.keep_monthly),
            (Every::Year, self.keep_yearly),
        ];
        Policy {
            rules: rules.into_iter().filter_map(|(every, reach)| Some(Rule { every, reach: reach? })).collect(),
            tags: self.keep_tag.clone(),
            despite_shrink: self.despite_shrink,
            despite_clock: self.despite_clock,
        }
    }

    fn zone(&self) -> Result<TimeZone, Error> {
        match &self.zone {
            None => Ok(TimeZone::system()),
            Some(name) => TimeZone::get(name).map_err(|_| {
                Error::usage(format!("\"{}\" is no time zone: write UTC or Europe/Berlin", Shown(name.as_bytes())))
            }),
        }
    }

    /// Addresses of single snapshots. A series alone would mean its newest, which nobody wants to forget by omission.
    fn addresses(&self) -> Result<Vec<Address>, Error> {
        if self.what.is_empty() {
            return Err(Error::usage(
                "what is to be kept? Give at least one rule, such as --keep-daily 14; or name the snapshots to forget",
            ));
        }
        let parse = |text: &OsString| {
            let bytes = text.as_bytes();
            let address = Address::parse(bytes)?;
            let shown = Shown(bytes);
            if address.path.is_some() {
                return Err(Error::usage(format!(
                    "\"{shown}\" names files; only whole snapshots are forgotten, by ID or SERIES@VERSION"
                )));
            }
            if address.version == Version::Latest && !bytes.ends_with(b"@latest") {
                return Err(Error::usage(format!(
                    "\"{shown}\" is a series: give rules for what to keep of it, such as --keep-daily 14, or name single \
                     snapshots by ID or SERIES@VERSION"
                )));
            }
            Ok(address)
        };
        self.what.iter().map(parse).collect()
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let policy = args.policy();
    // What makes no sense is told before a passphrase is asked for.
    let single = policy.rules.is_empty() && policy.tags.is_empty();
    let addresses = if single { args.addresses()? } else { Vec::new() };
    let zone = args.zone()?;
    let repo = session.open()?;
    let progress = session.progress();
    let plan = if single {
        let instant = |text: &str| address::instant(text, TimeZone::system());
        let reason = args.reason.as_deref().unwrap_or("asked for by name");
        op::of_snapshots(&repo, &addresses, &instant, reason, args.force, progress.monitor())
    } else {
        let under: Vec<String> = args.what.iter().map(|text| text.to_string_lossy().into_owned()).collect();
        op::of_policy(&repo, &under, &policy, &zone, progress.monitor())
    };
    progress.end();
    let mut plan = plan?;
    if let (false, Some(reason)) = (single, &args.reason) {
        plan.doomed.iter_mut().for_each(|doomed| doomed.reason = format!("{reason} ({})", doomed.reason));
    }
    if !session.screen.json {
        quietly(session, print_plan(session, &args, &plan, single));
    }
    tell_doubts(session, &plan);
    if args.dry_run {
        return Ok(done(&plan, None));
    }
    if single && !args.yes && !plan.doomed.is_empty() {
        let many = human::counted(plan.doomed.len() as u64, "snapshot", "snapshots");
        session.confirm(&format!("forget {many}? This cannot be undone."))?;
    }
    let report = carry_out(session, &repo, &plan)?;
    if !session.screen.json {
        quietly(session, print_report(session, &plan, &report));
    }
    Ok(done(&plan, Some(&report)))
}

fn carry_out(session: &Session, repo: &Repository, plan: &Plan) -> Result<Report, Failure> {
    let actor = Actor { host: host::fqdn(), user: host::user() };
    let progress = session.progress();
    let report = op::apply(repo, plan, &actor, progress.monitor());
    progress.end();
    Ok(report?)
}

/// What is done counts, whether or not anybody reads of it.
fn quietly(session: &Session, printed: io::Result<()>) {
    match printed {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            session.screen.warn(&format!("cannot write the output: {e}"));
        }
        _ => {}
    }
}

fn forgotten(series: &SeriesPlan) -> u64 {
    series.snapshots.iter().filter(|entry| entry.keep.is_empty()).count() as u64
}

fn print_plan(session: &Session, args: &Args, plan: &Plan, single: bool) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    let colours = session.screen.stdout_colours();
    if session.global.quiet && !(args.dry_run || args.explain) {
        return Ok(());
    }
    if !(args.dry_run || args.explain || single) {
        if plan.series.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&[("SERIES", Align::Left), ("KEPT", Align::Right), ("FORGOTTEN", Align::Right)]);
        for series in &plan.series {
            let gone = forgotten(series);
            let kept = series.snapshots.len() as u64 - gone;
            let name = Shown(series.series.as_bytes()).to_string();
            table.row(vec![name, human::count(kept), human::count(gone)]);
        }
        return table.print(out, colours);
    }
    for (i, series) in plan.series.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", Shown(series.series.as_bytes()))?;
        let mut table = Table::new(&[
            ("", Align::Left),
            ("ID", Align::Left),
            ("TIME", Align::Left),
            ("SIZE", Align::Right),
            ("TAGS", Align::Left),
            ("KEPT BY", Align::Left),
        ]);
        for entry in &series.snapshots {
            let reasons: Vec<String> =
                entry.keep.iter().map(|reason| Shown(reason.to_string().as_bytes()).to_string()).collect();
            let tags: Vec<String> = entry.tags.iter().map(|tag| Shown(tag.as_bytes()).to_string()).collect();
            table.row(vec![
                if entry.keep.is_empty() { "forget" } else { "keep" }.into(),
                entry.id.short(),
                human::local_time(entry.head.time.sec),
                human::bytes(entry.size),
                tags.join(" "),
                reasons.join(", "),
            ]);
        }
        table.print(out, colours)?;
    }
    let shown = |id: &SnapshotId| plan.series.iter().any(|one| one.snapshots.iter().any(|entry| entry.id == *id));
    for doomed in plan.doomed.iter().filter(|doomed| !shown(&doomed.head.snapshot)) {
        writeln!(out, "forget  {}, which cannot be read", doomed.head.snapshot.short())?;
    }
    if args.dry_run && !session.global.quiet {
        let would = human::counted(plan.doomed.len() as u64, "snapshot", "snapshots");
        let kept = if single { String::new() } else { format!(" and keep {}", human::count(plan.kept())) };
        writeln!(out, "would forget {would}{kept}; nothing was done")?;
    }
    Ok(())
}

fn tell_doubts(session: &Session, plan: &Plan) {
    if session.screen.json {
        return;
    }
    for series in &plan.series {
        let name = Shown(series.series.as_bytes());
        for guard in &series.guards {
            session.screen.warn(&format!("{name}: {}", guard_text(series, guard)));
        }
        if let Some(object) = &series.illegible {
            session.screen.warn(&format!("{name}: all snapshots count as pinned, since {object} cannot be read"));
        }
    }
    for (object, error) in &plan.unreadable {
        session.screen.warn(&human::about(object, error));
    }
}

/// What is suspected, what is held for it, and what to do.
fn guard_text(series: &SeriesPlan, guard: &Guard) -> String {
    let ids: Vec<String> = guard.suspects.iter().take(3).map(SnapshotId::short).collect();
    let more = if guard.suspects.len() > ids.len() { ", …" } else { "" };
    let held = human::counted(series.held, "snapshot is held", "snapshots are held");
    let (what, option) = match guard.suspicion {
        Suspicion::Shrunken => ("what was taken last is suddenly less than half of what is usual", "--despite-shrink"),
        Suspicion::Future => ("times lie in the future", "--despite-clock"),
        Suspicion::Backwards => ("times run backwards", "--despite-clock"),
    };
    format!(
        "{what} ({}{more}): {held} that would be forgotten; when that is as it should be, give {option}",
        ids.join(", ")
    )
}

fn print_report(session: &Session, plan: &Plan, report: &Report) -> io::Result<()> {
    if session.global.quiet {
        return Ok(());
    }
    let out = &mut io::stdout().lock();
    let many = human::counted(report.forgotten.len() as u64, "snapshot", "snapshots");
    let kept = if plan.kept() > 0 { format!(", kept {}", human::count(plan.kept())) } else { String::new() };
    writeln!(out, "forgot {many}{kept}")?;
    if report.finished > 0 {
        let many = human::counted(report.finished, "snapshot", "snapshots");
        writeln!(out, "removed {many} of a run that was interrupted")?;
    }
    for id in &report.pinned {
        session.screen.note(&format!("{} was pinned meanwhile, and is kept", id.short()));
    }
    if !report.forgotten.is_empty() && session.screen.stdout_terminal {
        session.screen.note("what they alone needed still takes its space: vault prune gives it back");
    }
    Ok(())
}

fn done(plan: &Plan, report: Option<&Report>) -> Done {
    let entry = |entry: &op::Entry| {
        json!({
            "id": entry.id.to_string(),
            "sequence": entry.head.sequence,
            "time": json::time(entry.head.time),
            "complete": entry.head.complete,
            "bytes": entry.size,
            "tags": entry.tags,
            "forget": entry.keep.is_empty(),
            "kept_by": entry.keep.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let guard = |guard: &Guard| {
        let suspicion = match guard.suspicion {
            Suspicion::Shrunken => "shrunken",
            Suspicion::Future => "future",
            Suspicion::Backwards => "backwards",
        };
        let suspects: Vec<String> = guard.suspects.iter().map(ToString::to_string).collect();
        json!({ "suspicion": suspicion, "suspects": suspects })
    };
    let series: Vec<Value> = plan
        .series
        .iter()
        .map(|one| {
            json!({
                "series": one.series,
                "snapshots": one.snapshots.iter().map(entry).collect::<Vec<_>>(),
                "guards": one.guards.iter().map(guard).collect::<Vec<_>>(),
                "held": one.held,
                "illegible": one.illegible,
            })
        })
        .collect();
    let object = |(object, error): &(String, Error)| json!({ "object": object, "message": error.to_string() });
    let ids = |ids: Vec<SnapshotId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let planned = || plan.doomed.iter().map(|doomed| doomed.head.snapshot).collect();
    let failed: Vec<Value> = report.iter().flat_map(|report| &report.failed).map(object).collect();
    let wrong = !plan.unreadable.is_empty() || !failed.is_empty();
    Done::unless(
        wrong,
        json!({
            "series": series,
            "forgotten": ids(report.map_or_else(planned, |report| report.forgotten.clone())),
            "kept": plan.kept(),
            "finished": report.map_or(plan.leftovers.len() as u64, |report| report.finished),
            "pinned_meanwhile": ids(report.map_or_else(Vec::new, |report| report.pinned.clone())),
            "failed": failed,
            "unreadable": plan.unreadable.iter().map(object).collect::<Vec<_>>(),
            "dry_run": report.is_none(),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_numbers_or_ages() {
        assert_eq!((reach("14"), reach("30d")), (Ok(Reach::Count(14)), Ok(Reach::Within(30 * 86400))));
        for bad in ["0", "0d", "-1", "x", "", "1.5", "3mo", "99999999999999999999"] {
            assert!(reach(bad).is_err() && age(bad).is_err(), "{bad}");
        }
        assert!(count("3d").is_err() && age("3").is_err());
    }
}
