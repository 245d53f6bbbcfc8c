//! Short packs that are many, and packs that somebody has marked.

use super::*;

const TARGET: u32 = 1 << 20;

/// So many snapshots of something small each, all of which are kept.
fn nights(world: &mut World, nights: std::ops::Range<u64>) {
    for night in nights {
        world.snapshot(&[(night, 0)]);
    }
}

fn small_packs() -> World {
    World { fixture: Fixture::with_packs(42, TARGET), now: 1_000_000_000, held: BTreeMap::new() }
}

fn gentle() -> Options {
    Options { force: false, ..at_once() }
}

#[test]
fn short_packs_are_put_together_once_and_not_again() {
    let mut world = small_packs();
    nights(&mut world, 0..7);
    assert_eq!(plan(world.repo(), &gentle(), &Silent).unwrap().numbers.merged.packs, 0, "seven are not worth it");
    nights(&mut world, 7..20);
    let before = world.names("packs/").len();
    assert!(before >= 20);
    for held_back in [
        Options { max_repack: Some(0), ..gentle() },
        Options { max_repack: Some(5000), ..gentle() },
        Options { max_unused: Some(Unused::Unlimited), ..gentle() },
    ] {
        assert_eq!(plan(world.repo(), &held_back, &Silent).unwrap().numbers.merged.packs, 0, "{held_back:?}");
    }
    // As many as may be moved, if these are enough.
    let some = plan(world.repo(), &Options { max_repack: Some(10 * 9200), ..gentle() }, &Silent).unwrap();
    assert!((8..=10).contains(&some.numbers.merged.packs), "{:?}", some.numbers);

    let would = plan(world.repo(), &gentle(), &Silent).unwrap();
    let (did, report) = prune(world.repo(), &gentle(), &Silent).unwrap();
    assert_eq!(would, did);
    assert_eq!((report.moved.packs, did.numbers.merged.packs), (before as u64, before as u64));
    world.verify();
    world.pass(2 * DAY);
    let (_, report) = prune(world.repo(), &gentle(), &Silent).unwrap();
    assert_eq!(report.removed.packs, before as u64);
    assert_eq!(report.moved.packs, 0);
    world.verify();
    let after = world.names("packs/").len();
    assert!(after <= 2, "{after}");
    // What came of it is left alone, whatever nights follow, until there are eight again.
    nights(&mut world, 20..27);
    assert_eq!(plan(world.repo(), &gentle(), &Silent).unwrap().numbers.moved.packs, 0);
    nights(&mut world, 27..28);
    let again = plan(world.repo(), &gentle(), &Silent).unwrap().numbers;
    assert!(again.merged.packs >= 8 && again.merged.bytes < 9 * 9300, "{again:?}");
    world.settle();
}

#[test]
fn what_is_needed_of_a_marked_pack_is_moved_and_then_the_pack_goes() {
    let mut world = World::new();
    world.snapshot(&[(1, 0), (2, 0), (3, 0)]);
    world.snapshot(&[(4, 0)]);
    let marked: BTreeSet<PackId> = world.repo().list_packs().unwrap().into_keys().take(2).collect();
    world.repo().mark(marked.iter().copied()).unwrap();
    let would = plan(world.repo(), &gentle(), &Silent).unwrap();
    assert_eq!(would.numbers.moved.packs, 2);
    let nothing = plan(world.repo(), &Options { max_repack: Some(0), ..gentle() }, &Silent).unwrap();
    assert_eq!(nothing.numbers.moved.packs, 0);
    let (did, report) = prune(world.repo(), &gentle(), &Silent).unwrap();
    assert_eq!((would, report.moved.packs, report.removed.packs), (did, 2, 0));
    world.verify();
    assert_eq!(world.names("gc/").len(), 1, "the mark stays while its packs are there");
    let (_, report) = prune(world.repo(), &gentle(), &Silent).unwrap();
    assert_eq!((report.removed.packs, report.moved.packs), (2, 0));
    world.verify();
    assert!(marked.iter().all(|id| !world.repo().list_packs().unwrap().contains_key(id)));
    world.settle();
    assert!(world.repo().notes().unwrap().noted.iter().all(|noted| noted.note.step == crate::model::gc::Step::Notice));
}
