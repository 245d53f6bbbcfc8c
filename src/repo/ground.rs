//! What a new segment leans on: blobs of the version before, or of one further back (`format-spec/03-packs.md`).
//!
//! Versions are counted since the last one that leans on none. Each sixth leans on that one, and those between on the last sixth:
//! to read any, two others are read. Always leaning on the version before would make a reader open every one, always on the first
//! would make each larger than the last; with 36 versions to a round of two layers, a dump of which 3 % of the rows change from
//! night to night takes a fifth of what its nights take by themselves. (Clearing the lowest set bit, as Subversion does, stores
//! a third less, and takes five layers to read the worst night: four times as long as the first.)

use super::{BlobReader, cache::Spot};
use crate::{hash::BlobKind, id::BlobId, index::Located, model::limits};
use std::collections::{HashMap, HashSet};

/// Versions that lean on the same one.
const ROUND: u8 = 6;
/// Plaintext to lean on, in bytes: several times a segment, and little to read.
const PREFIX_MAX: usize = 4 << 20;
/// Segments that the bases of one segment may lie in: each is opened when the segment is read.
const SEGMENTS: usize = 12;
/// Segments that may have to be opened in all, and their plaintext: well below what readers accept, who keep all of it.
const CLOSURE: usize = limits::BASE_SEGMENTS_MAX / 2;
const CLOSURE_BYTES: usize = limits::BASE_BYTES_MAX / 2;
/// Plaintext to take on either side of the place in the version before that corresponds to a blob's, in bytes: the correspondence
/// is by proportion.
const MARGIN: u64 = 128 << 10;

/// Bases of a segment to be.
pub struct Ground {
    /// Names, in order.
    pub bases: Vec<BlobId>,
    /// Their plaintext.
    pub prefix: Vec<u8>,
    /// The generation of a segment that leans on them.
    pub generation: u8,
    /// What the segments at the bottom take in the store for each 1024 bytes of plaintext: what a segment that leans on none
    /// may be expected to take.
    plain_ratio: u64,
}

impl Ground {
    /// What `raw` bytes may be expected to take without bases.
    pub fn expected(&self, raw: usize) -> usize {
        (raw as u64 * self.plain_ratio / 1024) as usize
    }
}

fn spot(located: &Located) -> Spot {
    (located.pack, located.offset)
}

/// A blob in its segment.
struct Found {
    segment: Located,
    offset: u64,
    len: u64,
}

/// Finds bases.
pub struct Grounds<'r> {
    reader: &'r BlobReader<'r>,
    kind: BlobKind,
}

impl<'r> Grounds<'r> {
    /// Bases of this kind.
    pub fn new(reader: &'r BlobReader<'r>, kind: BlobKind) -> Self {
        Grounds { reader, kind }
    }

    /// A blob that will last: not one in a pack that is gone or may go.
    fn find(&self, id: &BlobId) -> Option<Found> {
        let place = self.reader.index().lasting(id)?;
        let segment = self.reader.index().locate(place)?;
        Some(Found { segment, offset: u64::from(place.row.offset), len: u64::from(place.row.len) })
    }

    /// What to lean on, given the blobs of the version before that correspond to the new ones. `None` when there is nothing, or
    /// nothing that can be read, or enough versions lean on one another.
    pub fn under(&self, wanted: &[BlobId]) -> Option<Ground> {
        let found: Vec<(BlobId, Found)> = wanted.iter().filter_map(|id| Some((*id, self.find(id)?))).collect();
        let generation = found.iter().map(|(_, found)| found.segment.generation).max()?.checked_add(1)?;
        if generation > limits::GENERATION_MAX {
            return None;
        }
        let mut layer = Layer::new(generation);
        for (id, found) in &found {
            if !self.descend(*id, found, &mut layer, limits::DELTA_DEPTH_MAX) {
                break;
            }
        }
        let mut closure = Closure::default();
        for id in &layer.bases {
            self.close(id, 2, &mut closure)?;
        }
        let mut prefix = Vec::with_capacity(layer.len);
        for id in &layer.bases {
            // What cannot be read is no base; the new blobs are then stored by themselves.
            self.reader.append_blob(self.kind, id, &mut prefix).ok()?;
        }
        let plain_ratio = closure.bottom_stored * 1024 / closure.bottom_raw.max(1);
        (!prefix.is_empty()).then_some(Ground { bases: layer.bases, prefix, generation, plain_ratio })
    }

    /// Adds a blob, or what its segment leans on around the same place when that is of a generation which the new one must not
    /// lean on. False when there is no more room.
    fn descend(&self, id: BlobId, found: &Found, layer: &mut Layer, depth: usize) -> bool {
        let segment = &found.segment;
        if layer.may_lean_on(segment.generation) || segment.bases.is_empty() || depth == 0 {
            return layer.add(id, found);
        }
        let below: Vec<(BlobId, Found)> = segment.bases.iter().filter_map(|id| Some((*id, self.find(id)?))).collect();
        let total: u64 = below.iter().map(|(_, found)| found.len).sum();
        let scale = |at: u64| at * total / u64::from(segment.recipe.raw).max(1);
        let wanted = scale(found.offset).saturating_sub(MARGIN)..scale(found.offset + found.len) + MARGIN;
        let mut at = 0;
        for (id, found) in &below {
            if at < wanted.end && at + found.len > wanted.start && !self.descend(*id, found, layer, depth - 1) {
                return false;
            }
            at += found.len;
        }
        true
    }

    /// Counts what must be opened to read a blob. `None` when it is too much.
    fn close(&self, id: &BlobId, depth: usize, closure: &mut Closure) -> Option<()> {
        let found = self.find(id)?.segment;
        let known = closure.seen.get(&spot(&found)).copied().unwrap_or(0);
        if known >= depth {
            return Some(());
        }
        closure.seen.insert(spot(&found), depth);
        if known == 0 {
            closure.bytes += found.recipe.raw as usize;
        }
        let too_much = closure.seen.len() > CLOSURE || closure.bytes > CLOSURE_BYTES;
        if too_much || depth > limits::DELTA_DEPTH_MAX {
            return None;
        }
        if known == 0 && found.bases.is_empty() {
            closure.bottom_stored += u64::from(found.stored);
            closure.bottom_raw += u64::from(found.recipe.raw);
        }
        found.bases.iter().try_for_each(|base| self.close(base, depth + 1, closure))
    }
}

/// Segments below, with how deep they lie.
#[derive(Default)]
struct Closure {
    seen: HashMap<Spot, usize>,
    bytes: usize,
    bottom_stored: u64,
    bottom_raw: u64,
}

/// Bases as they are gathered.
struct Layer {
    generation: u8,
    bases: Vec<BlobId>,
    known: HashSet<BlobId>,
    segments: HashSet<Spot>,
    len: usize,
}

impl Layer {
    fn new(generation: u8) -> Self {
        Layer { generation, bases: Vec::new(), known: HashSet::new(), segments: HashSet::new(), len: 0 }
    }

    /// True for the first of the round that this generation is in, and for 0.
    fn may_lean_on(&self, generation: u8) -> bool {
        generation < self.generation && (generation == 0 || generation == self.generation - self.generation % ROUND)
    }

    /// False when there is no room for it.
    fn add(&mut self, id: BlobId, found: &Found) -> bool {
        if self.known.contains(&id) {
            return true;
        }
        let is_new_segment = !self.segments.contains(&spot(&found.segment));
        let too_many = self.bases.len() >= limits::BASES_COUNT_MAX || is_new_segment && self.segments.len() >= SEGMENTS;
        if too_many || self.len + found.len as usize > PREFIX_MAX {
            return false;
        }
        self.segments.insert(spot(&found.segment));
        self.known.insert(id);
        self.bases.push(id);
        self.len += found.len as usize;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_layers_lie_below_any_version() {
        for generation in 1..=limits::GENERATION_MAX {
            let mut layers = 0;
            let mut at = generation;
            while at > 0 {
                let layer = Layer::new(at);
                // The nearest that it may lean on.
                at = (0..at).rev().find(|&below| layer.may_lean_on(below)).unwrap();
                layers += 1;
            }
            assert!(layers <= 2, "{generation}: {layers}");
        }
        let layer = Layer::new(20);
        assert_eq!((0..=255).filter(|&below| layer.may_lean_on(below)).collect::<Vec<_>>(), [0, 18]);
    }
}
