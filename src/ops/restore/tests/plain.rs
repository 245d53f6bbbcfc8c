//! Into an empty folder: everything as it was.

use super::{super::*, build::*};
use crate::{model::node::Body, monitor::Recording};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// A tree with one of everything that POSIX knows and any user may make.
fn tree() -> Entry {
    let long = [b'n'; 255];
    let many = (0..40).map(|n| Piece::Data(noise(n, 3000))).chain([Piece::Hole(1 << 20)]).collect();
    dir(
        "app",
        vec![
            file("plain", "hello").mode(0o640).xattr("user.note", "yes"),
            file("empty", "").time(-7),
            file(b"new\nline\xff", "odd"),
            file(long, "long"),
            dir(
                "sub",
                vec![file("same", "hello"), dir("deeper", vec![link("up", "../../plain").time(12)]).mode(0o500)],
            )
            .mode(0o750)
            .time(77),
            dir("nothing", vec![]).mode(0o1777),
            pieces("sparse", vec![Piece::Hole(8 << 20), Piece::Data(noise(99, 5000)), Piece::Hole(4 << 20)]),
            pieces("all-hole", vec![Piece::Hole(1 << 30)]),
            pieces("zeros", vec![Piece::Data(vec![0; 9000])]),
            pieces("long-list", many),
            other("pipe", Body::Fifo),
            other("sock", Body::Socket),
            file("one", "linked").linked(5, 3).mode(0o600),
            file("two", "linked").linked(5, 3).mode(0o600),
            link("three", "x").linked(6, 2),
            link("four", "x").linked(6, 2),
        ],
    )
    .mode(0o711)
    .time(4242)
}

fn check(place: &Place) {
    let read = |path: &str| std::fs::read(place.at(path)).unwrap();
    let meta = |path: &str| std::fs::symlink_metadata(place.at(path)).unwrap();
    assert_eq!(read("plain"), b"hello");
    assert_eq!(read("sub/same"), b"hello");
    assert_eq!(std::fs::read(place.at(b"new\nline\xff")).unwrap(), b"odd");
    assert_eq!(std::fs::read(place.at([b'n'; 255])).unwrap(), b"long");
    assert_eq!((meta("").mode() & 0o7777, meta("").mtime(), meta("").mtime_nsec()), (0o711, 4242, 123_456_789));
    assert_eq!((meta("sub").mode() & 0o7777, meta("sub").mtime()), (0o750, 77));
    assert_eq!(meta("sub/deeper").mode() & 0o7777, 0o500);
    assert_eq!(meta("sub/deeper/up").mtime(), 12);
    assert_eq!((meta("nothing").mode() & 0o7777, meta("empty").mtime(), meta("empty").len()), (0o1777, -7, 0));
    assert_eq!((meta("plain").mode() & 0o7777, meta("plain").mtime_nsec()), (0o640, 123_456_789));
    let mut value = [0; 9];
    let len = rustix::fs::getxattr(place.at("plain"), "user.note", &mut value).unwrap();
    assert_eq!(&value[..len], b"yes");
    let mut sparse = vec![0; 8 << 20];
    sparse.extend(noise(99, 5000));
    sparse.resize((12 << 20) + 5000, 0);
    assert!(read("sparse") == sparse);
    assert!(meta("sparse").blocks() < 64, "{}", meta("sparse").blocks());
    assert_eq!((meta("all-hole").len(), meta("all-hole").blocks()), (1 << 30, 0));
    assert_eq!(read("zeros"), [0; 9000]);
    let mut long: Vec<u8> = (0..40).flat_map(|n| noise(n, 3000)).collect();
    long.resize(120_000 + (1 << 20), 0);
    assert!(read("long-list") == long);
    assert!(meta("pipe").file_type().is_fifo());
    assert!(!place.at("sock").exists());
    assert_eq!((meta("one").ino(), meta("one").nlink()), (meta("two").ino(), 2));
    assert_eq!((meta("three").ino(), meta("three").nlink()), (meta("four").ino(), 2));
    assert_eq!(read("two"), b"linked");
}

#[test]
fn a_tree_comes_back_exactly() {
    let place = Place::new();
    let listed = place.snapshot(vec![tree()]);
    let monitor = Recording::default();
    let report = place.run_with(&listed, &place.request(), &monitor).unwrap();
    assert_eq!(report.problems, []);
    check(&place);
    assert_eq!(report.sockets, 1);
    assert_eq!(report.totals, listed.snapshot.totals);
    assert_eq!((report.files_written, report.files_unchanged), (10, 0));
    assert_eq!(monitor.count(Counter::Bytes), report.totals.bytes);
    let all = report.totals.files + report.totals.directories + report.totals.others;
    assert_eq!(monitor.count(Counter::Entries), all);
    assert_eq!(report.shortfall, "");
}

#[test]
fn small_windows_and_few_descriptors_change_nothing() {
    for (files, extents, plan, open) in [(1, 1, 1 << 20, 1), (2, 3, 1 << 20, 2), (100, 100, 1, 1)] {
        let mut place = Place::new();
        place.limits = Limits { files, extents, plan, open, read: 1, gap: 0, in_flight: 1, ways: 1, temporary: 1 };
        let listed = place.snapshot(vec![tree()]);
        place.restore(&listed, &place.request());
        check(&place);
        let report = place.restore(&listed, &Request { verify: true, ..place.in_place() });
        assert_eq!((report.files_written, report.bytes_fetched), (0, 0));
        check(&place);
    }
}

#[test]
fn what_is_written_is_read_back_when_asked() {
    let place = Place::new();
    let listed = place.snapshot(vec![tree()]);
    place.restore(&listed, &Request { verify: true, ..place.request() });
    check(&place);
}

/// Changes every file of the folder when something is read back for the `left`-th time.
struct Spoiler(std::sync::Mutex<usize>, std::path::PathBuf);

impl Monitor for Spoiler {
    fn phase(&self, phase: Phase) {
        use std::os::unix::fs::FileExt;
        let mut left = self.0.lock().unwrap();
        if phase != Phase::Verifying {
            return;
        }
        *left = left.wrapping_sub(1);
        if *left != usize::MAX {
            return;
        }
        for entry in std::fs::read_dir(&self.1).unwrap() {
            let file = std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
            let len = file.metadata().unwrap().len();
            (0..len).step_by(500).for_each(|at| file.write_all_at(b"\0bad\0", at).unwrap());
        }
    }
}

#[test]
fn what_reads_back_otherwise_is_reported_in_every_window() {
    for (before, window) in ["nothing", "file", "linked"].into_iter().flat_map(|b| [0, 1, 2].map(|w| (b, w))) {
        let mut place = Place::new();
        place.limits.extents = 7;
        let pieces_of = (0..20).map(|n| Piece::Data(noise(n, 1000))).collect();
        let listed = place.snapshot(vec![dir("app", vec![pieces("big", pieces_of)])]);
        std::fs::create_dir(place.target()).unwrap();
        if before != "nothing" {
            std::fs::write(place.at("big"), vec![7; 20_000]).unwrap();
        }
        if before == "linked" {
            std::fs::hard_link(place.at("big"), place.target().with_file_name("other")).unwrap();
        }
        let request = Request { verify: true, ..place.in_place() };
        let spoiler = Spoiler(window.into(), place.target());
        let report = place.run_with(&listed, &request, &spoiler).unwrap();
        assert_eq!(report.problem_count, 1, "{before} {window}");
        assert!(report.problems[0].what.contains("reads back"), "{:?}", report.problems);
        assert!(std::fs::read_dir(place.target()).unwrap().all(|e| e.unwrap().file_name() == "big"));
        if let Ok(found) = std::fs::metadata(place.at("big")) {
            assert_ne!(
                found.modified().unwrap(),
                std::time::UNIX_EPOCH + std::time::Duration::new(1_500_000_000, 123_456_789)
            );
        }
    }
}

#[test]
fn one_blob_goes_to_many_files_and_is_fetched_once() {
    let place = Place::new();
    let bytes = noise(1, 7000);
    let files = (0..50).map(|n| file(format!("f{n}"), &bytes)).collect();
    let listed = place.snapshot(vec![dir("app", files)]);
    let report = place.restore(&listed, &place.request());
    assert!(report.bytes_fetched < 8000, "{}", report.bytes_fetched);
    assert_eq!(report.bytes_written, 50 * 7000);
    assert!((0..50).all(|n| std::fs::read(place.at(format!("f{n}"))).unwrap() == bytes));
}

#[test]
fn paths_and_sources_land_where_they_should() {
    let place = Place::new();
    let sub = dir("sub", vec![file("inner", "1")]);
    let listed = place.snapshot(vec![dir("app", vec![sub, file("f", "2")]), file("db", "3")]);
    let at = |path: &str, target: &str| Request {
        path: (!path.is_empty()).then(|| path.into()),
        target: place.base.path().join(target).into_os_string().into_encoded_bytes(),
        ..Request::default()
    };
    for (path, target, there) in [
        ("", "all", "app/sub/inner"),
        ("", "all2", "db"),
        ("app", "app", "sub/inner"),
        ("app/sub/", "sub", "inner"),
        ("app/f", "f", "f"),
        ("db", "db", "db"),
    ] {
        place.restore(&listed, &at(path, target));
        assert!(place.base.path().join(target).join(there).is_file(), "{path}");
    }
    let single = place.snapshot(vec![file("db", "3")]);
    place.restore(&single, &at("", "single"));
    assert!(place.base.path().join("single/db").is_file());
    assert!(matches!(place.run(&listed, &at("app/none", "x")), Err(Error::Usage { .. })));
    assert!(!place.base.path().join("x").exists());
}

#[test]
fn a_folder_with_something_in_it_is_refused() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![file("f", "2")])]);
    std::fs::create_dir(place.target()).unwrap();
    std::fs::write(place.at("mine"), "mine").unwrap();
    for dry_run in [false, true] {
        let what = place.run(&listed, &Request { dry_run, ..place.request() }).unwrap_err();
        assert!(matches!(&what, Error::Refused { what } if what.contains("--in-place")), "{what}");
    }
    let delete = Request { delete: true, ..place.request() };
    assert!(matches!(place.run(&listed, &delete), Err(Error::Usage { .. })));
    assert_eq!(std::fs::read_dir(place.target()).unwrap().count(), 1);
}

/// Stops after so many bytes.
struct Stopper(std::sync::atomic::AtomicU64, u64);

impl Monitor for Stopper {
    fn add(&self, counter: Counter, n: u64) {
        if counter == Counter::Bytes {
            self.0.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
        }
    }
    fn cancelled(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed) >= self.1
    }
}

#[test]
fn who_stops_finds_whole_files_only() {
    for after in [0, 1, 9_000, 40_000, 100_000] {
        let mut place = Place::new();
        place.limits.extents = 7;
        place.limits.read = 1;
        let of = |n: u64| (0..20).map(|m| noise(n * 100 + m, 1000)).collect::<Vec<_>>();
        let files = (0..8).map(|n| pieces(format!("f{n}"), of(n).into_iter().map(Piece::Data).collect()));
        let listed = place.snapshot(vec![dir("app", files.collect())]);
        let result = place.run_with(&listed, &place.request(), &Stopper(0.into(), after));
        assert!(matches!(result, Err(Error::Cancelled)), "{after}: {result:?}");
        for entry in std::fs::read_dir(place.target()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let n: u64 = name.trim_start_matches('f').parse().unwrap();
            assert!(std::fs::read(entry.path()).unwrap() == of(n).concat(), "{after}: {name}");
            assert_eq!(entry.metadata().unwrap().mtime(), 1_500_000_000);
        }
    }
}

#[test]
fn all_names_of_a_file_are_one_and_those_of_another_source_are_others() {
    let place = Place::new();
    let names = |names: &[&str], bytes: &str| names.iter().map(|name| file(name, bytes).linked(5, 4)).collect();
    let sources = vec![dir("one", names(&["a", "b", "c"], "1")), dir("two", names(&["d", "e"], "2"))];
    let listed = place.snapshot(sources);
    place.restore(&listed, &place.request());
    let found = |path: &str| {
        let found = std::fs::metadata(place.at(path)).unwrap();
        (found.nlink(), std::fs::read(place.at(path)).unwrap())
    };
    for path in ["one/a", "one/b", "one/c"] {
        assert_eq!(found(path), (3, b"1".to_vec()), "{path}");
    }
    for path in ["two/d", "two/e"] {
        assert_eq!(found(path), (2, b"2".to_vec()), "{path}");
    }
}
