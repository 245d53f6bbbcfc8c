//! One file, or a directory as a tar archive, to a writer.
//!
//! ```text
//! tree, in order ──▶ queue of what is to be written ──▶ out
//!                      └─ blobs, by segment ─▶ workers: fetch, open, verify ─┘
//! ```

mod archive;
mod stream;
#[cfg(test)]
mod tests;

use super::{
    lookup::{Entry, Found, lookup},
    ls::plain_path,
    walk::{Event, TreeWalk},
};
use crate::{
    error::{Error, Result},
    model::node::{Body, Node},
    monitor::{Monitor, Phase},
    name::Shown,
    repo::{BlobReader, Listed},
};
use archive::Archive;
use std::io::Write;
use stream::Stream;

/// Writes the file that `path` names as it is, or the directory (or all sources) as a tar archive (POSIX pax: long names, ns times,
/// xattrs, hard links). Fails at the first damage: what was written so far is then worthless.
///
/// Names in the archive begin with the directory's own name, or with the source's. Holes are written as zeros. Sockets, which no
/// archive can hold, are left out and told to the monitor as notes.
pub fn dump(
    reader: &BlobReader<'_>,
    listed: &Listed,
    path: Option<&[u8]>,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<()> {
    monitor.phase(Phase::Restoring);
    let found = lookup(reader, &listed.snapshot, path)?;
    stream::run(reader, out, monitor, |stream| match found {
        Found::Entry(entry) => match &entry.node.body {
            Body::File { size, content } => stream.file(content, *size),
            Body::Directory { .. } => {
                let mut archive = Archive::new();
                let Entry { node, user, group, .. } = *entry;
                tree(&mut archive, stream, &node, user.as_deref(), group.as_deref())?;
                stream.bytes(archive.finish()?)
            }
            _ => Err(Error::usage(format!(
                "\"{}\" is neither a file nor a directory: only these can be dumped",
                Shown(&plain_path(path.unwrap_or_default()))
            ))),
        },
        Found::Snapshot => {
            let mut archive = Archive::new();
            for source in &listed.snapshot.sources {
                archive.next_source();
                tree(&mut archive, stream, &source.root, source.owner.0.as_deref(), source.owner.1.as_deref())?;
            }
            stream.bytes(archive.finish()?)
        }
    })
}

/// One entry and all that is below it.
fn tree(
    archive: &mut Archive,
    stream: &mut Stream<'_, '_>,
    root: &Node,
    user: Option<&str>,
    group: Option<&str>,
) -> Result<()> {
    one(archive, stream, root.name.as_bytes(), root, user, group)?;
    let Body::Directory { tree, .. } = root.body else { return Ok(()) };
    let mut walk = TreeWalk::new(stream.reader(), tree, root.name.as_bytes());
    while let Some(event) = walk.next_event() {
        match event {
            Event::Entry { node, user, group } => {
                one(archive, stream, walk.path(), &node, user.as_deref(), group.as_deref())?
            }
            Event::Unreadable(error) => return Err(error),
            Event::Leave => {}
        }
    }
    Ok(())
}

fn one(
    archive: &mut Archive,
    stream: &mut Stream<'_, '_>,
    path: &[u8],
    node: &Node,
    user: Option<&str>,
    group: Option<&str>,
) -> Result<()> {
    stream.at(path);
    if node.body == Body::Socket {
        stream.note(&format!("{}: a socket, which an archive cannot hold: left out", Shown(path)));
        return Ok(());
    }
    let entry = archive.entry(path, node, user, group)?;
    for left_out in entry.left_out {
        stream.note(&left_out);
    }
    stream.bytes(entry.header)?;
    if let (true, Body::File { size, content }) = (entry.has_data, &node.body) {
        stream.file(content, *size)?;
        stream.zeros(size.next_multiple_of(archive::BLOCK) - size)?;
    }
    Ok(())
}
