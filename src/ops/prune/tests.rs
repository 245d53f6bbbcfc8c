use super::*;
use crate::{
    model::{
        gc::Step,
        node::Body,
        snapshot::{Snapshot, Source},
    },
    monitor::{Recording, Silent},
    ops::{
        check::{self, ReadData},
        fixture::{self, Fixture},
        forget::{self, Actor},
        repair,
        snapshot::{Request, snapshot},
    },
    pack::PackEntry,
    repo::{BlobReader, mover::Mover, session::Stay},
    series::Address,
    store::{
        Capabilities, Entry, ObjectName, Put, Store, Upload,
        faulty::{Fault, FaultyStore, Op},
        memory::MemoryStore,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

const SERIES: &str = "h/-/s";
const DAY: i64 = 24 * 3600;

/// What a snapshot holds: files by number, each in a version. Versions of one file lean on one another.
type Contents = BTreeMap<u64, u64>;

fn bytes_of(file: u64, version: u64) -> Vec<u8> {
    let mut bytes = fixture::noise(9000, file);
    bytes.extend(fixture::noise(50, 1000 * file + version));
    bytes
}

fn take(repo: &Repository, contents: &Contents) -> Result<SnapshotId> {
    let source = |(file, version): (&u64, &u64)| fixture::stream(format!("f{file}"), bytes_of(*file, *version));
    let request = Request { threads: 1, ..fixture::request(SERIES, contents.iter().map(source).collect()) };
    snapshot(repo, request, &Silent).map(|report| report.id.unwrap())
}

/// A repository in memory, and what its snapshots hold.
struct World {
    fixture: Fixture,
    now: i64,
    held: BTreeMap<SnapshotId, Contents>,
}

fn at_once() -> Options {
    Options { grace: 0, force: true, threads: 1, ..Options::default() }
}

impl World {
    fn new() -> World {
        World { fixture: Fixture::new(), now: 1_000_000_000, held: BTreeMap::new() }
    }

    fn repo(&self) -> &Repository {
        &self.fixture.repo
    }

    fn snapshot(&mut self, contents: &[(u64, u64)]) -> SnapshotId {
        let contents: Contents = contents.iter().copied().collect();
        let id = take(self.repo(), &contents).unwrap();
        self.held.insert(id, contents);
        id
    }

    fn forget(&mut self, id: SnapshotId) {
        let address = Address::parse(id.to_string().as_bytes()).unwrap();
        let never = |_: &str| Err(Error::usage("no dates here"));
        let plan = forget::of_snapshots(self.repo(), &[address], &never, "asked for", true, &Silent).unwrap();
        let actor = Actor { host: "host".into(), user: "user".into() };
        forget::apply(self.repo(), &plan, &actor, &Silent).unwrap();
        self.held.remove(&id);
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.fixture.store.set_now(self.now);
    }

    fn prune(&self) -> (Plan, Report) {
        prune(self.repo(), &at_once(), &Silent).unwrap()
    }

    fn names(&self, folder: &str) -> BTreeSet<ObjectName> {
        self.fixture.names(folder).into_iter().collect()
    }

    /// All snapshots that were acknowledged are there and hold what they should, and a check finds nothing.
    fn verify(&self) {
        let report = check::check(self.repo(), ReadData::Percent(100.0), 1, &Silent).unwrap();
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
        let index = self.fixture.index();
        let reader = BlobReader::new(self.repo(), &index);
        let listed = self.repo().snapshots(None).unwrap().listed;
        for (id, contents) in &self.held {
            let found = listed.iter().find(|listed| listed.id == *id).unwrap_or_else(|| panic!("{id} is not there"));
            let expected: BTreeMap<Vec<u8>, Vec<u8>> =
                contents.iter().map(|(f, v)| (format!("f{f}").into_bytes(), bytes_of(*f, *v))).collect();
            assert_eq!(bytes_in(&reader, &found.snapshot), expected);
        }
    }

    /// Whatever was left behind goes in the end, and nothing else.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.pass(2 * DAY);
            self.prune();
            self.verify();
        }
        let plan = plan(self.repo(), &at_once(), &Silent).unwrap();
        assert!(plan.remove.is_empty() && plan.dead.is_empty(), "{plan:#?}");
        assert!(self.names("sessions/").is_empty());
    }
}

fn bytes_in(reader: &BlobReader<'_>, snapshot: &Snapshot) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let of = |source: &Source| {
        let Body::File { size, content } = &source.root.body else { panic!() };
        (source.root.name.as_bytes().to_vec(), fixture::contents_of(reader, *size, content).unwrap())
    };
    snapshot.sources.iter().map(of).collect()
}

/// A store that lets something happen just before its n-th operation.
struct Interrupted {
    inner: MemoryStore,
    count: AtomicU64,
    nth: u64,
    event: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Interrupted {
    fn new(inner: MemoryStore, nth: u64, event: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Arc::new(Interrupted { inner, count: AtomicU64::new(0), nth, event: Mutex::new(Some(Box::new(event))) })
    }

    fn step(&self) {
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 == self.nth {
            let event = self.event.lock().unwrap().take();
            event.unwrap()();
        }
    }

    fn happened(&self) -> bool {
        self.event.lock().unwrap().is_none()
    }
}

struct InterruptedUpload<'s>(&'s Interrupted, Box<dyn Upload + 's>);

impl Upload for InterruptedUpload<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.1.append(bytes)
    }
    fn finish(self: Box<Self>, name: &ObjectName) -> Result<Put> {
        self.0.step();
        self.1.finish(name)
    }
}

impl Store for Interrupted {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        self.step();
        self.inner.get(name, max)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        self.step();
        self.inner.get_range(name, offset, out)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        Ok(Box::new(InterruptedUpload(self, self.inner.upload()?)))
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.step();
        self.inner.list(prefix, each)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        self.step();
        self.inner.stat(name)
    }
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.step();
        self.inner.remove(name)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.inner.now()
    }
}

/// Some snapshots of which one was forgotten, and so many prunes after that.
fn forgotten(prunes: usize) -> World {
    let mut world = World::new();
    let old = world.snapshot(&[(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)]);
    world.snapshot(&[(1, 1), (6, 0), (7, 0)]);
    world.forget(old);
    for _ in 0..prunes {
        world.prune();
    }
    world
}

#[test]
fn what_nobody_needs_is_marked_and_then_removed() {
    let mut world = forgotten(0);
    let before = world.names("packs/");
    let options = Options { force: true, ..Options::default() };
    let (planned, first) = prune(world.repo(), &options, &Silent).unwrap();
    assert!(first.marked > 0 && first.removed == Amount::default(), "{first:?}");
    assert!(planned.numbers.dead_bytes > 0 && planned.numbers.condemned.packs == first.marked);
    assert!(world.names("packs/").is_superset(&before));
    world.verify();
    // Too young still; and nothing is marked twice.
    let notes = world.names("gc/");
    world.pass(DAY - 1);
    let (_, again) = prune(world.repo(), &options, &Silent).unwrap();
    assert_eq!((again.removed.packs, again.marked, world.names("gc/")), (0, 0, notes));
    world.pass(1);
    let (_, second) = prune(world.repo(), &options, &Silent).unwrap();
    assert_eq!(second.removed.packs, first.marked);
    world.verify();
    world.settle();
    // The packs that are left hold little beside what is needed.
    let (live, stored) = {
        let plan = plan(world.repo(), &options, &Silent).unwrap();
        (plan.numbers.live.bytes, plan.numbers.dead_bytes)
    };
    assert!(stored * 10 < live, "{stored} of {live}");
}

#[test]
fn a_dry_run_says_what_the_real_one_does_and_changes_nothing() {
    for prunes in 0..3 {
        let world = forgotten(prunes);
        let before = world.fixture.store.names();
        let planned = plan(world.repo(), &at_once(), &Silent).unwrap();
        assert_eq!(world.fixture.store.names(), before);
        let (real, report) = world.prune();
        assert_eq!(planned, real);
        assert_eq!(report.removed, real.numbers.removed);
        assert_eq!(report.moved.packs, real.numbers.moved.packs);
    }
}

#[test]
fn base_blobs_of_what_is_needed_are_needed() {
    let mut world = World::new();
    let old = world.snapshot(&[(1, 0)]);
    world.snapshot(&[(1, 1)]);
    let index = world.fixture.index();
    let leaning = index.runs().iter().any(|run| (0..run.segment_count()).any(|s| run.bases_of(s).count() > 0));
    assert!(leaning, "this test is about segments that lean on others");
    world.forget(old);
    world.settle();
    assert_eq!(world.held.len(), 1);
}

#[test]
fn a_maintainer_prunes_and_a_writer_does_not() {
    let world = forgotten(0);
    let maintainer = world.fixture.as_maintainer();
    prune(&maintainer, &at_once(), &Silent).unwrap();
    let (_, report) = prune(&maintainer, &at_once(), &Silent).unwrap();
    assert!(report.removed.packs > 0);
    world.verify();
    assert!(matches!(prune(&world.fixture.as_writer(), &at_once(), &Silent), Err(Error::NotPermitted { .. })));
}

/// A writer is stopped before each of its operations in turn; meanwhile everything that prune can do is done. It ends with a whole
/// snapshot or with an error.
fn stop_writer_everywhere(prunes_before: usize, expires: bool) {
    let mut outcomes = (0, 0);
    for nth in 1.. {
        let mut world = forgotten(prunes_before);
        let (memory, reopened) =
            (world.fixture.store.clone(), world.fixture.reopen(Arc::new(world.fixture.store.clone())));
        let event = move || {
            for round in 0..3 {
                if expires {
                    memory.set_now(1_000_000_000 + (round + 1) * 2 * DAY);
                }
                prune(&reopened, &at_once(), &Silent).unwrap();
            }
        };
        let store = Interrupted::new(world.fixture.store.clone(), nth, event);
        // Much of it is in packs that only the forgotten snapshot needed.
        let contents: Contents = [(2, 0), (3, 0), (4, 1), (8, 0)].into_iter().collect();
        let taken = {
            let writer = world.fixture.reopen(store.clone());
            if store.happened() {
                continue;
            }
            take(&writer, &contents)
        };
        match taken {
            Ok(id) => {
                world.held.insert(id, contents);
                outcomes.0 += 1;
            }
            Err(Error::Refused { .. }) => outcomes.1 += 1,
            Err(error) => panic!("operation {nth}: {error}"),
        }
        if !store.happened() {
            break;
        }
        world.verify();
        world.now += 10 * DAY;
        world.settle();
    }
    // It must not be that snapshots are only ever refused.
    assert!(outcomes.0 > 10, "{outcomes:?}");
}

#[test]
fn a_writer_that_is_stopped_anywhere_loses_nothing() {
    for prunes_before in 0..3 {
        stop_writer_everywhere(prunes_before, false);
    }
}

#[test]
fn a_writer_that_is_stopped_until_its_session_is_dead_loses_nothing() {
    for prunes_before in 0..3 {
        stop_writer_everywhere(prunes_before, true);
    }
}

#[test]
fn prune_that_is_killed_anywhere_is_finished_by_the_next() {
    for prunes_before in 0..3 {
        for applied in [false, true] {
            for nth in 1.. {
                let mut world = forgotten(prunes_before);
                let faulty = Arc::new(FaultyStore::new(world.fixture.store.clone()));
                let repo = world.fixture.reopen(faulty.clone());
                let fault = Fault::any(nth, ErrorKind::Other).lasting();
                faulty.plan(if applied { fault.applied() } else { fault });
                let done = prune(&repo, &at_once(), &Silent);
                world.verify();
                world.settle();
                if done.is_ok() {
                    break;
                }
            }
        }
    }
}

#[test]
fn writers_and_prunes_killed_at_random_lose_nothing() {
    let mut noise = blake3::Hasher::new().update(b"random").finalize_xof();
    let mut random = |below: u64| {
        let mut bytes = [0; 8];
        noise.fill(&mut bytes);
        u64::from_le_bytes(bytes) % below
    };
    for _ in 0..6 {
        let mut world = World::new();
        world.snapshot(&[(0, 0)]);
        for _ in 0..25 {
            let contents: Contents = (0..1 + random(4)).map(|_| (random(6), random(3))).collect();
            let faulty = Arc::new(FaultyStore::new(world.fixture.store.clone()));
            let repo = world.fixture.reopen(faulty.clone());
            let fault = Fault::any(1 + random(120), ErrorKind::Other).lasting();
            if random(2) == 0 {
                faulty.plan(if random(2) == 0 { fault } else { fault.applied() });
            }
            match random(5) {
                0 | 1 => {
                    if let Ok(id) = take(&repo, &contents) {
                        world.held.insert(id, contents);
                    }
                }
                2 => {
                    let nth = random(world.held.len().max(1) as u64) as usize;
                    if let Some(id) = world.held.keys().nth(nth).copied().filter(|_| world.held.len() > 1) {
                        world.forget(id);
                    }
                }
                _ => {
                    let grace = random(2) as i64 * DAY;
                    let max_unused = (random(2) == 0).then_some(Unused::Bytes(0));
                    drop(prune(&repo, &Options { grace, max_unused, ..at_once() }, &Silent));
                }
            }
            world.pass(random(2) as i64 * DAY / 2);
            world.verify();
        }
        world.settle();
    }
}

#[test]
fn a_snapshot_whose_writer_died_at_the_last_moment_is_finished() {
    let mut world = forgotten(0);
    let faulty = Arc::new(FaultyStore::new(world.fixture.store.clone()));
    let repo = world.fixture.reopen(faulty.clone());
    let contents: Contents = [(9, 0)].into_iter().collect();
    // It fails as the snapshot itself is stored, right after the intent.
    let snapshots = world.names("snapshots/").len();
    let mut nth = 1;
    let id = loop {
        faulty.plan(Fault::on(Op::Finish, nth, ErrorKind::Other).lasting());
        assert!(take(&repo, &contents).is_err());
        faulty.heal();
        let stays = world.repo().stays(&Silent).unwrap();
        let intent = stays.into_iter().find_map(|stay| match stay {
            Stay::Intent { listed, .. } => Some(listed.id),
            Stay::Session { .. } => None,
        });
        if let Some(id) = intent {
            break id;
        }
        nth += 1;
    };
    assert_eq!(world.names("snapshots/").len(), snapshots);
    world.pass(2 * DAY);
    let (planned, report) = world.prune();
    assert_eq!((planned.finished(), &report.published[..]), (1, &[id][..]));
    world.held.insert(id, contents);
    world.settle();
}

#[test]
fn an_intent_of_a_forgotten_snapshot_is_dropped() {
    let mut world = forgotten(0);
    let id = world.snapshot(&[(9, 0)]);
    let name = world.fixture.object(SERIES, &id);
    let bytes = world.fixture.store.get(&name, u64::MAX).unwrap();
    world.fixture.store.put(&crate::repo::session::intent_name(&id), &bytes).unwrap();
    world.forget(id);
    world.pass(2 * DAY);
    let (_, report) = world.prune();
    assert!(report.published.is_empty() && world.names("sessions/").is_empty());
    world.settle();
}

#[test]
fn live_sessions_hold_sweeps_and_dead_ones_do_not() {
    let mut world = forgotten(1);
    let repo = world.repo().clone();
    let session = repo.begin("host", false, &Silent).unwrap();
    // It has seen the mark.
    assert!(world.prune().1.removed.packs > 0);
    let old = world.snapshot(&[(20, 0), (21, 0), (22, 0)]);
    world.forget(old);
    assert!(world.prune().1.marked > 0);
    // This mark it has not.
    assert_eq!(world.prune().1.removed.packs, 0);
    let (store, now) = (world.fixture.store.clone(), world.now);
    store.set_now(now + DAY - 1);
    assert_eq!(world.prune().1.removed.packs, 0);
    store.set_now(now + DAY);
    assert!(world.prune().1.removed.packs > 0);
    assert!(world.names("sessions/").is_empty());
    drop(session);
    world.verify();
}

fn refused(world: &World, options: &Options) -> String {
    let before = world.fixture.store.names();
    let error = prune(world.repo(), options, &Silent).unwrap_err();
    assert_eq!(world.fixture.store.names(), before);
    error.to_string()
}

#[test]
fn what_looks_like_a_loss_is_refused() {
    let careful = Options { force: false, ..at_once() };
    // A snapshot is gone without a tombstone.
    let mut world = World::new();
    let ids: Vec<SnapshotId> = (0..4).map(|n| world.snapshot(&[(3 * n, 0), (3 * n + 1, 0), (3 * n + 2, 0)])).collect();
    let name = world.fixture.object(SERIES, &ids[1]);
    let bytes = world.fixture.store.get(&name, u64::MAX).unwrap();
    world.fixture.store.remove(&name).unwrap();
    assert!(refused(&world, &careful).contains(&ids[1].short()));
    plan(world.repo(), &at_once(), &Silent).unwrap();
    world.fixture.store.put(&name, &bytes).unwrap();
    prune(world.repo(), &careful, &Silent).unwrap();

    // One cannot be read: no force helps.
    assert!(world.fixture.store.tamper(&name, |bytes| bytes[300] ^= 1));
    assert!(refused(&world, &at_once()).contains(&ids[1].to_string()));
    assert!(world.fixture.store.tamper(&name, |bytes| bytes[300] ^= 1));

    // An index object cannot be read.
    let index = world.names("index/").into_iter().next().unwrap();
    assert!(world.fixture.store.tamper(&index, |bytes| bytes[300] ^= 1));
    assert!(refused(&world, &at_once()).contains(index.as_str()));
    assert!(world.fixture.store.tamper(&index, |bytes| bytes[300] ^= 1));

    // All of the index is gone.
    let saved: Vec<(ObjectName, Vec<u8>)> = world
        .names("index/")
        .into_iter()
        .map(|n| (n.clone(), world.fixture.store.get(&n, u64::MAX).unwrap()))
        .collect();
    saved.iter().for_each(|(name, _)| world.fixture.store.remove(name).unwrap());
    assert!(refused(&world, &at_once()).contains("index is empty"));
    // A part of it.
    for (name, bytes) in &saved[1..] {
        world.fixture.store.put(name, bytes).unwrap();
    }
    assert!(refused(&world, &at_once()).contains("can be read"));
    world.fixture.store.put(&saved[0].0, &saved[0].1).unwrap();

    // More than half would go.
    for id in &ids[..3] {
        world.forget(*id);
    }
    assert!(refused(&world, &careful).contains("--force"), "{:?}", plan(world.repo(), &at_once(), &Silent));
    // Everything.
    world.forget(ids[3]);
    assert!(refused(&world, &careful).contains("all snapshots were forgotten"));
    world.prune();
    world.prune();
    assert!(world.names("packs/").is_empty());
}

#[test]
fn a_repository_without_any_sign_of_snapshots_is_left_alone() {
    let mut world = World::new();
    let id = world.snapshot(&[(1, 0)]);
    world.fixture.store.remove(&world.fixture.object(SERIES, &id)).unwrap();
    assert!(refused(&world, &at_once()).contains("no snapshots"));
    assert!(plan(&Fixture::new().repo, &at_once(), &Silent).unwrap().is_empty());
}

#[test]
fn a_tree_that_cannot_be_read_is_named_and_nothing_goes() {
    let fixture = Fixture::new();
    let listed = fixture.snapshot(SERIES, 1, vec![("app", fixture::dir(vec![("f", fixture::file(b"contents"))]))]);
    let index = fixture.index();
    let Body::Directory { tree, .. } = listed.snapshot.sources[0].root.body else { panic!() };
    let located = index.locate(index.place(&tree).unwrap()).unwrap();
    let name = crate::pack::object_name(&located.pack);
    assert!(fixture.store.tamper(&name, |bytes| bytes[located.offset as usize] ^= 1));
    let before = fixture.store.names();
    let error = prune(&fixture.repo, &at_once(), &Silent).unwrap_err().to_string();
    assert!(error.contains(&listed.id.short()) && error.contains("nothing is pruned"), "{error}");
    assert_eq!(fixture.store.names(), before);
}

#[test]
fn foreign_objects_are_told_of_and_left_alone() {
    let mut world = forgotten(0);
    let foreign: Vec<ObjectName> = [
        &format!("packs/ab/ab{}", "0".repeat(62))[..],
        &format!("packs/cd/ab{}", "0".repeat(62)),
        "packs/readme",
        "gc/readme",
        "sessions/readme",
        "other/thing",
    ]
    .into_iter()
    .map(|name| ObjectName::new(name).unwrap())
    .collect();
    for name in &foreign {
        world.fixture.store.put(name, b"not of this repository, and longer than a header").unwrap();
    }
    // Whole, and of nobody who holds the keys.
    let bytes = b"neither session nor note";
    for folder in ["gc", "sessions"] {
        let name = format!("{folder}/{}", crate::id::hex(&crate::hash::object_name(bytes)));
        world.fixture.store.put(&ObjectName::new(name).unwrap(), bytes).unwrap();
    }
    let heard = Recording::default();
    prune(world.repo(), &at_once(), &heard).unwrap();
    assert!(heard.notes().iter().filter(|note| note.contains("left alone")).count() >= 4, "{:?}", heard.notes());
    for _ in 0..3 {
        world.pass(2 * DAY);
        world.prune();
    }
    let names = world.fixture.store.names();
    assert!(foreign.iter().all(|name| names.contains(name)));
    assert_eq!(names.iter().filter(|name| name.as_str().starts_with("sessions/")).count(), 2);
}

#[test]
fn a_newer_format_anywhere_stops_it() {
    for folder in ["keys/", "snapshots/", "index/", "gc/", "sessions/", "packs/"] {
        let world = forgotten(1);
        let store = &world.fixture.store;
        let newer = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[8] = 2;
            bytes
        };
        // A new object of a later version, under its right name, in the place of its like.
        let like = match folder {
            "sessions/" => store.get(&world.names("gc/").into_iter().next().unwrap(), u64::MAX).unwrap(),
            _ => store.get(&world.names(folder).into_iter().next().unwrap(), u64::MAX).unwrap(),
        };
        let bytes = newer(&like);
        let hex = crate::id::hex(&crate::hash::object_name(&bytes));
        let name = match folder {
            "snapshots/" => format!("snapshots/{}/{hex}", world.fixture.tag(SERIES)),
            "packs/" => format!("packs/{}/{hex}", &hex[..2]),
            _ => format!("{folder}{hex}"),
        };
        store.put(&ObjectName::new(name).unwrap(), &bytes).unwrap();
        let before = store.names();
        let done = prune(world.repo(), &at_once(), &Silent);
        assert!(matches!(done, Err(Error::Unsupported { .. })), "{folder}: {done:?}");
        assert_eq!(store.names(), before, "{folder}");
    }
}

#[test]
fn many_small_index_objects_become_few() {
    let mut world = World::new();
    for n in 0..40 {
        world.snapshot(&[(n, 0)]);
    }
    let before = world.names("index/").len();
    assert!(before >= 40);
    world.prune();
    assert!(world.names("index/").len() < 5);
    world.verify();
}

#[test]
fn packs_that_are_damaged_are_not_moved() {
    let mut world = World::new();
    let old = world.snapshot(&[(1, 0), (2, 0), (3, 0), (4, 0)]);
    world.snapshot(&[(1, 0)]);
    world.forget(old);
    let planned = plan(world.repo(), &Options { max_unused: Some(Unused::Bytes(0)), ..at_once() }, &Silent).unwrap();
    let moved = *planned.moves.iter().next().unwrap();
    let name = crate::pack::object_name(&moved);
    // In a stretch that no segment lies in: the pack is not what its name says, and nothing that is needed is lost.
    assert!(world.fixture.store.tamper(&name, |bytes| {
        let end = bytes.len() - 1;
        bytes[end] ^= 1;
    }));
    let options = Options { max_unused: Some(Unused::Bytes(0)), ..at_once() };
    for _ in 0..3 {
        let (_, report) = prune(world.repo(), &options, &Silent).unwrap();
        assert_eq!(report.damaged, [moved]);
    }
    assert!(world.fixture.store.names().contains(&name));
}

#[test]
fn of_a_segment_that_lies_twice_the_copy_in_the_pack_that_no_mark_names_is_kept() {
    let mut world = World::new();
    world.snapshot(&[(1, 0)]);
    world.snapshot(&[(1, 1), (2, 0), (3, 0)]);
    let repo = world.repo();
    let index = world.fixture.index();
    let entries = fixture::listed_packs(repo);
    // The segment that leans on others gets a copy; what it leans on lies in packs that a mark names.
    repo.note(Step::Mark, entries.iter().map(|entry| entry.id).collect()).unwrap();
    let leans = |entry: &PackEntry| entry.directory.segments.iter().any(|segment| !segment.bases.is_empty());
    let damaged = entries.iter().find(|entry| leans(entry)).unwrap();
    let before: BTreeSet<PackId> = repo.list_packs().unwrap().into_keys().collect();
    let mut mover = Mover::new(repo, &index, &Silent);
    assert!(mover.copy(damaged, &|segment| !segment.bases.is_empty()).unwrap());
    mover.finish().unwrap();
    let after = repo.list_packs().unwrap();
    let copy: Vec<_> = after.iter().filter(|(id, _)| !before.contains(*id)).collect();
    let [(copy, len)] = copy[..] else { panic!("{copy:?}") };
    assert!(*len < damaged.len, "the longer one would be kept in any case");
    let planned = plan(repo, &Options { grace: DAY, ..at_once() }, &Silent).unwrap();
    assert!(!planned.dead.contains(copy), "{planned:?}");
}

#[test]
fn a_damaged_snapshot_that_another_was_made_in_the_place_of_holds_nothing_up() {
    for has_next in [false, true] {
        let mut world = World::new();
        let id = world.snapshot(&[(1, 0)]);
        if has_next {
            world.snapshot(&[(1, 1)]);
        }
        let donor = world.fixture.copy().repo;
        let object = world.fixture.object(SERIES, &id);
        assert!(world.fixture.store.tamper(&object, |bytes| bytes[200] ^= 1));
        let careful = Options { force: false, ..at_once() };
        assert!(refused(&world, &careful).contains(object.as_str()));
        let what = repair::What { index: false, packs: false, snapshots: true };
        let request = repair::Request { what, from: Some(&donor), read_data: false, host: "host", dry_run: false };
        let repaired = repair::repair(world.repo(), &request, &Silent).unwrap();
        let [repair::Repaired { new: Some(new), .. }] = repaired.snapshots.as_deref().unwrap() else {
            panic!("{repaired:?}")
        };
        plan(world.repo(), &careful, &Silent).unwrap();
        world.forget(*new);
        assert!(refused(&world, &careful).contains(object.as_str()), "its stand-in has gone");
    }
}

#[test]
fn moves_are_bounded_by_what_the_user_says() {
    let mut world = World::new();
    let old = world.snapshot(&(0..30).map(|n| (n, 0)).collect::<Vec<_>>());
    world.snapshot(&(0..30).filter(|n| n % 2 == 0).map(|n| (n, 0)).collect::<Vec<_>>());
    world.forget(old);
    let with = |max_unused, max_repack| {
        plan(world.repo(), &Options { max_unused, max_repack, ..at_once() }, &Silent).unwrap().numbers
    };
    let all = with(Some(Unused::Bytes(0)), None);
    assert!(all.moved.bytes > 0 && all.unused_after == 0, "{all:?}");
    assert_eq!(with(Some(Unused::Unlimited), None).moved.bytes, 0);
    let some = with(Some(Unused::Bytes(0)), Some(all.moved.bytes / 2));
    assert!(some.moved.bytes > 0 && some.moved.bytes <= all.moved.bytes / 2, "{some:?}");
    let usual = with(None, None);
    assert!(usual.moved.bytes <= 2 * usual.dead_bytes);
}
