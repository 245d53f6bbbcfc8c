//! Space that nothing needs any more is freed where something is forgotten: after the copies, and not while one of them is behind, so that
//! they have had what there was.

use super::{Came, Going, What, keeping::many};
use crate::{
    error::Result,
    fleet::config::{self, Every, Role, schema::PRUNE_EVERY},
    keys,
    monitor::Monitor,
    ops::prune,
};

impl Going<'_> {
    /// Prunes that are due.
    pub(super) fn prunes(&mut self) {
        let night = self.night;
        for entry in night.fleet.repositories.values().filter(|one| one.is_reached_from(night.host)) {
            let every = match entry.prune {
                Some(Every::Never) => continue,
                Some(Every::Seconds(every)) => every,
                None if self.forgets(entry) => PRUNE_EVERY,
                None => continue,
            };
            let what = What::Prune(entry.name.clone());
            if self.uses(&entry.name) && !self.is_behind(&entry.name) && self.is_due(&what, every) {
                self.job(what, "what nothing needs any more", &mut |going, monitor| going.prune(&entry.name, monitor));
            }
        }
    }

    /// True when a rule for this machine forgets anything in a repository.
    fn forgets(&self, entry: &config::Repository) -> bool {
        let night = self.night;
        let of_apps = || {
            let mut here =
                night.fleet.services.iter().filter(|one| one.is_on(night.host) && one.repository == entry.name);
            here.any(|one| !one.retention.is_empty())
        };
        if entry.role == Role::Copy { !entry.retention.is_empty() } else { of_apps() }
    }

    /// True when a copy of a repository, or of it to a medium, was due in this run and did not come to its end.
    fn is_behind(&self, name: &str) -> bool {
        let media = &self.night.fleet.media;
        let of_it = |what: &What| match what {
            What::Copy { from, .. } => from == name,
            What::Medium(medium) => media.get(medium).is_some_and(|medium| medium.repository == name),
            _ => false,
        };
        self.report.jobs.iter().any(|job| of_it(&job.what) && job.came.wrong().is_some())
    }

    fn prune(&mut self, name: &str, monitor: &dyn Monitor) -> Result<Came> {
        let repo = self.open(name)?;
        if repo.keys().role() < keys::Role::Maintainer {
            return Ok(Came::Skipped("this key only writes".into()));
        }
        // What was put back to an older state looks as if much were dead.
        if let Some(rollback) = repo.look(None, false)?.into_iter().next() {
            return Err(rollback.into());
        }
        let (_, report) = prune::prune(&repo, &prune::Options::default(), monitor)?;
        if !report.damaged.is_empty() {
            let damaged = many(report.damaged.len(), "pack is damaged", "packs are damaged");
            return Ok(Came::Failed(format!("{damaged}: see `vault check` and `vault repair`")));
        }
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        Ok(Came::Good(format!("{} freed, {} moved", megabytes(report.removed.bytes), megabytes(report.moved.bytes))))
    }
}
