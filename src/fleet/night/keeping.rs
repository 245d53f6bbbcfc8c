//! What is done to repositories: forgetting, and checks.

use super::{Came, Going, What};
use crate::{
    error::{Error, Result},
    fleet::{config::Role, state::due},
    keys,
    monitor::Monitor,
    name::Shown,
    ops::{
        check::{self, ReadData, keyless},
        forget::{self, Actor, policy::Policy},
    },
    series::Series,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn many(n: usize, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

/// What came of a check.
fn checked<'f>(findings: impl ExactSizeIterator<Item = (&'f str, &'f str)>, read: u64) -> Came {
    let number = findings.len();
    match findings.into_iter().next() {
        None => Came::Good(format!("no errors, {} read", many(read as usize, "pack", "packs"))),
        Some((object, what)) => Came::Failed(format!(
            "{}: {} {}: see `vault check`",
            many(number, "error", "errors"),
            Shown(object.as_bytes()),
            Shown(what.as_bytes())
        )),
    }
}

/// The same of one without a key.
pub(super) fn of_keyless(report: &keyless::Report) -> Came {
    checked(report.findings.iter().map(|one| (&one.object[..], &one.what[..])), report.packs)
}

impl Going<'_> {
    /// Forgets what no rule keeps: in the repositories of the applications, and in copies that have rules of their own.
    pub(super) fn forget(&mut self) {
        let night = self.night;
        let mut by_repository: BTreeMap<&str, BTreeMap<&str, &Policy>> = BTreeMap::new();
        for service in night.fleet.services.iter().filter(|one| one.is_on(night.host)) {
            if !service.retention.is_empty() {
                let of = by_repository.entry(&service.repository).or_default();
                of.insert(service.name(), &service.retention);
            }
        }
        for copy in night.fleet.repositories.values().filter(|one| one.role == Role::Copy) {
            if !copy.retention.is_empty() && copy.is_reached_from(night.host) {
                let all = night.fleet.services.iter().map(|one| (one.name(), &copy.retention));
                by_repository.insert(&copy.name, all.collect());
            }
        }
        for (name, policies) in by_repository {
            let planned = format!("by the rules of {}", many(policies.len(), "application", "applications"));
            self.job(What::Forget(name.to_owned()), &planned, &mut |going, monitor| {
                going.forget_in(name, &policies, monitor)
            });
        }
    }

    fn forget_in(&mut self, name: &str, policies: &BTreeMap<&str, &Policy>, monitor: &dyn Monitor) -> Result<Came> {
        let night = self.night;
        let repo = self.open(name)?;
        if repo.keys().role() < keys::Role::Maintainer {
            return Ok(Came::Skipped("this key only writes".into()));
        }
        let policy_of = |series: &Series| policies.get(series.as_str()).map(|policy| (*policy).clone());
        let plan = forget::of_policies(&repo, &policy_of, night.zone, monitor)?;
        let mut doubts = Vec::new();
        for series in &plan.series {
            if !series.guards.is_empty() {
                let held = many(series.held as usize, "snapshot is held", "snapshots are held");
                doubts.push(format!(
                    "{}: what was taken last is suspicious, {held}: see `vault forget --dry-run`",
                    Shown(series.series.as_bytes())
                ));
            }
        }
        doubts.extend(plan.unreadable.iter().map(|(_, error)| error.to_string()));
        doubts.iter().for_each(|doubt| monitor.note(doubt));
        self.report.notes.append(&mut doubts);
        let actor = Actor { host: night.host.into(), user: night.user.into() };
        let report = forget::apply(&repo, &plan, &actor, monitor)?;
        match report.failed.first() {
            Some((_, error)) => Ok(Came::Failed(format!(
                "{} could not be forgotten: {error}",
                many(report.failed.len(), "snapshot", "snapshots")
            ))),
            None => Ok(Came::Good(format!("{} forgotten", many(report.forgotten.len(), "snapshot", "snapshots")))),
        }
    }

    /// Checks that are due.
    pub(super) fn checks(&mut self) {
        let night = self.night;
        let mut seen = BTreeSet::new();
        for job in &night.fleet.checks {
            let Some(repository) = night.fleet.repositories.get(&job.repository) else { continue };
            let what = What::Check(job.repository.clone());
            if !repository.is_reached_from(night.host) || !self.uses(&job.repository) {
                continue;
            }
            // Two rules for one repository (a little each night, all of it each quarter) are two jobs.
            let share = job.read.map_or_else(|| "structure".to_owned(), |share| format!("{share}%"));
            let rule = format!("{} by rule {share}", what.key());
            let last = self.state.last(&rule).and_then(|last| last.good);
            if !seen.insert(rule.clone()) || !(night.force || due(self.now(), last, job.every)) {
                continue;
            }
            let planned = match job.read {
                Some(share) => format!("reading {share}%"),
                None => "structure only".into(),
            };
            self.job(what, &planned, &mut |going, monitor| {
                let (begun, came) = (going.now(), going.check(&job.repository, job.read, monitor)?);
                going.note(&rule, begun, came.wrong(), 0.0);
                Ok(came)
            });
        }
    }

    /// True when a repository is of any concern to this machine.
    pub(super) fn uses(&self, name: &str) -> bool {
        let night = self.night;
        let of_copy = |one: &crate::fleet::config::Repository| one.role == Role::Copy;
        night.fleet.repositories.get(name).is_some_and(of_copy)
            || night.fleet.services.iter().any(|one| one.repository == name && one.is_on(night.host))
    }

    fn check(&mut self, name: &str, read: Option<f64>, monitor: &dyn Monitor) -> Result<Came> {
        let read = read.map_or(ReadData::None, ReadData::Percent);
        let repo = self.open(name)?;
        if repo.keys().role() < keys::Role::Maintainer {
            let cache = self.night.around.cache();
            let around = keyless::Around { clock: repo.clock(), entropy: repo.entropy(), cache: cache.as_deref() };
            let report = keyless::check(repo.store(), read, 0, &around, monitor)?;
            return Ok(of_keyless(&report));
        }
        if let Some(rollback) = repo.look(None, false)?.into_iter().next() {
            return Err(Error::from(rollback));
        }
        let report = check::check(&repo, read, 0, monitor)?;
        Ok(checked(report.findings.iter().map(|one| (&one.object[..], &one.what[..])), report.packs_read))
    }
}
