//! What was forgotten here or there, and the tombstones of it.

use super::*;

#[test]
fn a_deletion_is_not_passed_on_and_none_is_undone() {
    let fixture = Fixture::new();
    let to = MemoryStore::new();
    let nights: Vec<Listed> = (1..=2).map(|n| fixture.snapshot(SERIES, n, grown(n as u64))).collect();
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let copy = reopened(&fixture, &to);
    // Forgotten here: it stays there. Forgotten there: it does not come back. Forgotten before it ever came: it is explained.
    forget(&fixture.repo, &nights[0]);
    forget(&copy, &nights[1]);
    let third = fixture.snapshot(SERIES, 3, grown(3));
    let fourth = fixture.snapshot(SERIES, 4, grown(4));
    forget(&fixture.repo, &third);
    let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!((report.snapshots, report.forgotten), (1, 1));
    assert_eq!(ids(&copy), [nights[0].id, fourth.id]);
    assert_eq!(ids(&fixture.repo), [nights[1].id, fourth.id]);
    let gone = copy.tombstone_names(None).unwrap().into_iter().map(|(_, id)| id).collect::<Vec<_>>();
    assert!(gone.contains(&nights[1].id) && gone.contains(&third.id) && !gone.contains(&nights[0].id));
    assert_eq!(copy.look(None, false).unwrap(), [], "no gap");
}

#[test]
fn junk_beside_a_living_snapshot_hides_it_from_no_copy() {
    let (fixture, to) = (Fixture::new(), MemoryStore::new());
    let nights: Vec<Listed> = (1..=2).map(|n| fixture.snapshot(SERIES, n, grown(n as u64))).collect();
    let junk = tombstone_of(&fixture.repo, &nights[0]);
    fixture.store.put(&junk, b"junk").unwrap();
    let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!((report.snapshots, report.forgotten), (2, 0));
    assert_eq!(to.stat(&junk).unwrap(), None, "junk is not copied");
    let third = fixture.snapshot(SERIES, 3, grown(3));
    to.put(&tombstone_of(&fixture.repo, &third), b"junk").unwrap();
    assert_eq!(replicate(&into(&fixture.store, &to), &Silent).unwrap().snapshots, 1);
    is_clean_of_snapshots(&fixture, &to, 3);
}

fn is_clean_of_snapshots(fixture: &Fixture, to: &MemoryStore, count: usize) {
    assert_eq!(to.names().iter().filter(|name| name.as_str().starts_with("snapshots/")).count(), count);
    assert_eq!(contents(&reopened(fixture, to)).len(), contents(&fixture.repo).len());
}

#[test]
fn a_tombstone_of_the_copy_goes_only_when_it_is_damaged() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let copy = reopened(&fixture, &to);
    let night = fixture.repo.snapshots(None).unwrap().listed.remove(0);
    forget(&fixture.repo, &night);
    forget(&copy, &night);
    let name = tombstone_of(&fixture.repo, &night);
    // Another one that ends with its sum, and is longer.
    let theirs = fixture.store.get(&name, 1 << 20).unwrap();
    let mut longer = [&theirs[..theirs.len() - 32], &[7; 9]].concat();
    let sum = hash::object_name(&longer);
    longer.extend_from_slice(&sum);
    fixture.store.tamper(&name, |bytes| *bytes = longer.clone());
    let own = to.get(&name, 1 << 20).unwrap();
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!(to.get(&name, 1 << 20).unwrap(), own);
    to.tamper(&name, |bytes| bytes.truncate(50));
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!(to.get(&name, 1 << 20).unwrap(), longer, "a damaged one is replaced");
}
