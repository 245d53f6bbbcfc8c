//! What is refused, and what is wrong with snapshots.

use super::*;

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_done() {
    let (world, before) = World::new(1);
    let names = world.fixture.store.names();
    let usage = |result: Result<Report>| match result {
        Err(Error::Usage { what }) => what,
        other => panic!("{other:?}"),
    };
    let all = [of_path(SERIES)];
    assert!(usage(world.out(&all, |_| ())).contains("--exclude"));
    assert!(usage(world.out(&all, |request| request.patterns = vec!["*.none".into()])).contains("nothing to take out"));
    assert!(usage(world.out(&[of_path(&format!("{SERIES}:app/none"))], |_| ())).contains("nothing to take out"));
    assert!(usage(world.out(&[of_path("h/-/other:app")], |_| ())).contains("no snapshots"));
    let whole = world.out(&[of_path(&format!("{SERIES}:app"))], |_| ());
    assert!(matches!(whole, Err(Error::Refused { what }) if what.contains("vault forget")));
    let maintainer = world.fixture.as_maintainer();
    let actor = actor();
    let target = [of_path(&format!("{SERIES}:app/log.tmp"))];
    assert_eq!(maintainer.keys().role(), Role::Maintainer);
    let refused = rewrite(&maintainer, &request(&target, &actor), &never, &Silent);
    assert!(matches!(refused, Err(Error::NotPermitted { .. })));
    let now: Vec<_> = world.fixture.store.names();
    let mine = |names: &[crate::store::ObjectName]| {
        let of = |name: &&crate::store::ObjectName| {
            !name.as_str().starts_with("keys/")
                && !name.as_str().starts_with("packs/")
                && !name.as_str().starts_with("index/")
        };
        names.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    assert_eq!(mine(&now), mine(&names), "no snapshot, session or note is left");
    assert_eq!(world.listed()[0].id, before[0].id);
}

#[test]
fn problems_with_what_is_taken_out_are_taken_out_and_the_snapshot_stays_incomplete() {
    let (world, before) = World::new(1);
    let mut snapshot = before[0].snapshot.clone();
    snapshot.head = crate::model::snapshot::Head {
        sequence: 2,
        previous: Some(before[0].id),
        time: Time::from_sec(5000),
        complete: false,
    };
    let problem = |path: &str| crate::model::snapshot::Problem { path: path.into(), what: "denied".into() };
    snapshot.problems =
        vec![problem("/src/conf/secrets/a"), problem("/src/conf/secrets"), problem("/src/pages/q"), problem("/srcs")];
    snapshot.problem_count = 10;
    let session = world.repo().begin("h", false, &Silent).unwrap();
    let written = crate::repo::Written::default();
    session.publish(&snapshot, &world.fixture.index(), &written).unwrap();
    let target = [of_path(&format!("{SERIES}:app/log.tmp")), of_path(&format!("{SERIES}:app/conf/secrets"))];
    world.out(&target, |_| ()).unwrap();
    let new = world.listed().pop().unwrap().snapshot;
    assert_eq!(new.problems, [problem("/src/pages/q"), problem("/srcs")]);
    assert_eq!((new.problem_count, new.head), (8, snapshot.head));
}

#[test]
fn one_that_cannot_be_read_is_named_and_nothing_is_done() {
    let (world, before) = World::new(2);
    let Body::Directory { tree, .. } = before[1].snapshot.sources[0].root.body else { panic!() };
    let index = world.fixture.index();
    let located = index.locate(index.place(&tree).unwrap()).unwrap();
    world.fixture.store.tamper(&crate::pack::object_name(&located.pack), |bytes| {
        let at = located.offset as usize + 5;
        bytes[at] ^= 1;
    });
    let error = world.out(&[of_path(&format!("{SERIES}:app/log.tmp"))], |_| ()).unwrap_err().to_string();
    assert!(error.contains(&before[1].id.short()) && error.contains("vault repair"), "{error}");
    assert_eq!(world.listed().len(), 2);
}
