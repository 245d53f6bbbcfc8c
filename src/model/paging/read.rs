//! From pages to lists, a page at a time.

use super::{
    super::{
        limits,
        node::{Content, Extent, Node},
        tree::{Leaf, ListChild, ListPage, TreeChild, TreePage},
    },
    PageSource,
};
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    name::Name,
};

fn bad_page(id: &BlobId, what: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("page {}", id.short()), what)
}

/// Reads a directory's leaves in order, one page at a time.
pub struct TreeLeaves<'s> {
    source: &'s dyn PageSource,
    /// Children still to be read, level by level; the next one is the last of the last.
    stack: Vec<Vec<TreeChild>>,
    root: Option<BlobId>,
    last: Option<Name>,
    salvages: bool,
}

impl<'s> TreeLeaves<'s> {
    /// Starts at a root page.
    pub fn new(source: &'s dyn PageSource, root: BlobId) -> Self {
        TreeLeaves { source, stack: Vec::new(), root: Some(root), last: None, salvages: false }
    }

    /// The same for who wants all that is left: after an error the pages that follow come all the same.
    pub fn salvaging(source: &'s dyn PageSource, root: BlobId) -> Self {
        TreeLeaves { salvages: true, ..Self::new(source, root) }
    }

    /// The next leaf; after an error the rest of the directory cannot be read.
    pub fn next_leaf(&mut self) -> Result<Option<Leaf>> {
        let result = self.step();
        if result.is_err() && !self.salvages {
            self.stack.clear();
            self.root = None;
        }
        result
    }

    /// True when no page is left: a leaf below an inner page is never empty.
    pub fn is_done(&self) -> bool {
        self.root.is_none() && self.stack.iter().all(Vec::is_empty)
    }

    fn step(&mut self) -> Result<Option<Leaf>> {
        loop {
            let (id, first) = match self.root.take() {
                Some(root) => (root, None),
                None => match self.stack.last_mut().map(Vec::pop) {
                    Some(Some(child)) => (child.id, Some(child.first)),
                    Some(None) => {
                        self.stack.pop();
                        continue;
                    }
                    None => return Ok(None),
                },
            };
            let bytes = self.source.page(BlobKind::Tree, &id)?;
            match TreePage::decode(&bytes).map_err(|e| bad_page(&id, e))? {
                TreePage::Leaf(leaf) => {
                    let found = leaf.nodes.first().map(|node| &node.name);
                    if first.is_some() && first.as_ref() != found {
                        return Err(bad_page(&id, "it does not begin with the name that its parent says"));
                    }
                    if self.last.as_ref().is_some_and(|last| found.is_some_and(|found| found <= last)) {
                        return Err(bad_page(&id, "its names come before those of the page before"));
                    }
                    self.last = leaf.nodes.last().map(|node| node.name.clone()).or(self.last.take());
                    return Ok(Some(leaf));
                }
                TreePage::Inner(mut children) => {
                    if first.is_some() && first.as_ref() != children.first().map(|child| &child.first) {
                        return Err(bad_page(&id, "it does not begin with the name that its parent says"));
                    }
                    // The root's level is the first, and a leaf must still fit.
                    if self.stack.len() + 1 >= limits::LEVELS_MAX {
                        return Err(bad_page(&id, "too many levels of pages"));
                    }
                    children.reverse();
                    self.stack.push(children);
                }
            }
        }
    }
}

/// Finds one name in a directory, reading one page a level.
pub fn find_node(source: &dyn PageSource, root: BlobId, name: &[u8]) -> Result<Option<(Node, Leaf)>> {
    let Some((_, mut leaf)) = find_leaf(source, root, name)? else { return Ok(None) };
    Ok(match leaf.nodes.binary_search_by(|node| node.name.as_bytes().cmp(name)) {
        Ok(at) => Some((leaf.nodes.swap_remove(at), leaf)),
        Err(_) => None,
    })
}

/// Finds the leaf in which a name stands, or would stand; `None` when it would stand before all others.
pub fn find_leaf(source: &dyn PageSource, root: BlobId, name: &[u8]) -> Result<Option<(BlobId, Leaf)>> {
    let mut id = root;
    let mut first: Option<Name> = None;
    for _ in 0..limits::LEVELS_MAX {
        let bytes = source.page(BlobKind::Tree, &id)?;
        match TreePage::decode(&bytes).map_err(|e| bad_page(&id, e))? {
            TreePage::Leaf(leaf) => {
                // Else a forged directory could hide from a search what a walk finds.
                if first.is_some() && first.as_ref() != leaf.nodes.first().map(|node| &node.name) {
                    return Err(bad_page(&id, "it does not begin with the name that its parent says"));
                }
                return Ok(Some((id, leaf)));
            }
            TreePage::Inner(children) => {
                let above = children.partition_point(|child| child.first.as_bytes() <= name);
                match above.checked_sub(1).and_then(|at| children.get(at)) {
                    Some(child) => {
                        id = child.id;
                        first = Some(child.first.clone());
                    }
                    None => return Ok(None),
                }
            }
        }
    }
    Err(bad_page(&root, "too many levels of pages"))
}

/// Calls `each` with every extent of a file, in order, and checks that they add up to `size`.
pub fn each_extent(
    source: &dyn PageSource,
    content: &Content,
    size: u64,
    each: &mut dyn FnMut(Extent) -> Result<()>,
) -> Result<()> {
    let mut leaves = match content {
        Content::Extents(extents) => return extents.iter().try_for_each(|extent| each(*extent)),
        Content::Paged(root) => ExtentLeaves::new(source, *root, size),
    };
    while let Some(extents) = leaves.next_leaf()? {
        extents.into_iter().try_for_each(&mut *each)?;
    }
    Ok(())
}

/// Reads the pages of a file's list of extents in order, one at a time.
pub struct ExtentLeaves<'s> {
    source: &'s dyn PageSource,
    /// Children still to be read, level by level; the next one is the last of the last.
    stack: Vec<Vec<ListChild>>,
}

impl<'s> ExtentLeaves<'s> {
    /// Starts at the root page of a file of `size` bytes.
    pub fn new(source: &'s dyn PageSource, root: BlobId, size: u64) -> Self {
        ExtentLeaves { source, stack: vec![vec![ListChild { len: size, id: root }]] }
    }

    /// The extents of the next leaf; after an error the rest of the list cannot be read.
    pub fn next_leaf(&mut self) -> Result<Option<Vec<Extent>>> {
        let result = self.step();
        if result.is_err() {
            self.stack.clear();
        }
        result
    }

    fn step(&mut self) -> Result<Option<Vec<Extent>>> {
        while let Some(level) = self.stack.last_mut() {
            let Some(child) = level.pop() else {
                self.stack.pop();
                continue;
            };
            let bad = |what| Err(bad_page(&child.id, what));
            let bytes = self.source.page(BlobKind::List, &child.id)?;
            // `decode` has checked that the sums below do not overflow.
            match ListPage::decode(&bytes).map_err(|e| bad_page(&child.id, e))? {
                ListPage::Leaf(extents) => {
                    if extents.iter().map(Extent::len).sum::<u64>() != child.len {
                        return bad("its lengths do not add up");
                    }
                    return Ok(Some(extents));
                }
                ListPage::Inner(mut children) => {
                    if self.stack.len() >= limits::LEVELS_MAX {
                        return bad("too many levels of pages");
                    }
                    if children.iter().map(|child| child.len).sum::<u64>() != child.len {
                        return bad("its lengths do not add up");
                    }
                    children.reverse();
                    self.stack.push(children);
                }
            }
        }
        Ok(None)
    }
}
