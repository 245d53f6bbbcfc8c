//! What is taken out may lie beside what is needed, in one segment, and differences may have been made to it: those segments are made
//! anew without it, and all packs that hold it are marked. Then the next prunes remove it, not only when space runs short.

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

    /// Looks what is left, and what of it has to be made anew.
    fn find(&self, repo: &Repository, index: &BlobIndex, monitor: &dyn Monitor) -> Result<Found> {
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
                // What a note names is on its way out already; but a prune would take the segment along as it is.
                if (holds || !needed.is_empty()) && !named.contains(&entry.id) {
                    found.remains.packs.insert(entry.id);
                }
                found.lacking.extend(needed.iter().map(|blob| blob.id));
                found.segments.push(needed);
            }
        })?;
        if found.lacking.is_empty() {
            return Ok(found);
        }
        // What lies elsewhere too, beside nothing that was taken out and in no pack that goes, needs no other copy.
        let goes = |id: &PackId| named.contains(id) || found.remains.packs.contains(id);
        let mut lacking = std::mem::take(&mut found.lacking);
        each_pack(repo, index, monitor, &mut |entry| {
            if goes(&entry.id) {
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

    fn leans(&self, segment: &SegmentEntry) -> bool {
        segment.bases.iter().any(|base| self.is_gone(base))
    }

    /// Looks what is to be done.
    pub(super) fn look(&self, repo: &Repository, index: &BlobIndex, monitor: &dyn Monitor) -> Result<Remains> {
        Ok(self.find(repo, index, monitor)?.remains)
    }

    /// Makes segments of `index` anew and marks packs. False when nothing was to be done.
    pub(super) fn clear(&self, session: &Session<'_>, index: &BlobIndex, monitor: &dyn Monitor) -> Result<bool> {
        let repo = session.repo();
        let found = self.find(repo, index, monitor)?;
        if found.remains.packs.is_empty() && found.segments.is_empty() {
            return Ok(false);
        }
        monitor.phase(Phase::Moving);
        let reader = BlobReader::new(repo, index);
        let without = found.dirty.union(&found.remains.packs).copied().collect();
        let usable = session.load_index_without(&without, monitor)?;
        session.write(&usable.index, WriteOptions::default(), monitor, |writer| {
            let (mut data, mut tree) = (writer.lane(Kind::DataPack)?, writer.lane(Kind::TreePack)?);
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
        repo.mark(found.remains.packs)?;
        Ok(true)
    }
}

/// What is left, blob by blob.
#[derive(Default)]
struct Found {
    remains: Remains,
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
