//! From the path in an address to the entry that it names.

use crate::{
    error::{Error, Result},
    model::{
        node::{Body, Node},
        paging::{PageSource, find_node},
        snapshot::{Snapshot, Source},
    },
    name::Shown,
};

/// What a path below a snapshot names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The snapshot itself: all its sources.
    Snapshot,
    /// One entry of one source.
    Entry(Box<Entry>),
}

/// An entry with what its own node does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position of its source in the snapshot.
    pub source: usize,
    /// The entry.
    pub node: Node,
    /// Name of its owner on the source.
    pub user: Option<String>,
    /// Name of its group on the source.
    pub group: Option<String>,
}

/// Finds a path, `source/dir/file` (slashes before, after and doubled do not count). `None` and an empty path name the snapshot.
pub fn lookup(pages: &dyn PageSource, snapshot: &Snapshot, path: Option<&[u8]>) -> Result<Found> {
    let path = path.unwrap_or_default();
    let mut parts = path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".");
    let Some(first) = parts.next() else { return Ok(Found::Snapshot) };
    let position = snapshot.sources.iter().position(|source| source.root.name.as_bytes() == first);
    let Some(position) = position else {
        let names: Vec<String> = snapshot.sources.iter().map(|source| source.root.name.to_string()).collect();
        return Err(Error::usage(format!(
            "the snapshot has no source \"{}\"; its sources: {}",
            Shown(first),
            names.join(", ")
        )));
    };
    let Source { root, owner, .. } = &snapshot.sources[position];
    let mut entry = Entry { source: position, node: root.clone(), user: owner.0.clone(), group: owner.1.clone() };
    let mut so_far = first.to_vec();
    for part in parts {
        let Body::Directory { tree, .. } = entry.node.body else {
            return Err(Error::usage(format!("\"{}\" is no directory", Shown(&so_far))));
        };
        let Some((node, leaf)) = find_node(pages, tree, part)? else {
            return Err(Error::usage(format!(
                "the snapshot has no \"{}\" in \"{}\": see `vault ls`",
                Shown(part),
                Shown(&so_far)
            )));
        };
        let owned = |name: Option<&str>| name.map(str::to_owned);
        (entry.user, entry.group) = (owned(leaf.user(node.meta.uid)), owned(leaf.group(node.meta.gid)));
        entry.node = node;
        so_far.push(b'/');
        so_far.extend_from_slice(part);
    }
    Ok(Found::Entry(Box::new(entry)))
}
