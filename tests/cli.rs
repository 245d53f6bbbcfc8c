//! The program as its users meet it: arguments, exit codes, what is printed where.

use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A folder for one test, with a repository in `repo` once it is made, and an environment of its own.
struct World {
    dir: tempfile::TempDir,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// The last line, which must be JSON like all others.
    fn result(&self) -> Value {
        let lines: Vec<Value> =
            self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
        let last = lines.last().unwrap_or_else(|| panic!("no output; {}", self.err)).clone();
        assert_eq!(last["event"], "result", "{last}");
        assert_eq!(last["exit_code"], self.code, "{last}");
        last
    }

    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "\"{text}\" is not in: {}", self.err);
        self
    }
}

impl World {
    fn new() -> Self {
        World { dir: tempfile::tempdir().unwrap() }
    }

    /// With a repository whose passphrase is `right`.
    fn with_repository() -> Self {
        let world = World::new();
        world.run(&["init", "--kdf", "low"]).expect(0);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vault"));
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .env("VAULT_CACHE_DIR", self.path("cache"))
            .env("VAULT_STATE_DIR", self.path("state"))
            .env("VAULT_REPO", self.repo())
            .env("VAULT_PASSWORD", "right")
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, |_| {})
    }

    fn run_with(&self, args: &[&str], change: impl FnOnce(&mut Command)) -> Ran {
        let mut command = self.command(args);
        change(&mut command);
        let Output { status, stdout, stderr } = command.output().unwrap();
        Ran {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// A file in this world.
    fn file(&self, name: &str, contents: &str, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn init_makes_a_repository_once() {
    let world = World::new();
    let made = world.run(&["init", "--kdf", "low"]).expect(0).says("vault key recovery").says("nobody can help");
    assert!(made.out.starts_with("made repository "), "{}", made.out);
    assert!(world.repo().join("config").is_file());
    world.run(&["init"]).expect(1).says("already");
    let listed = world.run(&["snapshots"]).expect(0);
    assert_eq!(listed.out, "");
}

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
fn what_is_no_repository_is_said_to_be_none() {
    let world = World::new();
    world.run(&["snapshots"]).expect(10).says("vault init");
    fs::create_dir(world.repo()).unwrap();
    world.run(&["snapshots"]).expect(10).says("vault init");
    fs::write(world.repo().join("letter"), "dear").unwrap();
    world.run(&["snapshots"]).expect(10);
    world.run(&["init"]).expect(1).says("not empty");
    fs::write(world.repo().join("config"), "{\"version\":2,\"id\":\"restic has such a file, encrypted\"}").unwrap();
    world.run(&["snapshots"]).expect(10).says("another folder");
    world.run(&["snapshot", "--init", "/etc/hostname"]).expect(1).says("not empty");
    world.run(&["init"]).expect(1);
    let ran = world.run(&["snapshots", "--json"]).expect(10);
    assert_eq!(ran.result()["error"]["kind"], "no-repository");
}

#[test]
fn a_missing_repository_is_told_before_a_passphrase_is_asked_for() {
    let world = World::new();
    world
        .run_with(&["snapshots"], |c| {
            c.env_remove("VAULT_PASSWORD");
        })
        .expect(10);
}

#[test]
fn a_newer_format_is_unsupported() {
    let world = World::with_repository();
    let config = world.repo().join("config");
    let mut bytes = fs::read(&config).unwrap();
    bytes[8] = 9;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&config, bytes).unwrap();
    world.run(&["snapshots"]).expect(13).says("upgrade");
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
    world.run(&["key", "add", "--key-file-out", "key"]).expect(1).says("key");
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

/// A folder with a few files, and the series that it is taken as.
fn with_source(world: &World) -> [&'static str; 4] {
    fs::create_dir_all(world.path("src/sub")).unwrap();
    world.file("src/a", "first", 0o644);
    world.file("src/sub/b\x1b[31m\n", "second", 0o600);
    ["snapshot", "src", "--as", "alpha/-/src"]
}

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

/// Three snapshots of one series, oldest first: their objects in the store.
fn three_snapshots(world: &World) -> Vec<PathBuf> {
    let args = with_source(world);
    let mut objects = Vec::new();
    for i in 0..3 {
        world.file("src/a", &format!("version {i}"), 0o644);
        let made = world.run(&[&args[..], &["--json"]].concat()).expect(0).result();
        let id = made["snapshot"]["id"].as_str().unwrap().to_owned();
        let series = fs::read_dir(world.repo().join("snapshots")).unwrap().next().unwrap().unwrap().path();
        objects.push(series.join(id));
    }
    objects
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_older_snapshot_does_not_pass_for_a_damaged_one() {
    let world = World::with_repository();
    let objects = three_snapshots(&world);
    // In the body of the oldest: its head still tells that it is older, so it is in nobody's way.
    flip(&objects[0], 1000);
    assert_eq!(world.run(&["dump", "alpha/-/src:src/a"]).expect(0).out, "version 2");
    flip(&objects[2], 1000);
    let name = objects[2].file_name().unwrap().to_str().unwrap();
    for args in [
        &["dump", "alpha/-/src:src/a"][..],
        &["ls", "alpha/-/src"],
        &["restore", "alpha/-/src", "--target", "back"],
        &["restore", "alpha/-/src@0d", "--target", "back"],
        &["ls", "alpha/-/src@2100-01-01"],
    ] {
        let ran = world.run(args).expect(1).says(name).says("by its id").says("vault snapshots");
        assert_eq!(ran.out, "");
    }
    assert!(!world.path("back").exists());
    // Damaged or not, it is newer than that day.
    world.run(&["ls", "alpha/-/src@2001-01-01"]).expect(2).says("that old");
    // The next snapshot is newer than the damaged one, which is then in nobody's way.
    let source = with_source(&world);
    world.run(&source).expect(0);
    world.run(&["ls", "alpha/-/src"]).expect(0);
    let id = |object: &Path| object.file_name().unwrap().to_str().unwrap()[..12].to_owned();
    let older = format!("{}:src/a", id(&objects[1]));
    assert_eq!(world.run(&["dump", &older]).expect(0).out, "version 1");
    // A head that does not open tells nothing.
    flip(&objects[0], 200);
    world.run(&["ls", "alpha/-/src"]).expect(1).says("by its id");
    // What a later one says came before it, and nothing says was forgotten, is missed by whoever asks for the newest.
    fs::remove_file(&objects[2]).unwrap();
    world.run(&["ls", "alpha/-/src"]).expect(14).says(&name[..8]).says("--accept-rollback");
    world.run(&["dump", &older]).expect(0);
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
fn dump_touches_no_other_file() {
    let world = World::with_repository();
    three_snapshots(&world);
    let kept = world.file("page.part", "the user's own", 0o644);
    world.run(&["dump", "alpha/-/src:src/a", "--output", "page"]).expect(0);
    assert_eq!((text(&world.path("page")).as_str(), text(Path::new(&kept)).as_str()), ("version 2", "the user's own"));
    world.run(&["dump", "alpha/-/src:src/a", "--output", "page"]).expect(1).says("there already");
    world.run(&["dump", "alpha/-/src:src/none", "--output", "other"]).expect(2);
    let names: Vec<_> = fs::read_dir(world.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".vault-")), "{names:?}");
}

#[test]
fn all_problems_of_a_restore_are_told() {
    let world = World::with_repository();
    fs::create_dir(world.path("src")).unwrap();
    for i in 0..40 {
        world.file(&format!("src/{i:02}"), &format!("{i} of forty").repeat(1000), 0o644);
    }
    world.run(&["snapshot", "src", "--as", "alpha/-/src"]).expect(0);
    let mut packs = Vec::new();
    let mut folders = vec![world.repo().join("packs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { folders.push(entry) } else { packs.push(entry) }
        }
    }
    // The packs of data: those of trees are needed to know of files at all.
    packs.retain(|pack| fs::read(pack).unwrap()[10] == 3);
    assert!(!packs.is_empty());
    packs.iter().for_each(|pack| fs::remove_file(pack).unwrap());
    let ran =
        world.run(&["restore", "alpha/-/src:src", "--target", "back"]).expect(1).says("40 problems, listed above");
    for i in 0..40 {
        let named = ran.err.lines().filter(|line| line.contains(&format!("{i:02}: "))).count();
        assert_eq!(named, 1, "{i}: {}", ran.err);
    }
}

#[test]
fn patterns_that_match_nothing_are_told() {
    let world = World::with_repository();
    world.run(&with_source(&world)).expect(0);
    let restore = |address: &str, pattern: &str, target: &str| {
        world.run(&["restore", address, "--include", pattern, "--target", target])
    };
    restore("alpha/-/src", "*.none", "a").expect(1).says("nothing matches").says("relative");
    restore("alpha/-/src", "/src/a", "b").expect(1);
    restore("alpha/-/src:src", "/a", "c").expect(0);
    restore("alpha/-/src", "/a", "d").expect(0);
    assert_eq!((text(&world.path("c/a")), text(&world.path("d/a"))), ("first".into(), "first".into()));
    let ran = world.run(&["restore", "alpha/-/src", "--include", "none", "--target", "e", "--json"]).expect(1);
    assert!(ran.out.contains("nothing matches"));
    ran.result();
    assert!(world.run(&["restore", "--help"]).expect(0).out.contains("relative to the target"));
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

#[test]
fn a_finding_is_told_once() {
    let world = World::with_repository();
    let objects = three_snapshots(&world);
    flip(&objects[2], 1000);
    let name = objects[2].file_name().unwrap().to_str().unwrap();
    let ran = world.run(&["check"]).expect(1);
    assert_eq!(format!("{}{}", ran.out, ran.err).matches(name).count(), 1, "{}{}", ran.out, ran.err);
    let ran = world.run(&["snapshots"]).expect(1);
    assert_eq!(ran.err.matches(name).count(), 1, "{}", ran.err);
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

/// Ids of the snapshots that are listed, oldest first.
fn listed_ids(world: &World) -> Vec<String> {
    let listed = world.run(&["snapshots", "--json"]).expect(0).result();
    let ids = listed["snapshots"].as_array().unwrap().iter();
    ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn snapshots_that_no_rule_keeps_are_forgotten() {
    let world = World::with_repository();
    three_snapshots(&world);
    let ids = listed_ids(&world);
    let dry = world.run(&["forget", "--keep-last", "1", "--dry-run"]).expect(0);
    assert!(dry.out.contains("alpha/-/src\n") && dry.out.contains("newest, newest complete, last 1/1"), "{}", dry.out);
    assert_eq!(dry.out.lines().filter(|line| line.starts_with("forget ")).count(), 2);
    assert!(dry.out.contains("would forget 2 snapshots and keep 1; nothing was done"), "{}", dry.out);
    let dry = world.run(&["forget", "--keep-last", "1", "-n", "--json"]).expect(0).result();
    assert_eq!((&dry["dry_run"], dry["forgotten"].as_array().unwrap().len()), (&true.into(), 2));
    assert_eq!(listed_ids(&world), ids);

    let done = world.run(&["forget", "alpha", "--keep-last", "2", "--keep-daily", "1d"]).expect(0);
    assert!(done.out.contains("SERIES") && done.out.contains("forgot 1 snapshot, kept 2\n"), "{}", done.out);
    assert_eq!(listed_ids(&world), ids[1..]);
    let explained = world.run(&["forget", "--keep-last", "2", "--explain"]).expect(0).out;
    assert!(explained.contains("last 2/2") && explained.contains("forgot 0 snapshots"), "{explained}");
    world.run(&["ls", &ids[0]]).expect(2).says("was forgotten");
    world.run(&["check"]).expect(0);
    // The next snapshot goes on with the numbers.
    world.run(&with_source(&world)).expect(0);
    let last = world.run(&["snapshots", "--json"]).expect(0).result()["snapshots"][2].clone();
    assert_eq!((&last["sequence"], &last["previous"]), (&4.into(), &ids[2].as_str().into()));
}

#[test]
fn a_forget_without_a_clear_wish_is_a_usage_error() {
    let world = World::with_repository();
    three_snapshots(&world);
    world.run(&["forget"]).expect(2).says("--keep-daily");
    world.run(&["forget", "alpha/-/src"]).expect(2).says("is a series").says("--keep-daily");
    world.run(&["forget", "alpha/-/src@latest:src/a"]).expect(2).says("names files");
    world.run(&["forget", "--keep-last", "0"]).expect(2).says("at least 1");
    world.run(&["forget", "--keep-weekly", "2mo"]).expect(2).says("write an age");
    world.run(&["forget", "beta", "--keep-last", "1"]).expect(2).says("no series is called \"beta\"");
    world.run(&["forget", "--keep-last", "1", "--zone", "Mars/Base"]).expect(2).says("no time zone");
    assert_eq!(listed_ids(&world).len(), 3);
}

#[test]
fn single_snapshots_are_forgotten_after_a_yes() {
    let world = World::with_repository();
    three_snapshots(&world);
    let ids = listed_ids(&world);
    world.run(&["forget", &ids[0]]).expect(2).says("cannot be undone").says("--yes");
    world.run(&["forget", &ids[0], "--json"]).expect(2);
    assert_eq!(listed_ids(&world), ids);
    world.run(&["forget", &ids[0], "-n"]).expect(0);
    world.run(&["forget", "alpha/-/src@latest", "--yes"]).expect(1).says("--force");
    world.run(&["pin", &ids[1], "--reason", "audit"]).expect(0);
    world.run(&["forget", &ids[0], &ids[1], "--yes", "--force"]).expect(1).says("is pinned").says("vault unpin");
    assert_eq!(listed_ids(&world), ids);
    let done = world.run(&["forget", &ids[0], "--yes", "--json"]).expect(0).result();
    assert_eq!(done["forgotten"], serde_json::json!([ids[0]]));
    world.run(&["forget", "alpha/-/src@latest", "--yes", "--force"]).expect(0);
    assert_eq!(listed_ids(&world), ids[1..2]);
}

#[test]
fn tags_and_pins_are_given_shown_and_honoured() {
    let world = World::with_repository();
    three_snapshots(&world);
    let ids = listed_ids(&world);
    let tagged = world.run(&["tag", "add", "release", &ids[0], "alpha/-/src"]).expect(0).out;
    assert!(tagged.starts_with("tagged: 2 snapshots (") && tagged.contains(&ids[0][..8]), "{tagged}");
    assert!(world.run(&["tag", "add", "release", &ids[0]]).expect(0).out.contains("had the tag"));
    world.run(&["tag", "remove", "release", "alpha/-/src"]).expect(0);
    world.run(&["tag", "add", "two words", &ids[0]]).expect(2).says("one word");
    world.run(&["tag", "add", "x", "alpha/-/src:src"]).expect(2).says("names files");
    world.run(&["pin", &ids[1], "--reason", "audit"]).expect(0);
    let found = world.run(&["snapshots", "--tag", "release", "--json"]).expect(0).result();
    assert_eq!(
        (found["snapshots"].as_array().unwrap().len(), &found["snapshots"][0]["id"]),
        (1, &ids[0].as_str().into())
    );
    let listed = world.run(&["snapshots", "--json"]).expect(0).result();
    assert_eq!(
        (&listed["snapshots"][1]["pinned"]["reason"], &listed["snapshots"][0]["pinned"]),
        (&"audit".into(), &Value::Null)
    );
    assert_eq!(world.run(&["snapshots"]).expect(0).out.lines().filter(|line| line.ends_with("pinned")).count(), 1);

    world.run(&["forget", "--keep-last", "1", "--keep-tag", "release"]).expect(0);
    assert_eq!(listed_ids(&world), ids);
    world.run(&["unpin", &ids[1]]).expect(0);
    assert!(world.run(&["unpin", &ids[1]]).expect(0).out.contains("not pinned"));
    world.run(&["forget", "--keep-tag", "release", "-q"]).expect(0);
    assert_eq!(listed_ids(&world), [ids[0].as_str(), &ids[2]]);
}

#[test]
fn what_cannot_be_read_is_left_alone_and_told() {
    let world = World::with_repository();
    let objects = three_snapshots(&world);
    let ids = listed_ids(&world);
    flip(&objects[0], 1000);
    world.run(&["forget", "--keep-last", "1"]).expect(1).says(&ids[0]);
    assert!(objects[0].exists() && !objects[1].exists());
    world.run(&["forget", &ids[0], "--yes"]).expect(1).says("--force");
    let dry = world.run(&["forget", &ids[0], "--force", "-n"]).expect(0).out;
    assert!(dry.contains("which cannot be read"), "{dry}");
    world.run(&["forget", &ids[0], "--yes", "--force"]).expect(0);
    assert!(!objects[0].exists());
    world.run(&["snapshots"]).expect(0);
    world.run(&["check"]).expect(0);
}

#[test]
fn writers_forget_and_tag_nothing_and_maintainers_do() {
    let world = World::with_repository();
    three_snapshots(&world);
    let ids = listed_ids(&world);
    world.run(&["key", "add", "--role", "writer", "--key-file-out", "w"]).expect(0);
    world.run(&["key", "add", "--role", "maintainer", "--key-file-out", "m"]).expect(0);
    for args in [&["forget", "--keep-last", "1"][..], &["forget", &ids[0], "--yes"], &["pin", &ids[0]]] {
        world.run(&[args, &["--key-file", "w"]].concat()).expect(1).says("takes a maintainer or owner key");
    }
    world.run(&["pin", &ids[0], "--key-file", "m"]).expect(0);
    world.run(&["forget", "--keep-last", "1", "--key-file", "m"]).expect(0);
    assert_eq!(listed_ids(&world), [ids[0].as_str(), &ids[2]]);
    // Who only writes goes on with the numbers all the same.
    let args = with_source(&world);
    world.run(&[&args[..], &["--key-file", "w"]].concat()).expect(0);
    world.run(&["check"]).expect(0);
}

#[test]
fn a_sudden_shrink_is_told_and_holds_the_older_ones() {
    let world = World::with_repository();
    let args = with_source(&world);
    for i in 0..4 {
        world.file("src/a", &format!("{i}").repeat(5000), 0o644);
        world.run(&args).expect(0);
    }
    world.file("src/a", "nearly nothing", 0o644);
    world.run(&args).expect(0);
    let ids = listed_ids(&world);
    let held = world.run(&["forget", "--keep-last", "2"]).expect(0);
    let told = held.err;
    assert!(told.contains("suddenly less than half") && told.contains("--despite-shrink"), "{told}");
    assert_eq!(listed_ids(&world), ids[2..]);
    world.run(&["forget", "--keep-last", "2", "--despite-shrink"]).expect(0);
    assert_eq!(listed_ids(&world), ids[3..]);
}

fn packs(world: &World) -> Vec<PathBuf> {
    let mut packs = Vec::new();
    for folder in fs::read_dir(world.repo().join("packs")).unwrap() {
        packs.extend(fs::read_dir(folder.unwrap().path()).unwrap().map(|pack| pack.unwrap().path()));
    }
    packs.sort();
    packs
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy_tree(&entry.path(), &target) } else { drop(fs::copy(entry.path(), target)) }
    }
}

#[test]
fn objects_are_held_against_their_names_without_a_key() {
    let world = World::with_repository();
    three_snapshots(&world);
    let keyless = |args: &[&str]| {
        world.run_with(&[&["check", "--keyless"], args].concat(), |command| {
            command.env_remove("VAULT_PASSWORD");
        })
    };
    let ran = keyless(&[]).expect(0);
    assert!(ran.out.starts_with("every object that was read is what its name says"), "{}", ran.out);
    let pack = &packs(&world)[0];
    flip(pack, 100);
    let ran = keyless(&[]).expect(1);
    assert!(ran.out.contains(pack.file_name().unwrap().to_str().unwrap()), "{}", ran.out);
    let told = keyless(&["--json"]).expect(1).result();
    assert_eq!((told["findings"].as_array().unwrap().len(), told["keyless"].as_bool()), (1, Some(true)));
    // The one that was damaged last time comes on top.
    assert_eq!(keyless(&["--read-data=1%", "--json"]).expect(1).result()["packs_read"], 2);
}

#[test]
fn a_lost_index_is_made_anew() {
    let world = World::with_repository();
    three_snapshots(&world);
    fs::remove_dir_all(world.repo().join("index")).unwrap();
    world.run(&["check"]).expect(1).says("vault repair");
    let dry = world.run(&["repair", "index", "--dry-run", "--json"]).expect(0).result();
    assert!(!world.repo().join("index").exists());
    let told = world.run(&["repair", "index", "--json"]).expect(0).result();
    assert_eq!(told["index"], dry["index"]);
    assert!(told["index"]["listed"].as_u64().unwrap() >= 4 && told["packs"].is_null(), "{told}");
    let ran = world.run(&["check", "--read-data"]).expect(0);
    assert_eq!(ran.err, "");
    assert_eq!(world.run(&["dump", "alpha/-/src:src/a"]).expect(0).out, "version 2");
    let ran = world.run(&["repair"]).expect(0);
    assert!(ran.out.starts_with("there is nothing to repair"), "{}", ran.out);
}

#[test]
fn what_is_lost_is_named_and_comes_back_from_a_replica() {
    let world = World::with_repository();
    let objects = three_snapshots(&world);
    copy_tree(&world.repo(), &world.path("replica"));
    let all = packs(&world);
    all.iter().for_each(|pack| flip(pack, 100));
    let ran = world.run(&["check", "--read-data"]).expect(1);
    assert!(ran.out.contains("all of this costs\n  alpha/-/src\n"), "{}", ran.out);
    let told = world.run(&["check", "--json"]).expect(1).result();
    // The last reading is remembered.
    assert_eq!(told["packs_read"].as_u64().unwrap(), all.len() as u64);
    assert_eq!(told["losses"][0]["snapshots"].as_array().unwrap().len(), 3);
    flip(&objects[0], 200);
    let dry = world.run(&["repair", "--from", "replica", "--dry-run"]).expect(0);
    assert!(dry.out.contains("all of it can be brought back (dry run: nothing was changed)"), "{}", dry.out);
    assert_eq!(packs(&world), all);
    let told = world.run(&["repair", "--from", "replica", "--json"]).expect(0).result();
    assert_eq!((told["packs"]["missing"].as_u64(), told["shortfall"].as_u64()), (Some(0), Some(0)));
    assert_eq!(told["snapshots"].as_array().unwrap().len(), 1);
    world.run(&["check", "--read-data"]).expect(0);
    assert_eq!(world.run(&["dump", "alpha/-/src:src/a"]).expect(0).out, "version 2");
    let repaired = told["snapshots"][0]["new"].as_str().unwrap();
    assert_eq!(world.run(&["dump", &format!("{repaired}:src/a")]).expect(0).out, "version 0");
    world.run(&["init", "--repo", "stranger", "--kdf", "low"]).expect(0);
    world.run(&["repair", "--from", "stranger"]).expect(2).says("of its own");
}

#[test]
fn without_a_replica_the_rest_is_kept_and_the_next_snapshot_heals() {
    let world = World::with_repository();
    let source = with_source(&world);
    world.run(&source).expect(0);
    let all = packs(&world);
    for pack in &all {
        flip(pack, 40);
    }
    let ran = world.run(&["repair", "--read-data"]).expect(1);
    assert!(ran.out.contains("not all of it could be brought back"), "{}", ran.out);
    let listed = world.run(&["snapshots"]).expect(0).out;
    assert!(listed.contains("repaired") && listed.contains("incomplete"), "{listed}");
    world.run(&["check"]).expect(1);
    world.run(&source).expect(0);
    assert_eq!(world.run(&["dump", "alpha/-/src:src/a"]).expect(0).out, "first");
    let ran = world.run(&["check", "--read-data"]).expect(0);
    assert!(ran.err.contains("marked as damaged"), "{}", ran.err);
}
