//! What a prune removes, moves and leaves.

use super::*;
use crate::{
    id::{NoteId, SeriesTag},
    model::gc::Step,
    pack::PackEntry,
    repo::mover::Mover,
};

#[test]
fn what_nobody_needs_is_marked_and_then_removed() {
    let mut world = forgotten(0);
    let before = world.names("packs/");
    let options = Options { force: true, ..Options::default() };
    let (planned, first) = prune(world.repo(), &options, &Silent).unwrap();
    assert!(first.marked > 0 && first.removed == Amount::default(), "{first:?}");
    assert!(planned.numbers.dead_bytes > 0 && planned.numbers.condemned.packs == first.marked);
    assert!(world.names("packs/").is_superset(&before));
    world.verify();
    // Too young still; and nothing is marked twice.
    let notes = world.names("gc/");
    world.pass(DAY - 1);
    let (_, again) = prune(world.repo(), &options, &Silent).unwrap();
    assert_eq!((again.removed.packs, again.marked, world.names("gc/")), (0, 0, notes));
    world.pass(1);
    let (_, second) = prune(world.repo(), &options, &Silent).unwrap();
    assert_eq!(second.removed.packs, first.marked);
    world.verify();
    world.settle();
    // The packs that are left hold little beside what is needed.
    let (live, stored) = {
        let plan = plan(world.repo(), &options, &Silent).unwrap();
        (plan.numbers.live.bytes, plan.numbers.dead_bytes)
    };
    assert!(stored * 10 < live, "{stored} of {live}");
}

#[test]
fn a_dry_run_says_what_the_real_one_does_and_changes_nothing() {
    for prunes in 0..3 {
        let world = forgotten(prunes);
        let before = world.fixture.store.names();
        let planned = plan(world.repo(), &at_once(), &Silent).unwrap();
        assert_eq!(world.fixture.store.names(), before);
        let (real, report) = world.prune();
        assert_eq!(planned, real);
        assert_eq!(report.removed, real.numbers.removed);
        assert_eq!(report.moved.packs, real.numbers.moved.packs);
    }
}

#[test]
fn base_blobs_of_what_is_needed_are_needed() {
    let mut world = World::new();
    let old = world.snapshot(&[(1, 0)]);
    world.snapshot(&[(1, 1)]);
    let index = world.fixture.index();
    let leaning = index.runs().iter().any(|run| (0..run.segment_count()).any(|s| run.bases_of(s).count() > 0));
    assert!(leaning, "this test is about segments that lean on others");
    world.forget(old);
    world.settle();
    assert_eq!(world.held.len(), 1);
}

#[test]
fn a_maintainer_prunes_and_a_writer_does_not() {
    let world = forgotten(0);
    let maintainer = world.fixture.as_maintainer();
    prune(&maintainer, &at_once(), &Silent).unwrap();
    let (_, report) = prune(&maintainer, &at_once(), &Silent).unwrap();
    assert!(report.removed.packs > 0);
    world.verify();
    assert!(matches!(prune(&world.fixture.as_writer(), &at_once(), &Silent), Err(Error::NotPermitted { .. })));
}

#[test]
fn live_sessions_hold_sweeps_and_dead_ones_do_not() {
    let mut world = forgotten(1);
    let repo = world.repo().clone();
    let session = repo.begin("host", false, &Silent).unwrap();
    // It has seen the mark.
    assert!(world.prune().1.removed.packs > 0);
    let old = world.snapshot(&[(20, 0), (21, 0), (22, 0)]);
    world.forget(old);
    assert!(world.prune().1.marked > 0);
    // This mark it has not.
    assert_eq!(world.prune().1.removed.packs, 0);
    let (store, now) = (world.fixture.store.clone(), world.now);
    store.set_now(now + DAY - 1);
    assert_eq!(world.prune().1.removed.packs, 0);
    store.set_now(now + DAY);
    assert!(world.prune().1.removed.packs > 0);
    assert!(world.names("sessions/").is_empty());
    drop(session);
    world.verify();
}

#[test]
fn many_small_index_objects_become_few() {
    let mut world = World::new();
    for n in 0..40 {
        world.snapshot(&[(n, 0)]);
    }
    let before = world.names("index/").len();
    assert!(before >= 40);
    world.prune();
    assert!(world.names("index/").len() < 5);
    world.verify();
}

#[test]
fn packs_that_are_damaged_are_not_moved() {
    let mut world = World::new();
    let old = world.snapshot(&[(1, 0), (2, 0), (3, 0), (4, 0)]);
    world.snapshot(&[(1, 0)]);
    world.forget(old);
    let planned = plan(world.repo(), &Options { max_unused: Some(Unused::Bytes(0)), ..at_once() }, &Silent).unwrap();
    let moved = *planned.moves.iter().next().unwrap();
    let name = crate::pack::object_name(&moved);
    // In a stretch that no segment lies in: the pack is not what its name says, and nothing that is needed is lost.
    assert!(world.fixture.store.tamper(&name, |bytes| {
        let end = bytes.len() - 1;
        bytes[end] ^= 1;
    }));
    let options = Options { max_unused: Some(Unused::Bytes(0)), ..at_once() };
    for _ in 0..3 {
        let (_, report) = prune(world.repo(), &options, &Silent).unwrap();
        assert_eq!(report.damaged, [moved]);
    }
    assert!(world.fixture.store.names().contains(&name));
}

#[test]
fn of_a_segment_that_lies_twice_the_copy_in_the_pack_that_no_mark_names_is_kept() {
    let mut world = World::new();
    world.snapshot(&[(1, 0)]);
    world.snapshot(&[(1, 1), (2, 0), (3, 0)]);
    let repo = world.repo();
    let index = world.fixture.index();
    let entries = fixture::listed_packs(repo);
    // The segment that leans on others gets a copy; what it leans on lies in packs that a mark names.
    repo.note(Step::Mark, entries.iter().map(|entry| entry.id).collect()).unwrap();
    let leans = |entry: &PackEntry| entry.directory.segments.iter().any(|segment| !segment.bases.is_empty());
    let damaged = entries.iter().find(|entry| leans(entry)).unwrap();
    let before: BTreeSet<PackId> = repo.list_packs().unwrap().into_keys().collect();
    let mut mover = Mover::new(repo, &index, &Silent);
    assert!(mover.copy(damaged, &|segment| !segment.bases.is_empty()).unwrap());
    mover.finish().unwrap();
    let after = repo.list_packs().unwrap();
    let copy: Vec<_> = after.iter().filter(|(id, _)| !before.contains(*id)).collect();
    let [(copy, len)] = copy[..] else { panic!("{copy:?}") };
    assert!(*len < damaged.len, "the longer one would be kept in any case");
    let planned = plan(repo, &Options { grace: DAY, ..at_once() }, &Silent).unwrap();
    assert!(!planned.dead.contains(copy), "{planned:?}");
}

#[test]
fn moves_are_bounded_by_what_the_user_says() {
    let mut world = World::new();
    let old = world.snapshot(&(0..30).map(|n| (n, 0)).collect::<Vec<_>>());
    world.snapshot(&(0..30).filter(|n| n % 2 == 0).map(|n| (n, 0)).collect::<Vec<_>>());
    world.forget(old);
    let with = |max_unused, max_repack| {
        plan(world.repo(), &Options { max_unused, max_repack, ..at_once() }, &Silent).unwrap().numbers
    };
    let all = with(Some(Unused::Bytes(0)), None);
    assert!(all.moved.bytes > 0 && all.unused_after == 0, "{all:?}");
    assert_eq!(with(Some(Unused::Unlimited), None).moved.bytes, 0);
    let some = with(Some(Unused::Bytes(0)), Some(all.moved.bytes / 2));
    assert!(some.moved.bytes > 0 && some.moved.bytes <= all.moved.bytes / 2, "{some:?}");
    let usual = with(None, None);
    assert!(usual.moved.bytes <= 2 * usual.dead_bytes);
}

/// Whoever has begun to remove it may go on at any time.
#[test]
fn what_is_needed_of_a_pack_that_is_being_removed_is_moved() {
    let mut world = World::new();
    world.snapshot(&[(1, 0)]);
    world.snapshot(&[(2, 0)]);
    let repo = world.repo();
    let packs = repo.list_packs().unwrap();
    let (noticed, len) = packs.into_iter().min().unwrap();
    repo.note(Step::Notice, vec![noticed]).unwrap();
    let stays = Options { max_repack: Some(0), max_unused: Some(Unused::Unlimited), ..at_once() };
    let planned = plan(repo, &stays, &Silent).unwrap();
    assert_eq!((planned.moves.iter().collect::<Vec<_>>(), planned.remove.len()), (vec![&noticed], 0));
    let Numbers { moved, condemned, .. } = planned.numbers;
    assert_eq!((moved.packs, moved.bytes > 0, condemned), (1, true, Amount { packs: 1, bytes: len }));
    let (_, report) = prune(repo, &stays, &Silent).unwrap();
    assert_eq!((report.moved.packs, report.removed.packs), (1, 0));
    world.fixture.store.remove(&crate::pack::object_name(&noticed)).unwrap();
    world.verify();
    world.settle();
}

#[test]
fn the_numbers_are_those_of_what_lies_there() {
    let mut world = World::new();
    let old = world.snapshot(&[(1, 0), (2, 0)]);
    world.snapshot(&[(3, 0)]);
    let before = plan(world.repo(), &at_once(), &Silent).unwrap();
    let packs = world.repo().list_packs().unwrap();
    let lens = |chosen: &dyn Fn(&PackId) -> bool| {
        let chosen: Vec<u64> = packs.iter().filter(|(id, _)| chosen(id)).map(|(_, len)| *len).collect();
        Amount { packs: chosen.len() as u64, bytes: chosen.iter().sum() }
    };
    let entries = fixture::listed_packs(world.repo());
    let segments = |chosen: &dyn Fn(&PackId) -> bool| {
        let chosen = entries.iter().filter(|entry| chosen(&entry.id)).flat_map(|entry| &entry.directory.segments);
        chosen.map(|segment| u64::from(segment.stored)).sum::<u64>()
    };
    let all = &|_: &PackId| true;
    let Numbers { snapshots, stored, live, dead_bytes, condemned, .. } = before.numbers;
    assert_eq!((snapshots, stored, dead_bytes, condemned), (2, lens(all), 0, Amount::default()));
    assert_eq!(live, Amount { packs: packs.len() as u64, bytes: segments(all) });
    // Nothing of the first is in a pack of the second.
    world.forget(old);
    let after = plan(world.repo(), &at_once(), &Silent).unwrap();
    let (dead, needed) = (|id: &PackId| after.dead.contains(id), |id: &PackId| !after.dead.contains(id));
    let Numbers { snapshots, stored, live, dead_bytes, condemned, .. } = after.numbers;
    assert!(!after.dead.is_empty() && after.moves.is_empty());
    assert_eq!((snapshots, stored, dead_bytes, condemned), (1, lens(all), lens(&dead).bytes, lens(&dead)));
    assert_eq!(live, Amount { packs: lens(&needed).packs, bytes: segments(&needed) });
    assert!(after.numbers.live_blobs > 0 && after.numbers.live_blobs < before.numbers.live_blobs);
    assert_eq!(after.numbers.dead_beside_live, 0);
}

#[test]
fn a_plan_is_empty_when_nothing_of_it_is_to_be_done() {
    let (pack, snapshot) = (BTreeSet::from([PackId([1; 32])]), SnapshotId([2; 32]));
    let (tag, name) = (SeriesTag([3; 16]), ObjectName::new("gc/x").unwrap());
    let notices = [NoteId([4; 32])].into();
    assert!(Plan { ripe: 1, held: 1, noticed: pack.clone(), notices, ..Plan::default() }.is_empty());
    for (at, plan) in [
        Plan { marks: [NoteId([4; 32])].into(), ..Plan::default() },
        Plan { remove: pack.clone(), ..Plan::default() },
        Plan { merge: [crate::id::IndexId([5; 32])].into(), ..Plan::default() },
        Plan { stale: 1, ..Plan::default() },
        Plan { moves: pack.clone(), ..Plan::default() },
        Plan { dead: pack, ..Plan::default() },
        Plan { publish: vec![(tag, snapshot)], ..Plan::default() },
        Plan { drop: vec![snapshot], ..Plan::default() },
        Plan { leftovers: vec![(tag, snapshot)], ..Plan::default() },
        Plan { expired: vec![name.clone()], ..Plan::default() },
        Plan { hollow: vec![name], ..Plan::default() },
    ]
    .iter()
    .enumerate()
    {
        assert_eq!((plan.is_empty(), plan.sweeps()), (false, at < 4), "{plan:?}");
    }
    assert_eq!(Plan { publish: vec![(tag, snapshot); 3], ..Plan::default() }.finished(), 3);
}

#[test]
fn after_a_sweep_the_index_lists_what_is_there_and_nothing_else() {
    let mut world = forgotten(1);
    world.pass(2 * DAY);
    // Some of an index object has to go, and some of it stays.
    let of_index = |world: &World| {
        let index = world.fixture.index();
        let packs = |run: &std::sync::Arc<crate::index::Run>| run.packs().map(|(id, ..)| id).collect::<Vec<_>>();
        index.runs().iter().flat_map(packs).collect::<BTreeSet<PackId>>()
    };
    let (before, (_, report)) = (of_index(&world), prune(world.repo(), &at_once(), &Silent).unwrap());
    assert!(report.removed.packs > 0 && report.indexes_replaced > 0);
    let (after, there) = (of_index(&world), world.repo().list_packs().unwrap().into_keys().collect::<BTreeSet<_>>());
    assert!(!before.is_disjoint(&after), "nothing stays");
    assert_eq!(after, there);
    world.settle();
}

/// Files of so many stretches that pages list them, and directories in directories.
#[test]
fn what_is_reached_by_pages_is_needed() {
    let mut world = World::new();
    let old = world.snapshot(&[(1, 0), (2, 0)]);
    let part = |n: u64| fixture::Piece::Data(fixture::noise(100, 7000 + n));
    let many = (0..3000).map(part).collect();
    let deep = fixture::dir(vec![("d", fixture::dir(vec![("f", fixture::file(b"deep"))])), ("g", fixture::file(b"g"))]);
    let sources = vec![("big", fixture::pieces(many)), ("tree", deep)];
    let listed = world.fixture.snapshot("h/-/pages", 1, sources);
    let Body::File { content, .. } = &listed.snapshot.sources[0].root.body else { panic!() };
    assert!(matches!(content, crate::model::node::Content::Paged(_)));
    world.forget(old);
    for _ in 0..3 {
        world.prune();
        world.pass(2 * DAY);
        world.verify();
    }
}
