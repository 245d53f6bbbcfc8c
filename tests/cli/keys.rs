//! Keys, passphrases and recovery sheets.

use super::*;

#[test]
fn the_recovery_sheet_opens_what_has_lost_its_keys() {
    let world = World::new();
    let made = world.run(&["init", "--kdf", "low", "--recovery-sheet", "sheet"]).expect(0);
    let sheet = text(&world.path("sheet"));
    let id =
        fs::read(world.repo().join("config")).unwrap()[16..32].iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert!(sheet.contains(&id) && made.out.contains(&id), "{sheet}");
    assert!(!made.out.contains("1: ") && !made.err.contains("1: "));
    assert_eq!(fs::metadata(world.path("sheet")).unwrap().permissions().mode() & 0o777, 0o600);

    fs::remove_dir_all(world.repo().join("keys")).unwrap();
    world.run(&["snapshots"]).expect(12).says("recovery sheet");
    world.run(&["snapshots", "--recovery-file", "sheet"]).expect(0);
    world
        .run_with(&["key", "add", "--recovery-file", "sheet", "--kdf", "low"], |c| {
            c.env("VAULT_NEW_PASSWORD", "new");
        })
        .expect(0);
    world
        .run_with(&["snapshots"], |c| {
            c.env("VAULT_PASSWORD", "new");
        })
        .expect(0);

    let broken = sheet.replace("3: ", "3: 0");
    world.file("broken", &broken, 0o600);
    world.run(&["snapshots", "--recovery-file", "broken"]).expect(2).says("line 3");
    World::with_repository().run(&["snapshots", "--recovery-file", world.path("sheet").to_str().unwrap()]).expect(12);
}

#[test]
fn the_recovery_sheet_can_be_asked_for_later() {
    let world = World::with_repository();
    let sheet = world.run(&["key", "recovery"]).expect(0).out;
    world.file("sheet", &sheet, 0o600);
    world.run(&["snapshots", "--recovery-file", "sheet"]).expect(0);
    world.run(&["key", "recovery", "--output", "sheet"]).expect(1).says("sheet");
    world.run(&["key", "add", "--role", "maintainer", "--key-file-out", "maintainer"]).expect(0);
    world.run(&["key", "recovery", "--key-file", "maintainer"]).expect(1).says("takes an owner key");
}

#[test]
fn wrong_passphrases_and_keys_have_their_code() {
    let world = World::with_repository();
    world
        .run_with(&["snapshots"], |c| {
            c.env("VAULT_PASSWORD", "wrong");
        })
        .expect(12);
    world.file("other", &format!("{}\n", "ab".repeat(32)), 0o600);
    world.run(&["snapshots", "--key-file", "other"]).expect(12);
    world
        .run_with(&["snapshots"], |c| {
            c.env_remove("VAULT_PASSWORD");
        })
        .expect(2)
        .says("--password-file");
    let ran = world
        .run_with(&["snapshots", "--json"], |c| {
            c.env("VAULT_PASSWORD", "wrong");
        })
        .expect(12);
    assert_eq!(ran.result()["error"]["kind"], "wrong-key");
}

#[test]
fn options_go_before_the_environment() {
    let world = World::with_repository();
    world.file("right", "right\n", 0o600);
    world.file("wrong", "wrong\n", 0o600);
    world
        .run_with(&["snapshots", "--password-file", "right"], |c| {
            c.env("VAULT_PASSWORD", "wrong");
        })
        .expect(0);
    world.run(&["snapshots", "--password-file", "wrong"]).expect(12);
    world.run(&["snapshots", "--password-command", "echo right"]).expect(0);
    world.run(&["snapshots", "--password-command", "exit 4"]).expect(1).says("exit status: 4");
    world.run(&["snapshots", "--password-file", "right", "--key-file", "x"]).expect(2);
    world.run(&["--repo", "nowhere", "snapshots"]).expect(10).says("nowhere");
}

#[test]
fn keys_are_added_listed_changed_and_removed() {
    let world = World::with_repository();
    let keys = || {
        let result = world.run_with(&["key", "list", "--json"], |c| {
            c.env("VAULT_PASSWORD", "second");
        });
        result.expect(0).result()["keys"].as_array().unwrap().clone()
    };
    let second = |c: &mut Command| {
        c.env("VAULT_NEW_PASSWORD", "second");
    };
    world.run_with(&["key", "add", "--kdf", "low", "--label", "two"], second).expect(0);
    let listed = keys();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|key| key["role"] == "owner" && key["opened_by"] == "passphrase"));
    assert!(world.run(&["key", "list"]).expect(0).out.lines().any(|line| line.ends_with("two")));

    // The first passphrase becomes another, and no longer opens.
    world
        .run_with(&["key", "passwd", "--kdf", "low"], |c| {
            c.env("VAULT_NEW_PASSWORD", "third");
        })
        .expect(0);
    world.run(&["snapshots"]).expect(12);
    let of = |password: &str, args: &[&str]| {
        let password = password.to_owned();
        world.run_with(args, |c| {
            c.env("VAULT_PASSWORD", password);
        })
    };
    of("third", &["snapshots"]).expect(0);

    let listed = keys();
    let id = |label: &str| listed.iter().find(|key| key["label"] == label).unwrap()["id"].as_str().unwrap().to_owned();
    of("third", &["key", "remove", &id("two")[..8]]).expect(0);
    of("second", &["snapshots"]).expect(12);
    of("third", &["key", "remove", &id("passphrase of init")]).expect(1).says("last owner key");
    of("third", &["key", "remove", "ffff"]).expect(2).says("vault key list");
    of("third", &["snapshots"]).expect(0);
}

/// A change that is cut off leaves a key of either passphrase. What was changed must not open any more, all the same, neither now nor
/// after the next change.
#[test]
fn what_an_interrupted_change_has_left_goes_with_the_next() {
    let world = World::with_repository();
    let with = |old: &str, new: &str, args: &[&str]| {
        let (old, new) = (old.to_owned(), new.to_owned());
        world.run_with(args, |c| {
            c.env("VAULT_PASSWORD", old).env("VAULT_NEW_PASSWORD", new);
        })
    };
    let first = "right";
    let add = |new: &str, label: &str| {
        with(first, new, &["key", "add", "--kdf", "low", "--label", label]).expect(0);
    };
    // As if cut off before the old one went, twice; and one that somebody has added.
    add("second", "passphrase of init");
    add("second", "passphrase of init");
    add(first, "passphrase of init");
    add("second", "mine");
    let labels = |password: &str| -> Vec<String> {
        let keys = with(password, "", &["key", "list", "--json"]).expect(0).result()["keys"].clone();
        // Of those made in one second either may come first.
        let mut labels: Vec<String> =
            keys.as_array().unwrap().iter().map(|key| key["label"].as_str().unwrap().to_owned()).collect();
        labels.sort();
        labels
    };
    with(first, "second", &["key", "passwd", "--kdf", "low"]).expect(0);
    with(first, "", &["snapshots"]).expect(12);
    assert_eq!(labels("second"), ["mine", "passphrase of init"]);
    // Both are the same passphrase.
    with("second", "third", &["key", "passwd", "--kdf", "low"]).expect(0);
    with("second", "", &["snapshots"]).expect(12);
    assert_eq!(labels("third"), ["mine", "passphrase of init"]);
    // A passphrase for itself, under other costs.
    with("third", "third", &["key", "passwd", "--kdf", "low"]).expect(0);
    with("third", "", &["snapshots"]).expect(0);
}

#[test]
fn key_files_open_and_must_be_private() {
    let world = World::new();
    world.run(&["init", "--kdf", "low", "--key-file-out", "key"]).expect(0);
    let with_key = |args: &[&str]| {
        world.run_with(&[args, &["--key-file", "key"]].concat(), |c| {
            c.env_remove("VAULT_PASSWORD");
        })
    };
    let path = world.path("key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(text(&path).len(), 65);
    with_key(&["snapshots"]).expect(0);
    for mode in [0o640, 0o604] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        with_key(&["snapshots"]).expect(1).says("chmod 600");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    with_key(&["snapshots"]).expect(0);
    with_key(&["key", "passwd"]).expect(2).says("key add");
    // No file is overwritten.
    world.run(&["key", "add", "--key-file-out", "key"]).expect(1).says("is there already");
    // What was killed before it had its name is in nobody's way.
    world.file(".another.unfinished", "", 0o600);
    world.run(&["key", "add", "--key-file-out", "another"]).expect(0);
    assert!(!world.path(".another.unfinished").exists());
    world.run(&["snapshots", "--key-file", "another"]).expect(0);
    world.file("short", "abc\n", 0o600);
    world.run(&["snapshots", "--key-file", "short"]).expect(2).says("64 hexadecimal digits");
    world.run(&["snapshots", "--key-file", "absent"]).expect(1).says("absent");
}

#[test]
fn writers_cannot_list() {
    let world = World::with_repository();
    world.run(&["key", "add", "--role", "writer", "--key-file-out", "w"]).expect(0);
    world.run(&["key", "list", "--key-file", "w"]).expect(0);
    world
        .run(&["key", "add", "--role", "owner", "--key-file-out", "o", "--key-file", "w"])
        .expect(1)
        .says("takes an owner key");
    assert!(!world.path("o").exists());
}

#[test]
fn empty_passphrases_are_refused() {
    let world = World::new();
    world
        .run_with(&["init"], |c| {
            c.env("VAULT_PASSWORD", "");
        })
        .expect(2)
        .says("empty");
    assert!(!world.repo().exists());
}
