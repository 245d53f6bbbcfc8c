//! Brings a snapshot, or a part of one, back.

use crate::{
    error::{Error, Result},
    model::snapshot::{Problem, Totals},
    monitor::Monitor,
    repo::{BlobReader, Listed},
};

/// Whose the restored entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// By number, as on the source.
    #[default]
    Numeric,
    /// By name where this machine knows the name.
    ByName,
    /// The user who restores.
    Skip,
}

/// What is to be restored, and how.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Path below the snapshot, its source's name first; `None` for all of it.
    pub path: Option<Vec<u8>>,
    /// Folder to restore into; made when it is not there.
    pub target: Vec<u8>,
    /// gitignore-style patterns of what to bring back; all when empty.
    pub include: Vec<String>,
    /// gitignore-style patterns of what to leave.
    pub exclude: Vec<String>,
    /// Restore over what is there: write only what differs.
    pub in_place: bool,
    /// With `in_place`: remove what the snapshot does not have.
    pub delete: bool,
    /// In place: compare contents, not only size and time. Afterwards: read back what was written and compare.
    pub verify: bool,
    /// Change nothing, report what would be done.
    pub dry_run: bool,
    /// Whose the restored entries are.
    pub owners: Owners,
    /// Worker threads; 0 for one a core.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was to be restored.
    pub totals: Totals,
    /// Files that were right already.
    pub files_unchanged: u64,
    /// Files whose contents were written, whole or in part.
    pub files_written: u64,
    /// Bytes of files that were written.
    pub bytes_written: u64,
    /// Bytes read from the store.
    pub bytes_fetched: u64,
    /// Entries that were removed.
    pub deleted: u64,
    /// Sockets, which mean nothing without their process, and are left out.
    pub sockets: u64,
    /// What this user or file system could not give the entries (owners, attributes, …), for people; empty when nothing.
    pub shortfall: String,
    /// The first problems, at most [`crate::model::limits::PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// All problems.
    pub problem_count: u64,
    /// With `dry_run`: what would be done, one line an entry, safe to print; at most 10 000.
    pub actions: Vec<String>,
}

/// Restores. Single entries that fail are in the report, and the rest is restored; an error is returned when the request
/// makes no sense or the target as a whole failed.
pub fn restore(
    _reader: &BlobReader<'_>,
    _listed: &Listed,
    _request: &Request,
    _monitor: &dyn Monitor,
) -> Result<Report> {
    Err(Error::refused("under construction"))
}
