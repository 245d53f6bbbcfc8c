//! Damage and malice cost the entries that they hit, and nothing else.

use super::{super::*, build::*};
use crate::{hash::BlobKind, model::node::Body};
use std::os::unix::{ffi::OsStrExt, fs::symlink};

#[test]
fn a_damaged_segment_costs_its_files_which_are_named() {
    for extents in [3, 1000] {
        let mut place = Place::new();
        place.limits.extents = extents;
        let files: Vec<Entry> = (0..30).map(|n| file(format!("f{n:02}"), noise(n, 3000))).collect();
        let big = (0..30).map(|n| Piece::Data(noise(n, 3000))).collect();
        let listed = place.snapshot(vec![dir("app", files.into_iter().chain([pieces("big", big)]).collect())]);
        place.damage(&noise(10, 3000));
        let report = place.run(&listed, &place.request()).unwrap();
        let mut lost: Vec<String> = report.problems.iter().map(|p| Shown(&p.path).to_string()).collect();
        lost.sort();
        assert!((2..=4).contains(&lost.len()), "{lost:?}");
        assert!(lost.iter().any(|path| path.ends_with("target/f10")), "{lost:?}");
        assert!(lost.iter().any(|path| path.ends_with("target/big")), "{lost:?}");
        assert_eq!(report.problem_count, lost.len() as u64);
        let left = std::fs::read_dir(place.target()).unwrap().count();
        assert_eq!(left, 31 - lost.len());
        for n in (0..30).filter(|n| !lost.iter().any(|path| path.ends_with(&format!("f{n:02}")))) {
            assert_eq!(std::fs::read(place.at(format!("f{n:02}"))).unwrap(), noise(n, 3000));
        }
    }
}

#[test]
fn a_blob_that_lies_in_two_places_survives_the_loss_of_one() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![file("f", noise(1, 3000)), file("g", noise(2, 3000))])]);
    // Another index that knew nothing: the same blobs are stored again.
    let again = Place { index: crate::index::BlobIndex::empty(None), store: place.store.clone(), ..Place::new() };
    let again = Place { repo: place.repo.clone(), ..again };
    again.snapshot(vec![dir("app", vec![file("f", noise(1, 3000))])]);
    place.damage(&noise(1, 3000));
    let (index, unreadable) = place.repo.load_index(true).unwrap();
    assert!(unreadable.is_empty());
    let place = Place { index, ..place };
    let id = place.repo.namer().name(BlobKind::Data, &noise(1, 3000));
    assert_eq!(place.index.places(&id).len(), 2);
    let report = place.run(&listed, &place.request()).unwrap();
    assert_eq!(std::fs::read(place.at("f")).unwrap(), noise(1, 3000), "{:?}", report.problems);
}

#[test]
fn files_that_contradict_the_index_are_refused() {
    let place = Place::new();
    let id = place.repo.namer().name(BlobKind::Data, b"good");
    let bad = vec![
        file("good", "good"),
        pieces("longer", vec![Piece::Raw(id, 5)]),
        pieces(
            "missing",
            vec![Piece::Data(noise(3, 100)), Piece::Raw(crate::id::BlobId([1; crate::id::BLOB_ID_LEN]), 5)],
        ),
        pieces("huge", vec![Piece::Hole(u64::MAX / 2), Piece::Hole(9)]),
        other("device", Body::CharDevice { major: 1 << 20, minor: 0 }),
        link("loop", "loop"),
    ];
    let report = {
        let listed = place.snapshot(vec![dir("app", bad)]);
        place.run(&listed, &place.request()).unwrap()
    };
    assert_eq!(report.problem_count, 4, "{:?}", report.problems);
    let mut left: Vec<_> = std::fs::read_dir(place.target()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["good", "loop"]);
}

#[test]
fn links_in_the_target_lead_nowhere() {
    let place = Place::new();
    let outside = place.base.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "precious").unwrap();
    let tree = dir("app", vec![dir("d", vec![file("precious", "evil")]), file("f", "evil"), file("h", "evil")]);
    let listed = place.snapshot(vec![tree]);
    std::fs::create_dir(place.target()).unwrap();
    symlink(&outside, place.at("d")).unwrap();
    symlink(outside.join("precious"), place.at("f")).unwrap();
    std::fs::hard_link(outside.join("precious"), place.at("h")).unwrap();
    place.restore(&listed, &place.in_place());
    assert_eq!(std::fs::read(outside.join("precious")).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    for path in ["d/precious", "f", "h"] {
        assert_eq!(std::fs::read(place.at(path)).unwrap(), b"evil");
    }
    assert!(!std::fs::symlink_metadata(place.at("d")).unwrap().is_symlink());
}

#[test]
fn a_link_of_the_tree_is_not_followed_by_what_comes_after() {
    // A directory where a link to the outside was restored before: by an earlier, malicious snapshot.
    let place = Place::new();
    let outside = place.base.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let to = outside.to_str().unwrap().to_owned();
    place.restore(&place.snapshot(vec![dir("app", vec![link("d", &to)])]), &place.request());
    let second = place.snapshot(vec![dir("app", vec![dir("d", vec![file("x", "evil")])])]);
    place.restore(&second, &place.in_place());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(std::fs::read(place.at("d/x")).unwrap(), b"evil");
}

#[test]
fn when_the_first_name_is_lost_the_next_is_the_file() {
    let place = Place::new();
    let names = vec![
        pieces("a", vec![Piece::Raw(crate::id::BlobId([1; crate::id::BLOB_ID_LEN]), 5)]).linked(9, 3),
        file("b", "content").linked(9, 3),
        file("c", "content").linked(9, 3),
        other("s", Body::Socket).linked(10, 2),
        other("t", Body::Socket).linked(10, 2),
    ];
    let listed = place.snapshot(vec![dir("app", names)]);
    let report = place.run(&listed, &place.request()).unwrap();
    assert_eq!((report.problem_count, report.sockets), (1, 2));
    let inode = |path: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(place.at(path)).unwrap());
    assert_eq!(inode("b"), inode("c"));
    assert_eq!(std::fs::read(place.at("c")).unwrap(), b"content");
    assert!(!place.at("a").exists());
}

#[test]
fn an_unreadable_directory_costs_itself_and_deletes_nothing() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![dir("a", vec![file("x", "x")]), file("b", "b")])]);
    place.restore(&listed, &place.request());
    std::fs::write(place.at("a/extra"), "").unwrap();
    let mut broken = listed.clone();
    let Body::Directory { tree, .. } = &mut broken.snapshot.sources[0].root.body else { panic!() };
    *tree = crate::id::BlobId([3; crate::id::BLOB_ID_LEN]);
    let delete = Request { delete: true, ..place.in_place() };
    let report = place.run(&broken, &delete).unwrap();
    assert_eq!((report.problem_count, report.deleted), (1, 0));
    assert_eq!(report.problems[0].path, place.target().as_os_str().as_bytes());
    assert!(place.at("a/extra").exists());
}

#[test]
fn trees_deeper_than_any_path_come_back() {
    let mut place = Place::new();
    place.limits.open = 3;
    let mut tree = dir("bottom", vec![file("f", "deep")]);
    for n in 0..300 {
        tree = dir([b'd'; 60], vec![tree, file(format!("x{n}"), "side")]);
    }
    let listed = place.snapshot(vec![dir("app", vec![tree])]);
    let report = place.restore(&listed, &place.request());
    assert_eq!((report.files_written, report.totals.directories), (301, 302));
    std::fs::remove_dir_all(place.target()).unwrap();
}
