//! Restores for a test that are due: those first that were not made for the longest time.

use super::{Came, Going, What};
use crate::{
    error::{Error, Result},
    fleet::{
        app::Service,
        config::{DrillJob, Select},
        drill::{self, Report},
        history::{self, Entry, Kind, Outcome},
        recovery::Means,
        state::State,
    },
    keys::Role,
    monitor::Monitor,
    name::Shown,
    repo::BlobReader,
};
use jiff::tz::TimeZone;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Where drills are held when nothing is said: every user may enter it, as scratch servers have to.
pub const SCRATCH: &str = "/var/tmp";
/// In one run, when nothing is said: a night is short.
const MOST: usize = 3;

impl<'a> Going<'a> {
    /// Drills that are due. Without a rule, what was promised to be restored for a test is, at half of that time.
    pub(super) fn drills(&mut self) {
        let night = self.night;
        let usual = DrillJob { select: Select::default(), every: None, most: MOST, scratch: PathBuf::from(SCRATCH) };
        let jobs: Vec<&DrillJob> =
            if night.fleet.drills.is_empty() { vec![&usual] } else { night.fleet.drills.iter().collect() };
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for job in jobs {
            let mut due: Vec<(Option<i64>, &'a Service)> = Vec::new();
            for service in night.services.iter().filter(|one| job.select.matches(one)) {
                let what = What::Drill(service.name().to_owned());
                let every = job.every.or(service.slo.drill.map(|promised| promised / 2));
                if let Some(every) = every
                    && self.is_due(&what, every)
                {
                    due.push((self.state.last(&what.key()).map(|last| last.tried), service));
                }
            }
            due.sort_by_key(|(last, _)| *last);
            for (_, service) in due.into_iter().take(job.most) {
                if done.insert(service.name()) {
                    let what = What::Drill(service.name().to_owned());
                    let planned = format!("in {}", Shown(job.scratch.as_os_str().as_encoded_bytes()));
                    self.job(what, &planned, &mut |going, monitor| going.drill(service, &job.scratch, monitor));
                }
            }
        }
    }

    fn drill(&mut self, service: &Service, scratch: &Path, monitor: &dyn Monitor) -> Result<Came> {
        let night = self.night;
        let repo = self.open(&service.repository)?;
        if repo.keys().role() < Role::Owner {
            return Ok(Came::Skipped("this key does not open contents".into()));
        }
        repo.expect_no_rollback(&service.app.series)?;
        let all = repo.snapshots(Some(&service.app.series))?;
        let Some(listed) = all.listed.last() else {
            // Which is red by itself.
            return Ok(Came::Skipped("there is no snapshot to restore".into()));
        };
        let (index, unreadable) = repo.load_index(false)?;
        unreadable.iter().for_each(|(_, error)| monitor.note(&error.to_string()));
        let reader = BlobReader::new(&repo, &index);
        // As it was when the snapshot was made: by this it would come back on a bare machine.
        let means = Means::of(listed, night.around.recipes(), Some(&service.app))?;
        let means = means.ok_or_else(|| Error::refused("it has no configuration"))?;
        if let Some(note) = &means.note {
            monitor.note(note);
        }
        let request = drill::Request { scratch, rto: service.slo.rto, rpo: Some(service.slo.rpo) };
        let report = drill::drill(&reader, listed, &means.app, &*means.recipe, request, night.clock, monitor)?;
        history::append(&night.fleet.history, Kind::Drill, &entry(&report), night.zone)?;
        Ok(match why(&report) {
            Some(why) => Came::Failed(why),
            None => Came::Drill { files: report.files, bytes: report.bytes, seconds: report.seconds },
        })
    }
}

/// What is wrong, in a line.
fn why(report: &Report) -> Option<String> {
    let first = report.wrong.first()?;
    Some(match report.wrong.len() {
        1 => first.clone(),
        n => format!("{first}; and {} more", n - 1),
    })
}

fn entry(report: &Report) -> Entry {
    Entry {
        time: report.begun.sec,
        series: report.series.clone(),
        outcome: if report.passed() { Outcome::Good } else { Outcome::Failed },
        snapshot: Some(report.snapshot),
        files: report.files,
        bytes: report.bytes,
        new: 0,
        stored: 0,
        seconds: report.seconds,
        problems: report.wrong.len() as u64,
        why: report.wrong.join("; "),
    }
}

/// Notes a drill that was held by hand, so that status and history know of it. `state`: the folder of what is remembered.
pub fn record(state: &Path, history: Option<&Path>, report: &Report, zone: &TimeZone) -> Result<()> {
    let key = What::Drill(report.series.clone()).key();
    State::update(&super::folder(state), |state| {
        state.note(&key, report.begun.sec, why(report).as_deref(), report.seconds);
    })?;
    match history {
        Some(folder) => history::append(folder, Kind::Drill, &entry(report), zone),
        None => Ok(()),
    }
}
