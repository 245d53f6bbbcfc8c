//! What is done at once: files, the stretches of them that are needed, and the reads that bring these. Plain data.

use super::{Limits, dirs::DirId, files::Item};
use crate::{
    id::BlobId,
    index::{BlobIndex, Runs},
    model::node::{Body, Content, Meta, Node},
    name::Name,
};
use std::{collections::HashSet, ops::Range};

/// A stretch of a file that is to be fetched, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Want {
    /// Run of the index, and segment in it.
    pub run: u32,
    pub segment: u32,
    /// Where the blob lies in the segment's plaintext.
    pub offset: u32,
    pub len: u32,
    pub id: BlobId,
    /// Which file, and where in it.
    pub item: u32,
    pub at: u64,
}

const _: () = assert!(size_of::<Want>() == 48);

/// What all names of one file agree in, hashed: device and inode on the source, and contents, owner, mode and time. An inode number
/// is given to another file once its own is gone, and a file may have changed between two of its names.
pub(super) type LinkKey = [u8; 32];

/// Another name of a file, to be made when the first is there.
pub(super) struct Link {
    pub dir: DirId,
    /// Nothing was in its directory.
    pub fresh: bool,
    pub key: LinkKey,
    pub node: Node,
}

/// A directory that was left.
pub(super) struct Finish {
    pub dir: DirId,
    pub meta: Meta,
}

/// Collected work.
#[derive(Default)]
pub(super) struct Window {
    pub items: Vec<Item>,
    pub wants: Vec<Want>,
    pub links: Vec<Link>,
    pub finishes: Vec<Finish>,
    /// Bytes that all but `wants` take, roughly.
    pub bytes: usize,
    /// Files under temporary names.
    pub temporary: usize,
}

impl Window {
    /// True when the window must be closed before more is collected.
    pub fn is_full(&self, limits: &Limits) -> bool {
        self.items.len() >= limits.files
            || self.wants.len() >= limits.extents
            || self.bytes >= limits.plan
            || self.temporary >= limits.temporary
    }
}

/// Bytes that metadata takes, roughly.
pub(super) fn weight_of(name: &Name, meta: &Meta) -> usize {
    let xattrs: usize = meta.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len() + 64).sum();
    320 + name.as_bytes().len() + xattrs
}

/// Bytes that a node takes, roughly.
pub(super) fn weight_of_node(node: &Node) -> usize {
    let body = match &node.body {
        Body::File { content: Content::Extents(extents), .. } => extents.len() * 48,
        Body::Symlink { target } => target.len(),
        _ => 0,
    };
    weight_of(&node.name, &node.meta) + body
}

/// A segment that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needed {
    pub run: u32,
    pub segment: u32,
    /// Number of the pack in the run; `None` when the index does not have the segment.
    pub pack: Option<u32>,
    pub offset: u64,
    pub stored: u32,
    pub raw: u32,
    /// It leans on others, or one that is needed leans on it: the reader opens it, and keeps it for those.
    pub shared: bool,
    /// The first place that it is wanted in: which file, and where in it.
    pub first: (u32, u64),
    /// Which of the wants.
    pub wants: Range<usize>,
}

/// A stretch of a pack, read at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub offset: u64,
    pub len: usize,
    /// Which of the segments.
    pub parts: Range<usize>,
    /// Bytes that it takes until it is written.
    pub cost: usize,
}

/// Sorts what is wanted and says what to read for it: each segment once, neighbours together, in the order of the packs. Those that lean
/// on one another come last, in the order of the files: there, a segment and what it leans on lie beside one another in all versions, and
/// little need be kept for each to be opened once. That order is gone through in so many `ways` at once.
pub(super) fn reads(
    wants: &mut [Want],
    runs: &Runs,
    index: &BlobIndex,
    limits: &Limits,
    ways: usize,
) -> (Vec<Needed>, Vec<Read>) {
    wants.sort_unstable();
    let mut needed: Vec<Needed> = Vec::new();
    let mut bases = Vec::new();
    let mut start = 0;
    for group in wants.chunk_by(|a, b| (a.run, a.segment) == (b.run, b.segment)) {
        let range = start..start + group.len();
        start = range.end;
        let Some(first) = group.first() else { continue };
        let found = runs.resolve(first.run, first.segment);
        let pack = found.and_then(|(run, segment)| run.position(segment)).map(|(pack, _)| pack);
        let located = found.and_then(|(run, segment)| run.locate(segment));
        let (offset, stored, raw) = located.as_ref().map_or((0, 0, 0), |l| (l.offset, l.stored, l.recipe.raw));
        let pack = pack.filter(|_| located.is_some());
        let leans = located.map(|located| located.bases).filter(|bases| !bases.is_empty());
        let shared = leans.is_some();
        bases.extend(leans.into_iter().flatten());
        let (run, segment) = (first.run, first.segment);
        let first = group.iter().map(|want| (want.item, want.at)).min().unwrap_or_default();
        needed.push(Needed { run, segment, pack, offset, stored, raw, shared, first, wants: range });
    }
    share(&mut needed, bases, runs, index);
    needed.sort_unstable_by_key(|segment| {
        let in_files = segment.shared.then_some(segment.first);
        (in_files, segment.run, segment.pack, segment.offset)
    });
    let alone = needed.partition_point(|segment| !segment.shared);
    let shared = needed.split_off(alone);
    needed.extend(side_by_side(shared, ways));
    let mut reads: Vec<Read> = Vec::new();
    for (at, segment) in needed.iter().enumerate() {
        let (end, cost) = (segment.offset + u64::from(segment.stored), segment.stored as usize + segment.raw as usize);
        if let (Some(read), Some(before)) = (reads.last_mut(), at.checked_sub(1).and_then(|before| needed.get(before)))
            && (before.run, before.pack) == (segment.run, segment.pack)
            && segment.pack.is_some()
            && !(before.shared || segment.shared)
            && segment.offset >= read.offset + read.len as u64
            && segment.offset - (read.offset + read.len as u64) <= limits.gap
            && end - read.offset <= limits.read
        {
            let len = (end - read.offset) as usize;
            read.cost = (read.cost - read.len).max(cost) + len;
            read.len = len;
            read.parts.end = at + 1;
        } else {
            let len = segment.stored as usize;
            reads.push(Read { offset: segment.offset, len, parts: at..at + 1, cost: cost + len });
        }
    }
    (needed, reads)
}

/// Parts what is in order into stretches, and takes one of each in turn: workers that were side by side in one stretch would wait for one
/// another, since what leans on the same segments needs them at the same time.
fn side_by_side<T>(all: Vec<T>, ways: usize) -> impl Iterator<Item = T> {
    let stretch = all.len().div_ceil(ways.max(1)).max(1);
    let mut all: Vec<(usize, T)> = all.into_iter().enumerate().collect();
    all.sort_by_key(|(at, _)| (at % stretch, at / stretch));
    all.into_iter().map(|(_, one)| one)
}

/// Marks the segments that these blobs lie in, and that those lean on in turn.
fn share(needed: &mut [Needed], mut bases: Vec<BlobId>, runs: &Runs, index: &BlobIndex) {
    // Neighbours lean on the same blobs.
    bases.sort_unstable();
    bases.dedup();
    let mut below = HashSet::new();
    while let Some(base) = bases.pop() {
        let Some(place) = index.place(&base) else { continue };
        if below.insert((place.run, place.row.segment)) {
            let located = runs.resolve(place.run, place.row.segment).and_then(|(run, segment)| run.locate(segment));
            bases.extend(located.into_iter().flat_map(|located| located.bases));
        }
    }
    for segment in needed {
        segment.shared |= below.contains(&(segment.run, segment.segment));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_gone_through_side_by_side() {
        let dealt = |count: usize, ways| side_by_side((0..count).collect(), ways).collect::<Vec<_>>();
        assert_eq!(dealt(7, 1), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(dealt(7, 2), [0, 4, 1, 5, 2, 6, 3]);
        assert_eq!(dealt(6, 3), [0, 2, 4, 1, 3, 5]);
        assert_eq!((dealt(2, 4), dealt(0, 4), dealt(3, 0)), (vec![0, 1], vec![], vec![0, 1, 2]));
    }
}
