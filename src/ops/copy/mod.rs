//! Snapshots into another repository. Only ever adds there: the copy keeps its own retention.
//!
//! ```text
//! replica   same repository, whole objects: packs → index → annotations, tombstones → snapshots      no key; each held against its name
//! logical   blobs → read, verified → sealed under the other repository's keys → tree → snapshot      for other keys
//! ```
//!
//! `format-spec/14-copies.md` says what makes a copy safe beside writers and pruners at both ends.

mod along;
mod before;
pub(in crate::ops) mod inventory;
mod lanes;
pub mod logical;
mod rely;
pub mod replica;
mod rewrite;
#[cfg(test)]
mod tests;
mod torn;
pub(in crate::ops) mod transfer;
