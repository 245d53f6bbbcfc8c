//! `restore`, `dump` and `ls`.

use super::*;

#[test]
fn an_older_snapshot_does_not_pass_for_a_damaged_one() {
    let world = World::with_repository();
    let objects = three_snapshots(&world);
    // In the body of the oldest: its head still tells that it is older, so it is in nobody's way.
    flip(&objects[0], 1000);
    assert_eq!(world.run(&["dump", "alpha/-/src:src/a"]).expect(0).out, "version 2");
    flip(&objects[2], 1000);
    let name = objects[2].file_name().unwrap().to_str().unwrap();
    for args in [
        &["dump", "alpha/-/src:src/a"][..],
        &["ls", "alpha/-/src"],
        &["restore", "alpha/-/src", "--target", "back"],
        &["restore", "alpha/-/src@0d", "--target", "back"],
        &["ls", "alpha/-/src@2100-01-01"],
    ] {
        let ran = world.run(args).expect(1).says(name).says("by its id").says("vault snapshots");
        assert_eq!(ran.out, "");
    }
    assert!(!world.path("back").exists());
    // Damaged or not, it is newer than that day.
    world.run(&["ls", "alpha/-/src@2001-01-01"]).expect(2).says("that old");
    // The next snapshot is newer than the damaged one, which is then in nobody's way.
    let source = with_source(&world);
    world.run(&source).expect(0);
    world.run(&["ls", "alpha/-/src"]).expect(0);
    let id = |object: &Path| object.file_name().unwrap().to_str().unwrap()[..12].to_owned();
    let older = format!("{}:src/a", id(&objects[1]));
    assert_eq!(world.run(&["dump", &older]).expect(0).out, "version 1");
    // A head that does not open tells nothing.
    flip(&objects[0], 200);
    world.run(&["ls", "alpha/-/src"]).expect(1).says("by its id");
    // What a later one says came before it, and nothing says was forgotten, is missed by whoever asks for the newest.
    fs::remove_file(&objects[2]).unwrap();
    world.run(&["ls", "alpha/-/src"]).expect(14).says(&name[..8]).says("--accept-rollback");
    world.run(&["dump", &older]).expect(0);
}

#[test]
fn dump_touches_no_other_file() {
    let world = World::with_repository();
    three_snapshots(&world);
    let kept = world.file("page.part", "the user's own", 0o644);
    world.run(&["dump", "alpha/-/src:src/a", "--output", "page"]).expect(0);
    assert_eq!((text(&world.path("page")).as_str(), text(Path::new(&kept)).as_str()), ("version 2", "the user's own"));
    world.run(&["dump", "alpha/-/src:src/a", "--output", "page"]).expect(1).says("there already");
    world.run(&["dump", "alpha/-/src:src/none", "--output", "other"]).expect(2);
    let names: Vec<_> = fs::read_dir(world.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".vault-")), "{names:?}");
}

#[test]
fn all_problems_of_a_restore_are_told() {
    let world = World::with_repository();
    fs::create_dir(world.path("src")).unwrap();
    for i in 0..40 {
        world.file(&format!("src/{i:02}"), &format!("{i} of forty").repeat(1000), 0o644);
    }
    world.run(&["snapshot", "src", "--as", "alpha/-/src"]).expect(0);
    let mut packs = world.objects("packs");
    // The packs of data: those of trees are needed to know of files at all.
    packs.retain(|pack| fs::read(pack).unwrap()[10] == 3);
    assert!(!packs.is_empty());
    packs.iter().for_each(|pack| fs::remove_file(pack).unwrap());
    let ran =
        world.run(&["restore", "alpha/-/src:src", "--target", "back"]).expect(1).says("40 problems, listed above");
    for i in 0..40 {
        let named = ran.err.lines().filter(|line| line.contains(&format!("{i:02}: "))).count();
        assert_eq!(named, 1, "{i}: {}", ran.err);
    }
}

#[test]
fn patterns_that_match_nothing_are_told() {
    let world = World::with_repository();
    world.run(&with_source(&world)).expect(0);
    let restore = |address: &str, pattern: &str, target: &str| {
        world.run(&["restore", address, "--include", pattern, "--target", target])
    };
    restore("alpha/-/src", "*.none", "a").expect(1).says("nothing matches").says("relative");
    restore("alpha/-/src", "/src/a", "b").expect(1);
    restore("alpha/-/src:src", "/a", "c").expect(0);
    restore("alpha/-/src", "/a", "d").expect(0);
    assert_eq!((text(&world.path("c/a")), text(&world.path("d/a"))), ("first".into(), "first".into()));
    let ran = world.run(&["restore", "alpha/-/src", "--include", "none", "--target", "e", "--json"]).expect(1);
    assert!(ran.out.contains("nothing matches"));
    ran.result();
    assert!(world.run(&["restore", "--help"]).expect(0).out.contains("relative to the target"));
}
