//! What differs between two versions of an entry.

use crate::{
    id::BLOB_ID_LEN,
    model::node::{Body, Content, Extent, Node},
};
use std::fmt;

/// In what two versions of an entry differ. Inode, change time, access time and number of links do not count: they say where and
/// when the entry was, not what it is. Neither does what is in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct What {
    /// One is a file and the other is none, say.
    pub kind: bool,
    /// Bytes of a file.
    pub content: bool,
    /// What a symbolic link holds.
    pub target: bool,
    /// Numbers of a device.
    pub device: bool,
    /// Permission bits.
    pub mode: bool,
    /// Owner or group, by number.
    pub owner: bool,
    /// Time of the last change of the contents.
    pub mtime: bool,
    /// Extended attributes, with ACLs among them.
    pub xattrs: bool,
}

impl What {
    /// Compares two entries. `content` says whether the bytes of two files are the same.
    pub fn of(before: &Node, after: &Node, content: impl FnOnce() -> bool) -> Self {
        let (was, is) = (&before.meta, &after.meta);
        let mut what = What {
            mode: was.mode != is.mode,
            owner: (was.uid, was.gid) != (is.uid, is.gid),
            mtime: was.mtime != is.mtime,
            xattrs: was.xattrs != is.xattrs,
            ..What::default()
        };
        match (&before.body, &after.body) {
            (Body::File { .. }, Body::File { .. }) => what.content = !content(),
            (Body::Directory { .. }, Body::Directory { .. }) => {}
            (Body::Symlink { target: was }, Body::Symlink { target: is }) => what.target = was != is,
            (Body::CharDevice { .. }, Body::CharDevice { .. })
            | (Body::BlockDevice { .. }, Body::BlockDevice { .. }) => {
                what.device = before.body != after.body;
            }
            (was, is) => what.kind = std::mem::discriminant(was) != std::mem::discriminant(is),
        }
        what
    }

    /// Compares two stored entries.
    pub fn of_stored(before: &Node, after: &Node) -> Self {
        What::of(before, after, || same_content(&before.body, &after.body))
    }

    /// True when nothing differs.
    pub fn is_nothing(&self) -> bool {
        *self == What::default()
    }

    /// True when only metadata differ.
    pub fn is_metadata_only(&self) -> bool {
        !(self.kind || self.content || self.target || self.device)
    }

    /// Each in a word.
    pub fn words(&self) -> Vec<&'static str> {
        let all = [
            (self.kind, "type"),
            (self.content, "content"),
            (self.target, "target"),
            (self.device, "device"),
            (self.mode, "mode"),
            (self.owner, "owner"),
            (self.xattrs, "attributes"),
            (self.mtime, "time"),
        ];
        all.into_iter().filter(|(differs, _)| *differs).map(|(_, word)| word).collect()
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(", "))
    }
}

/// True when two files have the same blobs and holes. Hints that writers leave do not count.
pub fn same_content(before: &Body, after: &Body) -> bool {
    let (Body::File { size: was, content: before }, Body::File { size: is, content: after }) = (before, after) else {
        return false;
    };
    was == is
        && match (before, after) {
            (Content::Extents(before), Content::Extents(after)) => {
                before.len() == after.len() && before.iter().zip(after).all(|(a, b)| same_extent(a, b))
            }
            (before, after) => before == after,
        }
}

fn same_extent(a: &Extent, b: &Extent) -> bool {
    match (a, b) {
        (Extent::Data { id: a, len: was, .. }, Extent::Data { id: b, len: is, .. }) => a == b && was == is,
        (a, b) => a == b,
    }
}

/// A name for a file's bytes that is equal where they are: to find what was moved. `None` for one without any.
pub fn content_key(body: &Body) -> Option<[u8; BLOB_ID_LEN]> {
    let Body::File { size: 1.., content } = body else { return None };
    let extents = match content {
        Content::Paged(root) => return Some(root.0),
        Content::Extents(extents) => extents,
    };
    if let [Extent::Data { id, .. }] = &extents[..] {
        return Some(id.0);
    }
    let mut hasher = blake3::Hasher::new();
    for extent in extents {
        match extent {
            Extent::Data { id, .. } => hasher.update(&id.0),
            Extent::Hole { len } => hasher.update(&len.to_le_bytes()),
        };
    }
    hasher.finalize().as_bytes().first_chunk().copied()
}
