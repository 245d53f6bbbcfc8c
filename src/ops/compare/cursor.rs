//! One directory, page by page: a page is read when it is wanted, and whole pages can be passed by their ids.

use super::Pages;
use crate::{
    error::{Error, Result},
    id::BlobId,
    model::{
        limits,
        node::Node,
        tree::{Leaf, TreeChild, TreePage},
    },
    name::Name,
};
use std::sync::Arc;

/// An entry as it stands in its page, which says the names of its owners.
#[derive(Debug, Clone)]
pub struct Seen {
    page: Arc<TreePage>,
    at: usize,
}

static NO_NODES: Leaf = Leaf { users: Vec::new(), groups: Vec::new(), nodes: Vec::new() };

fn leaf(page: &TreePage) -> &Leaf {
    match page {
        TreePage::Leaf(leaf) => leaf,
        TreePage::Inner(_) => &NO_NODES,
    }
}

fn children(page: &TreePage) -> &[TreeChild] {
    match page {
        TreePage::Leaf(_) => &[],
        TreePage::Inner(children) => children,
    }
}

impl Seen {
    /// The entry; `None` never happens for what a cursor gave.
    pub fn node(&self) -> Option<&Node> {
        leaf(&self.page).nodes.get(self.at)
    }

    /// Names of owner and group on the source.
    pub fn owners(&self) -> (Option<&str>, Option<&str>) {
        let leaf = leaf(&self.page);
        self.node().map_or((None, None), |node| (leaf.user(node.meta.uid), leaf.group(node.meta.gid)))
    }
}

/// What comes next in a directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'c> {
    /// Nothing.
    End,
    /// A page that was not read, and the name that it begins with, which a root page does not tell.
    Page(Option<&'c Name>),
    /// An entry.
    Node(&'c Node),
}

/// A place in a directory.
pub(super) struct Cursor<'p> {
    pages: &'p dyn Pages,
    root: Option<BlobId>,
    /// Inner pages above, and which of their children comes next.
    above: Vec<(Arc<TreePage>, usize)>,
    /// The page that is being read: its id, unless it was made up, and which of its nodes comes next.
    open: Option<(Option<BlobId>, Arc<TreePage>, usize)>,
    last: Option<Name>,
}

impl<'p> Cursor<'p> {
    /// Before the first entry of a stored directory.
    pub fn new(pages: &'p dyn Pages, root: BlobId) -> Self {
        Cursor { pages, root: Some(root), above: Vec::new(), open: None, last: None }
    }

    /// Before the first of some entries that no page holds.
    pub fn of_leaf(pages: &'p dyn Pages, leaf: Leaf) -> Self {
        let open = Some((None, Arc::new(TreePage::Leaf(leaf)), 0));
        Cursor { pages, root: None, above: Vec::new(), open, last: None }
    }

    /// Leaves pages that are done.
    fn settle(&mut self) {
        if let Some((_, page, at)) = &self.open
            && *at >= leaf(page).nodes.len()
        {
            self.last = leaf(page).nodes.last().map(|node| node.name.clone()).or(self.last.take());
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
            return leaf(page).nodes.get(*at).map_or(Next::End, Next::Node);
        }
        if self.root.is_some() {
            return Next::Page(None);
        }
        match self.above.last().and_then(|(page, at)| children(page).get(*at)) {
            Some(child) => Next::Page(Some(&child.first)),
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
            *at = leaf(page).nodes.len();
        } else if self.root.take().is_none()
            && let Some((_, at)) = self.above.last_mut()
        {
            *at += 1;
        }
    }

    /// Reads the page that comes next.
    pub fn load(&mut self) -> Result<()> {
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
        match self.open_page(id, first) {
            Err(error @ (Error::Corrupt { .. } | Error::Missing { .. })) => self.pages.lost(&id, error),
            opened => opened,
        }
    }

    fn open_page(&mut self, id: BlobId, first: Option<Name>) -> Result<()> {
        let bad = |what| Err(Error::corrupt(format!("page {}", id.short()), what));
        let page = self.pages.tree_page(&id)?;
        let found = match &*page {
            TreePage::Leaf(leaf) => leaf.nodes.first().map(|node| &node.name),
            TreePage::Inner(children) => children.first().map(|child| &child.first),
        };
        if first.is_some() && first.as_ref() != found {
            return bad("it does not begin with the name that its parent says");
        }
        if self.last.as_ref().is_some_and(|last| found.is_some_and(|found| found <= last)) {
            return bad("its names come before those of the page before");
        }
        match &*page {
            TreePage::Leaf(_) => self.open = Some((Some(id), page, 0)),
            TreePage::Inner(_) if self.above.len() + 1 >= limits::LEVELS_MAX => return bad("too many levels of pages"),
            TreePage::Inner(_) => self.above.push((page, 0)),
        }
        Ok(())
    }

    /// Takes the entry that comes next.
    pub fn take(&mut self) -> Option<Seen> {
        let (_, page, at) = self.open.as_mut()?;
        let seen = Seen { page: page.clone(), at: *at };
        *at += 1;
        Some(seen)
    }

    /// Passes the entry that comes next.
    pub fn pass(&mut self) {
        if let Some((_, _, at)) = self.open.as_mut() {
            *at += 1;
        }
    }
}
