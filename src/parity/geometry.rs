//! How many sectors belong together, and how many come on top.

use super::{PAYLOAD, SECTOR};
use crate::error::{Error, Result};

/// Sectors of one group, at most, as writers make them: 64 MiB. Larger groups even out the chances, and cost memory when they are
/// decoded (some 128 MiB for one of this size).
pub const GROUP_SHARDS: u32 = 16_384;
/// Sectors of one set: four times what the longest pack has.
pub const SETS_SHARDS_MAX: u32 = 1 << 20;
/// Groups of one set.
const GROUPS_MAX: u32 = 64;
/// Recovery sectors of one group.
const RECOVERY_MAX: u32 = 16_384;
/// Blocks of a table: 62 MiB of it.
const TABLE_MAX: u32 = 16_384;
/// Accumulators of an encoder, in sectors of all groups together: 32 MiB.
const ACCUMULATED: u32 = 8192;

/// Recovery sectors for each hundred, in hundredths: 300 is 3 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

impl Percent {
    /// From 0.1 to 50 %, in hundredths of a per cent; `None` for another.
    pub fn new(hundredths: u16) -> Option<Self> {
        (10..=5000).contains(&hundredths).then_some(Percent(hundredths))
    }

    /// Hundredths of a per cent.
    pub fn hundredths(self) -> u16 {
        self.0
    }
}

/// The shape of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Geometry {
    /// Sectors of its objects.
    pub shards: u32,
    /// Groups: sector `i` belongs to group `i mod groups`.
    pub groups: u32,
    /// Recovery sectors of each group.
    pub recovery: u32,
    /// Blocks of the table; as many recovery blocks of the table come at the end.
    pub table: u32,
}

impl Geometry {
    /// The shape for this many sectors, and a table of this many bytes.
    pub fn plan(shards: u32, table_len: usize, percent: Percent) -> Self {
        let groups = shards.div_ceil(GROUP_SHARDS).max(1);
        let recovery = recovery_for(shards.div_ceil(groups), percent);
        Geometry { shards, groups, recovery, table: table_len.div_ceil(PAYLOAD) as u32 }
    }

    /// Rejects what no writer makes and what would take too much memory.
    pub fn validate(&self, object: &dyn std::fmt::Display) -> Result<()> {
        let fits = (1..=SETS_SHARDS_MAX).contains(&self.shards)
            && (1..=GROUPS_MAX.min(self.shards)).contains(&self.groups)
            && (1..=RECOVERY_MAX).contains(&self.recovery)
            && (1..=TABLE_MAX).contains(&self.table)
            // The field has 65536 points.
            && self.recovery.next_power_of_two() + self.group_len(0) <= 65_536;
        if fits { Ok(()) } else { Err(Error::corrupt(object, "no set of sectors has such a shape")) }
    }

    /// Sectors of a group.
    pub fn group_len(&self, group: u32) -> u32 {
        self.shards.saturating_sub(group).div_ceil(self.groups)
    }

    /// All recovery sectors.
    pub fn recovery_total(&self) -> u32 {
        self.groups * self.recovery
    }

    /// Sectors of the whole sidecar.
    pub fn file_sectors(&self) -> u64 {
        2 * u64::from(self.table) + u64::from(self.recovery_total())
    }

    /// Bytes of the whole sidecar.
    pub fn file_len(&self) -> u64 {
        self.file_sectors() * SECTOR as u64
    }

    /// Where in the sidecar, in sectors, a block of the table lies, recovery blocks counted on.
    pub fn block_at(&self, number: u32) -> u64 {
        match number < self.table {
            true => u64::from(number),
            false => u64::from(number) + u64::from(self.recovery_total()),
        }
    }

    /// Where in the sidecar, in sectors, a recovery sector lies: those of one number side by side, so that a scratch hits all groups alike.
    pub fn recovery_at(&self, group: u32, number: u32) -> u64 {
        u64::from(self.table) + u64::from(number) * u64::from(self.groups) + u64::from(group)
    }
}

/// Recovery sectors for a group of this many: the percentage, and on top four standard deviations of what chance puts into one group when that
/// percentage of all sectors is lost, but at most half a per cent.
pub fn recovery_for(shards: u32, percent: Percent) -> u32 {
    let base = (u64::from(shards) * u64::from(percent.0)).div_ceil(10_000) as u32;
    let chance = (16 * u64::from(base)).isqrt() as u32;
    base + chance.min(shards.div_ceil(200)) + 1
}

/// Sectors of a set as writers make them: as many groups as an encoder can hold the accumulators of.
pub fn set_shards(percent: Percent) -> u32 {
    let chunk = recovery_for(GROUP_SHARDS, percent).next_power_of_two();
    (ACCUMULATED / chunk).clamp(1, GROUPS_MAX) * GROUP_SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parity_costs_what_was_asked_for_and_at_most_one_per_cent_more() {
        for hundredths in [10, 20, 100, 300, 500, 1000, 2000] {
            let percent = Percent::new(hundredths).unwrap();
            let shards = set_shards(percent);
            // Packs of 64 MiB: names weigh next to nothing.
            let table = super::super::Table::encoded_len(shards as usize / 16_384 * 120, shards, shards / 5);
            let plan = Geometry::plan(shards, table, percent);
            plan.validate(&"x").unwrap();
            let cost = plan.file_sectors() as f64 / f64::from(shards) * 100.0;
            let asked = f64::from(hundredths) / 100.0;
            assert!(cost >= asked && cost <= asked + 1.0, "{asked} % costs {cost} %");
        }
    }

    #[test]
    fn every_sector_of_a_sidecar_has_one_place() {
        let plan = Geometry { shards: 100, groups: 3, recovery: 4, table: 2 };
        let blocks = (0..4).map(|n| plan.block_at(n));
        let recovery = (0..3).flat_map(|g| (0..4).map(move |n| plan.recovery_at(g, n)));
        let mut all: Vec<u64> = blocks.chain(recovery).collect();
        all.sort();
        assert_eq!(all, (0..plan.file_sectors()).collect::<Vec<_>>());
        assert_eq!((0..3).map(|g| plan.group_len(g)).sum::<u32>(), 100);
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let good = Geometry { shards: 100, groups: 3, recovery: 4, table: 2 };
        good.validate(&"x").unwrap();
        for bad in [
            Geometry { shards: 0, ..good },
            Geometry { shards: u32::MAX, ..good },
            Geometry { groups: 0, ..good },
            Geometry { groups: 65, ..good },
            Geometry { shards: 2, ..good },
            Geometry { recovery: 0, ..good },
            Geometry { recovery: u32::MAX, ..good },
            Geometry { table: 0, ..good },
            Geometry { table: u32::MAX, ..good },
            Geometry { shards: 70_000, groups: 1, ..good },
        ] {
            assert!(bad.validate(&"x").is_err(), "{bad:?}");
        }
    }
}
