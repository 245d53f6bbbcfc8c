//! Runs that are stopped, stores that fail, and what the next run makes of it.

use super::*;
use crate::store::faulty::{Fault, FaultyStore};

#[test]
fn an_index_object_that_was_cut_short_is_not_taken_for_whole() {
    let (dir, cache) = (tree(), tempfile::tempdir().unwrap());
    let memory = MemoryStore::default();
    repository(Arc::new(memory.clone()));
    let open = || {
        let around = Surroundings { cache: Some(cache.path().to_owned()), ..surroundings() };
        let secret = crate::repo::Unlock::Secret(Secret::KeyFile(SealKey::new([9; 32])));
        Repository::open(Arc::new(memory.clone()), &secret, around).unwrap()
    };
    snapshot(&open(), request(dir.path()), &Silent).unwrap();
    for name in memory.names().iter().filter(|name| name.as_str().starts_with("index/")) {
        assert!(memory.tamper(name, |bytes| bytes.truncate(100)));
    }
    // Tables from before lie in the cache; another machine, which `contents` plays, has none.
    let again = snapshot(&open(), request(dir.path()), &Silent).unwrap();
    let (index, unreadable) = open().load_index(true).unwrap();
    assert!(!unreadable.is_empty());
    assert_eq!(contents_by(&open(), &again.snapshot, &index), on_disk(dir.path()));
}

#[test]
fn a_cancelled_run_publishes_nothing_and_is_found_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..40 {
        fs::write(dir.path().join(format!("f{i}")), noise(1 << 20, i)).unwrap();
    }
    let repo = repository(Arc::new(MemoryStore::default()));
    struct StopAt(Recording, u64);
    impl Monitor for StopAt {
        fn add(&self, counter: Counter, n: u64) {
            self.0.add(counter, n);
        }
        fn cancelled(&self) -> bool {
            self.0.count(Counter::Stored) > self.1
        }
    }
    let monitor = StopAt(Recording::default(), 20 << 20);
    assert!(matches!(snapshot(&repo, request(dir.path()), &monitor), Err(Error::Cancelled)));
    assert!(repo.snapshot_names(None).unwrap().is_empty());
    let report = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    assert!(report.written.bytes_new < 25 << 20, "{:?}", report.written);
    assert_eq!(contents(&repo, &report.snapshot), on_disk(dir.path()));
}

#[test]
fn a_full_store_fails_the_run_and_leaves_the_last_snapshot_whole() {
    let dir = tree();
    let memory = MemoryStore::default();
    let first = snapshot(&repository(Arc::new(memory.clone())), request(dir.path()), &Silent).unwrap();
    fs::write(dir.path().join("new"), noise(3 << 20, 77)).unwrap();
    let secret = crate::repo::Unlock::Secret(Secret::KeyFile(SealKey::new([9; 32])));
    for nth in 0..12 {
        let fault = Fault::any(nth + 6, std::io::ErrorKind::StorageFull).lasting();
        let store = FaultyStore::new(memory.clone());
        store.plan(fault);
        let store: Arc<dyn Store> = Arc::new(store);
        let Ok(repo) = Repository::open(store, &secret, surroundings()) else { continue };
        if let Err(error) = snapshot(&repo, request(dir.path()), &Silent) {
            assert!(error.is_store_full(), "{nth}: {error}");
        }
    }
    let repo = Repository::open(Arc::new(memory.clone()), &secret, surroundings()).unwrap();
    assert_eq!(contents(&repo, &first.snapshot).len() + 1, on_disk(dir.path()).len());
    let last = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    assert_eq!(contents(&repo, &last.snapshot), on_disk(dir.path()));
}

#[test]
fn lost_packs_are_healed_by_the_next_snapshot() {
    let dir = tree();
    let memory = MemoryStore::default();
    let repo = repository(Arc::new(memory.clone()));
    snapshot(&repo, request(dir.path()), &Silent).unwrap();
    let pack = repo.list_packs().unwrap().into_keys().min().unwrap();
    memory.remove(&crate::pack::object_name(&pack)).unwrap();
    let monitor = Recording::default();
    let healed = snapshot(&repo, request(dir.path()), &monitor).unwrap();
    assert!(monitor.notes().iter().any(|note| note.contains("missing")), "{:?}", monitor.notes());
    assert!(healed.written.bytes_stored > 0);
    assert_eq!(contents(&repo, &healed.snapshot), on_disk(dir.path()));
}

#[test]
fn packs_that_a_killed_run_left_unlisted_are_used() {
    let dir = tree();
    let memory = MemoryStore::default();
    let repo = repository(Arc::new(memory.clone()));
    let first = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    // What a kill leaves after the packs: no index, no snapshot; and one pack that the power cut tore.
    for name in memory.names() {
        if name.as_str().starts_with("index/") || name.as_str().starts_with("snapshots/") {
            memory.remove(&name).unwrap();
        }
    }
    let torn = repo.list_packs().unwrap().into_keys().min().unwrap();
    memory.tamper(&crate::pack::object_name(&torn), |bytes| bytes[1000..3000].fill(0));
    let again = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    assert!(again.written.bytes_new < first.written.bytes_new / 2, "{:?}", again.written);
    assert_eq!(contents(&repo, &again.snapshot), on_disk(dir.path()));
}

#[test]
fn dry_runs_store_nothing() {
    let dir = tree();
    let memory = MemoryStore::default();
    let repo = repository(Arc::new(memory.clone()));
    let before = memory.names();
    let report = snapshot(&repo, Request { dry_run: true, ..request(dir.path()) }, &Silent).unwrap();
    assert_eq!(memory.names(), before);
    assert!(report.id.is_none() && report.written.bytes_new > 5_000_000);
}
