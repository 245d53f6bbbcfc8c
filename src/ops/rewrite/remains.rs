//! What is taken out may lie beside what is needed, in one segment, and differences may have been made to it: those segments are made
//! anew without it, and all packs that hold it are marked. Then the next prunes remove it, not only when space runs short.
//!
//! A prune that is under way may copy such a segment as it is. It lists its copies and then looks who has marked the packs that they are
//! from; here packs are marked, after the tombstones are there, and then the index is looked at: one of the two sees the other, and marks
//! the copies too.

use crate::{
    error::Result,
    hash::BlobKind,
    id::{BlobId, PackId},
    index::BlobIndex,
    monitor::{Monitor, Phase},
    object::Kind,
    ops::prune::{apply::overtaken, live::Live},
    pack::{PackEntry, directory::SegmentEntry},
    repo::{BlobReader, Repository, Session, WriteOptions},
    segment::BlobEntry,
};
use std::collections::{BTreeSet, HashSet};

/// What is left in packs of what was taken out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remains {
    /// Bytes of plaintext that nothing needs any more, trees included.
    pub freed: u64,
    /// Bytes of what was taken out that are needed all the same: by other snapshots, or under another name.
    pub still_needed: u64,
    /// Segments that are made anew.
    pub segments: u64,
    /// Bytes of plaintext in them.
    pub bytes: u64,
    /// Packs that are marked: a prune moves what is needed out of them, and removes them after the grace time.
    pub packs: BTreeSet<PackId>,
}

/// What was needed before, what will be needed, and what was taken out itself.
pub(super) struct Needs<'a> {
    pub(super) before: &'a Live,
    pub(super) after: &'a Live,
    pub(super) taken: &'a Live,
}

impl Needs<'_> {
    /// True for what only the snapshots needed that are rewritten.
    fn is_gone(&self, id: &BlobId) -> bool {
        self.before.is_asked(id) && !self.after.is_asked(id)
    }

    /// Looks what is left, and what of it has to be made anew. `marked` are packs that were marked for it already.
    fn find(
        &self,
        repo: &Repository,
        index: &BlobIndex,
        marked: &BTreeSet<PackId>,
        monitor: &dyn Monitor,
    ) -> Result<Found> {
        let named = repo.notes()?.named();
        let mut found = Found::default();
        let (mut freed, mut still_needed) = (HashSet::new(), HashSet::new());
        each_pack(repo, index, monitor, &mut |entry| {
            for segment in &entry.directory.segments {
                let mut holds = false;
                for blob in &segment.blobs {
                    let gone = self.is_gone(&blob.id);
                    holds |= gone;
                    if gone && freed.insert(blob.id) {
                        found.remains.freed += u64::from(blob.len);
                    } else if !gone && self.taken.is_asked(&blob.id) && still_needed.insert(blob.id) {
                        found.remains.still_needed += u64::from(blob.len);
                    }
                }
                if !(holds || self.leans(segment)) {
                    continue;
                }
                let needed = |blob: &&BlobEntry| self.after.is_needed(&blob.id) && !self.is_gone(&blob.id);
                let needed: Vec<BlobEntry> = segment.blobs.iter().filter(needed).copied().collect();
                if !needed.is_empty() {
                    found.dirty.insert(entry.id);
                }
                // Also what other notes name: a prune may be taking the segment out of it as it is.
                if (holds || !needed.is_empty()) && !marked.contains(&entry.id) {
                    found.remains.packs.insert(entry.id);
                }
                found.lacking.extend(needed.iter().map(|blob| blob.id));
                if !needed.is_empty() {
                    found.segments.push(needed);
                }
            }
        })?;
        self.find_unlisted(repo, index, marked, &mut found, monitor)?;
        if found.lacking.is_empty() {
            return Ok(found);
        }
        // What lies elsewhere too, beside nothing that was taken out and in no pack that goes, needs no other copy.
        found.going =
            named.into_iter().chain(marked.iter().copied()).chain(found.remains.packs.iter().copied()).collect();
        let going = &found.going;
        let mut lacking = std::mem::take(&mut found.lacking);
        each_pack(repo, index, monitor, &mut |entry| {
            if going.contains(&entry.id) {
                return;
            }
            for segment in &entry.directory.segments {
                if !self.leans(segment) && !segment.blobs.iter().any(|blob| self.is_gone(&blob.id)) {
                    for blob in &segment.blobs {
                        lacking.remove(&blob.id);
                    }
                }
            }
        })?;
        found.segments.iter_mut().for_each(|blobs| blobs.retain(|blob| lacking.remove(&blob.id)));
        found.segments.retain(|blobs| !blobs.is_empty());
        found.remains.segments = found.segments.len() as u64;
        found.remains.bytes = found.segments.iter().flatten().map(|blob| u64::from(blob.len)).sum();
        Ok(found)
    }

    /// Packs of a run that was killed, or has not come to listing them: nobody is to take them up.
    fn find_unlisted(
        &self,
        repo: &Repository,
        index: &BlobIndex,
        marked: &BTreeSet<PackId>,
        found: &mut Found,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        for id in index.unlisted(repo.list_packs()?.keys()) {
            monitor.check()?;
            // What has no directory cannot be taken up.
            let Ok(entry) = repo.read_directory(&id) else { continue };
            let holds =
                |segment: &SegmentEntry| self.leans(segment) || segment.blobs.iter().any(|blob| self.is_gone(&blob.id));
            if !marked.contains(&id) && entry.directory.segments.iter().any(holds) {
                found.remains.packs.insert(id);
            }
        }
        Ok(())
    }

    fn leans(&self, segment: &SegmentEntry) -> bool {
        segment.bases.iter().any(|base| self.is_gone(base))
    }

    /// Looks what is to be done.
    pub(super) fn look(&self, repo: &Repository, index: &BlobIndex, monitor: &dyn Monitor) -> Result<Remains> {
        Ok(self.find(repo, index, &BTreeSet::new(), monitor)?.remains)
    }

    /// Makes segments of `index` anew and marks packs, but for those that are `marked`, to which they are added. False when nothing was to
    /// be done.
    pub(super) fn clear(
        &self,
        session: &Session<'_>,
        index: &BlobIndex,
        marked: &mut BTreeSet<PackId>,
        monitor: &dyn Monitor,
    ) -> Result<bool> {
        let repo = session.repo();
        let found = self.find(repo, index, marked, monitor)?;
        if found.remains.packs.is_empty() && found.segments.is_empty() {
            return Ok(false);
        }
        monitor.phase(Phase::Moving);
        let reader = BlobReader::new(repo, index);
        let without = found.going.iter().chain(&found.dirty).copied().collect();
        let usable = session.load_index_without(&without, monitor)?;
        session.write(&usable.index, WriteOptions::default(), monitor, |writer| {
            let (mut data, mut tree) = (writer.lane(Kind::DataPack), writer.lane(Kind::TreePack));
            for blob in found.segments.iter().flatten() {
                monitor.check()?;
                let Some(kind) = BlobKind::from_number(blob.kind) else { continue };
                let bytes = reader.blob(kind, &blob.id)?;
                let lane = if kind == BlobKind::Data { &mut data } else { &mut tree };
                lane.store(kind, &bytes)?;
            }
            data.flush()?;
            tree.flush()
        })?;
        // What is needed of them is durable elsewhere, or will be moved by whoever prunes.
        repo.mark(found.remains.packs.iter().copied())?;
        marked.extend(found.remains.packs);
        Ok(true)
    }
}

/// What is left, blob by blob.
#[derive(Default)]
struct Found {
    remains: Remains,
    /// Packs that notes name, or will.
    going: HashSet<PackId>,
    /// Packs with segments that hold what was taken out, or lean on it, and something that is needed.
    dirty: BTreeSet<PackId>,
    /// What is to be made anew of each segment; each blob once.
    segments: Vec<Vec<BlobEntry>>,
    /// The blobs of `segments`, while they are looked for elsewhere.
    lacking: HashSet<BlobId>,
}

/// Each pack of an index, once.
fn each_pack(
    repo: &Repository,
    index: &BlobIndex,
    monitor: &dyn Monitor,
    each: &mut dyn FnMut(&PackEntry),
) -> Result<()> {
    let mut seen = HashSet::new();
    let runs = index.runs();
    for source in runs.iter().flat_map(|run| run.sources()) {
        monitor.check()?;
        for entry in repo.read_index_object(&source.id).map_err(overtaken)?.packs {
            if seen.insert(entry.id) {
                each(&entry);
            }
        }
    }
    Ok(())
}
