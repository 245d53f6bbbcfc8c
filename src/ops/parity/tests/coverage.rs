//! What sidecars cover, when they are made anew, and what goes with them.

use super::*;

#[test]
fn what_is_new_is_covered_alone() {
    let (fixture, _) = scene(&[1 << 20]);
    let first = add(&fixture.store, &addition(), &Silent).unwrap();
    assert_eq!(first.sidecars, 1);
    let idle = add(&fixture.store, &addition(), &Silent).unwrap();
    assert_eq!(idle, Added::default());
    let new = pack(&fixture.store, 2 << 20, 7);
    let second = add(&fixture.store, &addition(), &Silent).unwrap();
    assert_eq!((second.sidecars, second.objects, second.bytes), (1, 1, 2 << 20));
    fixture.store.tamper(&new, |bytes| bytes[77] ^= 1);
    assert_eq!(mend_all(&fixture.store).mended.len(), 1);
}

#[test]
fn a_sidecar_that_lost_its_beginning_still_covers_and_is_told() {
    let (fixture, packs) = scene(&[1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let sidecar = fixture.store.names().into_iter().find(|name| crate::parity::is_sidecar(name.as_str())).unwrap();
    fixture.store.tamper(&sidecar, |bytes| bytes[..SECTOR].fill(0));
    let status = status(&fixture.store, &Silent).unwrap();
    assert_eq!((status.covered, status.damaged.len()), (status.objects, 1));
    assert_eq!(add(&fixture.store, &addition(), &Silent).unwrap(), Added::default());
    fixture.store.tamper(&packs[0], |bytes| bytes[77] ^= 1);
    let report = mend_all(&fixture.store);
    assert_eq!((report.mended.len(), report.damaged_sidecars.len()), (1, 1));
}

#[test]
fn after_a_prune_what_is_left_of_a_set_is_covered_anew() {
    let (fixture, packs) = scene(&[1 << 20, 1 << 20, 1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    fixture.store.remove(&packs[0]).unwrap();
    let before = status(&fixture.store, &Silent).unwrap();
    // The key slot alone, by its second copy.
    assert_eq!((before.weak, before.missing, before.covered), (1, 1, 1));
    // Nothing says that it was removed on purpose: the old sidecar stays.
    let kept = add(&fixture.store, &addition(), &Silent).unwrap();
    assert_eq!((kept.sidecars, kept.missing, kept.removed), (1, 1, 0));
    let dropped = add(&fixture.store, &Addition { drop_missing: true, ..addition() }, &Silent).unwrap();
    assert_eq!((dropped.sidecars, dropped.removed), (0, 1));
    let after = status(&fixture.store, &Silent).unwrap();
    assert_eq!((after.weak, after.missing, after.sidecars, after.covered), (0, 0, 1, after.objects));
    assert!(after.least.unwrap() >= 3.0);
    fixture.store.tamper(&packs[1], |bytes| bytes[..40_000].fill(0));
    assert_eq!(mend_all(&fixture.store).mended.len(), 1);
}

#[test]
fn what_is_damaged_already_is_told_and_not_covered() {
    let (fixture, packs) = scene(&[1 << 20, 1 << 20]);
    fixture.store.tamper(&packs[0], |bytes| bytes[500_000] ^= 1);
    let monitor = Recording::default();
    let added = add(&fixture.store, &addition(), &monitor).unwrap();
    assert_eq!(added.unfit.len(), 1);
    assert!(monitor.problems()[0].starts_with(packs[0].as_str()), "{:?}", monitor.problems());
    let status = status(&fixture.store, &Silent).unwrap();
    assert_eq!(status.covered + 1, status.objects);
}

#[test]
fn a_sidecar_that_was_cut_short_is_made_anew() {
    let (fixture, packs) = scene(&[1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let sidecar = fixture.store.names().into_iter().find(|name| crate::parity::is_sidecar(name.as_str())).unwrap();
    fixture.store.tamper(&sidecar, |bytes| bytes.truncate(bytes.len() / 2));
    let looks = MendRequest { dry_run: true, ..MendRequest::new(Examine::Looks) };
    assert_eq!(mend(&fixture.store, &looks, &Silent).unwrap().damaged_sidecars.len(), 1);
    let added = add(&fixture.store, &addition(), &Silent).unwrap();
    assert!(added.sidecars == 1 && added.objects > 5, "{added:?}");
    assert_eq!(mend(&fixture.store, &looks, &Silent).unwrap().damaged_sidecars.len(), 0);
    fixture.store.tamper(&packs[0], |bytes| bytes[..8 * SECTOR].fill(0));
    assert_eq!(mend_all(&fixture.store).mended.len(), 1);
}

#[test]
fn files_of_others_stay_where_they_are() {
    let (fixture, _) = scene(&[1 << 20]);
    let foreign: Vec<ObjectName> =
        ["parity/readme.txt", "mirror/readme.txt"].iter().map(|name| ObjectName::new(*name).unwrap()).collect();
    for name in &foreign {
        fixture.store.put(name, b"mine").unwrap();
    }
    let before = fixture.store.names();
    let replace: BTreeSet<ObjectName> = foreign.iter().cloned().collect();
    let all = Addition { mirror: true, drop_missing: true, replace, ..addition() };
    add(&fixture.store, &all, &Silent).unwrap();
    assert_eq!(mend_all(&fixture.store).damaged_sidecars, BTreeSet::new());
    // A sidecar that tells nothing is put aside when it is made anew: perhaps it only cannot be read today.
    let sidecar =
        fixture.store.names().into_iter().find(|name| list(&fixture.store).unwrap().sidecars[0].name == *name);
    let sidecar = sidecar.unwrap();
    fixture.store.tamper(&sidecar, |bytes| bytes.fill(0));
    let replace = mend_all(&fixture.store).damaged_sidecars;
    assert_eq!(add(&fixture.store, &Addition { replace, ..addition() }, &Silent).unwrap().sidecars, 1);
    let aside = ObjectName::new(format!("damaged/{sidecar}")).unwrap();
    assert!(fixture.store.stat(&aside).unwrap().is_some());
    fixture.store.remove(&aside).unwrap();
    remove(&fixture.store, &Silent).unwrap();
    assert_eq!(fixture.store.names(), before);
}

#[test]
fn all_of_it_goes_and_nothing_else() {
    let (fixture, _) = scene(&[1 << 20]);
    let before = fixture.store.names();
    add(&fixture.store, &Addition { mirror: true, ..addition() }, &Silent).unwrap();
    let removed = remove(&fixture.store, &Silent).unwrap();
    assert!(removed.sidecars == 1 && removed.mirrored > 5 && removed.bytes > 0);
    assert_eq!(fixture.store.names(), before);
}
