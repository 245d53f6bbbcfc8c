//! The index against a model of it, with damaged tables, and asked by many at once.

use super::{
    object::object_name,
    run::{
        build, merge,
        tests::{blob_id, pack},
    },
    *,
};
use crate::{
    hash,
    id::{BlobId, IndexId, PackId, RepoId},
    pack::PackEntry,
    seal::SealKey,
    store::{Put, Store, faulty::Op, interrupted::Interrupted, memory::MemoryStore},
    world::KernelEntropy,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Where each blob lies: pack, offset of the segment, offset in it, length.
type Model = BTreeMap<BlobId, BTreeSet<(PackId, u64, u32, u32)>>;

fn model(packs: &[PackEntry]) -> Model {
    let mut model = Model::new();
    for pack in packs {
        for segment in &pack.directory.segments {
            let mut offset = 0;
            for blob in &segment.blobs {
                model.entry(blob.id).or_default().insert((pack.id, segment.offset, offset, blob.len));
                offset += blob.len;
            }
        }
    }
    model
}

fn places(run: &Run, id: &BlobId) -> BTreeSet<(PackId, u64, u32, u32)> {
    let place = |row: run::Row| {
        let located = run.locate(row.segment).unwrap();
        (located.pack, located.offset, row.offset, row.len)
    };
    run.find(id).map(place).collect()
}

/// A pack of which every other blob has an id like those of many others: as hashes never do, and a forger may.
fn crowded(first: u32, count: u32) -> PackEntry {
    let mut pack = pack(first, count);
    for blob in pack.directory.segments.iter_mut().flat_map(|segment| &mut segment.blobs).step_by(2) {
        let byte = blob.id.0[9] % 2 * 255;
        blob.id.0[..8].fill(byte);
        blob.len = 1 + u32::from(blob.id.0[10]) * 12_000;
    }
    pack
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tables_say_what_a_map_says_however_they_were_merged(
        shapes in prop::collection::vec((0u32..4000, 1u32..600, any::<bool>()), 1..12),
        order in prop::collection::vec((any::<prop::sample::Index>(), 2usize..5), 12),
    ) {
        let packs: Vec<PackEntry> = shapes
            .iter()
            .map(|&(first, count, crowd)| if crowd { crowded(first, count) } else { pack(first, count) })
            .collect();
        let mut runs: Vec<Run> = packs
            .iter()
            .map(|pack| {
                let mut bytes = Vec::new();
                build(&[], std::slice::from_ref(pack), &mut bytes).unwrap();
                Run::in_memory(bytes).unwrap()
            })
            .collect();
        for (at, parts) in order {
            let at = at.index(runs.len());
            let some: Vec<Run> = runs.drain(at..(at + parts).min(runs.len())).collect();
            let mut bytes = Vec::new();
            merge(&some.iter().collect::<Vec<_>>(), &mut bytes).unwrap();
            runs.push(Run::in_memory(bytes).unwrap());
        }
        let model = model(&packs);
        prop_assert_eq!(runs.iter().map(Run::len).sum::<usize>(), packs.iter().map(PackEntry::blob_count).sum::<usize>());
        for (id, expected) in &model {
            let found: BTreeSet<_> = runs.iter().flat_map(|run| places(run, id)).collect();
            prop_assert_eq!(&found, expected);
            // Neighbours of what is there, on either side.
            for by in [1, 255] {
                let mut other = *id;
                other.0[15] = other.0[15].wrapping_add(by);
                prop_assert_eq!(runs.iter().any(|run| run.contains(&other)), model.contains_key(&other));
            }
        }
        for n in 10_000..10_200 {
            prop_assert!(!runs.iter().any(|run| run.contains(&blob_id(n))));
        }
    }
}

const REPO: RepoId = RepoId([1; 16]);

fn key() -> SealKey {
    SealKey::new([2; 32])
}

/// Stores an index object with one pack of 100 blobs.
fn publish(store: &MemoryStore, number: u32) -> (Source, Vec<PackEntry>) {
    let object = IndexObject { packs: vec![pack(number * 100, 100)] };
    let bytes = object.seal(REPO, &key(), &KernelEntropy).unwrap();
    let id = IndexId(hash::object_name(&bytes));
    store.put(&object_name(&id), &bytes).unwrap();
    (Source { id, len: bytes.len() as u64 }, object.packs)
}

fn load(store: &dyn Store, folder: &Path) -> BlobIndex {
    let (index, unreadable) = BlobIndex::load(store, REPO, &key(), Some(folder.to_owned()), false).unwrap();
    assert!(unreadable.is_empty());
    index
}

fn tables(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn assert_holds(index: &BlobIndex, objects: u32) {
    assert_eq!(index.len(), objects as usize * 100);
    for n in 0..objects * 100 {
        let located = index.locate(index.place(&blob_id(n)).unwrap()).unwrap();
        assert_eq!(located.pack, pack(n / 100 * 100, 1).id);
    }
    assert!(!index.contains(&blob_id(objects * 100)));
}

#[test]
fn a_table_that_was_cut_short_or_has_another_header_is_made_anew() {
    let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
    (0..3).for_each(|number| drop(publish(&store, number)));
    assert_holds(&load(&store, folder.path()), 3);
    let [table] = &tables(folder.path())[..] else { panic!("one table was made") };
    let whole = fs::read(table).unwrap();
    for damage in 0..4 {
        let mut bytes = whole.clone();
        match damage {
            0 => bytes.truncate(bytes.len() - 1),
            1 => bytes.clear(),
            2 => bytes[40] ^= 1,
            _ => bytes.push(0),
        }
        fs::write(table, &bytes).unwrap();
        assert_holds(&load(&store, folder.path()), 3);
        assert_eq!(fs::read(table).unwrap().len(), whole.len());
    }
}

#[test]
fn only_what_is_new_is_read() {
    let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
    let old = object_name(&publish(&store, 0).0.id);
    assert_holds(&load(&store, folder.path()), 1);
    publish(&store, 1);
    // Whoever read it now would be refused.
    assert!(store.tamper(&old, |bytes| bytes[100] ^= 1));
    assert_holds(&load(&store, folder.path()), 2);
    assert_eq!(tables(folder.path()).len(), 2);
}

#[test]
fn a_table_that_is_ahead_of_the_list_is_kept_while_its_objects_are_there() {
    let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
    publish(&store, 0);
    let (second, _) = publish(&store, 1);
    assert_holds(&load(&store, folder.path()), 2);
    // The list is as it was before another process wrote one.
    let name = object_name(&second.id);
    let bytes = store.get(&name, u64::MAX).unwrap();
    store.remove(&name).unwrap();
    let written = || assert_eq!(store.put(&name, &bytes).unwrap(), Put::Created);
    let late = Interrupted::when(store.clone(), |op, _| op == Op::Stat, written);
    assert_holds(&load(&*late, folder.path()), 2);
    assert!(late.happened());
    store.remove(&name).unwrap();
    assert_holds(&load(&store, folder.path()), 1);
}

#[test]
fn places_stay_valid_while_runs_are_merged_and_blobs_claimed() {
    const OBJECTS: u32 = 120;
    let folder = tempfile::tempdir().unwrap();
    let index = BlobIndex::empty(Some(folder.path().to_owned()));
    let (next, listed, news) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let absorb = || {
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= OBJECTS {
                return;
            }
            let new = (number * 100..number * 100 + 100).filter(|n| index.claim(&blob_id(*n)) == Membership::New);
            news.fetch_add(new.count() as u32, Ordering::SeqCst);
            let source = Source { id: IndexId(crate::hash::object_name(&number.to_le_bytes())), len: 4096 };
            index.absorb(source, &[pack(number * 100, 100)]).unwrap();
            assert!((number * 100..number * 100 + 100).all(|n| index.claim(&blob_id(n)) == Membership::Known));
            listed.fetch_add(1, Ordering::SeqCst);
        }
    };
    let read = || {
        let mut held = Vec::new();
        let hold = |(n, place): &(u32, Place)| {
            assert_eq!(index.locate(*place).unwrap().pack, pack(n / 100 * 100, 1).id);
            assert!(index.contains(&blob_id(*n)));
        };
        while listed.load(Ordering::SeqCst) < OBJECTS {
            let from = next.load(Ordering::SeqCst).min(OBJECTS) * 100;
            held.extend((0..from).step_by(97).filter_map(|n| Some((n, index.place(&blob_id(n))?))));
            held.iter().rev().take(2000).for_each(hold);
        }
        held.iter().step_by(7).for_each(hold);
        assert!(!held.is_empty());
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(absorb), scope.spawn(absorb), scope.spawn(read)];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(news.load(Ordering::SeqCst), OBJECTS * 100);
    assert_holds(&index, OBJECTS);
}
