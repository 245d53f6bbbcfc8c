//! Damaged packs, and objects of the protocol that cannot be read.

use super::*;
use crate::{
    index::BlobIndex,
    keys::slot::{Costs, Secret},
    model::gc::Step,
    monitor::Recording,
    object::Kind,
    ops::repair,
    pack,
    repo::{Surroundings, Unlock, mover::Mover, session::Stay},
    seal::SealKey,
    store::{
        Capabilities,
        faulty::{Fault, FaultyStore, Op},
    },
    world::{Clock, SeededEntropy, Time},
};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

const REPAIR: repair::Request<'static> = repair::Request {
    what: repair::What { index: false, packs: true, snapshots: false },
    from: None,
    read_data: true,
    host: "host",
    dry_run: false,
};

fn marked(world: &World) -> BTreeSet<PackId> {
    let noted = world.repo().notes().unwrap().noted;
    noted.into_iter().filter(|noted| noted.note.step == Step::Mark).flat_map(|noted| noted.note.packs).collect()
}

#[test]
fn a_damaged_pack_stays_marked_until_what_it_held_is_elsewhere() {
    let mut world = World::new();
    let id = world.snapshot(&[(1, 0), (2, 0), (3, 0), (4, 0)]);
    let index = world.fixture.index();
    let (damaged, ..) = index
        .runs()
        .iter()
        .flat_map(|run| run.packs().collect::<Vec<_>>())
        .find(|(_, _, kind)| *kind == Kind::DataPack as u8)
        .unwrap();
    let located = |id| {
        index
            .runs()
            .iter()
            .flat_map(|run| (0..run.segment_count()).filter_map(|n| run.locate(n)).collect::<Vec<_>>())
            .filter(|one| one.pack == id)
            .collect::<Vec<_>>()
    };
    for segment in located(damaged) {
        world.fixture.store.tamper(&pack::object_name(&damaged), |bytes| bytes[segment.offset as usize + 9] ^= 1);
    }
    repair::repair(world.repo(), &REPAIR, &Silent).unwrap();
    assert_eq!(marked(&world), BTreeSet::from([damaged]));
    for _ in 0..3 {
        world.pass(2 * DAY);
        let (_, report) = prune(world.repo(), &at_once(), &Silent).unwrap();
        assert_eq!((report.damaged, report.removed.packs), (vec![damaged], 0));
        assert_eq!(marked(&world), BTreeSet::from([damaged]), "nobody is to rely on it");
        // No note is stored for nothing.
        assert_eq!(world.names("gc/").len(), 1);
    }
    // The same data heals it.
    let contents = world.held.get(&id).unwrap().clone();
    let again = take(world.repo(), &contents).unwrap();
    world.held.insert(again, contents);
    for _ in 0..2 {
        world.pass(2 * DAY);
        prune(world.repo(), &at_once(), &Silent).unwrap();
    }
    assert!(!world.repo().list_packs().unwrap().contains_key(&damaged));
    assert!(marked(&world).is_empty());
    world.settle();
}

/// A prune condemned the copy while a repair found the other one damaged: neither had seen the other's mark.
#[test]
fn a_sound_copy_does_not_go_in_favour_of_a_marked_one() {
    for ripe_together in [false, true] {
        let mut world = World::new();
        world.snapshot(&[(1, 0), (2, 0), (3, 0), (4, 0)]);
        let first = world.repo().list_packs().unwrap();
        let (index, empty) = (world.fixture.index(), BlobIndex::empty(None));
        let mut mover = Mover::new(world.repo(), &empty, &Silent);
        for (id, ..) in index.runs().iter().flat_map(|run| run.packs().collect::<Vec<_>>()) {
            assert!(mover.copy(&world.repo().read_directory(&id).unwrap(), &|_| true).unwrap());
        }
        let copies = mover.finish().unwrap().packs;
        world.pass(0);
        world.repo().mark(copies.iter().copied()).unwrap();
        for id in first.keys() {
            world.fixture.store.tamper(&pack::object_name(id), |bytes| bytes[100] ^= 1);
        }
        world.pass(3600);
        world.repo().mark(first.keys().copied()).unwrap();
        world.pass(DAY - if ripe_together { 0 } else { 1800 });
        for _ in 0..3 {
            prune(world.repo(), &Options { grace: DAY, ..at_once() }, &Silent).unwrap();
            world.pass(2 * DAY);
        }
        world.settle();
    }
}

#[test]
fn a_pack_that_was_cut_short_goes_once_what_it_held_is_elsewhere() {
    for left in [0, 20, 5000] {
        let mut world = World::new();
        let id = world.snapshot(&[(1, 0), (2, 0), (3, 0), (4, 0)]);
        let index = world.fixture.index();
        let listed: Vec<_> = index.runs().iter().flat_map(|run| run.packs().collect::<Vec<_>>()).collect();
        let (damaged, ..) = *listed.iter().find(|(_, _, kind)| *kind == Kind::DataPack as u8).unwrap();
        world.fixture.store.tamper(&pack::object_name(&damaged), |bytes| bytes.truncate(left));
        repair::repair(world.repo(), &REPAIR, &Silent).unwrap();
        assert_eq!(marked(&world), BTreeSet::from([damaged]));
        let contents = world.held.get(&id).unwrap().clone();
        let again = take(world.repo(), &contents).unwrap();
        world.held.insert(again, contents);
        for _ in 0..2 {
            world.pass(2 * DAY);
            prune(world.repo(), &at_once(), &Silent).unwrap();
        }
        assert!(!world.repo().list_packs().unwrap().contains_key(&damaged), "{left}");
        assert!(marked(&world).is_empty());
        world.settle();
    }
}

#[test]
fn a_damaged_note_stops_nobody_for_longer_than_a_day() {
    let mut world = forgotten(1);
    world.pass(0);
    let mark = world.names("gc/").into_iter().next().unwrap();
    world.fixture.store.tamper(&mark, |bytes| bytes[100] ^= 1);
    let contents: Contents = [(1, 1), (9, 0)].into_iter().collect();
    let refused = |result: Result<()>| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(mark.as_str()) && message.contains("a day after"), "{message}");
    };
    refused(take(world.repo(), &contents).map(drop));
    refused(prune(world.repo(), &Options { force: false, ..at_once() }, &Silent).map(drop));
    assert!(world.names("gc/").contains(&mark));

    world.pass(DAY + 1);
    let heard = Recording::default();
    let sources = contents.iter().map(|(file, version)| fixture::stream(format!("f{file}"), bytes_of(*file, *version)));
    let taken = snapshot(world.repo(), Request { threads: 1, ..fixture::request(SERIES, sources.collect()) }, &heard);
    world.held.insert(taken.unwrap().id.unwrap(), contents);
    assert!(heard.problems().iter().any(|text| text.contains(mark.as_str())), "{:?}", heard.problems());
    prune(world.repo(), &Options { force: false, ..at_once() }, &heard).unwrap();
    assert!(!world.names("gc/").contains(&mark), "prune takes it away");
    world.verify();
    world.settle();
}

#[test]
fn a_damaged_session_stops_no_prune_for_longer_than_a_day_or_than_the_user_says() {
    for force in [false, true] {
        let mut world = forgotten(0);
        world.pass(0);
        let store = world.fixture.store.clone();
        let has_clock = |clock| store.set_capabilities(Capabilities { clock, ..store.capabilities() });
        let name = ObjectName::of_parts(&["sessions", &"5a".repeat(32)]);
        world.fixture.store.put(&name, b"cut short").unwrap();
        let gentle = Options { force: false, ..at_once() };
        let message = prune(world.repo(), &gentle, &Silent).unwrap_err().to_string();
        assert!(message.contains(name.as_str()), "{message}");
        // It is no matter to writers.
        world.snapshot(&[(8, 0)]);
        match force {
            true => {
                let alone = Options { alone: true, ..at_once() };
                assert!(prune(world.repo(), &alone, &Silent).is_err(), "a clock knows better");
                has_clock(false);
                let message = prune(world.repo(), &at_once(), &Silent).unwrap_err().to_string();
                assert!(message.contains("--alone"), "that much may go says nothing of who is at work: {message}");
                prune(world.repo(), &alone, &Silent).unwrap();
                has_clock(true);
            }
            false => {
                world.pass(DAY + 1);
                prune(world.repo(), &gentle, &Silent).unwrap();
            }
        }
        assert!(!world.names("sessions/").contains(&name));
        world.settle();
    }
}

#[test]
fn what_the_disk_cannot_read_is_passed_over_after_a_day_and_stays() {
    let mut world = forgotten(1);
    world.pass(0);
    let mark = world.names("gc/").into_iter().next().unwrap();
    let session = ObjectName::of_parts(&["sessions", &"5a".repeat(32)]);
    world.fixture.store.put(&session, b"whatever").unwrap();
    let faulty = Arc::new(FaultyStore::new(world.fixture.store.clone()));
    let repo = world.fixture.reopen(faulty.clone());
    for name in [&mark, &session] {
        faulty.unreadable(name.clone());
    }
    let gentle = Options { force: false, ..at_once() };
    let contents: Contents = [(1, 1), (9, 0)].into_iter().collect();
    for result in [prune(&repo, &gentle, &Silent).map(drop), take(&repo, &contents).map(drop)] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains("a day after"), "{message}");
    }
    world.pass(DAY + 1);
    let heard = Recording::default();
    prune(&repo, &gentle, &heard).unwrap();
    for name in [&mark, &session] {
        assert!(heard.problems().iter().any(|text| text.contains(name.as_str()) && text.contains("stays")));
        assert!(faulty.stat(name).unwrap().is_some(), "{name} may be readable tomorrow, or by others");
    }
    let id = take(&repo, &contents).unwrap();
    world.held.insert(id, contents);
    // Readable again, the mark is one like any other, and the session is lost.
    faulty.heal();
    world.settle();
    assert!(!world.names("gc/").contains(&mark));
}

/// Each look at it is an hour after the one before.
struct Slow(AtomicI64, i64);

impl Clock for Slow {
    fn now(&self) -> Time {
        Time::from_sec(self.0.fetch_add(self.1, Ordering::SeqCst))
    }
}

/// A client of which each look at the clock comes so many seconds after the one before.
fn slow(world: &World, step: i64) -> Repository {
    let secret = Secret::KeyFile(SealKey::new([77; 32]));
    world.repo().add_slot(crate::keys::Role::Owner, &secret, Costs::LOW, "slow").unwrap();
    let around = Surroundings {
        clock: Arc::new(Slow(AtomicI64::new(1_000_000_000), step)),
        entropy: Arc::new(SeededEntropy::new(9)),
        cache: None,
        state: None,
    };
    let store = Arc::new(world.fixture.store.clone());
    Repository::open(store, &Unlock::Secret(secret), around).unwrap()
}

#[test]
fn a_sweep_that_stood_still_for_half_a_day_removes_nothing() {
    for (step, ends_well) in [(1, true), (13 * 3600, false)] {
        let world = forgotten(1);
        let slow = slow(&world, step);
        let packs = world.names("packs/");
        let done = prune(&slow, &at_once(), &Silent);
        match ends_well {
            true => drop(done.unwrap()),
            false => assert!(matches!(done, Err(Error::Refused { what }) if what.contains("stood still"))),
        }
        assert_eq!(world.names("packs/") == packs, !ends_well);
        world.verify();
    }
}

#[test]
fn nobody_who_stood_still_for_half_a_day_publishes() {
    let contents: Contents = [(1, 0), (2, 0)].into_iter().collect();
    let count = |world: &World| world.repo().snapshots(None).unwrap().listed.len();
    for (step, ends_well) in [(1, true), (13 * 3600, false)] {
        let mut world = World::new();
        world.snapshot(&[(1, 0)]);
        world.pass(0);
        let slow = slow(&world, step);
        let taken = take(&slow, &contents);
        if ends_well {
            world.held.insert(taken.unwrap(), contents.clone());
            assert_eq!(count(&world), 2);
            continue;
        }
        assert!(matches!(taken, Err(Error::Overtaken)), "{taken:?}");
        assert_eq!(count(&world), 1);
        // Its intent is there, for a prune; one that stands still is none the better.
        world.pass(2 * DAY);
        let done = prune(&slow, &at_once(), &Silent);
        assert!(matches!(done, Err(Error::Refused { what }) if what.contains("stood still")));
        assert_eq!(count(&world), 1);
        let (_, report) = world.prune();
        assert_eq!((report.published.len(), count(&world)), (1, 2));
        world.settle();
    }
}

#[test]
fn on_a_full_disk_what_is_damaged_is_passed_over_all_the_same() {
    let mut world = forgotten(0);
    world.pass(0);
    let name = ObjectName::of_parts(&["sessions", &"5a".repeat(32)]);
    world.fixture.store.put(&name, b"cut short").unwrap();
    let faulty = FaultyStore::new(world.fixture.store.clone());
    faulty.plan(Fault::on(Op::Now, 1, std::io::ErrorKind::StorageFull).lasting());
    let repo = world.fixture.reopen(Arc::new(faulty));
    // This machine's clock stands in.
    assert!(repo.clock().now().sec > world.now + DAY);
    prune(&repo, &Options { force: false, ..at_once() }, &Silent).unwrap();
    assert!(!world.names("sessions/").contains(&name));
    world.settle();
}

/// Who pulls a cable has damaged nothing: after a day it would be passed over.
#[test]
fn what_cannot_be_read_because_the_medium_is_gone_is_an_error_and_no_damage() {
    let mut world = forgotten(1);
    world.pass(2 * DAY);
    let session = ObjectName::of_parts(&["sessions", &"5a".repeat(32)]);
    world.fixture.store.put(&session, b"whatever").unwrap();
    let faulty = Arc::new(FaultyStore::new(world.fixture.store.clone()));
    let repo = world.fixture.reopen(faulty.clone());
    faulty.plan(Fault::on(Op::Get, 1, std::io::ErrorKind::NotConnected).lasting());
    // The sectors are bad, and all else is there.
    assert_eq!(repo.notes().unwrap().damaged.len(), 1);
    assert!(matches!(&repo.stays(&Silent).unwrap()[..], [Stay::Damaged(_)]));
    faulty.plan(Fault::on(Op::Stat, 1, std::io::ErrorKind::NotConnected).lasting());
    assert!(matches!(repo.notes(), Err(Error::Store { .. })));
    assert!(matches!(repo.stays(&Silent), Err(Error::Store { .. })));
}

/// Another clock takes its place where there is none, and where there is no room to look at it; not where it fails.
#[test]
fn a_clock_that_cannot_be_read_ends_a_prune() {
    let world = forgotten(1);
    let before = world.names("");
    let faulty = FaultyStore::new(world.fixture.store.clone());
    faulty.plan(Fault::on(Op::Now, 1, std::io::ErrorKind::PermissionDenied).lasting());
    let repo = world.fixture.reopen(Arc::new(faulty));
    assert!(matches!(repo.store_time(), Err(Error::Store { .. })));
    assert!(prune(&repo, &at_once(), &Silent).is_err());
    assert_eq!(world.names(""), before);
}

/// A sweep that was cut off: what it began with has gone, what leans on that has not.
#[test]
fn what_leans_on_a_pack_that_has_gone_is_a_note_when_nothing_needs_it() {
    let mut world = World::new();
    let first = world.snapshot(&[(1, 0)]);
    let packs: Vec<PackId> = world.repo().list_packs().unwrap().into_keys().collect();
    let second = world.snapshot(&[(1, 1)]);
    world.snapshot(&[(9, 0)]);
    let lists = |entry: &crate::pack::PackEntry| entry.kind == Kind::DataPack as u8 && packs.contains(&entry.id);
    let gone = fixture::listed_packs(world.repo()).into_iter().find(lists).unwrap().id;
    let leans = |entry: &crate::pack::PackEntry| entry.directory.segments.iter().any(|one| !one.bases.is_empty());
    assert!(fixture::listed_packs(world.repo()).iter().any(|entry| entry.kind == Kind::DataPack as u8 && leans(entry)));
    world.forget(first);
    world.forget(second);
    world.fixture.store.remove(&pack::object_name(&gone)).unwrap();
    let report = check::check(world.repo(), ReadData::Percent(100.0), 1, &Silent).unwrap();
    assert_eq!(report.findings, [], "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("nothing needs it")), "{report:?}");
    world.settle();
}
