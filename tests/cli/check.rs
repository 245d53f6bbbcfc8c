//! `check` and `repair`.

use super::*;

#[test]
fn a_finding_is_told_once() {
    let world = World::with_repository();
    let objects = three_snapshots(&world);
    flip(&objects[2], 1000);
    let name = objects[2].file_name().unwrap().to_str().unwrap();
    let ran = world.run(&["check"]).expect(1);
    assert_eq!(format!("{}{}", ran.out, ran.err).matches(name).count(), 1, "{}{}", ran.out, ran.err);
    let ran = world.run(&["snapshots"]).expect(1);
    assert_eq!(ran.err.matches(name).count(), 1, "{}", ran.err);
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy_tree(&entry.path(), &target) } else { drop(fs::copy(entry.path(), target)) }
    }
}

#[test]
fn objects_are_held_against_their_names_without_a_key() {
    let world = World::with_repository();
    three_snapshots(&world);
    let keyless = |args: &[&str]| {
        world.run_with(&[&["check", "--keyless"], args].concat(), |command| {
            command.env_remove("VAULT_PASSWORD");
        })
    };
    let ran = keyless(&[]).expect(0);
    assert!(ran.out.starts_with("every object that was read is what its name says"), "{}", ran.out);
    let pack = &world.objects("packs")[0];
    flip(pack, 100);
    let ran = keyless(&[]).expect(1);
    assert!(ran.out.contains(pack.file_name().unwrap().to_str().unwrap()), "{}", ran.out);
    let told = keyless(&["--json"]).expect(1).result();
    assert_eq!((told["findings"].as_array().unwrap().len(), told["keyless"].as_bool()), (1, Some(true)));
    // The one that was damaged last time comes on top.
    assert_eq!(keyless(&["--read-data=1%", "--json"]).expect(1).result()["packs_read"], 2);
}

#[test]
fn a_lost_index_is_made_anew() {
    let world = World::with_repository();
    three_snapshots(&world);
    fs::remove_dir_all(world.repo().join("index")).unwrap();
    world.run(&["check"]).expect(1).says("vault repair");
    let dry = world.run(&["repair", "index", "--dry-run", "--json"]).expect(0).result();
    assert!(!world.repo().join("index").exists());
    let told = world.run(&["repair", "index", "--json"]).expect(0).result();
    assert_eq!(told["index"], dry["index"]);
    assert!(told["index"]["listed"].as_u64().unwrap() >= 4 && told["packs"].is_null(), "{told}");
    let ran = world.run(&["check", "--read-data"]).expect(0);
    assert_eq!(ran.err, "");
    assert_eq!(world.run(&["dump", "alpha/-/src:src/a"]).expect(0).out, "version 2");
    let ran = world.run(&["repair"]).expect(0);
    assert!(ran.out.starts_with("there is nothing to repair"), "{}", ran.out);
}

#[test]
fn what_is_lost_is_named_and_comes_back_from_a_replica() {
    let world = World::with_repository();
    let objects = three_snapshots(&world);
    copy_tree(&world.repo(), &world.path("replica"));
    let all = world.objects("packs");
    all.iter().for_each(|pack| flip(pack, 100));
    let ran = world.run(&["check", "--read-data"]).expect(1);
    assert!(ran.out.contains("all of this costs\n  alpha/-/src\n"), "{}", ran.out);
    let told = world.run(&["check", "--json"]).expect(1).result();
    // The last reading is remembered.
    assert_eq!(told["packs_read"].as_u64().unwrap(), all.len() as u64);
    assert_eq!(told["losses"][0]["snapshots"].as_array().unwrap().len(), 3);
    flip(&objects[0], 200);
    let dry = world.run(&["repair", "--from", "replica", "--dry-run"]).expect(0);
    assert!(dry.out.contains("all of it can be brought back (dry run: nothing was changed)"), "{}", dry.out);
    assert_eq!(world.objects("packs"), all);
    let told = world.run(&["repair", "--from", "replica", "--json"]).expect(0).result();
    assert_eq!((told["packs"]["missing"].as_u64(), told["shortfall"].as_u64()), (Some(0), Some(0)));
    assert_eq!(told["snapshots"].as_array().unwrap().len(), 1);
    world.run(&["check", "--read-data"]).expect(0);
    assert_eq!(world.run(&["dump", "alpha/-/src:src/a"]).expect(0).out, "version 2");
    let repaired = told["snapshots"][0]["new"].as_str().unwrap();
    assert_eq!(world.run(&["dump", &format!("{repaired}:src/a")]).expect(0).out, "version 0");
    world.run(&["init", "--repo", "stranger", "--kdf", "low"]).expect(0);
    world.run(&["repair", "--from", "stranger"]).expect(2).says("of its own");
}

#[test]
fn without_a_replica_the_rest_is_kept_and_the_next_snapshot_heals() {
    let world = World::with_repository();
    let source = with_source(&world);
    world.run(&source).expect(0);
    let all = world.objects("packs");
    for pack in &all {
        flip(pack, 40);
    }
    let ran = world.run(&["repair", "--read-data"]).expect(1);
    assert!(ran.out.contains("not all of it could be brought back"), "{}", ran.out);
    let listed = world.run(&["snapshots"]).expect(0).out;
    assert!(listed.contains("repaired") && listed.contains("incomplete"), "{listed}");
    world.run(&["check"]).expect(1);
    world.run(&source).expect(0);
    assert_eq!(world.run(&["dump", "alpha/-/src:src/a"]).expect(0).out, "first");
    let ran = world.run(&["check", "--read-data"]).expect(0);
    assert!(ran.err.contains("marked as damaged"), "{}", ran.err);
}
