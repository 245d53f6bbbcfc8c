//! A store of which some sectors cannot be read.

use super::*;

/// These of its sectors cannot be read.
pub(super) struct Scratched {
    pub(super) inner: MemoryStore,
    pub(super) bad: BTreeSet<(ObjectName, u64)>,
}

impl Store for Scratched {
    fn place(&self) -> String {
        "scratched".into()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        let len = self.inner.stat(name)?.map_or(0, |entry| entry.len.min(max));
        let mut bytes = vec![0; len as usize];
        self.get_range(name, 0, &mut bytes).map(|()| bytes)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        let touched = offset / SECTOR as u64..(offset + out.len() as u64).div_ceil(SECTOR as u64);
        match self.bad.range((name.clone(), touched.start)..(name.clone(), touched.end)).next() {
            Some(_) => Err(Error::store("read", name, io::Error::from_raw_os_error(5))),
            None => self.inner.get_range(name, offset, out),
        }
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
    // In one step, as file systems do: the new name has the bad sectors.
    fn rename(&self, from: &ObjectName, to: &ObjectName) -> Result<Put> {
        self.inner.rename(from, to)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.inner.now()
    }
}
