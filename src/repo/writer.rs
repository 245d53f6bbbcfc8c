//! New blobs into the store, in the order that `format-spec/07-order.md` asks for: packs, then the index that lists them.
//!
//! ```text
//! many Lanes ── sealed, proved segments ──▶ packer thread ──▶ packs ──▶ sync ──▶ index objects ──▶ sync
//! ```

use super::{
    BlobReader, Repository, Session,
    blob::Prefix,
    ground::{Ground, Grounds},
    handover::{self, Sender, bounded},
    packer::{Packer, Written},
    room::{Room, sealed_part},
    spares::Spares,
};
use crate::{
    compress::Compression,
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    index::{BlobIndex, Membership},
    keys::wrap::WrappedKey,
    model::paging::PageSink,
    monitor::{Counter, Monitor},
    object::{self, HEADER_LEN, Kind},
    pack::{home_of, write::Sealed},
    seal::SealKey,
    segment::{BlobEntry, Envelope, Sealer},
};
use std::sync::atomic::{AtomicU64, Ordering};

/// Sealed segments that wait for the packer: bounds memory, and lets lanes go on while it syncs.
const WAITING: usize = 2;
/// A segment is closed when it holds so many blobs: tiny files would otherwise make directories that outgrow their limits, and memory.
const SEGMENT_BLOBS: usize = 16 << 10;
/// A lane takes a fresh key after so many segments: a pack of full ones; of differences a pack holds those of many keys.
const KEY_SEGMENTS: u64 = 64;
/// What shrinks to such a part is dense.
const DENSE: usize = 8;
/// Earlier blobs that a segment may be near to.
const NEAR_MAX: usize = 256;
/// Segments in a row that were not worth leaning on anything after which no fewer are tried: then 256 KiB in each 8 MiB.
const MISSES_MAX: u32 = 8;

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
    repo: &'r Repository,
    index: &'r BlobIndex,
    options: WriteOptions,
    packer: Sender<(Kind, Sealed)>,
    spares: &'r Spares,
    bytes_new: AtomicU64,
    monitor: &'r dyn Monitor,
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
    pub fn lane(&self, kind: Kind) -> Result<Lane<'_>> {
        Ok(Lane {
            writer: self,
            kind,
            header: object::header(kind, self.repo.keys().repo()),
            sealer: Sealer::new(self.options.compression),
            key: None,
            rooms: Default::default(),
            dense: false,
            grounds: None,
            file: None,
            misses: 0,
            pause: 0,
            new: 0,
        })
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

/// Fills segments with blobs; seals and proves them.
pub struct Lane<'w> {
    writer: &'w Writer<'w>,
    kind: Kind,
    header: [u8; HEADER_LEN],
    sealer: Sealer,
    /// The key of the segments, wrapped, and how many it has sealed.
    key: Option<(SealKey, WrappedKey, u64)>,
    rooms: [Filling; 3],
    /// The last segment of parts shrank to a [`DENSE`]th.
    dense: bool,
    grounds: Option<Grounds<'w>>,
    file: Option<u64>,
    /// Segments that were not worth leaning on anything, one after another, and bytes that are not tried now for that.
    misses: u32,
    pause: usize,
    /// Bytes of new blobs that were not yet asked for.
    new: u64,
}

/// A segment that is being filled.
#[derive(Default)]
struct Filling {
    plain: Vec<u8>,
    blobs: Vec<BlobEntry>,
    /// Earlier blobs that it may lean on.
    near: Vec<BlobId>,
}

impl<'w> Lane<'w> {
    /// Lets segments lean on earlier blobs, which `reader` must be able to open.
    pub fn leaning_on(mut self, reader: &'w BlobReader<'w>) -> Self {
        let kind = if self.kind == Kind::DataPack { BlobKind::Data } else { BlobKind::Tree };
        // A difference is compressed, and a dry run needs none.
        let WriteOptions { compression, pretend } = self.writer.options;
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

    /// Stores a blob unless it is known, and names it. Durable when [`crate::repo::Session::write`] returns.
    pub fn store(&mut self, kind: BlobKind, bytes: &[u8]) -> Result<BlobId> {
        self.put(Room::Files, kind, bytes, Vec::new)
    }

    /// The same for a part of something large, of which `near` names earlier blobs that are probably much like it, when asked.
    pub fn store_near(&mut self, kind: BlobKind, bytes: &[u8], near: impl FnOnce() -> Vec<BlobId>) -> Result<BlobId> {
        // Lists and pages of trees are read together.
        let room = if self.kind == Kind::DataPack { Room::Parts } else { Room::Files };
        self.put(room, kind, bytes, near)
    }

    fn put(&mut self, room: Room, kind: BlobKind, bytes: &[u8], near: impl FnOnce() -> Vec<BlobId>) -> Result<BlobId> {
        debug_assert_eq!(home_of(kind), self.kind);
        let id = self.writer.repo.namer().name(kind, bytes);
        if self.writer.index.claim(&id) == Membership::Known {
            return Ok(id);
        }
        self.new += bytes.len() as u64;
        self.writer.bytes_new.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.writer.monitor.add(Counter::New, bytes.len() as u64);
        let near = if self.grounds.is_some() && self.pause == 0 { near() } else { Vec::new() };
        self.pause = self.pause.saturating_sub(bytes.len());
        let room = if near.is_empty() { room } else { Room::Leaning };
        let target = room.target(self.kind, self.writer.repo.config().segment_target, self.dense);
        let open = &self.rooms[room as usize];
        if !open.plain.is_empty() && open.plain.len() + bytes.len() > target {
            self.flush_one(room)?;
        }
        let open = &mut self.rooms[room as usize];
        open.plain.extend_from_slice(bytes);
        open.blobs.push(BlobEntry { id, kind: kind as u8, len: bytes.len() as u32 });
        for id in near {
            // Neighbours share what they lean on.
            if open.near.len() < NEAR_MAX && !open.near.ends_with(&[id]) {
                open.near.push(id);
            }
        }
        if open.plain.len() >= target || open.blobs.len() >= SEGMENT_BLOBS {
            self.flush_one(room)?;
        }
        Ok(id)
    }

    /// Plaintext, in bytes, of the blobs that were new since this was asked last.
    pub fn take_new(&mut self) -> u64 {
        std::mem::take(&mut self.new)
    }

    /// Seals what is there as segments, proves them and passes them on. A lane that is dropped without it loses the rest.
    pub fn flush(&mut self) -> Result<()> {
        Room::ALL.into_iter().try_for_each(|room| self.flush_one(room))
    }

    fn flush_one(&mut self, room: Room) -> Result<()> {
        let mut filling = std::mem::take(&mut self.rooms[room as usize]);
        let sealed = if filling.blobs.is_empty() || self.writer.options.pretend {
            Ok(None)
        } else {
            self.segment(&filling.plain, &mut filling.blobs, &filling.near).map(Some)
        };
        if let (Room::Parts, Ok(Some(sealed))) = (room, &sealed) {
            self.dense = sealed.bytes.len() * DENSE <= filling.plain.len();
        }
        // Its room is used again.
        filling.plain.clear();
        filling.blobs.clear();
        filling.near.clear();
        self.rooms[room as usize] = filling;
        match sealed? {
            // The packer ends early only when the store failed; its own error is the one that is reported.
            Some(sealed) => self.writer.packer.send((self.kind, sealed)).map_err(|_| Error::Cancelled),
            None => Ok(()),
        }
    }

    /// Makes a segment, which leans on earlier blobs where that saves half of it.
    fn segment(&mut self, plain: &[u8], blobs: &mut Vec<BlobEntry>, near: &[BlobId]) -> Result<Sealed> {
        let ground = self.ground(near);
        // A blob that is stored again must not lean on what it replaces.
        let ground = ground.filter(|ground| !blobs.iter().any(|blob| ground.bases.contains(&blob.id)));
        let Some(ground) = ground else { return self.seal(plain, std::mem::take(blobs), None) };
        let expected = ground.expected(plain.len());
        let leaning = self.seal(plain, blobs.clone(), Some(ground))?;
        if leaning.bytes.len() * 2 <= expected {
            self.misses = 0;
            return Ok(leaning);
        }
        let alone = self.seal(plain, std::mem::take(blobs), None)?;
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
