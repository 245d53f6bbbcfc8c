//! What a snapshot holds.

use crate::{
    error::{Error, Result},
    model::node::Node,
    repo::{BlobReader, Listed},
};

/// Calls `each` with path, node, user and group of what `path` names: a directory's entries, a file itself, a snapshot's
/// sources; with `recursive` all below. Returns the directories that could not be read.
pub fn ls(
    _reader: &BlobReader<'_>,
    _listed: &Listed,
    _path: Option<&[u8]>,
    _recursive: bool,
    _each: &mut dyn FnMut(&[u8], &Node, Option<&str>, Option<&str>) -> Result<()>,
) -> Result<Vec<(Vec<u8>, Error)>> {
    Err(Error::refused("under construction"))
}
