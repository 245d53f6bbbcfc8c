//! What a walk finds, reads again and leaves out.

use super::*;

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
    // More than the walk looks at ahead of what it deals with: four batches.
    for i in 0..3000 {
        fs::write(dir.path().join(format!("b{i:04}")), "between").unwrap();
    }
    fs::hard_link(dir.path().join("a"), dir.path().join("z")).unwrap();
    let repo = repository(Arc::new(MemoryStore::default()));
    let path = dir.path().to_owned();
    struct Change(std::path::PathBuf, std::sync::atomic::AtomicU64);
    impl Monitor for Change {
        fn add(&self, counter: Counter, n: u64) {
            // "a" was looked at, and "z" was not: its contents change through that name.
            if counter == Counter::Entries && self.1.fetch_add(n, Ordering::Relaxed) == 100 {
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
