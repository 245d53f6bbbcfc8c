//! `forget`, `tag` and `pin`.

use super::*;
use serde_json::Value;

/// Ids of the snapshots that are listed, oldest first.
pub(super) fn listed_ids(world: &World) -> Vec<String> {
    let listed = world.run(&["snapshots", "--json"]).expect(0).result();
    let ids = listed["snapshots"].as_array().unwrap().iter();
    ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn snapshots_that_no_rule_keeps_are_forgotten() {
    let world = World::with_repository();
    three_snapshots(&world);
    let ids = listed_ids(&world);
    let dry = world.run(&["forget", "--keep-last", "1", "--dry-run"]).expect(0);
    assert!(dry.out.contains("alpha/-/src\n") && dry.out.contains("newest, newest complete, last 1/1"), "{}", dry.out);
    assert_eq!(dry.out.lines().filter(|line| line.starts_with("forget ")).count(), 2);
    assert!(dry.out.contains("would forget 2 snapshots and keep 1; nothing was done"), "{}", dry.out);
    let dry = world.run(&["forget", "--keep-last", "1", "-n", "--json"]).expect(0).result();
    assert_eq!((&dry["dry_run"], dry["forgotten"].as_array().unwrap().len()), (&true.into(), 2));
    assert_eq!(listed_ids(&world), ids);

    let done = world.run(&["forget", "alpha", "--keep-last", "2", "--keep-daily", "1d"]).expect(0);
    assert!(done.out.contains("SERIES") && done.out.contains("forgot 1 snapshot, kept 2\n"), "{}", done.out);
    assert_eq!(listed_ids(&world), ids[1..]);
    let explained = world.run(&["forget", "--keep-last", "2", "--explain"]).expect(0).out;
    assert!(explained.contains("last 2/2") && explained.contains("forgot 0 snapshots"), "{explained}");
    world.run(&["ls", &ids[0]]).expect(2).says("was forgotten");
    world.run(&["check"]).expect(0);
    // The next snapshot goes on with the numbers.
    world.run(&with_source(&world)).expect(0);
    let last = world.run(&["snapshots", "--json"]).expect(0).result()["snapshots"][2].clone();
    assert_eq!((&last["sequence"], &last["previous"]), (&4.into(), &ids[2].as_str().into()));
}

#[test]
fn a_forget_without_a_clear_wish_is_a_usage_error() {
    let world = World::with_repository();
    three_snapshots(&world);
    world.run(&["forget"]).expect(2).says("--keep-daily");
    world.run(&["forget", "alpha/-/src"]).expect(2).says("is a series").says("--keep-daily");
    world.run(&["forget", "alpha/-/src@latest:src/a"]).expect(2).says("names files");
    world.run(&["forget", "--keep-last", "0"]).expect(2).says("at least 1");
    world.run(&["forget", "--keep-weekly", "2mo"]).expect(2).says("write an age");
    world.run(&["forget", "beta", "--keep-last", "1"]).expect(2).says("no series is called \"beta\"");
    world.run(&["forget", "--keep-last", "1", "--zone", "Mars/Base"]).expect(2).says("no time zone");
    assert_eq!(listed_ids(&world).len(), 3);
}

#[test]
fn single_snapshots_are_forgotten_after_a_yes() {
    let world = World::with_repository();
    three_snapshots(&world);
    let ids = listed_ids(&world);
    world.run(&["forget", &ids[0]]).expect(2).says("cannot be undone").says("--yes");
    world.run(&["forget", &ids[0], "--json"]).expect(2);
    assert_eq!(listed_ids(&world), ids);
    world.run(&["forget", &ids[0], "-n"]).expect(0);
    world.run(&["forget", "alpha/-/src@latest", "--yes"]).expect(1).says("--force");
    world.run(&["pin", &ids[1], "--reason", "audit"]).expect(0);
    world.run(&["forget", &ids[0], &ids[1], "--yes", "--force"]).expect(1).says("is pinned").says("vault unpin");
    assert_eq!(listed_ids(&world), ids);
    let done = world.run(&["forget", &ids[0], "--yes", "--json"]).expect(0).result();
    assert_eq!(done["forgotten"], serde_json::json!([ids[0]]));
    world.run(&["forget", "alpha/-/src@latest", "--yes", "--force"]).expect(0);
    assert_eq!(listed_ids(&world), ids[1..2]);
}

#[test]
fn tags_and_pins_are_given_shown_and_honoured() {
    let world = World::with_repository();
    three_snapshots(&world);
    let ids = listed_ids(&world);
    let tagged = world.run(&["tag", "add", "release", &ids[0], "alpha/-/src"]).expect(0).out;
    assert!(tagged.starts_with("tagged: 2 snapshots (") && tagged.contains(&ids[0][..8]), "{tagged}");
    assert!(world.run(&["tag", "add", "release", &ids[0]]).expect(0).out.contains("had the tag"));
    world.run(&["tag", "remove", "release", "alpha/-/src"]).expect(0);
    world.run(&["tag", "add", "two words", &ids[0]]).expect(2).says("one word");
    world.run(&["tag", "add", "x", "alpha/-/src:src"]).expect(2).says("names files");
    world.run(&["pin", &ids[1], "--reason", "audit"]).expect(0);
    let found = world.run(&["snapshots", "--tag", "release", "--json"]).expect(0).result();
    assert_eq!(
        (found["snapshots"].as_array().unwrap().len(), &found["snapshots"][0]["id"]),
        (1, &ids[0].as_str().into())
    );
    let listed = world.run(&["snapshots", "--json"]).expect(0).result();
    assert_eq!(
        (&listed["snapshots"][1]["pinned"]["reason"], &listed["snapshots"][0]["pinned"]),
        (&"audit".into(), &Value::Null)
    );
    assert_eq!(world.run(&["snapshots"]).expect(0).out.lines().filter(|line| line.ends_with("pinned")).count(), 1);

    world.run(&["forget", "--keep-last", "1", "--keep-tag", "release"]).expect(0);
    assert_eq!(listed_ids(&world), ids);
    world.run(&["unpin", &ids[1]]).expect(0);
    assert!(world.run(&["unpin", &ids[1]]).expect(0).out.contains("not pinned"));
    world.run(&["forget", "--keep-tag", "release", "-q"]).expect(0);
    assert_eq!(listed_ids(&world), [ids[0].as_str(), &ids[2]]);
}

#[test]
fn what_cannot_be_read_is_left_alone_and_told() {
    let world = World::with_repository();
    let objects = three_snapshots(&world);
    let ids = listed_ids(&world);
    flip(&objects[0], 1000);
    world.run(&["forget", "--keep-last", "1"]).expect(1).says(&ids[0]);
    assert!(objects[0].exists() && !objects[1].exists());
    world.run(&["forget", &ids[0], "--yes"]).expect(1).says("--force");
    let dry = world.run(&["forget", &ids[0], "--force", "-n"]).expect(0).out;
    assert!(dry.contains("which cannot be read"), "{dry}");
    world.run(&["forget", &ids[0], "--yes", "--force"]).expect(0);
    assert!(!objects[0].exists());
    world.run(&["snapshots"]).expect(0);
    world.run(&["check"]).expect(0);
}

#[test]
fn writers_forget_and_tag_nothing_and_maintainers_do() {
    let world = World::with_repository();
    three_snapshots(&world);
    let ids = listed_ids(&world);
    world.run(&["key", "add", "--role", "writer", "--key-file-out", "w"]).expect(0);
    world.run(&["key", "add", "--role", "maintainer", "--key-file-out", "m"]).expect(0);
    for args in [&["forget", "--keep-last", "1"][..], &["forget", &ids[0], "--yes"], &["pin", &ids[0]]] {
        world.run(&[args, &["--key-file", "w"]].concat()).expect(1).says("takes a maintainer or owner key");
    }
    world.run(&["pin", &ids[0], "--key-file", "m"]).expect(0);
    world.run(&["forget", "--keep-last", "1", "--key-file", "m"]).expect(0);
    assert_eq!(listed_ids(&world), [ids[0].as_str(), &ids[2]]);
    // Who only writes goes on with the numbers all the same.
    let args = with_source(&world);
    world.run(&[&args[..], &["--key-file", "w"]].concat()).expect(0);
    world.run(&["check"]).expect(0);
}

#[test]
fn a_sudden_shrink_is_told_and_holds_the_older_ones() {
    let world = World::with_repository();
    let args = with_source(&world);
    for i in 0..4 {
        world.file("src/a", &format!("{i}").repeat(5000), 0o644);
        world.run(&args).expect(0);
    }
    world.file("src/a", "nearly nothing", 0o644);
    world.run(&args).expect(0);
    let ids = listed_ids(&world);
    let held = world.run(&["forget", "--keep-last", "2"]).expect(0);
    let told = held.err;
    assert!(told.contains("suddenly less than half") && told.contains("--despite-shrink"), "{told}");
    assert_eq!(listed_ids(&world), ids[2..]);
    world.run(&["forget", "--keep-last", "2", "--despite-shrink"]).expect(0);
    assert_eq!(listed_ids(&world), ids[3..]);
}
