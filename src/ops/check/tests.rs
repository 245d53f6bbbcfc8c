use super::*;
use crate::{
    error::Error,
    hash::BlobKind,
    id::{BlobId, PackId},
    model::{
        annotation::{Annotation, Change},
        codec,
        node::{Body, Content, Extent},
        tombstone::{GoneHead, Tombstone},
        tree::{ListChild, ListPage, TreeChild, TreePage},
    },
    monitor::Silent,
    name::Name,
    object::Kind,
    ops::fixture::{self, Fixture, Item, Piece},
    pack,
    store::{
        ObjectName, Store as _,
        faulty::{Fault, FaultyStore, Op},
    },
    world::Time,
};

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

/// Findings of a check with one object changed, which is put back afterwards.
fn with_change(fixture: &Fixture, name: &ObjectName, change: &dyn Fn(&mut Vec<u8>)) -> Result<Report> {
    let before = bytes(fixture, name);
    fixture.store.tamper(name, |bytes| change(bytes));
    let report = check(&fixture.repo, ReadData::Percent(100.0), 2, &Silent);
    fixture.store.tamper(name, |bytes| *bytes = before);
    report
}

fn assert_named(report: Result<Report>, name: &ObjectName, how: &str) {
    match report {
        Ok(report) => {
            let named = report.findings.iter().any(|finding| finding.object == name.as_str());
            assert!(named, "{how} of {name}: {:?}", report.findings);
        }
        // The format's own rule: another version is unsupported, and config alone has no name that tells damage from it.
        Err(error @ Error::Unsupported { .. }) => assert!(name.as_str() == "config", "{how} of {name}: {error}"),
        Err(error) => panic!("{how} of {name}: {error}"),
    }
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

/// The same with two more snapshots that were forgotten, and annotations.
fn repository_with_marks() -> Fixture {
    let fixture = repository();
    for _ in 0..2 {
        let listed = fixture.snapshot("h/-/s", 9, vec![("f", fixture::file(b"f"))]);
        let series = fixture.tag("h/-/s");
        let head = GoneHead { series, snapshot: listed.id, head: listed.snapshot.head.clone() };
        let text = String::new;
        let time = Time::from_sec(9);
        let tombstone = Tombstone { head, time, host: text(), user: text(), reason: text() };
        fixture.repo.bury(&tombstone).unwrap();
        fixture.store.remove(&fixture.object("h/-/s", &listed.id)).unwrap();
        let snapshot = fixture.repo.snapshots(None).unwrap().listed[0].id;
        let changes = vec![Change::Pin { on: true, reason: None }];
        let note = Annotation { series, snapshot, counter: 1, time, host: text(), user: text(), changes };
        fixture.repo.annotate(&note).unwrap();
    }
    fixture
}

#[test]
fn every_kind_of_damage_to_every_object_is_found_and_named() {
    let fixture = repository_with_marks();
    fixture.as_maintainer();
    for name in fixture.store.names() {
        let len = bytes(&fixture, &name).len();
        // Header, wrapped keys and nonces at the front; tag, directory and footer at the end; contents and padding between.
        let mut places: Vec<usize> = vec![0, 9, 10, 11, 13, 20, 31, 32, 40, 60, 100, 150, 300, len / 3, len / 2];
        places.extend([33, 32, 25, 17, 9, 1, 1000, 2000].map(|back| len.saturating_sub(back)));
        for at in places.into_iter().filter(|at| *at < len) {
            let report = with_change(&fixture, &name, &|bytes| bytes[at] ^= 0x10);
            assert_named(report, &name, &format!("a flip at {at} of {len}"));
        }
        for cut in [0, 10, 40, len / 2, len - 1] {
            assert_named(with_change(&fixture, &name, &|bytes| bytes.truncate(cut)), &name, &format!("a cut at {cut}"));
        }
        for more in [1, 4096] {
            let extend = |bytes: &mut Vec<u8>| bytes.resize(len + more, 0);
            assert_named(with_change(&fixture, &name, &extend), &name, &format!("{more} more bytes"));
        }
    }
    assert_eq!(whole(&fixture).findings, []);
}

#[test]
fn objects_in_the_place_of_others_of_their_class_are_found_and_named() {
    let fixture = repository_with_marks();
    fixture.as_maintainer();
    for folder in ["keys/", "packs/", "index/", "snapshots/", "gone/", "notes/"] {
        let names = fixture.names(folder);
        for (name, other) in names.iter().zip(names.iter().cycle().skip(1)) {
            assert_ne!(name, other);
            let other = bytes(&fixture, other);
            assert_named(with_change(&fixture, name, &|bytes| bytes.clone_from(&other)), name, "another in its place");
        }
    }
}

#[test]
fn removed_objects_are_found() {
    let fixture = repository();
    let owner = fixture.names("keys/").remove(0);
    let mut last_snapshot = 0;
    for name in fixture.store.names() {
        let before = bytes(&fixture, &name);
        fixture.store.remove(&name).unwrap();
        let report = whole(&fixture);
        let objects: Vec<&str> = report.findings.iter().map(|finding| finding.object.as_str()).collect();
        match name.folder() {
            "keys" => assert_eq!((&name, &objects[..]), (&owner, &["keys"][..])),
            // Its packs are still there, and say what they hold.
            "index" => {
                assert!(
                    !objects.is_empty() && objects.iter().all(|object| object.starts_with("packs/")),
                    "{objects:?}"
                );
                assert!(report.findings.iter().any(|finding| finding.lost_count > 0), "{report:?}");
            }
            // Nothing says that there was one after the last.
            folder if folder.starts_with("snapshots") && objects.is_empty() => last_snapshot += 1,
            _ => assert!(objects.contains(&name.as_str()), "{name}: {objects:?}"),
        }
        fixture.store.put(&name, &before).unwrap();
    }
    assert_eq!(last_snapshot, 1);
    assert_eq!(whole(&fixture).findings, []);
}

#[test]
fn a_removed_pack_names_the_files_that_are_lost() {
    let fixture = Fixture::new();
    let first = fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("kept", fixture::file(b"kept"))]))]);
    let data = packs_of(&fixture, Kind::DataPack);
    let lost = |n| fixture::file(&fixture::noise(500, n));
    let sub = fixture::dir(vec![("line\nfeed", lost(1)), ("z", lost(2))]);
    let entries = vec![("kept", fixture::file(b"kept")), ("sub", sub), ("top", lost(1))];
    let second = fixture.snapshot("h/-/s", 2, vec![("app", fixture::dir(entries))]);
    let third = fixture.snapshot("h/-/t", 3, vec![("x", lost(2))]);
    let gone: Vec<ObjectName> = packs_of(&fixture, Kind::DataPack).into_iter().filter(|n| !data.contains(n)).collect();
    assert_eq!(gone.len(), 1);
    fixture.store.remove(&gone[0]).unwrap();
    for read in [ReadData::None, ReadData::Percent(100.0)] {
        let report = run(&fixture.repo, read);
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!(finding.object, gone[0].as_str());
        let (two, three) = (second.id.short(), third.id.short());
        let mut expected = vec![
            format!("h/-/s@{two}:app/sub/line\\nfeed"),
            format!("h/-/s@{two}:app/sub/z"),
            format!("h/-/s@{two}:app/top"),
            format!("h/-/t@{three}:x"),
        ];
        expected.sort();
        let mut named = finding.lost.clone();
        named.sort();
        assert_eq!((named, finding.lost_count), (expected, 4));
        assert!(!finding.lost.iter().any(|path| path.contains(&first.id.short())));
    }
}

#[test]
fn a_damaged_segment_costs_what_is_in_it_and_no_more() {
    let fixture = Fixture::new();
    let files = (0..30u64).map(|n| (format!("f{n:02}"), fixture::file(&fixture::noise(2000, n))));
    fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(files.collect()))]);
    let name = packs_of(&fixture, Kind::DataPack).remove(0);
    let report = with_change(&fixture, &name, &|bytes| bytes[5000] ^= 1).unwrap();
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert!((1..=5).contains(&finding.lost_count), "{finding:?}");
    assert!(finding.what.contains("tag does not verify") && finding.what.contains("not those of its name"));
    // Cut in the middle: what lies before is kept.
    let report = with_change(&fixture, &name, &|bytes| bytes.truncate(bytes.len() / 2)).unwrap();
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert!((4..=12).contains(&finding.lost_count), "{finding:?}");
    // Structure alone sees the length and looks closer.
    fixture.store.tamper(&name, |bytes| bytes.truncate(5000));
    assert!(run(&fixture.repo, ReadData::None).findings[0].lost_count >= 4);
}

#[test]
fn a_lost_directory_counts_what_was_below_it() {
    let fixture = Fixture::new();
    fixture.snapshot("h/-/s", 1, vec![("a", fixture::dir(vec![("x", fixture::file(b"x"))]))]);
    let before = packs_of(&fixture, Kind::TreePack);
    let sub = fixture::dir(vec![("one", fixture::file(b"x")), ("two", fixture::file(b"x"))]);
    fixture.snapshot("h/-/s", 2, vec![("a", fixture::dir(vec![("x", fixture::file(b"x")), ("sub", sub)]))]);
    for name in packs_of(&fixture, Kind::TreePack).into_iter().filter(|name| !before.contains(name)) {
        fixture.store.tamper(&name, |bytes| bytes[40] ^= 1);
    }
    let report = run(&fixture.repo, ReadData::None);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.lost_count, finding.lost.len()), (4, 1), "{finding:?}");
    assert!(finding.lost[0].ends_with(":a/"), "{finding:?}");
}

#[test]
fn packs_that_no_index_lists_are_notes() {
    let fixture = repository();
    let id = PackId([0xab; 32]);
    fixture.store.put(&pack::object_name(&id), b"cut short").unwrap();
    fixture.store.put(&ObjectName::new("packs/readme.txt").unwrap(), b"?").unwrap();
    fixture.store.put(&ObjectName::new("gone/x/y").unwrap(), b"?").unwrap();
    fixture.store.put(&ObjectName::new("sessions/x").unwrap(), b"?").unwrap();
    let report = whole(&fixture);
    assert_eq!(report.findings, []);
    assert_eq!(report.notes.len(), 4, "{:?}", report.notes);
    assert!(report.notes.iter().any(|note| note.contains("harmless leftover")));
}

#[test]
fn a_damaged_index_names_what_nobody_finds_any_more() {
    let fixture = Fixture::new();
    fixture.snapshot("h/-/s", 1, vec![("f", fixture::file(b"f"))]);
    let index = fixture.names("index/").remove(0);
    let report = with_change(&fixture, &index, &|bytes| bytes[100] ^= 1).unwrap();
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.object.as_str(), finding.lost_count), (index.as_str(), 1));
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

fn content(blobs: &[(BlobId, &[u8])]) -> Body {
    let extents: Vec<Extent> =
        blobs.iter().map(|(id, bytes)| Extent::Data { id: *id, len: bytes.len() as u32, edge: 0 }).collect();
    Body::File { size: extents.iter().map(Extent::len).sum(), content: Content::Extents(extents) }
}

#[test]
fn blobs_under_ids_that_are_not_theirs_are_found_one_by_one() {
    let fixture = Fixture::new();
    let good = (fixture.repo.namer().name(BlobKind::Data, b"good"), &b"good"[..]);
    let bad = (BlobId([7; 32]), &b"bad"[..]);
    let pack = fixture.forge_pack(&[good, bad], &[]);
    fixture.forge_snapshot("h/-/s", vec![("bad", content(&[good, bad])), ("good", content(&[good]))]);
    assert_eq!(run(&fixture.repo, ReadData::None).findings, []);
    let report = whole(&fixture);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.object.as_str(), finding.lost_count), (pack.as_str(), 1), "{finding:?}");
    assert!(finding.lost[0].ends_with(":bad") && finding.what.contains("other bytes"), "{finding:?}");
}

#[test]
fn what_leans_on_a_lost_base_is_lost_with_it() {
    let fixture = Fixture::new();
    let base_bytes = fixture::noise(20_000, 1);
    let mut next_bytes = base_bytes.clone();
    next_bytes[10_000] ^= 1;
    let named = |bytes| (fixture.repo.namer().name(BlobKind::Data, bytes), bytes);
    let (base, next) = (named(&base_bytes), named(&next_bytes));
    let base_pack = fixture.forge_pack(&[base], &[]);
    let next_pack = fixture.forge_pack(&[next], &[base]);
    fixture.forge_snapshot("h/-/s", vec![("base", content(&[base])), ("next", content(&[next]))]);
    assert!(bytes(&fixture, &next_pack).len() < 10_000);
    assert_eq!(whole(&fixture).findings, []);
    fixture.store.remove(&base_pack).unwrap();
    let report = run(&fixture.repo, ReadData::None);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.object.as_str(), finding.lost_count), (base_pack.as_str(), 2));
    let lost: u64 = whole(&fixture).findings.iter().map(|finding| finding.lost_count).sum();
    assert_eq!(lost, 2);
}

#[test]
fn pages_that_make_no_sense_are_findings_and_name_their_directories() {
    let fixture = Fixture::new();
    let name = |text: &str| Name::new(text.as_bytes()).unwrap();
    let leaf = |names: &[&str]| {
        let listed = fixture.snapshot(
            "h/-/leaf",
            1,
            vec![("d", fixture::dir(names.iter().map(|name| (*name, fixture::file(b"x"))).collect()))],
        );
        match listed.snapshot.sources[0].root.body {
            Body::Directory { tree, .. } => tree,
            _ => unreachable!(),
        }
    };
    let (ab, bc, d) = (leaf(&["a", "b"]), leaf(&["b", "c"]), leaf(&["d"]));
    let dir = |tree| Body::Directory { tree, entries: 3, bytes: 3 };
    let inner = |children: &[(&str, BlobId)]| {
        let children = children.iter().map(|(first, id)| TreeChild { first: name(first), id: *id }).collect();
        dir(fixture.store_page(BlobKind::Tree, &codec::encode(&TreePage::Inner(children))))
    };
    let blob = fixture.repo.namer().name(BlobKind::Data, b"x");
    let list = |page: ListPage, size| {
        let id = fixture.store_page(BlobKind::List, &codec::encode(&page));
        Body::File { size, content: Content::Paged(id) }
    };
    let two_bytes = fixture.store_page(BlobKind::List, &codec::encode(&ListPage::Leaf(vec![Extent::Hole { len: 2 }])));
    let right = inner(&[("a", ab), ("d", d)]);
    assert_eq!(whole(&fixture).findings, []);
    for (what, body) in [
        ("no page at all", dir(fixture.store_page(BlobKind::Tree, b"garbage"))),
        ("names that overlap", inner(&[("a", ab), ("b", bc)])),
        ("another first name", inner(&[("a", ab), ("c", d)])),
        ("a page that is nowhere", dir(BlobId([9; 32]))),
        ("a page of the other kind", dir(two_bytes)),
        ("lengths that do not add up", list(ListPage::Inner(vec![ListChild { len: 3, id: two_bytes }]), 3)),
        ("a size that is not the list's", list(ListPage::Leaf(vec![Extent::Hole { len: 3 }]), 4)),
        (
            "an extent too long",
            Body::File { size: 2, content: Content::Extents(vec![Extent::Data { id: blob, len: 2, edge: 0 }]) },
        ),
        ("a blob that is nowhere", content(&[(BlobId([8; 32]), &b"x"[..])])),
    ] {
        let listed = fixture.forge_snapshot("h/-/forged", vec![("bad", body), ("right", right.clone())]);
        let report = run(&fixture.repo, ReadData::None);
        let lost: Vec<&String> = report.findings.iter().flat_map(|finding| &finding.lost).collect();
        assert!(matches!(lost[..], [path] if path.contains("bad")), "{what}: {report:?}");
        fixture.store.remove(&fixture.object("h/-/forged", &listed.id)).unwrap();
        assert_eq!(run(&fixture.repo, ReadData::None).findings, [], "{what}");
    }
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

#[test]
fn losses_are_told_by_series_snapshot_and_path_with_their_bytes() {
    let fixture = Fixture::new();
    let big = fixture::pieces((0..4).map(|n| Piece::Data(fixture::noise(3000, n))).collect());
    let one =
        fixture.snapshot("h/-/a", 100, vec![("app", fixture::dir(vec![("big", big), ("x", fixture::file(b"x"))]))]);
    let two = fixture.snapshot("h/-/b", 200, vec![("db", fixture::file(&fixture::noise(3000, 1)))]);
    let three = fixture.snapshot("h/-/b", 300, vec![("db", fixture::file(b"whole"))]);
    // The second of the four pieces is the middle of a segment of its own kind: damage what holds it.
    let index = fixture.index();
    let id = fixture.repo.namer().name(BlobKind::Data, &fixture::noise(3000, 1));
    let located = index.locate(index.place(&id).unwrap()).unwrap();
    fixture.store.tamper(&pack::object_name(&located.pack), |bytes| bytes[located.offset as usize + 5] ^= 1);
    let report = whole(&fixture);
    let [a, b] = &report.losses[..] else { panic!("{report:?}") };
    assert_eq!((a.series.as_str(), b.series.as_str()), ("h/-/a", "h/-/b"));
    let [of_one] = &a.snapshots[..] else { panic!("{a:?}") };
    assert_eq!((of_one.id, of_one.time, of_one.entries, of_one.whole), (one.id, Some(100), 1, false));
    assert_eq!((&of_one.paths[0].path[..], of_one.paths[0].size), (&b"app/big"[..], 12_000));
    assert!(of_one.bytes >= 3000 && of_one.bytes < 12_000 && of_one.bytes.is_multiple_of(3000), "{of_one:?}");
    let [of_two] = &b.snapshots[..] else { panic!("{b:?}") };
    assert_eq!((of_two.id, of_two.bytes, &of_two.paths[0].path[..]), (two.id, 3000, &b"db"[..]));
    // A snapshot that cannot be read itself.
    fixture.store.tamper(&fixture.object("h/-/b", &three.id), |bytes| bytes[400] ^= 1);
    let report = whole(&fixture);
    let last = report.losses[1].snapshots.last().unwrap();
    assert_eq!((last.id, last.whole, last.time), (three.id, true, Some(300)));
}

#[test]
fn a_lost_page_in_the_middle_of_a_directory_costs_its_own_entries_only() {
    let fixture = Fixture::new();
    let many = (0..3000).map(|n| (format!("file-{n:05}"), fixture::file(format!("{n}").as_bytes())));
    let listed = fixture.snapshot("h/-/s", 1, vec![("d", fixture::dir(many.collect()))]);
    let Body::Directory { tree, .. } = listed.snapshot.sources[0].root.body else { panic!() };
    let index = fixture.index();
    let reader = BlobReader::new(&fixture.repo, &index);
    let TreePage::Inner(children) = TreePage::decode(&reader.blob(BlobKind::Tree, &tree).unwrap()).unwrap() else {
        panic!()
    };
    assert!(children.len() > 4);
    let located = index.locate(index.place(&children[1].id).unwrap()).unwrap();
    fixture.store.tamper(&pack::object_name(&located.pack), |bytes| bytes[located.offset as usize + 5] ^= 1);
    let report = run(&fixture.repo, ReadData::None);
    let [series] = &report.losses[..] else { panic!("{report:?}") };
    let loss = &series.snapshots[0];
    assert!(loss.entries > 50 && loss.entries < 2000, "{}", loss.entries);
    assert_eq!((loss.paths.len(), &loss.paths[0].path[..]), (1, &b"d/"[..]));
}

fn keyless(fixture: &Fixture, read: ReadData) -> Result<keyless::Report> {
    let (clock, entropy) =
        (crate::world::FixedClock(crate::world::Time::from_sec(1)), crate::world::SeededEntropy::new(1));
    let around = keyless::Around { clock: &clock, entropy: &entropy, cache: None };
    keyless::check(&fixture.store, read, 2, &around, &Silent)
}

#[test]
fn without_a_key_every_damage_to_every_object_is_found_and_named() {
    let fixture = repository();
    fixture.repo.note(crate::model::gc::Step::Mark, vec![PackId([1; 32])]).unwrap();
    fixture.store.put(&ObjectName::new("readme.txt").unwrap(), b"?").unwrap();
    let report = keyless(&fixture, ReadData::None).unwrap();
    assert_eq!((report.findings.len(), report.notes.len()), (0, 1), "{report:?}");
    assert_eq!(report.objects, fixture.store.names().len() as u64 - 1);
    for name in fixture.store.names() {
        if name.as_str() == "readme.txt" {
            continue;
        }
        let before = bytes(&fixture, &name);
        let len = before.len();
        let is_config = name.as_str() == "config";
        // The contents of config are sealed, and it has no name that tells: only its header shows.
        let places = if is_config { vec![0, 10, 12, 20] } else { vec![0, 9, 10, 20, 40, len / 2, len - 1] };
        let flips = places.into_iter().map(|at| {
            let mut bytes = before.clone();
            bytes[at] ^= 1;
            bytes
        });
        let changes: Vec<Vec<u8>> = flips.chain([0, 20].map(|cut| before[..cut].to_vec())).collect();
        for (n, change) in changes.iter().enumerate() {
            fixture.store.tamper(&name, |bytes| bytes.clone_from(change));
            let report = keyless(&fixture, ReadData::None).unwrap();
            let named = |finding: &Finding| finding.object == name.as_str();
            // Another repository's id in config is every other object's fault.
            assert!(
                report.findings.iter().any(named) || is_config && report.findings.len() > 5,
                "change {n} of {name}"
            );
            fixture.store.tamper(&name, |bytes| bytes.clone_from(&before));
        }
    }
    let some = keyless(&fixture, ReadData::Percent(10.0)).unwrap();
    assert!(some.packs > 0 && some.packs < report.packs);
}
