//! What can go wrong with one of the users' files.

use crate::{error::reason, name::Shown};
use std::{fmt, io};

/// A failure with one file or directory of the users'.
///
/// There is no conversion into [`crate::error::Error`], and none may be added: an unreadable file is reported and the
/// snapshot goes on, a failing repository ends it. Were the one to turn into the other by a `?`, a full repository
/// could be taken for an unreadable file, and the file would be missing from a snapshot that claims to be made.
#[derive(Debug)]
pub struct PathError {
    /// Full path as bytes, as the user named its beginning.
    pub path: Vec<u8>,
    /// What failed, as a verb that fits between "cannot" and the path.
    pub doing: &'static str,
    /// Why.
    pub source: io::Error,
}

impl PathError {
    /// A failure while `doing` something to `path`.
    pub fn new(path: impl Into<Vec<u8>>, doing: &'static str, source: impl Into<io::Error>) -> Self {
        PathError { path: path.into(), doing, source: source.into() }
    }

    /// True when there is nothing at the path, as when a file was removed after its directory was listed.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, Shown(&self.path), reason(&self.source))
    }
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn message_names_path_and_reason_without_steering_the_terminal() {
        let error = PathError::new(&b"/x\x1b[2J"[..], "read", Errno::ACCESS);
        assert_eq!(error.to_string(), "cannot read /x\\x1b[2J: Permission denied");
        assert!(!error.is_missing());
        assert!(PathError::new(&b"/x"[..], "read", Errno::NOENT).is_missing());
    }
}
