//! The snapshot before, read along with the walk: what has not changed since need not be read again.

use crate::{
    error::Error,
    fs::stat::Stat,
    id::BlobId,
    index::BlobIndex,
    model::{
        node::{Body, Content, Extent, Node},
        paging::{PageSource, TreeLeaves, each_extent},
        snapshot::Snapshot,
    },
    world::Time,
};

/// A file that changed so shortly before the last snapshot began may have changed once more within the same tick of the
/// file system's clock, after it was read. In nanoseconds: above the 4 to 10 ms of Linux's coarse clock.
const TICK: i64 = 20_000_000;

/// The snapshot before.
#[derive(Clone, Copy)]
pub struct Parent<'a> {
    /// What it says.
    pub snapshot: &'a Snapshot,
    /// Its pages.
    pub pages: &'a (dyn PageSource + Sync),
    /// Says whether its blobs are still there.
    pub index: &'a BlobIndex,
}

fn nanoseconds(time: Time) -> i128 {
    i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec)
}

impl<'a> Parent<'a> {
    /// The root of the source of this name.
    pub fn root(&self, name: &[u8]) -> Option<Node> {
        let source = self.snapshot.sources.iter().find(|source| source.root.name.as_bytes() == name)?;
        Some(source.root.clone())
    }

    /// A cursor over a directory that was one in the snapshot before.
    pub fn cursor(&self, node: Option<&Node>) -> Option<Cursor<'a>> {
        match node?.body {
            Body::Directory { tree, .. } => Some(Cursor::new(self.pages, tree)),
            _ => None,
        }
    }

    /// True when nothing about the entry can have changed since: then all of its node still holds.
    pub fn is_unchanged(&self, stat: &Stat, node: &Node) -> bool {
        let meta = &node.meta;
        let settled = nanoseconds(meta.ctime) + i128::from(TICK) < nanoseconds(self.snapshot.head.time);
        settled
            && stat.ctime == meta.ctime
            && stat.mtime == meta.mtime
            && stat.inode == meta.inode
            && (stat.mode, stat.uid, stat.gid, stat.links) == (meta.mode, meta.uid, meta.gid, meta.links)
    }

    /// True when a file has not changed and all of its blobs are still there.
    pub fn still_holds(&self, stat: &Stat, node: &Node) -> bool {
        match &node.body {
            Body::File { size, content } if *size == stat.size => {
                self.is_unchanged(stat, node) && self.has_blobs(content, *size)
            }
            _ => false,
        }
    }

    /// Without this question a pack that was lost would be lost for every later snapshot too.
    fn has_blobs(&self, content: &Content, size: u64) -> bool {
        let known = |id: &BlobId| self.index.contains(id);
        let listed = match content {
            Content::Extents(extents) => Ok(extents.iter().all(|extent| match extent {
                Extent::Data { id, .. } => known(id),
                Extent::Hole { .. } => true,
            })),
            Content::Paged(root) => each_extent(&Present(*self), content, size, &mut |extent| match extent {
                Extent::Data { id, .. } if !known(&id) => Err(Error::Missing { object: id.to_string() }),
                _ => Ok(()),
            })
            .map(|()| known(root)),
        };
        listed.unwrap_or(false)
    }
}

/// Pages of which the index knows that they are there.
struct Present<'a>(Parent<'a>);

impl PageSource for Present<'_> {
    fn page(&self, kind: crate::hash::BlobKind, id: &BlobId) -> crate::error::Result<Vec<u8>> {
        if self.0.index.contains(id) {
            self.0.pages.page(kind, id)
        } else {
            Err(Error::Missing { object: id.to_string() })
        }
    }
}

/// Goes through a directory of the snapshot before in the order of names.
pub struct Cursor<'a> {
    leaves: TreeLeaves<'a>,
    nodes: std::iter::Peekable<std::vec::IntoIter<Node>>,
}

impl<'a> Cursor<'a> {
    fn new(pages: &'a dyn PageSource, tree: BlobId) -> Self {
        Cursor { leaves: TreeLeaves::new(pages, tree), nodes: Vec::new().into_iter().peekable() }
    }

    /// The node of this name. Names are asked for in rising order. What cannot be read was not there: it will be read anew.
    pub fn seek(&mut self, name: &[u8]) -> Option<Node> {
        loop {
            while let Some(node) = self.nodes.peek() {
                match node.name.as_bytes().cmp(name) {
                    std::cmp::Ordering::Less => drop(self.nodes.next()),
                    std::cmp::Ordering::Equal => return self.nodes.next(),
                    std::cmp::Ordering::Greater => return None,
                }
            }
            let leaf = self.leaves.next_leaf().ok().flatten()?;
            self.nodes = leaf.nodes.into_iter().peekable();
        }
    }
}
