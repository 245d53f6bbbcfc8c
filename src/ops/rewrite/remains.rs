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

    /// Calls `anew` with what is needed of each segment that is to be made anew.
    fn each(
        &self,
        repo: &Repository,
        index: &BlobIndex,
        monitor: &dyn Monitor,
        anew: &mut dyn FnMut(&[&BlobEntry]) -> Result<()>,
    ) -> Result<Remains> {
        let named = repo.notes()?.named();
        let mut remains = Remains::default();
        let mut seen = HashSet::new();
        let runs = index.runs();
        for source in runs.iter().flat_map(|run| run.sources()) {
            monitor.check()?;
            for entry in repo.read_index_object(&source.id).map_err(overtaken)?.packs {
                if !seen.insert(entry.id) {
                    continue;
                }
                for segment in &entry.directory.segments {
                    let mut holds = false;
                    for blob in &segment.blobs {
                        let gone = self.is_gone(&blob.id);
                        holds |= gone;
                        if gone {
                            remains.freed += u64::from(blob.len);
                        } else if self.taken.is_asked(&blob.id) {
                            remains.still_needed += u64::from(blob.len);
                        }
                    }
                    let leans = segment.bases.iter().any(|base| self.is_gone(base));
                    // What a note names is on its way out.
                    if !(holds || leans) || named.contains(&entry.id) {
                        continue;
                    }
                    let needed = |blob: &&BlobEntry| self.after.is_needed(&blob.id) && !self.is_gone(&blob.id);
                    let needed: Vec<&BlobEntry> = segment.blobs.iter().filter(needed).collect();
                    if holds || !needed.is_empty() {
                        remains.packs.insert(entry.id);
                    }
                    if !needed.is_empty() {
                        remains.segments += 1;
                        remains.bytes += needed.iter().map(|blob| u64::from(blob.len)).sum::<u64>();
                        anew(&needed)?;
                    }
                }
            }
        }
        Ok(remains)
    }

    /// Looks what is to be done.
    pub(super) fn look(&self, repo: &Repository, index: &BlobIndex, monitor: &dyn Monitor) -> Result<Remains> {
        self.each(repo, index, monitor, &mut |_| Ok(()))
    }

    /// Makes segments anew and marks packs, as [`Needs::look`] has found them in `index`.
    pub(super) fn clear(
        &self,
        session: &Session<'_>,
        index: &BlobIndex,
        packs: &BTreeSet<PackId>,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let repo = session.repo();
        if packs.is_empty() {
            return Ok(());
        }
        monitor.phase(Phase::Moving);
        let reader = BlobReader::new(repo, index);
        let usable = session.load_index_without(&packs.iter().copied().collect(), monitor)?;
        session.write(&usable.index, WriteOptions::default(), monitor, |writer| {
            let (mut data, mut tree) = (writer.lane(Kind::DataPack)?, writer.lane(Kind::TreePack)?);
            self.each(repo, index, monitor, &mut |blobs| {
                for blob in blobs {
                    let Some(kind) = BlobKind::from_number(blob.kind) else { continue };
                    let bytes = reader.blob(kind, &blob.id)?;
                    let lane = if kind == BlobKind::Data { &mut data } else { &mut tree };
                    lane.store(kind, &bytes)?;
                }
                Ok(())
            })?;
            data.flush()?;
            tree.flush()
        })?;
        // What is needed of them is durable elsewhere, or will be moved by whoever prunes.
        repo.mark(packs.iter().copied())
    }
}
