//! Sessions of writers that take long.

use super::*;
use crate::{
    id::{PackId, SeriesTag},
    model::{gc::Step, limits},
    repo::session::intent_name,
    world::{Clock, Time},
};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// A clock that is set by hand.
#[derive(Clone)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_sec(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn a_session_is_renewed_after_six_hours_and_by_a_clock_that_was_set_back() {
    let world = World::new();
    let hand = Hand(Arc::new(AtomicI64::new(1_000_000_000)));
    let repo = world.fixture.reopen_by(Arc::new(hand.clone()), None);
    let session = repo.begin("host", false, &Silent).unwrap();
    let mut before = world.names("sessions/");
    assert_eq!(before.len(), 1);
    for (seconds, is_renewed) in [
        (0, false),
        (6 * 3600 - 1, false),
        (1, true),
        (3600, false),
        (-7 * 3600 + 1, false),
        (-1, true),
        (-5 * 3600, false),
    ] {
        hand.pass(seconds);
        session.renew_when_due().unwrap();
        let now = world.names("sessions/");
        assert_eq!((now.len(), now != before), (1, is_renewed), "{seconds}");
        before = now;
    }
    drop(session);
    assert!(world.names("sessions/").is_empty());
    // One who only looks leaves nothing.
    let session = repo.begin("host", true, &Silent).unwrap();
    hand.pass(DAY);
    session.renew_when_due().unwrap();
    assert!(world.names("sessions/").is_empty());
}

/// What was marked after it had begun stays as long as it is alive, which is told by its newest object.
#[test]
fn a_sweep_waits_for_whoever_renews_his_session() {
    for is_renewed in [true, false] {
        let mut world = forgotten(0);
        world.pass(0);
        let hand = Hand(Arc::new(AtomicI64::new(world.now)));
        let repo = world.fixture.reopen_by(Arc::new(hand.clone()), None);
        let session = repo.begin("host", false, &Silent).unwrap();
        let (_, report) = world.prune();
        assert!(report.marked > 0);
        world.pass(23 * 3600);
        hand.pass(23 * 3600);
        if is_renewed {
            session.renew_when_due().unwrap();
        }
        world.pass(3600);
        let packs = world.names("packs/");
        world.prune();
        assert_eq!(packs.is_subset(&world.names("packs/")), is_renewed, "{is_renewed}");
        drop(session);
        world.settle();
        assert!(!packs.is_subset(&world.names("packs/")));
    }
}

#[test]
fn a_snapshot_that_nobody_could_read_again_is_not_published() {
    let world = World::new();
    let session = world.repo().begin("host", false, &Silent).unwrap();
    let before = world.names("");
    let bytes = vec![0; limits::META_MAX as usize + 1];
    let published = session.publish_sealed(&SeriesTag([7; 16]), &bytes, &world.fixture.index());
    assert!(matches!(published, Err(Error::Refused { what }) if what.contains("too long")));
    assert_eq!(world.names(""), before);
}

/// Its writer may be at work.
#[test]
fn an_intent_is_published_when_it_is_old() {
    let mut world = World::new();
    world.snapshot(&[(1, 0)]);
    world.pass(0);
    let id = world.snapshot(&[(1, 1), (2, 0)]);
    let name = world.fixture.object(SERIES, &id);
    let bytes = world.fixture.store.get(&name, u64::MAX).unwrap();
    world.fixture.store.put(&intent_name(&id), &bytes).unwrap();
    world.fixture.store.remove(&name).unwrap();
    let gentle = Options { grace: DAY, ..at_once() };
    let (plan, report) = prune(world.repo(), &gentle, &Silent).unwrap();
    assert_eq!((plan.held, plan.finished(), report.published.len()), (1, 0, 0));
    assert!(world.names("sessions/").contains(&intent_name(&id)) && !world.names("snapshots/").contains(&name));
    world.pass(DAY);
    let (plan, report) = prune(world.repo(), &gentle, &Silent).unwrap();
    assert_eq!((plan.held, plan.finished(), report.published.len()), (0, 1, 1));
    world.verify();
    world.settle();
}

#[test]
fn a_notice_whose_packs_have_gone_goes_with_a_sweep_and_a_mark_that_is_not_ripe_stays() {
    let mut world = forgotten(1);
    let ripe = world.names("gc/");
    assert!(!ripe.is_empty());
    world.pass(2 * DAY);
    world.repo().note(Step::Notice, vec![PackId([9; 32])]).unwrap();
    let unripe = world.repo().mark([PackId([8; 32])]).unwrap();
    assert_eq!(world.names("gc/").len(), ripe.len() + 2);
    let (_, report) = prune(world.repo(), &Options { grace: DAY, ..at_once() }, &Silent).unwrap();
    assert!(report.removed.packs > 0);
    let left = world.names("gc/");
    assert!(left.is_disjoint(&ripe), "{left:?}");
    // What this run has marked is another matter.
    let named = world.repo().notes().unwrap().named();
    assert_eq!((named.contains(&PackId([8; 32])), named.contains(&PackId([9; 32]))), (true, false), "{unripe:?}");
    world.settle();
}
