//! The program mounts, and what is mounted is what was stored. Needs `/dev/fuse` and root; without them each test says that it was
//! skipped.

use std::{
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Longest that a mount, or its end, is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// True when this machine can mount; else says that `test` was skipped.
fn can_mount(test: &str) -> bool {
    let can =
        rustix::process::geteuid().is_root() && fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !can {
        eprintln!("skipped {test}: it takes root and /dev/fuse");
    }
    can
}

/// A folder with a source `app`, a repository with one snapshot of it, and a place to mount at.
struct World {
    dir: tempfile::TempDir,
}

/// A mount that ends with the test.
struct Mounted {
    at: PathBuf,
    child: Child,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_mounted(at: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    device(at).is_some_and(|here| Some(here) != device(at.parent().unwrap()))
}

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl World {
    fn new() -> Self {
        let world = World { dir: tempfile::tempdir().unwrap() };
        for folder in ["app/sub", "mnt"] {
            fs::create_dir_all(world.at(folder)).unwrap();
        }
        fs::write(world.at("app/file"), "hello").unwrap();
        world.good(&["init", "--kdf", "low"]);
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vault"));
        command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TZ", "UTC");
        command.env("HOME", self.dir.path()).env("VAULT_REPO", self.at("repo")).env("VAULT_PASSWORD", "right");
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn snapshot(&self) {
        self.good(&["snapshot", "-q", "--as", "h/-/app", "app"]);
    }

    #[track_caller]
    fn mount(&self, args: &[&str]) -> Mounted {
        let mut command = self.command(&[&["mount", "mnt"], args].concat());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut mounted = Mounted { at: self.at("mnt"), child };
        until("mounted", || is_mounted(&mounted.at) || mounted.child.try_wait().unwrap().is_some());
        if !is_mounted(&mounted.at) {
            panic!("it ended: {}", mounted.said());
        }
        mounted
    }

    /// The newest snapshot's source.
    fn latest(&self) -> PathBuf {
        self.at("mnt/servers/h/-/app/latest/app")
    }

    fn packs(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.at("repo/packs")).unwrap();
        folders
            .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
            .map(|pack| pack.unwrap().path())
            .collect()
    }
}

impl Mounted {
    /// What it wrote to standard error, once it has ended.
    fn said(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Waits for its end.
    #[track_caller]
    fn ends(&mut self) -> i32 {
        until("ended", || self.child.try_wait().unwrap().is_some());
        assert!(!is_mounted(&self.at));
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

fn run(program: &str, args: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } = Command::new(program).args(args).output().unwrap();
    (status.success(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

/// Fills `app` with an entry of each kind, and with all that can be said of one.
fn fill(world: &World) {
    let at = |name: &str| world.at("app").join(name);
    fs::hard_link(at("file"), at("sub/again")).unwrap();
    symlink("a/nowhere", at("link")).unwrap();
    fs::write(at("odd \u{1b}\\\u{fffd} name"), "odd").unwrap();
    for n in 0..2000 {
        fs::write(at(&format!("sub/{n:04}")), format!("file {n}").repeat(n % 200)).unwrap();
    }
    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(20 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &[7; 100_000], 9_999_999).unwrap();
    let script =
        "mkfifo fifo; mknod device c 5 300; chmod 4751 file; chown 1234:5678 sub; setfattr -n user.note -v some file
        setfacl -m u:99:rw file; setfacl -d -m g:98:r sub; touch -d '1966-05-04 03:02:01.987654321' sub/0007";
    let done = Command::new("sh").args(["-e", "-c", script]).current_dir(world.at("app")).status().unwrap();
    assert!(done.success());
}

#[test]
fn what_is_mounted_is_what_was_stored() {
    if !can_mount("what_is_mounted_is_what_was_stored") {
        return;
    }
    let world = World::new();
    fill(&world);
    world.snapshot();
    let mut mounted = world.mount(&[]);
    let (from, to) = (format!("{}/", world.at("app").display()), format!("{}/", world.latest().display()));
    for _ in 0..2 {
        let (good, said) = run("rsync", &["-naHAXSi", "--checksum", "--delete", &from, &to]);
        assert!(good && said.is_empty(), "{said}");
    }
    // Holes are holes: who copies the file writes no zeros.
    let copy = world.at("copy");
    let (good, said) =
        run("cp", &["--sparse=auto", world.latest().join("sparse").to_str().unwrap(), copy.to_str().unwrap()]);
    assert!(good, "{said}");
    assert!(fs::metadata(&copy).unwrap().blocks() * 512 < 1 << 20);
    assert!(fs::read(&copy).unwrap() == fs::read(world.at("app/sparse")).unwrap());
    let numbers = |path: &Path| (fs::metadata(path).unwrap().ino(), fs::metadata(path).unwrap().nlink());
    assert_eq!(numbers(&world.latest().join("file")), numbers(&world.latest().join("sub/again")));
    assert_eq!(fs::metadata(world.latest().join("file")).unwrap().nlink(), 2);
    // Nobody changes the past.
    assert!(fs::write(world.latest().join("file"), "other").is_err());
    assert!(fs::remove_file(world.latest().join("file")).is_err());
    let by_id: Vec<_> = fs::read_dir(world.at("mnt/ids")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(fs::read(by_id[0].join("app/file")).unwrap(), b"hello");
    let by_date: Vec<_> = fs::read_dir(world.at("mnt/by-date")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(fs::read(by_date[0].join("app/file")).unwrap(), b"hello");
    let (good, said) = run("umount", &[world.at("mnt").to_str().unwrap()]);
    assert!(good, "{said}");
    assert_eq!(mounted.ends(), 0);
    // One address only, all of it mine.
    let _mounted = world.mount(&["h/-/app:app/sub", "--owner", "me"]);
    assert_eq!(fs::read(world.at("mnt/again")).unwrap(), b"hello");
    assert_eq!(fs::metadata(world.at("mnt")).unwrap().uid(), 0);
    assert_eq!(fs::read_dir(world.at("mnt")).unwrap().count(), 2001);
}

#[test]
fn it_ends_by_signal_also_in_use_and_what_a_dead_one_left_is_named() {
    if !can_mount("it_ends_by_signal_also_in_use_and_what_a_dead_one_left_is_named") {
        return;
    }
    let world = World::new();
    world.snapshot();
    for signal in ["-INT", "-TERM", "-HUP"] {
        let mut mounted = world.mount(&[]);
        let open = fs::File::open(world.latest().join("file")).unwrap();
        let (good, said) = run("kill", &[signal, &mounted.child.id().to_string()]);
        assert!(good, "{said}");
        assert_eq!(mounted.ends(), 0, "{signal}");
        drop(open);
        assert_eq!(fs::read_dir(world.at("mnt")).unwrap().count(), 0);
    }
    let mut mounted = world.mount(&[]);
    let again = world.command(&["mount", "mnt"]).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is mounted at mnt already"), "{again:?}");
    mounted.child.kill().unwrap();
    mounted.child.wait().unwrap();
    let again = world.command(&["mount", "mnt"]).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("fusermount3 -uz mnt"), "{said}");
    let (good, cleared) = run("fusermount3", &["-uz", world.at("mnt").to_str().unwrap()]);
    assert!(good, "{cleared}");
    for (dir, says) in [("none", "there is no none"), ("app/file", "is no folder")] {
        let refused = world.command(&["mount", dir]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(says), "{refused:?}");
    }
}

#[test]
fn in_the_background_it_goes_on_and_shows_what_is_new() {
    if !can_mount("in_the_background_it_goes_on_and_shows_what_is_new") {
        return;
    }
    let world = World::new();
    world.snapshot();
    let refused = world.command(&["mount", "--background", "none"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("there is no none"), "{refused:?}");
    let said = world.command(&["mount", "--background", "mnt"]).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("to end it: umount mnt"), "{said:?}");
    assert_eq!(fs::read(world.latest().join("file")).unwrap(), b"hello");
    fs::write(world.at("app/file"), "changed").unwrap();
    fs::write(world.at("app/new"), "new").unwrap();
    world.snapshot();
    until("the new snapshot", || fs::read(world.latest().join("new")).is_ok_and(|bytes| bytes == b"new"));
    assert_eq!(fs::read(world.latest().join("file")).unwrap(), b"changed");
    assert_eq!(fs::read_dir(world.at("mnt/ids")).unwrap().count(), 2);
    let (good, said) = run("umount", &[world.at("mnt").to_str().unwrap()]);
    assert!(good, "{said}");
}

#[test]
fn others_are_not_let_in_to_files_whose_owners_are_hidden() {
    let world = World::new();
    let refused = world.command(&["mount", "--allow-other", "--owner", "me", "mnt"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("leave one of them out"), "{refused:?}");
}

#[test]
fn what_the_background_finds_wrong_before_it_is_mounted_reaches_the_exit_code() {
    if !can_mount("what_the_background_finds_wrong_before_it_is_mounted_reaches_the_exit_code") {
        return;
    }
    let world = World::new();
    world.snapshot();
    let series = fs::read_dir(world.at("repo/snapshots")).unwrap().next().unwrap().unwrap().path();
    let object = fs::read_dir(series).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&object).unwrap();
    bytes[2000] ^= 1;
    fs::remove_file(&object).unwrap();
    fs::write(&object, bytes).unwrap();
    let said = world.command(&["mount", "--background", "--json", "mnt"]).output().unwrap();
    let (good, end) = run("umount", &[world.at("mnt").to_str().unwrap()]);
    assert!(good, "{end}");
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stdout).contains("is not shown"), "{said:?}");
}

#[test]
fn a_mount_that_nobody_can_be_told_of_is_undone() {
    if !can_mount("a_mount_that_nobody_can_be_told_of_is_undone") {
        return;
    }
    let world = World::new();
    world.snapshot();
    let mut command = world.command(&["mount", "--background", "mnt"]);
    let mut child = command.env("VAULT_MOUNT_DETACHED", "1").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(!child.wait().unwrap().success());
    assert!(!is_mounted(&world.at("mnt")));
    // Nothing dead is left there either.
    assert_eq!(fs::read_dir(world.at("mnt")).unwrap().count(), 0);
}

#[test]
fn damage_costs_what_it_hits_and_a_store_that_is_gone_hangs_nobody() {
    if !can_mount("damage_costs_what_it_hits_and_a_store_that_is_gone_hangs_nobody") {
        return;
    }
    let world = World::new();
    world.snapshot();
    let before = world.packs();
    let noise: Vec<u8> =
        (0..300_000u32).flat_map(|n| blake3::hash(&n.to_le_bytes()).as_bytes()[..1].to_vec()).collect();
    fs::write(world.at("app/bad"), &noise).unwrap();
    world.snapshot();
    let packs: Vec<PathBuf> = world.packs().into_iter().filter(|pack| !before.contains(pack)).collect();
    let data = packs.iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap();
    let mut bytes = fs::read(data).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(data).unwrap();
    fs::write(data, bytes).unwrap();
    let mut mounted = world.mount(&[]);
    let failure = fs::read(world.latest().join("bad")).unwrap_err();
    assert_eq!(failure.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert_eq!(fs::read(world.latest().join("file")).unwrap(), b"hello");
    assert_eq!(fs::read_dir(world.latest()).unwrap().count(), 3);
    fs::remove_dir_all(world.at("repo")).unwrap();
    assert!(fs::read(world.latest().join("bad")).is_err());
    let (good, said) = run("umount", &[world.at("mnt").to_str().unwrap()]);
    assert!(good, "{said}");
    // What could not be read was told, and is no good end.
    assert_eq!(mounted.ends(), 1);
    let said = mounted.said();
    let name = data.file_name().unwrap().to_str().unwrap();
    assert_eq!(said.matches(name).count(), 1, "{said}");
    assert!(said.contains(":app/bad cannot be read"), "{said}");
}

#[test]
fn a_user_mounts_by_fusermount3() {
    if !can_mount("a_user_mounts_by_fusermount3") {
        return;
    }
    let world = World::new();
    world.snapshot();
    let chown = run("chown", &["-R", "65534:65534", world.dir.path().to_str().unwrap()]);
    assert!(chown.0, "{}", chown.1);
    // In a world of its own, where the device is open to all, as it is on most machines.
    let script = "mknod -m 666 fuse c 10 229; mount --bind fuse /dev/fuse
        user() { setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"; }
        user \"$VAULT\" mount --background --owner me mnt
        user cat mnt/servers/h/-/app/latest/app/file; user stat -c ' %u' mnt/servers/h/-/app/latest/app/file
        cat mnt/servers 2>/dev/null && echo root may enter
        user fusermount3 -u mnt";
    let mut command = world.command(&[]);
    let env: Vec<_> = command.get_envs().map(|(key, value)| (key.to_owned(), value.unwrap().to_owned())).collect();
    command = Command::new("unshare");
    command.args(["-m", "sh", "-e", "-c", script]).envs(env).env("VAULT", env!("CARGO_BIN_EXE_vault"));
    let Output { status, stdout, stderr } = command.current_dir(world.dir.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if err.contains("unshare failed") || err.contains("mknod:") {
        return eprintln!(
            "skipped a_user_mounts_by_fusermount3: it takes a machine that can set up a user's world: {err}"
        );
    }
    assert!(status.success(), "{out}{err}");
    assert_eq!(out, "hello 65534\n", "{err}");
}
