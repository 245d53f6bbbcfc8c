//! Readers and workers, and what they share.

use super::{
    super::{findings::Findings, objects::Stored},
    Read,
    cutter::Cutter,
    queue::Queue,
};
use crate::{
    error::{Error, Result},
    hash::{BlobKind, ObjectHasher},
    id::PackId,
    index::Located,
    keys::Role,
    monitor::Counter,
    object::Kind,
    pack::{self, PackEntry, SegmentEntry},
    repo::{
        BlobReader,
        cache::Spot,
        spares::{SEGMENT_ROOM, Spares},
    },
    segment,
};
use crossbeam_channel::{Receiver, Sender};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

/// Bytes that are read at once.
const PIECE: u64 = 4 << 20;
/// Bytes of segments that wait or are being opened, sealed and plain: bounds memory. A larger segment goes alone.
pub(super) const IN_FLIGHT: u64 = 16 << 20;
/// Buffers of either kind that wait to be used again.
const SPARES: usize = 2;

/// A pack that is being read.
pub(super) struct InHand {
    entry: PackEntry,
    /// Segments that were sent and not verified yet, and one for its reader.
    left: AtomicUsize,
    damaged: AtomicBool,
}

impl InHand {
    pub(super) fn damage(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_one(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }
}

impl std::ops::Deref for InHand {
    type Target = PackEntry;
    fn deref(&self) -> &PackEntry {
        &self.entry
    }
}

/// A segment to be verified.
pub(super) struct Job {
    pub(super) pack: Arc<InHand>,
    pub(super) segment: usize,
    pub(super) sealed: Vec<u8>,
}

impl Job {
    fn entry(&self) -> Option<&SegmentEntry> {
        self.pack.directory.segments.get(self.segment)
    }

    pub(super) fn cost(&self) -> u64 {
        self.entry().map_or(0, cost)
    }
}

pub(super) fn cost(segment: &SegmentEntry) -> u64 {
    u64::from(segment.stored) + u64::from(segment.raw)
}

/// A worker that ended with its jobs would leave their cost taken, for which readers wait.
fn broken() -> Error {
    Error::refused("a thread that verifies segments failed: this is a bug, please report it; the check is not complete")
}

/// What readers and workers share.
pub(super) struct Shared<'a, 'r> {
    pub(super) found: &'a Findings<'a>,
    reader: &'a BlobReader<'r>,
    stored: &'a Stored,
    /// For segments as they are stored, and opened.
    pub(super) sealed: Spares,
    plain: Spares,
    in_flight: Mutex<u64>,
    less: Condvar,
    failed: Mutex<Option<Error>>,
    stop: AtomicBool,
    packs: AtomicU64,
    bytes: AtomicU64,
    unopened: AtomicU64,
    /// Packs that were read to their end, and whether all of them was right.
    done: Mutex<Vec<(PackId, bool)>>,
}

impl<'a, 'r> Shared<'a, 'r> {
    pub(super) fn new(found: &'a Findings<'a>, reader: &'a BlobReader<'r>, stored: &'a Stored) -> Self {
        Shared {
            found,
            reader,
            stored,
            sealed: Spares::new(SPARES, SEGMENT_ROOM),
            plain: Spares::new(SPARES, SEGMENT_ROOM),
            in_flight: Mutex::new(0),
            less: Condvar::new(),
            failed: Mutex::default(),
            stop: AtomicBool::new(false),
            packs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            unopened: AtomicU64::new(0),
            done: Mutex::default(),
        }
    }

    pub(super) fn fail(&self, error: Error) {
        let mut failed = self.failed.lock().unwrap_or_else(|e| e.into_inner());
        // The first says most: the others follow from it.
        failed.get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// A part of a pack was dealt with.
    fn part_done(&self, pack: &InHand) {
        if pack.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let whole = !pack.damaged.load(Ordering::Relaxed);
            self.done.lock().unwrap_or_else(|e| e.into_inner()).push((pack.id, whole));
            self.packs.fetch_add(1, Ordering::Relaxed);
            self.found.monitor.add(Counter::Objects, 1);
        }
    }

    /// The packs that were read to their end, and whether they were whole.
    pub(super) fn done(&self) -> Vec<(PackId, bool)> {
        std::mem::take(&mut self.done.lock().unwrap_or_else(|e| e.into_inner()))
    }

    pub(super) fn finish(self) -> Result<Read> {
        if let Some(error) = self.failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
            return Err(error);
        }
        let unopened = self.unopened.into_inner();
        if unopened > 0 {
            self.found.note(format!(
                "the contents of {unopened} data packs were not opened, for which this key lacks the role: their hashes and \
                 directories were checked"
            ));
        }
        Ok(Read { packs: self.packs.into_inner(), bytes: self.bytes.into_inner() })
    }

    fn in_flight(&self) -> MutexGuard<'_, u64> {
        self.in_flight.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Waits until so many bytes may be taken up.
    pub(super) fn acquire(&self, bytes: u64) {
        let mut sum = self.in_flight();
        while *sum > 0 && *sum + bytes > IN_FLIGHT {
            sum = self.less.wait(sum).unwrap_or_else(|e| e.into_inner());
        }
        *sum += bytes;
    }

    pub(super) fn release(&self, bytes: u64) {
        *self.in_flight() -= bytes;
        self.less.notify_all();
    }

    pub(super) fn read(&self, packs: Receiver<PackEntry>, jobs: Sender<Job>) {
        for entry in packs {
            let pack = Arc::new(InHand { entry, left: AtomicUsize::new(1), damaged: AtomicBool::new(false) });
            if let Err(error) = self.read_pack(pack, &jobs) {
                self.fail(error);
                return;
            }
        }
    }

    /// Reads one pack: hashes it, sends its segments on, compares its directory with the index.
    fn read_pack(&self, pack: Arc<InHand>, jobs: &Sender<Job>) -> Result<()> {
        let name = pack::object_name(&pack.id);
        let object = name.as_str();
        let opens = pack.kind != Kind::DataPack as u8 || self.found.repo.keys().role() == Role::Owner;
        let len = self.stored.packs.get(&pack.id).copied().unwrap_or(0).min(pack.len);
        let mut cutter = Cutter { shared: self, pack: &pack, jobs, opens, next: 0, sealed: None };
        let (mut hasher, mut piece, mut whole) = (ObjectHasher::default(), Vec::new(), true);
        let mut at = 0;
        while at < len {
            self.found.monitor.check()?;
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            piece.resize((len - at).min(PIECE) as usize, 0);
            let got = match self.found.repo.store().get_range(&name, at, &mut piece) {
                Ok(()) => {
                    hasher.update(&piece);
                    true
                }
                Err(Error::Missing { .. }) if self.was_pruned(&pack) => return Ok(()),
                Err(error) => {
                    self.found.judge(object, error)?;
                    whole = false;
                    false
                }
            };
            cutter.take(at, &piece, got);
            at += piece.len() as u64;
            self.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            self.found.monitor.add(Counter::Stored, piece.len() as u64);
        }
        cutter.finish();
        let right = whole && hasher.finish() == pack.id.0;
        if !right {
            pack.damage();
            let number = self.found.add(object, "its bytes are not those of its name");
            if !opens {
                // Which of its segments are whole cannot be told.
                self.found.damage().packs.insert(pack.id, number);
            }
        }
        if !opens {
            self.unopened.fetch_add(1, Ordering::Relaxed);
        }
        match self.found.repo.read_directory(&pack.id) {
            Ok(own) if own == **pack => {}
            Ok(_) => {
                pack.damage();
                self.found.add(object, "its directory and the index say different things");
            }
            // A flipped bit makes no new format.
            Err(error @ Error::Unsupported { .. }) if !right => {
                self.found.add(object, error.to_string());
            }
            Err(Error::Missing { .. }) if self.was_pruned(&pack) => return Ok(()),
            Err(error) => {
                self.found.judge(object, error)?;
                pack.damage();
            }
        }
        self.part_done(&pack);
        Ok(())
    }

    /// True, and told, for a pack that a prune has removed since the index was loaded.
    fn was_pruned(&self, pack: &PackEntry) -> bool {
        let was_pruned = self.reader.was_pruned(&pack.id);
        if was_pruned {
            self.found.note(format!("{}: a prune has removed it meanwhile", pack::object_name(&pack.id)));
        }
        was_pruned
    }

    pub(super) fn verify(&self, jobs: &Queue<Job>) {
        let mut row = Vec::new();
        loop {
            jobs.take(&mut row, |job| self.ground(job), Job::cost);
            if row.is_empty() {
                return;
            }
            row.drain(..).for_each(|job| self.verify_one(job));
        }
    }

    /// The segment that the first of a segment's bases lies in.
    fn ground(&self, job: &Job) -> Option<Spot> {
        let index = self.reader.index();
        index.spot(index.place(job.entry()?.bases.first()?)?)
    }

    fn verify_one(&self, mut job: Job) {
        let cost = job.cost();
        // What waits is taken off the queue all the same, or readers would wait for ever.
        if !self.stop.load(Ordering::Relaxed) {
            let mut plain = self.plain.take();
            let verified = catch_unwind(AssertUnwindSafe(|| {
                self.verify_segment(&mut job, &mut plain)?;
                self.part_done(&job.pack);
                Ok(())
            }));
            if let Err(error) = verified.unwrap_or_else(|_| Err(broken())) {
                self.fail(error);
            }
            self.plain.give(plain);
        }
        self.sealed.give(job.sealed);
        self.release(cost);
    }

    /// Opens one segment and recomputes the ids of its blobs.
    fn verify_segment(&self, job: &mut Job, plain: &mut Vec<u8>) -> Result<()> {
        let pack = job.pack.clone();
        let Some(segment) = pack.directory.segments.get(job.segment) else { return Ok(()) };
        // What it leans on is listed nowhere: that was told, and its bytes are held against the pack's name all the same.
        if self.found.damage().segments.contains_key(&(pack.id, segment.offset)) {
            return Ok(());
        }
        let object = pack::object_name(&pack.id).to_string();
        // Both were checked when the index object was decoded.
        let (Some(kind), Some(key)) = (Kind::of_pack(pack.kind), pack.directory.keys.get(segment.key as usize)) else {
            return Ok(());
        };
        let located = Located {
            pack: pack.id,
            kind,
            offset: segment.offset,
            stored: segment.stored,
            recipe: segment.recipe(),
            key: key.clone(),
            generation: segment.generation,
            bases: segment.bases.clone(),
        };
        if let Err(error) = self.reader.open_sealed(&located, &mut job.sealed, plain) {
            let error = match error {
                // Another object is to blame: what leans on it is lost with it.
                Error::Corrupt { object: of, what } if of != object => {
                    Error::corrupt(&object, format!("the segment at {} leans on {of}: {what}", segment.offset))
                }
                error => error,
            };
            let has_gone = matches!(&error, Error::Missing { object: of } if *of != object);
            let number = self.found.judge(&object, error)?;
            if has_gone {
                // A prune removes what nothing needs before what leans on it.
                self.found.doubt(number);
            }
            self.found.damage().segments.insert((pack.id, segment.offset), number);
            pack.damage();
            return Ok(());
        }
        let namer = self.found.repo.namer();
        if segment::verify_blobs(plain, &segment.blobs, namer).is_none() {
            return Ok(());
        }
        let mut rest = &plain[..];
        for blob in &segment.blobs {
            let (bytes, after) = rest.split_at_checked(blob.len as usize).unwrap_or((rest, &[]));
            rest = after;
            let right = BlobKind::from_number(blob.kind).is_some_and(|kind| namer.name(kind, bytes) == blob.id);
            if !right {
                let what = format!("the segment at {}: blob {} has other bytes", segment.offset, blob.id.short());
                let number = self.found.add(&object, what);
                self.found.damage().in_segments.insert((pack.id, segment.offset, blob.id), number);
                pack.damage();
            }
        }
        Ok(())
    }
}
