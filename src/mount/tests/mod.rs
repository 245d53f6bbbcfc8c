//! A mount without a kernel: what its requests come to.

mod bytes;
mod damage;
mod entries;
mod meanwhile;
mod snapshots;

use super::{
    Catalog, Owners, Root, Settings, View,
    content::Sought,
    number::ROOT,
    table::{HIGH, LOW},
    view::{No, Told},
};
use crate::{
    hash::BlobKind,
    index::BlobIndex,
    model::{limits, node::Body},
    monitor::Recording,
    ops::fixture::{self, Fixture, Item, Piece},
    repo::{BlobReader, Listed, Repository},
    store::{ObjectName, Store},
    world::{Clock, Time},
};
use fuser::FileType;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

const SETTINGS: Settings = Settings { pages: 1 << 20, ahead: 1 << 20, owners: Owners::Numeric };

/// What a view borrows.
struct Borrowed<'r> {
    repo: &'r Repository,
    index: BlobIndex,
    monitor: Arc<Recording>,
}

impl<'r> Borrowed<'r> {
    fn new(fixture: &'r Fixture) -> Self {
        Borrowed { repo: &fixture.repo, index: fixture.index(), monitor: Arc::default() }
    }

    fn reader(&self) -> BlobReader<'_> {
        BlobReader::with_cache(self.repo, &self.index, 1 << 20)
    }
}

fn all<'r>(borrowed: &'r Borrowed<'r>, reader: &'r BlobReader<'r>) -> View<'r> {
    let time_name = Box::new(|sec: i64| format!("t{sec}"));
    let catalog = Catalog::new(borrowed.repo, time_name, HashSet::new(), &*borrowed.monitor).unwrap();
    View::new(reader, Root::All(Box::new(catalog)), SETTINGS, borrowed.monitor.clone()).unwrap()
}

fn one<'r>(borrowed: &'r Borrowed<'r>, reader: &'r BlobReader<'r>, listed: &Listed, path: &str) -> View<'r> {
    let root = Root::One(Box::new(listed.clone()), path.as_bytes().to_vec());
    View::new(reader, root, SETTINGS, borrowed.monitor.clone()).unwrap()
}

/// Looks a path up, and leaves it counted.
fn walk(view: &View<'_>, path: &str) -> Result<Told, No> {
    let mut told = view.attributes(ROOT)?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        told = view.lookup(told.attr.ino.0, part.as_bytes())?;
    }
    Ok(told)
}

fn number(view: &View<'_>, path: &str) -> u64 {
    walk(view, path).unwrap_or_else(|no| panic!("{path}: {no:?}")).attr.ino.0
}

/// What is in a directory, `room` entries a time.
fn list(view: &View<'_>, number: u64, room: usize, counted: bool) -> Result<Vec<(String, Told)>, No> {
    let listing = view.open_directory(number)?;
    let (mut out, mut offset) = (Vec::new(), 0);
    loop {
        let mut taken = 0;
        view.list(&listing, offset, counted, &mut |item| {
            if taken == room {
                return false;
            }
            taken += 1;
            offset = item.next;
            out.push((String::from_utf8_lossy(item.name).into_owned(), item.told));
            true
        })?;
        if taken == 0 {
            return Ok(out);
        }
    }
}

fn names(view: &View<'_>, path: &str) -> Vec<String> {
    let listed = list(view, number(view, path), 100, false).unwrap();
    listed.into_iter().map(|(name, _)| name).skip(2).collect()
}

fn read(view: &View<'_>, number: u64, offset: u64, len: usize) -> Result<Vec<u8>, No> {
    let mut out = Vec::new();
    view.read(number, offset, len, &mut out).map(|_| out)
}

fn contents(view: &View<'_>, path: &str) -> Result<Vec<u8>, No> {
    let told = walk(view, path)?;
    read(view, told.attr.ino.0, 0, told.attr.size as usize + 10)
}

/// An entry of each kind, with all that can be said of one.
fn zoo() -> Item {
    let symlink = fixture::other(Body::Symlink { target: b"a/b".to_vec() });
    fixture::dir(vec![
        ("block", fixture::other(Body::BlockDevice { major: 8, minor: 1 })),
        ("char", fixture::other(Body::CharDevice { major: 5, minor: 300 })),
        ("empty", fixture::file(b"")),
        ("fifo", fixture::other(Body::Fifo)),
        ("link", symlink),
        ("noted", fixture::file(b"x").xattr("system.posix_acl_access", b"\x02").xattr("user.note", b"hello")),
        ("socket", fixture::other(Body::Socket)),
        ("sub", fixture::dir(vec![("x", fixture::file(b"x"))])),
    ])
}
