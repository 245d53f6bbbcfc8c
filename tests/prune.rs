//! Pruning with the program itself: real processes that are killed, stopped, and out of room.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

/// A folder with a repository `repo` in it.
struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = World(tempfile::tempdir().unwrap());
        world.run(&["init", "--kdf", "low"]);
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn vault(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vault"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("VAULT_REPO", self.at("repo"))
            .env("VAULT_PASSWORD", "a passphrase")
            .env("VAULT_CACHE_DIR", self.at("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program, which must succeed.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.vault(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "vault {arguments:?}: {}: {text}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.vault(arguments).spawn().unwrap()
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let (mut files, mut stack) = (Vec::new(), vec![self.at("repo").join(folder)]);
        while let Some(dir) = stack.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { stack.push(path) } else { files.push(path) }
            }
        }
        files
    }

    /// The snapshot holds this and nothing else.
    #[track_caller]
    fn assert_holds(&self, id: &str, files: &BTreeMap<String, Vec<u8>>) {
        let out = self.at("out");
        self.run(&["restore", id, "--target", out.to_str().unwrap()]);
        let mut held = BTreeMap::new();
        for entry in fs::read_dir(&out).unwrap() {
            let path = entry.unwrap().path();
            held.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
        }
        assert!(held == *files, "{id}: {:?} in place of {:?}", held.keys(), files.keys());
        fs::remove_dir_all(out).unwrap();
    }
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
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

#[test]
fn killed_at_any_moment_neither_snapshots_nor_prunes_lose_anything() {
    let world = World::new();
    let tree = world.at("tree");
    let mut held: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for round in 0..40u64 {
        // Files come back after their snapshots were forgotten: a writer would like to rely on what prune takes away.
        let files: BTreeMap<String, Vec<u8>> =
            (0..4).map(|n| (round * (n + 1)) % 7).map(|seed| (format!("f{seed}"), noise(300_000, seed))).collect();
        fill(&tree, &files);
        let tree = tree.to_str().unwrap();
        let mut prune = world.start(&["prune", "--quiet", "--grace", "0", "--force", "--max-unused", "0"]);
        std::thread::sleep(Duration::from_millis(round * 5 % 37));
        let mut snapshot = world.start(&["snapshot", "--json", "--as", "alpha/-/tree", tree]);
        std::thread::sleep(Duration::from_millis(30 + round * 17 % 150));
        if round % 2 == 0 {
            let _ = snapshot.kill();
        }
        if round % 3 == 0 {
            let _ = prune.kill();
        }
        if let Some(id) = acknowledged(&snapshot.wait_with_output().unwrap()) {
            held.insert(id, files);
        }
        prune.wait().unwrap();
        if held.len() > 3 {
            let id = held.keys().next().unwrap().clone();
            world.run(&["forget", "--yes", "--force", &id]);
            held.remove(&id);
        }
    }
    assert!(held.len() >= 3, "{held:?}");
    for _ in 0..3 {
        world.run(&["check", "--read-data"]);
        held.iter().for_each(|(id, files)| world.assert_holds(id, files));
        world.run(&["prune", "--grace", "0", "--force"]);
    }
    world.run(&["check", "--read-data"]);
}

#[test]
fn a_snapshot_that_is_stopped_across_mark_and_sweep_is_whole_or_fails() {
    for session_dies in [false, true] {
        let world = World::new();
        let tree = world.at("tree");
        let (old, kept) = (noise(3_000_000, 1), noise(500_000, 2));
        fill(&tree, &BTreeMap::from([("old".into(), old.clone())]));
        let tree_text = tree.to_str().unwrap();
        world.run(&["snapshot", "--as", "alpha/-/old", tree_text]);
        fill(&tree, &BTreeMap::from([("kept".into(), kept.clone())]));
        world.run(&["snapshot", "--as", "alpha/-/kept", tree_text]);

        // It has loaded the index, in which all of "old" is known, and waits for its standard input.
        let mut writer = world
            .vault(&["snapshot", "--json", "--as", "alpha/-/stream", "--stdin", "--stdin-name", "stdin"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        while world.files("sessions").is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut input = writer.stdin.take().unwrap();
        input.write_all(&old[..1_000_000]).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let signal = |which: &str| {
            assert!(Command::new("kill").args([which, &writer.id().to_string()]).status().unwrap().success());
        };
        signal("-STOP");
        world.run(&["forget", "--yes", "--force", "alpha/-/old@latest"]);
        for _ in 0..3 {
            if session_dies {
                for object in world.files("sessions") {
                    let done = Command::new("touch").args(["-d", "3 days ago"]).arg(object).status().unwrap();
                    assert!(done.success());
                }
            }
            world.run(&["prune", "--grace", "0", "--force"]);
        }
        let before = world.files("packs").len();
        signal("-CONT");
        input.write_all(&old[1_000_000..]).unwrap();
        drop(input);
        let output = writer.wait_with_output().unwrap();
        match acknowledged(&output) {
            Some(id) => {
                assert!(!session_dies);
                let dumped = world.vault(&["dump", &format!("{id}:stdin")]).output().unwrap();
                assert!(dumped.stdout == old, "{} bytes", dumped.stdout.len());
            }
            None => {
                let text = String::from_utf8_lossy(&output.stderr);
                assert!(session_dies && text.contains("run it again"), "{text}");
                assert!(before < 4, "{before}");
            }
        }
        world.run(&["check", "--read-data"]);
        let id = world.run(&["--json", "snapshots", "alpha/-/kept"]);
        let list: serde_json::Value = serde_json::from_str(id.lines().last().unwrap()).unwrap();
        let id = list["snapshots"][0]["id"].as_str().unwrap();
        world.assert_holds(id, &BTreeMap::from([("kept".into(), kept)]));
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
