//! Segments that are being filled, by one lane or by several together.

use super::room::Room;
use crate::{id::BlobId, object::Kind, segment::BlobEntry};
use std::mem;

#[cfg(all(test, feature = "interleaved"))]
use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, feature = "interleaved")))]
use std::sync::{Mutex, MutexGuard};

/// A segment is closed when it holds so many blobs: tiny files would otherwise make directories that outgrow their limits, and memory.
const BLOBS: usize = 16 << 10;
/// What shrinks to such a part is dense.
const DENSE: usize = 8;
/// Rooms that wait to be filled again.
const EMPTY: usize = 4;
/// Earlier blobs that a segment may be near to.
const NEAR_MAX: usize = 256;

/// A new blob on its way into a segment.
pub(super) struct New<'b> {
    pub room: Room,
    pub entry: BlobEntry,
    pub bytes: &'b [u8],
}

/// A segment that is being filled.
#[derive(Default)]
pub(super) struct Filling {
    pub plain: Vec<u8>,
    pub blobs: Vec<BlobEntry>,
    /// Earlier blobs that it may lean on.
    pub near: Vec<BlobId>,
}

impl Filling {
    /// True when a blob of so many bytes belongs into the next one.
    pub fn is_closed_to(&self, len: usize, target: usize) -> bool {
        !self.blobs.is_empty() && self.plain.len() + len > target
    }

    pub fn is_full(&self, target: usize) -> bool {
        self.plain.len() >= target || self.blobs.len() >= BLOBS
    }

    pub fn push(&mut self, entry: BlobEntry, bytes: &[u8]) {
        self.plain.extend_from_slice(bytes);
        self.blobs.push(entry);
    }

    /// Adds earlier blobs that it may lean on. Neighbours share them.
    pub fn lean(&mut self, near: Vec<BlobId>) {
        for id in near {
            if self.near.len() < NEAR_MAX && !self.near.ends_with(&[id]) {
                self.near.push(id);
            }
        }
    }

    /// Forgets what is in it and keeps its room.
    pub fn clear(&mut self) {
        self.plain.clear();
        self.blobs.clear();
        self.near.clear();
    }
}

/// What lanes that work on one thing fill together: so neighbours end in one segment, whoever of them hashes which. Alike data shrinks
/// further side by side, and what was read together is restored together.
pub(super) struct Common {
    kind: Kind,
    /// Plaintext of a segment of whole files, in bytes.
    target: u32,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    files: Filling,
    parts: Filling,
    /// The last segment of parts shrank to a [`DENSE`]th.
    dense: bool,
    /// Room of those that were sealed.
    empty: Vec<Filling>,
}

impl Open {
    fn filling(&mut self, room: Room) -> &mut Filling {
        if room == Room::Files { &mut self.files } else { &mut self.parts }
    }

    fn take(&mut self, room: Room) -> Filling {
        let empty = self.empty.pop().unwrap_or_default();
        mem::replace(self.filling(room), empty)
    }
}

impl Common {
    pub fn new(kind: Kind, target: u32) -> Self {
        Common { kind, target, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Lays blobs side by side into what is open, and takes out what is full then.
    pub fn lay(&self, new: &[New<'_>]) -> Vec<(Room, Filling)> {
        let (mut full, mut open) = (Vec::new(), self.lock());
        for New { room, entry, bytes } in new {
            let target = room.target(self.kind, self.target, open.dense);
            if open.filling(*room).is_closed_to(bytes.len(), target) {
                full.push((*room, open.take(*room)));
            }
            let filling = open.filling(*room);
            filling.push(*entry, bytes);
            if filling.is_full(target) {
                full.push((*room, open.take(*room)));
            }
        }
        full
    }

    /// Takes out what is open.
    pub fn rest(&self) -> Vec<(Room, Filling)> {
        let mut open = self.lock();
        [Room::Files, Room::Parts].map(|room| (room, open.take(room))).into()
    }

    /// Takes back the room of one that was sealed, into so many bytes.
    pub fn sealed(&self, room: Room, mut filling: Filling, len: Option<usize>) {
        let mut open = self.lock();
        if let (Room::Parts, Some(len)) = (room, len) {
            open.dense = len * DENSE <= filling.plain.len();
        }
        if open.empty.len() < EMPTY {
            filling.clear();
            open.empty.push(filling);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u8, len: usize) -> BlobEntry {
        BlobEntry { id: BlobId([number; crate::id::BLOB_ID_LEN]), kind: 0, len: len as u32 }
    }

    /// Blobs of so many bytes each, which are their number.
    fn row(common: &Common, room: Room, blobs: &[(u8, usize)]) -> Vec<(Room, Filling)> {
        let bytes: Vec<Vec<u8>> = blobs.iter().map(|(number, len)| vec![*number; *len]).collect();
        let new: Vec<New<'_>> = blobs
            .iter()
            .zip(&bytes)
            .map(|((number, len), bytes)| New { room, entry: entry(*number, *len), bytes })
            .collect();
        common.lay(&new)
    }

    fn numbers(filling: &Filling) -> Vec<u8> {
        let numbers: Vec<u8> = filling.blobs.iter().map(|blob| blob.id.0[0]).collect();
        let plain: Vec<u8> = filling.blobs.iter().flat_map(|blob| vec![blob.id.0[0]; blob.len as usize]).collect();
        assert_eq!(filling.plain, plain);
        numbers
    }

    #[test]
    fn rows_lie_side_by_side_and_full_segments_come_out() {
        let common = Common::new(Kind::DataPack, 100);
        assert!(row(&common, Room::Files, &[(1, 30), (2, 30)]).is_empty());
        // The fourth does not fit; the fifth fills the next to the brim, the sixth is longer than any.
        let full = row(&common, Room::Files, &[(3, 30), (4, 30), (5, 70), (6, 300)]);
        assert_eq!(
            full.iter().map(|(_, filling)| numbers(filling)).collect::<Vec<_>>(),
            [vec![1, 2, 3], vec![4, 5], vec![6]]
        );
        // Parts have a segment of their own, which is shorter.
        assert!(row(&common, Room::Files, &[(7, 60)]).is_empty());
        let full = row(&common, Room::Parts, &[(8, 50), (9, 49)]);
        assert_eq!(
            full.iter().map(|(room, filling)| (*room, numbers(filling))).collect::<Vec<_>>(),
            [(Room::Parts, vec![8])]
        );
        let rest: Vec<_> = common.rest().iter().map(|(room, filling)| (*room, numbers(filling))).collect();
        assert_eq!(rest, [(Room::Files, vec![7]), (Room::Parts, vec![9])]);
        assert!(common.rest().iter().all(|(_, filling)| filling.blobs.is_empty()));
    }

    #[test]
    fn what_was_sealed_is_filled_again_and_dense_parts_make_longer_segments() {
        let common = Common::new(Kind::DataPack, 100);
        let long = [(1, 50)];
        let mut full = row(&common, Room::Parts, &long);
        let (room, filling) = full.pop().unwrap();
        let place = filling.plain.as_ptr();
        common.sealed(room, filling, Some(6));
        assert!(row(&common, Room::Parts, &long).is_empty(), "now 100 bytes make a segment");
        let (room, filling) = row(&common, Room::Parts, &long).pop().unwrap();
        assert_eq!(numbers(&filling), [1, 1]);
        // What was taken in between is not told from what is there now, and lies where the first one lay.
        common.sealed(room, filling, Some(13));
        assert!(row(&common, Room::Files, &[(1, 10)]).is_empty());
        let rest = common.rest();
        assert!(rest.iter().chain(&common.rest()).any(|(_, filling)| filling.plain.as_ptr() == place));
        assert_eq!(row(&common, Room::Parts, &long).len(), 1, "no longer dense");
    }

    #[test]
    fn tiny_blobs_close_a_segment_by_their_number() {
        let common = Common::new(Kind::DataPack, 1 << 20);
        let full = row(&common, Room::Files, &vec![(1, 1); BLOBS + 1]);
        assert_eq!(full.iter().map(|(_, filling)| filling.blobs.len()).collect::<Vec<_>>(), [BLOBS]);
    }
}
