//! The pages of `vault guide`, tried literally: what stands in their `sh` blocks is run, one block after the other, in a world that has
//! what the page begins with. Paths are given by the variables that each page sets unless they are set.

#[path = "common/mod.rs"]
mod common;
#[path = "common/stick.rs"]
mod stick;

use common::world::{PROGRAM, World};
use std::{fs, path::Path, process::Command};
use stick::{Stick, run};

/// The `sh` blocks of a page as one script.
fn script(world: &World, page: &str) -> String {
    let text = world.run(&["guide", page]).expect(0).out;
    let mut out = String::from("set -eu\n");
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => out += &format!("{line}\n"),
            _ => {}
        }
    }
    assert!(out.contains("\nvault "), "{page}");
    out
}

/// A world with a repository, a passphrase file in `keys`, and two snapshots of an application.
fn world() -> World {
    let world = World::new();
    fs::create_dir_all(world.path("keys")).unwrap();
    fs::create_dir_all(world.path("backup")).unwrap();
    world.file("keys/passphrase", "right\n", 0o600);
    world.run_with(&["init", "--kdf", "low", "--recovery-sheet", "sheet"], |command| {
        command.env("VAULT_REPO", world.path("backup/local"));
    });
    fs::create_dir_all(world.path("wiki/pages")).unwrap();
    for version in ["first", "second"] {
        world.file("wiki/pages/FrontPage", version, 0o644);
        let taken = world.run_with(&["snapshot", "--source", "app=wiki", "--as", "alpha/-/srv/wiki"], |command| {
            command.env("VAULT_REPO", world.path("backup/local"));
        });
        taken.expect(0);
    }
    world
}

/// Runs a page, with these variables beside the usual ones; what it printed.
fn follow(world: &World, page: &str, set: &[(&str, &str)]) -> String {
    follow_some(world, page, set, &|_| true)
}

/// The same of those lines that can be tried here.
fn follow_some(world: &World, page: &str, set: &[(&str, &str)], is_tried: &dyn Fn(&str) -> bool) -> String {
    let script: String =
        script(world, page).lines().filter(|line| is_tried(line)).map(|line| format!("{line}\n")).collect();
    let mut shell = Command::new("/bin/bash");
    world.surround(&mut shell);
    let folder = Path::new(PROGRAM).parent().unwrap();
    shell.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    shell.env_remove("VAULT_PASSWORD").env_remove("VAULT_REPO").env("HOME", world.folder());
    shell.env("BACKUP", world.path("backup")).env("KEYS", world.path("keys"));
    for (name, value) in set {
        shell.env(name, value);
    }
    let ran = shell.arg("-c").arg(script).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{page}: {}\n{out}\n{err}", ran.status);
    out.into_owned()
}

fn at(world: &World, name: &str) -> String {
    world.path(name).display().to_string()
}

#[test]
fn the_first_night() {
    let world = World::new();
    fs::create_dir_all(world.path("wiki")).unwrap();
    world.file("wiki/page", "hello", 0o644);
    let out = follow(&world, "first-night", &[("APP", &at(&world, "wiki")), ("ETC", &at(&world, "etc"))]);
    assert!(out.contains("snapshot") && world.path("keys/recovery-sheet.txt").exists(), "{out}");
    assert_eq!(fs::read_dir(world.path("backup/local/snapshots")).unwrap().count(), 1);
}

#[test]
fn one_file() {
    let world = world();
    let out = follow(&world, "restore-a-file", &[("OUT", &at(&world, "out"))]);
    assert!(out.contains("second"), "{out}");
    assert_eq!(fs::read_to_string(world.path("out/FrontPage")).unwrap(), "second");
}

/// A world in which the first night is over.
fn after_the_first_night() -> World {
    let world = World::new();
    fs::create_dir_all(world.path("wiki")).unwrap();
    world.file("wiki/page", "hello", 0o644);
    follow(&world, "first-night", &[("APP", &at(&world, "wiki")), ("ETC", &at(&world, "etc"))]);
    world
}

#[test]
fn one_application_on_a_new_machine() {
    let world = after_the_first_night();
    let series = format!("{}/-/wiki", rustix::system::uname().nodename().to_str().unwrap());
    let set = [
        ("FROM", at(&world, "backup/local")),
        ("SERIES", series),
        ("TARGET", at(&world, "new")),
        ("NEWETC", at(&world, "newetc")),
    ];
    let out = follow(&world, "restore-an-app", &set.each_ref().map(|(name, value)| (*name, value.as_str())));
    assert!(out.contains("type = \"generic\""), "{out}");
    assert_eq!(fs::read_to_string(world.path("new/app/page")).unwrap(), "hello", "{out}");
}

#[test]
fn an_application_that_moves() {
    let out = follow(&world(), "move-an-app", &[]);
    assert!(out.contains("moved 2 snapshots of alpha/-/srv/wiki to beta/web1/srv/wiki"), "{out}");
}

#[test]
fn a_drill() {
    let world = after_the_first_night();
    fs::create_dir(world.path("scratch")).unwrap();
    let out = follow(&world, "drill", &[("SCRATCH", &at(&world, "scratch")), ("ETC", &at(&world, "etc"))]);
    assert_eq!(out.matches("passed").count(), 2, "{out}");
    assert_eq!(fs::read_dir(world.path("scratch")).unwrap().count(), 0);
}

#[test]
fn copies_offsite() {
    let world = world();
    let (point, image) = (world.path("usb"), world.path("usb.img"));
    fs::create_dir(&point).unwrap();
    fs::File::create(&image).unwrap().set_len(48 << 20).unwrap();
    let made = run("mkfs.ext4", &["-q", "-m0", image.to_str().unwrap()]);
    let stick = made.and_then(|_| Stick::plug(&image, &point));
    if let Some(stick) = &stick {
        stick.mount();
    } else {
        eprintln!("SKIPPED what the page says of media: it takes root, losetup and mkfs.ext4");
    }
    // A folder will do for a copy; a medium is a file system of its own.
    let is_tried = |line: &str| stick.is_some() || !line.starts_with("vault media ");
    let out = follow_some(&world, "offsite", &[("DISK", &at(&world, "usb"))], &is_tried);
    if let Some(stick) = &stick {
        assert!(out.contains("blue") && out.contains("safe, 2nd floor"), "{out}");
        assert!(!point.join("vault").exists(), "it was ejected");
        stick.mount();
        assert!(fs::read_dir(point.join("vault/media")).is_ok(), "it is a medium");
    }
    assert!(point.join("vault/config").exists());
}

#[test]
fn a_pull_to_a_backup_server() {
    let world = world();
    fs::create_dir(world.path("partition")).unwrap();
    // Another machine is one by ssh; here a command in its place that runs the line.
    let ssh = world.file("ssh", "#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nexec sh -c \"$1\"\n", 0o755);
    let from = format!("ssh://backup@alpha.example.org{}", at(&world, "backup/local"));
    let (partition, etc) = (at(&world, "partition"), at(&world, "puller"));
    let set = [("FROM", from.as_str()), ("PARTITION", &partition), ("VAULT_SSH", &ssh), ("ETC", &etc)];
    follow(&world, "pull", &set);
    assert!(world.path("partition/remote/alpha/config").exists());
}

#[test]
fn a_disaster() {
    let world = world();
    let set = [
        ("DISK", at(&world, "backup/local")),
        ("SHEET", at(&world, "sheet")),
        ("TARGET", at(&world, "all")),
        ("NEWKEY", at(&world, "new.key")),
    ];
    follow(&world, "disaster", &set.each_ref().map(|(name, value)| (*name, value.as_str())));
    assert_eq!(fs::read_to_string(world.path("all/pages/FrontPage")).unwrap(), "second");
    assert!(world.path("new.key").exists());
}

#[test]
fn the_list_names_each_page() {
    let world = World::new();
    let list = world.run(&["guide"]).expect(0).out;
    assert_eq!(list.lines().count(), 8, "{list}");
    for line in list.lines() {
        world.run(&["guide", line.split_whitespace().next().unwrap()]).expect(0);
    }
    world.run(&["guide", "no-such-page"]).expect(2);
}
