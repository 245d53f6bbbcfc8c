//! The night: each application that is due on this machine is backed up, then what is to be forgotten, copied, checked and restored for
//! a test is.
//!
//! ```text
//! each application   hooks before ─▶ plan ─▶ quiesce ─▶ one snapshot of dumps and trees ─▶ hooks after, on-error ─▶ history
//! each repository    forget by policy ─▶ copies ─▶ media ─▶ pulls ─▶ prune ─▶ checks
//! each application   drills that are due
//! ```
//!
//! A failure is one job's: all others are done. Two runs at once do not get in each other's way, since the second ends at once;
//! one that was killed leaves nothing that has to be removed.

mod application;
mod copies;
pub mod drills;
mod freeing;
pub mod hooks;
mod keeping;
pub mod lock;
mod pulls;
pub mod quiesce;
mod report;

pub use report::{Came, Job, Report, What};

use crate::{
    error::{Error, Result},
    fleet::{
        app::Service,
        config::{self, Fleet},
        recipe::Recipes,
        state::State,
    },
    monitor::Monitor,
    ops,
    repo::Repository,
    store::SharedStore,
    world::Clock,
};
use jiff::tz::TimeZone;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

/// What a run asks of the world around it.
pub trait Around: Sync {
    /// Opens a repository.
    fn open(&self, repository: &config::Repository) -> Result<Repository>;
    /// Where its objects live, without opening it.
    fn store(&self, repository: &config::Repository) -> Result<SharedStore>;
    /// Brings the repository of another server here.
    fn pull(&self, pull: &config::Pull, monitor: &dyn Monitor) -> Result<ops::pull::Report>;
    /// The recipes of this machine.
    fn recipes(&self) -> &Recipes;
    /// The folder for derived tables.
    fn cache(&self) -> Option<PathBuf>;
    /// Shows that a job begins, and does it.
    fn step(&self, what: &What, work: &mut dyn FnMut(&dyn Monitor));
    /// A job has ended.
    fn ended(&self, job: &Job);
}

/// A run.
pub struct Night<'a> {
    /// The configuration.
    pub fleet: &'a Fleet,
    /// The applications that were selected, of this machine.
    pub services: Vec<&'a Service>,
    /// True when only a part was selected: nothing else is then done but their snapshots.
    pub only_snapshots: bool,
    /// Do what is not due, too.
    pub force: bool,
    /// Tell what would be done.
    pub dry_run: bool,
    /// This machine and its user.
    pub host: &'a str,
    pub user: &'a str,
    /// What is remembered of repositories and media.
    pub state: &'a Path,
    /// Room for what cannot be streamed.
    pub scratch: &'a Path,
    /// Whose days count.
    pub zone: &'a TimeZone,
    /// Tells the time.
    pub clock: &'a dyn Clock,
    pub around: &'a dyn Around,
}

/// What a run knows while it goes on.
struct Going<'a> {
    night: &'a Night<'a>,
    state: State,
    report: Report,
    /// Repositories that were opened, or why not.
    opened: BTreeMap<String, Result<Repository, String>>,
    cancelled: bool,
}

/// The folder of what is remembered of runs, below that of what is remembered.
pub fn folder(state: &Path) -> PathBuf {
    state.join("fleet")
}

/// Does all that is due. An error only when nothing could be begun; all else is in the report.
pub fn run(night: &Night<'_>) -> Result<Report> {
    let folder = folder(night.state);
    let _lock = if night.dry_run { None } else { Some(lock::take(&folder)?) };
    let mut going = Going {
        night,
        state: State::read(&folder)?,
        report: Report::default(),
        opened: BTreeMap::new(),
        cancelled: false,
    };
    for service in &night.services {
        going.application(service);
    }
    if !night.only_snapshots {
        going.forget();
        going.copies();
        going.media();
        going.pulls();
        going.prunes();
        going.checks();
        going.drills();
    }
    if !night.dry_run {
        let wrong = going.report.wrong();
        let said = (wrong > 0).then(|| format!("{wrong} jobs went wrong"));
        if !night.only_snapshots {
            let seconds = going.report.seconds();
            State::update(&folder, |state| state.note("run", night.clock.now().sec, said.as_deref(), seconds))?;
        }
    }
    if going.cancelled {
        going.report.cancelled = true;
    }
    Ok(going.report)
}

impl<'a> Going<'a> {
    fn now(&self) -> i64 {
        self.night.clock.now().sec
    }

    /// True when a job that is done at most so often is to be done now.
    fn is_due(&self, what: &What, every: u64) -> bool {
        let last = self.state.last(&what.key()).and_then(|last| last.good);
        self.night.force || crate::fleet::state::due(self.now(), last, every)
    }

    /// Does a job, unless the user wants to stop, and notes how it went. Of a dry run it tells what would be done.
    fn job(&mut self, what: What, planned: &str, work: &mut dyn FnMut(&mut Self, &dyn Monitor) -> Result<Came>) {
        if self.cancelled {
            return;
        }
        if self.night.dry_run {
            return self.end(Job { what, came: Came::Planned(planned.to_owned()), seconds: 0.0 });
        }
        let (begun, at) = (Instant::now(), self.now());
        let around = self.night.around;
        let mut came = None;
        around.step(&what, &mut |monitor| {
            came = Some(match monitor.check() {
                Ok(()) => work(self, monitor),
                Err(error) => Err(error),
            });
        });
        let came = match came {
            Some(Ok(came)) => came,
            Some(Err(Error::Cancelled)) => {
                self.cancelled = true;
                Came::Failed("stopped on request".into())
            }
            // Of what is copied later. An application that has nowhere to go is not backed up, whyever that is.
            Some(Err(error @ Error::Absent { .. })) if !matches!(what, What::Snapshot(_)) => {
                Came::Absent(error.to_string())
            }
            Some(Err(error)) => Came::Failed(error.to_string()),
            None => Came::Failed("it was not begun".into()),
        };
        let seconds = begun.elapsed().as_secs_f64();
        if !matches!(came, Came::Skipped(_) | Came::Absent(_)) {
            // A restore is measured without what was done before it.
            let measured = if let Came::Drill { seconds, .. } = came { seconds } else { seconds };
            self.note(&what.key(), at, came.wrong(), measured);
        }
        self.end(Job { what, came, seconds });
    }

    /// Remembers how a job went, at once: a run that is killed is not to forget what was done before.
    fn note(&mut self, key: &str, time: i64, wrong: Option<&str>, seconds: f64) {
        let noted = State::update(&folder(self.night.state), |state| state.note(key, time, wrong, seconds));
        match noted {
            Ok(state) => self.state = state,
            Err(error) => self.report.notes.push(error.to_string()),
        }
    }

    fn end(&mut self, job: Job) {
        self.night.around.ended(&job);
        self.report.jobs.push(job);
    }

    /// A repository, opened once in a run.
    fn open(&mut self, name: &str) -> Result<Repository> {
        if let Some(opened) = self.opened.get(name) {
            return opened.clone().map_err(Error::refused);
        }
        let known = self.night.fleet.repositories.get(name);
        let known = known.ok_or_else(|| Error::usage(format!("there is no repository \"{name}\"")))?;
        let opened = self.night.around.open(known);
        let kept = match &opened {
            Ok(repo) => Ok(repo.clone()),
            Err(error) => Err(error.to_string()),
        };
        self.opened.insert(name.to_owned(), kept);
        opened
    }

    /// The repository's entry in the configuration.
    fn entry(&self, name: &str) -> Result<&'a config::Repository> {
        let fleet = self.night.fleet;
        fleet.repositories.get(name).ok_or_else(|| Error::usage(format!("there is no repository \"{name}\"")))
    }
}
