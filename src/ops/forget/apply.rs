//! Does what a plan says.

use super::{Actor, Doomed, Plan};
use crate::{
    error::{Error, Result},
    id::{SeriesTag, SnapshotId},
    model::{limits, tombstone::Tombstone},
    monitor::{Counter, Monitor, Phase},
    name::cut_text,
    repo::{Repository, snapshots, tombstones},
};
use std::collections::HashSet;

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// Snapshots that are forgotten now.
    pub forgotten: Vec<SnapshotId>,
    /// Snapshots that were forgotten before and are removed now.
    pub finished: u64,
    /// Snapshots that were pinned since the plan was made: they are kept.
    pub pinned: Vec<SnapshotId>,
    /// Snapshots that could not be forgotten, by their tombstone's name, with the reason.
    pub failed: Vec<(String, Error)>,
}

/// Forgets what is planned. May be cancelled or killed at any time and run again; when it returns, what it did is durable.
pub fn apply(repo: &Repository, plan: &Plan, actor: &Actor, monitor: &dyn Monitor) -> Result<Report> {
    let mut report = Report::default();
    if plan.doomed.is_empty() && plan.leftovers.is_empty() && plan.stale.is_empty() {
        return Ok(report);
    }
    let store = repo.store();
    if !store.capabilities().remove {
        return Err(Error::refused(format!(
            "nothing can be removed from {}: run vault there, or forget from where it can",
            store.place()
        )));
    }
    monitor.phase(Phase::Publishing);
    monitor.expect(Counter::Objects, (plan.doomed.len() + plan.leftovers.len()) as u64);
    // Somebody may have pinned one while the user was asked.
    let annotations = repo.annotations(None)?;
    let mut buried: Vec<(SeriesTag, SnapshotId)> = Vec::new();
    for Doomed { head, reason } in &plan.doomed {
        monitor.check()?;
        if annotations.of(&head.series, &head.snapshot).pin.is_some() {
            report.pinned.push(head.snapshot);
            continue;
        }
        let text = |text: &str| cut_text(text, limits::REASON_MAX).to_owned();
        let tombstone = Tombstone {
            head: head.clone(),
            time: repo.clock().now(),
            host: text(&actor.host),
            user: text(&actor.user),
            reason: text(reason),
        };
        match repo.bury(&tombstone) {
            Ok(()) => {
                buried.push((head.series, head.snapshot));
                report.forgotten.push(head.snapshot);
            }
            // Something else lies where its tombstone belongs; without one it must stay.
            Err(error @ (Error::Corrupt { .. } | Error::Unsupported { .. })) => {
                let name = tombstones::object_name(&head.series, &head.snapshot);
                monitor.problem(&format!("{error}; move it away, and run again"));
                report.failed.push((name.to_string(), error));
            }
            Err(error) => return Err(error),
        }
    }
    // Nothing is removed before its tombstone, of this run or of one that was killed, is durable.
    store.sync()?;
    for (tag, id) in buried.iter().chain(&plan.leftovers) {
        monitor.check()?;
        store.remove(&snapshots::object_name(tag, id))?;
        monitor.add(Counter::Objects, 1);
    }
    let buried: HashSet<(SeriesTag, SnapshotId)> = buried.into_iter().chain(plan.leftovers.iter().copied()).collect();
    report.finished = plan.leftovers.len() as u64;
    store.sync()?;
    for (name, tag, id) in &annotations.objects {
        if buried.contains(&(*tag, *id)) {
            store.remove(name)?;
        }
    }
    for name in &plan.stale {
        store.remove(name)?;
    }
    store.sync()?;
    Ok(report)
}
