//! What sources hold in each of their versions, and what a snapshot holds.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};
use tempfile::TempDir;
use vault::{
    error::Result,
    hash::BlobKind,
    model::{
        node::{Body, Content, Extent, Node},
        paging::each_extent,
    },
    ops::walk::each_entry,
    repo::{BlobReader, Listed, Repository},
};

/// What a snapshot holds: hashes of contents by path, the source's name first.
pub type Contents = BTreeMap<String, [u8; 32]>;
/// Sources by number, each in a version. Versions of one lean on one another. Number 0 is a tree, the others are streams.
pub type Sources = BTreeMap<u64, u64>;

pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

pub fn bytes_of(stream: u64, version: u64) -> Vec<u8> {
    let mut bytes = noise(5000, stream);
    bytes.extend(noise(50, 1000 * stream + version));
    bytes
}

const VERSIONS: u64 = 4;

/// Files of a version of the tree.
pub fn files_of(version: u64) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for n in 0..3 {
        files.insert(format!("same-{n}"), noise(700, 900 + n));
        files.insert(format!("sub/changes-{n}"), noise(900, 10 * version + n));
    }
    files.insert("big".into(), bytes_of(77, version));
    files
}

/// A folder with that version.
pub fn tree(version: u64) -> PathBuf {
    static TREES: OnceLock<TempDir> = OnceLock::new();
    let trees = TREES.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        for version in 0..VERSIONS {
            for (path, bytes) in files_of(version) {
                let path = dir.path().join(version.to_string()).join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        }
        dir
    });
    trees.path().join((version % VERSIONS).to_string())
}

pub fn stream_name(stream: u64) -> String {
    format!("f{stream}")
}

/// What a snapshot of these sources holds.
pub fn contents_of(sources: &Sources) -> Contents {
    let hash = |bytes: &[u8]| *blake3::hash(bytes).as_bytes();
    let mut out = Contents::new();
    for (stream, version) in sources {
        match stream {
            0 => out
                .extend(files_of(version % VERSIONS).iter().map(|(path, bytes)| (format!("tree/{path}"), hash(bytes)))),
            _ => drop(out.insert(stream_name(*stream), hash(&bytes_of(*stream, *version)))),
        }
    }
    out
}

/// What a folder holds.
pub fn files_in(root: &Path) -> Contents {
    let (mut out, mut stack) = (Contents::new(), vec![root.to_owned()]);
    while let Some(folder) = stack.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                stack.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            out.insert(name, *blake3::hash(&std::fs::read(path).unwrap()).as_bytes());
        }
    }
    out
}

/// What a snapshot does hold.
pub fn contents_in(repo: &Repository, listed: &Listed) -> Result<Contents> {
    let (index, _) = repo.load_index(false)?;
    let reader = BlobReader::new(repo, &index);
    let hash = |size: u64, content: &Content| -> Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        each_extent(&reader, content, size, &mut |extent| {
            match extent {
                Extent::Hole { len } => drop(hasher.update(&vec![0; len as usize])),
                Extent::Data { id, .. } => drop(hasher.update(&reader.blob(BlobKind::Data, &id)?)),
            }
            Ok(())
        })?;
        Ok(*hasher.finalize().as_bytes())
    };
    let mut out = Contents::new();
    for source in &listed.snapshot.sources {
        let mut take = |path: &[u8], node: &Node| {
            if let Body::File { size, content } = &node.body {
                out.insert(String::from_utf8(path.to_vec()).unwrap(), hash(*size, content)?);
            }
            Ok(())
        };
        let name = source.root.name.as_bytes();
        take(name, &source.root)?;
        if let Body::Directory { tree, .. } = &source.root.body {
            each_entry(&reader, *tree, name, &mut take)?;
        }
    }
    Ok(out)
}
