//! One entry of a directory: everything POSIX knows of it. Layout: `format-spec/05-trees.md`.

use super::codec;
use crate::{hash, id::BlobId, name::Name, world::Time};
use bincode::{Decode, Encode};

/// An extended attribute; POSIX ACLs are among them as `system.posix_acl_access` and `system.posix_acl_default`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Xattr {
    /// Full name with its class, such as `user.note`.
    pub name: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

/// What every kind of entry has.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Meta {
    /// Permission, set-id and sticky bits: below 0o10000.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// When the contents changed last.
    pub mtime: Time,
    /// When the entry changed last: tells, with inode and size, that a file need not be read again.
    pub ctime: Time,
    /// When it was read last; only kept on request, since reading changes it.
    pub atime: Option<Time>,
    /// Inode number on the source's file system.
    pub inode: u64,
    /// File systems within a source are numbered in the order in which the walk meets them.
    pub device: u32,
    /// Hard links; entries of one source with equal `inode` and `device` and more than one link are one file.
    pub links: u32,
    /// Sorted by name.
    pub xattrs: Vec<Xattr>,
}

/// A stretch of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Extent {
    /// `len` bytes which are the plaintext of a data blob. `edge`: a fingerprint of the bytes before a cut that the contents made,
    /// by which the next version of the file finds the same place, or 0; readers have no use for it.
    Data { id: BlobId, len: u32, edge: u32 },
    /// `len` bytes that were never written and read as zeros.
    Hole { len: u64 },
}

impl Extent {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match *self {
            Extent::Data { len, .. } => u64::from(len),
            Extent::Hole { len } => len,
        }
    }

    /// True for a stretch of no bytes, which no writer makes and every reader refuses.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// The extents themselves, in order.
    Extents(Vec<Extent>),
    /// The root page of a list of extents (a blob of kind list).
    Paged(BlobId),
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Body {
    /// A regular file of `size` bytes.
    File { size: u64, content: Content },
    /// A directory, by the root page of its list of nodes (a blob of kind tree), with totals of all below it.
    Directory { tree: BlobId, entries: u64, bytes: u64 },
    /// A symbolic link and the bytes that it holds.
    Symlink { target: Vec<u8> },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice { major: u32, minor: u32 },
    /// A block device.
    BlockDevice { major: u32, minor: u32 },
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Node {
    /// Its name.
    pub name: Name,
    /// What every kind of entry has.
    pub meta: Meta,
    /// What it is.
    pub body: Body,
}

impl Node {
    /// Bytes of a regular file; totals for a directory; zero for the rest.
    pub fn bytes(&self) -> u64 {
        match self.body {
            Body::File { size, .. } => size,
            Body::Directory { bytes, .. } => bytes,
            _ => 0,
        }
    }

    /// Number of entries that this node stands for: itself and all below it.
    pub fn entries(&self) -> u64 {
        match self.body {
            Body::Directory { entries, .. } => entries.saturating_add(1),
            _ => 1,
        }
    }

    /// What all names of one file have in common, those of other files of its source do not, and names of one inode no longer have
    /// when the file was changed, or its inode given to another, between the moments at which they were met.
    pub fn link_key(&self) -> [u8; 32] {
        let meta = &self.meta;
        let (file, owner) = ((meta.device, meta.inode), (meta.uid, meta.gid));
        hash::object_name(&codec::encode(&(file, owner, meta.mode, meta.mtime, &self.body)))
    }

    /// True when a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.body, Body::Directory { .. })
    }
}
