//! One directory, page by page: a page is read when it is wanted, and whole pages can be passed by their ids.

use super::Pages;
use crate::{
    error::{Error, Result},
    id::BlobId,
    model::{
        lazy::{LazyLeaf, LazyPage},
        limits,
        node::Node,
        tree::TreeChild,
    },
    name::Name,
};
use std::sync::Arc;

/// An entry, and the page that it stands in, which says the names of its owners.
#[derive(Debug, Clone)]
pub struct Seen {
    page: Arc<LazyPage>,
    node: Node,
}

/// Where an entry stands.
pub(super) struct Spot {
    page: Arc<LazyPage>,
    at: usize,
}

static NO_ENTRIES: LazyLeaf = LazyLeaf::EMPTY;

fn leaf(page: &LazyPage) -> &LazyLeaf {
    match page {
        LazyPage::Leaf(leaf) => leaf,
        LazyPage::Inner(_) => &NO_ENTRIES,
    }
}

fn children(page: &LazyPage) -> &[TreeChild] {
    match page {
        LazyPage::Leaf(_) => &[],
        LazyPage::Inner(children) => children,
    }
}

impl Spot {
    /// The name of the entry.
    pub fn name(&self) -> &[u8] {
        leaf(&self.page).name(self.at)
    }

    /// The entry, decoded and checked.
    pub fn look(self) -> Result<Seen> {
        let node = leaf(&self.page).node(self.at).map_err(|e| Error::corrupt("an entry of a directory", e))?;
        Ok(Seen { page: self.page, node })
    }
}

impl Seen {
    /// The entry.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Names of owner and group on the source.
    pub fn owners(&self) -> (Option<&str>, Option<&str>) {
        let leaf = leaf(&self.page);
        (leaf.user(self.node.meta.uid), leaf.group(self.node.meta.gid))
    }
}

/// What comes next in a directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'c> {
    /// Nothing.
    End,
    /// A page that was not read, and the name that it begins with, which a root page does not tell.
    Page(Option<&'c [u8]>),
    /// An entry of this name.
    Entry(&'c [u8]),
}

/// A place in a directory.
pub(super) struct Cursor<'p> {
    pages: &'p dyn Pages,
    root: Option<BlobId>,
    /// Inner pages above, and which of their children comes next.
    above: Vec<(Arc<LazyPage>, usize)>,
    /// The page that is being read: its id, unless it was made up, and which of its nodes comes next.
    open: Option<(Option<BlobId>, Arc<LazyPage>, usize)>,
    last: Option<Vec<u8>>,
}

impl<'p> Cursor<'p> {
    /// Before the first entry of a stored directory.
    pub fn new(pages: &'p dyn Pages, root: BlobId) -> Self {
        Cursor { pages, root: Some(root), above: Vec::new(), open: None, last: None }
    }

    /// Before the first of some entries that no page holds.
    pub fn of_leaf(pages: &'p dyn Pages, leaf: LazyLeaf) -> Self {
        let open = Some((None, Arc::new(LazyPage::Leaf(leaf)), 0));
        Cursor { pages, root: None, above: Vec::new(), open, last: None }
    }

    /// Leaves pages that are done.
    fn settle(&mut self) {
        if let Some((_, page, at)) = &self.open
            && *at >= leaf(page).len()
        {
            if let Some(last) = leaf(page).len().checked_sub(1) {
                self.last = Some(leaf(page).name(last).to_vec());
            }
            self.open = None;
        }
        if self.open.is_none() {
            while self.above.last().is_some_and(|(page, at)| *at >= children(page).len()) {
                self.above.pop();
            }
        }
    }

    /// What comes next.
    pub fn next(&mut self) -> Next<'_> {
        self.settle();
        if let Some((_, page, at)) = &self.open {
            let leaf = leaf(page);
            return if *at < leaf.len() { Next::Entry(leaf.name(*at)) } else { Next::End };
        }
        if self.root.is_some() {
            return Next::Page(None);
        }
        match self.above.last().and_then(|(page, at)| children(page).get(*at)) {
            Some(child) => Next::Page(Some(child.first.as_bytes())),
            None => Next::End,
        }
    }

    /// The id of the page that comes next and of which nothing was taken yet, be it read or not.
    pub fn whole(&mut self) -> Option<BlobId> {
        self.settle();
        match &self.open {
            Some((id, _, 0)) => *id,
            Some(_) => None,
            None => self.root.or_else(|| {
                let (page, at) = self.above.last()?;
                children(page).get(*at).map(|child| child.id)
            }),
        }
    }

    /// Passes that page.
    pub fn skip(&mut self) {
        if let Some((_, page, at)) = &mut self.open {
            *at = leaf(page).len();
        } else if self.root.take().is_none()
            && let Some((_, at)) = self.above.last_mut()
        {
            *at += 1;
        }
    }

    /// The page that is being read.
    pub fn page(&self) -> Option<&LazyPage> {
        self.open.as_ref().map(|(_, page, _)| &**page)
    }

    /// Reads the page that comes next, which may be much like `near`.
    pub fn load(&mut self, near: Option<&LazyPage>) -> Result<()> {
        self.settle();
        let (id, first) = match (self.root.take(), self.above.last_mut()) {
            (Some(root), _) => (root, None),
            (None, Some((page, at))) => {
                let Some(child) = children(page).get(*at) else { return Ok(()) };
                *at += 1;
                (child.id, Some(child.first.clone()))
            }
            (None, None) => return Ok(()),
        };
        match self.open_page(id, first, near) {
            Err(error @ (Error::Corrupt { .. } | Error::Missing { .. })) => self.pages.lost(&id, error),
            opened => opened,
        }
    }

    fn open_page(&mut self, id: BlobId, first: Option<Name>, near: Option<&LazyPage>) -> Result<()> {
        let bad = |what| Err(Error::corrupt(format!("page {}", id.short()), what));
        let page = self.pages.tree_page(&id, near)?;
        let found = match &*page {
            LazyPage::Leaf(leaf) => Some(leaf.name(0)).filter(|_| !leaf.is_empty()),
            LazyPage::Inner(children) => children.first().map(|child| child.first.as_bytes()),
        };
        if first.is_some() && first.as_ref().map(Name::as_bytes) != found {
            return bad("it does not begin with the name that its parent says");
        }
        if self.last.as_ref().is_some_and(|last| found.is_some_and(|found| found <= &last[..])) {
            return bad("its names come before those of the page before");
        }
        match &*page {
            LazyPage::Leaf(_) => self.open = Some((Some(id), page, 0)),
            LazyPage::Inner(_) if self.above.len() + 1 >= limits::LEVELS_MAX => return bad("too many levels of pages"),
            LazyPage::Inner(_) => self.above.push((page, 0)),
        }
        Ok(())
    }

    /// Takes the entry that comes next.
    pub fn take(&mut self) -> Option<Spot> {
        let (_, page, at) = self.open.as_mut()?;
        let spot = Spot { page: page.clone(), at: *at };
        *at += 1;
        Some(spot)
    }

    /// Passes entries that come next in both, byte for byte the same, up to the end of a page.
    pub fn pass_same(&mut self, other: &mut Cursor<'_>) {
        if let (Some((_, page, at)), Some((_, other, other_at))) = (&mut self.open, &mut other.open) {
            let (page, other) = (leaf(page), leaf(other));
            while *at < page.len() && *other_at < other.len() && page.encoded(*at) == other.encoded(*other_at) {
                (*at, *other_at) = (*at + 1, *other_at + 1);
            }
        }
    }
}
