//! Long lists as pages, cut where the contents say so, and read back lazily. Rules: `format-spec/05-trees.md`.

mod build;
mod read;
#[cfg(test)]
mod tests;

pub use build::{EXTENTS_IN_NODE, ListBuilder, TreeBuilder};
pub use read::{TreeLeaves, each_extent, find_node};

use crate::{error::Result, hash::BlobKind, id::BlobId};

/// Takes finished pages.
pub trait PageSink {
    /// Stores a page unless it is known, and names it.
    fn store_page(&mut self, kind: BlobKind, bytes: Vec<u8>) -> Result<BlobId>;
}

/// Gives pages back, already verified against their ids.
pub trait PageSource {
    /// The bytes of a page.
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>>;
}
