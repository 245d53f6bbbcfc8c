//! What is printed where: usage, help, JSON, readers that go.

use super::*;

#[test]
fn usage_errors_say_what_to_do() {
    let world = World::with_repository();
    world
        .run_with(&["snapshots"], |c| {
            c.env_remove("VAULT_REPO");
        })
        .expect(2)
        .says("--repo")
        .says("VAULT_REPO");
    world.run(&[]).expect(2).says("Usage: vault");
    world.run(&["snapshto"]).expect(2).says("snapshot");
    world.run(&["snapshot"]).expect(2).says("PATH");
    world.run(&["snapshot", "/a", "/b"]).expect(2).says("--as");
    world.run(&["snapshot", "--as", "x/y/z", "/a/x", "/b/x"]).expect(2).says("--source NAME=PATH");
    world.run(&["snapshot", "/srv/a:b"]).expect(2).says("--as");
    world.run(&["snapshot", "--as", "x", "/a"]).expect(2).says("server/vm/relpath");
    world.run(&["snapshot", "--as", "x/y/z", "--stdin-from-command", "--stdin-name", "n"]).expect(2).says("--");
    world.run(&["restore", "a/b/c"]).expect(2).says("--target");
    world.run(&["restore", "a/b/c", "--target", "t", "--delete"]).expect(2).says("--in-place");
    world.run(&["ls", "a/b/c"]).expect(2).says("no snapshots");
    world.run(&["ls", "a/b/c@2026-13-01"]).expect(2).says("no date");
    world.run(&["ls", "abcdef12"]).expect(2).says("abcdef12");
    world.run(&["check", "--read-data=200%"]).expect(2);
    world.run(&["init", "--repo", "new", "--chunk-size", "100K"]).expect(2).says("power of two");
    world.run(&["--repo", "sftp://x/y", "snapshots"]).expect(2).says("not built");
}

#[test]
fn json_is_json_everywhere() {
    let world = World::new();
    let made = world.run(&["init", "--kdf", "low", "--json"]).expect(0);
    assert_eq!(made.result()["command"], "init");
    assert!(!made.out.contains("made repository"));
    assert_eq!(world.run(&["snapshots", "--json"]).expect(0).result()["snapshots"], serde_json::json!([]));
    assert_eq!(world.run(&["key", "list", "--json"]).expect(0).result()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(world.run(&["key", "remove", "zz", "--json"]).expect(2).result()["error"]["kind"], "usage");
    for args in [
        &["stats", "--json"][..],
        &["check", "--json"],
        &["ls", "a/b/c", "--json"],
        &["restore", "a/b/c", "--target", "t", "--json"],
        &["snapshot", "src", "--json"],
        &["dump", "a/b/c", "--json", "--output", "x"],
        &["forget", "--json", "--keep-last", "1"],
        &["pin", "a/b/c", "--json"],
        &["unpin", "a/b/c", "--json"],
    ] {
        let ran = world.run(args);
        assert_eq!(ran.result()["command"], args[0]);
    }
}

#[test]
fn completions_and_manual_pages_are_made() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(world.run(&["completions", shell]).expect(0).out.contains("snapshot"), "{shell}");
    }
    assert!(world.run(&["man"]).expect(0).out.contains(".SH NAME"));
    world.run(&["man", "pages"]).expect(0);
    for page in ["vault.1", "vault-snapshot.1", "vault-key-add.1"] {
        assert!(text(&world.path("pages").join(page)).contains(".TH"), "{page}");
    }
}

#[test]
fn help_is_help() {
    let world = World::new();
    for command in
        ["init", "snapshot", "snapshots", "ls", "restore", "dump", "stats", "check", "key", "completions", "man"]
    {
        let help = world.run(&[command, "--help"]).expect(0).out;
        assert!(help.contains("Example") && !help.contains('\x1b'), "{command}");
    }
}

#[test]
fn a_reader_that_goes_is_no_error() {
    let world = World::new();
    let mut child =
        world.command(&["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn a_full_disk_behind_the_output_is_an_error() {
    let world = World::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    world
        .run_with(&["man"], |c| {
            c.stdout(full);
        })
        .expect(1)
        .says("cannot write");
}

/// Runs a command whose output nobody reads.
fn unread(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let mut child = world.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn verdicts_and_data_do_not_depend_on_a_reader() {
    let world = World::with_repository();
    let objects = three_snapshots(&world);
    assert_eq!(unread(&world, &["check", "--quiet"]).0, Some(0));
    assert_eq!(unread(&world, &["dump", "alpha/-/src:src/a"]), (Some(1), String::new()));
    flip(&objects[2], 1000);
    assert_eq!(unread(&world, &["check"]).0, Some(1));
    assert_eq!(unread(&world, &["snapshots"]).0, Some(1));
}

#[test]
fn messages_say_what_to_do_next() {
    let world = World::with_repository();
    world
        .run_with(&["snapshots"], |c| {
            c.env("VAULT_PASSWORD", "wrong");
        })
        .expect(12)
        .says("try again")
        .says("--key-file")
        .says("--recovery-file");
    fs::create_dir(world.path("other")).unwrap();
    world
        .run(&["snapshots", "--repo", "other"])
        .expect(10)
        .says("choose another folder, or make one with `vault init`");
    let args = with_source(&world);
    world.run(&args).expect(0);
    assert!(world.run(&args).expect(0).out.contains("nothing but the snapshot itself"));
    let denied = world.run(&["snapshots", "--key-file", "absent"]).expect(1).says("absent");
    assert!(!denied.err.contains("os error"), "{}", denied.err);

    let config = world.repo().join("config");
    flip(&config, 0);
    let ran = world.run(&["snapshots", "--json"]).expect(1);
    assert_eq!(ran.result()["error"]["kind"], "corrupt");
    world.run(&["snapshot", "--init", "src"]).expect(1).says("damaged");
    world.run(&["init"]).expect(1).says("not empty");
}
