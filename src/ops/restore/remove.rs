//! Removing what the snapshot does not have, and what a restore that was killed has left.

use super::{
    collect::{Collector, State},
    dirs::DirId,
    tally::count,
};
use crate::{
    error::Result,
    fs::{
        PathError,
        target::{Kind, TargetDir, folded},
    },
    name::{Name, Shown},
};
use std::{iter::Peekable, vec::IntoIter};

/// Names in a directory of the target: compared with the tree's as both go by in the same order.
pub(super) struct Extras {
    names: Peekable<IntoIter<Name>>,
    /// Where case is folded, what is not in the tree by its bytes may be so under another name: decided at the end.
    held: Vec<Name>,
    /// Only what a restore that was killed has left is to go.
    only_left: bool,
}

impl Extras {
    /// All names that are there.
    pub fn all(sorted: Vec<Name>) -> Self {
        Extras { names: sorted.into_iter().peekable(), held: Vec::new(), only_left: false }
    }

    /// Those that a restore which was killed may have left.
    pub fn left(sorted: Vec<Name>) -> Self {
        Extras { only_left: true, ..Extras::all(sorted) }
    }

    /// The tree has this name.
    pub fn spare(&mut self, name: &Name) {
        let names: Vec<Name> = self.names.by_ref().filter(|extra| extra != name).collect();
        self.names = names.into_iter().peekable();
    }
}

impl Collector<'_> {
    /// Removes the names of the innermost directory before `name`, which the tree has; or all that are left.
    pub fn remove_before(&mut self, name: Option<&Name>) -> Result<()> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let State::Here { dir, .. } = level.state else { return Ok(()) };
        let Some(mut extras) = level.extras.take() else { return Ok(()) };
        let (folds, included) = (level.folded.is_some(), level.included);
        let only_left = extras.only_left;
        while let Some(extra) = extras.names.next_if(|extra| name.is_none_or(|name| extra <= name)) {
            self.job.tally.check()?;
            if Some(&extra) == name {
                break;
            }
            match folds {
                true => extras.held.push(extra),
                false => self.remove_extra(dir, &extra, included, only_left),
            }
        }
        if name.is_none() {
            for extra in std::mem::take(&mut extras.held) {
                let seen = self.levels.last().and_then(|level| level.folded.as_ref());
                if !seen.is_some_and(|seen| seen.contains(&folded(&extra))) {
                    self.remove_extra(dir, &extra, included, only_left);
                }
            }
        }
        if let Some(level) = self.levels.last_mut() {
            level.extras = Some(extras);
        }
        Ok(())
    }

    fn remove_extra(&self, dir: DirId, name: &Name, included: bool, only_left: bool) {
        let removed = self.dirs.get(dir).and_then(|at| {
            let Some(found) = at.stat(name)? else { return Ok(()) };
            let path = self.dirs.relative(dir, Some(name));
            let is_dir = found.kind == Kind::Directory;
            // Where only some is asked for, what went by before the walk arrived here was not compared.
            if self.filter.excludes(&path, is_dir) || !(included || self.filter.includes(&path, is_dir)) {
                return Ok(());
            }
            // Held until it is gone.
            let left = at.left(name, &found);
            if only_left && left.is_none() {
                return Ok(());
            }
            if left.is_some() && !self.job.request.dry_run {
                let what = "a restore that was killed had begun to write it: it is removed";
                self.job.monitor.note(&format!("{}: {what}", Shown(&self.dirs.path(dir, Some(name)))));
            }
            if self.is_protected(dir, name, &found) {
                return Ok(());
            }
            if is_dir && self.must_sweep() {
                return self.sweep(&at, name, dir, path).map(|_| ());
            }
            self.remove_one(&at, name, &path)
        });
        if let Err(error) = removed {
            self.job.tally.path_error(error);
        }
    }

    /// Removes an entry with all that is in it, or says so.
    pub fn remove_one(&self, dir: &TargetDir, name: &Name, path: &[u8]) -> Result<(), PathError> {
        if self.job.request.dry_run {
            self.job.tally.action("delete", path);
        } else {
            dir.remove(name)?;
        }
        count(&self.job.tally.deleted, 1);
        Ok(())
    }

    /// True when a directory may hold what has to stay.
    pub fn must_sweep(&self) -> bool {
        !self.filter.is_open() || self.job.request.protect.is_some()
    }

    /// Removes a directory but for what the patterns leave out, what is mounted in it and the directory that is to be
    /// left alone; true when there was any of these.
    pub fn sweep(&self, parent: &TargetDir, name: &Name, dir: DirId, mut path: Vec<u8>) -> Result<bool, PathError> {
        struct Step {
            name: Name,
            path_len: usize,
            names: IntoIter<Name>,
            kept: bool,
        }
        let mut steps: Vec<Step> = Vec::new();
        let open = |steps: &[Step]| {
            let names: Vec<Name> = steps.iter().map(|step| step.name.clone()).collect();
            parent.descend_same_mount(&names)
        };
        let mut enter = Some(name.clone());
        let mut any_kept = false;
        loop {
            if let Some(name) = enter.take() {
                steps.push(Step { name, path_len: path.len(), names: Vec::new().into_iter(), kept: false });
                let names = open(&steps).and_then(|dir| dir.list());
                if let Some(step) = steps.last_mut() {
                    match names {
                        Ok(names) => step.names = names.into_iter(),
                        // Something is mounted on it, or it cannot be read.
                        Err(error) => {
                            self.job.tally.path_error(error);
                            step.kept = true;
                        }
                    }
                }
            }
            let Some(step) = steps.last_mut() else { return Ok(any_kept) };
            path.truncate(step.path_len);
            let Some(next) = step.names.next() else {
                let Some(done) = steps.pop() else { return Ok(any_kept) };
                any_kept |= done.kept;
                if !done.kept {
                    if self.job.request.dry_run {
                        self.job.tally.action("delete", &path);
                    } else {
                        open(&steps)?.remove_empty(&done.name)?;
                    }
                    count(&self.job.tally.deleted, 1);
                } else if let Some(around) = steps.last_mut() {
                    around.kept = true;
                }
                continue;
            };
            path.push(b'/');
            path.extend_from_slice(next.as_bytes());
            let at = open(&steps)?;
            let Some(found) = at.stat(&next)? else { continue };
            let is_dir = found.kind == Kind::Directory;
            if self.filter.excludes(&path, is_dir) || self.is_protected(dir, &next, &found) {
                if let Some(step) = steps.last_mut() {
                    step.kept = true;
                }
            } else if is_dir {
                enter = Some(next);
            } else {
                self.remove_one(&at, &next, &path)?;
            }
        }
    }
}
