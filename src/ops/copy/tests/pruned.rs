//! Copies that are pruned on their own, and prunes that come meanwhile.

use super::*;

#[test]
fn a_damaged_snapshot_of_a_pruned_copy_is_stored_anew() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let copy = reopened(&fixture, &to);
    copy.note(crate::model::gc::Step::Mark, vec![]).unwrap();
    let name = to.names().into_iter().find(|name| name.as_str().starts_with("snapshots/")).unwrap();
    let whole = to.get(&name, 1 << 20).unwrap();
    to.tamper(&name, |bytes| bytes[60] ^= 1);
    let report = logical(&fixture.repo, &copy, None).unwrap();
    assert_eq!((report.copied.len(), report.present), (1, 2));
    assert_eq!(to.get(&name, 1 << 20).unwrap(), whole);
    is_clean(&copy);
}

#[test]
fn keys_tombstones_and_pins_come_to_a_pruned_copy_too() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let copy = reopened(&fixture, &to);
    copy.note(Step::Mark, vec![]).unwrap();
    let nights = fixture.repo.snapshots(None).unwrap().listed;
    let actor = Actor { host: "h".into(), user: "u".into() };
    let pin = [Change::Pin { on: true, reason: Some("later".into()) }];
    annotate(&fixture.repo, &nights[0..1], &pin, &actor, &Silent).unwrap();
    let slot = ObjectName::of_parts(&["keys", &hash_name(&fixture)]);
    let fourth = fixture.snapshot(SERIES, 2_000, grown(4));
    let fifth = fixture.snapshot(SERIES, 3_000, grown(5));
    forget(&fixture.repo, &fourth);
    to.remove(&slot).unwrap();
    let report = logical(&fixture.repo, &copy, None).unwrap();
    assert_eq!(report.copied.iter().map(|one| one.id).collect::<Vec<_>>(), [Some(fifth.id)], "byte for byte");
    assert!(to.stat(&slot).unwrap().is_some() && to.stat(&tombstone_of(&copy, &fourth)).unwrap().is_some());
    let notes = |store: &MemoryStore| -> Vec<ObjectName> {
        store.names().into_iter().filter(|name| name.as_str().starts_with("notes/")).collect()
    };
    assert_eq!((notes(&to).len(), notes(&to)), (1, notes(&fixture.store)));
    assert_eq!(copy.look(None, false).unwrap(), [], "no gap");
    is_clean(&copy);
}

fn hash_name(fixture: &Fixture) -> String {
    fixture.store.names().iter().find(|name| name.as_str().starts_with("keys/")).unwrap().leaf().to_owned()
}

#[test]
fn a_copy_that_is_pruned_takes_a_key() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    assert!(!was_pruned(&to).unwrap());
    let copy = reopened(&fixture, &to);
    copy.note(Step::Mark, vec![]).unwrap();
    assert!(was_pruned(&to).unwrap());
    let night = fixture.snapshot(SERIES, 2_000, grown(4));
    let error = replicate(&into(&fixture.store, &to), &Silent).unwrap_err();
    assert!(matches!(&error, Error::Refused { what } if what.contains("a key is needed")), "{error}");
    // With one, the same snapshots come, under the same ids.
    let report = logical(&fixture.repo, &copy, None).unwrap();
    assert_eq!((report.copied.len(), report.present), (1, 3));
    assert_eq!(ids(&copy).last(), Some(&night.id));
    assert_eq!(contents(&copy), contents(&fixture.repo));
    is_clean(&copy);
}

/// What a prune does to a repository all at once: every segment moves into new packs, and the old packs and index objects go.
fn repack(repo: &Repository) {
    let (index, _) = repo.load_index(true).unwrap();
    let old: Vec<ObjectName> = {
        let mut names = Vec::new();
        for prefix in ["packs/", "index/"] {
            let mut take = |entry: Entry| {
                names.push(entry.name);
                Ok(())
            };
            repo.store().list(prefix, &mut take).unwrap();
        }
        names
    };
    let mut mover = Mover::new(repo, &index, &Silent);
    for pack in repo.list_packs().unwrap().into_keys() {
        assert!(mover.copy(&repo.read_directory(&pack).unwrap(), &|_| true).unwrap());
    }
    mover.finish().unwrap();
    old.iter().for_each(|name| repo.store().remove(name).unwrap());
}

#[test]
fn a_prune_of_the_source_leaves_no_holes_whenever_it_comes() {
    for (what, name) in
        [(Op::List, "index/"), (Op::List, "packs/"), (Op::Get, "packs/"), (Op::Get, "index/"), (Op::Get, "keys/")]
    {
        for after in 0..6 {
            let (fixture, to) = (three_nights(), MemoryStore::new());
            let seen = AtomicU64::new(0);
            let when =
                |op: Op, at: &str| op == what && at.starts_with(name) && seen.fetch_add(1, Ordering::Relaxed) == after;
            let from = Interrupted::when(fixture.store.clone(), when, || repack(&fixture.repo));
            replicate(&Request { threads: 1, ..into(&from, &to) }, &Silent).unwrap();
            let copy = reopened(&fixture, &to);
            assert_eq!(contents(&copy), contents(&fixture.repo), "{what:?} {name} {after}");
            is_clean(&copy);
        }
    }
}

#[test]
fn a_prune_of_the_copy_that_begins_meanwhile_stops_the_snapshots() {
    let (fixture, to) = (three_nights(), MemoryStore::new());
    replicate(&into(&fixture.store, &to), &Silent).unwrap();
    let copy = reopened(&fixture, &to);
    let night = fixture.snapshot(SERIES, 2_000, grown(4));
    // The list of notes after the intents are durable.
    let then = || assert!(copy.note(Step::Notice, vec![]).is_ok());
    let meddled = Interrupted::when(to.clone(), |op, name| op == Op::List && name == "gc/", then);
    let error = replicate(&into(&fixture.store, &meddled), &Silent).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(ids(&copy).len(), 3);
    assert!(to.names().iter().any(|name| name.as_str() == format!("sessions/{}", night.id)), "the intent stays");
}
