//! Uploads of a [`LocalStore`]: a locked file in `tmp` that is renamed when it is complete and durable.

use super::{
    LocalStore, TMP,
    disk::{At, Disk},
    folder,
    gather::Waiting,
    is_file, is_hollow, is_reserved, stands_hollow,
};
use crate::{
    error::{Error, Result},
    fs::held,
    id,
    store::{ObjectName, Put, Store, Upload},
    world::{self, KernelEntropy},
};
use rustix::{
    fs::{Advice, AtFlags, Dir, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW},
    io::Errno,
};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Random bytes in an upload's name.
const RANDOM: usize = 16;

/// How much is written before the disk is set to work on it.
const RUN: u64 = 8 << 20;

/// A file in `tmp`; removed when it is dropped before it has a name.
#[derive(Debug)]
pub(super) struct Draft {
    disk: Disk,
    tmp: OwnedFd,
    file: File,
    leaf: String,
    renamed: bool,
}

/// A draft that is being written.
pub(super) struct LocalUpload<'s> {
    store: &'s LocalStore,
    pub(super) draft: Draft,
    written: u64,
    /// Up to here the disk was set to work.
    begun: u64,
    /// A write failed, so the length of the file is not known to be right.
    torn: bool,
}

impl Draft {
    fn at(&self) -> At<'_> {
        At { folder: self.tmp.as_fd(), leaf: &self.leaf }
    }

    // The three ways to give a file its name. `None`: the file system does not know this way.

    pub(super) fn rename_if_free(&mut self, folder: BorrowedFd<'_>, leaf: &str) -> rustix::io::Result<Option<Put>> {
        match self.disk.rename(self.at(), At { folder, leaf }, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.renamed = true;
                Ok(Some(Put::Created))
            }
            Err(Errno::EXIST) => Ok(Some(Put::Existed)),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// As good (NFS has only this); the name in `tmp` goes when the upload is dropped.
    pub(super) fn link(&self, folder: BorrowedFd<'_>, leaf: &str) -> rustix::io::Result<Option<Put>> {
        match self.disk.link(self.at(), At { folder, leaf }) {
            Ok(()) => Ok(Some(Put::Created)),
            Err(Errno::EXIST) => Ok(Some(Put::Existed)),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::PERM | Errno::MLINK) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Not exclusive: of two at the same time the later wins. Harmless, since names are hashes of contents.
    pub(super) fn check_then_rename(&mut self, folder: BorrowedFd<'_>, leaf: &str) -> rustix::io::Result<Put> {
        match rustix::fs::statat(folder, leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(Put::Existed),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
        self.disk.rename(self.at(), At { folder, leaf }, RenameFlags::empty())?;
        self.renamed = true;
        Ok(Put::Created)
    }

    /// Gives the file this name, unless it is taken.
    pub(super) fn name(&mut self, folder: BorrowedFd<'_>, leaf: &str) -> rustix::io::Result<Put> {
        let put = self.name_if_free(folder, leaf)?;
        if put == Put::Existed && stands_hollow(folder, leaf) {
            // As with the last way above, two at the same time do no harm.
            self.disk.rename(self.at(), At { folder, leaf }, RenameFlags::empty())?;
            self.renamed = true;
            return Ok(Put::Created);
        }
        Ok(put)
    }

    fn name_if_free(&mut self, folder: BorrowedFd<'_>, leaf: &str) -> rustix::io::Result<Put> {
        if let Some(put) = self.rename_if_free(folder, leaf)? {
            return Ok(put);
        }
        if let Some(put) = self.link(folder, leaf)? {
            return Ok(put);
        }
        self.check_then_rename(folder, leaf)
    }

    /// Lets the kernel forget the bytes, which are durable by now: who wrote so many will not need them again.
    pub(super) fn drop_cached(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
    }

    /// Makes the bytes durable.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.disk.flush_file(&self.file)
    }

    #[cfg(test)]
    pub(super) fn leaf(&self) -> &str {
        &self.leaf
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.renamed {
            // What stays is swept when the store is next opened.
            let _ = self.disk.remove(self.at());
        }
    }
}

impl<'s> LocalUpload<'s> {
    pub(super) fn begin(store: &'s LocalStore) -> Result<Self> {
        let failed = |e: Errno| Error::store("begin an upload in", format_args!("{}/{TMP}", store.place()), e.into());
        let tmp = folder::make(&store.disk, store.root.as_fd(), TMP).map_err(failed)?;
        for _ in 0..held::TRIES {
            let leaf = id::hex(&world::random::<RANDOM>(&KernelEntropy)?);
            let file = File::from(store.disk.make_file(At { folder: tmp.as_fd(), leaf: &leaf }).map_err(failed)?);
            if held::hold_new(&file, &tmp, &*leaf) {
                let draft = Draft { disk: store.disk.clone(), tmp, file, leaf, renamed: false };
                return Ok(LocalUpload { store, draft, written: 0, begun: 0, torn: false });
            }
        }
        Err(failed(Errno::AGAIN))
    }

    /// The time that the store's file system gives the file when it is touched.
    #[allow(clippy::unnecessary_cast, reason = "the width of this field depends on the architecture")]
    pub(super) fn touched_now(self) -> Result<i64> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        rustix::fs::futimens(&self.draft.file, &Timestamps { last_access: now, last_modification: now })
            .and_then(|()| rustix::fs::fstat(&self.draft.file))
            .map(|stat| stat.st_mtime as i64)
            .map_err(|e| Error::store("read the clock of", self.store.place(), e.into()))
    }

    /// Linux begins to write what it is told we will not need again, without waiting, and so leaves little for the fsync
    /// (measured: a tenth) and little of the backup in the page cache. A write that fails meanwhile is still told to the fsync.
    fn begin_writeback(&mut self) {
        let run = std::num::NonZeroU64::new(self.written - self.begun);
        let _ = rustix::fs::fadvise(&self.draft.file, self.begun, run, Advice::DontNeed);
        self.begun = self.written;
    }

    // Writes go somewhere else from now on: to a device that is full.
    #[cfg(test)]
    pub(super) fn write_to(&mut self, file: File) {
        self.draft.file = file;
    }
}

impl Upload for LocalUpload<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.torn {
            return Err(self.store_error("go on with", io::Error::other("an earlier write failed")));
        }
        self.draft.disk.append(&self.draft.file, bytes).map_err(|e| {
            self.torn = true;
            self.store_error("write", e)
        })?;
        self.written += bytes.len() as u64;
        // Of what is gathered the kernel writes out one part while the next is filled.
        if self.store.gathered.is_none() && self.written - self.begun >= RUN {
            self.begin_writeback();
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, name: &ObjectName) -> Result<Put> {
        let store = self.store;
        if self.torn || is_reserved(name) {
            return Err(store.object("store", name, io::Error::from(Errno::INVAL)));
        }
        let folder =
            folder::make(&store.disk, store.root.as_fd(), name.folder()).map_err(|e| store.object("store", name, e))?;
        let stands = || rustix::fs::statat(&folder, name.leaf(), AtFlags::SYMLINK_NOFOLLOW);
        let put = match stands() {
            Ok(stat) if !is_hollow(&stat) => Put::Existed,
            _ => match &store.gathered {
                Some(gathered) => {
                    gathered.add(store, Waiting { draft: self.draft, name: name.clone(), len: self.written })?;
                    return Ok(Put::Created);
                }
                None => {
                    self.draft.flush().map_err(|e| {
                        store.lose(&e);
                        store.object("flush", name, e)
                    })?;
                    self.draft.name(folder.as_fd(), name.leaf()).map_err(|e| store.object("store", name, e))?
                }
            },
        };
        // Also when it existed: who put it may not have come to its sync.
        store.touch(name.folder());
        if put == Put::Existed && !stands().is_ok_and(|stat| is_file(&stat)) {
            return Err(store.object("store", name, io::Error::other("something that is not an object has its name")));
        }
        Ok(put)
    }
}

impl LocalUpload<'_> {
    fn store_error(&self, doing: &'static str, e: io::Error) -> Error {
        Error::store(doing, format_args!("{}/{TMP}/{}", self.store.place(), self.draft.leaf), e)
    }
}

/// Tries whether a name can be given only if it is free. With a free name: about one that is taken the kernel does not
/// even ask the file system.
pub(super) fn creates_exclusively(store: &LocalStore) -> Result<bool> {
    let mut upload = LocalUpload::begin(store)?;
    let failed = |e: Errno| Error::store("try", format_args!("{}/{TMP}", store.place()), e.into());
    let tmp = folder::open(store.root.as_fd(), TMP).map_err(failed)?;
    let leaf = id::hex(&world::random::<RANDOM>(&KernelEntropy)?);
    let known = match upload.draft.rename_if_free(tmp.as_fd(), &leaf).map_err(failed)? {
        None => upload.draft.link(tmp.as_fd(), &leaf).map_err(failed)?,
        known => known,
    };
    let _ = store.disk.remove(At { folder: tmp.as_fd(), leaf: &leaf });
    Ok(known == Some(Put::Created))
}

/// Removes the uploads that no living process holds. Never fails: what cannot be removed does no harm.
pub(super) fn sweep(disk: &Disk, root: BorrowedFd<'_>) {
    let Ok(tmp) = folder::open(root, TMP) else { return };
    let Ok(found) = Dir::read_from(&tmp) else { return };
    for entry in found.flatten() {
        let Ok(leaf) = entry.file_name().to_str() else { continue };
        // What is not ours stays.
        if id::unhex::<RANDOM>(leaf).is_err() {
            continue;
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(&tmp, leaf, flags, Mode::empty()) else { continue };
        if rustix::fs::fstat(&file).is_ok_and(|stat| is_file(&stat)) && held::hold_left(&file) {
            let _ = disk.remove(At { folder: tmp.as_fd(), leaf });
        }
    }
}
