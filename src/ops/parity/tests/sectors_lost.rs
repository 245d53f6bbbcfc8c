//! What comes back of lost sectors, and what is named where they are too many.

use super::*;

#[test]
fn sectors_lost_at_random_up_to_the_percentage_come_back() {
    let (fixture, _) = scene(&[5 << 20, 3 << 20, 4096, 100_000, 8 << 20]);
    let added = add(&fixture.store, &addition(), &Silent).unwrap();
    assert_eq!((added.unfit, added.missing), (vec![], 0));
    let before = contents(&fixture.store);
    assert_eq!(added.objects, before.keys().filter(|name| is_in_sets(name.as_str())).count() as u64);
    for seed in 0..4 {
        // Sidecars lie on the same medium.
        let spoilt = spoil(&fixture.store, 30, seed, |name| !name.starts_with("damaged/"));
        assert!(spoilt > 120, "{spoilt}");
        let report = mend_all(&fixture.store);
        assert_eq!(report.lost, vec![]);
        let now = contents(&fixture.store);
        let differ: Vec<&ObjectName> = before.keys().filter(|name| now.get(*name) != before.get(*name)).collect();
        assert!(now == before, "seed {seed}: {differ:?} {report:?}");
        assert!(!report.damaged_sidecars.is_empty());
        // The sidecar is as damaged as before: it is made anew.
        let again = Addition { replace: report.damaged_sidecars, ..addition() };
        let again = add(&fixture.store, &again, &Silent).unwrap();
        assert_eq!((again.sidecars, again.removed), (1, 0));
        assert_eq!(status(&fixture.store, &Silent).unwrap().sidecars, 1);
        let idle = mend_all(&fixture.store);
        assert_eq!((idle.mended, idle.damaged_sidecars), (vec![], BTreeSet::new()));
    }
}

#[test]
fn groups_share_what_lies_side_by_side() {
    // Two groups: a scratch of 2 MiB is more than one alone could lose.
    let (fixture, packs) = scene(&[40 << 20, 40 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let before = contents(&fixture.store);
    fixture.store.tamper(&packs[0], |bytes| bytes[10 << 20..12 << 20].fill(0));
    // Eight areas of 64 KiB in the other, at odd places.
    for area in 0..8 {
        let at = (area * 7_900_003 + 1_000_001) % ((40 << 20) - (64 << 10));
        fixture.store.tamper(&packs[1], |bytes| bytes[at..at + (64 << 10)].fill(0));
    }
    let report = mend_all(&fixture.store);
    assert_eq!((report.lost, report.mended.len()), (vec![], 2));
    assert!(contents(&fixture.store) == before);
}

#[test]
fn beyond_the_percentage_what_is_lost_is_named_and_left_alone() {
    let (fixture, packs) = scene(&[2 << 20, 2 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    fixture.store.tamper(&packs[0], |bytes| bytes[..400 << 10].fill(7));
    let damaged = contents(&fixture.store);
    let report = mend_all(&fixture.store);
    let [(object, why)] = &report.lost[..] else { panic!("{report:?}") };
    assert_eq!(object, packs[0].as_str());
    assert!(why.contains("100 of its 512 sectors"), "{why}");
    assert!(contents(&fixture.store) == damaged && report.mended.is_empty());
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let (fixture, packs) = scene(&[2 << 20, 1 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    fixture.store.tamper(&packs[0], |bytes| bytes[5000] ^= 1);
    let names = fixture.store.names();
    let dry = MendRequest { dry_run: true, ..MendRequest::new(Examine::All) };
    let told = mend(&fixture.store, &dry, &Silent).unwrap();
    assert_eq!(fixture.store.names(), names);
    assert_eq!(told.mended, mend_all(&fixture.store).mended);
    assert_eq!(told.mended.len(), 1);
    assert_eq!(told.mended[0].sectors, Some(1));
}

#[test]
fn what_was_cut_short_or_lost_comes_back_and_the_damaged_one_is_kept() {
    let (fixture, packs) = scene(&[3 << 20, 40_000, 9000]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let before = contents(&fixture.store);
    fixture.store.tamper(&packs[0], |bytes| bytes.truncate((3 << 20) - 50_000));
    fixture.store.remove(&packs[1]).unwrap();
    fixture.store.tamper(&packs[2], Vec::clear);
    let report = mend_all(&fixture.store);
    assert_eq!(report.mended.len(), 3, "{report:?}");
    assert!(contents(&fixture.store) == before);
    let aside = ObjectName::new(format!("damaged/{}", packs[0])).unwrap();
    assert_eq!(fixture.store.stat(&aside).unwrap().unwrap().len, (3 << 20) - 50_000);
}

#[test]
fn packs_that_are_gone_stay_gone_unless_they_are_asked_for() {
    let (fixture, packs) = scene(&[3 << 20, 8192]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    fixture.store.remove(&packs[1]).unwrap();
    let request = MendRequest::new(Examine::All);
    assert_eq!(mend(&fixture.store, &request, &Silent).unwrap().mended, vec![]);
    let request = MendRequest { named: &BTreeSet::from([packs[1].clone()]), ..request };
    assert_eq!(mend(&fixture.store, &request, &Silent).unwrap().mended.len(), 1);
    assert!(fixture.store.stat(&packs[1]).unwrap().is_some());
}

#[test]
fn sectors_that_cannot_be_read_are_lost_ones() {
    let (fixture, packs) = scene(&[2 << 20]);
    add(&fixture.store, &addition(), &Silent).unwrap();
    let before = contents(&fixture.store);
    let bad = [3u64, 4, 200, 511].iter().map(|sector| (packs[0].clone(), *sector)).collect();
    let store = scratched(&fixture.store, bad);
    // Nothing covers what cannot be read either.
    let unread = add(&store, &Addition { percent: Percent::new(400).unwrap(), ..addition() }, &Silent).unwrap();
    assert_eq!(unread.unfit, vec![], "what is covered is not read again");
    let report = mend_all(&store);
    assert_eq!(report.mended.len(), 1, "{report:?}");
    assert_eq!(report.mended[0].sectors, Some(4));
    assert!(contents(&fixture.store) == before);
}
