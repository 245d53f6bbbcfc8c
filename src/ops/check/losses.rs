//! What is lost, for people: by series, snapshot and path, whatever number of objects is to blame.

use crate::{id::SnapshotId, model::node::Node};
use std::collections::BTreeMap;

/// Paths of one snapshot that are named; the rest is counted.
pub const PATHS_NAMED: usize = 100;
/// Paths that are named in all.
const PATHS_NAMED_ALL: usize = 20_000;

/// A path that is lost, wholly or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostPath {
    /// Source and path in it. A directory of which entries are lost that nothing names any more ends in `/`.
    pub path: Vec<u8>,
    /// Entries that it stands for.
    pub entries: u64,
    /// Length of the file in bytes, or of all that is lost below a directory.
    pub size: u64,
    /// Bytes of it that are lost.
    pub lost: u64,
}

/// What of a snapshot is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotLoss {
    /// The snapshot.
    pub id: SnapshotId,
    /// When it was begun, in seconds since 1970, where that is known.
    pub time: Option<i64>,
    /// True when the snapshot itself cannot be read: nothing of it is known, and nothing counted.
    pub whole: bool,
    /// Entries that are lost, wholly or in part.
    pub entries: u64,
    /// Bytes that are lost.
    pub bytes: u64,
    /// The first of the paths.
    pub paths: Vec<LostPath>,
}

impl SnapshotLoss {
    /// Nothing yet.
    pub fn new(id: SnapshotId, time: Option<i64>) -> Self {
        SnapshotLoss { id, time, whole: false, entries: 0, bytes: 0, paths: Vec::new() }
    }

    /// One more path.
    pub fn add(&mut self, path: LostPath) {
        self.entries = self.entries.saturating_add(path.entries);
        self.bytes = self.bytes.saturating_add(path.lost);
        if self.paths.len() < PATHS_NAMED {
            self.paths.push(path);
        }
    }
}

/// What of a series is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesLoss {
    /// `server/vm/relpath`; empty when no snapshot of the series can be read.
    pub series: String,
    /// Its snapshots of which something is lost, oldest first.
    pub snapshots: Vec<SnapshotLoss>,
}

/// Gathers.
#[derive(Debug, Default)]
pub(super) struct Losses {
    series: BTreeMap<String, Vec<SnapshotLoss>>,
    named: usize,
}

impl Losses {
    pub(super) fn add(&mut self, series: &str, mut loss: SnapshotLoss) {
        if !loss.whole && loss.entries == 0 {
            return;
        }
        loss.paths.truncate(PATHS_NAMED_ALL.saturating_sub(self.named));
        self.named += loss.paths.len();
        self.series.entry(series.to_owned()).or_default().push(loss);
    }

    pub(super) fn finish(self) -> Vec<SeriesLoss> {
        let sorted = |(series, mut snapshots): (String, Vec<SnapshotLoss>)| {
            snapshots.sort_by_key(|loss| (loss.time, loss.id));
            SeriesLoss { series, snapshots }
        };
        self.series.into_iter().map(sorted).collect()
    }
}

/// Entries of a directory that were not seen, while it is walked.
pub(crate) struct Unseen {
    /// In number.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Unseen {
    /// All that a directory says is below it.
    pub(crate) fn below(entries: u64, bytes: u64) -> Self {
        Unseen { entries, bytes }
    }

    /// An entry of it was seen, and stands for all below it.
    pub(crate) fn see(&mut self, node: &Node) {
        self.entries = self.entries.saturating_sub(node.entries());
        self.bytes = self.bytes.saturating_sub(node.bytes());
    }

    /// What is lost with pages of the directory at `path`, which itself counts when it says of nothing below it.
    pub(crate) fn lost(&self, path: &[u8]) -> LostPath {
        let path = [path, b"/"].concat();
        LostPath { path, entries: self.entries.max(1), size: self.bytes, lost: self.bytes }
    }
}
