//! What a snapshot holds: its sources, one directory, or everything below.

use super::{
    lookup::{self, Found, lookup},
    walk::{Event, TreeWalk},
};
use crate::{
    error::{Error, Result},
    model::node::{Body, Node},
    repo::{BlobReader, Listed},
};

/// What is listed.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Path below the snapshot.
    pub path: &'a [u8],
    /// Itself.
    pub node: &'a Node,
    /// Name of its owner on the source.
    pub user: Option<&'a str>,
    /// Name of its group on the source.
    pub group: Option<&'a str>,
    /// Directories that are listed around it.
    pub depth: usize,
    /// It is the last of its directory.
    pub last: bool,
}

/// Hears of one entry.
pub type Each<'a> = dyn FnMut(&Entry<'_>) -> Result<()> + 'a;

/// Lists what `path` names: the sources of the snapshot, what is in a directory, or the one entry itself when it is no
/// directory. `recursive` goes on into what is below, each directory before what is in it.
///
/// Directories that cannot be read are returned, by path, and the rest is listed; fails when `path` cannot be found.
pub fn ls(
    reader: &BlobReader<'_>,
    listed: &Listed,
    path: Option<&[u8]>,
    recursive: bool,
    each: &mut Each<'_>,
) -> Result<Vec<(Vec<u8>, Error)>> {
    let mut unreadable = Vec::new();
    match lookup(reader, &listed.snapshot, path)? {
        Found::Snapshot => {
            let sources = &listed.snapshot.sources;
            for (at, source) in sources.iter().enumerate() {
                let path = source.root.name.as_bytes();
                let (user, group) = (source.owner.0.as_deref(), source.owner.1.as_deref());
                each(&Entry { path, node: &source.root, user, group, depth: 0, last: at + 1 == sources.len() })?;
                if recursive {
                    below(reader, (&source.root, path, 1), true, each, &mut unreadable)?;
                }
            }
        }
        Found::Entry(entry) => {
            let path = plain_path(path.unwrap_or_default());
            let lookup::Entry { node, user, group, .. } = *entry;
            if node.is_dir() {
                below(reader, (&node, &path, 0), recursive, each, &mut unreadable)?;
            } else {
                let (user, group) = (user.as_deref(), group.as_deref());
                each(&Entry { path: &path, node: &node, user, group, depth: 0, last: true })?;
            }
        }
    }
    Ok(unreadable)
}

/// The path without slashes and dots that do not count, as [`lookup`] takes it.
pub(super) fn plain_path(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    parts.join(&b'/')
}

/// Lists what is in a directory, or nothing when the node is none. Its path, and the depth of what is in it, stand beside it.
fn below(
    reader: &BlobReader<'_>,
    (node, path, depth): (&Node, &[u8], usize),
    recursive: bool,
    each: &mut Each<'_>,
    unreadable: &mut Vec<(Vec<u8>, Error)>,
) -> Result<()> {
    let Body::Directory { tree, .. } = node.body else { return Ok(()) };
    let mut walk = TreeWalk::new(reader, tree, path);
    while let Some(event) = walk.next_event() {
        match event {
            Event::Entry { node, user, group } => {
                let (user, group) = (user.as_deref(), group.as_deref());
                let depth = depth + walk.depth().saturating_sub(1);
                each(&Entry { path: walk.path(), node: &node, user, group, depth, last: walk.is_last() })?;
                if !recursive {
                    walk.skip();
                }
            }
            Event::Unreadable(error @ (Error::Corrupt { .. } | Error::Missing { .. })) => {
                unreadable.push((walk.path().to_vec(), error));
            }
            Event::Unreadable(error) => return Err(error),
            Event::Leave => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::fixture::{self, Fixture};

    fn listed(fixture: &Fixture, listed: &Listed, path: Option<&str>, recursive: bool) -> (Vec<String>, usize) {
        let index = fixture.index();
        let reader = BlobReader::new(&fixture.repo, &index);
        let mut lines = Vec::new();
        let mut each = |entry: &Entry<'_>| {
            assert_eq!((entry.user, entry.group), (Some("alice"), Some("staff")));
            lines.push(String::from_utf8_lossy(entry.path).into_owned());
            Ok(())
        };
        let unreadable = ls(&reader, listed, path.map(str::as_bytes), recursive, &mut each).unwrap();
        (lines, unreadable.len())
    }

    #[test]
    fn lists_sources_directories_and_single_entries() {
        let fixture = Fixture::new();
        let sub = fixture::dir(vec![("x", fixture::file(b"x"))]);
        let app = fixture::dir(vec![("f", fixture::file(b"f")), ("sub", sub)]);
        let snapshot = fixture.snapshot("h/-/s", 1, vec![("app", app), ("db", fixture::file(b"db"))]);
        let ls = |path, recursive| listed(&fixture, &snapshot, path, recursive).0;
        assert_eq!(ls(None, false), ["app", "db"]);
        assert_eq!(ls(None, true), ["app", "app/f", "app/sub", "app/sub/x", "db"]);
        assert_eq!(ls(Some("/app//"), false), ["app/f", "app/sub"]);
        assert_eq!(ls(Some("app/./sub/x"), true), ["app/sub/x"]);
        assert_eq!(ls(Some("db"), false), ["db"]);
    }

    #[test]
    fn depth_and_end_of_each_directory_are_told() {
        let fixture = Fixture::new();
        let many = (0..900).map(|n| (format!("f{n:04}"), fixture::file(b"x"))).collect();
        let app = fixture::dir(vec![("a", fixture::dir(many)), ("z", fixture::file(b"f"))]);
        let snapshot = fixture.snapshot("h/-/s", 1, vec![("app", app), ("db", fixture::file(b"db"))]);
        let index = fixture.index();
        let reader = BlobReader::new(&fixture.repo, &index);
        let mut ends = Vec::new();
        let mut each = |entry: &Entry<'_>| {
            let depth = entry.path.iter().filter(|&&b| b == b'/').count();
            assert_eq!(entry.depth, depth);
            ends.extend(entry.last.then(|| String::from_utf8_lossy(entry.path).into_owned()));
            Ok(())
        };
        ls(&reader, &snapshot, None, true, &mut each).unwrap();
        assert_eq!(ends, ["app/a/f0899", "app/z", "db"]);
    }

    #[test]
    fn the_rest_is_listed_when_directories_cannot_be_read() {
        let fixture = Fixture::new();
        fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("old", fixture::file(b"old"))]))]);
        let before = fixture.store.names();
        let lost = fixture::dir(vec![("f", fixture::file(b"f"))]);
        let kept = fixture::dir(vec![("old", fixture::file(b"old"))]);
        let snapshot = fixture.snapshot("h/-/s", 1, vec![("app", kept), ("lost", lost)]);
        fixture.names("packs/").into_iter().filter(|name| !before.contains(name)).for_each(|name| {
            fixture.store.tamper(&name, |bytes| bytes.truncate(40));
        });
        assert_eq!(listed(&fixture, &snapshot, None, true), (["app", "app/old", "lost"].map(String::from).to_vec(), 1));
    }
}
