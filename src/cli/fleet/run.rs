//! `vault run`

use super::{Loaded, Which, flat};
use crate::{
    cli::{
        exit::{Done, Failure, Outcome},
        host,
        human::{self, Align, Table},
        pull,
        session::Session,
    },
    error::{Error, Result},
    fleet::{
        config::{self as conf, Role, Select},
        night::{self, Around, Came, Job, Night, Report, What},
        notify::{self, Event, Speaker},
        recipe::Recipes,
        state::{State, due},
    },
    monitor::Monitor,
    name::Shown,
    ops,
    repo::Repository,
    series::parse_age,
    store::SharedStore,
    world::{Clock, Entropy, KernelEntropy, SystemClock, random},
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  vault run                            all that is due on this machine: the nightly job
  vault run --dry-run                  what would be done?
  vault run alpha/web1/shop            snapshots of one application, due or not
  vault run type:rails server:alpha    of some

For each application: hooks, databases and files in one snapshot, history. Then, unless applications were named:
what no rule keeps is forgotten; copies, media that are plugged in, pulls, prunes, checks and drills that are due.
One failure stops nothing else. Exit codes: 0 all done, 3 something went wrong, 75 another run is under way.";

/// Back up all applications of this machine that are due, and do what is due beside
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only these, due or not: server/vm/path or a beginning of it, type:NAME, server:NAME, vm:NAME, tag:WORD
    #[arg(value_name = "SELECT")]
    select: Vec<String>,
    /// Do what is not due, too
    #[arg(long)]
    force: bool,
    /// Show what would be done, and do nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Wait before, for a random time up to this
    #[arg(long, value_name = "AGE", value_parser = age)]
    jitter: Option<u64>,
    /// Do nothing when the last run is younger than this
    #[arg(long, value_name = "AGE", value_parser = age)]
    if_older: Option<u64>,
    #[command(flatten)]
    which: Which,
}

fn age(text: &str) -> Result<u64, String> {
    parse_age(text).ok_or_else(|| "write a number and a unit: 90s, 20m, 36h".into())
}

/// What a run asks for, by the command line.
struct World<'a> {
    session: &'a Session,
    loaded: &'a Loaded,
}

impl Around for World<'_> {
    fn open(&self, repository: &conf::Repository) -> Result<Repository> {
        super::open(self.session, repository).map_err(flat)
    }

    fn store(&self, repository: &conf::Repository) -> Result<SharedStore> {
        super::store(self.session, repository)
    }

    fn pull(&self, pull: &conf::Pull, monitor: &dyn Monitor) -> Result<ops::pull::Report> {
        let asked = pull::Asked::of(pull, self.session.global.accept_rollback);
        Ok(pull::pull(&asked, self.session, monitor)?.report)
    }

    fn recipes(&self) -> &Recipes {
        &self.loaded.recipes
    }

    fn cache(&self) -> Option<PathBuf> {
        self.session.surroundings().cache
    }

    fn step(&self, what: &What, work: &mut dyn FnMut(&dyn Monitor)) {
        let screen = &self.session.screen;
        let progress = self.session.progress();
        // What is wrong with an application is told with its name.
        progress.hold_problems();
        if screen.stderr_terminal && !screen.json && !screen.quiet {
            screen.say(&format!("{what}"));
        }
        work(progress.monitor());
        for problem in progress.end() {
            screen.warn(&format!("{what}: {problem}"));
        }
    }

    fn ended(&self, job: &Job) {
        let screen = &self.session.screen;
        if screen.json {
            return screen.event(&event(job));
        }
        if let Came::Failed(why) = &job.came {
            screen.error(&format!("{}: {why}", job.what));
        }
    }
}

fn event(job: &Job) -> Value {
    let mut out = json!({
        "event": "job",
        "job": job.what.verb(),
        "object": job.what.object(),
        "outcome": job.came.word(),
        "seconds": job.seconds,
    });
    let text = match &job.came {
        Came::Drill { files, bytes, .. } => {
            (out["files"], out["bytes"]) = ((*files).into(), (*bytes).into());
            return out;
        }
        Came::Snapshot { id, files, bytes, new, stored } => {
            out["snapshot"] = id.to_string().into();
            (out["files"], out["bytes"]) = ((*files).into(), (*bytes).into());
            (out["bytes_new"], out["bytes_stored"]) = ((*new).into(), (*stored).into());
            return out;
        }
        Came::Incomplete { id, why } => {
            out["snapshot"] = id.to_string().into();
            why
        }
        Came::Good(text) | Came::Absent(text) | Came::Skipped(text) | Came::Planned(text) | Came::Failed(text) => text,
    };
    out["message"] = text.clone().into();
    out
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let loaded = args.which.load()?;
    let chosen = Select::parse(args.select.iter().map(String::as_str))?;
    let state = super::state(session)?;
    let mut services = loaded.fleet.selected(&chosen, &args.select)?;
    services.retain(|service| service.is_on(&loaded.host));
    let of_others = services.is_empty();
    if of_others && !keeps_copies(&loaded) {
        return Err(Error::usage(format!(
            "none of these applications is backed up on this machine, which is called {}: write hosts = [\"{0}\"] for its server, \
             or say with --host which machine this is",
            Shown(loaded.host.as_bytes())
        ))
        .into());
    }
    if let Some(wait) = args.if_older {
        let last = State::read(&night::folder(&state))?.last("run").map(|last| last.tried);
        if !due(SystemClock.now().sec, last, wait) {
            session.screen.note("the last run is young enough: nothing was done");
            return Ok(Done::good(json!({ "jobs": [] })));
        }
    }
    if let Some(most) = args.jitter.filter(|most| *most > 0 && !args.dry_run) {
        wait(session, most)?;
    }
    let world = World { session, loaded: &loaded };
    let zone = TimeZone::system();
    let scratch = session.surroundings().cache.unwrap_or_else(std::env::temp_dir).join("scratch");
    let user = host::user();
    let night = Night {
        fleet: &loaded.fleet,
        services,
        only_snapshots: !args.select.is_empty(),
        force: args.force || !args.select.is_empty(),
        dry_run: args.dry_run,
        host: &loaded.host,
        user: &user,
        state: &state,
        scratch: &scratch,
        zone: &zone,
        clock: &SystemClock,
        around: &world,
    };
    let begun = Instant::now();
    // Who asked for some applications sees what comes of it.
    let tells = !args.dry_run && args.select.is_empty();
    let mut told = !tells || tell(session, &loaded, Event::Begins);
    let report = match night::run(&night) {
        // Another run is under way, and tells.
        Err(error) if tells && !matches!(error, Error::Busy { .. }) => {
            tell(session, &loaded, Event::Failed(&error.to_string()));
            return Err(error.into());
        }
        report => report?,
    };
    told &= !tells || tell(session, &loaded, Event::Ended(&report));
    if !args.dry_run {
        super::status::write_files(session, &loaded, &state);
    }
    session.print_result(|| print(session, &report, begun.elapsed()));
    if report.cancelled {
        return Err(Failure::Stopped("stopped on request; what is done is kept: run it again to go on"));
    }
    let jobs: Vec<Value> = report.jobs.iter().map(event).collect();
    let result = json!({
        "jobs": jobs,
        "notes": report.notes,
        "wrong": report.wrong(),
        "told": told,
        "dry_run": args.dry_run,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    let outcome = if report.wrong() > 0 || !told { Outcome::Incomplete } else { Outcome::Good };
    Ok(Done { outcome, result })
}

/// Tells who wants to know. That somebody could not be told is a fault of the run: it may hide the next one.
fn tell(session: &Session, loaded: &Loaded, event: Event<'_>) -> bool {
    let speaker = Speaker { fleet: &loaded.fleet.name, host: &loaded.host };
    let (messages, mut wrong) = notify::messages(&loaded.fleet.notify, speaker, event);
    wrong.extend(messages.iter().filter_map(|message| notify::send(message).err()));
    for error in &wrong {
        session.screen.warn(&format!("nobody was told: {error}"));
    }
    wrong.is_empty()
}

/// True for a machine that has copies to make or to check, or repositories to pull, though no application.
fn keeps_copies(loaded: &Loaded) -> bool {
    let of_here =
        |one: &conf::Repository| one.role == Role::Copy && !one.hosts.is_empty() && one.is_reached_from(&loaded.host);
    loaded.fleet.repositories.values().any(of_here)
        || loaded.fleet.pulls.values().any(|pull| pull.is_done_by(&loaded.host))
}

/// Waits for a random time, unless the user wants to stop.
fn wait(session: &Session, most: u64) -> Result<(), Failure> {
    let number = u64::from_le_bytes(random(&KernelEntropy as &dyn Entropy)?);
    let until = Instant::now() + Duration::from_secs(number % (most + 1));
    session.interrupts.patient.store(true, Ordering::SeqCst);
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if session.interrupts.stop.load(Ordering::SeqCst) {
            return Err(Failure::GaveUp);
        }
        std::thread::sleep(left.min(Duration::from_millis(200)));
    }
    session.interrupts.patient.store(false, Ordering::SeqCst);
    Ok(())
}

fn print(session: &Session, report: &Report, took: Duration) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    let mut table = Table::new(&[
        ("JOB", Align::Left),
        ("OF", Align::Left),
        ("OUTCOME", Align::Left),
        ("TIME", Align::Right),
        ("", Align::Left),
    ]);
    let mut skipped = 0;
    // On a terminal a row stays a row: what went wrong was told in full before.
    let used: usize = report.jobs.iter().map(|job| job.what.object().chars().count()).max().unwrap_or(0) + 34;
    let room = match session.screen.stdout_terminal {
        true => {
            rustix::termios::tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col)).saturating_sub(used)
        }
        false => usize::MAX,
    };
    for job in &report.jobs {
        if matches!(job.came, Came::Skipped(_)) {
            skipped += 1;
            continue;
        }
        let text = match &job.came {
            Came::Snapshot { files, bytes, stored, .. } => {
                format!(
                    "{}, {}; {} added",
                    human::counted(*files, "file", "files"),
                    human::bytes(*bytes),
                    human::bytes(*stored)
                )
            }
            Came::Incomplete { why, .. } => why.clone(),
            Came::Drill { files, bytes, seconds } => format!(
                "{}, {} restored in {}",
                human::counted(*files, "file", "files"),
                human::bytes(*bytes),
                human::duration(Duration::from_secs_f64(seconds.max(0.0)))
            ),
            Came::Good(text) | Came::Absent(text) | Came::Skipped(text) | Came::Planned(text) | Came::Failed(text) => {
                text.clone()
            }
        };
        let time = match job.came {
            Came::Planned(_) => String::new(),
            _ => human::duration(Duration::from_secs_f64(job.seconds)),
        };
        table.row(vec![
            job.what.verb().into(),
            Shown(job.what.object().as_bytes()).to_string(),
            job.came.word().into(),
            time,
            human::shorten(&text, room.max(24)),
        ]);
    }
    writeln!(out)?;
    table.print(out, session.screen.stdout_colours())?;
    for note in &report.notes {
        session.screen.note(note);
    }
    let (done, wrong) = (report.jobs.len() - skipped, report.wrong());
    let skipped = if skipped > 0 { format!(", {skipped} not due") } else { String::new() };
    match wrong {
        0 => writeln!(out, "\n{}{skipped}, {}", human::counted(done as u64, "job", "jobs"), human::duration(took)),
        n => writeln!(out, "\n{n} of {done} jobs went wrong{skipped}, {}", human::duration(took)),
    }
}
