//! Sectors of objects and sidecars, from wherever they can be had.

use crate::{
    ops::naming,
    parity::{Covered, SECTOR, Set},
    store::{ObjectName, Store},
};

/// A place to read sectors from. What cannot be had comes as zeros: the marks tell.
pub trait Sectors: Sync {
    /// Fills `out`, whole sectors, with those of an object from this one on.
    fn object(&self, covered: &Covered, first: u64, out: &mut [u8]);
    /// Fills `out`, one sector, with one of the sidecar, counted from its beginning.
    fn sidecar(&self, at: u64, out: &mut [u8]);
}

/// Those of a store, in which objects may be cut short, gone, or unreadable in places.
pub struct StoreSectors<'a> {
    store: &'a dyn Store,
    sidecar: ObjectName,
}

impl<'a> StoreSectors<'a> {
    /// For a set of this store.
    pub fn new(store: &'a dyn Store, set: &Set) -> Self {
        StoreSectors { store, sidecar: set.name.clone() }
    }

    fn fill(&self, name: &ObjectName, at: u64, out: &mut [u8]) {
        if self.store.get_range(name, at, out).is_ok() {
            return;
        }
        out.fill(0);
        if out.len() <= SECTOR {
            return;
        }
        // By halves down to the sector that fails: few, so that this costs little more than reading each once.
        let middle = (out.len() / 2).next_multiple_of(SECTOR).min(out.len() - 1);
        let (front, back) = out.split_at_mut(middle);
        self.fill(name, at, front);
        self.fill(name, at + middle as u64, back);
    }
}

impl Sectors for StoreSectors<'_> {
    fn object(&self, covered: &Covered, first: u64, out: &mut [u8]) {
        out.fill(0);
        let at = first * SECTOR as u64;
        let found = |name: &ObjectName| self.store.stat(name).ok().flatten().map(|entry| entry.len);
        // A mending that was interrupted had put it there.
        let (name, len) = match found(&covered.name) {
            Some(len) => (covered.name.clone(), len),
            None => match ObjectName::new(format!("{}{}", naming::DAMAGED, covered.name)) {
                Some(aside) => match found(&aside) {
                    Some(len) => (aside, len),
                    None => return,
                },
                None => return,
            },
        };
        let there = len.min(covered.len).saturating_sub(at).min(out.len() as u64);
        if let Some(out) = out.get_mut(..there as usize) {
            self.fill(&name, at, out);
        }
    }

    fn sidecar(&self, at: u64, out: &mut [u8]) {
        self.fill(&self.sidecar, at * SECTOR as u64, out);
    }
}
