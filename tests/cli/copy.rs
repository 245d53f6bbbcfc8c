//! `copy`, `key rekey` and `media`.

use super::{forget::listed_ids, *};

/// Every file below a folder, with its bytes.
pub fn files(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let (mut out, mut folders) = (std::collections::BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                out.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    out
}

#[test]
fn a_replica_is_made_without_a_key_and_kept_up_to_date() {
    let world = World::with_repository();
    three_snapshots(&world);
    let keyless = |args: &[&str]| {
        world.run_with(&[&["copy", "--to", "replica"], args].concat(), |command| {
            command.env_remove("VAULT_PASSWORD");
        })
    };
    keyless(&[]).expect(10).says("--init");
    let dry = keyless(&["--init", "--dry-run", "--json"]).expect(0).result();
    assert!(!world.path("replica").exists());
    let told = keyless(&["--init", "--json"]).expect(0).result();
    assert_eq!((&told["mode"], &told["created"], &told["snapshots"]), (&"replica".into(), &true.into(), &3.into()));
    assert_eq!((&told["bytes"], &told["objects"]), (&dry["bytes"], &dry["objects"]));
    assert_eq!(files(&world.path("replica")), files(&world.repo()));
    let ran = keyless(&[]).expect(0);
    assert!(ran.out.starts_with("nothing to copy"), "{}", ran.out);
    // What was forgotten here stays there.
    world.run(&["forget", "--keep-last", "1"]).expect(0);
    keyless(&["--bandwidth", "100M"]).expect(0);
    let count = |args: &[&str]| world.run(args).expect(0).result()["snapshots"].as_array().unwrap().len();
    assert_eq!(count(&["snapshots", "--json", "--repo", "replica"]), 3);
    assert_eq!(count(&["snapshots", "--json"]), 1);
    assert_eq!(world.run(&["dump", "--repo", "replica", "alpha/-/src:src/a"]).expect(0).out, "version 2");
    // Damage is told, not copied.
    flip(&world.objects("packs")[0], 100);
    let told = keyless(&["--json"]).expect(0).result();
    assert_eq!(told["objects"], 0, "it is there already");
    fs::remove_dir_all(world.path("replica")).unwrap();
    let told = keyless(&["--init", "--json"]).expect(1).result();
    assert_eq!(told["damaged"].as_array().unwrap().len(), 1);
}

#[test]
fn copies_have_their_places() {
    let world = World::with_repository();
    three_snapshots(&world);
    world.run(&["copy", "--to", "repo"]).expect(2).says("another place");
    world.run(&["copy", "--to", "other", "--init", "alpha/-/src"]).expect(2).says("vault init");
    fs::create_dir(world.path("letters")).unwrap();
    fs::write(world.path("letters/letter.txt"), "dear").unwrap();
    world.run(&["copy", "--to", "letters", "--init"]).expect(1).says("letter.txt");
    world.run(&["copy", "--to", "letters"]).expect(10);
    assert_eq!(text(&world.path("letters/letter.txt")), "dear");
    assert_eq!(fs::read_dir(world.path("letters")).unwrap().count(), 1);
}

#[test]
fn snapshots_go_into_a_repository_of_other_keys() {
    let world = World::with_repository();
    three_snapshots(&world);
    world
        .run_with(&["init", "--repo", "other", "--kdf", "low"], |command| {
            command.env("VAULT_PASSWORD", "theirs");
        })
        .expect(0);
    world.run(&["copy", "--to", "other"]).expect(2).says("VAULT_TO_PASSWORD");
    let copy = |args: &[&str]| {
        world.run_with(&[&["copy", "--to", "other"], args].concat(), |command| {
            command.env("VAULT_TO_PASSWORD", "theirs");
        })
    };
    copy(&["--to-key-file", "none"]).expect(1);
    copy(&["alpha/-/src:src/a"]).expect(2).says("leave out the path");
    copy(&["alpha/-/sr"]).expect(2).says("alpha/-/src");
    let told = copy(&["alpha/-/src@latest", "--json"]).expect(0).result();
    assert_eq!((&told["mode"], told["copied"].as_array().unwrap().len()), (&"logical".into(), 1));
    let told = copy(&["alpha/-/src", "--json"]).expect(0).result();
    assert_eq!((told["copied"].as_array().unwrap().len(), told["present"].as_u64()), (2, Some(1)));
    let ran = copy(&[]).expect(0);
    assert!(ran.out.starts_with("nothing was copied"), "{}", ran.out);
    let theirs = |args: &[&str]| {
        world.run_with(&[args, &["--repo", "other"]].concat(), |command| {
            command.env("VAULT_PASSWORD", "theirs");
        })
    };
    assert_eq!(theirs(&["dump", "alpha/-/src:src/a"]).expect(0).out, "version 2");
    theirs(&["check", "--read-data"]).expect(0);
    world.run(&["snapshots", "--repo", "other"]).expect(12);
    assert!(
        files(&world.path("other")).keys().all(|name| name.ends_with("config") || !world.repo().join(name).exists())
    );
}

#[test]
fn a_pruned_replica_takes_more_though_the_passphrase_is_another_since() {
    let world = World::with_repository();
    three_snapshots(&world);
    world.run(&["copy", "--init", "--to", "replica"]).expect(0);
    let oldest = listed_ids(&world).remove(0);
    let there = ["--repo", "replica"];
    world.run(&[&["forget", "--yes", &oldest][..], &there].concat()).expect(0);
    for _ in 0..2 {
        world.run(&[&["prune", "--grace", "0", "--force"][..], &there].concat()).expect(0);
    }
    world
        .run_with(&["key", "passwd", "--kdf", "low"], |command| {
            command.env("VAULT_NEW_PASSWORD", "fresh");
        })
        .expect(0);
    let fresh = |args: &[&str]| {
        world.run_with(args, |command| {
            command.env("VAULT_PASSWORD", "fresh");
        })
    };
    fs::write(world.path("src/new"), "one more").unwrap();
    fresh(&["snapshot", "--as", "alpha/-/src", "src"]).expect(0);
    fresh(&["copy", "--to", "replica"]).expect(0);
    world.run(&[&["check", "--read-data"][..], &there].concat()).expect(0);
    assert_eq!(world.run(&[&["dump", "alpha/-/src:src/new"][..], &there].concat()).expect(0).out, "one more");
    // What is damaged there is taken from here, by the keys of here.
    fresh(&["repair", "--from", "replica"]).expect(0);
}

#[test]
fn a_lost_key_is_left_behind() {
    let world = World::with_repository();
    three_snapshots(&world);
    world.run(&["key", "add", "--role", "writer", "--key-file-out", "writer", "--kdf", "low"]).expect(0);
    let id = listed_ids(&world).remove(1);
    world.run(&["pin", &id, "--reason", "audit"]).expect(0);
    world.run(&["tag", "add", "good", &id]).expect(0);
    let rekey = |to: &str| {
        world.run_with(&["key", "rekey", "--to", to, "--kdf", "low", "--recovery-sheet", "sheet"], |command| {
            command.env("VAULT_NEW_PASSWORD", "fresh");
        })
    };
    rekey("repo").expect(2).says("choose a new place");
    let ran = rekey("new").expect(0);
    assert!(ran.out.contains("copied 3 snapshots") && ran.out.contains("vault key add --role writer"), "{}", ran.out);
    // Old keys open nothing in it: passphrase, key file, recovery sheet.
    world.run(&["snapshots", "--repo", "new"]).expect(12);
    world.run(&["snapshots", "--repo", "new", "--key-file", "writer"]).expect(12);
    world.run(&["key", "recovery", "--output", "old-sheet"]).expect(0);
    world.run(&["snapshots", "--repo", "new", "--recovery-file", "old-sheet"]).expect(12);
    let fresh = |args: &[&str]| {
        world.run_with(&[args, &["--repo", "new"]].concat(), |command| {
            command.env("VAULT_PASSWORD", "fresh");
        })
    };
    let told = fresh(&["snapshots", "--json"]).expect(0).result();
    let snapshots = told["snapshots"].as_array().unwrap();
    assert_eq!((snapshots.len(), snapshots[1]["pinned"]["reason"].as_str()), (3, Some("audit")));
    assert!(snapshots[1]["tags"].as_array().unwrap().contains(&"good".into()), "{}", snapshots[1]);
    fresh(&["check", "--read-data"]).expect(0);
    assert_eq!(fresh(&["dump", "alpha/-/src:src/a"]).expect(0).out, "version 2");
    // Once more: nothing is left to do.
    let ran = rekey("new").expect(0);
    assert!(ran.out.contains("nothing was copied"), "{}", ran.out);
    world.run(&["snapshots", "--recovery-file", "old-sheet"]).expect(0);
    // One that was killed before it had handed out the sheet and the key file does it then.
    fs::remove_file(world.path("sheet")).unwrap();
    let with_key = |sheet: &str| {
        let args =
            ["key", "rekey", "--to", "new", "--kdf", "low", "--recovery-sheet", sheet, "--key-file-out", "new-key"];
        world.run_with(&args, |command| {
            command.env("VAULT_NEW_PASSWORD", "fresh");
        })
    };
    for _ in 0..2 {
        with_key("sheet").expect(0);
        world.run(&["snapshots", "--repo", "new", "--recovery-file", "sheet"]).expect(0);
        world.run(&["snapshots", "--repo", "new", "--key-file", "new-key"]).expect(0);
    }
    with_key("old-sheet").expect(1).says("old-sheet is there already, and does not open");
}

#[test]
fn a_medium_is_no_folder_of_this_machine() {
    let world = World::with_repository();
    world.run(&["media", "list"]).expect(0);
    world.run(&["media", "sync"]).expect(2).says("vault media add");
    world.run(&["media", "sync", "blue"]).expect(2).says("no medium is called blue");
    world.run(&["snapshots", "--repo", "usb:blue"]).expect(2).says("vault media list");
    world.run(&["media", "add", "/vault", "--name", "blue"]).expect(1).says("root file system");
    world.run(&["media", "find", "alpha/-/src"]).expect(2).says("no medium holds");
}
