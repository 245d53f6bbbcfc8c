//! What several test programs share: repositories made and read through the crate's own interface.
#![allow(dead_code, reason = "each test program uses a part")]

pub mod tiny;
pub mod world;

use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, path::Path, sync::Arc};
use vault::{
    hash::{BlobKind, object_name},
    id::hex,
    keys::{
        recovery,
        slot::{Costs, Secret},
    },
    model::{
        config::{ChunkerConfig, Config},
        node::{Body, Extent, Node},
        paging::{PageSource, each_extent},
    },
    monitor::Silent,
    name::{Name, Shown},
    ops::{
        snapshot::{Input, Report, Request, SourceRequest, snapshot},
        walk::each_entry,
    },
    repo::{BlobReader, Repository, Surroundings, Unlock},
    series::Series,
    store::{Store, local::LocalStore, memory::MemoryStore},
    world::{FixedClock, SeededEntropy, SystemClock, Time},
};

/// Bytes that do not compress.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Reads a JSON file.
pub fn json_file(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A passphrase as a secret.
pub fn passphrase(text: &[u8]) -> Secret {
    Secret::Passphrase(text.to_vec().into())
}

/// A configuration with which small files make many blobs.
pub fn small_config() -> Config {
    Config {
        chunker: ChunkerConfig { algorithm: 1, min: 64, average: 256, max: 1024 },
        segment_target: 16 << 10,
        pack_target: 256 << 10,
        ..Config::default()
    }
}

/// A request for a snapshot of one folder, under the source name `data`.
pub fn request(series: &str, sources: Vec<SourceRequest>) -> Request {
    let series = Series::parse(series).unwrap();
    Request { tags: vec!["sample".into()], threads: 1, ..Request::new(series, sources, "alpha.example.org", "root") }
}

/// A source from a path.
pub fn from_path(name: &str, path: &Path) -> SourceRequest {
    let input = Input::Path(path.as_os_str().as_encoded_bytes().to_vec());
    SourceRequest { name: Name::new(name.as_bytes()).unwrap(), input }
}

/// An open repository with its tables in memory.
pub struct Repo(pub Repository);

impl Repo {
    /// Opens a folder.
    pub fn open(path: &Path, text: &[u8]) -> Repo {
        Repo::unlock(path, &Unlock::Secret(passphrase(text)))
    }

    /// Opens a folder with a recovery sheet.
    pub fn open_with_sheet(path: &Path, sheet: &str) -> Repo {
        Repo::unlock(path, &Unlock::Root(recovery::parse(sheet).unwrap()))
    }

    fn unlock(path: &Path, unlock: &Unlock) -> Repo {
        let store = LocalStore::open(path).unwrap();
        let around = Surroundings {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SeededEntropy::new(0)),
            cache: None,
            state: None,
        };
        Repo(Repository::open(Arc::new(store), unlock, around).unwrap())
    }

    /// All snapshots: id to paths to what they are.
    pub fn manifest(&self) -> Value {
        let (index, unreadable) = self.0.load_index(true).unwrap();
        assert!(unreadable.is_empty(), "{unreadable:?}");
        let reader = BlobReader::new(&self.0, &index);
        let snapshots = self.0.snapshots(None).unwrap();
        assert!(snapshots.unreadable.is_empty(), "{:?}", snapshots.unreadable);
        let mut out = Map::new();
        for listed in snapshots.listed {
            let mut entries = Map::new();
            for source in &listed.snapshot.sources {
                let name = source.root.name.as_bytes();
                let mut take = |path: &[u8], node: &Node| {
                    entries.insert(Shown(path).to_string(), describe(&reader, node));
                    Ok(())
                };
                take(name, &source.root).unwrap();
                if let Body::Directory { tree, .. } = &source.root.body {
                    each_entry(&reader, *tree, name, &mut take).unwrap();
                }
            }
            out.insert(listed.id.to_string(), Value::Object(entries));
        }
        Value::Object(out)
    }
}

/// A node as the manifest of the sample shows it.
fn describe(reader: &BlobReader<'_>, node: &Node) -> Value {
    let mode = format!("{:o}", node.meta.mode);
    let time = format!("{}.{:09}", node.meta.mtime.sec, node.meta.mtime.nsec);
    match &node.body {
        Body::File { size, content } => {
            let mut bytes = Vec::new();
            each_extent(reader as &dyn PageSource, content, *size, &mut |extent| {
                match extent {
                    Extent::Hole { len } => bytes.resize(bytes.len() + len as usize, 0),
                    Extent::Data { id, .. } => bytes.extend(reader.blob(BlobKind::Data, &id)?),
                }
                Ok(())
            })
            .unwrap();
            json!({ "type": "file", "size": size, "hash": hex(&object_name(&bytes)), "mode": mode, "mtime": time })
        }
        Body::Symlink { target } => json!({ "type": "link", "target": Shown(target).to_string(), "mtime": time }),
        Body::Directory { .. } => json!({ "type": "directory", "mode": mode, "mtime": time }),
        Body::Fifo => json!({ "type": "fifo", "mode": mode, "mtime": time }),
        _ => json!({ "type": "other" }),
    }
}

/// The same of a restored folder, with `snapshot` for the names that are expected.
pub fn manifest_of_folder(root: &Path, snapshot: &Value) -> Value {
    let mut out = Map::new();
    let mut stack: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    while let Some(path) = stack.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let mode = format!("{:o}", meta.mode() & 0o7777);
        let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
        let value = if meta.is_dir() {
            stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            json!({ "type": "directory", "mode": mode, "mtime": time })
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            json!({ "type": "link", "target": Shown(target.as_os_str().as_encoded_bytes()).to_string(), "mtime": time })
        } else if meta.is_file() {
            let bytes = fs::read(&path).unwrap();
            json!({ "type": "file", "size": meta.len(), "hash": hex(&object_name(&bytes)), "mode": mode, "mtime": time })
        } else {
            json!({ "type": "fifo", "mode": mode, "mtime": time })
        };
        let relative = path.strip_prefix(root).unwrap();
        out.insert(Shown(relative.as_os_str().as_encoded_bytes()).to_string(), value);
    }
    let _ = snapshot;
    Value::Object(out)
}

/// Objects of a repository in memory that was made from fixed data under a seed, with the same passphrase whatever the seed.
pub fn seeded_repository(seed: u64) -> BTreeMap<String, Vec<u8>> {
    let store = MemoryStore::default();
    let around = Surroundings {
        clock: Arc::new(FixedClock(Time::from_sec(1_800_000_000))),
        entropy: Arc::new(SeededEntropy::new(seed)),
        cache: None,
        state: None,
    };
    let shared = Arc::new(store.clone());
    let repo = Repository::init(shared, &passphrase(b"same"), Costs::LOW, "label", small_config(), around).unwrap();
    let bytes: Vec<u8> = (0..20_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let input = Input::Stream(Box::new(std::io::Cursor::new(bytes)));
    let sources = vec![SourceRequest { name: Name::new(*b"stream").unwrap(), input }];
    take(&repo, request("alpha/-/stream", sources));
    store.names().into_iter().map(|name| (name.to_string(), store.get(&name, u64::MAX).unwrap())).collect()
}

/// Takes a snapshot.
pub fn take(repo: &Repository, request: Request) -> Report {
    snapshot(repo, request, &Silent).unwrap()
}
