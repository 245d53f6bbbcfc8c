//! Copies of repositories in memory, whole and interrupted.

mod forgotten;
mod interrupted;
mod other_keys;
mod pruned;
mod replicas;

use super::{
    logical,
    replica::{self, Request, replicate, was_pruned},
};
use crate::{
    compress::Compression,
    error::{Error, Result},
    hash::{self, BlobKind},
    id::SnapshotId,
    model::{
        annotation::Change,
        gc::Step,
        node::{Body, Extent, Node},
        paging::each_extent,
    },
    monitor::{Recording, Silent},
    ops::{
        annotate::annotate,
        check::{self, ReadData, keyless},
        fixture::{self, Fixture, Piece},
        forget::Actor,
        walk::each_entry,
    },
    repo::{BlobReader, Listed, Repository, Unlock, mover::Mover, snapshots},
    series::Series,
    store::{
        Entry, ObjectName, SharedStore, Store,
        faulty::{Fault, FaultyStore, Op},
        interrupted::Interrupted,
        memory::MemoryStore,
    },
    world::{KernelEntropy, SystemClock},
};
use std::{
    collections::BTreeMap,
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const SERIES: &str = "h/-/app";

fn grown(night: u64) -> Vec<(&'static str, fixture::Item)> {
    let mut files = vec![("same", fixture::file(&fixture::noise(20_000, 1)))];
    files.push(("changes", fixture::file(&fixture::noise(9_000, 100 + night))));
    let sub =
        fixture::dir(vec![("deep", fixture::file(b"deep")), ("hole", fixture::pieces(vec![Piece::Hole(1 << 20)]))]);
    files.push(("sub", sub));
    vec![("app", fixture::dir(files)), ("db", fixture::file(&fixture::noise(5_000, 200 + night)))]
}

pub(super) fn three_nights() -> Fixture {
    let fixture = Fixture::new();
    (1..=3).for_each(|night| drop(fixture.snapshot(SERIES, 1_000 + night as i64, grown(night))));
    fixture
}

pub(super) fn into<'a>(from: &'a dyn Store, to: &'a dyn Store) -> Request<'a> {
    Request { from, to, create: true, dry_run: false, threads: 2 }
}

/// Everything that a repository's snapshots hold, by series, number, and path.
fn contents(repo: &Repository) -> BTreeMap<String, Vec<u8>> {
    let (index, unreadable) = repo.load_index(true).unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    let reader = BlobReader::new(repo, &index);
    let mut out = BTreeMap::new();
    let all = repo.snapshots(None).unwrap();
    assert!(all.unreadable.is_empty(), "{:?}", all.unreadable);
    for Listed { snapshot, .. } in all.listed {
        for source in &snapshot.sources {
            let at = format!("{} {} {}", snapshot.series, snapshot.head.sequence, source.root.name);
            let mut take = |path: &[u8], node: &Node| {
                let mut bytes = format!("{:?} ", node.meta).into_bytes();
                match &node.body {
                    Body::File { size, content } => each_extent(&reader, content, *size, &mut |extent| {
                        match extent {
                            Extent::Data { id, .. } => bytes.extend(reader.blob(BlobKind::Data, &id)?),
                            Extent::Hole { len } => bytes.extend(format!("hole of {len}").into_bytes()),
                        }
                        Ok(())
                    })?,
                    Body::Directory { entries, bytes: sum, .. } => {
                        bytes.extend(format!("{entries} {sum}").into_bytes())
                    }
                    body => bytes.extend(format!("{body:?}").into_bytes()),
                }
                out.insert(format!("{at}/{}", String::from_utf8_lossy(path)), bytes);
                Ok(())
            };
            take(b"", &source.root).unwrap();
            if let Body::Directory { tree, .. } = source.root.body {
                each_entry(&reader, tree, b"", &mut take).unwrap();
            }
        }
    }
    out
}

#[track_caller]
pub(super) fn is_clean(repo: &Repository) {
    let report = check::check(repo, ReadData::Percent(100.0), 1, &Silent).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Objects that a copy is made of.
pub(super) fn objects(store: &MemoryStore) -> BTreeMap<ObjectName, Vec<u8>> {
    let names = store.names().into_iter().filter(|name| !name.as_str().starts_with("sessions/"));
    names.map(|name| (name.clone(), store.get(&name, 1 << 30).unwrap())).collect()
}

pub(super) fn reopened(fixture: &Fixture, store: &MemoryStore) -> Repository {
    fixture.reopen(Arc::new(store.clone()))
}

fn forget(repo: &Repository, listed: &Listed) {
    use crate::model::tombstone::{GoneHead, Tombstone};
    let series = repo.keys().series_tag(&Series::parse(&listed.snapshot.series).unwrap());
    let head = GoneHead { series, snapshot: listed.id, head: listed.snapshot.head.clone() };
    let (host, user, reason) = ("h".to_owned(), "u".to_owned(), "test".to_owned());
    repo.bury(&Tombstone { head, time: repo.clock().now(), host, user, reason }).unwrap();
    repo.store().remove(&snapshots::object_name(&series, &listed.id)).unwrap();
}

fn ids(repo: &Repository) -> Vec<SnapshotId> {
    repo.snapshots(None).unwrap().listed.into_iter().map(|listed| listed.id).collect()
}

fn tombstone_of(repo: &Repository, listed: &Listed) -> ObjectName {
    let series = repo.keys().series_tag(&Series::parse(&listed.snapshot.series).unwrap());
    ObjectName::of_parts(&["gone", &series.to_string(), &listed.id.to_string()])
}

fn logical(from: &Repository, to: &Repository, chosen: Option<&[Listed]>) -> Result<logical::Report> {
    let request = logical::Request {
        from,
        to,
        chosen,
        compression: Compression::default(),
        host: "host",
        dry_run: false,
        threads: 2,
    };
    logical::copy(&request, &Silent)
}
