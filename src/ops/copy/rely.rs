//! What the copy has already and is not looked at again: it must be there to stay.

use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    index::BlobIndex,
    model::{
        node::{Body, Extent, Node},
        paging::{PageSource, each_extent},
        snapshot::Snapshot,
    },
    monitor::Monitor,
    ops::walk::{Event, TreeWalk},
    repo::BlobReader,
};
use std::collections::HashSet;

/// Counts on snapshots of the copy.
pub(super) struct Reliance<'a> {
    index: &'a BlobIndex,
    /// Trees of which all is there to stay.
    trees: HashSet<BlobId>,
}

impl<'a> Reliance<'a> {
    /// Counts on nothing yet. The index is the copy's.
    pub(super) fn new(index: &'a BlobIndex) -> Self {
        Reliance { index, trees: HashSet::new() }
    }

    /// Counts on all that a snapshot of the copy needs. False when something of it is not there to stay, or cannot be read.
    pub(super) fn rely_on(
        &mut self,
        pages: &BlobReader<'_>,
        snapshot: &Snapshot,
        monitor: &dyn Monitor,
    ) -> Result<bool> {
        for source in &snapshot.sources {
            if !self.rely_on_file(pages, &source.root) {
                return Ok(false);
            }
            let Body::Directory { tree, .. } = source.root.body else { continue };
            if self.trees.contains(&tree) {
                continue;
            }
            let counting = Counting { pages, index: self.index };
            let mut walk = TreeWalk::new(&counting, tree, b"");
            while let Some(event) = walk.next_event() {
                monitor.check()?;
                match event {
                    Event::Entry { node, .. } => {
                        if !self.rely_on_file(pages, &node) {
                            return Ok(false);
                        }
                        if let Body::Directory { tree, .. } = node.body
                            && self.trees.contains(&tree)
                        {
                            walk.skip();
                        }
                    }
                    Event::Unreadable(_) => return Ok(false),
                    Event::Leave => {}
                }
            }
            self.trees.insert(tree);
        }
        Ok(true)
    }

    fn rely_on_file(&self, pages: &BlobReader<'_>, node: &Node) -> bool {
        let Body::File { size, content } = &node.body else { return true };
        let counting = Counting { pages, index: self.index };
        let mut all = true;
        let read = each_extent(&counting, content, *size, &mut |extent| {
            if let Extent::Data { id, .. } = extent {
                all &= self.index.contains(&id);
            }
            Ok(())
        });
        all && read.is_ok()
    }
}

/// Reads pages of the copy that are counted on from then on; one that will not last cannot be read.
struct Counting<'r, 'p> {
    pages: &'p BlobReader<'r>,
    index: &'p BlobIndex,
}

impl PageSource for Counting<'_, '_> {
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        if !self.index.contains(id) {
            return Err(Error::Missing { object: format!("{kind} {id}") });
        }
        self.pages.blob(kind, id)
    }
}
