//! The file system's side of the walk: lists directories and looks at what is in them, ahead of who compares it with the snapshot
//! before. So one core waits for the system while another is at work.

use super::Scan;
use crate::{
    fs::{
        PathError,
        dir::Dir,
        exclude::{CACHE_TAG, Excludes},
        listing::Listing,
        stat::{Kind, Stat},
    },
    model::limits,
    name::{Name, Shown},
    ops::snapshot::flow::{Control, Habits, Stopped},
};
use crossbeam_channel::Sender;
use std::{io, sync::Arc};

/// Directories kept open above the one that is looked at; those further up are opened again when the walk comes back.
const OPEN_DIRS: usize = 128;
/// What is found is handed on when it is so many entries, or directories, which stay open until they are dealt with.
const BATCH_ENTRIES: usize = 512;
const BATCH_DIRS: usize = 32;
/// Batches that wait to be dealt with.
pub const BATCHES: usize = 2;

/// What the walk finds, in its order: depth first, each directory in the order of its names.
pub enum Seen {
    /// A directory begins: `None` where it could not be opened.
    Enter { dir: Option<Arc<Dir>>, name: Name, stat: Stat },
    /// So many of the batch's entries, none of them a directory, lie in the one that was begun last and has not ended.
    Entries { dir: Arc<Dir>, count: usize },
    /// It ends.
    Leave,
}

/// What is handed on together: one piece of memory for the entries of many directories.
#[derive(Default)]
pub struct Batch {
    pub seen: Vec<Seen>,
    pub entries: Vec<(Name, Stat)>,
}

struct Frame {
    dir: Option<Arc<Dir>>,
    name: Name,
    inode: u64,
    listing: Listing,
    at: usize,
    only_tag: bool,
    rel_len: usize,
}

/// Looks at one source.
pub struct Looker<'a> {
    control: &'a Control<'a>,
    excludes: &'a Excludes,
    protect: Option<(u64, u64)>,
    habits: Habits,
    to: Sender<Batch>,
    /// The device of the root.
    device: u64,
    rel: Vec<u8>,
    batch: Batch,
    dirs: usize,
}

impl<'a> Looker<'a> {
    /// Looks at nothing yet.
    pub fn new(scan: &Scan<'a>, to: Sender<Batch>) -> Self {
        Looker {
            control: scan.control,
            excludes: scan.excludes,
            protect: scan.protect,
            habits: scan.habits,
            to,
            device: 0,
            rel: Vec::new(),
            batch: Batch::default(),
            dirs: 0,
        }
    }

    /// Walks from a root, which goes by this name.
    pub fn run(mut self, root: Dir, name: Name) -> Result<(), Stopped> {
        let stat = match root.stat_self() {
            Ok(stat) => stat,
            Err(error) => return self.lost(&error),
        };
        if self.protect == Some((stat.device, stat.inode)) {
            self.control.problem(&root.path(), "it is this repository, which is no part of its own snapshots");
            return Ok(());
        }
        self.device = stat.device;
        let root = Arc::new(root);
        let mut entry = Vec::new();
        let mut frames = vec![self.enter(root.clone(), name, stat, true)?];
        while let Some(frame) = frames.last_mut() {
            self.rel.truncate(frame.rel_len);
            let Some(next) = frame.listing.get(frame.at) else {
                frames.pop();
                self.found(Seen::Leave)?;
                continue;
            };
            entry.clear();
            entry.extend_from_slice(next.name);
            let listed_as = next.kind;
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
            if let Some(below) = self.visit(&dir, &entry, listed_as, frames.len())? {
                frames.push(below);
                let far = frames.len().checked_sub(OPEN_DIRS).filter(|&far| far > 0);
                if let Some(frame) = far.and_then(|far| frames.get_mut(far)) {
                    frame.dir = None;
                }
            }
        }
        self.hand_on()
    }

    fn lost(&self, error: &PathError) -> Result<(), Stopped> {
        self.control.lost(error, self.habits);
        Ok(())
    }

    /// Opens a directory again whose descriptor was given up in a very deep tree. Drops what is left of it when that fails: it
    /// cannot be read.
    fn reopen(&self, root: &Dir, frames: &mut [Frame]) -> Option<Arc<Dir>> {
        let names: Vec<Name> = frames.iter().skip(1).map(|frame| frame.name.clone()).collect();
        let frame = frames.last_mut()?;
        let opened = root.reopen(&names).and_then(|dir| {
            if dir.stat_self()?.inode == frame.inode {
                Ok(dir)
            } else {
                Err(PathError::new(dir.path(), "come back to", io::Error::other("it was replaced meanwhile")))
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

    /// Looks at an entry; returns the directory that it turns out to be.
    fn visit(
        &mut self,
        dir: &Arc<Dir>,
        entry: &[u8],
        listed_as: Option<Kind>,
        depth: usize,
    ) -> Result<Option<Frame>, Stopped> {
        if !self.rel.is_empty() {
            self.rel.push(b'/');
        }
        self.rel.extend_from_slice(entry);
        let stat = match dir.stat(entry) {
            Ok(stat) => stat,
            // What would have been left out is no loss.
            Err(error) if error.is_missing() && self.excludes.leaves_out(&self.rel, listed_as == Some(Kind::Dir)) => {
                return Ok(None);
            }
            // A whole tree may have got another name, where it was not looked for.
            Err(error) if listed_as == Some(Kind::Dir) => {
                self.control.path_problem(&error);
                return Ok(None);
            }
            Err(error) => return self.lost(&error).map(|()| None),
        };
        let is_dir = stat.kind == Kind::Dir;
        if self.excludes.leaves_out(&self.rel, is_dir)
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
        if !is_dir {
            return self.entry(dir, name, stat).map(|()| None);
        }
        if self.protect == Some((stat.device, stat.inode)) {
            let path = dir.path_of(name.as_bytes());
            self.control.monitor.note(&format!("{} is left out: it is this repository", Shown(&path)));
            return Ok(None);
        }
        if depth >= limits::DEPTH_MAX {
            self.control.problem(&dir.path_of(name.as_bytes()), "directories are nested too deeply");
            return Ok(None);
        }
        let inside = !self.excludes.one_file_system() || stat.device == self.device;
        match dir.open_child(&name) {
            Ok(child) => self.enter(Arc::new(child), name, stat, inside).map(Some),
            Err(error) => {
                self.control.path_problem(&error);
                // The directory itself is known; that its contents are not is recorded.
                self.found(Seen::Enter { dir: None, name, stat })?;
                self.found(Seen::Leave).map(|()| None)
            }
        }
    }

    /// Begins a directory: lists it, unless it is only to be kept as a mount point.
    fn enter(&mut self, dir: Arc<Dir>, name: Name, stat: Stat, inside: bool) -> Result<Frame, Stopped> {
        let listing = match if inside { dir.list() } else { Ok(Listing::default()) } {
            Ok(listing) => listing,
            Err(error) => {
                self.control.path_problem(&error);
                Listing::default()
            }
        };
        self.found(Seen::Enter { dir: Some(dir.clone()), name: name.clone(), stat })?;
        Ok(Frame {
            only_tag: self.excludes.is_cache_dir(&dir),
            dir: Some(dir),
            name,
            inode: stat.inode,
            listing,
            at: 0,
            rel_len: self.rel.len(),
        })
    }

    fn entry(&mut self, dir: &Arc<Dir>, name: Name, stat: Stat) -> Result<(), Stopped> {
        match self.batch.seen.last_mut() {
            Some(Seen::Entries { dir: last, count }) if Arc::ptr_eq(last, dir) => *count += 1,
            _ => {
                self.dirs += 1;
                self.batch.seen.push(Seen::Entries { dir: dir.clone(), count: 1 });
            }
        }
        if self.batch.entries.capacity() == 0 {
            self.batch.entries.reserve_exact(BATCH_ENTRIES);
        }
        self.batch.entries.push((name, stat));
        self.counted()
    }

    fn found(&mut self, seen: Seen) -> Result<(), Stopped> {
        self.dirs += usize::from(matches!(seen, Seen::Enter { .. }));
        self.batch.seen.push(seen);
        self.counted()
    }

    fn counted(&mut self) -> Result<(), Stopped> {
        let is_full = self.batch.entries.len() >= BATCH_ENTRIES || self.dirs >= BATCH_DIRS;
        if is_full { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> Result<(), Stopped> {
        self.dirs = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.seen.is_empty() { self.control.check() } else { self.control.send(&self.to, batch) }
    }
}
