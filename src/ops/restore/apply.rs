//! Does what a window holds: fetches and writes, reads back, links, and finishes the directories that were left.

use super::{
    collect::{Collector, State},
    dirs::{DirId, ROOT},
    execute::execute,
    files::{Files, Item},
    tally::count,
    verify::verify,
    window::{Window, reads},
};
use crate::{error::Result, monitor::Phase, ops};
use std::sync::atomic::Ordering;

impl Collector<'_> {
    /// Does all that was collected.
    pub fn close(&mut self) -> Result<()> {
        loop {
            self.run(false)?;
            let mut waiting = Vec::new();
            for link in std::mem::take(&mut self.window.links) {
                self.job.tally.check()?;
                waiting.extend(self.link(link)?);
            }
            self.window.links = waiting;
            if self.window.items.is_empty() && self.window.links.is_empty() {
                break;
            }
        }
        for finish in std::mem::take(&mut self.window.finishes) {
            let policy = self.names.policy();
            self.job.tally.applied(self.dirs.get(finish.dir).and_then(|dir| dir.apply(&finish.meta, policy)));
        }
        self.job.tally.check()?;
        let mut way = Vec::new();
        for level in &mut self.levels {
            if let State::Here { dir, .. } = &mut level.state
                && *dir != ROOT
            {
                way.push(*dir);
                *dir = way.len() as DirId;
            }
        }
        self.dirs.keep(&way);
        self.window = Window::default();
        Ok(())
    }

    /// Fetches and writes what the window wants. When the last file `goes_on`, it is the first of the next window.
    pub fn run(&mut self, goes_on: bool) -> Result<()> {
        if self.window.items.is_empty() {
            return Ok(());
        }
        let job = self.job;
        let runs = job.reader.index().runs();
        let mut wants = std::mem::take(&mut self.window.wants);
        let ways = ops::threads(job.request.threads).min(job.limits.ways);
        let (needed, reads) = reads(&mut wants, &runs, job.reader.index(), &job.limits, ways);
        if let (true, Some(item)) = (goes_on, self.window.items.last_mut()) {
            item.more = true;
        }
        if job.request.dry_run {
            count(&job.tally.bytes_fetched, reads.iter().map(|read| read.len as u64).sum());
        } else {
            if !std::mem::replace(&mut self.restoring, true) {
                job.monitor.phase(Phase::Restoring);
            }
            for item in &mut self.window.items {
                item.idle = *item.pending.get_mut() == 0;
            }
            let shared = (job.tally, job.monitor);
            let policy = self.names.policy();
            let files = Files::new(&self.window.items, &self.dirs, policy, shared, job.limits.open);
            execute(job, &runs, &wants, (&needed, &reads), &files)?;
            job.tally.check()?;
            if let (true, Some(target)) = (job.request.verify, self.target) {
                job.monitor.phase(Phase::Verifying);
                let differ = verify(target, &files, &mut wants, job.reader.repo().namer())?;
                drop(files);
                for index in differ {
                    if let Some(item) = self.window.items.get_mut(index as usize) {
                        item.done.take();
                    }
                }
                job.monitor.phase(Phase::Restoring);
            }
        }
        let mut items = std::mem::take(&mut self.window.items);
        if goes_on && let Some(mut item) = items.pop() {
            item.pending = 0.into();
            self.window.items.push(item);
        }
        items.iter().for_each(|item| self.settle_first(item));
        self.window.temporary = 0;
        Ok(())
    }

    fn settle_first(&mut self, item: &Item) {
        if let (Some(key), false) = (item.link, self.job.request.dry_run) {
            self.firsts.settle(key, item.done.get().copied().flatten());
        }
    }

    /// Leaves nothing unfinished behind.
    pub fn abandon(&mut self) {
        let shared = (self.job.tally, self.job.monitor);
        let files = Files::new(&self.window.items, &self.dirs, self.names.policy(), shared, 1);
        for item in self.window.items.iter().filter(|item| !item.closed.load(Ordering::Relaxed)) {
            files.undo(item);
        }
    }
}
