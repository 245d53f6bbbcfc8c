//! Byte for byte: what comes, what is damaged on either side, and places that are refused.

use super::*;

#[test]
fn a_replica_has_the_same_bytes_and_the_same_keys() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert!(report.created && report.damaged.is_empty());
    assert_eq!((report.snapshots, report.objects), (3, fixture.store.names().len() as u64));
    assert_eq!(objects(&to), objects(&fixture.store));
    let copy = reopened(&fixture, &to);
    assert_eq!(contents(&copy), contents(&fixture.repo));
    is_clean(&copy);

    fixture.snapshot(SERIES, 2_000, grown(4));
    let before = objects(&to);
    let dry = replicate(&Request { dry_run: true, ..into(&fixture.store, &to) }, &Silent).unwrap();
    assert_eq!(objects(&to), before);
    let report = replicate(&Request { create: false, ..into(&fixture.store, &to) }, &Silent).unwrap();
    assert_eq!((report.created, report.snapshots), (false, 1));
    assert_eq!((dry.objects, dry.bytes, dry.packs), (report.objects, report.bytes, report.packs));
    assert_eq!(objects(&to), objects(&fixture.store));
    assert!(!to.names().iter().any(|name| name.as_str().starts_with("sessions/")), "the intents are gone");
    let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert_eq!((report.objects, report.bytes, report.snapshots), (0, 0, 0));
}

#[test]
fn a_source_that_went_away_is_not_damaged() {
    let (fixture, to) = (Fixture::new(), MemoryStore::new());
    (1..=8).for_each(|n| drop(fixture.snapshot(SERIES, n, grown(n as u64))));
    let packs = fixture.names("packs/");
    let gone = FaultyStore::new(fixture.store.clone());
    packs.iter().for_each(|pack| gone.unreadable(pack.clone()));
    let error = replicate(&into(&gone, &to), &Silent).unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error}");
    assert!(!to.names().iter().any(|name| name.as_str().starts_with("snapshots/")), "{:?}", to.names());
    // Single bad sectors are.
    let bad = FaultyStore::new(fixture.store.clone());
    bad.unreadable(packs[0].clone());
    let report = replicate(&into(&bad, &to), &Silent).unwrap();
    assert_eq!((report.damaged.len(), report.snapshots), (1, 8));
}

#[test]
fn damaged_objects_are_told_and_not_copied() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    let pack = fixture.store.names().into_iter().find(|name| name.as_str().starts_with("packs/")).unwrap();
    fixture.store.tamper(&pack, |bytes| bytes[100] ^= 1);
    let heard = Recording::default();
    let report = replicate(&into(&fixture.store, &to), &heard).unwrap();
    assert_eq!(report.damaged.keys().collect::<Vec<_>>(), [pack.as_str()]);
    assert!(heard.problems()[0].contains(pack.as_str()));
    assert_eq!(to.stat(&pack).unwrap(), None);
    assert_eq!(to.names().len() + 1, fixture.store.names().len());
    // It is whole again: the next run brings it.
    fixture.store.tamper(&pack, |bytes| bytes[100] ^= 1);
    assert_eq!(replicate(&into(&fixture.store, &to), &Silent).unwrap().objects, 1);
    is_clean(&reopened(&fixture, &to));
}

#[test]
fn what_was_cut_short_in_the_copy_is_healed_and_what_is_cut_here_is_not_passed_on() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let whole = objects(&to);
    for kind in ["packs/", "index/", "snapshots/", "keys/"] {
        let name = to.names().into_iter().find(|name| name.as_str().starts_with(kind)).unwrap();
        to.tamper(&name, |bytes| bytes.truncate(bytes.len() / 2));
        let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
        assert_eq!((report.replaced, report.objects), (1, 1), "{kind}");
        assert_eq!(objects(&to), whole, "{kind}");
        fixture.store.tamper(&name, |bytes| bytes.truncate(bytes.len() / 2));
        let report = replicate(&into(&fixture.store, &to), &Silent).unwrap();
        assert_eq!((report.replaced, report.damaged.len()), (0, 1), "{kind}");
        assert_eq!(objects(&to), whole, "{kind}");
        fixture.store.tamper(&name, |bytes| *bytes = whole[&name].clone());
    }
}

#[test]
fn other_peoples_places_are_refused() {
    let (fixture, other) = (three_nights(), Fixture::with_seed(7));
    let refused = |to: &dyn Store| replicate(&into(&fixture.store, to), &Silent).unwrap_err().to_string();
    assert!(refused(&other.store).contains("another repository"));
    let foreign = MemoryStore::new();
    foreign.put(&ObjectName::new("letter.txt").unwrap(), b"dear").unwrap();
    assert!(refused(&foreign).contains("letter.txt"));
    // Without its config nobody can tell whose it is, but its keys can.
    other.store.remove(&ObjectName::new("config").unwrap()).unwrap();
    assert!(refused(&other.store).contains("another repository"));
    let nothing = MemoryStore::new();
    let request = Request { create: false, ..into(&fixture.store, &nothing) };
    assert!(matches!(replicate(&request, &Silent), Err(Error::NoRepository { .. })));
    assert_eq!(nothing.names(), []);
}

#[test]
fn replicas_are_known_by_their_repository() {
    let fixture = three_nights();
    let copy = MemoryStore::new();
    let report = replica::replicate(&into(&fixture.store, &copy), &Silent).unwrap();
    assert_eq!(report.repository, Repository::identify(&copy).unwrap());
}
