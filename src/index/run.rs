//! A sorted, immutable table of blobs: fixed-width rows with a fan-out, read in place from mapped or owned bytes.
//!
//! Derived from index objects, which it names; may be deleted at any time. Sections, in order, integers little-endian:
//!
//! ```text
//! header    128   magic 8 · fan bits u64 · six counts u64 · zeros · BLAKE3 of all before 32
//! sources   32 each   the index objects that it stands for
//! packs     48 each   id 32 · length u64 · kind u64
//! keys      80 each   wrapped keys
//! bases     32 each   base blobs
//! segments  48 each   counter u64 · pack u32 · offset u32 · stored u32 · raw u32 · key u32 · first base u32 · bases u32 · codec u32 · zero u64
//! rows      44 each   blob id 32 · segment u32 · offset in the segment u32 · length u32
//! fan-out    8 each   2^bits + 1 row numbers: where ids with these leading bits begin
//! ```

use super::mapped;
use crate::{
    id::{BlobId, IndexId, PackId},
    keys::wrap::{WRAPPED_LEN, WrappedKey},
    object::Kind,
    pack::PackEntry,
    segment::Recipe,
};
use memmap2::Mmap;
use std::{
    fs::File,
    io::{self, Write},
    ops::Range,
};

const MAGIC: [u8; 8] = *b"VAULTRN1";
const HEADER_LEN: usize = 128;
const COUNTS: usize = 6;
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
}

const SOURCES: usize = 0;
const PACKS: usize = 1;
const KEYS: usize = 2;
const BASES: usize = 3;
const SEGMENTS: usize = 4;
const ROWS: usize = 5;
const WIDTHS: [usize; COUNTS] = [32, PACK_LEN, WRAPPED_LEN, BASE_LEN, SEGMENT_LEN, ROW_LEN];

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

fn id_at(bytes: &[u8], at: usize) -> Option<[u8; 32]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// About 64 rows behind each entry of the fan-out.
fn fan_bits_for(rows: usize) -> u32 {
    (rows / 64).max(1).ilog2().min(22)
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
        (fan.end == bytes.len()).then_some(Run { fan_bits, rows, sections, fan, bytes })
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

    /// The index objects that it stands for.
    pub fn sources(&self) -> impl Iterator<Item = IndexId> + '_ {
        self.section(SOURCES).as_chunks::<32>().0.iter().map(|id| IndexId(*id))
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
            Some(Row { segment: u32_at(rows, row)?, offset: u32_at(rows, row + 4)?, len: u32_at(rows, row + 8)? })
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
            bases: bases.as_chunks::<BASE_LEN>().0.iter().map(|id| BlobId(*id)).collect(),
        })
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({} blobs)", self.rows)
    }
}

/// Writes the table of some packs.
pub fn build(sources: &[IndexId], packs: &[PackEntry], out: &mut dyn Write) -> io::Result<()> {
    let (mut keys, mut bases, mut segments, mut rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut pack_rows = Vec::with_capacity(packs.len() * PACK_LEN);
    for (number, pack) in packs.iter().enumerate() {
        pack_rows.extend_from_slice(&pack.id.0);
        pack_rows.extend_from_slice(&pack.len.to_le_bytes());
        pack_rows.extend_from_slice(&u64::from(pack.kind).to_le_bytes());
        let first_key = (keys.len() / WRAPPED_LEN) as u32;
        for key in &pack.directory.keys {
            keys.extend_from_slice(&key.to_bytes());
        }
        for segment in &pack.directory.segments {
            let segment_number = (segments.len() / SEGMENT_LEN) as u32;
            let mut offset = 0u32;
            for blob in &segment.blobs {
                let mut row = [0; ROW_LEN];
                row[..32].copy_from_slice(&blob.id.0);
                row[32..36].copy_from_slice(&segment_number.to_le_bytes());
                row[36..40].copy_from_slice(&offset.to_le_bytes());
                row[40..].copy_from_slice(&blob.len.to_le_bytes());
                rows.push(row);
                // Validated: a segment's blobs add up to its length, which is bounded.
                offset += blob.len;
            }
            let first_base = (bases.len() / BASE_LEN) as u32;
            segments.extend_from_slice(&segment.counter.to_le_bytes());
            for number in [
                number as u32,
                segment.offset as u32,
                segment.stored,
                segment.raw,
                first_key + segment.key,
                first_base,
                segment.bases.len() as u32,
                u32::from(segment.codec),
                0,
                0,
            ] {
                segments.extend_from_slice(&number.to_le_bytes());
            }
            for base in &segment.bases {
                bases.extend_from_slice(&base.0);
            }
        }
    }
    rows.sort_unstable();
    let mut fan = Fan::new(rows.len());
    let source_rows: Vec<u8> = sources.iter().flat_map(|id| id.0).collect();
    let counts = [
        sources.len(),
        packs.len(),
        keys.len() / WRAPPED_LEN,
        bases.len() / BASE_LEN,
        segments.len() / SEGMENT_LEN,
        rows.len(),
    ];
    out.write_all(&header(fan.bits, counts))?;
    for section in [&source_rows, &pack_rows, &keys, &bases, &segments] {
        out.write_all(section)?;
    }
    for row in &rows {
        fan.count(row);
        out.write_all(row)?;
    }
    fan.finish(out)
}

/// Writes one table that stands for several, in one pass over each.
pub fn merge(runs: &[&Run], out: &mut dyn Write) -> io::Result<()> {
    let count = |section: usize| runs.iter().map(|run| run.sections[section].len() / WIDTHS[section]).sum();
    let counts: [usize; COUNTS] = std::array::from_fn(count);
    let mut fan = Fan::new(counts[ROWS]);
    out.write_all(&header(fan.bits, counts))?;
    for section in [SOURCES, PACKS, KEYS, BASES] {
        for run in runs {
            out.write_all(run.section(section))?;
        }
    }
    // Numbers of packs, keys, bases and segments begin where those of the runs before end.
    let (mut pack, mut key, mut base, mut segment) = (0u32, 0u32, 0u32, 0u32);
    let mut first_segments = Vec::with_capacity(runs.len());
    for run in runs {
        for entry in run.section(SEGMENTS).chunks_exact(SEGMENT_LEN) {
            let mut moved = [0; SEGMENT_LEN];
            moved.copy_from_slice(entry);
            for (at, by) in [(8, pack), (24, key), (28, base)] {
                let number = u32_at(entry, at).unwrap_or(0).wrapping_add(by);
                moved[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            out.write_all(&moved)?;
        }
        first_segments.push(segment);
        let length = |section: usize| (run.sections[section].len() / WIDTHS[section]) as u32;
        pack += length(PACKS);
        key += length(KEYS);
        base += length(BASES);
        segment += length(SEGMENTS);
    }
    let mut heads: Vec<&[u8]> = runs.iter().map(|run| run.section(ROWS)).collect();
    // Few runs are merged at once: a scan over their heads beats a heap.
    while let Some(least) = (0..heads.len()).filter(|&i| !heads[i].is_empty()).min_by_key(|&i| &heads[i][..32]) {
        let (row, rest) = heads[least].split_at(ROW_LEN.min(heads[least].len()));
        heads[least] = rest;
        let mut moved = [0; ROW_LEN];
        moved[..row.len()].copy_from_slice(row);
        let number = u32_at(&moved, 32).unwrap_or(0).wrapping_add(first_segments[least]);
        moved[32..36].copy_from_slice(&number.to_le_bytes());
        fan.count(&moved);
        out.write_all(&moved)?;
    }
    fan.finish(out)
}

fn header(fan_bits: u32, counts: [usize; COUNTS]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&u64::from(fan_bits).to_le_bytes());
    for (i, count) in counts.iter().enumerate() {
        header[16 + i * 8..24 + i * 8].copy_from_slice(&(*count as u64).to_le_bytes());
    }
    let sum = blake3::hash(&header[..96]);
    header[96..].copy_from_slice(sum.as_bytes());
    header
}

/// Counts rows by their leading bits.
struct Fan {
    bits: u32,
    counts: Vec<u64>,
}

impl Fan {
    fn new(rows: usize) -> Self {
        let bits = fan_bits_for(rows);
        Fan { bits, counts: vec![0; 1 << bits] }
    }

    fn count(&mut self, row: &[u8; ROW_LEN]) {
        self.counts[leading(row, self.bits)] += 1;
    }

    fn finish(self, out: &mut dyn Write) -> io::Result<()> {
        let mut sum = 0u64;
        out.write_all(&sum.to_le_bytes())?;
        for count in self.counts {
            sum += count;
            out.write_all(&sum.to_le_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        pack::{Directory, SegmentEntry},
        segment::BlobEntry,
    };

    pub(crate) fn blob_id(n: u32) -> BlobId {
        BlobId(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    /// A pack whose segments hold ten blobs each, the blobs numbered from `first`.
    pub(crate) fn pack(first: u32, count: u32) -> PackEntry {
        let ids: Vec<u32> = (first..first + count).collect();
        let segments = ids
            .chunks(10)
            .enumerate()
            .map(|(i, ids)| SegmentEntry {
                offset: 32 + i as u64 * 1000,
                stored: 900,
                raw: ids.len() as u32 * 100,
                codec: 1,
                key: (i % 2) as u32,
                counter: i as u64,
                bases: vec![],
                blobs: ids.iter().map(|&n| BlobEntry { id: blob_id(n), kind: 1, len: 100 }).collect(),
            })
            .collect();
        let key = |n| WrappedKey { enc: [n; 32], sealed: [n; 48] };
        let directory = Directory { keys: vec![key(first as u8), key(first as u8 + 1)], segments };
        PackEntry { id: PackId(blob_id(first + 1_000_000).0), len: 1 << 20, kind: 3, directory }
    }

    fn run(sources: &[IndexId], packs: &[PackEntry]) -> Run {
        let mut bytes = Vec::new();
        build(sources, packs, &mut bytes).unwrap();
        Run::in_memory(bytes).unwrap()
    }

    fn assert_holds(run: &Run, packs: &[PackEntry]) {
        for pack in packs {
            for segment in &pack.directory.segments {
                for (i, blob) in segment.blobs.iter().enumerate() {
                    let row = run.find(&blob.id).find(|row| run.pack_of(row.segment) == Some(pack.id)).unwrap();
                    assert_eq!((row.offset, row.len), (i as u32 * 100, 100));
                    let located = run.locate(row.segment).unwrap();
                    assert_eq!((located.pack, located.offset, located.stored), (pack.id, segment.offset, 900));
                    assert_eq!(located.key, pack.directory.keys[segment.key as usize]);
                    assert_eq!(located.recipe, segment.recipe());
                }
            }
        }
    }

    #[test]
    fn every_blob_is_found_and_no_other() {
        let packs = [pack(0, 5000), pack(5000, 95)];
        let run = run(&[IndexId([1; 32])], &packs);
        assert_eq!(run.len(), 5095);
        assert_holds(&run, &packs);
        assert!((6000..9000).all(|n| !run.contains(&blob_id(n))));
    }

    #[test]
    fn merged_tables_hold_what_their_parts_held() {
        let packs = [pack(0, 1000), pack(700, 1000), pack(3000, 7)];
        let parts = [
            run(&[IndexId([1; 32])], &packs[..1]),
            run(&[IndexId([2; 32])], &packs[1..2]),
            run(&[IndexId([3; 32])], &packs[2..]),
        ];
        let mut bytes = Vec::new();
        merge(&parts.iter().collect::<Vec<_>>(), &mut bytes).unwrap();
        let merged = Run::in_memory(bytes).unwrap();
        assert_holds(&merged, &packs);
        assert_eq!(merged.sources().collect::<Vec<_>>(), [IndexId([1; 32]), IndexId([2; 32]), IndexId([3; 32])]);
        assert_eq!(merged.find(&blob_id(800)).count(), 2);
    }

    #[test]
    fn damaged_tables_are_refused_or_answer_without_harm() {
        let mut bytes = Vec::new();
        build(&[], &[pack(0, 300)], &mut bytes).unwrap();
        assert!(Run::in_memory(bytes[..bytes.len() - 1].to_vec()).is_none());
        assert!(Run::in_memory(Vec::new()).is_none());
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0xff;
            let Some(run) = Run::in_memory(wrong) else { continue };
            for n in (0..300).step_by(50) {
                let _: Vec<_> = run.find(&blob_id(n)).filter_map(|row| run.locate(row.segment)).collect();
            }
        }
    }
}
