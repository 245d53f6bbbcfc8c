//! The version before, in the source and in the copy: what has not changed since need not be looked at.

use crate::{
    id::BlobId,
    model::{
        node::{Body, Node},
        paging::TreeLeaves,
    },
    name::Name,
    repo::BlobReader,
};

/// The nodes of a directory in order, as far as they can be read.
struct Cursor<'s> {
    leaves: TreeLeaves<'s>,
    nodes: std::vec::IntoIter<Node>,
    next: Option<Node>,
}

impl<'s> Cursor<'s> {
    fn new(pages: &'s BlobReader<'s>, tree: BlobId) -> Self {
        Cursor { leaves: TreeLeaves::new(pages, tree), nodes: Vec::new().into_iter(), next: None }
    }

    /// The node of this name; names that are asked for grow.
    fn at(&mut self, name: &Name) -> Option<Node> {
        loop {
            match &self.next {
                Some(node) if node.name > *name => return None,
                Some(node) if node.name == *name => return self.next.take(),
                _ => {}
            }
            self.next = self.nodes.next();
            if self.next.is_none() {
                // What cannot be read is no help, and no harm.
                self.nodes = self.leaves.next_leaf().ok().flatten()?.nodes.into_iter();
            }
        }
    }
}

/// A directory of the version before: here and in the copy.
pub(super) struct Before<'s> {
    here: Cursor<'s>,
    there: Cursor<'s>,
}

impl<'s> Before<'s> {
    /// Both, where both are directories.
    pub(super) fn of(here: &'s BlobReader<'s>, there: &'s BlobReader<'s>, nodes: &(Node, Node)) -> Option<Self> {
        match (&nodes.0.body, &nodes.1.body) {
            (Body::Directory { tree: a, .. }, Body::Directory { tree: b, .. }) => {
                Some(Before { here: Cursor::new(here, *a), there: Cursor::new(there, *b) })
            }
            _ => None,
        }
    }

    /// The entry of this name, in both; names that are asked for grow.
    pub(super) fn at(&mut self, name: &Name) -> Option<(Node, Node)> {
        Some((self.here.at(name)?, self.there.at(name)?))
    }
}

/// What a node that has not changed holds in the copy.
pub(super) fn unchanged(node: &Node, before: &Option<(Node, Node)>) -> Option<Body> {
    let (here, there) = before.as_ref()?;
    let same = match (&node.body, &here.body, &there.body) {
        (Body::Directory { .. }, _, Body::Directory { .. }) => node.body == here.body,
        (Body::File { size: a, .. }, _, Body::File { size: b, .. }) => node.body == here.body && a == b,
        _ => false,
    };
    same.then(|| there.body.clone())
}
