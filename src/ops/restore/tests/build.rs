//! Repositories in memory and the trees in them.

use super::super::*;
use crate::{
    hash::BlobKind,
    id::BlobId,
    index::BlobIndex,
    keys::slot::{Costs, Secret},
    model::{
        config::Config,
        node::{Body, Extent, Meta, Node, Xattr},
        paging::{ListBuilder, TreeBuilder},
        snapshot::{DeviceClass, Head, Snapshot, SourceKind, Work},
    },
    monitor::{Recording, Silent},
    name::Name,
    object::Kind,
    repo::{Lane, Repository, Surroundings},
    seal::SealKey,
    store::memory::MemoryStore,
    world::{FixedClock, SeededEntropy, Time},
};
use rustix::process::{getegid, geteuid};
use std::{
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A stretch of a file.
#[derive(Clone)]
pub enum Piece {
    Data(Vec<u8>),
    Hole(u64),
    /// A blob that is in no pack, or has another length.
    Raw(BlobId, u32),
}

/// An entry of a tree to be.
#[derive(Clone)]
pub enum Thing {
    Dir(Vec<Entry>),
    File(Vec<Piece>),
    Other(Body),
}

#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub thing: Thing,
    pub meta: Meta,
}

impl Entry {
    pub fn mode(mut self, mode: u32) -> Self {
        self.meta.mode = mode;
        self
    }

    pub fn time(mut self, sec: i64) -> Self {
        self.meta.mtime.sec = sec;
        self
    }

    pub fn xattr(mut self, name: &str, value: &str) -> Self {
        self.meta.xattrs.push(Xattr { name: name.into(), value: value.into() });
        self
    }

    /// One of several names of the inode.
    pub fn linked(mut self, inode: u64, links: u32) -> Self {
        (self.meta.inode, self.meta.links) = (inode, links);
        self
    }
}

fn entry(name: impl AsRef<[u8]>, thing: Thing, mode: u32) -> Entry {
    let meta = Meta {
        mode,
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        mtime: Time { sec: 1_500_000_000, nsec: 123_456_789 },
        ctime: Time::default(),
        atime: None,
        inode: 1,
        device: 0,
        links: 1,
        xattrs: Vec::new(),
    };
    Entry { name: name.as_ref().to_vec(), thing, meta }
}

pub fn dir(name: impl AsRef<[u8]>, entries: Vec<Entry>) -> Entry {
    entry(name, Thing::Dir(entries), 0o755)
}

/// A file of one blob; without bytes, an empty one.
pub fn file(name: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Entry {
    let bytes = bytes.as_ref().to_vec();
    pieces(name, if bytes.is_empty() { vec![] } else { vec![Piece::Data(bytes)] })
}

pub fn pieces(name: impl AsRef<[u8]>, pieces: Vec<Piece>) -> Entry {
    entry(name, Thing::File(pieces), 0o644)
}

pub fn link(name: impl AsRef<[u8]>, target: &str) -> Entry {
    entry(name, Thing::Other(Body::Symlink { target: target.into() }), 0o777)
}

pub fn other(name: impl AsRef<[u8]>, body: Body) -> Entry {
    entry(name, Thing::Other(body), 0o600)
}

/// Bytes that do not compress, others for each number.
pub fn noise(number: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// A repository in memory.
pub struct Place {
    pub store: MemoryStore,
    pub repo: Repository,
    pub index: BlobIndex,
    pub base: tempfile::TempDir,
    pub limits: Limits,
}

impl Place {
    /// With small segments and packs.
    pub fn new() -> Self {
        Place::with(Config { segment_target: 8192, pack_target: 256 << 10, ..Config::default() })
    }

    pub fn with(config: Config) -> Self {
        let around = Surroundings {
            clock: Arc::new(FixedClock(Time::from_sec(1_600_000_000))),
            entropy: Arc::new(SeededEntropy::new(7)),
            cache: None,
            state: None,
        };
        let store = MemoryStore::new();
        let secret = Secret::KeyFile(SealKey::new([7; 32]));
        let repo = Repository::init(Arc::new(store.clone()), &secret, Costs::LOW, "", config, around).unwrap();
        let base = tempfile::tempdir().unwrap();
        Place { store, repo, index: BlobIndex::empty(None), base, limits: Limits::default() }
    }

    /// Publishes a snapshot of these sources.
    pub fn snapshot(&self, sources: Vec<Entry>) -> Listed {
        let work = |writer: &crate::repo::Writer<'_>| {
            let (mut data, mut tree) = (writer.lane(Kind::DataPack), writer.lane(Kind::TreePack));
            let mut out = Vec::new();
            for source in sources {
                let mut totals = Totals::default();
                let root = self.node(source, &mut data, &mut tree, &mut totals)?;
                let kind = SourceKind::Tree { path: b"/src".to_vec(), device: DeviceClass::Unknown };
                out.push(Source { kind, root, owner: (None, None), totals, bytes_new: 0, excludes: vec![] });
            }
            data.flush()?;
            tree.flush()?;
            Ok(out)
        };
        let session = self.repo.begin("host", false, &Silent).unwrap();
        let (sources, written) =
            session.write(&self.index, crate::repo::WriteOptions::default(), &Silent, work).unwrap();
        let mut totals = Totals::default();
        sources.iter().for_each(|source| totals.add(&source.totals));
        let time = Time::from_sec(1_600_000_000);
        let snapshot = Snapshot {
            series: "host/-/app".into(),
            head: Head { sequence: 1, previous: None, time, complete: true },
            finished: time,
            host: "host".into(),
            user: "user".into(),
            program: "test".into(),
            sources,
            problems: vec![],
            problem_count: 0,
            totals,
            work: Work::default(),
            tags: vec![],
            description: None,
            configuration: None,
        };
        let id = session.publish(&snapshot, &self.index, &written).unwrap();
        Listed { id, len: 0, snapshot }
    }

    fn node(&self, entry: Entry, data: &mut Lane<'_>, tree: &mut Lane<'_>, totals: &mut Totals) -> Result<Node> {
        let Entry { name, thing, mut meta } = entry;
        let body = match thing {
            Thing::Other(body) => {
                totals.others += 1;
                body
            }
            Thing::File(pieces) => {
                let (mut list, mut size) = (ListBuilder::default(), 0);
                for piece in pieces {
                    let extent = match piece {
                        Piece::Data(bytes) => {
                            Extent::Data { id: data.store(BlobKind::Data, &bytes)?, len: bytes.len() as u32, edge: 0 }
                        }
                        Piece::Hole(len) => Extent::Hole { len },
                        Piece::Raw(id, len) => Extent::Data { id, len, edge: 0 },
                    };
                    size += extent.len();
                    list.push(extent, tree)?;
                }
                totals.files += 1;
                totals.bytes += size;
                Body::File { size, content: list.finish(tree)? }
            }
            Thing::Dir(mut entries) => {
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                let mut builder = TreeBuilder::new(self.repo.keys().page_key());
                for entry in entries {
                    let node = self.node(entry, data, tree, totals)?;
                    builder.push(&node, Some("root"), None, tree)?;
                }
                totals.directories += 1;
                Body::Directory { tree: builder.finish(tree)?, entries: 0, bytes: 0 }
            }
        };
        meta.xattrs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Node { name: Name::new(name).unwrap(), meta, body })
    }

    pub fn target(&self) -> PathBuf {
        self.base.path().join("target")
    }

    pub fn at(&self, path: impl AsRef<[u8]>) -> PathBuf {
        self.target().join(std::ffi::OsStr::from_bytes(path.as_ref()))
    }

    pub fn request(&self) -> Request {
        Request { target: self.target().as_os_str().as_bytes().to_vec(), threads: 3, ..Request::default() }
    }

    pub fn in_place(&self) -> Request {
        Request { in_place: true, ..self.request() }
    }

    pub fn run(&self, listed: &Listed, request: &Request) -> Result<Report> {
        self.run_with(listed, request, &Recording::default())
    }

    pub fn run_with(&self, listed: &Listed, request: &Request, monitor: &dyn Monitor) -> Result<Report> {
        let reader = BlobReader::new(&self.repo, &self.index);
        restore_within(&reader, listed, request, monitor, self.limits)
    }

    /// Restores, and expects no problem.
    pub fn restore(&self, listed: &Listed, request: &Request) -> Report {
        let report = self.run(listed, request).unwrap();
        assert_eq!(report.problems, []);
        assert_eq!(report.problem_count, 0);
        report
    }

    /// Damages the segment that holds a blob.
    pub fn damage(&self, bytes: &[u8]) {
        let id = self.repo.namer().name(BlobKind::Data, bytes);
        let located = self.index.locate(self.index.place(&id).unwrap()).unwrap();
        let name = crate::pack::object_name(&located.pack);
        assert!(self.store.tamper(&name, |pack| pack[located.offset as usize + 20] ^= 1));
    }
}

/// All below a directory, as lines that show what matters: kind, mode, mtime and contents.
pub fn listing(root: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut out = Vec::new();
    let mut stack = vec![root.to_owned()];
    while let Some(path) = stack.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let rest = path.strip_prefix(root).unwrap().as_os_str().to_owned().into_vec();
        let what = if meta.is_dir() {
            stack.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "dir".into()
        } else if meta.is_symlink() {
            format!("-> {}", std::fs::read_link(&path).unwrap().display())
        } else if meta.is_file() {
            blake3::hash(&std::fs::read(&path).unwrap()).to_string()
        } else {
            "special".into()
        };
        let (mode, time) = (meta.mode(), (meta.mtime(), meta.mtime_nsec()));
        out.push(format!("{} {mode:o} {time:?} {} {what}", Shown(&rest), meta.nlink()));
    }
    out.sort();
    out
}

/// True in a mount namespace of its own: a test is run once more for it, and then has nothing left to do outside. Not where one cannot be had.
pub fn in_own_mounts(test: &str) -> bool {
    const INSIDE: &str = "VAULT_TEST_MOUNTED";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let name = format!("ops::restore::tests::{test}");
    let mut inside = std::process::Command::new("unshare");
    inside.arg("-m").arg(std::env::current_exe().unwrap()).args(["--exact", &name]).env(INSIDE, "1");
    if let Ok(output) = inside.output() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success() || !text.contains("panicked"), "{text}");
    }
    false
}
