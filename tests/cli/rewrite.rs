//! `rewrite`, and what `--quiet` and tags are held to.

use super::*;

#[test]
fn a_file_is_taken_out_of_all_snapshots_of_a_series() {
    let world = World::with_repository();
    three_snapshots(&world);
    world.run(&["tag", "add", "good", "alpha/-/src@latest"]).expect(0);
    let dry = world.run(&["rewrite", "alpha/-/src:src/a", "--dry-run"]).expect(0).out;
    assert!(dry.contains("alpha/-/src\n") && dry.contains("      src/a  9 B\n"), "{dry}");
    assert!(dry.contains("3 of 3 snapshots would be rewritten (dry run: nothing was changed)"), "{dry}");
    // Nobody can be asked here.
    let shown = world.run(&["rewrite", "alpha/-/src:src/a"]).expect(2).says("give --yes");
    assert!(shown.out.contains("would be rewritten"), "{}", shown.out);
    let one = world.run(&["rewrite", "alpha/-/src@latest", "--exclude", "/sub", "-n", "--json"]).expect(0).result();
    assert_eq!((&one["looked_at"], &one["rewritten"][0]["taken"]["entries"]), (&1.into(), &2.into()));

    let done = world.run(&["rewrite", "alpha/-/src:src/a", "--yes", "--reason", "leaked", "--json"]).expect(0).result();
    let rewritten = done["rewritten"].as_array().unwrap();
    assert_eq!((rewritten.len(), &done["remains"]["still_needed"]), (3, &0.into()));
    let listed = world.run(&["snapshots", "--json"]).expect(0).result();
    for (one, now) in rewritten.iter().zip(listed["snapshots"].as_array().unwrap()) {
        assert_eq!((&one["new"], &one["taken"]["snapshot"]), (&now["id"], &now["rewritten"][0]["from"]));
        assert!(now["rewritten"][0]["what"].as_str().unwrap().contains("src/a (leaked)"), "{now}");
    }
    let table = world.run(&["snapshots"]).expect(0).out;
    assert_eq!(table.matches("rewritten").count(), 3, "{table}");
    assert!(table.lines().last().unwrap().contains("good"), "{table}");
    world.run(&["restore", "alpha/-/src@latest", "--target", "out"]).expect(0);
    assert!(!world.path("out/a").exists() && world.path("out/sub").exists());
    world.run(&["check", "--read-data"]).expect(0);
    world
        .run(&["rewrite", "alpha/-/src:src/a", "--yes"])
        .expect(2)
        .says("nothing to take out was found in 3 snapshots");
    world.run(&["rewrite", "alpha/-/src", "--yes"]).expect(2).says("--exclude PATTERN");
}

#[test]
fn quiet_commands_print_nothing_unasked() {
    let world = World::with_repository();
    three_snapshots(&world);
    let one = world.run(&["snapshots", "--json"]).expect(0).result()["snapshots"][0]["id"].as_str().unwrap().to_owned();
    for args in [
        &["rewrite", "alpha/-/src:src/sub", "--yes", "--quiet", "--keep-originals"][..],
        &["forget", &one, "--yes", "--quiet"],
        &["forget", "--keep-last", "1", "--quiet"],
        &["prune", "--grace", "0", "--quiet"],
    ] {
        let ran = world.run(args).expect(0);
        assert_eq!((&*ran.out, &*ran.err), ("", ""), "{args:?}");
    }
    let asked = world.run(&["forget", "--keep-last", "1", "--quiet", "--explain"]).expect(0);
    assert!(asked.out.contains("newest"), "{}", asked.out);
}

#[test]
fn tags_are_words_whoever_gives_them() {
    let world = World::with_repository();
    let args = with_source(&world);
    world.run(&[&args[..], &["--tag", "two words"]].concat()).expect(2).says("one word");
    world.run(&[&args[..], &["--tag", "one"]].concat()).expect(0);
    world.run(&["tag", "add", "two words", "alpha/-/src@latest"]).expect(2).says("one word");
}
