//! Open directories, and reading what is in them.
//!
//! Every call names one entry of an open directory. So paths may be of any length, a parent that is renamed or replaced
//! by a symbolic link meanwhile leads nowhere else, and no symbolic link is followed but those in the path that the
//! user gave.

use super::{
    error::PathError,
    listing::Listing,
    stat::{Kind, Stat, WANTED},
    trail::Trail,
};
use crate::{model::limits, name::Name};
use rustix::{
    fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, CWD, Mode, OFlags, RawDir, RawDirEntry, StatxFlags, openat, readlinkat, statx},
    io::{Errno, retry_on_intr},
};
use std::{
    cell::RefCell,
    fs::File,
    io,
    mem::MaybeUninit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Longest path that a system call takes, with its closing NUL, in bytes (linux/limits.h).
const PATH_MAX: usize = 4096;

/// Room for the entries that one system call returns, in bytes: some 1500 entries.
const LIST_BUFFER: usize = 64 << 10;

/// How directories are opened for listing.
const LISTED: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// How directories are opened to pass through them: needs no right to list.
const PASSED: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// How entries are looked at: as they are, without mounting anything.
const AS_IT_IS: AtFlags = AtFlags::SYMLINK_NOFOLLOW.union(AtFlags::NO_AUTOMOUNT);

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    trail: Arc<Trail>,
    listed: AtomicBool,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Dir {
    /// Opens the directory at a path that the user gave, of any length; symbolic links in it are followed, also the
    /// last. Whoever would not follow that one asks [`stat_path`] first.
    pub fn open(path: &[u8]) -> Result<Self, PathError> {
        near(path, |at, rest| open_quietly(at, rest, LISTED))
            .map(|fd| Dir::new(fd, Trail::root(path)))
            .map_err(|e| PathError::new(path, "open", e))
    }

    /// Opens the directory that holds the last component of a path that the user gave, and returns that component:
    /// the way to a source that is a single file. Fails for `/`, `.` and `..`, which have no such directory.
    pub fn open_parent(path: &[u8]) -> Result<(Self, Name), PathError> {
        let end = path.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
        let trimmed = path.get(..end).unwrap_or_default();
        let start = trimmed.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        let (parent, name) = trimmed.split_at_checked(start).unwrap_or_default();
        let name = Name::new(name).map_err(|_| PathError::new(path, "open the parent of", Errno::INVAL))?;
        near(if parent.is_empty() { b"." } else { parent }, |at, rest| open_quietly(at, rest, LISTED))
            .map(|fd| (Dir::new(fd, Trail::root(parent)), name))
            .map_err(|e| PathError::new(path, "open the parent of", e))
    }

    fn new(fd: OwnedFd, trail: Arc<Trail>) -> Self {
        Dir { fd, trail, listed: AtomicBool::new(false) }
    }

    /// Full path, for messages.
    pub fn path(&self) -> Vec<u8> {
        self.trail.path(None)
    }

    /// Full path of an entry, for messages.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        self.trail.path(Some(name))
    }

    /// A failure with the entry `name`.
    pub(super) fn fail(&self, name: &[u8], doing: &'static str, source: impl Into<io::Error>) -> PathError {
        PathError::new(self.path_of(name), doing, source)
    }

    /// A failure with the directory itself.
    pub(super) fn fail_self(&self, doing: &'static str, source: impl Into<io::Error>) -> PathError {
        PathError::new(self.path(), doing, source)
    }

    /// Opens a directory in this one; fails when it is a symbolic link.
    pub fn open_child(&self, name: &Name) -> Result<Self, PathError> {
        open_quietly(self.as_fd(), name.as_bytes(), LISTED | OFlags::NOFOLLOW)
            .map(|fd| Dir::new(fd, self.trail.child(name.as_bytes())))
            .map_err(|e| self.fail(name.as_bytes(), "open", e))
    }

    /// Opens a directory below this one, component by component and following no symbolic link. It may be another one
    /// than before: whoever closed the first compares [`Dir::stat_self`].
    pub fn reopen(&self, relative: &[Name]) -> Result<Self, PathError> {
        let mut passed: Option<OwnedFd> = None;
        let mut trail = self.trail.clone();
        for (index, name) in relative.iter().enumerate() {
            let last = index + 1 == relative.len();
            let at = passed.as_ref().map_or(self.as_fd(), AsFd::as_fd);
            let flags = if last { LISTED } else { PASSED };
            match open_quietly(at, name.as_bytes(), flags | OFlags::NOFOLLOW) {
                Ok(fd) => passed = Some(fd),
                Err(e) => return Err(PathError::new(trail.path(Some(name.as_bytes())), "open", e)),
            }
            trail = trail.child(name.as_bytes());
        }
        match passed {
            Some(fd) => Ok(Dir::new(fd, trail)),
            None => self.open_again().map(|fd| Dir::new(fd, trail)).map_err(|e| self.fail_self("open", e)),
        }
    }

    fn open_again(&self) -> Result<OwnedFd, Errno> {
        open_quietly(self.as_fd(), b".", LISTED)
    }

    /// All entries. Fails as a whole when the system ends the list early.
    pub fn list(&self) -> Result<Listing, PathError> {
        self.try_list().map_err(|e| self.fail_self("list", e))
    }

    fn try_list(&self) -> Result<Listing, io::Error> {
        // A descriptor remembers how far it was listed, so it serves once, and each further listing has its own.
        let again = if self.listed.swap(true, Ordering::Relaxed) { Some(self.open_again()?) } else { None };
        let fd = again.as_ref().map_or(self.as_fd(), AsFd::as_fd);
        let mut listing = Listing::default();
        each_entry(fd, |name, entry| match listing.push(name, entry.ino(), Kind::from_file_type(entry.file_type())) {
            true => Ok(()),
            false => Err(io::Error::other("its names are more than 4 GiB")),
        })?;
        Ok(listing.finish())
    }

    /// What the entry `name` is, itself when it is a symbolic link. Of a network file system it is asked anew: what the
    /// client remembers may be older than the file, which would then be taken for unchanged.
    pub fn stat(&self, name: &[u8]) -> Result<Stat, PathError> {
        stat_at(self.as_fd(), name, AS_IT_IS).map_err(|e| self.fail(name, "read metadata of", e))
    }

    /// What the directory itself is.
    pub fn stat_self(&self) -> Result<Stat, PathError> {
        stat_at(self.as_fd(), b"", AtFlags::EMPTY_PATH).map_err(|e| self.fail_self("read metadata of", e))
    }

    /// Number of the mount that the directory is on, as in `/proc/self/mountinfo` (since Linux 5.8).
    pub(super) fn mount_id(&self) -> Option<u64> {
        let told = statx(&self.fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
        (told.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(told.stx_mnt_id)
    }

    /// Opens a regular file for reading, leaving its access time as it is where the system allows, and tells what
    /// exactly was opened. Fails when the entry is not, or no longer, a regular file; never waits for a pipe's writer.
    pub fn open_file(&self, name: &[u8]) -> Result<(File, Stat), PathError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = match open_quietly(self.as_fd(), name, flags) {
            Err(Errno::AGAIN) => self.open_leased(name),
            opened => opened,
        };
        let fd = match opened {
            Ok(fd) => fd,
            // A symbolic link and a socket.
            Err(Errno::LOOP | Errno::NXIO) => return Err(self.fail(name, "read", irregular())),
            Err(e) => return Err(self.fail(name, "open", e)),
        };
        let stat = stat_at(fd.as_fd(), b"", AtFlags::EMPTY_PATH).map_err(|e| self.fail(name, "read metadata of", e))?;
        if stat.kind != Kind::File {
            return Err(self.fail(name, "read", irregular()));
        }
        Ok((File::from(fd), stat))
    }

    /// Opens a file that another program holds a lease on (as Samba does for its clients): that program must first be
    /// told and give way, which is worth waiting for (45 seconds at most, `/proc/sys/fs/lease-break-time`). Since an
    /// open that waits would wait for ever for a pipe's writer, the entry is first pinned and found to be a file.
    fn open_leased(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        let pinned = openat(self, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if stat_at(pinned.as_fd(), b"", AtFlags::EMPTY_PATH)?.kind != Kind::File {
            return Err(Errno::NXIO);
        }
        open_quietly(CWD, &proc_path(pinned.as_fd(), b""), OFlags::RDONLY | OFlags::CLOEXEC)
    }

    /// What a symbolic link holds, at most [`limits::LINK_MAX`] bytes.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, PathError> {
        let target = retry_on_intr(|| readlinkat(self, name, Vec::with_capacity(256)))
            .map_err(|e| self.fail(name, "read link", e))?
            .into_bytes();
        if target.len() > limits::LINK_MAX {
            return Err(self.fail(name, "read link", Errno::NAMETOOLONG));
        }
        Ok(target)
    }
}

/// A path that the user gave with all symbolic links in it followed, also the last.
pub fn resolve(path: &[u8]) -> Result<Vec<u8>, PathError> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    std::fs::canonicalize(std::ffi::OsStr::from_bytes(path))
        .map(|path| path.into_os_string().into_vec())
        .map_err(|e| PathError::new(path, "follow", e))
}

/// What the user's path names: a symbolic link itself when it is one.
pub fn stat_path(path: &[u8]) -> Result<Stat, PathError> {
    near(path, |at, rest| stat_at(at, rest, AS_IT_IS)).map_err(|e| PathError::new(path, "read metadata of", e))
}

/// What an open file is now.
pub fn stat_file(file: &File) -> io::Result<Stat> {
    Ok(stat_at(file.as_fd(), b"", AtFlags::EMPTY_PATH)?)
}

fn irregular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file, or no longer one")
}

fn stat_at(at: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> Result<Stat, Errno> {
    let statx = retry_on_intr(|| statx(at, name, flags, WANTED))?;
    Stat::from_statx(&statx)
}

/// A path to an open file, or with a name to an entry of an open directory, which the kernel resolves without
/// regard to where that file or directory is now.
pub(super) fn proc_path(fd: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes();
    if !name.is_empty() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    path
}

thread_local! {
    /// A thread that lists one directory lists many.
    static LIST_ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `each` with the entries of a directory but `.` and `..`, in the file system's order, from where its descriptor has come to in the list.
pub(super) fn each_entry(
    fd: BorrowedFd<'_>,
    each: impl FnMut(&[u8], &RawDirEntry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut room = LIST_ROOM.take();
    room.reserve(LIST_BUFFER);
    let done = each_entry_in(fd, room.spare_capacity_mut(), each);
    LIST_ROOM.set(room);
    done
}

fn each_entry_in(
    fd: BorrowedFd<'_>,
    room: &mut [MaybeUninit<u8>],
    mut each: impl FnMut(&[u8], &RawDirEntry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut entries = RawDir::new(fd, room);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        };
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name, &entry)?;
        }
    }
    Ok(())
}

/// Opens without changing the access time, or else, when the entry is another user's, as everybody does.
fn open_quietly(at: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let open = |flags| retry_on_intr(|| openat(at, path, flags, Mode::empty()));
    if flags.contains(OFlags::PATH) {
        return open(flags);
    }
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        opened => opened,
    }
}

/// Calls `last` with an open directory and the rest of `path` below it, short enough for one system call.
fn near<T>(path: &[u8], last: impl FnOnce(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>) -> Result<T, Errno> {
    let mut passed: Option<OwnedFd> = None;
    let mut rest = path;
    while rest.len() >= PATH_MAX {
        let head = rest.get(..PATH_MAX - 1).unwrap_or_default();
        let cut = head.iter().rposition(|&b| b == b'/').filter(|&cut| cut > 0).ok_or(Errno::NAMETOOLONG)?;
        let (piece, tail) = rest.split_at_checked(cut).ok_or(Errno::NAMETOOLONG)?;
        passed = Some(open_quietly(passed.as_ref().map_or(CWD, AsFd::as_fd), piece, PASSED)?);
        let slashes = tail.iter().take_while(|&&b| b == b'/').count();
        rest = tail.get(slashes..).filter(|rest| !rest.is_empty()).unwrap_or(b".");
    }
    last(passed.as_ref().map_or(CWD, AsFd::as_fd), rest)
}

#[cfg(test)]
#[path = "dir_tests.rs"]
mod tests;
