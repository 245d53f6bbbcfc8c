//! `parity`, what `check` and `repair` make of it, and `media recover`.

use super::*;

fn without_key(world: &World, args: &[&str]) -> common::world::Ran {
    world.run_with(args, |command| {
        command.env_remove("VAULT_PASSWORD");
    })
}

/// A repository with three snapshots of which all is covered, twice where it is metadata.
fn covered() -> (World, Vec<PathBuf>) {
    let world = World::with_repository();
    let objects = three_snapshots(&world);
    let told = without_key(&world, &["parity", "add", "--percent", "20", "--mirror", "--json"]).expect(0).result();
    assert_eq!((told["command"].as_str(), told["sidecars"].as_u64()), (Some("parity add"), Some(1)));
    (world, objects)
}

#[test]
fn what_was_covered_comes_back_without_a_key() {
    let (world, _) = covered();
    let told = without_key(&world, &["parity", "status", "--json"]).expect(0).result();
    assert_eq!(told["covered"], told["objects"]);
    assert!(told["least_percent"].as_f64().unwrap() >= 20.0, "{told}");
    world.run(&["check", "--read-data"]).expect(0);
    let pack = &world.objects("packs")[0];
    let before = fs::read(pack).unwrap();
    flip(pack, 100);
    let name = pack.file_name().unwrap().to_str().unwrap();
    let says = "parity brings 1 damaged object back byte for byte: `vault repair";
    without_key(&world, &["check", "--keyless"]).expect(1).says(says);
    let told = world.run(&["check", "--read-data", "--json"]).expect(1).result();
    assert!(told["mendable"][0].as_str().unwrap().ends_with(name), "{told}");
    let dry = without_key(&world, &["repair", "--keyless", "--read-data", "--dry-run"]).expect(0);
    assert!(dry.out.contains(name) && dry.out.contains("would come back"), "{}", dry.out);
    assert!(fs::read(pack).unwrap() != before);
    let ran = without_key(&world, &["repair", "--keyless", "--read-data"]).expect(0);
    assert!(ran.out.contains("brought back byte for byte"), "{}", ran.out);
    assert_eq!(fs::read(pack).unwrap(), before);
    world.run(&["check", "--read-data"]).expect(0);
    let ran = without_key(&world, &["parity", "remove"]).expect(0);
    assert!(ran.out.starts_with("removed 1 sidecar and"), "{}", ran.out);
    assert!(world.objects("parity").is_empty() && world.objects("mirror").is_empty());
}

#[test]
fn a_repository_that_lost_its_configuration_and_keys_opens_after_a_repair() {
    let (world, _) = covered();
    fs::remove_file(world.repo().join("config")).unwrap();
    fs::remove_dir_all(world.repo().join("keys")).unwrap();
    world.run(&["snapshots"]).expect(10);
    let ran = world.run(&["repair"]).expect(0);
    assert!(ran.out.contains("config: brought back byte for byte"), "{}", ran.out);
    world.run(&["check", "--read-data"]).expect(0);
}

#[test]
fn a_medium_without_a_file_system_gives_back_what_it_has() {
    let (world, _) = covered();
    let mut image = vec![0; 12_288];
    let folders = ["keys", "packs", "index", "snapshots", "parity"];
    let files = folders.iter().flat_map(|folder| world.objects(folder)).chain([world.repo().join("config")]);
    for (n, file) in files.enumerate() {
        let mut bytes = fs::read(file).unwrap();
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
        // Each in two pieces, with a stranger between.
        let middle = bytes.len() / 8192 * 4096;
        image.extend_from_slice(&bytes[middle..]);
        image.extend_from_slice(&vec![n as u8 + 1; 4096]);
        image.extend_from_slice(&bytes[..middle]);
    }
    fs::write(world.path("disk"), image).unwrap();
    let ran = without_key(&world, &["media", "recover", "disk", "--image", "copy", "--to", "salvage"]).expect(0);
    assert!(ran.out.contains("lost     0 objects"), "{}", ran.out);
    assert!(text(&world.path("copy.map")).contains("done"));
    let told = world.run(&["media", "recover", "copy", "--to", "salvage", "--list", "--json"]).expect(0).result();
    assert_eq!(told["list"]["snapshots"].as_array().unwrap().len(), 3);
    world.run(&["check", "--read-data", "--repo", "salvage"]).expect(0);
    assert_eq!(world.run(&["dump", "alpha/-/src:src/a", "--repo", "salvage"]).expect(0).out, "version 2");
    // Neither into itself nor out of nothing.
    world.run(&["media", "recover", "repo", "--to", "repo/sub"]).expect(2);
    fs::write(world.path("empty"), vec![1; 100_000]).unwrap();
    world.run(&["media", "recover", "empty", "--to", "nothing"]).expect(10).says("no object of a vault repository");
}
