//! Readers that were at work before a prune, and go on after it.

use super::*;
use crate::{
    hash::BlobKind,
    monitor::Recording,
    ops::restore::{self, restore},
    pack,
    store::interrupted::Interrupted,
};
use std::{os::unix::ffi::OsStrExt, sync::Arc};

/// Snapshots of which one is forgotten, so that all packs are live in part, and are moved.
fn scattered() -> (World, SnapshotId) {
    let mut world = World::new();
    let old = world.snapshot(&[(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0)]);
    let kept = world.snapshot(&[(1, 0), (3, 0), (5, 0), (7, 0)]);
    world.forget(old);
    (world, kept)
}

/// Everything that can be moved is, and what was is removed.
fn prune_all(repo: &Repository) -> u64 {
    let options = Options { max_unused: Some(Unused::Bytes(0)), ..at_once() };
    (0..3).map(|_| prune(repo, &options, &Silent).unwrap().1.removed.packs).sum()
}

fn restored(target: &std::path::Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let entries = std::fs::read_dir(target).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().as_bytes().to_vec(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn a_restore_goes_on_whenever_a_prune_moves_what_it_needs() {
    let mut fetched_anew = 0;
    for nth in 1.. {
        let (world, kept) = scattered();
        let expected: BTreeMap<Vec<u8>, Vec<u8>> =
            world.held[&kept].iter().map(|(f, v)| (format!("f{f}").into_bytes(), bytes_of(*f, *v))).collect();
        let listed = world.repo().snapshots(None).unwrap().listed.into_iter().find(|one| one.id == kept).unwrap();
        let pruner = world.fixture.reopen(Arc::new(world.fixture.store.clone()));
        let store = Interrupted::new(world.fixture.store.clone(), nth, move || assert!(prune_all(&pruner) > 0));
        let repo = world.fixture.reopen(store.clone());
        let (index, _) = repo.load_index(true).unwrap();
        let before = store.happened();
        let reader = BlobReader::new(&repo, &index);
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let request = restore::Request {
            target: target.as_os_str().as_bytes().to_vec(),
            threads: 1,
            ..restore::Request::default()
        };
        let report = restore(&reader, &listed, &request, &Recording::default()).unwrap();
        assert_eq!((report.problem_count, restored(&target)), (0, expected), "{nth}: {:?}", report.problems);
        if !store.happened() {
            break;
        }
        fetched_anew += usize::from(!before);
    }
    assert!(fetched_anew > 2, "{fetched_anew}");
}

#[test]
fn a_check_that_is_overtaken_finds_nothing_wrong() {
    for nth in (1..).step_by(3) {
        let (world, _) = scattered();
        let pruner = world.fixture.reopen(Arc::new(world.fixture.store.clone()));
        let store = Interrupted::new(world.fixture.store.clone(), nth, move || {
            prune_all(&pruner);
        });
        let repo = world.fixture.reopen(store.clone());
        let report = check::check(&repo, ReadData::Percent(100.0), 1, &Silent).unwrap();
        assert!(report.findings.is_empty() && report.losses.is_empty(), "{nth}: {report:#?}");
        if !store.happened() {
            break;
        }
    }
}

#[test]
fn what_is_nowhere_is_looked_for_once_more_and_then_told() {
    let (world, kept) = scattered();
    let index = world.fixture.index();
    let counting = Arc::new(crate::store::faulty::FaultyStore::new(world.fixture.store.clone()));
    let repo = world.fixture.reopen(counting.clone());
    let reader = BlobReader::new(&repo, &index);
    for (id, ..) in index.runs().iter().flat_map(|run| run.packs().collect::<Vec<_>>()) {
        world.fixture.store.remove(&pack::object_name(&id)).unwrap();
    }
    let listed = repo.snapshots(None).unwrap().listed.into_iter().find(|one| one.id == kept).unwrap();
    let lists = counting.count(crate::store::faulty::Op::List);
    for source in &listed.snapshot.sources {
        let Body::File { content: crate::model::node::Content::Extents(extents), .. } = &source.root.body else {
            panic!()
        };
        for extent in extents {
            let crate::model::node::Extent::Data { id, .. } = extent else { panic!() };
            let error = reader.blob(BlobKind::Data, id).unwrap_err();
            assert!(matches!(&error, Error::Missing { object } if object.starts_with("packs/")), "{error}");
        }
    }
    assert_eq!(
        counting.count(crate::store::faulty::Op::List) - lists,
        2,
        "the index is looked at once, and loaded once"
    );
}
