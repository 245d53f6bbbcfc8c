//! Two hundred operations in a row against a model of what the snapshots hold: all of them are compared with it after each.

use crate::{
    chance::Chance,
    contents::{Contents, contents_of, files_in},
    operations::{Around, DAY, Op, memory, objects, perform},
    programs::steps,
    verify::{holds, is_clean},
    world::Expected,
};
use std::{collections::BTreeSet, sync::Arc};
use vault::{
    keys::Role,
    monitor::Silent,
    ops::{
        copy::replica,
        restore::{self, restore},
    },
    repo::{BlobReader, Repository},
    store::memory::MemoryStore,
};

/// Restores a snapshot into a folder, and compares that with what it must be.
fn restores(repo: &Repository, expected: &Expected, nth: usize) {
    let Some((id, contents)) = expected.held.iter().nth(nth % expected.held.len().max(1)) else { return };
    let listed = repo.snapshots(None).unwrap().listed.into_iter().find(|listed| listed.id == *id).unwrap();
    let (index, _) = repo.load_index(false).unwrap();
    let dir = crate::world::folder();
    for source in &listed.snapshot.sources {
        // Of a tree its entries are brought back, of a stream the one file.
        let name = source.root.name.to_string();
        let target = if source.root.is_dir() { dir.path().join(&name) } else { dir.path().to_owned() };
        let request = restore::Request {
            path: Some(name.into_bytes()),
            target: target.into_os_string().into_encoded_bytes(),
            in_place: true,
            threads: 1,
            ..restore::Request::default()
        };
        let report = restore(&BlobReader::new(repo, &index), &listed, &request, &Silent).unwrap();
        assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    }
    let found: Contents = files_in(dir.path());
    assert_eq!(found, *contents, "{id}");
}

/// A copy without a key holds the same.
fn copies(store: &MemoryStore, around: &Around, expected: &Expected) {
    let copy = MemoryStore::new();
    let from = memory(&objects(store).into_iter().filter(|(name, _)| !name.starts_with("gc/")).collect());
    let request = replica::Request { from: &from, to: &copy, create: true, dry_run: false, threads: 1 };
    replica::replicate(&request, &Silent).unwrap();
    let repo = around.open(Arc::new(copy)).unwrap();
    holds(&repo, expected).unwrap();
}

fn run(seed: u64, len: usize) {
    let mut chance = Chance::new(seed);
    let (store, mut expected) = (MemoryStore::new(), Expected::default());
    let mut now = 1_000_000_000;
    let program = steps(&mut chance, len);
    for (n, op) in program.into_iter().enumerate() {
        let around = Around { seed: seed * 100_000 + n as u64, time: 1_700_000_000 + n as i64 * 3600, copy: None };
        let say = |what: String| -> ! { panic!("VAULT_SEED={seed}, operation {n}, {op:?}: {what}") };
        let done = perform(Arc::new(store.clone()), &op, &around).unwrap_or_else(|error| say(error.to_string()));
        if let Op::Snapshot(sources) = &op {
            assert_eq!(done.added[0].1, contents_of(sources));
        }
        expected.follow(&done);
        if op == Op::Prune {
            now += DAY * chance.below(3) as i64;
            store.set_now(now);
        }
        let repo = around.open(Arc::new(store.clone())).unwrap();
        assert_eq!(repo.keys().role(), Role::Owner);
        holds(&repo, &expected).unwrap_or_else(|why| say(why));
        let listed: BTreeSet<_> = repo.snapshots(None).unwrap().listed.iter().map(|listed| listed.id).collect();
        assert_eq!(listed, expected.held.keys().copied().collect(), "VAULT_SEED={seed}, operation {n}");
        if n % 10 == 9 {
            is_clean(&repo, &BTreeSet::new()).unwrap_or_else(|why| say(why));
            restores(&repo, &expected, chance.below(100));
        }
        if n % 50 == 49 {
            copies(&store, &around, &expected);
        }
    }
}

#[test]
fn two_hundred_operations_leave_what_the_model_says() {
    let (first, count) = (crate::number("VAULT_SEED", 1), crate::number("VAULT_SEQUENCES", 1));
    let len = crate::number("VAULT_OPERATIONS", 200) as usize;
    (first..first + count).for_each(|seed| run(seed, len));
}
