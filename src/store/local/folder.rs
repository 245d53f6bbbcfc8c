//! Folders by descriptor: walked part by part from the store's root, so that no symbolic link is followed.

use super::{
    TMP,
    disk::{At, Disk},
    entry, is_file,
};
use crate::{
    error::{Error, Result},
    store::{Entry, ObjectName},
};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags},
    io::{self, Errno},
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Not blocking: a named pipe would wait for a writer.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Asks again for as long as a signal gets in the way.
pub(super) fn retry<T>(call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    rustix::io::retry_on_intr(call)
}

/// Opens the root.
pub(super) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    retry(|| rustix::fs::open(path, FOLDER, Mode::empty()))
}

fn step(at: BorrowedFd<'_>, part: &str) -> io::Result<OwnedFd> {
    retry(|| rustix::fs::openat(at, part, FOLDER | OFlags::NOFOLLOW, Mode::empty()))
}

fn descend(
    root: BorrowedFd<'_>,
    path: &str,
    step: impl Fn(BorrowedFd<'_>, &str) -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    let mut at = step(root, ".")?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at = step(at.as_fd(), part)?;
    }
    Ok(at)
}

/// Opens the folder at this path under the root.
pub(super) fn open(root: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    descend(root, path, step)
}

/// Opens the file at this path under the root for reading: at once, where the kernel can (since Linux 5.6, unless the filter of a
/// container is older).
pub(super) fn open_file(root: BorrowedFd<'_>, name: &ObjectName) -> io::Result<OwnedFd> {
    let links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match retry(|| rustix::fs::openat2(root, name.as_str(), FILE, Mode::empty(), links)) {
        Err(Errno::NOSYS | Errno::PERM) => open_file_by_part(root, name),
        done => done,
    }
}

/// The same part by part.
pub(super) fn open_file_by_part(root: BorrowedFd<'_>, name: &ObjectName) -> io::Result<OwnedFd> {
    let folder = open(root, name.folder())?;
    retry(|| rustix::fs::openat(&folder, name.leaf(), FILE, Mode::empty()))
}

/// Opens the folder at this path under the root and makes what is missing of it.
pub(super) fn make(disk: &Disk, root: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    descend(root, path, |at, part| match step(at, part) {
        Err(Errno::NOENT) => match disk.make_folder(At { folder: at, leaf: part }) {
            Ok(()) | Err(Errno::EXIST) => step(at, part),
            Err(e) => Err(e),
        },
        done => done,
    })
}

/// True where one call flushes every file of the file system and tells when one of them was lost: Linux does since 5.8, where the
/// file system is one of its own. (One in user space may have handed the bytes to a process that keeps them.)
pub(super) fn flushes_all(inside: BorrowedFd<'_>) -> bool {
    // ext2 to ext4, XFS, btrfs, F2FS, FAT, exFAT, tmpfs: numbers from linux/magic.h.
    const KNOWN: [u64; 7] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x4d44, 0x2011_bab0, 0x0102_1994];
    #[allow(clippy::unnecessary_cast, reason = "the width of this field depends on the architecture")]
    let known = |kind: u64| KNOWN.contains(&(kind & 0xffff_ffff));
    let release = rustix::system::uname();
    let numbers =
        release.release().to_str().unwrap_or("").split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    numbers.take(2).collect::<Vec<_>>() >= vec![5, 8]
        && rustix::fs::fstatfs(inside).is_ok_and(|stat| known(stat.f_type as u64))
}

/// Makes the names in the folder at `path` durable; where it may not be opened, by flushing the file system of `inside`.
pub(super) fn flush_path(disk: &Disk, path: &Path, inside: BorrowedFd<'_>) -> io::Result<()> {
    match open_root(path) {
        Ok(folder) => disk.flush_folder(folder),
        Err(_) => disk.flush_all(inside),
    }
}

/// Tells `each` of the objects in `folder`, which has the names that begin with `prefix`, and in those below it, and
/// `seen` of every folder that has any. What is not an object is passed over, and so is what vanishes meanwhile.
pub(super) fn walk(
    folder: OwnedFd,
    prefix: &str,
    seen: &dyn Fn(&str),
    each: &mut dyn FnMut(Entry) -> Result<()>,
    failed: &dyn Fn(&str, Errno) -> Error,
) -> Result<()> {
    let path = prefix.strip_suffix('/').unwrap_or(prefix);
    let failed_here = |e| failed(path, e);
    let mut dir = Dir::new(folder).map_err(failed_here)?;
    let mut any = false;
    while let Some(found) = dir.read() {
        let found = found.map_err(failed_here)?;
        let Ok(leaf) = found.file_name().to_str() else { continue };
        let Some(name) = ObjectName::new(format!("{prefix}{leaf}")) else { continue };
        if name.as_str() == TMP {
            continue;
        }
        let here = dir.fd().map_err(failed_here)?;
        let stat = match rustix::fs::statat(here, leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(e) => return Err(failed(name.as_str(), e)),
        };
        if is_file(&stat) {
            // Before the listener hears of it: it may sync.
            if !std::mem::replace(&mut any, true) {
                seen(path);
            }
            each(entry(name, &stat))?;
        } else if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match step(here, leaf) {
                Ok(below) => walk(below, &format!("{name}/"), seen, each, failed)?,
                Err(Errno::NOENT) => {}
                Err(e) => return Err(failed(name.as_str(), e)),
            }
        }
    }
    Ok(())
}
