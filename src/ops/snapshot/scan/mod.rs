//! The walk over a source: depth first, each directory in the order of its names, with the snapshot before alongside.
//!
//! A thread of its own looks ahead ([`look`]); what it finds is compared here.

mod entries;
mod links;
mod look;
mod run;

pub use entries::meta_of;

use super::{
    flow::{Control, Habits, Step, Stopped, Task, Ticket},
    job::Job,
    parent::{Cursor, Parent},
    recall::Recall,
};
use crate::{
    fs::{PathError, dir::Dir, exclude::Excludes, metadata, stat::Stat},
    id::{BLOB_ID_LEN, BlobId},
    model::node::{Body, Node},
    monitor::Counter,
    name::Name,
};
use crossbeam_channel::{Sender, TrySendError, bounded};
use links::Links;
use look::{BATCHES, Batch, Looker, Seen};
use run::Run;
use std::{sync::Arc, vec};

/// Steps that are handed on together.
pub const STEPS_AT_ONCE: usize = 256;

/// A directory that has begun.
struct Frame<'a> {
    node: Node,
    parent: Option<Cursor<'a>>,
    rel_len: usize,
}

/// Walks one source.
pub struct Scan<'a> {
    pub control: &'a Control<'a>,
    pub excludes: &'a Excludes,
    pub parent: Option<Parent<'a>>,
    pub recall: Option<&'a Recall<'a>>,
    pub with_atime: bool,
    pub protect: Option<(u64, u64)>,
    pub habits: Habits,
    pub steps: Sender<Vec<Step>>,
    pub tasks: Sender<Vec<Task>>,
    state: State,
}

#[derive(Default)]
struct State {
    run: Run,
    /// Steps that the assembler was not told of yet.
    ahead: Vec<Step>,
    next_ticket: Ticket,
    devices: Vec<u64>,
    links: Links,
    /// Name of the source, and the path below it.
    source: Vec<u8>,
    rel: Vec<u8>,
}

impl<'a> Scan<'a> {
    /// A walk that has not begun.
    pub fn new(
        job: &'a Job<'a>,
        excludes: &'a Excludes,
        habits: Habits,
        steps: Sender<Vec<Step>>,
        tasks: Sender<Vec<Task>>,
    ) -> Self {
        Scan {
            control: job.control,
            excludes,
            parent: job.parent,
            recall: job.recall,
            with_atime: job.with_atime,
            protect: job.protect,
            habits,
            steps,
            tasks,
            state: State::default(),
        }
    }

    /// Walks a source whose root is a directory.
    pub fn directory(mut self, root: Dir, name: Name) -> Result<(), Stopped> {
        self.state.source = name.as_bytes().to_vec();
        let (to, seen) = bounded(BATCHES);
        let looker = Looker::new(&self, to);
        let control = self.control;
        std::thread::scope(move |scope| {
            control.spawn(scope, "looker", move || looker.run(root, name))?;
            let mut frames = Vec::new();
            loop {
                let batch = match seen.try_recv() {
                    Ok(batch) => Some(batch),
                    Err(_) => {
                        self.hand_on_steps()?;
                        control.receive(&seen)?
                    }
                };
                let Some(Batch { seen, entries }) = batch else { break };
                let begun = seen.iter().find_map(|seen| match seen {
                    Seen::Enter { dir, .. } => dir.as_ref(),
                    _ => None,
                });
                begun.inspect(|dir| control.monitor.at(&dir.path()));
                let mut entries = entries.into_iter();
                for seen in seen {
                    self.deal_with(seen, &mut entries, &mut frames)?;
                }
            }
            self.finish()
        })
    }

    fn lost(&self, error: &PathError) -> Result<(), Stopped> {
        self.control.lost(error, self.habits);
        Ok(())
    }

    /// Walks a source whose root is one file.
    pub fn single(mut self, dir: Dir, entry: Name, name: Name) -> Result<(), Stopped> {
        let stat = match dir.stat(entry.as_bytes()) {
            Ok(stat) => stat,
            Err(error) => return self.lost(&error),
        };
        let before = self.parent.and_then(|parent| parent.root(name.as_bytes()));
        self.state.source = name.as_bytes().to_vec();
        self.entry(&Arc::new(dir), Some(entry), name, &stat, before)?;
        self.finish()
    }

    fn deal_with(
        &mut self,
        seen: Seen,
        entries: &mut vec::IntoIter<(Name, Stat)>,
        frames: &mut Vec<Frame<'a>>,
    ) -> Result<(), Stopped> {
        match seen {
            Seen::Enter { dir, name, stat } => {
                let before = match frames.last_mut() {
                    Some(above) => {
                        self.below(above.rel_len, &name);
                        above.parent.as_mut().and_then(|cursor| cursor.seek(name.as_bytes()))
                    }
                    None => self.parent.and_then(|parent| parent.root(name.as_bytes())),
                };
                let frame = self.enter(dir.as_deref(), name, &stat, before)?;
                frames.push(frame);
            }
            Seen::Entries { dir, count } => {
                for (name, stat) in entries.by_ref().take(count) {
                    let Some(frame) = frames.last_mut() else { continue };
                    self.below(frame.rel_len, &name);
                    let before = frame.parent.as_mut().and_then(|cursor| cursor.seek(name.as_bytes()));
                    self.entry(&dir, None, name, &stat, before)?;
                }
            }
            Seen::Leave => {
                if let Some(frame) = frames.pop() {
                    self.step(Step::Leave(Box::new(frame.node)))?;
                }
            }
        }
        Ok(())
    }

    /// Makes `rel` the path of an entry of the directory whose path is so long.
    fn below(&mut self, rel_len: usize, name: &Name) {
        let rel = &mut self.state.rel;
        rel.truncate(rel_len);
        if !rel.is_empty() {
            rel.push(b'/');
        }
        rel.extend_from_slice(name.as_bytes());
    }

    /// Begins a directory, and reads its attributes unless they are known. Of one that could not be opened only its metadata is.
    fn enter(
        &mut self,
        dir: Option<&Dir>,
        name: Name,
        stat: &Stat,
        before: Option<Node>,
    ) -> Result<Frame<'a>, Stopped> {
        let Some(dir) = dir else {
            self.step(Step::Enter { before: None })?;
            let node = self.node(name, stat, Vec::new(), directory());
            return Ok(Frame { node, parent: None, rel_len: self.state.rel.len() });
        };
        let xattrs = match (&before, self.parent) {
            (Some(node), Some(parent))
                if parent.knows_attributes && node.is_dir() && parent.is_unchanged(stat, node) =>
            {
                node.meta.xattrs.clone()
            }
            _ => self.attributes(metadata::xattrs_of_dir(dir)),
        };
        let root = match before.as_ref().map(|node| &node.body) {
            Some(Body::Directory { tree, .. }) => Some(*tree),
            _ => None,
        };
        self.step(Step::Enter { before: root })?;
        self.control.monitor.add(Counter::Entries, 1);
        Ok(Frame {
            node: self.node(name, stat, xattrs, directory()),
            parent: self.parent.and_then(|parent| parent.cursor(before.as_ref())),
            rel_len: self.state.rel.len(),
        })
    }

    /// Tells the assembler, of many steps at once: to hand one over may cost more than to take it.
    fn step(&mut self, step: Step) -> Result<(), Stopped> {
        self.state.ahead.push(step);
        if self.state.ahead.len() < STEPS_AT_ONCE { Ok(()) } else { self.flush_steps() }
    }

    /// The assembler may be waiting for a file of the run that is being gathered: then that goes first.
    fn flush_steps(&mut self) -> Result<(), Stopped> {
        let next = Vec::with_capacity(STEPS_AT_ONCE);
        match self.steps.try_send(std::mem::replace(&mut self.state.ahead, next)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(steps)) => {
                self.flush_run()?;
                self.control.send(&self.steps, steps)
            }
            Err(TrySendError::Disconnected(_)) => Err(Stopped),
        }
    }

    /// What there is, when there is room. Whoever is about to wait does this first: as long as the assembler has no steps it takes no
    /// results, and these would pile up.
    fn hand_on_steps(&mut self) -> Result<(), Stopped> {
        if self.state.ahead.is_empty() {
            return Ok(());
        }
        match self.steps.try_send(std::mem::take(&mut self.state.ahead)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(steps)) => {
                self.state.ahead = steps;
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(Stopped),
        }
    }

    fn flush_run(&mut self) -> Result<(), Stopped> {
        self.control.check()?;
        let run = self.state.run.take();
        if run.is_empty() {
            return Ok(());
        }
        match self.tasks.try_send(run) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(run)) => {
                self.hand_on_steps()?;
                self.control.send(&self.tasks, run)
            }
            Err(TrySendError::Disconnected(_)) => Err(Stopped),
        }
    }

    fn finish(mut self) -> Result<(), Stopped> {
        self.flush_run()?;
        self.flush_steps()
    }
}

/// A directory whose tree is not known yet.
fn directory() -> Body {
    Body::Directory { tree: BlobId([0; BLOB_ID_LEN]), entries: 0, bytes: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fs::exclude::ExcludeOptions, monitor::Silent, ops::snapshot::job::Bases, ops::snapshot::tests::repository,
        store::memory::MemoryStore,
    };
    use crossbeam_channel::unbounded;
    use std::os::unix::ffi::OsStrExt;

    /// Walks `folder` in a thread, into these channels, and lets `look` see what comes out meanwhile.
    fn walk(folder: &std::path::Path, steps: Sender<Vec<Step>>, tasks: Sender<Vec<Task>>, look: impl FnOnce()) {
        let (repo, control) = (repository(Arc::new(MemoryStore::new())), Control::new(&Silent));
        let exclude_options = ExcludeOptions::default();
        let excludes = Excludes::new(&exclude_options).unwrap();
        let job = Job {
            recall: None,
            control: &control,
            excludes: &excludes,
            exclude_options: &exclude_options,
            parent: None,
            bases: Bases::default(),
            with_atime: false,
            protect: None,
            repo: &repo,
        };
        let root = Dir::open(folder.as_os_str().as_bytes()).unwrap();
        let scan = Scan::new(&job, &excludes, Habits::default(), steps, tasks);
        std::thread::scope(|scope| {
            let walker = scope.spawn(|| scan.directory(root, Name::new(*b"data").unwrap()));
            look();
            // Who looked away before the end has stopped it.
            let _ = walker.join().unwrap();
        });
    }

    #[test]
    fn the_assembler_is_told_of_files_while_readers_are_busy() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..6 {
            let file = std::fs::File::create(folder.path().join(number.to_string())).unwrap();
            file.set_len(1 << 20).unwrap();
        }
        // Each is a run of its own: one waits, and the walker with the next.
        let ((steps, told), (tasks, runs)) = (unbounded(), bounded(1));
        walk(folder.path(), steps, tasks, move || {
            let first = told.recv_timeout(std::time::Duration::from_secs(60)).expect("steps while no reader is there");
            assert!(first.iter().any(|step| matches!(step, Step::File { .. })));
            drop(runs);
        });
    }

    #[test]
    fn runs_keep_few_directories_open() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..100 {
            let below = folder.path().join(number.to_string());
            std::fs::create_dir(&below).unwrap();
            std::fs::write(below.join("file"), "x").unwrap();
            std::fs::write(below.join("other"), "y").unwrap();
        }
        let ((steps, _all), (tasks, runs)) = (unbounded(), unbounded());
        walk(folder.path(), steps, tasks, || {});
        let runs: Vec<Vec<Task>> = runs.iter().collect();
        assert_eq!(runs.iter().map(Vec::len).sum::<usize>(), 200);
        for run in &runs {
            let mut dirs: Vec<_> = run.iter().map(|task| task.dir.path()).collect();
            dirs.dedup();
            assert!(dirs.len() <= run::DIRS, "{}", dirs.len());
        }
    }
}
