//! Inode numbers that follow from what they stand for: the same in every mount, and again after the kernel forgot one.

use crate::{
    id::SnapshotId,
    model::node::{Body, Node},
};

/// The number of the mount's root, which the kernel knows by itself.
pub const ROOT: u64 = 1;
/// Numbers below are for the kernel's own use.
const FIRST: u64 = 16;

/// What tells an entry from all others: a number for the kernel, and as much again by which two entries of one number are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The number that it has unless another entry has it.
    pub number: u64,
    /// The rest.
    pub check: u64,
}

impl Identity {
    fn of(kind: &[u8], parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(kind);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let mut words = [0; 16];
        hasher.finalize_xof().fill(&mut words);
        let word = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
        let (low, high) = words.split_at(8);
        let [low, high] = [low, high].map(|half| half.try_into().map_or(0, word));
        // Some programs take a number above this for negative.
        let number = (low >> 1).max(FIRST);
        Identity { number, check: high }
    }

    fn bytes(&self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.number.to_le_bytes());
        out[8..].copy_from_slice(&self.check.to_le_bytes());
        out
    }

    /// A folder that only the mount has, by its path.
    pub fn of_folder(path: &str) -> Self {
        Identity::of(b"folder", &[path.as_bytes()])
    }

    /// A link that only the mount has. One that comes to lead elsewhere is another one.
    pub fn of_link(folder: &str, name: &[u8], target: &str) -> Self {
        Identity::of(b"link", &[folder.as_bytes(), name, target.as_bytes()])
    }

    /// A snapshot's folder.
    pub fn of_snapshot(id: &SnapshotId) -> Self {
        Identity::of(b"snapshot", &[&id.0])
    }

    /// A source of a snapshot.
    pub fn of_source(snapshot: &SnapshotId, name: &[u8]) -> Self {
        Identity::of(b"source", &[&snapshot.0, name])
    }

    /// An entry of a directory of a source. All names of one file have one identity.
    pub fn of_entry(source: &Identity, parent: &Identity, node: &Node) -> Self {
        if node.meta.links > 1 && !matches!(node.body, Body::Directory { .. }) {
            return Identity::of(b"file", &[&source.bytes(), &node.link_key()]);
        }
        Identity::of(b"entry", &[&parent.bytes(), node.name.as_bytes()])
    }
}

/// The next number to try when another entry has this one.
pub fn next(number: u64) -> u64 {
    ((number + 1) & (u64::MAX >> 1)).max(FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_what_they_are_and_clear_of_the_kernels() {
        let id = SnapshotId([7; 32]);
        assert_eq!(Identity::of_snapshot(&id), Identity::of_snapshot(&id));
        assert_ne!(Identity::of_source(&id, b"ab"), Identity::of_source(&id, b"a"));
        // Fixed for ever: whoever remembers numbers across mounts finds them again.
        assert_eq!(Identity::of_folder("servers").number, 8_678_543_348_041_725_502);
        assert_eq!(next(u64::MAX >> 1), FIRST);
        assert_eq!(next(100), 101);
    }
}
