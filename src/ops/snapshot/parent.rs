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
const TICK: i128 = 20_000_000;
/// The same where times are whole seconds (ext4 with small inodes), or every other one (FAT).
const COARSE_TICK: i128 = 2_100_000_000;

/// The snapshot before.
#[derive(Clone, Copy)]
pub struct Parent<'a> {
    /// What it says.
    pub snapshot: &'a Snapshot,
    /// Its pages.
    pub pages: &'a (dyn PageSource + Sync),
    /// Says whether its blobs are still there.
    pub index: &'a BlobIndex,
    /// True when it was made in full, by the same user: then attributes that it does not have were not there, rather than not readable.
    pub knows_attributes: bool,
}

fn nanoseconds(time: Time) -> i128 {
    i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec)
}

/// True when a later change than the one at `ctime` would have had another time.
pub fn is_settled(ctime: Time, begun: Time) -> bool {
    let tick = if ctime.nsec == 0 { COARSE_TICK } else { TICK };
    nanoseconds(ctime) + tick < nanoseconds(begun)
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
        is_settled(meta.ctime, self.snapshot.head.time)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_clocks_need_more_time_to_settle() {
        let sec = Time::from_sec;
        for (ctime, begun, settled) in [
            (Time { sec: 100, nsec: 5_000_000 }, Time { sec: 100, nsec: 20_000_000 }, false),
            (Time { sec: 100, nsec: 5_000_000 }, Time { sec: 100, nsec: 30_000_000 }, true),
            (sec(100), Time { sec: 100, nsec: 900_000_000 }, false),
            (sec(100), sec(102), false),
            (sec(100), sec(103), true),
        ] {
            assert_eq!(is_settled(ctime, begun), settled, "{ctime:?} {begun:?}");
        }
    }
}
