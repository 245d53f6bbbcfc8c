//! `move`.

use super::*;

#[test]
fn an_application_goes_on_under_its_new_name() {
    let world = World::with_repository();
    three_snapshots(&world);
    let (old, new) = ("alpha/-/src", "beta/web1/src");
    let dry = world.run(&["move", old, new, "-n", "--json"]).expect(0).result();
    assert_eq!(dry["moved"].as_array().unwrap().len(), 3);
    assert_eq!(world.objects("gone").len(), 0);
    let ran = world.run(&["move", old, new]).expect(0);
    assert_eq!(ran.out, "moved 3 snapshots of alpha/-/src to beta/web1/src\n");
    // The old name leads to the new one.
    let ran = world.run(&["dump", "alpha/-/src:src/a"]).expect(0).says("alpha/-/src was moved to beta/web1/src");
    assert_eq!(ran.out, "version 2");
    let moved = "alpha/-/src was moved to beta/web1/src";
    let ran = world.run(&["log", "alpha/-/src:src/a"]).expect(0).says(moved);
    assert!(ran.out.contains("appeared"), "{}", ran.out);
    let listed = world.run(&["snapshots", old]).expect(0).says(moved).out;
    assert_eq!(listed.matches(new).count(), 3, "{listed}");
    assert!(world.run(&["stats", old]).expect(0).says(moved).out.contains(new));
    assert!(world.run(&["find", "a", "--series", old]).expect(0).says(moved).out.contains(new));
    world.file("src/a", "version 3", 0o644);
    world.run(&["snapshot", "src", "--as", new]).expect(0);
    let all = world.run(&["snapshots", "--json"]).expect(0).result();
    let all = all["snapshots"].as_array().unwrap();
    assert!(all.len() == 4 && all.iter().all(|one| one["series"] == new), "{all:?}");
    world.run(&["check", "--read-data"]).expect(0);
    world.run(&["move", old, new]).expect(2).says("was moved to beta/web1/src before");
    world.run(&["move", "alpha/-/none", new]).expect(2).says("no snapshot");
    // Rules count the nights together.
    world.run(&["forget", "--keep-last", "2"]).expect(0);
    assert_eq!(world.objects("snapshots").len(), 2);
}
