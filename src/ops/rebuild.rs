//! A stored tree made anew without some of its entries. Pages that come out as they were are known to the repository already.

use super::{
    check::losses::{LostPath, Unseen},
    walk::{Event, TreeWalk},
};
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    model::{
        node::{Body, Extent, Node},
        paging::{PageSink, PageSource, TreeBuilder, each_extent},
    },
    monitor::Monitor,
};
use std::cell::RefCell;

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays; of a directory what is in it is judged too.
    Keep,
    /// It stays as it is, with all below it.
    KeepWhole,
    /// It is left out, with all below it.
    Drop,
}

/// Says what becomes of the entries of a tree.
pub trait Judge {
    /// An entry, or the root itself, at this path: the source's name first.
    fn meet(&mut self, node: &Node, path: &[u8]) -> Result<Fate>;

    /// A directory that was met and kept is done. False when it came out as it was.
    fn left(&mut self, _before: &Node, _path: &[u8], _changed: bool) {}

    /// Pages of the directory that is being walked cannot be read; after an error nothing is made.
    fn unreadable(&mut self, error: Error) -> Result<()>;

    /// What was on such pages, when the directory is done.
    fn lost(&mut self, _lost: LostPath) {}
}

/// Reads pages, and remembers which.
pub struct Remembering<'s> {
    source: &'s dyn PageSource,
    read: RefCell<Vec<(BlobKind, BlobId)>>,
}

impl<'s> Remembering<'s> {
    /// Reads from `source`.
    pub fn new(source: &'s dyn PageSource) -> Self {
        Remembering { source, read: RefCell::default() }
    }

    /// The pages that were read since somebody asked.
    pub fn take(&self) -> Vec<(BlobKind, BlobId)> {
        self.read.take()
    }
}

impl PageSource for Remembering<'_> {
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        self.read.borrow_mut().push((kind, *id));
        self.source.page(kind, id)
    }
}

/// Calls `each` with all blobs that a file takes: its data, and the pages of its list of extents. With none for what is no file.
pub fn each_blob(
    pages: &dyn PageSource,
    node: &Node,
    each: &mut dyn FnMut(BlobKind, &BlobId) -> Result<()>,
) -> Result<()> {
    let Body::File { size, content } = &node.body else { return Ok(()) };
    let pages = Remembering::new(pages);
    each_extent(&pages, content, *size, &mut |extent| match extent {
        Extent::Data { id, .. } => each(BlobKind::Data, &id),
        Extent::Hole { .. } => Ok(()),
    })?;
    pages.take().iter().try_for_each(|(kind, id)| each(*kind, id))
}

type Owner = (Option<String>, Option<String>);

/// A directory that is being made anew.
struct Level {
    node: Node,
    owner: Owner,
    builder: TreeBuilder,
    entries: u64,
    bytes: u64,
    unseen: Unseen,
    lost: bool,
}

impl Level {
    /// `None` for what is no directory.
    fn new(node: Node, owner: Owner, page_key: [u8; 32]) -> Option<Level> {
        let Body::Directory { entries, bytes, .. } = node.body else { return None };
        let unseen = Unseen::below(entries, bytes);
        Some(Level { node, owner, builder: TreeBuilder::new(page_key), entries: 0, bytes: 0, unseen, lost: false })
    }

    fn push(&mut self, node: &Node, owner: &Owner, sink: &mut dyn PageSink) -> Result<()> {
        self.entries = self.entries.saturating_add(node.entries());
        self.bytes = self.bytes.saturating_add(node.bytes());
        self.builder.push(node, owner.0.as_deref(), owner.1.as_deref(), sink)
    }

    /// The directory as it was, as it is now, and its owner.
    fn finish(self, sink: &mut dyn PageSink) -> Result<(Node, Node, Owner)> {
        let tree = self.builder.finish(sink)?;
        let body = Body::Directory { tree, entries: self.entries, bytes: self.bytes };
        let after = Node { body, ..self.node.clone() };
        Ok((self.node, after, self.owner))
    }
}

/// Makes the tree below `root` anew, and returns the new root; `None` when that itself is left out. `page_key` cuts directories into
/// pages, which go to `sink`.
pub fn rebuild(
    pages: &dyn PageSource,
    page_key: [u8; 32],
    root: &Node,
    judge: &mut dyn Judge,
    sink: &mut dyn PageSink,
    monitor: &dyn Monitor,
) -> Result<Option<Node>> {
    let name = root.name.as_bytes();
    match judge.meet(root, name)? {
        Fate::Drop => return Ok(None),
        Fate::KeepWhole => return Ok(Some(root.clone())),
        Fate::Keep => {}
    }
    let (Body::Directory { tree, .. }, Some(mut level)) =
        (&root.body, Level::new(root.clone(), (None, None), page_key))
    else {
        return Ok(Some(root.clone()));
    };
    let mut above: Vec<Level> = Vec::new();
    let mut walk = TreeWalk::salvaging(pages, *tree, name);
    while let Some(event) = walk.next_event() {
        monitor.check()?;
        match event {
            Event::Entry { node, user, group } => {
                level.unseen.see(&node);
                let owner = (user, group);
                match judge.meet(&node, walk.path())? {
                    Fate::Drop => walk.skip(),
                    Fate::KeepWhole => {
                        walk.skip();
                        level.push(&node, &owner, sink)?;
                    }
                    Fate::Keep => match Level::new((*node).clone(), owner.clone(), page_key) {
                        Some(below) => above.push(std::mem::replace(&mut level, below)),
                        None => level.push(&node, &owner, sink)?,
                    },
                }
            }
            Event::Unreadable(error) => {
                judge.unreadable(error)?;
                level.lost = true;
            }
            Event::Leave => {
                if level.lost {
                    judge.lost(level.unseen.lost(walk.path()));
                }
                let Some(parent) = above.pop() else { break };
                let (before, after, owner) = std::mem::replace(&mut level, parent).finish(sink)?;
                judge.left(&before, walk.path(), before != after);
                level.push(&after, &owner, sink)?;
            }
        }
    }
    let (before, after, _) = level.finish(sink)?;
    judge.left(&before, name, before != after);
    Ok(Some(after))
}
