//! An application that goes on under another name: its snapshots are published once more in the other series, and forgotten in the one
//! they were in.
//!
//! A snapshot is small, and names what it holds by contents: nothing else is read or written. From then on there is one series as if it
//! had always been called so: rules count its nights together, the next snapshot finds in the last one what has not changed, and what was
//! said of a snapshot is said of it here. The tombstones in the old series say where it went ([`moved_to`]).
//!
//! ```text
//! plan     old series, oldest first, and what the new one has of later times → numbers, predecessors
//! apply    for each: annotations → snapshot, durable; then all originals are forgotten                   killed in between: run it again
//! ```
//!
//! The session is open until the last original is forgotten, so that no sweep that listed the old series before and the new one after
//! misses both (`format-spec/06-snapshots.md`, moved series).

use super::forget::{self, Actor};
use crate::{
    error::{Error, Result},
    hash,
    id::{SeriesTag, SnapshotId},
    keys::Role,
    model::{
        annotation::{Annotation, Change},
        limits,
        snapshot::{Head, Snapshot},
    },
    monitor::{Counter, Monitor, Phase},
    name::Shown,
    ops::annotate::annotate,
    repo::{Annotations, Listed, Repository, Session, snapshots::seal_snapshot},
    series::Series,
};
use std::collections::{BTreeMap, BTreeSet};

/// How the reason in the tombstone of a snapshot begins that was moved; the series follows.
pub const REASON: &str = "moved to ";

/// What is to be done.
pub struct Request<'a> {
    /// The series as it was called.
    pub from: &'a Series,
    /// As it is called from now on.
    pub to: &'a Series,
    /// Who does it.
    pub actor: &'a Actor,
    /// Tell what would be done, and do nothing.
    pub dry_run: bool,
}

/// A snapshot that was moved, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The series it was in: the old one, or, for one that came too early, the new one.
    pub series: String,
    /// Its id there.
    pub original: SnapshotId,
    /// Its id now; `None` in a dry run, unless an earlier run made it.
    pub new: Option<SnapshotId>,
    /// Its head now.
    pub head: Head,
}

/// What came of it, or would: oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// All that are in the new series by this.
    pub moved: Vec<Moved>,
    /// Snapshots that the new series had before, and that stand behind these now.
    pub reordered: u64,
}

/// A snapshot that is to be, or that an earlier run has made.
struct Step {
    original: Listed,
    tag: SeriesTag,
    twin: Option<Listed>,
}

/// Moves. Needs a key of a maintainer or an owner. May be killed at any time and run again.
pub fn relocate(repo: &Repository, request: &Request<'_>, monitor: &dyn Monitor) -> Result<Report> {
    let (from, to) = (request.from, request.to);
    repo.keys().expect(Role::Maintainer, "move a series")?;
    if from == to {
        return Err(Error::usage(format!("{} is its name already", shown(to))));
    }
    if REASON.len() + to.as_str().len() > limits::REASON_MAX {
        return Err(Error::usage(format!("{} is too long a name for a series that is moved to", shown(to))));
    }
    monitor.phase(Phase::Opening);
    for series in [from, to] {
        repo.expect_no_rollback(series)?;
    }
    let session = repo.begin(&request.actor.host, request.dry_run, monitor)?;
    let old = whole(repo, from)?;
    if old.is_empty() {
        return Err(Error::usage(match moved_to(repo, from)? {
            Some(there) => format!("{} was moved to {} before", shown(from), shown(&there)),
            None => format!("there is no snapshot of {}; see `vault snapshots`", shown(from)),
        }));
    }
    let steps = plan(repo, from, to, old, whole(repo, to)?);
    let mut last = repo.series_end(to)?.last.map(|(id, head)| (id, head.sequence));
    // Without snapshots of its own in between the nights keep their numbers.
    let keeps = steps.iter().all(|step| step.original.snapshot.series == from.as_str());
    let annotations = repo.annotations(None)?;
    let usable = session.load_index(monitor)?;
    let mut report = Report::default();
    let mut before: Option<(Head, Head)> = None;
    monitor.phase(Phase::Publishing);
    monitor.expect(Counter::Objects, steps.len() as u64);
    for step in &steps {
        monitor.check()?;
        let own = &step.original.snapshot;
        report.reordered += u64::from(own.series == to.as_str());
        let (id, head) = match &step.twin {
            Some(twin) => (Some(twin.id), twin.snapshot.head.clone()),
            None => {
                let snapshot = as_of(own, to, next(&own.head, before.as_ref(), last, keeps)?);
                let id = if request.dry_run {
                    None
                } else {
                    Some(publish(&session, step, &snapshot, to, &annotations, &usable.index)?)
                };
                // A dry run has no id for the next to name; nobody reads it.
                last = Some((id.unwrap_or(step.original.id), snapshot.head.sequence));
                (id, snapshot.head)
            }
        };
        before = Some((own.head.clone(), head.clone()));
        report.moved.push(Moved { series: own.series.clone(), original: step.original.id, new: id, head });
        monitor.add(Counter::Objects, 1);
    }
    if !request.dry_run {
        repo.store().sync()?;
        forget_originals(repo, &steps, &report, request, &annotations, monitor)?;
    }
    Ok(report)
}

/// Where a series went, if it was moved and nothing of it is left or came anew.
pub fn moved_to(repo: &Repository, series: &Series) -> Result<Option<Series>> {
    let end = repo.series_end(series)?;
    let (None, Some((id, _))) = (end.living, end.last) else { return Ok(None) };
    match repo.tombstone(&repo.keys().series_tag(series), &id) {
        Ok(tombstone) => Ok(tombstone.reason.strip_prefix(REASON).and_then(|to| Series::parse(to).ok())),
        // Of one that is damaged, or that this key does not open, nothing is known.
        Err(Error::Corrupt { .. } | Error::Missing { .. } | Error::NotPermitted { .. } | Error::Unsupported { .. }) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Where a series is now, however often it was moved; `None` when it was not.
pub fn follow(repo: &Repository, series: &Series) -> Result<Option<Series>> {
    let mut been = BTreeSet::from([series.clone()]);
    let mut at = None;
    while let Some(next) = moved_to(repo, at.as_ref().unwrap_or(series))? {
        if !been.insert(next.clone()) {
            return Ok(None);
        }
        at = Some(next);
    }
    Ok(at)
}

fn shown(series: &Series) -> Shown<'_> {
    Shown(series.as_str().as_bytes())
}

/// All snapshots of a series, oldest first. One that cannot be read would be left behind.
fn whole(repo: &Repository, series: &Series) -> Result<Vec<Listed>> {
    let found = repo.snapshots(Some(series))?;
    match found.unreadable.into_iter().chain(found.doubtful).next() {
        None => Ok(found.listed),
        Some((_, error @ Error::Unsupported { .. })) => Err(error),
        Some((object, error)) => Err(Error::corrupt(
            object,
            format!("{error}: it would be left behind in {}; see `vault repair`, or forget it", shown(series)),
        )),
    }
}

/// True when one was made of the other by moving: all but its place is the same.
fn is_twin(a: &Snapshot, b: &Snapshot) -> bool {
    let bare = |snapshot: &Snapshot| {
        let mut bare = snapshot.clone();
        (bare.series, bare.head.sequence, bare.head.previous) = (String::new(), 0, None);
        bare
    };
    a.head.time == b.head.time && bare(a) == bare(b)
}

/// What is to be moved, oldest first: all of the old series, and what the new one has of the same time and later, which must not stand
/// before it.
fn plan(repo: &Repository, from: &Series, to: &Series, old: Vec<Listed>, new: Vec<Listed>) -> Vec<Step> {
    let begins = old.iter().map(|listed| listed.snapshot.head.time).min();
    let mut made: BTreeMap<SnapshotId, Listed> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let own = new.iter().filter(|listed| Some(listed.snapshot.head.time) >= begins);
    // An earlier run was killed: what it made has a higher number than what it was made of, where both are in one series.
    for original in old.iter().chain(own.clone()) {
        let is_own = original.snapshot.series == to.as_str();
        let twin = new.iter().find(|other| {
            other.id != original.id
                && !taken.contains(&other.id)
                && (!is_own || other.snapshot.head.sequence > original.snapshot.head.sequence)
                && is_twin(&other.snapshot, &original.snapshot)
        });
        if let Some(twin) = twin {
            taken.insert(twin.id);
            made.insert(original.id, twin.clone());
        }
    }
    let (old_tag, new_tag) = (repo.keys().series_tag(from), repo.keys().series_tag(to));
    let own: Vec<Listed> = own.filter(|listed| !taken.contains(&listed.id)).cloned().collect();
    let of_old = old.into_iter().map(|listed| (old_tag, listed));
    let mut steps: Vec<Step> = of_old
        .chain(own.into_iter().map(|listed| (new_tag, listed)))
        .map(|(tag, original)| Step { twin: made.remove(&original.id), tag, original })
        .collect();
    // Numbers of one series are in the order in which it grew, whatever a clock said.
    steps.sort_by_key(|step| {
        let Snapshot { head, series, .. } = &step.original.snapshot;
        (series == to.as_str(), head.sequence, step.original.id)
    });
    steps
}

/// The place of a snapshot behind those that are there.
fn next(
    own: &Head,
    before: Option<&(Head, Head)>,
    last: Option<(SnapshotId, u64)>,
    keeps: bool,
) -> Result<(u64, Option<SnapshotId>)> {
    // Two of one number and time, one of them made in the other's place, stay so.
    if let Some((original, moved)) = before
        && (original.sequence, original.time) == (own.sequence, own.time)
    {
        return Ok((moved.sequence, moved.previous));
    }
    let Some((id, highest)) = last else { return Ok((if keeps { own.sequence } else { 1 }, None)) };
    let after = highest.checked_add(1).ok_or_else(|| Error::refused("the series has the highest number"))?;
    Ok((if keeps && own.sequence > highest { own.sequence } else { after }, Some(id)))
}

fn as_of(original: &Snapshot, to: &Series, (sequence, previous): (u64, Option<SnapshotId>)) -> Snapshot {
    let mut snapshot = original.clone();
    snapshot.series = to.to_string();
    (snapshot.head.sequence, snapshot.head.previous) = (sequence, previous);
    snapshot
}

/// What was said of the original is said of it first: a pin must be there before it can be forgotten.
fn publish(
    session: &Session<'_>,
    step: &Step,
    snapshot: &Snapshot,
    to: &Series,
    annotations: &Annotations,
    index: &crate::index::BlobIndex,
) -> Result<SnapshotId> {
    let repo = session.repo();
    let tag = repo.keys().series_tag(to);
    let bytes = seal_snapshot(repo.keys(), snapshot, repo.entropy())?;
    let id = SnapshotId(hash::object_name(&bytes));
    for said in annotations.said_of(repo, &step.tag, &step.original.id)? {
        repo.annotate(&Annotation { series: tag, snapshot: id, ..said })?;
    }
    let id = session.publish_sealed(&tag, &bytes, index)?;
    repo.saw(to, &id, &snapshot.head)?;
    Ok(id)
}

fn forget_originals(
    repo: &Repository,
    steps: &[Step],
    report: &Report,
    request: &Request<'_>,
    annotations: &Annotations,
    monitor: &dyn Monitor,
) -> Result<()> {
    if let Some(illegible) = steps.iter().find_map(|step| annotations.doubt(&step.tag)) {
        return Err(Error::refused(format!(
            "{} cannot be read ({}), and may say that a snapshot is pinned: move it away, and run again",
            illegible.object, illegible.error
        )));
    }
    let living: BTreeSet<SnapshotId> = repo.living(Some(request.to))?.names.into_iter().map(|(_, id, _)| id).collect();
    if let Some(gone) = report.moved.iter().find(|moved| moved.new.is_none_or(|id| !living.contains(&id))) {
        return Err(Error::refused(format!(
            "what {} was moved to was forgotten meanwhile: nothing more is forgotten; run it again",
            gone.original.short()
        )));
    }
    let is_pinned = |step: &&Step| annotations.of(&step.tag, &step.original.id).pin.is_some();
    let pinned: Vec<Listed> = steps.iter().filter(is_pinned).map(|step| step.original.clone()).collect();
    if !pinned.is_empty() {
        annotate(repo, &pinned, &[Change::Pin { on: false, reason: None }], request.actor, monitor)?;
    }
    let originals = steps.iter().map(|step| (step.tag, step.original.id)).collect();
    let plan = forget::of_ids(repo, originals, &format!("{REASON}{}", request.to), true, monitor)?;
    let mut done = forget::apply(repo, &plan, request.actor, monitor)?;
    if let Some((_, error)) = done.failed.pop() {
        return Err(error);
    }
    match done.pinned.first() {
        Some(id) => Err(Error::refused(format!("{} was pinned meanwhile, and stays: run it again", id.short()))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
