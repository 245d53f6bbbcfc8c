//! One set: which of its sectors are lost, and these brought back.

use super::Sectors;
use crate::{
    error::Result,
    monitor::{Counter, Monitor},
    parity::{self, Layout, SECTOR, Wanting, decode},
};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Sectors that are read at a time: 1 MiB.
const PIECE: u32 = 256;

/// What of a set is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Numbers of sectors that are not what they were.
    pub bad: BTreeSet<u32>,
    /// Recovery sectors that are not, by group and number.
    pub bad_recovery: BTreeSet<(u32, u32)>,
}

impl Verdict {
    /// The groups that have lost sectors, with how many of these and of their recovery sectors are lost.
    pub fn groups(&self, layout: &Layout) -> BTreeMap<u32, (u32, u32)> {
        let mut out: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        for sector in &self.bad {
            out.entry(sector % layout.geometry().groups).or_default().0 += 1;
        }
        for (group, _) in &self.bad_recovery {
            if let Some(found) = out.get_mut(group) {
                found.1 += 1;
            }
        }
        out
    }

    /// Those of these groups that can be brought back.
    pub fn mendable(&self, layout: &Layout) -> BTreeSet<u32> {
        let enough = |(lost, lost_recovery): (u32, u32)| lost + lost_recovery <= layout.geometry().recovery;
        self.groups(layout).into_iter().filter(|(_, lost)| enough(*lost)).map(|(group, _)| group).collect()
    }

    /// True when an object has lost sectors.
    pub fn is_damaged(&self, layout: &Layout, object: usize) -> bool {
        self.bad.range(layout.range(object)).next().is_some()
    }

    /// True when all that an object has lost can be brought back.
    pub fn is_mendable(&self, layout: &Layout, object: usize) -> bool {
        let mendable = self.mendable(layout);
        self.bad.range(layout.range(object)).all(|sector| mendable.contains(&(sector % layout.geometry().groups)))
    }
}

/// Stretches of at most [`PIECE`] sectors of one object each: the object, its first sector there, how many.
fn stretches(layout: &Layout, object: usize) -> impl Iterator<Item = (usize, u32, u32)> {
    let range = layout.range(object);
    let len = range.end - range.start;
    (0..len).step_by(PIECE as usize).map(move |first| (object, first, PIECE.min(len - first)))
}

/// Reads these objects of a set, all of them when `objects` is `None`, and its recovery sectors. Several threads.
pub fn examine(
    layout: &Layout,
    sectors: &dyn Sectors,
    objects: Option<&BTreeSet<usize>>,
    monitor: &dyn Monitor,
) -> Result<Verdict> {
    let chosen = |object: &usize| objects.is_none_or(|objects| objects.contains(object));
    let all: Vec<_> =
        (0..layout.table.objects.len()).filter(chosen).flat_map(|object| stretches(layout, object)).collect();
    let bad = all.into_par_iter().map_init(Vec::new, |bytes: &mut Vec<u8>, (object, first, count)| {
        monitor.check()?;
        let (Some(covered), start) = (layout.table.objects.get(object), layout.range(object).start) else {
            return Ok(Vec::new());
        };
        bytes.resize(count as usize * SECTOR, 0);
        sectors.object(covered, u64::from(first), bytes);
        monitor.add(Counter::Stored, bytes.len() as u64);
        let numbers = start + first..;
        let is_bad = |(number, sector): (u32, &[u8])| {
            (layout.table.data.get(number as usize) != Some(&parity::mark(sector))).then_some(number)
        };
        Ok(numbers.zip(bytes.chunks(SECTOR)).filter_map(is_bad).collect())
    });
    let bad: Vec<Vec<u32>> = bad.collect::<Result<_>>()?;
    let mut out = Verdict { bad: bad.into_iter().flatten().collect(), ..Verdict::default() };
    if objects.is_none() || !out.bad.is_empty() {
        out.bad_recovery = recovery(layout, sectors, monitor)?;
    }
    Ok(out)
}

fn recovery(layout: &Layout, sectors: &dyn Sectors, monitor: &dyn Monitor) -> Result<BTreeSet<(u32, u32)>> {
    let geometry = layout.geometry();
    let mut bad = BTreeSet::new();
    let mut sector = vec![0; SECTOR];
    for number in 0..geometry.recovery {
        monitor.check()?;
        for group in 0..geometry.groups {
            sectors.sidecar(geometry.recovery_at(group, number), &mut sector);
            if layout.recovery_mark(group, number) != Some(&parity::mark(&sector)) {
                bad.insert((group, number));
            }
        }
    }
    Ok(bad)
}

/// Sectors that were brought back, by number. As many as were lost, in memory.
pub type Rebuilt = BTreeMap<u32, Vec<u8>>;

/// Brings back the lost sectors of those groups that have enough left. The verdict must be of the whole set.
pub fn rebuild(layout: &Layout, sectors: &dyn Sectors, verdict: &Verdict, monitor: &dyn Monitor) -> Result<Rebuilt> {
    let mut out = Rebuilt::new();
    // One after another: a group takes some 128 MiB while it is decoded.
    for group in verdict.mendable(layout) {
        rebuild_group(layout, sectors, verdict, group, &mut out, monitor)?;
    }
    Ok(out)
}

fn rebuild_group(
    layout: &Layout,
    sectors: &dyn Sectors,
    verdict: &Verdict,
    group: u32,
    out: &mut Rebuilt,
    monitor: &dyn Monitor,
) -> Result<()> {
    let geometry = layout.geometry();
    let mut wanting = Wanting::new(geometry.group_len(group), geometry.recovery, SECTOR)?;
    let mut bytes = Vec::new();
    for (object, first, count) in (0..layout.table.objects.len()).flat_map(|object| stretches(layout, object)) {
        monitor.check()?;
        let Some(covered) = layout.table.objects.get(object) else { continue };
        bytes.resize(count as usize * SECTOR, 0);
        sectors.object(covered, u64::from(first), &mut bytes);
        let start = layout.range(object).start + first;
        for (number, sector) in (start..).zip(bytes.chunks(SECTOR)) {
            // Looked at again: a failing medium may not say the same twice.
            if number % geometry.groups == group
                && !verdict.bad.contains(&number)
                && layout.table.data.get(number as usize) == Some(&parity::mark(sector))
            {
                wanting.original(number / geometry.groups, sector)?;
            }
        }
    }
    let mut sector = vec![0; SECTOR];
    for number in (0..geometry.recovery).filter(|number| !verdict.bad_recovery.contains(&(group, *number))) {
        if wanting.lacks() == 0 {
            break;
        }
        sectors.sidecar(geometry.recovery_at(group, number), &mut sector);
        if layout.recovery_mark(group, number) == Some(&parity::mark(&sector)) {
            wanting.recovery(number, &sector)?;
        }
    }
    if wanting.lacks() > 0 {
        return Ok(());
    }
    decode(wanting, &mut |number, bytes| {
        let number = number * geometry.groups + group;
        if layout.table.data.get(number as usize) == Some(&parity::mark(bytes)) {
            out.insert(number, bytes.to_vec());
        }
        Ok(())
    })
}
