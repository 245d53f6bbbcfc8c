//! Damage is injected, and has to go; or has to be named.

use super::*;
use crate::{
    error::Error,
    hash::object_name,
    monitor::{Monitor as _, Recording, Silent},
    ops::fixture::{self, Fixture, noise},
    parity::{Percent, SECTOR},
    repo::Repository,
    store::{
        Capabilities, Entry, ObjectName, Put, Store, Upload,
        faulty::{Fault, FaultyStore, Op},
        memory::MemoryStore,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

fn percent() -> Percent {
    Percent::new(300).unwrap()
}

fn addition() -> Addition {
    Addition { percent: percent(), mirror: false, drop_missing: false, replace: BTreeSet::new() }
}

/// A repository with some snapshots, and packs of noise with these many bytes besides.
fn scene(packs: &[usize]) -> (Fixture, Vec<ObjectName>) {
    let fixture = Fixture::new();
    for n in 0..3 {
        let files = vec![("a", fixture::file(&noise(50_000, n))), ("b", fixture::file(&noise(300, 100 + n)))];
        fixture.snapshot("h/-/one", n as i64, vec![("data", fixture::dir(files))]);
    }
    let names = packs.iter().enumerate().map(|(n, len)| pack(&fixture.store, *len, 1000 + n as u64)).collect();
    (fixture, names)
}

fn pack(store: &MemoryStore, len: usize, seed: u64) -> ObjectName {
    let repo = Repository::identify(store).unwrap();
    let mut bytes = crate::object::header(crate::object::Kind::DataPack, repo).to_vec();
    bytes.extend(noise(len - bytes.len(), seed));
    let name = crate::pack::object_name(&crate::id::PackId(object_name(&bytes)));
    store.put(&name, &bytes).unwrap();
    name
}

fn contents(store: &MemoryStore) -> BTreeMap<ObjectName, Vec<u8>> {
    let whole = |name: ObjectName| (store.get(&name, u64::MAX).map(|bytes| (name, bytes))).unwrap();
    let names = store.names().into_iter().filter(|name| is_coverable(name.as_str()));
    names.map(whole).collect()
}

/// Spoils this share of all sectors of the objects that `which` chooses, in thousandths, and says how many.
fn spoil(store: &MemoryStore, thousandths: u64, seed: u64, which: impl Fn(&str) -> bool) -> usize {
    let mut all: Vec<(ObjectName, usize)> = Vec::new();
    for name in store.names().into_iter().filter(|name| which(name.as_str())) {
        let len = store.stat(&name).unwrap().unwrap().len;
        all.extend((0..crate::parity::sectors(len)).map(|sector| (name.clone(), sector as usize)));
    }
    let count = (all.len() as u64 * thousandths / 1000) as usize;
    all.sort_by_cached_key(|(name, sector)| object_name(format!("{seed} {name} {sector}").as_bytes()));
    for (name, sector) in all.iter().take(count) {
        store.tamper(name, |bytes| {
            let end = bytes.len().min((sector + 1) * SECTOR);
            bytes[sector * SECTOR..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        });
    }
    count
}

fn mend_all(store: &dyn Store) -> Mending {
    let request = MendRequest {
        examine: Examine::All,
        named: &BTreeSet::new(),
        wants: &|_| true,
        all_missing: true,
        dry_run: false,
    };
    mend(store, &request, &Silent).unwrap()
}

#[test]
fn sectors_lost_at_random_up_to_the_percentage_come_back() {
    let (fixture, _) = scene(&[5 << 20, 3 << 20, 4096, 100_000, 8 << 20]);
    let added = add(&fixture.store, &addition(), &Silent).unwrap();
    assert_eq!((added.unfit, added.missing), (vec![], 0));
    let before = contents(&fixture.store);
    assert_eq!(added.objects, before.keys().filter(|name| is_in_sets(name.as_str())).count() as u64);
    for seed in 0..4 {
        // Sidecars lie on the same medium.
        let spoilt = spoil(&fixture.store, 30, seed, |name| !name.starts_with("damaged/"));
        assert!(spoilt > 120, "{spoilt}");
        let report = mend_all(&fixture.store);
        assert_eq!(report.lost, vec![]);
        let now = contents(&fixture.store);
        let differ: Vec<&ObjectName> = before.keys().filter(|name| now.get(*name) != before.get(*name)).collect();
        assert!(now == before, "seed {seed}: {differ:?} {report:?}");
        assert!(!report.damaged_sidecars.is_empty());
        // The sidecar is as damaged as before: it is made anew.
        let again = Addition { replace: report.damaged_sidecars, ..addition() };
        let again = add(&fixture.store, &again, &Silent).unwrap();
        assert_eq!((again.sidecars, again.removed), (1, 0));
        assert_eq!(status(&fixture.store, &Silent).unwrap().sidecars, 1);
        let idle = mend_all(&fixture.store);
        assert_eq!((idle.mended, idle.damaged_sidecars), (vec![], BTreeSet::new()));
    }
}

#[test]
fn groups_share_what_lies_side_by_side() {
    // Two groups: a scratch of 2 MiB is more than one alone could lose.
    let (fixture, packs) = scene(&[40 << 20, 40 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let before = contents(&fixture.store);
    fixture.store.tamper(&packs[0], |bytes| bytes[10 << 20..12 << 20].fill(0));
    // Eight areas of 64 KiB in the other, at odd places.
    for area in 0..8 {
        let at = (area * 7_900_003 + 1_000_001) % ((40 << 20) - (64 << 10));
        fixture.store.tamper(&packs[1], |bytes| bytes[at..at + (64 << 10)].fill(0));
    }
    let report = mend_all(&fixture.store);
    assert_eq!((report.lost, report.mended.len()), (vec![], 2));
    assert!(contents(&fixture.store) == before);
}

#[test]
fn beyond_the_percentage_what_is_lost_is_named_and_left_alone() {
    let (fixture, packs) = scene(&[2 << 20, 2 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    fixture.store.tamper(&packs[0], |bytes| bytes[..400 << 10].fill(7));
    let damaged = contents(&fixture.store);
    let report = mend_all(&fixture.store);
    let [(object, why)] = &report.lost[..] else { panic!("{report:?}") };
    assert_eq!(object, packs[0].as_str());
    assert!(why.contains("100 of its 512 sectors"), "{why}");
    assert!(contents(&fixture.store) == damaged && report.mended.is_empty());
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let (fixture, packs) = scene(&[2 << 20, 1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    fixture.store.tamper(&packs[0], |bytes| bytes[5000] ^= 1);
    let names = fixture.store.names();
    let named = BTreeSet::new();
    let dry = MendRequest { examine: Examine::All, named: &named, wants: &|_| true, all_missing: false, dry_run: true };
    let told = mend(&fixture.store, &dry, &Silent).unwrap();
    assert_eq!(fixture.store.names(), names);
    assert_eq!(told.mended, mend_all(&fixture.store).mended);
    assert_eq!(told.mended.len(), 1);
    assert_eq!(told.mended[0].sectors, Some(1));
}

#[test]
fn what_was_cut_short_or_lost_comes_back_and_the_damaged_one_is_kept() {
    let (fixture, packs) = scene(&[3 << 20, 40_000, 9000]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let before = contents(&fixture.store);
    fixture.store.tamper(&packs[0], |bytes| bytes.truncate((3 << 20) - 50_000));
    fixture.store.remove(&packs[1]).unwrap();
    fixture.store.tamper(&packs[2], Vec::clear);
    let report = mend_all(&fixture.store);
    assert_eq!(report.mended.len(), 3, "{report:?}");
    assert!(contents(&fixture.store) == before);
    let aside = ObjectName::new(format!("damaged/{}", packs[0])).unwrap();
    assert_eq!(fixture.store.stat(&aside).unwrap().unwrap().len, (3 << 20) - 50_000);
}

#[test]
fn packs_that_are_gone_stay_gone_unless_they_are_asked_for() {
    let (fixture, packs) = scene(&[3 << 20, 8192]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    fixture.store.remove(&packs[1]).unwrap();
    let (none, named) = (BTreeSet::new(), BTreeSet::from([packs[1].clone()]));
    let request =
        |named| MendRequest { examine: Examine::All, named, wants: &|_| true, all_missing: false, dry_run: false };
    assert_eq!(mend(&fixture.store, &request(&none), &Silent).unwrap().mended, vec![]);
    assert_eq!(mend(&fixture.store, &request(&named), &Silent).unwrap().mended.len(), 1);
    assert!(fixture.store.stat(&packs[1]).unwrap().is_some());
}

#[test]
fn forgotten_snapshots_and_removed_keys_do_not_return() {
    let (fixture, _) = scene(&[3 << 20]);
    let maintainer = fixture.as_maintainer();
    let mirrored = Addition { mirror: true, ..addition() };
    add(&fixture.store, &mirrored, &Silent).unwrap();
    let of =
        |folder: &str| fixture.store.names().into_iter().filter(|n| n.as_str().starts_with(folder)).collect::<Vec<_>>();
    let (snapshots, slots) = (of("snapshots/"), of("keys/"));
    drop(maintainer);
    // Forgotten: a tombstone stands in its place. Its contents do not matter here.
    let gone = ObjectName::new(snapshots[0].as_str().replace("snapshots/", "gone/")).unwrap();
    fixture.store.put(&gone, b"tombstone").unwrap();
    fixture.store.remove(&snapshots[0]).unwrap();
    // Lost: nothing does.
    fixture.store.remove(&snapshots[1]).unwrap();
    fixture.store.remove(&slots[0]).unwrap();
    let named = BTreeSet::new();
    let request =
        MendRequest { examine: Examine::Looks, named: &named, wants: &|_| true, all_missing: false, dry_run: false };
    let report = mend(&fixture.store, &request, &Silent).unwrap();
    assert_eq!(report.mended.iter().map(|one| one.object.as_str()).collect::<Vec<_>>(), [snapshots[1].as_str()]);
    // Without any slot there is nothing to be protected from.
    fixture.store.remove(&slots[1]).unwrap();
    let report = mend(&fixture.store, &request, &Silent).unwrap();
    assert_eq!(report.mended.len(), 2);
}

#[test]
fn second_copies_bring_metadata_back_without_sidecars() {
    let (fixture, _) = scene(&[]);
    add(&fixture.store, &Addition { mirror: true, ..addition() }, &Silent).unwrap();
    let is_meta = |name: &str| !name.starts_with("packs/") && is_coverable(name);
    let before = contents(&fixture.store);
    for name in fixture.store.names() {
        if crate::parity::is_sidecar(name.as_str()) {
            fixture.store.remove(&name).unwrap();
        } else if name.as_str() == "config" {
            fixture.store.tamper(&name, |bytes| bytes.fill(0));
        } else if is_meta(name.as_str()) {
            fixture.store.tamper(&name, |bytes| bytes[100] ^= 1);
        }
    }
    assert!(Repository::identify(&fixture.store).is_err());
    let report = mend_all(&fixture.store);
    assert!(contents(&fixture.store) == before);
    assert!(report.mended.iter().all(|one| one.sectors.is_none()) && report.mended.len() > 5, "{report:?}");
    // Tree packs have one, data packs have none.
    let (mut trees, mut data) = (0, 0);
    for (name, bytes) in &before {
        if name.as_str().starts_with("packs/") {
            let has = fixture.store.stat(&mirror_name(name).unwrap()).unwrap().is_some();
            assert_eq!(has, bytes[10] == 4, "{name}");
            *if has { &mut trees } else { &mut data } += 1;
        }
    }
    assert!(trees > 0 && data > 0);
}

#[test]
fn a_damaged_second_copy_is_made_anew() {
    let (fixture, _) = scene(&[]);
    add(&fixture.store, &Addition { mirror: true, ..addition() }, &Silent).unwrap();
    let index = fixture.store.names().into_iter().find(|name| name.as_str().starts_with("index/")).unwrap();
    let second = mirror_name(&index).unwrap();
    fixture.store.tamper(&second, |bytes| bytes[9] ^= 1);
    let report = mend_all(&fixture.store);
    assert_eq!((report.mirrored, report.mended), (1, vec![]));
    assert_eq!(fixture.store.get(&second, 1 << 20).unwrap(), fixture.store.get(&index, 1 << 20).unwrap());
}

#[test]
fn what_is_new_is_covered_alone() {
    let (fixture, _) = scene(&[1 << 20]);
    let first = add(&fixture.store, &addition(), &Silent).unwrap();
    assert_eq!(first.sidecars, 1);
    let idle = add(&fixture.store, &addition(), &Silent).unwrap();
    assert_eq!(idle, Added::default());
    let new = pack(&fixture.store, 2 << 20, 7);
    let second = add(&fixture.store, &addition(), &Silent).unwrap();
    assert_eq!((second.sidecars, second.objects, second.bytes), (1, 1, 2 << 20));
    fixture.store.tamper(&new, |bytes| bytes[77] ^= 1);
    assert_eq!(mend_all(&fixture.store).mended.len(), 1);
}

#[test]
fn a_sidecar_that_lost_its_beginning_still_covers_and_is_told() {
    let (fixture, packs) = scene(&[1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let sidecar = fixture.store.names().into_iter().find(|name| crate::parity::is_sidecar(name.as_str())).unwrap();
    fixture.store.tamper(&sidecar, |bytes| bytes[..SECTOR].fill(0));
    let status = status(&fixture.store, &Silent).unwrap();
    assert_eq!((status.covered, status.damaged.len()), (status.objects, 1));
    assert_eq!(add(&fixture.store, &addition(), &Silent).unwrap(), Added::default());
    fixture.store.tamper(&packs[0], |bytes| bytes[77] ^= 1);
    let report = mend_all(&fixture.store);
    assert_eq!((report.mended.len(), report.damaged_sidecars.len()), (1, 1));
}

#[test]
fn after_a_prune_what_is_left_of_a_set_is_covered_anew() {
    let (fixture, packs) = scene(&[1 << 20, 1 << 20, 1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    fixture.store.remove(&packs[0]).unwrap();
    let before = status(&fixture.store, &Silent).unwrap();
    // The key slot alone, by its second copy.
    assert_eq!((before.weak, before.missing, before.covered), (1, 1, 1));
    // Nothing says that it was removed on purpose: the old sidecar stays.
    let kept = add(&fixture.store, &addition(), &Silent).unwrap();
    assert_eq!((kept.sidecars, kept.missing, kept.removed), (1, 1, 0));
    let dropped = add(&fixture.store, &Addition { drop_missing: true, ..addition() }, &Silent).unwrap();
    assert_eq!((dropped.sidecars, dropped.removed), (0, 1));
    let after = status(&fixture.store, &Silent).unwrap();
    assert_eq!((after.weak, after.missing, after.sidecars, after.covered), (0, 0, 1, after.objects));
    assert!(after.least.unwrap() >= 3.0);
    fixture.store.tamper(&packs[1], |bytes| bytes[..40_000].fill(0));
    assert_eq!(mend_all(&fixture.store).mended.len(), 1);
}

#[test]
fn what_is_damaged_already_is_told_and_not_covered() {
    let (fixture, packs) = scene(&[1 << 20, 1 << 20]);
    fixture.store.tamper(&packs[0], |bytes| bytes[500_000] ^= 1);
    let monitor = Recording::default();
    let added = add(&fixture.store, &addition(), &monitor).unwrap();
    assert_eq!(added.unfit.len(), 1);
    assert!(monitor.problems()[0].starts_with(packs[0].as_str()), "{:?}", monitor.problems());
    let status = status(&fixture.store, &Silent).unwrap();
    assert_eq!(status.covered + 1, status.objects);
}

#[test]
fn wherever_an_addition_fails_the_next_goes_on() {
    let (fixture, _) = scene(&[1 << 20]);
    let start = fixture.store.names();
    let store = FaultyStore::new(fixture.store.clone());
    let mirrored = Addition { mirror: true, ..addition() };
    add(&store, &mirrored, &Silent).unwrap();
    let steps = store.total();
    let done = fixture.store.names();
    assert!(done.len() > start.len());
    for step in (1..=steps).step_by(5) {
        remove(&fixture.store, &Silent).unwrap();
        assert_eq!(fixture.store.names(), start);
        let store = FaultyStore::new(fixture.store.clone());
        store.plan(Fault::any(step, io::ErrorKind::StorageFull).lasting());
        let failed = add(&store, &mirrored, &Silent);
        assert!(failed.is_err(), "step {step} of {steps}: {failed:?}");
        add(&fixture.store, &mirrored, &Silent).unwrap();
        let status = status(&fixture.store, &Silent).unwrap();
        assert_eq!((status.covered, status.mirrored), (status.objects, done.len() as u64 - start.len() as u64 - 1));
    }
}

#[test]
fn wherever_a_mending_fails_nothing_is_worse_and_the_next_goes_on() {
    let (fixture, packs) = scene(&[1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let before = contents(&fixture.store);
    let mut finished = false;
    for step in 1..60 {
        // The last that can be lost of its group: a mending that lost more could not be repeated.
        fixture.store.tamper(&packs[0], |bytes| bytes[..8 * SECTOR].fill(0));
        let store = FaultyStore::new(fixture.store.clone());
        for op in [Op::Rename, Op::Finish, Op::Append, Op::Upload, Op::Sync] {
            if step % 5 == op as u64 % 5 {
                store.plan(Fault::on(op, 1 + step / 5, io::ErrorKind::StorageFull).lasting());
            }
        }
        let request = MendRequest {
            examine: Examine::All,
            named: &BTreeSet::new(),
            wants: &|_| true,
            all_missing: false,
            dry_run: false,
        };
        finished |= mend(&store, &request, &Silent).is_ok();
        let named = BTreeSet::from([packs[0].clone()]);
        let request = MendRequest { named: &named, ..request };
        mend(&fixture.store, &request, &Silent).unwrap();
        assert!(contents(&fixture.store) == before, "step {step}");
        for name in fixture.store.names().iter().filter(|name| name.as_str().starts_with("damaged/")) {
            fixture.store.remove(name).unwrap();
        }
    }
    assert!(finished);
}

#[test]
fn an_index_object_survives_a_mending_that_is_interrupted_anywhere() {
    let (fixture, _) = scene(&[1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let before = contents(&fixture.store);
    let index = before.keys().find(|name| name.as_str().starts_with("index/")).unwrap();
    let none = BTreeSet::new();
    let request =
        MendRequest { examine: Examine::Looks, named: &none, wants: &|_| true, all_missing: false, dry_run: false };
    let mut interrupted_between = false;
    for step in 1..=4 {
        for name in fixture.store.names().iter().filter(|name| name.as_str().starts_with("damaged/")) {
            fixture.store.remove(name).unwrap();
        }
        fixture.store.tamper(index, |bytes| bytes[50] ^= 1);
        let store = FaultyStore::new(fixture.store.clone());
        store.plan(Fault::on(Op::Rename, step, io::ErrorKind::StorageFull).lasting());
        let failed = mend(&store, &request, &Silent).is_err();
        interrupted_between |= failed && fixture.store.stat(index).unwrap().is_none();
        mend(&fixture.store, &request, &Silent).unwrap();
        assert!(contents(&fixture.store) == before, "step {step}");
    }
    assert!(interrupted_between);
    // A prune removes it: what was put aside does not bring it back.
    fixture.store.remove(index).unwrap();
    assert_eq!(mend(&fixture.store, &request, &Silent).unwrap().mended, vec![]);
}

#[test]
fn a_configuration_that_cannot_be_read_is_mended() {
    for mirror in [false, true] {
        let (fixture, _) = scene(&[]);
        add(&fixture.store, &Addition { mirror, ..addition() }, &Silent).unwrap();
        let before = contents(&fixture.store);
        let config = ObjectName::new("config").unwrap();
        let store = Scratched { inner: fixture.store.clone(), bad: [(config.clone(), 0)].into() };
        assert!(matches!(Repository::identify(&store), Err(Error::Store { .. })));
        let report = mend_all(&store);
        assert_eq!(report.mended.iter().map(|one| one.object.as_str()).collect::<Vec<_>>(), ["config"]);
        assert!(contents(&fixture.store) == before);
        // A version that there is not, and a header that is right.
        fixture.store.tamper(&config, |bytes| bytes[8] ^= 0x40);
        assert!(matches!(Repository::identify(&fixture.store), Err(Error::Unsupported { .. } | Error::Corrupt { .. })));
        mend_all(&fixture.store);
        assert!(contents(&fixture.store) == before);
    }
}

#[test]
fn a_rotten_second_copy_of_the_configuration_does_not_win() {
    let (fixture, _) = scene(&[]);
    add(&fixture.store, &Addition { mirror: true, ..addition() }, &Silent).unwrap();
    let before = contents(&fixture.store);
    let config = ObjectName::new("config").unwrap();
    let second = mirror_name(&config).unwrap();
    fixture.store.tamper(&config, |bytes| bytes.fill(0));
    fixture.store.tamper(&second, |bytes| bytes[100] ^= 1);
    assert_eq!(mend_all(&fixture.store).mended[0].sectors, Some(1));
    assert!(contents(&fixture.store) == before);
    // Now that one is right, the other comes from it, whichever of both it is.
    assert_eq!(mend_all(&fixture.store).mirrored, 1);
    assert_eq!(fixture.store.get(&second, 1 << 20).unwrap(), before[&config]);
    fixture.store.tamper(&config, |bytes| bytes[100] ^= 1);
    assert_eq!(mend_all(&fixture.store).mended[0].sectors, None);
    assert!(contents(&fixture.store) == before);
}

#[test]
fn a_key_that_was_removed_leaves_nothing_to_come_back_from() {
    let (fixture, _) = scene(&[]);
    let slot = fixture.store.names().into_iter().find(|name| name.as_str().starts_with("keys/")).unwrap();
    let secret = crate::keys::slot::Secret::Passphrase(b"another".to_vec().into());
    let id = fixture.repo.add_slot(crate::keys::Role::Owner, &secret, crate::keys::slot::Costs::LOW, "second").unwrap();
    let second = ObjectName::of_parts(&["keys", &id.to_string()]);
    let bytes = fixture.store.get(&second, 4096).unwrap();
    for mirror in [false, true] {
        add(&fixture.store, &Addition { mirror, ..addition() }, &Silent).unwrap();
        assert!(fixture.store.stat(&mirror_name(&second).unwrap()).unwrap().is_some());
    }
    // Mended once, so that there is one aside.
    fixture.store.tamper(&second, |bytes| bytes[80] ^= 1);
    assert_eq!(mend_all(&fixture.store).mended.len(), 1);
    fixture.repo.remove_slot(&id.to_string()).unwrap();
    assert!(!fixture.store.names().iter().any(|name| name.as_str().contains(&id.to_string())));
    for name in fixture.store.names() {
        let object = fixture.store.get(&name, u64::MAX).unwrap();
        assert!(!object.windows(64).any(|window| window == &bytes[64..128]), "{name}");
    }
    // Not even where the last one is lost.
    fixture.store.remove(&slot).unwrap();
    let mended = mend_all(&fixture.store).mended;
    assert_eq!(mended.iter().map(|one| one.object.as_str()).collect::<Vec<_>>(), [slot.as_str()]);
}

#[test]
fn a_sidecar_that_was_cut_short_is_made_anew() {
    let (fixture, packs) = scene(&[1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let sidecar = fixture.store.names().into_iter().find(|name| crate::parity::is_sidecar(name.as_str())).unwrap();
    fixture.store.tamper(&sidecar, |bytes| bytes.truncate(bytes.len() / 2));
    let none = BTreeSet::new();
    let looks =
        MendRequest { examine: Examine::Looks, named: &none, wants: &|_| true, all_missing: false, dry_run: true };
    assert_eq!(mend(&fixture.store, &looks, &Silent).unwrap().damaged_sidecars.len(), 1);
    let added = add(&fixture.store, &addition(), &Silent).unwrap();
    assert!(added.sidecars == 1 && added.objects > 5, "{added:?}");
    assert_eq!(mend(&fixture.store, &looks, &Silent).unwrap().damaged_sidecars.len(), 0);
    fixture.store.tamper(&packs[0], |bytes| bytes[..8 * SECTOR].fill(0));
    assert_eq!(mend_all(&fixture.store).mended.len(), 1);
}

#[test]
fn files_of_others_stay_where_they_are() {
    let (fixture, _) = scene(&[1 << 20]);
    let foreign: Vec<ObjectName> =
        ["parity/readme.txt", "mirror/readme.txt"].iter().map(|name| ObjectName::new(*name).unwrap()).collect();
    for name in &foreign {
        fixture.store.put(name, b"mine").unwrap();
    }
    let before = fixture.store.names();
    let replace: BTreeSet<ObjectName> = foreign.iter().cloned().collect();
    let all = Addition { mirror: true, drop_missing: true, replace, ..addition() };
    add(&fixture.store, &all, &Silent).unwrap();
    assert_eq!(mend_all(&fixture.store).damaged_sidecars, BTreeSet::new());
    // A sidecar that tells nothing is put aside when it is made anew: perhaps it only cannot be read today.
    let sidecar =
        fixture.store.names().into_iter().find(|name| list(&fixture.store).unwrap().sidecars[0].name == *name);
    let sidecar = sidecar.unwrap();
    fixture.store.tamper(&sidecar, |bytes| bytes.fill(0));
    let replace = mend_all(&fixture.store).damaged_sidecars;
    assert_eq!(add(&fixture.store, &Addition { replace, ..addition() }, &Silent).unwrap().sidecars, 1);
    let aside = ObjectName::new(format!("damaged/{sidecar}")).unwrap();
    assert!(fixture.store.stat(&aside).unwrap().is_some());
    fixture.store.remove(&aside).unwrap();
    remove(&fixture.store, &Silent).unwrap();
    assert_eq!(fixture.store.names(), before);
}

/// A store of which some sectors cannot be read.
struct Scratched {
    inner: MemoryStore,
    bad: BTreeSet<(ObjectName, u64)>,
}

impl Store for Scratched {
    fn place(&self) -> String {
        "scratched".into()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        let len = self.inner.stat(name)?.map_or(0, |entry| entry.len.min(max));
        let mut bytes = vec![0; len as usize];
        self.get_range(name, 0, &mut bytes).map(|()| bytes)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        let touched = offset / SECTOR as u64..(offset + out.len() as u64).div_ceil(SECTOR as u64);
        match self.bad.range((name.clone(), touched.start)..(name.clone(), touched.end)).next() {
            Some(_) => Err(Error::store("read", name, io::Error::from_raw_os_error(5))),
            None => self.inner.get_range(name, offset, out),
        }
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
    // In one step, as file systems do: the new name has the bad sectors.
    fn rename(&self, from: &ObjectName, to: &ObjectName) -> Result<Put> {
        self.inner.rename(from, to)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.inner.now()
    }
}

#[test]
fn sectors_that_cannot_be_read_are_lost_ones() {
    let (fixture, packs) = scene(&[2 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let before = contents(&fixture.store);
    let bad = [3u64, 4, 200, 511].iter().map(|sector| (packs[0].clone(), *sector)).collect();
    let store = Scratched { inner: fixture.store.clone(), bad };
    // Nothing covers what cannot be read either.
    let unread = add(&store, &Addition { percent: Percent::new(400).unwrap(), ..addition() }, &Silent).unwrap();
    assert_eq!(unread.unfit, vec![], "what is covered is not read again");
    let report = mend_all(&store);
    assert_eq!(report.mended.len(), 1, "{report:?}");
    assert_eq!(report.mended[0].sectors, Some(4));
    assert!(contents(&fixture.store) == before);
}

#[test]
fn both_can_be_stopped() {
    let (fixture, _) = scene(&[1 << 20]);
    let monitor = Recording::default();
    monitor.cancel();
    assert!(monitor.check().is_err());
    assert!(matches!(add(&fixture.store, &addition(), &monitor), Err(Error::Cancelled)));
    add(&fixture.store, &addition(), &Silent).unwrap();
    let request = MendRequest {
        examine: Examine::All,
        named: &BTreeSet::new(),
        wants: &|_| true,
        all_missing: false,
        dry_run: false,
    };
    assert!(matches!(mend(&fixture.store, &request, &monitor), Err(Error::Cancelled)));
}

#[test]
fn all_of_it_goes_and_nothing_else() {
    let (fixture, _) = scene(&[1 << 20]);
    let before = fixture.store.names();
    add(&fixture.store, &Addition { mirror: true, ..addition() }, &Silent).unwrap();
    let removed = remove(&fixture.store, &Silent).unwrap();
    assert!(removed.sidecars == 1 && removed.mirrored > 5 && removed.bytes > 0);
    assert_eq!(fixture.store.names(), before);
}
