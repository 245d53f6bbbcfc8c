//! Is everything there, and is it what it should be?

use crate::{
    error::{Error, Result},
    monitor::Monitor,
    repo::Repository,
};

/// How much of the packs is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReadData {
    /// None: structure only.
    None,
    /// This share of the packs, in per cent, chosen at random: above 0, at most 100.
    Percent(f64),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object, `packs/3f/3f…`.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// What it costs: paths in snapshots, `series@id:path`, the first 100.
    pub lost: Vec<String>,
    /// All that it costs, in number of entries.
    pub lost_count: u64,
}

/// What came of a check.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Packs in the index.
    pub packs: u64,
    /// Blobs in the index.
    pub blobs: u64,
    /// Packs that were read whole.
    pub packs_read: u64,
    /// Bytes that were read from packs.
    pub bytes_read: u64,
    /// What is wrong; empty for a repository that is whole.
    pub findings: Vec<Finding>,
    /// What is odd but harmless: packs that no index lists, foreign files.
    pub notes: Vec<String>,
}

/// Checks the repository.
pub fn check(_repo: &Repository, _read: ReadData, _threads: usize, _monitor: &dyn Monitor) -> Result<Report> {
    Err(Error::refused("under construction"))
}
