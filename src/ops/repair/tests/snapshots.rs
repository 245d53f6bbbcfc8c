//! What becomes of snapshots, damaged or healed.

use super::*;
use crate::{object::Kind, series::Address};

fn snapshot_of(repo: &Repository, path: &std::path::Path) -> snapshot::Report {
    let request = fixture::request("h/-/real", vec![fixture::path("data", path)]);
    snapshot::snapshot(repo, request, &Silent).unwrap()
}

#[test]
fn the_next_snapshot_of_the_same_data_heals_what_is_missing() {
    let source = tempfile::tempdir().unwrap();
    for n in 0..40u64 {
        std::fs::write(source.path().join(format!("f{n}")), fixture::noise(2000, n)).unwrap();
    }
    type Harm = fn(&Fixture, &ObjectName);
    let harms: [Harm; 3] = [
        |fixture, name| fixture.store.remove(name).unwrap(),
        |fixture, name| assert!(fixture.store.tamper(name, |bytes| bytes[5000] ^= 1)),
        |fixture, name| assert!(fixture.store.tamper(name, |bytes| bytes.truncate(3000))),
    ];
    for harm in harms {
        let fixture = Fixture::new();
        let first = snapshot_of(&fixture.repo, source.path());
        let whole = contents(&fixture.repo, &first.snapshot);
        let packs = fixture.repo.load_index(true).unwrap().0.runs();
        for (id, _, kind) in packs.iter().flat_map(|run| run.packs()) {
            if kind == Kind::DataPack as u8 {
                harm(&fixture, &pack::object_name(&id));
            }
        }
        let report = run(&fixture.repo, None);
        assert!(report.shortfall() > 0);
        assert!(contents(&fixture.repo, &first.snapshot).len() < whole.len());
        let second = snapshot_of(&fixture.repo, source.path());
        assert_eq!(contents(&fixture.repo, &second.snapshot), whole);
        // And the damaged one with it.
        assert_eq!(contents(&fixture.repo, &first.snapshot), whole);
        let checked = findings(&fixture.repo);
        assert_eq!(checked.findings, [], "{:?}", checked.losses);
    }
}

#[test]
fn damaged_snapshots_are_stepped_over_and_said_until_they_are_made_up_for() {
    let (fixture, all) = repository();
    let replica = fixture.copy();
    let address = Address::parse(b"h/-/s").unwrap();
    let resolve = || fixture.repo.resolve(&address, &|_| unreachable!());
    let newest = fixture.object("h/-/s", &all[2].id);
    // Its head still says that it is the one: another must not pass for it.
    fixture.store.tamper(&newest, |bytes| bytes[1000] ^= 1);
    assert!(matches!(resolve(), Err(Error::Corrupt { .. })));
    fixture.store.tamper(&newest, |bytes| bytes[200] ^= 1);
    let resolved = resolve().unwrap();
    assert_eq!((resolved.listed.id, resolved.passed_over.len()), (all[1].id, 1));
    assert!(resolved.surely().is_err());
    let report = run(&fixture.repo, None);
    let [one] = &report.snapshots.as_ref().unwrap()[..] else { panic!("{report:?}") };
    assert_eq!((one.loss.id, one.loss.whole, one.made, one.series.as_deref()), (all[2].id, true, false, Some("h/-/s")));
    run(&fixture.repo, Some(&replica.repo));
    let resolved = resolve().unwrap();
    assert_eq!((resolved.listed.snapshot.head.sequence, resolved.passed_over.len()), (3, 0));
    assert_eq!(resolved.listed.snapshot.repaired_from(), Some(all[2].id));
}
