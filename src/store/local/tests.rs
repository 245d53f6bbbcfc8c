use super::{folder, upload::LocalUpload, *};
use crate::store::{Put, conformance};
use rustix::fs::Mode;
use std::{
    fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    os::unix::fs::{FileTypeExt, PermissionsExt, symlink},
};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn store() -> (tempfile::TempDir, LocalStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    (dir, store)
}

fn names(store: &LocalStore, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    store
        .list(prefix, &mut |entry| {
            found.push(entry.name.to_string());
            Ok(())
        })
        .unwrap();
    found.sort();
    found
}

fn leftovers(dir: &tempfile::TempDir) -> usize {
    fs::read_dir(dir.path().join(TMP)).map_or(0, |found| found.count())
}

fn pending(store: &LocalStore) -> Vec<String> {
    lock(&store.touched).iter().cloned().collect()
}

#[test]
fn keeps_the_contract() {
    let (dir, store) = store();
    conformance::check(&store).unwrap();
    assert_eq!(leftovers(&dir), 0);
}

#[test]
fn objects_are_plain_private_files() {
    let (dir, store) = store();
    store.put(&name("packs/3f/3f0"), b"bytes").unwrap();
    assert_eq!(fs::read(dir.path().join("packs/3f/3f0")).unwrap(), b"bytes");
    for (path, mode) in [("packs/3f/3f0", 0o600), ("packs/3f", 0o700), ("packs", 0o700), ("tmp", 0o700)] {
        assert_eq!(fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777, mode, "{path}");
    }
}

#[test]
fn create_makes_private_folders_and_open_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    assert!(
        matches!(LocalStore::open(&path), Err(Error::Store { source, .. }) if source.kind() == io::ErrorKind::NotFound)
    );
    LocalStore::create(&path).unwrap().put(&name("x"), b"1").unwrap();
    LocalStore::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(LocalStore::open(&path).unwrap().get(&name("x"), 1).unwrap(), b"1");
}

#[test]
fn foreign_things_are_not_listed() {
    let (dir, store) = store();
    store.put(&name("index/a"), b"1").unwrap();
    let index = dir.path().join("index");
    fs::write(index.join("README.txt"), "").unwrap();
    fs::write(index.join(".hidden"), "").unwrap();
    fs::write(index.join("with space"), "").unwrap();
    fs::create_dir(index.join("folder")).unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::write(dir.path().join("lost+found/x"), "").unwrap();
    symlink("a", index.join("link")).unwrap();
    symlink("index", dir.path().join("linked")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, index.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert!(fs::metadata(index.join("pipe")).unwrap().file_type().is_fifo());
    let _upload = store.upload().unwrap();

    assert_eq!(names(&store, ""), ["index/a"]);
    assert_eq!(names(&store, "index/"), ["index/a"]);
    assert_eq!(names(&store, "tmp/"), [""; 0]);
    for foreign in ["index/link", "index/pipe", "index/folder"] {
        assert_eq!(store.stat(&name(foreign)).unwrap(), None);
        assert!(matches!(store.get(&name(foreign), 9), Err(Error::Store { .. })), "{foreign}");
        assert!(matches!(store.put(&name(foreign), b"1"), Err(Error::Store { .. })), "{foreign}");
    }
    assert!(store.get(&name("linked/a"), 9).is_err() && store.put(&name("linked/b"), b"1").is_err());
    assert!(!index.join("b").exists());

    // A kernel that has no call for the whole way goes part by part.
    let root = folder::open_root(dir.path()).unwrap();
    let opened = |object: &str| {
        let (object, root) = (name(object), root.as_fd());
        let (one, other) = (folder::open_file(root, &object), folder::open_file_by_part(root, &object));
        assert_eq!(one.is_ok(), other.is_ok(), "{object}");
        one.ok().and_then(|fd| fs::read(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok())
    };
    assert_eq!(opened("index/a"), Some(b"1".to_vec()));
    for none in ["index/link", "linked/a", "index/none", "none/a", "index/a/b", "index/folder"] {
        assert_eq!(opened(none), None, "{none}");
    }
}

#[test]
fn a_prefix_is_a_folder() {
    let (_dir, store) = store();
    for bad in ["index", "/", "../", "index//"] {
        assert!(matches!(store.list(bad, &mut |_| Ok(())), Err(Error::Store { .. })), "{bad}");
    }
}

#[test]
fn uploads_have_a_folder_of_their_own() {
    let (_dir, store) = store();
    assert!(matches!(store.put(&name("tmp/x"), b"1"), Err(Error::Store { .. })));
    assert!(matches!(store.put(&name("tmp"), b"1"), Err(Error::Store { .. })));
    let upload = LocalUpload::begin(&store).unwrap();
    let inside = name(&format!("tmp/{}", upload.draft.leaf()));
    assert!(matches!(store.get(&inside, 9), Err(Error::Missing { .. })));
    assert_eq!(store.stat(&inside).unwrap(), None);
    store.remove(&inside).unwrap();
    Box::new(upload).finish(&name("x")).unwrap();
}

#[test]
fn opening_sweeps_the_uploads_of_the_dead_and_no_others() {
    let (dir, store) = store();
    let alive = store.upload().unwrap();
    let tmp = dir.path().join(TMP);
    fs::write(tmp.join("00".repeat(16)), "left by a process that died").unwrap();
    fs::write(tmp.join("notes.txt"), "not ours").unwrap();
    let again = LocalStore::open(dir.path()).unwrap();
    assert_eq!(leftovers(&dir), 2);
    alive.finish(&name("x")).unwrap();
    assert_eq!(again.get(&name("x"), 0).unwrap(), b"");
    assert!(tmp.join("notes.txt").exists());
}

#[test]
fn a_sync_flushes_every_folder_up_to_the_root_once() {
    let (_dir, store) = store();
    store.put(&name("packs/3f/a"), b"1").unwrap();
    store.put(&name("packs/3f/b"), b"1").unwrap();
    store.put(&name("packs/40/c"), b"1").unwrap();
    assert_eq!(pending(&store), ["", "packs", "packs/3f", "packs/40"]);
    store.sync().unwrap();
    assert_eq!(pending(&store), [""; 0]);
    store.remove(&name("packs/3f/a")).unwrap();
    store.remove(&name("packs/zz/absent")).unwrap();
    assert_eq!(pending(&store), ["", "packs", "packs/3f"]);
}

#[test]
fn what_others_put_is_flushed_once_it_was_seen() {
    let (dir, store) = store();
    let other = LocalStore::open(dir.path()).unwrap();
    for text in ["index/a", "gone/x/b", "packs/00/c", "keys/d"] {
        other.put(&name(text), b"1").unwrap();
    }
    names(&store, "index/");
    store.stat(&name("keys/d")).unwrap();
    store.stat(&name("gone/x/absent")).unwrap();
    assert_eq!(pending(&store), ["", "index", "keys"]);
    assert_eq!(store.put(&name("packs/00/c"), b"1").unwrap(), Put::Existed);
    assert_eq!(pending(&store), ["", "index", "keys", "packs", "packs/00"]);
}

#[test]
fn a_failed_flush_is_final() {
    let (dir, store) = store();
    store.put(&name("packs/a"), b"1").unwrap();
    fs::rename(dir.path().join("packs"), dir.path().join("elsewhere")).unwrap();
    assert!(matches!(store.sync(), Err(Error::Store { .. })));
    fs::rename(dir.path().join("elsewhere"), dir.path().join("packs")).unwrap();
    assert!(matches!(store.sync(), Err(Error::Store { .. })));
    assert_eq!(store.get(&name("packs/a"), 1).unwrap(), b"1");
    LocalStore::open(dir.path()).unwrap().sync().unwrap();

    store.lose(&Errno::NOSPC.into());
    assert!(!store.sync().unwrap_err().is_store_full(), "the first failure is the one that counts");
    let full = LocalStore::open(dir.path()).unwrap();
    full.lose(&Errno::NOSPC.into());
    assert!(full.sync().unwrap_err().is_store_full());
}

#[test]
fn bytes_that_cannot_be_flushed_get_no_name() {
    let (dir, store) = store();
    let mut upload = LocalUpload::begin(&store).unwrap();
    // A device that knows no fsync.
    upload.write_to(File::options().write(true).open("/dev/full").unwrap());
    assert!(matches!(Box::new(upload).finish(&name("packs/a")), Err(Error::Store { .. })));
    assert_eq!((leftovers(&dir), names(&store, "").len()), (0, 0));
    assert!(store.sync().is_err());
}

#[test]
fn a_full_disk_is_told_as_such_and_leaves_nothing() {
    let (dir, store) = store();
    let mut upload = LocalUpload::begin(&store).unwrap();
    upload.write_to(File::options().write(true).open("/dev/full").unwrap());
    assert!(upload.append(&[0; 10]).unwrap_err().is_store_full());
    assert!(upload.append(&[0; 10]).is_err(), "what is torn cannot go on");
    assert!(Box::new(upload).finish(&name("packs/a")).is_err());
    assert_eq!((leftovers(&dir), names(&store, "").len()), (0, 0));
}

#[test]
fn what_the_disk_began_to_write_is_whole() {
    let (_dir, store) = store();
    let whole: Vec<u8> = (0..(20 << 20) + 5u32).map(|i| (i / 251) as u8).collect();
    let mut upload = store.upload().unwrap();
    whole.chunks(3 << 20).try_for_each(|piece| upload.append(piece)).unwrap();
    upload.finish(&name("x")).unwrap();
    assert!(store.get(&name("x"), 21 << 20).unwrap() == whole);
}

#[test]
fn every_way_to_give_a_name_keeps_what_is_there() {
    let (dir, store) = store();
    let root = folder::open(store.root.as_fd(), "").unwrap();
    type Way = fn(&mut LocalUpload<'_>, BorrowedFd<'_>, &str) -> rustix::io::Result<Option<Put>>;
    let ways: [(&str, Way); 3] = [
        ("rename", |upload, folder, leaf| upload.draft.rename_if_free(folder, leaf)),
        ("link", |upload, folder, leaf| upload.draft.link(folder, leaf)),
        ("check", |upload, folder, leaf| upload.draft.check_then_rename(folder, leaf).map(Some)),
    ];
    for (leaf, way) in ways {
        for (bytes, told) in [(b"first", Put::Created), (b"later", Put::Existed)] {
            let mut upload = LocalUpload::begin(&store).unwrap();
            upload.append(bytes).unwrap();
            assert_eq!(way(&mut upload, root.as_fd(), leaf).unwrap(), Some(told), "{leaf}");
        }
        assert_eq!(store.get(&name(leaf), 5).unwrap(), b"first", "{leaf}");
        assert_eq!(leftovers(&dir), 0, "{leaf}");
    }
}

#[test]
fn a_medium_that_cannot_be_written_to_still_reads() {
    let (dir, store) = store();
    store.put(&name("config"), b"bytes").unwrap();
    // A plain file in the place of `tmp` stops uploads for root, too.
    fs::remove_dir(dir.path().join(TMP)).unwrap();
    fs::write(dir.path().join(TMP), "").unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    assert_eq!(store.get(&name("config"), 5).unwrap(), b"bytes");
    assert_eq!(names(&store, ""), ["config"]);
    assert!(matches!(store.put(&name("x"), b""), Err(Error::Store { .. })));
    assert!(store.now().is_err() && !store.capabilities().exclusive_create);
}

#[test]
fn local_file_systems_create_exclusively() {
    let (dir, store) = store();
    assert!(store.capabilities().exclusive_create);
    assert_eq!(leftovers(&dir), 0);
}

fn gathering() -> (tempfile::TempDir, LocalStore) {
    let (dir, store) = store();
    (dir, store.gathering())
}

#[test]
fn what_is_gathered_gets_its_names_together() {
    let (dir, store) = gathering();
    for text in ["packs/3f/a", "packs/40/b"] {
        assert_eq!(store.put(&name(text), b"bytes").unwrap(), Put::Created);
    }
    assert_eq!((names(&store, ""), leftovers(&dir)), (vec![], 2), "no name stands before its bytes are durable");
    store.sync().unwrap();
    assert_eq!((names(&store, ""), leftovers(&dir)), (vec!["packs/3f/a".into(), "packs/40/b".into()], 0));
    assert_eq!(store.get(&name("packs/3f/a"), 5).unwrap(), b"bytes");
    assert_eq!(store.put(&name("packs/3f/a"), b"other").unwrap(), Put::Existed);
    store.sync().unwrap();
    assert_eq!((store.get(&name("packs/3f/a"), 5).unwrap(), leftovers(&dir)), (b"bytes".to_vec(), 0));
}

#[test]
fn what_waits_is_bounded() {
    let (_dir, store) = gathering();
    for i in 0..gather::FILES {
        store.put(&name(&format!("index/{i}")), b"x").unwrap();
    }
    assert_eq!(names(&store, "").len(), gather::FILES);
    let mut upload = store.upload().unwrap();
    for _ in 0..gather::BYTES >> 20 {
        upload.append(&[0; 1 << 20]).unwrap();
    }
    upload.finish(&name("packs/00/x")).unwrap();
    assert_eq!(names(&store, "packs/"), ["packs/00/x"]);
}

#[test]
fn what_is_gathered_and_lost_gets_no_name() {
    let (dir, store) = gathering();
    store.put(&name("index/a"), b"x").unwrap();
    store.lose(&Errno::IO.into());
    assert!(store.sync().is_err());
    assert!(store.sync().is_err(), "a failed flush is final");
    drop(store);
    assert_eq!((leftovers(&dir), dir.path().join("index/a").exists()), (0, false));
}

#[test]
fn a_dropped_store_leaves_no_drafts() {
    let (dir, store) = gathering();
    store.put(&name("index/a"), b"x").unwrap();
    drop(store);
    assert_eq!((leftovers(&dir), dir.path().join("index/a").exists()), (0, false));
}

#[test]
fn objects_change_their_names_in_one_step() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    let name = |text: &str| ObjectName::new(text).unwrap();
    store.put(&name("a/x"), b"one").unwrap();
    store.put(&name("b/y"), b"other").unwrap();
    assert!(store.exchange(&name("a/x"), &name("b/y")).unwrap());
    assert_eq!(store.get(&name("a/x"), 9).unwrap(), b"other");
    assert_eq!(store.get(&name("b/y"), 9).unwrap(), b"one");
    assert!(store.exchange(&name("a/x"), &name("b/z")).is_err());
    assert_eq!(store.get(&name("a/x"), 9).unwrap(), b"other");
}

#[test]
fn what_is_stored_takes_the_place_of_a_file_without_bytes() {
    let (dir, store) = store();
    store.put(&name("gc/kept"), b"kept").unwrap();
    for leaf in ["gc/put", "gc/gathered", "gc/moved"] {
        fs::write(dir.path().join(leaf), "").unwrap();
    }
    assert_eq!(store.put(&name("gc/put"), b"put").unwrap(), Put::Created);
    assert_eq!(store.get(&name("gc/put"), 9).unwrap(), b"put");
    assert_eq!(store.rename(&name("gc/kept"), &name("gc/moved")).unwrap(), Put::Created);
    assert_eq!(store.get(&name("gc/moved"), 9).unwrap(), b"kept");
    let gathering = LocalStore::open(dir.path()).unwrap().gathering();
    gathering.put(&name("gc/gathered"), b"gathered").unwrap();
    gathering.sync().unwrap();
    assert_eq!(store.get(&name("gc/gathered"), 9).unwrap(), b"gathered");
    assert_eq!(leftovers(&dir), 0);
}
