//! Which blobs are needed: one bit for each row of the index, and one for each segment.

use crate::{
    id::{BlobId, PackId},
    index::{BlobIndex, Run},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

/// Segments that may lean on one another, one below the other, before it is taken for a trap: readers stop much earlier.
const DEPTH_MAX: usize = 32;
/// Segments that may have to be looked at to judge one, before it is taken for a trap too.
const EFFORT_MAX: usize = 100_000;

/// What becomes of a pack; the better ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(in crate::ops) enum Standing {
    /// It is there to stay.
    Kept = 1,
    /// It is there, and a mark names it.
    Marked = 2,
    /// It is there, and is about to be removed.
    Noticed = 3,
    /// It is not there.
    Absent = 4,
}

impl Standing {
    fn of(number: u8) -> Option<Standing> {
        [Standing::Kept, Standing::Marked, Standing::Noticed, Standing::Absent]
            .into_iter()
            .find(|standing| *standing as u8 == number)
    }
}

/// One bit for each of many.
pub(in crate::ops) struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(count: usize) -> Self {
        Bits((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets a bit; false when it was set before.
    fn set(&self, at: usize) -> bool {
        let bit = 1 << (at % 64);
        self.0.get(at / 64).is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }

    fn get(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (at % 64) & 1 == 1)
    }
}

/// The way from a segment down to one that it leans on.
#[derive(Default)]
struct Path {
    segments: Vec<(usize, u32)>,
    effort: usize,
}

/// What is known of one table.
struct Part {
    run: Arc<Run>,
    /// Of each pack of the table.
    packs: Vec<(PackId, u64, Standing)>,
    /// Of each segment: 0, or the [`Standing`] of the worst that it needs.
    standings: Vec<AtomicU8>,
    live_segments: Bits,
    live_rows: Bits,
    /// Of the rows, those that something other than a segment needs.
    asked_rows: Bits,
}

/// Where a blob is to be found.
#[derive(Clone, Copy)]
struct Spot {
    part: usize,
    segment: u32,
    standing: Standing,
}

/// Of several places that need nothing worse than one another: what becomes of the pack, its length, its name. The lowest is the best.
type Rank = (Standing, Reverse<u64>, PackId);

/// Liveness of all that the index lists. Shared by threads.
pub(in crate::ops) struct Live {
    parts: Vec<Part>,
    live_bytes: AtomicU64,
    live_blobs: AtomicU64,
}

/// Pages that were read, by their rows: one for each walk over snapshots that share pages.
pub(in crate::ops) struct Walked(Vec<Bits>);

/// A blob that was met.
pub(in crate::ops) struct Met {
    /// The worst of what it needs.
    pub standing: Standing,
    /// False when this walk has met it before.
    pub first: bool,
}

/// What there is of one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) struct Tally {
    /// Length of the pack in bytes.
    pub len: u64,
    /// Sum of the lengths of its segments in bytes.
    pub stored: u64,
    /// The same of those that are needed.
    pub live: u64,
    /// What becomes of it.
    pub standing: Standing,
}

impl Live {
    /// Nothing is needed yet.
    pub(in crate::ops) fn new(index: &BlobIndex, standing: &dyn Fn(&PackId, u64) -> Standing) -> Self {
        let part = |run: Arc<Run>| {
            let packs = run.packs().map(|(id, len, _)| (id, len, standing(&id, len))).collect();
            let segments = run.segment_count() as usize;
            let standings = (0..segments).map(|_| AtomicU8::new(0)).collect();
            let rows = || Bits::new(run.len());
            let (live_segments, live_rows, asked_rows) = (Bits::new(segments), rows(), rows());
            Part { run, packs, standings, live_segments, live_rows, asked_rows }
        };
        let parts = index.runs().iter().cloned().map(part).collect();
        Live { parts, live_bytes: AtomicU64::new(0), live_blobs: AtomicU64::new(0) }
    }

    /// A walk that has met nothing yet.
    pub(in crate::ops) fn walk(&self) -> Walked {
        Walked(self.parts.iter().map(|part| Bits::new(part.run.len())).collect())
    }

    /// A blob is needed, and all that it leans on. `None` when it is nowhere to be found.
    pub(in crate::ops) fn need(&self, id: &BlobId) -> Option<Standing> {
        self.meet(id, None).map(|met| met.standing)
    }

    /// The same for one that is to be read when it is met for the first time.
    pub(in crate::ops) fn need_page(&self, id: &BlobId, walked: &Walked) -> Option<Met> {
        self.meet(id, Some(walked))
    }

    fn meet(&self, id: &BlobId, walked: Option<&Walked>) -> Option<Met> {
        let mut waiting = Vec::new();
        let (standing, part, row) = self.need_blob(id, &mut waiting)?;
        self.parts.get(part)?.asked_rows.set(row);
        while let Some((at, segment)) = waiting.pop() {
            let Some(part) = self.parts.get(at) else { continue };
            if part.live_segments.set(segment as usize) {
                // Of something that leans on what is nowhere no place was chosen.
                for base in part.run.bases_of(segment) {
                    let _ = self.need_blob(&base, &mut waiting);
                }
            }
        }
        let first = walked.and_then(|walked| walked.0.get(part)).is_some_and(|bits| bits.set(row));
        Some(Met { standing, first })
    }

    /// True when the blob is needed, if only because segments that are needed lean on it.
    pub(in crate::ops) fn is_needed(&self, id: &BlobId) -> bool {
        self.first_row(id).is_some_and(|(part, row)| part.live_rows.get(row))
    }

    /// True when the blob was asked for itself.
    pub(in crate::ops) fn is_asked(&self, id: &BlobId) -> bool {
        self.first_row(id).is_some_and(|(part, row)| part.asked_rows.get(row))
    }

    /// The row that stands for a blob.
    fn first_row(&self, id: &BlobId) -> Option<(&Part, usize)> {
        self.parts.iter().find_map(|part| Some((part, part.run.find_numbered(id).next()?.0)))
    }

    /// Notes that a blob is needed, and appends the segments that are needed for it when that is news. Returns the worst of what it
    /// needs, and its first row, which stands for it.
    fn need_blob(&self, id: &BlobId, segments: &mut Vec<(usize, u32)>) -> Option<(Standing, usize, usize)> {
        let (mut first_row, mut doomed) = (None, Vec::new());
        let best = self.best(id, &mut Path::default(), &mut |at, row, len, spot| {
            first_row.get_or_insert((at, row, len));
            doomed.extend(spot.filter(|spot| spot.standing >= Standing::Marked));
        })?;
        let (at, row, len) = first_row?;
        if self.parts.get(at)?.live_rows.set(row) {
            self.live_bytes.fetch_add(u64::from(len), Ordering::Relaxed);
            self.live_blobs.fetch_add(1, Ordering::Relaxed);
            if best.standing >= Standing::Marked {
                // Several sweeps may be under way, each with packs of its own: none of them may count on a pack of another. Nor on one that
                // is marked: it may be damaged, and have been marked for it after the others were for being superfluous.
                segments.extend(doomed.iter().map(|spot| (spot.part, spot.segment)));
            } else {
                segments.push((best.part, best.segment));
            }
        }
        Some((best.standing, at, row))
    }

    /// The best place of a blob: always the same one, and for blobs that lie together in several packs the same pack, so that the
    /// others are not needed at all. `each` hears of all places: table, row, length, and where it is when all is found there.
    fn best(
        &self,
        id: &BlobId,
        above: &mut Path,
        each: &mut dyn FnMut(usize, usize, u32, Option<Spot>),
    ) -> Option<Spot> {
        let mut best: Option<(Spot, Rank)> = None;
        for (n, part) in self.parts.iter().enumerate() {
            for (number, row) in part.run.find_numbered(id) {
                let standing = self.standing_of(n, row.segment, above);
                let spot = standing.map(|standing| Spot { part: n, segment: row.segment, standing });
                each(n, number, row.len, spot);
                let Some(spot) = spot else { continue };
                let Some((pack, _, _)) = part.run.extent_of(row.segment) else { continue };
                let Some((id, len, own)) = part.packs.get(pack as usize) else { continue };
                // What it leans on may lie worse than it does: then it must not go in favour of one that a mark names for damage.
                let rank = (*own, Reverse(*len), *id);
                if best.as_ref().is_none_or(|(than, of)| (spot.standing, rank) < (than.standing, *of)) {
                    best = Some((spot, rank));
                }
            }
        }
        best.map(|(spot, _)| spot)
    }

    /// The worst of what a segment needs; `None` when something is nowhere to be found.
    fn standing_of(&self, at: usize, segment: u32, above: &mut Path) -> Option<Standing> {
        let part = self.parts.get(at)?;
        let known = part.standings.get(segment as usize)?;
        let found = match Standing::of(known.load(Ordering::Relaxed)) {
            Some(standing) => standing,
            None => {
                let (pack, _, _) = part.run.extent_of(segment)?;
                let mut worst = part.packs.get(pack as usize)?.2;
                if worst != Standing::Absent {
                    above.effort += 1;
                    let is_trap = above.segments.contains(&(at, segment)) || above.segments.len() > DEPTH_MAX;
                    if is_trap || above.effort > EFFORT_MAX {
                        return None;
                    }
                    above.segments.push((at, segment));
                    for base in part.run.bases_of(segment) {
                        let of_base = self.best(&base, above, &mut |_, _, _, _| {});
                        worst = worst.max(of_base.map_or(Standing::Absent, |spot| spot.standing));
                        if worst == Standing::Absent {
                            break;
                        }
                    }
                    above.segments.pop();
                }
                // What was looked at from somewhere deep may only seem to be nowhere.
                if worst != Standing::Absent || above.segments.is_empty() {
                    known.store(worst as u8, Ordering::Relaxed);
                }
                worst
            }
        };
        (found != Standing::Absent).then_some(found)
    }

    /// What there is of each pack that the index lists.
    pub(in crate::ops) fn tally(&self) -> BTreeMap<PackId, Tally> {
        let mut tallies = BTreeMap::new();
        for part in &self.parts {
            let mut sums = vec![(0u64, 0u64); part.packs.len()];
            for segment in 0..part.run.segment_count() {
                let Some((pack, _, stored)) = part.run.extent_of(segment) else { continue };
                let Some(sum) = sums.get_mut(pack as usize) else { continue };
                sum.0 += u64::from(stored);
                if part.live_segments.get(segment as usize) {
                    sum.1 += u64::from(stored);
                }
            }
            for ((id, len, standing), (stored, live)) in part.packs.iter().zip(sums) {
                // A pack that is listed twice: each of its segments is needed in one of the lists only.
                let tally = tallies.entry(*id).or_insert(Tally { len: *len, stored, live: 0, standing: *standing });
                tally.live = (tally.live + live).min(tally.stored);
            }
        }
        tallies
    }

    /// Calls `each` with pack and offset of every segment that is needed.
    pub(in crate::ops) fn each_live_segment(&self, each: &mut dyn FnMut(&PackId, u64)) {
        for part in &self.parts {
            for segment in 0..part.run.segment_count() {
                if part.live_segments.get(segment as usize)
                    && let Some((pack, offset, _)) = part.run.extent_of(segment)
                    && let Some((id, _, _)) = part.packs.get(pack as usize)
                {
                    each(id, u64::from(offset));
                }
            }
        }
    }

    /// Kind and number of blobs of some packs, as the index lists them.
    pub(in crate::ops) fn contents(&self, packs: &BTreeSet<PackId>) -> BTreeMap<PackId, (u8, u64)> {
        let mut contents = BTreeMap::new();
        for part in &self.parts {
            let mut counts = vec![0u64; part.packs.len()];
            for row in part.run.rows() {
                if let Some((pack, ..)) = part.run.extent_of(row.segment)
                    && let Some(count) = counts.get_mut(pack as usize)
                {
                    *count += 1;
                }
            }
            for ((id, _, kind), count) in part.run.packs().zip(counts) {
                if packs.contains(&id) {
                    contents.insert(id, (kind, count));
                }
            }
        }
        contents
    }

    /// Number of different blobs that are needed, and the sum of their lengths in plaintext.
    pub(in crate::ops) fn needed(&self) -> (u64, u64) {
        (self.live_blobs.load(Ordering::Relaxed), self.live_bytes.load(Ordering::Relaxed))
    }

    /// Sum of the lengths in plaintext of the segments that are needed.
    pub(in crate::ops) fn needed_with_neighbours(&self) -> u64 {
        let of_part = |part: &Part| {
            let raws = part.run.segments().enumerate();
            raws.filter(|(n, _)| part.live_segments.get(*n)).map(|(_, segment)| u64::from(segment.raw)).sum::<u64>()
        };
        self.parts.iter().map(of_part).sum()
    }
}
