//! Writes tables: from packs, or from several tables.

use super::{
    BASE_LEN, BASES, COUNTS, FAN_BITS_MAX, HEADER_LEN, KEYS, MAGIC, PACK_LEN, PACKS, ROW_LEN, ROWS, ROWS_MAX, Run,
    SEGMENT_LEN, SEGMENTS, SOURCE_LEN, SOURCES, STEM_LEN, Source, WIDTHS, leading, stem_at, u32_at,
};
use crate::{keys::wrap::WRAPPED_LEN, pack::PackEntry};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    io::{self, BufWriter, Write},
};

/// Writes the table of some packs.
pub fn build(sources: &[Source], packs: &[PackEntry], out: &mut dyn Write) -> io::Result<()> {
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
                row[..STEM_LEN].copy_from_slice(&blob.id.0[..STEM_LEN]);
                row[16..20].copy_from_slice(&segment_number.to_le_bytes());
                row[20..23].copy_from_slice(&offset.to_le_bytes()[..3]);
                row[23..].copy_from_slice(&blob.len.to_le_bytes()[..3]);
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
                u32::from(segment.generation),
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
    let mut fan = Fan::new(rows.len())?;
    let mut source_rows = Vec::with_capacity(sources.len() * SOURCE_LEN);
    for source in sources {
        source_rows.extend_from_slice(&source.id.0);
        source_rows.extend_from_slice(&source.len.to_le_bytes());
    }
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

/// Writes one table that stands for several, in one pass over each. Returns by how much the numbers of each one's segments grew.
pub fn merge(runs: &[&Run], out: &mut dyn Write) -> io::Result<Vec<u32>> {
    let count = |section: usize| runs.iter().map(|run| run.sections[section].len() / WIDTHS[section]).sum();
    let counts: [usize; COUNTS] = std::array::from_fn(count);
    let mut fan = Fan::new(counts[ROWS])?;
    let mut out = BufWriter::with_capacity(64 << 10, out);
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
    merge_rows(runs, &first_segments, &mut fan, &mut out)?;
    fan.finish(&mut out)?;
    out.flush()?;
    Ok(first_segments)
}

/// Always the least of the heads. A table that is made anew is merged of hundreds at once: hence a heap.
fn merge_rows(runs: &[&Run], first_segments: &[u32], fan: &mut Fan, out: &mut dyn Write) -> io::Result<()> {
    let mut rests: Vec<&[[u8; ROW_LEN]]> = runs.iter().map(|run| run.section(ROWS).as_chunks().0).collect();
    let head = |rest: &[[u8; ROW_LEN]]| rest.first().and_then(|row| stem_at(row, 0));
    let mut heads: BinaryHeap<Reverse<(u128, usize)>> =
        rests.iter().enumerate().filter_map(|(which, rest)| Some(Reverse((head(rest)?, which)))).collect();
    while let Some(mut least) = heads.peek_mut() {
        let Reverse((_, which)) = *least;
        if let Some((row, rest)) = rests[which].split_first() {
            let mut moved = *row;
            let number = u32_at(row, STEM_LEN).unwrap_or(0).wrapping_add(first_segments[which]);
            moved[STEM_LEN..STEM_LEN + 4].copy_from_slice(&number.to_le_bytes());
            fan.count(&moved);
            out.write_all(&moved)?;
            rests[which] = rest;
        }
        match head(rests[which]) {
            Some(next) => *least = Reverse((next, which)),
            None => drop(PeekMut::pop(least)),
        }
    }
    Ok(())
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
    counts: Vec<u32>,
}

impl Fan {
    fn new(rows: usize) -> io::Result<Self> {
        if rows > ROWS_MAX {
            return Err(io::Error::other("a table holds 4 294 967 295 blobs at most"));
        }
        let bits = fan_bits_for(rows);
        Ok(Fan { bits, counts: vec![0; 1 << bits] })
    }

    fn count(&mut self, row: &[u8; ROW_LEN]) {
        self.counts[leading(stem_at(row, 0).unwrap_or(0), self.bits)] += 1;
    }

    fn finish(self, out: &mut dyn Write) -> io::Result<()> {
        let mut sum = 0u32;
        out.write_all(&sum.to_le_bytes())?;
        for count in self.counts {
            // No more than the rows that were allowed.
            sum += count;
            out.write_all(&sum.to_le_bytes())?;
        }
        Ok(())
    }
}

/// 32 to 64 rows behind each entry of the fan-out.
fn fan_bits_for(rows: usize) -> u32 {
    (rows / 32).max(1).ilog2().min(FAN_BITS_MAX)
}
