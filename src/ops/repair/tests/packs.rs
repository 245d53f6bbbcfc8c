//! The index and packs: what they tell of one another, and what another repository adds.

use super::*;
use crate::id::PackId;

#[test]
fn a_lost_index_is_made_anew_from_the_packs() {
    let (fixture, all) = repository();
    let whole: Vec<Contents> = all.iter().map(|listed| contents(&fixture.repo, &listed.snapshot)).collect();
    for name in fixture.names("index/") {
        fixture.store.remove(&name).unwrap();
    }
    assert!(!findings(&fixture.repo).findings.is_empty());
    let request = Request { what: INDEX, from: None, read_data: false, host: "host", dry_run: false };
    let planned = repair(&fixture.repo, &Request { dry_run: true, ..request }, &Silent).unwrap();
    assert_eq!(fixture.names("index/"), []);
    let report = repair(&fixture.repo, &request, &Silent).unwrap();
    assert_eq!(planned, report);
    let index = report.index.unwrap();
    assert_eq!(index.listed, fixture.names("packs/").len() as u64);
    let checked = findings(&fixture.repo);
    assert_eq!((checked.findings, checked.notes), (vec![], vec![]));
    for (listed, whole) in all.iter().zip(whole) {
        assert_eq!(contents(&fixture.repo, &listed.snapshot), whole);
    }
    let before = fixture.store.names();
    run(&fixture.repo, None);
    assert_eq!(fixture.store.names(), before);
}

#[test]
fn a_pack_with_a_damaged_header_or_footer_tells_what_it_holds_all_the_same() {
    let (fixture, all) = repository();
    let whole = contents(&fixture.repo, &all[2].snapshot);
    for name in fixture.names("index/") {
        fixture.store.remove(&name).unwrap();
    }
    for (n, name) in fixture.names("packs/").iter().enumerate() {
        fixture.store.tamper(name, |bytes| {
            let len = bytes.len();
            let at = [10, 20, len - 32, len - 24, len - 16, len - 1][n % 6];
            bytes[at] ^= 4;
        });
    }
    let dry = repair(&fixture.repo, &Request { dry_run: true, ..request(None) }, &Silent).unwrap();
    let report = run(&fixture.repo, None);
    assert_eq!(dry, report);
    let packs = report.packs.clone().unwrap();
    assert_eq!((report.shortfall(), packs.missing), (0, 0), "{report:?}");
    assert!(packs.moved > 0 && packs.damaged.len() as u64 == report.index.unwrap().recovered);
    let checked = findings(&fixture.repo);
    assert_eq!(checked.findings, [], "{:?}", checked.notes);
    assert_eq!(contents(&fixture.repo, &all[2].snapshot), whole);
    let before = fixture.store.names();
    run(&fixture.repo, None);
    assert_eq!(fixture.store.names(), before);
}

#[test]
fn an_index_and_packs_that_are_lost_together_come_back_from_a_copy() {
    let (fixture, all) = repository();
    let whole: Vec<Contents> = all.iter().map(|listed| contents(&fixture.repo, &listed.snapshot)).collect();
    let replica = fixture.copy();
    for name in fixture.names("index/") {
        fixture.store.remove(&name).unwrap();
    }
    // Nothing is left that says what was in them.
    for name in fixture.names("packs/").iter().step_by(2) {
        fixture.store.remove(name).unwrap();
    }
    let report = run(&fixture.repo, Some(&replica.repo));
    assert_eq!(report.shortfall(), 0, "{report:?}");
    assert_eq!(findings(&fixture.repo).findings, []);
    for (listed, whole) in all.iter().zip(&whole) {
        assert_eq!(&contents(&fixture.repo, &listed.snapshot), whole);
    }
}

#[test]
fn a_maintainer_repairs_data_from_packs_that_are_whole_elsewhere() {
    let (fixture, all) = repository();
    let whole = contents(&fixture.repo, &all[2].snapshot);
    let maintainer = fixture.as_maintainer();
    let replica = fixture.copy();
    for name in fixture.names("packs/") {
        fixture.store.tamper(&name, |bytes| bytes[1000] ^= 1);
    }
    // Alone it cannot tell what of the data is whole, and calls none of it lost.
    let before = fixture.names("snapshots/");
    let monitor = Recording::default();
    let report = repair(&maintainer, &request(None), &monitor).unwrap();
    assert!(report.snapshots.is_none() && report.packs.unwrap().missing > 0);
    assert!(monitor.problems().iter().any(|text| text.contains("owner's key")), "{:?}", monitor.problems());
    assert_eq!(fixture.names("snapshots/"), before);
    let report = run(&maintainer, Some(&replica.as_maintainer()));
    assert_eq!(report.shortfall(), 0, "{report:?}");
    assert_eq!(contents(&fixture.repo, &all[2].snapshot), whole);
    assert_eq!(findings(&fixture.repo).findings, []);
}

#[test]
fn another_repository_is_not_fetched_from() {
    let (fixture, _) = repository();
    let stranger = Fixture::with_seed(7);
    let error = repair(&fixture.repo, &request(Some(&stranger.repo)), &Silent).unwrap_err();
    assert!(matches!(error, Error::Usage { .. }), "{error}");
}

#[test]
fn what_only_the_newest_check_knows_is_repaired_without_reading_all() {
    let folder = tempfile::tempdir().unwrap();
    let (fixture, _) = repository();
    let repo = fixture.reopen_at(5, Some(folder.path().to_owned()));
    let name = fixture.names("packs/").remove(0);
    fixture.store.tamper(&name, |bytes| bytes[1000] ^= 1);
    let quick = Request { read_data: false, ..request(None) };
    let report = repair(&repo, &quick, &Silent).unwrap();
    assert_eq!(report.packs.unwrap().damaged, [], "structure does not tell");
    assert!(!findings(&repo).findings.is_empty());
    let report = repair(&repo, &quick, &Silent).unwrap();
    let packs = report.packs.unwrap();
    assert_eq!((packs.damaged.len(), packs.read, packs.marked), (1, 1, 1));
    assert_eq!(packs.damaged[0].object, name.as_str());
}

#[test]
fn packs_that_nobody_needs_stay_where_they_are() {
    let (fixture, _) = repository();
    let id = PackId([0xab; 32]);
    fixture.store.put(&pack::object_name(&id), b"cut short").unwrap();
    let report = run(&fixture.repo, None);
    assert_eq!(report.index.as_ref().unwrap().unusable.len(), 1);
    assert_eq!(report.shortfall(), 0);
    assert_eq!(findings(&fixture.repo).findings, []);
}
