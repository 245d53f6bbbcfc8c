//! Runs that end before their end.

use super::*;
use crate::{
    monitor::Recording,
    store::{
        faulty::{Fault, FaultyStore},
        memory::MemoryStore,
    },
};
use std::{collections::BTreeMap, io::ErrorKind, sync::Arc};

#[test]
fn a_cancelled_run_is_ended_by_the_next() {
    let fixture = Fixture::new();
    days(&fixture, SERIES, 3);
    let monitor = Recording::default();
    let planned = plan(&fixture.repo, &last(1));
    monitor.cancel();
    assert!(matches!(apply(&fixture.repo, &planned, &actor(), &monitor), Err(Error::Cancelled)));
    assert_eq!(listed(&fixture.repo).len(), 3);
    forget(&fixture.repo, &last(1)).unwrap();
    assert_eq!(fixture.names("snapshots/").len(), 1);
}

/// Objects of the snapshots, tombstones and annotations: what a forget may change.
fn contents(store: &MemoryStore) -> BTreeMap<ObjectName, Vec<u8>> {
    store.names().into_iter().map(|name| (name.clone(), store.get(&name, u64::MAX).unwrap())).collect()
}

#[test]
fn any_step_may_fail_once_and_nothing_is_lost() {
    let build = || {
        let fixture = Fixture::new();
        let all = days(&fixture, SERIES, 4);
        let tagged = [pin(false), vec![Change::Tag { tag: "x".into(), on: true }]].concat();
        annotate(&fixture.repo, &all[..2], &tagged, &actor(), &Silent).unwrap();
        (fixture, all)
    };
    let (fixture, all) = build();
    let whole = contents(&fixture.store);
    let count = {
        let faulty = Arc::new(FaultyStore::new(fixture.store.clone()));
        let repo = fixture.reopen(faulty.clone());
        let before = faulty.total();
        forget(&repo, &last(2)).unwrap();
        faulty.total() - before
    };
    assert!(count > 20, "{count}");
    let (mut stopped, tag) = (0, fixture.tag(SERIES));
    for applied in [false, true] {
        for nth in 1..=count {
            let (fixture, _) = build();
            // Random bytes follow from a seed: the same objects each time.
            assert!(contents(&fixture.store) == whole);
            let faulty = Arc::new(FaultyStore::new(fixture.store.clone()));
            let repo = fixture.reopen(faulty.clone());
            let fault = Fault::any(nth, ErrorKind::Other);
            faulty.plan(if applied { fault.applied() } else { fault });
            stopped += usize::from(forget(&repo, &last(2)).is_err());
            faulty.heal();
            // Whatever is not there any more has its proof, and what is to be kept is there.
            let names = fixture.store.names();
            for one in &all {
                let there = names.contains(&object_name(&tag, &one.id));
                let proven = fixture.repo.tombstone(&tag, &one.id).is_ok();
                let doomed = ids(&all[..2]).contains(&one.id);
                assert!(there || proven, "step {nth}");
                assert!(doomed || there && !proven, "step {nth}");
            }
            assert_eq!(findings(&fixture.repo), Vec::<String>::new(), "step {nth}");
            forget(&fixture.reopen(faulty), &last(2)).unwrap();
            assert_eq!(listed(&fixture.repo), ids(&all[2..]), "step {nth}");
            assert_eq!((fixture.names("notes/"), fixture.names("gone/").len()), (vec![], 2), "step {nth}");
            assert_eq!(findings(&fixture.repo), Vec::<String>::new(), "step {nth}");
        }
    }
    assert!(stopped > count as usize, "{stopped} of {}", 2 * count);
}
