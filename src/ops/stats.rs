//! How much there is, and how much of it is worth its space.

use crate::{
    error::{Error, Result},
    monitor::Monitor,
    repo::Repository,
};

/// Sums over one series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesStats {
    /// `server/vm/relpath`.
    pub series: String,
    /// Snapshots.
    pub snapshots: u64,
    /// Time of the newest, seconds since 1970.
    pub newest: i64,
    /// Bytes of files in the newest.
    pub bytes: u64,
    /// Files in the newest.
    pub files: u64,
    /// Sum of bytes of files over all snapshots.
    pub bytes_all: u64,
    /// Bytes that were new with each of the last 30 snapshots, oldest first.
    pub new_by_snapshot: Vec<u64>,
}

/// Sums over the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// By series, sorted.
    pub series: Vec<SeriesStats>,
    /// Packs in the index, data and trees.
    pub packs: u64,
    /// Segments.
    pub segments: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of plaintext of the blobs.
    pub bytes_plain: u64,
    /// Bytes of the packs.
    pub bytes_packed: u64,
    /// Bytes of all objects in the store.
    pub bytes_store: u64,
    /// Snapshots that cannot be read.
    pub unreadable: u64,
}

/// Adds up.
pub fn stats(_repo: &Repository, _monitor: &dyn Monitor) -> Result<Stats> {
    Err(Error::refused("under construction"))
}
