//! A backup server: it pulls the repositories of others by its configuration, and knows none of their keys. And what a night does with
//! the space of what was forgotten.

use super::Fleet;
use crate::common::world::{PROGRAM, Ran};
use std::{fs, path::Path};

/// A machine whose only repository is another one's.
fn puller(more: &str) -> Fleet {
    let fleet = Fleet::new(&format!(
        "[pull.gamma]\nfrom = \"ssh://ann@gamma.example.org{{dir}}/repo\"\npartition = \"{{dir}}/disk\"\nssh = \"{{dir}}/ssh\"\n\
         remote-vault = \"{PROGRAM}\"\nsite = \"cellar\"\n{more}"
    ));
    let line = "#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nexport VAULT_STATE_DIR=none\nexec sh -c \"$1\"\n";
    fleet.0.file("ssh", line, 0o755);
    fleet.files("data", &[("one", "1")]);
    snapshot(&fleet);
    fleet
}

fn snapshot(fleet: &Fleet) {
    fleet.0.run(&["snapshot", "data", "--as", "gamma/-/data"]).expect(0);
}

fn keyless(fleet: &Fleet, args: &[&str]) -> Ran {
    fleet.0.run_with(&fleet.args(args), |command| {
        command.env_remove("VAULT_PASSWORD").env_remove("VAULT_REPO");
    })
}

fn outcomes(ran: Ran) -> Vec<String> {
    let result = ran.result();
    let word = |job: &serde_json::Value, key: &str| job[key].as_str().unwrap().to_owned();
    let of = |job| format!("{} {}: {}", word(job, "job"), word(job, "object"), word(job, "outcome"));
    result["jobs"].as_array().unwrap().iter().map(of).collect()
}

fn objects(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(objects(&entry.path())),
            false => found.push(entry.file_name().into_string().unwrap()),
        }
    }
    found.sort();
    found
}

#[test]
fn a_night_pulls_without_keys_and_tells_what_is_missed() {
    let fleet = puller("");
    let red = |words: &str| {
        let ran = keyless(&fleet, &["status"]).expect(3);
        assert!(ran.out.contains("remote/gamma") && ran.out.contains(words), "{words}: {}", ran.out);
    };
    red("it was never pulled");
    let missing = outcomes(keyless(&fleet, &["run", "--json"]).expect(0));
    assert_eq!(missing, ["pull gamma: absent", "check remote/gamma: skipped"], "the partition is not mounted");
    fs::create_dir(fleet.path("disk")).unwrap();
    let planned = outcomes(keyless(&fleet, &["run", "--dry-run", "--json"]).expect(0));
    assert_eq!(planned, ["pull gamma: planned", "check remote/gamma: planned"]);
    let done = outcomes(keyless(&fleet, &["run", "--json"]).expect(0));
    assert_eq!(done, ["pull gamma: done", "check remote/gamma: done"]);
    assert_eq!(objects(&fleet.path("disk/remote/gamma/snapshots")), objects(&fleet.path("repo/snapshots")));
    let status = keyless(&fleet, &["status", "--json"]).expect(0).result();
    let holder = &status["holders"][0];
    assert_eq!((&holder["kind"], &holder["snapshots"]), (&"pulled".into(), &1.into()), "{status}");
    // A check is due once a day; so is nothing of this machine's, whatever else is configured.
    let again = outcomes(keyless(&fleet, &["run", "--json"]).expect(0));
    assert_eq!(again, ["pull gamma: done"]);
    assert!(keyless(&fleet, &["run", "--force"]).expect(0).out.contains("remote/gamma"));

    // By itself, with what the configuration says.
    fleet.files("data", &[("two", "2")]);
    snapshot(&fleet);
    let told = keyless(&fleet, &["pull", "gamma", "--json"]).expect(0).result();
    assert_eq!((&told["snapshots"], &told["server"]), (&1.into(), &"gamma".into()));
    keyless(&fleet, &["pull", "gama"]).expect(2).says("there are gamma");
    keyless(&fleet, &["pull", "gamma", "--from", "repo"]).expect(2).says("--partition");

    // Something that was hidden there.
    fs::remove_dir_all(fleet.path("repo/snapshots")).unwrap();
    fs::create_dir(fleet.path("repo/snapshots")).unwrap();
    let rolled = keyless(&fleet, &["run", "--json"]).expect(3);
    assert!(rolled.out.contains("gamma hides 2 snapshots"), "{}", rolled.out);
    red("gamma hides 2 snapshots");
    assert_eq!(objects(&fleet.path("disk/remote/gamma/snapshots")).len(), 2);
}

#[test]
fn what_is_not_pulled_any_more_or_brings_nothing_new_is_red() {
    let fleet = puller("overdue = \"1s\"\n");
    fs::create_dir(fleet.path("disk")).unwrap();
    keyless(&fleet, &["run"]).expect(0);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert!(keyless(&fleet, &["status"]).expect(3).out.contains("it was last pulled"));
    keyless(&fleet, &["run"]).expect(0);
    assert!(keyless(&fleet, &["status"]).expect(3).out.contains("no new snapshot has come for"));
    snapshot(&fleet);
    keyless(&fleet, &["run"]).expect(0);
    keyless(&fleet, &["status"]).expect(0);
    // Damage in the copy is found without a key.
    let packs = fleet.path("disk/remote/gamma/packs");
    let damage = |folder: &Path| {
        let sub = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        let pack = fs::read_dir(sub).unwrap().next().unwrap().unwrap().path();
        let mut bytes = fs::read(&pack).unwrap();
        bytes[200] ^= 1;
        fs::write(pack, bytes).unwrap();
    };
    damage(&packs);
    fleet.write(&fs::read_to_string(fleet.path("etc/vault.toml")).unwrap().lines().skip(1).fold(
        String::from("[pull.gamma]\nread-data = \"100%\"\n"),
        |text, line| {
            if line.starts_with("[pull") { text } else { text + line + "\n" }
        },
    ));
    let ran = keyless(&fleet, &["run", "--force", "--json"]).expect(3);
    assert!(outcomes(ran).contains(&"check remote/gamma: failed".to_owned()));
}

#[test]
fn space_is_freed_where_something_is_forgotten_and_only_there() {
    let apps = "[servers.alpha.apps]\nwiki = { type = \"generic\", root = \"{dir}/wiki\", retention = { last = 1 } }\n";
    let run = |fleet: &Fleet| outcomes(fleet.run(&["run", "--json"]).expect(0));
    let with = |repository: &str, apps: &str| {
        let fleet = Fleet::new(&format!("[repositories.local]\npath = \"{{dir}}/repo\"\n{repository}{apps}"));
        fleet.files("wiki", &[("page", "hello")]);
        fleet
    };
    let fleet = with("", apps);
    assert!(run(&fleet).contains(&"prune local: done".to_owned()), "the first night");
    fleet.files("wiki", &[("page", "good bye")]);
    let second = run(&fleet);
    assert!(second.contains(&"forget local: done".to_owned()) && !second.iter().any(|job| job.contains("prune")));
    fleet.write(&format!("[repositories.local]\npath = \"{{dir}}/repo\"\nprune = \"1s\"\n{apps}"));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(run(&fleet).contains(&"prune local: done".to_owned()));
    assert!(!objects(&fleet.path("repo/gc")).is_empty(), "what was forgotten is marked");
    for (repository, apps) in
        [("prune = \"never\"\n", apps.to_owned()), ("", apps.replace(", retention = { last = 1 }", ""))]
    {
        let fleet = with(repository, &apps);
        assert!(!run(&fleet).iter().any(|job| job.contains("prune")), "{repository}{apps}");
    }
}
