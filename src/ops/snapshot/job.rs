//! What all sources of a snapshot share.

use super::{flow::Control, parent::Parent};
use crate::{fs::exclude::Excludes, repo::Repository};

/// What all sources share.
pub struct Job<'a> {
    pub control: &'a Control<'a>,
    pub excludes: &'a Excludes,
    pub parent: Option<Parent<'a>>,
    pub with_atime: bool,
    /// Device (as [`crate::fs::stat::Stat`] has it) and inode of a directory to leave out.
    pub protect: Option<(u64, u64)>,
    pub repo: &'a Repository,
}
