//! Names without bytes, as a power cut leaves them on FAT: what nobody was told of is in nobody's way, and what somebody was told of
//! is missed.

use super::*;
use crate::{
    id::SeriesTag,
    model::gc::Step,
    pack,
    repo::{session::intent_name, snapshots},
    series::Series,
    store::{faulty::FaultyStore, interrupted::Interrupted},
};
use std::sync::Arc;

fn hollow(world: &World, name: &ObjectName) {
    world.fixture.store.remove(name).unwrap();
    world.fixture.store.put(name, b"").unwrap();
}

fn tag(world: &World) -> SeriesTag {
    world.repo().keys().series_tag(&Series::parse(SERIES).unwrap())
}

#[test]
fn what_was_on_its_way_stops_nobody_is_told_and_goes() {
    for class in ["gc", "sessions", "index", "gone", "packs"] {
        let mut world = World::new();
        world.snapshot(&[(1, 0), (2, 0)]);
        let id = "ab".repeat(32);
        let name = match class {
            "gone" => ObjectName::of_parts(&[class, &tag(&world).to_string(), &id]),
            "packs" => pack::object_name(&crate::id::PackId([0xab; 32])),
            folder => ObjectName::of_parts(&[folder, &id]),
        };
        hollow(&world, &name);
        let report = check::check(world.repo(), ReadData::Percent(100.0), 1, &Silent).unwrap();
        // An index object of which nothing is missed is no more than a note.
        let told = report.findings.iter().map(|of| of.object.as_str()).chain(report.notes.iter().map(String::as_str));
        assert_eq!(told.filter(|told| told.starts_with(name.as_str())).count(), 1, "{report:?}");
        assert!(report.losses.is_empty(), "{report:?}");
        world.snapshot(&[(1, 1), (2, 0)]);
        world.prune();
        assert_eq!(world.fixture.store.stat(&name).unwrap(), None, "{class}");
        world.settle();
    }
}

#[test]
fn a_snapshot_without_bytes_is_published_from_its_intent() {
    let mut world = World::new();
    world.snapshot(&[(1, 0)]);
    let contents: Contents = [(1, 1), (2, 0)].into_iter().collect();
    let id = take(world.repo(), &contents).unwrap();
    let name = snapshots::object_name(&tag(&world), &id);
    let bytes = world.fixture.store.get(&name, 1 << 20).unwrap();
    world.fixture.store.put(&intent_name(&id), &bytes).unwrap();
    hollow(&world, &name);
    assert_eq!(world.repo().snapshots(None).unwrap().listed.len(), 1);
    world.verify();
    world.held.insert(id, contents);
    world.pass(2 * DAY);
    assert_eq!(world.prune().1.published, [id]);
    assert_eq!(world.fixture.store.get(&name, 1 << 20).unwrap(), bytes);
    world.settle();
}

#[test]
fn nothing_is_pruned_when_what_somebody_was_told_of_has_lost_its_bytes() {
    for class in ["snapshots/", "index/"] {
        let mut world = World::new();
        world.snapshot(&[(1, 0), (2, 0)]);
        world.snapshot(&[(3, 0), (4, 0)]);
        let packs = world.names("packs/");
        for name in world.names(class) {
            let bytes = world.fixture.store.get(&name, 1 << 20).unwrap();
            hollow(&world, &name);
            world.pass(2 * DAY);
            for options in [at_once(), Options { force: false, ..at_once() }] {
                assert!(prune(world.repo(), &options, &Silent).is_err(), "{name}");
            }
            let report = check::check(world.repo(), ReadData::None, 1, &Silent).unwrap();
            assert!(report.findings.iter().any(|of| of.object == name.as_str()), "{name}: {:?}", report.findings);
            assert!(report.findings.iter().any(|of| of.lost_count > 0), "{name}: {:?}", report.findings);
            assert_eq!(world.names("packs/"), packs);
            world.fixture.store.put(&name, &bytes).unwrap();
        }
        world.settle();
    }
}

#[test]
fn a_pack_without_bytes_is_missed() {
    let mut world = World::new();
    let id = world.snapshot(&[(1, 0), (2, 0)]);
    let pack = *world.repo().list_packs().unwrap().keys().next().unwrap();
    hollow(&world, &pack::object_name(&pack));
    world.pass(2 * DAY);
    assert!(prune(world.repo(), &at_once(), &Silent).is_err());
    assert!(!world.repo().notes().unwrap().noted.iter().any(|noted| noted.note.step == Step::Notice));
    assert!(world.repo().snapshots(None).unwrap().listed.iter().any(|listed| listed.id == id));
}

#[test]
fn the_first_snapshot_of_all_is_published_too() {
    let mut world = World::new();
    let contents: Contents = [(1, 1), (2, 0)].into_iter().collect();
    let id = take(world.repo(), &contents).unwrap();
    let name = snapshots::object_name(&tag(&world), &id);
    let bytes = world.fixture.store.get(&name, 1 << 20).unwrap();
    world.fixture.store.put(&intent_name(&id), &bytes).unwrap();
    // Another of which neither snapshot nor intent is there: they may be lost, and no word of the user's makes that good.
    let other = take(world.repo(), &[(7, 1), (8, 0)].into_iter().collect()).unwrap();
    let lost = snapshots::object_name(&tag(&world), &other);
    let bytes_of_lost = world.fixture.store.get(&lost, 1 << 20).unwrap();
    hollow(&world, &name);
    world.fixture.store.remove(&lost).unwrap();
    world.pass(2 * DAY);
    let refused = prune(world.repo(), &at_once(), &Silent).unwrap_err();
    assert!(refused.to_string().contains("no snapshots"), "{refused}");
    // Without that one the first is finished.
    world.fixture.store.put(&lost, &bytes_of_lost).unwrap();
    world.held.insert(id, contents);
    world.fixture.store.put(&intent_name(&other), &bytes_of_lost).unwrap();
    world.fixture.store.remove(&lost).unwrap();
    let (_, report) = prune(world.repo(), &Options { force: false, ..at_once() }, &Silent).unwrap();
    assert_eq!(report.published.len(), 2);
    assert!(report.published.contains(&id));
    world.settle();
}

#[test]
fn an_intent_stays_while_what_it_needs_can_be_listed_again() {
    let mut world = World::new();
    world.snapshot(&[(1, 0)]);
    let before = world.names("index/");
    let contents: Contents = [(2, 0), (3, 0)].into_iter().collect();
    let id = take(world.repo(), &contents).unwrap();
    let (name, store) = (snapshots::object_name(&tag(&world), &id), world.fixture.store.clone());
    store.put(&intent_name(&id), &store.get(&name, 1 << 20).unwrap()).unwrap();
    hollow(&world, &name);
    let index = world.names("index/").into_iter().find(|name| !before.contains(name)).unwrap();
    let bytes = store.get(&index, 1 << 20).unwrap();
    hollow(&world, &index);
    world.pass(2 * DAY);
    let plan = plan(world.repo(), &at_once(), &Silent).unwrap();
    assert_eq!((plan.held, plan.drop.len(), plan.publish.len()), (1, 0, 0), "{plan:?}");
    store.put(&index, &bytes).unwrap();
    world.held.insert(id, contents);
    assert_eq!(world.prune().1.published, [id]);
    world.settle();
}

/// A name without bytes gets its bytes, from whoever takes up what he had begun, before each step of a prune in turn.
#[test]
fn what_has_its_bytes_by_now_is_not_taken_for_empty() {
    let opening = {
        let world = World::new();
        let store = Arc::new(FaultyStore::new(world.fixture.store.clone()));
        drop(world.fixture.reopen(store.clone()));
        store.total()
    };
    let mut lost = 0;
    for nth in opening + 1.. {
        let mut world = forgotten(1);
        let named = world.repo().notes().unwrap().named();
        let dead = world.names("packs/").into_iter().find(|name| named.iter().any(|id| pack::object_name(id) == *name));
        let dead = dead.unwrap();
        let store = world.fixture.store.clone();
        let bytes = store.get(&dead, 1 << 20).unwrap();
        hollow(&world, &dead);
        let came = dead.clone();
        let come = move || {
            store.remove(&came).unwrap();
            store.put(&came, &bytes).unwrap();
        };
        let interrupted = Interrupted::new(world.fixture.store.clone(), nth, come);
        let _ = prune(&world.fixture.reopen(interrupted.clone()), &Options { grace: DAY, ..at_once() }, &Silent);
        if !interrupted.happened() {
            break;
        }
        lost += usize::from(world.fixture.store.stat(&dead).unwrap().is_none());
        world.settle();
    }
    // Between the last look and the removal nobody can be seen.
    assert_eq!(lost, 1);
}
