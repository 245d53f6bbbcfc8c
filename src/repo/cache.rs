//! Opened segments, kept for a while within a bound and shared by threads; what one thread opens the others wait for.

use crate::{
    error::Result,
    hash::BlobKind,
    id::{BlobId, PackId},
};
use lru::LruCache;
use memmap2::MmapMut;
use std::{
    collections::HashSet,
    ops::{Deref, DerefMut, Range},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A segment by its place: pack and offset.
pub type Spot = (PackId, u64);

/// How long a thread waits for what another opens, before it does so itself. A forged repository may let segments lean on one
/// another in a circle, whose readers would wait for ever; a segment takes a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(50);

/// What an index says of a blob: its kind, its name, and where in its segment it begins and ends.
pub type Claim = (BlobKind, BlobId, u32, u32);

/// Buffers that wait to be used again take at most a 16th of the cache's bound, or this many bytes where that is more, but never
/// more than half. They are counted in it. Long segments, on which many short ones lean, come and go with these: what is kept of
/// either kind has to outlast the other.
const SPARE: usize = 16 << 20;
/// The same in number: each is looked at when one is wanted.
const SPARES: usize = 64;

/// Shorter buffers come from the allocator: the system gives out a limited number of pieces.
const MAPPED_MIN: usize = 128 << 10;
/// Longer ones are asked for in pages of 2 MiB, where there are such: one is given out faster than 512 short ones.
const HUGE_MIN: usize = 2 << 20;

/// Bytes, when they are many in memory that comes from the system itself and goes back to it at once. An allocator with an arena for
/// each thread keeps what one thread frees while another takes as much anew, and holes between what is left: a bound would be kept
/// by counting only.
pub struct Buffer {
    bytes: Bytes,
    len: usize,
}

enum Bytes {
    Mapped(MmapMut),
    Allocated(Vec<u8>),
}

impl Buffer {
    fn new(len: usize) -> Self {
        let room = room(len);
        let mapped = (room >= MAPPED_MIN).then(|| MmapMut::map_anon(room).ok()).flatten();
        if let Some(map) = mapped.as_ref().filter(|map| map.len() >= HUGE_MIN) {
            // Where the system has none it stays as it is.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Buffer { bytes: mapped.map_or_else(|| Bytes::Allocated(vec![0; room]), Bytes::Mapped), len }
    }

    fn room(&self) -> usize {
        match &self.bytes {
            Bytes::Mapped(map) => map.len(),
            Bytes::Allocated(bytes) => bytes.len(),
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let all = match &self.bytes {
            Bytes::Mapped(map) => &map[..],
            Bytes::Allocated(bytes) => bytes,
        };
        all.get(..self.len).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let all = match &mut self.bytes {
            Bytes::Mapped(map) => &mut map[..],
            Bytes::Allocated(bytes) => bytes,
        };
        all.get_mut(..self.len).unwrap_or_default()
    }
}

/// The memory that opened segments and spare buffers take: all that live, whoever holds them, by what was allocated. Buffers are
/// used again, which costs the system nothing.
struct Memory {
    bound: usize,
    /// Bytes of opened segments and of what is known of their blobs.
    opened: AtomicUsize,
    spare: Mutex<Vec<Buffer>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// What is taken for `len` bytes: some more, so that buffers of segments of about one size can take one another's place.
fn room(len: usize) -> usize {
    len.max(1).next_multiple_of((len.next_power_of_two() / 16).max(4096))
}

impl Memory {
    fn new(bound: usize) -> Self {
        Memory { bound, opened: AtomicUsize::new(0), spare: Mutex::default() }
    }

    /// A buffer of `len` bytes, whatever is in them, with room for at most about twice as many.
    fn take(&self, len: usize) -> Buffer {
        let mut spare = lock(&self.spare);
        let fits = |buffer: &Buffer| (len..=room(len).saturating_add(len)).contains(&buffer.room());
        let fitting = spare.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        match fitting.min_by_key(|(_, buffer)| buffer.room()) {
            Some((at, _)) => Buffer { len, ..spare.swap_remove(at) },
            None => Buffer::new(len),
        }
    }

    /// Takes a buffer back. The oldest go when there are too many.
    fn give(&self, buffer: Buffer) {
        let mut spare = lock(&self.spare);
        spare.push(buffer);
        let (mut bytes, mut count, most) = (0, 0, (self.bound / 16).max(SPARE).min(self.bound / 2));
        let from = spare.iter().rposition(|buffer| {
            (bytes, count) = (bytes + buffer.room(), count + 1);
            bytes > most || count > SPARES
        });
        spare.drain(..from.map_or(0, |from| from + 1));
    }

    /// Bytes that are taken.
    fn taken(&self) -> usize {
        self.opened.load(Ordering::Relaxed) + lock(&self.spare).iter().map(Buffer::room).sum::<usize>()
    }
}

/// An opened segment. Of each of its blobs it is known whether it was found to be what it is called: as long as the segment is kept,
/// that need be found once.
pub struct Opened {
    /// There until it is dropped.
    plain: Option<Buffer>,
    proved: Mutex<Proved>,
    memory: Arc<Memory>,
}

#[derive(Default)]
struct Proved {
    claims: HashSet<Claim>,
    /// Bytes that they were counted as.
    bytes: usize,
}

impl Drop for Opened {
    fn drop(&mut self) {
        let proved = lock(&self.proved).bytes;
        let plain = self.plain.take();
        let room = plain.as_ref().map_or(0, Buffer::room);
        self.memory.opened.fetch_sub(room + proved, Ordering::Relaxed);
        plain.into_iter().for_each(|plain| self.memory.give(plain));
    }
}

impl Opened {
    /// Nothing of it is proved yet.
    fn new(plain: Buffer, memory: Arc<Memory>) -> Self {
        memory.opened.fetch_add(plain.room(), Ordering::Relaxed);
        Opened { plain: Some(plain), proved: Mutex::default(), memory }
    }

    /// The whole plaintext.
    pub fn bytes(&self) -> &[u8] {
        self.plain.as_deref().unwrap_or_default()
    }

    /// Where a blob is, when it is what it is called, of which `check` has the last word.
    pub fn prove(&self, claim: Claim, check: impl FnOnce(&[u8]) -> bool) -> Option<Range<usize>> {
        let (_, _, start, end) = claim;
        let range = start as usize..end as usize;
        let bytes = self.bytes().get(range.clone())?;
        if !lock(&self.proved).claims.contains(&claim) {
            if !check(bytes) {
                return None;
            }
            let Proved { claims, bytes } = &mut *lock(&self.proved);
            claims.insert(claim);
            // A table is at most seven eighths full, and has a byte more for each place.
            let now = claims.capacity() * 8 / 7 * (size_of::<Claim>() + 1);
            self.memory.opened.fetch_add(now.saturating_sub(*bytes), Ordering::Relaxed);
            *bytes = now.max(*bytes);
        }
        Some(range)
    }
}

/// A cache of opened segments.
pub struct SegmentCache {
    state: Mutex<State>,
    opened: Condvar,
    memory: Arc<Memory>,
}

#[derive(Default)]
struct State {
    segments: Segments,
    busy: HashSet<Spot>,
}

struct Segments(LruCache<Spot, Arc<Opened>>);

impl Default for Segments {
    fn default() -> Self {
        Segments(LruCache::unbounded())
    }
}

impl SegmentCache {
    /// Takes at most `bound` bytes of memory, but always keeps the last segment. What its users hold counts; buffers that are just
    /// being filled do not.
    pub fn new(bound: usize) -> Self {
        SegmentCache { state: Mutex::default(), opened: Condvar::new(), memory: Arc::new(Memory::new(bound)) }
    }

    /// A buffer of `len` bytes for a segment, whatever is in them.
    pub fn buffer(&self, len: usize) -> Buffer {
        self.memory.take(len)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The segment at `at`, when it is here.
    pub fn get(&self, at: &Spot) -> Option<Arc<Opened>> {
        self.lock().segments.0.get(at).cloned()
    }

    /// The segment at `at`, which `open` opens when it is not here.
    pub fn get_or_open(&self, at: Spot, open: impl FnOnce() -> Result<Buffer>) -> Result<Arc<Opened>> {
        let waited = self.opened.wait_timeout_while(self.lock(), PATIENCE, |state| {
            state.busy.contains(&at) && !state.segments.0.contains(&at)
        });
        let mut state = waited.map_or_else(|e| e.into_inner().0, |(state, _)| state);
        if let Some(plain) = state.segments.0.get(&at) {
            return Ok(plain.clone());
        }
        let is_first = state.busy.insert(at);
        drop(state);
        let result = open().map(|plain| Arc::new(Opened::new(plain, self.memory.clone())));
        let mut state = self.lock();
        if is_first {
            state.busy.remove(&at);
        }
        if let Ok(plain) = &result {
            state.keep(at, plain.clone(), &self.memory);
        }
        drop(state);
        self.opened.notify_all();
        result
    }
}

impl State {
    fn keep(&mut self, at: Spot, opened: Arc<Opened>, memory: &Memory) {
        self.segments.0.push(at, opened);
        while memory.taken() > memory.bound && self.segments.0.len() > 1 {
            self.segments.0.pop_lru();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn buffer(bytes: &[u8]) -> Result<Buffer> {
        let mut buffer = Buffer::new(bytes.len());
        buffer.copy_from_slice(bytes);
        Ok(buffer)
    }

    fn spot(n: u64) -> Spot {
        (PackId([1; 32]), n)
    }

    #[test]
    fn what_is_opened_at_once_is_opened_once() {
        let cache = SegmentCache::new(1000);
        let opened = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let open = || {
                        opened.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(10));
                        buffer(&[7; 10])
                    };
                    assert_eq!(cache.get_or_open(spot(1), open).unwrap().bytes(), vec![7; 10]);
                });
            }
        });
        assert_eq!(opened.into_inner(), 1);
    }

    /// Opens a segment of `len` bytes as a reader does.
    fn open(cache: &SegmentCache, n: u64, len: usize) -> Arc<Opened> {
        let fill = || {
            let mut plain = cache.buffer(len);
            plain.fill(n as u8);
            Ok(plain)
        };
        cache.get_or_open(spot(n), fill).unwrap()
    }

    /// Lengths of segments as they come: of small files, of parts of large ones, of pages, and what is left at an end.
    fn lengths() -> impl Iterator<Item = usize> {
        let mut seed = 1u64;
        std::iter::from_fn(move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let vary = (seed >> 33) as usize % 5000;
            Some([400_000, 200_000, 100_000, 30_000][(seed >> 60) as usize % 4] + vary)
        })
    }

    #[test]
    fn all_memory_that_is_taken_stays_within_the_bound() {
        const BOUND: usize = 2_000_000;
        let cache = SegmentCache::new(BOUND);
        let mut held = Vec::new();
        for (n, len) in (0..).zip(lengths().take(500)) {
            let opened = open(&cache, n, len);
            // What is known of many small blobs counts, and so does what a reader still holds.
            for at in 0..len as u32 / 1000 {
                let claim = (BlobKind::Data, BlobId([7; crate::id::BLOB_ID_LEN]), at * 1000, at * 1000 + 1000);
                opened.prove(claim, |_| true).unwrap();
            }
            held.push(opened);
            held.drain(..held.len().saturating_sub(2));
            let state = cache.lock();
            let known = |opened: &Opened| {
                opened.plain.as_ref().unwrap().room() + lock(&opened.proved).claims.capacity() * size_of::<Claim>()
            };
            let alive: usize = state.segments.0.iter().map(|(_, opened)| known(opened)).sum();
            assert!(alive <= cache.memory.taken(), "{alive} bytes are not all counted");
            // Proofs of the newest come after it was let in.
            assert!(cache.memory.taken() <= BOUND + 50_000, "{} of {BOUND}", cache.memory.taken());
        }
        assert!(cache.memory.taken() > BOUND / 2, "it is used: {}", cache.memory.taken());
        drop((held, open(&cache, 1000, 10)));
        // In the end nothing is counted that is gone.
        cache.lock().segments.0.clear();
        assert_eq!(cache.memory.opened.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn failures_are_not_kept() {
        let cache = SegmentCache::new(100);
        assert!(cache.get_or_open(spot(50), || Err(Error::Cancelled)).is_err());
        assert_eq!(cache.get_or_open(spot(50), || buffer(&[1])).unwrap().bytes(), [1]);
    }

    #[test]
    fn a_blob_is_proved_once_and_only_where_it_was() {
        let opened = Opened::new(buffer(&[1, 2, 3, 4]).unwrap(), Memory::new(0).into());
        let checks = AtomicUsize::new(0);
        let prove = |claim, good| {
            opened.prove(claim, |_| {
                checks.fetch_add(1, Ordering::Relaxed);
                good
            })
        };
        let claim = |n, start, end| (BlobKind::Data, BlobId([n; crate::id::BLOB_ID_LEN]), start, end);
        assert_eq!(prove(claim(1, 1, 3), false), None);
        assert_eq!(prove(claim(1, 1, 3), true), Some(1..3));
        assert_eq!(prove(claim(1, 1, 3), false), Some(1..3));
        assert_eq!(checks.load(Ordering::Relaxed), 2);
        // Another name, or another place, is another claim; what is not there cannot be proved.
        assert_eq!(prove(claim(2, 1, 3), false), None);
        assert_eq!(prove(claim(1, 1, 4), false), None);
        assert_eq!((prove(claim(1, 1, 5), true), prove(claim(1, 3, 1), true)), (None, None));
    }

    #[test]
    fn buffers_of_what_is_gone_are_used_again_by_what_needs_as_much() {
        let cache = SegmentCache::new(2_000_000);
        let begun: Vec<_> = lengths().take(50).collect();
        let mut seen = HashSet::new();
        for (n, len) in (0..1000).zip(begun.iter().copied().cycle()) {
            seen.insert(open(&cache, n, len).bytes().as_ptr());
        }
        assert!(seen.len() < 200, "{} buffers for 1000 segments", seen.len());
        for len in [1, 100, 4096, 5000, 1 << 20, (4 << 20) + 17] {
            let buffer = cache.buffer(len);
            let room = buffer.room();
            assert!(buffer.len() == len && room >= len && room <= len + (len / 8).max(4096), "{room} for {len}");
            cache.memory.give(buffer);
        }
    }

    #[test]
    fn a_circle_ends() {
        let cache = SegmentCache::new(100);
        let inner = || cache.get_or_open(spot(1), || buffer(&[2])).and_then(|opened| buffer(opened.bytes()));
        assert_eq!(cache.get_or_open(spot(1), inner).unwrap().bytes(), [2]);
    }
}
