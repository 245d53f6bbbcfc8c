//! Packs read whole: names, directories, segments, blobs.
//!
//! ```text
//! index ─▶ packs ─▶ readers: read in pieces, hash, cut into segments ─▶ workers: open, decompress, verify
//! ```

use super::{ReadData, findings::Findings, objects::Stored, packs::Packs};
use crate::{
    error::{Error, Result},
    hash::{BlobKind, ObjectHasher},
    id::PackId,
    index::Located,
    keys::Role,
    monitor::Counter,
    object::Kind,
    pack::{self, PackEntry, SegmentEntry},
    repo::BlobReader,
    segment,
    world::random,
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::{
    collections::HashSet,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

/// Bytes that are read at once.
const PIECE: u64 = 4 << 20;
/// Bytes of segments that wait or are being opened, sealed and plain: bounds memory. A larger segment goes alone.
const IN_FLIGHT: u64 = 32 << 20;
/// Workers that one reader, which hashes what it reads, keeps busy.
const WORKERS_A_READER: usize = 4;
const READERS_MAX: usize = 4;

/// How much was read.
#[derive(Default)]
pub(super) struct Read {
    pub(super) packs: u64,
    pub(super) bytes: u64,
}

/// Reads the share of the packs that was asked for, and those that have a wrong length.
pub(super) fn read(
    found: &Findings<'_>,
    reader: &BlobReader<'_>,
    packs: &Packs,
    stored: &Stored,
    share: ReadData,
    threads: usize,
) -> Result<Read> {
    let chosen = Chosen::new(found, packs, share)?;
    let wanted = |id: &PackId| stored.packs.contains_key(id) && (chosen.holds(id) || packs.odd.contains(id));
    let lengths: Vec<u64> =
        packs.ids().filter(|id| wanted(id)).filter_map(|id| stored.packs.get(id).copied()).collect();
    found.monitor.expect(Counter::Objects, lengths.len() as u64);
    found.monitor.expect(Counter::Stored, lengths.iter().sum());

    let shared = Shared::new(found, reader, stored);
    let readers = (threads / WORKERS_A_READER).clamp(1, READERS_MAX);
    let (send_pack, take_pack) = bounded::<PackEntry>(1);
    let (send_segment, take_segment) = unbounded::<Job>();
    thread::scope(|scope| {
        let shared = &shared;
        for _ in 0..threads {
            let jobs = take_segment.clone();
            start(scope, "verify", move || shared.verify(jobs))?;
        }
        for _ in 0..readers {
            let (packs, segments) = (take_pack.clone(), send_segment.clone());
            start(scope, "read", move || shared.read(packs, segments))?;
        }
        drop((take_pack, take_segment, send_segment));
        let mut done = HashSet::new();
        let sent = packs.each(found, &mut |_, entry| {
            if wanted(&entry.id) && done.insert(entry.id) {
                // Readers end before the packs do only when one of them failed.
                send_pack.send(entry).map_err(|_| Error::Cancelled)?;
            }
            Ok(())
        });
        drop(send_pack);
        if let Err(error) = sent {
            shared.fail(error);
        }
        Ok(())
    })?;
    shared.finish()
}

fn start<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() + Send + 'scope,
) -> Result<()> {
    let spawned = thread::Builder::new().name(name.into()).spawn_scoped(scope, work);
    spawned.map(drop).map_err(|e| Error::store("start a thread for", "packs", e))
}

/// The packs that are read.
struct Chosen {
    seed: [u8; 32],
    /// Packs with a hash up to this one.
    last: Option<u64>,
}

impl Chosen {
    fn new(found: &Findings<'_>, packs: &Packs, share: ReadData) -> Result<Self> {
        let ReadData::Percent(percent) = share else { return Ok(Chosen { seed: [0; 32], last: None }) };
        if !(percent > 0.0 && percent <= 100.0) {
            return Err(Error::usage(format!(
                "{percent} is no share of the data: give more than 0 and at most 100 per cent"
            )));
        }
        let mut chosen = Chosen { seed: random(found.repo.entropy())?, last: Some(u64::MAX) };
        if percent < 100.0 {
            // Exactly that share, rounded up, whatever the hashes.
            let mut hashes: Vec<u64> = packs.ids().map(|id| chosen.hash(id)).collect();
            hashes.sort_unstable();
            let count = (hashes.len() as f64 * percent / 100.0).ceil() as usize;
            chosen.last = count.checked_sub(1).and_then(|last| hashes.get(last).copied());
        }
        Ok(chosen)
    }

    fn hash(&self, id: &PackId) -> u64 {
        let hash = blake3::keyed_hash(&self.seed, &id.0);
        u64::from_le_bytes(std::array::from_fn(|i| hash.as_bytes()[i]))
    }

    fn holds(&self, id: &PackId) -> bool {
        self.last.is_some_and(|last| self.hash(id) <= last)
    }
}

/// A segment to be verified.
struct Job {
    pack: Arc<PackEntry>,
    segment: usize,
    sealed: Vec<u8>,
}

impl Job {
    fn entry(&self) -> Option<&SegmentEntry> {
        self.pack.directory.segments.get(self.segment)
    }

    fn cost(&self) -> u64 {
        self.entry().map_or(0, cost)
    }
}

fn cost(segment: &SegmentEntry) -> u64 {
    u64::from(segment.stored) + u64::from(segment.raw)
}

/// What readers and workers share.
struct Shared<'a, 'r> {
    found: &'a Findings<'a>,
    reader: &'a BlobReader<'r>,
    stored: &'a Stored,
    in_flight: Mutex<u64>,
    less: Condvar,
    failed: Mutex<Option<Error>>,
    stop: AtomicBool,
    packs: AtomicU64,
    bytes: AtomicU64,
    unopened: AtomicU64,
}

impl<'a, 'r> Shared<'a, 'r> {
    fn new(found: &'a Findings<'a>, reader: &'a BlobReader<'r>, stored: &'a Stored) -> Self {
        Shared {
            found,
            reader,
            stored,
            in_flight: Mutex::new(0),
            less: Condvar::new(),
            failed: Mutex::default(),
            stop: AtomicBool::new(false),
            packs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            unopened: AtomicU64::new(0),
        }
    }

    fn fail(&self, error: Error) {
        let mut failed = self.failed.lock().unwrap_or_else(|e| e.into_inner());
        // The first says most: the others follow from it.
        failed.get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    fn finish(self) -> Result<Read> {
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
    fn acquire(&self, bytes: u64) {
        let mut sum = self.in_flight();
        while *sum > 0 && *sum + bytes > IN_FLIGHT {
            sum = self.less.wait(sum).unwrap_or_else(|e| e.into_inner());
        }
        *sum += bytes;
    }

    fn release(&self, bytes: u64) {
        *self.in_flight() -= bytes;
        self.less.notify_all();
    }

    fn read(&self, packs: Receiver<PackEntry>, jobs: Sender<Job>) {
        for pack in packs {
            if let Err(error) = self.read_pack(Arc::new(pack), &jobs) {
                self.fail(error);
                return;
            }
        }
    }

    /// Reads one pack: hashes it, sends its segments on, compares its directory with the index.
    fn read_pack(&self, pack: Arc<PackEntry>, jobs: &Sender<Job>) -> Result<()> {
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
            Ok(own) if own == *pack => {}
            Ok(_) => {
                self.found.add(object, "its directory and the index say different things");
            }
            // A flipped bit makes no new format.
            Err(error @ Error::Unsupported { .. }) if !right => {
                self.found.add(object, error.to_string());
            }
            Err(error) => {
                self.found.judge(object, error)?;
            }
        }
        self.packs.fetch_add(1, Ordering::Relaxed);
        self.found.monitor.add(Counter::Objects, 1);
        Ok(())
    }

    fn verify(&self, jobs: Receiver<Job>) {
        let mut plain = Vec::new();
        for mut job in jobs {
            let cost = job.cost();
            // What waits is taken off the queue all the same, or readers would wait for ever.
            if !self.stop.load(Ordering::Relaxed)
                && let Err(error) = self.verify_segment(&mut job, &mut plain)
            {
                self.fail(error);
            }
            drop(job);
            plain.clear();
            plain.shrink_to(2 << 20);
            self.release(cost);
        }
    }

    /// Opens one segment and recomputes the ids of its blobs.
    fn verify_segment(&self, job: &mut Job, plain: &mut Vec<u8>) -> Result<()> {
        let pack = job.pack.clone();
        let Some(segment) = pack.directory.segments.get(job.segment) else { return Ok(()) };
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
            let number = self.found.judge(&object, error)?;
            self.found.damage().segments.insert((pack.id, segment.offset), number);
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
            }
        }
        Ok(())
    }
}

/// Cuts a pack that comes in pieces into its segments.
struct Cutter<'c, 'a, 'r> {
    shared: &'c Shared<'a, 'r>,
    pack: &'c Arc<PackEntry>,
    jobs: &'c Sender<Job>,
    opens: bool,
    /// The segment that is cut now or next.
    next: usize,
    /// Its bytes so far; `None` before its first, or when some could not be read.
    sealed: Option<Vec<u8>>,
}

impl Cutter<'_, '_, '_> {
    /// Takes the piece at `at`, which could be read or not.
    fn take(&mut self, at: u64, piece: &[u8], got: bool) {
        let end = at + piece.len() as u64;
        while let Some(segment) = self.pack.directory.segments.get(self.next) {
            let (from, to) = (segment.offset, segment.offset + u64::from(segment.stored));
            if from >= end {
                return;
            }
            if from >= at && got && self.opens {
                self.shared.acquire(cost(segment));
                self.sealed = Some(Vec::with_capacity(segment.stored as usize));
            }
            if !got && self.sealed.take().is_some() {
                self.shared.release(cost(segment));
            }
            let part = piece.get((from.max(at) - at) as usize..(to.min(end) - at) as usize).unwrap_or_default();
            if let Some(sealed) = &mut self.sealed {
                sealed.extend_from_slice(part);
            }
            if to > end {
                return;
            }
            self.close();
        }
    }

    /// The segment that is cut now is done.
    fn close(&mut self) {
        let segment = self.next;
        self.next += 1;
        let Some(entry) = self.pack.directory.segments.get(segment) else { return };
        match self.sealed.take() {
            Some(sealed) if sealed.len() == entry.stored as usize => {
                let job = Job { pack: self.pack.clone(), segment, sealed };
                // Workers outlive readers.
                if let Err(unsent) = self.jobs.send(job) {
                    self.shared.release(unsent.0.cost());
                }
            }
            cut => {
                if cut.is_some() {
                    self.shared.release(cost(entry));
                }
                if self.opens {
                    self.lost(entry);
                }
            }
        }
    }

    fn lost(&self, entry: &SegmentEntry) {
        let object = pack::object_name(&self.pack.id);
        let number = self.shared.found.add(object.as_str(), format!("the segment at {} cannot be read", entry.offset));
        self.shared.found.damage().segments.insert((self.pack.id, entry.offset), number);
    }

    /// What was not reached is not there.
    fn finish(mut self) {
        while self.next < self.pack.directory.segments.len() {
            self.close();
        }
    }
}

impl Drop for Cutter<'_, '_, '_> {
    /// A reader that stops midway gives back what it took: others may wait for it.
    fn drop(&mut self) {
        if self.sealed.take().is_some()
            && let Some(segment) = self.pack.directory.segments.get(self.next)
        {
            self.shared.release(cost(segment));
        }
    }
}
