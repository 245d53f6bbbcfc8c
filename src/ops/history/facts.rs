//! What is kept of an entry in a history: enough to search by, and to see that it changed.

use crate::{
    model::node::{Body, Node},
    ops::compare::content_key,
    world::Time,
};
use bincode::{Decode, Encode};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl Kind {
    /// What a node is.
    pub fn of(body: &Body) -> Self {
        match body {
            Body::File { .. } => Kind::File,
            Body::Directory { .. } => Kind::Directory,
            Body::Symlink { .. } => Kind::Symlink,
            Body::Fifo => Kind::Fifo,
            Body::Socket => Kind::Socket,
            Body::CharDevice { .. } => Kind::CharDevice,
            Body::BlockDevice { .. } => Kind::BlockDevice,
        }
    }

    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Directory => "dir",
            Kind::Symlink => "symlink",
            Kind::Fifo => "fifo",
            Kind::Socket => "socket",
            Kind::CharDevice => "char",
            Kind::BlockDevice => "block",
        }
    }

    /// The letter of ls(1).
    pub fn ls_letter(self) -> char {
        if self == Kind::File { '-' } else { self.letter() }
    }

    /// The letter of find(1).
    pub fn letter(self) -> char {
        match self {
            Kind::File => 'f',
            Kind::Directory => 'd',
            Kind::Symlink => 'l',
            Kind::Fifo => 'p',
            Kind::Socket => 's',
            Kind::CharDevice => 'c',
            Kind::BlockDevice => 'b',
        }
    }
}

/// One version of an entry. Two that are equal are the same version, whatever their inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// When the contents changed last.
    pub mtime: Time,
    /// Bytes of a file, and of all files below a directory.
    pub size: u64,
    /// Of what it holds: bytes of a file, entries of a directory, target of a link, numbers of a device.
    pub content: [u8; 8],
    /// Of extended attributes; 0 for none.
    pub attributes: u16,
}

fn front<const N: usize>(hash: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    out
}

impl Facts {
    /// Of a stored entry.
    pub fn of(node: &Node) -> Self {
        let meta = &node.meta;
        let content = match &node.body {
            body @ Body::File { .. } => content_key(body).map_or([0; 8], |key| front(&key)),
            Body::Directory { tree, .. } => front(&tree.0),
            Body::Symlink { target } => front(blake3::hash(target).as_bytes()),
            Body::CharDevice { major, minor } | Body::BlockDevice { major, minor } => {
                (u64::from(*major) << 32 | u64::from(*minor)).to_le_bytes()
            }
            Body::Fifo | Body::Socket => [0; 8],
        };
        let attributes = match &meta.xattrs[..] {
            [] => 0,
            xattrs => {
                let mut hasher = blake3::Hasher::new();
                for part in xattrs.iter().flat_map(|xattr| [&xattr.name, &xattr.value]) {
                    hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
                }
                u16::from_le_bytes(front(hasher.finalize().as_bytes())).max(1)
            }
        };
        Facts {
            kind: Kind::of(&node.body),
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime: meta.mtime,
            size: node.bytes(),
            content,
            attributes,
        }
    }

    /// In what the next version differs, in words.
    pub fn changes(&self, next: &Facts) -> Vec<&'static str> {
        let all = [
            (self.kind != next.kind, "type"),
            (self.kind == next.kind && (self.content, self.size) != (next.content, next.size), "content"),
            (self.mode != next.mode, "mode"),
            ((self.uid, self.gid) != (next.uid, next.gid), "owner"),
            (self.attributes != next.attributes, "attributes"),
            (self.mtime != next.mtime, "time"),
        ];
        all.into_iter().filter(|(differs, _)| *differs).map(|(_, word)| word).collect()
    }
}
