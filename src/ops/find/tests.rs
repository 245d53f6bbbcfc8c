use super::*;
use crate::{
    model::tombstone::{GoneHead, Tombstone},
    monitor::{Recording, Silent},
    ops::fixture::{self, Fixture, Item},
    repo::{Listed, snapshots::object_name},
    world::Time,
};
use std::path::PathBuf;

struct World {
    fixture: Fixture,
    cache: tempfile::TempDir,
}

fn app(files: &[(&str, &str)]) -> Vec<(&'static str, Item)> {
    let files = files.iter().map(|(name, text)| (*name, fixture::file(text.as_bytes()))).collect();
    vec![("app", fixture::dir(vec![("etc", fixture::dir(files))]))]
}

impl World {
    fn new() -> Self {
        World { fixture: Fixture::new(), cache: tempfile::tempdir().unwrap() }
    }

    fn repo(&self) -> Repository {
        self.fixture.reopen_at(0, Some(self.cache.path().to_owned()))
    }

    fn with(nights: &[&[(&str, &str)]]) -> Self {
        let world = World::new();
        for (n, files) in nights.iter().enumerate() {
            world.fixture.snapshot("h/-/s", n as i64, app(files));
        }
        world
    }

    /// `first-last snapshots/versions path`, with `+` for what is still there.
    fn find(&self, pattern: &str, scope: Scope<'_>) -> (Vec<String>, Report) {
        let repo = self.repo();
        let (index, _) = repo.load_index(true).unwrap();
        let reader = BlobReader::new(&repo, &index);
        let query = Query::new(Wanted { patterns: vec![pattern.into()], ..Wanted::default() }).unwrap();
        let mut lines = Vec::new();
        let mut each = |found: &Match| {
            let Match { path, first, last, snapshots, versions, .. } = found;
            let (first, last) = (first.sequence, last.sequence);
            let sign = if found.is_present { "+" } else { "" };
            lines.push(format!("{first}-{last}{sign} {snapshots}/{versions} {}", String::from_utf8_lossy(path)));
            Ok(())
        };
        let report = find(&repo, &reader, scope, &query, &mut each, &Silent).unwrap();
        (lines, report)
    }

    /// The same from trees, from a catalogue that is being made, and from one that is there.
    #[track_caller]
    fn finds(&self, pattern: &str, expected: &[&str]) {
        for how in ["cold", "warm", "without a place for it"] {
            if how == "without a place for it" {
                // A file where the folder would be.
                std::fs::remove_dir_all(self.history()).unwrap();
                std::fs::write(self.history(), "").unwrap();
            }
            assert_eq!(self.find(pattern, ALL).0, expected, "{how}");
        }
        std::fs::remove_file(self.history()).unwrap();
    }

    fn history(&self) -> PathBuf {
        let folder = std::fs::read_dir(self.cache.path()).unwrap().next().unwrap().unwrap().path();
        folder.join("history")
    }

    fn forget(&self, listed: &Listed) {
        let tag = self.fixture.repo.keys().series_tag(&Series::parse(&listed.snapshot.series).unwrap());
        let head = GoneHead { series: tag, snapshot: listed.id, head: listed.snapshot.head.clone() };
        let text = String::new;
        let tombstone = Tombstone { head, time: Time::from_sec(5), host: text(), user: text(), reason: text() };
        self.fixture.repo.bury(&tombstone).unwrap();
        self.fixture.repo.store().remove(&object_name(&tag, &listed.id)).unwrap();
    }
}

const ALL: Scope<'static> = Scope { prefix: "", latest: false };

#[test]
fn each_match_has_its_range_of_snapshots() {
    let world = World::with(&[
        &[("a", "1"), ("b", "1")],
        &[("a", "1"), ("b", "2")],
        &[("a", "1")],
        &[("a", "2"), ("b", "3")],
        &[("a", "2"), ("b", "3"), ("c", "")],
    ]);
    world.finds("a", &["1-5+ 5/2 app/etc/a"]);
    world.finds("b", &["1-2 2/2 app/etc/b", "4-5+ 2/1 app/etc/b"]);
    world.finds("c", &["5-5+ 1/1 app/etc/c"]);
    world.finds("app/*/b", &["1-2 2/2 app/etc/b", "4-5+ 2/1 app/etc/b"]);
    world.finds("etc", &["1-5+ 5/5 app/etc"]);
    world.finds("nothing", &[]);
}

#[test]
fn a_catalogue_goes_on_with_new_snapshots_and_passes_over_forgotten_ones() {
    let world = World::new();
    let take = |time, text: &str| world.fixture.snapshot("h/-/s", time, app(&[("a", text), ("b", "same")]));
    let taken: Vec<Listed> = (0..6).map(|n| take(n, &n.to_string())).collect();
    assert_eq!(world.find("a", ALL).0, ["1-6+ 6/6 app/etc/a"]);
    let before =
        std::fs::metadata(std::fs::read_dir(world.history()).unwrap().next().unwrap().unwrap().path()).unwrap();
    take(6, "6");
    assert_eq!(world.find("a", ALL).0, ["1-7+ 7/7 app/etc/a"]);
    let after = std::fs::metadata(std::fs::read_dir(world.history()).unwrap().next().unwrap().unwrap().path()).unwrap();
    assert!(after.len() > before.len() && after.len() < 2 * before.len() + 1000, "one block more");
    world.forget(&taken[0]);
    world.forget(&taken[2]);
    assert_eq!(world.find("a", ALL).0, ["2-7+ 5/5 app/etc/a"]);
    assert_eq!(world.find("b", ALL).0, ["2-7+ 5/1 app/etc/b"]);
    let newest = take(7, "7");
    assert_eq!(world.find("a", ALL).0, ["2-8+ 6/6 app/etc/a"]);
    // The one that the next would be compared with: all is made anew.
    world.forget(&newest);
    take(8, "8");
    assert_eq!(world.find("a", ALL).0, ["2-9+ 6/6 app/etc/a"]);
}

#[test]
fn what_only_forgotten_snapshots_had_is_not_found() {
    let world = World::new();
    let take = |time, files: &[(&str, &str)]| world.fixture.snapshot("h/-/s", time, app(files));
    take(0, &[("a", "")]);
    let middle = take(1, &[("a", ""), ("secret", "x")]);
    take(2, &[("a", "")]);
    assert_eq!(world.find("secret", ALL).0, ["2-2 1/1 app/etc/secret"]);
    world.forget(&middle);
    assert!(world.find("secret", ALL).0.is_empty());
}

#[test]
fn a_scope_keeps_others_out() {
    let world = World::new();
    for series in ["alpha/-/one", "alpha/-/one/more", "alpha/vm/two", "beta/-/one"] {
        world.fixture.snapshot(series, 1, app(&[("a", series)]));
        world.fixture.snapshot(series, 2, app(&[("b", series)]));
    }
    let count = |prefix, latest, pattern| world.find(pattern, Scope { prefix, latest }).0.len();
    assert_eq!(count("", false, "a"), 4);
    assert_eq!(count("alpha", false, "a"), 3);
    assert_eq!(count("alpha/-/one", false, "a"), 2, "and what is under it");
    assert_eq!(count("alpha/-/one/more/", false, "a"), 1);
    assert_eq!(count("alpha/-", false, "a"), 2);
    assert_eq!((count("", true, "a"), count("", true, "b"), count("beta", true, "b")), (0, 4, 1));
    assert_eq!(world.find("*", Scope { prefix: "gamma", latest: false }).1.series, 0);
}

#[test]
fn sizes_are_those_of_each_version() {
    let world = World::with(&[&[("a", "1")], &[("a", "12345")], &[("a", "12345")], &[("a", "1")]]);
    let repo = world.repo();
    let (index, _) = repo.load_index(true).unwrap();
    let reader = BlobReader::new(&repo, &index);
    let query = Query::new(Wanted { size: Some(3..=9), ..Wanted::default() }).unwrap();
    let mut found = Vec::new();
    let mut each = |one: &Match| {
        found.push((one.first.sequence, one.last.sequence, one.facts.size, one.is_present));
        Ok(())
    };
    find(&repo, &reader, ALL, &query, &mut each, &Silent).unwrap();
    assert_eq!(found, [(2, 3, 5, false)]);
    let stopped = Recording::default();
    stopped.cancel();
    let stopped = find(&repo, &reader, ALL, &query, &mut |_| Ok(()), &stopped);
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn what_is_lost_is_told_not_kept_and_hides_nothing_else() {
    let world = World::new();
    world.fixture.snapshot("h/-/s", 0, app(&[("a", "1")]));
    let before = world.fixture.store.names();
    world.fixture.snapshot("h/-/s", 1, app(&[("a", "2")]));
    let packs: Vec<_> = world.fixture.store.names().into_iter().filter(|name| !before.contains(name)).collect();
    world.fixture.snapshot("h/-/s", 2, app(&[("a", "1"), ("b", "2")]));
    for name in packs.iter().filter(|name| name.as_str().starts_with("packs/")) {
        world.fixture.store.tamper(name, |bytes| bytes.iter_mut().for_each(|b| *b ^= 1));
    }
    let (lines, report) = world.find("[ab]", ALL);
    assert_eq!(lines, ["1-1 1/1 app/etc/a", "3-3+ 1/1 app/etc/a", "3-3+ 1/1 app/etc/b"]);
    assert!(!report.unreadable.is_empty());
    for name in packs.iter().filter(|name| name.as_str().starts_with("packs/")) {
        world.fixture.store.tamper(name, |bytes| bytes.iter_mut().for_each(|b| *b ^= 1));
    }
    assert_eq!(world.find("[ab]", ALL).0, ["1-3+ 3/3 app/etc/a", "3-3+ 1/1 app/etc/b"]);
}

#[test]
fn more_changes_than_are_held_at_once_come_in_parts() {
    let world = World::new();
    let many = |text: &str| {
        let files = (0..4).map(|d| {
            let files =
                (0..500).map(|n| (format!("{d}-{n}"), fixture::file(if n == 7 { text.as_bytes() } else { b"" })));
            (format!("d{d}"), fixture::dir(files.collect()))
        });
        vec![("app", fixture::dir(files.collect()))]
    };
    world.fixture.snapshot("h/-/s", 0, many("1"));
    world.fixture.snapshot("h/-/s", 1, many("2"));
    world.fixture.snapshot("h/-/s", 2, vec![("app", fixture::dir::<&str>(vec![]))]);
    world.fixture.snapshot("h/-/s", 3, many("1"));
    world.finds("3-7", &["1-2 2/2 app/d3/3-7", "4-4+ 1/1 app/d3/3-7"]);
    world.finds("3-499", &["1-2 2/1 app/d3/3-499", "4-4+ 1/1 app/d3/3-499"]);
}
