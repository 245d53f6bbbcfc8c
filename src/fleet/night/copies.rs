//! Copies to other repositories, and to media that are plugged in.

use super::{Came, Going, What, keeping::many};
use crate::{
    compress::Compression,
    error::{Error, Result},
    fleet::config::{Access, CopyJob, Repository as Entry},
    monitor::Monitor,
    name::Shown,
    ops::{
        copy::{logical, replica},
        media::{self, Catalogue, System},
    },
    repo::Repository,
};

impl Going<'_> {
    /// Copies that are due.
    pub(super) fn copies(&mut self) {
        let night = self.night;
        for job in &night.fleet.copies {
            let reached =
                |name: &str| night.fleet.repositories.get(name).is_some_and(|one| one.is_reached_from(night.host));
            let what = What::Copy { from: job.from.clone(), to: job.to.clone() };
            if reached(&job.from) && reached(&job.to) && self.is_due(&what, job.every) {
                self.job(what, "what is new", &mut |going, monitor| going.copy(job, monitor));
            }
        }
    }

    fn copy(&mut self, job: &CopyJob, monitor: &dyn Monitor) -> Result<Came> {
        let night = self.night;
        let (from_entry, to_entry) = (self.entry(&job.from)?, self.entry(&job.to)?);
        let (from, to) = (night.around.store(from_entry)?, night.around.store(to_entry)?);
        let same = Repository::identify(&*from)? == Repository::identify(&*to)?;
        if same && job.select.is_all() && !replica::was_pruned(&*to)? {
            let request = replica::Request { from: &*from, to: &*to, create: false, dry_run: false, threads: 0 };
            let report = replica::replicate(&request, monitor)?;
            return Ok(match report.damaged.iter().next() {
                Some((object, what)) => Came::Failed(format!(
                    "{} objects of {} are damaged, {} first: {}: see `vault check`",
                    report.damaged.len(),
                    Shown(job.from.as_bytes()),
                    Shown(object.as_bytes()),
                    Shown(what.as_bytes())
                )),
                None => Came::Good(format!(
                    "{}, {}",
                    many(report.snapshots as usize, "new snapshot", "new snapshots"),
                    many(report.objects as usize, "object", "objects")
                )),
            });
        }
        let source = self.open(&job.from)?;
        let target = match (&to_entry.access, same) {
            // The same repository once more has the same keys.
            (Access::Unsaid, true) => {
                let entry = Entry { access: from_entry.access.clone(), ..to_entry.clone() };
                night.around.open(&entry)?
            }
            _ => self.open(&job.to)?,
        };
        let chosen = match job.select.is_all() {
            true => None,
            false => {
                let all = source.snapshots(None)?;
                if let Some((_, error)) = all.unreadable.first() {
                    monitor.note(&format!("{error}; it is not copied"));
                }
                let wanted: Vec<&str> = night
                    .fleet
                    .services
                    .iter()
                    .filter(|service| job.select.matches(service))
                    .map(|service| service.name())
                    .collect();
                let mut listed = all.listed;
                listed.retain(|one| wanted.contains(&one.snapshot.series.as_str()));
                Some(listed)
            }
        };
        let request = logical::Request {
            from: &source,
            to: &target,
            chosen: chosen.as_deref(),
            compression: Compression::Auto,
            host: night.host,
            dry_run: false,
            threads: 0,
        };
        let report = logical::copy(&request, monitor)?;
        Ok(match report.failed.first() {
            Some((object, what)) => Came::Failed(format!(
                "{} snapshots could not be copied, {} first: {}",
                report.failed.len(),
                Shown(object.as_bytes()),
                Shown(what.as_bytes())
            )),
            None => Came::Good(many(report.copied.len(), "new snapshot", "new snapshots")),
        })
    }

    /// Media that are plugged in, and due.
    pub(super) fn media(&mut self) {
        let night = self.night;
        for medium in night.fleet.media.values() {
            let what = What::Medium(medium.name.clone());
            let reached = |entry: &Entry| entry.is_reached_from(night.host);
            let known = night.fleet.repositories.get(&medium.repository).is_some_and(reached);
            if known && self.is_due(&what, medium.every) {
                self.job(what, "when it is plugged in", &mut |going, monitor| {
                    let repo = going.open(&medium.repository)?;
                    going.sync(&repo, &medium.name, monitor)
                });
            }
        }
    }

    fn sync(&mut self, repo: &Repository, name: &str, monitor: &dyn Monitor) -> Result<Came> {
        let catalogue = Catalogue::open(repo, self.night.state)?;
        let medium = catalogue.find(name).map_err(|error| match error {
            Error::Usage { what } => Error::usage(format!("{what}; make it known with `vault media add`")),
            error => error,
        })?;
        let request =
            media::Request { medium: &medium, accept_rollback: false, around: &|store| store, client: self.night.host };
        let report = media::sync(&catalogue, &System, &request, monitor)?;
        if report.damaged + report.failed > 0 {
            return Ok(Came::Failed(format!(
                "{} objects are damaged here and were not copied: see `vault check`",
                report.damaged + report.failed
            )));
        }
        if report.unfit > 0 {
            return Ok(Came::Failed(format!(
                "{} on it: see `vault repair --repo usb:{name}`",
                many(report.unfit as usize, "object is damaged", "objects are damaged")
            )));
        }
        let unmounted = if report.unmounted { ", unmounted" } else { "" };
        let snapshots = many(report.snapshots as usize, "new snapshot", "new snapshots");
        Ok(Came::Good(format!("{snapshots}, all read back{unmounted}")))
    }
}
