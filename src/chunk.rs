//! Content-defined cutting with a keyed table. Parameters and vectors: `format-spec/03-packs.md`.

use crate::model::config::ChunkerConfig;
use fastcdc::v2020::{Normalization, cut_gear, select_masks};
use std::fmt;

/// Length of the secret table in bytes: 256 little-endian u64.
pub const TABLE_LEN: usize = 2048;

/// Cuts stretches of bytes into blobs.
///
/// The crate's own `seed` is no secret: it XORs one u64 into a public table, which a few lengths of chunks of a known file give
/// away. All 256 entries are keyed instead, which costs nothing at run time.
#[derive(Clone)]
pub struct Chunker {
    min: usize,
    average: usize,
    max: usize,
    masks: [u64; 4],
    gear: Box<[u64; 256]>,
    gear_shifted: Box<[u64; 256]>,
}

impl Chunker {
    /// Makes a chunker from sizes that [`crate::model::config::Config::validate`] has passed, and the secret table.
    pub fn new(config: &ChunkerConfig, table: &[u8; TABLE_LEN]) -> Self {
        let mut gear = Box::new([0; 256]);
        for (entry, bytes) in gear.iter_mut().zip(table.as_chunks::<8>().0) {
            *entry = u64::from_le_bytes(*bytes);
        }
        let gear_shifted = Box::new(std::array::from_fn(|i| gear[i] << 1));
        let (short, long) = select_masks(config.average as usize, Normalization::Level1);
        Chunker {
            min: config.min as usize,
            average: config.average as usize,
            max: config.max as usize,
            masks: [short, long, short << 1, long << 1],
            gear,
            gear_shifted,
        }
    }

    /// Longest blob in bytes: a caller that holds so many bytes, or all that are left, can cut.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Stretches of so many bytes or fewer are one blob.
    pub fn min(&self) -> usize {
        self.min
    }

    /// Length of the first blob of `bytes`, which hold at least [`Chunker::max`] bytes or all that are left of the stretch.
    pub fn cut(&self, bytes: &[u8]) -> usize {
        let [short, long, short_shifted, long_shifted] = self.masks;
        let (_, len) = cut_gear(
            bytes,
            self.min,
            self.average,
            self.max,
            short,
            long,
            short_shifted,
            long_shifted,
            &self.gear[..],
            &self.gear_shifted[..],
        );
        len
    }

    /// A fingerprint of the end of a blob after which the contents cut, which survives changes further inside; 0 where it was the
    /// greatest length that cut. Two versions of a file can be laid side by side by it.
    pub fn edge(&self, blob: &[u8]) -> u32 {
        const REACH: usize = 64;
        match blob.len().checked_sub(REACH).and_then(|at| blob.get(at..)) {
            Some(end) if blob.len() < self.max => {
                let [a, b, c, d, ..] = *blake3::hash(end).as_bytes();
                u32::from_le_bytes([a, b, c, d]).max(1)
            }
            _ => 0,
        }
    }
}

impl fmt::Debug for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunker({}, {}, {})", self.min, self.average, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunker() -> Chunker {
        let mut table = [0; TABLE_LEN];
        blake3::Hasher::new_derive_key("test table").finalize_xof().fill(&mut table);
        Chunker::new(&ChunkerConfig { algorithm: 1, min: 256, average: 1024, max: 4096 }, &table)
    }

    fn noise(len: usize, seed: u8) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut out);
        out
    }

    fn cuts(chunker: &Chunker, bytes: &[u8]) -> Vec<usize> {
        let (mut at, mut out) = (0, Vec::new());
        while at < bytes.len() {
            at += chunker.cut(&bytes[at..]);
            out.push(at);
        }
        out
    }

    #[test]
    fn an_inserted_byte_moves_few_cuts() {
        let chunker = chunker();
        let bytes = noise(1 << 20, 1);
        let mut longer = vec![1];
        longer.extend_from_slice(&bytes);
        let before = cuts(&chunker, &bytes);
        let after: std::collections::HashSet<_> = cuts(&chunker, &longer).into_iter().map(|at| at - 1).collect();
        let lost = before.iter().filter(|at| !after.contains(at)).count();
        assert!(lost <= 4, "{lost} of {} cuts moved", before.len());
    }

    #[test]
    fn other_keys_cut_elsewhere() {
        let bytes = noise(1 << 18, 1);
        let other = Chunker::new(&ChunkerConfig { algorithm: 1, min: 256, average: 1024, max: 4096 }, &[5; TABLE_LEN]);
        assert_ne!(cuts(&chunker(), &bytes), cuts(&other, &bytes));
    }

    proptest! {
        #[test]
        fn blobs_keep_their_bounds_and_cover_all(len in 0usize..40_000, seed: u8, zeros: bool) {
            let chunker = chunker();
            let bytes = if zeros { vec![0; len] } else { noise(len, seed) };
            let cuts = cuts(&chunker, &bytes);
            prop_assert_eq!(cuts.last().copied().unwrap_or(0), len);
            let mut start = 0;
            for (i, &end) in cuts.iter().enumerate() {
                prop_assert!(end - start <= 4096);
                prop_assert!(end - start >= 256 || i + 1 == cuts.len());
                start = end;
            }
        }

        #[test]
        fn a_window_of_max_bytes_is_enough_to_cut(len in 4096usize..20_000, seed: u8) {
            let chunker = chunker();
            let bytes = noise(len, seed);
            prop_assert_eq!(chunker.cut(&bytes), chunker.cut(&bytes[..4096]));
        }
    }
}
