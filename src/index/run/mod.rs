//! A sorted, immutable table of blobs: fixed-width rows with a fan-out, read in place from mapped or owned bytes.
//!
//! Derived from index objects, which it names; may be deleted at any time. Sections, in order, integers little-endian:
//!
//! ```text
//! header    128   magic 8 · fan bits u64 · six counts u64 · zeros · BLAKE3 of all before 32
//! sources   40 each   the index objects that it stands for: id 32 · length u64
//! packs     48 each   id 32 · length u64 · kind u64
//! keys      80 each   wrapped keys
//! bases     20 each   base blobs
//! segments  48 each   counter u64 · pack u32 · offset u32 · stored u32 · raw u32 · key u32 · first base u32 · bases u32 · codec u32 · generation u32 · zero u32
//! rows      26 each   beginning of the blob's id 16 · segment u32 · offset in the segment u24 · length u24
//! fan-out    4 each   2^bits + 1 row numbers u32: where ids with these leading bits begin
//! ```
//!
//! **The stem of an id is enough.** Two blobs whose first 16 bytes are equal do not occur by chance. Who does not know the key cannot even try;
//! who knows it needs 2^64 tries for a pair of own blobs, and 2^128 to hit another's, and gains what the same key gives without a try:
//! index objects that list blobs which no pack holds. Whoever reads a blob holds its bytes against the whole id.
//!
//! **What damage does.** The header proves itself, and the length of the file follows from it, so a table that is cut short or of
//! another version is made anew. The sections prove nothing, since reading them all would cost what the table saves: a wrong row
//! hides a blob, which is then stored again or reported missing, or leads to other bytes, which their id refuses.

mod build;
#[cfg(test)]
pub(crate) mod tests;

pub use build::{build, merge};

use super::{mapped, reliance::Reliance};
use crate::{
    id::{BLOB_ID_LEN, BlobId, IndexId, PackId},
    keys::wrap::{WRAPPED_LEN, WrappedKey},
    model::limits,
    object::Kind,
    segment::Recipe,
};
use memmap2::Mmap;
use std::{fs::File, ops::Range};

const MAGIC: [u8; 8] = *b"VAULTRN5";
const HEADER_LEN: usize = 128;
const COUNTS: usize = 6;
const SOURCE_LEN: usize = 40;
const PACK_LEN: usize = 48;
const BASE_LEN: usize = BLOB_ID_LEN;
const SEGMENT_LEN: usize = 48;
const ROW_LEN: usize = 26;
const STEM_LEN: usize = 16;
const FAN_LEN: usize = 4;
/// Bounds the memory that a fan-out takes while it is counted, to 64 MiB; enough for thousands of millions of blobs.
const FAN_BITS_MAX: u32 = 24;
/// More rows do not fit a table.
pub(crate) const ROWS_MAX: usize = u32::MAX as usize;

const _: () = assert!(limits::SEGMENT_MAX <= 1 << 24 && limits::BLOB_MAX < 1 << 24);

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

/// What a segment takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRow {
    /// Position of its pack in [`Run::packs`].
    pub pack: u32,
    /// Length in the pack, in bytes.
    pub stored: u32,
    /// Length of the plaintext, in bytes.
    pub raw: u32,
    /// True when it leans on earlier blobs.
    pub leans: bool,
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

fn u24_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<3>().map(|&[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
}

/// Where in a run to look for a blob: among which rows, at which first, and what is there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Aim {
    start: u32,
    end: u32,
    probe: u32,
    there: u128,
}

/// What ids are sorted by: the beginning, as a number.
pub(super) fn stem(id: &BlobId) -> u128 {
    let mut stem = [0; STEM_LEN];
    stem.copy_from_slice(&id.0[..STEM_LEN]);
    u128::from_be_bytes(stem)
}

fn stem_at(rows: &[u8], row: usize) -> Option<u128> {
    rows.get(row.checked_mul(ROW_LEN)?..)?.first_chunk().map(|stem| u128::from_be_bytes(*stem))
}

/// The leading `bits` of a stem.
fn leading(stem: u128, bits: u32) -> usize {
    if bits == 0 { 0 } else { (stem >> (128 - bits)) as usize }
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
        let fan_bits = u32::try_from(u64_at(header, 8)?).ok().filter(|bits| *bits <= FAN_BITS_MAX)?;
        let mut end = HEADER_LEN;
        let mut sections: [Range<usize>; COUNTS] = Default::default();
        let mut rows = 0;
        for (i, section) in sections.iter_mut().enumerate() {
            rows = usize::try_from(u64_at(header, 16 + i * 8)?).ok()?;
            let next = end.checked_add(rows.checked_mul(WIDTHS[i])?)?;
            *section = end..next;
            end = next;
        }
        let fan = end..end.checked_add(((1usize << fan_bits) + 1) * FAN_LEN)?;
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

    /// Takes over what was said of the tables that it was merged from, each given with the number of its first segment here.
    pub(super) fn go_on_from<'a>(&mut self, parts: impl Iterator<Item = (&'a Run, u32)>) {
        self.reliance = Reliance::joined(parts.map(|(run, first)| (&run.reliance, first)));
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

    /// The segments.
    pub fn segments(&self) -> impl Iterator<Item = SegmentRow> + '_ {
        self.section(SEGMENTS).chunks_exact(SEGMENT_LEN).filter_map(|segment| {
            Some(SegmentRow {
                pack: u32_at(segment, 8)?,
                stored: u32_at(segment, 16)?,
                raw: u32_at(segment, 20)?,
                leans: u32_at(segment, 40)? > 0,
            })
        })
    }

    /// Where a blob would be. Has no branch that depends on what is read, so that a processor that waits for one run's memory asks
    /// the next meanwhile.
    pub(super) fn aim(&self, stem: u128) -> Aim {
        let fan = self.bytes.get(self.fan.clone()).unwrap_or_default();
        let at = leading(stem, self.fan_bits) * FAN_LEN;
        let (start, end) = (u32_at(fan, at).unwrap_or(0), u32_at(fan, at + FAN_LEN).unwrap_or(0));
        // Ids are spread evenly, so the bits that follow tell how far into the neighbourhood to go.
        let next = (stem << self.fan_bits >> 96) as u64;
        let probe = start.wrapping_add((next.wrapping_mul(u64::from(end.wrapping_sub(start))) >> 32) as u32);
        Aim { start, end, probe, there: stem_at(self.section(ROWS), probe as usize).unwrap_or(0) }
    }

    /// The first row that is not less. Begins where the row should be and looks further from there in growing steps, which takes a
    /// cache line or two; ids that somebody made to crowd together cost no more than bisection.
    fn first_from(&self, rows: &[u8], stem: u128, aim: Aim) -> usize {
        let (mut start, mut end, mut probe) = (aim.start as usize, aim.end as usize, aim.probe as usize);
        if end > self.rows || start > end {
            return self.rows;
        }
        let (mut below, mut above, mut step) = (false, false, 1);
        let mut there = aim.there;
        while start < end {
            if there < stem {
                (start, below) = (probe + 1, true);
            } else {
                (end, above) = (probe, true);
            }
            probe = match (below, above) {
                (true, false) => (probe + step).min(end.saturating_sub(1)),
                (false, true) => probe.saturating_sub(step).max(start),
                _ => start + (end - start) / 2,
            };
            step *= 2;
            there = stem_at(rows, probe).unwrap_or(0);
        }
        start
    }

    /// All places of a blob.
    pub fn find(&self, id: &BlobId) -> impl Iterator<Item = Row> + use<'_> {
        self.find_numbered(id).map(|(_, row)| row)
    }

    /// All places of a blob, each with the number of its row.
    pub fn find_numbered(&self, id: &BlobId) -> impl Iterator<Item = (usize, Row)> + use<'_> {
        let stem = stem(id);
        self.numbered_at(stem, self.aim(stem))
    }

    /// All places of a blob, of which [`Run::aim`] was asked.
    pub(super) fn find_at(&self, stem: u128, aim: Aim) -> impl Iterator<Item = Row> + use<'_> {
        self.numbered_at(stem, aim).map(|(_, row)| row)
    }

    fn numbered_at(&self, stem: u128, aim: Aim) -> impl Iterator<Item = (usize, Row)> + use<'_> {
        let rows = self.section(ROWS);
        let from = self.first_from(rows, stem, aim);
        (from..self.rows).take_while(move |&at| stem_at(rows, at) == Some(stem)).filter_map(move |at| {
            let row = at * ROW_LEN + STEM_LEN;
            let found =
                Row { segment: u32_at(rows, row)?, offset: u24_at(rows, row + 4)?, len: u24_at(rows, row + 7)? };
            Some((at, found))
        })
    }

    /// All rows, in the order of their ids.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.section(ROWS).chunks_exact(ROW_LEN).filter_map(|row| {
            Some(Row {
                segment: u32_at(row, STEM_LEN)?,
                offset: u24_at(row, STEM_LEN + 4)?,
                len: u24_at(row, STEM_LEN + 7)?,
            })
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

    /// The pack that a segment is in, and where it begins there.
    pub fn spot(&self, segment: u32) -> Option<(PackId, u64)> {
        let (pack, offset) = self.position(segment)?;
        Some((PackId(id_at(self.section(PACKS), pack as usize * PACK_LEN)?), u64::from(offset)))
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
