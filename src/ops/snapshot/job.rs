//! What all sources of a snapshot share.

use super::{flow::Control, parent::Parent, recall::Recall};
use crate::{
    fs::exclude::{ExcludeOptions, Excludes},
    repo::{BlobReader, Repository},
};

/// Readers of earlier blobs that new ones may lean on, as far as the key opens them.
#[derive(Clone, Copy, Default)]
pub struct Bases<'a> {
    pub data: Option<&'a BlobReader<'a>>,
    pub pages: Option<&'a BlobReader<'a>>,
}

/// What all sources share.
pub struct Job<'a> {
    pub control: &'a Control<'a>,
    pub excludes: &'a Excludes,
    /// What they were made of: a source may have more.
    pub exclude_options: &'a ExcludeOptions,
    pub parent: Option<Parent<'a>>,
    /// What stands in for it where it cannot be opened.
    pub recall: Option<&'a Recall<'a>>,
    /// Reads what data may lean on, and what pages may; none when nothing may.
    pub bases: Bases<'a>,
    pub with_atime: bool,
    /// Device (as [`crate::fs::stat::Stat`] has it) and inode of a directory to leave out.
    pub protect: Option<(u64, u64)>,
    pub repo: &'a Repository,
}
