//! What an inode number stands for: enough to find the entry again in the stored tree, and no more, since there may be many.

use super::number::Identity;
use crate::{
    id::{BlobId, SeriesTag, SnapshotId},
    model::node::{Body, Node},
    name::Shown,
};
use std::{fmt, sync::Arc};

/// A snapshot.
#[derive(Debug, PartialEq, Eq)]
pub struct Shot {
    /// Its name in the store.
    pub id: SnapshotId,
    /// Its series.
    pub tag: SeriesTag,
    /// When it was taken: seconds since 1970.
    pub time: i64,
}

/// A directory of a source, or the source itself.
#[derive(Debug)]
pub struct Dir {
    /// What it is called by the kernel.
    pub identity: Identity,
    /// The source's.
    pub source: Identity,
    /// The root page of its list.
    pub tree: BlobId,
    /// The snapshot.
    pub shot: Arc<Shot>,
    /// What it is in, unless it is the source itself.
    pub parent: Option<Arc<Dir>>,
    /// Its name there.
    pub name: Box<[u8]>,
}

impl Drop for Dir {
    fn drop(&mut self) {
        // Else the last of very many inside one another would exhaust the stack.
        let mut parent = self.parent.take();
        while let Some(mut dir) = parent.and_then(Arc::into_inner) {
            parent = dir.parent.take();
        }
    }
}

/// What an entry of a snapshot is in.
#[derive(Debug, Clone)]
pub enum Parent {
    /// It is one of the snapshot's sources.
    Shot(Arc<Shot>),
    /// It is in a directory.
    Dir(Arc<Dir>),
}

impl Parent {
    /// What the kernel calls it.
    pub fn identity(&self) -> Identity {
        match self {
            Parent::Shot(shot) => Identity::of_snapshot(&shot.id),
            Parent::Dir(dir) => dir.identity,
        }
    }

    /// What the kernel calls an entry in it.
    pub fn identity_of(&self, node: &Node) -> Identity {
        match self {
            Parent::Shot(shot) => Identity::of_source(&shot.id, node.name.as_bytes()),
            Parent::Dir(dir) => Identity::of_entry(&dir.source, &dir.identity, node),
        }
    }
}

/// What a number stands for.
#[derive(Debug, Clone)]
pub enum What {
    /// A folder that only the mount has, by its path.
    Folder(Arc<str>),
    /// A link that only the mount has.
    Link { target: Arc<str>, time: i64 },
    /// A snapshot.
    Shot(Arc<Shot>),
    /// A stored directory.
    Dir(Arc<Dir>),
    /// Any other stored entry.
    Leaf { parent: Parent, name: Box<[u8]> },
}

impl What {
    /// An entry in a snapshot or a directory.
    pub fn stored(parent: &Parent, node: &Node) -> Self {
        let name: Box<[u8]> = node.name.as_bytes().into();
        let Body::Directory { tree, .. } = node.body else { return What::Leaf { parent: parent.clone(), name } };
        let identity = parent.identity_of(node);
        let (source, shot, parent) = match parent {
            Parent::Shot(shot) => (identity, shot.clone(), None),
            Parent::Dir(dir) => (dir.source, dir.shot.clone(), Some(dir.clone())),
        };
        What::Dir(Arc::new(Dir { identity, source, tree, shot, parent, name }))
    }

    /// True for what is in a snapshot.
    pub fn is_stored(&self) -> bool {
        matches!(self, What::Dir(_) | What::Leaf { .. })
    }

    /// True for what other entries are in.
    pub fn is_directory(&self) -> bool {
        !matches!(self, What::Link { .. } | What::Leaf { .. })
    }

    /// Of a stored entry: what it is in, and its name there.
    pub fn place(&self) -> Option<(Parent, &[u8])> {
        match self {
            What::Dir(dir) => {
                let parent = dir.parent.clone().map_or_else(|| Parent::Shot(dir.shot.clone()), Parent::Dir);
                Some((parent, &dir.name))
            }
            What::Leaf { parent, name } => Some((parent.clone(), name)),
            _ => None,
        }
    }
}

/// The address of a stored entry, for people: `1a2b3c4d:app/file`.
pub struct Address<'a>(pub &'a Parent, pub &'a [u8]);

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![self.1];
        let shot = match self.0 {
            Parent::Shot(shot) => shot,
            Parent::Dir(dir) => {
                let mut at = Some(dir);
                while let Some(dir) = at {
                    parts.push(&dir.name);
                    at = dir.parent.as_ref();
                }
                &dir.shot
            }
        };
        parts.reverse();
        write!(f, "{}:{}", shot.id.short(), Shown(&parts.join(&b'/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_far_inside_one_another_are_let_go_of() {
        let shot = Arc::new(Shot { id: SnapshotId([1; 32]), tag: SeriesTag([1; 16]), time: 0 });
        let identity = Identity::of_snapshot(&shot.id);
        let mut dir: Option<Arc<Dir>> = None;
        for _ in 0..200_000 {
            let (parent, shot, tree) = (dir.take(), shot.clone(), BlobId([1; crate::id::BLOB_ID_LEN]));
            dir = Some(Arc::new(Dir { identity, source: identity, tree, shot, parent, name: b"d"[..].into() }));
        }
        let address = Address(&Parent::Dir(dir.unwrap()), b"f").to_string();
        assert!(address.starts_with("01010101:d/d/") && address.ends_with("d/f"));
        assert_eq!(Arc::strong_count(&shot), 1);
    }
}
