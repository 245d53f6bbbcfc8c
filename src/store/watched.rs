//! A store in memory with somebody who is told of what is asked of it: for tests of what is read, and of what cannot be.

use super::{Capabilities, Entry, ObjectName, Put, Store, Upload, faulty::Op, memory::MemoryStore};
use crate::error::Result;
use std::ops::Range;

/// Who is told of operations before they are done.
pub trait Watch: Send + Sync {
    /// An operation on an object, or on those of a prefix, and the bytes that it reads: for a whole object as many as it may have.
    /// A failure comes in place of the operation.
    fn before(&self, op: Op, name: &str, bytes: Range<u64>) -> Result<()>;
}

impl<F: Fn(Op, &str, Range<u64>) -> Result<()> + Send + Sync> Watch for F {
    fn before(&self, op: Op, name: &str, bytes: Range<u64>) -> Result<()> {
        self(op, name, bytes)
    }
}

/// A store of which all operations but those on no object in particular are watched; an upload is one when it gets its name.
pub struct Watched<W> {
    pub(super) inner: MemoryStore,
    pub(super) watch: W,
}

impl<F: Fn(Op, &str, Range<u64>) -> Result<()> + Send + Sync> Watched<F> {
    /// `inner`, with `watch` told of what is asked of it.
    pub fn by(inner: &MemoryStore, watch: F) -> Self {
        Watched { inner: inner.clone(), watch }
    }
}

struct WatchedUpload<'s, W>(&'s W, Box<dyn Upload + 's>);

impl<W: Watch> Upload for WatchedUpload<'_, W> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.1.append(bytes)
    }
    fn finish(self: Box<Self>, name: &ObjectName) -> Result<Put> {
        self.0.before(Op::Finish, name.as_str(), 0..0)?;
        self.1.finish(name)
    }
}

impl<W: Watch> Store for Watched<W> {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        self.watch.before(Op::Get, name.as_str(), 0..max)?;
        self.inner.get(name, max)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        self.watch.before(Op::Get, name.as_str(), offset..offset + out.len() as u64)?;
        self.inner.get_range(name, offset, out)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        Ok(Box::new(WatchedUpload(&self.watch, self.inner.upload()?)))
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.watch.before(Op::List, prefix, 0..0)?;
        self.inner.list(prefix, each)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        self.watch.before(Op::Stat, name.as_str(), 0..0)?;
        self.inner.stat(name)
    }
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.watch.before(Op::Remove, name.as_str(), 0..0)?;
        self.inner.remove(name)
    }
    // In one step, as file systems do.
    fn rename(&self, from: &ObjectName, to: &ObjectName) -> Result<Put> {
        self.watch.before(Op::Rename, from.as_str(), 0..0)?;
        self.inner.rename(from, to)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.inner.now()
    }
}
