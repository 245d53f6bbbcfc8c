//! Where a restore writes: everything that changes a user's file system.
//!
//! A restored tree is hostile: a compromised machine may have written it and root restores it; and what lies in the
//! target already (symbolic links, hard links, mounts) may be hostile too and change while we work. Hence:
//!
//! - Nothing is reached by a path. A [`TargetDir`] is an open directory; everything is done to one [`Name`] in it.
//! - Nothing is reached through a symbolic link, whoever made it (`openat2` with `RESOLVE_BENEATH` and
//!   `RESOLVE_NO_SYMLINKS`, or `O_NOFOLLOW` component by component where the kernel has no `openat2`).
//! - Nothing that has a second name is changed in place: the other name may lie outside.
//! - Metadata is set through descriptors of the very inode that was checked.
//! - Entries belong to the restoring user alone (0600, 0700) until their metadata is applied, which comes last: for
//!   files when their bytes are there, for directories when their entries are there.
//!
//! What a restore has to do per entry: create it, write it ([`write_at`], [`set_len`], [`punch_hole`]), apply its
//! metadata ([`apply_file`], [`TargetDir::apply`], [`TargetDir::apply_to`]), then make its hard links.

mod acl;
mod beneath;
mod case;
mod create;
mod data;
mod existing;
mod metadata;
mod owner;
mod remove;
#[cfg(test)]
mod tests;
mod unfinished;
mod xattrs;

pub use case::folded;
pub use create::Special;
pub use data::{forget_cached, has_data, punch_hole, set_len, write_at};
pub use existing::{Existing, Identity, Kind};
pub use metadata::{Policy, Shortfall, apply_file};
pub use owner::{NameMap, Ownership};
pub use unfinished::TempFile;

use crate::{
    error::{Error, Result},
    fs::error::PathError,
    name::{Name, Shown},
};
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::Arc,
};

/// The directory that a restore writes to and never leaves.
#[derive(Debug, Clone)]
pub struct Target {
    root: TargetDir,
}

/// An open directory at or beneath the target. Clones share the descriptor; keep few of them open at once, since a
/// hostile tree is deeper than the number of descriptors a process may have: [`TargetDir::descend`] comes back.
#[derive(Debug, Clone)]
pub struct TargetDir {
    fd: Arc<OwnedFd>,
    path: Vec<u8>,
    new: bool,
}

impl Target {
    /// Opens the directory at `path`, which is made where it is missing, with its parents. This is the user's own
    /// path, so symbolic links in it are followed.
    pub fn create_or_open(path: &[u8]) -> Result<Target> {
        fs::create_dir_all(Path::new(OsStr::from_bytes(path))).map_err(|source| whole(path, source))?;
        Target::open(path)
    }

    /// Opens the directory at `path`, which must be there: for a restore that only shows what it would do.
    pub fn open(path: &[u8]) -> Result<Target> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| whole(path, errno.into()))?;
        Ok(Target { root: TargetDir { fd: Arc::new(fd), path: path.to_vec(), new: false } })
    }

    /// The target itself.
    pub fn root(&self) -> &TargetDir {
        &self.root
    }

    /// True when `path`, or as much of it as is there, is the directory `id` or lies in it.
    pub fn lies_in(path: &[u8], id: Identity) -> Result<bool> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = Path::new(OsStr::from_bytes(path));
        let mut fd = loop {
            let name = if at.as_os_str().is_empty() { Path::new(".") } else { at };
            match (rustix::fs::openat(CWD, name, flags, Mode::empty()), at.parent()) {
                (Ok(fd), _) => break fd,
                (Err(Errno::NOENT), Some(parent)) => at = parent,
                (Err(errno), _) => return Err(whole(path, errno.into())),
            }
        };
        let identity = |fd: &OwnedFd| Ok(Existing::from_stat(&rustix::fs::fstat(fd)?)?.id);
        let mut here = identity(&fd).map_err(|e| whole(path, e))?;
        while here != id {
            let up = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            fd = rustix::fs::openat(&fd, "..", up, Mode::empty()).map_err(|errno| whole(path, errno.into()))?;
            let above = identity(&fd).map_err(|e| whole(path, e))?;
            if above == here {
                return Ok(false);
            }
            here = above;
        }
        Ok(true)
    }

    /// True when nothing lies in it.
    pub fn is_empty(&self) -> Result<bool> {
        let first = beneath::entries(self.root.fd()).and_then(|mut entries| entries.next().transpose());
        Ok(first.map_err(|source| whole(&self.root.path, source))?.is_none())
    }

    /// Waits until all that was written is on the medium (`syncfs` of the target's file system).
    pub fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(self.root.fd()).map_err(|errno| whole(&self.root.path, errno.into()))
    }
}

/// The target failed as a whole.
fn whole(path: &[u8], source: io::Error) -> Error {
    Error::Target { path: Shown(path).to_string(), source }
}

impl TargetDir {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The directory's path for messages: the target's as the user gave it, and the names below.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path of an entry, for messages.
    pub fn path_of(&self, name: &Name) -> Vec<u8> {
        let mut path = self.path.clone();
        push(&mut path, name);
        path
    }

    /// True when [`TargetDir::make_dir`] made it, false when it was there. Where nothing should be there yet, false
    /// means that two names fall on one.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// A failure of the entry `name`.
    fn failed(&self, name: &Name, doing: &'static str, source: impl Into<io::Error>) -> PathError {
        PathError::new(self.path_of(name), doing, source)
    }

    /// A failure of the directory itself.
    fn failed_itself(&self, doing: &'static str, source: impl Into<io::Error>) -> PathError {
        PathError::new(self.path.clone(), doing, source)
    }

    /// Opens a directory in this one; refuses a symbolic link to one.
    pub fn open_dir(&self, name: &Name) -> Result<TargetDir, PathError> {
        let fd = beneath::open(self.fd(), name, beneath::DIRECTORY, Mode::empty())
            .map_err(|source| self.failed(name, "open directory", source))?;
        Ok(TargetDir { fd: Arc::new(fd), path: self.path_of(name), new: false })
    }

    /// Opens a directory in this one to change what is in it: where it is this user's own and he took the right to that
    /// from himself, he gets it back until its metadata is applied.
    pub fn open_own_dir(&self, name: &Name, found: &Existing) -> Result<TargetDir, PathError> {
        let me = rustix::process::geteuid();
        if me.is_root() || found.uid != me.as_raw() || found.mode & 0o700 == 0o700 {
            return self.open_dir(name);
        }
        let permit = || -> io::Result<()> {
            let fd = beneath::open(self.fd(), name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            if Existing::from_stat(&rustix::fs::fstat(&fd)?)?.id == found.id {
                // A descriptor of what cannot be read takes no fchmod; its name in /proc is this very inode.
                let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
                rustix::fs::chmod(path, Mode::from_raw_mode(found.mode | 0o700))?;
            }
            Ok(())
        };
        permit().map_err(|source| self.failed(name, "open directory", source))?;
        self.open_dir(name)
    }

    /// Makes a directory, with mode 0700 until its metadata is applied, and opens it. A directory that is there
    /// already is opened as it is; anything else that is there is refused.
    pub fn make_dir(&self, name: &Name) -> Result<TargetDir, PathError> {
        let new = match rustix::fs::mkdirat(self.fd(), name.as_bytes(), Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(self.failed(name, "create directory", errno)),
        };
        Ok(TargetDir { new, ..self.open_dir(name)? })
    }

    /// Opens the directory that lies `names` below this one, however long the path is.
    pub fn descend(&self, names: &[Name]) -> Result<TargetDir, PathError> {
        self.descend_within(names, false)
    }

    /// The same, but refuses what is mounted on the way: for whoever removes.
    pub fn descend_same_mount(&self, names: &[Name]) -> Result<TargetDir, PathError> {
        self.descend_within(names, true)
    }

    fn descend_within(&self, names: &[Name], same_mount: bool) -> Result<TargetDir, PathError> {
        let mut path = self.path.clone();
        for name in names {
            push(&mut path, name);
        }
        match beneath::open_chain(self.fd(), names, same_mount) {
            Ok(None) => Ok(self.clone()),
            Ok(Some(fd)) => Ok(TargetDir { fd: Arc::new(fd), path, new: false }),
            Err(source) => Err(PathError::new(path, "open directory", mounted(source))),
        }
    }

    /// The names in this directory, sorted.
    pub fn list(&self) -> Result<Vec<Name>, PathError> {
        let names = beneath::entries(self.fd()).and_then(|entries| entries.map(|e| Ok(e?.name)).collect());
        let mut names: Vec<Name> = names.map_err(|source| self.failed_itself("list", source))?;
        names.sort_unstable();
        Ok(names)
    }
}

/// Says in words that something is mounted there.
fn mounted(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::XDEV) => io::Error::other("another file system is mounted on it"),
        _ => error,
    }
}

/// Appends a name to a path for messages.
fn push(path: &mut Vec<u8>, name: &Name) {
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
}
