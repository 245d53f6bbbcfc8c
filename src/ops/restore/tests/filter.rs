//! Parts of a tree.

use super::{super::*, build::*};

fn tree() -> Entry {
    let conf = vec![file("a.conf", "1"), file("b.conf", "2"), file("notes", "3")];
    dir(
        "app",
        vec![
            dir("etc", conf).mode(0o700).time(99),
            dir("log", vec![file("x.log", "4"), dir("old", vec![file("y.log", "5")])]),
            dir("empty", vec![]),
            file("top", "6"),
        ],
    )
}

fn restored(include: &[&str], exclude: &[&str]) -> (Place, Vec<String>) {
    let place = Place::new();
    let listed = place.snapshot(vec![tree()]);
    let all = |patterns: &[&str]| patterns.iter().map(|&p| p.to_owned()).collect();
    place.restore(&listed, &Request { include: all(include), exclude: all(exclude), ..place.request() });
    let names = listing(&place.target()).iter().map(|line| line.split(' ').next().unwrap_or("").to_owned()).collect();
    (place, names)
}

#[test]
fn patterns_choose_what_comes_back() {
    let cases: [(&[&str], &[&str], &[&str]); 6] = [
        (&[], &["*.log", "/empty"], &["", "etc", "etc/a.conf", "etc/b.conf", "etc/notes", "log", "log/old", "top"]),
        (&["*.conf"], &[], &["", "etc", "etc/a.conf", "etc/b.conf"]),
        (&["/log"], &["old"], &["", "log", "log/x.log"]),
        (&["y.log", "top"], &[], &["", "log", "log/old", "log/old/y.log", "top"]),
        (&["/empty/"], &[], &["", "empty"]),
        (&["nothing"], &[], &[""]),
    ];
    for (include, exclude, expected) in cases {
        assert_eq!(restored(include, exclude).1, expected, "{include:?} {exclude:?}");
    }
}

#[test]
fn directories_on_the_way_get_their_metadata_when_they_are_made() {
    use std::os::unix::fs::MetadataExt;
    let (place, _) = restored(&["a.conf"], &[]);
    let meta = std::fs::metadata(place.at("etc")).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.mtime()), (0o700, 99));
}

#[test]
fn senseless_patterns_are_named() {
    let place = Place::new();
    let listed = place.snapshot(vec![tree()]);
    let what = place.run(&listed, &Request { include: vec!["x[".into()], ..place.request() }).unwrap_err().to_string();
    assert!(what.contains("the include pattern \"x[\""), "{what}");
}

#[test]
fn a_hard_link_whose_first_name_is_left_out_is_a_file() {
    let place = Place::new();
    let tree = dir("app", vec![file("a", "content").linked(5, 2), file("b", "content").linked(5, 2)]);
    let listed = place.snapshot(vec![tree]);
    place.restore(&listed, &Request { exclude: vec!["a".into()], ..place.request() });
    assert_eq!(std::fs::read(place.at("b")).unwrap(), b"content");
}
