//! Files under temporary names: who writes one holds its lock, which the kernel takes back when he ends, however he ends. So what a
//! killed process left can be told from what a living one is at.

use rustix::{
    fd::AsFd,
    fs::{AtFlags, FlockOperation, flock, statat},
    io::Errno,
    path::Arg,
};

/// How often another file is made when somebody takes the new one for a left one.
pub const TRIES: usize = 16;

/// Holds a file that was just made under this name. False when it is lost: somebody may take it for a left one, and remove it, in the moment
/// between its making and this.
pub fn hold_new(file: impl AsFd, folder: impl AsFd, name: impl Arg) -> bool {
    // Where there are no locks nobody gets one, and nothing is removed.
    flock(file, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
        && statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Holds a file that was found. False when somebody is writing it, or nobody can tell. Who removes it holds it until it is gone: it may be a
/// new one that its writer is about to hold.
pub fn hold_left(file: impl AsFd) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_is_held_once_and_only_under_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (at, path) = (File::open(folder.path()).unwrap(), folder.path().join("new"));
        let new = File::create(&path).unwrap();
        assert!(hold_new(&new, &at, "new"));
        let found = File::open(&path).unwrap();
        assert!(!hold_left(&found), "its writer lives");
        assert!(!hold_new(&found, &at, "new"), "another has it");
        drop(new);
        assert!(hold_left(&found), "its writer is gone");
        drop(found);
        let new = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!hold_new(&new, &at, "new"), "it was taken away");
    }
}
