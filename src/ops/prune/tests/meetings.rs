//! A writer whose session is dead by now goes on in the middle of a sweep.

use super::*;
use crate::store::{faulty::FaultyStore, interrupted::Interrupted};
use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

/// Leans on packs that nothing else needs.
fn contents() -> Contents {
    [(2, 0), (3, 0), (4, 1), (8, 0)].into_iter().collect()
}

/// How many operations it takes to open the repository.
fn opening() -> u64 {
    let world = forgotten(0);
    let store = Arc::new(FaultyStore::new(world.fixture.store.clone()));
    drop(world.fixture.reopen(store.clone()));
    store.total()
}

/// The operations of the writer before which its intent is not there yet, and is no longer.
fn of_the_intent(opening: u64) -> (u64, u64) {
    let has_intent = |nth: u64| {
        let world = forgotten(0);
        let (memory, count) = (world.fixture.store.clone(), Arc::new(Mutex::new(0)));
        let counted = count.clone();
        let look = move || {
            let names = memory.names();
            *counted.lock().unwrap() = names.iter().filter(|name| name.as_str().starts_with("sessions/")).count();
        };
        let store = Interrupted::new(world.fixture.store.clone(), nth, look);
        take(&world.fixture.reopen(store.clone()), &contents()).unwrap();
        let found = *count.lock().unwrap();
        (store.happened() && found > 0).then_some(found > 1)
    };
    let first = (opening + 1..).find(|nth| has_intent(*nth) == Some(true)).unwrap();
    (first - 1, (first..).find(|nth| has_intent(*nth) != Some(true)).unwrap())
}

#[test]
fn a_writer_who_comes_back_in_the_middle_of_a_sweep_is_seen_or_sees_it() {
    let opening = opening();
    let (before, after) = of_the_intent(opening);
    let (mut overtaken, mut published) = (0, 0);
    for stop in [before, before + 2, after - 1] {
        for nth in opening + 1.. {
            let mut world = forgotten(0);
            let (arrived, here) = mpsc::channel();
            let (go, gone_on) = mpsc::channel::<()>();
            let (ended, end) = mpsc::channel();
            let wait = move || {
                arrived.send(()).unwrap();
                let _ = gone_on.recv();
            };
            let writer = world.fixture.reopen(Interrupted::new(world.fixture.store.clone(), stop, wait));
            let writer = thread::spawn(move || drop(ended.send(take(&writer, &contents()))));
            here.recv().unwrap();
            // What it relies on is marked, and its session dies.
            world.pass(0);
            world.prune();
            world.pass(2 * DAY);
            let taken = Arc::new(Mutex::new(None));
            let result = taken.clone();
            let come_back = move || {
                go.send(()).unwrap();
                *result.lock().unwrap() = Some(end.recv().unwrap());
            };
            let store = Interrupted::new(world.fixture.store.clone(), nth, come_back);
            let pruner = world.fixture.reopen(store.clone());
            // Whether it ends well is another matter.
            let _ = prune(&pruner, &at_once(), &Silent);
            if !store.happened() {
                drop(store);
                drop(pruner);
                let _ = writer.join();
                break;
            }
            writer.join().unwrap();
            match taken.lock().unwrap().take().unwrap() {
                Ok(id) => {
                    published += 1;
                    world.held.insert(id, contents());
                }
                Err(error) => {
                    assert!(matches!(error, Error::Overtaken), "{error}");
                    overtaken += 1;
                }
            }
            world.verify();
            if nth % 8 == 0 {
                world.settle();
            }
        }
    }
    assert!(overtaken > 0 && published > 0, "{overtaken} overtaken, {published} published");
}
