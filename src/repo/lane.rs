//! What one thread stores blobs through: it names them, fills segments, alone or with others, seals and proves them.

use super::{
    BlobReader, Writer,
    blob::Prefix,
    filling::{Common, Filling, New},
    ground::{Ground, Grounds},
    room::Room,
};
use crate::{
    compress::Compression,
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    index::Membership,
    keys::wrap::WrappedKey,
    model::paging::PageSink,
    monitor::Counter,
    object::{self, HEADER_LEN, Kind},
    pack::{home_of, write::Sealed},
    seal::SealKey,
    segment::{BlobEntry, Envelope, Sealer},
};
use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};

/// A lane takes a fresh key after so many segments: a pack of full ones; of differences a pack holds those of many keys.
const KEY_SEGMENTS: u64 = 64;
/// Segments in a row that were not worth leaning on anything after which no fewer are tried: then 256 KiB in each 8 MiB.
const MISSES_MAX: u32 = 8;

/// Fills segments with blobs; seals and proves them.
pub struct Lane<'w> {
    writer: &'w Writer<'w>,
    kind: Kind,
    header: [u8; HEADER_LEN],
    sealer: Sealer,
    /// The key of the segments, wrapped, and how many it has sealed.
    key: Option<(SealKey, WrappedKey, u64)>,
    common: Arc<Common>,
    /// What is tried to lean on earlier blobs.
    leaning: Filling,
    grounds: Option<Grounds<'w>>,
    file: Option<u64>,
    /// Segments that were not worth leaning on anything, one after another, and bytes that are not tried now for that.
    misses: u32,
    pause: usize,
    /// Bytes of new blobs that were not yet asked for.
    new: u64,
}

impl<'w> Lane<'w> {
    pub(super) fn new(writer: &'w Writer<'w>, kind: Kind, common: Arc<Common>) -> Self {
        Lane {
            writer,
            kind,
            header: object::header(kind, writer.repo.keys().repo()),
            sealer: Sealer::new(writer.options.compression),
            key: None,
            common,
            leaning: Filling::default(),
            grounds: None,
            file: None,
            misses: 0,
            pause: 0,
            new: 0,
        }
    }

    /// Lets segments lean on earlier blobs, which `reader` must be able to open.
    pub fn leaning_on(mut self, reader: &'w BlobReader<'w>) -> Self {
        let kind = if self.kind == Kind::DataPack { BlobKind::Data } else { BlobKind::Tree };
        // A difference is compressed, and a dry run needs none.
        let super::WriteOptions { compression, pretend } = self.writer.options;
        self.grounds = (compression != Compression::None && !pretend).then(|| Grounds::new(reader, kind));
        self
    }

    /// The blobs that follow are of this file. That the last one was not worth leaning says nothing of it.
    pub fn begin(&mut self, file: u64) {
        if self.file != Some(file) {
            self.file = Some(file);
            (self.misses, self.pause) = (0, 0);
        }
    }

    /// Begins a row of blobs that lie side by side: those of several lanes do not mix with it.
    pub fn row<'b>(&mut self) -> Row<'_, 'w, 'b> {
        Row { lane: self, new: Vec::new() }
    }

    /// Stores a blob unless it is known, and names it. Durable when [`crate::repo::Session::write`] returns.
    pub fn store(&mut self, kind: BlobKind, bytes: &[u8]) -> Result<BlobId> {
        let mut row = self.row();
        let id = row.store(kind, bytes);
        row.lay()?;
        Ok(id)
    }

    /// The same for a part of something large, of which `near` names earlier blobs that are probably much like it, when asked.
    pub fn store_near(&mut self, kind: BlobKind, bytes: &[u8], near: impl FnOnce() -> Vec<BlobId>) -> Result<BlobId> {
        let mut row = self.row();
        let id = row.store_near(kind, bytes, near)?;
        row.lay()?;
        Ok(id)
    }

    /// Names a blob, and counts it and returns true when it is new.
    fn claim(&mut self, kind: BlobKind, bytes: &[u8]) -> (BlobEntry, bool) {
        debug_assert_eq!(home_of(kind), self.kind);
        let writer = self.writer;
        let id = writer.repo.namer().name(kind, bytes);
        let is_new = writer.index.claim(&id) == Membership::New;
        if is_new {
            self.new += bytes.len() as u64;
            writer.bytes_new.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            writer.monitor.add(Counter::New, bytes.len() as u64);
        }
        (BlobEntry { id, kind: kind as u8, len: bytes.len() as u32 }, is_new)
    }

    /// Adds a blob to what is tried to lean on earlier ones.
    fn lean(&mut self, entry: BlobEntry, bytes: &[u8], near: Vec<BlobId>) -> Result<()> {
        let target = Room::Leaning.target(self.kind, self.writer.repo.config().segment_target, false);
        if self.leaning.is_closed_to(bytes.len(), target) {
            self.flush_leaning()?;
        }
        self.leaning.push(entry, bytes);
        self.leaning.lean(near);
        if self.leaning.is_full(target) { self.flush_leaning() } else { Ok(()) }
    }

    /// Plaintext, in bytes, of the blobs that were new since this was asked last.
    pub fn take_new(&mut self) -> u64 {
        mem::take(&mut self.new)
    }

    /// Seals what is there as segments, proves them and passes them on. A lane that is dropped without it loses the rest, and so do
    /// several together when the last of them is.
    pub fn flush(&mut self) -> Result<()> {
        for (room, filling) in self.common.rest() {
            self.close(room, filling)?;
        }
        self.flush_leaning()
    }

    fn flush_leaning(&mut self) -> Result<()> {
        let mut filling = mem::take(&mut self.leaning);
        let sealed = self.sealed(&mut filling);
        // Its room is used again.
        filling.clear();
        self.leaning = filling;
        self.send(sealed?)
    }

    /// Seals a segment of what lanes fill together, and passes it on.
    fn close(&mut self, room: Room, mut filling: Filling) -> Result<()> {
        let sealed = self.sealed(&mut filling);
        // Before it waits for the packer: others fill the room meanwhile.
        let len = sealed.as_ref().ok().and_then(|sealed| Some(sealed.as_ref()?.bytes.len()));
        self.common.sealed(room, filling, len);
        self.send(sealed?)
    }

    /// Seals a segment and proves it; `None` when there is nothing to be stored.
    fn sealed(&mut self, filling: &mut Filling) -> Result<Option<Sealed>> {
        if filling.blobs.is_empty() || self.writer.options.pretend {
            return Ok(None);
        }
        self.segment(filling).map(Some)
    }

    fn send(&self, sealed: Option<Sealed>) -> Result<()> {
        match sealed {
            // The packer ends early only when the store failed; its own error is the one that is reported.
            Some(sealed) => self.writer.packer.send((self.kind, sealed)).map_err(|_| Error::Cancelled),
            None => Ok(()),
        }
    }

    /// Makes a segment, which leans on earlier blobs where that saves half of it.
    fn segment(&mut self, filling: &mut Filling) -> Result<Sealed> {
        let Filling { plain, blobs, near } = filling;
        let ground = self.ground(near);
        // A blob that is stored again must not lean on what it replaces.
        let ground = ground.filter(|ground| !blobs.iter().any(|blob| ground.bases.contains(&blob.id)));
        let Some(ground) = ground else { return self.seal(plain, mem::take(blobs), None) };
        let expected = ground.expected(plain.len());
        let leaning = self.seal(plain, blobs.clone(), Some(ground))?;
        if leaning.bytes.len() * 2 <= expected {
            self.misses = 0;
            return Ok(leaning);
        }
        let alone = self.seal(plain, mem::take(blobs), None)?;
        if leaning.bytes.len() * 2 <= alone.bytes.len() {
            self.misses = 0;
            self.writer.spares.give(alone.bytes);
            return Ok(leaning);
        }
        self.writer.spares.give(leaning.bytes);
        // What does not pay is tried less and less often.
        self.misses = (self.misses + 1).min(MISSES_MAX);
        self.pause = ((1 << self.misses) >> 3) * plain.len();
        Ok(alone)
    }

    fn ground(&self, near: &[BlobId]) -> Option<Ground> {
        self.grounds.as_ref().filter(|_| !near.is_empty())?.under(near)
    }

    /// Seals a segment and proves it.
    fn seal(&mut self, plain: &[u8], blobs: Vec<BlobEntry>, ground: Option<Ground>) -> Result<Sealed> {
        if self.key.as_ref().is_none_or(|(_, _, used)| *used >= KEY_SEGMENTS) {
            let repo = self.writer.repo;
            let (key, wrapped) = repo.keys().fresh_key(self.kind, repo.entropy())?;
            self.key = Some((key, wrapped, 0));
        }
        let Some((key, wrapped, used)) = &mut self.key else { return Err(Error::Cancelled) };
        let counter = *used;
        *used += 1;
        let (prefix, bases, generation) = match ground {
            Some(ground) => (ground.prefix, ground.bases, ground.generation),
            None => (Prefix::default(), Vec::new(), 0),
        };
        let envelope = Envelope { header: &self.header, key, prefix: &prefix };
        let mut bytes = self.writer.spares.take();
        let recipe = self.sealer.seal(envelope, counter, plain, &mut bytes)?;
        self.sealer.prove(envelope, recipe, &bytes, &blobs, self.writer.repo.namer())?;
        if let Some(grounds) = &self.grounds {
            grounds.give_back(prefix);
        }
        Ok(Sealed { bytes, recipe, key: wrapped.clone(), generation, bases, blobs })
    }
}

impl PageSink for Lane<'_> {
    fn store_page(&mut self, kind: BlobKind, bytes: Vec<u8>) -> Result<BlobId> {
        self.store(kind, &bytes)
    }
}

/// Blobs that lie side by side. Those of a row that is dropped before it is laid are lost.
pub struct Row<'l, 'w, 'b> {
    lane: &'l mut Lane<'w>,
    new: Vec<New<'b>>,
}

impl<'b> Row<'_, '_, 'b> {
    /// Names a blob, which is stored with the row unless it is known.
    pub fn store(&mut self, kind: BlobKind, bytes: &'b [u8]) -> BlobId {
        let (entry, is_new) = self.lane.claim(kind, bytes);
        if is_new {
            self.new.push(New { room: Room::Files, entry, bytes });
        }
        entry.id
    }

    /// The same for a part of something large, of which `near` names earlier blobs that are probably much like it, when asked. It is
    /// stored by itself where it may lean on them.
    pub fn store_near(
        &mut self,
        kind: BlobKind,
        bytes: &'b [u8],
        near: impl FnOnce() -> Vec<BlobId>,
    ) -> Result<BlobId> {
        let lane = &mut *self.lane;
        let (entry, is_new) = lane.claim(kind, bytes);
        if is_new {
            let near = if lane.grounds.is_some() && lane.pause == 0 { near() } else { Vec::new() };
            lane.pause = lane.pause.saturating_sub(bytes.len());
            // Lists and pages of trees are read together.
            let room = if lane.kind == Kind::DataPack { Room::Parts } else { Room::Files };
            if near.is_empty() {
                self.new.push(New { room, entry, bytes });
            } else {
                lane.lean(entry, bytes, near)?;
            }
        }
        Ok(entry.id)
    }

    /// The blobs that follow are of this file, as [`Lane::begin`] says.
    pub fn begin(&mut self, file: u64) {
        self.lane.begin(file);
    }

    /// Lays the row into segments; seals those that it fills. Who gets an error must give up the whole run: blobs that were named may not
    /// be stored.
    pub fn lay(self) -> Result<()> {
        for (room, filling) in self.lane.common.lay(&self.new) {
            self.lane.close(room, filling)?;
        }
        Ok(())
    }
}
