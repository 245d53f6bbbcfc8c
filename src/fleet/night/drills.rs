//! Applications that are restored for a test.

use super::{Came, Going, What};
use crate::{
    error::{Error, Result},
    fleet::{
        app::Service,
        config::DrillJob,
        drill,
        history::{self, Kind},
    },
    keys,
    monitor::Monitor,
    name::Shown,
    repo::BlobReader,
    series::{Address, Version},
};
use std::collections::BTreeSet;

impl<'a> Going<'a> {
    /// Drills that are due: those first that were held the longest time ago.
    pub(super) fn drills(&mut self) {
        let night = self.night;
        let mut seen = BTreeSet::new();
        for job in &night.fleet.drills {
            let mut due: Vec<(i64, &'a Service)> = Vec::new();
            for service in night.fleet.services.iter().filter(|one| one.is_on(night.host) && job.select.matches(one)) {
                // Half of what was promised: one that fails can be held again in time.
                let Some(every) = job.every.or(service.slo.drill.map(|promised| promised / 2)) else { continue };
                let what = What::Drill(service.name().to_owned());
                if !seen.contains(service.name()) && self.is_due(&what, every) {
                    due.push((self.state.last(&what.key()).map_or(i64::MIN, |last| last.tried), service));
                }
            }
            due.sort_by_key(|(last, _)| *last);
            for (_, service) in due.into_iter().take(job.most) {
                seen.insert(service.name());
                let planned = format!("in {}", Shown(job.scratch.as_os_str().as_encoded_bytes()));
                self.job(What::Drill(service.name().to_owned()), &planned, &mut |going, monitor| {
                    going.drill(service, job, monitor)
                });
            }
        }
    }

    fn drill(&mut self, service: &Service, job: &DrillJob, monitor: &dyn Monitor) -> Result<Came> {
        let night = self.night;
        let repo = self.open(&service.repository)?;
        if repo.keys().role() < keys::Role::Owner {
            return Ok(Came::Skipped("this key cannot read what it wrote: hold drills where an owner key is".into()));
        }
        let recipe = night
            .around
            .recipe(&service.app.recipe)
            .ok_or_else(|| Error::usage(format!("there is no recipe \"{}\"", Shown(service.app.recipe.as_bytes()))))?;
        let latest = Address { series: Some(service.app.series.clone()), version: Version::Latest, path: None };
        let no_times = |_: &str| Err(Error::usage("no time is asked for"));
        let listed = repo.resolve(&latest, &no_times)?.surely()?;
        let (index, _) = repo.load_index(false)?;
        let reader = BlobReader::new(&repo, &index);
        let request = drill::Request { scratch: &job.scratch, rto: service.slo.rto, rpo: Some(service.slo.rpo) };
        let report = drill::drill(&reader, &listed, &service.app, recipe, request, night.clock, monitor)?;
        if let Err(error) = history::append(&night.fleet.history, Kind::Drill, &report.entry(), night.zone) {
            self.report.notes.push(format!("the history of {} was not written: {error}", service.app.series));
        }
        Ok(match report.why() {
            Some(why) => Came::Failed(why),
            None => Came::Good(format!("restored and compared in {:.0} s", report.seconds)),
        })
    }
}
