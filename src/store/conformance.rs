//! What every store must do, as one suite of checks. It is part of the library, not of the tests, so that a new kind of
//! store (also one of another crate) and a real server can be put to it: `conformance::check(&store)`.
//!
//! It works inside the folder `conformance`, which must be empty before and is empty afterwards where the store can remove.
//! What cannot be made through the trait (foreign files, a full disk, a lost connection) each store tests by itself.

use super::{ObjectName, Put, Store};
use crate::error::Error;
use std::{collections::BTreeSet, fmt, sync::Barrier, thread};

/// A rule that the store breaks, and how.
#[derive(Debug)]
pub struct Broken {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// What was seen.
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store breaks the rule \"{}\": {}", self.rule, self.why)
    }
}

impl std::error::Error for Broken {}

// Why a case failed. Built from the store's own errors by `?`.
struct Why(String);

impl From<Error> for Why {
    fn from(e: Error) -> Self {
        Why(e.to_string())
    }
}

type Outcome = Result<(), Why>;

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(Why(format!($($why)+)));
        }
    };
}

type Case = fn(&dyn Store) -> Outcome;

/// What the second store shows of what is put into the first, which may be the same.
type ReadingCase = fn(&dyn Store, &dyn Store) -> Outcome;

const READING: &[(&str, ReadingCase)] = &[
    ("a range is exactly what was asked for, or an error", ranges),
    ("an object of many pieces is whole, in order and out of order", long),
    ("nothing longer than the limit is read", limits),
    ("what is not there is missing, not failed", absent),
    ("a listing shows all objects under the prefix and nothing else", listing),
    ("an error from the listener ends the listing", listing_stops),
    ("the listener may ask the store", listing_nests),
    ("stat and list agree", stat_agrees),
];

const CASES: &[(&str, Case)] = &[
    ("the folder `conformance` is empty at the start", starts_empty),
    ("a name that is taken is never written again", create_only),
    ("an upload that is dropped leaves nothing", dropped),
    ("an upload of no bytes is a name that the next takes", nothing_uploaded),
    ("an upload in odd pieces is whole", pieces),
    ("of many puts of one name one is whole and first", race),
    ("different names do not disturb one another", crowd),
    ("removing is idempotent", removal),
    ("objects survive a sync, and a sync may be repeated", syncs),
    ("the clock is the one that stamps objects", clock),
];

/// Puts a store that only reads to the part of the suite that is for it: `behind` is what it reads from.
pub fn check_reading(store: &dyn Store, behind: &dyn Store) -> Result<(), Broken> {
    for &(rule, case) in READING {
        case(behind, store).and_then(|()| clear(behind)).map_err(|Why(why)| Broken { rule, why })?;
    }
    Ok(())
}

/// Puts the store to the whole suite; the first broken rule ends it.
pub fn check(store: &dyn Store) -> Result<(), Broken> {
    check_reading(store, store)?;
    for &(rule, case) in CASES {
        case(store).and_then(|()| clear(store)).map_err(|Why(why)| Broken { rule, why })?;
    }
    Ok(())
}

// The object `conformance/<text>`.
fn name(text: &str) -> Result<ObjectName, Why> {
    ObjectName::new(format!("conformance/{text}")).ok_or_else(|| Why(format!("{text} is not a name")))
}

fn names(store: &dyn Store, prefix: &str) -> Result<BTreeSet<String>, Why> {
    let mut found = BTreeSet::new();
    let mut twice = None;
    store.list(prefix, &mut |entry| {
        let name = entry.name.to_string();
        if !found.insert(name.clone()) {
            twice = Some(name);
        }
        Ok(())
    })?;
    ensure!(twice.is_none(), "{twice:?} is listed twice");
    Ok(found)
}

fn clear(store: &dyn Store) -> Outcome {
    if store.capabilities().remove {
        let mut found = Vec::new();
        store.list("conformance/", &mut |entry| {
            found.push(entry.name);
            Ok(())
        })?;
        found.iter().try_for_each(|name| store.remove(name))?;
    }
    Ok(())
}

// Bytes that differ from place to place and from seed to seed.
fn bytes(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0] ^ seed).collect()
}

fn starts_empty(store: &dyn Store) -> Outcome {
    let found = names(store, "conformance/")?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

fn create_only(store: &dyn Store) -> Outcome {
    let name = name("create/one")?;
    ensure!(store.put(&name, b"first")? == Put::Created, "the first put was not told Created");
    for again in [&b"second"[..], b"first", b""] {
        ensure!(store.put(&name, again)? == Put::Existed, "a later put was not told Existed");
    }
    ensure!(store.get(&name, 100)? == b"first", "a later put changed the bytes");
    Ok(())
}

fn ranges(behind: &dyn Store, store: &dyn Store) -> Outcome {
    let (name, whole) = (name("range/object")?, bytes(1, 1000));
    behind.put(&name, &whole)?;
    for (start, len) in [(0, 1000), (0, 1), (999, 1), (17, 400), (0, 0), (1000, 0)] {
        let mut out = vec![0; len];
        store.get_range(&name, start as u64, &mut out)?;
        ensure!(whole.get(start..start + len) == Some(&out[..]), "wrong bytes at {start}..+{len}");
    }
    for (start, len) in [(0, 1001), (1000, 1), (1001, 0), (999, 2), (u64::MAX, 1), (u64::MAX - 1, 1000)] {
        match store.get_range(&name, start, &mut vec![0; len]) {
            Err(Error::Corrupt { .. }) => {}
            other => ensure!(false, "{start}..+{len} of 1000 bytes gave {other:?}, not Corrupt"),
        }
    }
    Ok(())
}

fn long(behind: &dyn Store, store: &dyn Store) -> Outcome {
    let (name, whole) = (name("long/object")?, bytes(6, (7 << 20) + 13));
    behind.put(&name, &whole)?;
    let mib = 1 << 20;
    // As a copy reads; then something else in between; then more than a piece at once.
    let steps = (0..8).map(|i| (i * mib, mib)).chain([(0, mib), (5 * mib, mib), (mib, mib), (2 * mib + 1, mib)]);
    for (start, len) in steps.chain([(mib + 3, 3 * mib + 5), (0, whole.len())]) {
        let len = len.min(whole.len() - start);
        let mut out = vec![0; len];
        store.get_range(&name, start as u64, &mut out)?;
        ensure!(whole.get(start..start + len) == Some(&out[..]), "wrong bytes at {start}..+{len}");
    }
    ensure!(store.get(&name, whole.len() as u64)? == whole, "the whole is not what was put");
    Ok(())
}

fn limits(behind: &dyn Store, store: &dyn Store) -> Outcome {
    let name = name("limit/object")?;
    behind.put(&name, &bytes(2, 1000))?;
    ensure!(store.get(&name, 1000)?.len() == 1000, "a limit of just the length must do");
    ensure!(store.get(&name, u64::MAX)?.len() == 1000, "the largest limit must do");
    for max in [0, 999] {
        match store.get(&name, max) {
            Err(Error::Corrupt { .. }) => {}
            other => ensure!(false, "1000 bytes with a limit of {max} gave {other:?}, not Corrupt"),
        }
    }
    Ok(())
}

fn absent(_behind: &dyn Store, store: &dyn Store) -> Outcome {
    for text in ["absent", "no-such-folder/absent", "no/such/folder/absent"] {
        let name = name(text)?;
        let got = store.get(&name, 10);
        ensure!(matches!(got, Err(Error::Missing { .. })), "get of {name} gave {got:?}");
        let got = store.get_range(&name, 0, &mut [0]);
        ensure!(matches!(got, Err(Error::Missing { .. })), "get_range of {name} gave {got:?}");
        ensure!(store.stat(&name)?.is_none(), "stat found {name}");
    }
    let found = names(store, "conformance/no-such-folder/")?;
    ensure!(found.is_empty(), "an absent folder lists {found:?}");
    Ok(())
}

fn listing(behind: &dyn Store, store: &dyn Store) -> Outcome {
    let all = ["list/a", "list/b", "list/sub/c", "list/sub/deep/d", "list-beside/e", "list.f"];
    let mut expected = BTreeSet::new();
    for text in all {
        let name = name(text)?;
        behind.put(&name, text.as_bytes())?;
        expected.insert(name.to_string());
    }
    for prefix in
        ["conformance/list/", "conformance/list/sub/", "conformance/list/sub/deep/", "conformance/list-beside/"]
    {
        let (found, wanted) =
            (names(store, prefix)?, expected.iter().filter(|n| n.starts_with(prefix)).cloned().collect());
        ensure!(found == wanted, "{prefix} lists {found:?} in place of {wanted:?}");
    }
    let everything = names(store, "")?;
    ensure!(everything.is_superset(&expected), "the empty prefix lists {everything:?}");
    Ok(())
}

fn listing_stops(behind: &dyn Store, store: &dyn Store) -> Outcome {
    for text in ["stop/a", "stop/b", "stop/c"] {
        behind.put(&name(text)?, b"stop")?;
    }
    let mut calls = 0;
    let ended = store.list("conformance/stop/", &mut |_| {
        calls += 1;
        Err(Error::Cancelled)
    });
    ensure!(matches!(ended, Err(Error::Cancelled)) && calls == 1, "{calls} calls, then {ended:?}");
    Ok(())
}

fn listing_nests(behind: &dyn Store, store: &dyn Store) -> Outcome {
    for text in ["nest/a", "nest/b"] {
        behind.put(&name(text)?, text.as_bytes())?;
    }
    store.list("conformance/nest/", &mut |entry| store.get(&entry.name, 100).map(drop))?;
    Ok(())
}

fn stat_agrees(behind: &dyn Store, store: &dyn Store) -> Outcome {
    let name = name("stat/object")?;
    behind.put(&name, &bytes(3, 321))?;
    let stat = store.stat(&name)?;
    ensure!(stat.as_ref().is_some_and(|s| s.name == name && s.len == 321), "stat gives {stat:?}");
    let mut listed = None;
    store.list("conformance/stat/", &mut |entry| {
        listed = Some(entry);
        Ok(())
    })?;
    ensure!(listed == stat, "list gives {listed:?}, stat {stat:?}");
    Ok(())
}

fn dropped(store: &dyn Store) -> Outcome {
    let before = names(store, "")?;
    let mut upload = store.upload()?;
    upload.append(&bytes(4, 100_000))?;
    ensure!(names(store, "")? == before, "an upload shows before it is finished");
    drop(upload);
    drop(store.upload()?);
    ensure!(names(store, "")? == before, "a dropped upload left something");
    Ok(())
}

fn nothing_uploaded(store: &dyn Store) -> Outcome {
    let name = name("empty/object")?;
    ensure!(store.upload()?.finish(&name)? == Put::Created, "not told Created");
    ensure!(store.get(&name, 0)?.is_empty(), "bytes came from nowhere");
    ensure!(store.stat(&name)?.is_some_and(|s| s.len == 0), "stat does not show an empty object");
    ensure!(store.put(&name, b"bytes")? == Put::Created, "the name is taken by nothing");
    ensure!(store.get(&name, 5)? == b"bytes", "nothing came back");
    Ok(())
}

fn pieces(store: &dyn Store) -> Outcome {
    let (name, whole) = (name("pieces/ab/object")?, bytes(5, (5 << 20) + 77));
    let mut upload = store.upload()?;
    let mut rest = &whole[..];
    for size in [1, 0, 4095, 4097, 1 << 20, 65_537].into_iter().cycle() {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        upload.append(piece)?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    ensure!(upload.finish(&name)? == Put::Created, "not told Created");
    ensure!(store.get(&name, 6 << 20)? == whole, "the bytes are not those that were appended");
    let mut out = vec![0; 100_000];
    store.get_range(&name, 5_000_000, &mut out)?;
    ensure!(out[..] == whole[5_000_000..5_100_000], "a range is not what was appended");
    Ok(())
}

// Runs `work` in this many threads that start together.
fn at_once<T: Send>(threads: u8, work: impl Fn(u8) -> Result<T, Why> + Sync) -> Result<Vec<T>, Why> {
    let start = Barrier::new(threads.into());
    thread::scope(|scope| {
        let run = |i| {
            start.wait();
            work(i)
        };
        let running: Vec<_> = (0..threads).map(|i| scope.spawn(move || run(i))).collect();
        running.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(Why("the store panicked".into())))).collect()
    })
}

fn race(store: &dyn Store) -> Outcome {
    for round in 0..8 {
        let name = name(&format!("race/{round}/object"))?;
        let told = at_once(16, |i| Ok(store.put(&name, &bytes(i, 5000))?))?;
        let created = told.iter().filter(|put| **put == Put::Created).count();
        let exact = !store.capabilities().exclusive_create || created == 1;
        ensure!(created >= 1 && exact, "{created} of 16 puts of one name were told Created");
        let kept = store.get(&name, 5000)?;
        ensure!((0..16).any(|i| kept == bytes(i, 5000)), "the object is none of those that were put");
    }
    Ok(())
}

fn crowd(store: &dyn Store) -> Outcome {
    at_once(16, |i| {
        for j in 0..8 {
            let (name, whole) = (name(&format!("crowd/{}/{i}-{j}", j % 3))?, bytes(i ^ (j << 4), 3000));
            ensure!(store.put(&name, &whole)? == Put::Created, "{name} was not told Created");
            if j % 4 == 0 {
                store.sync()?;
            }
            ensure!(store.get(&name, 3000)? == whole, "{name} has other bytes than were put");
        }
        Ok(())
    })?;
    let found = names(store, "conformance/crowd/")?.len();
    ensure!(found == 128, "{found} of 128 objects are listed");
    Ok(())
}

fn removal(store: &dyn Store) -> Outcome {
    if !store.capabilities().remove {
        return Ok(());
    }
    let (gone, kept) = (name("remove/gone")?, name("remove/kept")?);
    store.put(&gone, b"1")?;
    store.put(&kept, b"2")?;
    store.remove(&gone)?;
    store.remove(&gone)?;
    store.remove(&name("never/was")?)?;
    ensure!(store.stat(&gone)?.is_none(), "it is still there");
    ensure!(store.get(&kept, 1)? == b"2", "another object went too");
    ensure!(store.put(&gone, b"3")? == Put::Created, "the name cannot be used again");
    ensure!(store.get(&gone, 1)? == b"3", "the old bytes came back");
    Ok(())
}

fn syncs(store: &dyn Store) -> Outcome {
    let name = name("sync/object")?;
    store.sync()?;
    store.put(&name, b"kept")?;
    store.sync()?;
    store.sync()?;
    ensure!(store.get(&name, 4)? == b"kept", "the object changed");
    Ok(())
}

fn clock(store: &dyn Store) -> Outcome {
    let name = name("clock/object")?;
    let before = store.now()?;
    store.put(&name, b"tick")?;
    let stored = store.stat(&name)?.map_or(0, |entry| entry.stored);
    let after = store.now()?;
    match (store.capabilities().clock, before, after) {
        // FAT keeps time to two seconds.
        (true, Some(before), Some(after)) => {
            ensure!(before <= after, "the clock went back from {before} to {after}");
            ensure!(before - 2 <= stored && stored <= after + 2, "{stored} is not between {before} and {after}");
        }
        (false, None, None) => ensure!(stored == 0, "stamped {stored} without a clock"),
        other => ensure!(false, "the capability and the clock disagree: {other:?}"),
    }
    Ok(())
}
