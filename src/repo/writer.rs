//! New blobs into the store, in the order that `format-spec/07-order.md` asks for: packs, then the index that lists them.
//!
//! ```text
//! many Lanes ── sealed, proved segments ──▶ packer thread ──▶ packs ──▶ sync ──▶ index objects ──▶ sync
//! ```

use super::{
    Lane, Repository, Session,
    filling::Common,
    handover::{self, Sender, bounded},
    packer::{Packer, Written},
    room::sealed_part,
    spares::Spares,
};
use crate::{
    compress::Compression,
    error::{Error, Result},
    index::BlobIndex,
    monitor::Monitor,
    object::Kind,
    pack::write::Sealed,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Sealed segments that wait for the packer: bounds memory, and lets lanes go on while it syncs.
const WAITING: usize = 2;

/// How blobs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// How hard to compress.
    pub compression: Compression,
    /// Count what would be new, and store nothing.
    pub pretend: bool,
}

/// Takes new blobs, through lanes.
pub struct Writer<'r> {
    pub(super) repo: &'r Repository,
    pub(super) index: &'r BlobIndex,
    pub(super) options: WriteOptions,
    pub(super) packer: Sender<(Kind, Sealed)>,
    pub(super) spares: &'r Spares,
    pub(super) bytes_new: AtomicU64,
    pub(super) monitor: &'r dyn Monitor,
}

impl Session<'_> {
    /// Runs `work`, which stores blobs through lanes of the writer that it is given, and returns when all of it is durable and
    /// listed in the index.
    ///
    /// When `work` fails or is cancelled, what it had stored is listed in the index all the same, so that the next run finds
    /// it; no snapshot refers to it. When the store fails, nothing more is written.
    ///
    /// The session is kept alive meanwhile.
    pub fn write<T>(
        &self,
        index: &BlobIndex,
        options: WriteOptions,
        monitor: &dyn Monitor,
        work: impl FnOnce(&Writer<'_>) -> Result<T>,
    ) -> Result<(T, Written)> {
        let (send, receive) = bounded(WAITING);
        // What the packer has done with, lanes fill again.
        let spares = &Spares::new(WAITING, sealed_part(self.repo().config()));
        handover::scope(|scope| {
            let packer = Packer::new(self.repo(), index, monitor);
            let pack = || packer.run(self, receive, spares);
            let packer =
                handover::spawn(scope, "packer", pack).map_err(|e| Error::store("start a thread for", "packs", e))?;
            let writer = Writer {
                repo: self.repo(),
                index,
                options,
                packer: send,
                spares,
                bytes_new: AtomicU64::new(0),
                monitor,
            };
            let result = work(&writer);
            let bytes_new = writer.bytes_new.load(Ordering::Relaxed);
            drop(writer);
            let written = match packer.join() {
                Ok(written) => written?,
                Err(_) => return Err(Error::Hardware { what: "the thread that writes packs died".into() }),
            };
            Ok((result?, Written { bytes_new, ..written }))
        })
    }
}

impl<'r> Writer<'r> {
    /// A lane for blobs that belong in packs of this kind; each thread has its own.
    pub fn lane(&self, kind: Kind) -> Lane<'_> {
        Lane::new(self, kind, Arc::new(self.common(kind)))
    }

    /// So many lanes that fill segments together, for threads that work on one thing in its order.
    pub fn lanes(&self, kind: Kind, number: usize) -> Vec<Lane<'_>> {
        let common = Arc::new(self.common(kind));
        (0..number).map(|_| Lane::new(self, kind, common.clone())).collect()
    }

    fn common(&self, kind: Kind) -> Common {
        Common::new(kind, self.repo.config().segment_target)
    }

    /// The repository.
    pub fn repo(&self) -> &'r Repository {
        self.repo
    }

    /// What is known of blobs.
    pub fn index(&self) -> &'r BlobIndex {
        self.index
    }
}
