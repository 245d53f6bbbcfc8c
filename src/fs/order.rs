//! In which order the files of a rotational disk are read: as they lie on it, since each way back costs its head some ten milliseconds.

/// So many files ahead are put in order at once: more would need more open directories and memory, and save little.
pub const WINDOW: usize = 2048;

/// Sorts files that are to be read by where they begin on their disk, in bytes. `place` is asked once of each; those without a
/// place (small files may lie in their inodes) come first, in the order in which they are.
pub fn by_place<T>(files: &mut [T], place: impl FnMut(&T) -> Option<u64>) {
    files.sort_by_cached_key(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How far a disk's head moves, in bytes, to read files of 16 KiB at these places one after another.
    fn movement(places: &[u64]) -> u64 {
        const LEN: u64 = 16 << 10;
        let ends = std::iter::once(0).chain(places.iter().map(|place| place + LEN));
        places.iter().zip(ends).map(|(place, head)| place.abs_diff(head)).sum()
    }

    #[test]
    fn files_laid_out_at_random_cost_one_way_over_the_disk_a_window() {
        const DISK: u64 = 1 << 40;
        const WINDOWS: usize = 8;
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 24
        };
        let by_name: Vec<u64> = (0..WINDOWS * WINDOW).map(|_| next() % DISK).collect();
        let mut in_order = by_name.clone();
        in_order.chunks_mut(WINDOW).for_each(|window| by_place(window, |place| Some(*place)));
        // At random a third of the disk for each file; in order there and back at most for each window.
        assert!(movement(&by_name) > (WINDOWS * WINDOW) as u64 * DISK / 4);
        assert!(movement(&in_order) < 2 * WINDOWS as u64 * DISK);
    }

    #[test]
    fn files_without_a_place_come_first_as_they_are() {
        let mut files = [("c", Some(9)), ("b", None), ("d", Some(4)), ("a", None)];
        by_place(&mut files, |(_, place)| *place);
        assert_eq!(files.map(|(name, _)| name), ["b", "a", "d", "c"]);
    }
}
