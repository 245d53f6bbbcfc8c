//! Opening entries without ever leaving the directory that they are named in.

use crate::{fs::dir::each_entry, name::Name};
use rustix::{
    fs::{Dir, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// How directories are opened.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What no path may do while it is resolved. Mounts beneath the target are the administrator's and may be crossed.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Bytes of path handed to the kernel at once: PATH_MAX (4096) less its NUL.
const PATH_STEP: usize = 4095;

/// Opens one entry of `dir`, never through a symbolic link.
///
/// A kernel before 5.6 has no `openat2`, and container filters of that age refuse it with EPERM. A [`Name`] is one
/// plain component, so that `openat` with `O_NOFOLLOW` does the same for it.
pub(super) fn open(dir: BorrowedFd<'_>, name: &Name, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match retry(|| rustix::fs::openat2(dir, name.as_bytes(), flags, mode, BENEATH)) {
        Err(Errno::NOSYS | Errno::PERM) => open_by_component(dir, name, flags, mode),
        other => Ok(other?),
    }
}

/// [`open`] for kernels without `openat2`.
pub(super) fn open_by_component(dir: BorrowedFd<'_>, name: &Name, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    Ok(retry(|| rustix::fs::openat(dir, name.as_bytes(), flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode))?)
}

/// Opens a directory of `dir` unless something is mounted on it.
pub(super) fn open_dir_same_mount(dir: BorrowedFd<'_>, name: &Name) -> io::Result<OwnedFd> {
    let resolve = BENEATH | ResolveFlags::NO_XDEV;
    match retry(|| rustix::fs::openat2(dir, name.as_bytes(), DIRECTORY, Mode::empty(), resolve)) {
        Err(Errno::NOSYS | Errno::PERM) => same_mount_by_component(dir, name),
        other => Ok(other?),
    }
}

/// [`open_dir_same_mount`] for kernels without `openat2`.
pub(super) fn same_mount_by_component(dir: BorrowedFd<'_>, name: &Name) -> io::Result<OwnedFd> {
    let fd = open_by_component(dir, name, DIRECTORY, Mode::empty())?;
    if rustix::fs::fstat(&fd)?.st_dev != rustix::fs::fstat(dir)?.st_dev {
        return Err(Errno::XDEV.into());
    }
    Ok(fd)
}

/// Opens the directory `names` below `dir`, or nothing when there are no names. Each call to the kernel takes as many
/// names as one path may hold, so neither the depth nor the length matters.
/// With `same_mount`, what is mounted on the way is refused.
pub(super) fn open_chain(dir: BorrowedFd<'_>, names: &[Name], same_mount: bool) -> io::Result<Option<OwnedFd>> {
    let resolve = if same_mount { BENEATH | ResolveFlags::NO_XDEV } else { BENEATH };
    let mut at: Option<OwnedFd> = None;
    let mut path = Vec::new();
    let mut rest = names;
    while let [first, ..] = rest {
        path.clear();
        path.extend_from_slice(first.as_bytes());
        let more = rest.iter().skip(1).take_while(|name| {
            let fits = path.len() + 1 + name.as_bytes().len() <= PATH_STEP;
            if fits {
                path.push(b'/');
                path.extend_from_slice(name.as_bytes());
            }
            fits
        });
        let (step, after) = rest.split_at(1 + more.count());
        rest = after;

        let from = at.as_ref().map_or(dir, |fd| fd.as_fd());
        at = Some(match retry(|| rustix::fs::openat2(from, path.as_slice(), DIRECTORY, Mode::empty(), resolve)) {
            Err(Errno::NOSYS | Errno::PERM) => match chain_by_component(from, step, same_mount)? {
                Some(fd) => fd,
                None => continue,
            },
            other => other?,
        });
    }
    Ok(at)
}

/// [`open_chain`] for kernels without `openat2`.
pub(super) fn chain_by_component(dir: BorrowedFd<'_>, names: &[Name], same_mount: bool) -> io::Result<Option<OwnedFd>> {
    let mut at: Option<OwnedFd> = None;
    for name in names {
        let from = at.as_ref().map_or(dir, |fd| fd.as_fd());
        at = Some(match same_mount {
            true => open_dir_same_mount(from, name)?,
            false => open_by_component(from, name, DIRECTORY, Mode::empty())?,
        });
    }
    Ok(at)
}

/// Repeats what a signal or a rename elsewhere interrupted; gives up when that never ends.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..100 {
        match call() {
            Err(Errno::INTR | Errno::AGAIN) => {}
            other => return other,
        }
    }
    call()
}

/// One entry of a directory, as the directory tells it.
pub(super) struct Entry {
    pub name: Name,
    pub kind: FileType,
}

/// The entries of a directory without `.` and `..`, in the file system's order.
pub(super) fn entries(dir: BorrowedFd<'_>) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
    Ok(Dir::read_from(dir)?.filter_map(|entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(errno) => return Some(Err(errno.into())),
        };
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            return None;
        }
        let kind = entry.file_type();
        let named = Name::new(name).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad.to_string()));
        Some(named.map(|name| Entry { name, kind }))
    }))
}

/// The names in a directory that are wanted by their bytes, in the file system's order. Nothing is made of others: to look for a few among
/// very many takes what the system takes to tell of them.
pub(super) fn names_that(dir: BorrowedFd<'_>, is_wanted: impl Fn(&[u8]) -> bool) -> io::Result<Vec<Name>> {
    // A descriptor remembers how far it was listed.
    let again = rustix::fs::openat(dir, ".", DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    each_entry(again.as_fd(), |name, _| {
        // What has a name that no tree can have is none of ours.
        if is_wanted(name) {
            names.extend(Name::new(name));
        }
        Ok(())
    })?;
    Ok(names)
}
