//! Repositories in memory for tests, built by hand: many small segments and packs, fixed time and random bytes.

use crate::{
    compress::Compression,
    error::Result,
    hash::{self, BlobKind},
    id::{BlobId, IndexId, SeriesTag, SnapshotId},
    index::{self, BlobIndex, IndexObject},
    keys::{
        Role,
        slot::{Costs, Secret},
    },
    model::{
        config::Config,
        node::{Body, Content, Extent, Meta, Node, Xattr},
        paging::{ListBuilder, TreeBuilder, each_extent},
        snapshot::{DeviceClass, Head, Snapshot, Source, SourceKind, Totals, Work},
    },
    monitor::Silent,
    name::Name,
    object::{self, Kind},
    ops::snapshot::{Input, Request, SourceRequest},
    pack::{self, PackEntry, PackWriter, write::Sealed},
    repo::{
        BlobReader, Lane, Listed, Repository, Session, Surroundings, Unlock, WriteOptions, Writer, Written, snapshots,
    },
    seal::SealKey,
    segment::{BlobEntry, Sealer},
    series::Series,
    store::{ObjectName, SharedStore, Store as _, memory::MemoryStore},
    world::{Clock, FixedClock, SeededEntropy, Time},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A stretch of a file that is to be.
#[derive(Clone)]
pub enum Piece {
    /// One blob.
    Data(Vec<u8>),
    /// A hole.
    Hole(u64),
}

/// What an entry is to be.
#[derive(Clone)]
pub enum What {
    /// A file.
    File(Vec<Piece>),
    /// A directory: names are sorted when it is stored.
    Dir(Vec<(Vec<u8>, Item)>),
    /// What has no contents.
    Other(Body),
}

/// An entry that is to be.
#[derive(Clone)]
pub struct Item {
    /// What it is.
    pub what: What,
    /// What else is known of it.
    pub meta: Meta,
    /// Names of owner and group.
    pub owner: (Option<String>, Option<String>),
}

impl Item {
    fn new(what: What, mode: u32) -> Self {
        let meta = Meta {
            mode,
            uid: 1234,
            gid: 5678,
            mtime: Time { sec: 1_600_000_000, nsec: 123_456_789 },
            ctime: Time::from_sec(1),
            atime: None,
            inode: 1,
            device: 0,
            links: 1,
            xattrs: Vec::new(),
        };
        Item { what, meta, owner: (Some("alice".into()), Some("staff".into())) }
    }

    /// The same with one attribute more; called in the order of the names.
    pub fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.meta.xattrs.push(Xattr { name: name.into(), value: value.into() });
        self
    }

    /// The same as one of several names of an inode.
    pub fn linked(mut self, inode: u64, links: u32) -> Self {
        (self.meta.inode, self.meta.links) = (inode, links);
        self
    }
}

/// A file of one blob, or none when empty.
pub fn file(bytes: &[u8]) -> Item {
    pieces(if bytes.is_empty() { vec![] } else { vec![Piece::Data(bytes.to_vec())] })
}

/// A file of these pieces.
pub fn pieces(pieces: Vec<Piece>) -> Item {
    Item::new(What::File(pieces), 0o640)
}

/// A directory.
pub fn dir<N: AsRef<[u8]>>(entries: Vec<(N, Item)>) -> Item {
    let entries = entries.into_iter().map(|(name, item)| (name.as_ref().to_vec(), item)).collect();
    Item::new(What::Dir(entries), 0o750)
}

/// An entry without contents.
pub fn other(body: Body) -> Item {
    Item::new(What::Other(body), 0o644)
}

/// Bytes that do not compress.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// A source of bytes that the caller holds.
pub fn stream(name: impl AsRef<[u8]>, bytes: Vec<u8>) -> SourceRequest {
    let name = Name::new(name.as_ref()).expect("name");
    SourceRequest { name, input: Input::Stream(Box::new(std::io::Cursor::new(bytes))) }
}

/// A source that is a file or directory.
pub fn path(name: impl AsRef<[u8]>, path: &Path) -> SourceRequest {
    let name = Name::new(name.as_ref()).expect("name");
    SourceRequest { name, input: Input::Path(path.as_os_str().as_encoded_bytes().to_vec()) }
}

/// A request for a snapshot of these sources, made by two threads whatever the machine.
pub fn request(series: &str, sources: Vec<SourceRequest>) -> Request {
    Request { threads: 2, ..Request::new(Series::parse(series).expect("series"), sources, "host", "user") }
}

/// What a file holds, holes as zeros.
pub fn contents_of(reader: &BlobReader<'_>, size: u64, content: &Content) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    each_extent(reader, content, size, &mut |extent| {
        match extent {
            Extent::Hole { len } => bytes.resize(bytes.len() + len as usize, 0),
            Extent::Data { id, .. } => bytes.extend(reader.blob(BlobKind::Data, &id)?),
        }
        Ok(())
    })?;
    assert_eq!(bytes.len() as u64, size);
    Ok(bytes)
}

/// All packs that the index lists, as it lists them.
pub fn listed_packs(repo: &Repository) -> Vec<PackEntry> {
    let (index, unreadable) = repo.load_index(true).expect("index");
    assert!(unreadable.is_empty(), "{unreadable:?}");
    let sources: Vec<_> = index.runs().iter().flat_map(|run| run.sources()).map(|source| source.id).collect();
    sources.iter().flat_map(|id| repo.read_index_object(id).expect("index object").packs).collect()
}

/// A repository in memory.
pub struct Fixture {
    pub store: MemoryStore,
    pub repo: Repository,
}

const OWNER: [u8; 32] = [1; 32];

fn around(seed: u64) -> Surroundings {
    Surroundings {
        clock: Arc::new(FixedClock(Time::from_sec(1_700_000_000))),
        entropy: Arc::new(SeededEntropy::new(seed)),
        cache: None,
        state: None,
    }
}

/// Whoever opens it later draws other random bytes: objects that differ must not get one name.
fn of_another() -> Surroundings {
    static OPENED: AtomicU64 = AtomicU64::new(43);
    around(OPENED.fetch_add(1, Ordering::Relaxed))
}

impl Fixture {
    /// An empty repository with small segments and packs, which a key file opens.
    pub fn new() -> Self {
        Self::with_seed(42)
    }

    /// The same with other keys.
    pub fn with_seed(seed: u64) -> Self {
        Self::with_packs(seed, 24 << 10)
    }

    /// The same with packs of another length.
    pub fn with_packs(seed: u64, pack_target: u32) -> Self {
        let store = MemoryStore::new();
        let config = Config { segment_target: 8192, pack_target, ..Config::default() };
        let secret = Secret::KeyFile(SealKey::new(OWNER));
        let repo =
            Repository::init(Arc::new(store.clone()), &secret, Costs::LOW, "test", config, around(seed)).expect("init");
        Fixture { store, repo }
    }

    /// The same repository opened in the maintainer's role.
    pub fn as_maintainer(&self) -> Repository {
        self.opened_by(Role::Maintainer)
    }

    /// The same repository opened in a writer's role.
    pub fn as_writer(&self) -> Repository {
        self.opened_by(Role::Writer)
    }

    fn opened_by(&self, role: Role) -> Repository {
        let (secret, label) = (Secret::KeyFile(SealKey::new([100 + role as u8; 32])), role.to_string());
        let (slots, _) = self.repo.list_slots().expect("slots");
        if !slots.iter().any(|slot| slot.note.label == label) {
            self.repo.add_slot(role, &secret, Costs::LOW, &label).expect("slot");
        }
        Repository::open(Arc::new(self.store.clone()), &Unlock::Secret(secret), of_another()).expect("open")
    }

    /// The same repository opened through another store, which holds the same objects.
    pub fn reopen(&self, store: SharedStore) -> Repository {
        let secret = Secret::KeyFile(SealKey::new(OWNER));
        Repository::open(store, &Unlock::Secret(secret), of_another()).expect("open")
    }

    /// The same repository, opened at a time, with a folder for derived tables.
    pub fn reopen_at(&self, sec: i64, cache: Option<std::path::PathBuf>) -> Repository {
        self.reopen_by(Arc::new(FixedClock(Time::from_sec(sec))), cache)
    }

    /// The same by a clock.
    pub fn reopen_by(&self, clock: Arc<dyn Clock>, cache: Option<std::path::PathBuf>) -> Repository {
        let secret = Secret::KeyFile(SealKey::new(OWNER));
        let around = Surroundings { clock, cache, ..of_another() };
        Repository::open(Arc::new(self.store.clone()), &Unlock::Secret(secret), around).expect("open")
    }

    /// Another repository of the same objects.
    pub fn copy(&self) -> Fixture {
        let store = MemoryStore::new();
        for name in self.store.names() {
            store.put(&name, &self.store.get(&name, u64::MAX).expect("get")).expect("put");
        }
        self.with_store(store)
    }

    /// The same repository over another store, which holds the same objects.
    pub fn with_store(&self, store: MemoryStore) -> Fixture {
        Fixture { repo: self.reopen(Arc::new(store.clone())), store }
    }

    /// Names of the objects whose name begins like that, in order.
    pub fn names(&self, prefix: &str) -> Vec<ObjectName> {
        self.store.names().into_iter().filter(|name| name.as_str().starts_with(prefix)).collect()
    }

    /// The name that a series has in the store.
    pub fn tag(&self, series: &str) -> SeriesTag {
        self.repo.keys().series_tag(&Series::parse(series).expect("series"))
    }

    /// The object that a snapshot of a series is.
    pub fn object(&self, series: &str, id: &SnapshotId) -> ObjectName {
        snapshots::object_name(&self.tag(series), id)
    }

    /// All that is in the index now.
    pub fn index(&self) -> BlobIndex {
        let (index, unreadable) = self.repo.load_index(true).expect("index");
        assert!(unreadable.is_empty(), "{unreadable:?}");
        index
    }

    /// Stores a snapshot of these sources, taken at second `time`.
    pub fn snapshot(&self, series: &str, time: i64, sources: Vec<(&str, Item)>) -> Listed {
        let session = self.begin();
        let index = self.index();
        let work = |writer: &Writer<'_>| {
            let (mut data, mut tree) = (writer.lane(Kind::DataPack), writer.lane(Kind::TreePack));
            let mut out = Vec::new();
            for (name, item) in &sources {
                let mut totals = Totals::default();
                let root = self.store_item(name.as_bytes(), item, &mut data, &mut tree, &mut totals);
                let kind = SourceKind::Tree { path: b"/src".to_vec(), device: DeviceClass::Unknown };
                out.push(Source { kind, root, owner: item.owner.clone(), totals, bytes_new: 0, excludes: Vec::new() });
            }
            data.flush()?;
            tree.flush()?;
            out.sort_by(|a, b| a.root.name.cmp(&b.root.name));
            Ok(out)
        };
        let (sources, written) = session.write(&index, WriteOptions::default(), &Silent, work).expect("write");
        self.publish(session, &index, series, time, sources, &written)
    }

    fn begin(&self) -> Session<'_> {
        self.repo.begin("host", false, &Silent).expect("session")
    }

    fn publish(
        &self,
        session: Session<'_>,
        index: &BlobIndex,
        series: &str,
        time: i64,
        sources: Vec<Source>,
        written: &Written,
    ) -> Listed {
        let newest = self.repo.series_end(&Series::parse(series).expect("series")).expect("end").last;
        let mut totals = Totals::default();
        sources.iter().for_each(|source| totals.add(&source.totals));
        let (previous, sequence) = newest.map_or((None, 1), |(id, head)| (Some(id), head.sequence + 1));
        let snapshot = Snapshot {
            series: series.into(),
            head: Head { sequence, previous, time: Time::from_sec(time), complete: true },
            finished: Time::from_sec(time),
            host: "host".into(),
            user: "user".into(),
            program: "test".into(),
            sources,
            problems: vec![],
            problem_count: 0,
            totals,
            work: Work { bytes_new: written.bytes_new, bytes_stored: written.bytes_stored, ..Work::default() },
            tags: vec![],
            description: None,
            configuration: None,
        };
        let id: SnapshotId = session.publish(&snapshot, index, written).expect("publish");
        Listed { id, len: 0, snapshot }
    }

    /// Publishes a snapshot whose sources are these, whatever they lead to.
    pub fn forge_snapshot(&self, series: &str, sources: Vec<(&str, Body)>) -> Listed {
        let (session, index) = (self.begin(), self.index());
        let (_, written) = session.write(&index, WriteOptions::default(), &Silent, |_| Ok(())).expect("write");
        let sources = sources.into_iter().map(|(name, body)| {
            let meta = Item::new(What::Dir(vec![]), 0o700).meta;
            let root = Node { name: Name::new(name.as_bytes()).expect("name"), meta, body };
            let kind = SourceKind::Tree { path: b"/src".to_vec(), device: DeviceClass::Unknown };
            Source { kind, root, owner: (None, None), totals: Totals::default(), bytes_new: 0, excludes: Vec::new() }
        });
        self.publish(session, &index, series, 1, sources.collect(), &written)
    }

    /// Stores bytes as a page, whatever they are.
    pub fn store_page(&self, kind: BlobKind, bytes: &[u8]) -> BlobId {
        let work = |writer: &Writer<'_>| {
            let mut lane = writer.lane(Kind::TreePack);
            let id = lane.store(kind, bytes)?;
            lane.flush()?;
            Ok(id)
        };
        self.begin().write(&self.index(), WriteOptions::default(), &Silent, work).expect("write").0
    }

    /// Stores and lists a data pack of one segment by hand: blobs under ids that need not be theirs, leaning on other blobs.
    pub fn forge_pack(&self, blobs: &[(BlobId, &[u8])], bases: &[(BlobId, &[u8])]) -> ObjectName {
        let (keys, kind) = (self.repo.keys(), Kind::DataPack);
        let (key, wrapped) = keys.fresh_key(kind, self.repo.entropy()).expect("key");
        let concat = |of: &[(BlobId, &[u8])]| of.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect::<Vec<u8>>();
        let header = object::header(kind, keys.repo());
        let mut sealer = Sealer::new(Compression::default());
        let prefix = concat(bases);
        let envelope = crate::segment::Envelope { header: &header, key: &key, prefix: &prefix };
        let mut bytes = Vec::new();
        let recipe = sealer.seal(envelope, 0, &concat(blobs), &mut bytes).expect("seal");
        let entry = |(id, bytes): &(BlobId, &[u8])| BlobEntry { id: *id, kind: 1, len: bytes.len() as u32 };
        let sealed = Sealed {
            bytes,
            recipe,
            key: wrapped,
            generation: u8::from(!bases.is_empty()),
            bases: bases.iter().map(|(id, _)| *id).collect(),
            blobs: blobs.iter().map(entry).collect(),
        };
        let mut pack = PackWriter::new(self.repo.store(), kind, keys.repo()).expect("pack");
        pack.add(sealed).expect("segment");
        let entry = pack.finish(&keys.directory_key(), self.repo.entropy()).expect("finish");
        let name = pack::object_name(&entry.id);
        let index = IndexObject { packs: vec![entry] };
        let bytes = index.seal(keys.repo(), &keys.index_key(), self.repo.entropy()).expect("index");
        let index_name = index::object::object_name(&IndexId(hash::object_name(&bytes)));
        self.store.put(&index_name, &bytes).expect("put");
        name
    }

    fn store_item(
        &self,
        name: &[u8],
        item: &Item,
        data: &mut Lane<'_>,
        tree: &mut Lane<'_>,
        totals: &mut Totals,
    ) -> Node {
        let body = match &item.what {
            What::Other(body) => {
                totals.others += 1;
                body.clone()
            }
            What::File(pieces) => {
                let (mut list, mut size) = (ListBuilder::default(), 0);
                for piece in pieces {
                    let extent = match piece {
                        Piece::Hole(len) => Extent::Hole { len: *len },
                        Piece::Data(bytes) => {
                            let id = data.store(BlobKind::Data, bytes).expect("blob");
                            Extent::Data { id, len: bytes.len() as u32, edge: 0 }
                        }
                    };
                    size += extent.len();
                    list.push(extent, tree).expect("extent");
                }
                totals.files += 1;
                totals.bytes += size;
                let content: Content = list.finish(tree).expect("list");
                Body::File { size, content }
            }
            What::Dir(entries) => {
                let mut entries: Vec<&(Vec<u8>, Item)> = entries.iter().collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                let mut builder = TreeBuilder::new(self.repo.keys().page_key());
                let (mut count, mut bytes) = (0, 0);
                totals.directories += 1;
                for (name, item) in entries {
                    let node = self.store_item(name, item, data, tree, totals);
                    count += node.entries();
                    bytes += node.bytes();
                    let owner = (item.owner.0.as_deref(), item.owner.1.as_deref());
                    builder.push(&node, owner.0, owner.1, tree).expect("node");
                }
                let root = builder.finish(tree).expect("tree");
                Body::Directory { tree: root, entries: count, bytes }
            }
        };
        Node { name: Name::new(name).expect("name"), meta: item.meta.clone(), body }
    }
}
