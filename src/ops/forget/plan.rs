//! What is to be forgotten, as plain data.

use super::policy::{self, Candidate, Guard, Policy, Reason};
use crate::{
    error::{Error, Result},
    id::{SeriesTag, SnapshotId},
    model::{snapshot::Head, tombstone::GoneHead},
    monitor::{Monitor, Phase},
    name::Shown,
    repo::{Annotations, Listed, Repository, Snapshots, annotations::Illegible, snapshots::object_name},
    series::{Address, Series, Version},
    store::ObjectName,
    world::Time,
};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// One snapshot of a series that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The snapshot.
    pub id: SnapshotId,
    /// Its head.
    pub head: Head,
    /// Bytes of its files.
    pub size: u64,
    /// Its tags, as they are now.
    pub tags: Vec<String>,
    /// Why it is kept; it is forgotten when nothing keeps it.
    pub keep: Vec<Reason>,
}

/// What becomes of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesPlan {
    /// `server/vm/relpath`.
    pub series: String,
    /// Its folder.
    pub tag: SeriesTag,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Entry>,
    /// Suspicions, when they hold anything.
    pub guards: Vec<Guard>,
    /// Snapshots that suspicion holds.
    pub held: u64,
    /// An annotation that cannot be read: all snapshots count as pinned.
    pub illegible: Option<String>,
}

/// A snapshot that is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// What its tombstone tells every role.
    pub head: GoneHead,
    /// Why.
    pub reason: String,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Plan {
    /// The series that were looked at, sorted.
    pub series: Vec<SeriesPlan>,
    /// What is to be forgotten, oldest first in each series.
    pub doomed: Vec<Doomed>,
    /// Snapshots that were forgotten before, and are still there.
    pub leftovers: Vec<(SeriesTag, SnapshotId)>,
    /// Annotations of what was forgotten before.
    pub stale: Vec<ObjectName>,
    /// Objects that cannot be read, with the reason: they are left alone, and nothing is concluded from them.
    pub unreadable: Vec<(String, Error)>,
}

impl Plan {
    /// Snapshots that stay, of the series that were looked at.
    pub fn kept(&self) -> u64 {
        self.series.iter().flat_map(|one| &one.snapshots).filter(|entry| !entry.keep.is_empty()).count() as u64
    }
}

/// All that a plan is made from. An object of a newer format anywhere ends it: nothing is known of what it means.
struct View {
    snapshots: Snapshots,
    annotations: Annotations,
}

fn look(repo: &Repository, monitor: &dyn Monitor) -> Result<View> {
    monitor.phase(Phase::Opening);
    repo.keys().tombstone_key()?;
    let mut snapshots = repo.snapshots(None)?;
    monitor.check()?;
    let mut annotations = repo.annotations(None)?;
    let newer = |error: &Error| matches!(error, Error::Unsupported { .. });
    for list in [&mut snapshots.unreadable, &mut snapshots.doubtful] {
        if let Some(at) = list.iter().position(|(_, error)| newer(error)) {
            return Err(list.swap_remove(at).1);
        }
    }
    if let Some(at) = annotations.illegible.iter().position(|one| newer(&one.error)) {
        return Err(annotations.illegible.swap_remove(at).error);
    }
    Ok(View { snapshots, annotations })
}

impl View {
    fn entry(&self, tag: &SeriesTag, listed: &Listed) -> (Entry, bool) {
        let marks = self.annotations.of(tag, &listed.id);
        let pinned = marks.pin.is_some() || self.annotations.doubt(tag).is_some();
        let entry = Entry {
            id: listed.id,
            head: listed.snapshot.head.clone(),
            size: listed.snapshot.totals.bytes,
            tags: marks.tags_with(&listed.snapshot.tags),
            keep: Vec::new(),
        };
        (entry, pinned)
    }

    /// What is left of earlier runs that did not come to their end, and what cannot be read.
    fn finish(self, repo: &Repository, mut plan: Plan) -> Result<Plan> {
        let gone: BTreeSet<(SeriesTag, SnapshotId)> = repo.tombstone_names(None)?;
        let mut proven: BTreeMap<(SeriesTag, SnapshotId), bool> = BTreeMap::new();
        for (name, tag, id) in self.annotations.objects {
            let key = (tag, id);
            if gone.contains(&key) && *proven.entry(key).or_insert_with(|| repo.tombstone(&tag, &id).is_ok()) {
                plan.stale.push(name);
            }
        }
        plan.leftovers = self.snapshots.leftovers;
        let wanted: Vec<String> = plan
            .doomed
            .iter()
            .map(|Doomed { head, .. }| object_name(&head.series, &head.snapshot).to_string())
            .collect();
        plan.unreadable = self.snapshots.unreadable;
        // The user knows, and is rid of it after this.
        plan.unreadable.retain(|(object, _)| !wanted.contains(object));
        plan.unreadable.extend(self.snapshots.doubtful);
        plan.unreadable
            .extend(self.annotations.illegible.into_iter().map(|Illegible { object, error, .. }| (object, error)));
        Ok(plan)
    }
}

/// What a policy forgets of the series below `under` (all when it is empty). Needs a key of a maintainer or an owner.
///
/// Periods are those of `zone`. Fails with [`Error::Usage`] for a policy that keeps nothing, and for a prefix below which there are no
/// snapshots; with [`Error::Unsupported`] when there is an object of a newer format.
pub fn of_policy(
    repo: &Repository,
    under: &[String],
    policy: &Policy,
    zone: &TimeZone,
    monitor: &dyn Monitor,
) -> Result<Plan> {
    if policy.is_empty() {
        return Err(Error::usage("what is to be kept? Give at least one rule, such as --keep-daily 14 (never 0)"));
    }
    let view = look(repo, monitor)?;
    monitor.phase(Phase::Planning);
    let now = repo.clock().now().sec;
    let mut plan = Plan::default();
    let mut met = vec![false; under.len()];
    for of_one in view.snapshots.listed.chunk_by(|a, b| a.snapshot.series == b.snapshot.series) {
        monitor.check()?;
        let Some(first) = of_one.first() else { continue };
        let series = Series::parse(&first.snapshot.series)?;
        let mut wanted = under.is_empty();
        for (prefix, met) in under.iter().zip(&mut met) {
            if series.is_under(prefix) {
                (wanted, *met) = (true, true);
            }
        }
        if wanted {
            let (one, doomed) = plan_series(&view, repo, &series, of_one, policy, zone, now);
            plan.series.push(one);
            plan.doomed.extend(doomed);
        }
    }
    if let Some((prefix, _)) = under.iter().zip(&met).find(|(_, met)| !**met) {
        return Err(Error::usage(format!(
            "no series is called \"{0}\" or lies below it: see `vault snapshots`; to forget single snapshots give no --keep",
            Shown(prefix.as_bytes())
        )));
    }
    view.finish(repo, plan)
}

/// What policies forget, each of its own series: `policy_of` tells that of a series, `None` when it is left alone. All are looked at in
/// one go. Otherwise as [`of_policy`].
pub fn of_policies(
    repo: &Repository,
    policy_of: &dyn Fn(&Series) -> Option<Policy>,
    zone: &TimeZone,
    monitor: &dyn Monitor,
) -> Result<Plan> {
    let view = look(repo, monitor)?;
    monitor.phase(Phase::Planning);
    let now = repo.clock().now().sec;
    let mut plan = Plan::default();
    for of_one in view.snapshots.listed.chunk_by(|a, b| a.snapshot.series == b.snapshot.series) {
        monitor.check()?;
        let Some(first) = of_one.first() else { continue };
        let series = Series::parse(&first.snapshot.series)?;
        // One that keeps nothing says nothing.
        if let Some(policy) = policy_of(&series).filter(|policy| !policy.is_empty()) {
            let (one, doomed) = plan_series(&view, repo, &series, of_one, &policy, zone, now);
            plan.series.push(one);
            plan.doomed.extend(doomed);
        }
    }
    view.finish(repo, plan)
}

fn plan_series(
    view: &View,
    repo: &Repository,
    series: &Series,
    listed: &[Listed],
    policy: &Policy,
    zone: &TimeZone,
    now: i64,
) -> (SeriesPlan, Vec<Doomed>) {
    let tag = repo.keys().series_tag(series);
    let mut entries: BTreeMap<SnapshotId, Entry> = BTreeMap::new();
    let mut candidates = Vec::new();
    for one in listed {
        let (entry, pinned) = view.entry(&tag, one);
        let Head { sequence, time, complete, .. } = entry.head;
        let (id, size, tags) = (entry.id, entry.size, entry.tags.clone());
        candidates.push(Candidate { id, sequence, time: time.sec, complete, size, tags, pinned });
        entries.insert(id, entry);
    }
    let outcome = policy::judge(&candidates, policy, zone, now);
    let (mut snapshots, mut doomed) = (Vec::new(), Vec::new());
    for verdict in outcome.verdicts {
        let Some(entry) = entries.remove(&verdict.id) else { continue };
        if verdict.keep.is_empty() {
            let head = GoneHead { series: tag, snapshot: entry.id, head: entry.head.clone() };
            doomed.push(Doomed { head, reason: format!("not kept by: {policy}") });
        }
        snapshots.push(Entry { keep: verdict.keep, ..entry });
    }
    let illegible = view.annotations.doubt(&tag).map(|one| one.object.clone());
    let series = series.as_str().to_owned();
    (SeriesPlan { series, tag, snapshots, guards: outcome.guards, held: outcome.held, illegible }, doomed)
}

/// Forgets these snapshots, each named by its id or by its series and a version, for this reason.
///
/// Refused for a pinned one, and without `force` for the newest complete one of a series and for one that cannot be read. `instant` turns
/// a date as the user wrote it into the last second it means.
pub fn of_snapshots(
    repo: &Repository,
    addresses: &[Address],
    instant: &dyn Fn(&str) -> Result<i64>,
    reason: &str,
    force: bool,
    monitor: &dyn Monitor,
) -> Result<Plan> {
    repo.keys().tombstone_key()?;
    monitor.phase(Phase::Opening);
    let mut wanted: BTreeSet<(SeriesTag, SnapshotId)> = BTreeSet::new();
    for address in addresses {
        wanted.insert(match &address.version {
            Version::Id(prefix) => repo.find(address.series.as_ref(), prefix)?,
            _ => {
                let listed = repo.resolve(address, instant)?.surely()?;
                (repo.keys().series_tag(&Series::parse(&listed.snapshot.series)?), listed.id)
            }
        });
    }
    of_ids(repo, wanted, reason, force, monitor)
}

/// The same for snapshots that are known already.
pub fn of_ids(
    repo: &Repository,
    mut wanted: BTreeSet<(SeriesTag, SnapshotId)>,
    reason: &str,
    force: bool,
    monitor: &dyn Monitor,
) -> Result<Plan> {
    let view = look(repo, monitor)?;
    monitor.phase(Phase::Planning);
    let mut plan = Plan::default();
    for of_one in view.snapshots.listed.chunk_by(|a, b| a.snapshot.series == b.snapshot.series) {
        let Some(first) = of_one.first() else { continue };
        let tag = repo.keys().series_tag(&Series::parse(&first.snapshot.series)?);
        let last_complete = of_one.iter().rev().find(|listed| listed.snapshot.head.complete).map(|listed| listed.id);
        let mut snapshots = Vec::new();
        for listed in of_one.iter().filter(|listed| wanted.remove(&(tag, listed.id))) {
            let (entry, pinned) = view.entry(&tag, listed);
            if pinned {
                return Err(pinned_error(&view, &tag, listed));
            }
            if !force && last_complete == Some(listed.id) {
                return Err(Error::refused(format!(
                    "{} is the newest complete snapshot of {}: give --force to forget it all the same",
                    listed.id.short(),
                    Shown(listed.snapshot.series.as_bytes())
                )));
            }
            let head = GoneHead { series: tag, snapshot: entry.id, head: entry.head.clone() };
            plan.doomed.push(Doomed { head, reason: reason.to_owned() });
            snapshots.push(entry);
        }
        if !snapshots.is_empty() {
            let (series, guards) = (first.snapshot.series.clone(), Vec::new());
            plan.series.push(SeriesPlan { series, tag, snapshots, guards, held: 0, illegible: None });
        }
    }
    for (tag, id) in wanted {
        plan.doomed.push(unreadable(&view, repo, tag, id, reason, force)?);
    }
    view.finish(repo, plan)
}

fn pinned_error(view: &View, tag: &SeriesTag, listed: &Listed) -> Error {
    let id = listed.id.short();
    match view.annotations.doubt(tag) {
        Some(illegible) => Error::refused(format!(
            "{} cannot be read ({}), and may say that {id} is pinned: move it away, and run again",
            illegible.object, illegible.error
        )),
        None => Error::refused(format!("{id} is pinned: see `vault unpin`")),
    }
}

/// A snapshot that cannot be read: as much of its head as there is goes into its tombstone.
fn unreadable(
    view: &View,
    repo: &Repository,
    tag: SeriesTag,
    id: SnapshotId,
    reason: &str,
    force: bool,
) -> Result<Doomed> {
    let name = object_name(&tag, &id);
    let pinned = view.annotations.of(&tag, &id).pin.is_some();
    if pinned || view.annotations.doubt(&tag).is_some() {
        return Err(Error::refused(format!("{name} is pinned, or may be: see `vault unpin`")));
    }
    if !force {
        return Err(Error::refused(format!("{name} cannot be read: give --force to forget it all the same")));
    }
    let unknown = Head { sequence: 0, previous: None, time: Time::default(), complete: false };
    let head = repo.head_of_damaged(&name).unwrap_or(unknown);
    Ok(Doomed { head: GoneHead { series: tag, snapshot: id, head }, reason: reason.to_owned() })
}
