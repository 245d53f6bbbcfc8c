use super::{policy::*, *};
use crate::{
    error::{Error, Result},
    hash,
    id::{RepoId, SeriesTag, SnapshotId},
    keys::Keyring,
    model::{
        annotation::{Annotation, Change},
        codec,
        snapshot::Head,
        tombstone::{GoneHead, Tombstone},
    },
    monitor::{Recording, Silent},
    object,
    ops::{
        annotate::annotate,
        check::{self, ReadData},
        fixture::{self, Fixture},
        snapshot::snapshot,
    },
    repo::{
        Listed, Repository, annotations,
        snapshots::object_name,
        tombstones::{self, seal_tombstone},
    },
    seal::{self, SealKey},
    series::{Address, Series},
    store::{
        ObjectName, Store as _,
        faulty::{Fault, FaultyStore},
        memory::MemoryStore,
    },
    world::{SeededEntropy, Time},
};
use jiff::tz::TimeZone;
use std::{collections::BTreeMap, io::ErrorKind, sync::Arc};

const SERIES: &str = "h/-/s";
const DAY: i64 = 86400;

/// Snapshots of one file each, a day apart, of which the last is a day old.
fn days(fixture: &Fixture, series: &str, n: i64) -> Vec<Listed> {
    let content = |day: i64| fixture::file(format!("{series} day {day:08}").as_bytes());
    (0..n).map(|day| fixture.snapshot(series, 1_700_000_000 - (n - day) * DAY, vec![("f", content(day))])).collect()
}

fn last(n: u64) -> Policy {
    Policy { rules: vec![Rule { every: Every::Snapshot, reach: Reach::Count(n) }], ..Policy::default() }
}

fn actor() -> Actor {
    Actor { host: "host".into(), user: "user".into() }
}

fn plan(repo: &Repository, policy: &Policy) -> Plan {
    of_policy(repo, &[], policy, &TimeZone::UTC, &Silent).unwrap()
}

fn forget(repo: &Repository, policy: &Policy) -> Result<Report> {
    let plan = of_policy(repo, &[], policy, &TimeZone::UTC, &Silent)?;
    apply(repo, &plan, &actor(), &Silent)
}

fn by_id(repo: &Repository, ids: &[SnapshotId], force: bool) -> Result<Plan> {
    let addresses: Vec<Address> = ids.iter().map(|id| Address::parse(id.to_string().as_bytes()).unwrap()).collect();
    of_snapshots(repo, &addresses, &|_| Err(Error::usage("no dates here")), "asked for", force, &Silent)
}

fn forget_ids(repo: &Repository, ids: &[SnapshotId]) {
    apply(repo, &by_id(repo, ids, true).unwrap(), &actor(), &Silent).unwrap();
}

fn listed(repo: &Repository) -> Vec<SnapshotId> {
    repo.snapshots(None).unwrap().listed.iter().map(|listed| listed.id).collect()
}

fn ids(all: &[Listed]) -> Vec<SnapshotId> {
    all.iter().map(|listed| listed.id).collect()
}

fn findings(repo: &Repository) -> Vec<String> {
    let report = check::check(repo, ReadData::None, 1, &Silent).unwrap();
    report.findings.into_iter().map(|finding| finding.object).collect()
}

fn pin(on: bool) -> Vec<Change> {
    vec![Change::Pin { on, reason: None }]
}

/// A tombstone made by somebody who holds a writer key and knows the format: its head is right, its proof cannot be.
fn forged(keys: &Keyring, head: &GoneHead) -> Vec<u8> {
    let mut object = object::header(object::Kind::Tombstone, keys.repo()).to_vec();
    for (key, payload, before, after, step) in [
        (keys.tombstone_head_key(), codec::encode(head), 0, 0, 128),
        (SealKey::new([0; 32]), codec::encode(&tombstone(head.clone())), 224, 48, 4096),
    ] {
        let mut sealed = vec![0; 24];
        seal::seal_append(&key, &[0; 24], &object, &object::pad(&payload, before, after, step), &mut sealed);
        object.extend(sealed);
    }
    let sum = hash::object_name(&object);
    object.extend(sum);
    object
}

fn tombstone(head: GoneHead) -> Tombstone {
    Tombstone { head, time: Time::from_sec(5), host: "h".into(), user: "u".into(), reason: "r".into() }
}

fn head_of(tag: SeriesTag, listed: &Listed) -> GoneHead {
    GoneHead { series: tag, snapshot: listed.id, head: listed.snapshot.head.clone() }
}

#[test]
fn what_no_rule_keeps_is_forgotten_with_a_tombstone_and_the_rest_is_whole() {
    let fixture = Fixture::new();
    let (one, two) = (days(&fixture, SERIES, 5), days(&fixture, "h/-/t", 2));
    let planned = plan(&fixture.repo, &last(2));
    assert_eq!((planned.doomed.len(), planned.kept()), (3, 4));
    let before = fixture.store.names();
    let report = apply(&fixture.repo, &planned, &actor(), &Silent).unwrap();
    assert_eq!(report.forgotten, ids(&one[..3]));
    assert_eq!(listed(&fixture.repo), [ids(&one[3..]), ids(&two)].concat());
    let tag = fixture.tag(SERIES);
    for gone in &one[..3] {
        assert!(!fixture.store.names().contains(&object_name(&tag, &gone.id)));
        let tombstone = fixture.repo.tombstone(&tag, &gone.id).unwrap();
        assert_eq!(tombstone.head, head_of(tag, gone));
        assert_eq!((tombstone.reason.as_str(), tombstone.user.as_str()), ("not kept by: last 2", "user"));
    }
    // Nothing else of what was there is gone.
    assert_eq!(before.iter().filter(|name| !fixture.store.names().contains(name)).count(), 3);
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
    let again = forget(&fixture.repo, &last(2)).unwrap();
    assert_eq!((again.forgotten.len(), again.finished), (0, 0));
}

#[test]
fn a_plan_changes_nothing_and_says_why() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    let before = fixture.store.names();
    let planned = plan(&fixture.repo, &last(1));
    assert_eq!(fixture.store.names(), before);
    let series = &planned.series[0];
    assert_eq!((series.series.as_str(), series.snapshots.len()), (SERIES, 3));
    let reasons: Vec<String> = series.snapshots[2].keep.iter().map(ToString::to_string).collect();
    assert_eq!(
        (series.snapshots[2].id, reasons),
        (all[2].id, ["newest", "newest complete", "last 1/1"].map(String::from).to_vec())
    );
}

#[test]
fn only_the_series_that_are_named_are_looked_at() {
    let fixture = Fixture::new();
    let (one, _) = (days(&fixture, "a/-/s", 3), days(&fixture, "b/-/s", 3));
    let under = |prefix: &str| of_policy(&fixture.repo, &[prefix.to_owned()], &last(1), &TimeZone::UTC, &Silent);
    let planned = under("a").unwrap();
    assert_eq!((planned.series.len(), planned.doomed.len()), (1, 2));
    assert_eq!(planned.doomed[0].head.snapshot, one[0].id);
    for nothing in ["c", "a/-/s/x", "a/-/"] {
        assert_eq!(matches!(under(nothing), Err(Error::Usage { .. })), nothing != "a/-/", "{nothing}");
    }
    let none = of_policy(&fixture.repo, &[], &last(0), &TimeZone::UTC, &Silent);
    assert!(matches!(none, Err(Error::Usage { .. })));
}

#[test]
fn single_snapshots_are_forgotten_unless_they_are_pinned_or_the_last() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    annotate(&fixture.repo, &all[..1], &pin(true), &actor(), &Silent).unwrap();
    assert!(
        matches!(by_id(&fixture.repo, &[all[0].id], true), Err(Error::Refused { what }) if what.contains("pinned"))
    );
    assert!(
        matches!(by_id(&fixture.repo, &[all[2].id], false), Err(Error::Refused { what }) if what.contains("--force"))
    );
    let planned = by_id(&fixture.repo, &[all[1].id, all[1].id], false).unwrap();
    assert_eq!(apply(&fixture.repo, &planned, &actor(), &Silent).unwrap().forgotten, [all[1].id]);
    assert!(
        matches!(by_id(&fixture.repo, &[all[1].id], false), Err(Error::Usage { what }) if what.contains("was forgotten"))
    );
    forget_ids(&fixture.repo, &[all[2].id]);
    assert_eq!(listed(&fixture.repo), [all[0].id]);
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
}

#[test]
fn a_damaged_snapshot_is_forgotten_only_by_force_and_what_it_was_is_kept_where_it_shows() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    let tag = fixture.tag(SERIES);
    // One whose body is damaged, and one whose head is too.
    for (one, at) in [(&all[0], 400), (&all[1], 200)] {
        fixture.store.tamper(&object_name(&tag, &one.id), |bytes| bytes[at] ^= 1);
    }
    assert_eq!(plan(&fixture.repo, &last(1)).unreadable.len(), 2);
    assert!(matches!(by_id(&fixture.repo, &[all[0].id], false), Err(Error::Refused { .. })));
    forget_ids(&fixture.repo, &[all[0].id, all[1].id]);
    let number = |one: &Listed| fixture.repo.tombstone(&tag, &one.id).unwrap().head.head.sequence;
    assert_eq!((number(&all[0]), number(&all[1])), (1, 0));
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
}

#[test]
fn a_tombstone_counts_before_the_snapshot_is_removed() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    let tag = fixture.tag(SERIES);
    annotate(&fixture.repo, &all[2..], &pin(false), &actor(), &Silent).unwrap();
    // Killed after the tombstone of the newest was written.
    fixture.repo.bury(&tombstone(head_of(tag, &all[2]))).unwrap();
    assert_eq!(listed(&fixture.repo), ids(&all[..2]));
    let latest = fixture.repo.resolve(&Address::parse(SERIES.as_bytes()).unwrap(), &|_| unreachable!()).unwrap();
    assert_eq!(latest.surely().unwrap().id, all[1].id);
    assert!(fixture.repo.find(None, &all[2].id.to_string()).is_err());
    for repo in [fixture.as_maintainer(), fixture.as_writer()] {
        let end = repo.series_end(&Series::parse(SERIES).unwrap()).unwrap();
        assert_eq!(
            (end.last.map(|(id, head)| (id, head.sequence)), end.living),
            (Some((all[2].id, 3)), Some(all[1].id))
        );
    }
    let report = check::check(&fixture.repo, ReadData::None, 1, &Silent).unwrap();
    assert_eq!((report.snapshots, report.findings.len(), report.notes.len()), (2, 0, 1), "{report:?}");
    let report = forget(&fixture.repo, &last(9)).unwrap();
    assert_eq!((report.finished, report.forgotten.len()), (1, 0));
    assert_eq!(fixture.names("snapshots/").len(), 2);
}

#[test]
fn numbers_are_never_given_again() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    forget_ids(&fixture.repo, &[all[2].id]);
    let next = fixture.snapshot(SERIES, 1_699_999_999, vec![("f", fixture::file(b"next"))]);
    assert_eq!((next.snapshot.head.sequence, next.snapshot.head.previous), (4, Some(all[2].id)));
    // Not even when none is left, and not by one who cannot open tombstones.
    forget_ids(&fixture.repo, &[all[0].id, all[1].id, next.id]);
    assert_eq!(listed(&fixture.repo), []);
    let request = fixture::request(SERIES, vec![fixture::stream("f", b"by a writer".to_vec())]);
    let head = snapshot(&fixture.as_writer(), request, &Silent).unwrap().snapshot.head;
    assert_eq!((head.sequence, head.previous), (5, Some(next.id)));
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
}

#[test]
fn a_tombstone_that_a_writer_made_explains_nothing() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    let maintainer = fixture.as_maintainer();
    let (tag, writer) = (fixture.tag(SERIES), fixture.as_writer());
    assert!(matches!(writer.bury(&tombstone(head_of(tag, &all[1]))), Err(Error::NotPermitted { .. })));
    assert!(matches!(forget(&writer, &last(1)), Err(Error::NotPermitted { .. })));
    let name = tombstones::object_name(&tag, &all[1].id);
    fixture.store.put(&name, &forged(writer.keys(), &head_of(tag, &all[1]))).unwrap();
    // Its head is as good as any: only the proof is missing.
    assert_eq!(writer.tombstone_head(&tag, &all[1].id).unwrap(), head_of(tag, &all[1]));
    for repo in [&fixture.repo, &maintainer] {
        let snapshots = repo.snapshots(None).unwrap();
        assert_eq!((snapshots.listed.len(), snapshots.doubtful[0].0.as_str()), (3, name.as_str()));
        assert_eq!(findings(repo), [name.as_str()]);
        repo.resolve(&Address::parse(SERIES.as_bytes()).unwrap(), &|_| unreachable!()).unwrap();
    }
    // It is in the way of a forget, which says so and forgets the rest.
    let report = forget(&fixture.repo, &last(1)).unwrap();
    assert_eq!((report.forgotten, report.failed[0].0.as_str()), (vec![all[0].id], name.as_str()));
    assert_eq!(listed(&fixture.repo), ids(&all[1..]));
    // Somebody removed the snapshot: the gap is a finding, and so is the forgery.
    let snapshot = object_name(&tag, &all[1].id);
    fixture.store.remove(&snapshot).unwrap();
    assert_eq!(findings(&fixture.repo), [name.as_str(), snapshot.as_str()]);
}

#[test]
fn tombstones_are_for_one_snapshot_of_one_series_of_one_repository() {
    let fixture = Fixture::new();
    let (all, others) = (days(&fixture, SERIES, 3), days(&fixture, "h/-/t", 2));
    let (tag, other) = (fixture.tag(SERIES), fixture.tag("h/-/t"));
    let entropy = SeededEntropy::new(1);
    let keys = fixture.repo.keys();
    let right = seal_tombstone(keys, &tombstone(head_of(tag, &all[1])), &entropy).unwrap();
    let foreign = Keyring::owner(RepoId([9; 16]), keys.root().unwrap().clone());
    let foreign = seal_tombstone(&foreign, &tombstone(head_of(tag, &all[1])), &entropy).unwrap();
    for (bytes, tag, id) in [(&right, tag, all[0].id), (&right, other, others[0].id), (&foreign, tag, all[1].id)] {
        let name = tombstones::object_name(&tag, &id);
        fixture.store.put(&name, bytes).unwrap();
        assert!(matches!(fixture.repo.prove_forgotten(&tag, &id), Err(Error::Corrupt { .. })), "{name}");
        assert_eq!(listed(&fixture.repo).len(), 5);
        fixture.store.remove(&name).unwrap();
    }
    let name = tombstones::object_name(&tag, &all[1].id);
    fixture.store.put(&name, &right).unwrap();
    assert_eq!(listed(&fixture.repo).len(), 4);
    // Any flipped bit, cut and addition is found, also without any key: it ends with its own hash.
    for at in (0..right.len()).step_by(13) {
        fixture.store.tamper(&name, |bytes| bytes[at] ^= 1);
        assert!(fixture.repo.prove_forgotten(&tag, &all[1].id).is_err(), "{at}");
        fixture.store.tamper(&name, |bytes| bytes[at] ^= 1);
    }
    assert_eq!(hash::object_name(&right[..right.len() - 32]), right[right.len() - 32..]);
}

#[test]
fn a_snapshot_that_is_hidden_behind_forgotten_ones_is_found() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 4);
    forget_ids(&fixture.repo, &[all[1].id, all[2].id]);
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
    let tag = fixture.tag(SERIES);
    for hidden in [object_name(&tag, &all[0].id), tombstones::object_name(&tag, &all[2].id)] {
        let bytes = fixture.store.get(&hidden, u64::MAX).unwrap();
        fixture.store.remove(&hidden).unwrap();
        let expected = object_name(&tag, &if hidden.as_str().starts_with("gone") { all[2].id } else { all[0].id });
        assert_eq!(findings(&fixture.repo), [expected.as_str()]);
        fixture.store.put(&hidden, &bytes).unwrap();
    }
}

#[test]
fn tags_and_pins_hold_and_go_with_their_snapshot() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 4);
    let tag = fixture.tag(SERIES);
    let release = |on| vec![Change::Tag { tag: "release".into(), on }];
    let say = |some: &[Listed], changes: &[Change]| annotate(&fixture.repo, some, changes, &actor(), &Silent).unwrap();
    assert_eq!(say(&all[..2], &release(true)).changed.len(), 2);
    assert_eq!(say(&all[..1], &release(true)).unchanged, [all[0].id]);
    say(&all[1..2], &release(false));
    say(&all[2..3], &[pin(true), release(true)].concat());
    let tagged = Policy { tags: vec!["release".into()], ..last(1) };
    assert_eq!(forget(&fixture.repo, &tagged).unwrap().forgotten, [all[1].id]);
    assert_eq!(fixture.names("notes/").len(), 2);
    assert_eq!(forget(&fixture.repo, &last(1)).unwrap().forgotten, [all[0].id]);
    assert_eq!(listed(&fixture.repo), ids(&all[2..]));
    say(&all[2..3], &pin(false));
    assert_eq!(forget(&fixture.repo, &last(1)).unwrap().forgotten, [all[2].id]);
    assert_eq!(fixture.names("notes/"), []);
    assert_eq!(fixture.repo.annotations(None).unwrap().of(&tag, &all[2].id), Default::default());
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
}

#[test]
fn a_pin_that_comes_between_plan_and_deed_holds() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    let planned = plan(&fixture.repo, &last(1));
    annotate(&fixture.repo, &all[1..2], &pin(true), &actor(), &Silent).unwrap();
    let report = apply(&fixture.repo, &planned, &actor(), &Silent).unwrap();
    assert_eq!((report.forgotten, report.pinned), (vec![all[0].id], vec![all[1].id]));
}

#[test]
fn an_annotation_that_cannot_be_read_pins_its_series() {
    let fixture = Fixture::new();
    let (all, others) = (days(&fixture, SERIES, 3), days(&fixture, "h/-/t", 3));
    annotate(&fixture.repo, &all[..1], &pin(true), &actor(), &Silent).unwrap();
    let note = fixture.names("notes/").remove(0);
    fixture.store.tamper(&note, |bytes| bytes[100] ^= 1);
    let planned = plan(&fixture.repo, &last(1));
    assert_eq!(planned.series[0].illegible.as_deref(), Some(note.as_str()));
    assert_eq!(planned.unreadable[0].0, note.as_str());
    assert!(matches!(by_id(&fixture.repo, &[all[1].id], true), Err(Error::Refused { .. })));
    let report = apply(&fixture.repo, &planned, &actor(), &Silent).unwrap();
    assert_eq!(report.forgotten, ids(&others[..2]));
    assert_eq!(findings(&fixture.repo), [note.as_str()]);
}

#[test]
fn annotations_of_writers_and_of_other_series_do_not_count() {
    let fixture = Fixture::new();
    let (all, writer) = (days(&fixture, SERIES, 2), fixture.as_writer());
    let (tag, other) = (fixture.tag(SERIES), fixture.tag("h/-/t"));
    assert!(matches!(annotate(&writer, &all, &pin(true), &actor(), &Silent), Err(Error::NotPermitted { .. })));
    let said = Annotation {
        series: tag,
        snapshot: all[0].id,
        counter: 1,
        time: Time::from_sec(1),
        host: String::new(),
        user: String::new(),
        changes: pin(true),
    };
    let entropy = SeededEntropy::new(1);
    let bytes = annotations::seal_annotation(fixture.repo.keys(), &said, &entropy).unwrap();
    let (kind, repo) = (object::Kind::Annotation, writer.keys().repo());
    let of_writer =
        object::seal_envelope(kind, repo, &writer.keys().index_key(), &codec::encode(&said), &entropy).unwrap();
    for (folder, bytes) in [(other, &bytes), (tag, &of_writer)] {
        let id = crate::id::AnnotationId(hash::object_name(bytes));
        fixture.store.put(&annotations::object_name(&folder, &id), bytes).unwrap();
    }
    let read = fixture.repo.annotations(None).unwrap();
    assert_eq!((read.illegible.len(), read.of(&tag, &all[0].id).pin), (2, None));
    assert_eq!(findings(&fixture.repo).len(), 2);
    for changes in [
        vec![],
        vec![Change::Tag { tag: "two words".into(), on: true }],
        vec![Change::Tag { tag: String::new(), on: true }],
    ] {
        assert!(
            annotations::seal_annotation(fixture.repo.keys(), &Annotation { changes, ..said.clone() }, &entropy)
                .is_err()
        );
    }
}

#[test]
fn a_newer_format_anywhere_ends_it_before_anything_is_done() {
    for folder in ["snapshots/", "notes/"] {
        let fixture = Fixture::new();
        let all = days(&fixture, SERIES, 3);
        annotate(&fixture.repo, &all[..1], &pin(true), &actor(), &Silent).unwrap();
        // A later version is named by its bytes like any other.
        let name = fixture.names(folder).remove(0);
        let mut bytes = fixture.store.get(&name, u64::MAX).unwrap();
        bytes[8] = 2;
        let newer = format!("{}/{}", name.folder(), SnapshotId(hash::object_name(&bytes)));
        fixture.store.put(&ObjectName::new(newer).unwrap(), &bytes).unwrap();
        let before = fixture.store.names();
        assert!(matches!(forget(&fixture.repo, &last(1)), Err(Error::Unsupported { .. })), "{folder}");
        assert!(matches!(by_id(&fixture.repo, &[all[1].id], true), Err(Error::Unsupported { .. })));
        assert_eq!(fixture.store.names(), before);
    }
}

#[test]
fn a_cancelled_run_is_ended_by_the_next() {
    let fixture = Fixture::new();
    days(&fixture, SERIES, 3);
    let monitor = Recording::default();
    let planned = plan(&fixture.repo, &last(1));
    monitor.cancel();
    assert!(matches!(apply(&fixture.repo, &planned, &actor(), &monitor), Err(Error::Cancelled)));
    assert_eq!(listed(&fixture.repo).len(), 3);
    forget(&fixture.repo, &last(1)).unwrap();
    assert_eq!(fixture.names("snapshots/").len(), 1);
}

/// Objects of the snapshots, tombstones and annotations: what a forget may change.
fn contents(store: &MemoryStore) -> BTreeMap<ObjectName, Vec<u8>> {
    store.names().into_iter().map(|name| (name.clone(), store.get(&name, u64::MAX).unwrap())).collect()
}

#[test]
fn any_step_may_fail_once_and_nothing_is_lost() {
    let build = || {
        let fixture = Fixture::new();
        let all = days(&fixture, SERIES, 4);
        let tagged = [pin(false), vec![Change::Tag { tag: "x".into(), on: true }]].concat();
        annotate(&fixture.repo, &all[..2], &tagged, &actor(), &Silent).unwrap();
        (fixture, all)
    };
    let (fixture, all) = build();
    let whole = contents(&fixture.store);
    let count = {
        let faulty = Arc::new(FaultyStore::new(fixture.store.clone()));
        let repo = fixture.reopen(faulty.clone());
        let before = faulty.total();
        forget(&repo, &last(2)).unwrap();
        faulty.total() - before
    };
    assert!(count > 20, "{count}");
    let (mut stopped, tag) = (0, fixture.tag(SERIES));
    for applied in [false, true] {
        for nth in 1..=count {
            let (fixture, _) = build();
            // Random bytes follow from a seed: the same objects each time.
            assert!(contents(&fixture.store) == whole);
            let faulty = Arc::new(FaultyStore::new(fixture.store.clone()));
            let repo = fixture.reopen(faulty.clone());
            let fault = Fault::any(nth, ErrorKind::Other);
            faulty.plan(if applied { fault.applied() } else { fault });
            stopped += usize::from(forget(&repo, &last(2)).is_err());
            faulty.heal();
            // Whatever is not there any more has its proof, and what is to be kept is there.
            let names = fixture.store.names();
            for one in &all {
                let there = names.contains(&object_name(&tag, &one.id));
                let proven = fixture.repo.tombstone(&tag, &one.id).is_ok();
                let doomed = ids(&all[..2]).contains(&one.id);
                assert!(there || proven, "step {nth}");
                assert!(doomed || there && !proven, "step {nth}");
            }
            assert_eq!(findings(&fixture.repo), Vec::<String>::new(), "step {nth}");
            forget(&fixture.reopen(faulty), &last(2)).unwrap();
            assert_eq!(listed(&fixture.repo), ids(&all[2..]), "step {nth}");
            assert_eq!((fixture.names("notes/"), fixture.names("gone/").len()), (vec![], 2), "step {nth}");
            assert_eq!(findings(&fixture.repo), Vec::<String>::new(), "step {nth}");
        }
    }
    assert!(stopped > count as usize, "{stopped} of {}", 2 * count);
}

#[test]
fn heads_fit_their_place() {
    let head = Head {
        sequence: u64::MAX,
        previous: Some(SnapshotId([255; 32])),
        time: Time { sec: i64::MIN, nsec: 999_999_999 },
        complete: true,
    };
    let head = GoneHead { series: SeriesTag([255; 16]), snapshot: SnapshotId([255; 32]), head };
    assert!(4 + codec::encode(&head).len() <= 128);
    let keys = Keyring::generate(&SeededEntropy::new(1)).unwrap();
    let long =
        Tombstone { reason: "x".repeat(1024), host: "h".repeat(1024), user: "u".repeat(1024), ..tombstone(head) };
    let bytes = seal_tombstone(&keys, &long, &SeededEntropy::new(2)).unwrap();
    let GoneHead { series, snapshot, .. } = &long.head;
    assert_eq!(tombstones::open_tombstone(&keys, &bytes, series, snapshot, &"x").unwrap(), long);
    assert!(seal_tombstone(&keys, &Tombstone { reason: "x".repeat(1025), ..long }, &SeededEntropy::new(2)).is_err());
}
