//! Pruning with the program itself: real processes that are killed, stopped, and out of room.

mod common;

use common::{noise, world::World};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

/// What a run printed, which must succeed.
#[track_caller]
fn done(world: &World, args: &[&str]) -> String {
    world.run(args).expect(0).out
}

fn start(world: &World, args: &[&str]) -> Child {
    world.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The snapshot holds this and nothing else.
#[track_caller]
fn assert_holds(world: &World, id: &str, files: &BTreeMap<String, Vec<u8>>) {
    let out = world.path("out");
    done(world, &["restore", id, "--target", out.to_str().unwrap()]);
    let mut held = BTreeMap::new();
    for entry in fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        held.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
    }
    assert!(held == *files, "{id}: {:?} in place of {:?}", held.keys(), files.keys());
    fs::remove_dir_all(out).unwrap();
}

/// The id of a snapshot that was acknowledged.
fn acknowledged(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let last: serde_json::Value = serde_json::from_str(text.lines().last()?).ok()?;
    let id = last.get("id").or_else(|| last.get("snapshot")?.get("id"))?.as_str()?.to_owned();
    output.status.success().then_some(id)
}

fn fill(tree: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let _ = fs::remove_dir_all(tree);
    fs::create_dir(tree).unwrap();
    for (name, bytes) in files {
        fs::write(tree.join(name), bytes).unwrap();
    }
}

/// Kills: `VAULT_KILLS=1000` for a long run, `VAULT_SEED=7` for another one.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Numbers below a bound, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Waits, kills, and says whether it came in time.
    fn kill(&mut self, child: &mut Child, within: u64) -> bool {
        std::thread::sleep(Duration::from_millis(self.below(within)));
        let is_over = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        !is_over
    }
}

#[test]
fn killed_at_any_moment_snapshot_prune_forget_and_rewrite_lose_nothing() {
    let (kills, seed) = (number("VAULT_KILLS", 60), number("VAULT_SEED", 1));
    let world = World::with_repository();
    let tree = world.path("tree");
    let mut dice = Dice(seed);
    let (mut done_kills, mut round, mut leaked) = ([0u64; 4], 0, 0);
    let mut held: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    let mut written: Vec<BTreeMap<String, Vec<u8>>> = Vec::new();
    while done_kills.iter().sum::<u64>() < kills {
        round += 1;
        // Files come back after their snapshots were forgotten: a writer would like to rely on what prune takes away.
        let mut files: BTreeMap<String, Vec<u8>> =
            (0..4).map(|n| (round * (n + 1)) % 7).map(|seed| (format!("f{seed}"), noise(300_000, seed))).collect();
        fill(&tree, &files);
        let tree_text = tree.to_str().unwrap();
        let mut prune = start(&world, &["prune", "--quiet", "--grace", "0", "--force", "--max-unused", "0"]);
        std::thread::sleep(Duration::from_millis(dice.below(40)));
        let mut snapshot = start(&world, &["snapshot", "--json", "--as", "alpha/-/tree", tree_text]);
        if dice.below(3) > 0 {
            done_kills[0] += u64::from(dice.kill(&mut snapshot, 200));
        }
        if dice.below(3) > 0 {
            done_kills[1] += u64::from(dice.kill(&mut prune, 100));
        }
        if let Some(id) = acknowledged(&snapshot.wait_with_output().unwrap()) {
            held.insert(id, files.clone());
        }
        prune.wait().unwrap();
        if held.len() > 3 {
            let id = held.keys().next().unwrap().clone();
            let mut forget = start(&world, &["forget", "--yes", "--force", &id]);
            done_kills[2] += u64::from(dice.kill(&mut forget, 60));
            forget.wait().unwrap();
            // Whether or not it came so far: it may be said again.
            let again = world.run(&["forget", "--yes", "--force", &id]);
            assert!(again.code == 0 || again.err.contains("no snapshot"), "{}{}", again.out, again.err);
            held.remove(&id);
        }
        if round % 3 == 0 && written.len() < 12 {
            files.insert("secret".into(), noise(5_000, 1_000_000 + round));
            fill(&tree, &files);
            done(&world, &["snapshot", "--as", "beta/-/tree", tree_text]);
            files.remove("secret");
            written.push(files);
            leaked += 1;
        }
        if leaked > 0 {
            let mut rewrite = start(&world, &["rewrite", "beta/-/tree:tree/secret", "--yes", "--reason", "leaked"]);
            done_kills[3] += u64::from(dice.kill(&mut rewrite, 250));
            if rewrite.wait().unwrap().success() {
                leaked = 0;
            }
        }
    }
    println!("{round} rounds; killed: snapshot, prune, forget, rewrite {done_kills:?}");
    assert!(held.len() >= 2, "{held:?} {done_kills:?}");
    // Whatever a killed one has left, it is done now, or there is nothing left to do.
    let last = world.run(&["rewrite", "beta/-/tree:tree/secret", "--yes"]);
    assert!(last.code == 0 || last.err.contains("nothing to take out"), "{}{}", last.out, last.err);
    for _ in 0..3 {
        done(&world, &["check", "--read-data"]);
        held.iter().for_each(|(id, files)| assert_holds(&world, id, files));
        let listed = world.run(&["snapshots", "--json", "beta/-/tree"]).expect(0).result();
        let listed = listed["snapshots"].as_array().unwrap();
        // What a killed rewrite was about to store a prune may store after the next one has done it anew: twice the same, under one number.
        let numbers: BTreeSet<u64> = listed.iter().map(|one| one["sequence"].as_u64().unwrap()).collect();
        assert_eq!(numbers.len(), written.len(), "{listed:?}");
        for (number, files) in numbers.iter().zip(&written) {
            for one in listed.iter().filter(|one| one["sequence"] == *number) {
                assert_holds(&world, one["id"].as_str().unwrap(), files);
            }
        }
        done(&world, &["prune", "--grace", "0", "--force"]);
    }
    done(&world, &["check", "--read-data"]);
}

#[test]
fn a_snapshot_that_is_stopped_across_mark_and_sweep_is_whole_or_fails() {
    for session_dies in [false, true] {
        let world = World::with_repository();
        let tree = world.path("tree");
        let (old, kept) = (noise(3_000_000, 1), noise(500_000, 2));
        fill(&tree, &BTreeMap::from([("old".into(), old.clone())]));
        let tree_text = tree.to_str().unwrap();
        done(&world, &["snapshot", "--as", "alpha/-/old", tree_text]);
        fill(&tree, &BTreeMap::from([("kept".into(), kept.clone())]));
        done(&world, &["snapshot", "--as", "alpha/-/kept", tree_text]);

        // It has loaded the index, in which all of "old" is known, and waits for its standard input.
        let mut writer = world
            .command(&["snapshot", "--json", "--as", "alpha/-/stream", "--stdin", "--stdin-name", "stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while world.objects("sessions").is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut input = writer.stdin.take().unwrap();
        input.write_all(&old[..1_000_000]).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let signal = |which: &str| {
            assert!(Command::new("kill").args([which, &writer.id().to_string()]).status().unwrap().success());
        };
        signal("-STOP");
        done(&world, &["forget", "--yes", "--force", "alpha/-/old@latest"]);
        for _ in 0..3 {
            if session_dies {
                for object in world.objects("sessions") {
                    let done = Command::new("touch").args(["-d", "3 days ago"]).arg(object).status().unwrap();
                    assert!(done.success());
                }
            }
            done(&world, &["prune", "--grace", "0", "--force"]);
        }
        let before = world.objects("packs").len();
        signal("-CONT");
        input.write_all(&old[1_000_000..]).unwrap();
        drop(input);
        let output = writer.wait_with_output().unwrap();
        match acknowledged(&output) {
            Some(id) => {
                assert!(!session_dies);
                let dumped = world.command(&["dump", &format!("{id}:stdin")]).output().unwrap();
                assert!(dumped.stdout == old, "{} bytes", dumped.stdout.len());
            }
            None => {
                let text = String::from_utf8_lossy(&output.stderr);
                assert!(session_dies && text.contains("run it again"), "{text}");
                assert!(before < 4, "{before}");
            }
        }
        done(&world, &["check", "--read-data"]);
        let id = done(&world, &["--json", "snapshots", "alpha/-/kept"]);
        let list: serde_json::Value = serde_json::from_str(id.lines().last().unwrap()).unwrap();
        let id = list["snapshots"][0]["id"].as_str().unwrap();
        assert_holds(&world, id, &BTreeMap::from([("kept".into(), kept)]));
    }
}

#[test]
fn a_full_disk_gets_its_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
        mkdir m a b out
        mount -t tmpfs -o size=12m none m
        export VAULT_REPO=$PWD/m/repo VAULT_PASSWORD=x VAULT_CACHE_DIR=$PWD/cache
        head -c 5000000 /dev/urandom > a/large
        head -c 1000000 /dev/urandom > b/small
        "$VAULT" init --quiet --kdf low
        "$VAULT" snapshot --quiet --as h/-/a a
        "$VAULT" snapshot --quiet --as h/-/b b
        "$VAULT" forget --quiet --yes --force h/-/a@latest
        "$VAULT" prune --quiet --grace 0 --force
        cat /dev/zero > m/filler 2> /dev/null && exit 90
        head -c 4000000 /dev/urandom > b/more
        code=0; "$VAULT" snapshot --quiet --as h/-/b b 2> message || code=$?
        test $code = 20 || { cat message; exit 91; }
        # What the attempt has left behind makes the disk no fuller.
        cat /dev/zero >> m/filler 2> /dev/null && exit 92
        "$VAULT" prune --quiet --grace 0 --force
        "$VAULT" check --quiet --read-data
        "$VAULT" snapshot --quiet --as h/-/b b
        "$VAULT" check --quiet --read-data
        "$VAULT" restore --quiet h/-/b --target out/b
        cmp b/small out/b/small
        cmp b/more out/b/more
    "#;
    let output = Command::new("unshare")
        .args(if rustix::process::geteuid().is_root() { ["-m", "--"] } else { ["-rm", "--"] })
        .args(["bash", "-euc", script])
        .current_dir(dir.path())
        .env("VAULT", env!("CARGO_BIN_EXE_vault"))
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", output.status);
}

#[test]
fn a_snapshot_that_is_overtaken_is_taken_again_by_itself() {
    let world = World::with_repository();
    let tree = world.path("tree");
    let (old, kept) = (noise(3_000_000, 1), noise(500_000, 2));
    fill(&tree, &BTreeMap::from([("old".into(), old.clone())]));
    let tree = tree.to_str().unwrap();
    done(&world, &["snapshot", "--as", "alpha/-/old", tree]);
    fill(Path::new(tree), &BTreeMap::from([("kept".into(), kept.clone())]));
    done(&world, &["snapshot", "--as", "alpha/-/kept", tree]);

    // All of "old" is known when its command begins, which waits.
    fs::write(world.path("old"), &old).unwrap();
    let script = "touch started; while [ ! -e go ]; do sleep 0.02; done; cat old";
    let args = ["snapshot", "--json", "--as", "alpha/-/stream", "--stdin-from-command", "--stdin-name", "stdin"];
    let writer = start(&world, &[&args[..], &["--", "sh", "-c", script]].concat());
    while !world.path("started").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let signal = |which: &str| {
        assert!(Command::new("kill").args([which, &writer.id().to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    done(&world, &["forget", "--yes", "--force", "alpha/-/old@latest"]);
    for _ in 0..3 {
        for object in world.objects("sessions") {
            assert!(Command::new("touch").args(["-d", "3 days ago"]).arg(object).status().unwrap().success());
        }
        done(&world, &["prune", "--grace", "0", "--force"]);
    }
    fs::write(world.path("go"), "").unwrap();
    signal("-CONT");
    let output = writer.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let id = acknowledged(&output).unwrap_or_else(|| panic!("{text}"));
    assert!(text.contains("taken again"), "{text}");
    let dumped = world.command(&["dump", &format!("{id}:stdin")]).output().unwrap();
    assert!(dumped.stdout == old, "{} bytes", dumped.stdout.len());
    done(&world, &["check", "--read-data"]);
}
