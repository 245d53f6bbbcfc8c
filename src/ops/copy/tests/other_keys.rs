//! Into a repository with keys of its own.

use super::*;

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
        let sources = vec![fixture::path("db", &path)];
        let request = crate::ops::snapshot::Request { threads: 1, ..fixture::request(SERIES, sources) };
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
