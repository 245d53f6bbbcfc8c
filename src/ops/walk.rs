//! Through a stored tree in order, without recursion: a tree may be 16 384 directories deep.

use crate::{
    error::{Error, Result},
    id::BlobId,
    model::{
        limits,
        node::{Body, Node},
        paging::{PageSource, TreeLeaves},
        tree::Leaf,
    },
};

/// What the walk meets.
#[derive(Debug)]
pub enum Event {
    /// An entry. When it is a directory, what is in it follows, and then [`Event::Leave`], unless [`TreeWalk::skip`] is called.
    Entry {
        /// The entry.
        node: Box<Node>,
        /// Name of its owner on the source.
        user: Option<String>,
        /// Name of its group on the source.
        group: Option<String>,
    },
    /// The directory of [`TreeWalk::path`] is done.
    Leave,
    /// The rest of the directory of [`TreeWalk::path`] cannot be read; [`Event::Leave`] follows (but see [`TreeWalk::salvaging`]).
    Unreadable(Error),
}

struct Level<'s> {
    leaves: TreeLeaves<'s>,
    leaf: Leaf,
    nodes: std::vec::IntoIter<Node>,
    /// Length of the path of this directory.
    path_len: usize,
    failed: bool,
}

/// A walk below one directory, depth first, each directory in the order of its names.
pub struct TreeWalk<'s> {
    source: &'s dyn PageSource,
    levels: Vec<Level<'s>>,
    path: Vec<u8>,
    /// The directory that was met last, to be entered by the next step.
    pending: Option<BlobId>,
    leaving: bool,
    salvages: bool,
}

impl<'s> TreeWalk<'s> {
    /// Starts below the directory with this root page, which is called `path`.
    pub fn new(source: &'s dyn PageSource, tree: BlobId, path: &[u8]) -> Self {
        TreeWalk {
            source,
            levels: Vec::new(),
            path: path.to_vec(),
            pending: Some(tree),
            leaving: false,
            salvages: false,
        }
    }

    /// The same for who wants all that is left: what follows after [`Event::Unreadable`] are the directory's other entries, and
    /// perhaps more that is unreadable.
    pub fn salvaging(source: &'s dyn PageSource, tree: BlobId, path: &[u8]) -> Self {
        TreeWalk { salvages: true, ..Self::new(source, tree, path) }
    }

    /// Path of what was met last; of the directory, for [`Event::Leave`] and [`Event::Unreadable`].
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Number of directories around what was met last, the one that the walk began in included.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// True when what was met last is the last of its directory, as far as its pages could be read.
    pub fn is_last(&self) -> bool {
        self.levels.last().is_none_or(|level| level.nodes.as_slice().is_empty() && level.leaves.is_done())
    }

    /// Leaves out what is in the directory that was met last.
    pub fn skip(&mut self) {
        self.pending = None;
    }

    /// The next event; `None` after the directory that the walk began in was left.
    pub fn next_event(&mut self) -> Option<Event> {
        if let Some(tree) = self.pending.take() {
            let path_len = self.path.len();
            let leaves = if self.salvages {
                TreeLeaves::salvaging(self.source, tree)
            } else {
                TreeLeaves::new(self.source, tree)
            };
            let mut level =
                Level { leaves, leaf: Leaf::default(), nodes: Vec::new().into_iter(), path_len, failed: false };
            let too_deep = self.levels.len() >= limits::DEPTH_MAX;
            level.failed = too_deep;
            self.levels.push(level);
            if too_deep {
                return Some(Event::Unreadable(Error::corrupt("a tree", "its directories are nested too deeply")));
            }
        }
        if std::mem::take(&mut self.leaving) {
            self.levels.pop();
        }
        let level = self.levels.last_mut()?;
        self.path.truncate(level.path_len);
        loop {
            if let Some(node) = level.nodes.next() {
                let owned = |name: Option<&str>| name.map(str::to_owned);
                let (user, group) = (owned(level.leaf.user(node.meta.uid)), owned(level.leaf.group(node.meta.gid)));
                if !self.path.is_empty() {
                    self.path.push(b'/');
                }
                self.path.extend_from_slice(node.name.as_bytes());
                if let Body::Directory { tree, .. } = node.body {
                    self.pending = Some(tree);
                }
                return Some(Event::Entry { node: Box::new(node), user, group });
            }
            match if level.failed { Ok(None) } else { level.leaves.next_leaf() } {
                Ok(Some(mut leaf)) => {
                    level.nodes = std::mem::take(&mut leaf.nodes).into_iter();
                    level.leaf = leaf;
                }
                Ok(None) => {
                    self.leaving = true;
                    return Some(Event::Leave);
                }
                Err(error) => {
                    level.failed = !self.salvages;
                    return Some(Event::Unreadable(error));
                }
            }
        }
    }
}

/// Calls `each` with every readable entry below a directory; fails at the first that is not.
pub fn each_entry(
    source: &dyn PageSource,
    tree: BlobId,
    path: &[u8],
    each: &mut dyn FnMut(&[u8], &Node) -> Result<()>,
) -> Result<()> {
    let mut walk = TreeWalk::new(source, tree, path);
    while let Some(event) = walk.next_event() {
        match event {
            Event::Entry { node, .. } => each(walk.path(), &node)?,
            Event::Unreadable(error) => return Err(error),
            Event::Leave => {}
        }
    }
    Ok(())
}
