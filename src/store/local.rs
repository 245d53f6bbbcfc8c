//! A store in a folder: an object is a file `<root>/<name>`, an upload a locked file in `<root>/tmp`.
//!
//! **What is durable when.** A name must never become durable before its bytes: after a power cut it would stand for an
//! empty or torn file. So `finish` flushes the file *before* the rename, outside of any lock, so that many uploads are
//! flushed at once; and `sync` flushes the folders afterwards, each once: those that were written to, those above them
//! (they, or another process, may have made them), and those where `list` and `stat` found something, since another run
//! may have renamed it there and been killed before its own sync.
//!
//! A store that is [gathering](LocalStore::gathering) flushes many files at once and names them afterwards: the same order.
//!
//! **Failed flushes are final.** Linux reports a lost write once and then calls the pages clean, so a second fsync that
//! succeeds proves nothing. The upload is dropped, and every later `sync` fails too.
//!
//! **Leftovers.** An upload holds an exclusive `flock` on its file for as long as it lives. A file in `tmp` that can be
//! locked has no owner and is removed when a store is opened.
//!
//! Symbolic links inside the store are never followed; the root itself may be reached through one.

pub mod disk;
mod folder;
mod gather;
mod upload;

use super::{Capabilities, Entry, ObjectName, Put, Store, Upload, lock, missing, too_long, too_short};
use crate::{
    error::{Error, Result},
    name::Shown,
};
use disk::At;
use rustix::{
    fs::{AtFlags, FileType, RenameFlags, Stat},
    io::Errno,
};
use std::{
    collections::BTreeSet,
    fs::{DirBuilder, File},
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, FileExt},
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

/// The folder of uploads. No object's name begins with it.
const TMP: &str = "tmp";

/// A store in a folder of this machine (or of a medium, or of another machine, that is mounted here).
#[derive(Debug)]
pub struct LocalStore {
    path: PathBuf,
    root: OwnedFd,
    /// Changes are made through it.
    disk: disk::Disk,
    /// Folders to flush at the next sync, by their path under the root.
    touched: Mutex<BTreeSet<String>>,
    /// Held during a sync: who finds nothing left to flush must not return before the flush is done.
    syncing: Mutex<()>,
    /// The first flush that failed.
    lost: Mutex<Option<Errno>>,
    exclusive: OnceLock<bool>,
    /// Complete uploads that wait for one another; `None` when each is flushed by itself.
    gathered: Option<gather::Gathered>,
}

impl LocalStore {
    /// Makes the folder, and those above it, where they are missing, and opens it.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |e| Error::store("create", shown(path), e);
        let absolute = std::path::absolute(path).map_err(failed)?;
        let stood = absolute.ancestors().skip(1).find(|above| above.is_dir()).map(Path::to_owned);
        DirBuilder::new().recursive(true).mode(0o700).create(&absolute).map_err(failed)?;
        let store = Self::open(path)?;
        // The new folders' own names: up to the one that stood before.
        for above in absolute.ancestors().skip(1) {
            folder::flush_path(&store.disk, above, store.root.as_fd()).map_err(|e| failed(e.into()))?;
            if stood.as_deref() == Some(above) {
                break;
            }
        }
        Ok(store)
    }

    /// Opens the folder, which must be there, and removes the uploads of processes that died. A folder that cannot be
    /// written to opens as well; storing fails then.
    pub fn open(path: &Path) -> Result<Self> {
        let store = Self::open_untouched(path)?;
        upload::sweep(&store.disk, store.root.as_fd());
        Ok(store)
    }

    /// The same with somebody who is asked before each change, for tests.
    pub fn open_watched(path: &Path, watch: Arc<dyn disk::Watch>) -> Result<Self> {
        let store = LocalStore { disk: disk::Disk::watched(watch), ..Self::open_untouched(path)? };
        upload::sweep(&store.disk, store.root.as_fd());
        Ok(store)
    }

    /// Opens the folder, which must be there, and removes nothing: for a medium that is failing.
    pub fn open_untouched(path: &Path) -> Result<Self> {
        let root = folder::open_root(path).map_err(|e| Error::store("open", shown(path), e.into()))?;
        Ok(LocalStore {
            path: path.to_owned(),
            root,
            disk: disk::Disk::default(),
            touched: Mutex::default(),
            syncing: Mutex::default(),
            lost: Mutex::default(),
            exclusive: OnceLock::new(),
            gathered: None,
        })
    }

    /// The same store for who puts many objects and asks for none of them before the next sync: uploads are gathered, flushed
    /// together, and only then get their names. On a slow medium, or for small objects, that is many times as fast.
    pub fn gathering(self) -> Self {
        LocalStore { gathered: Some(gather::Gathered::default()), ..self }
    }

    /// The same folder once more, whatever lies at its path by now.
    pub fn again(&self) -> Result<Self> {
        let failed = |e| Error::store("open", self.place(), e);
        let root = self.root.try_clone().map_err(failed)?;
        Ok(LocalStore {
            path: self.path.clone(),
            root,
            disk: self.disk.clone(),
            touched: Mutex::default(),
            syncing: Mutex::default(),
            lost: Mutex::default(),
            exclusive: OnceLock::new(),
            gathered: None,
        })
    }

    /// The device number of the file system that the open folder lies on.
    #[allow(clippy::unnecessary_cast, reason = "the width of this field depends on the architecture")]
    pub fn device(&self) -> Result<u64> {
        let stat = rustix::fs::fstat(&self.root).map_err(|e| Error::store("look at", self.place(), e.into()))?;
        Ok(stat.st_dev as u64)
    }

    /// Lets the kernel forget what it keeps of an object's bytes, so that they are read from the disk the next time. What is not yet
    /// on the disk stays.
    pub fn drop_cached(&self, name: &ObjectName) -> Result<()> {
        let (file, _) = self.file(name)?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).map_err(|e| self.object("read", name, e))
    }

    fn object(&self, doing: &'static str, name: &ObjectName, e: impl Into<io::Error>) -> Error {
        Error::store(doing, format_args!("{}/{name}", self.place()), e.into())
    }

    /// Remembers the folder, and those above it, for the next sync. To be called when the change is made, not before: a
    /// sync in between would forget it.
    fn touch(&self, folder: &str) {
        let mut touched = lock(&self.touched);
        let slashes = folder.match_indices('/').map(|(i, _)| i);
        for end in slashes.chain([0, folder.len()]) {
            if let Some(part) = folder.get(..end).filter(|part| !touched.contains(*part)) {
                touched.insert(part.to_owned());
            }
        }
    }

    /// Notes that a flush failed, which no later sync may hide.
    fn lose(&self, e: &io::Error) {
        lock(&self.lost).get_or_insert(Errno::from_io_error(e).unwrap_or(Errno::IO));
    }

    // Opens an object's file. A folder, a link or a device at its name is an error.
    fn file(&self, name: &ObjectName) -> Result<(File, u64)> {
        let failed = |e: Errno| match e {
            Errno::NOENT => missing(name),
            e => self.object("read", name, e),
        };
        if is_reserved(name) {
            return Err(missing(name));
        }
        let fd = folder::open_file(self.root.as_fd(), name).map_err(failed)?;
        let stat = rustix::fs::fstat(&fd).map_err(failed)?;
        if !is_file(&stat) {
            return Err(self.object("read", name, io::Error::other("it is not a regular file")));
        }
        Ok((File::from(fd), stat.st_size as u64))
    }
}

impl Store for LocalStore {
    fn place(&self) -> String {
        shown(&self.path)
    }

    fn capabilities(&self) -> Capabilities {
        let exclusive_create = *self.exclusive.get_or_init(|| upload::creates_exclusively(self).unwrap_or(false));
        Capabilities { exclusive_create, clock: true, remove: true }
    }

    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        let (file, len) = self.file(name)?;
        if len > max {
            return Err(too_long(name, len, max));
        }
        let mut bytes = Vec::new();
        usize::try_from(len)
            .ok()
            .and_then(|len| bytes.try_reserve_exact(len).ok())
            .ok_or_else(|| self.object("read", name, io::ErrorKind::OutOfMemory))?;
        let read = file.take(len).read_to_end(&mut bytes).map_err(|e| self.object("read", name, e))?;
        if (read as u64) < len {
            return Err(too_short(name, read as u64, 0, len as usize));
        }
        Ok(bytes)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        let (file, len) = self.file(name)?;
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > len) {
            return Err(too_short(name, len, offset, out.len()));
        }
        match file.read_exact_at(out, offset) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(too_short(name, len, offset, out.len())),
            done => done.map_err(|e| self.object("read", name, e)),
        }
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        Ok(Box::new(upload::LocalUpload::begin(self)?))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        let failed = |folder: &str, e: Errno| Error::store("list", format!("{}/{folder}", self.place()), e.into());
        let start = match prefix.strip_suffix('/') {
            Some(start) if ObjectName::new(start).is_some() => start,
            None if prefix.is_empty() => "",
            _ => return Err(failed(prefix, Errno::INVAL)),
        };
        if start.split('/').next() == Some(TMP) {
            return Ok(());
        }
        match folder::open(self.root.as_fd(), start) {
            Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(failed(start, e)),
            Ok(folder) => folder::walk(folder, prefix, &|folder| self.touch(folder), each, &failed),
        }
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        if is_reserved(name) {
            return Ok(None);
        }
        let stat = folder::open(self.root.as_fd(), name.folder())
            .and_then(|folder| rustix::fs::statat(&folder, name.leaf(), AtFlags::SYMLINK_NOFOLLOW));
        match stat {
            Ok(stat) if is_file(&stat) => {
                self.touch(name.folder());
                Ok(Some(entry(name.clone(), &stat)))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.object("read", name, e)),
        }
    }

    fn remove(&self, name: &ObjectName) -> Result<()> {
        if is_reserved(name) {
            return Ok(());
        }
        let gone = match folder::open(self.root.as_fd(), name.folder()) {
            Ok(folder) => self.disk.remove(At { folder: folder.as_fd(), leaf: name.leaf() }),
            Err(e) => Err(e),
        };
        match gone {
            Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(self.object("remove", name, e)),
            Ok(()) => {
                self.touch(name.folder());
                Ok(())
            }
        }
    }

    fn rename(&self, from: &ObjectName, to: &ObjectName) -> Result<Put> {
        let failed = |e: Errno| match e {
            Errno::NOENT => missing(from),
            e => self.object("rename", from, e),
        };
        if is_reserved(from) || is_reserved(to) {
            return Err(failed(Errno::INVAL));
        }
        let old = folder::open(self.root.as_fd(), from.folder()).map_err(failed)?;
        if !is_file(&rustix::fs::statat(&old, from.leaf(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?) {
            return Err(failed(Errno::INVAL));
        }
        let new = folder::make(&self.disk, self.root.as_fd(), to.folder()).map_err(failed)?;
        let here = At { folder: old.as_fd(), leaf: from.leaf() };
        let there = At { folder: new.as_fd(), leaf: to.leaf() };
        let put = match self.disk.rename(here, there, RenameFlags::NOREPLACE) {
            // Not exclusive where the file system does not know how.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                match rustix::fs::statat(&new, to.leaf(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => Err(Errno::EXIST),
                    Err(Errno::NOENT) => self.disk.rename(here, there, RenameFlags::empty()),
                    Err(e) => Err(e),
                }
            }
            done => done,
        };
        let put = match put {
            Err(Errno::EXIST) if stands_hollow(new.as_fd(), to.leaf()) => {
                self.disk.rename(here, there, RenameFlags::empty())
            }
            done => done,
        };
        match put {
            Err(Errno::EXIST) => Ok(Put::Existed),
            Err(e) => Err(failed(e)),
            Ok(()) => {
                self.touch(from.folder());
                self.touch(to.folder());
                Ok(Put::Created)
            }
        }
    }

    fn exchange(&self, a: &ObjectName, b: &ObjectName) -> Result<bool> {
        let failed = |e: Errno| match e {
            Errno::NOENT => missing(a),
            e => self.object("rename", a, e),
        };
        if is_reserved(a) || is_reserved(b) {
            return Err(failed(Errno::INVAL));
        }
        let one = folder::open(self.root.as_fd(), a.folder()).map_err(failed)?;
        let other = folder::open(self.root.as_fd(), b.folder()).map_err(failed)?;
        for (folder, name) in [(&one, a), (&other, b)] {
            if !is_file(&rustix::fs::statat(folder, name.leaf(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?) {
                return Err(failed(Errno::INVAL));
            }
        }
        let there = At { folder: other.as_fd(), leaf: b.leaf() };
        match self.disk.exchange(At { folder: one.as_fd(), leaf: a.leaf() }, there) {
            // The file system does not know how.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
            Err(e) => Err(failed(e)),
            Ok(()) => {
                self.touch(a.folder());
                self.touch(b.folder());
                Ok(true)
            }
        }
    }

    fn sync(&self) -> Result<()> {
        let _turn = lock(&self.syncing);
        if let Some(lost) = *lock(&self.lost) {
            return Err(Error::store("go on after a failed flush to", self.place(), lost.into()));
        }
        if let Some(gathered) = &self.gathered {
            gathered.settle(self)?;
        }
        let touched = std::mem::take(&mut *lock(&self.touched));
        for path in touched {
            folder::open(self.root.as_fd(), &path).and_then(|folder| self.disk.flush_folder(folder)).map_err(|e| {
                self.lose(&e.into());
                Error::store("flush", format_args!("{}/{path}", self.place()), e.into())
            })?;
        }
        // A file may have failed while the folders were flushed: its upload was told, and so must be whoever waits here.
        match *lock(&self.lost) {
            Some(lost) => Err(Error::store("flush", self.place(), lost.into())),
            None => Ok(()),
        }
    }

    fn now(&self) -> Result<Option<i64>> {
        upload::LocalUpload::begin(self)?.touched_now().map(Some)
    }
}

fn shown(path: &Path) -> String {
    Shown(path.as_os_str().as_bytes()).to_string()
}

fn is_reserved(name: &ObjectName) -> bool {
    name.as_str().split('/').next() == Some(TMP)
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// True for a name whose bytes never came.
fn is_hollow(stat: &Stat) -> bool {
    is_file(stat) && stat.st_size == 0
}

/// True when such a name is there.
fn stands_hollow(folder: BorrowedFd<'_>, leaf: &str) -> bool {
    rustix::fs::statat(folder, leaf, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| is_hollow(&stat))
}

#[allow(clippy::unnecessary_cast, reason = "the widths of these fields depend on the architecture")]
fn entry(name: ObjectName, stat: &Stat) -> Entry {
    Entry { name, len: stat.st_size as u64, stored: stat.st_mtime as i64 }
}

#[cfg(test)]
mod tests;
