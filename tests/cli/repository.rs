//! `init`, and what is no repository.

use super::*;

#[test]
fn init_makes_a_repository_once() {
    let world = World::new();
    let made = world.run(&["init", "--kdf", "low"]).expect(0).says("vault key recovery").says("nobody can help");
    assert!(made.out.starts_with("made repository "), "{}", made.out);
    assert!(world.repo().join("config").is_file());
    world.run(&["init"]).expect(1).says("already");
    let listed = world.run(&["snapshots"]).expect(0);
    assert_eq!(listed.out, "");
}

#[test]
fn what_is_no_repository_is_said_to_be_none() {
    let world = World::new();
    world.run(&["snapshots"]).expect(10).says("vault init");
    fs::create_dir(world.repo()).unwrap();
    world.run(&["snapshots"]).expect(10).says("vault init");
    fs::write(world.repo().join("letter"), "dear").unwrap();
    world.run(&["snapshots"]).expect(10);
    world.run(&["init"]).expect(1).says("not empty");
    fs::write(world.repo().join("config"), "{\"version\":2,\"id\":\"restic has such a file, encrypted\"}").unwrap();
    world.run(&["snapshots"]).expect(10).says("another folder");
    world.run(&["snapshot", "--init", "/etc/hostname"]).expect(1).says("not empty");
    world.run(&["init"]).expect(1);
    let ran = world.run(&["snapshots", "--json"]).expect(10);
    assert_eq!(ran.result()["error"]["kind"], "no-repository");
}

#[test]
fn a_missing_repository_is_told_before_a_passphrase_is_asked_for() {
    let world = World::new();
    world
        .run_with(&["snapshots"], |c| {
            c.env_remove("VAULT_PASSWORD");
        })
        .expect(10);
}

#[test]
fn a_newer_format_is_unsupported() {
    let world = World::with_repository();
    let config = world.repo().join("config");
    let mut bytes = fs::read(&config).unwrap();
    bytes[8] = 9;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&config, bytes).unwrap();
    world.run(&["snapshots"]).expect(13).says("upgrade");
}
