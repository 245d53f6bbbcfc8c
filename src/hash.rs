//! Names from contents: plain hashes for objects, keyed hashes for blobs.

use crate::id::{BLOB_ID_LEN, BlobId, ID_LEN};
use std::fmt;

/// What a blob is. Each kind is named under a key of its own, so that one is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BlobKind {
    /// A piece of a file.
    Data = 1,
    /// A page of a directory.
    Tree = 2,
    /// A page of a file's list of extents.
    List = 3,
}

impl BlobKind {
    /// The kind from its number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(BlobKind::Data),
            2 => Some(BlobKind::Tree),
            3 => Some(BlobKind::List),
            _ => None,
        }
    }
}

impl fmt::Display for BlobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BlobKind::Data => "data",
            BlobKind::Tree => "tree page",
            BlobKind::List => "list page",
        })
    }
}

/// Names blobs; holds the three secret keys.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct BlobNamer {
    keys: [[u8; 32]; 3],
}

impl BlobNamer {
    /// Takes the keys for data, tree and list.
    pub fn new(data: [u8; 32], tree: [u8; 32], list: [u8; 32]) -> Self {
        BlobNamer { keys: [data, tree, list] }
    }

    /// The id of a blob of this kind with these bytes.
    pub fn name(&self, kind: BlobKind, bytes: &[u8]) -> BlobId {
        let [data, tree, list] = &self.keys;
        let key = match kind {
            BlobKind::Data => data,
            BlobKind::Tree => tree,
            BlobKind::List => list,
        };
        let mut id = [0; BLOB_ID_LEN];
        id.copy_from_slice(&blake3::keyed_hash(key, bytes).as_bytes()[..BLOB_ID_LEN]);
        BlobId(id)
    }
}

impl fmt::Debug for BlobNamer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobNamer(secret)")
    }
}

/// The name of an object with these bytes.
pub fn object_name(bytes: &[u8]) -> [u8; ID_LEN] {
    *blake3::hash(bytes).as_bytes()
}

/// The name of an object that comes in pieces.
#[derive(Debug, Clone, Default)]
pub struct ObjectHasher(blake3::Hasher);

impl ObjectHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name.
    pub fn finish(&self) -> [u8; ID_LEN] {
        *self.0.finalize().as_bytes()
    }
}
