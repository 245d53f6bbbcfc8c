//! Markers of media, sidecars of parity and second copies: a check with a key tells of them too, and what is to be done.

use super::*;
use crate::{
    model::medium::Marker,
    ops::parity::{self, Addition},
    parity::Percent,
    repo::media::seal_marker,
    world::Time,
};

fn marker(fixture: &Fixture) -> Vec<u8> {
    let text = || "text".to_owned();
    let (medium, time) = ([1; 16], Time::from_sec(9));
    let marker = Marker { medium, generation: 1, name: text(), time, host: text(), parity: true };
    seal_marker(fixture.repo.keys(), &marker, fixture.repo.entropy()).unwrap()
}

fn put_marker(fixture: &Fixture, bytes: &[u8]) -> ObjectName {
    let name = ObjectName::of_parts(&["media", &crate::id::hex(&crate::hash::object_name(bytes))]);
    fixture.store.put(&name, bytes).unwrap();
    name
}

/// A repository on a medium, with parity and second copies.
fn on_a_medium() -> Fixture {
    let fixture = repository();
    let percent = Percent::new(500).unwrap();
    let addition = Addition { percent, mirror: true, drop_missing: false, replace: Default::default() };
    parity::add(&fixture.store, &addition, &Silent).unwrap();
    put_marker(&fixture, &marker(&fixture));
    fixture
}

fn told(report: &Report, name: &ObjectName) -> String {
    let [finding] = &report.findings[..] else { panic!("{name}: {report:?}") };
    assert_eq!((finding.object.as_str(), finding.lost_count), (name.as_str(), 0));
    finding.what.clone()
}

#[test]
fn damage_beside_the_repository_is_named_with_what_is_to_be_done() {
    let fixture = on_a_medium();
    for share in [ReadData::None, ReadData::Percent(1.0), ReadData::Percent(100.0)] {
        let report = run(&fixture.repo, share);
        assert_eq!((report.findings, report.notes), (vec![], vec![]));
    }
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    for (prefix, advice) in
        [("media/", "`vault media sync`"), ("parity/", "`vault repair --read-data`"), ("mirror/", "`vault repair`")]
    {
        for name in fixture.names(prefix) {
            let what = told(&with_change(&fixture, &name, &flip).unwrap(), &name);
            assert!(what.contains(advice), "{name}: {what}");
        }
    }
}

#[test]
fn without_a_share_the_length_of_what_is_large_is_looked_at_and_the_rest_is_read() {
    let fixture = on_a_medium();
    let mut unread = 0;
    for name in [fixture.names("parity/"), fixture.names("mirror/")].concat() {
        let before = bytes(&fixture, &name);
        fixture.store.tamper(&name, |bytes| bytes.truncate(before.len() - 1));
        told(&run(&fixture.repo, ReadData::None), &name);
        fixture.store.tamper(&name, |bytes| {
            bytes.clone_from(&before);
            bytes[before.len() / 2] ^= 1;
        });
        let report = run(&fixture.repo, ReadData::None);
        let is_large = name.as_str().starts_with("parity/") || name.as_str().starts_with("mirror/packs/");
        if is_large && report.findings.is_empty() {
            unread += 1;
        } else {
            told(&report, &name);
        }
        fixture.store.tamper(&name, |bytes| *bytes = before);
    }
    assert!(unread > 1, "{unread}");
}

#[test]
fn a_marker_that_this_repository_did_not_seal_is_found_by_the_key() {
    let (fixture, other) = (repository(), Fixture::with_seed(77));
    let name = put_marker(&fixture, &marker(&other));
    assert!(told(&whole(&fixture), &name).contains("repository"), "{:?}", whole(&fixture));
    fixture.store.remove(&name).unwrap();
    // Named rightly, and sealed with nothing.
    let mut forged = marker(&fixture);
    forged[100] ^= 1;
    let name = put_marker(&fixture, &forged);
    told(&run(&fixture.repo, ReadData::None), &name);
}

#[test]
fn a_damaged_copy_of_what_is_no_more_is_a_note() {
    let fixture = on_a_medium();
    let copy = fixture.names("mirror/keys/").remove(0);
    let first = ObjectName::new(copy.as_str().strip_prefix("mirror/").unwrap()).unwrap();
    fixture.as_maintainer();
    // Removed, as `vault key remove` may leave it after a crash.
    fixture.store.tamper(&copy, |bytes| bytes[300] ^= 1);
    let slot = bytes(&fixture, &first);
    fixture.store.remove(&first).unwrap();
    let report = run(&fixture.repo, ReadData::None);
    assert!(
        report.notes.iter().any(|note| note.contains(copy.as_str()) && note.contains("--drop-missing")),
        "{report:?}"
    );
    assert!(report.findings.iter().all(|finding| finding.object != copy.as_str()), "{report:?}");
    fixture.store.put(&first, &slot).unwrap();
    told(&run(&fixture.repo, ReadData::None), &copy);
}

/// A pack that only the index still knows, and that nothing needs, is a note: a damaged second copy does not make it a finding.
#[test]
fn damage_beside_the_repository_casts_no_doubt_on_what_is_harmless() {
    let fixture = on_a_medium();
    let before = fixture.names("packs/");
    let gone = fixture.snapshot("h/-/t", 9, vec![("f", fixture::file(&fixture::noise(2000, 99)))]);
    fixture.store.remove(&fixture.object("h/-/t", &gone.id)).unwrap();
    let unneeded: Vec<ObjectName> = fixture.names("packs/").into_iter().filter(|name| !before.contains(name)).collect();
    assert!(!unneeded.is_empty());
    unneeded.iter().for_each(|name| fixture.store.remove(name).unwrap());
    let report = run(&fixture.repo, ReadData::None);
    assert_eq!((report.findings.len(), report.notes.len()), (0, unneeded.len()), "{report:?}");
    let copy = fixture.names("mirror/keys/").remove(0);
    fixture.store.tamper(&copy, |bytes| bytes[300] ^= 1);
    let report = run(&fixture.repo, ReadData::None);
    assert_eq!(report.notes.len(), unneeded.len(), "{report:?}");
    told(&report, &copy);
}
