//! A store in memory, for tests: clones share their objects, the clock stands still until it is set.

use super::{Capabilities, Entry, ObjectName, Put, Store, Upload, lock, missing, too_long, too_short};
use crate::error::Result;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Objects in memory.
#[derive(Debug, Clone)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    objects: BTreeMap<ObjectName, Object>,
    now: i64,
    capabilities: Capabilities,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Arc<[u8]>,
    stored: i64,
}

impl Object {
    fn entry(&self, name: &ObjectName) -> Entry {
        Entry { name: name.clone(), len: self.bytes.len() as u64, stored: self.stored }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        let capabilities = Capabilities { exclusive_create: true, clock: true, remove: true };
        MemoryStore(Arc::new(Mutex::new(State { objects: BTreeMap::new(), now: 1_000_000_000, capabilities })))
    }
}

impl MemoryStore {
    /// An empty store that can do everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the store's clock.
    pub fn set_now(&self, sec: i64) {
        lock(&self.0).now = sec;
    }

    /// Makes the store say of itself that it can do this, and behave so where it is told not to have a clock.
    pub fn set_capabilities(&self, capabilities: Capabilities) {
        lock(&self.0).capabilities = capabilities;
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<ObjectName> {
        lock(&self.0).objects.keys().cloned().collect()
    }

    /// Changes an object's bytes behind everybody's back, as a bad disk would. False when there is no such object.
    pub fn tamper(&self, name: &ObjectName, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = lock(&self.0);
        let Some(object) = state.objects.get_mut(name) else { return false };
        let mut bytes = object.bytes.to_vec();
        change(&mut bytes);
        object.bytes = bytes.into();
        true
    }

    fn object(&self, name: &ObjectName) -> Result<Object> {
        lock(&self.0).objects.get(name).cloned().ok_or_else(|| missing(name))
    }
}

impl Store for MemoryStore {
    fn place(&self) -> String {
        "memory".into()
    }

    fn capabilities(&self) -> Capabilities {
        lock(&self.0).capabilities
    }

    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        let bytes = self.object(name)?.bytes;
        if bytes.len() as u64 > max {
            return Err(too_long(name, bytes.len() as u64, max));
        }
        Ok(bytes.to_vec())
    }

    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        let bytes = self.object(name)?.bytes;
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| Some((start, start.checked_add(out.len())?)))
            .and_then(|(start, end)| bytes.get(start..end));
        out.copy_from_slice(found.ok_or_else(|| too_short(name, bytes.len() as u64, offset, out.len()))?);
        Ok(())
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        Ok(Box::new(MemoryUpload { store: self, bytes: Vec::new() }))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        // Copied first, so that `each` may call the store.
        let found: Vec<Entry> = lock(&self.0)
            .objects
            .iter()
            .filter(|(name, _)| name.as_str().starts_with(prefix))
            .map(|(name, object)| object.entry(name))
            .collect();
        found.into_iter().try_for_each(each)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        Ok(lock(&self.0).objects.get(name).map(|object| object.entry(name)))
    }

    fn remove(&self, name: &ObjectName) -> Result<()> {
        lock(&self.0).objects.remove(name);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn now(&self) -> Result<Option<i64>> {
        let state = lock(&self.0);
        Ok(state.capabilities.clock.then_some(state.now))
    }
}

struct MemoryUpload<'s> {
    store: &'s MemoryStore,
    bytes: Vec<u8>,
}

impl Upload for MemoryUpload<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<Put> {
        let mut state = lock(&self.store.0);
        if state.objects.get(name).is_some_and(|object| !object.bytes.is_empty()) {
            return Ok(Put::Existed);
        }
        let stored = if state.capabilities.clock { state.now } else { 0 };
        state.objects.insert(name.clone(), Object { bytes: self.bytes.into(), stored });
        Ok(Put::Created)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[test]
    fn keeps_the_contract() {
        conformance::check(&MemoryStore::new()).unwrap();
    }

    #[test]
    fn keeps_the_contract_without_a_clock() {
        let store = MemoryStore::new();
        store.set_capabilities(Capabilities { exclusive_create: true, clock: false, remove: true });
        conformance::check(&store).unwrap();
    }

    #[test]
    fn clones_share_objects_and_clock() {
        let (a, name) = (MemoryStore::new(), ObjectName::new("x/y").unwrap());
        let b = a.clone();
        b.set_now(7);
        a.put(&name, b"bytes").unwrap();
        assert_eq!(b.stat(&name).unwrap().unwrap().stored, 7);
        assert!(b.tamper(&name, |bytes| bytes.truncate(2)));
        assert_eq!(a.get(&name, 9).unwrap(), b"by");
        assert_eq!(a.names(), [name]);
    }
}
