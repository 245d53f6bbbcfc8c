//! The history of a series: what each snapshot changed, from the oldest to the newest. Whoever follows it sees each version of each
//! entry once, so that a search costs what the changes cost, and not what the snapshots hold.
//!
//! Changes come from the trees, of which what is equal is not read ([`super::compare`]), and go into a local catalogue
//! ([`crate::repo::catalogue`]), from which they come the next time. It also knows the snapshots themselves, so that these are not
//! opened again. Snapshots that were forgotten since stay in it, and are passed over, until they are the greater part of it.

mod ahead;
mod changes;
mod facts;
mod kept;
#[cfg(test)]
mod tests;

pub use facts::{Facts, Kind};

use crate::{
    error::{Error, Result},
    id::{BlobId, SeriesTag, SnapshotId},
    monitor::{Counter, Monitor, Phase},
    repo::{BlobReader, Listed, Repository, snapshots::object_name},
    world::Time,
};
use ahead::{compare_all, compare_some};
use bincode::{Decode, Encode};
use changes::{Shelf, Stretch, many_changes};
use kept::{Change, Kept};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

/// A snapshot of a series.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Version {
    /// Its name.
    pub id: SnapshotId,
    /// Its number in the series.
    pub sequence: u64,
    /// When it was taken.
    pub time: Time,
    /// Everything could be read when it was taken.
    pub complete: bool,
}

impl Version {
    fn of(listed: &Listed) -> Self {
        let head = &listed.snapshot.head;
        Version { id: listed.id, sequence: head.sequence, time: head.time, complete: head.complete }
    }

    fn order(&self) -> (u64, SnapshotId) {
        (self.sequence, self.id)
    }
}

/// Opened segments that are kept, in bytes: some dozens of snapshots lean on the same ones.
const CACHE_BYTES: usize = 64 << 20;
/// Fewer forgotten snapshots are no reason to make a catalogue anew.
const FORGOTTEN_MIN: usize = 64;

/// Objects that could not be read, with the reason.
type Unreadable = Vec<(String, Error)>;

/// Hears of one change: the position of the snapshot among [`History::versions`], the path below the snapshot, and what is there
/// now, `None` for nothing.
pub type Each<'a> = dyn FnMut(usize, &[u8], Option<&Facts>) -> Result<()> + 'a;

/// The snapshots of a series, and what is known of what they changed.
pub struct History<'r> {
    repo: &'r Repository,
    versions: Vec<Version>,
    /// Which of the versions are still there.
    there: Vec<bool>,
    kept: Kept,
    /// The newest snapshot that the catalogue knows.
    last: Option<Listed>,
    /// Snapshots that it does not know, in order.
    fresh: Vec<Listed>,
    /// Snapshots that could not be read, with the reason.
    unreadable: Unreadable,
}

/// Positions of snapshots that were not forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// For each position how many of them are before it; one more than there are positions.
    before: Vec<usize>,
    positions: Vec<usize>,
}

impl Ranges {
    fn new(there: &[bool]) -> Self {
        let (mut before, mut positions) = (vec![0], Vec::new());
        for (at, there) in there.iter().enumerate() {
            positions.extend(there.then_some(at));
            before.push(positions.len());
        }
        Ranges { before, positions }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The newest.
    pub fn newest(&self) -> Option<usize> {
        self.positions.last().copied()
    }

    /// The first and the last from one position to another, both included, and how many they are; `None` when there are none.
    pub fn within(&self, first: usize, last: usize) -> Option<(usize, usize, usize)> {
        let (from, to) = (*self.before.get(first)?, *self.before.get(last + 1)?);
        let count = to.checked_sub(from).filter(|&count| count > 0)?;
        Some((*self.positions.get(from)?, *self.positions.get(to - 1)?, count))
    }

    /// Of versions that begin at these positions and end with the next, the last at `last`: how many are in any of them.
    pub fn distinct(&self, begins: &[usize], last: usize) -> usize {
        let ends = begins.iter().skip(1).map(|next| next.saturating_sub(1)).chain([last]);
        begins.iter().zip(ends).filter(|(first, last)| self.within(**first, *last).is_some()).count()
    }
}

/// The living snapshots of the repository by series.
pub fn series_of(repo: &Repository) -> Result<BTreeMap<SeriesTag, Vec<SnapshotId>>> {
    // Who may not read trees is told before anything else.
    repo.keys().catalogue_key()?;
    let mut out: BTreeMap<SeriesTag, Vec<SnapshotId>> = BTreeMap::new();
    for (tag, id, _) in repo.living(None)?.names {
        out.entry(tag).or_default().push(id);
    }
    Ok(out)
}

impl<'r> History<'r> {
    /// Looks up which snapshots of a series are known, and reads the others. `living` are those that are there.
    pub fn open(repo: &'r Repository, tag: &SeriesTag, living: &[SnapshotId], monitor: &dyn Monitor) -> Result<Self> {
        let (mut kept, mut known) = Kept::open(repo.catalogue(tag)?);
        let wanted: HashSet<SnapshotId> = living.iter().copied().collect();
        let of_known: HashSet<SnapshotId> = known.iter().map(|version| version.id).collect();
        let unknown: Vec<SnapshotId> = living.iter().filter(|id| !of_known.contains(id)).copied().collect();
        let (mut fresh, mut unreadable) = read_all(repo, tag, &unknown, monitor)?;
        let gone = of_known.difference(&wanted).count();
        let is_of_use = |newest: &Version| {
            wanted.contains(&newest.id)
                && fresh.first().is_none_or(|first| newest.order() < Version::of(first).order())
                && gone.saturating_sub(FORGOTTEN_MIN) <= known.len() / 2
        };
        let mut last = None;
        if let Some(newest) = known.last() {
            last = is_of_use(newest).then(|| repo.read_snapshot(tag, &newest.id).ok()).flatten();
            if last.is_none() {
                kept.restart();
                known.clear();
                (fresh, unreadable) = read_all(repo, tag, living, monitor)?;
            }
        }
        if let Some(listed) = fresh.first() {
            kept.set_series(&listed.snapshot.series);
        }
        let there =
            known.iter().map(|version| wanted.contains(&version.id)).chain(fresh.iter().map(|_| true)).collect();
        let versions = known.into_iter().chain(fresh.iter().map(Version::of)).collect();
        Ok(History { repo, versions, there, kept, last, fresh, unreadable })
    }

    /// `server/vm/relpath`; empty when no snapshot could be read.
    pub fn series(&self) -> &str {
        self.kept.series()
    }

    /// The snapshots, oldest first: also some that were forgotten.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Which of them were not forgotten.
    pub fn ranges(&self) -> Ranges {
        Ranges::new(&self.there)
    }

    /// Snapshots that could not be read, with the reason: taken out.
    pub fn take_unreadable(&mut self) -> Unreadable {
        std::mem::take(&mut self.unreadable)
    }

    /// Tells of all changes, snapshot by snapshot; of the oldest, all that it holds. Returns what of the trees could not be read:
    /// nothing counts as being in it.
    pub fn follow(
        &mut self,
        reader: &BlobReader<'_>,
        each: &mut Each<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Error>> {
        monitor.phase(Phase::Planning);
        let (mut at, mut path) = (0, Vec::new());
        for number in 0..self.kept.blocks() {
            monitor.check()?;
            let Some((continues, records)) = self.kept.read(number) else {
                return Err(Error::refused("the local catalogue changed while it was read: run it again"));
            };
            for (n, changes) in records.iter().enumerate() {
                at -= usize::from(continues && n == 0 && at > 0);
                tell(changes, at, &mut path, each)?;
                at += 1;
            }
        }
        monitor.expect(Counter::Objects, self.fresh.len() as u64);
        if self.fresh.is_empty() {
            return Ok(Vec::new());
        }
        // A cache of its own, which is gone when it is no longer of use.
        let reader = BlobReader::with_cache(reader.repo(), reader.index(), CACHE_BYTES);
        let shelf = Shelf::new(&reader);
        let (History { repo, versions, kept, last, fresh, .. }, mut lost) = (self, Vec::new());
        let last = last.as_ref().map(|listed| &listed.snapshot);
        let mut hear = |range: Range<usize>, mut stretch: Stretch| {
            let mut next = range.start;
            loop {
                heed(repo, kept, &stretch.lost)?;
                lost.append(&mut stretch.lost);
                for changes in stretch.changes {
                    tell(&changes, at, &mut path, each)?;
                    kept.add(repo, versions.get(at), changes, false)?;
                    (at, next) = (at + 1, next + 1);
                }
                if next >= range.end {
                    return Ok(());
                }
                // It changed more than is to be held at once.
                let before = next.checked_sub(1).map_or(last, |at| fresh.get(at).map(|listed| &listed.snapshot));
                if let Some(after) = fresh.get(next) {
                    let mut version = versions.get(at);
                    let mut take = |changes: Vec<Change>, more: bool| {
                        tell(&changes, at, &mut path, each)?;
                        kept.add(repo, version.take(), changes, more)
                    };
                    let lost_here = many_changes(&shelf, before, &after.snapshot, &mut take, monitor)?;
                    monitor.add(Counter::Objects, 1);
                    if !lost_here.is_empty() {
                        // What was kept of it is not what it is.
                        kept.drop_parts();
                    }
                    lost.extend(lost_here);
                }
                (at, next) = (at + 1, next + 1);
                stretch = compare_some(&shelf, last, fresh, next..range.end, monitor)?;
            }
        };
        compare_all(&shelf, last, fresh, &mut hear, monitor)?;
        kept.finish(repo)?;
        lost.sort_by_key(|(id, _)| *id);
        lost.dedup_by_key(|(id, _)| *id);
        Ok(lost.into_iter().map(|(_, error)| error).collect())
    }
}

/// What was lost may come back: then nothing more is kept.
fn heed(repo: &Repository, kept: &mut Kept, lost: &[(BlobId, Error)]) -> Result<()> {
    if !lost.is_empty() {
        kept.finish(repo)?;
        kept.stop();
    }
    Ok(())
}

fn tell(changes: &[Change], at: usize, path: &mut Vec<u8>, each: &mut Each<'_>) -> Result<()> {
    path.clear();
    for change in changes {
        path.truncate(change.shared as usize);
        path.extend_from_slice(&change.suffix);
        each(at, path, change.facts.as_ref())?;
    }
    Ok(())
}

/// Reads snapshots, in order; and which could not be read.
fn read_all(
    repo: &Repository,
    tag: &SeriesTag,
    ids: &[SnapshotId],
    monitor: &dyn Monitor,
) -> Result<(Vec<Listed>, Unreadable)> {
    let read = |id: &SnapshotId| {
        monitor.check()?;
        repo.read_snapshot(tag, id)
    };
    let read: Vec<Result<Listed>> = ids.par_iter().map(read).collect();
    let (mut listed, mut unreadable) = (Vec::with_capacity(ids.len()), Vec::new());
    for (id, read) in ids.iter().zip(read) {
        match read {
            Ok(one) => listed.push(one),
            // Forgotten since it was listed.
            Err(Error::Missing { .. }) if repo.prove_forgotten(tag, id).is_ok() => {}
            Err(
                error @ (Error::Corrupt { .. }
                | Error::Missing { .. }
                | Error::Unsupported { .. }
                | Error::Store { .. }),
            ) => unreadable.push((object_name(tag, id).to_string(), error)),
            Err(error) => return Err(error),
        }
    }
    listed.sort_by_key(|listed| Version::of(listed).order());
    Ok((listed, unreadable))
}
