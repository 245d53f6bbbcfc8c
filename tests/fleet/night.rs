//! `vault run`, `vault status`, `vault history`.

use super::Fleet;
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Stdio,
    time::{Duration, Instant},
};

const THREE: &str = r#"
[repositories]
local = { path = "{dir}/repo", site = "A" }
nas = { path = "{dir}/nas/vault", role = "copy", site = "B" }
[media.blue]
[servers.alpha]
site = "A"
[servers.alpha.apps]
wiki = { type = "generic", root = "{dir}/wiki" }
[servers.alpha.vms.web1.apps]
"shop.example.org/shop" = { type = "generic", root = "{dir}/shop", tags = "gold", exclude = "*.tmp" }
broken = { type = "generic", root = "{dir}/nowhere" }
[servers.beta.apps]
blog = { type = "generic", root = "{dir}/blog" }
[[copy]]
to = "nas"
"#;

fn three() -> Fleet {
    let fleet = Fleet::new(THREE);
    fleet.files("wiki", &[("page", "hello")]);
    fleet.files("shop", &[("app.rb", "puts 1"), ("x.tmp", "left out"), ("log/app.log", "line")]);
    fleet
}

fn jobs(result: &Value) -> Vec<(String, String)> {
    let jobs = result["jobs"].as_array().unwrap().iter();
    jobs.map(|job| {
        (
            format!("{} {}", job["job"].as_str().unwrap(), job["object"].as_str().unwrap()),
            job["outcome"].as_str().unwrap().to_owned(),
        )
    })
    .collect()
}

fn outcome(jobs: &[(String, String)], name: &str) -> String {
    jobs.iter().find(|(job, _)| job == name).unwrap_or_else(|| panic!("{name} is not in {jobs:?}")).1.clone()
}

#[test]
fn what_was_moved_comes_back_by_its_recipe_before_its_first_night_there() {
    let fleet = three();
    fleet.run(&["run"]);
    let (old, new) = ("alpha/web1/shop.example.org/shop", "gamma/-/shop");
    fleet.0.run(&["move", old, new]).expect(0);
    let ran = fleet.0.run(&["bootstrap", "--to", "bare"]).expect(0);
    assert!(ran.out.contains(new) && !ran.out.contains(old) && !ran.err.contains(new), "{}{}", ran.out, ran.err);
    let text = fs::read_to_string(fleet.path("bare/vault.toml")).unwrap();
    assert!(text.contains("[servers.gamma.apps.shop]") && !text.contains("web1"), "{text}");
    fleet.0.run(&["config", "check", "--config", "bare/vault.toml"]).expect(0);
    fleet.0.run(&["restore", "--app", new, "--target", "back"]).expect(0);
    fleet.0.run(&["restore", "--app", old, "--target", "again"]).expect(0).says("was moved to");
    fleet.0.run(&["drill", new, "--scratch", fleet.0.folder().to_str().unwrap()]).expect(0);
}

#[test]
fn one_that_is_broken_a_medium_and_a_place_that_are_away_stop_nothing_else() {
    let fleet = three();
    fleet.absent_medium("blue");
    let result = fleet.run(&["run", "--json"]).expect(3).result();
    let done = jobs(&result);
    for (job, came) in [
        ("snapshot alpha/-/wiki", "done"),
        ("snapshot alpha/web1/shop.example.org/shop", "done"),
        ("snapshot alpha/web1/broken", "failed"),
        ("copy local to nas", "failed"),
        ("medium blue", "absent"),
        ("check local", "done"),
    ] {
        assert_eq!(outcome(&done, job), came, "{job}");
    }
    assert!(done.iter().all(|(job, _)| !job.contains("beta")), "{done:?}");
    assert_eq!(result["wrong"], 2);

    // The snapshot is what was asked for.
    let listed = fleet.0.run(&["snapshots", "--json"]).expect(0).result();
    let listed = listed["snapshots"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    let shop = listed.iter().find(|one| one["series"] == "alpha/web1/shop.example.org/shop").unwrap();
    assert_eq!((shop["totals"]["files"].as_u64(), &shop["tags"][0]), (Some(2), &"gold".into()));

    // Red are the three, by name and with the reason.
    let ran = fleet.run(&["status"]).expect(3);
    for words in [
        "alpha/web1/broken",
        "there is no snapshot",
        "nowhere",
        "nas",
        "no repository at",
        "usb:blue",
        "it was never brought up to date; it is kept at: safe",
        "copy local to nas",
        "1 of 3 applications are red",
    ] {
        assert!(ran.out.contains(words), "{words}\n{}", ran.out);
    }
    assert!(!ran.out.contains("alpha/-/wiki"), "only what is red is shown:\n{}", ran.out);
    let status =
        fleet.run(&["status", "--json", "--html", "page.html", "--prometheus", "vault.prom"]).expect(3).result();
    assert_eq!((status["red_applications"].as_u64(), status["state"].as_str()), (Some(1), Some("red")));
    let page = fs::read_to_string(fleet.path("page.html")).unwrap();
    assert!(
        page.contains("1 of 3 applications are red")
            && page.contains("it is kept at: safe")
            && !page.contains("<script")
    );
    let metrics = fs::read_to_string(fleet.path("vault.prom")).unwrap();
    assert!(metrics.contains("vault_app_red{series=\"alpha/web1/broken\",type=\"generic\"} 1\n"), "{metrics}");
    assert!(metrics.contains("vault_app_red{series=\"alpha/-/wiki\",type=\"generic\"} 0\n"), "{metrics}");
    assert!(metrics.contains("vault_holder_red{name=\"blue\",kind=\"medium\"} 1\n"), "{metrics}");

    // The history has a file for each application and day.
    let files: Vec<String> = fs::read_dir(fleet.path("history"))
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().any(|name| name.starts_with("backup-alpha+web1+shop.example.org+shop-20")), "{files:?}");
    let history = fleet.run(&["history", "--json"]).expect(0).result();
    let history = history["history"].as_array().unwrap();
    let of = |series: &str| history.iter().find(|one| one["series"] == series).unwrap();
    assert_eq!((&of("alpha/-/wiki")["outcome"], of("alpha/-/wiki")["files"].as_u64()), (&"good".into(), Some(1)));
    assert_eq!(of("alpha/web1/broken")["outcome"], "failed");
    assert!(of("alpha/web1/broken")["why"].as_str().unwrap().contains("nowhere"));

    // When all is well again, all is well.
    fleet.files("nowhere", &[("a", "b")]);
    fs::create_dir(fleet.path("nas")).unwrap();
    fleet.0.run(&["copy", "--to", "nas/vault", "--init"]).expect(0);
    fleet.write(&THREE.replace("[media.blue]", ""));
    let done = jobs(&fleet.run(&["run", "--json"]).expect(0).result());
    assert_eq!(outcome(&done, "copy local to nas"), "done");
    let ran = fleet.run(&["status"]).expect(0);
    assert!(ran.out.contains("all 3 applications are as promised"), "{}", ran.out);
    let all = fleet.run(&["history"]).expect(0).out;
    assert!(all.lines().any(|line| line.starts_with("alpha/web1/broken") && line.contains("good")), "{all}");
    let one = fleet.run(&["history", "alpha/-/wiki"]).expect(0).out;
    assert_eq!(one.lines().filter(|line| line.contains("good")).count(), 2, "{one}");
}

#[test]
fn a_dry_run_does_nothing() {
    let fleet = three();
    let result = fleet.run(&["run", "--dry-run", "--json"]).expect(0).result();
    assert!(jobs(&result).iter().all(|(_, came)| came == "planned"), "{result}");
    assert!(!fleet.path("history").exists() && !fleet.path("state/fleet").exists());
    assert_eq!(fleet.0.objects("snapshots").len(), 0);
}

const HOOKED: &str = r#"
[repositories.local]
path = "{dir}/repo"
[servers.alpha.apps.shop]
type = "generic"
root = "{dir}/shop"
[servers.alpha.apps.shop.hooks]
before = "echo before $VAULT_SERIES $VAULT_RECIPE >> {dir}/said"
after = "echo after $VAULT_OUTCOME ${#VAULT_SNAPSHOT} >> {dir}/said; test -z \"$VAULT_PASSWORD\""
on-error = "echo error: $VAULT_ERROR >> {dir}/said"
"#;

#[test]
fn hooks_run_around_each_snapshot_and_know_what_came_of_it() {
    let fleet = Fleet::new(HOOKED);
    fleet.files("shop", &[("a", "b")]);
    let said = || fs::read_to_string(fleet.path("said")).unwrap();
    fleet.run(&["run"]).expect(0);
    assert_eq!(said(), "before alpha/-/shop generic\nafter good 64\n");

    // Nothing is backed up when the application could not be made ready, and it is told.
    fs::remove_file(fleet.path("said")).unwrap();
    fleet.write(&HOOKED.replace("before = \"", "before = \"exit 7; "));
    let ran = fleet.run(&["run"]).expect(3);
    assert!(ran.out.contains("exit status: 7"), "{}", ran.out);
    let text = said();
    assert!(text.starts_with("after failed 0\nerror: the hook before"), "{text}");
    assert_eq!(fleet.0.objects("snapshots").len(), 1);
}

#[test]
fn what_cannot_be_read_makes_the_night_incomplete() {
    let fleet = Fleet::new(
        "[repositories.local]\npath = \"{dir}/repo\"\n[servers.alpha.apps.db]\ntype = \"generic\"\nroot = \"{dir}/shop\"\n\
         database = { type = \"postgresql\", name = \"none\", host = \"{dir}\" }\n",
    );
    fleet.files("shop", &[("a", "b")]);
    let ran = fleet.run(&["run", "--json"]).expect(3).result();
    let came = outcome(&jobs(&ran), "snapshot alpha/-/db");
    assert!(came == "incomplete" || came == "failed", "{ran}");
    let status = fleet.run(&["status", "--json"]).expect(3).result();
    let red = status["applications"][0]["red"].to_string();
    assert!(red.contains("no snapshot is complete") || red.contains("there is no snapshot"), "{red}");
    assert!(red.contains("the last run"), "{red}");
}

#[test]
fn what_is_not_due_waits_and_what_is_named_does_not() {
    let fleet = Fleet::new(&HOOKED.replace("type = \"generic\"", "type = \"generic\"\nevery = \"1d\""));
    fleet.files("shop", &[("a", "b")]);
    fleet.run(&["run"]).expect(0);
    let again = fleet.run(&["run", "--json"]).expect(0).result();
    assert_eq!(outcome(&jobs(&again), "snapshot alpha/-/shop"), "skipped");
    // Checks are made once a day.
    assert!(jobs(&again).iter().all(|(job, _)| job != "check local"), "{again}");
    assert_eq!(fleet.0.objects("snapshots").len(), 1);
    let named = fleet.run(&["run", "alpha/-/shop", "--json"]).expect(0).result();
    assert_eq!(jobs(&named), [("snapshot alpha/-/shop".to_owned(), "done".to_owned())]);
    fleet.run(&["run", "--if-older", "1d"]).expect(0).says("young enough");
    fleet.run(&["run", "alpha/-/shpo"]).expect(2).says("did you mean alpha/-/shop?");
    let elsewhere = [&fleet.args(&["run"])[..3], &["--host", "gamma"]].concat();
    fleet.0.run(&elsewhere).expect(2).says("which is called gamma");
}

#[test]
fn what_no_rule_keeps_is_forgotten_of_each_by_its_own_rules() {
    let fleet = Fleet::new(
        "[defaults]\nretention = { last = 1 }\n[repositories.local]\npath = \"{dir}/repo\"\n[servers.alpha.apps]\n\
         one = { type = \"generic\", root = \"{dir}/one\" }\n\"one/more\" = { type = \"generic\", root = \"{dir}/two\", retention = { last = 3 } }\n",
    );
    fleet.files("one", &[("a", "b")]);
    fleet.files("two", &[("a", "b")]);
    for _ in 0..4 {
        fleet.run(&["run"]).expect(0);
    }
    let listed = fleet.0.run(&["snapshots", "--json"]).expect(0).result();
    let count =
        |series: &str| listed["snapshots"].as_array().unwrap().iter().filter(|one| one["series"] == series).count();
    assert_eq!((count("alpha/-/one"), count("alpha/-/one/more")), (1, 3));
}

#[test]
fn two_runs_do_not_overlap_and_one_that_is_killed_leaves_nothing() {
    let fleet = Fleet::new(&HOOKED.replace("before = \"", "before = \"touch {dir}/begun; sleep 600; "));
    fleet.files("shop", &[("a", "b")]);
    let mut first = fleet.0.command(&fleet.args(&["run"]));
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !fleet.path("begun").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60) && first.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    fleet.run(&["run"]).expect(75).says(&format!("another run is under way (process {})", first.id()));
    // What only looks is not in its way.
    fleet.run(&["run", "--dry-run"]).expect(0);
    fleet.run(&["status"]).expect(3);
    first.kill().unwrap();
    first.wait().unwrap();
    fleet.write(HOOKED);
    fleet.run(&["run"]).expect(0);
}

#[test]
fn a_copy_under_other_keys_has_what_was_selected() {
    let fleet = Fleet::new(
        "[repositories]\nlocal = { path = \"{dir}/repo\" }\n\
         other = { path = \"{dir}/other\", role = \"copy\", password-file = \"{dir}/secret\" }\n\
         [servers.alpha.apps]\none = { type = \"generic\", root = \"{dir}/one\" }\ntwo = { type = \"generic\", root = \"{dir}/two\", tags = \"gold\" }\n\
         [[copy]]\nto = \"other\"\nselect = \"tag:gold\"\n",
    );
    fleet.files("one", &[("a", "b")]);
    fleet.files("two", &[("a", "b")]);
    fs::write(fleet.path("secret"), "else\n").unwrap();
    fs::set_permissions(fleet.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fleet
        .0
        .run_with(&["init", "--kdf", "low", "--repo", "other"], |run| {
            run.env("VAULT_PASSWORD", "else");
        })
        .expect(0);
    let done = jobs(&fleet.run(&["run", "--json"]).expect(0).result());
    assert_eq!(outcome(&done, "copy local to other"), "done");
    let listed =
        fleet.0.run(&["snapshots", "--json", "--repo", "other", "--password-file", "secret"]).expect(0).result();
    let series: Vec<&str> =
        listed["snapshots"].as_array().unwrap().iter().map(|one| one["series"].as_str().unwrap()).collect();
    assert_eq!(series, ["alpha/-/two"]);
}

#[test]
fn a_key_that_only_writes_is_enough_for_the_night() {
    let fleet = Fleet::new(&HOOKED.replace(
        "path = \"{dir}/repo\"",
        "path = \"{dir}/repo\"\nkey-file = \"{dir}/writer.key\"\n[defaults]\nretention = { last = 1 }",
    ));
    fleet.files("shop", &[("a", "b")]);
    fleet.0.run(&["key", "add", "--role", "writer", "--key-file-out", "writer.key"]).expect(0);
    let none = |run: &mut std::process::Command| {
        run.env_remove("VAULT_PASSWORD");
    };
    let done = fleet.0.run_with(&fleet.args(&["run", "--json"]), none).expect(0).result();
    let done = jobs(&done);
    assert_eq!(outcome(&done, "snapshot alpha/-/shop"), "done");
    assert_eq!(outcome(&done, "forget local"), "skipped");
    assert_eq!(outcome(&done, "check local"), "done");
    fleet.0.run_with(&fleet.args(&["status"]), none).expect(0);
}

#[test]
fn each_snapshot_holds_the_configuration_of_its_application() {
    let fleet = three();
    fleet.run(&["run"]).expect(3);
    let repo = fleet.repository();
    let all = repo.snapshots(None).unwrap();
    for listed in all.listed {
        let series = vault::series::Series::parse(&listed.snapshot.series).unwrap();
        let bytes = listed.snapshot.configuration.unwrap();
        let stored = vault::fleet::config::StoredConfig::decode(&series, &bytes).unwrap();
        assert_eq!(stored.app.recipe, "generic");
        assert!(stored.text.contains("etc/vault.toml:"), "{}", stored.text);
        assert!(stored.text.contains("[repositories.local]"), "{}", stored.text);
    }
}

#[test]
fn a_drill_goes_by_what_the_snapshot_holds_whoever_holds_it() {
    let text = "[defaults]\nslo = { drill = \"90d\" }\n[repositories.local]\npath = \"{dir}/repo\"\n\
                [servers.alpha.apps]\none = { type = \"generic\", root = \"{dir}/one\" }\n[[drill]]\nscratch = \"{dir}\"\n";
    let fleet = Fleet::new(text);
    fleet.files("one", &[("a", "b")]);
    fleet.run(&["run", "alpha/-/one"]).expect(0);
    // A bare machine would know nothing of what is written here today: as a mailbox, the snapshot would not do.
    fleet.write(&text.replace("generic\", root", "generic\", every = \"1d\", root").replace("generic", "mbox"));
    let night = fleet.run(&["run", "--json"]);
    assert_eq!(outcome(&jobs(&night.result()), "drill alpha/-/one"), "done", "{}{}", night.out, night.err);
    let scratch = fleet.0.folder().to_str().unwrap().to_owned();
    let drill = ["drill", "--scratch", &scratch];
    let of_configuration = |fleet: &Fleet| {
        fleet.0.run_with(&fleet.args(&drill), |command| {
            command.env_remove("VAULT_REPO");
        })
    };
    for ran in [of_configuration(&fleet), fleet.0.run(&drill)] {
        assert!(ran.code == 0 && ran.out.contains("passed alpha/-/one"), "{}{}", ran.out, ran.err);
    }

    // What is promised is what is promised today.
    fleet.write(&text.replace("drill = \"90d\"", "rto = \"0s\""));
    let ran = of_configuration(&fleet);
    assert!(ran.code == 3 && ran.out.contains("(RTO)"), "{}{}", ran.out, ran.err);
}

#[test]
fn drills_that_are_due_are_held_and_counted() {
    let fleet = Fleet::new(
        "[defaults]\nslo = { drill = \"90d\", rto = \"1h\" }\n[repositories.local]\npath = \"{dir}/repo\"\n\
         [servers.alpha.apps]\none = { type = \"generic\", root = \"{dir}/one\" }\ntwo = { type = \"generic\", root = \"{dir}/two\" }\n\
         [[drill]]\nmost = 1\nscratch = \"{dir}/scratch\"\n",
    );
    fleet.files("one", &[("a", "b")]);
    fleet.files("two", &[("a", "b")]);
    fs::create_dir(fleet.path("scratch")).unwrap();
    // One a night; the next night the other's turn has come; then none is due.
    for held in [Some("drill alpha/-/one"), Some("drill alpha/-/two"), None] {
        let done = jobs(&fleet.run(&["run", "--json"]).expect(0).result());
        let drills: Vec<&str> =
            done.iter().map(|(job, _)| job.as_str()).filter(|job| job.starts_with("drill")).collect();
        assert_eq!(drills, held.as_slice(), "{done:?}");
        let red = fleet.run(&["status"]).out;
        assert_eq!(red.contains("alpha/-/two"), held == Some("drill alpha/-/one"), "{red}");
    }
    fleet.run(&["status"]).expect(0);
    let drills = fleet.run(&["history", "--drills", "--json"]).expect(0).result();
    let drills = drills["history"].as_array().unwrap();
    assert_eq!(drills.len(), 2);
    assert!(drills.iter().all(|one| one["outcome"] == "good" && one["files"].as_u64() == Some(1)), "{drills:?}");
    assert_eq!(fs::read_dir(fleet.path("scratch")).unwrap().count(), 0);
}
