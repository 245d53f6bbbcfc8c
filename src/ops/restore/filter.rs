//! What of a snapshot is brought back.

use super::Request;
use crate::{
    error::{Error, Result},
    fs::exclude::{ExcludeOptions, Excludes},
};

/// Patterns as gitignore(5) has them, relative to what is restored.
pub(super) struct Filter {
    exclude: Excludes,
    include: Option<Excludes>,
}

impl Filter {
    pub fn new(request: &Request) -> Result<Self> {
        let patterns = |patterns: &[String]| {
            Excludes::new(&ExcludeOptions { patterns: patterns.to_vec(), ..ExcludeOptions::default() })
        };
        let include = match request.include.as_slice() {
            [] => None,
            include => Some(patterns(include).map_err(|error| match error {
                Error::Usage { what } => Error::usage(what.replacen("exclude pattern", "include pattern", 1)),
                other => other,
            })?),
        };
        Ok(Filter { exclude: patterns(&request.exclude)?, include })
    }

    /// True when everything is brought back.
    pub fn is_open(&self) -> bool {
        self.include.is_none() && self.exclude.patterns().is_empty()
    }

    /// True when only what matches is brought back.
    pub fn is_selective(&self) -> bool {
        self.include.is_some()
    }

    /// True when a pattern leaves the entry out, and all that is in it.
    pub fn excludes(&self, path: &[u8], is_dir: bool) -> bool {
        self.exclude.leaves_out(path, is_dir)
    }

    /// True when the entry is asked for by itself. All that is in a directory that is asked for is asked for too.
    pub fn includes(&self, path: &[u8], is_dir: bool) -> bool {
        self.include.as_ref().is_none_or(|include| include.leaves_out(path, is_dir))
    }
}
