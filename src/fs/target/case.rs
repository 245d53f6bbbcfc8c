//! Targets that take two names for one: file systems, or single directories of ext4, that fold case.

use super::{TargetDir, create};
use crate::{fs::error::PathError, name::Name};
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};

impl TargetDir {
    /// True when names that differ only in case are one name in this directory. It is a property of the directory, not
    /// of the file system (ext4 folds where it is told to). Leaves nothing behind.
    ///
    /// A restore then refuses two names with equal [`folded`] forms. What a file system folds beyond that is caught
    /// where an entry is created, which fails when the name is taken, or by [`TargetDir::is_new`].
    pub fn folds_case(&self) -> Result<bool, PathError> {
        let name = create::random_name().map_err(|source| self.failed_itself("probe", source))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        super::beneath::open(self.fd(), &name, flags, Mode::RUSR)
            .map_err(|source| self.failed(&name, "create", source))?;
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
