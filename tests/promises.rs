//! What the program promises, held with the program itself on real trees: exactness, growth, memory, secrecy.

mod common;

use common::{
    noise,
    world::{PROGRAM, World},
};
use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{Read, Write},
    mem::MaybeUninit,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a run took.
struct Cost {
    /// Peak memory in bytes.
    memory: u64,
    out: String,
}

/// Runs the program, which must succeed.
#[track_caller]
fn run(world: &World, args: &[&str]) -> Cost {
    let report = world.path("cost");
    let mut command = Command::new("/usr/bin/time");
    world.surround(command.args(["-f", "%M", "-o"]).arg(&report).arg(PROGRAM).args(args));
    let output = command.output().expect("GNU time runs the program");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "vault {args:?}: {}: {text}", output.status);
    let memory = fs::read_to_string(&report).unwrap().trim().parse::<u64>().unwrap() * 1024;
    Cost { memory, out: String::from_utf8_lossy(&output.stdout).into_owned() }
}

fn snapshot(world: &World, path: &Path) -> Cost {
    run(world, &["snapshot", "--as", "alpha/-/tree", path.to_str().unwrap()])
}

fn restore(world: &World, target: &Path) -> Cost {
    run(world, &["restore", "alpha/-/tree", "--target", target.to_str().unwrap()])
}

/// Bytes of all objects.
fn size(world: &World) -> u64 {
    world.objects("").iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

/// Fails unless two trees are equal to the last bit of metadata that rsync knows.
#[track_caller]
fn assert_equal(a: &Path, b: &Path) {
    assert_equal_but(&[], a, b);
}

/// The same for what these options of rsync's leave.
#[track_caller]
fn assert_equal_but(options: &[&str], a: &Path, b: &Path) {
    let (a, b) = (format!("{}/", a.display()), format!("{}/", b.display()));
    let mut rsync = Command::new("rsync");
    rsync.args(["-naHAXSi", "--checksum", "--delete"]).args(options).args([&a, &b]);
    let output = rsync.output().expect("rsync runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.is_empty(), "{}", text.chars().take(3000).collect::<String>());
}

fn shell(script: &str, dir: &Path) {
    let status = Command::new("bash").args(["-euc", script]).current_dir(dir).status().unwrap();
    assert!(status.success(), "{script}");
}

const MIB: u64 = 1 << 20;

#[test]
fn a_real_system_tree_comes_back_exactly() {
    let world = World::with_repository();
    // More than a hundred thousand entries on a usual machine: links, hard links, set-id programs, capabilities. How much the largest files
    // take is the machine's own affair, and may be more than there is room for; those that are cut into parts begin at 1 MiB.
    let (tree, largest) = (Path::new("/usr"), "4M");
    shell(
        "find /usr -xdev -type f -size +1024k -size -4096k -print -quit | grep . || ! echo 'no file of 1 to 4 MiB is in /usr'",
        &world.path(""),
    );
    let take = ["--json", "snapshot", "--as", "alpha/-/tree", "--exclude-larger-than", largest, "/usr"];
    let first = run(&world, &take);
    assert!(first.memory < 200 * MIB, "{} MiB", first.memory / MIB);
    let restored = restore(&world, &world.path("out"));
    assert!(restored.memory < 200 * MIB, "{} MiB", restored.memory / MIB);
    assert_equal_but(&["--max-size", largest], tree, &world.path("out"));

    let before = size(&world);
    let json = run(&world, &take).out;
    assert!(size(&world) - before < 64 << 10, "{}", size(&world) - before);
    let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert!(json.contains("\"files_read\":0"), "{last}");
    run(&world, &["check", "--read-data"]);
}

/// Regular files below a tree of which the kernel says that they were opened while `work` ran, by path.
fn opened_meanwhile(tree: &Path, work: impl FnOnce()) -> BTreeSet<PathBuf> {
    let guard = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    let (mut watched, mut stack) = (HashMap::new(), vec![tree.to_owned()]);
    while let Some(dir) = stack.pop() {
        let flags = WatchFlags::OPEN | WatchFlags::ONLYDIR;
        // A listing opens its directory: before it is watched.
        stack.extend(fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()));
        watched.insert(inotify::add_watch(&guard, &dir, flags).unwrap(), dir);
    }
    work();
    let (mut room, mut opened) = ([MaybeUninit::uninit(); 64 << 10], BTreeSet::new());
    let mut events = inotify::Reader::new(guard, &mut room);
    loop {
        match events.next() {
            Err(Errno::AGAIN) => return opened,
            event => {
                let event = event.unwrap();
                assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW), "the kernel lost count");
                if let Some(name) = event.file_name().filter(|_| !event.events().contains(ReadFlags::ISDIR)) {
                    opened.insert(watched[&event.wd()].join(std::ffi::OsStr::from_bytes(name.to_bytes())));
                }
            }
        }
    }
}

#[test]
fn what_has_not_changed_is_not_even_opened() {
    let world = World::with_repository();
    let tree = world.path("tree");
    let mut files = BTreeSet::new();
    for i in 0..300 {
        let path = tree.join(format!("{}/{}/{i}", i % 7, i % 3));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, noise(i * 40, i as u64)).unwrap();
        files.insert(path);
    }
    let long = tree.join("long");
    fs::write(&long, noise(3 << 20, 1)).unwrap();
    files.insert(long.clone());
    std::os::unix::fs::symlink("long", tree.join("link")).unwrap();
    shell("mkfifo pipe", &tree);
    // What changes within a tick of the file system's clock could change again without a trace, and is read again.
    let settle = || std::thread::sleep(std::time::Duration::from_millis(50));
    settle();
    // That all are seen the first time shows that the watch sees.
    assert_eq!(opened_meanwhile(&tree, || drop(snapshot(&world, &tree))), files);

    let mut out = String::new();
    let json = ["--json", "snapshot", "--as", "alpha/-/tree", tree.to_str().unwrap()];
    assert_eq!(opened_meanwhile(&tree, || out = run(&world, &json).out), BTreeSet::new());
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["snapshot"]["work"]["files_read"], &last["files_opened"]), (&0.into(), &0.into()), "{last}");
    assert_eq!(last["files_unchanged"], files.len());

    fs::write(&long, b"short").unwrap();
    settle();
    assert_eq!(opened_meanwhile(&tree, || drop(snapshot(&world, &tree))), [long].into());
}

#[test]
fn odd_entries_come_back_exactly() {
    let world = World::with_repository();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    for name in [&b"line\nbreak"[..], b"\x1b[31mred", b"not utf-8 \xff\xfe", b" blank ", b"-rf", &[b'n'; 255]] {
        fs::write(tree.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    shell(
        r#"
        mkdir -p a/b 'd/with spaces' empty; echo one > a/one; ln a/one a/b/two; ln -s nowhere a/dangling; ln -s /etc a/outward
        mkfifo pipe; setfattr -n user.note -v 'a value' a/one; setfattr -n user.dir -v x d
        setfacl -m u:1234:rw,g:4321:r a/one; setfacl -d -m u:77:rwx d
        truncate -s 40M holes; printf data | dd of=holes bs=1 seek=20000000 conv=notrunc status=none
        chmod 4751 a/one; chmod 1777 d; chmod 0 empty; touch -h -d '1969-12-31 23:59:58.987654321' a/dangling a/b
        touch -d '2400-02-29 12:00:00.000000001' d
        if [ "$(id -u)" = 0 ]; then
            mknod null c 1 3; mknod loop b 7 7; echo x > owned; chown 4000:5000 owned; chown -h 6:7 a/outward
            cp /bin/true capable; setcap cap_net_raw+ep capable; setfattr -n trusted.secret -v 1 a/b
        fi
        "#,
        &tree,
    );
    // A path longer than PATH_MAX.
    shell("for i in $(seq 60); do n=$(printf 'deep%0100d' $i); mkdir $n; cd $n; done; echo bottom > file", &tree);
    snapshot(&world, &tree);
    restore(&world, &world.path("out"));
    // rsync itself cannot follow paths that long.
    shell(
        "cmp <(cd tree && find . -printf '%P %y %m %s %T@ %U:%G %n\n' | sort) <(cd out && find . -printf '%P %y %m %s %T@ %U:%G %n\n' | sort)",
        world.folder(),
    );
    for root in ["tree", "out"] {
        shell("find . -name 'deep*' -maxdepth 1 -exec rm -r {} +", &world.path(root));
    }
    shell("touch -r tree out", world.folder());
    assert_equal(&tree, &world.path("out"));
    let blocks = fs::metadata(world.path("out/holes")).unwrap().blocks();
    assert!(blocks < 200, "holes were filled: {blocks} blocks");
}

#[test]
fn files_met_more_often_than_they_have_links_are_no_trouble() {
    let world = World::with_repository();
    let tree = world.path("tree");
    fs::create_dir_all(tree.join("a")).unwrap();
    fs::create_dir_all(tree.join("b")).unwrap();
    for i in 0..300 {
        fs::write(tree.join(format!("a/f{i}")), noise(5000, i as u64)).unwrap();
        fs::hard_link(tree.join(format!("a/f{i}")), tree.join(format!("a/g{i}"))).unwrap();
    }
    // In a name space of its own, where the same folder is mounted a second time.
    let script = format!("mount --bind a b && exec timeout 60 {PROGRAM} snapshot --quiet --as alpha/-/tree \"$PWD\"");
    let mut command = Command::new("unshare");
    world.surround(&mut command);
    let status = command
        .args(if rustix::process::geteuid().is_root() { ["-m", "--"] } else { ["-rm", "--"] })
        .args(["sh", "-c", &script])
        .current_dir(&tree)
        .status()
        .expect("unshare runs");
    assert!(status.success(), "{status}");
    run(&world, &["check"]);
    restore(&world, &world.path("out"));
    assert_eq!(fs::read_dir(world.path("out/b")).unwrap().count(), 600);
}

#[test]
fn one_new_file_among_200_000_adds_little() {
    let world = World::with_repository();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    for i in 0..200_000 {
        fs::write(tree.join(format!("{:08x}.mail", i * 21)), format!("mail {i}")).unwrap();
    }
    let first = snapshot(&world, &tree);
    assert!(first.memory < 200 * MIB, "{} MiB", first.memory / MIB);
    let before = size(&world);
    fs::write(tree.join("00100000.new"), "one more").unwrap();
    snapshot(&world, &tree);
    let added = size(&world) - before;
    assert!(added < 128 << 10, "{added}");
}

#[test]
fn a_byte_in_front_of_a_gibibyte_adds_little() {
    let world = World::with_repository();
    let file = world.path("big");
    let mut out = fs::File::create(&file).unwrap();
    for part in 0..64 {
        out.write_all(&noise(16 << 20, part)).unwrap();
    }
    let first = snapshot(&world, &file);
    assert!(first.memory < 200 * MIB, "{} MiB", first.memory / MIB);
    let before = size(&world);
    let shifted = world.path("shifted");
    let mut out = fs::File::create(&shifted).unwrap();
    out.write_all(b"!").unwrap();
    std::io::copy(&mut fs::File::open(&file).unwrap(), &mut out).unwrap();
    fs::rename(&shifted, &file).unwrap();
    snapshot(&world, &file);
    let added = size(&world) - before;
    assert!(added < 2 * MIB, "{added}");
}

#[test]
fn holes_cost_neither_time_nor_memory() {
    let world = World::with_repository();
    let file = world.path("sparse");
    let sparse = fs::File::create(&file).unwrap();
    sparse.set_len(64 << 30).unwrap();
    sparse.write_all_at(b"an island", 33 << 30).unwrap();
    let cost = snapshot(&world, &file);
    assert!(cost.memory < 200 * MIB, "{} MiB", cost.memory / MIB);
    // Read as bytes, 64 GiB would leave more than this in lists of extents alone.
    assert!(size(&world) < 100 << 10, "{}", size(&world));
    let cost = restore(&world, &world.path("out"));
    assert!(cost.memory < 200 * MIB, "{} MiB", cost.memory / MIB);
    let restored = fs::File::open(world.path("out/sparse")).unwrap();
    assert_eq!(restored.metadata().unwrap().len(), 64 << 30);
    assert!(restored.metadata().unwrap().blocks() < 100);
    let mut island = [0; 9];
    restored.read_exact_at(&mut island, 33 << 30).unwrap();
    assert_eq!(&island, b"an island");
}

#[test]
fn killed_at_any_moment_it_loses_nothing_and_just_runs_again() {
    let world = World::with_repository();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    let mut acknowledged = 0;
    for round in 0..30u64 {
        for i in 0..20 {
            fs::write(tree.join(format!("round-{round}-{i}")), noise(200_000, round * 20 + i)).unwrap();
        }
        let mut child = world
            .command(&["snapshot", "--quiet", "--as", "alpha/-/tree", tree.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From before it opens the repository to after it is done.
        std::thread::sleep(std::time::Duration::from_millis(round * 17));
        let _ = child.kill();
        acknowledged += u64::from(child.wait().unwrap().success());
    }
    snapshot(&world, &tree);
    run(&world, &["check", "--read-data"]);
    let list = run(&world, &["--json", "snapshots"]).out;
    let list: serde_json::Value = serde_json::from_str(list.lines().last().unwrap()).unwrap();
    assert!(list["snapshots"].as_array().unwrap().len() as u64 > acknowledged);
    restore(&world, &world.path("out"));
    assert_equal(&tree, &world.path("out"));
}

#[test]
fn nothing_of_the_sources_shows_in_the_repository() {
    let world = World::with_repository();
    let tree = world.path("treename-4711");
    fs::create_dir_all(tree.join("foldername-4711")).unwrap();
    // Contents that do not compress are stored as they are, but for the seal.
    let secret = noise(100_000, 3);
    fs::write(tree.join("foldername-4711/filename-4711"), &secret).unwrap();
    fs::write(tree.join("text"), "contents-4711 ".repeat(1000)).unwrap();
    let path = tree.to_str().unwrap();
    run(&world, &["snapshot", "--as", "servername-4711/vmname-4711/appname-4711", "--tag", "tag-4711", path]);
    let objects = world.objects("");
    assert!(objects.len() >= 6, "{objects:?}");
    for object in objects {
        let mut bytes = Vec::new();
        fs::File::open(&object).unwrap().read_to_end(&mut bytes).unwrap();
        let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
        assert!(!holds(b"4711"), "{}", object.display());
        assert!(!secret.chunks(1000).any(|part| holds(&part[..32])), "{}", object.display());
        // With the dash: four digits alone turn up in one hexadecimal name of a thousand.
        assert!(!object.strip_prefix(world.path("repo")).unwrap().to_string_lossy().contains("-4711"));
    }
}
