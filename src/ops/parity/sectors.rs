//! Sectors of objects and sidecars, from wherever they can be had.

use crate::{
    parity::{self, Covered, Mark, SECTOR, Set},
    store::{ObjectName, Store},
};
use std::collections::HashMap;

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
    set: &'a Set,
    /// Each object's number in the set.
    numbers: HashMap<&'a str, usize>,
}

/// The objects in their places alone, whatever lies aside: what has to be made whole.
pub struct InPlace<'a>(pub &'a StoreSectors<'a>);

impl<'a> StoreSectors<'a> {
    /// For a set of this store.
    pub fn new(store: &'a dyn Store, set: &'a Set) -> Self {
        let objects = set.layout.table.objects.iter().enumerate();
        StoreSectors { store, set, numbers: objects.map(|(number, object)| (object.name.as_str(), number)).collect() }
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

    /// What lies at this name. False when nothing does.
    fn at(&self, name: &ObjectName, covered: &Covered, first: u64, out: &mut [u8]) -> bool {
        out.fill(0);
        let Some(entry) = self.store.stat(name).ok().flatten() else { return false };
        let at = first * SECTOR as u64;
        let there = entry.len.min(covered.len).saturating_sub(at).min(out.len() as u64);
        if let Some(out) = out.get_mut(..there as usize) {
            self.fill(name, at, out);
        }
        true
    }

    /// The marks of an object's sectors from this one on.
    fn marks(&self, covered: &Covered, first: u64) -> &[Mark] {
        let start = self.numbers.get(covered.name.as_str()).map(|number| self.set.layout.range(*number).start);
        let data = &self.set.layout.table.data;
        start.and_then(|start| data.get(start as usize + first as usize..)).unwrap_or_default()
    }
}

impl Sectors for StoreSectors<'_> {
    fn object(&self, covered: &Covered, first: u64, out: &mut [u8]) {
        self.at(&covered.name, covered, first, out);
        let marks = self.marks(covered, first);
        let is_bad = |(sector, mark): (&[u8], &Mark)| parity::mark(sector) != *mark;
        let is_whole = |out: &[u8]| !out.chunks(SECTOR).zip(marks).any(is_bad);
        if is_whole(out) {
            return;
        }
        // Versions that were put aside, each for damage of its own, or by a mending that was interrupted.
        let mut other = vec![0; out.len()];
        for name in super::waiting_name(&covered.name).into_iter().chain(super::aside_names(&covered.name)) {
            if !self.at(&name, covered, first, &mut other) {
                continue;
            }
            for ((sector, other), mark) in out.chunks_mut(SECTOR).zip(other.chunks(SECTOR)).zip(marks) {
                if is_bad((sector, mark)) && !is_bad((other, mark)) {
                    sector.copy_from_slice(other);
                }
            }
            if is_whole(out) {
                return;
            }
        }
    }

    fn sidecar(&self, at: u64, out: &mut [u8]) {
        self.fill(&self.set.name, at * SECTOR as u64, out);
    }
}

impl Sectors for InPlace<'_> {
    fn object(&self, covered: &Covered, first: u64, out: &mut [u8]) {
        self.0.at(&covered.name, covered, first, out);
    }

    fn sidecar(&self, at: u64, out: &mut [u8]) {
        self.0.sidecar(at, out);
    }
}
