//! Targets that take two names for one: file systems, or single directories of ext4, that fold case.

use super::{Existing, Kind, TargetDir, beneath, unfinished};
use crate::{fs::error::PathError, name::Name};
use rustix::{
    fs::{AtFlags, Mode, OFlags, Stat, Timespec, Timestamps},
    io::Errno,
};

/// Entries of a directory that are asked whether it folds case, before it is tried out.
const LOOKED_AT: usize = 16;

fn swap_case(byte: &u8) -> u8 {
    if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte }
}

#[allow(clippy::unnecessary_cast, reason = "the widths of these fields depend on the architecture")]
fn times(stat: &Stat) -> Result<Timestamps, std::num::TryFromIntError> {
    let time = |sec, nsec: i64| Timespec { tv_sec: sec, tv_nsec: nsec as _ };
    Ok(Timestamps {
        last_access: time(stat.st_atime as i64, i64::try_from(stat.st_atime_nsec)?),
        last_modification: time(stat.st_mtime as i64, i64::try_from(stat.st_mtime_nsec)?),
    })
}

impl TargetDir {
    /// True when names that differ only in case are one name in this directory. It is a property of the directory, not
    /// of the file system (ext4 folds where it is told to). Leaves nothing behind: an entry that is there tells, and
    /// where none does, the directory gets its times back.
    ///
    /// A restore then refuses two names with equal [`folded`] forms. What a file system folds beyond that is caught
    /// where an entry is created, which fails when the name is taken, or by [`TargetDir::is_new`].
    pub fn folds_case(&self) -> Result<bool, PathError> {
        if let Some(folds) = self.entry_tells() {
            return Ok(folds);
        }
        let before = rustix::fs::fstat(self.fd());
        let folds = self.probe_case();
        if let Ok(Ok(found)) = before.map(|stat| times(&stat)) {
            // Who may write here but does not own it cannot set them; nothing but a time is lost.
            let _ = rustix::fs::futimens(self.fd(), &found);
        }
        folds
    }

    /// Whether names fold, by an entry with letters in its name: the name in the other case is the same entry.
    pub(super) fn entry_tells(&self) -> Option<bool> {
        let stat = |name: &[u8]| rustix::fs::statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW);
        for entry in beneath::entries(self.fd()).ok()?.take(LOOKED_AT) {
            let name = entry.ok()?.name;
            let other: Vec<u8> = name.as_bytes().iter().map(swap_case).collect();
            if other == name.as_bytes() {
                continue;
            }
            let found = match stat(&other) {
                Err(Errno::NOENT) => return Some(false),
                found => Existing::from_stat(&found.ok()?).ok()?,
            };
            if found.id != Existing::from_stat(&stat(name.as_bytes()).ok()?).ok()?.id {
                return Some(false);
            }
            // Two names of one inode differ in case only where case counts.
            if found.kind == Kind::Directory || found.links == 1 {
                return Some(true);
            }
        }
        None
    }

    fn probe_case(&self) -> Result<bool, PathError> {
        let name = unfinished::random_name().map_err(|source| self.failed_itself("probe", source))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        beneath::open(self.fd(), &name, flags, Mode::RUSR).map_err(|source| self.failed(&name, "create", source))?;
        let other = name.as_bytes().to_ascii_uppercase();
        let found = rustix::fs::statat(self.fd(), other.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
        let removed = rustix::fs::unlinkat(self.fd(), name.as_bytes(), AtFlags::empty());
        removed.map_err(|errno| self.failed(&name, "remove", errno))?;
        match found {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.failed_itself("probe", errno)),
        }
    }
}

/// A form of the name that is equal for names which a case-folding target takes for one: Unicode lower case of what
/// is UTF-8, the rest as it is.
pub fn folded(name: &Name) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.as_bytes().len());
    for part in name.as_bytes().utf8_chunks() {
        // By way of upper case, so that letters with several lower-case forms (sigma, long s) fall together.
        out.extend_from_slice(part.valid().to_uppercase().to_lowercase().as_bytes());
        out.extend_from_slice(part.invalid());
    }
    out
}
