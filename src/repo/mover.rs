//! Segments on their way from old packs into new ones, byte for byte: their wrapped keys and counters go with them.

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
    /// Takes up what it lists in `scratch`, which should be empty.
    pub fn new(repo: &'r Repository, scratch: &'r BlobIndex, monitor: &'r dyn Monitor) -> Self {
        Mover { repo, monitor, packer: Packer::new(repo, scratch, monitor) }
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

    /// Returns when all that was copied is durable and listed in the index.
    pub fn finish(self) -> Result<Written> {
        self.packer.end()
    }
}
