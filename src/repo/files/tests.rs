use super::*;
use crate::{
    fs::stat::Kind,
    keys::{
        Role,
        slot::{Costs, Secret},
    },
    model::{config::Config, node::Extent},
    repo::{Surroundings, Unlock},
    store::memory::MemoryStore,
    world::{FixedClock, SeededEntropy},
};
use std::{path::Path, sync::Arc};

fn writer(cache: &Path, seed: u64) -> Repository {
    let around = Surroundings {
        clock: Arc::new(FixedClock(Time::from_sec(1_700_000_000))),
        entropy: Arc::new(SeededEntropy::new(seed)),
        cache: Some(cache.into()),
        state: None,
    };
    let store: Arc<MemoryStore> = Arc::new(MemoryStore::new());
    let (owner, writer) = (Secret::KeyFile(SealKey::new([1; 32])), Secret::KeyFile(SealKey::new([2; 32])));
    let repo = Repository::init(store.clone(), &owner, Costs::LOW, "test", Config::default(), around.clone()).unwrap();
    repo.add_slot(Role::Writer, &writer, Costs::LOW, "writer").unwrap();
    Repository::open(store, &Unlock::Secret(writer), around).unwrap()
}

fn series() -> Series {
    Series::parse("host/-/tree").unwrap()
}

fn stat(inode: u64) -> Stat {
    let time = Time { sec: 1_600_000_000, nsec: 7 };
    Stat {
        kind: Kind::File,
        size: 5,
        blocks: 8,
        mode: 0o640,
        uid: 1,
        gid: 2,
        mtime: time,
        ctime: time,
        atime: time,
        inode,
        device: 3,
        links: 1,
        rdev: (0, 0),
    }
}

fn meta(stat: &Stat) -> Meta {
    Meta {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        mtime: stat.mtime,
        ctime: stat.ctime,
        atime: None,
        inode: stat.inode,
        device: 0,
        links: stat.links,
        xattrs: Vec::new(),
    }
}

fn kept(number: u64) -> Kept {
    let mut id = [7; crate::id::BLOB_ID_LEN];
    id[..8].copy_from_slice(&number.to_le_bytes());
    let content = Content::Extents(vec![Extent::Data { id: BlobId(id), len: 100_000, edge: 0xDEAD_BEEF }]);
    Kept { bare: true, content, list: None }
}

fn path(number: u64) -> Vec<u8> {
    format!("folder/file {number}").into_bytes()
}

/// Remembers `count` files.
fn remember(repo: &Repository, count: u64) {
    let (next, places) = (repo.remember_files(&series()).unwrap().unwrap(), Places::new(repo.keys()));
    for number in 0..count {
        next.add(&places.of(b"data", &path(number)), 5, &meta(&stat(number)), &kept(number));
    }
    next.finish(repo, &series(), "root", true).unwrap();
}

fn file_of(repo: &Repository) -> PathBuf {
    repo.files_path(&series()).unwrap()
}

#[test]
fn what_was_kept_is_found_while_nothing_has_changed() {
    let cache = tempfile::tempdir().unwrap();
    let repo = writer(cache.path(), 1);
    remember(&repo, 1000);
    let files = repo.remembered_files(&series(), "root").unwrap();
    let places = Places::new(repo.keys());
    assert!(files.knows_attributes() && !repo.remembered_files(&series(), "other").unwrap().knows_attributes());
    for number in 0..1000 {
        assert_eq!(files.find(&places.of(b"data", &path(number)), &stat(number)), Some(kept(number)));
    }
    let place = places.of(b"data", &path(3));
    let later = Time { sec: 1_600_000_000, nsec: 8 };
    for changed in [
        Stat { size: 6, ..stat(3) },
        Stat { mode: 0o644, ..stat(3) },
        Stat { uid: 9, ..stat(3) },
        Stat { gid: 9, ..stat(3) },
        Stat { mtime: later, ..stat(3) },
        Stat { ctime: later, ..stat(3) },
        Stat { inode: 4, ..stat(3) },
        Stat { links: 2, ..stat(3) },
    ] {
        assert_eq!(files.find(&place, &changed), None, "{changed:?}");
    }
    // What says nothing of the contents.
    assert!(files.find(&place, &Stat { atime: later, device: 9, blocks: 0, ..stat(3) }).is_some());
    for elsewhere in [places.of(b"data", &path(4)), places.of(b"dat", b"afolder/file 3"), places.of(b"app", &path(3))] {
        assert_eq!(files.find(&elsewhere, &stat(3)), None);
    }
}

#[test]
fn more_rows_than_fit_into_memory_are_merged() {
    let cache = tempfile::tempdir().unwrap();
    let repo = writer(cache.path(), 1);
    let count = 600_000;
    remember(&repo, count);
    let files = repo.remembered_files(&series(), "root").unwrap();
    let places = Places::new(repo.keys());
    for number in (0..count).step_by(997) {
        assert_eq!(files.find(&places.of(b"data", &path(number)), &stat(number)), Some(kept(number)));
    }
    let bytes = std::fs::metadata(file_of(&repo)).unwrap().len();
    assert!(bytes < count * 100, "{} bytes a file", bytes / count);
    let left: Vec<_> = std::fs::read_dir(file_of(&repo).parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_is_broken_or_foreign_is_not_used() {
    let cache = tempfile::tempdir().unwrap();
    let repo = writer(cache.path(), 1);
    remember(&repo, 300);
    let whole = std::fs::read(file_of(&repo)).unwrap();
    let places = Places::new(repo.keys());
    let right = |files: &Files| {
        let ask = |number| files.find(&places.of(b"data", &path(number)), &stat(number));
        (0..300).filter(|&number| ask(number).inspect(|found| assert_eq!(*found, kept(number))).is_some()).count()
    };
    // A flipped bit costs records, and never makes a wrong one.
    for at in (0..whole.len()).step_by(37).chain(0..HEADER_LEN) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(file_of(&repo), &bytes).unwrap();
        let files = repo.remembered_files(&series(), "root");
        assert_eq!(files.is_none(), at < HEADER_LEN, "byte {at}");
        assert!(files.is_none_or(|files| right(&files) <= 300));
    }
    for len in [0, 7, HEADER_LEN, whole.len() / 2, whole.len() - 1] {
        std::fs::write(file_of(&repo), &whole[..len]).unwrap();
        assert!(repo.remembered_files(&series(), "root").is_none(), "{len} bytes");
    }
    // The file of another series, or of another repository.
    let other = Series::parse("host/-/other").unwrap();
    std::fs::write(repo.files_path(&other).unwrap(), &whole).unwrap();
    assert!(repo.remembered_files(&other, "root").is_none());
    let foreign = writer(cache.path(), 2);
    std::fs::write(file_of(&foreign), &whole).unwrap();
    assert!(foreign.remembered_files(&series(), "root").is_none());
    std::fs::write(file_of(&repo), &whole).unwrap();
    assert_eq!(right(&repo.remembered_files(&series(), "root").unwrap()), 300);
}

#[test]
fn nothing_counts_before_the_end_and_drafts_of_the_killed_go() {
    let cache = tempfile::tempdir().unwrap();
    let repo = writer(cache.path(), 1);
    remember(&repo, 3);
    let places = Places::new(repo.keys());
    let next = repo.remember_files(&series()).unwrap().unwrap();
    next.add(&places.of(b"data", &path(9)), 5, &meta(&stat(9)), &kept(9));
    let count = || std::fs::read_dir(file_of(&repo).parent().unwrap()).unwrap().count();
    // Another run leaves the draft of one that is at work alone.
    drop(repo.remember_files(&series()).unwrap());
    assert_eq!(count(), 2);
    let files = repo.remembered_files(&series(), "root").unwrap();
    assert!(files.find(&places.of(b"data", &path(9)), &stat(9)).is_none());
    assert!(files.find(&places.of(b"data", &path(2)), &stat(2)).is_some());
    drop(next);
    std::fs::write(file_of(&repo).with_extension("00.draft"), "what a killed run leaves").unwrap();
    drop(repo.remember_files(&series()).unwrap());
    assert_eq!(count(), 1);
}
