//! `pull`, `serve`, and places at other machines, through a command that takes ssh's arguments and runs the line here.

use super::{copy::files, *};

/// A command that is called like ssh and runs what it is told on this machine.
fn ssh(world: &World, before: &str) -> String {
    let script = format!(
        "#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\nhost=$1; line=$2\n{before}\nexport VAULT_STATE_DIR=none\nexec sh -c \"$line\"\n"
    );
    world.file("ssh", &script, 0o755)
}

/// The place of the world's repository as another machine's.
fn far(world: &World) -> String {
    format!("ssh://ann@alpha.example.org:2222{}", world.repo().display())
}

fn keyless(world: &World, args: &[&str]) -> common::world::Ran {
    world.run_with(args, |command| {
        command.env_remove("VAULT_PASSWORD").env_remove("VAULT_REPO").env("VAULT_SSH", world.path("ssh"));
    })
}

fn pull(world: &World, more: &[&str]) -> common::world::Ran {
    let from = far(world);
    let args = ["pull", "alpha", "--from", &from, "--partition", "disk", "--remote-vault", common::world::PROGRAM];
    keyless(world, &[&args[..], more].concat())
}

#[test]
fn a_remote_repository_comes_whole_and_nothing_is_ever_taken_away() {
    let world = World::with_repository();
    three_snapshots(&world);
    ssh(&world, "echo \"$host\" > asked");
    pull(&world, &[]).expect(75).says("is the partition mounted");
    fs::create_dir(world.path("disk")).unwrap();
    let dry = pull(&world, &["--dry-run", "--json"]).expect(0).result();
    assert!(!world.path("disk/remote").exists());
    let told = pull(&world, &["--json"]).expect(0).result();
    assert_eq!((&told["created"], &told["snapshots"], &told["server"]), (&true.into(), &3.into(), &"alpha".into()));
    assert_eq!((&told["bytes"], &told["objects"]), (&dry["bytes"], &dry["objects"]));
    assert_eq!(text(&world.path("asked")).trim(), "ann@alpha.example.org");
    let copy = world.path("disk/remote/alpha");
    assert_eq!(files(&copy), files(&world.repo()));
    // Forgotten there, with a tombstone: it stays here, and all is well.
    world.run(&["forget", "--keep-last", "1"]).expect(0);
    let ran = pull(&world, &["--bandwidth", "100M"]).expect(0);
    assert!(ran.out.contains("copied") || ran.out.contains("nothing to copy"), "{}", ran.out);
    let count = |repo: &Path| {
        let repo = repo.to_str().unwrap();
        world.run(&["snapshots", "--json", "--repo", repo]).expect(0).result()["snapshots"].as_array().unwrap().len()
    };
    assert_eq!((count(&copy), count(&world.repo())), (3, 1));
    // Removed there, without one: what is new comes all the same, and it is told until it is accepted.
    let hidden = world.objects("snapshots").remove(0);
    fs::remove_file(&hidden).unwrap();
    let told = pull(&world, &["--json"]).expect(14).says("alpha hides 1 snapshot").result();
    assert_eq!(told["lost"].as_array().unwrap().len(), 1);
    pull(&world, &[]).expect(14).says("lost nothing");
    pull(&world, &["--accept-rollback"]).expect(0);
    pull(&world, &[]).expect(0);
    // A disk that is not mounted is not filled from the start.
    fs::rename(world.path("disk/remote"), world.path("elsewhere")).unwrap();
    pull(&world, &[]).expect(75).says("mounted");
}

#[test]
fn a_mounted_repository_is_pulled_without_a_trace_in_it() {
    let world = World::with_repository();
    three_snapshots(&world);
    fs::create_dir(world.path("disk")).unwrap();
    let before = files(&world.repo());
    keyless(&world, &["pull", "alpha", "--from", "repo", "--partition", "disk"]).expect(0);
    assert_eq!(files(&world.path("disk/remote/alpha")), before);
    assert_eq!(files(&world.repo()), before);
    for bad in ["", "..", "a/b", "-x", "a b", ".hidden"] {
        keyless(&world, &["pull", "--from", "repo", "--partition", "disk", "--", bad]).expect(2);
    }
}

#[test]
fn what_a_link_breaks_off_is_gone_on_with() {
    let world = World::with_repository();
    world.file("big", &"0123456789abcdef".repeat(4096), 0o644);
    fs::write(world.path("noise"), noise(9 << 20)).unwrap();
    world.run(&["snapshot", "noise", "big", "--as", "alpha/-/src"]).expect(0);
    fs::create_dir(world.path("disk")).unwrap();
    // The first three lines carry two megabytes at most.
    let program = common::world::PROGRAM;
    let cut = format!(
        "n=$(cat lines 2>/dev/null || echo 0); echo $((n + 1)) > lines\nif [ $n -lt 3 ]; then {program} serve --stdio --read-only --repo repo | dd bs=65536 count=30 status=none; exit 255; fi"
    );
    ssh(&world, &cut);
    pull(&world, &["--threads", "1"]).expect(0);
    assert_eq!(files(&world.path("disk/remote/alpha")), files(&world.repo()));
    assert_eq!(text(&world.path("lines")).trim(), "4");
}

fn noise(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

#[test]
fn a_link_that_cannot_be_made_says_why() {
    let world = World::with_repository();
    fs::create_dir(world.path("disk")).unwrap();
    ssh(&world, "echo 'ssh: connect to host alpha port 2222: Connection refused' >&2; exit 255");
    pull(&world, &[]).expect(1).says("ssh does not get there: ssh: connect to host alpha");
    ssh(&world, "exec sh -c 'no-such-vault serve'");
    pull(&world, &[]).expect(1).says("--remote-vault");
    ssh(&world, "echo \"error: unrecognized subcommand 'serve'\" >&2; exit 2");
    pull(&world, &[]).expect(1).says("older than this one");
    ssh(&world, "echo 'Welcome to alpha, have a nice day'");
    pull(&world, &[]).expect(1).says("login script");
    ssh(&world, "printf '\\033[31mred\\n' >&2; exit 1");
    let ran = pull(&world, &[]).expect(1);
    assert!(!ran.err.contains('\x1b'), "{:?}", ran.err);
    ssh(&world, "");
    let none = keyless(
        &world,
        &["pull", "a", "--from", "ssh://a/no/such", "--partition", "disk", "--remote-vault", common::world::PROGRAM],
    );
    none.expect(10).says("no such folder");
}

#[test]
fn commands_that_read_take_a_place_elsewhere() {
    let world = World::with_repository();
    three_snapshots(&world);
    ssh(&world, "");
    let (far, ssh) = (far(&world), world.path("ssh"));
    let run = |args: &[&str]| {
        let more = ["--repo", &far, "--ssh", ssh.to_str().unwrap(), "--remote-vault", common::world::PROGRAM];
        world.run(&[args, &more].concat())
    };
    assert_eq!(listed_ids(&run(&["snapshots", "--json"]).expect(0).result()).len(), 3);
    assert_eq!(run(&["dump", "alpha/-/src:src/a"]).expect(0).out, "version 2");
    run(&["restore", "alpha/-/src", "--target", "out"]).expect(0);
    assert_eq!(text(&world.path("out/a")), "version 2");
    run(&["check", "--read-data"]).expect(0);
    run(&["snapshot", "src", "--as", "alpha/-/src"]).expect(1).says("run vault there");
    run(&["forget", "--keep-last", "1"]).expect(1).says("run vault there");
    run(&["init"]).expect(2);
}

fn listed_ids(result: &serde_json::Value) -> Vec<String> {
    result["snapshots"].as_array().unwrap().iter().map(|one| one["id"].to_string()).collect()
}

#[test]
fn only_a_repository_is_served_and_only_its_objects() {
    let world = World::new();
    fs::create_dir(world.path("etc")).unwrap();
    world.file("etc/passwd", "secret", 0o644);
    let ran = world.run(&["serve", "--stdio", "--read-only", "--repo", "etc"]).expect(0);
    assert!(!ran.out.contains("secret"));
    world.run(&["serve", "--stdio", "--repo", "etc"]).expect(2);
    world.run(&["serve", "--read-only", "--repo", "etc"]).expect(2);
}

/// A real sshd on this machine, ended with the value.
struct Sshd {
    child: std::process::Child,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    fn start(world: &World, forced: &str) -> Self {
        let keygen = |name: &str| {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(world.path(name))
                .status()
                .unwrap();
            assert!(made.success());
        };
        keygen("hostkey");
        keygen("id");
        let key = text(&world.path("id.pub"));
        world.file("auth", &format!("{forced}{key}"), 0o600);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| world.path(name).display().to_string();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n",
            at("hostkey"),
            at("pid"),
            at("auth")
        );
        let config = world.file("sshd.conf", &config, 0o600);
        let _ = fs::create_dir_all("/run/sshd");
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", &config])
            .stderr(fs::File::create(world.path("sshd.log")).unwrap())
            .spawn()
            .unwrap();
        let mut sshd = Sshd { child, port };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return sshd;
            }
            assert!(sshd.child.try_wait().unwrap().is_none(), "{}", text(&world.path("sshd.log")));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("sshd does not listen: {}", text(&world.path("sshd.log")));
    }
}

#[test]
fn a_real_sshd_lets_a_key_pull_and_do_nothing_else() {
    // Logging in as somebody else than who runs sshd takes root; as root this is the usual case.
    let world = World::with_repository();
    three_snapshots(&world);
    fs::create_dir(world.path("disk")).unwrap();
    let forced = format!(
        "command=\"{} serve --stdio --read-only --repo {}\",restrict ",
        common::world::PROGRAM,
        world.repo().display()
    );
    let sshd = Sshd::start(&world, &forced);
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let from = format!("ssh://{}@127.0.0.1:{}/whatever/is/said", user.trim(), sshd.port);
    let ssh = format!(
        "ssh -F none -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes",
        world.path("id").display()
    );
    let run = |more: &[&str]| {
        let args = ["pull", "alpha", "--from", &from, "--partition", "disk", "--ssh", &ssh];
        keyless(&world, &[&args[..], more].concat())
    };
    let log = || text(&world.path("sshd.log"));
    let ran = run(&["--json"]);
    assert_eq!(ran.code, 0, "{} {}", ran.err, log());
    assert_eq!(ran.result()["snapshots"], 3);
    assert_eq!(files(&world.path("disk/remote/alpha")), files(&world.repo()));
    assert!(run(&[]).expect(0).out.starts_with("nothing to copy"));
    // Another key is not let in.
    fs::write(world.path("auth"), "").unwrap();
    run(&[]).expect(1).says("ssh does not get there").says("Permission denied");
}
