//! Stores that stand between: one that lets something happen meanwhile, and one with packs that cannot be read.

use super::*;

/// Asked with an operation and what it is about.
type When<'a> = dyn Fn(&str, &str) -> bool + Sync + Send + 'a;

/// Does something once, before the operation that it waits for.
pub(super) struct Meddled<'a> {
    inner: MemoryStore,
    when: Box<When<'a>>,
    then: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl<'a> Meddled<'a> {
    pub(super) fn new(
        inner: &MemoryStore,
        when: impl Fn(&str, &str) -> bool + Sync + Send + 'a,
        then: impl FnOnce() + Send + 'a,
    ) -> Self {
        Meddled { inner: inner.clone(), when: Box::new(when), then: Mutex::new(Some(Box::new(then))) }
    }

    fn before(&self, what: &str, name: &str) {
        if (self.when)(what, name)
            && let Some(then) = self.then.lock().unwrap().take()
        {
            then();
        }
    }
}

impl Store for Meddled<'_> {
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
        self.before("get", name.as_str());
        self.inner.get_range(name, offset, out)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        self.inner.upload()
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.before("list", prefix);
        self.inner.list(prefix, each)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        self.inner.stat(name)
    }
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.inner.remove(name)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.inner.now()
    }
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put> {
        self.inner.put(name, bytes)
    }
}

/// The first packs by name, as many as are said, are listed and cannot be read.
pub(super) struct Unreadable {
    pub(super) inner: MemoryStore,
    pub(super) spare: usize,
}

impl Store for Unreadable {
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
        let packs = self.inner.names().into_iter().filter(|name| name.as_str().starts_with("packs/"));
        if packs.take(self.spare).any(|pack| pack == *name) {
            return Err(Error::store("read", name, std::io::Error::from_raw_os_error(5)));
        }
        self.inner.get_range(name, offset, out)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        self.inner.upload()
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
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.inner.now()
    }
}
