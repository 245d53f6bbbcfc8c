//! Segments on their way from old packs into new ones, byte for byte: their wrapped keys and counters go with them. And packs that are
//! listed as they are.

use super::{
    Repository,
    packer::{Packer, Written},
    spares,
};
use crate::{
    error::{Error, Result},
    id::{BlobId, PackId},
    index::BlobIndex,
    model::limits,
    monitor::Monitor,
    object::Kind,
    pack::{self, PackEntry, SegmentEntry, write::Sealed},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    mem,
};

/// Moves segments.
pub struct Mover<'r> {
    repo: &'r Repository,
    monitor: &'r dyn Monitor,
    packer: Packer<'r>,
    /// Room of the segment before.
    room: Vec<u8>,
    sources: BTreeMap<PackId, Vec<BlobId>>,
}

/// What was moved; proof that it is durable and listed in the index.
#[derive(Debug)]
pub struct Moved {
    /// How much.
    pub written: Written,
    /// The new packs.
    pub packs: Vec<PackId>,
    /// The packs that segments were copied out of, and the first blob of each of these segments.
    pub sources: BTreeMap<PackId, Vec<BlobId>>,
}

impl Moved {
    /// The new packs in which segments of these sources lie.
    pub fn copies_of(&self, repo: &Repository, sources: &dyn Fn(&PackId) -> bool) -> Result<BTreeSet<PackId>> {
        let of_these = self.sources.iter().filter(|(id, _)| sources(id));
        let firsts: HashSet<&BlobId> = of_these.flat_map(|(_, firsts)| firsts).collect();
        let mut copies = BTreeSet::new();
        for id in self.packs.iter().filter(|_| !firsts.is_empty()) {
            let directory = repo.read_directory(id)?.directory;
            if directory
                .segments
                .iter()
                .filter_map(|segment| segment.blobs.first())
                .any(|blob| firsts.contains(&blob.id))
            {
                copies.insert(*id);
            }
        }
        Ok(copies)
    }
}

impl<'r> Mover<'r> {
    /// Takes up what it lists in an index: that of the repository, or one that is only there for it.
    pub fn new(repo: &'r Repository, index: &'r BlobIndex, monitor: &'r dyn Monitor) -> Self {
        let packer = Packer::new(repo, index, monitor);
        Mover { repo, monitor, packer, room: Vec::new(), sources: BTreeMap::new() }
    }

    /// Copies the wanted segments of a pack. False, and nothing is copied, when the pack is not what its name says: in a new pack, under a
    /// new name, its damage would not show any more.
    pub fn copy(&mut self, entry: &PackEntry, wanted: &dyn Fn(&SegmentEntry) -> bool) -> Result<bool> {
        let name = pack::object_name(&entry.id);
        if !self.repo.is_whole(&entry.id)? {
            return Ok(false);
        }
        let kind = Kind::of_pack(entry.kind)
            .ok_or_else(|| Error::unsupported(&name, format!("packs of kind {} are not known", entry.kind)))?;
        for segment in entry.directory.segments.iter().filter(|segment| wanted(segment)) {
            self.monitor.check()?;
            let key = entry.directory.keys.get(segment.key as usize);
            let key = key.ok_or_else(|| Error::corrupt(&name, "a segment's key is not in the directory"))?;
            if segment.stored as usize > limits::STORED_MAX {
                return Err(Error::corrupt(&name, "a segment is too long"));
            }
            let mut bytes = spares::of_len(mem::take(&mut self.room), segment.stored as usize);
            self.repo.store().get_range(&name, segment.offset, &mut bytes)?;
            let sealed = Sealed {
                bytes,
                recipe: segment.recipe(),
                key: key.clone(),
                generation: segment.generation,
                bases: segment.bases.clone(),
                blobs: segment.blobs.clone(),
            };
            if let Some(first) = segment.blobs.first() {
                self.sources.entry(entry.id).or_default().push(first.id);
            }
            self.room = self.packer.take(kind, sealed)?;
        }
        Ok(true)
    }

    /// Appends a segment, whose tag the caller has seen to verify, to a new pack of this kind.
    pub fn take(&mut self, kind: Kind, sealed: Sealed) -> Result<()> {
        self.packer.take(kind, sealed).map(drop)
    }

    /// Lists a pack that is in the store.
    pub fn list(&mut self, pack: PackEntry) -> Result<()> {
        self.packer.list(pack)
    }

    /// Returns when all that was copied is durable and listed in the index.
    pub fn finish(self) -> Result<Moved> {
        let (written, packs) = self.packer.end()?;
        Ok(Moved { written, packs, sources: self.sources })
    }
}
