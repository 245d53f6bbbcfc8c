mod delta;
mod failures;
mod problems;
mod recall;
mod trees;

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
    store::{Store, memory::MemoryStore},
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
