//! A failure of one entry of a user's file system.

use crate::name::Shown;
use std::{fmt, io};

/// One entry could not be read or restored. It never converts into [`crate::error::Error`], so that nobody takes it
/// for a failure of the repository, nor the other way round.
#[derive(Debug)]
pub struct PathError {
    /// The entry, as the system knows it.
    pub path: Vec<u8>,
    /// What failed: "cannot `doing` `path`".
    pub doing: &'static str,
    /// The system's word on it.
    pub source: io::Error,
}

impl PathError {
    /// A failure while `doing` something to the entry at `path`.
    pub fn new(path: impl Into<Vec<u8>>, doing: &'static str, source: impl Into<io::Error>) -> Self {
        PathError { path: path.into(), doing, source: source.into() }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, Shown(&self.path), self.source)
    }
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
