//! What of a table its process counts on: two bits for each segment.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

#[derive(Debug)]
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(count: usize) -> Self {
        Bits((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn get(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (at % 64) & 1 == 1)
    }

    fn set(&self, at: usize) {
        if let Some(word) = self.0.get(at / 64) {
            word.fetch_or(1 << (at % 64), Ordering::Relaxed);
        }
    }
}

/// The segments of one table, as it was built.
#[derive(Debug)]
struct Part {
    relied: Bits,
    refused: Bits,
}

/// The segments of a table, which may have been merged from others: what is said of these while they are merged is not lost.
#[derive(Debug)]
pub(super) struct Reliance(Vec<(u32, Arc<Part>)>);

impl Reliance {
    /// Of a table of so many segments nothing is known.
    pub(super) fn new(segments: usize) -> Self {
        Reliance(vec![(0, Arc::new(Part { relied: Bits::new(segments), refused: Bits::new(segments) }))])
    }

    /// Of a table in which the segments of others follow one another, each given with the number of its first one.
    pub(super) fn joined<'a>(tables: impl Iterator<Item = (&'a Reliance, u32)>) -> Self {
        let mut parts: Vec<(u32, Arc<Part>)> = tables
            .flat_map(|(table, first)| table.0.iter().map(move |(at, part)| (first.wrapping_add(*at), part.clone())))
            .collect();
        parts.sort_by_key(|(first, _)| *first);
        Reliance(parts)
    }

    fn part(&self, segment: u32) -> Option<(&Part, usize)> {
        let at = self.0.partition_point(|(first, _)| *first <= segment).checked_sub(1)?;
        let (first, part) = self.0.get(at)?;
        Some((part, (segment - first) as usize))
    }

    /// True when the segment was found good.
    pub(super) fn is_relied(&self, segment: u32) -> bool {
        self.part(segment).is_some_and(|(part, at)| part.relied.get(at))
    }

    /// True when the segment was found to be none to count on, or is being judged.
    pub(super) fn is_refused(&self, segment: u32) -> bool {
        self.part(segment).is_some_and(|(part, at)| part.refused.get(at))
    }

    /// From now on it is counted on.
    pub(super) fn rely(&self, segment: u32) {
        if let Some((part, at)) = self.part(segment) {
            part.relied.set(at);
        }
    }

    /// It is not to be counted on, unless it is found good later.
    pub(super) fn refuse(&self, segment: u32) {
        if let Some((part, at)) = self.part(segment) {
            part.refused.set(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_tables_holds_for_what_they_are_merged_into() {
        let (a, b) = (Reliance::new(70), Reliance::new(3));
        a.rely(69);
        let both = Reliance::joined([(&a, 0), (&b, 70)].into_iter());
        let more = Reliance::joined([(&b, 0), (&both, 3)].into_iter());
        // Said of one of them while they are being merged.
        b.rely(2);
        b.refuse(1);
        let of = |table: &Reliance, test: fn(&Reliance, u32) -> bool| {
            (0..80).filter(|&segment| test(table, segment)).collect::<Vec<u32>>()
        };
        assert_eq!(of(&both, Reliance::is_relied), [69, 72]);
        assert_eq!(of(&more, Reliance::is_relied), [2, 72, 75]);
        assert_eq!(of(&more, Reliance::is_refused), [1, 74]);
    }
}
