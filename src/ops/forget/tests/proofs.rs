//! What proves that a snapshot was forgotten, and what does not.

use super::*;
use crate::{
    id::RepoId,
    keys::Keyring,
    model::{limits, snapshot::Head},
    repo::tombstones::{open_tombstone, seal_tombstone},
    seal::{self, SealKey},
    series::Series,
};

/// A tombstone made by hand: its header, its head, and its body under a key, as long as `step` makes it.
fn made(keys: &Keyring, header: &[u8], head: &GoneHead, body: (&SealKey, &Tombstone), step: usize) -> Vec<u8> {
    let mut object = header.to_vec();
    for (key, payload, before, after, step) in
        [(&keys.tombstone_head_key(), codec::encode(head), 0, 0, 128), (body.0, codec::encode(body.1), 224, 48, step)]
    {
        let mut sealed = vec![0; 24];
        seal::seal_append(key, &[0; 24], &object, &object::pad(&payload, before, after, step), &mut sealed);
        object.extend(sealed);
    }
    let sum = hash::object_name(&object);
    object.extend(sum);
    object
}

/// One of somebody who holds a writer key and knows the format: its head is right, its proof cannot be.
fn forged(keys: &Keyring, head: &GoneHead) -> Vec<u8> {
    let header = object::header(object::Kind::Tombstone, keys.repo());
    made(keys, &header, head, (&SealKey::new([0; 32]), &tombstone(head.clone())), 4096)
}

/// By one who holds the keys.
#[test]
fn a_tombstone_that_breaks_the_rules_proves_nothing() {
    let fixture = Fixture::new();
    let keys = fixture.repo.keys();
    let all = days(&fixture, SERIES, 2);
    let tag = fixture.tag(SERIES);
    let (head, other) = (head_of(tag, &all[0]), head_of(tag, &all[1]));
    let header = object::header(object::Kind::Tombstone, keys.repo());
    let key = keys.tombstone_key().unwrap();
    let open = |header: &[u8], body: &Tombstone, step| {
        let bytes = made(keys, header, &head, (&key, body), step);
        open_tombstone(keys, &bytes, &tag, &all[0].id, &"tombstone")
    };
    let right = tombstone(head.clone());
    assert_eq!(open(&header, &right, 4096).unwrap(), right);
    let mut newer = header;
    newer[8] += 1;
    assert!(matches!(open(&newer, &right, 4096), Err(Error::Unsupported { .. })));
    let note = object::header(object::Kind::Note, keys.repo());
    let elsewhere = object::header(object::Kind::Tombstone, RepoId([9; 16]));
    for (header, body, step) in [
        (note, right.clone(), 4096),
        (elsewhere, right.clone(), 4096),
        (header, right.clone(), 2048),
        (header, tombstone(other), 4096),
        (header, Tombstone { time: Time { sec: 0, nsec: 1_000_000_000 }, ..right.clone() }, 4096),
        (header, Tombstone { reason: "x".repeat(limits::REASON_MAX + 1), ..right }, 8192),
    ] {
        let opened = open(&header, &body, step);
        assert!(matches!(opened, Err(Error::Corrupt { .. })), "{opened:?}");
    }
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

/// A writer may store what bears a tombstone's name; it takes no pin away.
#[test]
fn what_proves_nothing_takes_no_annotation_away() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    let tag = fixture.tag(SERIES);
    annotate(&fixture.repo, &all[..1], &pin(true), &actor(), &Silent).unwrap();
    let bytes = forged(fixture.as_writer().keys(), &head_of(tag, &all[0]));
    fixture.store.put(&tombstones::object_name(&tag, &all[0].id), &bytes).unwrap();
    assert_eq!(plan(&fixture.repo, &last(9)).stale, []);
    assert_eq!(forget(&fixture.repo, &last(1)).unwrap().forgotten, [all[1].id]);
    assert_eq!(fixture.names("notes/").len(), 1);
    assert!(listed(&fixture.repo).contains(&all[0].id));
}
