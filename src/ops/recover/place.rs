//! The second look: where each sector of each set lies, by its mark. So a pack in a hundred fragments is found like one in one piece.

use super::{
    medium::{Medium, read_around},
    scan::Scan,
};
use crate::{
    error::Result,
    monitor::{Counter, Monitor, Phase},
    ops::parity::Sectors,
    parity::{self, Covered, Layout, SECTOR},
};
use rayon::prelude::*;
use std::collections::HashMap;

/// Bytes that are read at a time.
const BLOCK: u64 = 4 << 20;
/// Sectors that are looked for at a time: 256 MiB of memory.
const AT_A_TIME: usize = 16 << 20;
/// No place.
const NOWHERE: u64 = u64::MAX;

/// Where the sectors of a set lie on a medium.
pub struct Placed<'a> {
    medium: &'a dyn Medium,
    layout: &'a Layout,
    objects: HashMap<&'a str, usize>,
    data: Vec<u64>,
    recovery: Vec<u64>,
}

impl<'a> Placed<'a> {
    fn new(medium: &'a dyn Medium, layout: &'a Layout) -> Self {
        let objects = layout.table.objects.iter().enumerate().map(|(n, object)| (object.name.as_str(), n)).collect();
        let (data, recovery) = (vec![NOWHERE; layout.table.data.len()], vec![NOWHERE; layout.table.recovery.len()]);
        Placed { medium, layout, objects, data, recovery }
    }

    /// True when a byte of the medium belongs to what was found.
    pub fn places(&self) -> impl Iterator<Item = u64> {
        self.data.iter().copied().filter(|place| *place != NOWHERE)
    }

    fn read(&self, place: Option<&u64>, out: &mut [u8]) {
        out.fill(0);
        if let Some(place) = place.filter(|place| **place != NOWHERE) {
            read_around(self.medium, *place, out, &mut |_, _| {});
        }
    }
}

impl Sectors for Placed<'_> {
    fn object(&self, covered: &Covered, first: u64, out: &mut [u8]) {
        let Some(object) = self.objects.get(covered.name.as_str()) else { return out.fill(0) };
        let start = u64::from(self.layout.range(*object).start) + first;
        for (number, sector) in (start as usize..).zip(out.chunks_mut(SECTOR)) {
            self.read(self.data.get(number), sector);
        }
        // What follows an object's end in its last sector is the file system's affair: zeros, as far as parity is concerned.
        let end = (covered.len.saturating_sub(first * SECTOR as u64)).min(out.len() as u64);
        out.get_mut(end as usize..).unwrap_or_default().fill(0);
    }

    fn sidecar(&self, at: u64, out: &mut [u8]) {
        let number = at.checked_sub(u64::from(self.layout.geometry().table));
        self.read(number.and_then(|number| self.recovery.get(number as usize)), out);
    }
}

/// Looks for all sectors of all sets; reads the medium once for each 64 GiB that they cover.
pub fn place<'a>(medium: &'a dyn Medium, scan: &'a Scan, monitor: &dyn Monitor) -> Result<Vec<Placed<'a>>> {
    monitor.phase(Phase::Verifying);
    let mut placed: Vec<Placed<'a>> = scan.sets.iter().map(|set| Placed::new(medium, set)).collect();
    let mut begin = 0;
    while begin < placed.len() {
        let (mut end, mut sum) = (begin, 0);
        while let Some(next) = placed.get(end) {
            let more = next.data.len() + next.recovery.len();
            if end > begin && sum + more > AT_A_TIME {
                break;
            }
            (sum, end) = (sum + more, end + 1);
        }
        let some = placed.get_mut(begin..end).unwrap_or_default();
        look(medium, scan, some, monitor)?;
        begin = end;
    }
    Ok(placed)
}

/// A sector that is looked for: its mark as a number, its set, its number in that; recovery sectors have this bit set.
type Wanted = (u64, u32, u32);
const RECOVERY: u32 = 1 << 31;

fn look(medium: &dyn Medium, scan: &Scan, sets: &mut [Placed<'_>], monitor: &dyn Monitor) -> Result<()> {
    monitor.expect(Counter::Stored, medium.length());
    let mut wanted: Vec<Wanted> = Vec::new();
    for (set, placed) in (0..).zip(sets.iter()) {
        let mut add = |marks: &[parity::Mark], kind: u32| {
            wanted.extend((0u32..).zip(marks).map(|(number, mark)| (u64::from_le_bytes(*mark), set, number | kind)));
        };
        add(&placed.layout.table.data, 0);
        add(&placed.layout.table.recovery, RECOVERY);
    }
    wanted.sort_unstable();
    let same = |mark: u64| {
        let begin = wanted.partition_point(|one| one.0 < mark);
        wanted.get(begin..).unwrap_or_default().iter().take_while(move |one| one.0 == mark)
    };
    short_ends(medium, scan, sets, monitor)?;
    let mut bytes = vec![0; BLOCK as usize + SECTOR];
    let mut at = 0;
    while at < medium.length() {
        monitor.check()?;
        let len = (BLOCK + SECTOR as u64).min(medium.length() - at) as usize;
        let part = bytes.get_mut(..len).unwrap_or_default();
        read_around(medium, at, part, &mut |_, _| {});
        let part = &*part;
        let found: Vec<(u64, u64)> = scan
            .phases
            .iter()
            .flat_map(|phase| (at + phase..at + BLOCK).step_by(SECTOR))
            .collect::<Vec<_>>()
            .into_par_iter()
            .filter_map(|place| {
                let begin = (place - at) as usize;
                let mark = u64::from_le_bytes(parity::mark(part.get(begin..begin + SECTOR)?));
                same(mark).next().is_some().then_some((place, mark))
            })
            .collect();
        for (place, mark) in found {
            // Sectors with the same bytes have the same mark: one place is as good for all of them.
            for (_, set, number) in same(mark) {
                let Some(placed) = sets.get_mut(*set as usize) else { continue };
                let places = if number & RECOVERY != 0 { &mut placed.recovery } else { &mut placed.data };
                let slot = places.get_mut((number & !RECOVERY) as usize);
                if let Some(slot) = slot.filter(|slot| **slot == NOWHERE) {
                    *slot = place;
                }
            }
        }
        monitor.add(Counter::Stored, BLOCK.min(medium.length() - at));
        at += BLOCK;
    }
    Ok(())
}

/// Ends of objects that do not fill their sector: after them a file system may have left anything, so that the sector on the medium has another mark. They are
/// tried where an object of that length would end if it lay in one piece.
fn short_ends(medium: &dyn Medium, scan: &Scan, sets: &mut [Placed<'_>], monitor: &dyn Monitor) -> Result<()> {
    let mut by_first: HashMap<parity::Mark, Vec<(usize, usize)>> = HashMap::new();
    for (set, placed) in sets.iter().enumerate() {
        for (object, covered) in placed.layout.table.objects.iter().enumerate() {
            let first = placed.layout.table.data.get(placed.layout.range(object).start as usize);
            if let Some(first) = first.filter(|_| !covered.len.is_multiple_of(SECTOR as u64)) {
                by_first.entry(*first).or_default().push((set, object));
            }
        }
    }
    if by_first.is_empty() {
        return Ok(());
    }
    let mut sector = vec![0; SECTOR];
    let short: Vec<(usize, usize)> = by_first.values().flatten().copied().collect();
    for begin in scan.heads.keys() {
        monitor.check()?;
        // The first sector may itself be the short one.
        let candidates: Vec<(usize, usize)> = match medium.read(*begin, &mut sector) {
            Ok(()) => match by_first.get(&parity::mark(&sector)) {
                Some(found) => found.clone(),
                None => short.iter().copied().filter(|(set, object)| is_single(sets, *set, *object)).collect(),
            },
            Err(_) => continue,
        };
        for (set, object) in candidates {
            let Some(placed) = sets.get_mut(set) else { continue };
            let Some(covered) = placed.layout.table.objects.get(object) else { continue };
            let last = placed.layout.range(object).end.saturating_sub(1) as usize;
            let place = begin + (covered.sectors() - 1) * SECTOR as u64;
            let kept = (covered.len % SECTOR as u64) as usize;
            if medium.read(place, &mut sector).is_err() {
                continue;
            }
            sector.get_mut(kept..).unwrap_or_default().fill(0);
            if placed.layout.table.data.get(last) == Some(&parity::mark(&sector))
                && let Some(slot) = placed.data.get_mut(last)
            {
                *slot = place;
            }
        }
    }
    Ok(())
}

fn is_single(sets: &[Placed<'_>], set: usize, object: usize) -> bool {
    let object = sets.get(set).and_then(|placed| placed.layout.table.objects.get(object));
    object.is_some_and(|object| object.len < SECTOR as u64)
}
