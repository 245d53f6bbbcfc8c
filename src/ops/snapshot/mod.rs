//! Takes a snapshot: walk → read → chunk → hash → known? → segments → packs; then the tree, then the snapshot itself.

use crate::{
    compress::Compression,
    error::{Error, Result},
    fs::exclude::ExcludeOptions,
    id::SnapshotId,
    model::snapshot::Snapshot,
    monitor::Monitor,
    name::Name,
    repo::{Repository, Written},
    series::Series,
};
use std::io::Read;

/// Where a source comes from.
pub enum Input {
    /// A file or directory.
    Path(Vec<u8>),
    /// What a command writes to its standard output: program and arguments. The source fails when it exits with another status
    /// than 0.
    Command(Vec<Vec<u8>>),
    /// Bytes that the caller holds, such as standard input.
    Stream(Box<dyn Read + Send>),
}

/// One source of a snapshot.
pub struct SourceRequest {
    /// Its name: `app`, `data`, `db`.
    pub name: Name,
    /// Where it comes from.
    pub input: Input,
}

/// What is to be taken.
pub struct Request {
    /// The series that it belongs to.
    pub series: Series,
    /// Its sources, each under a name of its own.
    pub sources: Vec<SourceRequest>,
    /// What to leave out.
    pub excludes: ExcludeOptions,
    /// How hard to compress.
    pub compression: Compression,
    /// Keep times of last access.
    pub with_atime: bool,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Free text.
    pub description: Option<String>,
    /// The application's effective configuration.
    pub configuration: Option<Vec<u8>>,
    /// The machine that makes it.
    pub host: String,
    /// The user who makes it.
    pub user: String,
    /// Read and compare, store nothing.
    pub dry_run: bool,
    /// Worker threads; 0 for one a core.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// The snapshot's name; `None` after a dry run.
    pub id: Option<SnapshotId>,
    /// The snapshot: totals, work, problems, `complete`.
    pub snapshot: Snapshot,
    /// What was stored.
    pub written: Written,
    /// Regular files that were taken over from the snapshot before, unread.
    pub files_unchanged: u64,
}

/// Takes a snapshot. Entries that cannot be read are in the report and in the snapshot, which is then not `complete`; an error
/// is returned when nothing could be read, or when the repository failed.
pub fn snapshot(_repo: &Repository, _request: Request, _monitor: &dyn Monitor) -> Result<Report> {
    Err(Error::refused("under construction"))
}
