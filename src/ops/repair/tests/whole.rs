//! What parity and second copies bring back byte for byte, before anything is moved.

use super::*;
use crate::model::gc::Step;

fn cover(fixture: &Fixture) {
    let percent = crate::parity::Percent::new(3000).unwrap();
    let request =
        crate::ops::parity::Addition { percent, mirror: true, drop_missing: false, replace: Default::default() };
    crate::ops::parity::add(&fixture.store, &request, &Silent).unwrap();
}

fn objects(fixture: &Fixture) -> BTreeMap<ObjectName, Vec<u8>> {
    let names = fixture.store.names().into_iter().filter(|name| crate::ops::parity::is_coverable(name.as_str()));
    names.map(|name| (name.clone(), fixture.store.get(&name, u64::MAX).unwrap())).collect()
}

#[test]
fn with_parity_what_is_damaged_or_gone_is_the_same_again_and_nothing_is_moved() {
    let (fixture, _) = repository();
    cover(&fixture);
    let before = objects(&fixture);
    let packs: Vec<&ObjectName> = before.keys().filter(|name| name.as_str().starts_with("packs/")).collect();
    let mut by_len = packs.clone();
    by_len.sort_by_key(|name| before[*name].len());
    let [small, .., other, long] = by_len[..] else { panic!("{by_len:?}") };
    fixture.store.tamper(other, |bytes| bytes[1000] ^= 1);
    // Both ends look well: only a whole reading finds it.
    fixture.store.tamper(long, |bytes| bytes[9000] ^= 1);
    // The index lists it and no note names it.
    fixture.store.remove(small).unwrap();
    let snapshot = before.keys().find(|name| name.as_str().starts_with("snapshots/")).unwrap();
    fixture.store.tamper(snapshot, |bytes| bytes[300] ^= 1);
    let dry = repair(&fixture.repo, &Request { dry_run: true, ..request(None) }, &Silent).unwrap();
    let report = run(&fixture.repo, None);
    assert_eq!(report.whole.mended.len(), 4, "{report:?}");
    assert_eq!(dry.whole.mended, report.whole.mended);
    for report in [&report, &dry] {
        let packs = report.packs.as_ref().unwrap();
        assert_eq!((packs.moved, packs.marked, packs.missing, report.shortfall()), (0, 0, 0, 0), "{report:?}");
        assert!(report.snapshots.iter().flatten().next().is_none() && !report.is_idle());
    }
    assert!(objects(&fixture) == before);
    assert_eq!(findings(&fixture.repo).findings, vec![]);
    assert!(run(&fixture.repo, None).is_idle());
}

#[test]
fn a_pack_that_a_note_of_prune_names_is_not_brought_back() {
    let (fixture, _) = repository();
    cover(&fixture);
    let entry = fixture.index().runs()[0].packs().next().map(|(id, ..)| id).unwrap();
    fixture.repo.note(Step::Notice, vec![entry]).unwrap();
    fixture.store.remove(&pack::object_name(&entry)).unwrap();
    let report = run(&fixture.repo, None);
    assert!(report.whole.mended.is_empty(), "{report:?}");
    assert!(fixture.store.stat(&pack::object_name(&entry)).unwrap().is_none());
}

#[test]
fn what_parity_cannot_bring_back_goes_the_way_of_all_repairs() {
    let (fixture, _) = repository();
    cover(&fixture);
    let before = objects(&fixture);
    let (name, _) = before
        .iter()
        .filter(|(name, bytes)| name.as_str().starts_with("packs/") && bytes[10] == 3)
        .max_by_key(|(_, bytes)| bytes.len())
        .unwrap();
    // Nothing of it is left but its table.
    let sidecar = fixture.store.names().into_iter().find(|name| name.as_str().starts_with("parity/")).unwrap();
    fixture.store.tamper(&sidecar, |bytes| bytes.iter_mut().skip(4096).step_by(4096).for_each(|byte| *byte ^= 1));
    fixture.store.tamper(name, |bytes| bytes[8192..].fill(0));
    let report = run(&fixture.repo, None);
    assert_eq!(report.whole.lost.len(), 1, "{:?}", report.whole);
    assert!(report.packs.unwrap().marked == 1 && !report.snapshots.unwrap().is_empty());
}

#[test]
fn what_else_is_lost_counts_and_only_what_is_asked_for_is_mended() {
    let (fixture, _) = repository();
    let percent = crate::parity::Percent::new(10).unwrap();
    let request_one =
        crate::ops::parity::Addition { percent, mirror: false, drop_missing: false, replace: Default::default() };
    crate::ops::parity::add(&fixture.store, &request_one, &Silent).unwrap();
    let before = objects(&fixture);
    let pack = before.keys().find(|name| name.as_str().starts_with("packs/")).unwrap();
    fixture.store.tamper(pack, |bytes| bytes.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1));
    let only = What { index: true, packs: false, snapshots: false };
    let report = repair(&fixture.repo, &Request { what: only, ..request(None) }, &Silent).unwrap();
    assert_eq!(report.whole.mended, vec![]);
    assert_ne!(fixture.store.get(pack, u64::MAX).unwrap(), before[pack]);
    assert_eq!(run(&fixture.repo, None).whole.mended.len(), 1);
    assert!(objects(&fixture) == before);
    // The configuration, and so much else that no parity makes up for it.
    let sidecar = fixture.store.names().into_iter().find(|name| name.as_str().starts_with("parity/")).unwrap();
    fixture.store.tamper(&sidecar, |bytes| bytes.iter_mut().skip(4096).step_by(4096).for_each(|byte| *byte ^= 1));
    fixture.store.tamper(&ObjectName::new("config").unwrap(), |bytes| bytes[300] ^= 1);
    let report = run(&fixture.repo, None);
    assert_eq!(report.whole.lost.len(), 1, "{report:?}");
    assert_eq!(report.shortfall(), 1, "{report:?}");
}
