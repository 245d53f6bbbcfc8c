//! Segments that move verbatim into new packs, and packs that are listed as they are: what a repair adds.

use super::{
    Repository,
    writer::{Packer, Written},
};
use crate::{
    error::Result,
    index::BlobIndex,
    monitor::Monitor,
    object::Kind,
    pack::{PackEntry, write::Sealed},
};

/// Puts segments into new packs, and packs into the index. Dropped without [`Mover::end`], it has stored at most what nobody
/// refers to.
pub struct Mover<'r>(Packer<'r>);

impl<'r> Mover<'r> {
    /// Adds to a repository, and to what is known of it.
    pub fn new(repo: &'r Repository, index: &'r BlobIndex, monitor: &'r dyn Monitor) -> Self {
        Mover(Packer::new(repo, index, monitor))
    }

    /// Appends a segment, whose tag the caller has seen to verify, to a new pack of this kind.
    pub fn take(&mut self, kind: Kind, sealed: Sealed) -> Result<()> {
        self.0.take(kind, sealed)
    }

    /// Lists a pack that is in the store.
    pub fn list(&mut self, pack: PackEntry) -> Result<()> {
        self.0.list(pack)
    }

    /// Returns when all of it is durable and listed.
    pub fn end(self) -> Result<Written> {
        self.0.end()
    }
}
