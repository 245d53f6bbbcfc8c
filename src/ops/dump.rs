//! One file, or a directory as a tar archive, to a writer.

use crate::{
    error::{Error, Result},
    monitor::Monitor,
    repo::{BlobReader, Listed},
};
use std::io::Write;

/// Writes the file that `path` names as it is, or the directory (or all sources) as a tar archive (POSIX pax: long names, ns times,
/// xattrs, hard links). Fails at the first damage: what was written so far is then worthless.
pub fn dump(
    _reader: &BlobReader<'_>,
    _listed: &Listed,
    _path: Option<&[u8]>,
    _out: &mut dyn Write,
    _monitor: &dyn Monitor,
) -> Result<()> {
    Err(Error::refused("under construction"))
}
