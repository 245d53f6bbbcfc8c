//! A snapshot: one point in time of one series. Layout: `format-spec/06-snapshots.md`.

use super::node::Node;
use crate::{id::SnapshotId, world::Time};
use bincode::{Decode, Encode};

/// What every key holder may know of a snapshot, also one that cannot open it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// Counts up by one in a series, from 1.
    pub sequence: u64,
    /// The snapshot before it in the series.
    pub previous: Option<SnapshotId>,
    /// When it was begun.
    pub time: Time,
    /// False when anything of the sources could not be read.
    pub complete: bool,
}

/// What holds a source, as the system told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum DeviceClass {
    /// The system did not tell.
    Unknown,
    /// Seeks cost nothing.
    SolidState,
    /// Seeks cost time.
    Rotational,
}

/// What a source is made of.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SourceKind {
    /// A file tree, or a single file, at this path.
    Tree { path: Vec<u8>, device: DeviceClass },
    /// What a command wrote; the command with its arguments, empty for standard input.
    Stream { command: Vec<Vec<u8>> },
}

/// Sums over entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Totals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// All other entries.
    pub others: u64,
    /// Bytes of regular files, holes counted.
    pub bytes: u64,
}

impl Totals {
    /// Adds another sum.
    pub fn add(&mut self, other: &Totals) {
        // Of a stored snapshot these are whatever its writer wrote.
        self.files = self.files.saturating_add(other.files);
        self.directories = self.directories.saturating_add(other.directories);
        self.others = self.others.saturating_add(other.others);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// One part of an application: `app`, `data`, `db`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Source {
    /// What it is made of.
    pub kind: SourceKind,
    /// The root, whose name is the source's.
    pub root: Node,
    /// Name of the root's owner and group, where the system knew them.
    pub owner: (Option<String>, Option<String>),
    /// Sums over the source.
    pub totals: Totals,
    /// Bytes of plaintext that were new to the repository with this source, data and trees.
    pub bytes_new: u64,
    /// Patterns that were left out.
    pub excludes: Vec<String>,
}

/// Something that could not be read as it should.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Problem {
    /// Path in the file system.
    pub path: Vec<u8>,
    /// What happened.
    pub what: String,
}

/// How much work a snapshot was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Work {
    /// Regular files whose contents were read.
    pub files_read: u64,
    /// Bytes read from them.
    pub bytes_read: u64,
    /// Bytes of plaintext that were new to the repository, data and trees.
    pub bytes_new: u64,
    /// Bytes that the new packs take in the store.
    pub bytes_stored: u64,
}

/// The tag of a snapshot that a repair made.
pub const REPAIRED: &str = "repaired";
const REPAIRED_FROM: &str = "repaired from ";

/// The description of a snapshot that a repair made in the place of another one.
pub fn repaired_description(from: &SnapshotId, more: &str) -> String {
    format!("{REPAIRED_FROM}{from}: {more}")
}

impl Snapshot {
    /// The damaged snapshot that this one was made in the place of.
    pub fn repaired_from(&self) -> Option<SnapshotId> {
        let is_repaired = self.tags.iter().any(|tag| tag == REPAIRED);
        let rest = self.description.as_deref().filter(|_| is_repaired)?.strip_prefix(REPAIRED_FROM)?;
        SnapshotId::parse(rest.get(..64)?).ok()
    }
}

/// One point in time of one series.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    /// `server/vm/relpath`.
    pub series: String,
    /// What the head says, again: both must agree.
    pub head: Head,
    /// When it was finished.
    pub finished: Time,
    /// The machine that made it.
    pub host: String,
    /// The user who ran the program.
    pub user: String,
    /// Program and version.
    pub program: String,
    /// The parts, sorted by name.
    pub sources: Vec<Source>,
    /// The first problems, at most [`super::limits::PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// All problems, in number.
    pub problem_count: u64,
    /// Sums over the sources.
    pub totals: Totals,
    /// How much work it was.
    pub work: Work,
    /// Words to find it by, sorted.
    pub tags: Vec<String>,
    /// Free text.
    pub description: Option<String>,
    /// The application's effective configuration, so that repository and key are enough to bring it back.
    pub configuration: Option<Vec<u8>>,
}
