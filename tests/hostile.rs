//! Repositories that a compromised machine wrote with the right keys: whatever they say, nothing leaves the target, steers the terminal,
//! or takes memory and time without bound.

mod common;

use common::{Repo, world::World};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
};
use vault::{
    hash::BlobKind,
    id::{BLOB_ID_LEN, BlobId, SnapshotId},
    model::{
        annotation::{Annotation, Change},
        codec,
        node::{Body, Content, Extent, Meta, Node, Xattr},
        snapshot::{DeviceClass, Head, Problem, Snapshot, Source, SourceKind, Totals, Work},
        tombstone::{GoneHead, Tombstone},
        tree::{Leaf, OwnerName, TreePage},
    },
    monitor::Silent,
    name::Name,
    object::Kind,
    repo::{Repository, WriteOptions},
    series::Series,
    world::Time,
};

/// Sets the title, clears the screen, goes back, turns round, and colours by a C1 control.
const NASTY: &str = "\x1b]0;owned\x07\x1b[2J\r\u{202e}\u{9b}31mx";

fn meta() -> Meta {
    let time = Time::from_sec(1_600_000_000);
    let (mode, uid, gid) = (0o700, 1234, 5678);
    Meta { mode, uid, gid, mtime: time, ctime: time, atime: None, inode: 1, device: 0, links: 1, xattrs: vec![] }
}

fn node(name: &[u8], body: Body) -> Node {
    Node { name: Name::new(name).unwrap(), meta: meta(), body }
}

fn directory(tree: BlobId) -> Body {
    Body::Directory { tree, entries: 1, bytes: 1 }
}

fn leaf(nodes: Vec<Node>) -> Vec<u8> {
    codec::encode(&TreePage::Leaf(Leaf { nodes, ..Leaf::default() }))
}

/// Stores bytes as blobs, whatever they are.
fn store(repo: &Repository, blobs: &[(BlobKind, &[u8])]) -> Vec<BlobId> {
    let session = repo.begin("evil", false, &Silent).unwrap();
    let (index, _) = repo.load_index(true).unwrap();
    let work = |writer: &vault::repo::Writer<'_>| {
        let (mut data, mut tree) = (writer.lane(Kind::DataPack), writer.lane(Kind::TreePack));
        let mut ids = Vec::new();
        for (kind, bytes) in blobs {
            let lane = if *kind == BlobKind::Data { &mut data } else { &mut tree };
            ids.push(lane.store(*kind, bytes)?);
        }
        data.flush()?;
        tree.flush()?;
        Ok(ids)
    };
    session.write(&index, WriteOptions::default(), &Silent, work).unwrap().0
}

fn page(repo: &Repository, bytes: &[u8]) -> BlobId {
    store(repo, &[(BlobKind::Tree, bytes)])[0]
}

/// A snapshot whose one source is this; `change` may say more of it.
fn publish(repo: &Repository, body: Body, change: impl FnOnce(&mut Snapshot)) -> SnapshotId {
    let session = repo.begin("evil", false, &Silent).unwrap();
    let (index, _) = repo.load_index(true).unwrap();
    let (_, written) = session.write(&index, WriteOptions::default(), &Silent, |_| Ok(())).unwrap();
    let end = repo.series_end(&Series::parse("evil/-/app").unwrap()).unwrap().last;
    let (sequence, previous) = end.map_or((1, None), |(id, head)| (head.sequence + 1, Some(id)));
    let kind = SourceKind::Tree { path: b"/src".to_vec(), device: DeviceClass::Unknown };
    let (root, totals) = (node(b"app", body), Totals::default());
    let time = Time::from_sec(1_700_000_000 + sequence as i64 * 86400);
    let mut snapshot = Snapshot {
        series: "evil/-/app".into(),
        head: Head { sequence, previous, time, complete: true },
        finished: time,
        host: "evil".into(),
        user: "root".into(),
        program: "vault".into(),
        sources: vec![Source { kind, root, owner: (None, None), totals, bytes_new: 0, excludes: vec![] }],
        problems: vec![],
        problem_count: 0,
        totals,
        work: Work::default(),
        tags: vec![],
        description: None,
        configuration: None,
    };
    change(&mut snapshot);
    session.publish(&snapshot, &index, &written).unwrap()
}

#[track_caller]
fn assert_tame(args: &[&str], text: &str) {
    let wild = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if let Some(at) = text.find(wild) {
        let start = text[..at].char_indices().rev().nth(60).map_or(0, |(at, _)| at);
        panic!("vault {args:?} says {:?}", text[start..].chars().take(120).collect::<String>());
    }
}

#[test]
fn no_text_of_a_repository_steers_the_terminal() {
    let world = World::with_repository();
    let repo = Repo::open(&world.repo(), b"right").0;
    let data = store(&repo, &[(BlobKind::Data, b"contents")])[0];
    let content = |id| Content::Extents(vec![Extent::Data { id, len: 8, edge: 0 }]);
    let publish_version = |id| {
        let mut nodes = vec![
            node(format!("f{NASTY}").as_bytes(), Body::File { size: 8, content: content(id) }),
            node(format!("l{NASTY}").as_bytes(), Body::Symlink { target: NASTY.into() }),
            node(format!("m{NASTY}").as_bytes(), Body::File { size: 8, content: content(BlobId([9; BLOB_ID_LEN])) }),
            node(format!("p{NASTY}").as_bytes(), Body::Fifo),
        ];
        nodes[0].meta.xattrs = vec![Xattr { name: format!("user.{NASTY}").into(), value: NASTY.into() }];
        let owner = |id| vec![OwnerName { id, name: NASTY.into() }];
        let page =
            page(&repo, &codec::encode(&TreePage::Leaf(Leaf { users: owner(1234), groups: owner(5678), nodes })));
        publish(&repo, directory(page), |snapshot| {
            (snapshot.host, snapshot.user, snapshot.program) = (NASTY.into(), NASTY.into(), NASTY.into());
            snapshot.description = Some(NASTY.into());
            snapshot.configuration = Some(NASTY.into());
            snapshot.problems = vec![Problem { path: NASTY.into(), what: NASTY.into() }];
            (snapshot.problem_count, snapshot.head.complete) = (1, false);
            let source = &mut snapshot.sources[0];
            source.kind = SourceKind::Tree { path: NASTY.into(), device: DeviceClass::Unknown };
            source.owner = (Some(NASTY.into()), Some(NASTY.into()));
            source.excludes = vec![NASTY.into()];
        })
    };
    let first = publish_version(data);
    let other = store(&repo, &[(BlobKind::Data, b"CONTENTS")])[0];
    publish_version(other);
    let last = publish_version(data);
    let series = repo.keys().series_tag(&Series::parse("evil/-/app").unwrap());
    let (host, user) = (NASTY.to_owned(), NASTY.to_owned());
    let changes = vec![Change::Pin { on: true, reason: Some(NASTY.into()) }];
    let time = Time::from_sec(1_700_000_000);
    repo.annotate(&Annotation {
        series,
        snapshot: first,
        counter: 1,
        time,
        host: host.clone(),
        user: user.clone(),
        changes,
    })
    .unwrap();
    let head = repo.snapshots(None).unwrap().listed.into_iter().find(|one| one.id == last).unwrap().snapshot.head;
    let head = GoneHead { series, snapshot: last, head };
    repo.bury(&Tombstone { head, time, host, user, reason: NASTY.into() }).unwrap();
    let secret = vault::keys::slot::Secret::Passphrase(b"other".to_vec().into());
    repo.add_slot(vault::keys::Role::Writer, &secret, vault::keys::slot::Costs::LOW, NASTY).unwrap();

    let first = first.to_string();
    let file = format!("evil/-/app:app/f{NASTY}");
    let commands: &[&[&str]] = &[
        &["snapshots"],
        &["ls", "evil/-/app"],
        &["ls", "-l", "-R", "evil/-/app"],
        &["ls", "--tree", "evil/-/app"],
        &["find", "*"],
        &["log", &file],
        &["diff", "evil/-/app", &first],
        &["diff", "--patch", "evil/-/app", &first],
        &["restore", "evil/-/app", "--target", "out"],
        &["restore", "evil/-/app", "--target", "out2", "--dry-run"],
        &["dump", &format!("evil/-/app:app/m{NASTY}")],
        &["dump", &format!("evil/-/app:app/p{NASTY}")],
        &["check", "--read-data"],
        &["stats"],
        &["key", "list"],
        &["forget", "--keep-last", "1", "--dry-run"],
        &["forget", &first],
        &["prune", "--dry-run"],
        &["tag", "add", "x", &first],
        &["rewrite", &file, "--dry-run"],
        &["repair", "snapshots", "--dry-run"],
        &["copy", "--init", "--to", "replica"],
    ];
    let mut said = 0;
    for args in commands {
        // What is drawn for people has no other form.
        let has_json = !args.iter().any(|arg| matches!(*arg, "--tree" | "--patch") || *arg == "dump");
        let json = has_json.then(|| world.run(&[&["--json"], *args].concat()));
        for ran in [Some(world.run(args)), json].into_iter().flatten() {
            // What a symbolic link or a fifo holds cannot be dumped.
            assert!(ran.code != 2 || ran.err.contains("only these can be dumped"), "vault {args:?}: {}", ran.err);
            assert!(!ran.err.contains("panicked"), "{}", ran.err);
            for text in [&ran.out, &ran.err] {
                assert_tame(args, text);
                said += text.matches("owned").count();
            }
        }
    }
    // They are shown all the same: it would be no test of what is left out.
    assert!(said > 60, "{said}");
}

#[test]
fn names_that_are_no_names_lead_nowhere() {
    // What the program makes for itself, and what it is asked for.
    let outside = |world: &World| {
        let names = fs::read_dir(world.folder()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| !["repo", "cache", "state", "out"].iter().any(|ours| name == ours)).collect::<Vec<_>>()
    };
    for evil in ["../evil", "/..evil", "evil/..", "./.evil", "ev\0evil", ".......", "../../."] {
        let world = World::with_repository();
        let repo = Repo::open(&world.repo(), b"right").0;
        let data = store(&repo, &[(BlobKind::Data, b"contents")])[0];
        let file = |name: &[u8]| {
            let content = Content::Extents(vec![Extent::Data { id: data, len: 8, edge: 0 }]);
            node(name, Body::File { size: 8, content })
        };
        let mut bytes = leaf(vec![file(b"aaaaaaa"), file(b"good")]);
        let at = bytes.windows(7).position(|part| part == b"aaaaaaa").unwrap();
        bytes[at..at + 7].copy_from_slice(evil.as_bytes());
        let fine = evil == ".......";
        let bad = page(&repo, &bytes);
        let whole = page(&repo, &leaf(vec![file(b"whole")]));
        let mut top = vec![node(b"bad", directory(bad)), node(b"good", directory(whole))];
        top.iter_mut().for_each(|node| node.meta.mode = 0o755);
        publish(&repo, directory(page(&repo, &leaf(top))), |_| {});
        let run = |args: &[&str]| {
            let ran = world.run(args);
            assert!(!ran.err.contains("panicked"), "{evil:?}: vault {args:?}: {}", ran.err);
            ran
        };
        let ran = run(&["restore", "evil/-/app", "--target", "out"]);
        assert_eq!(ran.code == 0, fine, "{evil:?}: {}", ran.err);
        assert!(outside(&world).is_empty(), "{evil:?}: {:?}", outside(&world));
        assert_eq!(fs::read(world.path("out/good/whole")).unwrap(), b"contents", "{evil:?}: {}", ran.err);
        assert_eq!(fs::read_dir(world.path("out/bad")).map_or(0, |dir| dir.count()), if fine { 2 } else { 0 });
        for args in [
            &["check"][..],
            &["ls", "-R", "evil/-/app"],
            &["dump", "evil/-/app"],
            &["find", "*"],
            &["prune", "--dry-run"],
            &["rewrite", "evil/-/app:app/good/whole", "--dry-run"],
        ] {
            let mut command = world.command(args);
            let output = command.stdout(Stdio::piped()).output().unwrap();
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(!err.contains("panicked"), "{evil:?}: {err}");
            assert_eq!(output.status.success(), fine, "{evil:?}: vault {args:?}: {err}");
        }
        // A copy without a key holds the same, and hands on no more.
        run(&["copy", "--init", "--to", "replica"]).expect(0);
    }
}

/// Runs with four gibibytes of address space and so many seconds, until it has said so many lines. `None` when it did not end.
fn bounded(world: &World, args: &[&str], lines: usize, seconds: u64) -> (Option<i32>, usize, String) {
    let mut command = Command::new("/usr/bin/timeout");
    command.args(["-s", "KILL", &seconds.to_string(), "/usr/bin/prlimit", &format!("--as={}", 4u64 << 30)]);
    world.surround(command.arg(common::world::PROGRAM).args(args));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    // Who has read enough closes the pipe, which ends what goes on.
    let seen = out.split(b'\n').take(lines).filter(|line| line.is_ok()).count();
    let output = child.wait_with_output().unwrap();
    let killed = seen < lines && output.status.code() == Some(137);
    let code = output.status.code().filter(|_| !killed);
    (code, seen, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_small_tree_of_endlessly_many_entries_costs_what_is_stored() {
    let world = World::with_repository();
    let repo = Repo::open(&world.repo(), b"right").0;
    // Each level holds the one below twice: 2^60 files in 61 pages.
    let endless = |bottom: &[u8]| {
        let mut id = page(&repo, &leaf(vec![node(bottom, Body::Fifo)]));
        for _ in 0..60 {
            id = page(&repo, &leaf(vec![node(b"a", directory(id)), node(b"b", directory(id))]));
        }
        id
    };
    let first = publish(&repo, directory(endless(b"one")), |_| {}).to_string();
    publish(&repo, directory(endless(b"two")), |_| {});
    // What reads what is stored comes to an end.
    for args in [
        &["check", "--read-data"][..],
        &["prune"],
        &["stats"],
        &["copy", "--init", "--to", "replica"],
        &["repair", "index"],
    ] {
        let (code, _, err) = bounded(&world, args, usize::MAX, 100);
        assert!(code.is_some(), "vault {args:?} does not end: {err}");
        assert!(!err.contains("panicked") && !err.contains("memory allocation"), "vault {args:?}: {err}");
    }
    // What tells each entry goes on as long as it is asked, in bounded memory.
    let (_, lines, err) = bounded(&world, &["ls", "-R", "evil/-/app"], 20_000, 100);
    assert_eq!(lines, 20_000, "{err}");
    for args in [&["find", "no-such-name"][..], &["diff", "evil/-/app", &first]] {
        let (_, _, err) = bounded(&world, args, 20_000, 3);
        assert!(!err.contains("panicked") && !err.contains("memory allocation"), "vault {args:?}: {err}");
    }
}

#[test]
fn claims_of_size_take_no_space() {
    let world = World::with_repository();
    let repo = Repo::open(&world.repo(), b"right").0;
    let hole = |len: u64| Body::File { size: len, content: Content::Extents(vec![Extent::Hole { len }]) };
    let nodes =
        vec![node(b"huge", hole(i64::MAX as u64)), node(b"large", hole(1 << 42)), node(b"small", hole(1 << 20))];
    let root = page(&repo, &leaf(nodes));
    publish(&repo, directory(root), |snapshot| {
        let most = Totals { files: u64::MAX, directories: u64::MAX, others: u64::MAX, bytes: u64::MAX };
        (snapshot.totals, snapshot.sources[0].totals) = (most, most);
        let work = Work { files_read: u64::MAX, bytes_read: u64::MAX, bytes_new: u64::MAX, bytes_stored: u64::MAX };
        (snapshot.work, snapshot.problem_count) = (work, u64::MAX);
        (snapshot.head.time, snapshot.finished) = (Time::from_sec(i64::MAX), Time::from_sec(i64::MIN));
    });
    for args in [
        &["snapshots"][..],
        &["stats"],
        &["ls", "-l", "-R", "evil/-/app"],
        &["check"],
        &["forget", "--keep-daily", "3", "--dry-run"],
        &["prune", "--dry-run"],
        &["find", "*"],
        &["restore", "evil/-/app", "--target", "out"],
    ] {
        for args in [args.to_vec(), [&["--json"], args].concat()] {
            let ran = world.run(&args);
            assert!(ran.code >= 0 && !ran.err.contains("panicked"), "vault {args:?}: {}", ran.err);
        }
    }
    assert_eq!(fs::metadata(world.path("out/small")).unwrap().len(), 1 << 20);
    let blocks: u64 = fs::read_dir(world.path("out")).unwrap().map(|e| e.unwrap().metadata().unwrap().blocks()).sum();
    assert!(blocks < 100, "{blocks} blocks");
}
