//! From lists to pages.

use super::{
    super::{
        codec,
        node::{Content, Extent, Node},
        tree::{Leaf, ListChild, OwnerName, TreeChild, TreePage},
    },
    PageSink,
};
use crate::{error::Result, hash::BlobKind, id::BlobId, name::Name};
use std::collections::BTreeMap;

/// Encoded items of a page, in bytes, from which on a cut closes it.
const PAGE_MIN: usize = 16 << 10;
/// Encoded items of a page, in bytes, from which on it is closed anyway.
const PAGE_MAX: usize = 128 << 10;
/// Encoded items of a small directory, in bytes. Of a deep tree all directories above are open.
const ITEMS: usize = 256;
/// An item in 64 is a cut.
const CUT_MASK: u8 = 63;
/// Files of so many extents or fewer carry them in the node.
pub const EXTENTS_IN_NODE: usize = 32;
fn is_full(bytes: usize, cut: impl FnOnce() -> bool) -> bool {
    bytes >= PAGE_MAX || (bytes >= PAGE_MIN && cut())
}

/// Items of one page to be, encoded.
#[derive(Default)]
struct Items {
    bytes: Vec<u8>,
    count: u64,
}

impl Items {
    fn push(&mut self, item: &impl bincode::Encode) {
        // Enough for most directories: it would grow with each of the first few.
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(ITEMS);
        }
        codec::encode_into(item, &mut self.bytes);
        self.count += 1;
    }

    /// Appends `count ‖ items`, which is how a list is encoded, and starts afresh.
    fn drain_into(&mut self, page: &mut Vec<u8>) {
        codec::encode_into(&self.count, page);
        page.append(&mut self.bytes);
        self.count = 0;
    }
}

/// Turns a directory's nodes, given in order, into pages.
pub struct TreeBuilder {
    page_key: [u8; 32],
    leaf: Items,
    first: Option<Name>,
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    /// Inner levels from the lowest: the children of the page to be, and how many pages were closed before it.
    inner: Vec<InnerLevel>,
}

#[derive(Default)]
struct InnerLevel {
    items: Items,
    first: Option<TreeChild>,
    closed: usize,
}

impl TreeBuilder {
    /// Starts an empty directory.
    pub fn new(page_key: [u8; 32]) -> Self {
        TreeBuilder {
            page_key,
            leaf: Items::default(),
            first: None,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            inner: Vec::new(),
        }
    }

    fn is_cut(&self, level: u8, name: &Name) -> bool {
        let mut hasher = blake3::Hasher::new_keyed(&self.page_key);
        hasher.update(&[level]).update(name.as_bytes());
        hasher.finalize().as_bytes()[0] & CUT_MASK == 0
    }

    /// Appends a node, whose name must be above all before it, with the names of its owners where known.
    pub fn push(
        &mut self,
        node: &Node,
        user: Option<&str>,
        group: Option<&str>,
        sink: &mut dyn PageSink,
    ) -> Result<()> {
        self.first.get_or_insert_with(|| node.name.clone());
        self.leaf.push(node);
        for (names, id, name) in [(&mut self.users, node.meta.uid, user), (&mut self.groups, node.meta.gid, group)] {
            if let Some(name) = name
                && !names.contains_key(&id)
            {
                names.insert(id, name.to_owned());
            }
        }
        if is_full(self.leaf.bytes.len(), || self.is_cut(0, &node.name)) {
            self.close_leaf(sink)?;
        }
        Ok(())
    }

    fn close_leaf(&mut self, sink: &mut dyn PageSink) -> Result<()> {
        let mut page = Vec::with_capacity(self.leaf.bytes.len() + 256);
        codec::encode_into(&0u32, &mut page);
        for names in [&mut self.users, &mut self.groups] {
            let names: Vec<OwnerName> =
                std::mem::take(names).into_iter().map(|(id, name)| OwnerName { id, name }).collect();
            codec::encode_into(&names, &mut page);
        }
        self.leaf.drain_into(&mut page);
        let id = sink.store_leaf(self.first.as_ref(), page)?;
        if let Some(first) = self.first.take() {
            self.add_child(0, TreeChild { first, id }, sink)?;
        }
        Ok(())
    }

    /// Appends a closed page to the inner level `at`.
    fn add_child(&mut self, at: usize, child: TreeChild, sink: &mut dyn PageSink) -> Result<()> {
        if self.inner.len() == at {
            self.inner.push(InnerLevel::default());
        }
        let cut = self.is_cut(at as u8 + 1, &child.first);
        let Some(level) = self.inner.get_mut(at) else { return Ok(()) };
        level.items.push(&child);
        level.first.get_or_insert(child);
        if is_full(level.items.bytes.len(), || cut) {
            self.close_inner(at, sink)?;
        }
        Ok(())
    }

    fn close_inner(&mut self, at: usize, sink: &mut dyn PageSink) -> Result<()> {
        let Some(level) = self.inner.get_mut(at) else { return Ok(()) };
        let Some(first) = level.first.take() else { return Ok(()) };
        let mut page = Vec::with_capacity(level.items.bytes.len() + 16);
        codec::encode_into(&1u32, &mut page);
        level.items.drain_into(&mut page);
        level.closed += 1;
        let id = sink.store_page(BlobKind::Tree, page)?;
        self.add_child(at + 1, TreeChild { first: first.first, id }, sink)
    }

    /// Closes what is open and returns the root page.
    pub fn finish(mut self, sink: &mut dyn PageSink) -> Result<BlobId> {
        if self.inner.is_empty() && self.first.is_none() {
            let mut page = Vec::new();
            codec::encode_into(&TreePage::Leaf(Leaf::default()), &mut page);
            return sink.store_page(BlobKind::Tree, page);
        }
        if self.first.is_some() {
            self.close_leaf(sink)?;
        }
        let mut at = 0;
        loop {
            // Level `at` exists: something was added to it just before.
            let level = &mut self.inner[at];
            if let (0, 1, Some(only)) = (level.closed, level.items.count, &level.first) {
                return Ok(only.id);
            }
            self.close_inner(at, sink)?;
            at += 1;
        }
    }
}

/// Turns a file's extents, given in order, into what its node holds.
#[derive(Default)]
pub struct ListBuilder {
    /// The first extents, until they are too many for a node.
    short: Vec<Extent>,
    leaf: Items,
    leaf_len: u64,
    paged: bool,
    inner: Vec<ListLevel>,
}

#[derive(Default)]
struct ListLevel {
    items: Items,
    len: u64,
    only: Option<BlobId>,
    closed: usize,
}

fn id_is_cut(id: &BlobId) -> bool {
    id.0[0] & CUT_MASK == 0
}

impl ListBuilder {
    /// Appends an extent.
    pub fn push(&mut self, extent: Extent, sink: &mut dyn PageSink) -> Result<()> {
        if !self.paged {
            self.short.push(extent);
            if self.short.len() > EXTENTS_IN_NODE {
                self.paged = true;
                for extent in std::mem::take(&mut self.short) {
                    self.push_paged(extent, sink)?;
                }
            }
            return Ok(());
        }
        self.push_paged(extent, sink)
    }

    fn push_paged(&mut self, extent: Extent, sink: &mut dyn PageSink) -> Result<()> {
        self.leaf.push(&extent);
        self.leaf_len += extent.len();
        let cut = matches!(extent, Extent::Data { id, .. } if id_is_cut(&id));
        if is_full(self.leaf.bytes.len(), || cut) {
            self.close_leaf(sink)?;
        }
        Ok(())
    }

    fn close_leaf(&mut self, sink: &mut dyn PageSink) -> Result<()> {
        let mut page = Vec::with_capacity(self.leaf.bytes.len() + 16);
        codec::encode_into(&0u32, &mut page);
        self.leaf.drain_into(&mut page);
        let id = sink.store_page(BlobKind::List, page)?;
        let len = std::mem::take(&mut self.leaf_len);
        self.add_child(0, ListChild { len, id }, sink)
    }

    fn add_child(&mut self, at: usize, child: ListChild, sink: &mut dyn PageSink) -> Result<()> {
        if self.inner.len() == at {
            self.inner.push(ListLevel::default());
        }
        let Some(level) = self.inner.get_mut(at) else { return Ok(()) };
        level.items.push(&child);
        level.len += child.len;
        level.only = Some(child.id);
        if is_full(level.items.bytes.len(), || id_is_cut(&child.id)) {
            self.close_inner(at, sink)?;
        }
        Ok(())
    }

    fn close_inner(&mut self, at: usize, sink: &mut dyn PageSink) -> Result<()> {
        let Some(level) = self.inner.get_mut(at) else { return Ok(()) };
        if level.items.count == 0 {
            return Ok(());
        }
        let mut page = Vec::with_capacity(level.items.bytes.len() + 16);
        codec::encode_into(&1u32, &mut page);
        level.items.drain_into(&mut page);
        level.closed += 1;
        let len = std::mem::take(&mut level.len);
        let id = sink.store_page(BlobKind::List, page)?;
        self.add_child(at + 1, ListChild { len, id }, sink)
    }

    /// Closes what is open and returns the node's content.
    pub fn finish(mut self, sink: &mut dyn PageSink) -> Result<Content> {
        if !self.paged {
            return Ok(Content::Extents(self.short));
        }
        if self.leaf.count > 0 {
            self.close_leaf(sink)?;
        }
        let mut at = 0;
        loop {
            let level = &mut self.inner[at];
            if let (0, 1, Some(only)) = (level.closed, level.items.count, level.only) {
                return Ok(Content::Paged(only));
            }
            self.close_inner(at, sink)?;
            at += 1;
        }
    }
}
