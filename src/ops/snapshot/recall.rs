//! What a writer recognises unchanged files by, in the place of the snapshot before, which it cannot open: what it remembered itself.
//!
//! Only files: attributes and links of the rest cost no read. Pages of directories are made anew, and known by their ids.
//! The pages of a long list of extents are remembered too (30 bytes for some 128 KiB of the file): without them an image of a
//! terabyte would be read each night.

use super::parent::is_settled;
use crate::{
    error::{Error, Result},
    fs::stat::Stat,
    hash::BlobKind,
    id::BlobId,
    index::BlobIndex,
    model::{
        node::{Body, Content, Extent, Node},
        paging::{PageSource, each_extent},
    },
    repo::files::{Files, FilesBuilder, Kept, ListKey, Place, Places},
    world::Time,
};

/// What was remembered, and what will be.
pub struct Recall<'a> {
    /// Makes places of paths.
    pub places: Places,
    /// From the last snapshot that was taken here.
    pub before: Option<Files>,
    /// For the next; none in a dry run.
    pub next: Option<FilesBuilder>,
    /// Says whether blobs are still there.
    pub index: &'a BlobIndex,
    /// When this snapshot was begun.
    pub begun: Time,
}

impl Recall<'_> {
    /// What is known of a file that has not changed, if all of its blobs are still there.
    pub fn unchanged(&self, place: &Place, stat: &Stat) -> Option<Kept> {
        let before = self.before.as_ref()?;
        let kept = before.find(place, stat)?;
        let pages = Copied { recall: self, before, list: kept.list.unwrap_or_default() };
        let there = |extent| match extent {
            Extent::Data { id, .. } => self.expect(&id),
            Extent::Hole { .. } => Ok(()),
        };
        each_extent(&pages, &kept.content, stat.size, &mut { there }).ok()?;
        Some(Kept { bare: kept.bare && before.knows_attributes(), ..kept })
    }

    fn expect(&self, id: &BlobId) -> Result<()> {
        if self.index.contains(id) { Ok(()) } else { Err(Error::Missing { object: id.to_string() }) }
    }

    /// Remembers a file as it is now. One that changed so shortly before this snapshot that it may do so again unseen is read again
    /// by the next.
    pub fn remember(&self, place: &Place, node: &Node, list: ListKey) {
        if let (Some(next), Body::File { size, content }) = (&self.next, &node.body)
            && is_settled(node.meta.ctime, self.begun)
        {
            let list = matches!(content, Content::Paged(_)).then_some(list);
            let kept = Kept { bare: node.meta.xattrs.is_empty(), content: content.clone(), list };
            next.add(place, *size, &node.meta, &kept);
        }
    }

    /// Remembers a page of a list of extents.
    pub fn remember_page(&self, list: &ListKey, id: &BlobId, page: &[u8]) {
        if let Some(next) = &self.next {
            next.add_page(list, id, page);
        }
    }

    /// A name for a list of extents that is to be remembered; it stands in the record of the file, by which alone its pages are found.
    pub fn list_key(&self) -> ListKey {
        self.next.as_ref().map(FilesBuilder::list_key).unwrap_or_default()
    }
}

/// Remembered pages, which are remembered again as they are read; only those that the repository still has.
struct Copied<'a> {
    recall: &'a Recall<'a>,
    before: &'a Files,
    list: ListKey,
}

impl PageSource for Copied<'_> {
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        self.recall.expect(id)?;
        let page = self.before.pages(self.list).page(kind, id)?;
        self.recall.remember_page(&self.list, id, &page);
        Ok(page)
    }
}
