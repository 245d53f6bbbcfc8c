//! Looking inside: `diff`, `find`, `log`, `ls --tree`, and what happens when nobody reads on.

use super::{World, common::world::Ran};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    process::{Command, Stdio},
};

const SERIES: &str = "h/-/app";

/// A repository with three snapshots of `app`; the folder is as in the last.
fn world() -> World {
    let world = World::with_repository();
    fs::create_dir_all(world.path("app/etc")).unwrap();
    let write = |name: &str, text: &str| fs::write(world.path("app").join(name), text).unwrap();
    write("etc/a.conf", "one\ntwo\nthree\n");
    write("etc/b.conf", "the same\n");
    write("evil\x1b[2J", "x");
    take(&world);
    write("etc/a.conf", "one\n2\nthree\n");
    write("etc/new.conf", "new\n");
    take(&world);
    fs::remove_file(world.path("app/etc/a.conf")).unwrap();
    fs::rename(world.path("app/etc/b.conf"), world.path("app/moved.conf")).unwrap();
    take(&world);
    world
}

fn take(world: &World) {
    // So that no file is as new as the snapshot before.
    std::thread::sleep(std::time::Duration::from_millis(20));
    world.run(&["snapshot", "-q", "--as", SERIES, "app"]).expect(0);
}

fn ids(world: &World) -> Vec<String> {
    let result = world.run(&["snapshots", "--json"]).expect(0).result();
    result["snapshots"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

fn events(ran: &Ran, event: &str) -> Vec<Value> {
    let lines = ran.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}

#[test]
fn two_snapshots_are_compared() {
    let world = world();
    let ids = ids(&world);
    let ran = world.run(&["diff", &ids[0], &ids[1]]).expect(0);
    let lines: Vec<&str> = ran.out.lines().filter(|line| !line.starts_with("m ")).collect();
    assert_eq!(lines, ["M app/etc/a.conf  (content 14 B -> 12 B)", "+ app/etc/new.conf"], "{}", ran.out);
    let ran = world.run(&["diff", &ids[1], &format!("{SERIES}@latest")]).expect(0);
    assert!(ran.out.contains("- app/etc/a.conf\n> app/etc/b.conf -> app/moved.conf\n"), "{}", ran.out);
    assert!(world.run(&["diff", &ids[0], &ids[0]]).expect(0).out.is_empty());
    let ran = world.run(&["diff", "--json", &ids[0], &ids[1]]).expect(0);
    let changed = events(&ran, "difference");
    let changed = changed.iter().find(|one| one["path"] == "app/etc/a.conf").unwrap();
    assert_eq!(
        (&changed["change"], &changed["what"][0], &changed["after"]["size"]),
        (&"changed".into(), &"content".into(), &12.into())
    );
    let result = ran.result();
    assert_eq!(
        (result["added"].as_u64(), result["changed"].as_u64(), &result["equal"]),
        (Some(1), Some(1), &false.into())
    );
    let ran = world.run(&["diff", "--stat", &ids[0], &ids[1]]).expect(0);
    assert!(
        ran.out.contains("new      1 entry\n")
            && ran.out.contains("16 B in new and changed files, in place of 14 B")
            && !ran.out.contains("a.conf"),
        "{}",
        ran.out
    );
    // The path of one side counts for both.
    let ran = world.run(&["diff", &format!("{}:app/etc/b.conf", ids[0]), &ids[1]]).expect(0);
    assert_eq!(ran.out, "");
    world.run(&["diff", &ids[0]]).expect(2);
    world.run(&["diff", &ids[0], &ids[1], "--live", "app"]).expect(2);
}

#[test]
fn a_patch_turns_one_into_the_other() {
    let world = world();
    let ids = ids(&world);
    let ran = world.run(&["diff", "--patch", &ids[0], &ids[1]]).expect(0);
    assert!(
        ran.out.contains("--- a/app/etc/a.conf\n+++ b/app/etc/a.conf\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("--- /dev/null\n+++ b/app/etc/new.conf\n@@ -0,0 +1 @@\n+new\n"), "{}", ran.out);
    world.run(&["restore", &ids[0], "--target", "tree/app"]).expect(0);
    let mut patch =
        match Command::new("patch").args(["-p1", "-s"]).current_dir(world.path("tree")).stdin(Stdio::piped()).spawn() {
            Ok(patch) => patch,
            // A machine without patch(1).
            Err(_) => return,
        };
    patch.stdin.take().unwrap().write_all(ran.out.as_bytes()).unwrap();
    assert!(patch.wait().unwrap().success());
    assert_eq!(fs::read_to_string(world.path("tree/app/etc/a.conf")).unwrap(), "one\n2\nthree\n");
    assert_eq!(fs::read_to_string(world.path("tree/app/etc/new.conf")).unwrap(), "new\n");
}

#[test]
fn a_snapshot_is_compared_with_what_is_there() {
    let world = world();
    assert_eq!(world.run(&["diff", SERIES, "--live", "app", "--content"]).expect(0).out, "");
    fs::write(world.path("app/etc/new.conf"), "newer\n").unwrap();
    fs::write(world.path("app/more"), "").unwrap();
    let ran = world.run(&["diff", SERIES, "--live", "app"]).expect(0);
    assert!(ran.out.contains("M app/etc/new.conf  (content 4 B -> 6 B)\n+ app/more\n"), "{}", ran.out);
    let ran = world.run(&["diff", &format!("{SERIES}:app/etc"), "--live", "app/etc"]).expect(0);
    assert_eq!(ran.out, "M app/etc/new.conf  (content 4 B -> 6 B)\n");
    world.run(&["diff", SERIES, "--live", "nowhere"]).expect(2).says("nowhere");
}

#[test]
fn names_are_found_in_all_snapshots() {
    let world = world();
    let ids = ids(&world);
    for _ in ["cold", "warm"] {
        let ran = world.run(&["find", "*.conf"]).expect(0);
        let lines: Vec<&str> = ran.out.lines().collect();
        assert_eq!(lines[0], SERIES);
        let has = |range: &str, path: &str| lines.iter().any(|line| line.contains(range) && line.ends_with(path));
        assert!(has("    2  ", &format!("{}:app/etc/a.conf", &ids[1][..8])), "{}", ran.out);
        assert!(has("– now", &format!("{}:app/moved.conf", &ids[2][..8])), "{}", ran.out);
        assert_eq!(lines.len(), 5, "{}", ran.out);
    }
    let ran = world.run(&["find", "--json", "--regex", "a[.]conf$"]).expect(0);
    let found = &events(&ran, "match")[0];
    assert_eq!((&found["first"]["id"], &found["last"]["id"]), (&ids[0].clone().into(), &ids[1].clone().into()));
    assert_eq!((&found["snapshots"], &found["versions"], &found["present"]), (&2.into(), &2.into(), &false.into()));
    assert_eq!(ran.result()["matches"], 1);
    let names = |args: &[&str]| world.run(&[&["find", "--json"], args].concat()).expect(0).result()["matches"].clone();
    assert_eq!(names(&["*.conf", "--latest"]), 2);
    assert_eq!(names(&["--size", "+13", "--type", "f"]), 1);
    assert_eq!(names(&["--size", "-1", "--type", "f", "--older", "1d"]), 0);
    assert_eq!(names(&["*", "--newer", "1h", "--series", "h/-", "--type", "d"]), 2);
    world.run(&["find", "nothing-like-it"]).expect(0).says("nothing was found in 3 snapshots");
    world.run(&["find", "x", "--series", "other"]).expect(0).says("no such snapshots");
    world.run(&["find"]).expect(2);
    world.run(&["find", "x", "--type", "q"]).expect(2);
}

#[test]
fn names_steer_no_terminal() {
    let world = world();
    for args in [
        &["find", "evil*"][..],
        &["diff", SERIES, "--live", "app/etc"],
        &["ls", "--tree", "-l", SERIES],
        &["ls", "-R", SERIES],
        &["log", "h/-/app:app/evil\x1b[2J"],
    ] {
        let ran = world.run(args).expect(0);
        assert!(!ran.out.contains('\x1b') && !ran.err.contains('\x1b'), "{args:?}: {}", ran.out);
        assert!(ran.out.contains("\\x1b[2J") || args[0] == "log", "{args:?}: {}", ran.out);
    }
}

#[test]
fn the_versions_of_a_file_are_shown_and_restored() {
    let world = world();
    let ids = ids(&world);
    let address = "h/-/app:app/etc/a.conf";
    let ran = world.run(&["log", address]).expect(0);
    let ends: Vec<&str> = ran.out.lines().skip(1).map(|line| line.rsplit("  ").next().unwrap()).collect();
    assert_eq!(ends, ["appeared", "content", "gone"], "{}", ran.out);
    let result = world.run(&["log", "--json", address]).expect(0).result();
    let versions = result["versions"].as_array().unwrap();
    assert_eq!(
        (&versions[0]["size"], &versions[1]["size"], &versions[2]["gone"]),
        (&14.into(), &12.into(), &true.into())
    );
    assert_eq!(versions[1]["since"]["id"], ids[1]);
    assert_eq!(world.run(&["log", &format!("{}:app/etc/a.conf", ids[2])]).expect(0).out, ran.out);
    world.run(&["log", address, "--restore", "1", "--target", "old"]).expect(0);
    assert_eq!(fs::read_to_string(world.path("old/a.conf")).unwrap(), "one\ntwo\nthree\n");
    for number in ["0", "3", "4"] {
        world.run(&["log", address, "--restore", number, "--target", "none"]).expect(2);
    }
    assert!(!world.path("none").exists());
    world.run(&["log", "h/-/app:app/never"]).expect(2).says("never");
    world.run(&["log", SERIES]).expect(2).says("which file");
    world.run(&["log", "h/-/app@3d:app/x"]).expect(2);
}

#[test]
fn what_is_remembered_of_trees_gives_no_name_away() {
    let world = world();
    world.run(&["find", "*.conf"]).expect(0);
    let mut files = 0;
    for repo in fs::read_dir(world.path("cache")).unwrap() {
        let folder = repo.unwrap().path().join("history");
        for file in fs::read_dir(folder).into_iter().flatten() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            assert!(bytes.len() > 200);
            for secret in ["conf", "moved", SERIES] {
                assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
            }
            files += 1;
        }
    }
    assert_eq!(files, 1);
}

#[test]
fn a_tree_is_drawn() {
    let world = world();
    let ran = world.run(&["ls", "--tree", SERIES]).expect(0);
    assert_eq!(ran.out, "app/\n├── etc/\n│   └── new.conf\n├── evil\\x1b[2J\n└── moved.conf\n");
    let ran = world.run(&["ls", "-lR", "--tree", &format!("{SERIES}:app")]).expect(0);
    assert!(ran.out.contains(" └── new.conf\n") && ran.out.contains("-rw"), "{}", ran.out);
}

/// Runs a command of which only the first bytes are read.
fn read_a_little(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let mut command = world.command(args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut few = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut few).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn nobody_is_told_that_nobody_reads_on() {
    let world = World::with_repository();
    fs::create_dir(world.path("app")).unwrap();
    for n in 0..3000 {
        fs::write(world.path(&format!("app/a-file-with-a-long-name-so-that-a-pipe-is-soon-full-{n}")), "x").unwrap();
    }
    fs::write(world.path("app/zz-large"), vec![7; 4 << 20]).unwrap();
    world.run(&["snapshot", "-q", "--as", SERIES, "app"]).expect(0);
    fs::rename(world.path("app"), world.path("old")).unwrap();
    fs::create_dir(world.path("app")).unwrap();
    for args in
        [&["ls", "-R", SERIES][..], &["ls", "-l", "--tree", SERIES], &["find", "*"], &["diff", SERIES, "--live", "app"]]
    {
        assert_eq!(read_a_little(&world, args), (Some(0), String::new()), "{args:?}");
    }
    // Of data every byte counts: quiet, but not as if all had been delivered.
    for path in ["h/-/app:app", "h/-/app:app/zz-large"] {
        assert_eq!(read_a_little(&world, &["dump", path]), (Some(1), String::new()), "{path}");
    }
}

/// What another program makes of a dump that is piped into it.
fn into(world: &World, address: &str, program: &[&str]) -> Vec<u8> {
    let mut dump = world.command(&["dump", address]).stdout(Stdio::piped()).spawn().unwrap();
    let mut command = Command::new(program[0]);
    let output = command.args(&program[1..]).stdin(dump.stdout.take().unwrap()).output().unwrap();
    assert!(dump.wait().unwrap().success() && output.status.success());
    output.stdout
}

#[test]
fn a_dump_goes_straight_into_other_programs() {
    let world = world();
    let listed = into(&world, "h/-/app:app", &["tar", "-t"]);
    assert!(String::from_utf8(listed).unwrap().lines().any(|line| line == "app/etc/new.conf"));
    let command = ["--stdin-from-command", "--stdin-name", "db.sql", "--", "echo", "select 1;"];
    world.run(&[&["snapshot", "-q", "--as", "h/-/db"], &command[..]].concat()).expect(0);
    assert_eq!(into(&world, "h/-/db:db.sql", &["cat"]), b"select 1;\n");
}

#[test]
fn sums_are_by_series_source_and_night() {
    let world = world();
    let result = world.run(&["stats", "--json"]).expect(0).result();
    let series = &result["series"][0];
    assert_eq!(series["nights"].as_array().unwrap().len(), 3);
    assert!(series["nights"].as_array().unwrap().iter().all(|night| night["bytes_new"].as_u64() > Some(0)), "{series}");
    assert_eq!((&series["sources"][0]["name"], &series["sources"][0]["snapshots"]), (&"app".into(), &3.into()));
    let ran = world.run(&["stats"]).expect(0);
    assert!(ran.out.contains("DEDUP") && ran.out.contains('█') && ran.out.contains("together"), "{}", ran.out);
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "it fits a terminal: {}", ran.out);
    let ran = world.run(&["stats", "h/-"]).expect(0);
    let nights = ran.out.lines().filter(|line| line.ends_with('▪')).count();
    assert!(nights == 3 && !ran.out.contains("together"), "{}", ran.out);
    for (name, len) in [("one", 5000), ("two", 300_000)] {
        fs::create_dir(world.path(name)).unwrap();
        fs::write(world.path(name).join("file"), (0..len).map(|n: u64| ((n * n) >> 7) as u8).collect::<Vec<u8>>())
            .unwrap();
    }
    let sources = ["--source", "app=one", "--source", "data=two"];
    let taken = world.run(&[&["snapshot", "--json", "--as", "h/-/both"], &sources[..]].concat()).expect(0).result();
    let new = |at: usize| taken["snapshot"]["sources"][at]["bytes_new"].as_u64().unwrap();
    assert!(new(0) >= 5000 && new(1) >= 300_000, "{taken}");
    assert_eq!(new(0) + new(1), taken["bytes_new"].as_u64().unwrap());
    let series = world.run(&["stats", "h/-/both", "--json"]).expect(0).result()["series"][0].clone();
    assert_eq!(
        (&series["sources"][1]["bytes_new"], &series["sources"][1]["nights"]),
        (&new(1).into(), &[new(1)][..].into())
    );
    let ran = world.run(&["stats", "h/-/both"]).expect(0);
    assert!(ran.out.contains("NEW IN app") && ran.out.contains("NEW IN data"), "{}", ran.out);
    let none = world.run(&["stats", "h/other", "--json"]).expect(0).result();
    assert_eq!(none["series"].as_array().unwrap().len(), 0);
}

#[test]
fn browsing_needs_a_terminal() {
    let world = world();
    world.run(&["browse"]).expect(2).says("needs a terminal");
}
