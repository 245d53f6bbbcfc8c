//! Sealed segments into packs, and packs into the index.

use super::{
    Repository, Session,
    handover::{Receiver, RecvTimeoutError},
    spares::Spares,
};
use crate::{
    error::{Error, Result},
    id::{IndexId, PackId},
    index::{BlobIndex, IndexObject, Source, object as index_object},
    model::limits,
    monitor::{Counter, Monitor},
    object::Kind,
    pack::{self, PackEntry, PackWriter, write::Sealed},
};
use std::time::Duration;

/// An index object is written when the finished packs hold so many blobs, or are so many.
const INDEX_BLOBS: usize = 64 << 10;
const INDEX_PACKS: usize = 16;
/// A pack is closed when it holds so many blobs: tiny files would otherwise make a directory that outgrows its limit, and memory.
const PACK_BLOBS: usize = 64 << 10;
/// How long the packer waits for a segment before it looks after the session.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was written; proof that it is durable and listed in the index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// New packs of data.
    pub data_packs: u64,
    /// New packs of trees.
    pub tree_packs: u64,
    /// Plaintext of the new blobs, in bytes.
    pub bytes_new: u64,
    /// Length of the new packs, in bytes.
    pub bytes_stored: u64,
    /// Plaintext of new segments that lean on earlier blobs, in bytes.
    pub leaning_new: u64,
    /// Length of these segments, in bytes.
    pub leaning_stored: u64,
}

/// Puts segments into packs and packs into the index: one thread.
pub(super) struct Packer<'r> {
    repo: &'r Repository,
    index: &'r BlobIndex,
    monitor: &'r dyn Monitor,
    open: [Option<PackWriter<'r>>; 2],
    finished: Vec<PackEntry>,
    finished_blobs: usize,
    stored: Vec<PackId>,
    written: Written,
}

impl<'r> Packer<'r> {
    pub(super) fn new(repo: &'r Repository, index: &'r BlobIndex, monitor: &'r dyn Monitor) -> Self {
        Packer {
            repo,
            index,
            monitor,
            open: [None, None],
            finished: Vec::new(),
            finished_blobs: 0,
            stored: Vec::new(),
            written: Written::default(),
        }
    }

    /// Takes segments until nobody is left who sends any; their room goes to `spares`.
    pub(super) fn run(
        mut self,
        session: &Session<'_>,
        segments: Receiver<(Kind, Sealed)>,
        spares: &Spares,
    ) -> Result<Written> {
        loop {
            let taken = match segments.recv_timeout(PATIENCE) {
                Ok((kind, sealed)) => self.take(kind, sealed).map(|room| spares.give(room)),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = taken.and_then(|()| session.renew_when_due()) {
                // What is whole may still be listed: a run after space was made then need not store it again. This may fail
                // for the same reason, which is no news.
                self.open = [None, None];
                let _ = self.write_index();
                return Err(error);
            }
        }
        Ok(self.end()?.0)
    }

    /// Finishes what is open, and lists it. Returns the packs that were stored, too.
    pub(super) fn end(mut self) -> Result<(Written, Vec<PackId>)> {
        for slot in 0..self.open.len() {
            self.finish(slot)?;
        }
        self.write_index()?;
        Ok((self.written, self.stored))
    }

    /// Takes a segment. Returns the room of its bytes, to be used again.
    pub(super) fn take(&mut self, kind: Kind, sealed: Sealed) -> Result<Vec<u8>> {
        let slot = usize::from(kind == Kind::TreePack);
        let pack = match &mut self.open[slot] {
            Some(pack) => pack,
            none => none.insert(PackWriter::new(self.repo.store(), kind, self.repo.keys().repo())?),
        };
        self.monitor.add(Counter::Stored, sealed.bytes.len() as u64);
        if sealed.generation > 0 {
            self.written.leaning_new += u64::from(sealed.recipe.raw);
            self.written.leaning_stored += sealed.bytes.len() as u64;
        }
        let room = pack.add(sealed)?;
        if pack.len() >= u64::from(self.repo.config().pack_target) || pack.blob_count() >= PACK_BLOBS {
            self.finish(slot)?;
            self.list_when_many()?;
        }
        Ok(room)
    }

    /// Takes a pack that is in the store already, to be listed.
    pub(super) fn list(&mut self, pack: PackEntry) -> Result<()> {
        self.finished_blobs += pack.blob_count();
        self.finished.push(pack);
        self.list_when_many()
    }

    fn list_when_many(&mut self) -> Result<()> {
        let many = self.finished_blobs >= INDEX_BLOBS || self.finished.len() >= INDEX_PACKS;
        if many { self.write_index() } else { Ok(()) }
    }

    fn finish(&mut self, slot: usize) -> Result<()> {
        let Some(pack) = self.open[slot].take() else { return Ok(()) };
        let entry = pack.finish(&self.repo.keys().directory_key(), self.repo.entropy())?;
        match slot {
            0 => self.written.data_packs += 1,
            _ => self.written.tree_packs += 1,
        }
        self.written.bytes_stored += entry.len;
        self.stored.push(entry.id);
        self.finished_blobs += entry.blob_count();
        self.finished.push(entry);
        Ok(())
    }

    /// Makes the finished packs durable, then lists them.
    fn write_index(&mut self) -> Result<()> {
        if self.finished.is_empty() {
            return Ok(());
        }
        let store = self.repo.store();
        store.sync()?;
        let keys = self.repo.keys();
        let object = IndexObject { packs: std::mem::take(&mut self.finished) };
        self.finished_blobs = 0;
        let bytes = object.seal(keys.repo(), &keys.index_key(), self.repo.entropy())?;
        if bytes.len() as u64 > limits::META_MAX {
            // Readers would refuse it; what it lists stays unlisted.
            return Err(Error::refused(
                "packs hold more blobs than an index object can list: make the repository with longer chunks",
            ));
        }
        let id = IndexId(crate::hash::object_name(&bytes));
        store.put(&index_object::object_name(&id), &bytes)?;
        store.sync()?;
        self.index.absorb(Source { id, len: bytes.len() as u64 }, &object.packs)
    }
}

impl Session<'_> {
    /// Lists packs. Each is read and held against its name first: a name alone proves nothing after a power cut. Returns how many
    /// were taken up.
    pub(super) fn list_whole(&self, index: &BlobIndex, unlisted: &[PackId], monitor: &dyn Monitor) -> Result<usize> {
        let repo = self.repo();
        let directory_key = repo.keys().directory_key();
        let mut packs = Vec::new();
        for id in unlisted {
            monitor.check()?;
            self.renew_when_due()?;
            // What cannot be read or is not whole stays what it was: of no use, and in nobody's way.
            if !repo.is_whole(id).unwrap_or(false) {
                continue;
            }
            if let Ok(pack) = pack::read_directory(repo.store(), id, repo.keys().repo(), &directory_key) {
                packs.push(pack);
            }
        }
        let count = packs.len();
        let mut packer = Packer::new(repo, index, monitor);
        for pack in packs {
            packer.list(pack)?;
        }
        packer.write_index()?;
        Ok(count)
    }
}
