//! Tags and pins that snapshots are given after they were made: said beside them, since they are immutable themselves.

use crate::{
    error::{Error, Result},
    id::{SeriesTag, SnapshotId},
    model::{
        annotation::{Annotation, Change},
        limits,
    },
    monitor::{Monitor, Phase},
    name::cut_text,
    ops::forget::Actor,
    repo::{Listed, Marks, Repository},
    series::Series,
};
use std::collections::BTreeMap;

/// What came of it: the snapshots that it changed something for, with what holds of them now, and those that it did not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Snapshots of which something new is said.
    pub changed: Vec<SnapshotId>,
    /// Snapshots of which the same was said before.
    pub unchanged: Vec<SnapshotId>,
}

/// True when `change` says nothing new of a snapshot.
fn holds(change: &Change, listed: &Listed, marks: &Marks) -> bool {
    match change {
        Change::Tag { tag, on } => marks.tags_with(&listed.snapshot.tags).contains(tag) == *on,
        Change::Rewritten { from, .. } => marks.rewritten.iter().any(|one| one.from == *from),
        Change::Pin { on: false, .. } => marks.pin.is_none(),
        Change::Pin { on: true, reason } => marks.pin.as_ref().is_some_and(|pin| pin.reason == *reason),
    }
}

/// Says this of the snapshots. Needs a key of a maintainer or an owner. Durable when it returns; each snapshot's part is whole or not said.
pub fn annotate(
    repo: &Repository,
    snapshots: &[Listed],
    changes: &[Change],
    actor: &Actor,
    monitor: &dyn Monitor,
) -> Result<Report> {
    monitor.phase(Phase::Opening);
    repo.keys().annotation_key()?;
    let mut targets: BTreeMap<(SeriesTag, SnapshotId), &Listed> = BTreeMap::new();
    for listed in snapshots {
        let series = Series::parse(&listed.snapshot.series)?;
        targets.insert((repo.keys().series_tag(&series), listed.id), listed);
    }
    let annotations = repo.annotations(None)?;
    for illegible in &annotations.illegible {
        monitor.problem(&format!(
            "{}: {}; all snapshots of its series count as pinned",
            illegible.object, illegible.error
        ));
    }
    monitor.phase(Phase::Publishing);
    let mut report = Report::default();
    for ((tag, id), listed) in targets {
        monitor.check()?;
        let marks = annotations.of(&tag, &id);
        let news: Vec<Change> = changes.iter().filter(|change| !holds(change, listed, &marks)).cloned().collect();
        if news.is_empty() {
            report.unchanged.push(id);
            continue;
        }
        let counter = marks.counter.checked_add(1).ok_or_else(|| {
            Error::refused(format!("{} cannot be said more of: its annotations have the highest number", id.short()))
        })?;
        let text = |text: &str| cut_text(text, limits::REASON_MAX).to_owned();
        repo.annotate(&Annotation {
            series: tag,
            snapshot: id,
            counter,
            time: repo.clock().now(),
            host: text(&actor.host),
            user: text(&actor.user),
            changes: news,
        })?;
        report.changed.push(id);
    }
    repo.store().sync()?;
    Ok(report)
}
