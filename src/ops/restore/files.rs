//! Files of a window while they are written: by whichever threads have their bytes, finished by the one that has the last.

use super::{
    dirs::{DirId, Dirs},
    tally::{Tally, count, is_whole, reason},
    window::{LinkKey, Want},
};
use crate::{
    fs::{
        PathError,
        target::{Identity, Kind, Policy, TempFile, apply_file, set_len, write_at},
    },
    model::node::Meta,
    monitor::{Counter, Monitor},
    name::Name,
};
use lru::LruCache;
use std::{
    fs::File,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

/// How a file comes about.
#[derive(Debug)]
pub(super) enum How {
    /// Created, written and closed in one go: it has one stretch.
    Whole,
    /// Created, and written as its bytes come.
    New,
    /// It is there, and what differs is written.
    InPlace,
    /// It is there with other names, or is to have some: written beside it, and then put in its place.
    Replace(Mutex<Option<TempFile>>),
}

/// A file of a window.
#[derive(Debug)]
pub(super) struct Item {
    pub dir: DirId,
    pub name: Name,
    pub meta: Meta,
    pub size: u64,
    pub how: How,
    /// Wants of this window that are not yet written.
    pub pending: AtomicU32,
    /// Nothing of this window goes to it.
    pub idle: bool,
    /// The rest comes in another window.
    pub more: bool,
    /// Its contents are not what was there.
    pub changed: bool,
    /// It was created by us.
    pub started: AtomicBool,
    /// It is dealt with, for good or ill.
    pub closed: AtomicBool,
    /// Why it cannot be restored.
    pub failed: OnceLock<String>,
    /// It is finished; which inode it is, when it has other names.
    pub done: OnceLock<Option<Identity>>,
    pub link: Option<LinkKey>,
}

impl Item {
    pub fn new(dir: DirId, name: Name, meta: Meta, size: u64, how: How, link: Option<LinkKey>) -> Self {
        Item {
            dir,
            name,
            meta,
            size,
            changed: !matches!(how, How::InPlace),
            how,
            pending: AtomicU32::new(0),
            idle: true,
            more: false,
            started: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            failed: OnceLock::new(),
            done: OnceLock::new(),
            link,
        }
    }
}

/// The files of a window, shared by the threads that write them.
pub(super) struct Files<'w> {
    pub items: &'w [Item],
    pub dirs: &'w Dirs,
    pub policy: &'w Policy,
    pub tally: &'w Tally<'w>,
    pub monitor: &'w dyn Monitor,
    open: Mutex<LruCache<u32, Arc<File>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl<'w> Files<'w> {
    pub fn new(
        items: &'w [Item],
        dirs: &'w Dirs,
        policy: &'w Policy,
        (tally, monitor): (&'w Tally<'w>, &'w dyn Monitor),
        open: usize,
    ) -> Self {
        let open = Mutex::new(LruCache::new(NonZeroUsize::new(open).unwrap_or(NonZeroUsize::MIN)));
        Files { items, dirs, policy, tally, monitor, open }
    }

    /// Writes what was wanted; the bytes are verified.
    pub fn write(&self, want: &Want, bytes: &[u8]) {
        let Some(item) = self.items.get(want.item as usize) else { return };
        if item.failed.get().is_none() {
            match self.try_write(item, want, bytes) {
                Ok(()) => {
                    count(&self.tally.bytes_written, bytes.len() as u64);
                    self.monitor.add(Counter::Bytes, bytes.len() as u64);
                }
                Err(error) => self.refuse(item, error),
            }
        }
        self.settle(want.item, item);
    }

    /// What was wanted cannot be had.
    pub fn fail(&self, want: &Want, why: &str) {
        let Some(item) = self.items.get(want.item as usize) else { return };
        let _ = item.failed.set(why.to_owned());
        self.settle(want.item, item);
    }

    /// The system refused something of this file.
    fn refuse(&self, item: &Item, error: PathError) {
        let _ = item.failed.set(reason(&error));
        if is_whole(&error) {
            self.tally.path_error(error);
        }
    }

    fn try_write(&self, item: &Item, want: &Want, bytes: &[u8]) -> Result<(), PathError> {
        let failed = |source| PathError::new(self.dirs.path(item.dir, Some(&item.name)), "write", source);
        match &item.how {
            How::Whole => {
                let dir = self.dirs.get(item.dir)?;
                let file = dir.create_file(&item.name)?;
                item.started.store(true, Ordering::Relaxed);
                write_at(&file, bytes, 0).map_err(failed)?;
                self.tally.applied(apply_file(&dir, &item.name, &file, &item.meta, self.policy));
                let _ = item.done.set(self.identity(item, &file)?);
                Ok(())
            }
            How::Replace(temp) => match &*lock(temp) {
                Some(temp) => write_at(temp.file(), bytes, want.at).map_err(failed),
                None => Err(failed(std::io::Error::other("it was given up"))),
            },
            How::New | How::InPlace => {
                let file = self.file(want.item, item)?;
                write_at(&file, bytes, want.at).map_err(failed)
            }
        }
    }

    fn identity(&self, item: &Item, file: &File) -> Result<Option<Identity>, PathError> {
        let failed = |source| PathError::new(self.dirs.path(item.dir, Some(&item.name)), "examine", source);
        item.link.map(|_| Identity::of(file)).transpose().map_err(failed)
    }

    /// The open file; created, or opened again, when it is not.
    fn file(&self, index: u32, item: &Item) -> Result<Arc<File>, PathError> {
        let mut open = lock(&self.open);
        if let Some(file) = open.get(&index) {
            return Ok(file.clone());
        }
        let dir = self.dirs.get(item.dir)?;
        let created = matches!(item.how, How::InPlace) || item.started.load(Ordering::Relaxed);
        let file = if created {
            dir.open_existing(&item.name)?
        } else {
            let file = dir.create_file(&item.name)?;
            item.started.store(true, Ordering::Relaxed);
            if item.size > 0 {
                set_len(&file, item.size)
                    .map_err(|e| PathError::new(dir.path_of(&item.name), "set the length of", e))?;
            }
            file
        };
        let file = Arc::new(file);
        open.put(index, file.clone());
        Ok(file)
    }

    fn settle(&self, index: u32, item: &Item) {
        if item.pending.fetch_sub(1, Ordering::AcqRel) == 1 && !item.more {
            self.finish(index, item);
        }
    }

    /// Finishes a file that has all its bytes, or will not get them.
    pub fn finish(&self, index: u32, item: &Item) {
        item.closed.store(true, Ordering::Relaxed);
        let open = lock(&self.open).pop(&index);
        if item.failed.get().is_none()
            && let Err(error) = self.complete(index, item, open)
        {
            self.refuse(item, error);
        }
        match item.failed.get() {
            None if item.changed => count(&self.tally.written, 1),
            None => count(&self.tally.unchanged, 1),
            Some(why) => {
                self.tally.problem(self.dirs.path(item.dir, Some(&item.name)), why.clone());
                self.undo(item);
            }
        }
        self.monitor.add(Counter::Entries, 1);
    }

    fn complete(&self, index: u32, item: &Item, open: Option<Arc<File>>) -> Result<(), PathError> {
        if item.done.get().is_some() {
            return Ok(());
        }
        let dir = self.dirs.get(item.dir)?;
        let apply = |file: &File| self.tally.applied(apply_file(&dir, &item.name, file, &item.meta, self.policy));
        let id = match &item.how {
            How::Replace(temp) => {
                let Some(temp) = lock(temp).take() else { return Ok(()) };
                apply(temp.file());
                self.identity(item, &dir.rename_over(temp, &item.name)?)?
            }
            How::InPlace if !item.changed => {
                self.tally.applied(dir.apply_to(&item.name, Kind::File, &item.meta, self.policy));
                None
            }
            How::InPlace => {
                let file = open.map_or_else(|| self.file(index, item), Ok)?;
                set_len(&file, item.size)
                    .map_err(|e| PathError::new(dir.path_of(&item.name), "set the length of", e))?;
                apply(&file);
                self.identity(item, &file)?
            }
            How::Whole | How::New => {
                let file = open.map_or_else(|| self.file(index, item), Ok)?;
                apply(&file);
                self.identity(item, &file)?
            }
        };
        lock(&self.open).pop(&index);
        let _ = item.done.set(id);
        Ok(())
    }

    /// Leaves nothing of a file that is not whole, but for one that was changed in place.
    pub fn undo(&self, item: &Item) {
        let removed = match &item.how {
            How::InPlace => Ok(()),
            How::Replace(temp) => match lock(temp).take() {
                Some(temp) => self.dirs.get(item.dir).and_then(|dir| dir.discard(temp)),
                None => Ok(()),
            },
            How::Whole | How::New if item.started.load(Ordering::Relaxed) => {
                self.dirs.get(item.dir).and_then(|dir| dir.remove(&item.name))
            }
            How::Whole | How::New => Ok(()),
        };
        if let Err(error) = removed {
            self.tally.path_error(error);
        }
    }
}
