//! What a prune does not touch, or does not begin.

use super::*;
use crate::{monitor::Recording, ops::repair, store::Capabilities};

fn refused(world: &World, options: &Options) -> String {
    let before = world.fixture.store.names();
    let error = prune(world.repo(), options, &Silent).unwrap_err();
    assert_eq!(world.fixture.store.names(), before);
    error.to_string()
}

#[test]
fn what_looks_like_a_loss_is_refused() {
    let careful = Options { force: false, ..at_once() };
    // A snapshot is gone without a tombstone.
    let mut world = World::new();
    let ids: Vec<SnapshotId> = (0..4).map(|n| world.snapshot(&[(3 * n, 0), (3 * n + 1, 0), (3 * n + 2, 0)])).collect();
    let name = world.fixture.object(SERIES, &ids[1]);
    let bytes = world.fixture.store.get(&name, u64::MAX).unwrap();
    world.fixture.store.remove(&name).unwrap();
    assert!(refused(&world, &careful).contains(&ids[1].short()));
    // What only bears a tombstone's name proves nothing.
    let forged = ObjectName::of_parts(&["gone", name.as_str().split('/').nth(1).unwrap(), &ids[1].to_string()]);
    world.fixture.store.put(&forged, b"forgotten, says nobody").unwrap();
    assert!(refused(&world, &careful).contains(&ids[1].short()));
    world.fixture.store.remove(&forged).unwrap();
    plan(world.repo(), &at_once(), &Silent).unwrap();
    world.fixture.store.put(&name, &bytes).unwrap();
    prune(world.repo(), &careful, &Silent).unwrap();

    // One cannot be read: no force helps.
    assert!(world.fixture.store.tamper(&name, |bytes| bytes[300] ^= 1));
    assert!(refused(&world, &at_once()).contains(&ids[1].to_string()));
    assert!(world.fixture.store.tamper(&name, |bytes| bytes[300] ^= 1));

    // An index object cannot be read.
    let index = world.names("index/").into_iter().next().unwrap();
    assert!(world.fixture.store.tamper(&index, |bytes| bytes[300] ^= 1));
    assert!(refused(&world, &at_once()).contains(index.as_str()));
    assert!(world.fixture.store.tamper(&index, |bytes| bytes[300] ^= 1));

    // All of the index is gone.
    let saved: Vec<(ObjectName, Vec<u8>)> = world
        .names("index/")
        .into_iter()
        .map(|n| (n.clone(), world.fixture.store.get(&n, u64::MAX).unwrap()))
        .collect();
    saved.iter().for_each(|(name, _)| world.fixture.store.remove(name).unwrap());
    assert!(refused(&world, &at_once()).contains("index is empty"));
    // A part of it.
    for (name, bytes) in &saved[1..] {
        world.fixture.store.put(name, bytes).unwrap();
    }
    assert!(refused(&world, &at_once()).contains("can be read"));
    world.fixture.store.put(&saved[0].0, &saved[0].1).unwrap();

    // More than half would go.
    for id in &ids[..3] {
        world.forget(*id);
    }
    assert!(refused(&world, &careful).contains("--force"), "{:?}", plan(world.repo(), &at_once(), &Silent));
    // Everything.
    world.forget(ids[3]);
    assert!(refused(&world, &careful).contains("all snapshots were forgotten"));
    world.prune();
    world.prune();
    assert!(world.names("packs/").is_empty());
}

#[test]
fn a_repository_without_any_sign_of_snapshots_is_left_alone() {
    let mut world = World::new();
    let id = world.snapshot(&[(1, 0)]);
    world.fixture.store.remove(&world.fixture.object(SERIES, &id)).unwrap();
    assert!(refused(&world, &at_once()).contains("no snapshots"));
    assert!(plan(&Fixture::new().repo, &at_once(), &Silent).unwrap().is_empty());
}

#[test]
fn a_tree_that_cannot_be_read_is_named_and_nothing_goes() {
    let fixture = Fixture::new();
    let listed = fixture.snapshot(SERIES, 1, vec![("app", fixture::dir(vec![("f", fixture::file(b"contents"))]))]);
    let index = fixture.index();
    let Body::Directory { tree, .. } = listed.snapshot.sources[0].root.body else { panic!() };
    let located = index.locate(index.place(&tree).unwrap()).unwrap();
    let name = crate::pack::object_name(&located.pack);
    assert!(fixture.store.tamper(&name, |bytes| bytes[located.offset as usize] ^= 1));
    let before = fixture.store.names();
    let error = prune(&fixture.repo, &at_once(), &Silent).unwrap_err().to_string();
    assert!(error.contains(&listed.id.short()) && error.contains("nothing is pruned"), "{error}");
    assert_eq!(fixture.store.names(), before);
}

#[test]
fn foreign_objects_are_told_of_and_left_alone() {
    let mut world = forgotten(0);
    let foreign: Vec<ObjectName> = [
        &format!("packs/ab/ab{}", "0".repeat(62))[..],
        &format!("packs/cd/ab{}", "0".repeat(62)),
        "packs/readme",
        "gc/readme",
        "sessions/readme",
        "other/thing",
    ]
    .into_iter()
    .map(|name| ObjectName::new(name).unwrap())
    .collect();
    for name in &foreign {
        world.fixture.store.put(name, b"not of this repository, and longer than a header").unwrap();
    }
    let empty = ["packs", "index", "gone", "gc", "sessions"].map(|folder| ObjectName::of_parts(&[folder, "empty"]));
    for name in &empty {
        world.fixture.store.put(name, b"").unwrap();
    }
    // Whole, and of nobody who holds the keys.
    let bytes = b"neither session nor note";
    for folder in ["gc", "sessions"] {
        let name = format!("{folder}/{}", crate::id::hex(&crate::hash::object_name(bytes)));
        world.fixture.store.put(&ObjectName::new(name).unwrap(), bytes).unwrap();
    }
    let heard = Recording::default();
    prune(world.repo(), &at_once(), &heard).unwrap();
    assert!(heard.notes().iter().filter(|note| note.contains("left alone")).count() >= 4, "{:?}", heard.notes());
    for _ in 0..3 {
        world.pass(2 * DAY);
        world.prune();
    }
    let names = world.fixture.store.names();
    assert!(foreign.iter().chain(&empty).all(|name| names.contains(name)));
    assert_eq!(names.iter().filter(|name| name.as_str().starts_with("sessions/")).count(), 3);
}

#[test]
fn a_newer_format_anywhere_stops_it() {
    for folder in ["keys/", "snapshots/", "index/", "gc/", "sessions/", "packs/"] {
        let world = forgotten(1);
        let store = &world.fixture.store;
        let newer = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[8] = 2;
            bytes
        };
        // A new object of a later version, under its right name, in the place of its like.
        let like = match folder {
            "sessions/" => store.get(&world.names("gc/").into_iter().next().unwrap(), u64::MAX).unwrap(),
            _ => store.get(&world.names(folder).into_iter().next().unwrap(), u64::MAX).unwrap(),
        };
        let bytes = newer(&like);
        let hex = crate::id::hex(&crate::hash::object_name(&bytes));
        let name = match folder {
            "snapshots/" => format!("snapshots/{}/{hex}", world.fixture.tag(SERIES)),
            "packs/" => format!("packs/{}/{hex}", &hex[..2]),
            _ => format!("{folder}{hex}"),
        };
        store.put(&ObjectName::new(name).unwrap(), &bytes).unwrap();
        let before = store.names();
        let done = prune(world.repo(), &at_once(), &Silent);
        assert!(matches!(done, Err(Error::Unsupported { .. })), "{folder}: {done:?}");
        assert_eq!(store.names(), before, "{folder}");
    }
}

#[test]
fn a_damaged_snapshot_that_another_was_made_in_the_place_of_holds_nothing_up() {
    for has_next in [false, true] {
        let mut world = World::new();
        let id = world.snapshot(&[(1, 0)]);
        if has_next {
            world.snapshot(&[(1, 1)]);
        }
        let donor = world.fixture.copy().repo;
        let object = world.fixture.object(SERIES, &id);
        assert!(world.fixture.store.tamper(&object, |bytes| bytes[200] ^= 1));
        let careful = Options { force: false, ..at_once() };
        assert!(refused(&world, &careful).contains(object.as_str()));
        let what = repair::What { index: false, packs: false, snapshots: true };
        let request = repair::Request { what, from: Some(&donor), read_data: false, host: "host", dry_run: false };
        let repaired = repair::repair(world.repo(), &request, &Silent).unwrap();
        let [repair::Repaired { new: Some(new), .. }] = repaired.snapshots.as_deref().unwrap() else {
            panic!("{repaired:?}")
        };
        plan(world.repo(), &careful, &Silent).unwrap();
        world.forget(*new);
        assert!(refused(&world, &careful).contains(object.as_str()), "its stand-in has gone");
    }
}

#[test]
fn where_nothing_can_be_removed_nothing_is_begun() {
    let world = forgotten(1);
    let store = &world.fixture.store;
    store.set_capabilities(Capabilities { remove: false, ..store.capabilities() });
    assert!(refused(&world, &at_once()).contains("nothing can be removed"));
}
