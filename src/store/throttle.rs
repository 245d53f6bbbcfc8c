//! A store that takes no more bytes a second than it may, around another: a copy in the daytime leaves the line to others.
//!
//! What is read, listed and removed is not counted.

use super::{Capabilities, Entry, ObjectName, Put, Store, Upload, lock, retry::Sleeper};
use crate::error::Result;
use std::{sync::Mutex, time::Duration};

/// A part of a second's bytes that may go at once after a pause.
const BURST: f64 = 0.25;
/// Bytes that are let through at once: one wait each.
const STEP: usize = 64 << 10;

/// Tells the time since some moment in the past.
pub type Elapsed = Box<dyn Fn() -> Duration + Send + Sync>;

/// A store around another that is written to slowly.
pub struct ThrottleStore<S> {
    inner: S,
    /// Bytes a second.
    rate: f64,
    elapsed: Elapsed,
    sleep: Sleeper,
    /// Bytes that may go now (negative: that went too early), and when that was so, in seconds.
    bucket: Mutex<(f64, f64)>,
}

impl<S: Store> ThrottleStore<S> {
    /// Lets `rate` bytes a second through to `inner`, at least one.
    pub fn new(inner: S, rate: u64, elapsed: Elapsed, sleep: Sleeper) -> Self {
        let rate = rate.max(1) as f64;
        ThrottleStore { inner, rate, elapsed, sleep, bucket: Mutex::new((rate * BURST, 0.0)) }
    }

    fn take(&self, bytes: usize) {
        let wait = {
            let (tokens, at) = &mut *lock(&self.bucket);
            let now = (self.elapsed)().as_secs_f64();
            *tokens = (*tokens + (now - *at).max(0.0) * self.rate).min(self.rate * BURST);
            *at = now;
            *tokens -= bytes as f64;
            -*tokens / self.rate
        };
        if wait > 0.0 {
            (self.sleep)(Duration::from_secs_f64(wait));
        }
    }
}

struct ThrottledUpload<'s, S> {
    store: &'s ThrottleStore<S>,
    inner: Box<dyn Upload + 's>,
}

impl<S: Store> Upload for ThrottledUpload<'_, S> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        bytes.chunks(STEP).try_for_each(|part| {
            self.store.take(part.len());
            self.inner.append(part)
        })
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<Put> {
        self.inner.finish(name)
    }
}

impl<S: Store> Store for ThrottleStore<S> {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        self.inner.get(name, max)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        self.inner.get_range(name, offset, out)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        Ok(Box::new(ThrottledUpload { store: self, inner: self.inner.upload()? }))
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.inner.list(prefix, each)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        self.inner.stat(name)
    }
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.inner.remove(name)
    }
    fn rename(&self, from: &ObjectName, to: &ObjectName) -> Result<Put> {
        self.inner.rename(from, to)
    }
    fn exchange(&self, a: &ObjectName, b: &ObjectName) -> Result<bool> {
        self.inner.exchange(a, b)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.inner.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{conformance, memory::MemoryStore};
    use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};

    /// A store whose time passes by sleeping only, and that time in microseconds.
    fn slow(rate: u64) -> (ThrottleStore<MemoryStore>, Arc<AtomicU64>) {
        let now = Arc::new(AtomicU64::new(0));
        let (of_clock, of_sleeper) = (now.clone(), now.clone());
        let elapsed = Box::new(move || Duration::from_micros(of_clock.load(Ordering::Relaxed)));
        let sleep = Box::new(move |wait: Duration| {
            of_sleeper.fetch_add(wait.as_micros() as u64 + 1, Ordering::Relaxed);
        });
        (ThrottleStore::new(MemoryStore::new(), rate, elapsed, sleep), now)
    }

    #[test]
    fn keeps_the_contract() {
        conformance::check(&slow(1 << 30).0).unwrap();
    }

    #[test]
    fn bytes_take_their_time() {
        let (store, now) = slow(1 << 20);
        let name = |i| ObjectName::new(format!("index/{i}")).unwrap();
        store.put(&name(0), &vec![0; 4 << 20]).unwrap();
        let seconds = now.load(Ordering::Relaxed) as f64 / 1e6;
        assert!((3.7..4.1).contains(&seconds), "{seconds}");
        // A long pause is made up for by a quarter of a second at most.
        now.fetch_add(3_600_000_000, Ordering::Relaxed);
        store.put(&name(1), &vec![0; 2 << 20]).unwrap();
        let seconds = now.load(Ordering::Relaxed) as f64 / 1e6 - 3600.0;
        assert!((5.4..6.1).contains(&seconds), "{seconds}");
        assert_eq!(store.get(&name(1), 2 << 20).unwrap().len(), 2 << 20);
    }
}
