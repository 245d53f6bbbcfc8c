//! `snapshot`.

use super::*;

#[test]
fn a_snapshot_is_made_listed_and_restored() {
    let world = World::new();
    let args = with_source(&world);
    world.run(&args).expect(10).says("--init");
    let first = world.run(&[&args[..], &["--init", "--kdf", "low", "--tag", "t"]].concat()).expect(0);
    let line = first.out.lines().find(|line| line.starts_with("snapshot ")).unwrap();
    let id = line.split(' ').nth(1).unwrap();
    assert!(id.len() >= 8 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
    assert!(line.contains("series alpha/-/src"), "{line}");

    let second = world.run(&[&args[..], &["--init", "--json"]].concat()).expect(0).result();
    assert_eq!((&second["snapshot"]["totals"]["files"], &second["files_unchanged"]), (&2.into(), &2.into()));
    assert_eq!(second["snapshot"]["sources"][0]["name"], "src");

    let table = world.run(&["snapshots", "alpha"]).expect(0).out;
    assert!(table.lines().count() == 3 && table.contains(&id[..8]) && !table.contains("incomplete"), "{table}");
    assert_eq!(world.run(&["snapshots", "alp"]).expect(0).out, "");
    assert_eq!(world.run(&["snapshots", "--tag", "t", "--json"]).expect(0).result()["snapshots"][0]["tags"][0], "t");

    let restored = world.run(&["restore", &format!("{id}:src"), "--target", "back"]).expect(0);
    assert!(restored.out.starts_with("restored src from snapshot"), "{}", restored.out);
    world.run(&["restore", "alpha/-/scr", "--target", "back2"]).expect(2).says("did you mean alpha/-/src?");
    world.run(&["restore", "alpha/-/src@2001-01-01", "--target", "back2"]).expect(2).says("that old");
    assert!(!world.path("back2").exists());
}

#[test]
fn what_cannot_be_read_makes_a_snapshot_incomplete() {
    let world = World::with_repository();
    let args = with_source(&world);
    let ran = world.run(&[&args[..], &["missing\x1b"]].concat()).expect(3).says("missing").says("incomplete");
    assert!(!ran.err.contains('\x1b') && ran.out.starts_with("snapshot "), "{}", ran.err);
    assert!(world.run(&["snapshots"]).expect(0).out.contains("incomplete"));
    let ran = world.run(&["snapshot", "--as", "a/b/c", "missing", "--json"]).expect(1);
    assert!(ran.result()["error"]["message"].is_string());
}

#[test]
fn streams_come_from_commands_and_standard_input() {
    let world = World::with_repository();
    let stream = ["snapshot", "--as", "a/-/db", "--stdin-from-command", "--stdin-name", "db.sql", "--"];
    world.run(&[&stream[..], &["echo", "-n", "rows"]].concat()).expect(0);
    // Blobs of the greatest length, which fill buffers to their end.
    world.run(&[&stream[..], &["sh", "-c", "yes | head -c 9000000"]].concat()).expect(0);
    world.run(&[&stream[..], &["sh", "-c", "echo rows; exit 3"]].concat()).expect(1);
    let input = fs::File::open("/etc/hostname").or_else(|_| fs::File::open("/etc/passwd")).unwrap();
    world
        .run_with(&["snapshot", "--as", "a/-/db", "--stdin", "--stdin-name", "db.sql"], |c| {
            c.stdin(input);
        })
        .expect(0);
    assert_eq!(world.run(&["snapshots", "--json"]).expect(0).result()["snapshots"].as_array().unwrap().len(), 3);
}

#[test]
fn a_dry_run_stores_nothing() {
    let world = World::with_repository();
    let args = with_source(&world);
    let ran = world.run(&[&args[..], &["--dry-run"]].concat()).expect(0);
    assert!(ran.out.contains("nothing was stored"), "{}", ran.out);
    assert_eq!(world.run(&["snapshots"]).expect(0).out, "");
}

#[test]
fn sigterm_comes_to_a_good_end() {
    let world = World::with_repository();
    let mut child = world
        .command(&["snapshot", "--as", "a/-/db", "--stdin-from-command", "--stdin-name", "x", "--", "yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    let begun = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed().as_secs() > 20 {
            child.kill().unwrap();
            panic!("it goes on");
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("again to stop at once"), "{said}");
    assert_eq!(world.run(&["snapshots"]).expect(0).out, "");
}

#[test]
fn a_command_that_fails_beside_other_sources_is_no_whole_snapshot() {
    let world = World::with_repository();
    let args = with_source(&world);
    let stream = ["--stdin-from-command", "--stdin-name", "db.sql", "--", "sh", "-c", "echo rows; exit 3"];
    world.run(&[&args[..], &stream].concat()).expect(3).says("exit status: 3").says("incomplete");
}

#[test]
fn a_repository_inside_its_source_is_neither_backed_up_nor_destroyed() {
    let world = World::new();
    let home = world.path("home");
    fs::create_dir_all(home.join("work")).unwrap();
    fs::write(home.join("work/file"), "first").unwrap();
    let inside = |args: &[&str]| {
        world.run_with(args, |command| {
            command.env("VAULT_REPO", home.join("backup.vault"));
        })
    };
    inside(&["init", "--kdf", "low"]).expect(0);
    for contents in ["first", "second"] {
        fs::write(home.join("work/file"), contents).unwrap();
        inside(&["snapshot", "--as", "h/-/home", home.to_str().unwrap()]).expect(0).says("it is this repository");
    }
    let list = inside(&["ls", "-R", "h/-/home"]).expect(0);
    assert!(list.out.contains("work/file") && !list.out.contains("backup.vault"), "{}", list.out);
    fs::write(home.join("work/file"), "third").unwrap();
    inside(&["restore", "h/-/home", "--target", home.to_str().unwrap(), "--in-place", "--delete"]).expect(0);
    assert_eq!(text(&home.join("work/file")), "second");
    inside(&["check", "--read-data"]).expect(0);
    assert_eq!(inside(&["--json", "snapshots"]).result()["snapshots"].as_array().unwrap().len(), 2);
    let repo = home.join("backup.vault");
    inside(&["restore", "h/-/home", "--target", repo.to_str().unwrap(), "--in-place", "--delete"]).expect(1);
    inside(&["check"]).expect(0);
}
