//! The series that goes on, whatever happens meanwhile.

use super::*;
use crate::store::Store as _;

#[test]
fn the_series_goes_on_and_what_was_said_of_the_originals_is_said_of_the_new_ones() {
    let (mut world, before) = World::new(3);
    let state = tempfile::tempdir().unwrap();
    let tags = |on| [Change::Tag { tag: "release".into(), on }];
    annotate(world.repo(), &before[..1], &tags(true), &actor(), &Silent).unwrap();
    let pin = [Change::Pin { on: true, reason: Some("audit".into()) }];
    annotate(world.repo(), &before[1..2], &pin, &actor(), &Silent).unwrap();
    let target = [of_path(&format!("{SERIES}:app/conf/key.pem"))];

    let refused = world.out(&target, |_| ()).unwrap_err().to_string();
    assert!(refused.contains("pinned") && refused.contains("--pinned"), "{refused}");
    assert_eq!(
        world.listed().iter().map(|one| one.id).collect::<Vec<_>>(),
        before.iter().map(|one| one.id).collect::<Vec<_>>()
    );

    let remembering = world.remembering(state.path());
    assert!(remembering.look(None, false).unwrap().is_empty());
    let report = world.out(&target, |request| request.pinned = true).unwrap();
    assert!(report.rewritten[1].pinned);
    // A client that saw the originals sees no rollback, nor does one that never saw any.
    assert!(remembering.look(None, false).unwrap().is_empty());
    let fresh = tempfile::tempdir().unwrap();
    assert!(world.remembering(fresh.path()).look(None, false).unwrap().is_empty());

    let annotations = world.repo().annotations(None).unwrap();
    let tag = world.repo().keys().series_tag(&Series::parse(SERIES).unwrap());
    let marks = |n: usize| annotations.of(&tag, &report.rewritten[n].new.unwrap());
    assert_eq!(marks(0).tags_with(&[]), ["release"]);
    assert_eq!(marks(1).pin.unwrap().reason.as_deref(), Some("audit"));
    assert!(marks(2).pin.is_none());
    for (n, before) in before.iter().enumerate() {
        let said = marks(n).rewritten;
        assert_eq!(said.len(), 1);
        assert_eq!((said[0].from, &*said[0].user, &*said[0].host), (before.id, "ann", "desk"));
        assert_eq!(said[0].what, "1 entries, 327 bytes: app/conf/key.pem (leaked)");
        let stone = world.repo().tombstone(&tag, &before.id).unwrap();
        assert_eq!(stone.reason, format!("rewritten as {}: leaked", report.rewritten[n].new.unwrap()));
        assert!(annotations.objects.iter().all(|(_, _, of)| *of != before.id));
    }

    // The newest is the newest, and the next snapshot gets the next number.
    let series = Series::parse(SERIES).unwrap();
    let newest = world.repo().resolve(&Address::parse(SERIES.as_bytes()).unwrap(), &never).unwrap().listed;
    assert_eq!(Some(newest.id), report.rewritten[2].new);
    assert_eq!(world.repo().series_end(&series).unwrap().living, Some(newest.id));
    let next = world.take(4);
    assert_eq!(next.snapshot.head.sequence, 4);
    world.check();
    // Once more, in two steps: what was said before is still said.
    let report = world.out(&[of_path(&format!("{SERIES}:app/log.tmp"))], |request| request.pinned = true).unwrap();
    let marks = world.repo().annotations(None).unwrap().of(&tag, &report.rewritten[0].new.unwrap());
    assert_eq!(marks.rewritten.iter().map(|one| one.from).collect::<Vec<_>>()[0], before[0].id);
    assert_eq!((marks.rewritten.len(), marks.tags_with(&[])), (2, vec!["release".to_owned()]));
    world.check();
}

#[test]
fn originals_may_stay_and_then_count_as_the_later_ones() {
    let (mut world, before) = World::new(2);
    let target = [of_path(&format!("{SERIES}:app/conf/key.pem"))];
    let report = world.out(&target, |request| request.keep_originals = true).unwrap();
    assert_eq!(report.remains, None);
    let ids: Vec<SnapshotId> = world.listed().iter().map(|one| one.id).collect();
    let new = |n: usize| report.rewritten[n].new.unwrap();
    assert_eq!(ids, [new(0), before[0].id, new(1), before[1].id]);
    world.prune();
    world.prune();
    assert!(world.store_holds(&secret(1)));
    // Asked again, now without the originals: what was made already is used.
    let report = world.out(&target, |_| ()).unwrap();
    assert_eq!(world.listed().iter().map(|one| one.id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    assert_eq!(report.rewritten.iter().map(|one| one.new).collect::<Vec<_>>(), [Some(ids[0]), Some(ids[2])]);
    world.check();
}

#[test]
fn killed_at_any_write_it_is_done_by_the_next_run() {
    let target = [of_path(&format!("{SERIES}:app/conf/key.pem"))];
    let mut cut = 0;
    for op in [Op::Finish, Op::Remove, Op::Sync] {
        for nth in 1.. {
            let (mut world, before) = World::new(2);
            let held: Vec<Contents> = before.iter().map(|one| world.contents(&one.snapshot)).collect();
            let faulty = FaultyStore::new(world.fixture.store.clone());
            faulty.plan(Fault::on(op, nth, ErrorKind::Other).lasting());
            let repo = world.fixture.reopen(Arc::new(faulty));
            let actor = actor();
            let stopped = rewrite(&repo, &request(&target, &actor), &never, &Silent).is_err();
            drop(repo);
            world.check();
            if stopped {
                cut += 1;
                match world.out(&target, |_| ()) {
                    Ok(_) => {}
                    // All was done but for something that a prune does.
                    Err(Error::Usage { .. }) => {}
                    Err(error) => panic!("{op:?} {nth}: {error}"),
                }
            }
            world.check();
            let after = world.listed();
            assert_eq!(after.len(), 2, "{op:?} {nth}");
            for (new, held) in after.iter().zip(&held) {
                let mut expected = held.clone();
                expected.remove(&b"app/conf/key.pem"[..]);
                assert_eq!(world.contents(&new.snapshot), expected, "{op:?} {nth}");
            }
            for _ in 0..3 {
                world.prune();
            }
            assert!(!world.store_holds(&secret(1)), "{op:?} {nth}");
            world.check();
            if !stopped {
                break;
            }
        }
    }
    assert!(cut > 10, "{cut}");
}

#[test]
fn what_was_forgotten_meanwhile_takes_nothing_else_along() {
    use crate::ops::forget::{apply, of_ids};
    let (world, before) = World::new(2);
    let target = [of_path(&format!("{SERIES}:app/conf/key.pem"))];
    let report = world.out(&target, |request| request.keep_originals = true).unwrap();
    let tag = world.fixture.tag(SERIES);
    let forget = |id: SnapshotId| {
        let plan = of_ids(world.repo(), [(tag, id)].into_iter().collect(), "old", true, &Silent).unwrap();
        apply(world.repo(), &plan, &actor(), &Silent).unwrap();
    };
    // The one that was made of the first goes before its original does.
    forget(report.rewritten[0].new.unwrap());
    let choices = choose::choose(world.repo(), &request(&target, &actor()), &before, &never).unwrap();
    let prepared: Vec<Prepared<'_>> =
        choices.iter().map(|choice| Prepared { choice, snapshot: choice.listed.snapshot.clone() }).collect();
    let refused = forget_originals(world.repo(), &prepared, &report, &request(&target, &actor()), &Silent);
    assert!(matches!(refused, Err(Error::Refused { what }) if what.contains("run it again")));
    let left: Vec<SnapshotId> = world.listed().iter().map(|one| one.id).collect();
    assert!(before.iter().all(|one| left.contains(&one.id)), "no original is forgotten");
    world.check();
}

#[test]
fn an_original_that_went_meanwhile_has_no_tombstone_made_up_and_the_others_keep_their_pins() {
    let (world, before) = World::new(2);
    let pin = [Change::Pin { on: true, reason: None }];
    annotate(world.repo(), &before[1..], &pin, &actor(), &Silent).unwrap();
    let target = [of_path(&format!("{SERIES}:app/conf/key.pem"))];
    let choices = choose::choose(world.repo(), &request(&target, &actor()), &before, &never).unwrap();
    let report = world.out(&target, |request| request.keep_originals = true).unwrap();
    let tag = world.fixture.tag(SERIES);
    world.fixture.store.remove(&snapshots::object_name(&tag, &before[0].id)).unwrap();
    let prepared: Vec<Prepared<'_>> =
        choices.iter().map(|choice| Prepared { choice, snapshot: choice.listed.snapshot.clone() }).collect();
    let refused = forget_originals(world.repo(), &prepared, &report, &request(&target, &actor()), &Silent);
    assert!(matches!(refused, Err(Error::Refused { what }) if what.contains("run it again")));
    assert!(world.repo().tombstone_names(None).unwrap().is_empty());
    assert!(world.repo().annotations(None).unwrap().of(&tag, &before[1].id).pin.is_some());
}

#[test]
fn of_two_at_once_only_one_succeeds() {
    let (world, before) = World::new(1);
    let target = |path: &str| [of_path(&format!("{}:{path}", before[0].id))];
    let mine = target("app/conf/key.pem");
    let choices = choose::choose(world.repo(), &request(&mine, &actor()), &before, &never).unwrap();
    let report = world.out(&mine, |request| request.keep_originals = true).unwrap();
    // The other one is through before this one forgets.
    world.out(&target("app/log.tmp"), |_| ()).unwrap();
    let prepared = [Prepared { choice: &choices[0], snapshot: before[0].snapshot.clone() }];
    let refused = forget_originals(world.repo(), &prepared, &report, &request(&mine, &actor()), &Silent);
    assert!(matches!(refused, Err(Error::Refused { what }) if what.contains("somebody else")));
    assert_eq!(world.listed().len(), 2, "what either has made stays");
}
