//! Tags and pins.

use super::*;
use crate::{model::annotation::Annotation, repo::annotations};

#[test]
fn tags_and_pins_hold_and_go_with_their_snapshot() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 4);
    let tag = fixture.tag(SERIES);
    let release = |on| vec![Change::Tag { tag: "release".into(), on }];
    let say = |some: &[Listed], changes: &[Change]| annotate(&fixture.repo, some, changes, &actor(), &Silent).unwrap();
    assert_eq!(say(&all[..2], &release(true)).changed.len(), 2);
    assert_eq!(say(&all[..1], &release(true)).unchanged, [all[0].id]);
    say(&all[1..2], &release(false));
    say(&all[2..3], &[pin(true), release(true)].concat());
    let tagged = Policy { tags: vec!["release".into()], ..last(1) };
    assert_eq!(forget(&fixture.repo, &tagged).unwrap().forgotten, [all[1].id]);
    assert_eq!(fixture.names("notes/").len(), 2);
    assert_eq!(forget(&fixture.repo, &last(1)).unwrap().forgotten, [all[0].id]);
    assert_eq!(listed(&fixture.repo), ids(&all[2..]));
    say(&all[2..3], &pin(false));
    assert_eq!(forget(&fixture.repo, &last(1)).unwrap().forgotten, [all[2].id]);
    assert_eq!(fixture.names("notes/"), []);
    assert_eq!(fixture.repo.annotations(None).unwrap().of(&tag, &all[2].id), Default::default());
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
}

#[test]
fn a_pin_that_comes_between_plan_and_deed_holds() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    let planned = plan(&fixture.repo, &last(1));
    annotate(&fixture.repo, &all[1..2], &pin(true), &actor(), &Silent).unwrap();
    let report = apply(&fixture.repo, &planned, &actor(), &Silent).unwrap();
    assert_eq!((report.forgotten, report.pinned), (vec![all[0].id], vec![all[1].id]));
}

#[test]
fn an_annotation_that_cannot_be_read_pins_its_series() {
    let fixture = Fixture::new();
    let (all, others) = (days(&fixture, SERIES, 3), days(&fixture, "h/-/t", 3));
    annotate(&fixture.repo, &all[..1], &pin(true), &actor(), &Silent).unwrap();
    let note = fixture.names("notes/").remove(0);
    fixture.store.tamper(&note, |bytes| bytes[100] ^= 1);
    let planned = plan(&fixture.repo, &last(1));
    assert_eq!(planned.series[0].illegible.as_deref(), Some(note.as_str()));
    assert_eq!(planned.unreadable[0].0, note.as_str());
    assert!(matches!(by_id(&fixture.repo, &[all[1].id], true), Err(Error::Refused { .. })));
    let report = apply(&fixture.repo, &planned, &actor(), &Silent).unwrap();
    assert_eq!(report.forgotten, ids(&others[..2]));
    assert_eq!(findings(&fixture.repo), [note.as_str()]);
}

#[test]
fn annotations_of_writers_and_of_other_series_do_not_count() {
    let fixture = Fixture::new();
    let (all, writer) = (days(&fixture, SERIES, 2), fixture.as_writer());
    let (tag, other) = (fixture.tag(SERIES), fixture.tag("h/-/t"));
    assert!(matches!(annotate(&writer, &all, &pin(true), &actor(), &Silent), Err(Error::NotPermitted { .. })));
    let said = Annotation {
        series: tag,
        snapshot: all[0].id,
        counter: 1,
        time: Time::from_sec(1),
        host: String::new(),
        user: String::new(),
        changes: pin(true),
    };
    let entropy = SeededEntropy::new(1);
    let bytes = annotations::seal_annotation(fixture.repo.keys(), &said, &entropy).unwrap();
    let (kind, repo) = (object::Kind::Annotation, writer.keys().repo());
    let of_writer =
        object::seal_envelope(kind, repo, &writer.keys().index_key(), &codec::encode(&said), &entropy).unwrap();
    for (folder, bytes) in [(other, &bytes), (tag, &of_writer)] {
        let id = crate::id::AnnotationId(hash::object_name(bytes));
        fixture.store.put(&annotations::object_name(&folder, &id), bytes).unwrap();
    }
    let read = fixture.repo.annotations(None).unwrap();
    assert_eq!((read.illegible.len(), read.of(&tag, &all[0].id).pin), (2, None));
    assert_eq!(findings(&fixture.repo).len(), 2);
    for changes in [
        vec![],
        vec![Change::Tag { tag: "two words".into(), on: true }],
        vec![Change::Tag { tag: String::new(), on: true }],
    ] {
        assert!(
            annotations::seal_annotation(fixture.repo.keys(), &Annotation { changes, ..said.clone() }, &entropy)
                .is_err()
        );
    }
}

/// That it is damaged unpins nothing: it may be repaired.
#[test]
fn a_pinned_snapshot_that_cannot_be_read_stays() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 4);
    annotate(&fixture.repo, &all[..1], &pin(true), &actor(), &Silent).unwrap();
    for damaged in &all[..2] {
        fixture.store.tamper(&object_name(&fixture.tag(SERIES), &damaged.id), |bytes| bytes[100] ^= 1);
    }
    for force in [false, true] {
        let refused = by_id(&fixture.repo, &[all[0].id], force);
        assert!(matches!(refused, Err(Error::Refused { what }) if what.contains("pinned")));
    }
    let refused = by_id(&fixture.repo, &[all[1].id], false);
    assert!(matches!(refused, Err(Error::Refused { what }) if what.contains("--force")));
    // What may say that it is pinned cannot be read either.
    let doubtful = fixture.copy();
    let note = doubtful.names("notes/").remove(0);
    doubtful.store.tamper(&note, |bytes| bytes[100] ^= 1);
    let refused = by_id(&doubtful.repo, &[all[1].id], true);
    assert!(matches!(refused, Err(Error::Refused { what }) if what.contains("may be")));
    forget_ids(&fixture.repo, &[all[1].id]);
    assert_eq!(listed(&fixture.repo), ids(&all[2..]));
    assert!(fixture.names("snapshots/").contains(&object_name(&fixture.tag(SERIES), &all[0].id)));
}
