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

/// As the power leaves it on FAT: a name gets its bytes after it is there.
#[test]
fn an_init_that_was_cut_off_is_done_again() {
    let world = World::with_repository();
    let config = world.repo().join("config");
    let whole = fs::read(&config).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&config, "").unwrap();
    world.run(&["snapshots"]).expect(10).says("vault init");
    world.run(&["init", "--kdf", "low"]).expect(0);
    world.run(&["snapshot", "/etc/hostname"]).expect(0);
    world.run(&["check", "--read-data"]).expect(0);
    // Once something lies there, it is damage.
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&config, "").unwrap();
    world.run(&["snapshots"]).expect(1).says("key slots lie beside it");
    world.run(&["init", "--kdf", "low"]).expect(1);
    assert_ne!(whole, b"");
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
