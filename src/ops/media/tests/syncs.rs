//! What a sync brings, and what it leaves of what others have noted.

use super::*;

#[test]
fn a_sync_brings_everything_and_reads_it_back() {
    let world = World::new();
    let root = world.medium("blue");
    let report = world.sync("blue");
    assert_eq!((report.snapshots, report.held, report.generation), (1, 1, 2));
    assert!(report.bytes > 4_000 && report.read_back == report.bytes && !report.unmounted);
    let copy = world.copy_on(&root);
    assert_eq!(copy.snapshots(None).unwrap().listed, world.fixture.repo.snapshots(None).unwrap().listed);
    night(&world.fixture, 2);
    let report = world.sync("blue");
    assert_eq!((report.snapshots, report.held, report.generation), (1, 2, 3));
    assert_eq!(std::fs::read_dir(root.join("vault/media")).unwrap().count(), 1, "one marker is left");
    let report = world.sync("blue");
    assert_eq!((report.snapshots, report.bytes, report.objects), (0, 0, 0));
    let around = Around { clock: &SystemClock, entropy: &KernelEntropy, cache: None };
    let medium = world.catalogue().find("blue").unwrap();
    let checked = check(&world.catalogue(), &world.desk, &medium, ReadData::None, &around, &Silent).unwrap();
    assert!(checked.findings.is_empty() && checked.notes.is_empty(), "{:?} {:?}", checked.findings, checked.notes);
    assert_eq!(world.catalogue().find("blue").unwrap().checked.map(|checked| checked.findings), Some(0));
}

#[test]
fn what_others_note_of_a_medium_meanwhile_stays() {
    let world = World::new();
    world.medium("blue");
    let meanwhile = || {
        let catalogue = world.catalogue();
        retire(&catalogue, &catalogue.find("blue").unwrap()).unwrap();
    };
    world.sync_with("blue", false, &meanwhile, &Silent).unwrap();
    let known = world.catalogue().media().unwrap().remove(0);
    assert!(known.retired && known.synced().is_some(), "{known:?}");
}

#[test]
fn a_medium_that_was_pruned_is_synced_with_the_key() {
    let world = World::new();
    let root = world.medium("blue");
    world.sync("blue");
    world.copy_on(&root).note(crate::model::gc::Step::Mark, vec![]).unwrap();
    night(&world.fixture, 2);
    let report = world.sync("blue");
    assert_eq!((report.snapshots, report.held, report.failed), (1, 2, 0));
    assert_eq!(
        world.copy_on(&root).snapshots(None).unwrap().listed,
        world.fixture.repo.snapshots(None).unwrap().listed
    );
}
