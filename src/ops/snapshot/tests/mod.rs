mod delta;
mod recall;

use super::*;
use crate::{
    keys::slot::{Costs, Secret},
    model::{
        config::{ChunkerConfig, Config},
        node::{Body, Content, Extent, Node},
    },
    monitor::{Recording, Silent},
    ops::{
        fixture::{self, noise},
        walk::each_entry,
    },
    repo::Surroundings,
    seal::SealKey,
    store::{
        Store,
        faulty::{Fault, FaultyStore},
        memory::MemoryStore,
    },
    world::{SeededEntropy, SystemClock},
};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt, symlink},
    path::Path,
    sync::Arc,
};

fn surroundings() -> Surroundings {
    Surroundings { clock: Arc::new(SystemClock), entropy: Arc::new(SeededEntropy::new(7)), cache: None, state: None }
}

pub(super) fn repository(store: Arc<dyn Store>) -> Repository {
    let config = Config {
        chunker: ChunkerConfig { algorithm: 1, min: 1 << 10, average: 4 << 10, max: 16 << 10 },
        segment_target: 64 << 10,
        pack_target: 256 << 10,
        ..Config::default()
    };
    Repository::init(store, &Secret::KeyFile(SealKey::new([9; 32])), Costs::LOW, "test", config, surroundings())
        .unwrap()
}

fn request(path: &Path) -> Request {
    fixture::request("host/-/tree", vec![fixture::path("data", path)])
}

fn command(name: &str, words: &[&str]) -> SourceRequest {
    let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    SourceRequest { name: Name::new(name.as_bytes()).unwrap(), input: Input::Command(words) }
}

/// A tree with files of many sizes, several directories, links, a hole and a name that is no UTF-8.
fn tree() -> tempfile::TempDir {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (i, size) in
        [0, 1, 100, 1023, 1024, 1025, 20_000, 300_000, 1 << 20, (1 << 20) + 1, 5_000_000].into_iter().enumerate()
    {
        let folder = root.join(format!("folder-{}", i % 3)).join("deep");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("file-{i}")), noise(size, i as u64)).unwrap();
    }
    for i in 0..500 {
        fs::write(root.join(format!("small-{i}")), format!("number {i}")).unwrap();
    }
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"odd\xff\n\x1b")), "odd").unwrap();
    symlink("small-1", root.join("link")).unwrap();
    fs::hard_link(root.join("small-2"), root.join("zz-hard")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(50 << 20).unwrap();
    sparse.write_all_at(&noise(70_000, 99), 20 << 20).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    // Changed so long ago that it cannot have changed again within the same tick.
    std::thread::sleep(std::time::Duration::from_millis(50));
    dir
}

/// Everything below the only source: path to contents of files (holes as zeros), or a word for the rest.
fn contents(repo: &Repository, snapshot: &Snapshot) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (index, unreadable) = repo.load_index(true).unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    contents_by(repo, snapshot, &index)
}

fn contents_by(repo: &Repository, snapshot: &Snapshot, index: &crate::index::BlobIndex) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let reader = BlobReader::new(repo, index);
    let mut out = BTreeMap::new();
    let mut take = |path: &[u8], node: &Node| {
        out.insert(path.to_vec(), bytes_of(&reader, node)?);
        Ok(())
    };
    for source in &snapshot.sources {
        match &source.root.body {
            Body::Directory { tree, .. } => each_entry(&reader, *tree, b"", &mut take).unwrap(),
            _ => take(source.root.name.as_bytes(), &source.root).unwrap(),
        }
    }
    out
}

fn bytes_of(reader: &BlobReader<'_>, node: &Node) -> Result<Vec<u8>> {
    Ok(match &node.body {
        Body::File { size, content } => fixture::contents_of(reader, *size, content)?,
        Body::Symlink { target } => target.clone(),
        Body::Directory { .. } => b"directory".to_vec(),
        _ => b"special".to_vec(),
    })
}

fn on_disk(root: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (mut out, mut stack) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(dir) = stack.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap();
            let bytes = if kind.is_dir() {
                stack.push(path.clone());
                b"directory".to_vec()
            } else if kind.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            out.insert(path.strip_prefix(root).unwrap().as_os_str().as_encoded_bytes().to_vec(), bytes);
        }
    }
    out
}

#[test]
fn a_tree_comes_back_byte_for_byte() {
    let dir = tree();
    let repo = repository(Arc::new(MemoryStore::default()));
    let report = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    assert!(report.snapshot.head.complete);
    let (got, want) = (contents(&repo, &report.snapshot), on_disk(dir.path()));
    assert!(got.keys().eq(want.keys()));
    for (path, bytes) in &want {
        assert!(got[path] == *bytes, "{}", String::from_utf8_lossy(path));
    }
    let all = repo.snapshots(None).unwrap();
    assert_eq!(all.listed.len(), 1);
    assert_eq!(all.listed[0].snapshot, report.snapshot);
    // Holes were not read: 50 MiB of them, 70 000 bytes of data and what the other files hold.
    assert!(report.snapshot.work.bytes_read < 10 << 20, "{:?}", report.snapshot.work);
}

#[test]
fn an_unchanged_tree_is_not_read_again() {
    let dir = tree();
    let store = MemoryStore::default();
    let repo = repository(Arc::new(store.clone()));
    let first = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    let before: u64 = sizes(&store);
    let second = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    assert_eq!((second.snapshot.work.files_read, second.files_opened), (0, 0));
    assert_eq!(second.files_unchanged, first.snapshot.totals.files);
    assert_eq!((second.written.data_packs, second.written.tree_packs), (0, 0));
    assert!(sizes(&store) - before < 64 << 10);
    assert_eq!(second.snapshot.head.previous, first.id);
    assert_eq!(second.snapshot.head.sequence, 2);
    assert_eq!(contents(&repo, &second.snapshot), contents(&repo, &first.snapshot));
}

fn sizes(store: &MemoryStore) -> u64 {
    let mut sum = 0;
    let mut add = |entry: crate::store::Entry| {
        sum += entry.len;
        Ok(())
    };
    store.list("", &mut add).unwrap();
    sum
}

#[test]
fn changes_are_found_and_only_they_are_stored() {
    let dir = tree();
    let repo = repository(Arc::new(MemoryStore::default()));
    snapshot(&repo, request(dir.path()), &Silent).unwrap();
    fs::write(dir.path().join("small-7"), "changed").unwrap();
    fs::remove_file(dir.path().join("small-8")).unwrap();
    fs::write(dir.path().join("small-5x"), "new").unwrap();
    let second = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    assert_eq!(second.snapshot.work.files_read, 2);
    assert_eq!(contents(&repo, &second.snapshot), on_disk(dir.path()));
}

#[test]
fn cuts_may_fall_on_the_end_of_a_buffer() {
    let dir = tempfile::tempdir().unwrap();
    // Zeros are cut at the longest length, which divides the buffer.
    fs::write(dir.path().join("zeros"), vec![0; 3 * super::flow::BUFFER + 5]).unwrap();
    let repo = repository(Arc::new(MemoryStore::default()));
    let report = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    assert_eq!(contents(&repo, &report.snapshot), on_disk(dir.path()));
}

#[test]
fn hard_links_are_read_once_and_stay_one_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), noise(100_000, 1)).unwrap();
    for name in ["b", "c"] {
        fs::hard_link(dir.path().join("a"), dir.path().join(name)).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    let repo = repository(Arc::new(MemoryStore::default()));
    let report = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    assert_eq!(report.snapshot.work.bytes_read, 100_000);
    let (index, _) = repo.load_index(false).unwrap();
    let reader = BlobReader::new(&repo, &index);
    let Body::Directory { tree, .. } = report.snapshot.sources[0].root.body else { panic!() };
    let mut groups = HashSet::new();
    each_entry(&reader, tree, b"", &mut |_, node| {
        groups.insert((node.meta.inode, node.meta.device, node.meta.links));
        Ok(())
    })
    .unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(contents(&repo, &report.snapshot), on_disk(dir.path()));
    let again = snapshot(&repo, request(dir.path()), &Silent).unwrap();
    assert_eq!(again.snapshot.work.files_read, 0);
}

#[test]
fn a_name_that_is_another_file_by_now_does_not_get_the_contents_of_the_first() {
    // The second name is met while the first is remembered; in between the inode was given to another file.
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    fs::write(dir.path().join("a"), "old contents").unwrap();
    fs::hard_link(dir.path().join("a"), outside.path().join("other")).unwrap();
    for i in 0..2000 {
        fs::write(dir.path().join(format!("b{i:04}")), "between").unwrap();
    }
    fs::hard_link(dir.path().join("a"), dir.path().join("z")).unwrap();
    let repo = repository(Arc::new(MemoryStore::default()));
    let path = dir.path().to_owned();
    struct Change(std::path::PathBuf, std::sync::atomic::AtomicU64);
    impl Monitor for Change {
        fn add(&self, counter: Counter, n: u64) {
            // As the walk is about to end, and long before it stats "z": its contents change through that name.
            if counter == Counter::Entries && self.1.fetch_add(n, Ordering::Relaxed) == 1000 {
                fs::OpenOptions::new()
                    .write(true)
                    .open(self.0.join("z"))
                    .unwrap()
                    .write_all_at(b"NEW CONTENTS", 0)
                    .unwrap();
            }
        }
    }
    let report = snapshot(&repo, request(&path), &Change(path.clone(), AtomicU64::new(0))).unwrap();
    assert_eq!(contents(&repo, &report.snapshot)[&b"z"[..]], b"NEW CONTENTS");

    // Both names have one inode number; restored as one file, the second would get what the first held.
    let (index, _) = repo.load_index(false).unwrap();
    let out = dir.path().join("out");
    let wanted =
        crate::ops::restore::Request { target: out.as_os_str().as_encoded_bytes().to_vec(), ..Default::default() };
    let listed = repo.snapshots(None).unwrap().listed.remove(0);
    crate::ops::restore::restore(&BlobReader::new(&repo, &index), &listed, &wanted, &Silent).unwrap();
    // What "a" held when it was read depends on the moment.
    let held = contents(&repo, &report.snapshot);
    for name in ["a", "z"] {
        assert_eq!(fs::read(out.join(name)).unwrap(), held[name.as_bytes()], "{name}");
    }
}

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
fn missing_paths_are_recorded_and_nothing_at_all_is_an_error() {
    let dir = tree();
    let repo = repository(Arc::new(MemoryStore::default()));
    let mut both = request(dir.path());
    both.sources.push(fixture::path("gone", Path::new("/nonexistent/path")));
    let report = snapshot(&repo, both, &Silent).unwrap();
    assert!(!report.snapshot.head.complete);
    assert_eq!(report.snapshot.problems[0].path, b"/nonexistent/path");
    assert_eq!(report.snapshot.sources.len(), 1);
    let nothing = snapshot(&repo, request(Path::new("/nonexistent/path")), &Silent);
    assert!(matches!(nothing, Err(Error::Refused { .. })));
}

#[test]
fn streams_count_only_when_their_command_succeeds() {
    let repo = repository(Arc::new(MemoryStore::default()));
    let mut fine = request(Path::new("/"));
    fine.sources =
        vec![command("dump.sql", &["sh", "-c", "seq 1 500000"]), command("bad", &["sh", "-c", "seq 9; exit 3"])];
    let report = snapshot(&repo, fine, &Silent).unwrap();
    assert!(!report.snapshot.head.complete);
    assert_eq!(report.snapshot.sources.len(), 1);
    let want: String = (1..=500_000).map(|n| format!("{n}\n")).collect();
    assert!(contents(&repo, &report.snapshot)[&b"dump.sql"[..]] == want.as_bytes());
    assert!(report.snapshot.problems[0].what.contains("exit status: 3"), "{:?}", report.snapshot.problems);
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
fn files_that_grow_or_shrink_are_recorded() {
    let repo = repository(Arc::new(MemoryStore::default()));
    // Files of the kernel claim other lengths than they have, which is what a change while reading looks like.
    let mut grown = request(Path::new("/proc/version"));
    grown.sources.push(fixture::path("shrunk", Path::new("/sys/kernel/uevent_seqnum")));
    let report = snapshot(&repo, grown, &Silent).unwrap();
    assert!(!report.snapshot.head.complete);
    let said: Vec<&str> = report.snapshot.problems.iter().map(|problem| &problem.what[..]).collect();
    assert!(
        said.iter().any(|what| what.contains("grew")) && said.iter().any(|what| what.contains("shrank")),
        "{said:?}"
    );
    let shrunk = contents(&repo, &report.snapshot)[&b"shrunk"[..]].clone();
    assert!(!shrunk.is_empty() && shrunk.len() < 100);
}

#[test]
fn files_that_change_while_they_are_read_are_recorded() {
    for size in [100, 3 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, noise(size, 1)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        struct Rewrite(std::path::PathBuf);
        impl Monitor for Rewrite {
            fn add(&self, counter: Counter, _: u64) {
                if counter == Counter::Read {
                    fs::OpenOptions::new().write(true).open(&self.0).unwrap().write_all_at(b"x", 50).unwrap();
                }
            }
        }
        let repo = repository(Arc::new(MemoryStore::default()));
        let report = snapshot(&repo, request(dir.path()), &Rewrite(file)).unwrap();
        assert!(!report.snapshot.head.complete);
        assert!(
            report.snapshot.problems[0].what.contains("changed while it was read"),
            "{:?}",
            report.snapshot.problems
        );
        assert_eq!(report.snapshot.totals.files, 1);
    }
}

#[test]
fn files_that_vanish_or_turn_into_something_else_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["gone", "kept", "pipe"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    struct Meddle(std::path::PathBuf, AtomicU64);
    impl Monitor for Meddle {
        fn add(&self, counter: Counter, n: u64) {
            // After the walk has seen them all and before any is read: a run of files is handed on at its end.
            if counter == Counter::Entries && self.1.fetch_add(n, Ordering::Relaxed) == 3 {
                fs::remove_file(self.0.join("gone")).unwrap();
                fs::remove_file(self.0.join("pipe")).unwrap();
                let made = std::process::Command::new("mkfifo").arg(self.0.join("pipe")).status().unwrap();
                assert!(made.success());
            }
        }
    }
    let repo = repository(Arc::new(MemoryStore::default()));
    let monitor = Meddle(dir.path().to_owned(), AtomicU64::new(0));
    let report = snapshot(&repo, request(dir.path()), &monitor).unwrap();
    assert!(!report.snapshot.head.complete);
    assert_eq!(report.snapshot.problem_count, 2, "{:?}", report.snapshot.problems);
    assert_eq!(contents(&repo, &report.snapshot).into_keys().collect::<Vec<_>>(), [b"kept"]);
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

#[test]
fn the_repository_is_no_part_of_its_snapshots() {
    use std::os::unix::fs::MetadataExt;
    let dir = tree();
    let folder = fs::metadata(dir.path().join("folder-1")).unwrap();
    let repo = repository(Arc::new(MemoryStore::default()));
    let request = Request { protect: Some((folder.dev(), folder.ino())), ..request(dir.path()) };
    let monitor = Recording::default();
    let report = snapshot(&repo, request, &monitor).unwrap();
    assert!(contents(&repo, &report.snapshot).keys().all(|name| !name.starts_with(b"folder-1")));
    assert!(monitor.notes()[0].contains("this repository") && report.snapshot.head.complete);
}

#[test]
fn excluded_entries_are_left_out() {
    let dir = tree();
    let repo = repository(Arc::new(MemoryStore::default()));
    let mut request = request(dir.path());
    request.excludes.patterns = vec!["small-*".into(), "!small-3".into(), "/folder-1/".into()];
    request.excludes.larger_than = Some(4 << 20);
    let report = snapshot(&repo, request, &Silent).unwrap();
    let names = contents(&repo, &report.snapshot);
    assert!(names.contains_key(&b"small-3"[..]) && !names.contains_key(&b"small-4"[..]));
    assert!(names.keys().all(|name| !name.starts_with(b"folder-1")));
    assert!(!names.contains_key(&b"sparse"[..]) && report.snapshot.head.complete);
}
