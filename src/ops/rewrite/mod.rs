//! Takes files, folders or patterns out of snapshots that were made.
//!
//! ```text
//! choose ─▶ trees anew, along what is touched ─▶ what nothing needs then? ─┬─▶ (dry run: the end)
//!                                                                          └─▶ snapshots beside the old ones, with all that was said
//!           of these ─▶ segments that hold what was taken out, anew without it; their packs marked ─▶ the old snapshots forgotten
//! ```
//!
//! A rewritten snapshot has its original's number, time and predecessor, and an annotation that says what it was made of. Nothing is
//! removed but snapshots, by tombstones: the bytes go with the next prunes. Killed at any moment, it may be run again: what is
//! rewritten already is found.

mod choose;
mod remains;
#[cfg(test)]
mod tests;
mod trees;

pub use remains::Remains;

use crate::{
    error::{Error, Result},
    fs::exclude::{ExcludeOptions, Excludes},
    id::{SeriesTag, SnapshotId},
    index::BlobIndex,
    keys::Role,
    model::{
        annotation::{Annotation, Change},
        limits,
        snapshot::Snapshot,
        tombstone::GoneHead,
    },
    monitor::{Monitor, Phase},
    name::{Shown, cut_text},
    object::Kind,
    ops::{
        annotate::annotate,
        check::losses::SnapshotLoss,
        forget::{self, Actor},
        prune::{
            live::{Live, Standing},
            walk::{self, Ended, Root},
        },
    },
    repo::{BlobReader, Listed, Repository, Session, WriteOptions, session::Stay, snapshots},
    series::{Address, Series},
};
use choose::Choice;
use remains::Needs;
use std::collections::{BTreeSet, HashMap, HashSet};
use trees::Trees;

/// How often what is left is looked for: prunes that go on at the same time may have moved some of it, and some again.
const LOOKS: usize = 16;
/// Paths that the annotation names.
const PATHS_SAID: usize = 3;

/// Snapshots, and what is to be taken out of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Series and version; a path in it is taken out, the source's name first.
    pub address: Address,
    /// All versions of the series, whatever the address says.
    pub all: bool,
}

/// What is to be done.
pub struct Request<'a> {
    /// Which snapshots.
    pub targets: &'a [Target],
    /// What is taken out of all of them besides, as for a new snapshot: patterns relative to each source's root.
    pub patterns: Vec<String>,
    /// Why, for the record.
    pub reason: Option<&'a str>,
    /// Do not forget the originals.
    pub keep_originals: bool,
    /// Also of pinned snapshots, which lose their pin to the rewritten ones.
    pub pinned: bool,
    /// Who does it.
    pub actor: &'a Actor,
    /// Tell what would be done, and do nothing.
    pub dry_run: bool,
}

/// A snapshot of which something is taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// `server/vm/relpath`.
    pub series: String,
    /// The original, and what is taken out of it.
    pub taken: SnapshotLoss,
    /// The snapshot that was made in its place; `None` in a dry run.
    pub new: Option<SnapshotId>,
    /// True when it is pinned.
    pub pinned: bool,
}

/// What came of it, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Snapshots that were looked at.
    pub looked_at: u64,
    /// Those of which something is taken out; by series, oldest first.
    pub rewritten: Vec<Rewritten>,
    /// What becomes of the bytes; `None` when the originals stay.
    pub remains: Option<Remains>,
}

/// What is to be taken out of a snapshot.
pub(crate) struct Taking {
    /// The names of sources come first.
    paths: BTreeSet<Vec<u8>>,
    excludes: Excludes,
}

/// A snapshot that is to be.
struct Prepared<'a> {
    choice: &'a Choice,
    snapshot: Snapshot,
}

/// Rewrites. Needs an owner's key. `instant` turns a date as the user wrote it into the last second it means.
///
/// [`Error::Usage`] when nothing is found that could be taken out; [`Error::Refused`] for a pinned snapshot, unless it is asked for, and
/// for one of which nothing would be left.
pub fn rewrite(
    repo: &Repository,
    request: &Request<'_>,
    instant: &dyn Fn(&str) -> Result<i64>,
    monitor: &dyn Monitor,
) -> Result<Report> {
    repo.keys().expect(Role::Owner, "take something out of snapshots")?;
    let excludes = Excludes::new(&ExcludeOptions { patterns: request.patterns.clone(), ..ExcludeOptions::default() })?;
    monitor.phase(Phase::Opening);
    let all = choose::all(repo)?;
    let choices = choose::choose(repo, request, &all, instant)?;
    let session = repo.begin(&request.actor.host, request.dry_run, monitor)?;
    let usable = session.load_index(monitor)?;
    let standing = |id: &crate::id::PackId, len: u64| match usable.packs.get(id) {
        Some(there) if *there == len => Standing::Kept,
        _ => Standing::Absent,
    };
    let live = || Live::new(&usable.index, &standing);
    let (before, after, taken) = (live(), live(), live());
    let needs = Needs { before: &before, after: &after, taken: &taken };
    monitor.phase(Phase::Planning);
    let reader = BlobReader::new(repo, &usable.index);
    let options = WriteOptions { pretend: request.dry_run, ..WriteOptions::default() };
    let mut report = Report { looked_at: choices.len() as u64, ..Report::default() };
    let (prepared, written) = session.write(&usable.index, options, monitor, |writer| {
        let mut pages = writer.lane(Kind::TreePack);
        let mut trees = Trees {
            reader: &reader,
            index: &usable.index,
            page_key: repo.keys().page_key(),
            lists: writer.lane(Kind::TreePack),
            data: writer.lane(Kind::DataPack),
            after: &after,
            taken: &taken,
            known: HashSet::new(),
            sums: HashMap::new(),
            monitor,
        };
        let mut taking = Taking { paths: BTreeSet::new(), excludes };
        let mut prepared = Vec::new();
        for choice in &choices {
            if taking.paths != choice.paths {
                // What stays as it is in one need not in another.
                trees.known.clear();
                taking.paths = choice.paths.clone();
            }
            let mut loss = SnapshotLoss::new(choice.listed.id, Some(choice.listed.snapshot.head.time.sec));
            let made = trees.of(&choice.listed, &taking, &mut pages, &mut loss);
            let Some(snapshot) = made.map_err(|error| damaged(&choice.listed, error))? else { continue };
            choice.expect_permission(request, &snapshot)?;
            let (series, pinned) = (snapshot.series.clone(), choice.is_pinned);
            report.rewritten.push(Rewritten { series, taken: loss, new: None, pinned });
            prepared.push(Prepared { choice, snapshot });
        }
        pages.flush()?;
        trees.lists.flush()?;
        trees.data.flush()?;
        Ok(prepared)
    })?;
    if prepared.is_empty() {
        return Err(Error::usage(format!(
            "nothing to take out was found in {}: see `vault find` or `vault ls`; patterns are relative to each source's root",
            match report.looked_at {
                1 => "the snapshot".to_owned(),
                n => format!("{n} snapshots"),
            }
        )));
    }
    if !request.keep_originals {
        let originals: HashSet<SnapshotId> = prepared.iter().map(|one| one.choice.listed.id).collect();
        survey(repo, &all, &originals, &needs, &reader, monitor)?;
        report.remains = Some(needs.look(repo, &usable.index, monitor)?);
    }
    if request.dry_run {
        return Ok(report);
    }
    monitor.phase(Phase::Publishing);
    for (one, rewritten) in prepared.iter().zip(&mut report.rewritten) {
        let id = publish(&session, one, &all, request, &usable.index, &written)?;
        rewritten.new = Some(id);
        say_again(repo, one, &id, request, &rewritten.taken)?;
    }
    repo.store().sync()?;
    if !request.keep_originals {
        needs.clear(&session, &usable.index, &mut BTreeSet::new(), monitor)?;
        forget_originals(repo, &prepared, &report, request, monitor)?;
        clear_up(&session, &needs, monitor)?;
    }
    Ok(report)
}

/// Marks once more, now that a prune which begins later sees the tombstones, and looks until nothing new is found.
fn clear_up(session: &Session<'_>, needs: &Needs<'_>, monitor: &dyn Monitor) -> Result<()> {
    let mut marked = BTreeSet::new();
    for _ in 0..LOOKS {
        let (index, _) = session.repo().load_index(false)?;
        match needs.clear(session, &index, &mut marked, monitor) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // A prune has replaced what was being read. To be run again is no help: nothing is found in the snapshots any more.
            Err(Error::Refused { .. } | Error::Missing { .. }) => monitor.check()?,
            Err(error) => return Err(error),
        }
    }
    Err(Error::refused(
        "the originals are forgotten, but prunes go on copying packs faster than they are marked: what was taken out goes when these \
         packs are moved for other reasons, not surely with the next prunes",
    ))
}

/// Something of a snapshot cannot be read, so it cannot be made anew.
fn damaged(listed: &Listed, error: Error) -> Error {
    match error {
        Error::Corrupt { object, what } => Error::corrupt(
            object,
            format!("{what}: {} cannot be made anew; see `vault repair`, or leave it out", label(listed)),
        ),
        Error::Missing { object } => Error::corrupt(
            object,
            format!("it is missing, so {} cannot be made anew; see `vault repair`, or leave it out", label(listed)),
        ),
        error => error,
    }
}

fn label(listed: &Listed) -> String {
    format!("{}@{}", Shown(listed.snapshot.series.as_bytes()), listed.id.short())
}

/// Finds out what all other snapshots need, and what the originals did. What cannot be read may need more than is seen, which costs
/// nothing: what goes is for a prune to decide, which refuses then.
fn survey(
    repo: &Repository,
    all: &[Listed],
    originals: &HashSet<SnapshotId>,
    needs: &Needs<'_>,
    reader: &BlobReader<'_>,
    monitor: &dyn Monitor,
) -> Result<()> {
    let (of_before, of_after) = (needs.before.walk(), needs.after.walk());
    let stays = repo.stays(monitor)?;
    let intents = stays.iter().filter_map(|stay| match stay {
        Stay::Intent { listed, .. } => Some(&**listed),
        Stay::Session { .. } | Stay::Damaged(_) | Stay::Hollow(_) => None,
    });
    for listed in all.iter().chain(intents) {
        let is_original = originals.contains(&listed.id);
        let (live, walked) = if is_original { (needs.before, &of_before) } else { (needs.after, &of_after) };
        let root = Root::new(listed, label(listed));
        match walk::one(&root, live, walked, reader, monitor) {
            Ok(Ended::Whole(_)) => {}
            Ok(Ended::Lacks(_)) | Err(Error::Corrupt { .. } | Error::Missing { .. }) => {
                monitor.note(&format!("{} is damaged: see `vault check`", label(listed)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn tag_of(repo: &Repository, snapshot: &Snapshot) -> Result<SeriesTag> {
    Ok(repo.keys().series_tag(&Series::parse(&snapshot.series)?))
}

/// Publishes a snapshot beside its original, unless an earlier run has.
fn publish(
    session: &Session<'_>,
    one: &Prepared<'_>,
    all: &[Listed],
    request: &Request<'_>,
    index: &BlobIndex,
    written: &crate::repo::Written,
) -> Result<SnapshotId> {
    let (repo, original) = (session.repo(), &one.choice.listed);
    if let Some(there) = all.iter().find(|listed| listed.id != original.id && listed.snapshot == one.snapshot) {
        return Ok(there.id);
    }
    let id = if request.keep_originals {
        // What is asked for by its series must not be less without anybody being told.
        session.publish_before(&one.snapshot, &original.id, index, written)?
    } else {
        let bytes = snapshots::seal_snapshot(repo.keys(), &one.snapshot, repo.entropy())?;
        session.publish_sealed(&tag_of(repo, &one.snapshot)?, &bytes, index)?
    };
    repo.saw(&Series::parse(&one.snapshot.series)?, &id, &one.snapshot.head)?;
    Ok(id)
}

/// What was said of the original is said of the new one too, and what that was made of.
fn say_again(
    repo: &Repository,
    one: &Prepared<'_>,
    new: &SnapshotId,
    request: &Request<'_>,
    taken: &SnapshotLoss,
) -> Result<()> {
    let Choice { listed, annotations, tag, .. } = one.choice;
    let known = repo.annotations(Some(&Series::parse(&listed.snapshot.series)?))?.of(tag, new);
    if known.rewritten.iter().any(|rewriting| rewriting.from == listed.id) {
        return Ok(());
    }
    let mut counter = 0;
    for said in annotations {
        counter = counter.max(said.counter);
        repo.annotate(&Annotation { snapshot: *new, ..said.clone() })?;
    }
    let text = |text: &str| cut_text(text, limits::REASON_MAX).to_owned();
    let change = Change::Rewritten { from: listed.id, what: text(&described(taken, request)) };
    repo.annotate(&Annotation {
        series: *tag,
        snapshot: *new,
        counter: counter.saturating_add(1),
        time: repo.clock().now(),
        host: text(&request.actor.host),
        user: text(&request.actor.user),
        changes: vec![change],
    })?;
    Ok(())
}

/// `3 entries, 12 bytes: app/a, app/b, … (why)`
fn described(taken: &SnapshotLoss, request: &Request<'_>) -> String {
    let shown = |path: &[u8]| Shown(path).to_string();
    let mut paths: Vec<String> = taken.paths.iter().take(PATHS_SAID).map(|lost| shown(&lost.path)).collect();
    if taken.paths.len() > PATHS_SAID {
        paths.push("…".into());
    }
    let why = request.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{} entries, {} bytes: {}{why}", taken.entries, taken.bytes, paths.join(", "))
}

fn forget_originals(
    repo: &Repository,
    prepared: &[Prepared<'_>],
    report: &Report,
    request: &Request<'_>,
    monitor: &dyn Monitor,
) -> Result<()> {
    // Before a pin goes, and once more after the plan was made.
    expect_unchanged(repo, report)?;
    let pinned: Vec<Listed> =
        prepared.iter().filter(|one| one.choice.is_pinned).map(|one| one.choice.listed.clone()).collect();
    if !pinned.is_empty() {
        // The pin is the new one's now.
        annotate(repo, &pinned, &[Change::Pin { on: false, reason: None }], request.actor, monitor)?;
    }
    let originals = prepared.iter().map(|one| (one.choice.tag, one.choice.listed.id)).collect();
    let mut plan = forget::of_ids(repo, originals, "", true, monitor)?;
    expect_unchanged(repo, report)?;
    // Of one that is not listed the plan knows nothing that could be said of it for ever.
    let planned = plan.series.iter().map(|series| series.snapshots.len()).sum::<usize>();
    if planned != prepared.len() || plan.doomed.len() != prepared.len() {
        return Err(changed("an original"));
    }
    let new: HashMap<SnapshotId, SnapshotId> =
        report.rewritten.iter().filter_map(|one| Some((one.taken.id, one.new?))).collect();
    for doomed in &mut plan.doomed {
        let id = new.get(&doomed.head.snapshot).map(ToString::to_string).unwrap_or_default();
        let why = request.reason.map_or_else(String::new, |reason| format!(": {reason}"));
        doomed.reason = cut_text(&format!("rewritten as {id}{why}"), limits::REASON_MAX).to_owned();
    }
    let mut done = forget::apply(repo, &plan, request.actor, monitor)?;
    if let Some((_, error)) = done.failed.pop() {
        return Err(error);
    }
    // Two at once may both have come so far; of one original only one has its tombstone.
    for doomed in &plan.doomed {
        let GoneHead { series, snapshot, .. } = &doomed.head;
        if !done.pinned.contains(snapshot) && repo.tombstone(series, snapshot)?.reason != doomed.reason {
            return Err(changed(&snapshot.short()));
        }
    }
    match done.pinned.first() {
        Some(id) => Err(Error::refused(format!("{} was pinned meanwhile, and stays: run it again", id.short()))),
        None => Ok(()),
    }
}

/// Fails when somebody has forgotten an original, or what was made of it: what is left of the two must not go as well.
fn expect_unchanged(repo: &Repository, report: &Report) -> Result<()> {
    let living: HashSet<SnapshotId> = repo.living(None)?.names.into_iter().map(|(_, id, _)| id).collect();
    let has_changed =
        |one: &&Rewritten| !living.contains(&one.taken.id) || one.new.is_none_or(|id| !living.contains(&id));
    report.rewritten.iter().find(has_changed).map_or(Ok(()), |one| Err(changed(&one.taken.id.short())))
}

fn changed(what: &str) -> Error {
    Error::refused(format!(
        "{what} or what was made of it was forgotten meanwhile, or rewritten by somebody else: nothing more is forgotten; run it \
         again, and the other one too"
    ))
}
