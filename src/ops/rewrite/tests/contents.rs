//! What is gone, and what is as it was.

use super::*;

#[test]
fn what_is_taken_out_is_gone_from_the_store_and_all_else_is_as_it_was() {
    let (mut world, before) = World::new(4);
    let held: Vec<Contents> = before.iter().map(|one| world.contents(&one.snapshot)).collect();
    assert!(world.store_holds(&secret(2)) && world.store_holds(b"key.pem"));
    let target = [of_path(&format!("{SERIES}:/app//conf/key.pem"))];

    let would = world.out(&target, |request| request.dry_run = true).unwrap();
    assert_eq!(
        world.listed(),
        before.iter().map(|one| Listed { len: world.listed()[0].len, ..one.clone() }).collect::<Vec<_>>()
    );
    let mut report = world.out(&target, |_| ()).unwrap();

    let after = world.listed();
    assert_eq!(after.len(), before.len());
    for ((old, new), (one, held)) in before.iter().zip(&after).zip(report.rewritten.iter_mut().zip(&held)) {
        assert_eq!((one.new.take(), one.taken.id, one.taken.entries, one.taken.bytes), (Some(new.id), old.id, 1, 327));
        assert_eq!(one.taken.paths[0].path, b"app/conf/key.pem");
        let mut expected = held.clone();
        expected.remove(&b"app/conf/key.pem"[..]).unwrap();
        assert_eq!(world.contents(&new.snapshot), expected);
        // Everything else is said as it was.
        let mut same = new.snapshot.clone();
        assert_eq!(same.totals.files + 1, old.snapshot.totals.files);
        assert_eq!(same.totals.bytes + 327, old.snapshot.totals.bytes);
        (same.totals, same.sources) = (old.snapshot.totals, old.snapshot.sources.clone());
        assert_eq!(same, old.snapshot);
        let (root, was) = (&new.snapshot.sources[0], &old.snapshot.sources[0]);
        assert_eq!((root.root.bytes() + 327, root.root.entries() + 1), (was.root.bytes(), was.root.entries()));
        assert_eq!((root.totals.bytes + 327, root.totals.directories), (was.totals.bytes, was.totals.directories));
    }
    // A dry run says all that, but for the new ids.
    assert_eq!(would, report);
    let remains = report.remains.unwrap();
    assert!(remains.freed >= 4 * 327 && remains.still_needed == 0 && remains.segments > 0, "{remains:?}");

    world.check();
    assert!(world.store_holds(&secret(2)), "nothing is removed by a rewrite");
    world.prune();
    world.check();
    world.prune();
    world.check();
    for version in 1..=4 {
        assert!(!world.store_holds(&secret(version)), "{version}");
    }
    assert!(!world.store_holds(b"key.pem"), "nor is its name in any tree");
    for (new, held) in after.iter().zip(&held) {
        let mut expected = held.clone();
        expected.remove(&b"app/conf/key.pem"[..]);
        assert_eq!(world.contents(&new.snapshot), expected);
    }
    // Nothing is left to be done.
    let options = prune::Options { grace: 0, threads: 1, ..prune::Options::default() };
    world.prune();
    assert!(prune::plan(world.repo(), &options, &Silent).unwrap().numbers.moved.packs == 0);
}

#[test]
fn patterns_and_folders_are_taken_out_of_chosen_versions_only() {
    let (world, before) = World::new(3);
    let held = world.contents(&before[1].snapshot);
    let target = [of_path(&format!("{SERIES}@{}", before[1].id)), of_path(&format!("{}:app/conf/x", before[1].id))];
    let report = world.out(&target, |request| request.patterns = vec!["*.tmp".into(), "/pages/p0*".into()]).unwrap();
    assert_eq!((report.looked_at, report.rewritten.len()), (1, 1));
    // A folder with what is in it, ten pages, one file.
    assert_eq!(report.rewritten[0].taken.entries, 2 + 10 + 1);
    let after = world.listed();
    let new = after.iter().find(|one| Some(one.id) == report.rewritten[0].new).unwrap();
    let is_out =
        |path: &[u8]| path.ends_with(b".tmp") || path.starts_with(b"app/pages/p0") || path.starts_with(b"app/conf/x");
    let expected: Contents = held.into_iter().filter(|(path, _)| !is_out(path)).collect();
    assert_eq!(world.contents(&new.snapshot), expected);
    assert_eq!(new.snapshot.sources[0].excludes, ["*.tmp", "/pages/p0*"]);
    let counted = |count: fn(&Body) -> bool| {
        let index = world.fixture.index();
        let reader = BlobReader::new(world.repo(), &index);
        let Body::Directory { tree, .. } = new.snapshot.sources[0].root.body else { panic!() };
        let mut n = u64::from(count(&new.snapshot.sources[0].root.body));
        each_entry(&reader, tree, b"app", &mut |_, node| {
            n += u64::from(count(&node.body));
            Ok(())
        })
        .unwrap();
        n
    };
    let totals = new.snapshot.totals;
    assert_eq!(totals.directories, counted(|body| matches!(body, Body::Directory { .. })));
    assert_eq!(totals.files, counted(|body| matches!(body, Body::File { .. })));
    assert_eq!(totals.others, 1);
    for other in [0, 2] {
        assert!(after.iter().any(|one| one.id == before[other].id), "the others are not touched");
    }
    // What the others hold is not freed.
    assert!(report.remains.unwrap().still_needed > 0);
    world.check();
}

#[test]
fn another_name_of_a_file_keeps_its_contents_and_that_is_told() {
    let world = World { fixture: Fixture::new(), now: 1_700_000_000 };
    let linked = || file(&secret(1)).linked(77, 2);
    let before = world.fixture.snapshot(SERIES, 1, vec![("app", dir(vec![("a", linked()), ("b", linked())]))]);
    let report = world.out(&[of_path(&format!("{SERIES}:app/a"))], |_| ()).unwrap();
    assert_eq!(report.remains.unwrap().still_needed, 327);
    let mut expected = world.contents(&before.snapshot);
    expected.remove(&b"app/a"[..]);
    assert_eq!(world.contents(&world.listed()[0].snapshot), expected);
    world.check();
}

#[test]
fn later_versions_that_lean_on_what_is_taken_out_are_made_anew() {
    let mut world = World { fixture: Fixture::new(), now: 1_700_000_000 };
    // A snapshot whose contents lean on those of the file that is taken out of the one before.
    let first = world.fixture.snapshot(SERIES, 1, vec![("app", dir(vec![("dump", file(&noise(5000, 1)))]))]);
    let index = world.fixture.index();
    let reader = BlobReader::new(world.repo(), &index);
    let mut base = None;
    let Body::Directory { tree, .. } = first.snapshot.sources[0].root.body else { panic!() };
    each_entry(&reader, tree, b"app", &mut |_, node| {
        if let Body::File { size, content } = &node.body {
            each_extent(&reader, content, *size, &mut |extent| {
                if let Extent::Data { id, .. } = extent {
                    base = Some(id);
                }
                Ok(())
            })?;
        }
        Ok(())
    })
    .unwrap();
    let base = base.unwrap();
    let later = [noise(5000, 1), noise(10, 2)].concat();
    let id = world.repo().namer().name(BlobKind::Data, &later);
    world.fixture.forge_pack(&[(id, &later)], &[(base, &noise(5000, 1))]);
    let second = world.fixture.snapshot(SERIES, 2, vec![("app", dir(vec![("dump", file(&later))]))]);
    let held = world.contents(&second.snapshot);
    world.out(&[of_path(&format!("{}:app/dump", first.id))], |_| ()).unwrap();
    world.prune();
    world.prune();
    world.prune();
    world.check();
    let index = world.fixture.index();
    assert!(index.places(&base).is_empty(), "nothing leans on it any more");
    let left: Vec<_> = index.places(&id).into_iter().filter_map(|place| index.locate(place)).collect();
    assert!(!left.is_empty() && left.iter().all(|one| one.bases.is_empty()));
    assert_eq!(world.contents(&second.snapshot), held);
}

#[test]
fn what_a_second_one_takes_out_before_any_prune_goes_too() {
    let (mut world, _) = World::new(2);
    world.out(&[of_path(&format!("{SERIES}:app/conf/key.pem"))], |_| ()).unwrap();
    // They lie in packs that are marked since, in segments that the first had no reason to make anew.
    let pages: Vec<u64> = (1..20).step_by(3).collect();
    let patterns: Vec<String> = pages.iter().map(|page| format!("/pages/p{page:02}")).collect();
    let held: Vec<Contents> = world.listed().iter().map(|one| world.contents(&one.snapshot)).collect();
    let report = world.out(&[of_path(SERIES)], |request| request.patterns = patterns).unwrap();
    let remains = report.remains.unwrap();
    assert_eq!(remains.still_needed, 0);
    assert!(remains.segments > 0);
    for _ in 0..3 {
        world.prune();
        world.check();
    }
    assert!(!world.store_holds(&secret(1)));
    for page in &pages {
        assert!(!world.store_holds(&noise(1500, 100 + page)), "{page}");
    }
    for (new, held) in world.listed().iter().zip(held) {
        let is_out = |path: &[u8]| pages.iter().any(|page| path == format!("app/pages/p{page:02}").as_bytes());
        let expected: Contents = held.into_iter().filter(|(path, _)| !is_out(path)).collect();
        assert_eq!(world.contents(&new.snapshot), expected);
    }
}
