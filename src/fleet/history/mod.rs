//! What was done for each application, in files that people read: `history/backup-NAME-YYYYMMDD`.
//!
//! NAME is the series with `+` for `/` (and `%XX` for what is neither a letter, a digit nor one of `.-_`); a very long one is cut, and
//! ends with a hash. A file holds a line for each time that the application was backed up on that day (of the machine's time zone),
//! as pairs of `key=value` with blanks between them; values with blanks or quotes stand in quotes, with `\"` and `\\` in them. Keys that
//! a reader does not know are to be passed over. A drill leaves such a line in `drill-NAME-YYYYMMDD`.
//!
//! | key | meaning |
//! |---|---|
//! | `time` | when it was begun, RFC 3339 in UTC |
//! | `series` | `server/vm/relpath` |
//! | `outcome` | `good`, `incomplete` or `failed` |
//! | `snapshot` | the id, when one was made |
//! | `files` | number of files |
//! | `mb` | their bytes, in millions |
//! | `bytes` | their bytes |
//! | `new` | bytes that the repository did not have |
//! | `stored` | bytes that these took in it |
//! | `seconds` | how long it took |
//! | `problems` | number of problems |
//! | `why` | what went wrong |

mod folder;
mod line;
#[cfg(test)]
mod tests;

pub use folder::{Kind, append, file_name, read, series_of};
pub use line::{LINE_MAX, parse};

use crate::id::SnapshotId;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A complete snapshot; a drill that passed.
    Good,
    /// A snapshot of which something is missing.
    Incomplete,
    /// None.
    Failed,
}

impl Outcome {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Good => "good",
            Outcome::Incomplete => "incomplete",
            Outcome::Failed => "failed",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Outcome::Good, Outcome::Incomplete, Outcome::Failed].into_iter().find(|one| one.word() == word)
    }
}

/// A line of a history.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When it was begun, in seconds since 1970.
    pub time: i64,
    /// `server/vm/relpath`.
    pub series: String,
    /// How it went.
    pub outcome: Outcome,
    /// The snapshot.
    pub snapshot: Option<SnapshotId>,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were new.
    pub new: u64,
    /// Bytes that these took in the store.
    pub stored: u64,
    /// How long it took.
    pub seconds: f64,
    /// Problems, in number.
    pub problems: u64,
    /// What went wrong; empty when nothing did. Safe to print.
    pub why: String,
}
