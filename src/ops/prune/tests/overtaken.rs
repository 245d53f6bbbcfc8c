//! A writer that is overtaken begins again, once, where its sources can be read again.

use super::*;
use crate::{monitor::Recording, ops::snapshot::Report as Taken, store::interrupted::Interrupted};
use std::sync::Arc;

/// A folder with the files of these contents.
fn folder(contents: &Contents) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (file, version) in contents {
        std::fs::write(dir.path().join(format!("f{file}")), bytes_of(*file, *version)).unwrap();
    }
    dir
}

fn take_folder(repo: &Repository, dir: &std::path::Path, heard: &Recording) -> Result<Taken> {
    let sources = std::fs::read_dir(dir).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        fixture::path(path.file_name().unwrap().as_encoded_bytes(), &path)
    });
    snapshot(repo, Request { threads: 1, ..fixture::request(SERIES, sources.collect()) }, heard)
}

/// Stopped before each of its operations in turn, while its session expires and everything is pruned that can be.
#[test]
fn whatever_prunes_do_meanwhile_it_ends_with_a_whole_snapshot() {
    let contents: Contents = [(2, 0), (3, 0), (4, 1), (8, 0)].into_iter().collect();
    let dir = folder(&contents);
    let mut again = 0;
    for nth in 1.. {
        let mut world = forgotten(0);
        let (memory, reopened) =
            (world.fixture.store.clone(), world.fixture.reopen(Arc::new(world.fixture.store.clone())));
        let event = move || {
            for round in 0..3 {
                memory.set_now(1_000_000_000 + (round + 1) * 2 * DAY);
                prune(&reopened, &at_once(), &Silent).unwrap();
            }
        };
        let store = Interrupted::new(world.fixture.store.clone(), nth, event);
        let writer = world.fixture.reopen(store.clone());
        if store.happened() {
            continue;
        }
        let heard = Recording::default();
        let taken = take_folder(&writer, dir.path(), &heard).unwrap_or_else(|error| panic!("operation {nth}: {error}"));
        again += usize::from(heard.notes().iter().any(|note| note.contains("taken again")));
        let id = taken.id.unwrap();
        world.held.insert(id, contents.clone());
        let done = !store.happened();
        drop(writer);
        world.verify();
        world.now += 10 * DAY;
        world.settle();
        // What a prune publishes of the first attempt is another number, and an older one.
        let listed = world.repo().snapshots(None).unwrap().listed;
        let numbers: BTreeSet<u64> = listed.iter().map(|one| one.snapshot.head.sequence).collect();
        assert_eq!((numbers.len(), listed.last().map(|one| one.id)), (listed.len(), Some(id)), "operation {nth}");
        if done {
            break;
        }
    }
    assert!(again > 0, "it was never overtaken");
}

#[test]
fn what_can_be_read_only_once_ends_with_the_next_step() {
    let error = Error::Overtaken.to_string();
    assert!(error.contains("run it again"), "{error}");
}
