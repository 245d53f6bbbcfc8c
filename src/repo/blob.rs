//! Bytes of blobs, where they lie.

use super::{cache::Opened, spares::Spares};
use std::{
    ops::{Deref, Range},
    sync::Arc,
};

/// A blob's verified bytes, where they lie in their opened segment.
pub struct Blob {
    pub(super) segment: Arc<Opened>,
    pub(super) range: Range<usize>,
}

impl Deref for Blob {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.segment.bytes().get(self.range.clone()).unwrap_or_default()
    }
}

impl Blob {
    /// Takes in the one that follows in the same segment. False for any other.
    fn join(&mut self, next: &Blob) -> bool {
        let follows = Arc::ptr_eq(&self.segment, &next.segment) && self.range.end == next.range.start;
        if follows {
            self.range.end = next.range.end;
        }
        follows
    }
}

/// Bytes of blobs, one after another: what a segment leans on. Mostly they lie so in a segment of the version before, and need not
/// be copied.
pub enum Prefix {
    /// Side by side in one segment.
    InPlace(Blob),
    /// Put together.
    Copied(Vec<u8>),
}

impl Default for Prefix {
    fn default() -> Self {
        Prefix::Copied(Vec::new())
    }
}

impl Deref for Prefix {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Prefix::InPlace(blob) => blob,
            Prefix::Copied(bytes) => bytes,
        }
    }
}

impl Prefix {
    /// Adds a blob.
    pub(super) fn push(&mut self, blob: Blob, spares: &Spares) {
        match self {
            Prefix::Copied(bytes) if bytes.is_empty() => *self = Prefix::InPlace(blob),
            Prefix::Copied(bytes) => bytes.extend_from_slice(&blob),
            Prefix::InPlace(before) => {
                if !before.join(&blob) {
                    let mut bytes = spares.take();
                    bytes.clear();
                    bytes.extend_from_slice(before);
                    bytes.extend_from_slice(&blob);
                    *self = Prefix::Copied(bytes);
                }
            }
        }
    }

    /// Gives back what it took of `spares`.
    pub(super) fn give_back(self, spares: &Spares) {
        if let Prefix::Copied(bytes) = self {
            spares.give(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::PackId, repo::cache::SegmentCache};

    #[test]
    fn only_what_lies_side_by_side_is_not_copied() {
        let cache = SegmentCache::new(1 << 20);
        let segment = |n: u64| {
            let fill = || {
                let mut buffer = cache.buffer(100);
                (0..).zip(buffer.iter_mut()).for_each(|(at, byte)| *byte = at + 100 * n as u8);
                Ok(buffer)
            };
            cache.get_or_open((PackId([7; 32]), n), fill).unwrap()
        };
        let (one, other) = (segment(0), segment(1));
        let spares = Spares::new(1, 1 << 20);
        // Of which segment, from where, to where; how many of them are in place.
        let follow: [&[(&Arc<Opened>, usize, usize)]; 6] = [
            &[(&one, 10, 20), (&one, 20, 20), (&one, 20, 50)],
            &[(&one, 10, 20), (&one, 21, 30)],
            &[(&one, 10, 20), (&one, 0, 10), (&one, 10, 20)],
            &[(&one, 10, 20), (&other, 20, 30)],
            &[(&one, 10, 20), (&one, 15, 30)],
            &[(&one, 5, 5), (&other, 20, 30), (&other, 30, 40)],
        ];
        for (case, blobs) in follow.into_iter().enumerate() {
            let (mut prefix, mut expected) = (Prefix::default(), Vec::new());
            for (segment, start, end) in blobs {
                expected.extend_from_slice(&segment.bytes()[*start..*end]);
                prefix.push(Blob { segment: (*segment).clone(), range: *start..*end }, &spares);
            }
            assert_eq!(*prefix, expected[..], "{case}");
            assert_eq!(matches!(prefix, Prefix::InPlace(_)), case == 0, "{case}");
            prefix.give_back(&spares);
        }
    }
}
