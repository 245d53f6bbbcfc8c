//! What goes, what stays, and what is said of it.

use super::*;
use crate::{series::Series, store::Capabilities};

#[test]
fn what_no_rule_keeps_is_forgotten_with_a_tombstone_and_the_rest_is_whole() {
    let fixture = Fixture::new();
    let (one, two) = (days(&fixture, SERIES, 5), days(&fixture, "h/-/t", 2));
    let planned = plan(&fixture.repo, &last(2));
    assert_eq!((planned.doomed.len(), planned.kept()), (3, 4));
    let before = fixture.store.names();
    let report = apply(&fixture.repo, &planned, &actor(), &Silent).unwrap();
    assert_eq!(report.forgotten, ids(&one[..3]));
    assert_eq!(listed(&fixture.repo), [ids(&one[3..]), ids(&two)].concat());
    let tag = fixture.tag(SERIES);
    for gone in &one[..3] {
        assert!(!fixture.store.names().contains(&object_name(&tag, &gone.id)));
        let tombstone = fixture.repo.tombstone(&tag, &gone.id).unwrap();
        assert_eq!(tombstone.head, head_of(tag, gone));
        assert_eq!((tombstone.reason.as_str(), tombstone.user.as_str()), ("not kept by: last 2", "user"));
    }
    // Nothing else of what was there is gone.
    assert_eq!(before.iter().filter(|name| !fixture.store.names().contains(name)).count(), 3);
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
    let again = forget(&fixture.repo, &last(2)).unwrap();
    assert_eq!((again.forgotten.len(), again.finished), (0, 0));
}

#[test]
fn a_plan_changes_nothing_and_says_why() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    let before = fixture.store.names();
    let planned = plan(&fixture.repo, &last(1));
    assert_eq!(fixture.store.names(), before);
    let series = &planned.series[0];
    assert_eq!((series.series.as_str(), series.snapshots.len()), (SERIES, 3));
    let reasons: Vec<String> = series.snapshots[2].keep.iter().map(ToString::to_string).collect();
    assert_eq!(
        (series.snapshots[2].id, reasons),
        (all[2].id, ["newest", "newest complete", "last 1/1"].map(String::from).to_vec())
    );
}

#[test]
fn only_the_series_that_are_named_are_looked_at() {
    let fixture = Fixture::new();
    let (one, _) = (days(&fixture, "a/-/s", 3), days(&fixture, "b/-/s", 3));
    let under = |prefix: &str| of_policy(&fixture.repo, &[prefix.to_owned()], &last(1), &TimeZone::UTC, &Silent);
    let planned = under("a").unwrap();
    assert_eq!((planned.series.len(), planned.doomed.len()), (1, 2));
    assert_eq!(planned.doomed[0].head.snapshot, one[0].id);
    for nothing in ["c", "a/-/s/x", "a/-/"] {
        assert_eq!(matches!(under(nothing), Err(Error::Usage { .. })), nothing != "a/-/", "{nothing}");
    }
    let none = of_policy(&fixture.repo, &[], &last(0), &TimeZone::UTC, &Silent);
    assert!(matches!(none, Err(Error::Usage { .. })));
}

#[test]
fn single_snapshots_are_forgotten_unless_they_are_pinned_or_the_last() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    annotate(&fixture.repo, &all[..1], &pin(true), &actor(), &Silent).unwrap();
    assert!(
        matches!(by_id(&fixture.repo, &[all[0].id], true), Err(Error::Refused { what }) if what.contains("pinned"))
    );
    assert!(
        matches!(by_id(&fixture.repo, &[all[2].id], false), Err(Error::Refused { what }) if what.contains("--force"))
    );
    let planned = by_id(&fixture.repo, &[all[1].id, all[1].id], false).unwrap();
    assert_eq!(apply(&fixture.repo, &planned, &actor(), &Silent).unwrap().forgotten, [all[1].id]);
    assert!(
        matches!(by_id(&fixture.repo, &[all[1].id], false), Err(Error::Usage { what }) if what.contains("was forgotten"))
    );
    forget_ids(&fixture.repo, &[all[2].id]);
    assert_eq!(listed(&fixture.repo), [all[0].id]);
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
}

#[test]
fn a_damaged_snapshot_is_forgotten_only_by_force_and_what_it_was_is_kept_where_it_shows() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    let tag = fixture.tag(SERIES);
    // One whose body is damaged, and one whose head is too.
    for (one, at) in [(&all[0], 400), (&all[1], 200)] {
        fixture.store.tamper(&object_name(&tag, &one.id), |bytes| bytes[at] ^= 1);
    }
    assert_eq!(plan(&fixture.repo, &last(1)).unreadable.len(), 2);
    assert!(matches!(by_id(&fixture.repo, &[all[0].id], false), Err(Error::Refused { .. })));
    forget_ids(&fixture.repo, &[all[0].id, all[1].id]);
    let number = |one: &Listed| fixture.repo.tombstone(&tag, &one.id).unwrap().head.head.sequence;
    assert_eq!((number(&all[0]), number(&all[1])), (1, 0));
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
}

#[test]
fn numbers_are_never_given_again() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    forget_ids(&fixture.repo, &[all[2].id]);
    let next = fixture.snapshot(SERIES, 1_699_999_999, vec![("f", fixture::file(b"next"))]);
    assert_eq!((next.snapshot.head.sequence, next.snapshot.head.previous), (4, Some(all[2].id)));
    // Not even when none is left, and not by one who cannot open tombstones.
    forget_ids(&fixture.repo, &[all[0].id, all[1].id, next.id]);
    assert_eq!(listed(&fixture.repo), []);
    let request = fixture::request(SERIES, vec![fixture::stream("f", b"by a writer".to_vec())]);
    let head = snapshot(&fixture.as_writer(), request, &Silent).unwrap().snapshot.head;
    assert_eq!((head.sequence, head.previous), (5, Some(next.id)));
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
}

#[test]
fn a_newer_format_anywhere_ends_it_before_anything_is_done() {
    for folder in ["snapshots/", "notes/"] {
        let fixture = Fixture::new();
        let all = days(&fixture, SERIES, 3);
        annotate(&fixture.repo, &all[..1], &pin(true), &actor(), &Silent).unwrap();
        // A later version is named by its bytes like any other.
        let name = fixture.names(folder).remove(0);
        let mut bytes = fixture.store.get(&name, u64::MAX).unwrap();
        bytes[8] = 2;
        let newer = format!("{}/{}", name.folder(), SnapshotId(hash::object_name(&bytes)));
        fixture.store.put(&ObjectName::new(newer).unwrap(), &bytes).unwrap();
        let before = fixture.store.names();
        assert!(matches!(forget(&fixture.repo, &last(1)), Err(Error::Unsupported { .. })), "{folder}");
        assert!(matches!(by_id(&fixture.repo, &[all[1].id], true), Err(Error::Unsupported { .. })));
        assert_eq!(fixture.store.names(), before);
    }
}

#[test]
fn each_series_has_its_own_policy_and_one_without_is_left_alone() {
    let fixture = Fixture::new();
    let (all, _, _) = (days(&fixture, SERIES, 3), days(&fixture, "h/-/t", 3), days(&fixture, "h/-/u", 3));
    let policy_of = |series: &Series| match series.as_str() {
        SERIES => Some(last(1)),
        // It keeps nothing, which nobody means.
        "h/-/t" => Some(Policy::default()),
        _ => None,
    };
    let planned = of_policies(&fixture.repo, &policy_of, &TimeZone::UTC, &Silent).unwrap();
    assert_eq!(planned.series.iter().map(|one| one.series.as_str()).collect::<Vec<_>>(), [SERIES]);
    let report = apply(&fixture.repo, &planned, &actor(), &Silent).unwrap();
    assert_eq!(report.forgotten, ids(&all[..2]));
    assert_eq!(listed(&fixture.repo).len(), 7);
}

#[test]
fn where_nothing_can_be_removed_nothing_is_begun() {
    let fixture = Fixture::new();
    days(&fixture, SERIES, 3);
    let capabilities = fixture.store.capabilities();
    fixture.store.set_capabilities(Capabilities { remove: false, ..capabilities });
    let before = fixture.store.names();
    let refused = forget(&fixture.repo, &last(1)).unwrap_err().to_string();
    assert!(refused.contains("nothing can be removed"), "{refused}");
    assert_eq!(fixture.store.names(), before);
    // What forgets nothing is no failure there.
    assert!(forget(&fixture.repo, &last(9)).unwrap().forgotten.is_empty());
}

#[test]
fn what_cannot_be_read_is_told_of_until_it_is_forgotten() {
    let fixture = Fixture::new();
    let all = days(&fixture, SERIES, 3);
    for listed in &all[..2] {
        assert!(fixture.store.tamper(&fixture.object(SERIES, &listed.id), |bytes| bytes[300] ^= 1));
    }
    let told = |plan: &Plan| plan.unreadable.iter().map(|(object, _)| object.clone()).collect::<Vec<_>>();
    let object = |listed: &Listed| fixture.object(SERIES, &listed.id).to_string();
    let mut both = vec![object(&all[0]), object(&all[1])];
    both.sort();
    assert_eq!(told(&plan(&fixture.repo, &last(1))), both);
    assert_eq!(told(&by_id(&fixture.repo, &[all[0].id], true).unwrap()), [object(&all[1])]);
    // So is a tombstone that proves nothing.
    let name = tombstones::object_name(&fixture.tag(SERIES), &all[2].id);
    fixture.store.put(&name, b"no tombstone").unwrap();
    assert!(told(&plan(&fixture.repo, &last(1))).contains(&name.to_string()));
}
