use super::*;
use crate::{
    model::node::Body,
    monitor::{Recording, Silent},
    ops::{
        fixture::{self, Fixture, Item},
        snapshot,
    },
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

fn said(difference: &Difference) -> String {
    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let path = shown(&difference.path);
    match &difference.change {
        Change::Added(_) => format!("+{path}"),
        Change::Removed(_) => format!("-{path}"),
        Change::Changed { what, .. } => format!("*{path} {what}"),
        Change::Moved { from, what, .. } => format!(">{} {path} {what}", shown(from)),
    }
}

fn between(fixture: &Fixture, before: Side<'_>, after: Side<'_>) -> (Vec<String>, Report) {
    let index = fixture.index();
    let reader = BlobReader::new(&fixture.repo, &index);
    let mut heard = Vec::new();
    let mut each = |difference: &Difference| {
        heard.push(said(difference));
        Ok(())
    };
    let report = diff(&reader, before, after, &mut each, &Silent).unwrap();
    (heard, report)
}

fn of(before: Item, after: Item) -> (Vec<String>, Report) {
    let fixture = Fixture::new();
    let before = fixture.snapshot("h/-/s", 1, vec![("app", before)]);
    let after = fixture.snapshot("h/-/s", 2, vec![("app", after)]);
    between(&fixture, Side { listed: &before, path: None }, Side { listed: &after, path: None })
}

fn with(mut item: Item, change: impl FnOnce(&mut crate::model::node::Meta)) -> Item {
    change(&mut item.meta);
    item
}

#[test]
fn each_kind_of_difference_is_told_and_counted() {
    let before = fixture::dir(vec![
        ("a", fixture::file(b"12345")),
        ("b", fixture::file(b"b")),
        ("link", fixture::other(Body::Symlink { target: b"x".to_vec() })),
        ("old", fixture::dir(vec![("in", fixture::file(b"123"))])),
        ("same", fixture::file(b"same")),
    ]);
    let after = fixture::dir(vec![
        ("a", fixture::file(b"1234567")),
        ("b", with(fixture::file(b"b"), |meta| (meta.mode, meta.uid) = (0o600, 0))),
        ("link", fixture::other(Body::Symlink { target: b"y".to_vec() })),
        ("new", fixture::file(b"1234")),
        ("same", with(fixture::file(b"same"), |meta| meta.inode = 77)),
    ]);
    let (heard, report) = of(before, after);
    let expected = ["*app/a content", "*app/b mode, owner", "*app/link target", "+app/new", "-app/old", "-app/old/in"];
    assert_eq!(heard, expected);
    assert_eq!((report.added, report.removed, report.changed, report.metadata), (1, 2, 2, 1));
    assert_eq!((report.bytes_added, report.bytes_removed), (4 + 7, 3 + 5));
    assert!(!report.is_equal() && report.unreadable.is_empty());
}

#[test]
fn what_was_moved_is_told_once() {
    let tree = || fixture::dir(vec![("x", fixture::file(b"x")), ("y", fixture::file(b"y"))]);
    let before = fixture::dir(vec![
        ("a", fixture::file(b"one")),
        ("b", fixture::file(b"two")),
        ("dir", tree()),
        ("empty", fixture::file(b"")),
        ("sub", fixture::dir(vec![("name", fixture::file(b"same")), ("other", fixture::file(b"same"))])),
    ]);
    let after = fixture::dir(vec![
        ("c", with(fixture::file(b"one"), |meta| meta.mode = 0o600)),
        ("empty2", fixture::file(b"")),
        ("moved", tree()),
        ("tub", fixture::dir(vec![("b", fixture::file(b"two")), ("other", fixture::file(b"same"))])),
    ]);
    let (heard, report) = of(before, after);
    let expected = [
        ">app/a app/c mode",
        "-app/empty",
        "+app/empty2",
        ">app/dir app/moved ",
        "-app/sub",
        "-app/sub/name",
        "+app/tub",
        ">app/b app/tub/b ",
        ">app/sub/other app/tub/other ",
    ];
    assert_eq!(heard, expected);
    assert_eq!((report.moved, report.added, report.removed), (4, 2, 3));
}

#[test]
fn equal_parts_are_equal_whatever_is_around_them() {
    let fixture = Fixture::new();
    let part = |text: &str| fixture::dir(vec![("f", fixture::file(text.as_bytes()))]);
    let one = fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("a", part("x")), ("z", part("x"))]))]);
    let two = fixture.snapshot("h/-/s", 2, vec![("app", fixture::dir(vec![("a", part("y")), ("z", part("x"))]))]);
    let side = |listed, path: &'static str| Side { listed, path: Some(path.as_bytes()) };
    assert!(between(&fixture, side(&one, "app/z"), side(&two, "app/z/")).1.is_equal());
    assert!(between(&fixture, side(&one, "app/a"), side(&two, "app/z")).1.is_equal(), "called otherwise, but the same");
    assert_eq!(between(&fixture, side(&one, "app/a/f"), side(&two, "app/a/f")).0, ["*app/a/f content"]);
    let index = fixture.index();
    let reader = BlobReader::new(&fixture.repo, &index);
    let nowhere = diff(&reader, side(&one, "app/q"), side(&two, "app/a"), &mut |_| Ok(()), &Silent);
    assert!(matches!(nowhere, Err(Error::Usage { .. })));
    let stopped = Recording::default();
    stopped.cancel();
    let stopped = diff(&reader, side(&one, "app"), side(&two, "app"), &mut |_| Ok(()), &stopped);
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn contents_of_small_files_come_with_their_holes() {
    let fixture = Fixture::new();
    let pieces =
        vec![fixture::Piece::Data(b"ab".to_vec()), fixture::Piece::Hole(3), fixture::Piece::Data(b"c".to_vec())];
    let large = vec![fixture::Piece::Hole(TEXT_MAX + 1)];
    let sources = vec![("small", fixture::pieces(pieces)), ("vast", fixture::pieces(large))];
    let listed = fixture.snapshot("h/-/s", 1, sources);
    let index = fixture.index();
    let reader = BlobReader::new(&fixture.repo, &index);
    let [small, vast] = &listed.snapshot.sources[..] else { panic!() };
    assert_eq!(contents(&reader, &small.root).unwrap().unwrap(), b"ab\0\0\0c");
    assert!(contents(&reader, &vast.root).unwrap().is_none());
    assert!(is_text("grün\n".as_bytes()) && !is_text(b"a\0"));
}

/// A folder and a snapshot of it.
struct There {
    fixture: Fixture,
    dir: tempfile::TempDir,
    listed: Listed,
}

impl There {
    fn new() -> Self {
        let (fixture, dir) = (Fixture::new(), tempfile::tempdir().unwrap());
        let path = |name: &str| dir.path().join("app").join(name);
        fs::create_dir_all(path("sub/deep")).unwrap();
        for (name, text) in [("a", "aaaa"), ("b", "bbbb"), ("sub/c", "c"), ("sub/deep/d", "d"), ("left-out.tmp", "x")] {
            fs::write(path(name), text).unwrap();
        }
        std::os::unix::fs::symlink("a", path("link")).unwrap();
        let request = snapshot::Request {
            excludes: crate::fs::exclude::ExcludeOptions { patterns: vec!["*.tmp".into()], ..Default::default() },
            delta: false,
            threads: 1,
            ..fixture::request("h/-/s", vec![fixture::path("app", &path(""))])
        };
        snapshot::snapshot(&fixture.repo, request, &Silent).unwrap();
        let listed = fixture.repo.snapshots(None).unwrap().listed.remove(0);
        There { fixture, dir, listed }
    }

    fn app(&self) -> std::path::PathBuf {
        self.dir.path().join("app")
    }

    fn differences(&self, path: Option<&str>, live: &Path, content: bool) -> (Vec<String>, Report) {
        let index = self.fixture.index();
        let reader = BlobReader::new(&self.fixture.repo, &index);
        let mut heard = Vec::new();
        let mut each = |difference: &Difference| {
            heard.push(said(difference));
            Ok(())
        };
        let side = Side { listed: &self.listed, path: path.map(str::as_bytes) };
        let live = Live { path: live.as_os_str().as_encoded_bytes(), content, protect: None };
        let report = diff_live(&reader, side, live, &mut each, &Silent).unwrap();
        (heard, report)
    }
}

/// Gives a file other bytes, and then the time that it had.
fn change_secretly(path: &Path, bytes: &str) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_folder_that_did_not_change_is_equal_to_its_snapshot() {
    let there = There::new();
    for content in [false, true] {
        let (heard, report) = there.differences(None, &there.app(), content);
        assert!(report.is_equal() && report.unreadable.is_empty(), "{heard:?} {report:?}");
    }
    let (heard, _) = there.differences(Some("app/sub"), &there.app().join("sub"), true);
    assert!(heard.is_empty(), "{heard:?}");
    let (heard, _) = there.differences(Some("app/sub/c"), &there.app().join("sub/c"), true);
    assert!(heard.is_empty(), "{heard:?}");
}

#[test]
fn changes_of_a_folder_are_told_and_secret_ones_when_files_are_read() {
    let there = There::new();
    let path = |name: &str| there.app().join(name);
    change_secretly(&path("b"), "BBBB");
    fs::write(path("a"), "longer than before").unwrap();
    fs::set_permissions(path("sub/c"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path("new.tmp"), "left out").unwrap();
    fs::rename(path("sub/deep"), there.dir.path().join("elsewhere")).unwrap();
    fs::remove_file(path("link")).unwrap();
    fs::create_dir(path("link")).unwrap();
    fs::write(path("link/x"), "x").unwrap();
    let mut expected = vec!["*app time", "*app/a content, time", "*app/link type", "+app/link/x", "*app/sub time"];
    expected.extend(["*app/sub/c mode", "-app/sub/deep", "-app/sub/deep/d"]);
    let clean = |(heard, _): (Vec<String>, Report)| -> Vec<String> {
        heard
            .into_iter()
            .map(|line| if line.starts_with("*app/link") { "*app/link type".into() } else { line })
            .collect()
    };
    assert_eq!(clean(there.differences(None, &there.app(), false)), expected);
    expected.insert(2, "*app/b content");
    assert_eq!(clean(there.differences(None, &there.app(), true)), expected);
}

#[test]
fn a_directory_that_became_a_file_and_the_other_way_round() {
    let there = There::new();
    fs::remove_dir_all(there.app().join("sub")).unwrap();
    fs::write(there.app().join("sub"), "a file now").unwrap();
    let (heard, _) = there.differences(None, &there.app(), true);
    assert!(heard.iter().any(|line| line.starts_with("*app/sub type")), "{heard:?}");
    assert_eq!(heard.iter().filter(|line| line.starts_with("-app/sub/")).count(), 3, "{heard:?}");
    let (heard, _) = there.differences(Some("app/a"), &there.app(), false);
    assert!(heard[0].starts_with("*app/a type") && heard.contains(&"+app/a/b".into()), "{heard:?}");
}

#[test]
fn what_cannot_be_listed_is_told_and_the_rest_compared() {
    let there = There::new();
    if rustix::process::geteuid().is_root() {
        // Root reads everything; a folder that is not there is what is left to try.
        let index = there.fixture.index();
        let reader = BlobReader::new(&there.fixture.repo, &index);
        let side = Side { listed: &there.listed, path: None };
        let live = Live { path: b"/does/not/exist", content: false, protect: None };
        let refused = diff_live(&reader, side, live, &mut |_| Ok(()), &Silent);
        assert!(matches!(refused, Err(Error::Usage { .. })));
        return;
    }
    fs::set_permissions(there.app().join("sub"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::write(there.app().join("z"), "new").unwrap();
    let (heard, report) = there.differences(None, &there.app(), true);
    fs::set_permissions(there.app().join("sub"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(heard.contains(&"+app/z".into()) && !report.unreadable.is_empty(), "{heard:?}");
}
