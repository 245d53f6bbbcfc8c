//! Long lists as pages, cut where the contents say so, and read back lazily. Rules: `format-spec/05-trees.md`.

mod build;
mod read;
#[cfg(test)]
mod tests;

pub use build::{EXTENTS_IN_NODE, ListBuilder, TreeBuilder};
pub use read::{ExtentLeaves, TreeLeaves, each_extent, find_leaf, find_node};

use crate::{error::Result, hash::BlobKind, id::BlobId, name::Name};

/// Takes finished pages.
pub trait PageSink {
    /// Stores a page unless it is known, and names it.
    fn store_page(&mut self, kind: BlobKind, bytes: Vec<u8>) -> Result<BlobId>;

    /// Stores a directory's leaf, whose names begin with `first`.
    fn store_leaf(&mut self, _first: Option<&Name>, bytes: Vec<u8>) -> Result<BlobId> {
        self.store_page(BlobKind::Tree, bytes)
    }
}

/// Gives pages back, already verified against their ids.
pub trait PageSource {
    /// The bytes of a page.
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>>;
}
