use super::*;
use crate::{
    id::PackId,
    model::node::Body,
    monitor::{Recording, Silent},
    object::Kind,
    ops::{
        check::{self, ReadData},
        fixture::{self, Fixture, Item, Piece},
        snapshot,
        walk::{Event, TreeWalk},
    },
    pack,
    repo::Listed,
    series::Address,
    store::{
        ObjectName, Store as _,
        faulty::{Fault, FaultyStore},
    },
};
use std::{collections::BTreeMap, sync::Arc};

const ALL: What = What { index: true, packs: true, snapshots: true };
const INDEX: What = What { index: true, packs: false, snapshots: false };

fn request(from: Option<&Repository>) -> Request<'_> {
    Request { what: ALL, from, read_data: true, host: "host", dry_run: false }
}

fn run(repo: &Repository, from: Option<&Repository>) -> Report {
    repair(repo, &request(from), &Silent).unwrap()
}

fn findings(repo: &Repository) -> check::Report {
    check::check(repo, ReadData::Percent(100.0), 2, &Silent).unwrap()
}

/// Directories, one of several pages, a file with a long list, holes, several packs of either kind; three versions.
fn sources(version: u64) -> Vec<(&'static str, Item)> {
    let long = (0..40u64).flat_map(|n| [Piece::Data(fixture::noise(300 + n as usize, n)), Piece::Hole(4096)]).collect();
    let many = (0..300).map(|n| (format!("file-{n:04}"), fixture::file(format!("content {}", n % 20).as_bytes())));
    let app = fixture::dir(vec![
        ("big", fixture::file(&fixture::noise(30_000, 1000 + version))),
        ("long", fixture::pieces(long)),
        ("many", fixture::dir(many.collect())),
        ("sub", fixture::dir(vec![("version", fixture::file(format!("version {version}").as_bytes()))])),
    ]);
    vec![("app", app), ("db", fixture::file(&fixture::noise(5000, 2000 + version)))]
}

fn repository() -> (Fixture, Vec<Listed>) {
    let fixture = Fixture::new();
    let all = (0..3).map(|version| fixture.snapshot("h/-/s", version as i64, sources(version))).collect();
    (fixture, all)
}

type Contents = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// All that can be read of a snapshot: paths, with the bytes of files.
fn contents(repo: &Repository, snapshot: &crate::model::snapshot::Snapshot) -> Contents {
    let (index, _) = repo.load_index(true).unwrap();
    let reader = BlobReader::new(repo, &index);
    let mut out = Contents::new();
    let file = |path: &[u8], body: &Body, out: &mut Contents| {
        match body {
            Body::File { size, content } => {
                if let Ok(bytes) = fixture::contents_of(&reader, *size, content) {
                    out.insert(path.to_vec(), Some(bytes));
                }
            }
            _ => drop(out.insert(path.to_vec(), None)),
        };
    };
    for source in &snapshot.sources {
        let name = source.root.name.as_bytes();
        file(name, &source.root.body, &mut out);
        let Body::Directory { tree, .. } = source.root.body else { continue };
        let mut walk = TreeWalk::salvaging(&reader, tree, name);
        while let Some(event) = walk.next() {
            if let Event::Entry { node, .. } = event {
                file(walk.path(), &node.body, &mut out);
            }
        }
    }
    out
}

/// The snapshot that stands for another one now: itself, or the one that was made in its place.
fn standing(repo: &Repository, id: &crate::id::SnapshotId) -> Option<Listed> {
    let all = repo.snapshots(None).unwrap().listed;
    let repaired = all.iter().find(|listed| listed.snapshot.repaired_from() == Some(*id));
    repaired.or(all.iter().find(|listed| listed.id == *id)).cloned()
}

type Change = (&'static str, fn(&mut Vec<u8>));

const CHANGES: [Change; 6] = [
    ("a flip in the header", |bytes| bytes[9] ^= 1),
    ("a flip in the front", |bytes| bytes[41] ^= 1),
    ("a flip in the middle", |bytes| {
        let at = bytes.len() / 3;
        bytes[at] ^= 1;
    }),
    ("a flip at the end", |bytes| {
        let at = bytes.len() - 20;
        bytes[at] ^= 1;
    }),
    ("a cut", |bytes| bytes.truncate(bytes.len() / 2)),
    ("nothing left", Vec::clear),
];

/// Does it to each object but config and key slots, each time to a fresh copy.
fn each_damage(fixture: &Fixture, each: &mut dyn FnMut(Fixture, &ObjectName, &str)) {
    for name in fixture.store.names() {
        if !name.as_str().contains('/') || name.folder() == "keys" {
            continue;
        }
        for (how, change) in CHANGES {
            let damaged = fixture.copy();
            damaged.store.tamper(&name, change);
            each(damaged, &name, how);
        }
        let damaged = fixture.copy();
        damaged.store.remove(&name).unwrap();
        each(damaged, &name, "removed");
    }
}

#[test]
fn a_lost_index_is_made_anew_from_the_packs() {
    let (fixture, all) = repository();
    let whole: Vec<Contents> = all.iter().map(|listed| contents(&fixture.repo, &listed.snapshot)).collect();
    for name in fixture.names("index/") {
        fixture.store.remove(&name).unwrap();
    }
    assert!(!findings(&fixture.repo).findings.is_empty());
    let request = Request { what: INDEX, from: None, read_data: false, host: "host", dry_run: false };
    let planned = repair(&fixture.repo, &Request { dry_run: true, ..request }, &Silent).unwrap();
    assert_eq!(fixture.names("index/"), []);
    let report = repair(&fixture.repo, &request, &Silent).unwrap();
    assert_eq!(planned, report);
    let index = report.index.unwrap();
    assert_eq!(index.listed, fixture.names("packs/").len() as u64);
    let checked = findings(&fixture.repo);
    assert_eq!((checked.findings, checked.notes), (vec![], vec![]));
    for (listed, whole) in all.iter().zip(whole) {
        assert_eq!(contents(&fixture.repo, &listed.snapshot), whole);
    }
    let before = fixture.store.names();
    run(&fixture.repo, None);
    assert_eq!(fixture.store.names(), before);
}

#[test]
fn a_pack_with_a_damaged_header_or_footer_tells_what_it_holds_all_the_same() {
    let (fixture, all) = repository();
    let whole = contents(&fixture.repo, &all[2].snapshot);
    for name in fixture.names("index/") {
        fixture.store.remove(&name).unwrap();
    }
    for (n, name) in fixture.names("packs/").iter().enumerate() {
        fixture.store.tamper(name, |bytes| {
            let len = bytes.len();
            let at = [10, 20, len - 32, len - 24, len - 16, len - 1][n % 6];
            bytes[at] ^= 4;
        });
    }
    let dry = repair(&fixture.repo, &Request { dry_run: true, ..request(None) }, &Silent).unwrap();
    let report = run(&fixture.repo, None);
    assert_eq!(dry, report);
    let packs = report.packs.clone().unwrap();
    assert_eq!((report.shortfall(), packs.missing), (0, 0), "{report:?}");
    assert!(packs.moved > 0 && packs.damaged.len() as u64 == report.index.unwrap().recovered);
    let checked = findings(&fixture.repo);
    assert_eq!(checked.findings, [], "{:?}", checked.notes);
    assert_eq!(contents(&fixture.repo, &all[2].snapshot), whole);
    let before = fixture.store.names();
    run(&fixture.repo, None);
    assert_eq!(fixture.store.names(), before);
}

#[test]
fn whatever_is_damaged_what_is_left_is_kept_and_the_rest_is_named() {
    let (fixture, all) = repository();
    let whole: Vec<Contents> = all.iter().map(|listed| contents(&fixture.repo, &listed.snapshot)).collect();
    let (mut lossless, mut lossy) = (0, 0);
    each_damage(&fixture, &mut |damaged, name, how| {
        let at = format!("{how}: {name}");
        let before = damaged.store.names();
        let dry = repair(&damaged.repo, &Request { dry_run: true, ..request(None) }, &Silent).unwrap();
        assert_eq!(damaged.store.names(), before, "{at}");
        let report = run(&damaged.repo, None);
        let after = damaged.store.names();
        assert!(before.iter().all(|name| after.contains(name)), "{at}: something was removed");
        // A dry run tells of the same.
        assert_eq!((&dry.index, &dry.packs), (&report.index, &report.packs), "{at}");
        let told = |report: &Report| -> Vec<_> {
            report.snapshots.iter().flatten().map(|one| (one.loss.clone(), one.what.clone(), one.made)).collect()
        };
        assert_eq!(told(&dry), told(&report), "{at}");
        // Twice is once.
        run(&damaged.repo, None);
        assert_eq!(damaged.store.names(), after, "{at}");
        let checked = findings(&damaged.repo);
        for (listed, whole) in all.iter().zip(&whole) {
            let Some(now) = standing(&damaged.repo, &listed.id) else {
                assert!(name.leaf() == listed.id.to_string(), "{at}");
                continue;
            };
            let kept = contents(&damaged.repo, &now.snapshot);
            if now.id == listed.id {
                assert_eq!(&kept, whole, "{at}");
                continue;
            }
            // All that is there is right, and all that is not is named.
            lossy += 1;
            let snapshot = &now.snapshot;
            assert!(!snapshot.head.complete && snapshot.head.sequence == listed.snapshot.head.sequence);
            assert!(now.id < listed.id && snapshot.tags == ["repaired"]);
            let loss = &report.snapshots.iter().flatten().find(|one| one.new == Some(now.id)).unwrap().loss;
            assert_eq!(snapshot.problem_count, loss.entries, "{at}");
            let gone: Vec<&Vec<u8>> = whole.keys().filter(|path| !kept.contains_key(*path)).collect();
            assert_eq!(gone.len() as u64, loss.entries, "{at}: {loss:?}");
            for path in gone {
                let named = loss
                    .paths
                    .iter()
                    .any(|lost| lost.path == *path || lost.path.ends_with(b"/") && path.starts_with(&lost.path));
                assert!(named || loss.paths.len() == check::losses::PATHS_NAMED, "{at}: {}", crate::name::Shown(path));
            }
            for (path, bytes) in &kept {
                assert_eq!(Some(bytes), whole.get(path), "{at}");
            }
            let of_repaired: Vec<_> =
                checked.losses.iter().flat_map(|of| &of.snapshots).filter(|loss| loss.id == now.id).collect();
            assert!(of_repaired.is_empty(), "{at}: {of_repaired:?}");
        }
        if report.shortfall() == 0 {
            lossless += 1;
            // The newest snapshot has no successor that would miss it.
            assert_eq!(checked.findings, [], "{at}");
        } else {
            assert!(!checked.findings.is_empty(), "{at}");
        }
    });
    assert!(lossless > 20 && lossy > 50, "{lossless} {lossy}");
}

#[test]
fn whatever_is_damaged_comes_back_from_a_replica() {
    let (fixture, all) = repository();
    let whole: Vec<Contents> = all.iter().map(|listed| contents(&fixture.repo, &listed.snapshot)).collect();
    let replica = fixture.copy();
    let mut fetched = 0;
    each_damage(&fixture, &mut |damaged, name, how| {
        let at = format!("{how}: {name}");
        let newest = name.leaf() == all[2].id.to_string();
        let dry = Request { dry_run: true, ..request(Some(&replica.repo)) };
        let dry = repair(&damaged.repo, &dry, &Silent).unwrap();
        let report = run(&damaged.repo, Some(&replica.repo));
        assert_eq!((&dry.index, &dry.packs), (&report.index, &report.packs), "{at}");
        assert_eq!(report.shortfall(), 0, "{at}: {report:?}");
        fetched += report.packs.as_ref().unwrap().fetched;
        // Nothing tells that there was one after the last.
        if !(newest && how == "removed") {
            for (listed, whole) in all.iter().zip(&whole) {
                let now = standing(&damaged.repo, &listed.id).unwrap();
                assert_eq!(&contents(&damaged.repo, &now.snapshot), whole, "{at}");
                assert!(now.snapshot.head.complete, "{at}");
            }
        }
        let checked = findings(&damaged.repo);
        assert_eq!(checked.findings, [], "{at}");
        // A pack that was removed does not return under its name.
        if name.as_str().starts_with("packs/") && how == "removed" {
            assert!(!damaged.store.names().contains(name), "{at}");
        }
        let before = damaged.store.names();
        let again = run(&damaged.repo, Some(&replica.repo));
        assert_eq!(damaged.store.names(), before, "{at}");
        assert_eq!(again.packs.unwrap().fetched, 0, "{at}");
    });
    assert!(fetched > 20);
}

#[test]
fn an_index_and_packs_that_are_lost_together_come_back_from_a_copy() {
    let (fixture, all) = repository();
    let whole: Vec<Contents> = all.iter().map(|listed| contents(&fixture.repo, &listed.snapshot)).collect();
    let replica = fixture.copy();
    for name in fixture.names("index/") {
        fixture.store.remove(&name).unwrap();
    }
    // Nothing is left that says what was in them.
    for name in fixture.names("packs/").iter().step_by(2) {
        fixture.store.remove(name).unwrap();
    }
    let report = run(&fixture.repo, Some(&replica.repo));
    assert_eq!(report.shortfall(), 0, "{report:?}");
    assert_eq!(findings(&fixture.repo).findings, []);
    for (listed, whole) in all.iter().zip(&whole) {
        assert_eq!(&contents(&fixture.repo, &listed.snapshot), whole);
    }
}

#[test]
fn a_maintainer_repairs_data_from_packs_that_are_whole_elsewhere() {
    let (fixture, all) = repository();
    let whole = contents(&fixture.repo, &all[2].snapshot);
    let maintainer = fixture.as_maintainer();
    let replica = fixture.copy();
    for name in fixture.names("packs/") {
        fixture.store.tamper(&name, |bytes| bytes[1000] ^= 1);
    }
    // Alone it cannot tell what of the data is whole, and calls none of it lost.
    let before = fixture.names("snapshots/");
    let monitor = Recording::default();
    let report = repair(&maintainer, &request(None), &monitor).unwrap();
    assert!(report.snapshots.is_none() && report.packs.unwrap().missing > 0);
    assert!(monitor.problems().iter().any(|text| text.contains("owner's key")), "{:?}", monitor.problems());
    assert_eq!(fixture.names("snapshots/"), before);
    let report = run(&maintainer, Some(&replica.as_maintainer()));
    assert_eq!(report.shortfall(), 0, "{report:?}");
    assert_eq!(contents(&fixture.repo, &all[2].snapshot), whole);
    assert_eq!(findings(&fixture.repo).findings, []);
}

#[test]
fn another_repository_is_not_fetched_from() {
    let (fixture, _) = repository();
    let stranger = Fixture::with_seed(7);
    let error = repair(&fixture.repo, &request(Some(&stranger.repo)), &Silent).unwrap_err();
    assert!(matches!(error, Error::Usage { .. }), "{error}");
}

fn snapshot_of(repo: &Repository, path: &std::path::Path) -> snapshot::Report {
    let request = fixture::request("h/-/real", vec![fixture::path("data", path)]);
    snapshot::snapshot(repo, request, &Silent).unwrap()
}

#[test]
fn the_next_snapshot_of_the_same_data_heals_what_is_missing() {
    let source = tempfile::tempdir().unwrap();
    for n in 0..40u64 {
        std::fs::write(source.path().join(format!("f{n}")), fixture::noise(2000, n)).unwrap();
    }
    type Harm = fn(&Fixture, &ObjectName);
    let harms: [Harm; 3] = [
        |fixture, name| fixture.store.remove(name).unwrap(),
        |fixture, name| assert!(fixture.store.tamper(name, |bytes| bytes[5000] ^= 1)),
        |fixture, name| assert!(fixture.store.tamper(name, |bytes| bytes.truncate(3000))),
    ];
    for harm in harms {
        let fixture = Fixture::new();
        let first = snapshot_of(&fixture.repo, source.path());
        let whole = contents(&fixture.repo, &first.snapshot);
        let packs = fixture.repo.load_index(true).unwrap().0.runs();
        for (id, _, kind) in packs.iter().flat_map(|run| run.packs()) {
            if kind == Kind::DataPack as u8 {
                harm(&fixture, &pack::object_name(&id));
            }
        }
        let report = run(&fixture.repo, None);
        assert!(report.shortfall() > 0);
        assert!(contents(&fixture.repo, &first.snapshot).len() < whole.len());
        let second = snapshot_of(&fixture.repo, source.path());
        assert_eq!(contents(&fixture.repo, &second.snapshot), whole);
        // And the damaged one with it.
        assert_eq!(contents(&fixture.repo, &first.snapshot), whole);
        let checked = findings(&fixture.repo);
        assert_eq!(checked.findings, [], "{:?}", checked.losses);
    }
}

#[test]
fn a_repair_that_fails_anywhere_is_done_by_the_next() {
    let (fixture, all) = repository();
    let whole: Vec<Contents> = all.iter().map(|listed| contents(&fixture.repo, &listed.snapshot)).collect();
    let replica = fixture.copy();
    let packs = fixture.names("packs/");
    fixture.store.tamper(&packs[0], |bytes| bytes[1000] ^= 1);
    fixture.store.remove(&packs[1]).unwrap();
    let index = fixture.names("index/").remove(0);
    fixture.store.tamper(&index, |bytes| bytes[100] ^= 1);
    fixture.store.tamper(&fixture.object("h/-/s", &all[0].id), |bytes| bytes[200] ^= 1);
    let total = {
        let faulty = Arc::new(FaultyStore::new(fixture.copy().store));
        let repo = fixture.reopen(faulty.clone());
        let before = faulty.total();
        run(&repo, Some(&replica.repo));
        faulty.total() - before
    };
    assert!(total > 100);
    for nth in (1..=total).step_by(3) {
        let faulty = Arc::new(FaultyStore::new(fixture.copy().store));
        let repo = fixture.reopen(faulty.clone());
        faulty.plan(Fault::any(nth, std::io::ErrorKind::Other));
        // What fails may be one object that counts as damaged then, or the whole run.
        let first = repair(&repo, &request(Some(&replica.repo)), &Silent);
        faulty.heal();
        let damaged = fixture.with_store(faulty.inner().clone());
        let report = run(&damaged.repo, Some(&replica.repo));
        assert_eq!(report.shortfall(), 0, "operation {nth}, {first:?}: {report:?}");
        for (listed, whole) in all.iter().zip(&whole) {
            let now = standing(&damaged.repo, &listed.id).unwrap();
            assert_eq!(&contents(&damaged.repo, &now.snapshot), whole, "operation {nth}");
        }
        assert_eq!(findings(&damaged.repo).findings, [], "operation {nth}");
    }
}

#[test]
fn damaged_snapshots_are_stepped_over_and_said_until_they_are_made_up_for() {
    let (fixture, all) = repository();
    let replica = fixture.copy();
    let address = Address::parse(b"h/-/s").unwrap();
    let resolve = || fixture.repo.resolve(&address, &|_| unreachable!());
    let newest = fixture.object("h/-/s", &all[2].id);
    // Its head still says that it is the one: another must not pass for it.
    fixture.store.tamper(&newest, |bytes| bytes[1000] ^= 1);
    assert!(matches!(resolve(), Err(Error::Corrupt { .. })));
    fixture.store.tamper(&newest, |bytes| bytes[200] ^= 1);
    let resolved = resolve().unwrap();
    assert_eq!((resolved.listed.id, resolved.passed_over.len()), (all[1].id, 1));
    assert!(resolved.surely().is_err());
    let report = run(&fixture.repo, None);
    let [one] = &report.snapshots.as_ref().unwrap()[..] else { panic!("{report:?}") };
    assert_eq!((one.loss.id, one.loss.whole, one.made, one.series.as_deref()), (all[2].id, true, false, Some("h/-/s")));
    run(&fixture.repo, Some(&replica.repo));
    let resolved = resolve().unwrap();
    assert_eq!((resolved.listed.snapshot.head.sequence, resolved.passed_over.len()), (3, 0));
    assert_eq!(resolved.listed.snapshot.repaired_from(), Some(all[2].id));
}

#[test]
fn what_only_the_newest_check_knows_is_repaired_without_reading_all() {
    let folder = tempfile::tempdir().unwrap();
    let (fixture, _) = repository();
    let repo = fixture.reopen_at(5, Some(folder.path().to_owned()));
    let name = fixture.names("packs/").remove(0);
    fixture.store.tamper(&name, |bytes| bytes[1000] ^= 1);
    let quick = Request { read_data: false, ..request(None) };
    let report = repair(&repo, &quick, &Silent).unwrap();
    assert_eq!(report.packs.unwrap().damaged, [], "structure does not tell");
    assert!(!findings(&repo).findings.is_empty());
    let report = repair(&repo, &quick, &Silent).unwrap();
    let packs = report.packs.unwrap();
    assert_eq!((packs.damaged.len(), packs.read, packs.marked), (1, 1, 1));
    assert_eq!(packs.damaged[0].object, name.as_str());
}

#[test]
fn a_repair_needs_the_right_role_and_stops_when_asked() {
    let (fixture, _) = repository();
    let monitor = Recording::default();
    monitor.cancel();
    fixture.store.remove(&fixture.names("packs/")[0]).unwrap();
    let before = fixture.store.names();
    assert!(matches!(repair(&fixture.repo, &request(None), &monitor), Err(Error::Cancelled)));
    assert_eq!(fixture.store.names(), before);
}

#[test]
fn packs_that_nobody_needs_stay_where_they_are() {
    let (fixture, _) = repository();
    let id = PackId([0xab; 32]);
    fixture.store.put(&pack::object_name(&id), b"cut short").unwrap();
    let report = run(&fixture.repo, None);
    assert_eq!(report.index.as_ref().unwrap().unusable.len(), 1);
    assert_eq!(report.shortfall(), 0);
    assert_eq!(findings(&fixture.repo).findings, []);
}
