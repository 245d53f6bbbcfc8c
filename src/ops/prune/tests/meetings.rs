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

/// Whoever takes something out of snapshots marks the packs that hold it, between any two steps of a prune that moves what is needed out
/// of one of them.
#[test]
fn nothing_is_condemned_beside_marks_that_came_since_it_looked() {
    let opening = opening();
    let (mut refused, mut late, mut stained, mut unseen) = (0, 0, 0, 0);
    for nth in opening + 1.. {
        let mut world = forgotten(0);
        let before: BTreeSet<_> = world.repo().list_packs().unwrap().into_keys().collect();
        let moved = *plan(world.repo(), &at_once(), &Silent).unwrap().moves.first().unwrap();
        let other = world.fixture.reopen(Arc::new(world.fixture.store.clone()));
        let store = Interrupted::new(world.fixture.store.clone(), nth, move || drop(other.mark([moved]).unwrap()));
        let result = prune(&world.fixture.reopen(store.clone()), &at_once(), &Silent);
        if !store.happened() {
            break;
        }
        let named = world.repo().notes().unwrap().named();
        let new = world.repo().list_packs().unwrap().into_keys().filter(|id| !before.contains(id));
        match result {
            Err(Error::Refused { what }) => {
                assert!(what.contains("run it again"), "{what}");
                refused += 1;
                // What is to be taken out may lie in what was moved by now. (Who marks after that was listed finds it there himself.)
                let (copies, own) = (new.count(), named.iter().filter(|id| !before.contains(*id)).count());
                assert_eq!((named.len() - own, named.contains(&moved)), (1, true), "operation {nth}: nothing else");
                match (copies, own == copies) {
                    (0, _) => {}
                    (_, true) => stained += 1,
                    (_, false) => unseen += usize::from(own == 0),
                }
            }
            Err(error) => panic!("operation {nth}: {error}"),
            // It was seen; or it came when all was done, and who made it sees what this run has marked.
            Ok((plan, _)) if plan.moves.contains(&moved) && !plan.emptied.contains(&moved) => {}
            Ok(_) => late += 1,
        }
        world.verify();
        world.settle();
    }
    assert!(refused > 10 && late < 5 && stained > 5 && unseen < 5, "{refused}, {late}, {stained}, {unseen}");
}
