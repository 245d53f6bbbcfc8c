//! The walk over a source: depth first, each directory in the order of its names, with the snapshot before alongside.

mod entries;
mod links;
mod run;

pub use entries::meta_of;

use super::{
    flow::{Control, Step, Stopped, Task, Ticket},
    job::Job,
    parent::{Cursor, Parent},
    recall::Recall,
};
use crate::{
    fs::{
        PathError,
        dir::Dir,
        exclude::{CACHE_TAG, Excludes},
        listing::Listing,
        metadata,
        stat::{Kind, Stat},
    },
    id::BlobId,
    model::{
        limits,
        node::{Body, Node},
    },
    monitor::Counter,
    name::{Name, Shown},
};
use crossbeam_channel::{Sender, TrySendError};
use links::Links;
use run::Run;
use std::sync::Arc;

/// Directories kept open above the one that is walked; those further up are opened again when the walk comes back.
const OPEN_DIRS: usize = 128;

struct Frame<'a> {
    dir: Option<Arc<Dir>>,
    node: Box<Node>,
    listing: Listing,
    at: usize,
    parent: Option<Cursor<'a>>,
    only_tag: bool,
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
    pub steps: Sender<Step>,
    pub tasks: Sender<Vec<Task>>,
    state: State,
}

#[derive(Default)]
struct State {
    run: Run,
    next_ticket: Ticket,
    devices: Vec<u64>,
    links: Links,
    /// Name of the source, and the path below it.
    source: Vec<u8>,
    rel: Vec<u8>,
}

impl<'a> Scan<'a> {
    /// A walk that has not begun.
    pub fn new(job: &'a Job<'a>, excludes: &'a Excludes, steps: Sender<Step>, tasks: Sender<Vec<Task>>) -> Self {
        Scan {
            control: job.control,
            excludes,
            parent: job.parent,
            recall: job.recall,
            with_atime: job.with_atime,
            protect: job.protect,
            steps,
            tasks,
            state: State::default(),
        }
    }

    /// Walks a source whose root is a directory.
    pub fn directory(mut self, root: Dir, name: Name) -> Result<(), Stopped> {
        let stat = match root.stat_self() {
            Ok(stat) => stat,
            Err(error) => return self.lost(&error),
        };
        if self.protect == Some((stat.device, stat.inode)) {
            self.control.problem(&root.path(), "it is this repository, which is no part of its own snapshots");
            return Ok(());
        }
        let before = self.parent.and_then(|parent| parent.root(name.as_bytes()));
        let root = Arc::new(root);
        self.state.source = name.as_bytes().to_vec();
        let mut frames = Vec::new();
        frames.extend(self.enter(&root, name, &stat, before, true)?);
        while let Some(frame) = frames.last_mut() {
            self.state.rel.truncate(frame.rel_len);
            let Some(entry) = frame.listing.name(frame.at) else {
                if let Some(frame) = frames.pop() {
                    self.step(Step::Leave(frame.node))?;
                }
                continue;
            };
            let entry = entry.to_vec();
            frame.at += 1;
            if frame.only_tag && entry != CACHE_TAG {
                continue;
            }
            let dir = match &frame.dir {
                Some(dir) => dir.clone(),
                None => match self.reopen(&root, &mut frames) {
                    Some(dir) => dir,
                    None => continue,
                },
            };
            if let Some(below) = self.visit(&dir, entry, &mut frames)? {
                frames.push(below);
                let far = frames.len().checked_sub(OPEN_DIRS).filter(|&far| far > 0);
                if let Some(frame) = far.and_then(|far| frames.get_mut(far)) {
                    frame.dir = None;
                }
            }
        }
        self.finish()
    }

    /// Walks a source whose root is one file.
    pub fn single(mut self, dir: Dir, entry: Name, name: Name) -> Result<(), Stopped> {
        let stat = match dir.stat(entry.as_bytes()) {
            Ok(stat) => stat,
            Err(error) => return self.lost(&error),
        };
        let before = self.parent.and_then(|parent| parent.root(name.as_bytes()));
        self.state.source = name.as_bytes().to_vec();
        self.entry(&Arc::new(dir), entry, name, &stat, before)?;
        self.finish()
    }

    fn lost(&self, error: &PathError) -> Result<(), Stopped> {
        self.control.path_problem(error);
        Ok(())
    }

    /// Opens a directory again whose descriptor was given up in a very deep tree. Drops the frame when that fails: what is left of
    /// it cannot be read.
    fn reopen(&self, root: &Dir, frames: &mut [Frame<'a>]) -> Option<Arc<Dir>> {
        let names: Vec<Name> = frames.iter().skip(1).map(|frame| frame.node.name.clone()).collect();
        let frame = frames.last_mut()?;
        let opened = root.reopen(&names).and_then(|dir| {
            let stat = dir.stat_self()?;
            if stat.inode == frame.node.meta.inode {
                Ok(dir)
            } else {
                Err(PathError::new(dir.path(), "come back to", std::io::Error::other("it was replaced meanwhile")))
            }
        });
        match opened {
            Ok(dir) => {
                let dir = Arc::new(dir);
                frame.dir = Some(dir.clone());
                Some(dir)
            }
            Err(error) => {
                self.control.path_problem(&error);
                frame.at = frame.listing.len();
                None
            }
        }
    }

    fn visit(
        &mut self,
        dir: &Arc<Dir>,
        entry: Vec<u8>,
        frames: &mut [Frame<'a>],
    ) -> Result<Option<Frame<'a>>, Stopped> {
        if !self.state.rel.is_empty() {
            self.state.rel.push(b'/');
        }
        self.state.rel.extend_from_slice(&entry);
        let stat = match dir.stat(&entry) {
            Ok(stat) => stat,
            Err(error) => return self.lost(&error).map(|()| None),
        };
        let is_dir = stat.kind == Kind::Dir;
        if self.excludes.leaves_out(&self.state.rel, is_dir)
            || (stat.kind == Kind::File && self.excludes.too_large(stat.size))
        {
            return Ok(None);
        }
        let name = match Name::new(entry) {
            Ok(name) => name,
            Err(bad) => {
                self.control.problem(&dir.path_of(&bad.0), "its name is longer than 255 bytes");
                return Ok(None);
            }
        };
        if is_dir && self.protect == Some((stat.device, stat.inode)) {
            let path = dir.path_of(name.as_bytes());
            self.control.monitor.note(&format!("{} is left out: it is this repository", Shown(&path)));
            return Ok(None);
        }
        let before = frames.last_mut().and_then(|frame| frame.parent.as_mut()?.seek(name.as_bytes()));
        if !is_dir {
            return self.entry(dir, name.clone(), name, &stat, before).map(|()| None);
        }
        if frames.len() >= limits::DEPTH_MAX {
            self.control.problem(&dir.path_of(name.as_bytes()), "directories are nested too deeply");
            return Ok(None);
        }
        let other_device = self.excludes.one_file_system() && self.state.devices.first() != Some(&stat.device);
        match dir.open_child(&name) {
            Ok(child) => self.enter(&Arc::new(child), name, &stat, before, !other_device),
            Err(error) => {
                self.control.path_problem(&error);
                // The directory itself is known; that its contents are not is recorded.
                self.step(Step::Enter { before: None })?;
                let node = self.node(name, &stat, Vec::new(), directory());
                self.step(Step::Leave(node)).map(|()| None)
            }
        }
    }

    /// Begins a directory: lists it (unless it is only to be kept as a mount point) and reads its attributes.
    fn enter(
        &mut self,
        dir: &Arc<Dir>,
        name: Name,
        stat: &Stat,
        before: Option<Node>,
        inside: bool,
    ) -> Result<Option<Frame<'a>>, Stopped> {
        self.control.monitor.at(&dir.path());
        let xattrs = match (&before, self.parent) {
            (Some(node), Some(parent))
                if parent.knows_attributes && node.is_dir() && parent.is_unchanged(stat, node) =>
            {
                node.meta.xattrs.clone()
            }
            _ => self.attributes(metadata::xattrs_of_dir(dir)),
        };
        let listing = match if inside { dir.list() } else { Ok(Listing::default()) } {
            Ok(listing) => listing,
            Err(error) => {
                self.control.path_problem(&error);
                Listing::default()
            }
        };
        let root = match before.as_ref().map(|node| &node.body) {
            Some(Body::Directory { tree, .. }) => Some(*tree),
            _ => None,
        };
        self.step(Step::Enter { before: root })?;
        self.control.monitor.add(Counter::Entries, 1);
        Ok(Some(Frame {
            dir: Some(dir.clone()),
            node: self.node(name, stat, xattrs, directory()),
            listing,
            at: 0,
            parent: self.parent.and_then(|parent| parent.cursor(before.as_ref())),
            only_tag: self.excludes.is_cache_dir(dir),
            rel_len: self.state.rel.len(),
        }))
    }

    /// Tells the assembler. It may be waiting for a file of the run that is being gathered: then that goes first.
    fn step(&mut self, step: Step) -> Result<(), Stopped> {
        match self.steps.try_send(step) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(step)) => {
                self.flush_run()?;
                self.control.send(&self.steps, step)
            }
            Err(TrySendError::Disconnected(_)) => Err(Stopped),
        }
    }

    fn flush_run(&mut self) -> Result<(), Stopped> {
        self.control.check()?;
        let run = self.state.run.take();
        if run.is_empty() { Ok(()) } else { self.control.send(&self.tasks, run) }
    }

    fn finish(mut self) -> Result<(), Stopped> {
        self.flush_run()
    }
}

/// A directory whose tree is not known yet.
fn directory() -> Body {
    Body::Directory { tree: BlobId([0; 32]), entries: 0, bytes: 0 }
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

    #[test]
    fn runs_keep_few_directories_open() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..100 {
            let below = folder.path().join(number.to_string());
            std::fs::create_dir(&below).unwrap();
            std::fs::write(below.join("file"), "x").unwrap();
            std::fs::write(below.join("other"), "y").unwrap();
        }
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
        let ((steps, _all), (tasks, runs)) = (unbounded(), unbounded());
        let root = Dir::open(folder.path().as_os_str().as_bytes()).unwrap();
        Scan::new(&job, &excludes, steps, tasks).directory(root, Name::new(*b"data").unwrap()).unwrap();
        let runs: Vec<Vec<Task>> = runs.iter().collect();
        assert_eq!(runs.iter().map(Vec::len).sum::<usize>(), 200);
        for run in &runs {
            let mut dirs: Vec<_> = run.iter().map(|task| task.dir.path()).collect();
            dirs.dedup();
            assert!(dirs.len() <= run::DIRS, "{}", dirs.len());
        }
    }
}
