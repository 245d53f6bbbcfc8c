//! Writers, which cannot open the snapshot before.

use super::*;
use crate::{
    id::hex,
    keys::Role,
    repo::Unlock,
    store::faulty::{Fault, FaultyStore, Op},
};
use std::path::PathBuf;

/// A repository with an owner, and the folder of a machine that has only a writer's key.
struct Machine {
    memory: MemoryStore,
    owner: Repository,
    cache: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let memory = MemoryStore::default();
        let owner = repository(Arc::new(memory.clone()));
        owner.add_slot(Role::Writer, &Self::secret(), Costs::LOW, "writer").unwrap();
        Machine { memory, owner, cache: tempfile::tempdir().unwrap() }
    }

    fn secret() -> Secret {
        Secret::KeyFile(SealKey::new([8; 32]))
    }

    fn writer_at(&self, store: Arc<dyn Store>) -> Repository {
        let around = Surroundings { cache: Some(self.cache.path().to_owned()), ..surroundings() };
        Repository::open(store, &Unlock::Secret(Self::secret()), around).unwrap()
    }

    fn writer(&self) -> Repository {
        self.writer_at(Arc::new(self.memory.clone()))
    }

    fn take(&self, dir: &Path) -> Report {
        snapshot(&self.writer(), request(dir), &Silent).unwrap()
    }

    /// The snapshot as an owner reads it.
    fn read(&self, report: &Report) -> Snapshot {
        let tag = self.owner.keys().series_tag(&Series::parse("host/-/tree").unwrap());
        self.owner.read_snapshot(&tag, &report.id.unwrap()).unwrap().snapshot
    }

    #[track_caller]
    fn assert_whole(&self, report: &Report, dir: &Path) {
        assert_eq!(contents(&self.owner, &self.read(report)), on_disk(dir));
    }

    fn remembered(&self) -> Vec<PathBuf> {
        let folder = self.cache.path().join(hex(self.owner.keys().repo().as_bytes())).join("files");
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// All nodes, by path.
fn nodes(repo: &Repository, snapshot: &Snapshot) -> BTreeMap<Vec<u8>, Node> {
    let (index, _) = repo.load_index(true).unwrap();
    let reader = BlobReader::new(repo, &index);
    let mut out = BTreeMap::new();
    let Body::Directory { tree, .. } = snapshot.sources[0].root.body else { panic!("a directory") };
    let mut take = |path: &[u8], node: &Node| {
        out.insert(path.to_vec(), node.clone());
        Ok(())
    };
    each_entry(&reader, tree, b"", &mut take).unwrap();
    out
}

#[test]
fn a_writer_opens_no_file_that_has_not_changed() {
    let (dir, machine) = (tree(), Machine::new());
    let first = machine.take(dir.path());
    assert!(first.snapshot.work.files_read > 500);
    let second = machine.take(dir.path());
    let work = &second.snapshot.work;
    assert_eq!((work.files_read, work.bytes_read, second.files_unchanged), (0, 0, second.snapshot.totals.files));
    assert_eq!((work.bytes_new, second.written.tree_packs, second.written.data_packs), (0, 0, 0));
    // What was remembered is remembered on, and an owner, who reads the tree, comes to the same.
    let third = machine.take(dir.path());
    assert_eq!(third.snapshot.work.files_read, 0);
    machine.assert_whole(&third, dir.path());
    let owners = snapshot(&machine.owner, request(dir.path()), &Silent).unwrap();
    assert_eq!(owners.snapshot.sources[0].root, third.snapshot.sources[0].root);
    assert_eq!(owners.snapshot.work.files_read, 0);
}

#[test]
fn a_writer_reads_what_changed_and_nothing_else() {
    let (dir, machine) = (tree(), Machine::new());
    machine.take(dir.path());
    let root = dir.path();
    let same_size = root.join("small-7");
    let times = fs::metadata(&same_size).unwrap().modified().unwrap();
    fs::write(&same_size, "NUMBER 7").unwrap();
    // Only the time of the change tells.
    fs::File::options().write(true).open(&same_size).unwrap().set_modified(times).unwrap();
    fs::write(root.join("new"), "new").unwrap();
    fs::rename(root.join("small-8"), root.join("moved")).unwrap();
    fs::remove_file(root.join("small-9")).unwrap();
    let replaced = root.join("folder-1/deep/file-10");
    assert!(replaced.exists(), "the file of five million bytes");
    fs::File::options().write(true).open(&replaced).unwrap().write_all_at(b"changed", 3_000_000).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let second = machine.take(root);
    assert_eq!(second.snapshot.work.files_read, 4);
    machine.assert_whole(&second, root);
    assert_eq!(machine.take(root).snapshot.work.files_read, 0);
}

#[test]
fn attributes_are_taken_over_only_where_it_is_known_that_there_are_none() {
    let (dir, machine) = (tree(), Machine::new());
    let with = dir.path().join("small-3");
    let set = |value: &[u8]| rustix::fs::setxattr(&with, "user.note", value, rustix::fs::XattrFlags::empty());
    if set(b"one").is_err() {
        return;
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    machine.take(dir.path());
    let second = machine.take(dir.path());
    assert_eq!(second.snapshot.work.files_read, 0);
    let found = &nodes(&machine.owner, &machine.read(&second))[&b"small-3"[..]].meta.xattrs;
    assert_eq!((found.len(), &found[0].value[..]), (1, &b"one"[..]));
    // Another user may see attributes that the one before did not.
    let other = Request { user: "another".into(), ..request(dir.path()) };
    let third = snapshot(&machine.writer(), other, &Silent).unwrap();
    assert_eq!(third.snapshot.work.files_read, 0);
    machine.assert_whole(&third, dir.path());
}

#[test]
fn what_the_repository_lost_is_read_again() {
    let (dir, machine) = (tree(), Machine::new());
    machine.take(dir.path());
    for name in machine.memory.names().iter().filter(|name| name.as_str().starts_with("packs/")) {
        machine.memory.remove(name).unwrap();
    }
    let second = machine.take(dir.path());
    assert!(second.files_unchanged <= 1, "but for the empty file, which has no blobs: {}", second.files_unchanged);
    machine.assert_whole(&second, dir.path());
    assert_eq!(machine.take(dir.path()).snapshot.work.files_read, 0);
}

#[test]
fn only_published_snapshots_are_remembered_and_broken_memories_are_made_anew() {
    let (dir, machine) = (tree(), Machine::new());
    let mut dry = request(dir.path());
    dry.dry_run = true;
    snapshot(&machine.writer(), dry, &Silent).unwrap();
    assert_eq!(machine.remembered(), Vec::<PathBuf>::new());

    machine.take(dir.path());
    let path = machine.remembered().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // Nothing has changed: the first thing that is stored is the snapshot.
    let faulty = Arc::new(FaultyStore::new(machine.memory.clone()));
    let writer = machine.writer_at(faulty.clone());
    faulty.plan(Fault::on(Op::Finish, 1, std::io::ErrorKind::PermissionDenied));
    assert!(snapshot(&writer, request(dir.path()), &Silent).is_err());
    assert_eq!((machine.remembered().len(), &fs::read(&path).unwrap()), (1, &bytes));
    let middle = bytes.len() / 2;
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(machine.take(dir.path()).snapshot.work.files_read > 500);
    fs::write(&path, &fs::read(&path).unwrap()[..middle]).unwrap();
    let last = machine.take(dir.path());
    assert!(last.snapshot.work.files_read > 500);
    machine.assert_whole(&last, dir.path());
}

#[test]
fn what_may_change_again_unseen_is_read_again() {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("fresh"), "fresh").unwrap();
    machine.take(dir.path());
    assert_eq!(machine.take(dir.path()).snapshot.work.files_read, 1);
    std::thread::sleep(std::time::Duration::from_millis(50));
    machine.take(dir.path());
    assert_eq!(machine.take(dir.path()).snapshot.work.files_read, 0);
}

/// A thief has the machine's cache and its key, and tries all that the crate offers and all that is in the file.
#[test]
fn the_cache_and_the_key_together_give_no_name_and_no_contents() {
    let (dir, machine) = (tree(), Machine::new());
    fs::write(dir.path().join("top-secret-name"), "top secret contents, top secret contents").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    machine.take(dir.path());
    let thief = machine.writer();
    let series = Series::parse("host/-/tree").unwrap();
    let path = machine.remembered().pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(!holds(b"top-secret") && !holds(b"top secret") && !holds(b"small-1"));
    // Not even the ids of blobs, which the key lists anyway, show which of them are one file.
    let (index, _) = thief.load_index(true).unwrap();
    let ids: Vec<_> =
        nodes(&machine.owner, &machine.owner.snapshots(None).unwrap().listed[0].snapshot).into_values().collect();
    let of_files = ids.iter().filter_map(|node| match &node.body {
        Body::File { content: Content::Extents(extents), .. } => extents.first(),
        _ => None,
    });
    let mut count = 0;
    for extent in of_files {
        let Extent::Data { id, .. } = extent else { continue };
        assert!(index.contains(id) && !holds(&id.0[..12]));
        count += 1;
    }
    assert!(count > 400, "{count}");
    // Opened with the key and asked with the right path: without the file's exact times and inode there is no answer, so that a
    // guessed path cannot be tried.
    let files = thief.remembered_files(&series, "tester").unwrap();
    let places = crate::repo::files::Places::new(thief.keys());
    let (parent, name) = crate::fs::dir::Dir::open_parent(path_bytes(&dir.path().join("top-secret-name"))).unwrap();
    let stat = parent.stat(name.as_bytes()).unwrap();
    let place = places.of(b"data", b"top-secret-name");
    assert!(files.find(&place, &stat).is_some());
    for guess in [
        crate::fs::stat::Stat { inode: stat.inode + 1, ..stat },
        crate::fs::stat::Stat { ctime: crate::world::Time { nsec: stat.ctime.nsec ^ 1, ..stat.ctime }, ..stat },
        crate::fs::stat::Stat { size: stat.size + 1, ..stat },
    ] {
        assert!(files.find(&place, &guess).is_none());
    }
    // And what a right guess gives is the id of a blob that the key does not open.
    let kept = files.find(&place, &stat).unwrap();
    let Content::Extents(extents) = kept.content else { panic!("short") };
    let Extent::Data { id, .. } = extents[0] else { panic!("data") };
    let reader = BlobReader::new(&thief, &index);
    assert!(matches!(reader.blob(crate::hash::BlobKind::Data, &id), Err(Error::NotPermitted { .. })));
}

fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}
