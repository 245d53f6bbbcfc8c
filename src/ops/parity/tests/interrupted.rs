//! Additions and mendings that fail or are stopped.

use super::*;

#[test]
fn wherever_an_addition_fails_the_next_goes_on() {
    let (fixture, _) = scene(&[1 << 20]);
    let start = fixture.store.names();
    let store = FaultyStore::new(fixture.store.clone());
    let mirrored = Addition { mirror: true, ..addition() };
    add(&store, &mirrored, &Silent).unwrap();
    let steps = store.total();
    let done = fixture.store.names();
    assert!(done.len() > start.len());
    for step in (1..=steps).step_by(5) {
        remove(&fixture.store, &Silent).unwrap();
        assert_eq!(fixture.store.names(), start);
        let store = FaultyStore::new(fixture.store.clone());
        store.plan(Fault::any(step, io::ErrorKind::StorageFull).lasting());
        let failed = add(&store, &mirrored, &Silent);
        assert!(failed.is_err(), "step {step} of {steps}: {failed:?}");
        add(&fixture.store, &mirrored, &Silent).unwrap();
        let status = status(&fixture.store, &Silent).unwrap();
        assert_eq!((status.covered, status.mirrored), (status.objects, done.len() as u64 - start.len() as u64 - 1));
    }
}

#[test]
fn wherever_a_mending_fails_nothing_is_worse_and_the_next_goes_on() {
    let (fixture, packs) = scene(&[1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let before = contents(&fixture.store);
    let mut finished = false;
    for step in 1..60 {
        // The last that can be lost of its group: a mending that lost more could not be repeated.
        fixture.store.tamper(&packs[0], |bytes| bytes[..8 * SECTOR].fill(0));
        let store = FaultyStore::new(fixture.store.clone());
        for op in [Op::Rename, Op::Finish, Op::Append, Op::Upload, Op::Sync] {
            if step % 5 == op as u64 % 5 {
                store.plan(Fault::on(op, 1 + step / 5, io::ErrorKind::StorageFull).lasting());
            }
        }
        let request = MendRequest::new(Examine::All);
        finished |= mend(&store, &request, &Silent).is_ok();
        let request = MendRequest { named: &BTreeSet::from([packs[0].clone()]), ..request };
        mend(&fixture.store, &request, &Silent).unwrap();
        assert!(contents(&fixture.store) == before, "step {step}");
        for name in fixture.store.names().iter().filter(|name| name.as_str().starts_with("damaged/")) {
            fixture.store.remove(name).unwrap();
        }
    }
    assert!(finished);
}

#[test]
fn an_index_object_survives_a_mending_that_is_interrupted_anywhere() {
    let (fixture, _) = scene(&[1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let before = contents(&fixture.store);
    let index = before.keys().find(|name| name.as_str().starts_with("index/")).unwrap();
    let request = MendRequest::new(Examine::Looks);
    let mut interrupted_between = false;
    for step in 1..=4 {
        for name in fixture.store.names().iter().filter(|name| name.as_str().starts_with("damaged/")) {
            fixture.store.remove(name).unwrap();
        }
        fixture.store.tamper(index, |bytes| bytes[50] ^= 1);
        let store = FaultyStore::new(fixture.store.clone());
        store.plan(Fault::on(Op::Rename, step, io::ErrorKind::StorageFull).lasting());
        let failed = mend(&store, &request, &Silent).is_err();
        interrupted_between |= failed && fixture.store.stat(index).unwrap().is_none();
        mend(&fixture.store, &request, &Silent).unwrap();
        assert!(contents(&fixture.store) == before, "step {step}");
    }
    assert!(interrupted_between);
    // A prune removes it: what was put aside does not bring it back.
    fixture.store.remove(index).unwrap();
    assert_eq!(mend(&fixture.store, &request, &Silent).unwrap().mended, vec![]);
}

#[test]
fn both_can_be_stopped() {
    let (fixture, _) = scene(&[1 << 20]);
    let monitor = Recording::default();
    monitor.cancel();
    assert!(monitor.check().is_err());
    assert!(matches!(add(&fixture.store, &addition(), &monitor), Err(Error::Cancelled)));
    add(&fixture.store, &addition(), &Silent).unwrap();
    let request = MendRequest::new(Examine::All);
    assert!(matches!(mend(&fixture.store, &request, &monitor), Err(Error::Cancelled)));
}
