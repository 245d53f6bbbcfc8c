//! A repository, what was done to it, and what may be asked of it afterwards.

use crate::{
    chance::Chance,
    disk::{Fault, Objects, Recorder},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tempfile::TempDir;
use vault::{
    error::{Error, Result},
    hash::BlobKind,
    id::SnapshotId,
    keys::{
        Role,
        slot::{Costs, Secret},
    },
    model::{
        annotation::Change,
        config::{ChunkerConfig, Config},
        medium::Marker,
        node::{Body, Content, Extent, Node},
        paging::each_extent,
    },
    monitor::Silent,
    name::Name,
    ops::{
        annotate::annotate,
        copy::{logical, replica},
        forget::{self, Actor},
        parity,
        prune::{self, Options, Unused},
        repair, rewrite,
        snapshot::{Input, Request, SourceRequest, snapshot},
        walk::each_entry,
    },
    parity::Percent,
    repo::{BlobReader, Listed, Repository, Surroundings, Unlock},
    seal::SealKey,
    series::{Address, Series},
    store::{ObjectName, SharedStore, Store, local::LocalStore, memory::MemoryStore},
    world::{FixedClock, SeededEntropy, Time},
};

pub const SERIES: &str = "h/-/s";
pub const DAY: i64 = 24 * 3600;
/// What a snapshot holds: hashes of contents by path, the source's name first.
pub type Contents = BTreeMap<String, [u8; 32]>;
/// Sources by number, each in a version. Versions of one lean on one another. Number 0 is a tree, the others are streams.
pub type Sources = BTreeMap<u64, u64>;

/// One thing that is done to a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Init,
    Snapshot(Sources),
    /// All but the last so many.
    Forget(usize),
    /// Marks, and sweeps what was marked before.
    Prune,
    Tag(u64),
    /// Takes this stream out of all snapshots.
    Rewrite(u64),
    AddKey,
    RemoveKey,
    /// Of the index, or of packs from a copy.
    Repair {
        packs: bool,
    },
    /// Whole objects of a repository with so many snapshots, put one by one or gathered as onto a medium, and the medium's marker.
    Replicate {
        nights: usize,
        gathered: bool,
    },
    /// Snapshots of another repository.
    Copy,
    /// Sidecars for what has none, and second copies.
    Parity,
}

pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

fn bytes_of(stream: u64, version: u64) -> Vec<u8> {
    let mut bytes = noise(5000, stream);
    bytes.extend(noise(50, 1000 * stream + version));
    bytes
}

const VERSIONS: u64 = 4;

/// Files of a version of the tree.
fn files_of(version: u64) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for n in 0..3 {
        files.insert(format!("same-{n}"), noise(700, 900 + n));
        files.insert(format!("sub/changes-{n}"), noise(900, 10 * version + n));
    }
    files.insert("big".into(), bytes_of(77, version));
    files
}

/// A folder with that version.
fn tree(version: u64) -> PathBuf {
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

fn stream_name(stream: u64) -> String {
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

fn request(sources: &Sources) -> Request {
    let source = |(stream, version): (&u64, &u64)| {
        let (name, input) = match stream {
            0 => ("tree".into(), Input::Path(tree(*version).as_os_str().as_encoded_bytes().to_vec())),
            _ => (stream_name(*stream), Input::Stream(Box::new(std::io::Cursor::new(bytes_of(*stream, *version))))),
        };
        SourceRequest { name: Name::new(name.as_bytes()).unwrap(), input }
    };
    let sources = sources.iter().map(source).collect();
    Request { threads: 1, ..Request::new(Series::parse(SERIES).unwrap(), sources, "host", "user") }
}

/// The world around an operation: its place in time and its own random bytes.
#[derive(Debug, Clone)]
pub struct Around {
    pub seed: u64,
    pub time: i64,
    /// A copy of the repository as it was before it was damaged.
    pub copy: Option<MemoryStore>,
}

impl Around {
    fn surroundings(&self) -> Surroundings {
        Surroundings {
            clock: Arc::new(FixedClock(Time::from_sec(self.time))),
            entropy: Arc::new(SeededEntropy::new(self.seed)),
            cache: None,
            state: None,
        }
    }

    pub fn open(&self, store: SharedStore) -> Result<Repository> {
        Repository::open(store, &Unlock::Secret(secret(1)), self.surroundings())
    }

    pub fn open_with_second(&self, store: SharedStore) -> Result<Repository> {
        Repository::open(store, &Unlock::Secret(secret(2)), self.surroundings())
    }
}

fn secret(n: u8) -> Secret {
    Secret::KeyFile(SealKey::new([n; 32]))
}

fn config() -> Config {
    Config {
        chunker: ChunkerConfig { algorithm: 1, min: 512, average: 2048, max: 8192 },
        segment_target: 8192,
        pack_target: 12 << 10,
        ..Config::default()
    }
}

fn actor() -> Actor {
    Actor { host: "host".into(), user: "user".into() }
}

pub fn at_once() -> Options {
    Options { grace: 0, force: true, threads: 1, max_unused: Some(Unused::Bytes(0)), ..Options::default() }
}

/// A repository in memory after so many nights, and what its snapshots hold.
pub fn donor(nights: usize) -> &'static (MemoryStore, BTreeMap<SnapshotId, Contents>) {
    static DONORS: OnceLock<Vec<(MemoryStore, BTreeMap<SnapshotId, Contents>)>> = OnceLock::new();
    let donors = DONORS.get_or_init(|| {
        let (store, mut held) = (MemoryStore::new(), BTreeMap::new());
        let mut out = Vec::new();
        for night in 0..3 {
            let time = 1_690_000_000 + night as i64 * DAY;
            let around = Around { seed: 5_000_000 + night, time, copy: None };
            if night == 0 {
                perform(Arc::new(store.clone()), &Op::Init, &around).unwrap();
            }
            let sources: Sources = [(0, night), (1, 0), (2, night), (30 + night, 0)].into_iter().collect();
            let done = perform(Arc::new(store.clone()), &Op::Snapshot(sources.clone()), &around).unwrap();
            held.insert(done.added[0].0, contents_of(&sources));
            out.push((memory(&objects(&store)), held.clone()));
        }
        out
    });
    &donors[nights - 1]
}

/// All objects of a store.
pub fn objects(store: &dyn Store) -> Objects {
    let mut names = Vec::new();
    let mut keep = |entry: vault::store::Entry| {
        names.push(entry.name);
        Ok(())
    };
    store.list("", &mut keep).unwrap();
    names.into_iter().map(|name| (name.to_string(), store.get(&name, u64::MAX).unwrap().into())).collect()
}

/// True where prune refuses, as it should: there are packs, of a first snapshot that was cut short, and no index that lists them, or neither
/// snapshots nor tombstones. That these are there for all that was acknowledged shows when it is restored.
pub fn is_begun(store: &dyn Store) -> bool {
    let names = objects(store);
    let any = |folder: &str| names.iter().any(|(name, bytes)| name.starts_with(folder) && !bytes.is_empty());
    any("packs/") && (!any("index/") || (!any("snapshots/") && !any("gone/")))
}

/// A store in memory that holds these.
pub fn memory(objects: &Objects) -> MemoryStore {
    let store = MemoryStore::new();
    for (name, bytes) in objects {
        store.put(&ObjectName::new(name.as_str()).unwrap(), bytes).unwrap();
    }
    store
}

/// What an operation has done, by its own account.
#[derive(Debug, Default)]
pub struct Done {
    pub added: Vec<(SnapshotId, Contents)>,
    pub removed: BTreeSet<SnapshotId>,
}

/// Snapshots that an operation may take away, by what lies in the store before it.
pub fn doomed(store: SharedStore, op: &Op, around: &Around) -> Result<BTreeSet<SnapshotId>> {
    let listed = || around.open(store.clone())?.snapshots(None).map(|all| all.listed);
    Ok(match op {
        Op::Forget(keep) => {
            let listed = listed()?;
            listed[..listed.len().saturating_sub(*keep)].iter().map(|one| one.id).collect()
        }
        Op::Rewrite(stream) => {
            let has = |one: &Listed| {
                one.snapshot.sources.iter().any(|source| source.root.name.as_bytes() == stream_name(*stream).as_bytes())
            };
            listed()?.into_iter().filter(has).map(|one| one.id).collect()
        }
        _ => BTreeSet::new(),
    })
}

/// Does it. An operation that was interrupted may be done once more.
pub fn perform(store: SharedStore, op: &Op, around: &Around) -> Result<Done> {
    if *op == Op::Init {
        // What an interrupted one left is no other's. What it was not told that it had made is there already.
        match Repository::identify(&*store) {
            Err(Error::NoRepository { .. }) | Ok(_) => {}
            Err(error) => return Err(error),
        }
        match Repository::init(store, &secret(1), Costs::LOW, "first", config(), around.surroundings()) {
            Err(Error::Refused { .. }) => {}
            made => drop(made?),
        }
        return Ok(Done::default());
    }
    if let Op::Replicate { nights, gathered } = op {
        let (from, held) = donor(*nights);
        let request = replica::Request { from, to: &*store, create: true, dry_run: false, threads: 1 };
        replica::replicate(&request, &Silent)?;
        if *gathered {
            let repo = around.open(store.clone())?;
            let generation = repo.marker_in(&*store)?.map_or(1, |(marker, _)| marker.generation + 1);
            let marker = Marker {
                medium: [7; 16],
                generation,
                name: "stick".into(),
                time: Time::from_sec(around.time),
                host: "host".into(),
                parity: false,
            };
            repo.put_marker(&*store, &marker)?;
        }
        return Ok(Done { added: held.clone().into_iter().collect(), ..Done::default() });
    }
    let repo = around.open(store.clone())?;
    let mut done = Done::default();
    match op {
        Op::Snapshot(sources) => {
            let id = snapshot(&repo, request(sources), &Silent)?.id.expect("no dry run");
            done.added.push((id, contents_of(sources)));
        }
        Op::Forget(_) => {
            done.removed = doomed(store, op, around)?;
            let tag = repo.keys().series_tag(&Series::parse(SERIES)?);
            let wanted = done.removed.iter().map(|id| (tag, *id)).collect();
            let plan = forget::of_ids(&repo, wanted, "asked for", true, &Silent)?;
            let report = forget::apply(&repo, &plan, &actor(), &Silent)?;
            if let Some((_, error)) = report.failed.into_iter().next() {
                return Err(error);
            }
        }
        Op::Prune => match prune::prune(&repo, &at_once(), &Silent) {
            Err(Error::Refused { .. }) if is_begun(repo.store()) => {}
            result => drop(result?),
        },
        Op::Tag(n) => {
            let listed = repo.snapshots(None)?.listed;
            let changes = [Change::Tag { tag: format!("tag-{n}"), on: true }];
            annotate(&repo, listed.get(..1).unwrap_or_default(), &changes, &actor(), &Silent)?;
        }
        Op::Rewrite(stream) => {
            done.removed = doomed(store, op, around)?;
            // One of which nothing would be left is refused, and all of the request with it.
            let listed = repo.snapshots(None)?.listed;
            let refused = listed.iter().any(|one| done.removed.contains(&one.id) && one.snapshot.sources.len() == 1);
            if done.removed.is_empty() || refused {
                return Ok(Done::default());
            }
            let address = Address::parse(format!("{SERIES}:{}", stream_name(*stream)).as_bytes())?;
            let request = rewrite::Request {
                targets: &[rewrite::Target { address, all: true }],
                patterns: Vec::new(),
                reason: None,
                keep_originals: false,
                pinned: false,
                actor: &actor(),
                dry_run: false,
            };
            let before = repo.snapshots(None)?.listed;
            let report = rewrite::rewrite(&repo, &request, &|_| Err(Error::usage("no dates here")), &Silent)?;
            for one in report.rewritten {
                let old = before.iter().find(|listed| listed.id == one.taken.id).expect("it was listed");
                let new = repo.snapshots(None)?.listed.into_iter().find(|listed| Some(listed.id) == one.new);
                let names = |listed: &Listed| {
                    listed.snapshot.sources.iter().map(|source| source.root.clone()).collect::<Vec<_>>()
                };
                let mut expected = names(old);
                expected.retain(|root| root.name.as_bytes() != stream_name(*stream).as_bytes());
                let new = new.expect("what was rewritten is listed");
                assert_eq!(names(&new), expected);
                done.added.push((new.id, contents_in(&repo, &new)?));
            }
        }
        Op::AddKey => {
            if !repo.list_slots()?.0.iter().any(|slot| slot.note.label == "second") {
                repo.add_slot(Role::Owner, &secret(2), Costs::LOW, "second")?;
            }
        }
        Op::RemoveKey => {
            for slot in repo.list_slots()?.0.iter().filter(|slot| slot.note.label == "second") {
                repo.remove_slot(&slot.id.to_string())?;
            }
        }
        Op::Repair { packs } => {
            let copy = around.copy.clone().map(|copy| around.open(Arc::new(copy))).transpose()?;
            let request = repair::Request {
                what: repair::What { index: !packs, packs: *packs, snapshots: false },
                from: copy.as_ref(),
                read_data: *packs,
                host: "host",
                dry_run: false,
            };
            repair::repair(&repo, &request, &Silent)?;
        }
        Op::Copy => {
            let (from, held) = donor(3);
            let seed = 6_000_000 + around.seed;
            let from = Around { seed, ..around.clone() }.open(Arc::new(from.clone()))?;
            let request = logical::Request {
                from: &from,
                to: &repo,
                chosen: None,
                compression: Default::default(),
                host: "host",
                dry_run: false,
                threads: 1,
            };
            let report = logical::copy(&request, &Silent)?;
            let copied = report.copied.into_iter().filter_map(|one| Some((one.id?, held[&one.from].clone())));
            done.added.extend(copied);
        }
        Op::Parity => {
            let request = parity::Addition {
                percent: Percent::new(1000).unwrap(),
                mirror: true,
                drop_missing: true,
                replace: BTreeSet::new(),
            };
            parity::add(repo.store(), &request, &Silent)?;
        }
        Op::Init | Op::Replicate { .. } => unreachable!("done above"),
    }
    Ok(done)
}

/// What must be in a repository, and what must not.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// There is a repository.
    pub made: bool,
    pub held: BTreeMap<SnapshotId, Contents>,
    pub gone: BTreeSet<SnapshotId>,
    /// Snapshots that are being rewritten: each is there, or one that holds the rest of it.
    pub replaced: Vec<(SnapshotId, Contents)>,
    /// The second key opens it, or must not.
    pub second: Option<bool>,
    /// It was damaged on purpose and not repaired yet.
    pub damaged: bool,
}

/// A step of a program: what was done between which changes of the disk, and what holds before, during and after it.
pub struct Step {
    pub op: Op,
    pub around: Around,
    pub end: usize,
    pub during: Expected,
    pub after: Expected,
}

/// A repository on a watched disk.
pub struct World {
    pub dir: TempDir,
    pub recorder: Arc<Recorder>,
    pub around: Around,
    pub expected: Expected,
    pub steps: Vec<Step>,
}

/// Where folders of repositories are made: in memory where there is such a place, since a disk adds nothing.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

impl World {
    pub fn new(seed: u64) -> Self {
        let dir = folder();
        let recorder = Recorder::new(dir.path());
        let around = Around { seed: seed.wrapping_mul(1_000), time: 1_700_000_000, copy: None };
        World { dir, recorder, around, expected: Expected::default(), steps: Vec::new() }
    }

    fn store(&self, op: &Op) -> Result<LocalStore> {
        let store = LocalStore::open_watched(self.dir.path(), self.recorder.clone())?;
        let gathered = matches!(op, Op::Replicate { gathered: true, .. });
        Ok(if gathered { store.gathering() } else { store })
    }

    /// What lies in the folder now.
    pub fn objects(&self) -> Objects {
        objects(&LocalStore::open_untouched(self.dir.path()).unwrap())
    }

    /// Does something, perhaps with a disk that fails.
    pub fn step(&mut self, op: Op, fault: Option<Fault>) -> Result<()> {
        self.around.seed += 1;
        self.around.time += 3600;
        if let Op::Repair { packs } = op {
            self.damage(packs);
        }
        let before = self.objects();
        let mut during = self.expected.clone();
        if self.expected.made {
            for id in doomed(Arc::new(memory(&before)), &op, &self.around).unwrap() {
                let held = during.held.remove(&id);
                if let (Op::Rewrite(stream), Some(mut rest)) = (&op, held) {
                    rest.remove(&stream_name(*stream));
                    during.replaced.push((id, rest));
                }
            }
        }
        if matches!(op, Op::AddKey | Op::RemoveKey) {
            during.second = None;
        }
        self.recorder.fail(fault);
        let result = self.store(&op).and_then(|store| perform(Arc::new(store), &op, &self.around));
        self.recorder.fail(None);
        let end = self.recorder.changes();
        let mut after = Expected { replaced: Vec::new(), ..during.clone() };
        if let Ok(done) = &result {
            after.made = true;
            after.held.extend(done.added.iter().cloned());
            after.gone.extend(&done.removed);
            match op {
                Op::AddKey => after.second = Some(true),
                Op::RemoveKey => after.second = Some(false),
                Op::Repair { .. } => after.damaged = false,
                _ => {}
            }
        }
        self.expected = after.clone();
        self.steps.push(Step { op, around: self.around.clone(), end, during, after });
        result.map(drop)
    }

    /// Takes away what a repair brings back: an index object, or a byte of a pack.
    fn damage(&mut self, packs: bool) {
        // A repair that was killed is tried again on the same damage, with the same copy.
        if self.expected.damaged {
            return;
        }
        let objects = self.objects();
        let folder = if packs { "packs/" } else { "index/" };
        let Some((name, bytes)) = objects.iter().find(|(name, _)| name.starts_with(folder)) else { return };
        self.around.copy = packs.then(|| memory(&objects));
        let mut spoilt = bytes.to_vec();
        spoilt[100] ^= 1;
        self.recorder.damage(name, packs.then_some(spoilt));
        self.expected.damaged = true;
    }

    /// Time passes for what lies in the folder.
    pub fn pass(&mut self, seconds: i64) {
        let mut stack = vec![self.dir.path().to_owned()];
        while let Some(folder) = stack.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
                if entry.file_type().unwrap().is_dir() {
                    stack.push(entry.path());
                    continue;
                }
                let file = std::fs::File::open(entry.path()).unwrap();
                let modified = file.metadata().unwrap().modified().unwrap();
                file.set_modified(modified - std::time::Duration::from_secs(seconds as u64)).unwrap();
            }
        }
    }
}

/// Operations by chance: they begin with a repository, or with a copy of one.
pub fn program(chance: &mut Chance, len: usize) -> Vec<Op> {
    if chance.below(4) == 0 {
        let gathered = chance.below(2) == 0;
        return (1..=3).map(|nights| Op::Replicate { nights, gathered }).collect();
    }
    steps(chance, len)
}

/// Operations by chance on a repository of its own.
pub fn steps(chance: &mut Chance, len: usize) -> Vec<Op> {
    let mut version = 0;
    let mut sources = |chance: &mut Chance| {
        version += 1;
        let mut out: Sources = (0..1 + chance.below(3)).map(|_| (1 + chance.below(6) as u64, version % 5)).collect();
        if chance.below(3) == 0 {
            out.insert(0, version);
        }
        out
    };
    let mut out = vec![Op::Init, Op::Snapshot(sources(chance))];
    while out.len() < len {
        out.push(match chance.below(20) {
            0..=7 => Op::Snapshot(sources(chance)),
            8..=9 => Op::Forget(1 + chance.below(3)),
            10..=14 => Op::Prune,
            15 => Op::Tag(chance.next() % 9),
            16 => Op::Rewrite(1 + chance.below(6) as u64),
            17 => chance.one(&[Op::AddKey, Op::RemoveKey, Op::Parity]).clone(),
            18 => Op::Repair { packs: chance.below(2) == 0 },
            _ => Op::Copy,
        });
    }
    out
}
