//! Decoded pages of directories and of lists of extents, kept for a while within a bound.

use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    model::{
        limits,
        node::{Extent, Node},
        paging::PageSource,
        tree::{Leaf, ListPage, TreeChild, TreePage},
    },
    name::Name,
};
use lru::LruCache;
use std::{
    mem::size_of,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

/// A decoded page.
pub enum Page {
    /// Of a directory.
    Tree(TreePage),
    /// Of a list of extents, with the offset at which each of its members ends.
    List(ListPage, Vec<u64>),
}

/// An entry in the page that holds it.
pub struct NodeRef(LeafRef, usize);

impl Deref for NodeRef {
    type Target = Node;
    fn deref(&self) -> &Node {
        // Where it was found when this was made.
        &self.0.nodes[self.1]
    }
}

/// A leaf of a directory.
#[derive(Clone)]
pub struct LeafRef(Arc<Page>);

impl Deref for LeafRef {
    type Target = Leaf;
    fn deref(&self) -> &Leaf {
        static EMPTY: Leaf = Leaf { users: Vec::new(), groups: Vec::new(), nodes: Vec::new() };
        match &*self.0 {
            Page::Tree(TreePage::Leaf(leaf)) => leaf,
            _ => &EMPTY,
        }
    }
}

struct Kept {
    pages: LruCache<BlobId, (Arc<Page>, usize)>,
    bytes: usize,
}

/// Pages by their names.
pub struct Pages<'s> {
    source: &'s (dyn PageSource + Sync),
    bound: usize,
    kept: Mutex<Kept>,
}

fn bad_page(id: &BlobId, what: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("page {}", id.short()), what)
}

/// What a decoded page takes, about: the texts in it are as long as they were encoded.
fn weight(page: &Page, encoded: usize) -> usize {
    encoded
        + match page {
            Page::Tree(TreePage::Leaf(leaf)) => leaf.nodes.len() * (size_of::<Node>() + 48),
            Page::Tree(TreePage::Inner(children)) => children.len() * (size_of::<TreeChild>() + 16),
            Page::List(_, ends) => ends.len() * (size_of::<Extent>() + 8),
        }
}

impl<'s> Pages<'s> {
    /// Keeps about `bound` bytes.
    pub fn new(source: &'s (dyn PageSource + Sync), bound: usize) -> Self {
        Pages { source, bound, kept: Mutex::new(Kept { pages: LruCache::unbounded(), bytes: 0 }) }
    }

    fn get(&self, kind: BlobKind, id: &BlobId) -> Result<Arc<Page>> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((page, _)) = lock().pages.get(id) {
            return Ok(page.clone());
        }
        let bytes = self.source.page(kind, id)?;
        let page = Arc::new(decode(kind, &bytes).map_err(|e| bad_page(id, e))?);
        let weight = weight(&page, bytes.len());
        let mut kept = lock();
        kept.bytes += weight;
        if let Some((_, (_, old))) = kept.pages.push(*id, (page.clone(), weight)) {
            kept.bytes -= old;
        }
        while kept.bytes > self.bound && kept.pages.len() > 1 {
            let Some((_, (_, old))) = kept.pages.pop_lru() else { break };
            kept.bytes -= old;
        }
        Ok(page)
    }

    /// Finds a name in a directory.
    pub fn find(&self, root: &BlobId, name: &[u8]) -> Result<Option<NodeRef>> {
        let mut id = *root;
        let mut first: Option<Name> = None;
        for _ in 0..limits::LEVELS_MAX {
            let page = self.get(BlobKind::Tree, &id)?;
            match &*page {
                Page::Tree(TreePage::Leaf(leaf)) => {
                    begins_with(&id, first.as_ref(), leaf.nodes.first().map(|node| &node.name))?;
                    let at = leaf.nodes.binary_search_by(|node| node.name.as_bytes().cmp(name));
                    return Ok(at.ok().map(|at| NodeRef(LeafRef(page.clone()), at)));
                }
                Page::Tree(TreePage::Inner(children)) => {
                    let above = children.partition_point(|child| child.first.as_bytes() <= name);
                    let Some(child) = above.checked_sub(1).and_then(|at| children.get(at)) else { return Ok(None) };
                    (id, first) = (child.id, Some(child.first.clone()));
                }
                Page::List(..) => return Err(bad_page(&id, "it is none of a directory")),
            }
        }
        Err(bad_page(root, "too many levels of pages"))
    }

    /// The extent of a long list in which byte `at` lies, and where it begins. `at` is below `size`.
    pub fn find_extents(&self, root: &BlobId, size: u64, at: u64) -> Result<ExtentsRef> {
        let (mut id, mut begin, mut len) = (*root, 0, size);
        for _ in 0..limits::LEVELS_MAX {
            let page = self.get(BlobKind::List, &id)?;
            let Page::List(list, ends) = &*page else { return Err(bad_page(&id, "it is none of a list")) };
            if ends.last() != Some(&len) {
                return Err(bad_page(&id, "its lengths do not add up"));
            }
            match list {
                ListPage::Leaf(_) => return Ok(ExtentsRef { page, begin }),
                ListPage::Inner(children) => {
                    let which = ends.partition_point(|end| begin + end <= at);
                    let Some(child) = children.get(which) else { return Err(bad_page(&id, "it ends too early")) };
                    begin += which.checked_sub(1).and_then(|before| ends.get(before)).unwrap_or(&0);
                    (id, len) = (child.id, child.len);
                }
            }
        }
        Err(bad_page(root, "too many levels of pages"))
    }
}

fn begins_with(id: &BlobId, said: Option<&Name>, found: Option<&Name>) -> Result<()> {
    // Else a forged directory could hide from a search what a walk finds.
    if said.is_some() && said != found {
        return Err(bad_page(id, "it does not begin with the name that its parent says"));
    }
    Ok(())
}

fn decode(kind: BlobKind, bytes: &[u8]) -> Result<Page, crate::model::codec::Malformed> {
    if kind == BlobKind::Tree {
        return TreePage::decode(bytes).map(Page::Tree);
    }
    let list = ListPage::decode(bytes)?;
    let mut sum = 0;
    // That the sum does not overflow was checked with the rest.
    let mut end = |len: u64| {
        sum += len;
        sum
    };
    let ends = match &list {
        ListPage::Leaf(extents) => extents.iter().map(|extent| end(extent.len())).collect(),
        ListPage::Inner(children) => children.iter().map(|child| end(child.len)).collect(),
    };
    Ok(Page::List(list, ends))
}

/// A leaf of a list of extents.
pub struct ExtentsRef {
    page: Arc<Page>,
    /// Where in the file it begins.
    begin: u64,
}

impl ExtentsRef {
    /// The extents from the one on in which byte `at` lies, each with the offset at which it begins.
    pub fn from(&self, at: u64) -> impl Iterator<Item = (u64, Extent)> + '_ {
        let (extents, ends) = match &*self.page {
            Page::List(ListPage::Leaf(extents), ends) => (extents.as_slice(), ends.as_slice()),
            _ => (&[][..], &[][..]),
        };
        let first = ends.partition_point(|end| self.begin + end <= at);
        let pairs = extents.iter().zip(ends).skip(first);
        pairs.map(|(extent, end)| (self.begin + end - extent.len(), *extent))
    }
}

/// The leaves of a directory in order, as far as they were read.
pub struct Leaves {
    ids: Vec<BlobId>,
    /// Pages still to be read, level by level, with the names that they begin with; the next one is the last of the last.
    waiting: Vec<Vec<(BlobId, Option<Name>)>>,
    last: Option<Name>,
}

impl Leaves {
    /// Of the directory with this root page.
    pub fn new(root: BlobId) -> Self {
        Leaves { ids: Vec::new(), waiting: vec![vec![(root, None)]], last: None }
    }

    /// The leaf of this number; `None` behind the last. After an error the rest of the directory cannot be read.
    pub fn get(&mut self, pages: &Pages<'_>, number: usize) -> Result<Option<LeafRef>> {
        if let Some(id) = self.ids.get(number) {
            return Ok(Some(LeafRef(pages.get(BlobKind::Tree, id)?)));
        }
        while let Some(leaf) = self.next(pages)? {
            if self.ids.len() > number {
                return Ok(Some(leaf));
            }
        }
        Ok(None)
    }

    fn next(&mut self, pages: &Pages<'_>) -> Result<Option<LeafRef>> {
        while let Some(level) = self.waiting.last_mut() {
            // Left where it is until it was read: who asks again is told the same.
            let Some((id, first)) = level.last().cloned() else {
                self.waiting.pop();
                continue;
            };
            let page = pages.get(BlobKind::Tree, &id)?;
            match &*page {
                Page::Tree(TreePage::Leaf(leaf)) => {
                    let found = leaf.nodes.first().map(|node| &node.name);
                    begins_with(&id, first.as_ref(), found)?;
                    if self.last.as_ref().is_some_and(|last| found.is_some_and(|found| found <= last)) {
                        return Err(bad_page(&id, "its names come before those of the page before"));
                    }
                    self.last = leaf.nodes.last().map(|node| node.name.clone()).or(self.last.take());
                    level.pop();
                    self.ids.push(id);
                    return Ok(Some(LeafRef(page)));
                }
                Page::Tree(TreePage::Inner(children)) => {
                    begins_with(&id, first.as_ref(), children.first().map(|child| &child.first))?;
                    let below = children.iter().rev().map(|child| (child.id, Some(child.first.clone()))).collect();
                    level.pop();
                    if self.waiting.len() >= limits::LEVELS_MAX {
                        return Err(bad_page(&id, "too many levels of pages"));
                    }
                    self.waiting.push(below);
                }
                Page::List(..) => return Err(bad_page(&id, "it is none of a directory")),
            }
        }
        Ok(None)
    }
}
