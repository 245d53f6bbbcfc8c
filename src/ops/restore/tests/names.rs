//! Entries with several names, some of which nobody asked for.

use super::{super::*, build::*};
use crate::{model::node::Body, monitor::Recording};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::{
    fs::{create_dir, hard_link, remove_file, rename, set_permissions, symlink_metadata},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

fn inode(path: impl AsRef<Path>) -> u64 {
    symlink_metadata(path).unwrap().ino()
}

/// Changes when a symbolic link was changed last.
fn touch(link: &Path) {
    let time = Timespec { tv_sec: 7, tv_nsec: 0 };
    utimensat(CWD, link, &Timestamps { last_access: time, last_modification: time }, AtFlags::SYMLINK_NOFOLLOW)
        .unwrap();
}

#[test]
fn a_pipe_or_link_that_has_another_name_outside_is_made_anew_when_it_differs() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![link("l", "to"), other("p", Body::Fifo)])]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    let outside = place.base.path().join("outside");
    create_dir(&outside).unwrap();
    let names = ["l", "p"];
    names.iter().for_each(|name| hard_link(place.at(name), outside.join(name)).unwrap());
    let of = |folder: &Path| names.map(|name| inode(folder.join(name)));
    let theirs = of(&outside);

    // As long as it is right it stays the same one.
    let time = std::fs::metadata(place.target()).unwrap().modified().unwrap();
    place.restore(&listed, &place.in_place());
    assert_eq!((of(&place.target()), std::fs::metadata(place.target()).unwrap().modified().unwrap()), (theirs, time));

    touch(&outside.join("l"));
    set_permissions(outside.join("p"), PermissionsExt::from_mode(0o640)).unwrap();
    let would = place.restore(&listed, &Request { dry_run: true, ..place.in_place() });
    assert_eq!(would.actions, ["delete l", "create l", "delete p", "create p"]);
    assert_eq!((of(&place.target()), of(&outside)), (theirs, theirs));
    place.restore(&listed, &place.in_place());
    assert_eq!(listing(&place.target()), good);
    assert_eq!(of(&outside), theirs);
    let found = names.map(|name| symlink_metadata(outside.join(name)).unwrap());
    assert_eq!((found[0].mtime(), found[1].mode() & 0o7777), (7, 0o640));
}

#[test]
fn a_pipe_or_link_with_one_name_is_not_made_anew() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![link("l", "to"), other("p", Body::Fifo)])]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    let before = ["l", "p"].map(|name| inode(place.at(name)));
    touch(&place.at("l"));
    set_permissions(place.at("p"), PermissionsExt::from_mode(0o640)).unwrap();
    let changed = listing(&place.target());
    let would = place.restore(&listed, &Request { dry_run: true, ..place.in_place() });
    assert_eq!((would.actions, listing(&place.target())), (vec!["update l".into(), "update p".into()], changed));
    place.restore(&listed, &place.in_place());
    assert_eq!((listing(&place.target()), ["l", "p"].map(|name| inode(place.at(name)))), (good, before));
}

#[test]
fn a_dry_run_tells_of_links_and_leaves_them() {
    let place = Place::new();
    let tree = vec![
        file("a", "1").linked(5, 4),
        file("b", "1").linked(5, 4),
        file("c", "1").linked(5, 4),
        file("d", "1").linked(5, 4),
        file("e", "2"),
    ];
    let listed = place.snapshot(vec![dir("app", tree)]);
    let all = place.restore(&listed, &Request { dry_run: true, ..place.request() });
    assert_eq!(all.actions, ["a", "e", "b", "c", "d"].map(|name| format!("create {name}")));
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    // One is right, one is another file, one is not there, one is a folder.
    remove_file(place.at("b")).unwrap();
    hard_link(place.at("e"), place.at("b")).unwrap();
    remove_file(place.at("c")).unwrap();
    remove_file(place.at("d")).unwrap();
    create_dir(place.at("d")).unwrap();
    let before = listing(&place.target());
    let would = place.restore(&listed, &Request { dry_run: true, ..place.in_place() });
    assert_eq!(listing(&place.target()), before);
    assert_eq!(would.actions, ["update .", "update b", "create c", "delete d", "create d"]);
    place.restore(&listed, &place.in_place());
    assert_eq!(listing(&place.target()), good);
}

#[test]
fn a_file_that_has_another_name_outside_is_made_anew_when_it_differs() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![file("f", "right")])]);
    let outside = place.base.path().join("outside");
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_500_000_000, 123_456_789);
    for (bytes, mode) in [("right", 0o640), ("wrong", 0o644), ("other length", 0o640)] {
        place.restore(&listed, &place.in_place());
        let good = listing(&place.target());
        hard_link(place.at("f"), &outside).unwrap();
        std::fs::write(&outside, bytes).unwrap();
        set_permissions(&outside, PermissionsExt::from_mode(mode)).unwrap();
        std::fs::File::options().write(true).open(&outside).unwrap().set_modified(time).unwrap();
        let theirs = inode(&outside);
        let would = place.restore(&listed, &Request { dry_run: true, ..place.in_place() });
        assert_eq!((would.actions, inode(place.at("f"))), (vec!["update f".into()], theirs), "{bytes}");
        place.restore(&listed, &place.in_place());
        assert_eq!(listing(&place.target()), good, "{bytes}");
        let found = std::fs::metadata(&outside).unwrap();
        assert_eq!((found.ino(), found.mode() & 0o7777, found.nlink()), (theirs, mode, 1));
        assert_eq!(std::fs::read(&outside).unwrap(), bytes.as_bytes());
        remove_file(&outside).unwrap();
    }
}

#[test]
fn a_file_with_several_names_is_whole_whatever_part_of_it_changed() {
    let place = Place::new();
    // Two stretches are alike, so that one must not be taken for the other.
    let twice = Piece::Data(noise(1, 7000));
    let parts = vec![twice.clone(), twice, Piece::Hole(1 << 20), Piece::Data(noise(2, 7000))];
    let names = ["a", "b"].map(|name| pieces(name, parts.clone()).linked(5, 2));
    let listed = place.snapshot(vec![dir("app", names.into())]);
    place.restore(&listed, &place.request());
    let (good, right) = (listing(&place.target()), std::fs::read(place.at("a")).unwrap());
    let changes: [fn(&mut Vec<u8>); 7] = [
        |bytes| bytes[10] ^= 1,
        |bytes| bytes[7010] ^= 1,
        |bytes| bytes[100_000] = 1,
        |bytes| *bytes.last_mut().unwrap() ^= 1,
        |bytes| bytes.push(1),
        |bytes| bytes.truncate(9000),
        |_| {},
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut bytes = right.clone();
        change(&mut bytes);
        std::fs::write(place.at("a"), &bytes).unwrap();
        let before = listing(&place.target());
        place.restore(&listed, &Request { dry_run: true, ..place.in_place() });
        assert_eq!(listing(&place.target()), before, "{number}");
        place.restore(&listed, &place.in_place());
        assert_eq!(listing(&place.target()), good, "{number}");
    }
}

/// Length and time are right, and the bytes of a hole, or of a later part, are not.
#[test]
fn a_file_with_several_names_is_compared_to_its_end() {
    let place = Place::new();
    let part = noise(1, 8192);
    let of =
        |name| pieces(name, vec![Piece::Data(part.clone()), Piece::Hole(8192), Piece::Data(part.clone())]).linked(9, 2);
    let listed = place.snapshot(vec![dir("app", vec![of("a"), of("b")])]);
    place.restore(&listed, &place.request());
    let good = std::fs::read(place.at("a")).unwrap();
    let looks = Request { verify: true, dry_run: true, ..place.in_place() };
    assert_eq!(place.restore(&listed, &looks).actions, Vec::<String>::new());
    for at in [0, 8191, 8192, 16_383, 16_384, 24_575] {
        let (mut bytes, time) = (good.clone(), std::fs::metadata(place.at("a")).unwrap().modified().unwrap());
        bytes[at] ^= 1;
        let file = std::fs::OpenOptions::new().write(true).open(place.at("a")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        file.set_modified(time).unwrap();
        place.restore(&listed, &Request { verify: true, ..place.in_place() });
        for name in ["a", "b"] {
            assert!(std::fs::read(place.at(name)).unwrap() == good, "{name} at {at}");
        }
        assert_eq!(inode(place.at("a")), inode(place.at("b")));
    }
}

#[test]
fn when_the_bytes_of_a_file_are_lost_each_of_its_names_is_told() {
    let place = Place::new();
    let names = ["a", "b", "c"].map(|name| pieces(name, vec![Piece::Data(noise(3, 7000))]).linked(5, 3));
    let listed = place.snapshot(vec![dir("app", names.into())]);
    place.damage(&noise(3, 7000));
    let report = place.run(&listed, &place.request()).unwrap();
    assert_eq!((report.problem_count, report.files_written), (3, 0), "{:?}", report.problems);
    assert_eq!(std::fs::read_dir(place.target()).unwrap().count(), 0);
}

/// Of one size, and changed in the same moment.
#[test]
fn two_files_that_became_one_are_two_again() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![file("a", "one"), file("b", "two")])]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    for (kept, lost) in [("a", "b"), ("b", "a")] {
        remove_file(place.at(lost)).unwrap();
        hard_link(place.at(kept), place.at(lost)).unwrap();
        place.restore(&listed, &place.in_place());
        assert_eq!(listing(&place.target()), good);
    }
}

/// Puts a directory where the restore is about to make one.
struct Meddler<'a> {
    recording: Recording,
    at: &'a [u8],
    from: std::path::PathBuf,
    to: std::path::PathBuf,
}

impl Monitor for Meddler<'_> {
    fn at(&self, path: &[u8]) {
        if path == self.at {
            rename(&self.from, &self.to).unwrap();
        }
        self.recording.at(path);
    }
}

#[test]
fn a_folder_that_comes_between_is_not_taken_for_a_new_one() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![file("a", "1"), dir("d", vec![file("f", "2")]).mode(0o700)])]);
    let theirs = place.base.path().join("theirs");
    create_dir(&theirs).unwrap();
    std::fs::write(theirs.join("mine"), "mine").unwrap();
    set_permissions(&theirs, PermissionsExt::from_mode(0o751)).unwrap();
    let meddler = Meddler { recording: Recording::default(), at: b"d", from: theirs, to: place.at("d") };
    let report = place.run_with(&listed, &place.request(), &meddler).unwrap();
    assert_eq!((report.problem_count, report.files_written), (1, 1));
    assert!(report.problems[0].what.contains("two names for one"), "{:?}", report.problems);
    assert_eq!(std::fs::read_dir(place.at("d")).unwrap().count(), 1);
    assert_eq!(std::fs::metadata(place.at("d")).unwrap().mode() & 0o7777, 0o751);
}

#[test]
fn names_that_differ_in_case_are_two_where_case_counts() {
    let place = Place::new();
    std::fs::write(place.base.path().join("x"), "").unwrap();
    if place.base.path().join("X").exists() {
        return;
    }
    let tree = |inner| vec![file("Makefile", "1"), dir("d", inner), file("makefile", "2")];
    let listed = place.snapshot(vec![dir("app", tree(tree(vec![])))]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    for name in ["makefile", "d/Makefile"] {
        remove_file(place.at(name)).unwrap();
    }
    place.restore(&listed, &place.in_place());
    assert_eq!(listing(&place.target()), good);
}
