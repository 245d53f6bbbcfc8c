//! Gives space back, without a lock: the protocol and its reasons are in `format-spec/12-prune.md`.
//!
//! ```text
//! which notes are ripe? ─▶ survey ─▶ plan ─┬─▶ (dry run: the end)
//!                                          └─▶ notice ─▶ survey again ─▶ plan ─▶ sweep ─▶ tidy ─▶ move ─▶ mark
//! ```
//!
//! One run sweeps what an earlier one has marked, then marks. It may be killed at any time; the next one goes on. Structure only is read,
//! never the contents of files, and segments are moved byte for byte: one of which a part is needed moves whole.

pub(super) mod apply;
pub(super) mod live;
mod merge;
mod plan;
mod scene;
mod survey;
#[cfg(test)]
mod tests;
pub(super) mod walk;

pub use plan::{Amount, Numbers, Plan};

use crate::{
    error::{Error, Result},
    id::{PackId, SnapshotId},
    monitor::{Monitor, Phase},
    repo::Repository,
};
use survey::{Survey, Sweepable};

/// How much of the packs may stay unused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unused {
    /// A share of the repository's packs, in per cent.
    Percent(f64),
    /// So many bytes.
    Bytes(u64),
    /// Any: packs of which anything is needed stay as they are.
    Unlimited,
}

/// What to do, and what not.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How much may stay unused. Without it 5 %, and more where writing it anew would take more than twice the bytes that it wins.
    pub max_unused: Option<Unused>,
    /// Bytes to move at most.
    pub max_repack: Option<u64>,
    /// Seconds between the run that marks packs and the one that removes them.
    pub grace: i64,
    /// Go on where it looks as if snapshots were lost, or much would go.
    pub force: bool,
    /// Nobody else is at work: where the store has no clock to tell, sessions and notes that cannot be read are passed over. Not the same
    /// as `force`: whoever means that much may go has not looked who else is there.
    pub alone: bool,
    /// Threads; 0 for one a core.
    pub threads: usize,
}

/// The usual grace time in seconds.
pub const GRACE: i64 = 24 * 3600;

impl Default for Options {
    fn default() -> Self {
        Options { max_unused: None, max_repack: None, grace: GRACE, force: false, alone: false, threads: 0 }
    }
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Packs that were removed.
    pub removed: Amount,
    /// Packs of which needed segments were moved, and the bytes that were written for it.
    pub moved: Amount,
    /// Packs that are marked now.
    pub marked: u64,
    /// Index objects that were replaced.
    pub indexes_replaced: u64,
    /// Snapshots that were finished for writers that were killed.
    pub published: Vec<SnapshotId>,
    /// Packs that are damaged, and were to be moved.
    pub damaged: Vec<PackId>,
}

fn look(repo: &Repository, options: &Options, monitor: &dyn Monitor) -> Result<(Sweepable, Survey, Plan)> {
    monitor.phase(Phase::Opening);
    newer_slots(repo)?;
    let sweepable = Sweepable::find(repo, options, monitor)?;
    let survey = Survey::make(repo, &sweepable, None, options, monitor)?;
    let plan = plan::make(repo, &survey, &sweepable, options, None)?;
    Ok((sweepable, survey, plan))
}

/// Nothing is removed from a repository that a newer program works with.
fn newer_slots(repo: &Repository) -> Result<()> {
    let (_, unusable) = repo.list_slots()?;
    unusable.into_iter().find(|error| matches!(error, Error::Unsupported { .. })).map_or(Ok(()), Err)
}

/// What [`prune`] would do now. Needs a key that opens snapshots. Fails as that would, before it has done anything.
pub fn plan(repo: &Repository, options: &Options, monitor: &dyn Monitor) -> Result<Plan> {
    look(repo, options, monitor).map(|(_, _, plan)| plan)
}

/// Sweeps and marks. Returns what was planned and what was done; all of it is durable.
pub fn prune(repo: &Repository, options: &Options, monitor: &dyn Monitor) -> Result<(Plan, Report)> {
    let looked = repo.clock().now();
    let (sweepable, mut survey, mut plan) = look(repo, options, monitor)?;
    let store = repo.store();
    if !store.capabilities().remove {
        return Err(Error::refused(format!("nothing can be removed from {}: prune where it can", store.place())));
    }
    let mut report = Report::default();
    let mut index = survey.scene.sources.iter().map(|source| source.id).collect();
    if plan.sweeps() {
        let (noticed, begun) = (plan.noticed.clone(), repo.clock().now());
        apply::notice(repo, &survey.scene, &plan, looked, &mut report, monitor)?;
        survey = Survey::make(repo, &sweepable, Some(survey), options, monitor)?;
        plan = plan::make(repo, &survey, &sweepable, options, Some(&noticed))?;
        plan.numbers.count_removed(report.removed);
        index = apply::sweep(repo, &survey.scene, &plan, begun, &mut report, monitor)?;
    }
    apply::tidy(repo, &plan, &mut report, monitor)?;
    apply::mark(repo, &survey, &plan, &index, &mut report, monitor)?;
    store.sync()?;
    Ok((plan, report))
}
