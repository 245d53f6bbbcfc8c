//! `vault status`

use super::{Loaded, Which, flat};
use crate::{
    cli::{
        exit::{Done, Failure, Outcome},
        human::{self, Align, Table},
        session::Session,
    },
    error::Result,
    fleet::{
        config::Select,
        state::replace,
        status::{self as op, HolderKind, Look, Status},
    },
    name::Shown,
    world::{Clock, SystemClock},
};
use clap::ValueHint;
use jiff::tz::TimeZone;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

const EXAMPLES: &str = "\
Examples:
  vault status                             what is red?
  vault status --all                       all applications
  vault status type:rails                  some of them
  vault status --html /var/www/backups.html --prometheus /var/lib/node_exporter/vault.prom

Red is what is absent: no good snapshot within the RPO, too few copies or sites, no check or drill in time, a repository
that cannot be reached, a medium that is overdue, a job that went wrong. Exit codes: 0 nothing is red, 3 something is.";

/// Are all applications safe? What the configuration expects, against what repositories and media hold
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only these: server/vm/path or a beginning of it, type:NAME, server:NAME, vm:NAME, tag:WORD
    #[arg(value_name = "SELECT")]
    select: Vec<String>,
    /// Show each application, not only what is red or odd; and look at those of other machines, too
    #[arg(long, short)]
    all: bool,
    /// Write metrics to FILE, for node_exporter's folder of text files
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    prometheus: Option<PathBuf>,
    /// Write a page to FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let loaded = args.which.load()?;
    let chosen = Select::parse(args.select.iter().map(String::as_str))?;
    let mut services = loaded.fleet.selected(&chosen, &args.select)?;
    if args.select.is_empty() && !args.all {
        services = op::concern(&loaded.fleet, &loaded.host);
    }
    let state = super::state(session)?;
    let look = Look {
        fleet: &loaded.fleet,
        services,
        host: &loaded.host,
        state: &state,
        now: SystemClock.now().sec,
        open: &|repository| super::open(session, repository).map_err(flat),
    };
    let status = op::look(&look)?;
    if let Some(path) = &args.prometheus {
        replace(path, op::prometheus(&status).as_bytes(), 0o644)?;
    }
    if let Some(path) = &args.html {
        replace(path, op::page(&status, &TimeZone::system()).as_bytes(), 0o644)?;
    }
    if !session.screen.json {
        print(session, &status, args.all || !args.select.is_empty())?;
    }
    let outcome = if status.is_red() { Outcome::Incomplete } else { Outcome::Good };
    Ok(Done { outcome, result: op::json(&status) })
}

/// Writes the files that the configuration wants after each run. That one cannot be written is told.
pub fn write_files(session: &Session, loaded: &Loaded, state: &Path) {
    let files = &loaded.fleet.status;
    if files.prometheus.is_none() && files.html.is_none() && files.json.is_none() {
        return;
    }
    let look = Look {
        fleet: &loaded.fleet,
        services: op::concern(&loaded.fleet, &loaded.host),
        host: &loaded.host,
        state,
        now: SystemClock.now().sec,
        open: &|repository| super::open(session, repository).map_err(flat),
    };
    let written = op::look(&look).and_then(|status| {
        let write = |path: &Option<PathBuf>, text: &dyn Fn() -> String| match path {
            Some(path) => replace(path, text().as_bytes(), 0o644),
            None => Ok(()),
        };
        write(&files.prometheus, &|| op::prometheus(&status))?;
        write(&files.html, &|| op::page(&status, &TimeZone::system()))?;
        write(&files.json, &|| op::json(&status).to_string())
    });
    if let Err(error) = written {
        session.screen.warn(&format!("the status was not written: {error}"));
    }
}

fn ago(now: i64, time: Option<i64>) -> String {
    match time {
        Some(time) => human::duration(Duration::from_secs(u64::try_from(now - time).unwrap_or(0))),
        None => "never".into(),
    }
}

fn print(session: &Session, status: &Status, all: bool) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    let colours = session.screen.stdout_colours();
    let (red, green, plain) = if colours { ("\x1b[1;31m", "\x1b[32m", "\x1b[0m") } else { ("", "", "") };
    let mut table = Table::new(&[
        ("APPLICATION", Align::Left),
        ("GOOD", Align::Right),
        ("COPIES", Align::Right),
        ("SITES", Align::Right),
        ("CHECKED", Align::Right),
        ("DRILLED", Align::Right),
        ("SIZE", Align::Right),
        ("STATE", Align::Left),
    ]);
    let mut rows = 0;
    for app in &status.apps {
        if !all && app.red.is_empty() && app.odd.is_empty() {
            continue;
        }
        rows += 1;
        let state = match (app.red.is_empty(), app.odd.is_empty()) {
            (false, _) => "red",
            (true, false) => "odd",
            _ => "ok",
        };
        table.row(vec![
            Shown(app.series.as_bytes()).to_string(),
            ago(status.time, app.good),
            format!("{}/{}", app.places.len(), app.slo.copies),
            format!("{}/{}", app.sites, app.slo.sites),
            ago(status.time, app.checked),
            ago(status.time, app.drilled),
            app.sizes.first().map_or_else(|| "–".into(), |size| human::bytes(*size)),
            state.into(),
        ]);
        app.red.iter().chain(&app.odd).for_each(|why| table.text(format!("    {why}")));
    }
    if rows > 0 {
        table.print(out, colours)?;
        writeln!(out)?;
    }
    let mut places = Table::new(&[
        ("PLACE", Align::Left),
        ("SITE", Align::Left),
        ("APPLICATIONS", Align::Right),
        ("SYNCED", Align::Right),
        ("STATE", Align::Left),
    ]);
    for one in &status.holders {
        let medium = one.kind == HolderKind::Medium;
        let known = one.kind != HolderKind::Pulled;
        places.row(vec![
            Shown(if medium { format!("usb:{}", one.name) } else { one.name.clone() }.as_bytes()).to_string(),
            Shown(one.site.as_bytes()).to_string(),
            if known { human::count(one.held.len() as u64) } else { "–".into() },
            if one.kind.is_synced() { ago(status.time, one.synced) } else { String::new() },
            if one.red.is_empty() { "ok" } else { "red" }.into(),
        ]);
        if !one.red.is_empty() {
            places.text(format!("    {}", one.red));
        }
    }
    if !status.holders.is_empty() {
        places.print(out, colours)?;
        writeln!(out)?;
    }
    for job in &status.jobs {
        writeln!(out, "{red}red:{plain} {job}")?;
    }
    let foreign: u64 = status.holders.iter().map(|one| one.foreign).sum();
    if foreign > 0 && all {
        session.screen.note(&format!(
            "{} not in the configuration, or of other machines",
            human::counted(foreign, "series is", "series are")
        ));
    }
    let (bad, many) = (status.red_apps(), status.apps.len());
    match (status.is_red(), bad) {
        (false, _) => writeln!(out, "{green}all {many} applications are as promised{plain}"),
        (true, 0) => writeln!(out, "{many} applications are as promised, what is around them is {red}red{plain}"),
        (true, n) => writeln!(out, "{red}{n} of {many} applications are red{plain}"),
    }
}
