//! A sorted, immutable table of blobs: fixed-width rows with a fan-out, read in place from mapped or owned bytes.
//!
//! Derived from index objects, which it names; may be deleted at any time. Sections, in order, integers little-endian:
//!
//! ```text
//! header    128   magic 8 · fan bits u64 · six counts u64 · zeros · BLAKE3 of all before 32
//! sources   40 each   the index objects that it stands for: id 32 · length u64
//! packs     48 each   id 32 · length u64 · kind u64
//! keys      80 each   wrapped keys
//! bases     32 each   base blobs
//! segments  48 each   counter u64 · pack u32 · offset u32 · stored u32 · raw u32 · key u32 · first base u32 · bases u32 · codec u32 · generation u32 · zero u32
//! rows      44 each   blob id 32 · segment u32 · offset in the segment u32 · length u32
//! fan-out    8 each   2^bits + 1 row numbers: where ids with these leading bits begin
//! ```

mod build;
#[cfg(test)]
pub(crate) mod tests;

pub use build::{build, merge};

use super::{mapped, reliance::Reliance};
use crate::{
    id::{BlobId, IndexId, PackId},
    keys::wrap::{WRAPPED_LEN, WrappedKey},
    object::Kind,
    segment::Recipe,
};
use memmap2::Mmap;
use std::{fs::File, ops::Range};

const MAGIC: [u8; 8] = *b"VAULTRN3";
const HEADER_LEN: usize = 128;
const COUNTS: usize = 6;
const SOURCE_LEN: usize = 40;
const PACK_LEN: usize = 48;
const BASE_LEN: usize = 32;
const SEGMENT_LEN: usize = 48;
const ROW_LEN: usize = 44;

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// An index object as the store lists it. One that was cut short keeps its name, but not its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// Its name.
    pub id: IndexId,
    /// Its length in bytes.
    pub len: u64,
}

/// Where a blob lies: a row of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Number of the segment in the run.
    pub segment: u32,
    /// Offset in the segment's plaintext.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

/// A segment with all that is needed to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The pack that holds it.
    pub pack: PackId,
    /// The pack's kind.
    pub kind: Kind,
    /// Offset in the pack.
    pub offset: u64,
    /// Length in the pack.
    pub stored: u32,
    /// How to open it.
    pub recipe: Recipe,
    /// Its key, wrapped.
    pub key: WrappedKey,
    /// How many versions it is away from one that leans on none.
    pub generation: u8,
    /// Its base blobs.
    pub bases: Vec<BlobId>,
}

/// A table of blobs.
pub struct Run {
    bytes: Bytes,
    fan_bits: u32,
    rows: usize,
    sections: [Range<usize>; COUNTS],
    fan: Range<usize>,
    /// What this process counts on.
    reliance: Reliance,
}

const SOURCES: usize = 0;
const PACKS: usize = 1;
const KEYS: usize = 2;
const BASES: usize = 3;
const SEGMENTS: usize = 4;
const ROWS: usize = 5;
const WIDTHS: [usize; COUNTS] = [SOURCE_LEN, PACK_LEN, WRAPPED_LEN, BASE_LEN, SEGMENT_LEN, ROW_LEN];

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

fn id_at(bytes: &[u8], at: usize) -> Option<[u8; 32]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The leading `bits` of an id as a number.
fn leading(id: &[u8], bits: u32) -> usize {
    let Some(first) = id.first_chunk::<8>() else { return 0 };
    if bits == 0 { 0 } else { (u64::from_be_bytes(*first) >> (64 - bits)) as usize }
}

impl Run {
    /// Opens a table's file; `None` when it is not a whole table of this version.
    pub fn open(file: &File) -> Option<Run> {
        Run::over(Bytes::Mapped(mapped::map(file).ok()?))
    }

    /// Makes a table in memory.
    pub fn in_memory(bytes: Vec<u8>) -> Option<Run> {
        Run::over(Bytes::Owned(bytes))
    }

    fn over(bytes: Bytes) -> Option<Run> {
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let whole = header[..8] == MAGIC && blake3::hash(&header[..96]).as_bytes()[..] == header[96..];
        if !whole {
            return None;
        }
        let fan_bits = u32::try_from(u64_at(header, 8)?).ok().filter(|bits| *bits <= 22)?;
        let mut end = HEADER_LEN;
        let mut sections: [Range<usize>; COUNTS] = Default::default();
        let mut rows = 0;
        for (i, section) in sections.iter_mut().enumerate() {
            rows = usize::try_from(u64_at(header, 16 + i * 8)?).ok()?;
            let next = end.checked_add(rows.checked_mul(WIDTHS[i])?)?;
            *section = end..next;
            end = next;
        }
        let fan = end..end.checked_add(((1usize << fan_bits) + 1) * 8)?;
        if fan.end != bytes.len() {
            return None;
        }
        let reliance = Reliance::new(sections[SEGMENTS].len() / SEGMENT_LEN);
        Some(Run { fan_bits, rows, sections, fan, bytes, reliance })
    }

    /// What this process counts on of it.
    pub(super) fn reliance(&self) -> &Reliance {
        &self.reliance
    }

    /// Takes over what was said of the tables that it was merged from, in their order.
    pub(super) fn go_on_from(&mut self, parts: &[&Run]) {
        self.reliance = Reliance::joined(parts.iter().map(|run| (&run.reliance, run.segment_count())));
    }

    /// Number of segments.
    pub fn segment_count(&self) -> u32 {
        (self.sections[SEGMENTS].len() / SEGMENT_LEN) as u32
    }

    fn section(&self, which: usize) -> &[u8] {
        self.bytes.get(self.sections[which].clone()).unwrap_or_default()
    }

    /// Number of blobs, counting one that lies in two places twice.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True without blobs.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The index objects that it stands for, with their lengths.
    pub fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        self.section(SOURCES)
            .chunks_exact(SOURCE_LEN)
            .filter_map(|source| Some(Source { id: IndexId(id_at(source, 0)?), len: u64_at(source, 32)? }))
    }

    /// The packs, with their lengths and kinds as numbers.
    pub fn packs(&self) -> impl Iterator<Item = (PackId, u64, u8)> + '_ {
        self.section(PACKS)
            .chunks_exact(PACK_LEN)
            .filter_map(|pack| Some((PackId(id_at(pack, 0)?), u64_at(pack, 32)?, u64_at(pack, 40)? as u8)))
    }

    /// The segments, each with the position of its pack in [`Run::packs`] and the length of its plaintext.
    pub fn segments(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.section(SEGMENTS)
            .chunks_exact(SEGMENT_LEN)
            .filter_map(|segment| Some((u32_at(segment, 8)?, u32_at(segment, 20)?)))
    }

    /// Number of the row at or after which `id` would stand, and the end of its neighbourhood.
    fn neighbourhood(&self, id: &BlobId) -> Option<Range<usize>> {
        let fan = self.bytes.get(self.fan.clone())?;
        let at = leading(&id.0, self.fan_bits);
        let start = u64_at(fan, at * 8)? as usize;
        let end = u64_at(fan, at * 8 + 8)? as usize;
        (start <= end && end <= self.rows).then_some(start..end)
    }

    fn row_id<'a>(&self, rows: &'a [u8], at: usize) -> Option<&'a [u8]> {
        rows.get(at * ROW_LEN..at * ROW_LEN + 32)
    }

    /// All places of a blob.
    pub fn find<'a>(&'a self, id: &'a BlobId) -> impl Iterator<Item = Row> + 'a {
        self.find_numbered(id).map(|(_, row)| row)
    }

    /// All places of a blob, each with the number of its row.
    pub fn find_numbered<'a>(&'a self, id: &'a BlobId) -> impl Iterator<Item = (usize, Row)> + 'a {
        let rows = self.section(ROWS);
        let mut range = self.neighbourhood(id).unwrap_or(0..0);
        while range.start < range.end {
            let middle = range.start + (range.end - range.start) / 2;
            if self.row_id(rows, middle).is_some_and(|other| other < &id.0[..]) {
                range.start = middle + 1;
            } else {
                range.end = middle;
            }
        }
        (range.start..self.rows).take_while(move |&at| self.row_id(rows, at) == Some(&id.0[..])).filter_map(move |at| {
            let row = at * ROW_LEN + 32;
            let found =
                Row { segment: u32_at(rows, row)?, offset: u32_at(rows, row + 4)?, len: u32_at(rows, row + 8)? };
            Some((at, found))
        })
    }

    /// True when the blob is listed.
    pub fn contains(&self, id: &BlobId) -> bool {
        self.find(id).next().is_some()
    }

    /// The pack of a segment.
    pub fn pack_of(&self, segment: u32) -> Option<PackId> {
        let at = segment as usize * SEGMENT_LEN;
        let pack = u32_at(self.section(SEGMENTS), at + 8)? as usize;
        id_at(self.section(PACKS), pack * PACK_LEN).map(PackId)
    }

    /// Number of the pack, offset in it and length in it of a segment.
    pub fn extent_of(&self, segment: u32) -> Option<(u32, u32, u32)> {
        let at = segment as usize * SEGMENT_LEN;
        let segments = self.section(SEGMENTS);
        Some((u32_at(segments, at + 8)?, u32_at(segments, at + 12)?, u32_at(segments, at + 16)?))
    }

    /// The base blobs of a segment.
    pub fn bases_of(&self, segment: u32) -> impl Iterator<Item = BlobId> + '_ {
        let at = segment as usize * SEGMENT_LEN;
        let segments = self.section(SEGMENTS);
        let range = u32_at(segments, at + 28).zip(u32_at(segments, at + 32));
        let bases = range.and_then(|(first, count)| {
            self.section(BASES).get(first as usize * BASE_LEN..)?.get(..count as usize * BASE_LEN)
        });
        bases.unwrap_or_default().as_chunks::<BASE_LEN>().0.iter().map(|id| BlobId(*id))
    }

    /// Pack number and offset of a segment: sorts segments in the order in which a pack is read.
    pub fn position(&self, segment: u32) -> Option<(u32, u32)> {
        let at = segment as usize * SEGMENT_LEN;
        let segments = self.section(SEGMENTS);
        Some((u32_at(segments, at + 8)?, u32_at(segments, at + 12)?))
    }

    /// A segment with all that is needed to read it.
    pub fn locate(&self, segment: u32) -> Option<Located> {
        let entry = self.section(SEGMENTS).get(segment as usize * SEGMENT_LEN..)?.get(..SEGMENT_LEN)?;
        let pack = self.section(PACKS).get(u32_at(entry, 8)? as usize * PACK_LEN..)?.get(..PACK_LEN)?;
        let key = self.section(KEYS).get(u32_at(entry, 24)? as usize * WRAPPED_LEN..)?.first_chunk()?;
        let first = u32_at(entry, 28)? as usize;
        let bases = self.section(BASES).get(first * BASE_LEN..)?.get(..u32_at(entry, 32)? as usize * BASE_LEN)?;
        Some(Located {
            pack: PackId(id_at(pack, 0)?),
            kind: Kind::of_pack(u64_at(pack, 40)? as u8)?,
            offset: u64::from(u32_at(entry, 12)?),
            stored: u32_at(entry, 16)?,
            recipe: Recipe { counter: u64_at(entry, 0)?, raw: u32_at(entry, 20)?, codec: u32_at(entry, 36)? as u8 },
            key: WrappedKey::from_bytes(key),
            generation: u32_at(entry, 40)? as u8,
            bases: bases.as_chunks::<BASE_LEN>().0.iter().map(|id| BlobId(*id)).collect(),
        })
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({} blobs)", self.rows)
    }
}
