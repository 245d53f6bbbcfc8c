//! Copies that fail or are stopped, and what the next one makes of it.

use super::*;

#[test]
fn whatever_fails_earlier_snapshots_are_whole_and_the_next_run_goes_on() {
    let fixture = Fixture::new();
    (1..=2).for_each(|night| drop(fixture.snapshot(SERIES, night as i64, grown(night))));
    let first = MemoryStore::new();
    replicate(&into(&fixture.store, &first), &Silent).unwrap();
    let earlier = contents(&fixture.repo);
    fixture.snapshot(SERIES, 3, grown(3));
    let all = contents(&fixture.repo);
    let base = objects(&first);
    let mut told = 0;
    for fresh in [true, false] {
        let mut nth = 1;
        loop {
            let to = MemoryStore::new();
            if !fresh {
                base.iter().for_each(|(name, bytes)| assert!(to.put(name, bytes).is_ok()));
            }
            let faulty = FaultyStore::new(to.clone());
            let kind = if nth % 2 == 0 { ErrorKind::StorageFull } else { ErrorKind::Other };
            faulty.plan(Fault::any(nth, kind).lasting());
            let failed = replicate(&Request { threads: 1, ..into(&fixture.store, &faulty) }, &Silent);
            if !fresh {
                let copy = reopened(&fixture, &to);
                let there = contents(&copy);
                assert!(earlier.iter().all(|(path, bytes)| there.get(path) == Some(bytes)), "{nth}");
                assert!(there == earlier || there == all, "{nth}");
            }
            if let Err(error) = &failed
                && error.is_store_full()
                && error.to_string().contains("bytes are still to be copied")
            {
                told += 1;
            }
            let done = failed.is_ok();
            replicate(&into(&fixture.store, &to), &Silent).unwrap();
            assert_eq!(contents(&reopened(&fixture, &to)), all, "{nth}");
            let around = keyless::Around { clock: &SystemClock, entropy: &KernelEntropy, cache: None };
            assert!(keyless::check(&to, ReadData::None, 1, &around, &Silent).unwrap().findings.is_empty());
            if done {
                assert!(nth > 10);
                break;
            }
            nth += 1;
        }
    }
    assert!(told > 10, "{told}");
}

#[test]
fn a_copy_that_was_cancelled_keeps_what_had_come() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    let heard = Recording::default();
    heard.cancel();
    assert!(matches!(replicate(&into(&fixture.store, &to), &heard), Err(Error::Cancelled)));
    let faulty = FaultyStore::new(to.clone());
    faulty.plan(Fault::on(Op::Finish, 4, ErrorKind::StorageFull).lasting());
    assert!(replicate(&Request { threads: 1, ..into(&fixture.store, &faulty) }, &Silent).is_err());
    let had = to.names().len() as u64;
    assert_eq!(had, 3);
    let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!(report.objects + had, fixture.store.names().len() as u64);
}

#[test]
fn a_store_that_fails_anywhere_leaves_whole_snapshots_and_the_next_run_goes_on() {
    let fixture = Fixture::new();
    (1..=2).for_each(|night| drop(fixture.snapshot(SERIES, night as i64, grown(night))));
    let all = contents(&fixture.repo);
    let mut nth = 1;
    loop {
        let other = Fixture::with_seed(7);
        let faulty = Arc::new(FaultyStore::new(other.store.clone()));
        let repo = other.reopen(faulty.clone() as SharedStore);
        faulty.plan(Fault::any(nth, ErrorKind::StorageFull).lasting());
        let failed = logical(&fixture.repo, &repo, None);
        faulty.heal();
        let copy = other.reopen(Arc::new(other.store.clone()));
        let there = contents(&copy);
        assert!(there.iter().all(|(path, bytes)| all.get(path) == Some(bytes)), "{nth}");
        let done = failed.is_ok();
        logical(&fixture.repo, &copy, None).unwrap();
        assert_eq!(contents(&copy), all, "{nth}");
        if done {
            assert!(nth > 20);
            break;
        }
        nth += 3;
    }
}
