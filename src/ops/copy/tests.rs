//! Copies of repositories in memory, whole and interrupted.

use super::{
    logical,
    replica::{self, Request, replicate, was_pruned},
};
use crate::{
    compress::Compression,
    error::{Error, Result},
    hash::{self, BlobKind},
    id::SnapshotId,
    model::{
        annotation::Change,
        gc::Step,
        node::{Body, Extent, Node},
        paging::each_extent,
    },
    monitor::{Recording, Silent},
    ops::{
        annotate::annotate,
        check::{self, ReadData, keyless},
        fixture::{self, Fixture, Piece},
        forget::Actor,
        walk::each_entry,
    },
    repo::{BlobReader, Listed, Repository, Unlock, mover::Mover, snapshots},
    series::Series,
    store::{
        Capabilities, Entry, ObjectName, Put, SharedStore, Store, Upload,
        faulty::{Fault, FaultyStore, Op},
        memory::MemoryStore,
    },
    world::{KernelEntropy, SystemClock},
};
use std::{
    collections::BTreeMap,
    io::ErrorKind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

const SERIES: &str = "h/-/app";

fn grown(night: u64) -> Vec<(&'static str, fixture::Item)> {
    let mut files = vec![("same", fixture::file(&fixture::noise(20_000, 1)))];
    files.push(("changes", fixture::file(&fixture::noise(9_000, 100 + night))));
    let sub =
        fixture::dir(vec![("deep", fixture::file(b"deep")), ("hole", fixture::pieces(vec![Piece::Hole(1 << 20)]))]);
    files.push(("sub", sub));
    vec![("app", fixture::dir(files)), ("db", fixture::file(&fixture::noise(5_000, 200 + night)))]
}

pub(super) fn three_nights() -> Fixture {
    let fixture = Fixture::new();
    (1..=3).for_each(|night| drop(fixture.snapshot(SERIES, 1_000 + night as i64, grown(night))));
    fixture
}

pub(super) fn into<'a>(from: &'a dyn Store, to: &'a dyn Store) -> Request<'a> {
    Request { from, to, create: true, dry_run: false, threads: 2 }
}

/// Everything that a repository's snapshots hold, by series, number, and path.
fn contents(repo: &Repository) -> BTreeMap<String, Vec<u8>> {
    let (index, unreadable) = repo.load_index(true).unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    let reader = BlobReader::new(repo, &index);
    let mut out = BTreeMap::new();
    let all = repo.snapshots(None).unwrap();
    assert!(all.unreadable.is_empty(), "{:?}", all.unreadable);
    for Listed { snapshot, .. } in all.listed {
        for source in &snapshot.sources {
            let at = format!("{} {} {}", snapshot.series, snapshot.head.sequence, source.root.name);
            let mut take = |path: &[u8], node: &Node| {
                let mut bytes = format!("{:?} ", node.meta).into_bytes();
                match &node.body {
                    Body::File { size, content } => each_extent(&reader, content, *size, &mut |extent| {
                        match extent {
                            Extent::Data { id, .. } => bytes.extend(reader.blob(BlobKind::Data, &id)?),
                            Extent::Hole { len } => bytes.extend(format!("hole of {len}").into_bytes()),
                        }
                        Ok(())
                    })?,
                    Body::Directory { entries, bytes: sum, .. } => {
                        bytes.extend(format!("{entries} {sum}").into_bytes())
                    }
                    body => bytes.extend(format!("{body:?}").into_bytes()),
                }
                out.insert(format!("{at}/{}", String::from_utf8_lossy(path)), bytes);
                Ok(())
            };
            take(b"", &source.root).unwrap();
            if let Body::Directory { tree, .. } = source.root.body {
                each_entry(&reader, tree, b"", &mut take).unwrap();
            }
        }
    }
    out
}

#[track_caller]
pub(super) fn is_clean(repo: &Repository) {
    let report = check::check(repo, ReadData::Percent(100.0), 1, &Silent).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Objects that a copy is made of.
pub(super) fn objects(store: &MemoryStore) -> BTreeMap<ObjectName, Vec<u8>> {
    let names = store.names().into_iter().filter(|name| !name.as_str().starts_with("sessions/"));
    names.map(|name| (name.clone(), store.get(&name, 1 << 30).unwrap())).collect()
}

pub(super) fn reopened(fixture: &Fixture, store: &MemoryStore) -> Repository {
    fixture.reopen(Arc::new(store.clone()))
}

#[test]
fn a_replica_has_the_same_bytes_and_the_same_keys() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert!(report.created && report.damaged.is_empty());
    assert_eq!((report.snapshots, report.objects), (3, fixture.store.names().len() as u64));
    assert_eq!(objects(&to), objects(&fixture.store));
    let copy = reopened(&fixture, &to);
    assert_eq!(contents(&copy), contents(&fixture.repo));
    is_clean(&copy);

    fixture.snapshot(SERIES, 2_000, grown(4));
    let before = objects(&to);
    let dry = replicate(&Request { dry_run: true, ..into(&fixture.store, &to) }, &Silent).unwrap();
    assert_eq!(objects(&to), before);
    let report = replicate(&Request { create: false, ..into(&fixture.store, &to) }, &Silent).unwrap();
    assert_eq!((report.created, report.snapshots), (false, 1));
    assert_eq!((dry.objects, dry.bytes, dry.packs), (report.objects, report.bytes, report.packs));
    assert_eq!(objects(&to), objects(&fixture.store));
    assert!(!to.names().iter().any(|name| name.as_str().starts_with("sessions/")), "the intents are gone");
    let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!((report.objects, report.bytes, report.snapshots), (0, 0, 0));
}

fn forget(repo: &Repository, listed: &Listed) {
    use crate::model::tombstone::{GoneHead, Tombstone};
    let series = repo.keys().series_tag(&Series::parse(&listed.snapshot.series).unwrap());
    let head = GoneHead { series, snapshot: listed.id, head: listed.snapshot.head.clone() };
    let (host, user, reason) = ("h".to_owned(), "u".to_owned(), "test".to_owned());
    repo.bury(&Tombstone { head, time: repo.clock().now(), host, user, reason }).unwrap();
    repo.store().remove(&snapshots::object_name(&series, &listed.id)).unwrap();
}

fn ids(repo: &Repository) -> Vec<SnapshotId> {
    repo.snapshots(None).unwrap().listed.into_iter().map(|listed| listed.id).collect()
}

#[test]
fn a_deletion_is_not_passed_on_and_none_is_undone() {
    let fixture = Fixture::new();
    let to = MemoryStore::new();
    let nights: Vec<Listed> = (1..=2).map(|n| fixture.snapshot(SERIES, n, grown(n as u64))).collect();
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let copy = reopened(&fixture, &to);
    // Forgotten here: it stays there. Forgotten there: it does not come back. Forgotten before it ever came: it is explained.
    forget(&fixture.repo, &nights[0]);
    forget(&copy, &nights[1]);
    let third = fixture.snapshot(SERIES, 3, grown(3));
    let fourth = fixture.snapshot(SERIES, 4, grown(4));
    forget(&fixture.repo, &third);
    let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!((report.snapshots, report.forgotten), (1, 1));
    assert_eq!(ids(&copy), [nights[0].id, fourth.id]);
    assert_eq!(ids(&fixture.repo), [nights[1].id, fourth.id]);
    let gone = copy.tombstone_names(None).unwrap().into_iter().map(|(_, id)| id).collect::<Vec<_>>();
    assert!(gone.contains(&nights[1].id) && gone.contains(&third.id) && !gone.contains(&nights[0].id));
    assert_eq!(copy.look(None, false).unwrap(), [], "no gap");
}

fn tombstone_of(repo: &Repository, listed: &Listed) -> ObjectName {
    let series = repo.keys().series_tag(&Series::parse(&listed.snapshot.series).unwrap());
    ObjectName::of_parts(&["gone", &series.to_string(), &listed.id.to_string()])
}

#[test]
fn junk_beside_a_living_snapshot_hides_it_from_no_copy() {
    let (fixture, to) = (Fixture::new(), MemoryStore::new());
    let nights: Vec<Listed> = (1..=2).map(|n| fixture.snapshot(SERIES, n, grown(n as u64))).collect();
    let junk = tombstone_of(&fixture.repo, &nights[0]);
    fixture.store.put(&junk, b"junk").unwrap();
    let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!((report.snapshots, report.forgotten), (2, 0));
    assert_eq!(to.stat(&junk).unwrap(), None, "junk is not copied");
    let third = fixture.snapshot(SERIES, 3, grown(3));
    to.put(&tombstone_of(&fixture.repo, &third), b"junk").unwrap();
    assert_eq!(replicate(&into(&fixture.store, &to), &Silent).unwrap().snapshots, 1);
    is_clean_of_snapshots(&fixture, &to, 3);
}

fn is_clean_of_snapshots(fixture: &Fixture, to: &MemoryStore, count: usize) {
    assert_eq!(to.names().iter().filter(|name| name.as_str().starts_with("snapshots/")).count(), count);
    assert_eq!(contents(&reopened(fixture, to)).len(), contents(&fixture.repo).len());
}

#[test]
fn a_tombstone_of_the_copy_goes_only_when_it_is_damaged() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let copy = reopened(&fixture, &to);
    let night = fixture.repo.snapshots(None).unwrap().listed.remove(0);
    forget(&fixture.repo, &night);
    forget(&copy, &night);
    let name = tombstone_of(&fixture.repo, &night);
    // Another one that ends with its sum, and is longer.
    let theirs = fixture.store.get(&name, 1 << 20).unwrap();
    let mut longer = [&theirs[..theirs.len() - 32], &[7; 9]].concat();
    let sum = hash::object_name(&longer);
    longer.extend_from_slice(&sum);
    fixture.store.tamper(&name, |bytes| *bytes = longer.clone());
    let own = to.get(&name, 1 << 20).unwrap();
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!(to.get(&name, 1 << 20).unwrap(), own);
    to.tamper(&name, |bytes| bytes.truncate(50));
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!(to.get(&name, 1 << 20).unwrap(), longer, "a damaged one is replaced");
}

#[test]
fn a_source_that_went_away_is_not_damaged() {
    let (fixture, to) = (Fixture::new(), MemoryStore::new());
    (1..=8).for_each(|n| drop(fixture.snapshot(SERIES, n, grown(n as u64))));
    let gone = Unreadable { inner: fixture.store.clone(), spare: 1000 };
    let error = replicate(&into(&gone, &to), &Silent).unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error}");
    assert!(!to.names().iter().any(|name| name.as_str().starts_with("snapshots/")), "{:?}", to.names());
    // Single bad sectors are.
    let bad = Unreadable { inner: fixture.store.clone(), spare: 1 };
    let report = replicate(&into(&bad, &to), &Silent).unwrap();
    assert_eq!((report.damaged.len(), report.snapshots), (1, 8));
}

#[test]
fn a_damaged_snapshot_of_a_pruned_copy_is_stored_anew() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let copy = reopened(&fixture, &to);
    copy.note(crate::model::gc::Step::Mark, vec![]).unwrap();
    let name = to.names().into_iter().find(|name| name.as_str().starts_with("snapshots/")).unwrap();
    let whole = to.get(&name, 1 << 20).unwrap();
    to.tamper(&name, |bytes| bytes[60] ^= 1);
    let report = logical(&fixture.repo, &copy, None).unwrap();
    assert_eq!((report.copied.len(), report.present), (1, 2));
    assert_eq!(to.get(&name, 1 << 20).unwrap(), whole);
    is_clean(&copy);
}

#[test]
fn keys_tombstones_and_pins_come_to_a_pruned_copy_too() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let copy = reopened(&fixture, &to);
    copy.note(Step::Mark, vec![]).unwrap();
    let nights = fixture.repo.snapshots(None).unwrap().listed;
    let actor = Actor { host: "h".into(), user: "u".into() };
    let pin = [Change::Pin { on: true, reason: Some("later".into()) }];
    annotate(&fixture.repo, &nights[0..1], &pin, &actor, &Silent).unwrap();
    let slot = ObjectName::of_parts(&["keys", &hash_name(&fixture)]);
    let fourth = fixture.snapshot(SERIES, 2_000, grown(4));
    let fifth = fixture.snapshot(SERIES, 3_000, grown(5));
    forget(&fixture.repo, &fourth);
    to.remove(&slot).unwrap();
    let report = logical(&fixture.repo, &copy, None).unwrap();
    assert_eq!(report.copied.iter().map(|one| one.id).collect::<Vec<_>>(), [Some(fifth.id)], "byte for byte");
    assert!(to.stat(&slot).unwrap().is_some() && to.stat(&tombstone_of(&copy, &fourth)).unwrap().is_some());
    let notes = |store: &MemoryStore| -> Vec<ObjectName> {
        store.names().into_iter().filter(|name| name.as_str().starts_with("notes/")).collect()
    };
    assert_eq!((notes(&to).len(), notes(&to)), (1, notes(&fixture.store)));
    assert_eq!(copy.look(None, false).unwrap(), [], "no gap");
    is_clean(&copy);
}

fn hash_name(fixture: &Fixture) -> String {
    fixture.store.names().iter().find(|name| name.as_str().starts_with("keys/")).unwrap().leaf().to_owned()
}

#[test]
fn damaged_objects_are_told_and_not_copied() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    let pack = fixture.store.names().into_iter().find(|name| name.as_str().starts_with("packs/")).unwrap();
    fixture.store.tamper(&pack, |bytes| bytes[100] ^= 1);
    let heard = Recording::default();
    let report = replicate(&into(&fixture.store, &to), &heard).unwrap();
    assert_eq!(report.damaged.keys().collect::<Vec<_>>(), [pack.as_str()]);
    assert!(heard.problems()[0].contains(pack.as_str()));
    assert_eq!(to.stat(&pack).unwrap(), None);
    assert_eq!(to.names().len() + 1, fixture.store.names().len());
    // It is whole again: the next run brings it.
    fixture.store.tamper(&pack, |bytes| bytes[100] ^= 1);
    assert_eq!(replicate(&into(&fixture.store, &to), &Silent).unwrap().objects, 1);
    is_clean(&reopened(&fixture, &to));
}

#[test]
fn what_was_cut_short_in_the_copy_is_healed_and_what_is_cut_here_is_not_passed_on() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let whole = objects(&to);
    for kind in ["packs/", "index/", "snapshots/", "keys/"] {
        let name = to.names().into_iter().find(|name| name.as_str().starts_with(kind)).unwrap();
        to.tamper(&name, |bytes| bytes.truncate(bytes.len() / 2));
        let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
        assert_eq!((report.replaced, report.objects), (1, 1), "{kind}");
        assert_eq!(objects(&to), whole, "{kind}");
        fixture.store.tamper(&name, |bytes| bytes.truncate(bytes.len() / 2));
        let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
        assert_eq!((report.replaced, report.damaged.len()), (0, 1), "{kind}");
        assert_eq!(objects(&to), whole, "{kind}");
        fixture.store.tamper(&name, |bytes| *bytes = whole[&name].clone());
    }
}

#[test]
fn other_peoples_places_are_refused() {
    let (fixture, other) = (three_nights(), Fixture::with_seed(7));
    let refused = |to: &dyn Store| replicate(&into(&fixture.store, to), &Silent).unwrap_err().to_string();
    assert!(refused(&other.store).contains("another repository"));
    let foreign = MemoryStore::new();
    foreign.put(&ObjectName::new("letter.txt").unwrap(), b"dear").unwrap();
    assert!(refused(&foreign).contains("letter.txt"));
    // Without its config nobody can tell whose it is, but its keys can.
    other.store.remove(&ObjectName::new("config").unwrap()).unwrap();
    assert!(refused(&other.store).contains("another repository"));
    let nothing = MemoryStore::new();
    let request = Request { create: false, ..into(&fixture.store, &nothing) };
    assert!(matches!(replicate(&request, &Silent), Err(Error::NoRepository { .. })));
    assert_eq!(nothing.names(), []);
}

#[test]
fn a_copy_that_is_pruned_takes_a_key() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert!(!was_pruned(&to).unwrap());
    let copy = reopened(&fixture, &to);
    copy.note(Step::Mark, vec![]).unwrap();
    assert!(was_pruned(&to).unwrap());
    let night = fixture.snapshot(SERIES, 2_000, grown(4));
    let error = replicate(&into(&fixture.store, &to), &Silent).unwrap_err();
    assert!(matches!(&error, Error::Refused { what } if what.contains("a key is needed")), "{error}");
    // With one, the same snapshots come, under the same ids.
    let report = logical(&fixture.repo, &copy, None).unwrap();
    assert_eq!((report.copied.len(), report.present), (1, 3));
    assert_eq!(ids(&copy).last(), Some(&night.id));
    assert_eq!(contents(&copy), contents(&fixture.repo));
    is_clean(&copy);
}

/// Asked with an operation and what it is about.
type When<'a> = dyn Fn(&str, &str) -> bool + Sync + Send + 'a;

/// Does something once, before the operation that it waits for.
struct Meddled<'a> {
    inner: MemoryStore,
    when: Box<When<'a>>,
    then: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl<'a> Meddled<'a> {
    fn new(
        inner: &MemoryStore,
        when: impl Fn(&str, &str) -> bool + Sync + Send + 'a,
        then: impl FnOnce() + Send + 'a,
    ) -> Self {
        Meddled { inner: inner.clone(), when: Box::new(when), then: Mutex::new(Some(Box::new(then))) }
    }

    fn before(&self, what: &str, name: &str) {
        if (self.when)(what, name)
            && let Some(then) = self.then.lock().unwrap().take()
        {
            then();
        }
    }
}

impl Store for Meddled<'_> {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        self.inner.get(name, max)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        self.before("get", name.as_str());
        self.inner.get_range(name, offset, out)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        self.inner.upload()
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.before("list", prefix);
        self.inner.list(prefix, each)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        self.inner.stat(name)
    }
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.inner.remove(name)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.inner.now()
    }
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put> {
        self.inner.put(name, bytes)
    }
}

/// The first packs by name, as many as are said, are listed and cannot be read.
struct Unreadable {
    inner: MemoryStore,
    spare: usize,
}

impl Store for Unreadable {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        self.inner.get(name, max)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        let packs = self.inner.names().into_iter().filter(|name| name.as_str().starts_with("packs/"));
        if packs.take(self.spare).any(|pack| pack == *name) {
            return Err(Error::store("read", name, std::io::Error::from_raw_os_error(5)));
        }
        self.inner.get_range(name, offset, out)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        self.inner.upload()
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.inner.list(prefix, each)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        self.inner.stat(name)
    }
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.inner.remove(name)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.inner.now()
    }
}

/// What a prune does to a repository all at once: every segment moves into new packs, and the old packs and index objects go.
fn repack(repo: &Repository) {
    let (index, _) = repo.load_index(true).unwrap();
    let old: Vec<ObjectName> = {
        let mut names = Vec::new();
        for prefix in ["packs/", "index/"] {
            let mut take = |entry: Entry| {
                names.push(entry.name);
                Ok(())
            };
            repo.store().list(prefix, &mut take).unwrap();
        }
        names
    };
    let mut mover = Mover::new(repo, &index, &Silent);
    for pack in repo.list_packs().unwrap().into_keys() {
        assert!(mover.copy(&repo.read_directory(&pack).unwrap(), &|_| true).unwrap());
    }
    mover.finish().unwrap();
    old.iter().for_each(|name| repo.store().remove(name).unwrap());
}

#[test]
fn a_prune_of_the_source_leaves_no_holes_whenever_it_comes() {
    for (what, name) in [("list", "index/"), ("list", "packs/"), ("get", "packs/"), ("get", "index/"), ("get", "keys/")]
    {
        for after in 0..6 {
            let (fixture, to) = (three_nights(), MemoryStore::new());
            let seen = AtomicU64::new(0);
            let when = |op: &str, at: &str| {
                op == what && at.starts_with(name) && seen.fetch_add(1, Ordering::Relaxed) == after
            };
            let from = Meddled::new(&fixture.store, when, || repack(&fixture.repo));
            replicate(&Request { threads: 1, ..into(&from, &to) }, &Silent).unwrap();
            let copy = reopened(&fixture, &to);
            assert_eq!(contents(&copy), contents(&fixture.repo), "{what} {name} {after}");
            is_clean(&copy);
        }
    }
}

#[test]
fn a_prune_of_the_copy_that_begins_meanwhile_stops_the_snapshots() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let copy = reopened(&fixture, &to);
    let night = fixture.snapshot(SERIES, 2_000, grown(4));
    // The list of notes after the intents are durable.
    let then = || assert!(copy.note(Step::Notice, vec![]).is_ok());
    let meddled = Meddled::new(&to, |what, name| what == "list" && name == "gc/", then);
    let error = replicate(&into(&fixture.store, &meddled), &Silent).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(ids(&copy).len(), 3);
    assert!(to.names().iter().any(|name| name.as_str() == format!("sessions/{}", night.id)), "the intent stays");
}

#[test]
fn whatever_fails_earlier_snapshots_are_whole_and_the_next_run_goes_on() {
    let fixture = Fixture::new();
    (1..=2).for_each(|night| drop(fixture.snapshot(SERIES, night as i64, grown(night))));
    let first = MemoryStore::new();
    replicate(&into(&fixture.store, &first), &Silent).unwrap();
    let earlier = contents(&fixture.repo);
    fixture.snapshot(SERIES, 3, grown(3));
    let all = contents(&fixture.repo);
    let base = objects(&first);
    let mut told = 0;
    for fresh in [true, false] {
        let mut nth = 1;
        loop {
            let to = MemoryStore::new();
            if !fresh {
                base.iter().for_each(|(name, bytes)| assert!(to.put(name, bytes).is_ok()));
            }
            let faulty = FaultyStore::new(to.clone());
            let kind = if nth % 2 == 0 { ErrorKind::StorageFull } else { ErrorKind::Other };
            faulty.plan(Fault::any(nth, kind).lasting());
            let failed = replicate(&Request { threads: 1, ..into(&fixture.store, &faulty) }, &Silent);
            if !fresh {
                let copy = reopened(&fixture, &to);
                let there = contents(&copy);
                assert!(earlier.iter().all(|(path, bytes)| there.get(path) == Some(bytes)), "{nth}");
                assert!(there == earlier || there == all, "{nth}");
            }
            if let Err(error) = &failed
                && error.is_store_full()
                && error.to_string().contains("bytes are still to be copied")
            {
                told += 1;
            }
            let done = failed.is_ok();
            replicate(&into(&fixture.store, &to), &Silent).unwrap();
            assert_eq!(contents(&reopened(&fixture, &to)), all, "{nth}");
            let around = keyless::Around { clock: &SystemClock, entropy: &KernelEntropy, cache: None };
            assert!(keyless::check(&to, ReadData::None, 1, &around, &Silent).unwrap().findings.is_empty());
            if done {
                assert!(nth > 10);
                break;
            }
            nth += 1;
        }
    }
    assert!(told > 10, "{told}");
}

#[test]
fn a_copy_that_was_cancelled_keeps_what_had_come() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    let heard = Recording::default();
    heard.cancel();
    assert!(matches!(replicate(&into(&fixture.store, &to), &heard), Err(Error::Cancelled)));
    let faulty = FaultyStore::new(to.clone());
    faulty.plan(Fault::on(Op::Finish, 4, ErrorKind::StorageFull).lasting());
    assert!(replicate(&Request { threads: 1, ..into(&fixture.store, &faulty) }, &Silent).is_err());
    let had = to.names().len() as u64;
    assert_eq!(had, 3);
    let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!(report.objects + had, fixture.store.names().len() as u64);
}

fn logical(from: &Repository, to: &Repository, chosen: Option<&[Listed]>) -> Result<logical::Report> {
    let request = logical::Request {
        from,
        to,
        chosen,
        compression: Compression::default(),
        host: "host",
        dry_run: false,
        threads: 2,
    };
    logical::copy(&request, &Silent)
}

#[test]
fn a_logical_copy_holds_the_same_under_other_keys() {
    let (fixture, other) = (three_nights(), Fixture::with_seed(7));
    let report = logical(&fixture.repo, &other.repo, None).unwrap();
    assert_eq!((report.copied.len(), report.present, report.failed.len()), (3, 0, 0));
    assert_eq!(contents(&other.repo), contents(&fixture.repo));
    is_clean(&other.repo);
    assert_eq!(other.repo.look(None, false).unwrap(), [], "the chain has no gap");
    // No old key opens it, and no object is shared.
    assert!(
        objects(&other.store)
            .keys()
            .all(|name| name.as_str() == "config" || fixture.store.stat(name).unwrap().is_none())
    );
    assert!(!logical::same_keys(&fixture.repo, &other.repo));

    let before = other.store.names().len();
    let report = logical(&fixture.repo, &other.repo, None).unwrap();
    assert_eq!((report.copied.len(), report.present, report.written.bytes_new), (0, 3, 0));
    assert_eq!(other.store.names().len(), before);
}

#[test]
fn only_what_changed_is_read_and_stored_again() {
    let (fixture, other) = (three_nights(), Fixture::with_seed(7));
    logical(&fixture.repo, &other.repo, None).unwrap();
    let night = fixture.snapshot(SERIES, 2_000, grown(4));
    let store = FaultyStore::new(fixture.store.clone());
    let repo = fixture.reopen(Arc::new(store));
    let heard = Recording::default();
    let request = logical::Request {
        from: &repo,
        to: &other.repo,
        chosen: None,
        compression: Compression::default(),
        host: "host",
        dry_run: false,
        threads: 1,
    };
    let report = logical::copy(&request, &heard).unwrap();
    let new = 9_000 + 5_000;
    assert_eq!(report.copied.iter().map(|one| one.from).collect::<Vec<_>>(), [night.id]);
    assert!((new..new + 3_000).contains(&report.written.bytes_new), "{}", report.written.bytes_new);
    assert_eq!(heard.count(crate::monitor::Counter::Bytes), night.snapshot.totals.bytes);
    assert_eq!(contents(&other.repo), contents(&fixture.repo));
    is_clean(&other.repo);
}

#[test]
fn chosen_snapshots_are_copied_and_what_the_copy_forgot_is_not() {
    let (fixture, other) = (three_nights(), Fixture::with_seed(7));
    fixture.snapshot("h/-/other", 5, vec![("x", fixture::file(b"x"))]);
    let all = fixture.repo.snapshots(None).unwrap().listed;
    let report = logical(&fixture.repo, &other.repo, Some(&all[1..2])).unwrap();
    assert_eq!(report.copied.len(), 1);
    let there = other.repo.snapshots(None).unwrap().listed;
    assert_eq!((there.len(), there[0].snapshot.head.sequence), (1, all[1].snapshot.head.sequence));
    assert_eq!(there[0].snapshot.head.previous, None, "what it followed is not there");
    forget(&other.repo, &there[0]);
    let report = logical(&fixture.repo, &other.repo, None).unwrap();
    assert_eq!((report.copied.len(), report.forgotten), (3, 1));
    assert!(!other.repo.snapshots(None).unwrap().listed.iter().any(|one| one.id == there[0].id));
    assert_eq!(other.repo.look(None, false).unwrap(), [], "the tombstone explains the gap");
}

#[test]
fn what_cannot_be_read_is_left_out_by_name_and_the_rest_comes() {
    let (fixture, other) = (three_nights(), Fixture::with_seed(7));
    let before = fixture.store.names();
    fixture.snapshot("h/-/zz", 5, vec![("x", fixture::file(&fixture::noise(3_000, 9)))]);
    let index = fixture.index();
    let pack = fixture.store.names().into_iter().find(|name| {
        let data = || fixture.repo.read_directory(&crate::id::PackId::parse(name.leaf()).unwrap()).unwrap().kind == 3;
        name.as_str().starts_with("packs/") && !before.contains(name) && data()
    });
    drop(index);
    fixture.store.tamper(&pack.unwrap(), |bytes| bytes[50..200].fill(0));
    let report = logical(&fixture.repo, &other.repo, None).unwrap();
    assert_eq!((report.copied.len(), report.failed.len()), (3, 1));
    assert!(report.failed[0].0.contains("h/-/zz"), "{:?}", report.failed);
    assert_eq!(other.repo.snapshots(None).unwrap().listed.len(), 3);
    is_clean(&other.repo);
}

#[test]
fn tags_and_pins_come_along() {
    let (fixture, other) = (three_nights(), Fixture::with_seed(7));
    let all = fixture.repo.snapshots(None).unwrap().listed;
    let changes = [
        Change::Tag { tag: "audit".into(), on: true },
        Change::Pin { on: true, reason: Some("for the auditor".into()) },
    ];
    let actor = Actor { host: "h".into(), user: "alice".into() };
    annotate(&fixture.repo, &all[1..2], &changes, &actor, &Silent).unwrap();
    assert_eq!(logical(&fixture.repo, &other.repo, None).unwrap().marked, 1);
    let there = other.repo.snapshots(None).unwrap().listed;
    let tag = other.repo.keys().series_tag(&Series::parse(SERIES).unwrap());
    let marks = other.repo.annotations(None).unwrap();
    let of = |at: usize| marks.of(&tag, &there[at].id);
    assert_eq!(of(1).tags_with(&[]), ["audit"]);
    let pin = of(1).pin.unwrap();
    assert_eq!((pin.reason.as_deref(), pin.user.as_str()), (Some("for the auditor"), "alice"));
    assert!(of(0).pin.is_none() && of(0).tags.is_empty());
}

#[test]
fn a_store_that_fails_anywhere_leaves_whole_snapshots_and_the_next_run_goes_on() {
    let fixture = Fixture::new();
    (1..=2).for_each(|night| drop(fixture.snapshot(SERIES, night as i64, grown(night))));
    let all = contents(&fixture.repo);
    let mut nth = 1;
    loop {
        let other = Fixture::with_seed(7);
        let faulty = Arc::new(FaultyStore::new(other.store.clone()));
        let repo = other.reopen(faulty.clone() as SharedStore);
        faulty.plan(Fault::any(nth, ErrorKind::StorageFull).lasting());
        let failed = logical(&fixture.repo, &repo, None);
        faulty.heal();
        let copy = other.reopen(Arc::new(other.store.clone()));
        let there = contents(&copy);
        assert!(there.iter().all(|(path, bytes)| all.get(path) == Some(bytes)), "{nth}");
        let done = failed.is_ok();
        logical(&fixture.repo, &copy, None).unwrap();
        assert_eq!(contents(&copy), all, "{nth}");
        if done {
            assert!(nth > 20);
            break;
        }
        nth += 3;
    }
}

#[test]
fn a_key_that_cannot_read_copies_nothing_under_other_keys() {
    let (fixture, other) = (three_nights(), Fixture::with_seed(7));
    let maintainer = fixture.as_maintainer();
    let error = logical(&maintainer, &other.repo, None).unwrap_err();
    assert!(matches!(error, Error::NotPermitted { .. }), "{error}");
}

#[test]
fn a_writer_of_the_copy_is_enough() {
    let (fixture, other) = (three_nights(), Fixture::with_seed(7));
    let writer = other.as_writer();
    for (copied, present) in [(3, 0), (0, 3)] {
        let report = logical(&fixture.repo, &writer, None).unwrap();
        assert_eq!((report.copied.len() as u64, report.present), (copied, present));
    }
    assert_eq!(contents(&other.repo), contents(&fixture.repo));
    let old = Unlock::Root(fixture.repo.keys().root().unwrap().clone());
    let around = crate::repo::Surroundings {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(KernelEntropy),
        cache: None,
        state: None,
    };
    assert!(Repository::open(Arc::new(other.store.clone()), &old, around).is_err(), "old keys open nothing");
}

#[test]
fn differences_stay_differences() {
    // A dump of which little changes from night to night, taken with deltas.
    let fixture = Fixture::new();
    let mut dump = fixture::noise(400_000, 5);
    let (dir, mut reports) = (tempfile::tempdir().unwrap(), Vec::new());
    let path = dir.path().join("dump");
    for night in 0..3u8 {
        for at in (0..dump.len()).step_by(3_000) {
            dump[at] = dump[at].wrapping_add(night);
        }
        std::fs::write(&path, &dump).unwrap();
        let request = crate::ops::snapshot::Request {
            series: Series::parse(SERIES).unwrap(),
            sources: vec![crate::ops::snapshot::SourceRequest {
                name: crate::name::Name::new(&b"db"[..]).unwrap(),
                input: crate::ops::snapshot::Input::Path(path.as_os_str().as_encoded_bytes().to_vec()),
            }],
            excludes: Default::default(),
            compression: Compression::default(),
            delta: true,
            with_atime: false,
            tags: vec![],
            description: None,
            configuration: None,
            host: "h".into(),
            user: "u".into(),
            protect: None,
            dry_run: false,
            threads: 1,
        };
        reports.push(crate::ops::snapshot::snapshot(&fixture.repo, request, &Silent).unwrap());
    }
    let leaning: u64 = reports.iter().map(|report| report.written.leaning_new).sum();
    assert!(leaning > 200_000, "{leaning}");
    let other = Fixture::with_seed(7);
    // The first alone, then the others, as nights go by.
    let all = fixture.repo.snapshots(None).unwrap().listed;
    logical(&fixture.repo, &other.repo, Some(&all[..1])).unwrap();
    let report = logical(&fixture.repo, &other.repo, None).unwrap();
    assert!(report.written.leaning_new * 2 > leaning, "{:?} of {leaning}", report.written);
    assert!(report.written.leaning_stored * 2 < report.written.leaning_new, "{:?}", report.written);
    assert_eq!(contents(&other.repo), contents(&fixture.repo));
    is_clean(&other.repo);
}

#[test]
fn replicas_are_known_by_their_repository() {
    let fixture = three_nights();
    let copy = MemoryStore::new();
    let report = replica::replicate(&into(&fixture.store, &copy), &Silent).unwrap();
    assert_eq!(report.repository, Repository::identify(&copy).unwrap());
}
