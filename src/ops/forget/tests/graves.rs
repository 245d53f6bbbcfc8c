//! A series of many years has thousands of tombstones: whoever goes on with it reads the new ones.

use super::*;
use crate::{
    keys::slot::{Costs, Secret},
    repo::{Surroundings, Unlock},
    seal::SealKey,
    series::Series,
    store::faulty::{FaultyStore, Op},
    world::{FixedClock, SeededEntropy, Time},
};
use std::sync::Arc;

#[test]
fn tombstones_are_read_once_and_numbers_are_never_given_again() {
    let fixture = Fixture::new();
    let state = tempfile::tempdir().unwrap();
    let secret = Secret::KeyFile(SealKey::new([9; 32]));
    fixture.repo.add_slot(crate::keys::Role::Writer, &secret, Costs::LOW, "remembers").unwrap();
    let store = Arc::new(FaultyStore::new(fixture.store.clone()));
    let around = Surroundings {
        clock: Arc::new(FixedClock(Time::from_sec(1_700_000_000))),
        entropy: Arc::new(SeededEntropy::new(5)),
        cache: None,
        state: Some(state.path().to_owned()),
    };
    let repo = Repository::open(store.clone(), &Unlock::Secret(secret), around).unwrap();
    let series = Series::parse("h/-/years").unwrap();
    let item = |n: i64| vec![("f", fixture::file(format!("night {n}").as_bytes()))];
    let all: Vec<Listed> = (0..40).map(|n| fixture.snapshot("h/-/years", n, item(n))).collect();
    let bury = |listed: &Listed| {
        let ids = [(fixture.tag("h/-/years"), listed.id)].into_iter().collect();
        let plan = of_ids(&fixture.repo, ids, "old", true, &Silent).unwrap();
        apply(&fixture.repo, &plan, &Actor::default(), &Silent).unwrap();
    };
    let last = || {
        let before = store.count(Op::Get);
        let last = repo.series_end(&series).unwrap().last.unwrap();
        (last.1.sequence, store.count(Op::Get) - before)
    };
    all[..30].iter().for_each(bury);
    // The heads of ten snapshots and of thirty tombstones; then of the snapshots alone.
    assert_eq!(last(), (40, 40));
    assert_eq!(last(), (40, 10));
    all[30..].iter().rev().take(3).for_each(bury);
    assert_eq!(last(), (40, 7 + 3), "the highest number is that of one that was forgotten");
    all[30..37].iter().for_each(bury);
    assert_eq!(last().0, 40);
    let next = fixture.snapshot("h/-/years", 50, item(50));
    assert_eq!(next.snapshot.head.sequence, 41);
    // When the highest has gone without a word, what is left counts.
    bury(&next);
    assert_eq!(last().0, 41);
    for _ in 0..17 {
        bury(&fixture.snapshot("h/-/years", 60, item(60)));
    }
    assert_eq!(last().0, 41 + 17);
    assert_eq!(last(), (58, 0));
    for name in fixture.names("gone/") {
        if repo
            .tombstone_head(&fixture.tag("h/-/years"), &crate::id::SnapshotId::parse(name.leaf()).unwrap())
            .unwrap()
            .head
            .sequence
            > 50
        {
            fixture.store.remove(&name).unwrap();
        }
    }
    assert_eq!(last().0, 50);
}
