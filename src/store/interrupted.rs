//! A store around another in which something happens in the middle of somebody's work: for tests of who meets whom, and where.

use super::{Capabilities, Entry, ObjectName, Put, Store, Upload, lock, memory::MemoryStore};
use crate::error::Result;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

/// A store that lets something happen just before its n-th operation.
pub struct Interrupted {
    inner: MemoryStore,
    count: AtomicU64,
    nth: u64,
    event: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Interrupted {
    /// `event` happens before the operation `nth`, counted from one.
    pub fn new(inner: MemoryStore, nth: u64, event: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Arc::new(Interrupted { inner, count: AtomicU64::new(0), nth, event: Mutex::new(Some(Box::new(event))) })
    }

    fn step(&self) {
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 == self.nth {
            let event = lock(&self.event).take();
            if let Some(event) = event {
                event();
            }
        }
    }

    /// False when there were fewer operations.
    pub fn happened(&self) -> bool {
        lock(&self.event).is_none()
    }
}

struct InterruptedUpload<'s>(&'s Interrupted, Box<dyn Upload + 's>);

impl Upload for InterruptedUpload<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.1.append(bytes)
    }
    fn finish(self: Box<Self>, name: &ObjectName) -> Result<Put> {
        self.0.step();
        self.1.finish(name)
    }
}

impl Store for Interrupted {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        self.step();
        self.inner.get(name, max)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        self.step();
        self.inner.get_range(name, offset, out)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        Ok(Box::new(InterruptedUpload(self, self.inner.upload()?)))
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.step();
        self.inner.list(prefix, each)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        self.step();
        self.inner.stat(name)
    }
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.step();
        self.inner.remove(name)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.inner.now()
    }
}
