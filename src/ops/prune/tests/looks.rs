//! A sweep looks twice: before its notice is stored, and after it. What changes in between counts.

use super::*;
use crate::{
    id::PackId,
    model::gc::Step,
    monitor::{Monitor, Phase},
    repo::session::intent_name,
};
use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

/// Does something when the second look begins.
struct Between<'e> {
    looks: AtomicU64,
    event: Mutex<Option<Box<dyn FnOnce() + Send + 'e>>>,
}

impl<'e> Between<'e> {
    fn new(event: impl FnOnce() + Send + 'e) -> Self {
        Between { looks: AtomicU64::new(0), event: Mutex::new(Some(Box::new(event))) }
    }

    fn happened(&self) -> bool {
        self.event.lock().unwrap().is_none()
    }
}

impl Monitor for Between<'_> {
    fn phase(&self, phase: Phase) {
        if phase == Phase::Planning && self.looks.fetch_add(1, Ordering::SeqCst) == 1 {
            let event = self.event.lock().unwrap().take();
            event.unwrap()();
        }
    }
}

/// What the snapshot of an intent holds.
const OF_INTENT: [(u64, u64); 2] = [(1, 1), (8, 0)];

/// Marks that are ripe, and a writer that died just before it published: its intent, old enough to be published for it, and the packs
/// that only this needs.
fn abandoned() -> (World, SnapshotId, Vec<PackId>) {
    let mut world = forgotten(1);
    let before: BTreeSet<PackId> = world.repo().list_packs().unwrap().into_keys().collect();
    let id = world.snapshot(&OF_INTENT);
    let name = world.fixture.object(SERIES, &id);
    let bytes = world.fixture.store.get(&name, u64::MAX).unwrap();
    world.fixture.store.put(&intent_name(&id), &bytes).unwrap();
    world.fixture.store.remove(&name).unwrap();
    world.held.remove(&id);
    let own = world.repo().list_packs().unwrap().into_keys().filter(|pack| !before.contains(pack)).collect();
    (world, id, own)
}

fn gentle() -> Options {
    Options { grace: DAY, ..at_once() }
}

fn has_intent(world: &World, id: &SnapshotId) -> bool {
    world.names("sessions/").contains(&intent_name(id))
}

/// What it needs is moved first, like all that is needed of such packs.
#[test]
fn an_intent_that_needs_what_is_being_removed_is_published_by_the_next_prune() {
    for (step, is_ripe) in [(Step::Mark, false), (Step::Mark, true), (Step::Notice, true)] {
        let (mut world, id, own) = abandoned();
        world.pass(if is_ripe { 0 } else { 2 * DAY });
        match step {
            Step::Mark => world.repo().mark(own).map(drop).unwrap(),
            Step::Notice => {
                // The worse of what is said of a pack counts.
                world.repo().note(Step::Notice, own.clone()).unwrap();
                world.repo().mark(own).map(drop).unwrap();
            }
        }
        world.pass(if is_ripe { 2 * DAY } else { 0 });
        let (plan, report) = prune(world.repo(), &gentle(), &Silent).unwrap();
        assert_eq!((plan.held, report.published.contains(&id)), (u64::from(is_ripe), !is_ripe), "{step:?}");
        assert_eq!(has_intent(&world, &id), is_ripe);
        if is_ripe {
            let (plan, report) = prune(world.repo(), &gentle(), &Silent).unwrap();
            assert_eq!((plan.held, report.published), (0, vec![id]), "{step:?}");
        }
        world.held.insert(id, OF_INTENT.into());
        world.verify();
        world.settle();
    }
}

/// In the first look all that it needs is there to stay.
#[test]
fn an_intent_is_held_when_another_prune_begins_to_remove_what_it_needs() {
    let (mut world, id, own) = abandoned();
    world.pass(2 * DAY);
    let other = world.fixture.reopen(std::sync::Arc::new(world.fixture.store.clone()));
    let heard = Between::new(|| {
        other.note(Step::Notice, own.clone()).unwrap();
    });
    let (plan, report) = prune(world.repo(), &gentle(), &heard).unwrap();
    assert!(heard.happened() && report.removed.packs > 0);
    assert_eq!((plan.held, report.published.len(), has_intent(&world, &id)), (1, 0, true));
    world.verify();
    world.settle();
}

#[test]
fn what_a_writer_publishes_after_the_first_look_is_kept() {
    let mut world = forgotten(1);
    world.pass(2 * DAY);
    let other = world.fixture.reopen(std::sync::Arc::new(world.fixture.store.clone()));
    let contents: Contents = [(1, 1), (8, 0), (9, 0)].into();
    let mut taken = None;
    let heard = Between::new(|| taken = Some(take(&other, &contents).unwrap()));
    let (_, report) = prune(world.repo(), &gentle(), &heard).unwrap();
    assert!(heard.happened() && report.removed.packs > 0);
    drop(heard);
    world.held.insert(taken.unwrap(), contents);
    world.verify();
    world.settle();
}

/// Be it its data or its pages, and a mark is no removal.
#[test]
fn all_that_an_intent_needs_must_be_there_to_stay() {
    for (step, held, published) in [(Step::Mark, 0, 1), (Step::Notice, 1, 0)] {
        for number in 0..2 {
            let mut world = World::new();
            world.snapshot(&[(1, 0)]);
            let before = world.repo().list_packs().unwrap();
            let tree = fixture::dir(vec![("f", fixture::file(b"data"))]);
            let listed = world.fixture.snapshot("h/-/tree", 1, vec![("tree", tree)]);
            let (name, store) = (world.fixture.object("h/-/tree", &listed.id), world.fixture.store.clone());
            store.put(&intent_name(&listed.id), &store.get(&name, u64::MAX).unwrap()).unwrap();
            store.remove(&name).unwrap();
            let packs = world.repo().list_packs().unwrap().into_keys().filter(|id| !before.contains_key(id));
            let needed: BTreeSet<PackId> = packs.collect();
            assert_eq!(needed.len(), 2);
            world.pass(2 * DAY);
            world.repo().note(step, needed.into_iter().skip(number).take(1).collect()).unwrap();
            let plan = plan(world.repo(), &gentle(), &Silent).unwrap();
            assert_eq!((plan.held, plan.publish.len(), plan.drop.len()), (held, published, 0), "{step:?} {number}");
        }
    }
}
