//! Sidecars and second copies on media.

use super::*;

fn sidecars(root: &Path) -> (u64, u64) {
    let status = crate::ops::parity::status(&LocalStore::open(&root.join("vault")).unwrap(), &Silent).unwrap();
    assert_eq!((status.covered, status.missing), (status.objects, 0), "{status:?}");
    (status.sidecars, status.mirrored)
}

fn packs_on(root: &Path) -> Vec<crate::store::ObjectName> {
    let mut packs = Vec::new();
    let mut each = |entry: crate::store::Entry| {
        packs.push(entry.name);
        Ok(())
    };
    LocalStore::open(&root.join("vault")).unwrap().list("packs/", &mut each).unwrap();
    packs
}

#[test]
fn a_medium_gets_parity_and_second_copies_by_itself() {
    use crate::ops::parity::{self, Examine, MendRequest};
    let world = World::new();
    let root = world.medium("blue");
    let report = world.sync("blue");
    assert!(report.parity.0 > 1 && report.parity.1 < report.bytes && report.read_back == report.bytes, "{report:?}");
    let (first, mirrored) = sidecars(&root);
    assert!(first == 1 && mirrored > 3, "{mirrored}");
    assert_eq!((world.sync("blue").objects, sidecars(&root)), (0, (first, mirrored)), "a new marker is nothing new");
    night(&world.fixture, 2);
    world.sync("blue");
    let after = sidecars(&root);
    assert!(after.0 == 2 && after.1 > mirrored, "{after:?}");
    // What is lost of any of it comes back from the disk itself.
    let store = LocalStore::open(&root.join("vault")).unwrap();
    let packs = packs_on(&root);
    for name in packs {
        let path = root.join("vault").join(name.as_str());
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let report = parity::mend(&store, &MendRequest::new(Examine::All), &Silent).unwrap();
        assert!(report.lost.is_empty() && std::fs::read(&path).unwrap() == whole, "{name}: {report:?}");
    }
}

#[test]
fn damage_of_what_lay_on_it_is_told_and_who_wants_no_parity_gets_none() {
    let world = World::new();
    let root = world.medium("blue");
    world.sync("blue");
    // Parity that is lost is made anew, of what is whole: a rotten pack is told.
    std::fs::remove_dir_all(root.join("vault/parity")).unwrap();
    let packs = packs_on(&root);
    let path = root.join("vault").join(packs[0].as_str());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(world.sync("blue").unfit, 1);
    let bare = world.path("bare");
    std::fs::create_dir(&bare).unwrap();
    world.desk.plug(&bare, "uuid-bare", true);
    let folder = bare.join("vault");
    let new = New { parity: false, ..world.new_medium(&folder, "bare") };
    add(&world.catalogue(), &world.desk, &new).unwrap();
    assert_eq!(world.sync("bare").parity, (0, 0));
    assert!(!folder.join("parity").exists() && !folder.join("mirror").exists());
}
