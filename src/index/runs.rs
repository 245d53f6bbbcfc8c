//! The runs that a repository's blobs are looked up in: few, the larger ones each some times larger than all smaller ones together.

use super::{
    folder::Folder,
    run::{self, Aim, ROWS_MAX, Row, Run},
};
use crate::{error::Result, id::BlobId};
use std::{cmp::Reverse, ops::Deref, sync::Arc};

/// Runs are merged when there are more. Each costs a blob that none of them has a few waits for memory.
pub(super) const RUNS_MAX: usize = 4;
/// A merge takes in the next larger run unless that is larger than so many times what is merged anyway.
const GROWTH: usize = 3;

/// A place of a blob: which run, and which row of it. Valid until the index is replaced, also when runs are merged meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The run's number, which no other ever gets.
    pub run: u32,
    /// The row.
    pub row: Row,
}

/// Runs as they were at one time.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    runs: Vec<Arc<Run>>,
    /// The number of each of `runs`.
    numbers: Vec<u32>,
    /// The first number that was given since all runs were last replaced.
    since: u32,
    /// For every number that was given from there on: the number of the run that now holds its rows, and what must be added to its
    /// numbers of segments there.
    homes: Vec<(u32, u32)>,
}

impl Deref for Runs {
    type Target = [Arc<Run>];
    fn deref(&self) -> &[Arc<Run>] {
        &self.runs
    }
}

impl Runs {
    /// Adds a run.
    pub(super) fn push(&mut self, run: Run) {
        self.push_shared(Arc::new(run));
    }

    fn push_shared(&mut self, run: Arc<Run>) {
        let number = self.next_number();
        self.homes.push((number, 0));
        self.numbers.push(number);
        self.runs.push(run);
    }

    /// Changes whenever all runs are replaced.
    pub(super) fn version(&self) -> u32 {
        self.since
    }

    fn next_number(&self) -> u32 {
        self.since.wrapping_add(self.homes.len() as u32)
    }

    /// The runs of `newer` in the place of these, whose numbers none of them gets.
    pub(super) fn replaced_by(&self, newer: &Runs) -> Runs {
        let mut runs = Runs { since: self.next_number(), ..Runs::default() };
        newer.iter().for_each(|run| runs.push_shared(run.clone()));
        runs
    }

    /// Merges the smaller runs when there are too many.
    pub(super) fn consolidate(&mut self, folder: &Folder) -> Result<()> {
        if self.runs.len() <= RUNS_MAX {
            return Ok(());
        }
        let mut sorted: Vec<(Arc<Run>, u32)> = self.runs.drain(..).zip(self.numbers.drain(..)).collect();
        sorted.sort_by_key(|(run, _)| Reverse(run.len()));
        // The longest tail of which each member is shorter than some times the sum of those behind it: each blob is then copied a
        // number of times that is logarithmic in their number.
        let mut sum = 0;
        let mut first = sorted.len();
        while let Some((next, _)) = first.checked_sub(1).and_then(|next| sorted.get(next))
            && sum + next.len() <= ROWS_MAX
            && (sorted.len() - first < 2 || next.len() <= GROWTH * sum || first >= RUNS_MAX)
        {
            first -= 1;
            sum += next.len();
        }
        let tail = sorted.split_off(first);
        (self.runs, self.numbers) = sorted.into_iter().unzip();
        if let [(run, number)] = &tail[..] {
            self.runs.push(run.clone());
            self.numbers.push(*number);
            return Ok(());
        }
        let parts: Vec<&Run> = tail.iter().map(|(run, _)| &**run).collect();
        let (mut merged, shifts) = folder.merge(&parts)?;
        merged.go_on_from(parts.iter().copied().zip(shifts.iter().copied()));
        let new = self.next_number();
        for (home, by) in &mut self.homes {
            if let Some(part) = tail.iter().position(|(_, number)| number == home) {
                *by = by.wrapping_add(shifts.get(part).copied().unwrap_or(0));
                *home = new;
            }
        }
        self.push(merged);
        Ok(())
    }

    /// The run in which a segment that was known by a place's numbers lies now, and its number there.
    pub fn resolve(&self, run: u32, segment: u32) -> Option<(&Run, u32)> {
        let (home, by) = self.homes.get(run.wrapping_sub(self.since) as usize)?;
        let at = self.numbers.iter().position(|number| number == home)?;
        Some((self.runs.get(at)?, segment.wrapping_add(*by)))
    }

    /// A blob's first place that is good.
    pub(super) fn find(&self, id: &BlobId, is_good: impl Fn(&Run, &Row) -> bool) -> Option<Place> {
        let stem = run::stem(id);
        for (runs, numbers) in self.runs.chunks(RUNS_MAX).zip(self.numbers.chunks(RUNS_MAX)) {
            let mut aims = [Aim::default(); RUNS_MAX];
            // All are aimed at before one is looked at: they wait for memory together, not one after the other.
            for (aim, run) in aims.iter_mut().zip(runs) {
                *aim = run.aim(stem);
            }
            for ((run, number), aim) in runs.iter().zip(numbers).zip(aims) {
                if let Some(row) = run.find_at(stem, aim).find(|row| is_good(run, row)) {
                    return Some(Place { run: *number, row });
                }
            }
        }
        None
    }

    /// All places of a blob.
    pub(super) fn places<'a>(&'a self, id: &'a BlobId) -> impl Iterator<Item = Place> + 'a {
        let numbered = self.numbers.iter().zip(&self.runs);
        numbered.flat_map(move |(number, run)| run.find(id).map(|row| Place { run: *number, row }))
    }
}
