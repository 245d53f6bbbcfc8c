//! Removing what a snapshot does not have.

use super::{Existing, Identity, TargetDir, beneath, mounted, push};
use crate::{fs::error::PathError, name::Name};
use rustix::{
    fs::{AtFlags, FileType, Mode},
    io::Errno,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Names of directories that wait to be removed, over all levels (and at least one on each).
const PENDING_MAX: usize = 4096;

/// A directory on the way down.
struct Level {
    name: Name,
    id: Identity,
    pending: Vec<Name>,
}

impl TargetDir {
    /// Removes an entry; a directory with all that lies in it. Symbolic links are removed and not followed, and a
    /// directory that something is mounted on is refused, with everything in it left alone.
    pub fn remove(&self, name: &Name) -> Result<(), PathError> {
        match rustix::fs::unlinkat(self.fd(), name.as_bytes(), AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::ISDIR) => self.remove_tree(name),
            Err(errno) => Err(self.failed(name, "remove", errno)),
        }
    }

    /// Removes a directory that nothing is in.
    pub fn remove_empty(&self, name: &Name) -> Result<(), PathError> {
        rustix::fs::unlinkat(self.fd(), name.as_bytes(), AtFlags::REMOVEDIR)
            .map_err(|errno| self.failed(name, "remove", errno))
    }

    /// Two descriptors whatever the depth. The way back up is `..`, which is safe only because it must be the very
    /// inode that we came down from: a directory that is moved out of the target meanwhile stops the removal.
    fn remove_tree(&self, name: &Name) -> Result<(), PathError> {
        let mut levels: Vec<Level> = Vec::new();
        let mut waiting = 0;
        let mut current = enter(self.fd(), name, &mut levels).map_err(|e| self.failed(name, "remove", e))?;
        while let Some(level) = levels.last_mut() {
            if level.pending.is_empty() {
                let room = PENDING_MAX.saturating_sub(waiting).max(1);
                match sweep(current.as_fd(), room) {
                    Ok(found) => level.pending = found,
                    Err((entry, e)) => return Err(self.failed_below(&levels, entry.as_ref(), e)),
                }
                waiting += level.pending.len();
            }
            if let Some(next) = level.pending.pop() {
                waiting -= 1;
                match enter(current.as_fd(), &next, &mut levels) {
                    Ok(fd) => current = fd,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(self.failed_below(&levels, Some(&next), e)),
                }
                continue;
            }
            // Empty by now.
            let up = match levels.as_slice() {
                [.., parent, _] => match leave(current.as_fd(), parent.id) {
                    Ok(fd) => Some(fd),
                    Err(e) => return Err(self.failed_below(&levels, None, e)),
                },
                _ => None,
            };
            let parent = up.as_ref().map_or(self.fd(), |fd| fd.as_fd());
            let done = levels.last().map_or(name, |level| &level.name);
            match rustix::fs::unlinkat(parent, done.as_bytes(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.failed_below(&levels, None, errno.into())),
            }
            levels.pop();
            if let Some(fd) = up {
                current = fd;
            }
        }
        Ok(())
    }

    /// A failure at the end of the way down.
    fn failed_below(&self, levels: &[Level], entry: Option<&Name>, source: io::Error) -> PathError {
        let mut path = self.path.clone();
        for name in levels.iter().map(|level| &level.name).chain(entry) {
            push(&mut path, name);
        }
        PathError::new(path, "remove", source)
    }
}

/// Goes down into a directory.
fn enter(dir: BorrowedFd<'_>, name: &Name, levels: &mut Vec<Level>) -> io::Result<OwnedFd> {
    let fd = beneath::open_dir_same_mount(dir, name).map_err(mounted)?;
    let id = Existing::from_stat(&rustix::fs::fstat(&fd)?)?.id;
    levels.push(Level { name: name.clone(), id, pending: Vec::new() });
    Ok(fd)
}

/// Goes back up, if up is where we came from.
fn leave(dir: BorrowedFd<'_>, parent: Identity) -> io::Result<OwnedFd> {
    let fd = rustix::fs::openat(dir, "..", beneath::DIRECTORY, Mode::empty())?;
    if Existing::from_stat(&rustix::fs::fstat(&fd)?)?.id != parent {
        return Err(io::Error::other("it was moved by somebody else meanwhile"));
    }
    Ok(fd)
}

/// Removes all that is no directory and tells up to `room` directories. Repeats itself until it finds nothing to
/// remove, since some file systems skip entries while others are removed; so no answer means that nothing is left.
fn sweep(dir: BorrowedFd<'_>, room: usize) -> Result<Vec<Name>, (Option<Name>, io::Error)> {
    let mut found = Vec::new();
    loop {
        let mut removed = false;
        for entry in beneath::entries(dir).map_err(|e| (None, e))? {
            let entry = entry.map_err(|e| (None, e))?;
            if entry.kind != FileType::Directory {
                match rustix::fs::unlinkat(dir, entry.name.as_bytes(), AtFlags::empty()) {
                    Ok(()) => {
                        removed = true;
                        continue;
                    }
                    Err(Errno::NOENT) => continue,
                    Err(Errno::ISDIR) => {}
                    Err(errno) => return Err((Some(entry.name), errno.into())),
                }
            }
            found.push(entry.name);
            if found.len() >= room {
                return Ok(found);
            }
        }
        if !removed || !found.is_empty() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::target::Target;
    use std::os::unix::ffi::OsStrExt;

    fn name(bytes: &str) -> Name {
        Name::new(bytes.as_bytes()).unwrap()
    }

    #[test]
    fn the_way_up_is_the_way_down_or_none() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("target/a/b")).unwrap();
        let target = Target::open(base.path().join("target").as_os_str().as_bytes()).unwrap();
        let mut levels = Vec::new();
        let a = enter(target.root().fd(), &name("a"), &mut levels).unwrap();
        let b = enter(a.as_fd(), &name("b"), &mut levels).unwrap();
        assert!(leave(b.as_fd(), levels[0].id).is_ok());
        std::fs::rename(base.path().join("target/a/b"), base.path().join("b")).unwrap();
        assert!(leave(b.as_fd(), levels[0].id).is_err());
    }

    #[test]
    fn what_is_mounted_is_left_alone() {
        let target = Target::open(b"/").unwrap();
        // Opened only: never try to remove these.
        let error = enter(target.root().fd(), &name("proc"), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("mounted"), "{error}");
    }

    #[test]
    fn few_names_wait_at_once_and_all_are_removed() {
        let base = tempfile::tempdir().unwrap();
        for i in 0..100 {
            std::fs::create_dir_all(base.path().join(format!("t/{i}/x"))).unwrap();
            std::fs::write(base.path().join(format!("t/{i}/y")), b"").unwrap();
        }
        let target = Target::open(base.path().as_os_str().as_bytes()).unwrap();
        let t = target.root().open_dir(&name("t")).unwrap();
        assert_eq!(sweep(t.fd(), 3).unwrap_or_default().len(), 3);
        target.root().remove(&name("t")).unwrap();
        assert!(target.is_empty().unwrap());
    }
}
