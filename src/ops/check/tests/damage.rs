//! Each object damaged in each way: found, and named, with a key and without.

use super::*;
use crate::{
    model::{
        annotation::{Annotation, Change},
        tombstone::{GoneHead, Tombstone},
    },
    world::Time,
};

fn assert_named(report: Result<Report>, name: &ObjectName, how: &str) {
    match report {
        Ok(report) => {
            let named = report.findings.iter().any(|finding| finding.object == name.as_str());
            assert!(named, "{how} of {name}: {:?}", report.findings);
        }
        // The format's own rule: another version is unsupported, and config alone has no name that tells damage from it.
        Err(error @ Error::Unsupported { .. }) => assert!(name.as_str() == "config", "{how} of {name}: {error}"),
        Err(error) => panic!("{how} of {name}: {error}"),
    }
}

/// The same with two more snapshots that were forgotten, and annotations.
fn repository_with_marks() -> Fixture {
    let fixture = repository();
    for _ in 0..2 {
        let listed = fixture.snapshot("h/-/s", 9, vec![("f", fixture::file(b"f"))]);
        let series = fixture.tag("h/-/s");
        let head = GoneHead { series, snapshot: listed.id, head: listed.snapshot.head.clone() };
        let text = String::new;
        let time = Time::from_sec(9);
        let tombstone = Tombstone { head, time, host: text(), user: text(), reason: text() };
        fixture.repo.bury(&tombstone).unwrap();
        fixture.store.remove(&fixture.object("h/-/s", &listed.id)).unwrap();
        let snapshot = fixture.repo.snapshots(None).unwrap().listed[0].id;
        let changes = vec![Change::Pin { on: true, reason: None }];
        let note = Annotation { series, snapshot, counter: 1, time, host: text(), user: text(), changes };
        fixture.repo.annotate(&note).unwrap();
    }
    fixture
}

#[test]
fn every_kind_of_damage_to_every_object_is_found_and_named() {
    let fixture = repository_with_marks();
    fixture.as_maintainer();
    for name in fixture.store.names() {
        let len = bytes(&fixture, &name).len();
        // Header, wrapped keys and nonces at the front; tag, directory and footer at the end; contents and padding between.
        let mut places: Vec<usize> = vec![0, 9, 10, 11, 13, 20, 31, 32, 40, 60, 100, 150, 300, len / 3, len / 2];
        places.extend([33, 32, 25, 17, 9, 1, 1000, 2000].map(|back| len.saturating_sub(back)));
        for at in places.into_iter().filter(|at| *at < len) {
            let report = with_change(&fixture, &name, &|bytes| bytes[at] ^= 0x10);
            assert_named(report, &name, &format!("a flip at {at} of {len}"));
        }
        for cut in [0, 10, 40, len / 2, len - 1] {
            assert_named(with_change(&fixture, &name, &|bytes| bytes.truncate(cut)), &name, &format!("a cut at {cut}"));
        }
        for more in [1, 4096] {
            let extend = |bytes: &mut Vec<u8>| bytes.resize(len + more, 0);
            assert_named(with_change(&fixture, &name, &extend), &name, &format!("{more} more bytes"));
        }
    }
    assert_eq!(whole(&fixture).findings, []);
}

#[test]
fn objects_in_the_place_of_others_of_their_class_are_found_and_named() {
    let fixture = repository_with_marks();
    fixture.as_maintainer();
    for folder in ["keys/", "packs/", "index/", "snapshots/", "gone/", "notes/"] {
        let names = fixture.names(folder);
        for (name, other) in names.iter().zip(names.iter().cycle().skip(1)) {
            assert_ne!(name, other);
            let other = bytes(&fixture, other);
            assert_named(with_change(&fixture, name, &|bytes| bytes.clone_from(&other)), name, "another in its place");
        }
    }
}

#[test]
fn removed_objects_are_found() {
    let fixture = repository();
    let owner = fixture.names("keys/").remove(0);
    let mut last_snapshot = 0;
    for name in fixture.store.names() {
        let before = bytes(&fixture, &name);
        fixture.store.remove(&name).unwrap();
        let report = whole(&fixture);
        let objects: Vec<&str> = report.findings.iter().map(|finding| finding.object.as_str()).collect();
        match name.folder() {
            "keys" => assert_eq!((&name, &objects[..]), (&owner, &["keys"][..])),
            // Its packs are still there, and say what they hold.
            "index" => {
                assert!(
                    !objects.is_empty() && objects.iter().all(|object| object.starts_with("packs/")),
                    "{objects:?}"
                );
                assert!(report.findings.iter().any(|finding| finding.lost_count > 0), "{report:?}");
            }
            // Nothing says that there was one after the last.
            folder if folder.starts_with("snapshots") && objects.is_empty() => last_snapshot += 1,
            _ => assert!(objects.contains(&name.as_str()), "{name}: {objects:?}"),
        }
        fixture.store.put(&name, &before).unwrap();
    }
    assert_eq!(last_snapshot, 1);
    assert_eq!(whole(&fixture).findings, []);
}

#[test]
fn packs_that_no_index_lists_are_notes() {
    let fixture = repository();
    let id = PackId([0xab; 32]);
    fixture.store.put(&pack::object_name(&id), b"cut short").unwrap();
    fixture.store.put(&ObjectName::new("packs/readme.txt").unwrap(), b"?").unwrap();
    fixture.store.put(&ObjectName::new("gone/x/y").unwrap(), b"?").unwrap();
    fixture.store.put(&ObjectName::new("sessions/x").unwrap(), b"?").unwrap();
    let report = whole(&fixture);
    assert_eq!(report.findings, []);
    assert_eq!(report.notes.len(), 4, "{:?}", report.notes);
    assert!(report.notes.iter().any(|note| note.contains("harmless leftover")));
}

pub(super) fn keyless(fixture: &Fixture, read: ReadData) -> Result<keyless::Report> {
    let (clock, entropy) =
        (crate::world::FixedClock(crate::world::Time::from_sec(1)), crate::world::SeededEntropy::new(1));
    let around = keyless::Around { clock: &clock, entropy: &entropy, cache: None };
    keyless::check(&fixture.store, read, 2, &around, &Silent)
}

#[test]
fn without_a_key_every_damage_to_every_object_is_found_and_named() {
    let fixture = repository();
    fixture.repo.note(crate::model::gc::Step::Mark, vec![PackId([1; 32])]).unwrap();
    fixture.store.put(&ObjectName::new("readme.txt").unwrap(), b"?").unwrap();
    let report = keyless(&fixture, ReadData::None).unwrap();
    assert_eq!((report.findings.len(), report.notes.len()), (0, 1), "{report:?}");
    assert_eq!(report.objects, fixture.store.names().len() as u64 - 1);
    for name in fixture.store.names() {
        if name.as_str() == "readme.txt" {
            continue;
        }
        let before = bytes(&fixture, &name);
        let len = before.len();
        let is_config = name.as_str() == "config";
        // The contents of config are sealed, and it has no name that tells: only its header shows.
        let places = if is_config { vec![0, 10, 12, 20] } else { vec![0, 9, 10, 20, 40, len / 2, len - 1] };
        let flips = places.into_iter().map(|at| {
            let mut bytes = before.clone();
            bytes[at] ^= 1;
            bytes
        });
        let changes: Vec<Vec<u8>> = flips.chain([0, 20].map(|cut| before[..cut].to_vec())).collect();
        for (n, change) in changes.iter().enumerate() {
            fixture.store.tamper(&name, |bytes| bytes.clone_from(change));
            let report = keyless(&fixture, ReadData::None).unwrap();
            let named = |finding: &Finding| finding.object == name.as_str();
            // Another repository's id in config is every other object's fault.
            assert!(
                report.findings.iter().any(named) || is_config && report.findings.len() > 5,
                "change {n} of {name}"
            );
            fixture.store.tamper(&name, |bytes| bytes.clone_from(&before));
        }
    }
    let some = keyless(&fixture, ReadData::Percent(10.0)).unwrap();
    assert!(some.packs > 0 && some.packs < report.packs);
}
