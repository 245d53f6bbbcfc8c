//! Sessions of writers that take long.

use super::*;
use crate::{
    id::{NoteId, PackId, SeriesTag},
    model::{
        codec,
        gc::{Note, Session as Said, Step},
        limits,
    },
    object::{self, Kind},
    repo::{
        gc::{open_note, seal_note},
        session::{intent_name, open_session, seal_session},
    },
    world::{Clock, SeededEntropy, Time},
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

/// Of a session that was renewed by one who was killed before he removed the old object, the newest tells whether it is alive.
#[test]
fn an_old_object_of_a_live_session_does_not_make_it_dead() {
    let mut world = forgotten(1);
    world.pass(0);
    let hand = Hand(Arc::new(AtomicI64::new(world.now)));
    let repo = world.fixture.reopen_by(Arc::new(hand.clone()), None);
    let session = repo.begin("host", false, &Silent).unwrap();
    let old = world.names("sessions/").pop_first().unwrap();
    let bytes = world.fixture.store.get(&old, u64::MAX).unwrap();
    world.pass(23 * 3600);
    hand.pass(23 * 3600);
    session.renew_when_due().unwrap();
    // By the store's clock it is as old as it was.
    world.fixture.store.set_now(world.now - 23 * 3600);
    world.fixture.store.put(&old, &bytes).unwrap();
    world.pass(23 * 3600);
    let before = world.names("sessions/");
    assert_eq!(before.len(), 2);
    world.prune();
    assert_eq!(world.names("sessions/"), before);
    world.pass(2 * DAY);
    world.prune();
    assert!(world.names("sessions/").is_empty());
    drop(session);
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

/// A mark may name what a repair knows to be damaged: it is told twice not to rely on it.
#[test]
fn what_may_go_or_is_damaged_or_both_is_not_relied_on() {
    let mut world = World::new();
    world.snapshot(&[(1, 0)]);
    world.snapshot(&[(2, 0)]);
    world.snapshot(&[(3, 0)]);
    let packs = fixture::listed_packs(world.repo());
    let [both, marked, damaged, ..] = &packs[..] else { panic!() };
    world.repo().mark([both.id, marked.id]).unwrap();
    let session = world.repo().begin("host", true, &Silent).unwrap();
    let usable = session.load_index_without(&[both.id, damaged.id].into(), &Silent).unwrap();
    for pack in &packs {
        let lasts = ![both.id, marked.id, damaged.id].contains(&pack.id);
        for blob in pack.directory.segments.iter().filter(|s| s.bases.is_empty()).flat_map(|s| &s.blobs) {
            assert_eq!(usable.index.lasting(&blob.id).is_some(), lasts, "{}", pack.id);
        }
    }
}

/// What a run that was killed has stored and not listed is taken up, unless it is about to go.
#[test]
fn packs_that_nobody_has_listed_are_taken_up_when_no_note_names_them() {
    let mut world = World::new();
    world.snapshot(&[(1, 0)]);
    world.snapshot(&[(2, 0)]);
    let packs: Vec<PackId> = world.repo().list_packs().unwrap().into_keys().collect();
    assert!(packs.len() > 1);
    world.fixture.names("index/").iter().for_each(|name| world.fixture.store.remove(name).unwrap());
    let adopt = || {
        let session = world.repo().begin("host", false, &Silent).unwrap();
        let usable = session.load_index(&Silent).unwrap();
        session.adopt(&usable, &Silent).unwrap()
    };
    world.repo().mark(packs.iter().copied().skip(1)).unwrap();
    assert_eq!((adopt(), world.names("index/").len()), (1, 1));
    let listed: Vec<PackId> = fixture::listed_packs(world.repo()).iter().map(|pack| pack.id).collect();
    assert_eq!(listed, packs[..1]);
}

/// Before it is published: what it relies on is there, and nobody is removing it.
#[test]
fn a_snapshot_is_published_when_what_it_relies_on_stays() {
    let (harmless, noticed, lost) = (0, 1, 2);
    for case in [harmless, noticed, lost] {
        let mut world = World::new();
        world.snapshot(&[(1, 0)]);
        world.snapshot(&[(2, 0)]);
        let packs = fixture::listed_packs(world.repo());
        let [relied, other, ..] = &packs[..] else { panic!() };
        let session = world.repo().begin("host", false, &Silent).unwrap();
        let usable = session.load_index(&Silent).unwrap();
        assert!(usable.index.contains(&relied.directory.segments[0].blobs[0].id));
        let named = if case == noticed { vec![other.id, relied.id] } else { vec![other.id] };
        world.repo().note(Step::Notice, named).unwrap();
        if case == lost {
            world.fixture.store.remove(&crate::pack::object_name(&relied.id)).unwrap();
        }
        let bytes = b"a snapshot";
        let id = SnapshotId(crate::hash::object_name(bytes));
        let published = session.publish_sealed(&SeriesTag([7; 16]), bytes, &usable.index);
        let has = |folder, leaf: &str| world.names(folder).iter().any(|name| name.leaf() == leaf);
        let (snapshot, intent) = (has("snapshots/", &id.to_string()), has("sessions/", &id.to_string()));
        match published {
            Ok(_) => assert_eq!((case, snapshot, intent), (harmless, true, false)),
            // Prune may be about to publish it.
            Err(Error::Overtaken) => assert_eq!((case != harmless, snapshot, intent), (true, false, true)),
            Err(other) => panic!("{case}: {other}"),
        }
    }
}

/// By one who holds the keys: these lists are searched as sorted ones.
#[test]
fn notes_and_sessions_that_break_the_rules_are_neither_made_nor_read() {
    let world = World::new();
    let (keys, entropy) = (world.repo().keys(), SeededEntropy::new(9));
    let note = |made, packs: &[u8]| {
        let packs = packs.iter().map(|n| PackId([*n; 32])).collect();
        let note = Note { nonce: [1; 16], made, step: Step::Mark, packs };
        let sealed = object::seal_envelope(Kind::Note, keys.repo(), &keys.gc_key(), &codec::encode(&note), &entropy);
        (seal_note(keys, &note, &entropy).map(drop), open_note(keys, &sealed.unwrap(), &"note").map(drop))
    };
    let session = |begun, seen: &[u8], text: usize| {
        let seen = seen.iter().map(|n| NoteId([*n; 32])).collect();
        let said = Said { nonce: [1; 16], begun, host: "h".repeat(text), program: String::new(), seen };
        let payload = codec::encode(&said);
        let sealed = object::seal_envelope(Kind::Session, keys.repo(), &keys.session_key(), &payload, &entropy);
        (seal_session(keys, &said, &entropy).map(drop), open_session(keys, &sealed.unwrap(), &"session").map(drop))
    };
    let no_time = Time { sec: 0, nsec: 1_000_000_000 };
    let at = Time { sec: 0, nsec: 999_999_999 };
    assert!(matches!(note(at, &[1, 2]), (Ok(()), Ok(()))));
    assert!(matches!(session(at, &[1, 2], limits::SESSION_TEXT_MAX), (Ok(()), Ok(()))));
    for broken in [
        note(at, &[2, 1]),
        note(at, &[1, 1]),
        note(no_time, &[]),
        session(at, &[2, 1], 1),
        session(at, &[1, 1], 1),
        session(no_time, &[], 1),
        session(at, &[], limits::SESSION_TEXT_MAX + 1),
    ] {
        assert!(matches!(broken, (Err(Error::Usage { .. }), Err(Error::Corrupt { .. }))), "{broken:?}");
    }
}
