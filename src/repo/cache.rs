//! Opened segments, kept for a while within a bound and shared by threads; what one thread opens the others wait for.

use crate::{
    error::Result,
    hash::BlobKind,
    id::{BlobId, PackId},
};
use lru::LruCache;
use std::{
    collections::HashSet,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

/// A segment by its place: pack and offset.
pub type Spot = (PackId, u64);

/// How long a thread waits for what another opens, before it does so itself. A forged repository may let segments lean on one
/// another in a circle, whose readers would wait for ever; a segment takes a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(50);

/// What an index says of a blob: its kind, its name, and where in its segment it begins and ends.
pub type Claim = (BlobKind, BlobId, u32, u32);

/// Buffers that wait to be used again, in number. One that is opened takes two, and gives back two when another has to go.
const SPARE: usize = 8;
/// Buffers above this many bytes are not kept.
const SPARE_MAX: usize = 5 << 20;

/// Buffers of segments that are gone. Left to an allocator with an arena for each thread, what one thread frees stays taken while
/// another takes as much anew, and the bound is kept by counting only.
#[derive(Default)]
pub struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    /// An empty buffer.
    pub fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spares = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if buffer.capacity() > 0 && buffer.capacity() <= SPARE_MAX && spares.len() < SPARE {
            spares.push(buffer);
        }
    }
}

/// An opened segment. Of each of its blobs it is known whether it was found to be what it is called: as long as the segment is kept,
/// that need be found once.
pub struct Opened {
    plain: Vec<u8>,
    proved: Mutex<HashSet<Claim>>,
    spares: Arc<Spares>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.spares.give(std::mem::take(&mut self.plain));
    }
}

impl Opened {
    /// Nothing of it is proved yet. Its buffer goes to `spares` in the end.
    pub fn new(plain: Vec<u8>, spares: Arc<Spares>) -> Self {
        Opened { plain, proved: Mutex::default(), spares }
    }

    /// The whole plaintext.
    pub fn bytes(&self) -> &[u8] {
        &self.plain
    }

    /// Where a blob is, when it is what it is called, of which `check` has the last word.
    pub fn prove(&self, claim: Claim, check: impl FnOnce(&[u8]) -> bool) -> Option<Range<usize>> {
        let (_, _, start, end) = claim;
        let range = start as usize..end as usize;
        let bytes = self.plain.get(range.clone())?;
        let lock = || self.proved.lock().unwrap_or_else(|e| e.into_inner());
        if !lock().contains(&claim) {
            if !check(bytes) {
                return None;
            }
            lock().insert(claim);
        }
        Some(range)
    }
}

/// A cache of opened segments.
pub struct SegmentCache {
    bound: usize,
    state: Mutex<State>,
    opened: Condvar,
    spares: Arc<Spares>,
}

struct State {
    segments: LruCache<Spot, Arc<Opened>>,
    bytes: usize,
    busy: HashSet<Spot>,
}

impl SegmentCache {
    /// Keeps at most `bound` bytes, but always the last one.
    pub fn new(bound: usize) -> Self {
        let state = State { segments: LruCache::unbounded(), bytes: 0, busy: HashSet::new() };
        SegmentCache { bound, state: Mutex::new(state), opened: Condvar::new(), spares: Arc::default() }
    }

    /// Buffers to open segments with.
    pub fn spares(&self) -> &Spares {
        &self.spares
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The segment at `at`, which `open` opens when it is not here.
    pub fn get_or_open(&self, at: Spot, open: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<Opened>> {
        let waited = self.opened.wait_timeout_while(self.lock(), PATIENCE, |state| {
            state.busy.contains(&at) && !state.segments.contains(&at)
        });
        let mut state = waited.map_or_else(|e| e.into_inner().0, |(state, _)| state);
        if let Some(plain) = state.segments.get(&at) {
            return Ok(plain.clone());
        }
        let is_first = state.busy.insert(at);
        drop(state);
        let result = open().map(|plain| Arc::new(Opened::new(plain, self.spares.clone())));
        let mut state = self.lock();
        if is_first {
            state.busy.remove(&at);
        }
        if let Ok(plain) = &result {
            state.keep(at, plain.clone(), self.bound);
        }
        drop(state);
        self.opened.notify_all();
        result
    }
}

impl State {
    fn keep(&mut self, at: Spot, opened: Arc<Opened>, bound: usize) {
        self.bytes += opened.plain.len();
        if let Some((_, old)) = self.segments.push(at, opened) {
            self.bytes -= old.plain.len();
        }
        while self.bytes > bound && self.segments.len() > 1 {
            let Some((_, old)) = self.segments.pop_lru() else { break };
            self.bytes -= old.plain.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
                        Ok(vec![7; 10])
                    };
                    assert_eq!(cache.get_or_open(spot(1), open).unwrap().bytes(), vec![7; 10]);
                });
            }
        });
        assert_eq!(opened.into_inner(), 1);
    }

    #[test]
    fn the_bound_holds_and_failures_are_not_kept() {
        let cache = SegmentCache::new(100);
        for n in 0..20 {
            cache.get_or_open(spot(n), || Ok(vec![0; 30])).unwrap();
        }
        assert!(cache.lock().bytes <= 100);
        assert!(cache.get_or_open(spot(50), || Err(Error::Cancelled)).is_err());
        assert_eq!(cache.get_or_open(spot(50), || Ok(vec![1])).unwrap().bytes(), [1]);
    }

    #[test]
    fn a_blob_is_proved_once_and_only_where_it_was() {
        let opened = Opened::new(vec![1, 2, 3, 4], Arc::default());
        let checks = AtomicUsize::new(0);
        let prove = |claim, good| {
            opened.prove(claim, |_| {
                checks.fetch_add(1, Ordering::Relaxed);
                good
            })
        };
        let claim = |n, start, end| (BlobKind::Data, BlobId([n; 32]), start, end);
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
    fn buffers_of_what_is_gone_are_used_again() {
        let cache = SegmentCache::new(100);
        let mut seen = HashSet::new();
        for n in 0..100 {
            let open = || {
                let mut plain = cache.spares().take();
                plain.resize(30, n as u8);
                Ok(plain)
            };
            seen.insert(cache.get_or_open(spot(n), open).unwrap().bytes().as_ptr());
        }
        assert!(seen.len() <= 5, "{}", seen.len());
        let large = Vec::with_capacity(SPARE_MAX + 1);
        cache.spares().give(large);
        assert!(cache.spares().take().capacity() <= SPARE_MAX);
    }

    #[test]
    fn a_circle_ends() {
        let cache = SegmentCache::new(100);
        let inner = || cache.get_or_open(spot(1), || Ok(vec![2])).map(|opened| opened.bytes().to_vec());
        assert_eq!(cache.get_or_open(spot(1), inner).unwrap().bytes(), [2]);
    }
}
