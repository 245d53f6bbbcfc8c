//! Images without a file system: objects laid out in pieces, with holes where a medium would have them.

use super::{medium::tests::Scratched, *};
use crate::{
    hash::object_name,
    model::annotation::Change,
    monitor::Silent,
    ops::{
        annotate::annotate,
        check::{self, ReadData},
        fixture::{self, Fixture, noise},
        forget, naming, parity,
    },
    parity::{Percent, SECTOR},
    repo::{Repository, snapshots::object_name as snapshot_name},
    series::Series,
    store::{ObjectName, Store, memory::MemoryStore},
};
use std::collections::{BTreeMap, BTreeSet};

fn scene() -> Fixture {
    let fixture = Fixture::new();
    for n in 0..3 {
        let files = vec![
            ("a", fixture::file(&noise(700_000, n))),
            ("b", fixture::file(&noise(300, 100 + n))),
            ("c", fixture::file(&noise(90_000, 200))),
        ];
        fixture.snapshot("h/-/one", n as i64, vec![("data", fixture::dir(files))]);
    }
    fixture
}

fn cover(fixture: &Fixture) {
    let percent = Percent::new(500).unwrap();
    let request = parity::Addition { percent, mirror: false, drop_missing: false, replace: BTreeSet::new() };
    parity::add(&fixture.store, &request, &Silent).unwrap();
}

fn contents(store: &MemoryStore) -> BTreeMap<ObjectName, Vec<u8>> {
    let of = |name: ObjectName| store.get(&name, u64::MAX).map(|bytes| (name, bytes)).unwrap();
    store.names().into_iter().filter(|name| parity::is_coverable(name.as_str())).map(of).collect()
}

/// An image on which all objects lie in pieces of at most `piece` sectors, in no order, `phase` bytes off the sectors' grid.
fn image(store: &MemoryStore, piece: usize, phase: usize) -> Vec<u8> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for name in store.names() {
        let mut bytes = store.get(&name, u64::MAX).unwrap();
        bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        pieces.extend(bytes.chunks(piece * SECTOR).map(<[u8]>::to_vec));
    }
    pieces.sort_by_cached_key(|piece| object_name(piece));
    let mut out = noise(phase + 3 * SECTOR, 9);
    for (n, piece) in pieces.into_iter().enumerate() {
        out.extend(piece);
        // Other people's files lie between.
        out.extend(noise((n % 3) * SECTOR, n as u64));
    }
    out
}

fn run(medium: &Scratched) -> (MemoryStore, Scan, Salvaged) {
    let store = MemoryStore::new();
    let scan = scan(medium, &Silent).unwrap();
    let salvaged = salvage(medium, &scan, None, &store, &Silent).unwrap();
    (store, scan, salvaged)
}

fn owner(store: &MemoryStore, fixture: &Fixture) -> Repository {
    fixture.reopen(std::sync::Arc::new(store.clone()))
}

#[test]
fn what_parity_covers_is_found_in_however_many_pieces() {
    let fixture = scene();
    cover(&fixture);
    let before = contents(&fixture.store);
    for (piece, phase) in [(1, 0), (3, 512), (1000, 3584)] {
        let medium = Scratched { bytes: image(&fixture.store, piece, phase), bad: BTreeSet::new() };
        let (store, scan, salvaged) = run(&medium);
        assert!(contents(&store) == before, "{piece} {phase}: {salvaged:?}");
        assert_eq!((scan.sets.len(), salvaged.whole, salvaged.mended), (1, before.len() as u64, 0));
        // The key slot.
        assert_eq!((salvaged.partial.len(), salvaged.lost.len(), salvaged.carved), (0, 0, 1));
        let report = check::check(&owner(&store, &fixture), ReadData::Percent(100.0), 1, &Silent).unwrap();
        assert_eq!((report.findings, report.snapshots), (vec![], 3));
    }
}

#[test]
fn sectors_that_cannot_be_read_come_from_parity() {
    let fixture = scene();
    cover(&fixture);
    let before = contents(&fixture.store);
    let bytes = image(&fixture.store, 7, 0);
    let steps = bytes.len() / SECTOR;
    // Three of a hundred, among them some of the sidecar's own.
    let mut order: Vec<u64> = (0..steps as u64).collect();
    order.sort_by_cached_key(|step| object_name(&step.to_le_bytes()));
    let bad: BTreeSet<u64> = order.into_iter().take(steps * 3 / 100).collect();
    assert!(bad.len() > 10);
    let (store, scan, salvaged) = run(&Scratched { bytes, bad });
    assert!(contents(&store) == before, "{salvaged:?}");
    assert!(salvaged.mended > 0 && scan.bad.len() > 10);
}

#[test]
fn beyond_what_parity_makes_up_for_the_rest_is_kept_and_the_lost_is_named() {
    let fixture = scene();
    cover(&fixture);
    let before = contents(&fixture.store);
    let mut bytes = image(&fixture.store, 1000, 0);
    // The longest data pack loses a third.
    let (name, pack) =
        before.iter().filter(|(name, _)| name.as_str().starts_with("packs/")).max_by_key(|(_, b)| b.len()).unwrap();
    let at = bytes.windows(4096).step_by(SECTOR).position(|window| window == &pack[..4096]).unwrap() * SECTOR;
    bytes[at + SECTOR..at + pack.len() / 3 + 40 * SECTOR].fill(0);
    let (store, _, salvaged) = run(&Scratched { bytes, bad: BTreeSet::new() });
    let [(object, lost, of)] = &salvaged.partial[..] else { panic!("{salvaged:?}") };
    assert!(object == name.as_str() && lost < of && *lost > 10);
    let now = contents(&store);
    assert_eq!(now.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(now.iter().filter(|(other, bytes)| before[*other] != **bytes).count() == 1);
}

#[test]
fn without_any_parity_what_lies_in_one_piece_comes_back() {
    let fixture = scene();
    let before = contents(&fixture.store);
    let medium = Scratched { bytes: image(&fixture.store, 100_000, 0), bad: BTreeSet::new() };
    let (store, scan, salvaged) = run(&medium);
    let found = contents(&store);
    let is_kind =
        |name: &ObjectName, folder: &str| name.as_str() == folder || name.as_str().starts_with(&format!("{folder}/"));
    for folder in ["config", "keys", "packs"] {
        let of = |all: &BTreeMap<ObjectName, Vec<u8>>| -> Vec<(ObjectName, Vec<u8>)> {
            all.iter().filter(|(name, _)| is_kind(name, folder)).map(|(n, b)| (n.clone(), b.clone())).collect()
        };
        assert!(of(&found) == of(&before) && !of(&before).is_empty(), "{folder}");
    }
    assert_eq!(salvaged.carved, found.len() as u64);
    let repo = owner(&store, &fixture);
    assert_eq!(snapshots(&medium, &scan, &repo, &Silent).unwrap(), 3);
    assert_eq!(snapshots(&medium, &scan, &repo, &Silent).unwrap(), 0);
    let what = crate::ops::repair::What { index: true, packs: true, snapshots: true };
    let request = crate::ops::repair::Request { what, from: None, read_data: true, host: "h", dry_run: false };
    crate::ops::repair::repair(&repo, &request, &Silent).unwrap();
    let report = check::check(&repo, ReadData::Percent(100.0), 1, &Silent).unwrap();
    assert_eq!((report.findings, report.snapshots), (vec![], 3));
}

#[test]
fn tombstones_and_pins_come_back_without_parity_and_what_was_forgotten_does_not() {
    let fixture = scene();
    let actor = forget::Actor { host: "h".into(), user: "u".into() };
    let listed = fixture.repo.snapshots(None).unwrap().listed;
    let tag = fixture.repo.keys().series_tag(&Series::parse("h/-/one").unwrap());
    let pin = [Change::Pin { on: true, reason: Some("audit".into()) }];
    annotate(&fixture.repo, &listed[1..2], &pin, &actor, &Silent).unwrap();
    // Its sectors are still there after it was forgotten.
    let ghost = fixture.store.get(&snapshot_name(&tag, &listed[0].id), u64::MAX).unwrap();
    let plan = forget::of_ids(&fixture.repo, [(tag, listed[0].id)].into(), "old", false, &Silent).unwrap();
    forget::apply(&fixture.repo, &plan, &actor, &Silent).unwrap();
    let before = contents(&fixture.store);
    let mut bytes = image(&fixture.store, 100_000, 0);
    bytes.extend(&ghost);
    bytes.extend(noise(SECTOR, 5));
    let medium = Scratched { bytes, bad: BTreeSet::new() };
    let (store, scan, _) = run(&medium);
    let repo = owner(&store, &fixture);
    assert_eq!(marks(&medium, &scan, &repo, &Silent).unwrap(), 2);
    assert_eq!(marks(&medium, &scan, &repo, &Silent).unwrap(), 0);
    assert_eq!(snapshots(&medium, &scan, &repo, &Silent).unwrap(), 2);
    assert_eq!(repo.tombstone(&tag, &listed[0].id).unwrap().reason, "old");
    let pinned = repo.annotations(None).unwrap().of(&tag, &listed[1].id).pin.unwrap();
    assert_eq!(pinned.reason.as_deref(), Some("audit"));
    let now = contents(&store);
    assert!(now.iter().all(|(name, bytes)| before.get(name) == Some(bytes)), "byte for byte, and nothing else");
}

#[test]
fn several_repositories_are_told_apart() {
    let (one, other) = (scene(), Fixture::with_seed(7));
    cover(&one);
    cover(&other);
    let mut bytes = image(&one.store, 5, 0);
    bytes.extend(image(&other.store, 5, 0));
    let medium = Scratched { bytes, bad: BTreeSet::new() };
    let scan = scan(&medium, &Silent).unwrap();
    assert_eq!(scan.repositories().len(), 2);
    for (fixture, wanted) in
        [(&one, None), (&other, Some(other.repo.keys().repo())), (&one, Some(one.repo.keys().repo()))]
    {
        let store = MemoryStore::new();
        salvage(&medium, &scan, wanted, &store, &Silent).unwrap();
        assert!(contents(&store) == contents(&fixture.store));
    }
    let nobody = salvage(&medium, &scan, Some(crate::id::RepoId([1; 16])), &MemoryStore::new(), &Silent);
    assert!(nobody.is_err());
    let empty = Scratched { bytes: vec![0; 100_000], bad: BTreeSet::new() };
    let nothing = salvage(&empty, &super::scan(&empty, &Silent).unwrap(), None, &MemoryStore::new(), &Silent);
    assert!(matches!(nothing, Err(crate::error::Error::NoRepository { .. })));
}

#[test]
fn from_a_folder_everything_comes_with_what_second_copies_and_parity_bring_back() {
    let fixture = scene();
    let percent = Percent::new(500).unwrap();
    let request = parity::Addition { percent, mirror: true, drop_missing: false, replace: BTreeSet::new() };
    parity::add(&fixture.store, &request, &Silent).unwrap();
    let before = contents(&fixture.store);
    let mut packs: Vec<_> = before.keys().filter(|name| name.as_str().starts_with("packs/")).collect();
    packs.sort_by_key(|name| std::cmp::Reverse(before[*name].len()));
    let mut packs = packs.into_iter();
    fixture.store.tamper(packs.next().unwrap(), |bytes| bytes[5000..9000].fill(1));
    fixture.store.tamper(packs.next().unwrap(), |bytes| bytes.truncate(bytes.len() - 5000));
    fixture.store.remove(&ObjectName::new("config").unwrap()).unwrap();
    let target = MemoryStore::new();
    let salvaged = salvage_folder(&fixture.store, &target, &Silent).unwrap();
    assert!(contents(&target) == before, "{salvaged:?}");
    assert_eq!((salvaged.mended, salvaged.lost.len()), (3, 0));
    assert!(target.names().iter().any(|name| name.as_str().starts_with(naming::MIRROR)));
    // Again, and nothing is done twice.
    assert_eq!(salvage_folder(&fixture.store, &target, &Silent).unwrap().mended, 0);
}

#[test]
fn from_a_folder_nothing_damaged_is_called_whole_and_a_later_try_does_better() {
    let fixture = scene();
    let before = contents(&fixture.store);
    let packs = before.keys().filter(|name| name.as_str().starts_with("packs/"));
    let pack = packs.max_by_key(|name| before[*name].len()).unwrap();
    let target = MemoryStore::new();
    fixture.store.tamper(pack, |bytes| bytes[5000..9000].fill(0));
    for _ in 0..2 {
        let salvaged = salvage_folder(&fixture.store, &target, &Silent).unwrap();
        assert_eq!(salvaged.whole, before.len() as u64 - 1);
        let [(object, ..)] = &salvaged.partial[..] else { panic!("{salvaged:?}") };
        assert_eq!(object, pack.as_str());
        // The same damage is not kept again and again.
        assert!(!target.names().iter().any(|name| name.as_str().starts_with(naming::DAMAGED)));
    }
    // Next time the disk gives it.
    fixture.store.tamper(pack, |bytes| *bytes = before[pack].clone());
    let salvaged = salvage_folder(&fixture.store, &target, &Silent).unwrap();
    assert_eq!((salvaged.whole, salvaged.partial.len()), (before.len() as u64, 0));
    assert!(contents(&target) == before);
}

#[test]
fn from_a_folder_what_was_put_aside_comes_too() {
    let fixture = scene();
    cover(&fixture);
    let before = contents(&fixture.store);
    let pack = before.keys().filter(|name| name.as_str().starts_with("packs/")).max_by_key(|name| before[*name].len());
    let (pack, whole) = (pack.unwrap(), &before[pack.unwrap()]);
    let half = whole.len() / 2 / SECTOR * SECTOR;
    // More than parity makes up for, in each of the three.
    let (mut front, mut back) = (whole.clone(), whole.clone());
    front[half..].fill(1);
    back[..half].fill(1);
    fixture.store.tamper(pack, |bytes| bytes.fill(1));
    for (number, bytes) in [("", front), (".1", back)] {
        fixture.store.put(&ObjectName::new(format!("damaged/{pack}{number}")).unwrap(), &bytes).unwrap();
    }
    let target = MemoryStore::new();
    for _ in 0..2 {
        let salvaged = salvage_folder(&fixture.store, &target, &Silent).unwrap();
        assert_eq!((salvaged.whole, salvaged.lost.len()), (before.len() as u64, 0), "{salvaged:?}");
    }
    assert!(contents(&target) == before);
}

#[test]
fn a_repository_in_use_is_no_place_for_what_is_salvaged() {
    let (fixture, other) = (scene(), Fixture::with_seed(7));
    let medium = Scratched { bytes: image(&fixture.store, 1000, 0), bad: BTreeSet::new() };
    let seen = scan(&medium, &Silent).unwrap();
    let names = fixture.store.names();
    let refused = |salvaged: crate::error::Result<Salvaged>| {
        assert!(matches!(salvaged, Err(crate::error::Error::Refused { .. })), "{salvaged:?}");
    };
    refused(salvage(&medium, &seen, None, &fixture.store, &Silent));
    refused(salvage_folder(&fixture.store, &fixture.store, &Silent));
    assert_eq!(fixture.store.names(), names);
    let target = MemoryStore::new();
    salvage_folder(&fixture.store, &target, &Silent).unwrap();
    salvage(&medium, &seen, None, &target, &Silent).unwrap();
    refused(salvage_folder(&other.store, &target, &Silent));
}

#[test]
fn what_was_forgotten_stays_away() {
    let fixture = scene();
    cover(&fixture);
    let snapshot = fixture.store.names().into_iter().find(|name| name.as_str().starts_with("snapshots/")).unwrap();
    // Forgotten, and the tombstone covered, after the snapshot was.
    let gone = ObjectName::new(snapshot.as_str().replace("snapshots/", "gone/")).unwrap();
    let mut tombstone = noise(200, 5);
    tombstone.extend(object_name(&tombstone));
    fixture.store.put(&gone, &tombstone).unwrap();
    cover(&fixture);
    let medium = Scratched { bytes: image(&fixture.store, 7, 0), bad: BTreeSet::new() };
    let (store, scan, _) = run(&medium);
    assert_eq!(scan.sets.len(), 2);
    assert!(store.stat(&gone).unwrap().is_some() && store.stat(&snapshot).unwrap().is_none());
}

#[test]
fn what_is_carved_is_told_apart() {
    let fixture = scene();
    let before = contents(&fixture.store);
    let config = ObjectName::new("config").unwrap();
    let mut bytes = image(&fixture.store, 100_000, 0);
    // An older configuration, once, at the front; the right one twice.
    let mut other = before[&config].clone();
    other[100] ^= 1;
    let mut medium = Vec::new();
    medium.extend(&other);
    medium.append(&mut bytes);
    medium.extend(&before[&config]);
    // More slots than anybody tries.
    let slot = before.iter().find(|(name, _)| name.as_str().starts_with("keys/")).unwrap().1;
    for n in 0..40u8 {
        let mut slot = slot.clone();
        slot[200] = slot[200].wrapping_add(n);
        medium.extend(&slot);
    }
    // One sector of the longest pack cannot be read.
    let pack = before.iter().filter(|(name, _)| name.as_str().starts_with("packs/")).max_by_key(|(_, b)| b.len());
    let pack = pack.unwrap().1;
    let at = medium.windows(4096).step_by(512).position(|window| window == &pack[..4096]).unwrap() * 512;
    let bad = BTreeSet::from([(at / SECTOR + 2) as u64]);
    let (store, _, salvaged) = run(&Scratched { bytes: medium, bad });
    assert_eq!(store.get(&config, u64::MAX).unwrap(), before[&config]);
    assert_eq!(store.get(&ObjectName::new("damaged/config").unwrap(), u64::MAX).unwrap(), other);
    let slots = store.names().iter().filter(|name| name.as_str().starts_with("keys/")).count();
    assert_eq!(slots, crate::model::limits::SLOTS_MAX);
    let [(_, lost, _)] = &salvaged.partial[..] else { panic!("{salvaged:?}") };
    assert!((1..=2).contains(lost));
}

#[test]
fn a_stray_block_does_not_decide_the_shape_of_a_set() {
    let fixture = scene();
    cover(&fixture);
    let before = contents(&fixture.store);
    let sidecar = fixture.store.names().into_iter().find(|name| name.as_str().starts_with("parity/")).unwrap();
    let mut stray = fixture.store.get(&sidecar, u64::MAX).unwrap()[..SECTOR].to_vec();
    // M is another; its sum is right.
    stray[60] ^= 1;
    let sum = object_name(&stray[..SECTOR - 32]);
    stray[SECTOR - 32..].copy_from_slice(&sum);
    stray.extend(image(&fixture.store, 7, 0));
    let (store, scan, salvaged) = run(&Scratched { bytes: stray, bad: BTreeSet::new() });
    assert_eq!((scan.sets.len(), scan.lost_sets), (1, 1));
    assert!(contents(&store) == before, "{salvaged:?}");
}
