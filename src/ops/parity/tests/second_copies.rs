//! Metadata and their second copies, and what must not come back from them.

use super::*;

#[test]
fn forgotten_snapshots_and_removed_keys_do_not_return() {
    let (fixture, _) = scene(&[3 << 20]);
    let maintainer = fixture.as_maintainer();
    let mirrored = Addition { mirror: true, ..addition() };
    add(&fixture.store, &mirrored, &Silent).unwrap();
    let of =
        |folder: &str| fixture.store.names().into_iter().filter(|n| n.as_str().starts_with(folder)).collect::<Vec<_>>();
    let (snapshots, slots) = (of("snapshots/"), of("keys/"));
    drop(maintainer);
    // Forgotten: a tombstone stands in its place. Its contents do not matter here.
    let gone = ObjectName::new(snapshots[0].as_str().replace("snapshots/", "gone/")).unwrap();
    fixture.store.put(&gone, b"tombstone").unwrap();
    fixture.store.remove(&snapshots[0]).unwrap();
    // Lost: nothing does.
    fixture.store.remove(&snapshots[1]).unwrap();
    fixture.store.remove(&slots[0]).unwrap();
    let request = MendRequest::new(Examine::Looks);
    let report = mend(&fixture.store, &request, &Silent).unwrap();
    assert_eq!(report.mended.iter().map(|one| one.object.as_str()).collect::<Vec<_>>(), [snapshots[1].as_str()]);
    // Without any slot there is nothing to be protected from.
    fixture.store.remove(&slots[1]).unwrap();
    let report = mend(&fixture.store, &request, &Silent).unwrap();
    assert_eq!(report.mended.len(), 2);
}

#[test]
fn second_copies_bring_metadata_back_without_sidecars() {
    let (fixture, _) = scene(&[]);
    add(&fixture.store, &Addition { mirror: true, ..addition() }, &Silent).unwrap();
    let is_meta = |name: &str| !name.starts_with("packs/") && is_coverable(name);
    let before = contents(&fixture.store);
    for name in fixture.store.names() {
        if crate::parity::is_sidecar(name.as_str()) {
            fixture.store.remove(&name).unwrap();
        } else if name.as_str() == "config" {
            fixture.store.tamper(&name, |bytes| bytes.fill(0));
        } else if is_meta(name.as_str()) {
            fixture.store.tamper(&name, |bytes| bytes[100] ^= 1);
        }
    }
    assert!(Repository::identify(&fixture.store).is_err());
    let report = mend_all(&fixture.store);
    assert!(contents(&fixture.store) == before);
    assert!(report.mended.iter().all(|one| one.sectors.is_none()) && report.mended.len() > 5, "{report:?}");
    // Tree packs have one, data packs have none.
    let (mut trees, mut data) = (0, 0);
    for (name, bytes) in &before {
        if name.as_str().starts_with("packs/") {
            let has = fixture.store.stat(&mirror_name(name).unwrap()).unwrap().is_some();
            assert_eq!(has, bytes[10] == 4, "{name}");
            *if has { &mut trees } else { &mut data } += 1;
        }
    }
    assert!(trees > 0 && data > 0);
}

#[test]
fn a_damaged_second_copy_is_made_anew() {
    let (fixture, _) = scene(&[]);
    add(&fixture.store, &Addition { mirror: true, ..addition() }, &Silent).unwrap();
    let index = fixture.store.names().into_iter().find(|name| name.as_str().starts_with("index/")).unwrap();
    let second = mirror_name(&index).unwrap();
    fixture.store.tamper(&second, |bytes| bytes[9] ^= 1);
    let report = mend_all(&fixture.store);
    assert_eq!((report.mirrored, report.mended), (1, vec![]));
    assert_eq!(fixture.store.get(&second, 1 << 20).unwrap(), fixture.store.get(&index, 1 << 20).unwrap());
}

#[test]
fn a_configuration_that_cannot_be_read_is_mended() {
    for mirror in [false, true] {
        let (fixture, _) = scene(&[]);
        add(&fixture.store, &Addition { mirror, ..addition() }, &Silent).unwrap();
        let before = contents(&fixture.store);
        let config = ObjectName::new("config").unwrap();
        let store = scratched(&fixture.store, [(config.clone(), 0)].into());
        assert!(matches!(Repository::identify(&store), Err(Error::Store { .. })));
        let report = mend_all(&store);
        assert_eq!(report.mended.iter().map(|one| one.object.as_str()).collect::<Vec<_>>(), ["config"]);
        assert!(contents(&fixture.store) == before);
        // A version that there is not, and a header that is right.
        fixture.store.tamper(&config, |bytes| bytes[8] ^= 0x40);
        assert!(matches!(Repository::identify(&fixture.store), Err(Error::Unsupported { .. } | Error::Corrupt { .. })));
        mend_all(&fixture.store);
        assert!(contents(&fixture.store) == before);
    }
}

#[test]
fn a_rotten_second_copy_of_the_configuration_does_not_win() {
    let (fixture, _) = scene(&[]);
    add(&fixture.store, &Addition { mirror: true, ..addition() }, &Silent).unwrap();
    let before = contents(&fixture.store);
    let config = ObjectName::new("config").unwrap();
    let second = mirror_name(&config).unwrap();
    fixture.store.tamper(&config, |bytes| bytes.fill(0));
    fixture.store.tamper(&second, |bytes| bytes[100] ^= 1);
    assert_eq!(mend_all(&fixture.store).mended[0].sectors, Some(1));
    assert!(contents(&fixture.store) == before);
    // Now that one is right, the other comes from it, whichever of both it is.
    assert_eq!(mend_all(&fixture.store).mirrored, 1);
    assert_eq!(fixture.store.get(&second, 1 << 20).unwrap(), before[&config]);
    fixture.store.tamper(&config, |bytes| bytes[100] ^= 1);
    assert_eq!(mend_all(&fixture.store).mended[0].sectors, None);
    assert!(contents(&fixture.store) == before);
}

#[test]
fn a_key_that_was_removed_leaves_nothing_to_come_back_from() {
    let (fixture, _) = scene(&[]);
    let slot = fixture.store.names().into_iter().find(|name| name.as_str().starts_with("keys/")).unwrap();
    let secret = crate::keys::slot::Secret::Passphrase(b"another".to_vec().into());
    let id = fixture.repo.add_slot(crate::keys::Role::Owner, &secret, crate::keys::slot::Costs::LOW, "second").unwrap();
    let second = ObjectName::of_parts(&["keys", &id.to_string()]);
    let bytes = fixture.store.get(&second, 4096).unwrap();
    for mirror in [false, true] {
        add(&fixture.store, &Addition { mirror, ..addition() }, &Silent).unwrap();
        assert!(fixture.store.stat(&mirror_name(&second).unwrap()).unwrap().is_some());
    }
    // Mended once, so that there is one aside.
    fixture.store.tamper(&second, |bytes| bytes[80] ^= 1);
    assert_eq!(mend_all(&fixture.store).mended.len(), 1);
    fixture.repo.remove_slot(&id.to_string()).unwrap();
    assert!(!fixture.store.names().iter().any(|name| name.as_str().contains(&id.to_string())));
    for name in fixture.store.names() {
        let object = fixture.store.get(&name, u64::MAX).unwrap();
        assert!(!object.windows(64).any(|window| window == &bytes[64..128]), "{name}");
    }
    // Not even where the last one is lost.
    fixture.store.remove(&slot).unwrap();
    let mended = mend_all(&fixture.store).mended;
    assert_eq!(mended.iter().map(|one| one.object.as_str()).collect::<Vec<_>>(), [slot.as_str()]);
}
