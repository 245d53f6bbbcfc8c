//! The version before of one file, laid beside the new one as it is cut: says which old blobs a new one is probably like.
//!
//! Blobs end where the contents say so, and each extent keeps a fingerprint of the bytes before such an end. Where the new version
//! meets the same fingerprint it stands at the same place, however much was inserted or changed before it.

use crate::{
    id::BlobId,
    model::{
        node::{Content, Extent},
        paging::{ExtentLeaves, PageSource},
    },
};
use std::collections::{HashMap, VecDeque};

/// Old blobs that are looked at ahead of the expected place, and kept behind it: about 1 GiB of contents at the default sizes.
const REACH: u64 = 8192;
/// Old blobs that one new blob may be like.
const NEAR_MAX: u64 = 16;
/// New blobs in a row whose place is not known that are still taken to be like what follows the last known one.
const LOST_MAX: usize = 8;
/// Old blobs on either side of the place by proportion that a lost blob in a long stretch is taken to be like.
const LOST_AROUND: u64 = 4;
/// Marks a fingerprint that occurs more than once.
const AMBIGUOUS: u64 = u64::MAX;

#[derive(Clone, Copy)]
struct Old {
    id: BlobId,
    len: u32,
    edge: u32,
}

/// An old version.
pub struct Previous<'a> {
    short: std::vec::IntoIter<Extent>,
    leaves: Option<ExtentLeaves<'a>>,
    window: VecDeque<Old>,
    /// Number of the window's first blob.
    first: u64,
    by_edge: HashMap<u32, u64>,
    /// Number of the old blob that follows the last one that was met again.
    next: u64,
    /// Something of it was met at all: else it may be another thing altogether.
    met: bool,
}

impl<'a> Previous<'a> {
    /// A version of `size` bytes.
    pub fn new(pages: &'a dyn PageSource, content: Content, size: u64) -> Self {
        let (short, leaves) = match content {
            Content::Extents(extents) => (extents, None),
            Content::Paged(root) => (Vec::new(), Some(ExtentLeaves::new(pages, root, size))),
        };
        Previous {
            short: short.into_iter(),
            leaves,
            window: VecDeque::new(),
            first: 0,
            by_edge: HashMap::new(),
            next: 0,
            met: false,
        }
    }

    /// Brings the window to the expected place. What cannot be read ends the old version.
    fn slide(&mut self) {
        while self.first + REACH < self.next
            && let Some(old) = self.window.pop_front()
        {
            if self.by_edge.get(&old.edge).is_some_and(|&number| number == self.first || number == AMBIGUOUS) {
                self.by_edge.remove(&old.edge);
            }
            self.first += 1;
        }
        while self.first + (self.window.len() as u64) < self.next + REACH {
            let Some(extent) = self.short.next() else {
                match self.leaves.as_mut().and_then(|leaves| leaves.next_leaf().ok().flatten()) {
                    Some(extents) => self.short = extents.into_iter(),
                    None => return,
                }
                continue;
            };
            if let Extent::Data { id, len, edge } = extent {
                let number = self.first + self.window.len() as u64;
                self.window.push_back(Old { id, len, edge });
                if edge != 0 {
                    self.by_edge.entry(edge).and_modify(|number| *number = AMBIGUOUS).or_insert(number);
                }
            }
        }
    }

    fn old(&self, number: u64) -> Option<&Old> {
        self.window.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The number of the old blob that ends where a new one of this length and edge does.
    fn meet(&mut self, len: u32, edge: u32) -> Option<u64> {
        self.slide();
        // In step with the old version even a fingerprint that occurs often says enough.
        let in_step = self.old(self.next).is_some_and(|old| old.edge == edge && (edge != 0 || old.len == len));
        let met = if in_step {
            Some(self.next)
        } else {
            self.by_edge.get(&edge).copied().filter(|&number| number != AMBIGUOUS && self.old(number).is_some())
        };
        if let Some(number) = met {
            self.next = number + 1;
        }
        met
    }

    /// For new blobs that follow one another, given by length and edge, the old blobs that each is probably like.
    pub fn near(&mut self, blobs: &[(u32, u32)]) -> Vec<Vec<BlobId>> {
        let mut near = vec![Vec::new(); blobs.len()];
        let mut lost = 0;
        for (at, &(len, edge)) in blobs.iter().enumerate() {
            let begin = self.next;
            let Some(met) = self.meet(len, edge) else {
                lost += 1;
                continue;
            };
            // The stretch ends with the blob that was met; it begins where the last one that was met ended. Those that were lost in
            // between share it by proportion.
            let old = if met >= begin { begin..met + 1 } else { met..met + 1 };
            let (count, new) = (old.end - old.start, lost as u64 + 1);
            // In a short stretch all are likely; in a long one those around the same place.
            let around = if count <= NEAR_MAX { NEAR_MAX } else { LOST_AROUND };
            for (n, near) in near[at - lost..=at].iter_mut().enumerate() {
                let from = old.start + (n as u64 * count / new).saturating_sub(around);
                let to = (old.start + ((n as u64 + 1) * count).div_ceil(new) + around).min(old.end);
                *near = self.ids(from.max(to.saturating_sub(NEAR_MAX))..to);
            }
            self.met = true;
            lost = 0;
        }
        if self.met && (1..=LOST_MAX).contains(&lost) {
            let ids = self.ids(self.next..self.next + (lost as u64 + 1).min(NEAR_MAX));
            let from = near.len() - lost;
            near[from..].fill(ids);
        }
        near
    }

    fn ids(&self, range: std::ops::Range<u64>) -> Vec<BlobId> {
        range.filter_map(|number| self.old(number)).map(|old| old.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Result, hash::BlobKind};

    struct NoPages;

    impl PageSource for NoPages {
        fn page(&self, _: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
            Err(crate::error::Error::Missing { object: id.to_string() })
        }
    }

    fn id(n: u8) -> BlobId {
        BlobId([n; crate::id::BLOB_ID_LEN])
    }

    fn previous(edges: &[u32]) -> Previous<'static> {
        let extents = edges.iter().enumerate().map(|(n, &edge)| Extent::Data { id: id(n as u8), len: 10, edge });
        Previous::new(&NoPages, Content::Extents(extents.collect()), 10 * edges.len() as u64)
    }

    #[test]
    fn versions_are_laid_side_by_side() {
        // In step; one end changed; two old blobs became one; an insertion; a deletion; the end.
        let mut old = previous(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
        let near = old.near(&[(10, 1), (12, 77), (10, 3), (20, 5), (10, 91), (10, 92), (10, 6), (10, 9), (10, 0)]);
        let expected: [&[u8]; 9] = [&[0], &[1, 2], &[1, 2], &[3, 4], &[5], &[5], &[5], &[6, 7, 8], &[9]];
        for (got, expected) in near.iter().zip(expected) {
            assert_eq!(got, &expected.iter().map(|&n| id(n)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_place_is_found_again_after_a_jump_back() {
        let mut old = previous(&[1, 2, 3, 4]);
        assert_eq!(old.near(&[(10, 3)]), [vec![id(0), id(1), id(2)]]);
        assert_eq!(old.near(&[(10, 1), (10, 2)]), [vec![id(0)], vec![id(1)]]);
    }

    #[test]
    fn what_repeats_is_met_only_in_step() {
        let mut old = previous(&[5, 5, 5, 6]);
        assert_eq!(old.near(&[(10, 5), (10, 5)]), [vec![id(0)], vec![id(1)]]);
        assert_eq!(old.near(&[(10, 6), (10, 5)]).last(), Some(&Vec::new()));
    }
}
