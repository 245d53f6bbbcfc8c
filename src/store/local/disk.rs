//! The calls by which a store in a folder changes the disk, each in one place, so that a test can see in which order they are made,
//! let them fail, and tell what a power cut between any two of them would leave (`tests/simulation`).

use rustix::{
    fs::{AtFlags, Mode, OFlags, RenameFlags},
    io::{Errno, Result},
};
use std::{
    fmt,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

/// An entry of a folder.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// The folder.
    pub folder: BorrowedFd<'a>,
    /// The entry's name.
    pub leaf: &'a str,
}

/// A change that is about to be made. None is durable before a flush of what it changes: a file for its bytes, a folder for its entries.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A folder is made.
    MakeFolder(At<'a>),
    /// An empty file is made.
    MakeFile(At<'a>),
    /// Bytes are appended to a file.
    Append(BorrowedFd<'a>, &'a [u8]),
    /// An entry moves, and takes the place of what is there.
    Rename(At<'a>, At<'a>),
    /// Two entries change places.
    Exchange(At<'a>, At<'a>),
    /// A file gets a second entry.
    Link(At<'a>, At<'a>),
    /// An entry is removed.
    Remove(At<'a>),
    /// A file is flushed.
    FlushFile(BorrowedFd<'a>),
    /// A folder's entries are flushed.
    FlushFolder(BorrowedFd<'a>),
    /// The file system is flushed.
    FlushAll(BorrowedFd<'a>),
}

/// Somebody who is asked before each change.
pub trait Watch: Send + Sync {
    /// Makes the change by calling `make` once, or fails it. What `make` says is handed on: other ways are tried where it cannot.
    fn change(&self, change: &Change<'_>, make: &mut dyn FnMut() -> Result<()>) -> Result<()>;
}

/// The disk, watched or not.
#[derive(Clone, Default)]
pub(super) struct Disk(Option<Arc<dyn Watch>>);

impl Disk {
    pub(super) fn watched(watch: Arc<dyn Watch>) -> Self {
        Disk(Some(watch))
    }

    fn change(&self, change: Change<'_>, mut make: impl FnMut() -> Result<()>) -> Result<()> {
        match &self.0 {
            None => make(),
            Some(watch) => watch.change(&change, &mut make),
        }
    }

    pub(super) fn make_folder(&self, at: At<'_>) -> Result<()> {
        self.change(Change::MakeFolder(at), || rustix::fs::mkdirat(at.folder, at.leaf, Mode::RWXU))
    }

    pub(super) fn make_file(&self, at: At<'_>) -> Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut made = None;
        self.change(Change::MakeFile(at), || {
            let open = || rustix::fs::openat(at.folder, at.leaf, flags, Mode::RUSR | Mode::WUSR);
            made = Some(retry(open)?);
            Ok(())
        })?;
        made.ok_or(Errno::IO)
    }

    pub(super) fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        // Without a watch the kernel's own words reach the caller.
        if self.0.is_none() {
            return file.write_all(bytes);
        }
        let errno = |e: io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
        Ok(self.change(Change::Append(file.as_fd(), bytes), || file.write_all(bytes).map_err(errno))?)
    }

    /// Moves an entry: onto a free name only (`NOREPLACE`), or onto any.
    pub(super) fn rename(&self, from: At<'_>, to: At<'_>, flags: RenameFlags) -> Result<()> {
        self.change(Change::Rename(from, to), || {
            rustix::fs::renameat_with(from.folder, from.leaf, to.folder, to.leaf, flags)
        })
    }

    pub(super) fn exchange(&self, a: At<'_>, b: At<'_>) -> Result<()> {
        self.change(Change::Exchange(a, b), || {
            rustix::fs::renameat_with(a.folder, a.leaf, b.folder, b.leaf, RenameFlags::EXCHANGE)
        })
    }

    pub(super) fn link(&self, from: At<'_>, to: At<'_>) -> Result<()> {
        self.change(Change::Link(from, to), || {
            rustix::fs::linkat(from.folder, from.leaf, to.folder, to.leaf, AtFlags::empty())
        })
    }

    pub(super) fn remove(&self, at: At<'_>) -> Result<()> {
        self.change(Change::Remove(at), || rustix::fs::unlinkat(at.folder, at.leaf, AtFlags::empty()))
    }

    pub(super) fn flush_file(&self, file: &File) -> io::Result<()> {
        if self.0.is_none() {
            return file.sync_all();
        }
        Ok(self.change(Change::FlushFile(file.as_fd()), || retry(|| rustix::fs::fsync(file)))?)
    }

    /// Makes the names in a folder durable. File systems that cannot do that for one folder are flushed as a whole.
    pub(super) fn flush_folder(&self, folder: OwnedFd) -> Result<()> {
        let all = || retry(|| rustix::fs::syncfs(&folder));
        self.change(Change::FlushFolder(folder.as_fd()), || {
            if is_fat(folder.as_fd()) {
                return all();
            }
            match retry(|| rustix::fs::fsync(&folder)) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => all(),
                done => done,
            }
        })
    }

    /// Flushes the file system that holds `inside`.
    pub(super) fn flush_all(&self, inside: BorrowedFd<'_>) -> Result<()> {
        self.change(Change::FlushAll(inside), || retry(|| rustix::fs::syncfs(inside)))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Disk(watched)" } else { "Disk" })
    }
}

/// FAT keeps a file's length and first cluster in the entry of its folder. A rename makes a new entry without them; they get there
/// with the file's inode, which a flush of the folder leaves alone: without power the file would then be empty, although it was
/// flushed before it was renamed.
#[allow(clippy::unnecessary_cast, reason = "the width of this field depends on the architecture")]
fn is_fat(folder: BorrowedFd<'_>) -> bool {
    /// MSDOS_SUPER_MAGIC of linux/magic.h.
    const FAT: u64 = 0x4d44;
    rustix::fs::fstatfs(folder).is_ok_and(|system| system.f_type as u64 == FAT)
}

/// Asks again for as long as a signal gets in the way.
fn retry<T>(call: impl FnMut() -> Result<T>) -> Result<T> {
    rustix::io::retry_on_intr(call)
}
