//! What a new segment leans on: blobs of the version before, or of one further back (`format-spec/03-packs.md`).
//!
//! Versions are counted since the last one that leans on none. Each sixth leans on that one, and those between on the last sixth:
//! to read any, two others are read. Always leaning on the version before would make a reader open every one, always on the first
//! would make each larger than the last; with 36 versions to a round of two layers, thirty nights of a dump of which 1 to 5 % of the
//! rows change each night take an eighth of what they take by themselves. (Clearing the lowest set bit, as Subversion does, stores
//! less, and takes five layers to read the worst night.)

use super::{BlobReader, blob::Prefix, cache::Spot};
use crate::{
    hash::BlobKind,
    id::BlobId,
    index::{BlobIndex, Located},
    model::limits,
    segment::CODEC_ZSTD,
};
use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

/// Versions that lean on the same one.
const ROUND: u8 = 6;
/// Plaintext to lean on, in bytes: several times a segment, and little to read.
const PREFIX_MAX: usize = 2 << 20;
/// Segments that the bases of one segment may lie in: each is opened when the segment is read.
const SEGMENTS: usize = 6;
/// Segments that may have to be opened in all, and their plaintext: well below what readers accept, who keep all of it.
const CLOSURE: usize = limits::BASE_SEGMENTS_MAX / 2;
const CLOSURE_BYTES: u64 = limits::BASE_BYTES_MAX as u64 / 2;
/// Plaintext to take on either side of the place in the version before that corresponds to a blob's, in bytes, where it lies in
/// segments that are opened anyway: the correspondence is by proportion.
const MARGIN: u64 = 64 << 10;

/// Bases of a segment to be.
pub struct Ground {
    /// Names, in order.
    pub bases: Vec<BlobId>,
    /// Their plaintext.
    pub prefix: Prefix,
    /// The generation of a segment that leans on them.
    pub generation: u8,
    /// What the compressed segments at the bottom take in the store, and their plaintext.
    bottom: (u64, u64),
}

impl Ground {
    /// What `raw` bytes may be expected to take without bases; 0 when nothing tells.
    pub fn expected(&self, raw: usize) -> usize {
        (raw as u64 * self.bottom.0 / self.bottom.1.max(1)) as usize
    }
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

    /// Takes the room of what was leaned on back.
    pub fn give_back(&self, prefix: Prefix) {
        self.reader.give_back(prefix);
    }

    /// What to lean on, given the blobs of the version before that correspond to the new ones. `None` when there is nothing, or
    /// nothing that can be read, or enough versions lean on one another.
    pub fn under(&self, wanted: &[BlobId]) -> Option<Ground> {
        let index = self.reader.index();
        let mut known = Known { index, found: HashMap::new(), segments: HashMap::new(), below: HashMap::new() };
        let mut seen = HashSet::new();
        let wanted = wanted.iter().filter(|id| seen.insert(**id));
        let found: Vec<(BlobId, Found)> = wanted.filter_map(|id| Some((*id, known.find(id)?))).collect();
        let generation = found.iter().map(|(_, found)| found.segment.generation).max()?.checked_add(1)?;
        if generation > limits::GENERATION_MAX {
            return None;
        }
        let mut layer = Layer::new(generation);
        // What corresponds exactly comes first, and brings segments in; what lies around it costs nothing then.
        for margin in [0, MARGIN] {
            for (id, found) in &found {
                known.descend(*id, found, margin, &mut layer, limits::DELTA_DEPTH_MAX);
            }
        }
        let bases = layer.in_order();
        // What cannot be read is no base; the new blobs are then stored by themselves.
        let prefix = self.reader.one_after_another(self.kind, &bases).ok()?;
        (!prefix.is_empty()).then_some(Ground { bases, prefix, generation, bottom: layer.bottom })
    }
}

/// A blob in its segment.
#[derive(Clone)]
struct Found {
    segment: Rc<Located>,
    at: Number,
    offset: u64,
    len: u64,
}

impl Found {
    fn spot(&self) -> Spot {
        (self.segment.pack, self.segment.offset)
    }
}

/// The place of a segment in the index: run and number.
type Number = (u32, u32);

/// Base blobs of one segment, found.
type Bases = Rc<Vec<(BlobId, Found)>>;

/// What was looked up for one segment: its bases share few segments, which name one another many times.
struct Known<'r> {
    index: &'r BlobIndex,
    found: HashMap<BlobId, Option<Found>>,
    segments: HashMap<Number, Rc<Located>>,
    /// The bases of a segment.
    below: HashMap<Number, Bases>,
}

impl Known<'_> {
    /// A blob that will last: not one in a pack that is gone or may go.
    fn find(&mut self, id: &BlobId) -> Option<Found> {
        if let Some(found) = self.found.get(id) {
            return found.clone();
        }
        let found = self.look_up(id);
        self.found.insert(*id, found.clone());
        found
    }

    fn look_up(&mut self, id: &BlobId) -> Option<Found> {
        let place = self.index.lasting(id)?;
        let at = (place.run, place.row.segment);
        let segment = match self.segments.get(&at) {
            Some(segment) => segment.clone(),
            None => {
                let segment = Rc::new(self.index.locate(place)?);
                self.segments.insert(at, segment.clone());
                segment
            }
        };
        Some(Found { segment, at, offset: u64::from(place.row.offset), len: u64::from(place.row.len) })
    }

    fn below(&mut self, found: &Found) -> Bases {
        if let Some(below) = self.below.get(&found.at) {
            return below.clone();
        }
        let bases = found.segment.bases.iter();
        let below = Rc::new(bases.filter_map(|id| Some((*id, self.find(id)?))).collect::<Vec<_>>());
        self.below.insert(found.at, below.clone());
        below
    }

    /// Adds a blob, or what its segment leans on around the same place when that is of a generation which the new one must not
    /// lean on.
    fn descend(&mut self, id: BlobId, found: &Found, margin: u64, layer: &mut Layer, depth: usize) {
        let segment = &found.segment;
        if layer.may_lean_on(segment.generation) || segment.bases.is_empty() || depth == 0 {
            return self.add(id, found, margin == 0, layer);
        }
        let below = self.below(found);
        let total: u64 = below.iter().map(|(_, found)| found.len).sum();
        let scale = |at: u64| at * total / u64::from(segment.recipe.raw).max(1);
        let wanted = scale(found.offset).saturating_sub(margin)..scale(found.offset + found.len) + margin;
        let mut at = 0;
        for (id, found) in below.iter() {
            if at < wanted.end && at + found.len > wanted.start {
                self.descend(*id, found, margin, layer, depth - 1);
            }
            at += found.len;
        }
    }

    /// Adds a base, unless there is no room for it or, when it is not `exact`, its segment would be one more to open.
    fn add(&mut self, id: BlobId, found: &Found, exact: bool, layer: &mut Layer) {
        let full = layer.bases.len() >= limits::BASES_COUNT_MAX || layer.len + found.len as usize > PREFIX_MAX;
        if layer.known.contains(&id) || full {
            return;
        }
        if !layer.segments.contains(&found.spot()) {
            if !exact || layer.segments.len() >= SEGMENTS {
                return;
            }
            let mut closure = Closure { seen: layer.closure.clone(), bytes: layer.closure_bytes, bottom: layer.bottom };
            if !self.close(found, 2, &mut closure) {
                return;
            }
            (layer.closure, layer.closure_bytes, layer.bottom) = (closure.seen, closure.bytes, closure.bottom);
            layer.segments.insert(found.spot());
        }
        layer.known.insert(id);
        layer.len += found.len as usize;
        layer.bases.push((found.spot(), found.offset, found.len, id));
    }

    /// Counts what must be opened to read a segment. False when it is too much.
    fn close(&mut self, found: &Found, depth: usize, closure: &mut Closure) -> bool {
        let known = closure.seen.get(&found.spot()).copied().unwrap_or(0);
        if known >= depth {
            return true;
        }
        closure.seen.insert(found.spot(), depth);
        if known == 0 {
            let (stored, raw) = (u64::from(found.segment.stored), u64::from(found.segment.recipe.raw));
            closure.bytes += raw;
            if found.segment.recipe.codec == CODEC_ZSTD {
                closure.bottom = (closure.bottom.0 + stored, closure.bottom.1 + raw);
            }
        }
        let too_much = closure.seen.len() > CLOSURE || closure.bytes > CLOSURE_BYTES;
        if too_much || depth > limits::DELTA_DEPTH_MAX {
            return false;
        }
        let below = self.below(found);
        // All of them must be there, and each segment is followed once.
        let mut spots = HashSet::new();
        below.len() == found.segment.bases.len()
            && below
                .iter()
                .filter(|(_, base)| spots.insert(base.spot()))
                .all(|(_, base)| self.close(base, depth + 1, closure))
    }
}

/// Segments below, with how deep they lie.
struct Closure {
    seen: HashMap<Spot, usize>,
    bytes: u64,
    bottom: (u64, u64),
}

/// Bases as they are gathered.
struct Layer {
    generation: u8,
    /// Each with its segment, and its place and length there.
    bases: Vec<(Spot, u64, u64, BlobId)>,
    known: HashSet<BlobId>,
    segments: HashSet<Spot>,
    len: usize,
    closure: HashMap<Spot, usize>,
    closure_bytes: u64,
    bottom: (u64, u64),
}

impl Layer {
    fn new(generation: u8) -> Self {
        Layer {
            generation,
            bases: Vec::new(),
            known: HashSet::new(),
            segments: HashSet::new(),
            len: 0,
            closure: HashMap::new(),
            closure_bytes: 0,
            bottom: (0, 0),
        }
    }

    /// True for the first of the round that this generation is in, and for 0.
    fn may_lean_on(&self, generation: u8) -> bool {
        generation < self.generation && (generation == 0 || generation == self.generation - self.generation % ROUND)
    }

    /// The bases, neighbours in a segment beside one another. Segments come in the order in which they were met, which is that of the
    /// version before.
    fn in_order(&self) -> Vec<BlobId> {
        let mut first = HashMap::new();
        for (at, (spot, ..)) in self.bases.iter().enumerate() {
            first.entry(*spot).or_insert(at);
        }
        let mut bases: Vec<_> = self.bases.iter().collect();
        bases.sort_by_key(|(spot, offset, ..)| (first.get(spot).copied(), *offset));
        bases.into_iter().map(|(.., id)| *id).collect()
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
