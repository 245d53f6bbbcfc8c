//! Whether it is the medium that it is taken for: clones, older states, other disks in its place, other people's.

use super::*;

#[test]
fn another_disk_at_the_same_place_gets_nothing() {
    let world = World::new();
    let root = world.medium("blue");
    let (folder, away) = (root.join("vault"), root.join("away"));
    let swap = || {
        std::fs::rename(&folder, &away).unwrap();
        std::fs::create_dir(&folder).unwrap();
    };
    world.sync_with("blue", false, &swap, &Silent).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    std::fs::remove_dir(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    assert_eq!(world.copy_on(&root).snapshots(None).unwrap().listed.len(), 1);
    // A copy that was there is not made anew where it is missing.
    std::fs::remove_file(folder.join("config")).unwrap();
    assert!(world.try_sync("blue", false).is_err());
    assert!(!folder.join("config").exists());
}

#[test]
fn clones_that_went_on_apart_and_lost_snapshots_are_recognised() {
    let world = World::new();
    let root = world.medium("blue");
    world.sync("blue");
    let (clone, other) = (world.path("clone"), world.path("other"));
    copy_tree(&root, &clone);
    // The clone is synced on another machine, to the same number.
    std::fs::rename(&root, &other).unwrap();
    std::fs::rename(&clone, &root).unwrap();
    let elsewhere = world.path("state-2");
    copy_tree(&world.path("state"), &elsewhere);
    world.sync("blue");
    std::fs::rename(&root, &clone).unwrap();
    std::fs::rename(&other, &root).unwrap();
    let catalogue = Catalogue::open(&world.fixture.repo, &elsewhere).unwrap();
    let medium = catalogue.find("blue").unwrap();
    let around = |store: SharedStore| store;
    let request = Request { medium: &medium, accept_rollback: false, around: &around, client: "other" };
    sync(&catalogue, &world.desk, &request, &Silent).unwrap();
    let error = world.try_sync("blue", false).unwrap_err();
    assert!(matches!(&error, Error::Rollback { what } if what.contains("clone")), "{error}");
    world.try_sync("blue", true).unwrap();
    // Its snapshots vanished, and its marker did not.
    std::fs::remove_dir_all(root.join("vault/snapshots")).unwrap();
    let error = world.try_sync("blue", false).unwrap_err();
    assert!(matches!(&error, Error::Rollback { what } if what.contains("lost")), "{error}");
    assert_eq!(world.catalogue().find("blue").unwrap().snapshots.len(), 1, "what it held is still known");
    world.try_sync("blue", true).unwrap();
}

#[test]
fn a_medium_that_is_away_is_absent_and_nothing_is_written_to_its_place() {
    let world = World::new();
    let root = world.medium("blue");
    world.desk.unplug(&root);
    // The mount point is still there, as an empty folder.
    std::fs::remove_dir_all(root.join("vault")).unwrap();
    let error = world.try_sync("blue", false).unwrap_err();
    assert!(matches!(&error, Error::Absent { what } if what.contains("safe")), "{error}");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    // Another one at the same place is not it either.
    world.desk.plug(&root, "uuid-other", true);
    assert!(matches!(world.try_sync("blue", false), Err(Error::Absent { .. })));
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    // The same file system, emptied.
    world.desk.unplug(&root);
    world.desk.plug(&root, "uuid-blue", true);
    assert!(matches!(world.try_sync("blue", false), Err(Error::Refused { .. })));
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    std::fs::create_dir(root.join("vault")).unwrap();
    let error = world.try_sync("blue", false).unwrap_err().to_string();
    assert!(error.contains("no marker"), "{error}");
}

#[test]
fn clones_and_older_states_are_recognised() {
    let world = World::new();
    let root = world.medium("blue");
    world.sync("blue");
    let clone = world.path("clone");
    copy_tree(&root, &clone);
    night(&world.fixture, 2);
    world.sync("blue");
    // Both at once.
    world.desk.plug(&clone, "uuid-blue", true);
    let error = world.try_sync("blue", false).unwrap_err();
    assert!(matches!(&error, Error::Refused { what } if what.contains("clone")), "{error}");
    // The older one alone.
    world.desk.unplug(&root);
    let error = world.try_sync("blue", false).unwrap_err();
    assert!(matches!(&error, Error::Rollback { what } if what.contains("sync 2 of 3")), "{error}");
    assert_eq!(world.copy_on(&clone).snapshots(None).unwrap().listed.len(), 1, "nothing was written");
    let report = world.try_sync("blue", true).unwrap();
    assert_eq!((report.generation, report.held), (4, 2));
    // One with the same UUID and the marker of another medium.
    world.desk.unplug(&clone);
    let other = world.medium("red");
    world.desk.unplug(&other);
    world.desk.plug(&other, "uuid-blue", true);
    let error = world.try_sync("blue", false).unwrap_err().to_string();
    assert!(error.contains("marker of another medium (red)"), "{error}");
}

#[test]
fn other_peoples_media_are_refused() {
    let world = World::new();
    let root = world.path("m");
    std::fs::create_dir_all(root.join("vault")).unwrap();
    world.desk.plug(&root, "uuid-m", true);
    let add_it = |name: &str, folder: &Path| add(&world.catalogue(), &world.desk, &world.new_medium(folder, name));
    assert!(matches!(add_it("two words", &root.join("vault")), Err(Error::Usage { .. })));
    assert!(matches!(add_it("m", &root), Err(Error::Usage { .. })), "the root of a medium");
    let other = Fixture::with_seed(7);
    let store = LocalStore::open(&root.join("vault")).unwrap();
    let config = crate::store::ObjectName::new("config").unwrap();
    store.put(&config, &other.store.get(&config, 1 << 20).unwrap()).unwrap();
    let error = add_it("m", &root.join("vault")).unwrap_err();
    assert!(matches!(&error, Error::Refused { what } if what.contains("another repository")), "{error}");
    add_it("m", &root.join("mine")).unwrap();
    assert!(matches!(add_it("n", &root.join("mine")), Err(Error::Usage { .. })), "known already");
    // Somebody's letter in the folder of the copy.
    let letter = crate::store::ObjectName::new("letter.txt").unwrap();
    LocalStore::open(&root.join("mine")).unwrap().put(&letter, b"dear").unwrap();
    let error = world.try_sync("m", false).unwrap_err();
    assert!(error.to_string().contains("letter.txt"), "{error}");
}
