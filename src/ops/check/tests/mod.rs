mod beside;
mod claims;
mod damage;
mod losses;
mod matrix;

use super::*;
use crate::{
    error::Error,
    hash::BlobKind,
    id::{BlobId, PackId},
    model::{
        node::{Body, Content, Extent},
        tree::TreePage,
    },
    monitor::Silent,
    object::Kind,
    ops::fixture::{self, Fixture, Item, Piece},
    pack,
    store::{
        ObjectName, Store as _,
        faulty::{Fault, FaultyStore, Op},
    },
};

use std::{sync::mpsc, thread, time::Duration};

fn run(repo: &Repository, read: ReadData) -> Report {
    check(repo, read, 2, &Silent).unwrap()
}

fn whole(fixture: &Fixture) -> Report {
    run(&fixture.repo, ReadData::Percent(100.0))
}

/// Small directories, one of several pages, a file of a long list, holes, and several packs of either kind.
fn sources(version: u64) -> Vec<(&'static str, Item)> {
    let mut long = Vec::new();
    for n in 0..40u64 {
        long.push(Piece::Data(fixture::noise(300 + n as usize, n)));
        long.push(Piece::Hole(4096));
    }
    let many = (0..400).map(|n| (format!("file-{n:04}"), fixture::file(format!("content {}", n % 20).as_bytes())));
    let app = fixture::dir(vec![
        ("big", fixture::file(&fixture::noise(60_000, 1000 + version))),
        ("long", fixture::pieces(long)),
        ("many", fixture::dir(many.collect())),
        ("same", fixture::file(b"the same in all versions")),
        ("sub", fixture::dir(vec![("version", fixture::file(format!("version {version}").as_bytes()))])),
    ]);
    vec![("app", app), ("db", fixture::file(&fixture::noise(5000, 2000 + version)))]
}

fn repository() -> Fixture {
    let fixture = Fixture::new();
    for version in 0..3 {
        fixture.snapshot("h/-/s", version as i64, sources(version));
    }
    fixture
}

fn packs_of(fixture: &Fixture, kind: Kind) -> Vec<ObjectName> {
    let index = fixture.index();
    let runs = index.runs();
    let packs = runs.iter().flat_map(|run| run.packs()).filter(|(_, _, number)| *number == kind as u8);
    packs.map(|(id, ..)| pack::object_name(&id)).collect()
}

fn bytes(fixture: &Fixture, name: &ObjectName) -> Vec<u8> {
    fixture.store.get(name, u64::MAX).unwrap()
}

fn content(blobs: &[(BlobId, &[u8])]) -> Body {
    let extents: Vec<Extent> =
        blobs.iter().map(|(id, bytes)| Extent::Data { id: *id, len: bytes.len() as u32, edge: 0 }).collect();
    Body::File { size: extents.iter().map(Extent::len).sum(), content: Content::Extents(extents) }
}

/// Findings of a check with one object changed, which is put back afterwards.
fn with_change(fixture: &Fixture, name: &ObjectName, change: &dyn Fn(&mut Vec<u8>)) -> Result<Report> {
    let before = bytes(fixture, name);
    fixture.store.tamper(name, |bytes| change(bytes));
    let report = check(&fixture.repo, ReadData::Percent(100.0), 2, &Silent);
    fixture.store.tamper(name, |bytes| *bytes = before);
    report
}

#[test]
fn a_whole_repository_has_no_findings() {
    let fixture = repository();
    fixture.as_maintainer();
    for read in [ReadData::None, ReadData::Percent(100.0)] {
        let report = run(&fixture.repo, read);
        assert_eq!(report.findings, []);
        assert_eq!(report.notes, Vec::<String>::new());
        let stored = fixture.names("packs/").len() as u64;
        assert_eq!((report.snapshots, report.packs), (3, stored));
        assert_eq!(report.packs_read, if read == ReadData::None { 0 } else { stored });
        assert!(report.blobs > 60 && stored > 8, "{report:?}");
    }
    let all = whole(&fixture).bytes_read;
    let some = run(&fixture.repo, ReadData::Percent(25.0));
    assert!(some.packs_read < some.packs && (all / 4..all / 2).contains(&some.bytes_read), "{some:?}");
    assert!(check(&fixture.repo, ReadData::Percent(0.0), 1, &Silent).is_err());
}

#[test]
fn a_maintainer_checks_all_but_contents() {
    let fixture = repository();
    let maintainer = fixture.as_maintainer();
    let report = run(&maintainer, ReadData::Percent(100.0));
    assert_eq!(report.findings, []);
    assert_eq!((report.packs_read, report.notes.len()), (report.packs, 1), "{report:?}");
    let name = packs_of(&fixture, Kind::DataPack).remove(0);
    fixture.store.tamper(&name, |bytes| bytes[1000] ^= 1);
    let report = run(&maintainer, ReadData::Percent(100.0));
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert!(finding.object == name.as_str() && finding.lost_count > 0, "{finding:?}");
}

#[test]
fn a_check_that_is_cancelled_says_so() {
    let fixture = repository();
    let monitor = crate::monitor::Recording::default();
    monitor.cancel();
    assert!(matches!(check(&fixture.repo, ReadData::Percent(100.0), 2, &monitor), Err(Error::Cancelled)));
}

#[test]
fn a_read_that_fails_is_a_finding_and_a_store_that_fails_is_an_error() {
    let fixture = repository();
    let faulty = std::sync::Arc::new(FaultyStore::new(fixture.store.clone()));
    let repo = fixture.reopen(faulty.clone());
    let before = faulty.count(Op::Get);
    assert_eq!(run(&repo, ReadData::Percent(100.0)).findings, []);
    let (reads, mut findings) = (faulty.count(Op::Get) - before, 0);
    assert!(reads > 50);
    for nth in 1..=reads {
        faulty.plan(Fault::on(Op::Get, nth, std::io::ErrorKind::Other));
        match check(&repo, ReadData::Percent(100.0), 1, &Silent) {
            Ok(report) => {
                assert_ne!(report.findings, [], "read {nth}");
                findings += 1;
            }
            Err(error) => assert!(matches!(error, Error::Store { .. }), "{error}"),
        }
        faulty.heal();
    }
    assert!(findings > reads / 2, "{findings} of {reads}");
    faulty.plan(Fault::any(reads / 2, std::io::ErrorKind::Other).lasting());
    assert!(matches!(check(&repo, ReadData::Percent(100.0), 2, &Silent), Err(Error::Store { .. })));
}

/// More than readers may have in hand at once: they would wait for ever for what it took.
#[test]
fn a_worker_that_breaks_ends_the_check_and_is_told() {
    let fixture = Fixture::new();
    let name = |bytes: &[u8]| fixture.repo.namer().name(BlobKind::Data, bytes);
    let base = fixture::noise(1 << 20, 1);
    let mut next = base.clone();
    fixture.forge_pack(&[(name(&base), &base)], &[]);
    for place in 0..24 {
        next[place * 1000] ^= 1;
        fixture.forge_pack(&[(name(&next), &next)], &[(name(&base), &base)]);
    }
    let faulty = std::sync::Arc::new(FaultyStore::new(fixture.store.clone()));
    let repo = fixture.reopen(faulty.clone());
    assert_eq!(run(&repo, ReadData::Percent(100.0)).findings, []);
    faulty.breaks_in("verify");
    let (told, tells) = mpsc::channel();
    thread::spawn(move || told.send(check(&repo, ReadData::Percent(100.0), 2, &Silent).map(drop)));
    let error = tells.recv_timeout(Duration::from_secs(60)).expect("it ends").unwrap_err();
    assert!(error.to_string().contains("the check is not complete"), "{error}");
}

#[test]
fn shares_come_round_the_longest_unread_first_and_new_packs_before_all() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = repository();
    let at = |sec| fixture.reopen_at(sec, Some(folder.path().to_owned()));
    let packs = run(&fixture.repo, ReadData::None).packs;
    let mut read = 0;
    for night in 0..4 {
        let report = run(&at(night), ReadData::Percent(25.0));
        read += report.packs_read;
        let dates = at(night).checked();
        let done = fixture.repo.list_packs().unwrap().keys().filter(|id| dates.last(id).is_some()).count() as u64;
        // None is read twice before all were read once; the last night may begin again.
        assert!(done == read.min(packs), "night {night}: {done} of {packs}, {read} read");
    }
    assert!(read >= packs);
    let old: std::collections::HashSet<PackId> = fixture.repo.list_packs().unwrap().into_keys().collect();
    fixture.snapshot("h/-/new", 9, vec![("d", fixture::dir(vec![("f", fixture::file(b"new"))]))]);
    run(&at(10), ReadData::Percent(0.001));
    run(&at(11), ReadData::Percent(0.001));
    let dates = at(12).checked();
    let new: Vec<PackId> = fixture.repo.list_packs().unwrap().into_keys().filter(|id| !old.contains(id)).collect();
    assert!(new.len() == 2 && new.iter().all(|id| dates.last(id).is_some_and(|last| last.sec >= 10)));
    // What was damaged is read again each time, and does not keep others from their turn.
    fixture.store.tamper(&pack::object_name(&new[0]), |bytes| bytes[40] ^= 1);
    run(&at(13), ReadData::Percent(100.0));
    assert_eq!(at(13).checked().damaged().collect::<Vec<_>>(), [&new[0]]);
    let report = run(&at(14), ReadData::Percent(0.001));
    assert_eq!((report.packs_read, report.findings.len()), (2, 1), "{report:?}");
    fixture.store.tamper(&pack::object_name(&new[0]), |bytes| bytes[40] ^= 1);
    assert_eq!(run(&at(15), ReadData::Percent(0.001)).findings, []);
    assert_eq!(at(15).checked().damaged().count(), 0);
}

#[test]
fn a_check_that_is_stopped_keeps_the_dates_of_what_it_has_read() {
    struct StopAfter(u64, crate::monitor::Recording, std::sync::atomic::AtomicU64);
    impl Monitor for StopAfter {
        fn add(&self, counter: crate::monitor::Counter, n: u64) {
            self.1.add(counter, n);
            // Packs here are read in one piece. The reader waits for those before to be verified.
            if counter == crate::monitor::Counter::Stored {
                let reads = self.2.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                while self.1.count(crate::monitor::Counter::Objects) < reads {
                    std::thread::yield_now();
                }
            }
        }
        fn cancelled(&self) -> bool {
            self.1.count(crate::monitor::Counter::Objects) >= self.0
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let fixture = repository();
    let repo = fixture.reopen_at(5, Some(folder.path().to_owned()));
    let monitor = StopAfter(4, Default::default(), Default::default());
    assert!(matches!(check(&repo, ReadData::Percent(100.0), 1, &monitor), Err(Error::Cancelled)));
    let dates = repo.checked();
    let packs = fixture.repo.list_packs().unwrap();
    let read = packs.keys().filter(|id| dates.last(id).is_some()).count();
    assert!((1..=5).contains(&read) && read < packs.len(), "{read} of {}", packs.len());
}
