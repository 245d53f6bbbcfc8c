//! Segments on their way from old packs into new ones, byte for byte: their wrapped keys and counters go with them. And packs that are
//! listed as they are.

use super::{
    Repository,
    writer::{Packer, Written},
};
use crate::{
    error::{Error, Result},
    index::BlobIndex,
    model::limits,
    monitor::Monitor,
    object::Kind,
    pack::{self, PackEntry, SegmentEntry, write::Sealed},
};

/// Moves segments.
pub struct Mover<'r> {
    repo: &'r Repository,
    monitor: &'r dyn Monitor,
    packer: Packer<'r>,
}

impl<'r> Mover<'r> {
    /// Takes up what it lists in an index: that of the repository, or one that is only there for it.
    pub fn new(repo: &'r Repository, index: &'r BlobIndex, monitor: &'r dyn Monitor) -> Self {
        Mover { repo, monitor, packer: Packer::new(repo, index, monitor) }
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
            let mut bytes = vec![0; segment.stored as usize];
            self.repo.store().get_range(&name, segment.offset, &mut bytes)?;
            let sealed = Sealed {
                bytes,
                recipe: segment.recipe(),
                key: key.clone(),
                generation: segment.generation,
                bases: segment.bases.clone(),
                blobs: segment.blobs.clone(),
            };
            self.packer.take(kind, sealed)?;
        }
        Ok(true)
    }

    /// Appends a segment, whose tag the caller has seen to verify, to a new pack of this kind.
    pub fn take(&mut self, kind: Kind, sealed: Sealed) -> Result<()> {
        self.packer.take(kind, sealed)
    }

    /// Lists a pack that is in the store.
    pub fn list(&mut self, pack: PackEntry) -> Result<()> {
        self.packer.list(pack)
    }

    /// Returns when all that was copied is durable and listed in the index.
    pub fn finish(self) -> Result<Written> {
        self.packer.end()
    }
}
