//! Writers and prunes that stop, die or meet at any of their operations.

use super::*;
use crate::{
    repo::session::Stay,
    store::{
        faulty::{Fault, FaultyStore, Op},
        interrupted::Interrupted,
    },
};
use std::{io::ErrorKind, sync::Arc};

/// A writer is stopped before each of its operations in turn; meanwhile everything that prune can do is done. It ends with a whole
/// snapshot or with an error.
fn stop_writer_everywhere(prunes_before: usize, expires: bool) {
    let mut outcomes = (0, 0);
    for nth in 1.. {
        let mut world = forgotten(prunes_before);
        let (memory, reopened) =
            (world.fixture.store.clone(), world.fixture.reopen(Arc::new(world.fixture.store.clone())));
        let event = move || {
            for round in 0..3 {
                if expires {
                    memory.set_now(1_000_000_000 + (round + 1) * 2 * DAY);
                }
                prune(&reopened, &at_once(), &Silent).unwrap();
            }
        };
        let store = Interrupted::new(world.fixture.store.clone(), nth, event);
        // Much of it is in packs that only the forgotten snapshot needed.
        let contents: Contents = [(2, 0), (3, 0), (4, 1), (8, 0)].into_iter().collect();
        let taken = {
            let writer = world.fixture.reopen(store.clone());
            if store.happened() {
                continue;
            }
            take(&writer, &contents)
        };
        match taken {
            Ok(id) => {
                world.held.insert(id, contents);
                outcomes.0 += 1;
            }
            Err(Error::Overtaken) => outcomes.1 += 1,
            Err(error) => panic!("operation {nth}: {error}"),
        }
        if !store.happened() {
            break;
        }
        world.verify();
        world.now += 10 * DAY;
        world.settle();
    }
    // It must not be that snapshots are only ever refused.
    assert!(outcomes.0 > 10, "{outcomes:?}");
}

#[test]
fn a_writer_that_is_stopped_anywhere_loses_nothing() {
    for prunes_before in 0..3 {
        stop_writer_everywhere(prunes_before, false);
    }
}

#[test]
fn a_writer_that_is_stopped_until_its_session_is_dead_loses_nothing() {
    for prunes_before in 0..3 {
        stop_writer_everywhere(prunes_before, true);
    }
}

#[test]
fn prune_that_is_killed_anywhere_is_finished_by_the_next() {
    for prunes_before in 0..3 {
        for applied in [false, true] {
            for nth in 1.. {
                let mut world = forgotten(prunes_before);
                let faulty = Arc::new(FaultyStore::new(world.fixture.store.clone()));
                let repo = world.fixture.reopen(faulty.clone());
                let fault = Fault::any(nth, ErrorKind::Other).lasting();
                faulty.plan(if applied { fault.applied() } else { fault });
                let done = prune(&repo, &at_once(), &Silent);
                world.verify();
                world.settle();
                if done.is_ok() {
                    break;
                }
            }
        }
    }
}

#[test]
fn writers_and_prunes_killed_at_random_lose_nothing() {
    let mut noise = blake3::Hasher::new().update(b"random").finalize_xof();
    let mut random = |below: u64| {
        let mut bytes = [0; 8];
        noise.fill(&mut bytes);
        u64::from_le_bytes(bytes) % below
    };
    for _ in 0..6 {
        let mut world = World::new();
        world.snapshot(&[(0, 0)]);
        for _ in 0..25 {
            let contents: Contents = (0..1 + random(4)).map(|_| (random(6), random(3))).collect();
            let faulty = Arc::new(FaultyStore::new(world.fixture.store.clone()));
            let repo = world.fixture.reopen(faulty.clone());
            let fault = Fault::any(1 + random(120), ErrorKind::Other).lasting();
            if random(2) == 0 {
                faulty.plan(if random(2) == 0 { fault } else { fault.applied() });
            }
            match random(5) {
                0 | 1 => {
                    if let Ok(id) = take(&repo, &contents) {
                        world.held.insert(id, contents);
                    }
                }
                2 => {
                    let nth = random(world.held.len().max(1) as u64) as usize;
                    if let Some(id) = world.held.keys().nth(nth).copied().filter(|_| world.held.len() > 1) {
                        world.forget(id);
                    }
                }
                _ => {
                    let grace = random(2) as i64 * DAY;
                    let max_unused = (random(2) == 0).then_some(Unused::Bytes(0));
                    drop(prune(&repo, &Options { grace, max_unused, ..at_once() }, &Silent));
                }
            }
            world.pass(random(2) as i64 * DAY / 2);
            world.verify();
        }
        world.settle();
    }
}

#[test]
fn a_snapshot_whose_writer_died_at_the_last_moment_is_finished() {
    let mut world = forgotten(0);
    let faulty = Arc::new(FaultyStore::new(world.fixture.store.clone()));
    let repo = world.fixture.reopen(faulty.clone());
    let contents: Contents = [(9, 0)].into_iter().collect();
    // It fails as the snapshot itself is stored, right after the intent.
    let snapshots = world.names("snapshots/").len();
    let mut nth = 1;
    let id = loop {
        faulty.plan(Fault::on(Op::Finish, nth, ErrorKind::Other).lasting());
        assert!(take(&repo, &contents).is_err());
        faulty.heal();
        let stays = world.repo().stays(&Silent).unwrap();
        let intent = stays.into_iter().find_map(|stay| match stay {
            Stay::Intent { listed, .. } => Some(listed.id),
            Stay::Session { .. } | Stay::Damaged(_) | Stay::Hollow(_) => None,
        });
        if let Some(id) = intent {
            break id;
        }
        nth += 1;
    };
    assert_eq!(world.names("snapshots/").len(), snapshots);
    world.pass(2 * DAY);
    let (planned, report) = world.prune();
    assert_eq!((planned.finished(), &report.published[..]), (1, &[id][..]));
    world.held.insert(id, contents);
    world.settle();
}

#[test]
fn an_intent_of_a_forgotten_snapshot_is_dropped() {
    let mut world = forgotten(0);
    let id = world.snapshot(&[(9, 0)]);
    let name = world.fixture.object(SERIES, &id);
    let bytes = world.fixture.store.get(&name, u64::MAX).unwrap();
    world.fixture.store.put(&crate::repo::session::intent_name(&id), &bytes).unwrap();
    world.forget(id);
    world.pass(2 * DAY);
    let (_, report) = world.prune();
    assert!(report.published.is_empty() && world.names("sessions/").is_empty());
    world.settle();
}
