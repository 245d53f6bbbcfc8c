//! Does what a plan says, step by step: S2 to S7, M2 to M5 of `format-spec/12-prune.md`. May be killed between any two.

use super::{Report, plan::Plan, scene::Scene, survey::Survey};
use crate::{
    error::{Error, Result},
    hash,
    id::{IndexId, NoteId, PackId, SnapshotId},
    index::{BlobIndex, IndexObject, object as index_object},
    model::limits,
    monitor::{Counter, Monitor, Phase},
    pack::{self, PackEntry},
    repo::{
        Repository, gc,
        mover::{Moved, Mover},
        session, snapshots,
    },
    world::Time,
};
use std::{
    collections::{BTreeSet, HashSet},
    iter,
};

/// Blobs of one index object, about.
const INDEX_BLOBS: usize = 64 << 10;

/// What makes room for a notice on a full store.
enum Room {
    /// A pack that goes anyhow, and that an older notice names, so that nobody relies on it.
    Pack(PackId),
    /// Ripe marks.
    Marks(BTreeSet<NoteId>),
}

/// Says that a sweep begins (S2). On a full store, packs that may go without a word make room for it; then ripe marks, first those that
/// are done with after it, then one by one those that would stay: whatever these name, and is there, it names too, so that nobody relies
/// on it. Tried until there is room. `looked` is when this run began to look at the notes.
pub(super) fn notice(
    repo: &Repository,
    scene: &Scene,
    plan: &Plan,
    looked: Time,
    report: &mut Report,
    monitor: &dyn Monitor,
) -> Result<()> {
    let mut names = plan.noticed.clone();
    let (mut gone, mut freed) = (BTreeSet::new(), BTreeSet::new());
    let packs = plan.told.iter().map(|id| Room::Pack(*id));
    let lasting = plan.lasting.iter().map(|id| BTreeSet::from([*id]));
    let marks = iter::once(plan.marks.clone()).chain(lasting).filter(|ripe| !ripe.is_empty()).map(Room::Marks);
    let mut room = packs.chain(marks);
    loop {
        let Err(error) = repo.notice(names.iter().copied()) else { return Ok(()) };
        match room.next().filter(|_| error.is_store_full()) {
            Some(Room::Pack(id)) => {
                monitor.check()?;
                // The notice was listed, by a run that may have been killed before it was durable: now it lasts.
                repo.store().sync()?;
                remove_pack(repo, scene, &id, looked, report)?;
                names.remove(&id);
                gone.insert(id);
                // Some file systems give space back only then.
                repo.store().sync()?;
            }
            Some(Room::Marks(ripe)) => {
                let noted = scene.notes.noted.iter().filter(|noted| ripe.contains(&noted.id));
                let left = |id: &&PackId| scene.packs.contains_key(id) && !gone.contains(id);
                freed.extend(noted.flat_map(|noted| &noted.note.packs).filter(left));
                names.extend(&freed);
                remove_notes(repo, &ripe)?;
            }
            None => {
                // Where there was room for them there may still be; the error is the news.
                let _ = repo.mark(freed);
                return Err(error);
            }
        }
    }
}

fn remove_notes<'i>(repo: &Repository, notes: impl IntoIterator<Item = &'i NoteId>) -> Result<()> {
    notes.into_iter().try_for_each(|id| repo.store().remove(&gc::object_name(id)))
}

/// Removes a pack under a notice (S4). `begun` is when its 12 h began, at the latest.
fn remove_pack(repo: &Repository, scene: &Scene, id: &PackId, begun: Time, report: &mut Report) -> Result<()> {
    if session::stood_still(begun, repo.clock().now()) {
        return Err(Error::refused("the sweep stood still for so long that others may take it for dead: run it again"));
    }
    repo.store().remove(&pack::object_name(id))?;
    report.removed.add(scene.packs.get(id).copied().unwrap_or(0));
    Ok(())
}

/// Removes packs, makes the index anew where it lists them, and removes the notes that are done with (S4 to S7). Returns the index
/// objects that are there now.
pub(super) fn sweep(
    repo: &Repository,
    scene: &Scene,
    plan: &Plan,
    begun: Time,
    report: &mut Report,
    monitor: &dyn Monitor,
) -> Result<Vec<IndexId>> {
    let store = repo.store();
    monitor.phase(Phase::Removing);
    monitor.expect(Counter::Objects, plan.remove.len() as u64);
    for id in &plan.remove {
        monitor.check()?;
        remove_pack(repo, scene, id, begun, report)?;
        monitor.add(Counter::Objects, 1);
    }
    store.sync()?;
    let is_there = |id: &PackId| scene.packs.contains_key(id) && !plan.remove.contains(id);
    let index = renew_index(repo, scene, plan, &is_there, report, monitor)?;
    let is_done = |id: &&NoteId| {
        let noted = scene.notes.noted.iter().find(|noted| noted.id == **id);
        noted.is_some_and(|noted| !noted.note.packs.iter().any(is_there))
    };
    remove_notes(repo, plan.marks.iter().chain(&plan.notices).filter(is_done))?;
    store.sync()?;
    Ok(index)
}

/// Collects packs into new index objects.
struct Lists<'r> {
    repo: &'r Repository,
    open: IndexObject,
    blobs: usize,
    seen: HashSet<PackId>,
    stored: Vec<IndexId>,
}

impl Lists<'_> {
    fn add(&mut self, entry: PackEntry) -> Result<()> {
        if self.seen.insert(entry.id) {
            self.blobs += entry.blob_count();
            self.open.packs.push(entry);
        }
        if self.blobs >= INDEX_BLOBS { self.store() } else { Ok(()) }
    }

    fn store(&mut self) -> Result<()> {
        let object = std::mem::take(&mut self.open);
        self.blobs = 0;
        if object.packs.is_empty() {
            return Ok(());
        }
        let keys = self.repo.keys();
        let bytes = object.seal(keys.repo(), &keys.index_key(), self.repo.entropy())?;
        let id = IndexId(hash::object_name(&bytes));
        if bytes.len() as u64 > limits::META_MAX {
            return Err(Error::refused("packs hold more blobs than an index object can list"));
        }
        self.repo.store().put(&index_object::object_name(&id), &bytes)?;
        self.stored.push(id);
        Ok(())
    }
}

/// Replaces the index objects that list packs which are not there, and small ones when they are many (S5, S6).
fn renew_index(
    repo: &Repository,
    scene: &Scene,
    plan: &Plan,
    is_there: &dyn Fn(&PackId) -> bool,
    report: &mut Report,
    monitor: &dyn Monitor,
) -> Result<Vec<IndexId>> {
    let mut lists = Lists { repo, open: IndexObject::default(), blobs: 0, seen: HashSet::new(), stored: Vec::new() };
    let (mut old, mut kept) = (Vec::new(), Vec::new());
    for source in &scene.sources {
        monitor.check()?;
        let object = repo.read_index_object(&source.id).map_err(overtaken)?;
        if !plan.merge.contains(&source.id) && object.packs.iter().all(|entry| is_there(&entry.id)) {
            kept.push(source.id);
            continue;
        }
        old.push(source.id);
        object.packs.into_iter().filter(|entry| is_there(&entry.id)).try_for_each(|entry| lists.add(entry))?;
    }
    lists.store()?;
    repo.store().sync()?;
    for id in &old {
        repo.store().remove(&index_object::object_name(id))?;
    }
    report.indexes_replaced = old.len() as u64;
    kept.extend(lists.stored);
    Ok(kept)
}

/// An index object that was there a moment ago was replaced by another prune.
pub(in crate::ops) fn overtaken(error: Error) -> Error {
    match error {
        Error::Missing { object } => {
            Error::refused(format!("{object} has gone: another prune is under way; run it again"))
        }
        error => error,
    }
}

/// Finishes what killed writers have left behind, and takes away what nobody needs any more (M2).
pub(super) fn tidy(repo: &Repository, plan: &Plan, report: &mut Report, monitor: &dyn Monitor) -> Result<()> {
    let store = repo.store();
    if !plan.publish.is_empty() {
        // Their intents were listed, by writers that may have been killed before these were durable: now they last.
        store.sync()?;
    }
    for (tag, id) in &plan.publish {
        monitor.check()?;
        let (intent, begun) = (session::intent_name(id), repo.clock().now());
        let bytes = match store.get(&intent, limits::META_MAX) {
            Ok(bytes) if SnapshotId(hash::object_name(&bytes)) == *id => bytes,
            // Its writer has just finished it, or another prune.
            Err(Error::Missing { .. }) => continue,
            Ok(_) => return Err(Error::corrupt(&intent, "its bytes are not those of its name")),
            Err(error) => return Err(error),
        };
        if session::stood_still(begun, repo.clock().now()) {
            return Err(Error::refused(
                "publishing for a writer that was killed stood still for so long that what it needs may have gone: run it again",
            ));
        }
        store.put(&snapshots::object_name(tag, id), &bytes)?;
        store.sync()?;
        store.remove(&intent)?;
        report.published.push(*id);
    }
    if !plan.drop.is_empty() {
        // The snapshots of most of them were listed; now these last.
        store.sync()?;
    }
    for id in &plan.drop {
        store.remove(&session::intent_name(id))?;
    }
    if !plan.leftovers.is_empty() {
        // Their tombstones were listed; now they last.
        store.sync()?;
    }
    for (tag, id) in &plan.leftovers {
        store.remove(&snapshots::object_name(tag, id))?;
    }
    for name in &plan.expired {
        store.remove(name)?;
    }
    for name in &plan.hollow {
        // Somebody may have stored it by now.
        if store.stat(name)?.is_some_and(|entry| entry.len == 0) {
            store.remove(name)?;
        }
    }
    Ok(())
}

/// Moves what is needed out of packs that are to go, and marks these (M3 to M5).
///
/// Whoever takes something out of snapshots, or repairs, marks packs and then looks whether what is needed lies in others that nobody has
/// marked. Here it is the other way round: of two that meet one sees the other. So nobody condemns what the other counts on, and may not have
/// seen: this run, if it began before the other's snapshots were there.
pub(super) fn mark(
    repo: &Repository,
    survey: &Survey,
    plan: &Plan,
    index: &[IndexId],
    report: &mut Report,
    monitor: &dyn Monitor,
) -> Result<()> {
    let passed_over = survey.scene.passed_over.iter().filter_map(|name| NoteId::parse(name.leaf()).ok());
    let mut seen: HashSet<NoteId> = survey.scene.notes.names.iter().copied().chain(passed_over).collect();
    let is_overtaken =
        |seen: &HashSet<NoteId>| -> Result<bool> { Ok(repo.named_since(seen)?.is_none_or(|named| !named.is_empty())) };
    if is_overtaken(&seen)? {
        return Err(marked_meanwhile());
    }
    // First what costs nothing: on a full store the rest may fail.
    let mut marks = repo.mark(plan.dead.iter().copied())?;
    seen.extend(marks.iter().copied());
    report.marked += plan.dead.len() as u64;
    if !plan.moves.is_empty() {
        let (emptied, moved) = move_out(repo, survey, plan, index, report, monitor)?;
        let stained = stained(repo, &moved, &seen)?;
        report.marked += (emptied.len() + stained.len()) as u64;
        seen.extend(repo.mark(stained)?);
        let of_emptied = repo.mark(emptied)?;
        seen.extend(of_emptied.iter().copied());
        marks.extend(of_emptied);
    }
    if !marks.is_empty() && is_overtaken(&seen)? {
        remove_notes(repo, &marks)?;
        return Err(marked_meanwhile());
    }
    Ok(())
}

fn marked_meanwhile() -> Error {
    Error::refused("somebody else has marked packs since this run looked: nothing more is condemned; run it again")
}

/// The new packs with segments of packs that somebody has marked, or removed, since this run looked: what was taken out of snapshots
/// meanwhile may lie in them.
fn stained(repo: &Repository, moved: &Moved, seen: &HashSet<NoteId>) -> Result<BTreeSet<PackId>> {
    let named = repo.named_since(seen)?;
    let present = repo.list_packs()?;
    moved.copies_of(repo, &|source| {
        named.as_ref().is_none_or(|named| named.contains(source)) || !present.contains_key(source)
    })
}

/// Returns the packs of which nothing is needed any more, and what was moved.
fn move_out(
    repo: &Repository,
    survey: &Survey,
    plan: &Plan,
    index: &[IndexId],
    report: &mut Report,
    monitor: &dyn Monitor,
) -> Result<(BTreeSet<PackId>, Moved)> {
    let mut emptied = BTreeSet::new();
    monitor.phase(Phase::Moving);
    monitor.expect(Counter::Stored, plan.numbers.moved.bytes);
    let mut wanted: HashSet<(PackId, u64)> = HashSet::new();
    survey.live.each_live_segment(&mut |pack, offset| {
        if plan.moves.contains(pack) {
            wanted.insert((*pack, offset));
        }
    });
    let scratch = BlobIndex::empty(None);
    let mut mover = Mover::new(repo, &scratch, monitor);
    let mut seen = HashSet::new();
    for id in index {
        let object = repo.read_index_object(id).map_err(overtaken)?;
        for entry in object.packs.iter().filter(|entry| plan.moves.contains(&entry.id)) {
            monitor.check()?;
            if !seen.insert(entry.id) {
                continue;
            }
            if mover.copy(entry, &|segment| wanted.contains(&(entry.id, segment.offset)))? {
                report.moved.packs += 1;
                if plan.emptied.contains(&entry.id) {
                    emptied.insert(entry.id);
                }
            } else {
                let name = pack::object_name(&entry.id);
                monitor.problem(&format!("{name} is damaged and stays as it is: see `vault check`"));
                report.damaged.push(entry.id);
            }
        }
    }
    let moved = mover.finish()?;
    report.moved.bytes = moved.written.bytes_stored;
    Ok((emptied, moved))
}
