//! Versions that lean on one another.

use super::*;
use crate::{
    hash::BlobKind,
    id::{BlobId, PackId},
    index::BlobIndex,
    keys::Role,
    ops::check::{ReadData, check},
    pack::{self, SegmentEntry},
    segment::BlobEntry,
};
use proptest::prelude::*;
use std::collections::HashMap;

/// Rows of a dump, of which each night changes some and adds a few.
struct Dump {
    rows: Vec<String>,
    night: u64,
}

impl Dump {
    fn new(rows: u64) -> Self {
        Dump { rows: (0..rows).map(|n| Dump::row(n, 0)).collect(), night: 0 }
    }

    fn row(n: u64, night: u64) -> String {
        let word = blake3::hash(&[n.to_le_bytes(), night.to_le_bytes()].concat()).to_hex();
        format!("INSERT INTO t VALUES ({n}, '{}', '{}', {night});\n", &word[..24], &word[24..48])
    }

    /// One row in `every` changes, a few are inserted in the middle.
    fn next(&mut self, every: usize) {
        self.night += 1;
        let count = self.rows.len();
        for n in (self.night as usize % every..count).step_by(every) {
            self.rows[n] = Dump::row(n as u64, self.night);
        }
        for n in 0..3 {
            self.rows.insert(count / 2, Dump::row(n, self.night));
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.rows.concat().into_bytes()
    }
}

/// A dump that a file holds anew each night, and the repository that it goes to.
struct Nights {
    dir: tempfile::TempDir,
    dump: Dump,
    store: MemoryStore,
    repo: Repository,
}

impl Nights {
    fn new(rows: u64) -> Self {
        let store = MemoryStore::default();
        let repo = repository(Arc::new(store.clone()));
        Nights { dir: tempfile::tempdir().unwrap(), dump: Dump::new(rows), store, repo }
    }

    /// Writes the dump and asks for a snapshot of it.
    fn request(&self) -> Request {
        let file = self.dir.path().join("dump.sql");
        fs::write(&file, self.dump.bytes()).unwrap();
        request(&file)
    }

    fn take(&self) -> Report {
        snapshot(&self.repo, self.request(), &Silent).unwrap()
    }
}

fn segments(repo: &Repository) -> Vec<SegmentEntry> {
    fixture::listed_packs(repo).into_iter().flat_map(|pack| pack.directory.segments).collect()
}

fn is_sound(repo: &Repository) {
    let report = check(repo, ReadData::Percent(100.0), 1, &Silent).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Segments that must be opened one after another for a blob; `known` remembers them by pack and offset.
fn depth(index: &BlobIndex, id: &BlobId, known: &mut HashMap<(PackId, u64), usize>) -> usize {
    let segment = index.place(id).and_then(|place| index.locate(place)).unwrap();
    if let Some(depth) = known.get(&(segment.pack, segment.offset)) {
        return *depth;
    }
    let depth = 1 + segment.bases.iter().map(|base| depth(index, base, known)).max().unwrap_or(0);
    known.insert((segment.pack, segment.offset), depth);
    depth
}

#[test]
fn many_nights_of_a_dump_cost_little_and_come_back() {
    let mut nights = Nights::new(12_000);
    let mut taken = Vec::new();
    let (mut first, mut later) = (0, 0);
    for night in 0..20 {
        let report = nights.take();
        if night == 0 {
            first = report.written.bytes_stored;
            assert_eq!(report.written.leaning_new, 0);
        } else {
            assert!(report.written.leaning_new > report.written.bytes_new / 2, "{night}: {:?}", report.written);
            later += report.written.bytes_stored;
        }
        taken.push((report.snapshot, nights.dump.bytes()));
        nights.dump.next(80);
    }
    // A quarter of what the nights would cost by themselves, though each eighth leans on one that is eight nights older.
    assert!(later < 19 * first / 4, "{later} after {first}");
    let repo = &nights.repo;
    for (snapshot, bytes) in &taken {
        assert_eq!(contents(repo, snapshot).values().next(), Some(bytes));
    }
    let (index, _) = repo.load_index(true).unwrap();
    let segments = segments(repo);
    let stats = crate::ops::stats::stats(repo, &Silent).unwrap();
    assert!(stats.leaning.segments > 50 && stats.leaning.saved > 3 * stats.leaning.stored, "{stats:?}");
    let mut known = HashMap::new();
    let deepest = segments.iter().flat_map(|s| &s.blobs).map(|blob| depth(&index, &blob.id, &mut known)).max().unwrap();
    assert_eq!(deepest, 3);
    is_sound(repo);
}

#[test]
fn streams_lean_on_the_stream_before() {
    let repo = repository(Arc::new(MemoryStore::default()));
    let mut dump = Dump::new(8000);
    let take = |bytes: Vec<u8>| {
        snapshot(&repo, fixture::request("host/-/tree", vec![fixture::stream("db", bytes)]), &Silent).unwrap()
    };
    take(dump.bytes());
    dump.next(30);
    let second = take(dump.bytes());
    assert!(second.written.leaning_new > 0, "{:?}", second.written);
    assert_eq!(contents(&repo, &second.snapshot).values().next(), Some(&dump.bytes()));
}

#[test]
fn pages_of_a_tree_lean_on_those_before() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..3000 {
        fs::write(dir.path().join(format!("mail-{n:05}")), format!("mail {n}")).unwrap();
    }
    let repo = repository(Arc::new(MemoryStore::default()));
    let first = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    for n in (0..3000).step_by(100) {
        fs::write(dir.path().join(format!("mail-{n:05}")), format!("mail {n}, changed")).unwrap();
    }
    let second = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    assert!(second.written.leaning_new > 0, "{:?}", second.written);
    assert!(second.written.bytes_stored * 4 < first.written.bytes_stored, "{:?}", second.written);
    assert_eq!(contents(&repo, &second.snapshot)[&b"mail-00100"[..]], b"mail 100, changed");
    is_sound(&repo);
}

#[test]
fn nothing_leans_when_it_must_not_or_cannot() {
    let mut nights = Nights::new(8000);
    nights.take();

    nights.dump.next(40);
    let off = snapshot(&nights.repo, Request { delta: false, ..nights.request() }, &Silent).unwrap();
    assert_eq!(off.written.leaning_new, 0);

    // A key that cannot read has nothing to lean on.
    nights.dump.next(40);
    let secret = Secret::KeyFile(SealKey::new([8; 32]));
    nights.repo.add_slot(Role::Writer, &secret, Costs::LOW, "writer").unwrap();
    let store = Arc::new(nights.store.clone());
    let writer = Repository::open(store, &crate::repo::Unlock::Secret(secret), surroundings()).unwrap();
    let blind = snapshot(&writer, nights.request(), &Silent).unwrap();
    assert_eq!(blind.written.leaning_new, 0);
    assert!(segments(&nights.repo).iter().all(|segment| segment.generation == 0));
    is_sound(&nights.repo);
}

#[test]
fn a_damaged_version_before_is_not_leaned_on() {
    let mut nights = Nights::new(8000);
    nights.take();
    let is_data = |blob: &BlobEntry| blob.kind == BlobKind::Data as u8;
    for pack in fixture::listed_packs(&nights.repo) {
        for segment in pack.directory.segments.iter().filter(|segment| segment.blobs.iter().any(is_data)) {
            assert!(nights.store.tamper(&pack::object_name(&pack.id), |bytes| bytes[segment.offset as usize] ^= 1));
        }
    }
    nights.dump.next(40);
    let second = nights.take();
    assert!(second.snapshot.head.complete);
    for segment in segments(&nights.repo).iter().filter(|segment| segment.generation > 0) {
        assert!(!segment.blobs.iter().any(is_data));
    }
}

#[test]
fn what_leans_on_a_lost_pack_is_stored_again() {
    let mut nights = Nights::new(8000);
    nights.take();
    let first = nights.store.names().into_iter().filter(|name| name.folder().starts_with("packs"));
    let first: Vec<_> = first.collect();
    nights.dump.next(40);
    let second = nights.take();
    assert!(second.written.leaning_new > 0);
    for name in &first {
        nights.store.remove(name).unwrap();
    }
    // The packs of the second night are there; what they hold is of no use without those of the first.
    let third = nights.take();
    assert!(third.snapshot.head.complete);
    assert_eq!(contents(&nights.repo, &third.snapshot).values().next(), Some(&nights.dump.bytes()));
}

#[test]
fn what_does_not_pay_is_stored_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("noise");
    let repo = repository(Arc::new(MemoryStore::default()));
    // Three in four parts are new: fewer than half of the bytes of a new blob occur in the version before.
    let mut bytes = noise(12 << 20, 1);
    fs::write(&file, &bytes).unwrap();
    snapshot(&repo, request(&file), &Silent).unwrap();
    for (n, part) in bytes.chunks_mut(600).enumerate().filter(|(n, _)| n % 4 != 0) {
        part.copy_from_slice(&noise(part.len(), n as u64));
    }
    let before = segments(&repo).len();
    fs::write(&file, &bytes).unwrap();
    let second = snapshot(&repo, request(&file), &Silent).unwrap();
    assert!(second.written.leaning_new < second.written.bytes_new / 1000, "{:?}", second.written);
    assert_eq!(contents(&repo, &second.snapshot).values().next(), Some(&bytes));
    // What is not even tried is not cut short for it.
    let number = segments(&repo).len() - before;
    assert!(number < before * 3 / 2, "{number} segments, {before} before");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Whatever is cut, inserted, moved or overwritten from night to night: every night comes back.
    #[test]
    fn any_edits_come_back(edits in proptest::collection::vec((0u8..4, 0.0f64..1.0, 1usize..60_000, any::<u8>()), 1..12)) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let repo = repository(Arc::new(MemoryStore::default()));
        let mut bytes = Dump::new(6000).bytes();
        let mut nights = Vec::new();
        for (kind, at, len, seed) in edits {
            fs::write(&file, &bytes).unwrap();
            let report = snapshot(&repo, request(&file), &Silent).unwrap();
            nights.push((report.snapshot, bytes.clone()));
            let at = (at * bytes.len() as f64) as usize;
            let end = (at + len).min(bytes.len());
            match kind {
                0 => drop(bytes.splice(at..at, noise(len, seed.into()))),
                1 => drop(bytes.drain(at..end)),
                2 => bytes[at..end].fill(seed),
                _ => bytes.rotate_left(at),
            }
        }
        for (snapshot, bytes) in &nights {
            let contents = contents(&repo, snapshot);
            prop_assert_eq!(contents.values().next(), Some(bytes));
        }
    }
}
