//! Which packs are put together because they are small and many: runs that were killed early leave such ones, and short ones.
//!
//! By tiers, each eight times as long as the next: only when a tier has eight packs are they, and all shorter ones, put together. What
//! comes of it is at least a tier up, so each byte is written anew at most once a tier, five times from a 4 KiB pack to a full one, and
//! seven packs a tier stay where that may be written; packs that are too long for it wait until a run wins more, or the repository has grown.

use super::{
    Options, Unused,
    live::Live,
    plan::{Budget, COST_MAX, Numbers, Plan},
};
use crate::id::PackId;
use std::collections::{BTreeMap, BTreeSet};

/// How much longer the packs of a tier are than those of the next, and how many make it worth it.
const STEP: u64 = 8;
/// Blobs from which on a pack is not small, however short it is: packs are closed at eight times as many.
const BLOBS: u64 = 8 << 10;
/// Of this part of what is needed it does not matter that it is written anew.
const SHARE: u64 = 128;

/// A pack of which something is needed.
pub(super) struct Small {
    pub(super) id: PackId,
    /// Bytes of the segments that are needed.
    pub(super) live: u64,
    /// And of the others.
    pub(super) dead: u64,
    /// Its length.
    pub(super) len: u64,
}

/// 0 for one that is long enough.
fn tier(len: u64, target: u64) -> u32 {
    (0..).find(|tier| len.saturating_mul(STEP.saturating_pow(tier + 1)) > target).unwrap_or(0)
}

/// The first packs of a list, shortest first, that are worth putting together.
fn worthwhile(packs: &[Small], target: u64) -> usize {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    packs.iter().for_each(|pack| *counts.entry(tier(pack.len, target)).or_default() += 1);
    let full = counts.iter().find(|(_, count)| **count >= STEP);
    full.map_or(0, |(full, _)| packs.partition_point(|pack| tier(pack.len, target) >= *full))
}

/// How much may be written for it. It wins order, not space: not more than what this run wins in space anyway pays for, or than is nothing to
/// the repository. What was won before, and what only waits for its grace time, has paid for the run that won it; what stays unused
/// pays for nothing, or it would pay night after night.
fn allowance(won: u64, numbers: &Numbers, target: u64) -> u64 {
    let paid = won.saturating_mul(COST_MAX).saturating_sub(numbers.moved.bytes);
    paid.max(target / 4).max(numbers.live.bytes / SHARE)
}

/// Adds to the plan what is worth putting together of packs that stay otherwise. `won`: dead bytes that this run condemns.
pub(super) fn choose(
    plan: &mut Plan,
    mut packs: Vec<Small>,
    live: &Live,
    target: u32,
    options: &Options,
    budget: &mut Budget,
    won: u64,
) {
    let target = u64::from(target);
    packs.retain(|pack| tier(pack.len, target) > 0 && !plan.moves.contains(&pack.id));
    if options.max_unused == Some(Unused::Unlimited) || (packs.len() as u64) < STEP {
        return;
    }
    let contents = live.contents(&packs.iter().map(|pack| pack.id).collect::<BTreeSet<_>>());
    let mut of_kind: BTreeMap<u8, Vec<Small>> = BTreeMap::new();
    for pack in packs {
        if let Some((kind, blobs)) = contents.get(&pack.id)
            && *blobs < BLOBS
        {
            of_kind.entry(*kind).or_default().push(pack);
        }
    }
    let mut allowance =
        Budget(if options.max_repack.is_some() { u64::MAX } else { allowance(won, &plan.numbers, target) });
    for mut packs in of_kind.into_values() {
        packs.sort_by_key(|pack| (pack.len, pack.id));
        let (mut left, mut allowed) = (Budget(budget.0), Budget(allowance.0));
        let affordable = packs.iter().take_while(|pack| left.take(pack.live) && allowed.take(pack.len));
        packs.truncate(affordable.count());
        packs.truncate(worthwhile(&packs, target));
        for Small { id, live, dead, len } in packs {
            budget.take(live);
            allowance.take(len);
            plan.numbers.moved.add(live);
            plan.numbers.merged.add(live);
            plan.numbers.condemned.add(len);
            plan.numbers.unused_after = plan.numbers.unused_after.saturating_sub(dead);
            plan.moves.insert(id);
            plan.emptied.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::prune::plan::Amount;

    const TARGET: u64 = 64 << 20;

    fn packs(lens: &[(u64, usize)]) -> Vec<Small> {
        let all = lens.iter().flat_map(|(len, count)| std::iter::repeat_n(*len, *count));
        let mut all: Vec<Small> =
            all.enumerate().map(|(n, len)| Small { id: PackId([n as u8; 32]), live: len, dead: 0, len }).collect();
        all.sort_by_key(|pack| pack.len);
        all
    }

    #[test]
    fn only_eight_of_a_kind_are_worth_it_and_take_the_shorter_ones_along() {
        for (lens, taken) in [
            (&[(4096, 7)][..], 0),
            (&[(4096, 8)], 8),
            (&[(4096, 3), (1 << 20, 8)], 11),
            (&[(4096, 8), (1 << 20, 7), (TARGET / 8 + 1, 100)], 8),
            (&[(4096, 7), (40 << 10, 7), (400 << 10, 7), (4 << 20, 7)], 0),
            (&[(TARGET, 100)], 0),
        ] {
            let mut packs = packs(lens);
            packs.retain(|pack| tier(pack.len, TARGET) > 0);
            assert_eq!(worthwhile(&packs, TARGET), taken, "{lens:?}");
        }
    }

    #[test]
    fn only_what_this_run_wins_pays_for_it() {
        let numbers = |live, moved, dead_bytes| {
            let (mut numbers, amount) =
                (Numbers { dead_bytes, ..Numbers::default() }, |bytes| Amount { packs: 1, bytes });
            (numbers.live, numbers.moved) = (amount(live), amount(moved));
            numbers
        };
        let mib = 1 << 20;
        assert_eq!(allowance(0, &numbers(1000 * mib, 0, 500 * mib), TARGET), TARGET / 4);
        assert_eq!(allowance(100 * mib, &numbers(1000 * mib, 50 * mib, 100 * mib), TARGET), 150 * mib);
        assert_eq!(allowance(100 * mib, &numbers(1000 * mib, 200 * mib, 100 * mib), TARGET), TARGET / 4);
        assert_eq!(allowance(0, &numbers(1 << 40, 0, 0), TARGET), 8 << 30);
    }

    /// One short pack a night: how often is a byte written anew, and how many packs are there?
    #[test]
    fn nightly_packs_are_merged_seldom_and_stay_few() {
        let (night, nights) = (64 << 10, 4000);
        let mut packs: Vec<Small> = Vec::new();
        let (mut moved, mut most) = (0, 0);
        for n in 0..nights {
            packs.push(Small { id: PackId([(n % 251) as u8; 32]), live: night, dead: 0, len: night });
            packs.sort_by_key(|pack| pack.len);
            let small = packs.partition_point(|pack| tier(pack.len, TARGET) > 0);
            let taken: u64 = packs.drain(..worthwhile(&packs[..small], TARGET)).map(|pack| pack.len).sum();
            moved += taken;
            // Full ones are closed.
            let full = (0..taken / TARGET).map(|_| TARGET);
            for len in full.chain([taken % TARGET]).filter(|len| *len > 0) {
                packs.push(Small { id: PackId([0; 32]), live: len, dead: 0, len });
            }
            let small = packs.iter().filter(|pack| tier(pack.len, TARGET) > 0).count();
            most = most.max(small);
        }
        assert!(moved <= 3 * night * nights, "{moved}");
        assert!(most <= 3 * 7 + 1, "{most}");
    }
}
